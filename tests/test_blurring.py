"""Blurred means blurred: scenes of several faces, tiled from real clips and from a portrait."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from ma2mi.analysis import analyze
from ma2mi.face.blurring import (
    NEAR_S,
    Blurred,
    FaceSearch,
    Seen,
    TileSearch,
    blur_boxes,
    blur_faces,
    coarse,
    with_neighbours,
)
from ma2mi.face.boxes import Box
from ma2mi.face.detect import FaceDetector
from ma2mi.report.videos import as_png, check_blurred
from ma2mi.video import read_frames, write_video

Image = np.ndarray
CLIPS = Path(__file__).parents[2] / "shared" / "clips"
FPS = 25
LEFT = 0.1  # of the fine structure of a face: less identifies no subject
STEP = 6  # of the clips' frames one in so many is taken


@cache
def detector() -> FaceDetector:
    return FaceDetector()


@cache
def other_library() -> Cascade:
    """Local binary patterns, as scikit-image ships them from OpenCV."""
    return Cascade(lbp_frontal_face_cascade_filename())


@cache
def clip(name: str, count: int = 10) -> tuple[Image, ...]:
    path = CLIPS / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return tuple(frame.image for frame in islice(read_frames(path), 0, STEP * count, STEP))


def signer(name: str, count: int = 10) -> tuple[Image, ...]:
    return clip(f"intel/{name}.mkv", count)


@cache
def portrait() -> Image:
    """NASA's Eileen Collins; her face is about 100 px wide."""
    return np.ascontiguousarray(astronaut()[0:250, 70:370])


def wall(width: int = 640, height: int = 360) -> Image:
    """No face."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shade = 150 + 30 * np.sin(x / 90) + 20 * np.cos(y / 70)
    return np.repeat(shade[..., None], 3, axis=2).astype(np.uint8)


def put(image: Image, picture: Image, x: int, y: int) -> Image:
    """A copy of ``image`` with ``picture`` at (x, y), cut at the edges."""
    drawn = image.copy()
    height, width = picture.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, image.shape[1]), min(y + height, image.shape[0])
    if x1 > x0 and y1 > y0:
        drawn[y0:y1, x0:x1] = picture[y0 - y : y1 - y, x0 - x : x1 - x]
    return drawn


def scaled(image: Image, width: int) -> Image:
    size = (width, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def tiled(names: Sequence[str], columns: int, count: int) -> tuple[list[Image], list[Box]]:
    """Clips side by side, 960 px wide, and where the faces of the first frame are."""
    clips = [signer(name, count) for name in names]
    side = 960 // columns
    frames = []
    for index in range(count):
        small = [scaled(one[index], side) for one in clips]
        rows = [np.concatenate(small[i : i + columns], 1) for i in range(0, len(small), columns)]
        frames.append(np.concatenate(rows))
    boxes = []
    for number, one in enumerate(clips):
        (face, *_) = detector().detect(one[0])
        x, y = number % columns * side, number // columns * side * 3 // 4
        x0, y0, x1, y1 = (value * side / 640 for value in face.box)
        boxes.append((x0 + x, y0 + y, x1 + x, y1 + y))
    return frames, boxes


def searched(frames: Sequence[Image]) -> list[Seen]:
    search = FaceSearch()
    return [search.push(image, index / FPS) for index, image in enumerate(frames)]


def blurred(frames: Sequence[Image]) -> tuple[list[Image], Blurred]:
    count = Blurred()
    return list(blur_faces(frames, with_neighbours(iter(searched(frames))), count)), count


def in_clear(image: Image) -> list[str]:
    """Which detectors find a face."""
    found = []
    if detector().detect(image):
        found.append("BlazeFace")
    if TileSearch(detector()).faces(image):
        found.append("BlazeFace in tiles")
    return found


def patterns(image: Image, boxes: Sequence[Box]) -> int:
    """In how many of the boxes the other library finds a face."""
    found = other_library().detect_multi_scale(
        img=cv2.resize(image, None, fx=2, fy=2),
        scale_factor=1.2,
        step_ratio=1,
        min_size=(24, 24),
        max_size=(320, 320),
    )
    squares = [
        (one["c"] / 2, one["r"] / 2, (one["c"] + one["width"]) / 2, (one["r"] + one["height"]) / 2)
        for one in found
    ]
    return sum(any(_covers(box, square) for square in squares) for box in boxes)


def _covers(found: Box, face: Box) -> bool:
    """Whether the middle of a face lies in a box."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return found[0] < x < found[2] and found[1] < y < found[3]


