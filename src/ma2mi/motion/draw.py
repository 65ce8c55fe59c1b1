"""Pictures of flow and strain, with a scale to read them by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import MotionError, optional_part

with optional_part("cv2", "video"):
    import cv2


BAR = 44  # height of the strip below the picture
NARROWEST = 160  # below it the scale's words do not fit


def draw_flow(
    flow: NDArray[Any], *, limit_px: float | None = None, mm_per_px: float | None = None
) -> Image:
    """Direction as colour (red right, green-yellow down, cyan left, violet up), length as strength.

    Args:
        flow: [H, W, 2], pixels.
        limit_px: length of full strength; by default the longest, so give one to compare frames.
        mm_per_px: adds millimetres to the scale: 63 (the mean distance between adult pupils) or
            the subject's own, divided by the distance between the pupils in pixels.

    Returns:
        uint8 RGB [H + 44, max(W, 160), 3]: the picture, below it the wheel of directions and a
        ramp of lengths.

    Raises:
        MotionError: not a flow, NaN, or a limit or scale that is not above 0.
    """
    field = np.asarray(flow, np.float32)
    if field.ndim != 3 or field.shape[-1] != 2 or not np.isfinite(field).all():
        raise MotionError(f"flow must be finite [H, W, 2], not {field.shape}")
    limit = _limit(limit_px, float(np.hypot(field[..., 0], field[..., 1]).max()), mm_per_px)
    ramp = np.zeros((12, 90, 2), np.float32)
    ramp[..., 0] = np.linspace(0, limit, 90)
    side = BAR - 8
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    wheel = np.where((np.hypot(x, y) <= 1)[..., None], np.stack([x, y], axis=-1), 0) * np.float32(
        limit
    )
    picture = _framed(_colours(field, limit))
    picture[-BAR + 4 : -4, 4 : 4 + side] = _colours(wheel, limit)
    return _scaled(picture, _colours(ramp, limit), side + 12, limit, "px", mm_per_px)


def draw_strain(strain: NDArray[Any], *, limit: float | None = None) -> Image:
    """Optical strain from dark (none) to bright, with its scale in percent.

    Args:
        strain: [H, W], pixels per pixel.
        limit: strain of the brightest colour; by default the largest.

    Returns:
        uint8 RGB [H + 44, max(W, 160), 3].

    Raises:
        MotionError: not a plane, NaN, or a limit that is not above 0.
    """
    plane = np.asarray(strain, np.float32)
    if plane.ndim != 2 or not np.isfinite(plane).all():
        raise MotionError(f"strain must be finite [H, W], not {plane.shape}")
    top = _limit(limit, float(plane.max()), None)
    ramp = np.tile(np.linspace(0, top, 90, dtype=np.float32), (12, 1))
    return _scaled(_framed(_heat(plane, top)), _heat(ramp, top), 8, 100 * top, "%", None)


def _limit(given: float | None, largest: float, mm_per_px: float | None) -> float:
    for name, value in (("limit", given), ("mm_per_px", mm_per_px)):
        if value is not None and not 0 < value < np.inf:
            raise MotionError(f"{name} {value} is not above 0")
    return given or largest or 1.0


def _colours(field: NDArray[np.float32], limit: float) -> Image:
    angle = np.rad2deg(np.arctan2(field[..., 1], field[..., 0])) % 360
    strength = np.clip(np.hypot(field[..., 0], field[..., 1]) / limit, 0, 1)
    hsv = np.stack([angle, strength, np.ones_like(strength)], axis=-1).astype(np.float32)
    return np.asarray(np.round(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)), np.uint8)


def _heat(plane: NDArray[np.float32], top: float) -> Image:
    levels = np.round(255 * np.clip(plane / top, 0, 1)).astype(np.uint8)
    return np.asarray(
        cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    )


def _framed(picture: Image) -> Image:
    """The picture on white, with room for the scale."""
    height, width = picture.shape[:2]
    out = np.full((height + BAR, max(width, NARROWEST), 3), 255, np.uint8)
    out[:height, :width] = picture
    return out


def _scaled(
    picture: Image, ramp: Image, left: int, top: float, unit: str, mm_per_px: float | None
) -> Image:
    """``picture`` with the ramp from 0 to ``top`` in its strip."""
    words = f"0 - {top:.2g} {unit}"
    if mm_per_px is not None:
        words += f" = {top * mm_per_px:.2g} mm"
    upper = picture.shape[0] - BAR + 6
    picture[upper : upper + ramp.shape[0], left : left + ramp.shape[1]] = ramp
    where = (left, picture.shape[0] - 8)
    cv2.putText(picture, words, where, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return picture
