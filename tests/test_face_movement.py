"""Where regions go: known movement of a real face's skin and head, samples frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
from skimage.data import astronaut  # noqa: E402

from ma2mi.errors import FaceError  # noqa: E402
from ma2mi.face.detect import FaceDetector  # noqa: E402
from ma2mi.face.landmarks import Face  # noqa: E402
from ma2mi.motion import REGIONS  # noqa: E402
from ma2mi.motion.region_tracker import RegionTracker  # noqa: E402

BROW = 55  # landmark at the inner end of the right brow
SKIN = [name for name in REGIONS if not name.endswith("lid")]


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.ascontiguousarray(astronaut()[0:250, 70:370])


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> Face:
    (found,) = FaceDetector().detect(portrait)
    return found


def moved(image: np.ndarray, dx: float = 0, dy: float = 0, deg: float = 0) -> np.ndarray:
    """The whole picture shifted, and turned about its middle."""
    matrix = cv2.getRotationMatrix2D((150, 125), deg, 1.0)
    matrix[:, 2] += dx, dy
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def raised(image: np.ndarray, face: Face, px: float) -> np.ndarray:
    """The right brow raised by so many pixels."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    cx, cy = face.points[BROW]
    lift = px * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 14.0**2))
    return cv2.remap(image, x, (y + lift).astype(np.float32), cv2.INTER_CUBIC)


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.round(image + rng.normal(0, 2, image.shape)), 0, 255).astype(np.uint8)


def scale(face: Face) -> float:
    """Pixels of the crop per pixel of the image."""
    return 0.44 * 128 / float(np.linalg.norm(face.points[263] - face.points[33]))


@pytest.mark.parametrize("held", [True, False], ids=["slow head", "fast head, new references"])
def test_a_moving_head_moves_no_skin(portrait: np.ndarray, face: Face, held: bool) -> None:
    tracker, displacements, heads = RegionTracker(), [], []
    for step in range(24):
        shift = 0.4 * step if held else 1.5 * step  # px of the image
        image = moved(portrait, shift, 0.3 * shift, 0.08 * step)
        way = np.array([0, 0] if held else [shift, 0.3 * shift], np.float32)
        there = Face(face.points + way, face.confidence, face.box)
        sample = tracker.push(image, there, step / 30, step)
        assert sample is not None
        displacements.append([sample.displacements[name] for name in SKIN])
        heads.append(sample.head)
    steps = np.diff(np.array(displacements), axis=0)
    assert np.abs(steps).max() < 0.15  # while the head goes up to a whole pixel of the crop
    assert np.abs(displacements[-1]).max() < (0.12 if held else 0.3)
    assert np.hypot(*heads[-1]) == pytest.approx(np.hypot(1, 0.3) * shift * scale(face), rel=0.2)


def test_a_brow_is_separated_from_the_head(portrait: np.ndarray, face: Face) -> None:
    rng, tracker, px = np.random.default_rng(0), RegionTracker(), 0.8
    for step in range(12):
        image = raised(portrait, face, px * min(step, 6) / 6)
        sample = tracker.push(
            noisy(moved(image, 0.3 * step, 0.2 * step), rng), face, step / 30, step
        )
    assert sample is not None
    across, up = sample.displacements["right_inner_brow"]
    assert -up == pytest.approx(px * scale(face), rel=0.35)
    assert abs(across) < 0.15
    for name in ("left_cheek", "left_lip_corner", "chin"):
        assert np.hypot(*sample.displacements[name]) < 0.15


def test_fast_frames_are_averaged(portrait: np.ndarray, face: Face) -> None:
    noise = {}
    for rate in (np.inf, 60.0):
        rng, tracker = np.random.default_rng(1), RegionTracker(rate=rate)
        pushed = [
            tracker.push(noisy(portrait, rng), face, step / 200, 10 + step) for step in range(60)
        ]
        samples = [sample for sample in pushed if sample is not None]
        noise[rate] = np.diff(
            [[s.displacements[name] for name in SKIN] for s in samples[4:]], axis=0
        ).std()
        if rate == 60:
            assert [s.frame for s in samples[:4]] == [10, 12, 15, 18]
            assert len(samples) == 20
            assert samples[1].time_s == pytest.approx(2 / 200)
        else:
            assert len(samples) == 60
    assert noise[60.0] < 0.75 * noise[np.inf]


def test_what_moves_in_front_of_the_face_is_not_measured(portrait: np.ndarray, face: Face) -> None:
    """The picture slides away from landmarks that stay: nothing is known of the skin."""
    tracker, keys = RegionTracker(), []
    for step in range(12):
        sample = tracker.push(moved(portrait, 3.0 * step, 0), face, step / 30, step)
        assert sample is not None
        keys.append(tracker._key)
        assert np.abs(list(sample.displacements.values())).max() < 0.5  # of 20
    assert keys[0] is not keys[-1]  # it began anew at the landmarks


def test_landmarks_in_a_heap_are_refused(portrait: np.ndarray, face: Face) -> None:
    tracker = RegionTracker()
    with pytest.raises(FaceError):
        tracker.push(portrait, Face(np.full_like(face.points, np.nan), 1.0, face.box), 0.1, 1)
    for step in (2, 3):
        sample = tracker.push(portrait, face, step / 10, step)
        assert sample is not None
        assert np.abs(list(sample.displacements.values())).max() < 0.01
