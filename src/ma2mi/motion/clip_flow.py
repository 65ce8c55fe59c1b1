"""Flow from the onset frame to every frame of a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError, SettingsError
from ma2mi.motion import kernels as solver
from ma2mi.motion.thin_plate import CELL, FlowSettings, Onset, downsample, median, taps, upsample

Method = Literal["thin-plate", "opencv-tvl1", "dis", "farneback"]
Plane = NDArray[np.float32]

SMALLEST_SIDE = 32
FLATTEST = 0.5  # of 255: an image whose grey values spread less shows nothing that could move


def flow(
    onset: NDArray[Any],
    frames: NDArray[Any],
    *,
    method: Method = "thin-plate",
    settings: FlowSettings | None = None,
    mask: NDArray[Any] | None = None,
) -> Plane:
    """Movement of every pixel of ``onset`` to each of ``frames``.

    Our method ("thin-plate", see ``thin_plate.Onset``) starts each frame from the flow of the frame
    before, so frames should follow in time. It runs on one thread and lets go of the GIL; the same
    input gives the same bytes on the same CPU. The references are OpenCV's: they take 8 bits, one
    pair after the other, and know neither settings nor mask.

    Args:
        onset: [H, W] grey or [H, W, 3] RGB, sides of 32 or more; uint8, uint16 (scaled from
            0..65535) or float in 0..255. Colour is turned to luma.
        frames: one frame of the same H, W or [T, H, W(, 3)].
        method: ours or one of OpenCV's.
        settings: of ours only; by default ``FlowSettings()``.
        mask: [H, W], true or above 0 where the image counts (false on eyes, hair);
            movement is continued smoothly into the rest.

    Returns:
        float32 [T, H, W, 2], pixels, u right and v down: ``frames[t]`` shows at (x + u, y + v)
        what ``onset`` shows at (x, y). A frame equal to the onset gives 0, to rounding.

    Raises:
        MotionError: shapes that do not fit, no frame, NaN, images without any structure, a mask
            that leaves nothing.
        SettingsError: an unknown method, or settings and mask given to a reference.
    """
    if method not in get_args(Method):
        raise SettingsError(
            f"unknown method {method!r}", hint=f"Known are: {', '.join(get_args(Method))}"
        )
    first, clip = grey(onset, "onset"), grey(frames, "frames")
    clip = clip[None] if clip.ndim == 2 else clip
    check(first, clip)
    if method == "thin-plate":
        steps = _thin_plate(first, clip, settings or FlowSettings(), mask)
    elif settings is not None or mask is not None:
        raise SettingsError("takes neither settings nor mask", where=method)
    else:
        from ma2mi.motion.references import REFERENCES

        steps = _by_pairs(REFERENCES[method](), eight_bit(first), eight_bit(clip))
    out = np.empty((*clip.shape, 2), np.float32)
    for index, field in enumerate(steps):
        out[index] = field
    return out


def _by_pairs(
    solve: Callable[[NDArray[np.uint8], NDArray[np.uint8]], Plane],
    first: NDArray[np.uint8],
    clip: NDArray[np.uint8],
) -> Iterator[Plane]:
    return (solve(first, frame) for frame in clip)


def _thin_plate(
    first: Plane, clip: Plane, settings: FlowSettings, mask: NDArray[Any] | None
) -> Iterator[Plane]:
    height, width = first.shape
    deepest = 1 + int(np.log2(min(height, width) / SMALLEST_SIDE))
    settings = replace(settings, levels=min(settings.levels, deepest))
    block = CELL * 2**settings.levels
    border = ((0, -height % block), (0, -width % block))
    weight = np.pad(weights(mask, (height, width)), border)
    even = np.pad(first, border, mode="edge")
    onset = Onset(even if settings.brightness != "local" else detail(even), weight, settings)
    grid = None
    for index in range(len(clip)):
        frame = np.pad(neighbours(clip, index, settings.average_frames), border, mode="edge")
        if settings.brightness != "none":
            frame = matched(frame, even, weight)
        if settings.brightness == "local":
            frame = detail(frame)
        grid = onset.follow(frame, grid)
        yield np.moveaxis(upsample(grid), 0, -1)[:height, :width]


def neighbours(clip: Plane, index: int, count: int) -> Plane:
    """Mean of ``count`` frames around ``index``; near the ends fewer, as many on each side."""
    radius = min(count // 2, index, len(clip) - 1 - index)
    return np.asarray(clip[index - radius : index + radius + 1].mean(axis=0))


def matched(frame: Plane, onset: Plane, weight: Plane) -> Plane:
    """``frame`` with the gain and offset that bring most of it to ``onset``'s brightness.

    Fitted on small copies, where movements below a pixel leave no trace, with Cauchy weights
    against what did move.
    """
    small = np.stack([frame, onset, weight])
    while min(small.shape[1:]) >= 56:
        small = downsample(small)
    moved, still, initial = (plane.ravel().astype(np.float64) for plane in small)
    basis = np.stack([moved - moved.mean(), np.ones_like(moved)])
    weights = initial
    for _ in range(3):
        normal = (basis * weights) @ basis.T + 1e-9 * np.eye(2)
        gain, offset = np.linalg.solve(normal, (basis * weights) @ still)
        residual = np.square(still - gain * basis[0] - offset)
        weights = initial / (1 + residual / (4 * median(residual) + 1e-6))
    return np.asarray(np.float32(gain) * (frame - np.float32(moved.mean())) + np.float32(offset))


def detail(image: Plane) -> Plane:
    """What is left of the image without its slow shades (a blur of 8 px sd or less)."""
    return np.asarray(image - solver.smooth(image, taps(min(8.0, min(image.shape) / 8))))


def weights(mask: NDArray[Any] | None, shape: tuple[int, int]) -> Plane:
    if mask is None:
        return np.ones(shape, np.float32)
    weight = np.asarray(mask, np.float32)
    if weight.shape != shape:
        raise MotionError(f"is {weight.shape}, the images are {shape}", where="mask")
    if not weight.max(initial=0) > 0:
        raise MotionError("leaves no pixel to measure", where="mask")
    return np.clip(weight, 0, 1)


def grey(images: NDArray[Any], where: str) -> Plane:
    """float32 luma in 0..255 of [..., H, W] or [..., H, W, 3] RGB.

    Raises:
        MotionError: not an image, or NaN in it.
    """
    array = np.asarray(images)
    if array.dtype.kind not in "uif" or array.ndim < 2:
        raise MotionError(f"are not images: {array.dtype} {array.shape}", where=where)
    scale = 255 / 65535 if array.dtype == np.uint16 else 1
    array = array.astype(np.float32) * np.float32(scale)
    if array.shape[-1] == 3:
        array = array @ np.array([0.299, 0.587, 0.114], np.float32)
    if not np.isfinite(array).all():
        raise MotionError("NaN or infinity in the image", where=where)
    return np.ascontiguousarray(array)


def check(first: Plane, clip: Plane) -> None:
    if first.ndim != 2 or min(first.shape) < SMALLEST_SIDE:
        raise MotionError(
            f"is {first.shape}",
            where="onset",
            hint="It must be one image, 32 pixels or more a side",
        )
    if clip.ndim != 3 or clip.shape[1:] != first.shape or len(clip) == 0:
        raise MotionError(
            f"are {clip.shape}, the onset is {first.shape}",
            where="frames",
            hint="They must be one or more frames of the onset's size",
        )
    spreads = [float(first.std()), *(float(frame.std()) for frame in clip)]
    flat = [index for index, spread in enumerate(spreads) if spread < FLATTEST]
    if flat:
        raise MotionError(
            f"grey values spread by {spreads[flat[0]]:.2g} of 255: there is nothing to follow",
            where="onset" if flat[0] == 0 else f"frame {flat[0] - 1}",
            hint="Floats must lie in 0..255",
        )


def eight_bit(images: Plane) -> NDArray[np.uint8]:
    return np.clip(np.round(images), 0, 255).astype(np.uint8)
