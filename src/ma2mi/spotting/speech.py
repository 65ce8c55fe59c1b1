"""Speech, read off the repeated opening of the mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import _Block, _runs, _smooth
from ma2mi.spotting.records import Spotted
from ma2mi.spotting.settings import SpottingSettings

Floats = NDArray[np.float64]


# Of the mouth's opening, in shares of the distance between the eyes.
SPEECH_SPEED = 0.05  # per second, mean over 0.3 s


SPEECH_TURN = 0.006


SPEECH_PAUSE_S = 0.9


@dataclass(slots=True)
class _Speech:
    start_s: float
    end_s: float
    widest_s: float
    widest: float

    def told(self, block: _Block) -> Spotted:
        frames = block.frames_of(self.start_s, self.widest_s, self.end_s)
        return Spotted(*frames, "speech", 1.0, 0.0, ())


def _talking(block: _Block, settings: SpottingSettings) -> NDArray[np.bool_]:
    """Bool [T]: the mouth opens and closes again and again.

    Landmarks miss a mouth that hardly opens, and flow loses one that opens wide: either may say so.
    """
    talking = np.zeros(len(block.times), bool)
    for opening in (block.mouth, block.jaw / settings.eye_distance_px):
        calm = _smooth(opening, 0.05 / block.step_s)
        speed = np.abs(np.gradient(calm, block.step_s))
        busy = _smooth(speed, 0.3 / block.step_s) > SPEECH_SPEED
        for first, stop in _runs(~busy):
            if first > 0 and stop < len(busy) and (stop - first) * block.step_s < SPEECH_PAUSE_S:
                busy[first:stop] = True
        for first, stop in _runs(busy):
            short = (stop - first) * block.step_s < settings.speech_s
            if not short and _turns(calm[first:stop]) >= 3:
                talking[first:stop] = True
    return talking


def _turns(opening: Floats) -> int:
    """How often the opening turns back by more than ``SPEECH_TURN``: once for a single gasp."""
    turns, way, low, high = 0, 0, float(opening[0]), float(opening[0])
    for value in opening.tolist():
        low, high = min(low, value), max(high, value)
        if way >= 0 and value < high - SPEECH_TURN:
            turns, way, low = turns + (way > 0), -1, value
        elif way <= 0 and value > low + SPEECH_TURN:
            turns, way, high = turns + (way < 0), 1, value
    return turns
