"""One alias for each array that rooms hand to each other; NumPy's types have no shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture: H x W x 3, RGB, 0 to 255."""

Flow = NDArray[np.float32]
"""Optical flow: H x W x 2, px right and px down, from the first image to the second."""

Points = NDArray[np.float64]
"""Places in an image: N x 2, px right and px down of the centre of the upper left pixel."""
