"""The streaming spotter: displacements frame by frame in, candidates with bounded delay out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError
from ma2mi.motion.shape import Shape
from ma2mi.spotting.assessment import (
    Meanwhile,
    assess_excursion,
    assess_hold,
    assess_pulse,
    complete_evidence,
    is_explained,
    same_movement,
)
from ma2mi.spotting.blinks import Blink, bridge_lids, find_blinks
from ma2mi.spotting.block import AREAS, MOUTH, Block, shared_time, time_iou
from ma2mi.spotting.by_landmarks import excursions_by_landmarks, holds_by_landmarks
from ma2mi.spotting.candidates import excursion_candidate, hold_candidate, pulse_candidate
from ma2mi.spotting.excursions import Excursion
from ma2mi.spotting.history import FaceRow, History, head_turns, over_gaps
from ma2mi.spotting.holds import Hold
from ma2mi.spotting.noise_floor import RunningNoiseFloor
from ma2mi.spotting.pulses import Pulse, find_pulses
from ma2mi.spotting.records import Spotted
from ma2mi.spotting.settings import KEPT, SpottingSettings
from ma2mi.spotting.speech import LONGEST_S, PAUSE_S, Utterance

Floats = NDArray[np.float64]

ENDED_S = 0.4  # an excursion has ended once the face is seen for so long after its offset
AS_HIGH = 0.8  # of a pulse's height: others of so much are its company
LEAST_COMPANY_S = 10.0  # seconds over which company is counted at least
SAME_EVENT = 0.5  # IoU from which two measurements show the same event
REPORTED = 0.3  # shared time from which a movement is one that was reported before


class Spotter:
    r"""Takes displacements frame by frame and gives candidates with bounded delay.

    ::

        displacement of a region     __
                             _______/  \____________/\/\/\___
        matched with            __-^-__              (speech)
        at ten widths            pulse
                                   |------ margin ------| hop |   reported here

        landmarks beside rest      ______________
                             _____/              \____________
                                  excursion      |-- margin --| hop |

    Two measurements go in. Flow shows movement pulses below a pixel (``pulses``); landmarks in the
    face's own frame show excursions of any size and length (``excursions``). Both are counted in
    multiples of the subject's own noise floor, which is what the quietest seconds show. Blinks,
    speech and the head's motion are flags and evidence of a movement, never a reason to drop it
    silently: what stays below the thresholds is a candidate with its reason.

    Memory does not grow with the time: ``floor_memory_s`` of landmarks, a few seconds of flow.

    Args:
        settings: by default ``SpottingSettings()``.
    """

    def __init__(self, settings: SpottingSettings | None = None) -> None:
        self.settings = settings or SpottingSettings()
        self._count = 0
        self.reset()

    @property
    def knows_neutral(self) -> bool:
        """Whether the noise floor is that of the named neutral stretch."""
        return self._floor.knows_neutral

    def reset(self) -> None:
        """Forget all: another face, or another shot."""
        self._names: tuple[str, ...] = ()
        self._step_s = 0.0
        self._floor = RunningNoiseFloor(self.settings)
        self._forget()

    def _forget(self) -> None:
        self._rows: list[FaceRow] = []
        self._shapes: deque[tuple[float, Shape]] = deque()
        self._mouths: deque[tuple[float, int, float, float, Floats]] = deque()
        self._decided_s = -np.inf
        self._spoken_s = -np.inf
        self._unexplained: list[tuple[float, float]] = []
        self._openings: list[tuple[float, float, float]] = []
        self._first_s = -np.inf
        self._reported: list[_Reported] = []

    def push(
        self,
        time_s: float | Fraction,
        regions_px: Mapping[str, Sequence[float]] | None,
        present: bool = True,
        *,
        openings: Sequence[float] | None = None,
        frame: int | None = None,
        head: Sequence[float] | None = None,
        shape: Shape | None = None,
    ) -> list[Spotted]:
        """Take the next frame; return what is decided by now.

        Args:
            time_s: rises from frame to frame; the frame rate may vary.
            regions_px: each region's displacement (right, down); always the same names. None is no
                face.
            present: False is no face, too.
            openings: of eyes and mouth (``motion.region_tracker.openings``), if measured.
            frame: its number; by default frames pushed are counted. Numbers may leave frames out.
            head: where it has gone (right, down), px of the crop, if measured.
            shape: the face in its own frame, where landmarks were detected.

        Raises:
            MotionError: a time that does not rise, other regions than before, no finite
                displacement.
        """
        time, number = float(time_s), self._count if frame is None else frame
        self._count += 1
        if self._rows and time <= self._rows[-1].time_s:
            raise MotionError(f"time {time:g} s does not rise", where=f"frame {number}")
        found: list[Spotted] = []
        if self._rows and time - self._rows[-1].time_s > self._longest_gap():
            found = self._flush()
        if regions_px is None or not present:
            return found
        names = tuple(regions_px)
        if self._names and names != self._names:
            raise MotionError("other regions than before", where=f"frame {number}")
        self._names = names
        displacements = np.array([regions_px[name] for name in names], np.float64)
        if displacements.shape != (len(names), 2) or not np.isfinite(displacements).all():
            raise MotionError("displacements must be finite pairs", where=f"frame {number}")
        eye, mouth = openings if openings is not None else (np.nan, np.nan)
        x, y = head if head is not None else (0.0, 0.0)
        self._rows.append(
            FaceRow(time, number, displacements, float(eye), float(mouth), complex(x, y))
        )
        self._mouths.append((time, number, float(mouth), self._jaw(displacements), displacements))
        if shape is not None:
            self._shapes.append((time, shape))
        if not np.isfinite(self._decided_s):
            self._decided_s = self._first_s = time
        if time - self._decided_s >= self.settings.delay_s:
            found += self._decide(time - self.settings.margin_s)
        return found

    def finish(self) -> list[Spotted]:
        """What is still undecided at the end; then the spotter may start on another stretch."""
        return self._flush()

    def _longest_gap(self) -> float:
        return max(self.settings.gap_s, 2.5 * self._step_s)

    def _flush(self) -> list[Spotted]:
        found = self._decide(np.inf) if len(self._rows) >= 8 else []
        self._forget()
        return found

    def _decide(self, until_s: float) -> list[Spotted]:
        """What has its apex, or its offset, in [decided, until); older rows are dropped."""
        settings, since_s = self.settings, self._decided_s
        block, history = self._block(), History(*map(np.array, zip(*self._mouths, strict=True)))
        self._floor.add(block, (block.times >= since_s) & (block.times < until_s))
        blinks, utterances = self._blinks(block), history.utterances()
        meanwhile = Meanwhile(
            block, head_turns(self._shapes, block.times, blinks), blinks, utterances
        )
        found = [
            Spotted("blink", *block.frames_of(*one.times_s), one.depth, 0.0, ())
            for one in blinks
            if since_s <= one.apex_s < until_s
        ]
        found += self._speech(utterances, history, until_s)
        pulses = self._pulses(meanwhile, until_s)
        meanwhile = replace(meanwhile, openings=self._openings_of(pulses))
        seen = (self._shapes, history, self._names, settings)
        excursions = excursions_by_landmarks(*seen)
        assessments = [assess_excursion(one, meanwhile, settings) for one in excursions]
        events = [e for e, v in zip(excursions, assessments, strict=True) if not v.reason]
        holds, staying = holds_by_landmarks(*seen)
        holds = [one for one in holds if not _is_seen(one, events)]
        held = [(one, assess_hold(one, meanwhile, settings)) for one in holds]
        pulses = self._with_company(pulses, meanwhile)
        certain = [one for one in pulses if not assess_pulse(one, meanwhile, [], settings).reason]
        # Of a brief movement that both measurements show, flow knows the frames better.
        finer = [
            excursion
            for excursion in events
            if excursion.offset_s - excursion.onset_s <= settings.micro_s
            and any(same_movement(excursion, one) for one in certain)
        ]
        longer: list[Excursion | Hold] = [one for one in events if one not in finer]
        longer += [one for one, v in held if not v.reason]
        for hold, assessment in held:
            if hold.offset_s < until_s - ENDED_S or until_s == np.inf:
                spotted = hold_candidate(hold, assessment, *seen[1:])
                found += self._report(spotted, hold.interval, hold.areas)
        for one, assessment in zip(excursions, assessments, strict=True):
            ended = one.offset_s < until_s - ENDED_S and not one.lasts
            if (ended or until_s == np.inf) and one not in finer:
                spotted = excursion_candidate(one, assessment, *seen[1:])
                found += self._report(spotted, one.interval, one.areas)
        for pulse in pulses:
            if since_s <= pulse.apex_s < until_s:
                assessment = assess_pulse(pulse, meanwhile, longer, settings, staying)
                spotted = pulse_candidate(pulse, assessment, block, settings)
                found += self._report(spotted, pulse.interval)
        self._drop(until_s)
        return sorted(found, key=lambda event: (event.onset, event.offset))

    def _blinks(self, block: Block) -> list[Blink]:
        if not np.isfinite(block.eye).all():
            return []
        typical = self._floor.typical_eye(block.eye)
        return find_blinks(block.times, block.eye, typical, self.settings)

    def _pulses(self, meanwhile: Meanwhile, until_s: float) -> list[Pulse]:
        """Pulses around the time to decide on, with their evidence but for the company."""
        block, settings = meanwhile.block, self.settings
        near = (block.times > self._decided_s - 2.5) & (block.times < until_s + 2.5)
        least = KEPT * settings.pulse_threshold
        pulses = find_pulses(block, self._floor.px(), near, settings, least)
        return complete_evidence(pulses, meanwhile, settings)

    def _with_company(self, pulses: list[Pulse], meanwhile: Meanwhile) -> list[Pulse]:
        """The pulses knowing how many others, as high, nothing explains in a minute.

        Where a codec or a restless face makes many of a height, one more is weak evidence.
        """
        unexplained = [one for one in pulses if not is_explained(one, meanwhile)]
        now_s = float(meanwhile.block.times[-1])
        seen_s = max(now_s - self._first_s, LEAST_COMPANY_S)
        minutes = min(seen_s, self.settings.floor_memory_s) / 60
        for one in pulses:
            around = [other.height for other in unexplained if other is not one]
            before = [height for apex_s, height in self._unexplained if apex_s < self._decided_s]
            as_high = sum(height >= AS_HIGH * one.height for height in (*around, *before))
            one.features["company"] = float(np.log(1 + as_high / minutes))
            one.features["steps"] = self._floor.steps
        kept = [one for one in unexplained if one.apex_s >= self._decided_s]
        self._unexplained += [(one.apex_s, one.height) for one in kept]
        return pulses

    def _openings_of(self, pulses: list[Pulse]) -> tuple[tuple[float, float, float], ...]:
        """Pulses of the mouth, onset, offset and px: those decided before, and these."""
        before = [one for one in self._openings if one[0] < self._decided_s]
        now = [
            (one.onset_s, one.offset_s, one.height_px)
            for one in pulses
            if one.led_by(self._names, MOUTH) and one.onset_s >= self._decided_s
        ]
        self._openings = [*before, *now]
        return tuple(self._openings)

    def _drop(self, until_s: float) -> None:
        """Forget what no later decision needs."""
        settings = self.settings
        keep, memory = until_s - settings.margin_s, until_s - settings.floor_memory_s
        self._rows = [row for row in self._rows if row.time_s >= keep]
        while self._shapes and self._shapes[0][0] < memory:
            self._shapes.popleft()
        while self._mouths and self._mouths[0][0] < memory:
            self._mouths.popleft()
        self._reported = [one for one in self._reported if one.interval[1] > memory]
        # What lies beyond ``until_s`` is found again by the next decision.
        self._unexplained = [one for one in self._unexplained if memory < one[0] < until_s]
        self._openings = [one for one in self._openings if memory < one[0]]
        self._decided_s = until_s

    def _report(
        self, one: Spotted, interval: tuple[float, float], areas: tuple[str, ...] = ()
    ) -> list[Spotted]:
        """The candidate, unless the same movement was reported before.

        An earlier decision may have reported as a pulse what is an excursion by now.
        """
        leading = [name for area in areas for name in AREAS[area]] or one.regions[:3]
        for known in self._reported:
            if not known.moving & set(leading):
                continue
            if known.by_landmarks == one.by_landmarks:
                if shared_time(interval, known.interval) > REPORTED:
                    return []
            elif known.is_event and time_iou(interval, known.interval) > SAME_EVENT:
                return []
        is_event = not one.reason
        self._reported.append(_Reported(one.by_landmarks, is_event, interval, frozenset(leading)))
        return [one]

    def _block(self) -> Block:
        """The rows on an even grid: filters need one, variable frame rates have none."""
        times = np.array([row.time_s for row in self._rows])
        if not self._step_s:
            self._step_s = max(float(np.median(np.diff(times))), 0.01)
        # On multiples of the step, so that one and the same time has one grid in all blocks.
        first, last = np.ceil(times[0] / self._step_s), np.floor(times[-1] / self._step_s)
        even = np.arange(first, last + 1) * self._step_s
        flat = np.stack([row.displacements.ravel() for row in self._rows])
        displacements = np.stack([np.interp(even, times, column) for column in flat.T], axis=1)
        eye = over_gaps(even, times, np.array([row.eye for row in self._rows]))
        mouth = over_gaps(even, times, np.array([row.mouth for row in self._rows]))
        head = np.interp(even, times, np.array([row.head for row in self._rows]))
        displacements = displacements.reshape(len(even), len(self._names), 2)
        typical = self._floor.typical_eye(eye)
        displacements = bridge_lids(displacements, eye, self._names, typical, self.settings)
        frames = np.array([row.frame for row in self._rows])
        return Block(
            even, displacements, eye, mouth, head, self._step_s, times, frames, self._names
        )

    def _jaw(self, displacements: Floats) -> float:
        """How far flow has taken the lower lip from the upper one, shares of the eye distance."""
        down = dict(zip(self._names, displacements[:, 1].tolist(), strict=True))
        if not {"lower_lip", "upper_lip", "chin"} <= down.keys():
            return np.nan
        apart = (down["lower_lip"] + down["chin"]) / 2 - down["upper_lip"]
        return float(apart / self.settings.eye_distance_px)

    def _speech(
        self, utterances: list[Utterance], history: History, until_s: float
    ) -> list[Spotted]:
        """The utterances that have ended; of a long one the next piece, to bound the delay."""
        times, frames, openings = history.times, history.frames, history.openings
        found = []
        for one in utterances:
            onset, offset = max(one.onset_s, self._spoken_s), one.offset_s
            if offset >= until_s - PAUSE_S:
                if until_s - onset < LONGEST_S:
                    continue  # it may go on
                offset = until_s
            if offset - onset < self.settings.shortest_s:
                continue
            inside = np.flatnonzero((times >= onset) & (times <= offset))
            if not len(inside):
                continue
            widest = inside[int(np.nanargmax(openings[inside]))]
            onset_frame, apex, last = (int(frames[row]) for row in (inside[0], widest, inside[-1]))
            found.append(Spotted("speech", onset_frame, apex, last, 1.0, 0.0, ()))
            self._spoken_s = offset
        return found


@dataclass(frozen=True, slots=True)
class _Reported:
    by_landmarks: bool
    is_event: bool
    interval: tuple[float, float]
    moving: frozenset[str]


def _is_seen(one: Hold, events: Sequence[Excursion]) -> bool:
    """Whether an excursion that is an event shows the same movement: of an area that both have, or
    of another at about the same time."""
    return any(
        time_iou(one.interval, other.interval) > SAME_EVENT
        or (
            shared_time(one.interval, other.interval) > SAME_EVENT
            and set(one.areas) & set(other.areas)
        )
        for other in events
    )
