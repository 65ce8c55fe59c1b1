"""Compiled kernels of the flow: presmoothing, warping, and a thin-plate system solved by CG."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ma2mi.motion.compiler import compiler

Plane = NDArray[np.float32]

# Python's own numbers would turn the arithmetic into double precision, at half the speed.
HALF, ONE, TWO, THREE, FOUR, FIVE = (np.float32(n) for n in (0.5, 1, 2, 3, 4, 5))


#: Compiled when first called, about ten seconds for all.
compiled = compiler(fastmath=True, nogil=True)


@compiled
def smooth(image: Plane, taps: Plane) -> Plane:
    """Separable symmetric blur, edges repeated. ``taps``: centre first, fewer than half a side."""
    height, width = image.shape
    radius = taps.size - 1
    rows = np.empty((height + 2 * radius, width), np.float32)
    for y in range(height):
        for x in range(width):
            rows[y + radius, x] = taps[0] * image[y, x]
        for k in range(1, radius + 1):
            tap = taps[k]
            for x in range(k, width - k):
                rows[y + radius, x] += tap * (image[y, x - k] + image[y, x + k])
            for x in range(k):
                rows[y + radius, x] += tap * (image[y, 0] + image[y, x + k])
                far = width - 1 - x
                rows[y + radius, far] += tap * (image[y, far - k] + image[y, width - 1])
    for k in range(radius):
        rows[k] = rows[radius]
        rows[height + radius + k] = rows[height + radius - 1]
    out = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            out[y, x] = taps[0] * rows[y + radius, x]
        for k in range(1, radius + 1):
            tap = taps[k]
            for x in range(width):
                out[y, x] += tap * (rows[y + radius - k, x] + rows[y + radius + k, x])
    return out


@compiled
def downsample(image: Plane) -> Plane:
    """Mean of 2x2 blocks."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    out = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            out[y, x] = np.float32(0.25) * (
                image[2 * y, 2 * x]
                + image[2 * y, 2 * x + 1]
                + image[2 * y + 1, 2 * x]
                + image[2 * y + 1, 2 * x + 1]
            )
    return out


@compiled
def downsample_all(planes: Plane) -> Plane:
    """Means of 2x2 blocks of each plane, [N, H, W] to [N, H/2, W/2]."""
    count, height, width = planes.shape[0], planes.shape[1] // 2, planes.shape[2] // 2
    out = np.empty((count, height, width), np.float32)
    for c in range(count):
        out[c] = downsample(planes[c])
    return out


@compiled
def upsample(grid: Plane) -> Plane:
    """Bilinear refinement of cell-centred values: [n, m] to [2n, 2m]."""
    height, width = grid.shape
    wide = np.empty((height, 2 * width), np.float32)
    near, far = np.float32(0.75), np.float32(0.25)
    for y in range(height):
        for x in range(1, width - 1):
            wide[y, 2 * x] = near * grid[y, x] + far * grid[y, x - 1]
            wide[y, 2 * x + 1] = near * grid[y, x] + far * grid[y, x + 1]
        # Linear continuation at the edge, so that a linear field stays linear.
        wide[y, 0] = near * grid[y, 0] + far * (TWO * grid[y, 0] - grid[y, 1])
        wide[y, 1] = near * grid[y, 0] + far * grid[y, 1]
        last = width - 1
        wide[y, 2 * last] = near * grid[y, last] + far * grid[y, last - 1]
        wide[y, 2 * last + 1] = near * grid[y, last] + far * (
            TWO * grid[y, last] - grid[y, last - 1]
        )
    out = np.empty((2 * height, 2 * width), np.float32)
    last = height - 1
    for x in range(2 * width):
        out[0, x] = near * wide[0, x] + far * (TWO * wide[0, x] - wide[1, x])
        out[2 * last + 1, x] = near * wide[last, x] + far * (
            TWO * wide[last, x] - wide[last - 1, x]
        )
    for y in range(height):
        if y > 0:
            for x in range(2 * width):
                out[2 * y, x] = near * wide[y, x] + far * wide[y - 1, x]
        if y < last:
            for x in range(2 * width):
                out[2 * y + 1, x] = near * wide[y, x] + far * wide[y + 1, x]
    return out


@compiled
def upsample_all(planes: Plane) -> Plane:
    """Each plane refined by ``upsample``, [N, H, W] to [N, 2H, 2W]."""
    out = np.empty((planes.shape[0], 2 * planes.shape[1], 2 * planes.shape[2]), np.float32)
    for c in range(planes.shape[0]):
        out[c] = upsample(planes[c])
    return out


