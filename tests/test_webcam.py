"""What a camera's file holds is what the images, the room and the clock made it hold."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from pydantic import ValidationError

from ma2mi.errors import SettingsError, VideoError
from ma2mi.face.detect import FaceDetector
from ma2mi.synthesis import SyntheticSettings, make_subject
from ma2mi.synthesis.long_video import make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.synthesis.webcam import WebcamSettings, noise_deviation, webcam, write_webcam

BARE = WebcamSettings(
    width=96,
    height=64,
    face_px=None,
    fps=25,
    light=1.0,
    noise=0,
    light_drift=0,
    light_step_rate=0,
    white_drift=0,
    crf=4,
)
"""Nothing but the file."""


def bare(**settings: object) -> WebcamSettings:
    return WebcamSettings(**(BARE.model_dump() | settings))


def greys(*levels: float, shape: tuple[int, int] = (64, 96)) -> Iterator[np.ndarray]:
    return (np.full((*shape, 3), round(level), np.uint8) for level in levels)


def means(frames) -> np.ndarray:
    return np.array([frame.image.mean() for frame in frames])


def test_a_bare_camera_keeps_images_and_times() -> None:
    levels = np.linspace(40, 200, 20)
    frames = list(webcam(greys(*levels), 25, BARE))
    assert [frame.index for frame in frames] == [*range(20)]
    assert [frame.time_s for frame in frames] == [Fraction(i, 25) for i in range(20)]
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    # Automatic gain follows such a long ramp of brightness, but not at once.
    np.testing.assert_allclose(means(frames)[:2], levels[:2], atol=3)


def test_the_camera_takes_the_newest_image() -> None:
    steady = [100 + 2 * (i % 3) for i in range(60)]
    for rate, shown in ((50, steady[::2]), (25, steady)):
        seen = means(webcam(greys(*steady), rate, BARE))
        np.testing.assert_allclose(seen, shown, atol=1.2)
    doubled = means(webcam(greys(100, 106), Fraction(25, 2), BARE))
    np.testing.assert_allclose(doubled, [100, 100, 106, 106], atol=1.2)
    assert len(means(webcam(greys(*steady), 60, bare(fps=30)))) == 30


def test_dropped_frames_leave_their_time_empty() -> None:
    levels = [100 + 6 * (i % 2) for i in range(100)]
    frames = list(webcam(greys(*levels), 25, bare(dropped=0.3)))
    numbers = [frame.time_s * 25 for frame in frames]
    assert all(number.denominator == 1 for number in numbers)
    assert numbers[0] == 0
    assert 55 < len(numbers) == len(set(numbers)) < 85
    np.testing.assert_allclose(means(frames), [levels[int(n)] for n in numbers], atol=1.5)


def test_doubled_frames_show_the_image_before() -> None:
    levels = [100 + 2 * (i % 4) for i in range(80)]  # small: automatic gain stays
    seen = means(webcam(greys(*levels), 25, bare(doubled=0.25)))
    assert len(seen) == 80
    late = np.abs(seen - levels) > 1
    assert 8 < late.sum() < 35
    assert (np.abs(np.diff(seen))[late[1:]] < 1).all()


def test_jitter_keeps_the_order_of_times() -> None:
    frames = list(webcam(greys(*[100] * 80), 25, bare(jitter_s=0.02)))
    times = np.array([float(frame.time_s) for frame in frames])
    off = times - np.arange(80) / 25
    assert off[0] == 0
    assert 0.005 < off.std() < 0.02
    assert np.abs(off).max() <= 0.4 / 25 + 1e-5
    assert (np.diff(times) > 0).all()


def test_the_face_gets_its_width_and_place() -> None:
    y, x = np.mgrid[:200, :200]
    image = np.where(np.hypot(x - 99.5, y - 99.5)[..., None] < 50, 220, 60).astype(np.uint8)
    image = np.repeat(image, 3, axis=2)
    for face, centre in ((30, (0.5, 0.5)), (30, (0.3, 0.6)), (180, (0.5, 0.5))):
        settings = bare(width=320, height=240, face_px=face, centre=centre)
        (frame,) = webcam([image], 25, settings, source_face_px=100)
        assert frame.image.shape == (240, 320, 3)
        bright = frame.image[..., 1] > 140
        rows, columns = np.nonzero(bright)
        assert np.ptp(columns) + 1 == pytest.approx(face, abs=2)
        assert np.ptp(rows) + 1 == pytest.approx(face, abs=2)
        middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        assert middle == pytest.approx([320 * centre[0], 240 * centre[1]], abs=1.0)
        around = frame.image[5, 5].astype(float)
        np.testing.assert_allclose(around, 60, atol=4)  # the wall goes on


def test_noise_grows_in_the_dark() -> None:
    table = noise_deviation(bare(noise=2.0))
    assert table[128] == pytest.approx(2.0)
    assert table[20] > 1.5 * table[128] > 1.5 * table[255]
    np.testing.assert_allclose(noise_deviation(bare(noise=2.0, light=0.25)), 2 * table)
    spreads = []
    for level in (40, 128, 220):
        frames = webcam(greys(*[level] * 6), 25, bare(noise=4.0, crf=1))
        spreads.append(np.mean([frame.image[..., 1].std() for frame in frames]))
        assert spreads[-1] == pytest.approx(noise_deviation(bare(noise=4.0))[level], rel=0.35)
    assert spreads[0] > 1.2 * spreads[1] > 1.2 * spreads[2]


def test_gain_follows_the_light_in_steps() -> None:
    levels = [80] * 25 + [120] * 100
    seen = means(webcam(greys(*levels), 25, BARE))
    np.testing.assert_allclose(seen[:25], 80, atol=2)
    assert seen[25] == pytest.approx(120, abs=2)
    assert 95 < seen[35] < 115  # after 0.4 s and four or five steps of 4 %
    np.testing.assert_allclose(seen[-50:], 80, rtol=0.03)
    steps = np.diff(np.log(seen[25:70]))
    assert (steps < 0.01).all()
    assert ((steps < -0.02) & (steps > -0.06)).sum() == pytest.approx(np.log(1.5) / 0.04, abs=1)
    # A change within the deadband stays.
    small = means(webcam(greys(*[100] * 10, *[105] * 40), 25, BARE))
    np.testing.assert_allclose(small[10:], 105, atol=1.5)


def test_light_and_white_drift() -> None:
    levels = [120] * 250
    drift = means(webcam(greys(*levels), 5, bare(fps=5, light_drift=0.03)))
    assert drift[0] == pytest.approx(120, abs=1.5)
    assert 1 < np.ptp(drift) < 40
    frames = list(webcam(greys(*levels), 5, bare(fps=5, white_drift=0.04)))
    colours = np.array([frame.image.mean(axis=(0, 1)) for frame in frames])
    assert colours[0] == pytest.approx([120, 120, 120], abs=2.5)
    assert np.ptp(colours[:, 0] / colours[:, 1]) > 0.02
    assert np.ptp(colours[:, 2] / colours[:, 1]) > 0.02
    stepped = means(webcam(greys(*levels), 25, bare(light_step_rate=30, light_step=0.2), seed=1))
    assert np.abs(np.diff(stepped)).max() > 1
    assert np.ptp(stepped) > 8


def scene(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 255, (16, 40, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return [wide[:, i : i + 96] for i in range(count)]


def test_coding(tmp_path: Path) -> None:
    sizes = {}
    for name, given in {
        "fine": {"crf": 20},
        "coarse": {"crf": 28},
        "thin": {"bitrate_kbps": 60, "crf": 0},
    }.items():
        path = tmp_path / f"{name}.mp4"
        write_webcam(path, scene(50), 25, bare(noise=2.0, gop=10, **given))
        sizes[name] = path.stat().st_size
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            whole = [frame.key_frame for frame in container.decode(video=0)]
        assert len(whole) == 50
        assert max(np.diff(np.flatnonzero(whole))) <= 10
    assert sizes["thin"] < sizes["coarse"] < 0.8 * sizes["fine"]
    assert not list(tmp_path.glob("*.part*"))


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    settings = bare(
        noise=2.0, light_drift=0.02, light_step_rate=10, dropped=0.1, doubled=0.1, jitter_s=0.01
    )
    paths = [tmp_path / f"{i}.mp4" for i in range(3)]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        write_webcam(path, scene(20), 25, settings, seed=seed)
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other


def test_cameras_at_random() -> None:
    drawn = [WebcamSettings.draw(np.random.default_rng(seed)) for seed in range(80)]
    assert drawn[3] == WebcamSettings.draw(np.random.default_rng(3))
    assert {one.fps for one in drawn} == {25, 30}
    assert {one.gop for one in drawn} == {30, 250}
    assert {one.crf for one in drawn} == {*range(20, 29)}
    faces = [one.face_px for one in drawn]
    assert 50 <= min(faces) < 70 < 200 < max(faces) <= 300
    assert 0.1 < np.mean([one.jitter_s > 0 for one in drawn]) < 0.5


def test_a_filmed_subject_is_found_at_its_size() -> None:
    settings = WebcamSettings(face_px=90, fps=25, crf=26)
    size = round(settings.face_px / 0.525)
    plan = LongVideoSettings.lifelike(0.4, scene=SyntheticSettings(size=size, neck_follows=True))
    video = make_long_video(make_subject(31), seed=1, fps=Fraction(25), plan=plan)
    frames = list(webcam(video.frames(), 25, settings, source_face_px=video.face_px))
    assert len(frames) == video.frame_count == 10
    (face,) = FaceDetector().detect(frames[-1].image)
    assert face.box[2] - face.box[0] == pytest.approx(90, rel=0.15)


def test_bad_input() -> None:
    with pytest.raises(SettingsError, match="width"):
        list(webcam(greys(100), 25, bare(face_px=50)))
    with pytest.raises(SettingsError, match="fps 0"):
        list(webcam(greys(100), 0, BARE))
    with pytest.raises(SettingsError, match="in view"):
        list(webcam(greys(100), 25, bare(centre=(3.0, 0.5))))
    with pytest.raises(VideoError, match="no images"):
        list(webcam([], 25, BARE))
    with pytest.raises(VideoError, match="image 1 is uint8"):
        list(webcam([*greys(1), *greys(1, shape=(32, 32))], 25, BARE))
    with pytest.raises(VideoError, match="image 0"):
        list(webcam([np.zeros((64, 96), np.uint8)], 25, BARE))
    with pytest.raises(ValidationError):
        WebcamSettings(width=641)
