"""One canonical crop for every face: a similarity that rests on points no expression moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image, Points
from ma2mi.errors import FaceError
from ma2mi.face.detect import resample
from ma2mi.face.landmarks import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    NOSE_BRIDGE,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    Face,
)

Warp = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Template:
    r"""Where the stable points lie in the crop, as fractions of its side from the top left edge.

    ::

        0.00  +-----------------+
        0.10  |   ~~~     ~~~   |   raised brows
        0.29  |   <o>  |  <o>   |   eye corners: 0.28 and 0.41, 0.59 and 0.72 across
              |        |        |
              |      =====      |
        0.84  |      \___/      |   chin at rest; below it room for an open mouth
        1.00  +-----------------+

    The proportions are means over frontal faces, made symmetrical.

    Args:
        size: side of the crop in pixels.
        name, version: belong into the hash of whatever was prepared with this template.
        anchors: landmark, x, y of each stable point.
    """

    size: int = 224
    name: str = "eyes-and-bridge"
    version: int = 1
    anchors: tuple[tuple[int, float, float], ...] = (
        (RIGHT_EYE_OUTER, 0.28, 0.29),
        (RIGHT_EYE_INNER, 0.41, 0.29),
        (LEFT_EYE_INNER, 0.59, 0.29),
        (LEFT_EYE_OUTER, 0.72, 0.29),
        (NOSE_BRIDGE[0], 0.50, 0.256),
        (NOSE_BRIDGE[1], 0.50, 0.288),
        (NOSE_BRIDGE[2], 0.50, 0.317),
    )


def estimate_warp(face: Face, template: Template) -> Warp:
    """The least-squares similarity from a face's stable points to the template's.

    The closed form of Umeyama (1991, IEEE PAMI 13(4)) in two dimensions without reflection, which
    is a linear regression of complex numbers.

    Returns:
        Float64 [2, 3], image pixels to crop pixels; pixel centres are integers in both.

    Raises:
        FaceError: the stable points are not finite, or all at one point.
    """
    points = face.points[[index for index, _, _ in template.anchors]].astype(np.float64)
    targets = np.array([(x, y) for _, x, y in template.anchors]) * template.size - 0.5
    source, target = points @ (1, 1j), targets @ (1, 1j)
    centred = source - source.mean()
    power = float(np.sum(np.abs(centred) ** 2))
    if not np.isfinite(power) or power == 0:
        raise FaceError("eye corners and nose bridge give no direction", hint="Detect it again")
    turn = np.sum(np.conj(centred) * (target - target.mean())) / power
    return _warp(turn, target.mean() - turn * source.mean())


def warp_image(image: Image, warp: Warp, template: Template) -> Image:
    """The crop of ``image`` (uint8 [H, W, 3]) as uint8 [size, size, 3].

    Bilinear; where the face shrinks by more than 1.5 every crop pixel is a mean over its area,
    since bilinear sampling would skip pixels there and turn slight head motion into flicker.
    Outside the image its border pixels go on: a black frame would move against the face.
    """
    return resample(image, warp, template.size)


def warp_points(points: NDArray[np.floating], warp: Warp) -> Points:
    """Points [n, 2] in image pixels as float64 [n, 2] in crop pixels."""
    moved: Points = points.astype(np.float64) @ warp[:, :2].T + warp[:, 2]
    return moved


def _warp(turn: complex, shift: complex) -> Warp:
    """The matrix of z -> turn * z + shift, with z = x + iy."""
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], dtype=np.float64
    )
