"""Head motion: an affine movement fitted to the stable parts of the face, and removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError
from ma2mi.motion.kernels import compiled
from ma2mi.motion.regions import REGIONS, face_mask, region_mask

Plane = NDArray[np.float32]
Floats = NDArray[np.floating]

CONVERGED_PX = 1e-3  # a fit that moves no pixel further than this has converged
EXPRESSIVE = 0.1  # weight of a pixel where expressions show; the rest of the face has 1


@dataclass(frozen=True, slots=True, eq=False)
class RigidMotion:
    """Affine movement of the head in each frame, about the centre of the image.

    Args:
        matrix: float64 [T, 2, 3]: (u, v) = matrix @ (1, x, y), x and y in pixels from the centre.
    """

    matrix: NDArray[np.float64]

    @property
    def translation_px(self) -> NDArray[np.float64]:
        """[T, 2], u right and v down, at the centre of the image."""
        return self.matrix[:, :, 0]

    @property
    def rotation_rad(self) -> NDArray[np.float64]:
        """[T], clockwise as seen in the picture, for small angles."""
        return (self.matrix[:, 1, 1] - self.matrix[:, 0, 2]) / 2

    @property
    def growth(self) -> NDArray[np.float64]:
        """[T], 0.01 where the face becomes one percent larger."""
        return (self.matrix[:, 0, 1] + self.matrix[:, 1, 2]) / 2

    @property
    def shear(self) -> NDArray[np.float64]:
        """[T, 2]: stretch of x against y, and of the diagonals against each other."""
        stretch = (self.matrix[:, 0, 1] - self.matrix[:, 1, 2]) / 2
        return np.stack([stretch, (self.matrix[:, 0, 2] + self.matrix[:, 1, 1]) / 2], axis=1)

    def maps(self, height: int, width: int) -> NDArray[np.float64]:
        """[T, 3, 3]: where the head takes each pixel, (x', y', 1) = map @ (x, y, 1)."""
        out = np.tile(np.eye(3), (len(self.matrix), 1, 1))
        out[:, :2, :2] += self.matrix[:, :, 1:]
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        out[:, :2, 2] = self.matrix[:, :, 0] - self.matrix[:, :, 1:] @ centre
        return out

    def field(self, height: int, width: int) -> Plane:
        """The movement as a flow, float32 [T, H, W, 2]."""
        return np.stack([_affine(one, height, width) for one in self.matrix])


def stable_weights(
    shape: tuple[int, int], landmarks: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Weight of each pixel of a face in the fit of the head's motion, [H, W] in [0, 1].

    Args:
        shape: H, W.
        landmarks: [478, 2] in pixels of the crop; without them the crop must be aligned.
    """
    weights = face_mask(shape, landmarks).astype(np.float64)
    for region in REGIONS.values():
        weights[region_mask(region, shape, landmarks)] *= EXPRESSIVE
    return weights


def remove_rigid(
    flow: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    landmarks: NDArray[Any] | None = None,
    rounds: int = 8,
) -> tuple[Plane, RigidMotion]:
    """Take translation, rotation, scale and shear of the head out of a flow.

    Least squares over the face, above all its stable parts (forehead, nose bridge, whatever is none
    of ``REGIONS``), reweighted (Cauchy) so that what moves by itself does not count.

    Args:
        flow: [T, H, W, 2] or [H, W, 2], pixels.
        weights: [H, W], at least 0, instead of those parts; :func:`stable_weights` once, where
            many flows share their landmarks.
        landmarks: [478, 2] of the onset in pixels of the crop, to place the stable regions;
            without them (and weights) the crop must be aligned.

    Returns:
        The residual, float32 of ``flow``'s shape, and the movement removed.

    Raises:
        MotionError: not a flow, NaN, or weights that leave fewer than three pixels.
    """
    field = np.ascontiguousarray(flow, np.float32)
    single = field.ndim == 3
    field = field[None] if single else field
    if field.ndim != 4 or field.shape[-1] != 2 or not np.isfinite(field).all():
        raise MotionError(f"flow must be finite [T, H, W, 2], not {np.shape(flow)}")
    height, width = field.shape[1:3]
    if weights is None:
        initial = stable_weights((height, width), landmarks)
    else:
        initial = np.asarray(weights, np.float64)
    if initial.shape != (height, width) or (initial < 0).any() or np.count_nonzero(initial) < 3:
        raise MotionError("need [H, W], at least 0, above 0 in three pixels", where="weights")
    # Every third pixel each way constrains six parameters as well, in a ninth of the time.
    step = 3 if np.count_nonzero(initial[::3, ::3]) >= 500 else 1
    fits = [_fit(frame, initial, step, rounds) for frame in field]
    motion = RigidMotion(np.stack(fits))
    residual = field - motion.field(height, width)
    return (residual[0] if single else residual), motion


@compiled
def _fit(flow: Plane, initial: Floats, step: int, rounds: int) -> Floats:
    """The matrix [2, 3] that fits every ``step``-th pixel's movement best."""
    height, width = initial.shape
    basis, moved, start = (
        np.empty((initial.size, 3)),
        np.empty((initial.size, 2)),
        np.empty(initial.size),
    )
    count, radius = 0, 1.0
    for row in range(0, height, step):
        for column in range(0, width, step):
            if initial[row, column] > 0:
                x, y = column - (width - 1) / 2, row - (height - 1) / 2
                basis[count, 0], basis[count, 1], basis[count, 2] = 1.0, x, y
                moved[count] = flow[row, column]
                start[count] = initial[row, column]
                radius = max(radius, abs(x), abs(y))
                count += 1
    weights, residual = start[:count].copy(), np.empty(count)
    solution: Floats = np.zeros((3, 2))
    for _ in range(rounds):
        normal, right = np.zeros((3, 3)), np.zeros((3, 2))
        for n in range(count):
            for i in range(3):
                share = weights[n] * basis[n, i]
                for j in range(3):
                    normal[i, j] += share * basis[n, j]
                for c in range(2):
                    right[i, c] += share * moved[n, c]
        for i in range(3):
            normal[i, i] *= 1 + 1e-9
            normal[i, i] += 1e-12
        before, solution = solution, np.linalg.solve(normal, right)
        if np.abs(solution - before).sum(axis=0).max() * radius < CONVERGED_PX:
            break
        for n in range(count):
            u, v = moved[n, 0], moved[n, 1]
            for i in range(3):
                u -= basis[n, i] * solution[i, 0]
                v -= basis[n, i] * solution[i, 1]
            residual[n] = u * u + v * v
        scale = np.median(residual) + 1e-8
        for n in range(count):
            weights[n] = start[n] / (1 + residual[n] / scale) ** 2
    return solution.T.copy()


@compiled
def _affine(matrix: Floats, height: int, width: int) -> Plane:
    """The flow [H, W, 2] of one frame's matrix [2, 3]."""
    out = np.empty((height, width, 2), np.float32)
    for row in range(height):
        y = row - (height - 1) / 2
        for column in range(width):
            x = column - (width - 1) / 2
            for c in range(2):
                out[row, column, c] = matrix[c, 0] + matrix[c, 1] * x + matrix[c, 2] * y
    return out
