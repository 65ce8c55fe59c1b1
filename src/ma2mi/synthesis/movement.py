"""Action units as displacement fields on a subject's canonical face.

Fields point forward in time but live on the moved face: where a field is ``f``, the pixel ``q``
shows the skin that rested at ``q - f(q)``. Rendering is then one look-up per pixel, and fields of
several units add up. The lips slide apart, so each has a field of its own near the mouth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ma2mi.motion.facs import ACTION_UNITS, Region, Shift, Side
from ma2mi.synthesis.subject import SyntheticSubject

Track = tuple[str, Side]

FACE = (slice(40, 352), slice(80, 304))
"""Rows and columns of the canonical square in which anything can move."""

MOUTH = (slice(216, 352), slice(140, 244))
"""Rows and columns in which upper and lower lip have different fields."""

MOUTH_IN_FACE = (
    slice(MOUTH[0].start - FACE[0].start, MOUTH[0].stop - FACE[0].start),
    slice(MOUTH[1].start - FACE[1].start, MOUTH[1].stop - FACE[1].start),
)


@dataclass(frozen=True)
class Field:
    """Displacement at full intensity, canonical px.

    Args:
        common: (rows, columns of FACE, 2), x right and y down, float32.
        upper: (rows, columns of MOUTH), extra downward movement of what lies above the lip line.
        lower: the same of what lies below it.
    """

    common: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


def grid(box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every canonical pixel in a box, float32."""
    rows, columns = box
    x, y = np.meshgrid(np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop))
    return x.astype(np.float32), y.astype(np.float32)


def anchor(subject: SyntheticSubject, region: Region) -> tuple[float, float]:
    """Where a region's movement is strongest: (outward of the midline, y), canonical px."""
    return {
        "forehead": (22.0, subject.brow_y - 22),
        "inner brow": (subject.eye_x - 19, subject.brow_y + 1),
        "outer brow": (subject.eye_x + 15, subject.brow_y - 1),
        "nose root": (0.0, subject.eye_y - 5),
        "upper lid": (subject.eye_x, subject.eye_y - subject.eye_upper),
        "lower lid": (subject.eye_x, subject.eye_y + subject.eye_lower + 1),
        "cheek": (subject.eye_x + 10, subject.eye_y + 34),
        "nose wing": (subject.nose_half_width - 2, subject.nose_y - 7),
        "lip corner": (subject.mouth_half_width, subject.mouth_y),
        "upper lip": (0.0, subject.mouth_y - subject.lip_upper / 2),
        "lower lip": (0.0, subject.mouth_y + subject.lip_lower / 2),
        "chin": (0.0, subject.chin_y - 15),
        "jaw": (0.0, subject.chin_y - 6),
    }[region]


# Half-widths (across, along) of the bump of each region, canonical px; lids and lips have lines.
_SPREAD: dict[str, tuple[float, float]] = {
    "forehead": (30, 16),
    "inner brow": (16, 15),
    "outer brow": (20, 15),
    "nose root": (11, 13),
    "lower lid": (18, 8),
    "cheek": (26, 19),
    "nose wing": (11, 12),
    "lip corner": (17, 16),
    "chin": (22, 15),
    "jaw": (60, 21),
}


@lru_cache(maxsize=64)
def unit_field(subject: SyntheticSubject, number: str, side: Side) -> Field:
    """The field of one unit on one side of the face at full intensity.

    Args:
        subject: whose measures place it.
        number: a unit of ``facs.ACTION_UNITS``.
        side: the subject's own left or right.
    """
    x, y = grid(FACE)
    common = np.zeros((*x.shape, 2), np.float32)
    mouth_x, mouth_y = grid(MOUTH)
    upper, lower = np.zeros_like(mouth_x), np.zeros_like(mouth_x)
    sign = 1.0 if side == "L" else -1.0
    unit = subject.pupil_distance / 100
    for shift in ACTION_UNITS[number].shifts:
        out = sign * (x - subject.centre_x)
        if shift.region == "upper lid":
            common[..., 1] += _lid(subject, out, y, -shift.upward * unit)
        elif shift.region in ("upper lip", "lower lip"):
            amount = _lip(subject, shift, sign * (mouth_x - subject.centre_x), mouth_y)
            amount *= np.float32(-shift.upward * unit)
            (upper if shift.region == "upper lip" else lower)[...] += amount
        else:
            weight = _bump(subject, shift.region, out, y)
            common[..., 0] += np.float32(sign * shift.outward * unit) * weight
            common[..., 1] += np.float32(-shift.upward * unit) * weight
    return Field(common, upper, lower)


