"""Things drawn before a face: masks, hands, sunglasses, caps and others, to learn what hides it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import optional_part
from ma2mi.face.landmarks import Face

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]

_JAW = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361,
    323, 454,
)  # fmt: skip
_MASK_TOPS = {  # upper edge of a mask, from the left ear to the right one
    "over the nose": (366, 280, 197, 50, 137),
    "over the tip": (366, 425, 4, 205, 137),
    "over the lip": (361, 425, 164, 205, 132),
}
_CLOTHS = np.array(
    [(160, 190, 210), (228, 228, 224), (34, 34, 38), (90, 140, 110), (160, 50, 50), (70, 80, 140)]
)
_LENSES = np.array([(18, 18, 20), (34, 26, 20), (20, 28, 40), (60, 46, 36)])
_AREA_POINTS = {
    "brows": ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282)),
    "eyes": (
        (33, 160, 159, 158, 133, 153, 145, 144),
        (263, 387, 386, 385, 362, 380, 374, 373),
    ),
    "nose": ((195, 129, 98, 2, 327, 358),),
    "mouth": ((61, 39, 0, 269, 291, 405, 17, 181),),
}


class Occluded(NamedTuple):
    """A picture with something before the face.

    Args:
        image: uint8 [H, W, 3].
        cover: float32 [H, W], 0 where the picture is as it was, 1 where it is hidden.
    """

    image: Image
    cover: Floats


def covered_areas(face: Face, cover: Floats) -> dict[str, float]:
    """Share of each of ``face.occlusion.AREAS`` that is covered, in [0, 1]."""
    shares = {}
    for name, rings in _AREA_POINTS.items():
        area = np.zeros(cover.shape, np.uint8)
        for ring in rings:
            hull = cv2.convexHull(np.round(face.points[list(ring)]).astype(np.int32))
            cv2.fillConvexPoly(area, hull, 1)
        inside = area > 0
        shares[name] = float((cover[inside] > 0.5).mean()) if inside.any() else 0.0
    return shares


def draw_mask(image: Image, face: Face, rng: np.random.Generator) -> Occluded:
    """A cloth over mouth and nose, over the mouth, or over the chin, with folds and shade."""
    unit, points = _unit(face), face.points.astype(np.float64)
    top = _MASK_TOPS[rng.choice(list(_MASK_TOPS))]
    away = (points - points[4]) * rng.uniform(0.0, 0.12)
    outline = np.concatenate([(points + away)[list(_JAW)], points[list(top)]])
    outline += rng.normal(0, 0.02 * unit, outline.shape)
    cloth = _CLOTHS[rng.integers(len(_CLOTHS))] * np.clip(_light(image, face), 0.3, 1.15)
    kind = rng.choice(["plain", "skin", "any", "pattern"], p=[0.5, 0.15, 0.2, 0.15])
    if kind == "skin":
        cloth = _skin(image, face) * rng.uniform(0.8, 1.15) + rng.normal(0, 8, 3)
    elif kind != "plain":
        cloth = rng.uniform(15, 235, 3)
    picture = _surface(image.shape, cloth, unit, rng)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    if rng.random() < 0.5:
        depth = rng.uniform(0.02, 0.12) * cloth.mean()
        wave = np.sin(2 * np.pi * rows / (unit * rng.uniform(0.15, 0.4)) + rng.uniform(0, 6.3))
        picture += depth * wave[..., None]
    if kind == "pattern":
        picture += _noise(image.shape, unit * rng.uniform(0.03, 0.12), rng)[..., None] * (
            rng.uniform(15, 50) * rng.uniform(-1, 1, 3)
        )
    aside = np.clip(np.abs(columns - points[4, 0]) / unit, 0, 1.2)[..., None]
    picture *= 1 - rng.uniform(0, 0.35) * aside**2
    return _over(image, _polygon(image.shape, outline), picture, unit)


def draw_hand(image: Image, face: Face, rng: np.random.Generator) -> Occluded:
    """Fingers side by side and a palm, before mouth, nose, eyes or brows, from any side."""
    unit = _unit(face)
    before = rng.choice(["mouth", "nose", "eyes", "brows"], p=[0.4, 0.25, 0.2, 0.15])
    centre = face.points[{"mouth": 13, "nose": 4, "eyes": 168, "brows": 9}[before]]
    centre = centre + rng.normal(0, 0.12 * unit, 2)
    skin = _skin(image, face) * rng.uniform(0.75, 1.3) + rng.normal(0, 6, 3)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.6 else rng.normal(np.pi / 2, 0.3)
    if before in ("eyes", "brows"):
        angle = -angle if rng.random() < 0.5 else rng.choice([0.0, np.pi]) + rng.normal(0, 0.4)
    along = np.array([np.cos(angle), np.sin(angle)])
    aside = np.array([-along[1], along[0]])
    width, fingers = unit * rng.uniform(0.15, 0.25), int(rng.integers(3, 6))
    shape = image.shape[:2]
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    result, cover = image.astype(np.float64), np.zeros(shape, np.float32)
    for finger in range(fingers):
        tip = centre + aside * (finger - (fingers - 1) / 2) * width * rng.uniform(0.9, 1.0)
        tip = tip - along * unit * rng.uniform(0.3, 0.7)
        end = tip + along * unit * 2
        shadow = np.zeros(shape, np.uint8)
        cv2.line(shadow, _pixel(tip), _pixel(end), 255, max(2, round(width)), cv2.LINE_AA)
        round_ = ((columns - tip[0]) * aside[0] + (rows - tip[1]) * aside[1]) / (width / 2)
        shade = 1 - rng.uniform(0.15, 0.4) * np.clip(np.abs(round_), 0, 1.2) ** 3
        shade = shade + rng.uniform(-0.1, 0.1) * np.clip(round_, -1, 1)
        picture = _surface(image.shape, skin, unit, rng) * shade[..., None]
        result, cover = _blend(result, cover, shadow, picture, unit)
    palm = np.zeros(shape, np.uint8)
    middle = centre + along * unit * 1.2
    cv2.ellipse(palm, (tuple(middle.tolist()), (unit, unit * 1.1), np.degrees(angle)), 255, -1)
    picture = _surface(image.shape, skin * 0.97, unit, rng)
    return _done(*_blend(result, cover, palm, picture, unit))


def draw_sunglasses(image: Image, face: Face, rng: np.random.Generator) -> Occluded:
    """Two dark lenses, round or square, with a bridge, sometimes a reflection."""
    unit, points = _unit(face), face.points.astype(np.float64)
    lens = _LENSES[rng.integers(len(_LENSES))] * rng.uniform(0.5, 1.7)
    tilt = float(np.degrees(np.arctan2(*(points[263] - points[33])[::-1])))
    size = float(unit * rng.uniform(0.46, 0.6)), float(unit * rng.uniform(0.34, 0.52))
    shadow, square = np.zeros(image.shape[:2], np.uint8), rng.random() < 0.4
    for inner, outer in ((133, 33), (362, 263)):
        centre = (points[inner] + points[outer]) / 2 + (0, unit * rng.uniform(0, 0.1))
        lens_box = (tuple(centre.tolist()), size, tilt)
        if square:
            cv2.fillPoly(shadow, [np.round(cv2.boxPoints(lens_box)).astype(np.int32)], 255)
        else:
            cv2.ellipse(shadow, lens_box, 255, -1, cv2.LINE_AA)
    bridge = _pixel(points[133]), _pixel(points[362])
    cv2.line(shadow, *bridge, 255, max(1, round(unit * 0.05)), cv2.LINE_AA)
    picture = _surface(image.shape, lens, unit, rng)
    down = (np.arange(image.shape[0])[:, None] - points[168, 1]) / (unit * 0.25)
    picture *= (1 - rng.uniform(0, 0.4) * np.clip(down, -1, 1))[..., None]
    if rng.random() < 0.4:
        picture += np.clip(_noise(image.shape, unit * 0.1, rng), 0, None)[..., None] * (
            rng.uniform(10, 60) * rng.uniform(0.6, 1, 3)
        )
    if rng.random() < 0.4:  # lenses that let some light through
        picture += (image - picture) * rng.uniform(0.05, 0.25)
    return _over(image, shadow, picture, unit)


def draw_cap(image: Image, face: Face, rng: np.random.Generator) -> Occluded:
    """Something over forehead and brows: a cap's peak, a bandage, a fringe of cloth."""
    unit, points = _unit(face), face.points.astype(np.float64)
    up = points[10] - points[168]
    edge = points[[127, 46, 52, 168, 282, 276, 356]] - up * rng.uniform(-0.12, 0.35)
    outline = np.concatenate([edge, edge[::-1] + up * 2.2])
    colour = rng.uniform(10, 230, 3) if rng.random() < 0.7 else _CLOTHS[rng.integers(len(_CLOTHS))]
    return _over(
        image,
        _polygon(image.shape, outline),
        _surface(image.shape, colour.astype(np.float64), unit, rng),
        unit,
    )


