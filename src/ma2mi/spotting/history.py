"""What the spotter remembers of a face: frames of some seconds, openings and flow of a minute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.motion.shape import Shape
from ma2mi.spotting.blinks import Blink
from ma2mi.spotting.speech import Utterance, find_utterances, together

Floats = NDArray[np.float64]

LEAST_SHAPES = 6  # detections of landmarks from which a rest can be estimated
LID_S = 0.05  # before and after a blink in which the lids move already, or still


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The mouth, and the displacements by flow, over the remembered time; [T] each.

    Args:
        times, frames: of the frames.
        openings: by landmarks, shares of the eye distance; NaN where they were not measured.
        jaws: the same as flow has it, added up.
        displacements: [T, R, 2], by flow.
    """

    times: Floats
    frames: NDArray[np.intp]
    openings: Floats
    jaws: Floats
    displacements: Floats

    def utterances(self) -> list[Utterance]:
        """Landmarks miss a mouth that hardly opens, and flow loses one that opens wide."""
        known = np.isfinite(self.openings)
        if known.sum() < LEAST_SHAPES:
            return []
        found = find_utterances(self.times[known], self.openings[known])
        if np.isfinite(self.jaws).all():
            found += find_utterances(self.times, self.jaws, drifts=True)
        return together(found)


@dataclass(frozen=True, slots=True, eq=False)
class FaceRow:
    """One frame of the face: displacements [R, 2] in px, openings, position of the head."""

    time_s: float
    frame: int
    displacements: Floats
    eye: float
    mouth: float
    head: complex  # x + iy


def head_turns(
    shapes: Iterable[tuple[float, Shape]], times: Floats, blinks: Sequence[Blink]
) -> Floats:
    """[T, 3], how the head is turned, in degrees; 0 where there are no landmarks.

    A closing eye looks like a nod to the landmark net, so blinks are bridged.
    """
    seen = [
        (time, shape.turn)
        for time, shape in shapes
        if not any(one.onset_s - LID_S < time < one.offset_s + LID_S for one in blinks)
    ]
    if len(seen) < 2:
        return np.zeros((len(times), 3))
    at, turns = (np.array(column) for column in zip(*seen, strict=True))
    return np.stack([np.interp(times, at, column) for column in turns.T], axis=1)


def over_gaps(even: Floats, times: Floats, values: Floats) -> Floats:
    """Values at other times, gaps (NaN) bridged; NaN where nothing is known."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(even), np.nan)
    return np.asarray(np.interp(even, times[known], values[known]))
