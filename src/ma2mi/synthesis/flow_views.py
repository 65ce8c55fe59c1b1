"""Flow as a recording shows it: a crop off the template, head motion, and an estimator's errors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ma2mi.synthesis.basis import EYES_AT
from ma2mi.synthesis.domain import PUPILS_APART, SIDE, DomainSettings


def _smooth_noise(
    count: int, channels: int, cells: int, generator: torch.Generator, side: int = SIDE
) -> Tensor:
    """[count, channels, side, side] of unit deviation, as fine as ``cells`` a side."""
    coarse = torch.randn(count, channels, cells, cells, generator=generator)
    if cells == side:
        return coarse
    fine = functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    return fine * 1.3  # interpolation averages


class View(NamedTuple):
    """Crops off the template.

    Attributes:
        grid: [B, S, S, 2], where each cell looks, x and y from -1 to 1 across what it looks at.
        back: [B, 2, 2], what the crop makes of a movement.
        middle: [B, 2], where its middle looks, in the same unit; ``grid`` wobbles about that.
    """

    grid: Tensor
    back: Tensor
    middle: Tensor


def draw_views(
    count: int, settings: DomainSettings, generator: torch.Generator, side: int = SIDE
) -> View:
    """Crops off the template, of ``side`` cells a side."""
    u = torch.rand(count, 6, generator=generator)
    apart = settings.eyes_apart[0] + u[:, 0] * (settings.eyes_apart[1] - settings.eyes_apart[0])
    height = settings.eyes_y[0] + u[:, 1] * (settings.eyes_y[1] - settings.eyes_y[0])
    u = 2 * u - 1
    size = PUPILS_APART / apart
    tall = size * (1 + settings.stretch * u[:, 2])
    angle = torch.deg2rad(settings.turn_deg * u[:, 3])
    cos, sin = torch.cos(angle), torch.sin(angle)
    bend = torch.stack((cos * size, -sin * tall, sin * size, cos * tall), dim=1).view(count, 2, 2)
    # Sampling positions run from -1 to 1, so a share of the side counts twice.
    across = 2 * settings.shift * u[:, 4]
    down = 2 * (EYES_AT - 0.5 + (0.5 - height) * tall)
    middle = torch.stack((across, down), dim=1)
    theta = torch.cat((bend, middle[..., None]), dim=2)
    grid = functional.affine_grid(theta, [count, 2, side, side], align_corners=False)
    wobble = 2 * settings.elastic * _smooth_noise(count, 2, 4, generator, side)
    return View(grid + wobble.movedim(1, 3), torch.linalg.inv(bend), middle)


def through(flow: Tensor, view: View) -> Tensor:
    """What crops show of movements on the skin, [B, 2, s, s] to [B, 2, S, S]; beyond it: rest."""
    seen = functional.grid_sample(flow, view.grid, padding_mode="zeros", align_corners=False)
    return torch.einsum("bij,bjhw->bihw", view.back, seen)


def disturb(
    flow: Tensor, unit: Tensor, settings: DomainSettings, generator: torch.Generator
) -> Tensor:
    """Head motion on top of movements, and then what an estimator makes of both.

    Args:
        flow: [B, 2, S, S], percent of the side.
        unit: [B, 1, 1, 1], the movements' size, which the disturbances are relative to.
        settings: see :class:`DomainSettings`.
        generator: source of the draws.
    """
    side = flow.shape[3]
    flow = flow + unit * _head_motion(len(flow), settings, generator, side)
    return _estimate(flow, unit, settings, generator)


def _head_motion(
    count: int, settings: DomainSettings, generator: torch.Generator, side: int
) -> Tensor:
    """[B, 2, side, side]: shift, turn, zoom, yaw and pitch of a head with a nose, or of less."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    depth = torch.exp(-(x**2) / 0.7 - y**2 / 1.2) + 0.4 * torch.exp(
        -(x**2 + (y - 0.05) ** 2) / 0.05
    )
    zero = torch.zeros_like(x)
    ways = torch.stack(
        [
            torch.stack(way)
            for way in (
                (torch.ones_like(x), zero),
                (zero, torch.ones_like(x)),
                (-y, x),
                (x, y),
                (depth, 0 * depth),
                (zero, depth),
            )
        ]
    )  # [6, 2, side, side]
    tail = torch.exp(torch.randn(count, 1, generator=generator))
    share = torch.randn(count, 6, generator=generator) * tail * settings.head
    share = share * (torch.rand(count, 6, generator=generator) < 0.6)
    moved = torch.einsum("bk,kchw->bchw", share, ways)
    width = 0.75 + 0.5 * torch.rand(count, 1, 1, generator=generator)
    edge = 0.06 + 0.2 * torch.rand(count, 1, 1, generator=generator)
    head = torch.sigmoid((width - (x**2 + (0.8 * y) ** 2).sqrt()) / edge)[:, None]
    whole = (torch.rand(count, generator=generator) < 0.4)[:, None, None, None]
    return moved * torch.where(whole, torch.ones_like(head), head)


def _estimate(
    flow: Tensor, unit: Tensor, settings: DomainSettings, generator: torch.Generator
) -> Tensor:
    """What an estimator makes of it: uneven gain, blur, invented movement in blobs and grains."""
    count, side = len(flow), flow.shape[3]
    wide, wider = (round(cells * side / SIDE / 2) for cells in (4, 6))  # half of the windows
    blurred = functional.avg_pool2d(flow, 2 * wide + 1, 1, wide, count_include_pad=False)
    softer = functional.avg_pool2d(blurred, 2 * wider + 1, 1, wider, count_include_pad=False)
    u = torch.rand(count, 1, 1, 1, generator=generator) * settings.blur / 2.5
    flow = torch.lerp(
        torch.lerp(flow, blurred, (2 * u).clamp(0, 1)), softer, (2 * u - 1).clamp(0, 1)
    )
    gain = torch.exp(settings.gain * _smooth_noise(count, 1, 7, generator, side))
    grain = torch.zeros(count, 2, side, side)
    for cells in (3, 5, 8, 14, 28):
        share = torch.rand(count, 1, 1, 1, generator=generator) ** (1 if cells < 14 else 3)
        grain = grain + share * _smooth_noise(count, 2, cells, generator, side)
    grain = grain / grain.flatten(1).std(1)[:, None, None, None]
    blobs = torch.sign(grain) * (grain.abs() - 1.2).clamp_min(0) * 2
    some = (torch.rand(count, generator=generator) < 0.5)[:, None, None, None]
    grain = torch.where(some, blobs, grain)
    uneven = torch.exp(0.7 * _smooth_noise(count, 1, 5, generator, side))
    level = settings.noise * torch.exp(
        settings.noise_spread * torch.randn(count, generator=generator)
    ).clamp(max=8)
    return flow * gain + unit * level[:, None, None, None] * uneven * grain


def resample_flow(
    flow: Tensor, settings: DomainSettings, generator: torch.Generator, *, flip: float = 0.5
) -> Tensor:
    """Measured flow [B, 2, S, S] as another crop would have it, [B, 2, SIDE, SIDE].

    Mirrored with chance ``flip``, and seen through a crop drawn from the domain.
    """
    mirrored = torch.rand(len(flow), generator=generator) < flip
    sign = flow.new_tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    flow = torch.where(mirrored[:, None, None, None], flow.flip(3) * sign, flow)
    return through(flow, draw_views(len(flow), settings, generator))