def draw_object(image: Image, face: Face, rng: np.random.Generator) -> Occluded:
    """A cup, a telephone, a microphone: a box or an ellipse of any colour, anywhere on the face."""
    unit = _unit(face)
    centre = face.points[rng.integers(468)] + rng.normal(0, 0.2 * unit, 2)
    size = tuple((unit * rng.uniform(0.35, 1.3, 2)).tolist())
    box = (tuple(centre.tolist()), size, float(rng.uniform(0, 180)))
    shadow = np.zeros(image.shape[:2], np.uint8)
    if rng.random() < 0.5:
        cv2.ellipse(shadow, box, 255, -1, cv2.LINE_AA)
    else:
        cv2.fillPoly(shadow, [np.round(cv2.boxPoints(box)).astype(np.int32)], 255, cv2.LINE_AA)
    picture = _surface(image.shape, rng.uniform(5, 245, 3), unit, rng)
    if rng.random() < 0.5:
        picture += _noise(image.shape, unit * rng.uniform(0.05, 0.3), rng)[..., None] * (
            rng.uniform(5, 50) * rng.uniform(-1, 1, 3)
        )
    return _over(image, shadow, picture, unit)


OCCLUDERS: dict[str, Callable[[Image, Face, np.random.Generator], Occluded]] = {
    "mask": draw_mask,
    "hand": draw_hand,
    "sunglasses": draw_sunglasses,
    "cap": draw_cap,
    "object": draw_object,
}