def face_field(subject: SyntheticSubject, weights: Mapping[Track, float]) -> Field:
    """The sum of the fields of several units, each times its intensity."""
    rows, columns = (part.stop - part.start for part in FACE)
    common = np.zeros((rows, columns, 2), np.float32)
    rows, columns = (part.stop - part.start for part in MOUTH)
    upper, lower = np.zeros((2, rows, columns), np.float32)
    for (number, side), weight in weights.items():
        field = unit_field(subject, number, side)
        common += np.float32(weight) * field.common
        upper += np.float32(weight) * field.upper
        lower += np.float32(weight) * field.lower
    return Field(common, upper, lower)


def peak_displacement(field: Field) -> float:
    """The largest displacement anywhere, canonical px."""
    near = field.common[MOUTH_IN_FACE]
    speeds = [np.hypot(field.common[..., 0], field.common[..., 1])]
    speeds += [np.hypot(near[..., 0], near[..., 1] + lip) for lip in (field.upper, field.lower)]
    return float(max(speed.max() for speed in speeds))


def _half(out: np.ndarray) -> np.ndarray:
    """1 on this side, 0 on the other, soft at the midline; both sides add up to 1."""
    return 1 / (1 + np.exp(-out / 5))


def _bump(subject: SyntheticSubject, region: Region, out: np.ndarray, y: np.ndarray) -> np.ndarray:
    where, height = anchor(subject, region)
    across, along = _SPREAD[region]
    bump = np.exp(-(((out - where) / across) ** 2) - ((y - height) / along) ** 2)
    return bump * _half(out) if where == 0 else bump


def _lid(subject: SyntheticSubject, out: np.ndarray, y: np.ndarray, down: float) -> np.ndarray:
    """Upper lid: downward it slides over the eye and ends at the lower lid; upward it retracts."""
    from_eye = out - subject.eye_x
    top, bottom = subject.lid_lines(from_eye)
    opening = bottom - top
    reach = np.exp(-((np.clip(np.abs(from_eye) - subject.eye_half_width * 0.6, 0, None) / 9) ** 2))
    stretch = 24.0  # the lid's skin comes from as far as the brow's lower edge
    if down > 0:
        share = down / (0.20 * subject.pupil_distance)  # the table's 20 hundredths close the eye
        ramp = np.clip(1 - (bottom - y) / (stretch + opening), 0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        return np.asarray(share * 1.1 * opening * reach * ramp * (y <= bottom))
    above = np.clip(1 - (top - y) / stretch, 0, 1)
    below = np.clip((bottom - y) / np.maximum(opening, 1e-3), 0, 1)
    return np.asarray(down * reach * np.where(y < top, above, below) * (opening > 1.0))


def _lip(subject: SyntheticSubject, shift: Shift, out: np.ndarray, y: np.ndarray) -> np.ndarray:
    across = np.clip(np.abs(out) / subject.mouth_half_width, 0, 1)
    gap = y - subject.lip_line(out)
    if shift.region == "upper lip":
        away = np.clip(-gap - 3, 0, None) / 17
    else:
        away = np.clip(gap - 14, 0, None) / 22
    return np.asarray((1 - across**2) ** 1.2 * np.exp(-(away**2)) * _half(out))
