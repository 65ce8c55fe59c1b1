"""Movements made large enough to be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError, optional_part
from ma2mi.motion.clip_flow import flow
from ma2mi.motion.thin_plate import FlowSettings

with optional_part("cv2", "video"):
    import cv2

Plane = NDArray[np.float32]

MASK_EDGE_PX = 4.0  # sd of the seam between what is magnified and what is not


def magnify(
    frames: NDArray[Any],
    factor: float,
    *,
    onset: int = 0,
    moved: Plane | None = None,
    settings: FlowSettings | None = None,
    mask: NDArray[Any] | None = None,
) -> NDArray[np.uint8]:
    """Move every pixel ``factor`` times as far from the onset as it went.

    Motion is magnified along the flow (Liu et al. 2005, "Motion magnification"), since that is at
    hand; the colours are the frame's own, so that a flush or a shadow stays. For visual
    inspection: where the flow is wrong, the picture is too.

    Args:
        frames: uint8 [T, H, W, 3] or [T, H, W].
        factor: 1 changes nothing, 0 stops all movement.
        onset: the frame that movement is counted from.
        moved: [T, H, W, 2], the flow from the onset if it is known, head motion removed or not;
            what it does not hold is left as it was.
        settings, mask: as for ``flow``; outside the mask nothing is magnified.

    Returns:
        uint8, shaped as ``frames``.

    Raises:
        MotionError: frames that are not uint8, no such onset, a flow that does not fit, or as
            ``flow``.
    """
    clip = np.asarray(frames)
    if clip.dtype != np.uint8 or clip.ndim not in (3, 4) or not -len(clip) <= onset < len(clip):
        raise MotionError(
            f"need uint8 [T, H, W(, 3)] with frame {onset}: {clip.dtype} {clip.shape}"
        )
    if not np.isfinite(factor):
        raise MotionError(f"cannot magnify {factor} times")
    if moved is None:
        moved = flow(clip[onset], clip, settings=settings, mask=mask)
    if moved.shape != (*clip.shape[:3], 2):
        raise MotionError(f"flow is {moved.shape}, the frames are {clip.shape}")
    height, width = clip.shape[1:3]
    if mask is not None:
        edge = cv2.GaussianBlur(np.asarray(mask, np.float32), (0, 0), MASK_EDGE_PX)
        moved = moved * np.clip(edge, 0, 1)[..., None]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    out = np.empty_like(clip)
    for index, (frame, field) in enumerate(zip(clip, moved, strict=True)):
        # Which point of the onset has come here? Then take it from where it really is.
        u, v = np.zeros_like(rows), np.zeros_like(rows)
        for _ in range(8):
            x, y = columns - np.float32(factor) * u, rows - np.float32(factor) * v
            u, v = (
                cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                for plane in np.moveaxis(field, -1, 0).astype(np.float32)
            )
        back = np.float32(1 - factor)
        out[index] = cv2.remap(
            frame,
            columns + back * u,
            rows + back * v,
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out
