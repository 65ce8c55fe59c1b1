"""The typical step between two frames, whatever single steps are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

Number = TypeVar("Number", float, Fraction)
RECENT_STEPS = 256  # of the newest frames, whose median is the typical step between two frames
KEPT_STEPS = 1024  # of a whole video


def typical_step(steps: Sequence[Number]) -> Number:
    """The step between frames that no pause, gap or lost frame distorts.

    It is the mean of the steps that differ from their median by less than half of it: clocks that
    count milliseconds show 30 frames a second as steps of 33, 33 and 34 ms, and a plain median
    would make 30.3 of them.

    Args:
        steps: seconds between frames that follow one another, at least one, all above 0.
    """
    middle = statistics.median_low(steps)
    typical = [step for step in steps if abs(step - middle) < middle / 2]
    return sum(typical[1:], typical[0]) / len(typical)


class FrameSteps:
    """Steps between the frames of a video of any length, summed up in constant memory.

    Attributes:
        sample: an even sample of them, seconds.
        longest_s: the longest step so far, seconds.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.sample: list[float] = []
        self._before_s: float | Fraction | None = None
        self._count, self._every = 0, 1

    def push(self, time_s: float | Fraction) -> None:
        """When the next frame is seen, in seconds; a frame that is no later is passed over."""
        before, self._before_s = self._before_s, time_s
        step_s = 0.0 if before is None else float(time_s - before)
        if step_s <= 0:
            return
        self.longest_s = max(self.longest_s, step_s)
        if self._count % self._every == 0:
            self.sample.append(step_s)
            if len(self.sample) > KEPT_STEPS:
                self.sample = self.sample[::2]
                self._every *= 2
        self._count += 1

    @property
    def typical_s(self) -> float | None:
        """The typical step as :func:`typical_step` has it; None until two frames were seen."""
        return typical_step(self.sample) if self.sample else None
