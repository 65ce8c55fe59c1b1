"""The regions of the face that FACS speaks of, and what moves in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError
from ma2mi.motion.strain import optical_strain

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

EYES = (
    (33, 133),
    (362, 263),
)  # outer and inner corner of the right eye, inner and outer of the left
EYE_DISTANCE = 0.32  # of the crop's side, in the template of ``face.align``


@dataclass(frozen=True, slots=True)
class Region:
    """An ellipse on the face, in fractions of the side of the aligned crop (``align.Template``).

    Args:
        landmarks: points of the 478-point mesh whose mean is the centre, where they are known.
        x, y: centre in the crop otherwise: means over ten frontal faces, made symmetrical.
        rx, ry: half axes.
    """

    landmarks: tuple[int, ...]
    x: float
    y: float
    rx: float
    ry: float


def _pair(name: str, right: Region, left: tuple[int, ...]) -> dict[str, Region]:
    mirrored = Region(left, 1 - right.x, right.y, right.rx, right.ry)
    return {f"right_{name}": right, f"left_{name}": mirrored}


# Right is the subject's own right, on the left of the picture.
REGIONS: dict[str, Region] = {
    **_pair("inner_brow", Region((55, 107), 0.433, 0.191, 0.050, 0.040), (285, 336)),
    **_pair(
        "outer_brow", Region((70, 63, 46, 53), 0.244, 0.204, 0.055, 0.040), (300, 293, 276, 283)
    ),
    **_pair("upper_lid", Region((158, 159, 160), 0.338, 0.262, 0.065, 0.020), (385, 386, 387)),
    **_pair("lower_lid", Region((144, 145, 153), 0.343, 0.305, 0.065, 0.025), (373, 374, 380)),
    **_pair("cheek", Region((36, 50, 205), 0.307, 0.452, 0.070, 0.065), (266, 280, 425)),
    **_pair("nose_wing", Region((64, 98, 129), 0.413, 0.466, 0.035, 0.040), (294, 327, 358)),
    **_pair("lip_corner", Region((61,), 0.377, 0.602, 0.040, 0.040), (291,)),
    "upper_lip": Region((0, 13), 0.5, 0.572, 0.085, 0.025),
    "lower_lip": Region((14, 17), 0.5, 0.621, 0.085, 0.030),
    "chin": Region((152, 175, 199), 0.5, 0.790, 0.080, 0.050),
}
FACE = Region((10, 152, 234, 454), 0.5, 0.42, 0.33, 0.43)
EYE_OPENINGS = (
    Region(EYES[0], 0.343, 0.284, 0.080, 0.036),
    Region(EYES[1], 0.657, 0.284, 0.080, 0.036),
)


def region_mask(
    region: Region, shape: tuple[int, int], landmarks: NDArray[Any] | None = None
) -> Mask:
    """Bool [H, W]: the pixels of a region.

    Args:
        region: one of ``REGIONS``, or your own.
        shape: H, W of the crop.
        landmarks: [478, 2] in pixels of the crop (x, y), to place the region on this very face;
            without them the crop must be aligned to the template.

    Raises:
        MotionError: landmarks of another shape, or not finite.
    """
    height, width = shape
    x, y = region.x * width - 0.5, region.y * height - 0.5
    rx, ry = region.rx * width, region.ry * height
    if landmarks is not None:
        points = np.asarray(landmarks, np.float64)
        if points.shape != (478, 2) or not np.isfinite(points).all():
            raise MotionError(f"landmarks must be 478 finite points x, y, not {points.shape}")
        x, y = points[list(region.landmarks)].mean(axis=0)
        right, left = (points[list(eye)].mean(axis=0) for eye in EYES)
        side = float(np.linalg.norm(left - right)) / EYE_DISTANCE
        rx, ry = region.rx * side, region.ry * side
    rows, columns = np.ogrid[:height, :width]
    return np.asarray(((columns - x) / rx) ** 2 + ((rows - y) / ry) ** 2 <= 1)


def region_summary(
    flow: NDArray[Any], *, landmarks: NDArray[Any] | None = None, floor_px: float | None = None
) -> dict[str, dict[str, Plane]]:
    """What moves in each of ``REGIONS``, left and right by the subject's own sides.

    Args:
        flow: [T, H, W, 2] or [H, W, 2], pixels, of an aligned crop, head motion removed.
        landmarks: [478, 2] of the onset, in pixels of the crop; see ``region_mask``.
        floor_px: the recording's noise floor (``NoiseFloor.px``); adds "snr".

    Returns:
        Region to {"u", "v": mean movement in px; "magnitude": length of that mean movement in px;
        "strain": mean optical strain; "snr": magnitude over the noise floor}, each float32 [T].

    Raises:
        MotionError: not a flow, a region outside the image, or a floor that is not above 0.
    """
    field = np.asarray(flow, np.float32)
    strain = optical_strain(field)
    if field.ndim == 3:
        field, strain = field[None], strain[None]
    if floor_px is not None and not floor_px > 0:
        raise MotionError(f"a noise floor of {floor_px} px is no unit")
    summary = {}
    for name, region in REGIONS.items():
        mask = region_mask(region, field.shape[1:3], landmarks)
        if not mask.any():
            raise MotionError("lies outside the image", where=name)
        mean = field[:, mask].mean(axis=1)
        values = {
            "u": mean[:, 0],
            "v": mean[:, 1],
            "magnitude": np.hypot(mean[:, 0], mean[:, 1]),
            "strain": strain[:, mask].mean(axis=1),
        }
        if floor_px is not None:
            values["snr"] = values["magnitude"] / np.float32(floor_px)
        summary[name] = values
    return summary


def face_mask(shape: tuple[int, int], landmarks: NDArray[Any] | None = None) -> Mask:
    """Bool [H, W]: the skin of the face, without the openings of the eyes.

    Gaze and blinks are the strongest movements of a face at rest, and hair and background do not
    move with the head: as ``mask`` of ``flow`` and ``weights`` of the rest this leaves them out.

    Args:
        shape, landmarks: as for ``region_mask``.
    """
    face = region_mask(FACE, shape, landmarks)
    for eye in EYE_OPENINGS:
        face &= ~region_mask(eye, shape, landmarks)
    return face


def expressive_mask(shape: tuple[int, int], landmarks: NDArray[Any] | None = None) -> Mask:
    """Bool [H, W]: all of ``REGIONS``, without the openings of the eyes: ``weights`` of a curve.

    Args:
        shape, landmarks: as for ``region_mask``.
    """
    regions = [region_mask(region, shape, landmarks) for region in REGIONS.values()]
    return np.asarray(np.logical_or.reduce(regions) & face_mask(shape, landmarks))
