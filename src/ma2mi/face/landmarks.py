"""A face and its landmarks: points of the 478-point mesh, left and right by the subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.face.boxes import Box

Floats = NDArray[np.float32]

# Landmarks of the 478-point mesh. Corners and bridge hardly move in expressions.
RIGHT_EYE_OUTER, RIGHT_EYE_INNER = 33, 133
LEFT_EYE_INNER, LEFT_EYE_OUTER = 362, 263
NOSE_BRIDGE = (168, 6, 197, 195)  # from between the eyes downward
NOSE_BASE = 2
RIGHT_LIP_CORNER, LEFT_LIP_CORNER = 61, 291
RIGHT_BROW, LEFT_BROW = (70, 63, 105, 66, 107), (300, 293, 334, 296, 336)  # outer to inner end
FOREHEAD, CHIN = 10, 152


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one image.

    Args:
        points: float32 [478, 2], pixels, x right and y down, (0, 0) the first pixel's centre.
        confidence: the landmark net's confidence that this is a face, in [0, 1].
        box: x0, y0, x1, y1 around the points, in the same pixels.
        depths: float32 [478], away from the camera, in the same pixels, from an origin that means
            nothing: the net's estimate from one image. None where no net gave any.
    """

    points: Floats
    confidence: float
    box: Box
    depths: Floats | None = None
