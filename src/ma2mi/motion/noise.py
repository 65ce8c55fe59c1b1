"""The noise floor: the smallest movement that stands out in a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError
from ma2mi.motion.apex import movement_curve
from ma2mi.motion.clip_flow import check, flow, grey
from ma2mi.motion.head_motion import remove_rigid
from ma2mi.motion.strain import optical_strain
from ma2mi.motion.thin_plate import FlowSettings
from ma2mi.records import Interval

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class NoiseFloor:
    """What the flow reports in a recording while nothing moves.

    Args:
        px: length of flow that 95 % of the pixels of the still frames stay below.
        curve_px: height of the movement curve that 95 % of the still frames stay below.
        strain: optical strain that 95 % of the pixels stay below.
        map_px: float32 [H, W], root mean square length at each pixel.
        noise_sd: of the images themselves, in grey values of 255.
        still: the frames that it was measured on.
    """

    px: float
    curve_px: float
    strain: float
    map_px: Plane
    noise_sd: float
    still: Interval

    def snr(self, movement_px: NDArray[Any] | float) -> NDArray[np.float64]:
        """Movements as multiples of the noise floor: 1 is where they begin to stand out."""
        return np.asarray(movement_px, np.float64) / self.px


def noise_floor(
    frames: NDArray[Any],
    *,
    still: Interval | None = None,
    length: int = 12,
    settings: FlowSettings | None = None,
    mask: NDArray[Any] | None = None,
    landmarks: NDArray[Any] | None = None,
) -> NoiseFloor:
    """Measure the flow, head motion removed, where the recording is still.

    Args:
        frames: [T, H, W(, 3)], T at least 3, of an aligned crop; as for ``flow``.
        still: frames known to be still; otherwise the ``length`` neighbouring frames that differ
            least are taken. A little real movement in them raises the floor: it errs upwards.
        settings, mask: as for ``flow``; the floor holds for these settings.
        landmarks: as for ``remove_rigid``.

    Raises:
        MotionError: fewer than 3 frames, or as ``flow``.
    """
    clip = grey(frames, "frames")
    if clip.ndim != 3 or len(clip) < 3:
        raise MotionError(f"a noise floor needs 3 or more frames, not {clip.shape}")
    check(clip[0], clip)
    stretch = still or stillest(clip, min(length, len(clip)))
    if stretch.offset >= len(clip) or len(stretch) < 3:
        raise MotionError(f"{stretch} is no stretch of 3 or more of {len(clip)} frames")
    quiet = clip[stretch.onset : stretch.offset + 1]
    middle = len(quiet) // 2
    others = np.delete(quiet, middle, axis=0)
    moving = flow(quiet[middle], others, settings=settings, mask=mask)
    residual, _ = remove_rigid(moving, landmarks=landmarks)
    seen = np.ones(clip.shape[1:], bool) if mask is None else np.asarray(mask) > 0
    moved = np.hypot(residual[..., 0], residual[..., 1])
    return NoiseFloor(
        px=_above_zero(np.quantile(moved[:, seen], 0.95)),
        curve_px=_above_zero(np.quantile(movement_curve(residual, weights=seen), 0.95)),
        strain=_above_zero(np.quantile(optical_strain(residual)[:, seen], 0.95)),
        map_px=np.sqrt(np.square(moved).mean(axis=0)),
        noise_sd=image_noise(quiet),
        still=stretch,
    )


def stillest(clip: Plane, length: int) -> Interval:
    """The ``length`` neighbouring frames whose steps, fine grain left out, are smallest."""
    blocks = clip[:, : clip.shape[1] // 8 * 8, : clip.shape[2] // 8 * 8]
    blocks = blocks.reshape(len(clip), clip.shape[1] // 8, 8, clip.shape[2] // 8, 8).mean((2, 4))
    blocks -= blocks.mean(axis=(1, 2), keepdims=True)
    steps = np.square(np.diff(blocks, axis=0)).mean(axis=(1, 2))
    sums = np.convolve(steps, np.ones(length - 1), mode="valid")
    onset = int(sums.argmin())
    return Interval(onset, onset + length - 1)


def image_noise(clip: Plane) -> float:
    """Sd of the noise of a still clip [T, H, W]: median deviation of the frames' differences."""
    step = np.diff(clip, axis=0)
    step -= np.median(step, axis=(1, 2), keepdims=True)  # flicker is no noise
    return 1.4826 * float(np.median(np.abs(step))) / float(np.sqrt(2))


def _above_zero(value: np.floating) -> float:
    """Identical frames have no noise at all; a unit must still be above 0."""
    return max(float(value), 1e-4)
