"""When a movement starts, is strongest, and ends, from its movement curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError

Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ApexEstimate:
    """Frames counted from 0, ``onset <= apex <= offset``.

    ::

        movement        ___
                      /     \\
                     /       \\___
        ____________/             \\_________
                   |    |          |
                 onset apex      offset

    Args:
        onset, apex, offset: frames. Where the curve has not come down at the end of the clip,
            ``offset`` is the last frame (likewise ``onset`` the first).
        confidence: in [0, 1]: the share of the peak that is not explained by the curve's own
            jitter; below about 0.5 there may be no movement at all.
    """

    onset: int
    apex: int
    offset: int
    confidence: float


def movement_curve(
    flow: NDArray[Any], *, weights: NDArray[Any] | None = None, share: float = 0.05
) -> NDArray[np.float32]:
    """How much moves in each frame: mean length of the flow over the ``share`` that moves most.

    Args:
        flow: [T, H, W, 2], pixels from the onset, head motion removed.
        weights: [H, W]; pixels with 0 (eyes, hair, background) are left out.
        share: of the pixels, in (0, 1]; a micro-expression moves a small part of the face.

    Returns:
        float32 [T], pixels.

    Raises:
        MotionError: not a flow, NaN, weights that leave nothing, or an impossible share.
    """
    field = np.asarray(flow, np.float32)
    if field.ndim != 4 or field.shape[-1] != 2 or not np.isfinite(field).all():
        raise MotionError(f"flow must be finite [T, H, W, 2], not {field.shape}")
    if not 0 < share <= 1:
        raise MotionError(f"share {share} lies outside (0, 1]")
    length = np.hypot(field[..., 0], field[..., 1]).reshape(len(field), -1)
    if weights is not None:
        keep = np.asarray(weights).ravel() > 0
        if keep.size != length.shape[1] or not keep.any():
            raise MotionError("leave no pixel, or are not [H, W]", where="weights")
        length = length[:, keep]
    count = max(1, round(share * length.shape[1]))
    strongest = np.partition(length, length.shape[1] - count, axis=1)[:, -count:]
    return np.asarray(strongest.mean(axis=1), np.float32)


def movement_along(
    flow: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    share: float = 0.3,
    around: int = 2,
    smoothing_frames: float = 3.0,
) -> NDArray[np.float32]:
    """How far each frame has moved along the direction of the apex: a curve with a clean foot.

    A length is never below the noise, so :func:`movement_curve` ends before the movement does. A
    projection is 0 in the mean where nothing moves. The flow at the apex of that curve, a mean
    over some frames, is the direction; each frame is projected onto it.

    Args:
        flow: [T, H, W, 2], pixels from the onset, head motion removed.
        weights: [H, W]; pixels with 0 are left out.
        share: of the pixels, in (0, 1]: those that move most at the apex.
        around: frames on either side of the apex that make the direction.
        smoothing_frames: sd of the Gaussian under which the apex is searched.

    Returns:
        float32 [T], pixels: the mean movement of those pixels along the apex' direction.

    Raises:
        MotionError: see :func:`movement_curve`.
    """
    length = movement_curve(flow, weights=weights)
    frames = np.arange(len(length), dtype=np.float64)
    apex = int(_smoothed(length.astype(np.float64), frames, smoothing_frames).argmax())
    field = np.asarray(flow, np.float32)
    field = field.reshape(len(field), -1, 2)
    if weights is not None:
        field = field[:, np.asarray(weights).ravel() > 0]
    way = field[max(apex - around, 0) : apex + around + 1].mean(axis=0)
    size = np.hypot(way[:, 0], way[:, 1])
    count = max(1, round(share * len(size)))
    most = np.argpartition(size, len(size) - count)[-count:]
    way, size = way[most], size[most]
    unit = way / np.maximum(np.sqrt(np.square(size).mean()), 1e-9)
    return np.asarray((field[:, most] * unit).sum(axis=2).mean(axis=1), np.float32)


def find_apex(
    curve: NDArray[Any] | Sequence[float],
    times_s: Sequence[float | Fraction] | NDArray[Any] | None = None,
    *,
    smoothing_s: float = 0.015,
) -> ApexEstimate:
    """Onset, apex and offset of the strongest movement pulse of a curve.

    The apex is the top of the smoothed curve. Each flank is taken for half a wave of a cosine, as
    smooth movements are: the time from three quarters of its height to a quarter is a third of it,
    and another third leads to the foot. A fixed share of the peak would cut the feet off.

    Args:
        curve: [T], at least 3 values, of one movement from (nearly) rest; best from
            :func:`movement_along`.
        times_s: T rising times; without them frames are 1/200 s apart.
        smoothing_s: sd of the Gaussian that the curve is smoothed with.

    Raises:
        MotionError: fewer than 3 values, NaN, or times that do not rise.
    """
    values = np.asarray(curve, np.float64)
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all():
        raise MotionError(f"a movement curve is 3 or more finite numbers, not {values.shape}")
    times = (
        np.arange(len(values)) / 200 if times_s is None else np.array([float(t) for t in times_s])
    )
    if len(times) != len(values) or (np.diff(times) <= 0).any():
        raise MotionError(f"{len(values)} values need as many rising times")
    smooth = _smoothed(values, times, smoothing_s)
    apex = int(smooth.argmax())
    onset = _foot(smooth[: apex + 1][::-1])
    offset = _foot(smooth[apex:])
    rest = min(smooth[: apex + 1].min(), smooth[apex:].min())
    height = float(smooth[apex] - rest)
    jitter = 1.4826 * float(np.median(np.abs(np.diff(values)))) / 2**0.5
    confidence = float(height / (height + 3 * jitter)) if height > 0 else 0.0
    return ApexEstimate(apex - onset, apex, apex + offset, confidence)


def _smoothed(values: Curve, times: Curve, sd_s: float) -> Curve:
    """Gaussian in time, so that uneven frames do no harm."""
    kernel = (
        np.exp(-0.5 * np.square((times[:, None] - times) / sd_s))
        if sd_s > 0
        else np.eye(len(times))
    )
    return np.asarray(kernel @ values / kernel.sum(axis=1))


def _foot(falling: Curve) -> int:
    """Steps from the top (index 0) to where the flank meets the rest."""
    # Not the least value: the onset frame itself has none of the others' noise.
    rest = float(np.quantile(falling, 0.2))
    height = float(falling[0]) - rest
    if height <= 0:
        return 0
    # First crossings going down; the least value lies below both levels.
    high, low = (_crossing(falling, rest + share * height) for share in (0.75, 0.25))
    return int(np.clip(round(high + 2 * (low - high)), 0, len(falling) - 1))


def _crossing(falling: Curve, level: float) -> float:
    after = int(np.argmax(falling <= level))
    above, below = falling[after - 1], falling[after]
    return after - 1 + float((above - level) / (above - below))
