"""Flow between two aligned crops by the estimators of other people, at several settings."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ma2mi.motion import flow

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]


def _tvl1(weight: float) -> Callable[[Image, Image], Plane]:
    solver = cv2.optflow.createOptFlow_DualTVL1()
    solver.setLambda(weight)
    return lambda first, second: solver.calc(first, second, None)


def _farneback(window: int, polynomial: tuple[int, float]) -> Callable[[Image, Image], Plane]:
    return lambda first, second: cv2.calcOpticalFlowFarneback(
        first, second, None, 0.5, 3, window, 3, *polynomial, 0
    )


def _dis(preset: int, refinements: int) -> Callable[[Image, Image], Plane]:
    solver = cv2.DISOpticalFlow.create(preset)
    solver.setFinestScale(0)
    solver.setVariationalRefinementIterations(refinements)
    return lambda first, second: solver.calc(first, second, None)


def _deep_flow() -> Callable[[Image, Image], Plane]:
    solver = cv2.optflow.createOptFlow_DeepFlow()
    return lambda first, second: solver.calc(first, second, None)


_OTHERS: dict[str, Callable[[], Callable[[Image, Image], Plane]]] = {
    "tvl1-smooth": lambda: _tvl1(0.06),
    "farneback-wide": lambda: _farneback(25, (7, 1.5)),
    "dis-medium": lambda: _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 5),
    "dis-smooth": lambda: _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 25),
    "deep-flow": _deep_flow,
}

TRAINED = (
    "thin-plate",
    "opencv-tvl1",
    "tvl1-smooth",
    "farneback",
    "farneback-wide",
    "dis",
    "dis-medium",
    "dis-smooth",
)
"""Estimators that the training sees: ours with its default settings, and other people's."""

UNSEEN = "deep-flow"
"""The estimator that no training and no calibration sees (Weinzaepfel et al., ICCV 2013)."""


def measure(first: Image, second: Image, method: str) -> Plane:
    """Movement from one crop to the other, float32 [S, S, 2] in pixels.

    Args:
        first, second: uint8 [S, S, 3], RGB, under one warp.
        method: of ``ma2mi.motion.Method``, or one of this module.
    """
    cv2.setNumThreads(1)
    if method not in _OTHERS:
        return flow(first, second[None], method=method)[0]  # type: ignore[arg-type]
    grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second))
    return np.asarray(_OTHERS[method]()(*grey), np.float32)