@compiled
def pad_edges(image: Plane) -> Plane:
    """``image`` with its edges repeated two pixels outwards, as ``warp`` wants it."""
    height, width = image.shape
    out = np.empty((height + 4, width + 4), np.float32)
    for y in range(height):
        out[y + 2, 2 : width + 2] = image[y]
        out[y + 2, :2] = image[y, 0]
        out[y + 2, width + 2 :] = image[y, width - 1]
    for k in range(2):
        out[k] = out[2]
        out[height + 2 + k] = out[height + 1]
    return out


@compiled
def warp(padded: Plane, flow: Plane) -> Plane:
    """The image at (x + u, y + v) by Keys' cubic convolution; positions clamped to the image.

    ``padded``: [H + 4, W + 4] from ``pad_edges``; ``flow``: [2, H, W].
    """
    height, width = flow.shape[1:]
    out = np.empty((height, width), np.float32)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    for y in range(height):
        for x in range(width):
            px = min(max(np.float32(x) + flow[0, y, x], np.float32(0)), right)
            py = min(max(np.float32(y) + flow[1, y, x], np.float32(0)), bottom)
            ix, iy = int(px), int(py)
            t, s = px - np.float32(ix), py - np.float32(iy)
            a0 = HALF * t * (t * (TWO - t) - ONE)
            a1 = HALF * (TWO + t * t * (THREE * t - FIVE))
            a2 = HALF * t * (ONE + t * (FOUR - THREE * t))
            a3 = HALF * t * t * (t - ONE)
            b0 = HALF * s * (s * (TWO - s) - ONE)
            b1 = HALF * (TWO + s * s * (THREE * s - FIVE))
            b2 = HALF * s * (ONE + s * (FOUR - THREE * s))
            b3 = HALF * s * s * (s - ONE)
            k = ix + 1
            r0, r1, r2, r3 = padded[iy + 1], padded[iy + 2], padded[iy + 3], padded[iy + 4]
            out[y, x] = (
                b0 * (a0 * r0[k] + a1 * r0[k + 1] + a2 * r0[k + 2] + a3 * r0[k + 3])
                + b1 * (a0 * r1[k] + a1 * r1[k + 1] + a2 * r1[k + 2] + a3 * r1[k + 3])
                + b2 * (a0 * r2[k] + a1 * r2[k + 1] + a2 * r2[k + 2] + a3 * r2[k + 3])
                + b3 * (a0 * r3[k] + a1 * r3[k + 1] + a2 * r3[k + 2] + a3 * r3[k + 3])
            )
    return out


