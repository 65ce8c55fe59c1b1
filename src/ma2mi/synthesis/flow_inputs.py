"""Simulated flow as networks take it: percent of the side with strain, or a MEGC2019 flow image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def as_flow_image(flow: Tensor, side: int = 28) -> Tensor:
    """A sample as the MEGC2019 layout shows it: shrunk, each channel scaled by its own range.

    Args:
        flow: [B, 2, S, S], S a multiple of ``side``.
        side: of the image.

    Returns:
        [B, 3, side, side], u, v and strain as ``clips.pairs.read_flow_images`` and
        ``clips.batches.make_batch`` hand them to a network.
    """
    channels = functional.avg_pool2d(torch.cat((flow, strain(flow)), dim=1), flow.shape[2] // side)
    low = channels.amin((2, 3), keepdim=True)
    span = (channels.amax((2, 3), keepdim=True) - low).clamp_min(1e-9)
    scaled = torch.round((channels - low) / span * 255) / 127.5 - 1  # [-1, 1]
    return torch.cat((scaled[:, :2], (scaled[:, 2:] * 0.5 + 0.5)), dim=1)


def as_action(flow: Tensor) -> Tensor:
    """A sample as a network sees a clip's movement: percent of the side, and ten times the strain.

    Returns:
        [B, 3, S, S].
    """
    return torch.cat((flow, 10 * strain(flow) * flow.shape[2] / 100), dim=1)


def strain(flow: Tensor) -> Tensor:
    """Optical strain [B, 1, S, S] of [B, 2, S, S], see ``motion.optical_strain``."""
    u_y, u_x = torch.gradient(flow[:, 0], dim=(1, 2))
    v_y, v_x = torch.gradient(flow[:, 1], dim=(1, 2))
    return torch.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2 + 1e-12)[:, None]
