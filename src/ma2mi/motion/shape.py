"""The shape of a face in its own frame: landmarks with the head's pose and size taken out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import gaussian_filter

from ma2mi.arrays import Flow
from ma2mi.face.landmarks import LEFT_LIP_CORNER, RIGHT_LIP_CORNER, Face
from ma2mi.motion.regions import REGIONS

Floats = NDArray[np.float64]

EYE_DISTANCE_PX = 56.32  # between the eyes' outer corners in the aligned crop of 128 px
BLUR_SHARE = 1 / 64  # of the crop's width: standard deviation of the blur of a landmark flow
EYELIDS = ((159, 145), (386, 374))  # upper and lower edge of the right and of the left eye
LIPS = (13, 14)  # inner edges
_SIDES = (
    (33, 263),
    (133, 362),
    (127, 356),
    (234, 454),
    (21, 251),
    (162, 389),
    (54, 284),
    (103, 332),
)
_HALF = (
    (-0.500, 0.000, 0.000),
    (-0.210, 0.001, -0.059),
    (-0.785, 0.104, 0.541),
    (-0.781, 0.276, 0.564),
    (-0.733, -0.236, 0.341),
    (-0.769, -0.081, 0.460),
    (-0.662, -0.380, 0.227),
    (-0.550, -0.496, 0.100),
)
_RIDGE = {
    168: (0.0, -0.082, -0.234),
    6: (0.0, -0.006, -0.295),
    197: (0.0, 0.061, -0.362),
    195: (0.0, 0.123, -0.435),
    5: (0.0, 0.189, -0.508),
    4: (0.0, 0.272, -0.547),
    1: (0.0, 0.346, -0.533),
}
STABLE: dict[int, tuple[float, float, float]] = {
    **{pair[0]: position for pair, position in zip(_SIDES, _HALF, strict=True)},
    **{pair[1]: (-x, y, z) for pair, (x, y, z) in zip(_SIDES, _HALF, strict=True)},
    **_RIDGE,
}
"""Landmarks that expressions hardly move (eye corners, temples, ridge of the nose), and where they
lie in the frame: right, down and away, in distances between the eyes' outer corners from the middle
between them. Means over 25 faces as the landmark net sees them, made symmetrical; the frame is
level where the bridge lies as in ``align.Template``."""

_INDICES = np.array([*STABLE])
_POSITIONS = np.array([*STABLE.values()])
_CENTRE = _POSITIONS.mean(axis=0)
_SPREAD = _POSITIONS - _CENTRE
_REGION_POINTS = [list(region.landmarks) for region in REGIONS.values()]


class Shape(NamedTuple):
    """A face in its own frame.

    Args:
        positions: float64 [len(REGIONS), 2], of each of ``REGIONS``, right and down of the middle
            between the eyes, px of the aligned crop of 128 px (eyes ``EYE_DISTANCE_PX`` apart).
        turn: float64 [3], yaw, pitch and roll of the head in degrees; 0 faces the camera.
        eye: mean opening of both eyes, shares of the distance between the eyes' outer corners.
        mouth: opening of the mouth between the inner edges of the lips, likewise.
        width: of the mouth, likewise.
        points: float32 [478, 2], all landmarks, as ``positions``.
    """

    positions: Floats
    turn: Floats
    eye: float
    mouth: float
    width: float
    points: NDArray[np.float32]


def face_shape(face: Face) -> Shape | None:
    """Take the head's rotation, position and size out of the landmarks; None without depths.

    The similarity between ``STABLE`` and the landmarks is that of Umeyama (1991, IEEE PAMI 13(4))
    in three dimensions. What a turn of the head leaves is the error of the net's depths: about
    0.06 px a degree.
    """
    if face.depths is None:
        return None
    points = np.column_stack([face.points, face.depths]).astype(np.float64)
    seen = points[_INDICES]
    middle = seen.mean(axis=0)
    spread = seen - middle
    power = float(np.square(spread).sum())
    if not np.isfinite(power) or power == 0:
        return None
    u, size, v = np.linalg.svd(_SPREAD.T @ spread)
    mirrored = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    turn = (u * mirrored) @ v  # from the image to the face's own frame
    scale = float(size @ mirrored) / power
    own = scale * (points - middle) @ turn.T + _CENTRE
    yaw = np.arctan2(turn[0, 2], turn[2, 2])
    pitch = np.arcsin(np.clip(-turn[1, 2], -1, 1))
    roll = np.arctan2(turn[1, 0], turn[0, 0])
    eyes = [_apart(own, pair) for pair in EYELIDS]
    flat = EYE_DISTANCE_PX * own[:, :2]
    return Shape(
        np.array([flat[indices].mean(axis=0) for indices in _REGION_POINTS]),
        np.degrees([yaw, pitch, roll]),
        sum(eyes) / len(eyes),
        _apart(own, LIPS),
        _apart(own, (RIGHT_LIP_CORNER, LEFT_LIP_CORNER)),
        flat.astype(np.float32),
    )


def landmark_flow(
    positions: NDArray[np.floating], moved: NDArray[np.floating], shape: tuple[int, int]
) -> Flow:
    """A flow from what the landmarks did: for movements of many pixels, which no flow follows.

    Linear between the landmarks, zero outside the face, slightly blurred: landmarks jitter one by
    one, skin does not.

    Args:
        positions: [478, 2], where the landmarks are in the crop before the movement, px.
        moved: [478, 2], how far each goes, px of that crop.
        shape: H, W of the crop.

    Returns:
        float32 [H, W, 2], px right and down.
    """
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    field = LinearNDInterpolator(positions, moved, fill_value=0)(columns, rows)
    blur = BLUR_SHARE * shape[1]
    return np.asarray(gaussian_filter(field, (blur, blur, 0), mode="nearest"), np.float32)


def _apart(points: Floats, pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))
