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
from ma2mi.records import DetectedKind
from ma2mi.spotting.assessment import (
    Assessment,
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
from ma2mi.spotting.excursions import Excursion, displacement, find_excursions, with_flow
from ma2mi.spotting.holds import Hold, Landmarks, Step, find_holds
from ma2mi.spotting.noise_floor import NoiseFloor
from ma2mi.spotting.pulses import Pulse, find_pulses
from ma2mi.spotting.records import MovementTrack, Spotted
from ma2mi.spotting.settings import KEPT, SpottingSettings
from ma2mi.spotting.speech import LONGEST_S, PAUSE_S, Utterance, find_utterances, together

Floats = NDArray[np.float64]

ENDED_S = 0.4  # an excursion has ended once the face is seen for so long after its offset
LID_S = 0.05  # before and after a blink in which the lids move already, or still
LEAST_SHAPES = 6  # detections of landmarks from which a rest can be estimated
AS_HIGH = 0.8  # of a pulse's height: others of so much are its company
LEAST_COMPANY_S = 10.0  # seconds over which company is counted at least
SAME_EVENT = 0.5  # IoU from which two measurements show the same event
REPORTED = 0.3  # shared time from which a movement is one that was reported before


def spot(track: MovementTrack, settings: SpottingSettings | None = None) -> list[Spotted]:
    """All events of a track, by rising onset: the streaming ``Spotter`` run over it.

    Raises:
        MotionError: times that do not rise, or displacements that are not finite where a face is.
    """
    return [one for one in spot_candidates(track, settings) if not one.reason]


def spot_candidates(
    track: MovementTrack, settings: SpottingSettings | None = None
) -> list[Spotted]:
    """Events and candidates below the thresholds, by rising onset; see :func:`spot`."""
    spotter, found = Spotter(settings), []
    names = list(track.regions)
    for row, time in enumerate(track.times_s):
        displacements = {name: tuple(track.regions[name][row]) for name in names}
        found += spotter.push(
            float(time),
            displacements if track.present[row] else None,
            openings=None if track.openings is None else tuple(track.openings[row]),
            frame=row if track.frames is None else int(track.frames[row]),
            head=None if track.head is None else tuple(track.head[row]),
            shape=None if track.shapes is None else track.shapes[row],
        )
    return sorted(found + spotter.finish(), key=lambda event: (event.onset, event.offset))


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
        self._floor = NoiseFloor(self.settings)
        self._forget()

    def _forget(self) -> None:
        self._rows: list[_Row] = []
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
            _Row(time, number, displacements, float(eye), float(mouth), complex(x, y))
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
        block, history = self._block(), _History(*map(np.array, zip(*self._mouths, strict=True)))
        self._floor.add(block, (block.times >= since_s) & (block.times < until_s))
        blinks: list[Blink] = []
        if np.isfinite(block.eye).all():
            typical = self._floor.typical_eye(block.eye)
            blinks = find_blinks(block.times, block.eye, typical, settings)
        utterances = history.utterances()
        meanwhile = Meanwhile(block, self._turns(block, blinks), blinks, utterances)
        found: list[Spotted] = []
        for blink in blinks:
            if since_s <= blink.apex_s < until_s:
                frames = block.frames_of(blink.onset_s, blink.apex_s, blink.offset_s)
                found.append(Spotted("blink", *frames, blink.depth, 0.0, ()))
        found += self._speech(utterances, history, until_s)
        near = (block.times > since_s - 2.5) & (block.times < until_s + 2.5)
        least = KEPT * settings.pulse_threshold
        pulses = complete_evidence(
            find_pulses(block, self._floor.px(), near, settings, least), meanwhile, settings
        )
        meanwhile = replace(meanwhile, openings=self._openings_of(pulses))
        excursions = [
            with_flow(one, history.times, history.displacements) for one in self._excursions()
        ]
        assessments = [assess_excursion(one, meanwhile, settings) for one in excursions]
        events = [e for e, v in zip(excursions, assessments, strict=True) if not v.reason]
        holds, staying = self._holds(history)
        held = [(one, assess_hold(one, meanwhile, settings)) for one in holds]
        held = [(one, v) for one, v in held if not _is_seen(one, events)]
        pulses = self._with_company(pulses, meanwhile)
        assessed = [assess_pulse(one, meanwhile, [], settings) for one in pulses]
        # Of a brief movement that both measurements show, flow knows the frames better.
        finer = [
            excursion
            for excursion in events
            if excursion.offset_s - excursion.onset_s <= settings.micro_s
            and any(
                not assessment.reason and same_movement(excursion, one)
                for one, assessment in zip(pulses, assessed, strict=True)
            )
        ]
        longer: list[Excursion | Hold] = [one for one in events if one not in finer]
        longer += [one for one, v in held if not v.reason]
        for hold, assessment in held:
            if hold.offset_s < until_s - ENDED_S or until_s == np.inf:
                spotted = self._spotted_hold(hold, assessment, history)
                found += self._report(spotted, hold.interval, hold.areas)
        for one, assessment in zip(excursions, assessments, strict=True):
            ended = one.offset_s < until_s - ENDED_S and not one.lasts
            if (ended or until_s == np.inf) and one not in finer:
                spotted = self._spotted_excursion(one, assessment, history)
                found += self._report(spotted, one.interval, one.areas)
        for pulse in pulses:
            if since_s <= pulse.apex_s < until_s:
                assessment = assess_pulse(pulse, meanwhile, longer, settings, staying)
                spotted = _spotted_pulse(pulse, assessment, block, settings)
                found += self._report(spotted, pulse.interval)
        self._drop(until_s)
        return sorted(found, key=lambda event: (event.onset, event.offset))

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
        eye = _over_gaps(even, times, np.array([row.eye for row in self._rows]))
        mouth = _over_gaps(even, times, np.array([row.mouth for row in self._rows]))
        head = np.interp(even, times, np.array([row.head for row in self._rows]))
        displacements = displacements.reshape(len(even), len(self._names), 2)
        typical = self._floor.typical_eye(eye)
        displacements = bridge_lids(displacements, eye, self._names, typical, self.settings)
        frames = np.array([row.frame for row in self._rows])
        return Block(
            even, displacements, eye, mouth, head, self._step_s, times, frames, self._names
        )

    def _turns(self, block: Block, blinks: list[Blink]) -> Floats:
        """[T, 3], how the head is turned, in degrees; 0 where there are no landmarks.

        A closing eye looks like a nod to the landmark net, so blinks are bridged.
        """
        turns_seen = [
            (time, shape.turn)
            for time, shape in self._shapes
            if not any(one.onset_s - LID_S < time < one.offset_s + LID_S for one in blinks)
        ]
        if len(turns_seen) < 2:
            return np.zeros((len(block.times), 3))
        times, turns = (np.array(column) for column in zip(*turns_seen, strict=True))
        return np.stack([np.interp(block.times, times, column) for column in turns.T], axis=1)

    def _jaw(self, displacements: Floats) -> float:
        """How far flow has taken the lower lip from the upper one, shares of the eye distance."""
        down = dict(zip(self._names, displacements[:, 1].tolist(), strict=True))
        if not {"lower_lip", "upper_lip", "chin"} <= down.keys():
            return np.nan
        apart = (down["lower_lip"] + down["chin"]) / 2 - down["upper_lip"]
        return float(apart / self.settings.eye_distance_px)

    def _speech(
        self, utterances: list[Utterance], history: _History, until_s: float
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

    def _excursions(self) -> list[Excursion]:
        if len(self._shapes) < LEAST_SHAPES:
            return []
        times = np.array([time for time, _ in self._shapes])
        shapes = [shape for _, shape in self._shapes]
        moved = displacement(
            times,
            np.array([shape.positions for shape in shapes]),
            np.array([shape.turn for shape in shapes]),
            np.array([shape.mouth for shape in shapes]),
            np.array([shape.width for shape in shapes]),
            self.settings.neutral_s,
        )
        settings = self.settings
        return find_excursions(
            moved,
            self._names,
            least=KEPT * settings.excursion_threshold,
            least_px=KEPT * settings.least_excursion_px,
        )

    def _holds(self, history: _History) -> tuple[list[Hold], list[Step]]:
        if len(self._shapes) < LEAST_SHAPES:
            return [], []
        shapes = [shape for _, shape in self._shapes]
        landmarks = Landmarks(
            np.array([time for time, _ in self._shapes]),
            np.array([shape.positions for shape in shapes]),
            np.array([shape.turn for shape in shapes]),
        )
        return find_holds(
            history.times,
            history.displacements,
            self._names,
            landmarks,
            least=KEPT * self.settings.excursion_threshold,
            least_px=self.settings.least_px,
        )

    def _placed(
        self, one: Excursion | Hold, history: _History
    ) -> tuple[tuple[int, int, int], tuple[str, ...]]:
        """Frames of onset, apex and offset, and the regions that move, strongest first."""
        at = np.interp((one.onset_s, one.apex_s, one.offset_s), history.times, history.frames)
        onset, apex, offset = (round(float(frame)) for frame in at)
        height = np.hypot(*one.moving.T)
        order = [int(i) for i in np.argsort(-height, kind="stable")]
        names = tuple(self._names[i] for i in order if height[i] >= 0.5 * height[order[0]])
        return (onset, min(max(apex, onset), offset), offset), names

    def _spotted_hold(self, one: Hold, assessment: Assessment, history: _History) -> Spotted:
        frames, names = self._placed(one, history)
        evidence = {
            "height": float(np.log(one.height)),
            "height_px": float(np.log(one.height_px / self.settings.eye_distance_px)),
            "duration": float(np.log(one.offset_s - one.onset_s)),
            "turned": one.turned,
            "landmark_share": one.landmark_share,
        }
        kind = _kind(one.offset_s - one.onset_s, self.settings)
        return Spotted(kind, *frames, assessment.score, one.height, names, evidence,
                       assessment.flags, assessment.reason, by_landmarks=True)  # fmt: skip

    def _spotted_excursion(
        self, one: Excursion, assessment: Assessment, history: _History
    ) -> Spotted:
        frames, names = self._placed(one, history)
        evidence = {
            "height": float(np.log(one.height)),
            "height_px": float(np.log(one.height_px / self.settings.eye_distance_px)),
            "slow_height": float(np.log(max(one.slow_height, 1e-3))),
            "duration": float(np.log(max(one.offset_s - one.onset_s, 1e-3))),
            "rise": float(np.log(max(one.rise_s, 0.04))),
            "fall": float(np.log(max(one.fall_s, 0.04))),
            "turned": one.turned,
            "flow_share": one.flow_share,
        }
        cut = one.begun or one.lasts  # of unknown length, so it is not called brief
        kind = "macro" if cut else _kind(one.offset_s - one.onset_s, self.settings)
        return Spotted(kind, *frames, assessment.score, one.height, names, evidence,
                       assessment.flags, assessment.reason, by_landmarks=True)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Reported:
    by_landmarks: bool
    is_event: bool
    interval: tuple[float, float]
    moving: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _History:
    """The mouth, and what flow shows, over the time that is remembered; [T] each.

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
class _Row:
    time_s: float
    frame: int
    displacements: Floats
    eye: float
    mouth: float
    head: complex  # x + iy


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


def _spotted_pulse(
    one: Pulse, assessment: Assessment, block: Block, settings: SpottingSettings
) -> Spotted:
    frames = block.frames_of(one.onset_s, one.apex_s, one.offset_s)
    kind = _kind(one.offset_s - one.onset_s, settings)
    regions = tuple(block.names[index] for index in one.regions)
    return Spotted(kind, *frames, assessment.score, one.height, regions, one.features,
                   assessment.flags, assessment.reason)  # fmt: skip


def _kind(duration_s: float, settings: SpottingSettings) -> DetectedKind:
    return "micro" if duration_s <= settings.micro_s else "macro"


def _over_gaps(even: Floats, times: Floats, values: Floats) -> Floats:
    """Values at other times, gaps (NaN) bridged; NaN where nothing is known."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(even), np.nan)
    return np.asarray(np.interp(even, times[known], values[known]))
