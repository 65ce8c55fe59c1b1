"""What happens in a synthetic long video: settings of its behaviour, and a planned piece of it.

Plans give intensity curves of action units and the exact frames of what happens. Ranges
are in seconds and pixels of a 224 px face crop, as in ``SyntheticSettings``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.motion.facs import SIDES
from ma2mi.records import Event, EventSource
from ma2mi.synthesis.movement import Track
from ma2mi.synthesis.settings import Range

Curve = NDArray[np.float32]
Floats = NDArray[np.float64]


class ExpressionSettings(BaseModel):
    """Macro-expressions of real recordings. "px" are pixels of a 224 px face crop.

    Args:
        peak_px: range of the largest displacement of the skin, drawn log-uniformly; what the
            units cannot reach is cut off. 26 px are 15 px of the 128 px crop.
        onset_s, offset_s: ranges of the time from rest to full strength, and back.
        hold_s: range of the time between.
        held_share, held_s: share of the expressions that are held longer, and how long.
        unsteadiness: deviation of the strength while it is held, relative.
        prototype_share: share that shows one of ``PROTOTYPES``, not a row of the FACS table.
        blend_share: share that joins the upper face of one emotion and the lower of another.
        begun_rate: chance that an expression is there when the video starts.
        unfinished_rate: chance that an expression outlasts the video.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    peak_px: Range = (0.5, 26.0)
    onset_s: Range = (0.2, 0.8)
    hold_s: Range = (0.1, 2.2)
    offset_s: Range = (0.2, 1.0)
    held_share: float = Field(0.2, ge=0, le=1)
    held_s: Range = (2.0, 8.0)
    unsteadiness: float = Field(0.04, ge=0, le=0.3)
    prototype_share: float = Field(0.6, ge=0, le=1)
    blend_share: float = Field(0.1, ge=0, le=1)
    begun_rate: float = Field(0.1, ge=0, le=1)
    unfinished_rate: float = Field(0.15, ge=0, le=1)


class TalkSettings(BaseModel):
    """Speech in syllables, phrases and pauses.

    Args:
        syllable_hz: range of the rate at which the mouth opens and closes.
        phrase_s, pause_s: ranges of the length of a phrase and of the rest after it.
        loudness: range of the usual opening, intensity of unit 25.
        brows_rate: share of the utterances during which the brows make an expression, an event of
            its own beside ``macro_count``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    syllable_hz: Range = (2.5, 7.0)
    phrase_s: Range = (0.8, 3.0)
    pause_s: Range = (0.15, 0.7)
    loudness: Range = (0.25, 0.9)
    brows_rate: float = Field(0.4, ge=0, le=1)


class PoseSettings(BaseModel):
    """Movement of the head in depth, beside the shifts of ``LongVideoSettings``. Rates a minute.

    Args:
        turn_rate: the head goes to another pose.
        turn_deg: deviation of these poses in yaw, pitch and roll; every second faces the camera.
        limit_deg: the farthest yaw, pitch and roll.
        turn_duration_s: range of the time that a turn takes.
        nod_rate: nods; every third is a shake of the head.
        nod_deg, nod_hz, nod_cycles: ranges of height, rate and number of the cycles.
        lean_rate: leans towards the camera, or back.
        lean: range of the distance, as a multiple of the usual.
        lean_duration_s: range of the time that leaning takes.
        bob_deg: deviation of the head's movement while talking.
        sway_deg: deviation of the slow movement that never rests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    turn_rate: float = Field(6.0, ge=0)
    turn_deg: tuple[float, float, float] = (14.0, 7.0, 4.0)
    limit_deg: tuple[float, float, float] = (35.0, 20.0, 15.0)
    turn_duration_s: Range = (0.4, 1.5)
    nod_rate: float = Field(2.0, ge=0)
    nod_deg: Range = (2.0, 8.0)
    nod_hz: Range = (1.2, 3.0)
    nod_cycles: Range = (1.0, 4.0)
    lean_rate: float = Field(1.5, ge=0)
    lean: Range = (0.8, 1.25)
    lean_duration_s: Range = (0.6, 2.0)
    bob_deg: float = Field(1.5, ge=0)
    sway_deg: float = Field(0.5, ge=0)


@dataclass(frozen=True, slots=True)
class GroundTruthEvent(Event):
    """One true event: frames from 0, the movement is zero at onset and offset.

    Args:
        kind: what it is; "other" are ``OTHERS``.
        onset, apex, offset: frames. A held expression's apex is its first frame at full strength,
            an utterance's or habit's where the mouth moves most, a head movement's its middle.
        emotion: of expressions, "" otherwise.
        action_units: FACS codes that move.
        peak_px: the largest displacement of the skin, px of a 224 px crop; 0 where not measured.
        what: the name among ``PROTOTYPES``, ``BROWS`` or ``OTHERS``; "turn", "nod", "shake" or
            "lean" of the head.
        blended_with: the emotion of the lower face where it is another one.
        begun: it is there when the video starts; onset is frame 0.
        unfinished: it outlasts the video; offset is the last frame.
    """

    apex: int
    emotion: str = ""
    action_units: tuple[str, ...] = ()
    peak_px: float = 0.0
    what: str = ""
    blended_with: str = ""
    begun: bool = False
    unfinished: bool = False
    source: EventSource = field(default="rendered", kw_only=True)

    def later(self, frames: int) -> GroundTruthEvent:
        """The same event, moved by ``frames``."""
        return replace(
            self, onset=self.onset + frames, apex=self.apex + frames, offset=self.offset + frames
        )


@dataclass(frozen=True, eq=False)
class Piece:
    """Tracks of one length in frames, and the event that starts at their first frame."""

    tracks: dict[Track, Curve]
    event: GroundTruthEvent

    def __len__(self) -> int:
        return self.event.offset + 1


def hold_ramps(length: int, up: int, down: int, late: float, early: float) -> Floats:
    """0 at both ends, 1 from frame ``up`` until ``down`` frames before the last."""
    frame = np.arange(length)
    rise = minimum_jerk((frame / up - late) / (1 - late))
    fall = minimum_jerk(((length - 1 - frame) / down - early) / (1 - early))
    return np.minimum(rise, fall)


def minimum_jerk(share: Floats) -> Floats:
    """From 0 to 1 with the least jerk, as muscles move (Flash & Hogan 1985)."""
    share = np.clip(share, 0, 1)
    smooth: Floats = share**3 * (10 - 15 * share + 6 * share**2)
    return smooth


def both_sides(curves: dict[str, Floats]) -> dict[Track, Curve]:
    return {
        (number, side): curve.astype(np.float32)
        for number, curve in curves.items()
        for side in SIDES
    }
