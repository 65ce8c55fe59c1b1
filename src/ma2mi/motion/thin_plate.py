"""Thin-plate optical flow, whose stiffness follows from the noise of the recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import SettingsError
from ma2mi.motion import kernels as solver

Plane = NDArray[np.float32]

CELL = 2  # pixels of a level per node of its flow grid
FIRST_CURVATURE = 3e-5  # mean squared second derivative of the flow, before the data speak
CURVATURES = (1e-9, 1e-2)
COARSE_ITERATIONS = 20
REGISTRATIONS = 2  # affine steps at the coarsest level, before any non-rigid step
SMALLEST_REACH_PX = 16.0
SCALE_FLOOR = 0.05  # of 255: the least noise, below the rounding of 8 bits


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """Settings of the thin-plate flow, frozen at what measured best (``benchmarks/flow.py``).

    Args:
        presmooth_px: blur of both images before anything else, sd in pixels, up to 4.
        levels: image scales, each half the size of the last; 3 suit movements of a few pixels.
        warps: times that the finest level is warped and solved again.
        iterations: conjugate gradient steps at the finest grid; coarser grids get 20.
        independent: share of the pixels whose noise counts as independent of its neighbours'.
        misfit_px: error of the model at edges, in pixels: caps the weight of strong edges.
        outlier: brightness differences beyond this many noise sds count less (Cauchy).
        curvature: mean squared second derivative of the movement, of which its stiffness follows.
            By default each frame's own, from the evidence, which loses some small movements.
        reach: how far movement is extrapolated beyond the texture that shows it, as a share of the
            shorter side.
        brightness: "global" takes a gain and an offset of the whole frame out, "local" also
            what changes slowly over the face, "none" neither.
        average_frames: odd number of neighbouring frames averaged before the flow (200 fps).

    Raises:
        SettingsError: a value that cannot be.
    """

    presmooth_px: float = 0.7
    levels: int = 3
    warps: int = 2
    iterations: int = 10
    independent: float = 0.25
    misfit_px: float = 0.03
    outlier: float = 4.0
    curvature: float | None = None
    reach: float = 0.09
    brightness: Literal["global", "local", "none"] = "global"
    average_frames: int = 1

    def __post_init__(self) -> None:
        positive = ("levels", "warps", "iterations", "independent", "outlier", "reach")
        wrong = [name for name in positive if getattr(self, name) <= 0]
        if self.curvature is not None and self.curvature <= 0:
            wrong.append("curvature")
        if not 0 <= self.presmooth_px <= 4:
            wrong.append("presmooth_px")
        if self.misfit_px < 0:
            wrong.append("misfit_px")
        if self.average_frames < 1 or self.average_frames % 2 == 0:
            wrong.append("average_frames")
        if self.brightness not in ("global", "local", "none"):
            wrong.append("brightness")
        if wrong:
            raise SettingsError(
                f"impossible {', '.join(wrong)}",
                where="FlowSettings",
                hint="Sizes are positive, average_frames is odd, brightness one of three words",
            )


class Onset:
    """The frame that movement is measured from; each later frame is followed by ``follow``.

    For a flow d on a grid of one node per 2x2 pixels, the sum over the pixels of

        w (I1(x + d) - I0(x))^2 / noise^2  +  (|second derivatives of d|^2 + |d - a|^2 / r^4) / k

    is made least by warping and conjugate gradients, coarse to fine. The frame of scales and warps
    is that of TV-L1 (Zach, Pock, Bischof 2007); what differs:

    - The smoothness is that of a thin plate: skin is stretched smoothly, and total variation makes
      stairs of it and shrinks what is small.
    - Nothing is tuned by hand to a recording: the noise is the median deviation of what is left
      unexplained, and the mean squared curvature k of the movement follows from the evidence
      (MacKay 1992, "Bayesian interpolation"), its trace from one random probe.
    - Away from texture the flow falls back, within the radius r, to a, the affine movement that
      most of the picture shares.
    - w is Cauchy's weight, and edges are normalised by the misfit they cause; gradients are those
      of the mean of both images (Wedel et al. 2009).

    Args:
        image: float32 [H, W] in 0..255, sides that ``2 ** (levels + 1)`` divides.
        weight: float32 [H, W], 0 where the image does not count.
    """

    def __init__(self, image: Plane, weight: Plane, settings: FlowSettings) -> None:
        self.settings = settings
        self.images = pyramid(image, settings)
        self.weights = [weight]
        while len(self.weights) < settings.levels:
            self.weights.append(solver.downsample(self.weights[-1]))
        self.reach_px = max(settings.reach * min(image.shape), SMALLEST_REACH_PX)
        self.rest = np.zeros((2, image.shape[0] // CELL, image.shape[1] // CELL), np.float32)

    def follow(self, image: Plane, start: Plane | None = None) -> Plane:
        """Flow grid [2, H/2, W/2] in pixels (u, v) to ``image``, from ``start`` if given."""
        settings = self.settings
        targets = pyramid(image, settings)
        starts = [self.rest if start is None else start]
        while len(starts) < settings.levels:
            starts.append(downsample(starts[-1]) * np.float32(0.5))
        coarsest = settings.levels - 1
        grid = self._registered(coarsest, solver.pad_edges(targets[coarsest]), starts[coarsest])
        drift, curvature = np.zeros_like(grid), settings.curvature or FIRST_CURVATURE
        for level in range(coarsest, -1, -1):
            if level < coarsest:
                grid = starts[level] + 2 * upsample(grid - starts[level + 1])
                drift = 2 * upsample(drift)
            target = solver.pad_edges(targets[level])
            for _ in range(1 if level else settings.warps):
                grid, drift, curvature = self._relax_level(
                    level, target, grid, drift, curvature, 3 if level == coarsest else 1
                )
        return np.asarray(grid)

    def _registered(self, level: int, target: Plane, grid: Plane) -> Plane:
        """``grid`` after affine steps: a head that moved must not be taken for noise."""
        for _ in range(REGISTRATIONS):
            data, _ = self._compared(level, target, grid)
            grid = grid + affine_step(data)
        return grid

    def _compared(self, level: int, target: Plane, grid: Plane) -> tuple[Plane, Plane]:
        """The data term around ``grid``: its five products, and the system's right side."""
        settings, onset, weight = self.settings, self.images[level], self.weights[level]
        fine = upsample(grid)
        warped = solver.warp(target, fine)
        noise = max(spread(warped - onset, weight), SCALE_FLOOR)
        tuned = np.array([noise, settings.misfit_px, settings.outlier], np.float32)
        data = solver.tensors(onset, warped, fine, weight, *tuned)
        right = np.stack(
            [
                data[0] * grid[0] + data[1] * grid[1] - data[3],
                data[1] * grid[0] + data[2] * grid[1] - data[4],
            ]
        )
        return data, right

    def _relax_level(
        self, level: int, target: Plane, grid: Plane, drift: Plane, curvature: float, rounds: int
    ) -> tuple[Plane, Plane, float]:
        """One warp at one level: the grid, its affine drift and its curvature, all improved."""
        settings = self.settings
        data, right = self._compared(level, target, grid)
        anchor = np.float32((CELL * 2.0**level / self.reach_px) ** 4)
        # Curvature is counted in pixels of the finest level: 4 times larger on each coarser one.
        scale = 4.0**level * CELL**2

        def system() -> tuple[Plane, np.float32]:
            stiffness = np.float32(1 / (settings.independent * curvature * scale * CELL**2))
            return anchored(data, stiffness * anchor), stiffness

        for turn in range(rounds):
            if rounds > 1:  # nothing is known yet: the curvature is that of a first solution
                left, stiffness = system()
                pulled = right + stiffness * anchor * drift
                grid = relax(left, pulled, stiffness, grid, settings.iterations)
                if turn == 0:
                    drift = affine_part(data[0] + data[2], grid)
            if settings.curvature is not None:
                break
            left, stiffness = system()
            known = trace(data, left, stiffness)
            energy = bending_energy(grid) + float(anchor * np.square(grid - drift).sum())
            curvature = float(np.clip(energy / (scale * known), *CURVATURES))
        left, stiffness = system()
        pulled = right + stiffness * anchor * drift
        return relax(left, pulled, stiffness, grid, settings.iterations), drift, curvature