@compiled
def tensors(
    onset: Plane,
    warped: Plane,
    flow: Plane,
    weight: Plane,
    noise: np.float32,
    misfit: np.float32,
    cutoff: np.float32,
) -> Plane:
    """Data term in 2x2 cells: the five products [5, H/2, W/2] of gradient and difference.

    Gradients are those of the mean of both images (Wedel et al. 2009), five taps; ``weight``
    is the user's mask; what leaves the image counts nothing; differences beyond ``cutoff`` count
    less (Cauchy), as lids and glints do.
    """
    height, width = onset.shape
    mean = pad_edges(np.float32(0.5) * (onset + warped))
    near, far = np.float32(8 / 12), np.float32(1 / 12)
    base, grow = noise * noise, misfit * misfit
    scale = ONE / (cutoff * cutoff)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    out = np.zeros((5, height // 2, width // 2), np.float32)
    scratch = np.empty((5, width), np.float32)
    gx, gy, it, w, row = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    # One array written per loop: with more, the compiler gives up vectorising.
    for y in range(height):
        up2, up, here, down, down2 = mean[y], mean[y + 1], mean[y + 2], mean[y + 3], mean[y + 4]
        u, v, given = flow[0, y], flow[1, y], weight[y]
        for x in range(width):
            gx[x] = near * (here[x + 3] - here[x + 1]) - far * (here[x + 4] - here[x])
        for x in range(width):
            gy[x] = near * (down[x + 2] - up[x + 2]) - far * (down2[x + 2] - up2[x + 2])
        for x in range(width):
            it[x] = warped[y, x] - onset[y, x]
        for x in range(width):
            tx, ty = np.float32(x) + u[x], np.float32(y) + v[x]
            inside = min(tx, right - tx, ty, bottom - ty) >= np.float32(0)
            variance = base + grow * (gx[x] * gx[x] + gy[x] * gy[x]) + it[x] * it[x] * scale
            w[x] = given[x] / variance if inside else np.float32(0)
        for c in range(5):
            a = gx if c == 0 or c == 1 or c == 3 else gy
            b = gx if c == 0 else (gy if c < 3 else it)
            for x in range(width):
                row[x] = w[x] * a[x] * b[x]
            into = out[c, y // 2]
            for x in range(width // 2):
                into[x] += np.float32(0.25) * (row[2 * x] + row[2 * x + 1])
    return out


@compiled
def thin_plate_operator(field: Plane, out: Plane, buffers: Plane) -> None:
    """The thin-plate operator, the gradient of the bending energy, of one plane into ``out``.

    Natural borders; linear fields cost nothing.

    ``field``, ``out``: [H, W]; ``buffers``: [3, H, W + 2], whose untouched edges stay zero.
    """
    height, width = field.shape
    xx, yy, xy = buffers[0], buffers[1], buffers[2]
    for y in range(height):
        for x in range(1, width - 1):
            xx[y, x + 1] = field[y, x - 1] - TWO * field[y, x] + field[y, x + 1]
    for y in range(1, height - 1):
        for x in range(width):
            yy[y, x + 1] = field[y - 1, x] - TWO * field[y, x] + field[y + 1, x]
    for y in range(height - 1):
        for x in range(width - 1):
            xy[y, x + 1] = field[y + 1, x + 1] - field[y + 1, x] - field[y, x + 1] + field[y, x]
    for y in range(height):
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        # yy and xy are zero on the edge rows that a clamped index repeats, except xy[0].
        keep = np.float32(2.0 if y > 0 else 0.0)
        for x in range(width):
            out[y, x] = (
                xx[y, x]
                - TWO * xx[y, x + 1]
                + xx[y, x + 2]
                + yy[up, x + 1]
                - TWO * yy[y, x + 1]
                + yy[down, x + 1]
                + TWO * (xy[y, x + 1] - xy[y, x])
                - keep * (xy[up, x + 1] - xy[up, x])
            )


@compiled
def dot(a: Plane, b: Plane) -> np.float32:
    total = np.float32(0)
    for y in range(a.shape[0]):
        for x in range(a.shape[1]):
            total += a[y, x] * b[y, x]
    return total


@compiled
def solve(data: Plane, right: Plane, stiffness: np.float32, start: Plane, iterations: int) -> Plane:
    """(J + stiffness * thin plate) d = right, by conjugate gradients with 2x2 blocks.

    ``data``: [>=3, H, W] with J11, J12, J22; ``right``, ``start``: [2, H, W]. Returns [2, H, W].
    """
    height, width = data.shape[1:]
    j11, j12, j22 = data[0], data[1], data[2]
    x = start.copy()
    residual = np.empty_like(x)
    product = np.empty_like(x)
    better = np.empty_like(x)
    buffers = np.zeros((3, height, width + 2), np.float32)
    inverse = np.empty((3, height, width), np.float32)
    diagonal = np.float32(20) * stiffness + np.float32(1e-6)
    # One array written per loop: with more, the compiler gives up vectorising.
    for r in range(height):
        scale = product[0, r]
        for k in range(width):
            scale[k] = ONE / (
                (j11[r, k] + diagonal) * (j22[r, k] + diagonal) - j12[r, k] * j12[r, k]
            )
        for k in range(width):
            inverse[0, r, k] = (j22[r, k] + diagonal) * scale[k]
        for k in range(width):
            inverse[1, r, k] = -j12[r, k] * scale[k]
        for k in range(width):
            inverse[2, r, k] = (j11[r, k] + diagonal) * scale[k]
    for c in range(2):
        thin_plate_operator(x[c], product[c], buffers)
        near, far = data[2 * c], data[1]
        for r in range(height):
            for k in range(width):
                residual[c, r, k] = right[c, r, k] - stiffness * product[c, r, k]
            for k in range(width):
                residual[c, r, k] -= near[r, k] * x[c, r, k] + far[r, k] * x[1 - c, r, k]
    direction = np.zeros_like(x)
    before = ONE
    first = np.float32(0)
    for turn in range(iterations):
        rho = np.float32(0)
        for c in range(2):
            near, far = inverse[2 * c], inverse[1]
            for r in range(height):
                for k in range(width):
                    better[c, r, k] = (
                        near[r, k] * residual[c, r, k] + far[r, k] * residual[1 - c, r, k]
                    )
            rho += dot(residual[c], better[c])
        if turn == 0:
            first = rho
        if rho <= np.float32(1e-7) * first or rho <= np.float32(1e-20):
            break
        beta = rho / before if turn else np.float32(0)
        before = rho
        for c in range(2):
            for r in range(height):
                for k in range(width):
                    direction[c, r, k] = better[c, r, k] + beta * direction[c, r, k]
            thin_plate_operator(direction[c], product[c], buffers)
        curve = np.float32(0)
        for c in range(2):
            near, far = data[2 * c], data[1]
            for r in range(height):
                for k in range(width):
                    product[c, r, k] = (
                        stiffness * product[c, r, k]
                        + near[r, k] * direction[c, r, k]
                        + far[r, k] * direction[1 - c, r, k]
                    )
            curve += dot(direction[c], product[c])
        alpha = rho / curve
        for c in range(2):
            for r in range(height):
                for k in range(width):
                    x[c, r, k] += alpha * direction[c, r, k]
                for k in range(width):
                    residual[c, r, k] -= alpha * product[c, r, k]
    return x
