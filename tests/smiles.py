"""A brief smile, painted into a picture at the corners of its lips."""

from __future__ import annotations

import cv2
import numpy as np

from ma2mi.face.landmarks import Face


def pull_corners(image: np.ndarray, face: Face, amount: float) -> np.ndarray:
    """The picture with its lip corners pulled up and out by so many pixels, uint8 [H, W, 3]."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = np.zeros_like(x), np.zeros_like(y)
    for corner, way in ((61, -1), (291, 1)):
        cx, cy = face.points[corner]
        weight = amount * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 9.0**2))
        u += 0.7 * way * weight
        v -= 0.7 * weight
    return cv2.remap(image, x - u, y - v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