def relax(
    left: Plane,
    right: Plane,
    stiffness: np.float32,
    start: Plane,
    iterations: int,
    coarser: int = 2,
) -> Plane:
    """Solve for the grid; what is smooth in it on coarser grids first, where steps reach far."""
    if coarser and can_downsample(start):
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
    return np.asarray(solver.solve(left, right, stiffness, start, iterations))


def trace(data: Plane, left: Plane, stiffness: np.float32) -> float:
    """How many numbers the data determine: the trace of inverse(left) data, by one random probe."""
    if can_downsample(left):
        data, left, stiffness = downsample(data[:3]), downsample(left), stiffness / 16
    first = np.sqrt(data[0] + np.float32(1e-12))
    cross = data[1] / first
    second = np.sqrt(np.maximum(data[2] - cross * cross, 0))
    signs = probe(data.shape[1:])
    right = np.stack([first * signs[0], cross * signs[0] + second * signs[1]])
    known = solver.solve(left, right, stiffness, np.zeros_like(right), COARSE_ITERATIONS)
    return max(float((right * known).sum()), 1e-3)


@cache
def probe(shape: tuple[int, int]) -> Plane:
    """Random signs, the same at every call."""
    return np.random.default_rng(7).choice([-1, 1], (2, *shape)).astype(np.float32)


