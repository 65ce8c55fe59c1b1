"""Hidden parts of a face: what is drawn or held before it is found, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from ma2mi.errors import FaceError
from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.occlusion import AREAS, hidden_areas, measure_parts, occluded_areas
from ma2mi.face.quality_monitor import QualityMonitor
from ma2mi.face.suitability import Suitability
from ma2mi.motion import REGIONS
from ma2mi.synthesis.occluders import OCCLUDERS, covered_areas
from ma2mi.video import Frame, read_frames

Image = np.ndarray
SHARED = Path(__file__).parents[2] / "shared"
MASK = SHARED / "cases" / "faces" / "surgical_mask.mp4"
JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)


@cache
def detector() -> FaceDetector:
    return FaceDetector()


@cache
def portrait() -> tuple[Image, Face]:
    """NASA's Eileen Collins."""
    image = np.ascontiguousarray(astronaut()[0:260, 90:350])
    (face,) = detector().detect(image)
    return image, face


def hidden(image: Image, face: Face) -> set[str]:
    """What is called hidden, at the landmarks that the net finds in this very image."""
    found = detector().follow(image, face)
    assert found is not None
    return set(hidden_areas(image, found))


# Plain things, drawn otherwise than those that the network was learned from.


def unit_of(face: Face) -> float:
    return float(np.hypot(*(face.points[263] - face.points[33])))


def with_mask(image: Image, face: Face, colour: tuple[int, int, int], top: int = 6) -> Image:
    drawn = image.copy()
    outline = face.points[[*JAW, 280, top, 50]]
    cv2.fillPoly(drawn, [np.round(outline).astype(np.int32)], colour, cv2.LINE_AA)
    return drawn


def with_hand(image: Image, face: Face, landmark: int) -> Image:
    """Three fingers from below or from the side, and the shadow between them."""
    drawn, unit = image.copy(), unit_of(face)
    x, y = face.points[landmark]
    at = np.round(face.points[280]).astype(int)
    skin = image[at[1], at[0]].astype(int)
    for step in (-1, 0, 1):
        centre = (round(x + step * 0.24 * unit), round(y + 0.5 * unit))
        axes = (round(0.14 * unit), round(1.0 * unit))
        cv2.ellipse(drawn, centre, axes, 0, 0, 360, (skin * 0.6).tolist(), -1, cv2.LINE_AA)
        inner = (round(0.115 * unit), round(0.97 * unit))
        cv2.ellipse(drawn, centre, inner, 0, 0, 360, (skin * 0.92).tolist(), -1, cv2.LINE_AA)
    return drawn


def with_sunglasses(image: Image, face: Face, colour: tuple[int, int, int]) -> Image:
    drawn, unit = image.copy(), unit_of(face)
    for eye in ((33, 133), (362, 263)):
        x, y = face.points[list(eye)].mean(axis=0)
        box = ((float(x), float(y) + 0.03 * unit), (0.52 * unit, 0.4 * unit), 0.0)
        cv2.ellipse(drawn, box, colour, -1, cv2.LINE_AA)
    return drawn


COLOURS = {
    "blue": (150, 185, 215),
    "white": (226, 228, 230),
    "black": (30, 30, 34),
    "green": (96, 140, 112),
    "red": (150, 45, 50),
}
LOOKS: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "grey": lambda image: cv2.merge([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] * 3),
    "dark": lambda image: (image * 0.4).astype(np.uint8),
    "soft": lambda image: cv2.GaussianBlur(image, (0, 0), 1.5),
    "coded": lambda image: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1
    ),
}


@pytest.mark.parametrize("look", list(LOOKS))
@pytest.mark.parametrize("colour", list(COLOURS))
def test_a_mask_hides_nose_and_mouth(colour: str, look: str) -> None:
    image, face = portrait()
    assert hidden(LOOKS[look](with_mask(image, face, COLOURS[colour])), face) == {"nose", "mouth"}


@pytest.mark.parametrize("colour", ["blue", "white", "black"])
def test_a_mask_below_the_nose_hides_the_mouth(colour: str) -> None:
    image, face = portrait()
    found = hidden(with_mask(image, face, COLOURS[colour], top=164), face)
    assert "mouth" in found
    assert not found & {"eyes", "brows"}


def test_a_hand_hides_what_is_behind_it() -> None:
    image, face = portrait()
    assert "mouth" in hidden(with_hand(image, face, 0), face)


@pytest.mark.parametrize("colour", [(20, 20, 22), (50, 34, 24), (24, 30, 52)])
def test_sunglasses_hide_the_eyes(colour: tuple[int, int, int]) -> None:
    image, face = portrait()
    found = hidden(with_sunglasses(image, face, colour), face)
    assert "eyes" in found
    assert not found & {"nose", "mouth"}


@pytest.mark.parametrize("look", list(LOOKS))
def test_nothing_is_hidden_in_an_open_face(look: str) -> None:
    image, face = portrait()
    assert hidden(LOOKS[look](image), face) == set()


# Real clips


