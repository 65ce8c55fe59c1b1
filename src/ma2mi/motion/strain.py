"""Optical strain: how much the skin is stretched, wherever the whole head goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError

Field = NDArray[np.float32]


def optical_strain(flow: Field) -> Field:
    """The norm of the symmetric gradient of the flow (Shreve et al. 2011, "Macro- and
    micro-expression spotting in long videos using spatio-temporal strain", section III).

    Central differences, one-sided at the border. A translation has strain 0; a rotation by a
    small angle has 0 to first order.

    Args:
        flow: float [T, H, W, 2] or [H, W, 2], pixels, u right and v down.

    Returns:
        float32 [T, H, W] or [H, W], pixels of movement per pixel, at least 0.

    Raises:
        MotionError: the last axis is not u, v, or an image side is below 2.
    """
    field = np.asarray(flow, np.float32)
    if field.ndim not in (3, 4) or field.shape[-1] != 2 or min(field.shape[-3:-1]) < 2:
        raise MotionError(f"flow must be [T, H, W, 2] with sides of 2 or more, not {field.shape}")
    u, v = field[..., 0], field[..., 1]
    u_y, u_x = np.gradient(u, axis=(-2, -1))
    v_y, v_x = np.gradient(v, axis=(-2, -1))
    shear = 0.5 * (u_y + v_x)
    return np.asarray(np.sqrt(u_x**2 + v_y**2 + 2 * shear**2), np.float32)


def action_channels(flow: Field) -> Field:
    """u, v and optical strain side by side, the "action" that the networks see.

    Args:
        flow: float [T, H, W, 2] or [H, W, 2], pixels.

    Returns:
        float32 [..., H, W, 3].
    """
    return np.concatenate([np.asarray(flow, np.float32), optical_strain(flow)[..., None]], axis=-1)