def _unit(face: Face) -> float:
    """Pixels between the outer corners of the eyes."""
    return max(float(np.hypot(*(face.points[263] - face.points[33]))), 4.0)


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.round(point).astype(int).tolist()
    return x, y


def _skin(image: Image, face: Face) -> NDArray[np.float64]:
    """Mean colour of cheeks and forehead, [3]."""
    x, y = np.round(face.points[[50, 280, 9, 151]]).astype(int).T
    height, width = image.shape[:2]
    seen = image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(seen.mean(axis=0, dtype=np.float64))


def _light(image: Image, face: Face) -> float:
    """How bright the face is; 1 is usual for light skin in good light."""
    return float(_skin(image, face).mean() / 150)


def _noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Floats:
    """Smooth noise of deviation 1, float32 [H, W]."""
    noise = rng.normal(0, 1, shape[:2]).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), max(0.5, scale))
    return np.asarray(noise / max(float(noise.std()), 1e-6))


def _surface(
    shape: tuple[int, ...], colour: NDArray[np.float64], unit: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A colour with a little texture, float64 [H, W, 3]."""
    fine = _noise(shape, unit * rng.uniform(0.005, 0.03), rng) * rng.uniform(0, 4)
    coarse = _noise(shape, unit * 0.2, rng) * rng.uniform(0, 6)
    return np.asarray(colour + (fine + coarse)[..., None], np.float64)


def _polygon(shape: tuple[int, ...], outline: NDArray[np.float64]) -> Image:
    shadow = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(shadow, [np.round(outline).astype(np.int32)], 255, cv2.LINE_AA)
    return shadow


def _blend(
    result: NDArray[np.float64],
    cover: Floats,
    shadow: Image,
    picture: NDArray[np.float64],
    unit: float,
) -> tuple[NDArray[np.float64], Floats]:
    """One more thing before the picture, its edge as soft as the face's own."""
    share = cv2.GaussianBlur(shadow, (0, 0), max(0.6, unit * 0.012)).astype(np.float32) / 255
    over = share[..., None]
    return result * (1 - over) + picture * over, np.maximum(cover, share)


def _over(image: Image, shadow: Image, picture: NDArray[np.float64], unit: float) -> Occluded:
    nothing = np.zeros(image.shape[:2], np.float32)
    return _done(*_blend(image.astype(np.float64), nothing, shadow, picture, unit))


def _done(result: NDArray[np.float64], cover: Floats) -> Occluded:
    return Occluded(np.clip(np.rint(result), 0, 255).astype(np.uint8), cover)
