"""Times, pixels and complaints of ma2mi.video, on videos made here."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from ma2mi.errors import VideoError
from ma2mi.files import WRITTEN
from ma2mi.video import (
    KEPT_STEPS,
    ClockRestart,
    FrameSteps,
    TruncatedVideo,
    VideoNote,
    ahead,
    inspect_video,
    list_others,
    list_videos,
    read_frames,
    read_times,
    typical_step,
    write_frames,
    write_video,
)
from ma2mi.video.times import frame_times

SHARED = Path(__file__).parents[2] / "shared"


def pictures(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Smooth coloured ramps; picture i is 8 * i brighter than the first."""
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([x, y, (x + y) / 2], axis=-1) * 100 / max(height, width)
    return [(ramp + 8 * i).astype(np.uint8) for i in range(count)]


def encode(
    path: Path,
    pts: Sequence[int],
    *,
    clock: Fraction = Fraction(1, 1000),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: int = 0,
    size: tuple[int, int] = (48, 64),
) -> list[np.ndarray]:
    images = pictures(len(pts), *size)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.time_base = stream.codec_context.time_base = clock
        stream.set_display_rotation(rotation)
        for time, image in zip(pts, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = time, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return images


def times(path: Path) -> list[Fraction]:
    return [frame.time_s for frame in read_frames(path)]


def test_a_larger_crf_gives_a_smaller_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8)
    sizes = []
    for crf in (None, 20, 40):
        write_video(tmp_path / f"{crf}.mp4", noise, 25, quick=True, crf=crf)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[0] == sizes[1] > 2 * sizes[2]


@pytest.mark.parametrize("fps", [25, 200, Fraction(30000, 1001), Fraction(15, 2)])
def test_times_of_an_even_video_are_exact(tmp_path: Path, fps: Fraction | int) -> None:
    write_video(tmp_path / "even.mp4", pictures(9), fps)
    frames = list(read_frames(tmp_path / "even.mp4"))
    assert [frame.index for frame in frames] == list(range(9))
    assert [frame.time_s for frame in frames] == [i / Fraction(fps) for i in range(9)]


def test_times_of_an_uneven_video_are_exact(tmp_path: Path) -> None:
    pts = [0, 33, 41, 120, 121, 500]
    encode(tmp_path / "uneven.mkv", pts)
    assert times(tmp_path / "uneven.mkv") == [Fraction(t, 1000) for t in pts]


def test_start_offset_is_kept(tmp_path: Path) -> None:
    encode(tmp_path / "late.mkv", [2500, 2540, 2580])
    assert times(tmp_path / "late.mkv") == [Fraction(t, 1000) for t in (2500, 2540, 2580)]


def test_frames_without_pts_follow_at_the_average_rate(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "raw.mkv"), "w", format="h264") as container:  # H.264 without times
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in pictures(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    found = times(tmp_path / "raw.mkv")
    assert found == [i * Fraction(1, 25) for i in range(5)]


def test_range_of_frames_keeps_index_and_time(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", pictures(10), 25)
    frames = list(read_frames(tmp_path / "clip.mp4", start=3, stop=6))
    assert [(f.index, f.time_s) for f in frames] == [(i, Fraction(i, 25)) for i in (3, 4, 5)]
    assert list(read_frames(tmp_path / "clip.mp4", start=4, stop=4)) == []
    assert [f.index for f in read_frames(tmp_path / "clip.mp4", start=8, stop=99)] == [8, 9]
    with pytest.raises(VideoError, match="not a range"):
        read_frames(tmp_path / "clip.mp4", start=4, stop=3)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    path = tmp_path / "turned.mp4"
    first = encode(path, [0, 33, 66], rotation=rotation)[0]
    upright = np.rot90(first, rotation // 90)
    image = next(read_frames(path)).image
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 4  # other turns are off by more than 25
    info = inspect_video(path)
    assert (info.height, info.width) == upright.shape[:2]


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [("ffv1", "gray"), ("ffv1", "gray16le"), ("libx264", "yuv420p10le"), ("libx264", "yuvj420p")],
)
def test_other_pixel_formats_decode_to_rgb(tmp_path: Path, codec: str, pixels: str) -> None:
    images = encode(tmp_path / "deep.mkv", [0, 33, 66], codec=codec, pixels=pixels)
    for frame, image in zip(read_frames(tmp_path / "deep.mkv"), images, strict=True):
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == image.shape
        if "gray" in pixels:
            assert np.ptp(frame.image.astype(int), axis=2).max() == 0
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        assert np.abs(frame.image.astype(int) - image).mean() < 4


def test_lossless_video_is_bit_exact_at_odd_sizes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 31, 45, 3), dtype=np.uint8)
    write_video(tmp_path / "exact.mkv", noise, 25, lossless=True)
    frames = list(read_frames(tmp_path / "exact.mkv"))
    np.testing.assert_array_equal([frame.image for frame in frames], noise)
    assert [frame.time_s for frame in frames] == [i * Fraction(1, 25) for i in range(3)]


