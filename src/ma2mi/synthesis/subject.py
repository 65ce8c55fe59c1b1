"""A synthetic subject: the measures, colours and habits of a face, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CANVAS = 384
"""Side of the canonical square in which every face is measured, in canonical pixels."""

FACE_SIDE = 224.0
"""Side of the face crop in canonical pixels, so that canonical pixels are 224-crop pixels."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class SyntheticSubject:
    """The subject of a face. Lengths are canonical pixels (x right, y down), colours RGB in [0, 1].

    "L" is the subject's left, which a camera sees on the right.
    """

    seed: int
    width: float
    jaw: float
    top_y: float
    chin_y: float
    eye_x: float
    eye_y: float
    eye_half_width: float
    eye_upper: float
    eye_lower: float
    eye_slant: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    nose_y: float
    nose_half_width: float
    nose_height: float
    mouth_y: float
    mouth_half_width: float
    mouth_curve: float
    lip_upper: float
    lip_lower: float
    skin: Colour
    lip: Colour
    iris: Colour
    hair: Colour
    clothes: Colour
    wall: Colour
    hair_style: str
    hairline: float
    beard: float
    freckles: float
    age: float
    light: tuple[float, float]
    contrast: float

    @property
    def centre_x(self) -> float:
        return CANVAS / 2

    @property
    def pupil_distance(self) -> float:
        return 2 * self.eye_x

    def lid_lines(self, dx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heights (y) of the upper and lower lid's edge, ``dx`` outward of an eye's centre."""
        across = np.clip(dx / self.eye_half_width, -1, 1)
        middle = self.eye_y - self.eye_slant * across
        # A flat-topped arch above, a shallower bow below: an almond rather than an ellipse.
        upper = middle - self.eye_upper * (1 - np.abs(across - 0.08) ** 2.2).clip(0)
        lower = middle + self.eye_lower * (1 - across**2)
        return upper, np.maximum(lower, upper)

    def lip_line(self, dx: np.ndarray) -> np.ndarray:
        """Height (y) at which the closed lips meet, at ``dx`` right of the midline."""
        across = np.clip(dx / self.mouth_half_width, -1, 1)
        bow = 1.6 * np.exp(-((across / 0.22) ** 2)) - 1.2 * np.exp(
            -(((np.abs(across) - 0.4) / 0.25) ** 2)
        )
        return self.mouth_y + bow - self.mouth_curve * across**2


_IRISES: tuple[Colour, ...] = (
    (0.24, 0.13, 0.07),
    (0.33, 0.20, 0.10),
    (0.42, 0.33, 0.16),
    (0.33, 0.42, 0.30),
    (0.36, 0.48, 0.60),
    (0.40, 0.45, 0.48),
)
_HAIRS: tuple[Colour, ...] = (
    (0.06, 0.05, 0.05),
    (0.14, 0.09, 0.06),
    (0.27, 0.17, 0.10),
    (0.45, 0.30, 0.16),
    (0.62, 0.48, 0.28),
    (0.50, 0.24, 0.11),
    (0.60, 0.58, 0.56),
)


def _skin_and_lip(rng: np.random.Generator, depth: float) -> tuple[Colour, Colour]:
    """Skin from very light (0) to very dark (1) along one curve, with a small turn of hue."""
    light_skin, mid_skin, dark_skin = (0.93, 0.77, 0.68), (0.76, 0.55, 0.41), (0.36, 0.22, 0.15)
    red, green, blue = (
        float(np.interp(depth, (0, 0.5, 1), (light, mid, dark)) * (1 + hue))
        for light, mid, dark, hue in zip(
            light_skin, mid_skin, dark_skin, 0.03 * rng.standard_normal(3), strict=True
        )
    )
    rosy = float(rng.uniform(0.3, 0.9))
    lip = (red * 0.86 + 0.03, green * (0.80 - 0.24 * rosy), blue * (0.84 - 0.22 * rosy))
    return (red, green, blue), lip


def make_subject(seed: int) -> SyntheticSubject:
    """The subject of this seed: same seed, same face.

    Args:
        seed: any non-negative integer.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xFACE]))

    def around(middle: float, spread: float) -> float:
        return float(middle + spread * np.clip(rng.standard_normal(), -2, 2))

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    depth = between(0, 1)
    skin, lip = _skin_and_lip(rng, depth)
    dark = depth > 0.45
    iris = _IRISES[int(rng.integers(0, 2 if dark else len(_IRISES)))]
    age = between(0, 1)
    hair = (
        _HAIRS[-1] if age > 0.85 else _HAIRS[int(rng.integers(0, 2 if dark else len(_HAIRS) - 1))]
    )
    eye_y = around(176, 2.5)
    mouth_y = eye_y + around(87, 3.5)
    return SyntheticSubject(
        seed=seed,
        width=around(90, 4),
        jaw=between(0.62, 0.9),
        top_y=around(66, 4),
        chin_y=mouth_y + around(53, 3),
        eye_x=around(39.5, 1.8),
        eye_y=eye_y,
        eye_half_width=around(18.5, 1.0),
        eye_upper=between(7.0, 10.0),
        eye_lower=between(4.6, 6.4),
        eye_slant=around(1.0, 1.0),
        brow_y=eye_y - around(25.5, 2),
        brow_thickness=between(4.0, 8.0),
        brow_arch=between(2.0, 7.0),
        nose_y=eye_y + around(56, 3),
        nose_half_width=around(18, 2.2),
        nose_height=between(17, 27),
        mouth_y=mouth_y,
        mouth_half_width=around(31, 2.4),
        mouth_curve=around(0.0, 1.3),
        lip_upper=between(6.0, 10.5),
        lip_lower=between(8.5, 13.5),
        skin=skin,
        lip=lip,
        iris=iris,
        hair=hair,
        clothes=(between(0.1, 0.8), between(0.1, 0.8), between(0.1, 0.8)),
        wall=(w := between(0.35, 0.85), w * between(0.9, 1.05), w * between(0.9, 1.1)),
        hair_style=str(rng.choice(["short", "long", "parted", "shaved"], p=[0.35, 0.3, 0.25, 0.1])),
        hairline=around(36, 5),
        beard=max(0.0, between(-0.6, 0.6)),
        freckles=max(0.0, between(-1.0, 1.0)),
        age=age,
        light=(between(-0.55, 0.55), between(-0.75, -0.15)),
        contrast=between(0.45, 0.75),
    )
