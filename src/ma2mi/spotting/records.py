"""What spotting takes and gives: the movement track of a face, and its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ma2mi.motion.shape import Shape
from ma2mi.records import DetectedKind, Event, EventSource

Floats = NDArray[np.float64]

SPEECH, BLINK, HEAD = "speech meanwhile", "blink meanwhile", "head moves meanwhile"
BEGUN, LASTS = "had begun before the recording", "lasts beyond the recording"


@dataclass(frozen=True, slots=True)
class Spotted(Event):
    """One event of a movement track, or one candidate below the thresholds.

    Args:
        kind: "micro" (up to ``micro_s``), "macro", "blink" or "speech".
        onset, apex, offset: frame numbers, ``onset <= apex <= offset``.
        score: confidence in [0, 1]; ranks the candidates.
        floor_multiple: height over the subject's own noise floor (SNR); 0 for blinks and speech.
        regions: those that move, strongest first (names of ``motion.REGIONS``).
        evidence: the numbers that the learned scorer uses (``FEATURES``); empty for blinks and
            speech.
        flags: what happens meanwhile: ``SPEECH``, ``BLINK``, ``HEAD``, ``BEGUN``, ``LASTS``.
        reason: why it stays below the thresholds; "" for an event.
        by_landmarks: measured by landmarks in the face's own frame, not by flow.
    """

    kind: DetectedKind
    apex: int
    score: float
    floor_multiple: float
    regions: tuple[str, ...]
    evidence: Mapping[str, float] = field(default_factory=dict, compare=False)
    flags: tuple[str, ...] = ()
    reason: str = ""
    by_landmarks: bool = False
    source: EventSource = field(default="detected", kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class MovementTrack:
    """Movement of one face over a whole video, as a ``RegionTracker`` measures it.

    Args:
        times_s: [T], rising.
        regions: region to its displacement, float [T, 2] (right, down), px of the crop.
        present: bool [T], False where there was no face; the displacements there mean nothing.
        openings: float [T, 2], of eyes and mouth, shares of the distance between the eyes; None
            where they were not measured: then neither blinks nor speech are found.
        frames: int [T], frame numbers; 0, 1, 2 ... by default.
        head: float [T, 2], where the head has gone (right, down), px of the crop; None if it was
            not measured: then it counts as at rest.
        shapes: [T], the face in its own frame wherever landmarks were detected, else None;
            without them, ordinary expressions are seen as far as flow reaches.
    """

    times_s: Floats
    regions: dict[str, Floats]
    present: NDArray[np.bool_]
    openings: Floats | None = None
    frames: NDArray[np.intp] | None = None
    head: Floats | None = None
    shapes: Sequence[Shape | None] | None = None

    @property
    def curve_px(self) -> Floats:
        """Float64 [T]: movement against 0.12 s before, mean of the three strongest regions, px."""
        displacements = np.stack(list(self.regions.values()), axis=1)  # [T, R, 2]
        before = np.searchsorted(self.times_s, self.times_s - 0.12)
        step = np.hypot(*np.moveaxis(displacements - displacements[before], -1, 0))
        strongest = np.sort(step, axis=1)[:, -3:].mean(axis=1)
        return np.where(self.present & self.present[before], strongest, 0.0)
