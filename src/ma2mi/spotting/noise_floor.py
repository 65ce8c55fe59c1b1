"""The noise floor of one face: what its quietest seconds show, at each width of a pulse."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import SCALES_S, Block, pulse
from ma2mi.spotting.settings import SpottingSettings

Floats = NDArray[np.float64]

QUIETEST = 0.1
"""The floor is what the quietest tenth of the recording shows: of a subject who moves all the time,
the typical second shows movement."""
QUIETEST_TO_TYPICAL = 1.2
"""Pure noise has a median second this much above its quietest tenth, measured on still recordings:
so a floor is the noise itself, not its luckiest second."""
QUIET_TOPS = 0.25
GAUSSIAN_TOPS = np.sqrt(-2 * np.log(1 - 0.5 ** (1 / (1 + 1 / (0.7 * np.array(SCALES_S))))))
"""The floor is at least what the largest response of a quiet second (the quietest quarter) would be
the largest of, were it Gaussian: the median of the maximum of n Rayleigh values, n a second's
pulses."""
EVEN, STEPPY = 0.67, 0.62
MOST_STEPPY = 1.5
"""A codec's noise comes in steps: most changes from frame to frame are small, some are not. Their
median is 0.67 of their root mean square where noise is a camera's (0.67 to 0.70 on faces of two
renderers, 30 and 200 fps), and 0.56 to 0.64 after H.264 (crf 23, and a webcam's). From ``EVEN``
down to ``STEPPY`` the floor rises by up to ``MOST_STEPPY``, since the largest steps look like
events. Measured in the quieter half of the seconds."""
BRIEF_S = 5.0
"""In a recording shorter than this an event may fill most seconds: there the floor is at most what
the noise from frame to frame amounts to under a pulse, times ``REDNESS``."""
REDNESS = (1.6, 1.8, 2.3, 3.0, 3.8, 4.5, 5.5, 6.5, 7.5, 8.0)
"""How much more the floor is than white noise would make it, at each of ``SCALES_S``: between still
synthetic faces (1.0 to 3.6) and a quiet real one (1.7 to 13)."""
FROZEN_PX = 0.0025  # no camera is so quiet: a codec has frozen the picture, and what moves in it
CODED_PX = 0.02  # is the codec's refreshing, whose floor is that of coded videos
LEAST_PX = 1e-3


class RunningNoiseFloor:
    """Remembers the noise of the last seconds, and how far the eyes were open.

    Args:
        settings: ``floor_memory_s`` and ``neutral_s``.

    Attributes:
        knows_neutral: the floor is that of the named neutral stretch.
    """

    def __init__(self, settings: SpottingSettings) -> None:
        self.settings = settings
        self.knows_neutral = False
        self._seconds: deque[Floats] = deque()
        self._tops: deque[Floats] = deque()
        self._changes: deque[tuple[float, float]] = deque()
        self._white: Floats | None = None
        self._ahead: list[tuple[Floats, Floats]] = []
        self._eyes: deque[float] = deque()

    def add(self, block: Block, inside: NDArray[np.bool_]) -> None:
        """Add these seconds of a block, and forget the oldest.

        What lies ahead of them counts for now: at the start of a recording it is most of what is
        known. It is added when its turn comes.
        """
        self._white = _white_floor(block)
        memory = max(1, round(self.settings.floor_memory_s))
        for rows in _seconds_of(block, inside):
            named = self._is_named(block.times[rows])
            if named:
                if not self.knows_neutral:
                    self._seconds.clear()
                    self._tops.clear()
                    self._changes.clear()
                    self._eyes.clear()
                self.knows_neutral = True
            if self.knows_neutral and not named:
                continue
            typical, top = _noise(block, rows)
            self._seconds.append(typical)
            self._tops.append(top)
            self._changes.append(_changes(block, rows))
            self._eyes.append(float(np.median(block.eye[rows])))
        while len(self._seconds) > memory and not self.knows_neutral:
            self._seconds.popleft()
            self._tops.popleft()
            self._changes.popleft()
            self._eyes.popleft()
        last = np.flatnonzero(inside)
        ahead = np.arange(len(inside)) > (last[-1] if len(last) else -1)
        self._ahead = [_noise(block, rows) for rows in _seconds_of(block, ahead)]

    def px(self) -> Floats:
        """[scales, regions], px of the crop."""
        ahead = [] if self.knows_neutral else self._ahead
        seconds = np.stack([*self._seconds, *(typical for typical, _ in ahead)])
        if self.knows_neutral:
            floor = np.median(seconds, axis=0)
        else:
            floor = QUIETEST_TO_TYPICAL * np.quantile(seconds, QUIETEST, axis=0)
            if len(seconds) >= BRIEF_S:
                tops = np.stack([*self._tops, *(top for _, top in ahead)])
                tops /= GAUSSIAN_TOPS[:, None]
                floor = np.maximum(floor, np.quantile(tops, QUIET_TOPS, axis=0))
                floor *= 1 + (MOST_STEPPY - 1) * self.steps
            if len(seconds) < BRIEF_S and self._white is not None:
                floor = np.minimum(floor, self._white * np.array(REDNESS)[:, None])
            # White noise falls with a pulse's width; nothing that was measured falls faster.
            widths = np.array(SCALES_S)[:, None] / SCALES_S[0]
            floor = np.maximum(floor, floor[0] / np.sqrt(widths))
        least = CODED_PX if np.median(floor[0]) < FROZEN_PX else LEAST_PX
        return np.asarray(np.maximum(floor, least))

    @property
    def steps(self) -> float:
        """How far the noise comes in steps: 0 is a camera's, 1 a codec's."""
        if not self._changes:
            return 0.0
        size, evenness = np.array(self._changes).T
        typical = float(np.median(evenness[size <= np.median(size)]))
        return float(np.clip((EVEN - typical) / (EVEN - STEPPY), 0.0, 1.0))

    def typical_eye(self, eye: Floats) -> float:
        """The median opening of the eyes, over what is remembered and ``eye``; NaN if unknown."""
        known = np.concatenate([np.array(self._eyes), eye])
        known = known[np.isfinite(known)]
        return float(np.median(known)) if len(known) else np.nan

    def _is_named(self, times: Floats) -> bool:
        """Whether these times lie in the stretch that the user calls neutral."""
        stretch = self.settings.neutral_s
        return bool(stretch and stretch[0] <= times[0] and times[-1] <= stretch[1])


def _seconds_of(block: Block, inside: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The rows of each whole second; a rest counts if there is nothing else."""
    length = max(1, round(1.0 / block.step_s))
    where = np.flatnonzero(inside)
    seconds = [where[start : start + length] for start in range(0, len(where), length)]
    return [rows for rows in seconds if 2 * len(rows) >= length] or seconds[:1]


def _noise(block: Block, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """The typical and the largest response of some rows, [scales, regions] each, px an axis."""
    power = np.square(block.responses[:, rows]).sum(axis=-1)  # [scales, rows, regions]
    # The median of the squared length of a Gaussian pair is 2 ln 2 variances.
    return np.sqrt(np.median(power, axis=1) / (2 * np.log(2))), np.sqrt(power.max(axis=1))


def _changes(block: Block, rows: NDArray[np.intp]) -> tuple[float, float]:
    """Root mean square of what changes from frame to frame in some rows, px, and its evenness: the
    typical change over that; means over regions."""
    second = np.abs(np.diff(block.displacements[rows], 2, axis=0)).reshape(
        max(len(rows) - 2, 0), -1
    )
    if len(second) < 3:
        return 0.0, EVEN
    size = np.sqrt(np.square(second).mean(axis=0))
    evenness = np.median(second, axis=0) / np.maximum(size, 1e-9)
    return float(size.mean()), float(np.median(evenness))


def _white_floor(block: Block) -> Floats | None:
    """[scales, regions], px an axis: the floor if the noise of neighbouring frames were all."""
    if len(block.displacements) < 8:
        return None
    # Second differences are blind to movement that is slow against a frame.
    second = np.diff(block.displacements, 2, axis=0)
    axis = np.median(np.abs(second), axis=0) * 1.4826 / np.sqrt(6)  # [regions, 2]
    white = np.sqrt(np.square(axis).mean(axis=1))
    norms = [float(np.linalg.norm(pulse(scale / block.step_s))) for scale in SCALES_S]
    return np.outer(norms, white)