def test_odd_sizes_are_padded_by_their_edge(tmp_path: Path) -> None:
    images = pictures(2, 47, 63)
    write_video(tmp_path / "odd.mp4", images, 25)
    image = next(read_frames(tmp_path / "odd.mp4")).image
    assert image.shape == (48, 64, 3)
    wanted = np.pad(images[0], ((0, 1), (0, 1), (0, 0)), mode="edge")
    assert np.abs(image.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize(("name", "lossless"), [("a.mp4", False), ("a.mkv", True)])
def test_same_images_give_the_same_bytes(tmp_path: Path, name: str, lossless: bool) -> None:
    write_video(tmp_path / name, pictures(5), 30, lossless=lossless)
    first = (tmp_path / name).read_bytes()
    write_video(tmp_path / name, pictures(5), 30, lossless=lossless)
    assert (tmp_path / name).read_bytes() == first


def test_one_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", pictures(1), 25)
    assert times(tmp_path / "one.mp4") == [0]


def test_inspect_video(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", pictures(10), Fraction(30000, 1001))
    info = inspect_video(tmp_path / "clip.mp4")
    assert (info.width, info.height, info.frame_count) == (64, 48, 10)
    assert info.fps == Fraction(30000, 1001)
    assert info.duration_s == Fraction(10010, 30000)
    write_video(tmp_path / "clip.mkv", pictures(10), 25, lossless=True)
    info = inspect_video(tmp_path / "clip.mkv")
    assert (info.frame_count, info.duration_s) == (None, Fraction(2, 5))


def test_failed_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    images = [*pictures(3), np.zeros((10, 10, 3), np.uint8)]
    with pytest.raises(VideoError, match=r"image 3 is \[10, 10, 3\]"):
        write_video(tmp_path / "bad.mp4", images, 25)
    with pytest.raises(VideoError, match="no images"):
        write_video(tmp_path / "bad.mp4", [], 25)
    with pytest.raises(VideoError, match="float64"):
        write_video(tmp_path / "bad.mp4", [np.zeros((8, 8, 3))], 25)  # type: ignore[list-item]
    with pytest.raises(VideoError, match=r"Name it bad\.mkv"):
        write_video(tmp_path / "bad.mp4", pictures(1), 25, lossless=True)
    assert list(tmp_path.iterdir()) == []


# Clocks


def joined(path: Path, *pieces: Sequence[int]) -> Path:
    """One MPEG-TS of pieces that were recorded apart; times in units of 1/90000 s."""
    parts = []
    for pts in pieces:
        encode(path.with_name("piece.ts"), pts, clock=Fraction(1, 90000))
        parts.append(path.with_name("piece.ts").read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def test_pieces_whose_clock_restarts_are_laid_end_to_end(tmp_path: Path) -> None:
    piece = [3600 * i for i in range(12)]
    path = joined(tmp_path / "joined.ts", piece, piece)
    with pytest.warns(ClockRestart, match=r"jumps back by 0.440 s after frame 11; .*end to end"):
        found = times(path)
    assert found == [found[0] + i * Fraction(1, 25) for i in range(24)]
    assert inspect_video(path).fps == 25
    assert frame_times(path) == found


def test_the_median_step_lies_between_two_pieces(tmp_path: Path) -> None:
    piece = [0, 3600, 7200, 10800, 36000, 39600, 43200]  # a pause within the piece
    path = joined(tmp_path / "joined.ts", piece, piece, piece)
    with pytest.warns(ClockRestart) as output:
        found = times(path)
    assert [str(one.message).split(": ")[1][:40] for one in output] == [
        "the clock jumps back by 0.480 s after fr",
        "the clock jumps back 2 times in all",
    ]
    steps = np.diff([float(time) for time in found]) * 25
    pause = [1, 1, 1, 7, 1, 1]
    np.testing.assert_allclose(steps, [*pause, 1, *pause, 1, *pause])
    assert inspect_video(path).fps == 25


def test_a_jump_forward_stays_and_does_not_change_the_rate(tmp_path: Path) -> None:
    pts = [40 * i for i in range(20)] + [60_000 + 40 * i for i in range(20)]
    encode(tmp_path / "pause.mkv", pts)
    encode(tmp_path / "pause.mp4", pts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in ("mkv", "mp4"):
            path = tmp_path / f"pause.{suffix}"
            assert times(path) == [Fraction(t, 1000) for t in pts]
            assert inspect_video(path).fps == 25


def test_frames_of_an_avi_with_b_frames_are_even(tmp_path: Path) -> None:
    path = tmp_path / "bframes.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "3", "b-adapt": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in pictures(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    frames = list(read_frames(path))
    assert [frame.time_s for frame in frames] == [i * Fraction(1, 25) for i in range(20)]
    assert np.all(np.diff([frame.image.mean() for frame in frames]) > 0)  # in showing order
    assert frame_times(path) == [frame.time_s for frame in frames]


@pytest.mark.parametrize(
    ("name", "frames", "restarts"), [("joined_clock_restarts.ts", 60, 1), ("bframes.avi", 75, 0)]
)
def test_clocks_of_files_made_elsewhere(name: str, frames: int, restarts: int) -> None:
    path = SHARED / "cases" / "video" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with warnings.catch_warnings(record=True) as output:
        warnings.simplefilter("always")
        found = times(path)
    assert [one.category for one in output] == [ClockRestart] * restarts
    assert found == [found[0] + i * Fraction(1, 25) for i in range(frames)]
    assert inspect_video(path).fps == 25


def test_the_usual_step_sees_through_pauses_and_milliseconds() -> None:
    ms = [33, 33, 34]
    assert typical_step([Fraction(step, 1000) for step in ms * 40]) == Fraction(1, 30)
    assert typical_step([0.04] * 50 + [7.0, 3600.0]) == pytest.approx(0.04)
    assert typical_step([2.0]) == 2.0


def test_steps_of_a_long_video_are_summed_up_in_constant_memory() -> None:
    steps = FrameSteps()
    assert steps.typical_s is None
    steps.push(Fraction(5))
    assert steps.typical_s is None
    clock = Fraction(5)
    for index in range(20 * KEPT_STEPS):
        clock += Fraction(7) if index == 10_000 else Fraction(1, 25)
        steps.push(clock)
    assert steps.typical_s == pytest.approx(0.04)
    assert steps.longest_s == 7
    assert len(steps.sample) <= KEPT_STEPS


CASES = {  # file, frames, words of its notes
    "bad_h264.mp4": (73, ["2 packets do not decode"]),
    "bad_hevc.mp4": (73, ["2 packets do not decode", "concealed"]),
    "bad_mpeg4.avi": (73, ["2 packets do not decode"]),
    "interlaced.mpg": (37, ["interlaced"]),
    "mirrored_matrix.mp4": (30, []),
    "slowmo_android.mp4": (75, ["recorded at 200 frames a second, plays at 25"]),
    "00105.MTS": (30, []),
}


@pytest.mark.parametrize("name", CASES)
def test_files_made_elsewhere_are_read_and_what_is_odd_is_said(name: str) -> None:
    path = SHARED / "cases" / "video" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with warnings.catch_warnings(record=True) as output:
        warnings.simplefilter("always")
        found = times(path)
    count, words = CASES[name]
    assert len(found) == count
    assert len(output) == len(words)
    for one, part in zip(output, words, strict=True):
        assert issubclass(one.category, VideoNote) and part in str(one.message)
    assert read_times(path) == found


def test_images_made_elsewhere() -> None:
    folder = SHARED / "cases" / "frames"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    deep = next(read_frames(folder / "twelve_bits_in_16", fps=Fraction(25))).image
    stored = cv2.imread(str(folder / "twelve_bits_in_16" / "f0.tif"), cv2.IMREAD_UNCHANGED)
    assert stored.max() < 4096
    assert deep.max() == pytest.approx(int(stored.max()) * 255 / 4095, abs=1)
    assert len(np.unique(deep)) > 100
    with pytest.warns(VideoNote, match="10 images are missing, the first after img0009.jpg"):
        found = [frame.time_s for frame in read_frames(folder / "gap", fps=Fraction(25))]
    assert found == [Fraction(i, 25) for i in (*range(10), *range(20, 30))]


def spoil_times(path: Path, number: int, off: int) -> None:
    """Frame ``number`` alone bears a time that is ``off`` frames wrong."""
    pts = [40 * i for i in range(30)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        packets = []
        for time, image in zip(pts, pictures(30), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            packet.dts -= 4000
        packets[number].pts += 40 * off
        for packet in packets:
            container.mux(packet)


@pytest.mark.parametrize("off", [-12, -1, 12, 90_000])
def test_one_wrong_time_moves_no_other(tmp_path: Path, off: int) -> None:
    spoil_times(tmp_path / "stray.mkv", 15, off)
    found = times(tmp_path / "stray.mkv")
    assert found == [found[0] + i * Fraction(1, 25) for i in range(30)]


def test_a_bare_stream_comes_at_its_own_rate(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "bare.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in pictures(9):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert times(tmp_path / "bare.h264") == [Fraction(i, 30) for i in range(9)]
    assert inspect_video(tmp_path / "bare.h264").fps == 30


# Folders


def test_folder_is_sorted_by_number(tmp_path: Path) -> None:
    images = pictures(12)
    write_frames(tmp_path / "reg", images, pattern="reg_img{index}.png", first=3)
    (tmp_path / "reg" / "Thumbs.db").write_bytes(b"x")
    frames = list(read_frames(tmp_path / "reg", fps=Fraction(200)))
    np.testing.assert_array_equal([frame.image for frame in frames], images)
    assert [frame.time_s for frame in frames] == [Fraction(i, 200) for i in range(12)]
    part = read_frames(tmp_path / "reg", fps=Fraction(200), start=2, stop=4)
    assert [(f.index, f.time_s) for f in part] == [(2, Fraction(2, 200)), (3, Fraction(3, 200))]
    info = inspect_video(tmp_path / "reg", fps=Fraction(200))
    assert (info.frame_count, info.duration_s) == (12, Fraction(12, 200))
    assert (info.width, info.height, info.fps) == (64, 48, 200)


def test_grey_and_deep_images_become_8_bit_rgb(tmp_path: Path) -> None:
    deep = np.array([[0, 128, 129, 257 * 100, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "1.png"), deep)
    cv2.imwrite(str(tmp_path / "2.BMP"), np.full((1, 5), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "3.tif"), np.full((1, 5, 4), 9, np.uint8))
    first, second, third = (f.image for f in read_frames(tmp_path, fps=Fraction(25)))
    np.testing.assert_array_equal(first, np.repeat([[[0], [0], [1], [100], [255]]], 3, axis=2))
    assert second.shape == third.shape == (1, 5, 3)
    assert set(second.flat) == {7}
    assert set(third.flat) == {9}


def test_folder_needs_a_rate_and_a_file_has_its_own(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", pictures(1))
    for read in (read_frames, inspect_video):
        with pytest.raises(VideoError, match="Give its frame rate as fps"):
            read(tmp_path / "frames")
    write_video(tmp_path / "clip.mp4", pictures(2), 25)
    for fps in (None, Fraction(25)):
        frames = read_frames(tmp_path / "clip.mp4", fps=fps)
        assert [frame.time_s for frame in frames] == [0, Fraction(1, 25)]


def test_the_true_rate_of_slow_motion_makes_times_shorter(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, pictures(10), 25)
    frames = list(read_frames(path, fps=Fraction(200)))
    assert [frame.time_s for frame in frames] == [Fraction(i, 200) for i in range(10)]
    info = inspect_video(path, fps=Fraction(200))
    assert (info.fps, info.duration_s) == (200, Fraction(10, 200))


def test_folder_with_faults_names_the_frame(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="holds no images"):
        next(read_frames(tmp_path / "empty", fps=Fraction(25)))
    write_frames(tmp_path / "mixed", pictures(2))
    write_frames(tmp_path / "mixed", pictures(1, 20, 30), first=3)
    with pytest.raises(VideoError, match=r"img3\.png: is 30x20, the frames before it are 64x48"):
        list(read_frames(tmp_path / "mixed", fps=Fraction(25)))
    (tmp_path / "mixed" / "img2.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"img2\.png: is not a readable image"):
        list(read_frames(tmp_path / "mixed", fps=Fraction(25)))
    with pytest.raises(VideoError, match="names no numbered image"):
        write_frames(tmp_path / "x", pictures(1), pattern="img.png")


def test_list_videos(tmp_path: Path) -> None:
    for name in ("s10/b.MP4", "s2/a.avi", "s2/notes.txt", ".trash/c.mp4", "s2/._a.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("s2/EP10", "s2/EP9"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.JPG").write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in list_videos(tmp_path)]
    assert found == ["s2/a.avi", "s2/EP9", "s2/EP10", "s10/b.MP4"]
    with pytest.raises(VideoError, match="is not a folder"):
        list_videos(tmp_path / "nowhere")


def test_links_odd_names_and_own_results_in_a_folder(tmp_path: Path) -> None:
    top, elsewhere = tmp_path / "videos", tmp_path / "elsewhere"
    for folder in (top / "res", top / "old", elsewhere):
        folder.mkdir(parents=True)
    write_video(elsewhere / "far.mp4", pictures(2), 25)
    (top / "linked").symlink_to(elsewhere)
    (top / "again").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(top)
    (top / "self.mp4").symlink_to(top / "self.mp4")
    (top / "film.bin").write_bytes((elsewhere / "far.mp4").read_bytes())
    (top / "code.ts").write_text("export const a: number = 1;\n" * 20)
    odd = top / os.fsdecode(b"caf\xe9.MTS")
    odd.write_bytes(b"x")
    for name in ("res/annotated.mp4", "old/annotated.mp4"):
        (top / name).write_bytes(b"x")
    (top / "res" / WRITTEN).write_text('{"files": {}}')
    for name in ("analysis.json", "frames.csv"):
        (top / "old" / name).write_text("{}")
    found = list_videos(top)
    assert odd in found
    assert [path.name for path in found if path != odd] == ["far.mp4"]
    assert list_others(top) == [top / "film.bin"]


def test_a_stream_is_said_to_be_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for read in (read_frames, read_times, inspect_video):
        with pytest.raises(VideoError, match=r"is a stream, not a file\. Save it .*--camera"):
            read(tmp_path / "pipe.mp4")


def test_a_frame_of_extreme_shape_is_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "wide", [np.zeros((4, 9000, 3), np.uint8)])
    with pytest.raises(VideoError, match="is 9000x4 px, and no side may be longer than 8192 px"):
        next(read_frames(tmp_path / "wide", fps=Fraction(25)))


# Damage


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video, just words\n" * 50)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 16000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    faults = {
        tmp_path / "none.mp4": "does not exist",
        tmp_path / "zero.mp4": "zero bytes",
        tmp_path / "text.mp4": "is not a video",
        sound: "only sound",
    }
    for path, words in faults.items():
        with pytest.raises(VideoError, match=words) as caught:
            list(read_frames(path))
        assert caught.value.where == str(path)
        with pytest.raises(VideoError, match=words):
            inspect_video(path)


def test_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    write_video(tmp_path / "cut.mp4", pictures(30), 25)
    whole = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match="cut off before its index was written"):
        list(read_frames(tmp_path / "cut.mp4"))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
def test_truncated_file_gives_what_decodes_and_warns(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for index, image in enumerate(noise):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_frames(path))) == 40
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.warns(TruncatedVideo, match="breaks off after frame"):
        frames = list(read_frames(path))
    assert 15 < len(frames) < 30
    assert [f.time_s for f in frames] == [Fraction(f.index, 25) for f in frames]


def test_a_thread_ahead_hands_on_errors_and_stops():
    def three():
        yield from (1, 2, 3)
        raise ValueError("after three")

    seen = []
    with pytest.raises(ValueError, match="after three"), ahead(three()) as items:
        seen.extend(items)
    assert seen in ([], [1, 2, 3])
    before = threading.active_count()
    with ahead(iter(range(1000))) as items:
        assert next(items) == 0
    assert threading.active_count() == before
