"""Vertices of a textured head that acts: movements added, lids over eyeballs, the skull turned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ma2mi.motion.compiler import compiler
from ma2mi.synthesis.head_mesh import Floats


def rotation_matrix(yaw: float, pitch: float, roll: float) -> Floats:
    """Yaw first, then pitch, then roll, in degrees, float32 [3, 3]."""
    turn = np.eye(3)
    for angle, (i, j) in ((yaw, (0, 1)), (pitch, (1, 2)), (roll, (2, 0))):
        a, one = np.deg2rad(angle), np.eye(3)
        one[[i, j], [i, j]] = np.cos(a)
        one[i, j], one[j, i] = -np.sin(a), np.sin(a)
        turn = one @ turn
    return turn.astype(np.float32)


@compiler()
def move_vertices(rest: Floats, actions: Floats, weights: Floats) -> Floats:
    """rest + weights x actions [V, 3]."""
    moved = rest.copy()
    for unit in range(len(weights)):
        weight = weights[unit]
        if weight != 0:
            for v in range(actions.shape[1]):
                for k in range(3):
                    moved[v, k] += weight * actions[unit, v, k]
    return moved


@compiler()
def push_out(vertices: Floats, lids: NDArray[np.int64], least: Floats, middle: Floats) -> None:
    """Lids slide over the eyeball: none comes nearer to its middle than ``least``."""
    for n in range(len(lids)):
        v = lids[n]
        x, y, z = vertices[v, 0] - middle[0], vertices[v, 1] - middle[1], vertices[v, 2] - middle[2]
        away = np.sqrt(x * x + y * y + z * z)
        if away < least[n]:
            grow = least[n] / away
            vertices[v, 0] = middle[0] + x * grow
            vertices[v, 1] = middle[1] + y * grow
            vertices[v, 2] = middle[2] + z * grow


@compiler()
def place_head(
    vertices: Floats, skull: Floats, turn: Floats, pivot: Floats, shift: Floats
) -> Floats:
    """Turn the head about the pivot, the neck in part, and move all in front of the camera."""
    placed = np.empty_like(vertices)
    for v in range(len(vertices)):
        for i in range(3):
            turned = pivot[i]
            for j in range(3):
                turned += turn[i, j] * (vertices[v, j] - pivot[j])
            placed[v, i] = skull[v] * turned + (1 - skull[v]) * vertices[v, i] + shift[i]
    return placed
