"""Crops of a face in a running video that show the face still while the head moves."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ma2mi.face.align import Template, Warp, estimate_warp
from ma2mi.face.landmarks import Face

Floats = NDArray[np.float64]

CROP = Template(size=128)
STEADY_S = 0.5  # the head's track is a straight line over this long
LOST_S = 0.25


class SteadyWarp:
    """A face's warp steadied by what went before, so that landmarks' jitter moves no pixel.

    Scale, angle and position are each the end of a straight line fitted to the last half second,
    recent frames counting most. After a gap it starts anew: a lost face may return elsewhere.
    """

    def __init__(self) -> None:
        self._past: deque[tuple[float, Floats]] = deque()

    def push(self, face: Face, time_s: float) -> Warp:
        """Float64 [2, 3], pixels of the next image to pixels of ``CROP``.

        Raises:
            FaceError: landmarks without direction.
        """
        warp = estimate_warp(face, CROP)
        turn, shift = warp[0, 0] + 1j * warp[1, 0], warp[0, 2] + 1j * warp[1, 2]
        # The position of the crop's middle in the image does not swing with angle and scale.
        centre = CROP.size / 2 * (1 + 1j)
        middle = (centre - shift) / turn
        now = np.array([np.log(np.abs(turn)), np.angle(turn), middle.real, middle.imag])
        if self._past and time_s - self._past[-1][0] > LOST_S:
            self._past.clear()
        if self._past:
            before = self._past[-1][1][1]
            now[1] = before + (now[1] - before + np.pi) % (2 * np.pi) - np.pi
        self._past.append((time_s, now))
        while time_s - self._past[0][0] > STEADY_S:
            self._past.popleft()
        log_scale, angle, x, y = self._line_end(time_s)
        turn = np.exp(log_scale + 1j * angle)
        shift = centre - turn * (x + 1j * y)
        return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])

    def _line_end(self, time_s: float) -> Floats:
        ages = np.array([time - time_s for time, _ in self._past])
        values = np.array([value for _, value in self._past])
        if len(ages) < 4:
            return np.asarray(values[-1])
        weights = (1 + ages / (STEADY_S * 1.01)) ** 2
        weights /= weights.sum()
        middle = weights @ ages
        lever = weights * (ages - middle)
        slope = lever @ values / max(float(lever @ (ages - middle)), 1e-12)
        return np.asarray(weights @ values - slope * middle)
