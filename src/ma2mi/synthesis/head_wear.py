"""What a textured head wears: hair that falls, and glasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ma2mi.synthesis.head_mesh import Doubles, HeadMesh, Vertices
from ma2mi.synthesis.heads import (
    LANDMARKS,
)

GLASSES_RATE = 0.2


@dataclass(frozen=True, eq=False)
class _Thing:
    """Vertices [n, 3], triangles [m, 3], their colours [m, 3, 3], openness and skull [n]."""

    vertices: Doubles
    triangles: Vertices
    colours: Doubles
    openness: Doubles
    skull: Doubles


def _sheet(rows: int, columns: int, closed: bool = False) -> Vertices:
    """Triangles [m, 3] of a grid of vertices in rows; ``closed`` joins last and first column."""
    row, column = np.mgrid[: rows - 1, : columns - (not closed)]
    a, b = row * columns + column, row * columns + (column + 1) % columns
    quads = np.stack([a, a + columns, b + columns, b], axis=-1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def falling_hair(mesh: HeadMesh, rest: Doubles, hair: Doubles, rng: np.random.Generator) -> _Thing:
    """Long hair: a sheet from one temple around the back to the other, seen from both sides."""
    columns, rows = 160, 12
    turn = np.linspace(-1, 1, columns) * np.deg2rad(rng.uniform(102, 116))  # 0 is the back
    fall = np.linspace(0, 1, rows)[:, None]
    scalp = rest[mesh.average[:, 2] > 0.93]
    reach = np.ptp(scalp[:, 0]) / 2, np.ptp(scalp[:, 1]) / 2
    top, length = rest[mesh.landmarks, 2].mean() + 0.055, rng.uniform(0.10, 0.24)
    wider = 1.0 + 0.16 * fall**0.7 + 0.012 * rng.standard_normal(columns)
    x = reach[0] * np.sin(turn) * wider
    y = scalp[:, 1].max() - reach[1] + reach[1] * np.cos(turn) * (wider - 0.05)
    z = top - length * fall * (1 + 0.03 * rng.standard_normal(columns)) + 0 * x
    outside = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    triangles = _sheet(rows, columns)
    strands = hair * (1 + 0.16 * rng.standard_normal(columns).clip(-2, 2))[:, None]
    colours = np.tile(strands, (rows, 1))[triangles]
    count = len(outside)
    return _Thing(
        vertices=np.tile(outside, (2, 1)),
        triangles=np.concatenate([triangles, triangles[:, ::-1] + count]),
        colours=np.concatenate([colours, colours[:, ::-1]]),
        openness=np.repeat([0.8, 0.25], count),
        skull=np.tile(np.repeat(1 - 0.5 * fall[:, 0], columns), 2),
    )


def make_glasses(mesh: HeadMesh, rest: Doubles, rng: np.random.Generator) -> _Thing:
    """Rims, bridge and temples of a random frame."""
    radius = rng.uniform(0.0007, 0.0018)
    half = rng.uniform(0.021, 0.026), rng.uniform(0.015, 0.021)
    power = rng.uniform(2.0, 4.0)  # of the superellipse: round to square
    front = rest[mesh.landmarks[list(LANDMARKS).index("between the eyes")], 1] - 0.003
    paths: list[tuple[Doubles, bool]] = []
    for ball, side in zip(mesh.eyeballs, (-1, 1), strict=True):
        middle = rest[ball].mean(axis=0)
        turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        across, up = (np.sign(w) * np.abs(w) ** (2 / power) for w in (np.cos(turn), np.sin(turn)))
        x = middle[0] + side * 0.001 + half[0] * across
        paths.append((np.stack([x, front + 3.0 * x**2, middle[2] + half[1] * up - 0.003], 1), True))
        inner, outer = (middle[0] + side * (0.001 + way * half[0]) for way in (-1, 1))
        height = middle[2] + 0.3 * half[1]
        ear = np.array([side * (np.abs(rest[mesh.face, 0]).max() + 0.004), 0.0, height])
        hinge = np.array([outer, front + 3.0 * outer**2, height])
        paths.append((hinge + np.linspace(0, 1, 12)[:, None] * (ear - hinge), False))
        share = np.linspace(0, 1, 6)
        x, bend = inner * share, np.sqrt(1 - share**2)
        bridge = np.stack([x, front + 3.0 * x**2 - 0.002 * bend, height + 0.002 * bend], 1)
        paths.append((bridge, False))
    vertices, triangles, count = [], [], 0
    for path, closed in paths:
        tube = _tube(path, radius, closed)
        triangles.append(_sheet(tube.shape[1], tube.shape[0], closed) + count)
        vertices.append(tube.transpose(1, 0, 2).reshape(-1, 3))
        count += len(vertices[-1])
    corners = np.concatenate(triangles)
    corners = np.concatenate([corners, corners[:, ::-1]])
    colour = rng.uniform(8, 60) * rng.normal(1, 0.15, 3)
    return _Thing(
        vertices=np.concatenate(vertices),
        triangles=corners,
        colours=np.broadcast_to(colour, (len(corners), 3, 3)),
        openness=np.full(count, 0.9),
        skull=np.ones(count),
    )


def _tube(path: Doubles, radius: float, closed: bool) -> Doubles:
    """Vertices [len(path), 6, 3] around a path."""
    way = np.gradient(np.concatenate([path[-1:], path, path[:1]]) if closed else path, axis=0)
    way = way[1:-1] if closed else way
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    side = np.cross(way, np.where(np.abs(way[:, 1:2]) < 0.9, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    turn = np.linspace(0, 2 * np.pi, 7)[:, None, None]
    ring = path + radius * (np.cos(turn) * side + np.sin(turn) * np.cross(way, side))
    return np.asarray(ring.transpose(1, 0, 2))


def vertex_normals(vertices: Doubles, triangles: Vertices) -> Doubles:
    """Unit normals [V, 3]."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], across)
    return np.asarray(total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12))