def kept(shown: Image, image: Image, box: Box) -> float:
    """Share of the fine structure of ``image`` in a box that is left in ``shown``, 1 for all."""
    x0, y0, x1, y1 = (max(round(v), 0) for v in box)
    fine = [
        cv2.Laplacian(one[y0:y1, x0:x1].mean(axis=2), cv2.CV_64F, ksize=3) for one in (shown, image)
    ]
    return float((fine[0] * fine[1]).sum() / (fine[1] ** 2).sum())


SIX = ("again", "book", "hungry", "night", "school", "student")
TWELVE = (*SIX, "milk", "no", "please", "sister", "thanks", "want")


@pytest.mark.parametrize(
    ("names", "columns"),
    [(SIX[:2], 2), (SIX, 3), (TWELVE, 4)],
    ids=["two", "six", "twelve"],
)
def test_all_faces_of_a_scene_are_blurred(names: Sequence[str], columns: int) -> None:
    frames, boxes = tiled(names, columns, 3)
    first = searched(frames[:1])[0]
    for box in boxes:
        assert any(_covers(found, box) for found in first.boxes)
    hidden, count = blurred(frames)
    assert len(hidden) == count.pictures == len(frames)
    assert count.whole == 0
    for box in boxes:
        assert abs(kept(hidden[0], frames[0], box)) < LEFT
    for image in hidden:
        assert "BlazeFace" not in in_clear(image)
    assert patterns(frames[0], boxes)  # this detector knows such faces
    assert not patterns(hidden[0], boxes)


def test_a_small_second_face_is_blurred() -> None:
    """Beside a face 100 px wide, one of 18 px."""
    image = put(put(wall(), portrait(), 20, 60), scaled(portrait(), 54), 560, 20)
    hidden, count = blurred([image] * 3)
    assert count.whole == 0
    small = (580.0, 28.0, 596.0, 50.0)
    for one in hidden:
        assert not in_clear(one)
        assert abs(kept(one, image, small)) < LEFT


def test_who_enters_is_blurred_from_the_first_frame() -> None:
    """The second comes in from the right by 30 px a frame; a cut-off face is no face to a net."""
    first = put(wall(960), portrait(), 40, 60)
    places = [960 - 30 * step for step in range(16)]
    frames = [put(first, portrait(), x, 60) for x in places]
    (face, *_) = detector().detect(portrait())
    hidden, _ = blurred(frames)
    shown = 0
    for x, frame, image in zip(places, frames, hidden, strict=True):
        box = (face.box[0] + x, face.box[1] + 60, min(face.box[2] + x, 960), face.box[3] + 60)
        assert not in_clear(image)
        if box[2] - box[0] > 16:
            shown += 1
            assert abs(kept(image, frame, box)) < LEFT
    assert shown >= 8


def test_after_a_cut_all_are_blurred() -> None:
    one = [put(wall(), portrait(), 20, 60)] * 4
    other = [put(255 - wall(), portrait()[:, ::-1], 300, 100)] * 4
    frames = [*one, *other]
    hidden, count = blurred(frames)
    assert count.whole == 0
    for image in hidden:
        assert not in_clear(image)


def test_where_a_face_is_missed_the_whole_picture_is_blurred() -> None:
    both = put(put(wall(960), portrait(), 40, 60), portrait()[:, ::-1], 560, 60)
    # The second is hidden where she is: turned aside, behind a hand, or blurred by motion.
    grey = np.full((250, 300, 3), 128, np.uint8)
    missed = put(both, grey, 560, 60)
    frames = [both] * 4 + [missed] * 4 + [both] * 4
    seen = searched(frames)
    assert [one.is_complete for one in seen] == [True] * 4 + [False] * 4 + [True] * 4
    hidden, count = blurred(frames)
    assert count.whole == 4
    for image in hidden[4:8]:
        assert np.array_equal(image, coarse(missed, 10))


def test_who_has_left_over_the_edge_is_not_missed() -> None:
    first = put(wall(960), portrait(), 40, 60)
    frames = [put(first, portrait(), 600 + 30 * step, 60) for step in range(16)]
    seen = searched(frames)
    assert all(one.is_complete for one in seen)
    assert len(seen[0].faces) == 2
    assert len(seen[-1].faces) == 1


