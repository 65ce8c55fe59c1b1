"""The thin-plate flow once more, on batches of tensors: what ``benchmarks/flow.py`` compares with.

All pairs of a clip at once, each from zero (no warm start), on the CPU or a GPU. Same energy, same
steps as ``ma2mi.motion.thin_plate``; the kernels that differ are torch's: ``grid_sample``
interpolates with a sharper cubic, and grids are refined with repeated edges.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from ma2mi.motion import FlowSettings
from ma2mi.motion.thin_plate import (
    CELL,
    COARSE_ITERATIONS,
    CURVATURES,
    FIRST_CURVATURE,
    REGISTRATIONS,
    SCALE_FLOOR,
    probe,
    taps,
)

SETTINGS = FlowSettings()


def tensor_flow(
    onset: NDArray[np.uint8], frames: NDArray[np.uint8], device: str = "cpu"
) -> NDArray[np.float32]:
    """[H, W] and [T, H, W], sides that 16 divides, to float32 [T, H, W, 2]; as ``flow``."""
    with torch.inference_mode():
        first = torch.as_tensor(onset, device=device).float()[None, None]
        clip = torch.as_tensor(frames, device=device).float()[:, None]
        onsets = pyramid(first.expand(len(clip), -1, -1, -1))
        return upsample(flow_grids(onsets, pyramid(clip))).movedim(1, -1).cpu().numpy()


def flow_grids(onsets: list[Tensor], targets: list[Tensor]) -> Tensor:
    """The flow grids [T, 2, H/2, W/2], coarse to fine."""
    coarsest = len(onsets) - 1
    reach_px = SETTINGS.reach * min(onsets[0].shape[2:])
    count, _, height, width = onsets[-1].shape
    grid = onsets[0].new_zeros(count, 2, height // CELL, width // CELL)
    for _ in range(REGISTRATIONS):
        data, _ = compared(onsets[-1], targets[-1], grid)
        grid = grid + affine_step(data)
    drift = torch.zeros_like(grid)
    curvature = torch.full((count, 1, 1, 1), FIRST_CURVATURE, device=grid.device)
    for level in range(coarsest, -1, -1):
        if level < coarsest:
            grid, drift = 2 * upsample(grid), 2 * upsample(drift)
        anchor = (CELL * 2.0**level / reach_px) ** 4
        scale = 4.0**level * CELL**2
        for _ in range(1 if level else SETTINGS.warps):
            data, right = compared(onsets[level], targets[level], grid)
            for turn in range(3 if level == coarsest else 1):
                stiffness = 1 / (SETTINGS.independent * curvature * scale * CELL**2)
                if level == coarsest:
                    pull = stiffness * anchor
                    left = anchored(data, pull)
                    grid = relax(left, right + pull * drift, stiffness, grid, SETTINGS.iterations)
                    drift = affine_part(data, grid) if turn == 0 else drift
                known = trace(data, anchored(data, stiffness * anchor), stiffness)
                energy = (grid * plate(grid)).sum((1, 2, 3), keepdim=True)
                energy = energy + anchor * (grid - drift).square().sum((1, 2, 3), keepdim=True)
                curvature = (energy / (scale * known)).clamp(*CURVATURES)
            stiffness = 1 / (SETTINGS.independent * curvature * scale * CELL**2)
            pull = stiffness * anchor
            left = anchored(data, pull)
            grid = relax(left, right + pull * drift, stiffness, grid, SETTINGS.iterations)
    return grid


def compared(onset: Tensor, target: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    height, width = onset.shape[2:]
    fine = upsample(grid)
    y, x = torch.meshgrid(
        torch.arange(height, device=grid.device),
        torch.arange(width, device=grid.device),
        indexing="ij",
    )
    x, y = 2 * (x + fine[:, 0]) / (width - 1) - 1, 2 * (y + fine[:, 1]) / (height - 1) - 1
    warped = fn.grid_sample(
        target, torch.stack([x, y], -1), "bicubic", padding_mode="border", align_corners=True
    )
    inside = ((x.abs() <= 1) & (y.abs() <= 1))[:, None]
    mean = fn.pad((onset + warped) / 2, (2, 2, 2, 2), mode="replicate")
    gx = (8 * (mean[..., 2:-2, 3:-1] - mean[..., 2:-2, 1:-3]) - mean[..., 2:-2, 4:]) / 12
    gx = gx + mean[..., 2:-2, :-4] / 12
    gy = (8 * (mean[..., 3:-1, 2:-2] - mean[..., 1:-3, 2:-2]) - mean[..., 4:, 2:-2]) / 12
    gy = gy + mean[..., :-4, 2:-2] / 12
    it = warped - onset
    noise = 1.4826 * it.abs().flatten(1).median(1).values.clamp_min(SCALE_FLOOR / 1.4826)
    variance = noise[:, None, None, None] ** 2 + SETTINGS.misfit_px**2 * (gx**2 + gy**2)
    weight = inside / (variance + (it / SETTINGS.outlier) ** 2)
    products = torch.cat([gx * gx, gx * gy, gy * gy, gx * it, gy * it], 1)
    data = fn.avg_pool2d(weight * products, CELL)
    return data, applied(data, grid) - data[:, 3:]


def applied(data: Tensor, grid: Tensor) -> Tensor:
    """The 2x2 blocks of ``data`` times the vectors of ``grid``."""
    u, v = grid[:, :1], grid[:, 1:]
    return torch.cat([data[:, :1] * u + data[:, 1:2] * v, data[:, 1:2] * u + data[:, 2:3] * v], 1)


def anchored(data: Tensor, pull: Tensor) -> Tensor:
    return data[:, :3] + pull * data.new_tensor([1, 0, 1]).view(1, 3, 1, 1)


def plate(grid: Tensor) -> Tensor:
    """Gradient of the sum of squared second differences (half of it)."""

    def adjoint(values: Tensor, dim: int, stencil: tuple[int, ...]) -> Tensor:
        reach = len(stencil) - 1
        pads = (reach, reach, 0, 0) if dim == 3 else (0, 0, reach, reach)
        return difference(fn.pad(values, pads), dim, stencil)

    def difference(values: Tensor, dim: int, stencil: tuple[int, ...]) -> Tensor:
        size = values.shape[dim] - len(stencil) + 1
        return sum(c * values.narrow(dim, k, size) for k, c in enumerate(stencil))  # type: ignore

    second, slope = (1, -2, 1), (-1, 1)
    out = sum(adjoint(difference(grid, dim, second), dim, second) for dim in (2, 3))
    cross = difference(difference(grid, 2, slope), 3, slope)
    return out + 2 * adjoint(adjoint(cross, 2, slope[::-1]), 3, slope[::-1])  # type: ignore


def relax(
    left: Tensor, right: Tensor, stiffness: Tensor, start: Tensor, iterations: int, coarser: int = 2
) -> Tensor:
    if coarser and min(left.shape[2:]) >= 28 and not any(n % 2 for n in left.shape[2:]):
        coarse = downsample(start)
        relaxed = relax(
            downsample(left),
            downsample(right),
            stiffness / 16,
            coarse,
            COARSE_ITERATIONS,
            coarser - 1,
        )
        start = start + upsample(relaxed - coarse)
    return solve(left, right, stiffness, start, iterations)


def solve(left: Tensor, right: Tensor, stiffness: Tensor, start: Tensor, iterations: int) -> Tensor:
    a, b, c = (left[:, k : k + 1] for k in range(3))
    a, c = a + 20 * stiffness + 1e-6, c + 20 * stiffness + 1e-6
    inverse = torch.cat([c, -b, a], 1) / (a * c - b * b)
    x = start
    residual = right - applied(left, x) - stiffness * plate(x)
    direction, before = torch.zeros_like(x), None
    for _ in range(iterations):
        better = applied(inverse, residual)
        rho = (residual * better).sum((1, 2, 3), keepdim=True)
        direction = better if before is None else better + rho / (before + 1e-30) * direction
        before = rho
        product = applied(left, direction) + stiffness * plate(direction)
        alpha = rho / ((direction * product).sum((1, 2, 3), keepdim=True) + 1e-30)
        x, residual = x + alpha * direction, residual - alpha * product
    return x


def trace(data: Tensor, left: Tensor, stiffness: Tensor) -> Tensor:
    data, left, stiffness = downsample(data[:, :3]), downsample(left), stiffness / 16
    first = (data[:, :1] + 1e-12).sqrt()
    cross = data[:, 1:2] / first
    second = (data[:, 2:3] - cross**2).clamp_min(0).sqrt()
    signs = torch.as_tensor(probe(tuple(data.shape[2:])), device=data.device)
    right = torch.cat([first * signs[0], cross * signs[0] + second * signs[1]], 1)
    known = solve(left, right, stiffness, torch.zeros_like(right), COARSE_ITERATIONS)
    return (right * known).sum((1, 2, 3), keepdim=True).clamp_min(1e-3)


def linear_basis(data: Tensor) -> Tensor:
    y, x = (torch.linspace(-1, 1, n, device=data.device) for n in data.shape[2:])
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([torch.ones_like(x), x, y]).flatten(1)


def affine_step(data: Tensor) -> Tensor:
    basis, flat = linear_basis(data), data.flatten(2)
    blocks = torch.einsum("ik,jk,tck->tcij", basis, basis, flat[:, :3])
    rows = [torch.cat([blocks[:, i], blocks[:, j]], 2) for i, j in ((0, 1), (1, 2))]
    normal = torch.cat(rows, 1)
    size = normal.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    normal = normal + torch.eye(6, device=data.device) * (1e-4 * size + 1e-12)
    right = -torch.einsum("ik,tck->tci", basis, flat[:, 3:]).flatten(1)
    step = torch.linalg.solve(normal, right).view(-1, 2, 3)
    return (step @ basis).view(-1, 2, *data.shape[2:])


def affine_part(data: Tensor, grid: Tensor) -> Tensor:
    basis, flat = linear_basis(data), grid.flatten(2)
    weight = (data[:, 0] + data[:, 2]).flatten(1)
    weight = torch.minimum(weight, 4 * weight.mean(1, keepdim=True))
    weights, fit = weight, torch.zeros_like(flat)
    for _ in range(4):
        normal = torch.einsum("ik,jk,tk->tij", basis, basis, weights)
        size = normal.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        normal = normal + torch.eye(3, device=grid.device) * (1e-6 * size + 1e-12)
        right = torch.einsum("ik,tck,tk->tic", basis, flat, weights)
        fit = torch.linalg.solve(normal, right).mT @ basis
        residual = (flat - fit).square().sum(1)
        weights = weight / (1 + residual / (residual.median(1, keepdim=True).values + 1e-8)) ** 2
    return fit.view_as(grid)


def pyramid(images: Tensor) -> list[Tensor]:
    levels = [blurred(images, SETTINGS.presmooth_px)]
    while len(levels) < SETTINGS.levels:
        levels.append(downsample(blurred(levels[-1], 0.5)))
    return levels


def blurred(images: Tensor, sd_px: float) -> Tensor:
    half = torch.as_tensor(taps(sd_px), device=images.device)
    kernel = torch.cat([half.flip(0), half[1:]])
    radius = len(half) - 1
    padded = fn.pad(images, (radius, radius, radius, radius), mode="replicate")
    return fn.conv2d(fn.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def downsample(planes: Tensor) -> Tensor:
    return fn.avg_pool2d(planes, 2)


def upsample(planes: Tensor) -> Tensor:
    return fn.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)
