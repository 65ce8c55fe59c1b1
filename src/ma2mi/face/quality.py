"""How good a recording is: frame rate, size, blur, compression, flicker, head, hidden parts.

Limits are this project's own choice, written down in ``Limits``; the reasons carry the numbers, so
that a reader may disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import FaceError
from ma2mi.face.landmarks import LEFT_EYE_OUTER, NOSE_BRIDGE, RIGHT_EYE_OUTER, Face

Floats = NDArray[np.float64]
NOSE_TIP = 4
LEAST_PATCH = 24


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """Figures of one frame around one face.

    Args:
        eye_distance_px: between the eyes' outer corners, in the image.
        blur: 0 (every pixel its own) to 1 (all alike); see ``blur_of``.
        blockiness: excess of brightness steps on the 8-pixel grid of JPEG and MPEG; 0 is none.
        luma: mean brightness of the face, 0..255.
        clipped: share of the face's pixels that are black or white, in [0, 1].
        turned: how far the face is turned aside, 0 (frontal) to 1 (profile).
        x, y: middle of the nose bridge in image pixels.
        confidence: the landmark net's, in [0, 1].
    """

    eye_distance_px: float
    blur: float
    blockiness: float
    luma: float
    clipped: float
    turned: float
    x: float
    y: float
    confidence: float


def measure_frame(image: Image, face: Face) -> FrameQuality:
    """Measure one frame around one face; a fraction of a millisecond to a few.

    Args:
        image: uint8 [H, W, 3], RGB, as decoded: scaling hides blur and blocks.
        face: its landmarks.

    Raises:
        FaceError: not such an image, or a face outside of it.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise FaceError(f"image is {image.dtype} {list(image.shape)}", hint="Give uint8 RGB")
    height, width = image.shape[:2]
    x0, y0, x1, y1 = face.box
    # Whole blocks of 8, so that the compression's grid is known.
    left, top = (int(max(edge, 0)) // 8 * 8 for edge in (x0, y0))
    right, bottom = int(min(x1, width)), int(min(y1, height))
    if right - left < LEAST_PATCH or bottom - top < LEAST_PATCH:
        raise FaceError("the face lies outside the image or is tiny")
    middle = (left + right) // 2 // 8 * 8, (top + bottom) // 2 // 8 * 8
    left, top = max(left, middle[0] - 256), max(top, middle[1] - 256)
    right, bottom = min(right, middle[0] + 256), min(bottom, middle[1] + 256)
    patch = image[top:bottom, left:right].astype(np.float64) @ (0.299, 0.587, 0.114)
    points = face.points.astype(np.float64)
    eyes = points[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    across = eyes[1] - eyes[0]
    distance = float(np.hypot(*across))
    # Where the nose's tip lies between the eyes: 1/2 is frontal, 0 or 1 in line with one eye.
    between = float((points[NOSE_TIP] - eyes[0]) @ across) / max(distance**2, 1e-9)
    bridge = points[list(NOSE_BRIDGE)].mean(axis=0)
    return FrameQuality(
        eye_distance_px=distance,
        blur=blur_of(patch),
        blockiness=blockiness_of(patch),
        luma=float(patch.mean()),
        clipped=float(((patch < 4) | (patch > 251)).mean()),
        turned=float(min(abs(2 * between - 1), 1.0)),
        x=float(bridge[0]),
        y=float(bridge[1]),
        confidence=face.confidence,
    )


def blur_of(patch: Floats) -> float:
    """How little a strong blur takes away, in [0, 1] (Crete et al., SPIE 6492, 2007).

    Args:
        patch: [H, W], brightness, sides of 24 or more.
    """
    worst = 0.0
    for image in (patch, patch.T):
        sums = np.cumsum(np.pad(image, ((5, 4), (0, 0)), mode="edge"), axis=0)
        blurred = (sums[9:] - sums[:-9]) / 9
        steps, left = np.abs(np.diff(image, axis=0)), np.abs(np.diff(blurred, axis=0))
        steps, left = steps[: len(left)], left[: len(steps)]
        total = float(steps.sum())
        lost = float(np.clip(steps - left, 0, None).sum())
        worst = max(worst, (total - lost) / total if total > 0 else 1.0)
    return worst


def blockiness_of(patch: Floats) -> float:
    """By which share brightness steps on the 8-pixel grid exceed the others, at least 0.

    Args:
        patch: [H, W], whose first pixel lies on the grid.
    """
    excess = []
    for image in (patch, patch.T):
        steps = np.abs(np.diff(image, axis=0)).mean(axis=1)  # steps[7] is between blocks
        on_grid = np.arange(len(steps)) % 8 == 7
        others = float(np.median(steps[~on_grid]))
        excess.append(float(np.median(steps[on_grid])) / others - 1 if others > 0 else 0.0)
    return max(float(np.mean(excess)), 0.0)
