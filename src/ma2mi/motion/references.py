"""The flows of OpenCV, kept as they come, to compare ours with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Flow
from ma2mi.errors import optional_part

with optional_part("cv2", "video"):
    import cv2

Gray = NDArray[np.uint8]
"""A picture without colours: H x W."""


def opencv_tvl1() -> Callable[[Gray, Gray], Flow]:
    """OpenCV's TV-L1 with its defaults; about a second for a pair of 224x224 on one thread."""
    solver = cv2.optflow.createOptFlow_DualTVL1()
    return lambda onset, frame: np.asarray(solver.calc(onset, frame, None))


def dis() -> Callable[[Gray, Gray], Flow]:
    """Dense inverse search (Kroeger et al. 2016), fast preset, down to the finest scale."""
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    solver.setFinestScale(0)
    return lambda onset, frame: np.asarray(solver.calc(onset, frame, None))


def farneback() -> Callable[[Gray, Gray], Flow]:
    """Polynomial expansion (Farnebäck 2003), with the parameters of OpenCV's tutorial."""
    return lambda onset, frame: np.asarray(
        cv2.calcOpticalFlowFarneback(onset, frame, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    )


REFERENCES: dict[str, Callable[[], Callable[[Gray, Gray], Flow]]] = {
    "opencv-tvl1": opencv_tvl1,
    "dis": dis,
    "farneback": farneback,
}