def affine_part(weight: Plane, grid: Plane) -> Plane:
    """The affine flow that most of the textured picture shares (Cauchy, four rounds)."""
    basis = linear_basis(weight.shape)
    flat, weight = grid.reshape(2, -1), np.minimum(weight, 4 * weight.mean()).ravel()
    weights, fit = weight, np.zeros_like(flat)
    for _ in range(4):
        # einsum, since BLAS would wake threads for these few numbers.
        normal = np.einsum("ik,jk,k->ij", basis, basis, weights)
        normal += np.eye(3, dtype=np.float32) * (1e-6 * np.trace(normal) + 1e-12)
        right = np.einsum("ik,ck,k->ic", basis, flat, weights)
        fit = np.einsum("ic,ik->ck", np.linalg.solve(normal, right), basis)
        residual = np.square(flat - fit).sum(axis=0)
        weights = weight / np.square(1 + residual / (median(residual) + np.float32(1e-8)))
    return fit.reshape(grid.shape).astype(np.float32)


def affine_step(data: Plane) -> Plane:
    """The affine flow [2, n, m] that explains the differences best, by least squares."""
    basis = linear_basis(data.shape[1:])
    j11, j12, j22, b1, b2 = data.reshape(5, -1)
    normal = np.empty((6, 6), np.float32)
    for product, rows, columns in ((j11, 0, 0), (j12, 0, 3), (j12, 3, 0), (j22, 3, 3)):
        normal[rows : rows + 3, columns : columns + 3] = np.einsum(
            "ik,jk,k->ij", basis, basis, product
        )
    normal += np.eye(6, dtype=np.float32) * (1e-4 * np.trace(normal) + 1e-12)
    right = -np.concatenate([np.einsum("ik,k->i", basis, b) for b in (b1, b2)])
    step = np.linalg.solve(normal, right).reshape(2, 3)
    return np.asarray(np.einsum("ci,ik->ck", step, basis), np.float32).reshape(2, *data.shape[1:])


@cache
def linear_basis(shape: tuple[int, int]) -> Plane:
    """1, x and y in -1..1 at every node, [3, nodes]."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return np.stack([np.ones_like(x), x, y]).reshape(3, -1).astype(np.float32)


def anchored(data: Plane, pull: np.float32) -> Plane:
    """The blocks of the data term, with the pull towards the drift on their diagonals."""
    left = data[:3].copy()
    left[0] += pull
    left[2] += pull
    return left


def bending_energy(grid: Plane) -> float:
    """Sum of the squared second differences of both planes."""
    buffers = np.zeros((3, grid.shape[1], grid.shape[2] + 2), np.float32)
    product = np.empty(grid.shape[1:], np.float32)
    total = 0.0
    for plane in grid:
        solver.thin_plate_operator(plane, product, buffers)
        total += float(solver.dot(plane, product))
    return max(total, 0.0)


def spread(difference: Plane, weight: Plane) -> float:
    """Standard deviation by the median, of a sample of the pixels that count."""
    step = max(1, min(difference.shape) // 96)
    sample = np.abs(difference[::step, ::step])[weight[::step, ::step] > 0]
    return 1.4826 * float(median(sample)) if sample.size else 0.0


def median(sample: NDArray[Any]) -> Any:
    """As ``np.median`` of one finite axis, in half its time."""
    half, odd = divmod(len(sample), 2)
    if odd:
        return np.partition(sample, half)[half]
    parted = np.partition(sample, (half - 1, half))
    return (parted[half - 1] + parted[half]) / parted.dtype.type(2)


def pyramid(image: Plane, settings: FlowSettings) -> list[Plane]:
    """The presmoothed image, then each time half as large."""
    levels = [solver.smooth(image, taps(settings.presmooth_px))]
    while len(levels) < settings.levels:
        levels.append(solver.downsample(solver.smooth(levels[-1], taps(0.5))))
    return levels


@cache
def taps(sd_px: float) -> Plane:
    """Half of a Gaussian, centre first; the whole sums to 1."""
    if sd_px <= 0:
        return np.ones(1, np.float32)
    half = np.exp(-0.5 * np.square(np.arange(int(np.ceil(3 * sd_px)) + 1) / sd_px))
    return np.asarray(half / (2 * half.sum() - half[0]), np.float32)


def can_downsample(planes: Plane) -> bool:
    return min(planes.shape[1:]) >= 28 and not (planes.shape[1] % 2 or planes.shape[2] % 2)


def downsample(planes: Plane) -> Plane:
    return np.asarray(solver.downsample_all(planes))


def upsample(planes: Plane) -> Plane:
    return np.asarray(solver.upsample_all(planes))