def monitor_of(path: Path, change: Callable[[Image], Image] = LOOKS["as it is"]) -> QualityMonitor:
    """Looks at the largest face of the first 100 frames of a clip, a fifth of a second apart."""
    monitor, face = QualityMonitor(), None
    for frame in islice(read_frames(path), 100):
        image = change(frame.image)
        if face is not None:
            face = detector().follow(image, face)
        elif frame.index % 10 == 0:
            face = next(iter(detector().detect(image)), None)
        monitor.push(image, face, frame.time_s)
    return monitor


def verdict_of(path: Path, change: Callable[[Image], Image] = LOOKS["as it is"]) -> Suitability:
    return monitor_of(path, change).assess()


def clips() -> list[str]:
    """Real clips in which nothing comes before a face."""
    hands = ("bird", "eat", "help", "brother", "learn", "thanks", "book", "no_face")
    found = sorted(SHARED.glob("clips/*/*.m*"))
    return [f"{path.parent.name}/{path.name}" for path in found if path.stem not in hands]


@pytest.mark.parametrize("name", clips() or [""])
def test_no_area_of_a_real_open_face_is_hidden(name: str) -> None:
    if not name:
        pytest.skip(f"real clips are not in {SHARED}")
    suitability = verdict_of(SHARED / "clips" / name)
    assert suitability.hidden == ()
    assert not any("hidden" in reason for reason in suitability.reasons)


@pytest.mark.parametrize("look", ["grey", "dark"])
@pytest.mark.parametrize("name", ["intel/school.mkv", "intel/sister.mkv", "pyfeat/single_face.mp4"])
def test_nor_in_grey_or_in_the_dark(name: str, look: str) -> None:
    path = SHARED / "clips" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    assert verdict_of(path, LOOKS[look]).hidden == ()


def test_a_surgical_mask_is_said_in_the_verdict() -> None:
    if not MASK.is_file():
        pytest.skip(f"{MASK} is not here")
    suitability = verdict_of(MASK)
    assert suitability.hidden == ("nose", "mouth")
    assert suitability.level != "green"
    assert suitability.values["hidden_mouth"] == suitability.values["hidden_nose"] == 1
    words = "parts of the face are hidden: mouth 100%, nose 100% of the time"
    assert words in suitability.reasons


def test_a_real_hand_before_the_mouth_is_seen_while_it_is_there() -> None:
    """Frames 15 to 42, by eye."""
    path = SHARED / "clips" / "intel" / "bird.mkv"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    monitor = monitor_of(path)
    assert "mouth" in monitor.hidden_between(0.7, 1.2)
    assert monitor.hidden_between(1.9, 2.1) == ()


# The parts


def test_areas_name_regions() -> None:
    named = [region for regions in AREAS.values() for region in regions]
    assert len(set(named)) == len(named)
    assert set(named) == set(REGIONS)


def test_measurements_are_finite_and_repeatable() -> None:
    image, face = portrait()
    parts = measure_parts(image, face)
    assert parts.shape == (103,)
    assert parts.dtype == np.float32
    assert np.array_equal(parts, measure_parts(image, face))
    for flat in (np.zeros_like(image), np.full_like(image, 255)):
        assert np.isfinite(measure_parts(flat, face)).all()
    far = Face(face.points + np.float32(5000), 1.0, face.box)
    assert np.isfinite(measure_parts(image, far)).all()


def test_landmarks_in_a_heap_are_refused() -> None:
    image, face = portrait()
    with pytest.raises(FaceError, match="no direction"):
        occluded_areas(image, Face(np.zeros((478, 2), np.float32), 1.0, face.box))


def test_the_verdict_names_the_worst_area_and_keeps_the_shares() -> None:
    image, face = portrait()
    behind = with_mask(image, face, COLOURS["blue"])
    monitor = QualityMonitor()
    for frame in (Frame(i, Fraction(i, 10), behind if i >= 40 else image) for i in range(100)):
        monitor.push(frame.image, face, frame.time_s)
    suitability = monitor.assess()
    assert suitability.hidden == ("nose", "mouth")
    assert suitability.values["hidden_mouth"] == pytest.approx(0.6, abs=0.05)
    assert monitor.hidden_between(1.0, 3.0) == ()
    assert monitor.hidden_between(5.0, 6.0) == ("nose", "mouth")


@pytest.mark.parametrize("kind", list(OCCLUDERS))
def test_what_is_drawn_covers_what_it_says(kind: str) -> None:
    image, face = portrait()
    usual = {"mask": "mouth", "sunglasses": "eyes", "cap": "brows"}
    shares = []
    for seed in range(6):
        drawn, cover = OCCLUDERS[kind](image, face, np.random.default_rng(seed))
        again = OCCLUDERS[kind](image, face, np.random.default_rng(seed))
        assert np.array_equal(drawn, again.image)
        assert np.array_equal(drawn[cover == 0], image[cover == 0])
        assert cover.shape == image.shape[:2]
        assert 0 <= cover.min() <= cover.max() <= 1
        shares.append(covered_areas(face, cover))
    if kind in usual:
        assert np.median([share[usual[kind]] for share in shares]) > 0.6