def test_a_picture_without_a_face_is_blurred_as_a_whole() -> None:
    image = put(wall(), np.full((40, 40, 3), 255, np.uint8), 300, 100)
    (hidden,), count = blurred([image])
    assert (count.pictures, count.whole) == (1, 1)
    assert np.array_equal(hidden, coarse(image, 10))


def test_a_face_is_blurred_before_it_is_found_and_after() -> None:
    """A subject who turns to the camera for a moment."""
    faces = {0: (300.0, 100.0, 380.0, 180.0)}
    rows = [Seen(i / 10, faces if i == 20 else {1: (20.0, 20.0, 90.0, 90.0)}) for i in range(40)]
    noise = np.random.default_rng(0).integers(0, 255, (240, 480, 3), dtype=np.uint8)
    hidden = list(blur_faces([noise] * 40, with_neighbours(iter(rows))))
    changed = [not np.array_equal(one[110:170, 310:370], noise[110:170, 310:370]) for one in hidden]
    reach = round(10 * NEAR_S)
    assert changed == [abs(i - 20) <= reach for i in range(40)]


def test_neighbours_are_those_around() -> None:
    rows = [Seen(float(time), {}) for time in (0, 1, 2, 3, 50, 51)]
    around = [[one.time_s for one in near] for _, near in with_neighbours(iter(rows))]
    assert around == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3], [50, 51], [50, 51]]


def test_an_unchanged_tile_is_not_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles, calls = TileSearch(), []
    plain = tiles.detector.propose
    monkeypatch.setattr(tiles.detector, "propose", lambda cut: calls.append(1) or plain(cut))
    image = put(wall(), portrait(), 20, 60)
    once = tiles.propose(image)
    searched_first = len(calls)
    assert searched_first > 20
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 1, image.shape), 0, 255)
    assert np.array_equal(tiles.propose(noisy.astype(np.uint8)), once)
    assert len(calls) == searched_first
    tiles.propose(put(image, portrait(), 330, 60))
    assert len(calls) > searched_first


@pytest.mark.parametrize("scale", [0.4, 1.0])
def test_no_detector_finds_a_blurred_face(scale: float) -> None:
    image = cv2.resize(portrait(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    (face, *_) = detector().detect(image)
    assert patterns(image, [face.box])
    for hidden in (blur_boxes(image, [face.box]), coarse(image), coarse(image, 10)):
        assert not in_clear(hidden)
        assert not patterns(hidden, [face.box])


def test_boxes_outside_and_empty_ones_change_nothing() -> None:
    image = portrait()
    outside = [(-500.0, -500.0, -400.0, -400.0), (900.0, 10.0, 950.0, 60.0)]
    assert np.array_equal(blur_boxes(image, outside), image)


# What was written


def test_what_is_left_in_clear_is_found_and_blurred(tmp_path: Path) -> None:
    open_face = put(wall(480, 270), portrait(), 60, 10)
    video, picture = tmp_path / "annotated.mp4", tmp_path / "apex.png"
    write_video(video, [wall(480, 270), open_face, open_face, wall(480, 270)], FPS)
    picture.write_bytes(as_png(portrait()))
    output = check_blurred([video], [picture])
    assert output == (
        "faces are blurred: a face detector finds one in none of the 4 frames and 1 picture"
        " written, after 3 more were blurred as a whole"
    )
    assert not any(in_clear(frame.image) for frame in read_frames(video))
    assert check_blurred([video], [picture]).endswith("1 picture written")


def test_an_analysis_of_two_subjects(tmp_path: Path) -> None:
    """The second, smaller one is measured, too, and neither is in clear anywhere."""
    rng = np.random.default_rng(0)
    scene = put(put(wall(1280), portrait(), 40, 60), scaled(portrait(), 210), 900, 40)
    noisy = (np.clip(scene + rng.normal(0, 2, scene.shape), 0, 255) for _ in range(30))
    path = tmp_path / "two.mp4"
    write_video(path, (image.astype(np.uint8) for image in noisy), FPS)
    analysis = analyze(path, tmp_path / "out", weights=None, blur_faces=True)
    assert [face.frames for face in analysis.faces] == [30, 30]
    folder = tmp_path / "out" / analysis.name
    frames = list(read_frames(folder / "annotated.mp4"))
    assert len(frames) == 30
    assert not any(in_clear(frame.image) for frame in frames[::5])
    checked = "faces are blurred: a face detector finds one in none of the 30 frames and"
    assert any(note.startswith(checked) for note in analysis.notes)
    assert not (folder / "magnified.mp4").exists()
