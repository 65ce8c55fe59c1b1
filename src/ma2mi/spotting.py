"""Movement curves to intervals: brief movements, longer ones, blinks and speech, while they run.

What is spotted is a candidate for a person to review: spot-then-recognise on unseen long videos is
an unsolved problem (see ``evaluation.spotting``).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ma2mi.errors import MotionError

SpottedKind = Literal["micro", "macro", "blink", "speech"]
Floats = NDArray[np.float64]

LIDS = ("right_upper_lid", "left_upper_lid", "right_lower_lid", "left_lower_lid")
BROWS = ("right_inner_brow", "left_inner_brow", "right_outer_brow", "left_outer_brow")
MOUTH = ("right_lip_corner", "left_lip_corner", "upper_lip", "lower_lip", "chin")
SCALES_S = (0.13, 0.18, 0.26, 0.37, 0.52, 0.75, 1.06, 1.5, 2.1, 3.0)

# Of the mouth's opening, in shares of the distance between the eyes.
SPEECH_SPEED = 0.05  # per second, mean over 0.3 s
SPEECH_TURN = 0.006
SPEECH_PAUSE_S = 0.9

FEATURES = (
    "height",  # logarithm of noise floors
    "height_px",  # logarithm of shares of the eyes' distance
    "duration",  # logarithm of seconds
    "fit",  # correlation with a cosine swell
    "rise",  # share of the time before the apex
    "spread",  # share of the face that takes part
    "common",  # how much all regions go one way
    "lids",  # shares of the movement, in floors
    "brows",
    "mouth",
    "crowd",  # logarithm of the usual height around
    "blink",  # overlap with a blink
    "talk",  # share of talking within a second
    "repeats",  # other movements led by the mouth within 1.5 s, if the mouth leads this one
    "head",  # logarithm of the head's highest speed meanwhile, eye distances a second
)
FIT = 0.6  # with the floor alone: least correlation with a swell
FLOORS = {"learned": 3.5, "floor": 4.5}
"""Noise floors that a swell must reach: for the learned scorer to be asked, or to count."""
LEAST_NEUTRAL_S = 2.0
FROZEN_PX = 0.0025  # no camera is so quiet: a codec has frozen the picture, and what moves in it
CODED_PX = 0.02  # is the codec's refreshing, whose floor is that of coded videos
HEAD_S = 0.2  # the head's speed is its way over this long
HEAD_REST = 0.02  # eye distances a second: slower heads count as this fast
HEAD_COST = 0.15  # with the floor alone: at this speed of the head a swell must be twice as high


class SpottingSettings(BaseModel):
    """When a movement counts. Times are in seconds: the rules hold at every frame rate.

    Args:
        scorer: "learned" judges each swell by a dozen numbers (``Scorer``), learned from synthetic
            videos; "floor" is free of training: the height in noise floors alone.
        threshold: height in noise floors that an event must reach; by default ``FLOORS``.
        neutral_s: start and end in seconds of a stretch in which the person is known to be at
            rest. From its first second on, the noise floor is measured there alone; by default it
            is found: what most seconds of ``floor_memory_s`` stay at.
        least_score: with "learned", the score that it must reach; by default the scorer's own.
        eye_distance_px: between the eyes' outer corners in the crop of the places (128 px wide).
        least_px: height in pixels below which nothing counts, however quiet the recording.
        micro_s: longest micro-expression (1/2 s; Yan et al., J. Nonverbal Behavior 37, 2013).
        shortest_s, longest_s: of any expression.
        floor_memory_s: how far back the person's own noise floor is measured.
        hop_s: how often events are decided.
        margin_s: how much must be seen after an apex; together with ``hop_s`` the delay's bound.
        blink_share: an eye closed to this share of its usual opening blinks.
        blink_s: longest blink; eyes shut for longer are shut.
        speech_s: shortest utterance.
        gap_s: longest gap without a face that movement is followed over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scorer: Literal["learned", "floor"] = "learned"
    threshold: float | None = Field(None, gt=0)
    neutral_s: tuple[float, float] | None = None
    least_score: float | None = Field(None, ge=0, le=1)
    eye_distance_px: float = Field(56.0, gt=0)
    least_px: float = Field(0.06, ge=0)
    micro_s: float = Field(0.5, gt=0)
    shortest_s: float = Field(0.08, gt=0)
    longest_s: float = Field(4.0, gt=0)
    floor_memory_s: float = Field(90.0, gt=0)
    hop_s: float = Field(2.0, gt=0)
    margin_s: float = Field(4.0, ge=3.5)
    blink_share: float = Field(0.6, gt=0, lt=1)
    blink_s: float = Field(0.7, gt=0)
    speech_s: float = Field(0.8, gt=0)
    gap_s: float = Field(0.12, ge=0)

    @field_validator("neutral_s")
    @classmethod
    def _lasts(cls, stretch: tuple[float, float] | None) -> tuple[float, float] | None:
        if stretch and not 0 <= stretch[0] <= stretch[1] - LEAST_NEUTRAL_S:
            raise ValueError(f"a neutral stretch lasts {LEAST_NEUTRAL_S:.0f} s or more")
        return stretch

    @property
    def least_floors(self) -> float:
        """Height in noise floors from which a swell is looked at."""
        return FLOORS[self.scorer] if self.threshold is None else self.threshold

    @property
    def delay_s(self) -> float:
        """Longest time from an event's apex to its report."""
        return self.hop_s + self.margin_s


@dataclass(frozen=True, slots=True)
class Spotted:
    """One candidate.

    Args:
        onset, apex, offset: frame numbers, ``onset <= apex <= offset``.
        kind: "micro" (up to ``micro_s``), "macro", "blink" or "speech".
        score: confidence in [0, 1]; ranks the candidates.
        floor_multiple: height in units of the person's own noise floor; 0 for blinks and speech.
        regions: those that move, strongest first (names of ``face.motion.REGIONS``).
        evidence: the numbers that the learned scorer judges by (``FEATURES``); empty for blinks
            and speech.
    """

    onset: int
    apex: int
    offset: int
    kind: SpottedKind
    score: float
    floor_multiple: float
    regions: tuple[str, ...]
    evidence: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Logistic regression over a swell's evidence.

    Args:
        weights: for each of ``FEATURES`` its centre, its scale and its weight.
        bias: log odds of a swell whose evidence is at the centres.
        cut: score from which a swell is an event: the best F1 on the training videos.
    """

    weights: Mapping[str, tuple[float, float, float]]
    bias: float
    cut: float

    def __call__(self, evidence: Mapping[str, float]) -> float:
        """Probability in [0, 1] that this is an expression."""
        odds = self.bias + sum(
            weight * float(np.clip((evidence[name] - centre) / scale, -4, 4))
            for name, (centre, scale, weight) in self.weights.items()
        )
        return float(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


@cache
def learned_scorer() -> Scorer:
    """The scorer that ships with the package (learned by ``benchmarks/spotting/learn.py``)."""
    text = files("ma2mi").joinpath("spotting_scorer.json").read_text(encoding="utf-8")
    content = json.loads(text)
    weights = {name: tuple(row) for name, row in content["weights"].items()}
    return Scorer(weights, content["bias"], content["cut"])


@dataclass(frozen=True, slots=True, eq=False)
class MovementTrack:
    """Movement of one face over a whole video, as ``face.movement.RegionMeter`` measures it.

    Args:
        times_s: [T], rising.
        regions: region to its places, float [T, 2] (right, down), px of the crop.
        present: bool [T], False where there was no face; the places there mean nothing.
        openings: float [T, 2], of eyes and mouth, shares of the distance between the eyes; None
            where nobody measured them: then blinks and speech are not told apart.
        frames: int [T], frame numbers; 0, 1, 2 ... by default.
        head: float [T, 2], where the head has gone (right, down), px of the crop; None if nobody
            measured it: then it counts as at rest.
    """

    times_s: Floats
    regions: dict[str, Floats]
    present: NDArray[np.bool_]
    openings: Floats | None = None
    frames: NDArray[np.intp] | None = None
    head: Floats | None = None

    @property
    def curve_px(self) -> Floats:
        """Float64 [T]: movement against 0.12 s before, mean of the three strongest regions, px."""
        places = np.stack(list(self.regions.values()), axis=1)  # [T, R, 2]
        before = np.searchsorted(self.times_s, self.times_s - 0.12)
        step = np.hypot(*np.moveaxis(places - places[before], -1, 0))
        strongest = np.sort(step, axis=1)[:, -3:].mean(axis=1)
        return np.where(self.present & self.present[before], strongest, 0.0)


def spot(track: MovementTrack, settings: SpottingSettings | None = None) -> list[Spotted]:
    """All events of a track, by rising onset: the streaming ``Spotter`` run over it.

    Raises:
        MotionError: times that do not rise, or places that are not finite where a face is.
    """
    spotter, found = Spotter(settings), []
    names = list(track.regions)
    for row, time in enumerate(track.times_s):
        places = {name: tuple(track.regions[name][row]) for name in names}
        found += spotter.push(
            float(time),
            places if track.present[row] else None,
            openings=None if track.openings is None else tuple(track.openings[row]),
            frame=row if track.frames is None else int(track.frames[row]),
            head=None if track.head is None else tuple(track.head[row]),
        )
    return sorted(found + spotter.finish(), key=lambda event: (event.onset, event.offset))


class Spotter:
    r"""Takes places frame by frame and gives events with bounded delay and constant memory.

    ::

        place of a region            __
                             _______/  \____________/\/\/\___
        matched with            __-^-__              (speech)
        at ten widths            event
                                   |------ margin ------| hop |   told here

    Each region's place is correlated with swells of ten widths that are blind to constants and to
    steady drift. The person's own noise floor is, at each width and region, what most seconds of
    the last minute and a half stay at, or that of a stretch that is known to be neutral.
    Responses in floors are put together over the strongest regions; tops over time and width are
    candidates, the highest first. Onset and offset are the feet of the movement projected on the
    way it goes.

    Blinks are read off the opening of the eyes, speech off repeated movement of the mouth.

    Args:
        settings: by default ``SpottingSettings()``.

    Attributes:
        knows_neutral: the noise floor is that of the named neutral stretch.
    """

    def __init__(self, settings: SpottingSettings | None = None) -> None:
        self.settings = settings or SpottingSettings()
        self._names: tuple[str, ...] = ()
        self._floors: deque[Floats] = deque()
        self.knows_neutral = False
        self._step_s = 0.0
        self._count = 0
        self._open_eye: deque[float] = deque()
        self._forget()

    def _forget(self) -> None:
        self._rows: list[_Row] = []
        self._decided_s = -np.inf
        self._told: list[tuple[float, float]] = []
        self._speaking: _Speech | None = None

    def push(
        self,
        time_s: float | Fraction,
        regions_px: Mapping[str, Sequence[float]] | None,
        present: bool = True,
        *,
        openings: Sequence[float] | None = None,
        frame: int | None = None,
        head: Sequence[float] | None = None,
    ) -> list[Spotted]:
        """Take the next frame; return the events that are decided by now.

        Args:
            time_s: rises from frame to frame; the frame rate may vary.
            regions_px: each region's place (right, down); always the same names. None is no face.
            present: False is no face, too.
            openings: of eyes and mouth (``face.movement.openings``), if measured.
            frame: its number; by default frames pushed are counted. Numbers may leave frames out.
            head: where it has gone (right, down), px of the crop, if measured.

        Raises:
            MotionError: a time that does not rise, other regions than before, no finite place.
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
        places = np.array([regions_px[name] for name in names], np.float64)
        if places.shape != (len(names), 2) or not np.isfinite(places).all():
            raise MotionError("places must be finite pairs", where=f"frame {number}")
        eye, mouth = openings if openings is not None else (np.nan, np.nan)
        x, y = head if head is not None else (0.0, 0.0)
        self._rows.append(_Row(time, number, places, float(eye), float(mouth), complex(x, y)))
        if not np.isfinite(self._decided_s):
            self._decided_s = time
        if time - self._decided_s >= self.settings.delay_s:
            found += self._decide(time - self.settings.margin_s)
        return found

    def finish(self) -> list[Spotted]:
        """The events still undecided at the end; then the spotter may start on another stretch."""
        return self._flush()

    def _longest_gap(self) -> float:
        return max(self.settings.gap_s, 2.5 * self._step_s)

    def _flush(self) -> list[Spotted]:
        found = self._decide(np.inf) if len(self._rows) >= 8 else []
        self._forget()
        return found

    def _decide(self, until_s: float) -> list[Spotted]:
        """Events with an apex in [decided, until); older rows are dropped."""
        settings, since_s = self.settings, self._decided_s
        block = self._block()
        inside = (block.times >= since_s) & (block.times < until_s)
        self._remember(block, inside)
        floor = np.quantile(np.stack(self._floors), 0.5, axis=0)
        eye = np.concatenate([list(self._open_eye), block.eye])
        blinks = _blinks(block, float(np.nanmedian(eye)), settings) if block.has_openings else []
        talking = _talking(block, settings) if block.has_openings else np.zeros(len(block.times))
        found = [
            Spotted(*block.frames_of(*times), "blink", score, 0.0, ())
            for *times, score in blinks
            if since_s <= times[1] < until_s
        ]
        found += self._utterances(block, talking > 0, inside, last=not np.isfinite(until_s))
        near = (block.times > since_s - 2.5) & (block.times < until_s + 2.5)
        for movement in _movements(block, floor, blinks, talking > 0, near, settings):
            if not since_s <= movement.apex_s < until_s:
                continue
            if any(_shared(movement.interval, told) > 0.3 for told in self._told):
                continue
            self._told.append(movement.interval)
            found.append(movement.told(block, self._names, settings))
        self._told = [told for told in self._told if told[1] > since_s - settings.margin_s]
        keep = until_s - settings.margin_s
        self._rows = [row for row in self._rows if row.time_s >= keep]
        self._decided_s = until_s
        return sorted(found, key=lambda event: (event.onset, event.offset))

    def _block(self) -> _Block:
        """The rows on an even grid: filters need one, variable frame rates have none."""
        times = np.array([row.time_s for row in self._rows])
        if not self._step_s:
            self._step_s = max(float(np.median(np.diff(times))), 0.01)
        # On multiples of the step, so that one and the same moment has one grid in all blocks.
        first, last = np.ceil(times[0] / self._step_s), np.floor(times[-1] / self._step_s)
        even = np.arange(first, last + 1) * self._step_s
        flat = np.stack([row.places.ravel() for row in self._rows])
        places = np.stack([np.interp(even, times, column) for column in flat.T], axis=1)
        eye, mouth, head = (
            np.interp(even, times, [getattr(row, name) for row in self._rows])
            for name in ("eye", "mouth", "head")
        )
        places = places.reshape(len(even), len(self._names), 2)
        masked = _without_blinks(places, eye, self._names, self._usual_eye(eye), self.settings)
        frames = np.array([row.frame for row in self._rows])
        return _Block(even, masked, eye, mouth, head, self._step_s, times, frames, self._names)

    def _usual_eye(self, eye: Floats) -> float:
        return float(np.median(np.concatenate([list(self._open_eye), eye])))

    def _remember(self, block: _Block, inside: NDArray[np.bool_]) -> None:
        """Add the noise of these seconds to the memory, and forget the oldest."""
        length = max(1, round(1.0 / block.step_s))
        where = np.flatnonzero(inside)
        memory = max(1, round(self.settings.floor_memory_s))
        for start in range(0, len(where), length):
            rows = where[start : start + length]
            if named := self._is_named(block.times[rows]):
                if not self.knows_neutral:
                    self._floors.clear()
                    self._open_eye.clear()
                self.knows_neutral = True
            if self.knows_neutral and not named:
                continue
            power = np.square(block.responses[:, rows]).sum(axis=-1)  # [scales, rows, regions]
            # The median of the squared length of a Gaussian pair is 2 ln 2 variances.
            self._floors.append(np.sqrt(np.median(power, axis=1) / (2 * np.log(2))))
            self._open_eye.append(float(np.median(block.eye[rows])))
        while len(self._floors) > memory and not self.knows_neutral:
            self._floors.popleft()
            self._open_eye.popleft()

    def _is_named(self, times: Floats) -> bool:
        """Whether these times lie in the stretch that the user calls neutral."""
        stretch = self.settings.neutral_s
        return bool(stretch and stretch[0] <= times[0] and times[-1] <= stretch[1])

    def _utterances(
        self, block: _Block, talking: NDArray[np.bool_], inside: NDArray[np.bool_], last: bool
    ) -> list[Spotted]:
        """Stretches of talking, put together over the blocks; long ones are cut, to bound delay."""
        found = []
        for row in np.flatnonzero(inside):
            now = float(block.times[row])
            if talking[row]:
                wide = float(block.mouth[row])
                if self._speaking is None:
                    self._speaking = _Speech(now, now, now, wide)
                self._speaking.end_s = now
                if wide > self._speaking.widest:
                    self._speaking.widest, self._speaking.widest_s = wide, now
            if self._speaking is not None:
                length = self._speaking.end_s - self._speaking.start_s
                if not talking[row] or length > 10.0:
                    found.append(self._speaking.told(block))
                    self._speaking = None
        if last and self._speaking is not None:
            found.append(self._speaking.told(block))
            self._speaking = None
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    time_s: float
    frame: int
    places: Floats
    eye: float
    mouth: float
    head: complex  # x + iy


@dataclass(slots=True)
class _Speech:
    start_s: float
    end_s: float
    widest_s: float
    widest: float

    def told(self, block: _Block) -> Spotted:
        frames = block.frames_of(self.start_s, self.widest_s, self.end_s)
        return Spotted(*frames, "speech", 1.0, 0.0, ())


class _Block:
    """A stretch on an even grid of times, with its responses at all widths."""

    def __init__(
        self,
        times: Floats,
        places: Floats,
        eye: Floats,
        mouth: Floats,
        head: NDArray[np.complex128],
        step_s: float,
        row_times: Floats,
        row_frames: NDArray[np.intp],
        names: tuple[str, ...],
    ) -> None:
        self.times, self.places, self.eye, self.mouth = times, places, eye, mouth
        self.step_s, self.names = step_s, names
        self._row_times, self._row_frames = row_times, row_frames
        reach = max(1, round(HEAD_S / 2 / step_s))
        way = np.pad(head, reach, mode="edge")
        self.head_px_s = np.abs(way[2 * reach :] - way[: -2 * reach]) / (2 * reach * step_s)
        self.responses = np.stack([_matched(places, scale / step_s) for scale in SCALES_S])

    @property
    def jaw(self) -> Floats:
        """How far the lower lip is from the upper one by flow, px from where it began."""
        places = {name: self.places[:, index, 1] for index, name in enumerate(self.names)}
        if not {"lower_lip", "upper_lip", "chin"} <= places.keys():
            return np.zeros(len(self.times))
        return np.asarray((places["lower_lip"] + places["chin"]) / 2 - places["upper_lip"])

    @property
    def has_openings(self) -> bool:
        return bool(np.isfinite(self.eye).all())

    def frames_of(self, onset_s: float, apex_s: float, offset_s: float) -> tuple[int, int, int]:
        at = np.interp((onset_s, apex_s, offset_s), self._row_times, self._row_frames)
        onset, apex, offset = (round(float(frame)) for frame in at)
        return onset, min(max(apex, onset), offset), offset


def swell(width: float) -> Floats:
    """A cosine swell of ``width`` grid steps, blind to constants and drift; peak response 1.

    Its support is twice as wide: the rest on either side tells it from a step. The response to
    a swell of the same width and of height 1 is 1, so that responses are pixels.
    """
    half = max(int(np.ceil(width)), 2)
    at = np.arange(-half, half + 1)
    bump = np.where(np.abs(at) < width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * at / width), 0.0)
    blind = bump - bump.mean()  # it is even, so drift is seen as little as constants are
    return np.asarray(blind / (blind @ bump))


def _matched(places: Floats, width: float) -> Floats:
    """Correlation of every column of [T, R, 2] with the swell, same shape; borders repeat."""
    kernel = swell(width)
    half = len(kernel) // 2
    size = len(places) + 2 * half
    padded = np.pad(places, ((half, half), (0, 0), (0, 0)), mode="edge")
    length = 1 << int(np.ceil(np.log2(size + len(kernel))))
    spectrum = np.fft.rfft(padded, length, axis=0)
    spectrum *= np.fft.rfft(kernel[::-1], length)[:, None, None]
    return np.fft.irfft(spectrum, length, axis=0)[2 * half : 2 * half + len(places)]


@dataclass(slots=True)
class _Movement:
    onset_s: float
    apex_s: float
    offset_s: float
    height: float
    height_px: float
    regions: NDArray[np.intp]
    features: dict[str, float]
    moving: Floats
    width_s: float
    score: float = 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return self.onset_s, self.offset_s

    @property
    def head_speed(self) -> float:
        """Eye distances a second; 0 at rest."""
        return float(np.exp(self.features["head"])) - HEAD_REST

    def told(self, block: _Block, names: tuple[str, ...], settings: SpottingSettings) -> Spotted:
        kind: SpottedKind = "micro" if self.offset_s - self.onset_s <= settings.micro_s else "macro"
        frames = block.frames_of(self.onset_s, self.apex_s, self.offset_s)
        regions = tuple(names[index] for index in self.regions)
        return Spotted(*frames, kind, self.score, self.height, regions, self.features)


def _movements(
    block: _Block,
    floor: Floats,
    blinks: list[tuple[float, float, float, float]],
    talking: NDArray[np.bool_],
    where: NDArray[np.bool_],
    settings: SpottingSettings,
) -> list[_Movement]:
    """Candidates with their middle in ``where``, strongest first, hardly overlapping."""
    floor = np.maximum(floor, CODED_PX if np.median(floor[0]) < FROZEN_PX else 1e-3)
    length = np.hypot(block.responses[..., 0], block.responses[..., 1])  # [scales, T, regions]
    in_floors = length / floor[:, None]
    # Gaze and blinks move the lids all the time: they may take part in an event, not make one.
    leading = [index for index, name in enumerate(block.names) if name not in LIDS]
    strongest = np.partition(in_floors[..., leading], -min(3, len(leading)), axis=2)
    height = np.sqrt(np.square(strongest[..., -3:]).mean(axis=2) / 2)
    found: list[_Movement] = []
    learned = learned_scorer() if settings.scorer == "learned" else None
    for scale, row in _tops(height, settings.least_floors):
        centre = float(block.times[row])
        if not where[row] or any(other.onset_s <= centre <= other.offset_s for other in found):
            continue
        movement = _shaped(block, scale, row, floor[scale], float(height[scale, row]), settings)
        if movement is None or movement.height_px < settings.least_px:
            continue
        if any(
            _shared(movement.interval, other.interval) > 0.3 or _is_echo(movement, other)
            for other in found
        ):
            continue
        if _is_speech(movement, block, talking) or _is_blink(movement, block, blinks):
            continue
        near = np.abs(block.times - centre) < 3.0
        movement.features["crowd"] = float(np.log(np.median(height[scale, near]) + 0.1))
        movement.features["blink"] = max(
            (_shared(movement.interval, (one[0] - 0.1, one[2] + 0.1)) for one in blinks),
            default=0.0,
        )
        meanwhile = block.head_px_s[
            (block.times >= movement.onset_s) & (block.times <= movement.offset_s)
        ]
        head = float(meanwhile.max(initial=0.0)) / settings.eye_distance_px
        movement.features["head"] = float(np.log(max(head, HEAD_REST)))
        movement.features["talk"] = float(talking[np.abs(block.times - centre) < 1.0].mean())
        found.append(movement)
    for movement in found:
        movement.features["repeats"] = min(_repeats(movement, found, block.names), 4)
    if learned is None:
        found = [
            one
            for one in found
            if one.features["repeats"] < 2
            and one.features["fit"] > FIT
            and one.height > settings.least_floors * (1 + one.head_speed / HEAD_COST)
        ]
        for movement in found:
            movement.score = movement.height / (movement.height + settings.least_floors)
        return found
    for movement in found:
        movement.score = learned(movement.features)
    cut = learned.cut if settings.least_score is None else settings.least_score
    return [movement for movement in found if movement.score >= cut]


def _tops(height: Floats, threshold: float) -> list[tuple[int, int]]:
    """(scale, row) of the local maxima over time and neighbouring scales, highest first."""
    padded = np.pad(height, 1, mode="constant", constant_values=-np.inf)
    around = np.max(
        [
            padded[1 + i : 1 + i + height.shape[0], 1 + j : 1 + j + height.shape[1]]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ],
        axis=0,
    )
    scales, rows = np.nonzero((height >= around) & (height >= threshold))
    order = np.argsort(-height[scales, rows], kind="stable")
    return [(int(scales[index]), int(rows[index])) for index in order]


def _shaped(
    block: _Block,
    scale: int,
    row: int,
    floor: Floats,
    height: float,
    settings: SpottingSettings,
) -> _Movement | None:
    """Onset, apex and offset of the movement around a top; None where it has no such shape."""
    response = block.responses[scale, row]  # [regions, 2]
    snr = np.hypot(response[:, 0], response[:, 1]) / floor
    lids = np.array([name in LIDS for name in block.names])
    order = np.argsort(-np.where(lids, 0.5, 1.0) * snr, kind="stable")
    strong = order[: max(1, int((snr >= 0.5 * snr[order[0]]).sum()))]
    weights = np.zeros_like(response)
    leading = strong[~lids[strong]]
    weights[leading] = response[leading] / floor[leading, None] ** 2
    gain = float((weights * response).sum())
    if gain <= 0:
        return None
    width = SCALES_S[scale] / block.step_s
    reach = round(1.1 * width) + 2
    first, stop = max(row - reach, 0), min(row + reach + 1, len(block.times))
    curve = np.einsum("trc,rc->t", block.places[first:stop], weights) / gain
    onset, apex, offset = _feet(curve, row - first, width)
    times = block.times[first:stop]
    duration = float(times[offset] - times[onset])
    if not settings.shortest_s <= duration <= settings.longest_s:
        return None
    if min(apex - onset, offset - apex) < max(1, 0.12 * (offset - onset)):
        return None  # a step, not a swell: the eyes look elsewhere, or the reference changed
    power = np.square(snr) / np.square(snr).sum()
    moving = response / floor[:, None]
    share = {
        area: float(sum(power[index] for index, name in enumerate(block.names) if name in members))
        for area, members in (("lids", LIDS), ("brows", BROWS), ("mouth", MOUTH))
    }
    features = {
        "height": float(np.log(height)),
        "height_px": float(np.log(np.hypot(*response[order[0]]) / settings.eye_distance_px)),
        "duration": float(np.log(duration)),
        "fit": _fit(curve, apex, onset, offset),
        "rise": (apex - onset) / (offset - onset),
        "spread": float(1 / (np.square(power).sum() * len(power))),
        "common": float(
            np.square(moving.mean(axis=0)).sum() / np.square(moving).sum(axis=1).mean()
        ),
        **share,
    }
    return _Movement(
        float(times[onset]),
        float(times[apex]),
        float(times[offset]),
        height,
        float(np.hypot(*response[order[0]])),
        strong,
        features,
        moving,
        SCALES_S[scale],
    )


def _fit(curve: Floats, apex: int, onset: int, offset: int) -> float:
    """Correlation with a swell that has these feet and as much rest on either side, in [-1, 1]."""
    rows = np.arange(len(curve), dtype=np.float64)
    up = np.clip((rows - onset) / max(apex - onset, 1), 0, 1)
    down = np.clip((offset - rows) / max(offset - apex, 1), 0, 1)
    ideal = 0.5 - 0.5 * np.cos(np.pi * np.minimum(up, down))
    around = (rows >= 2 * onset - apex) & (rows <= 2 * offset - apex)
    seen, ideal = curve[around] - curve[around].mean(), ideal[around] - ideal[around].mean()
    size = float(np.sqrt((seen @ seen) * (ideal @ ideal)))
    return float(seen @ ideal) / size if size > 0 else 0.0


def _feet(curve: Floats, centre: int, width: float) -> tuple[int, int, int]:
    """Rows of onset, apex and offset of a swell near ``centre``, about ``width`` rows wide.

    As ``face.motion.find_apex``: each flank is half a wave of a cosine, of which the time from
    three quarters to a quarter of the height is a third.
    """
    smooth = _smooth(curve, 0.2 * width)
    low, high = max(0, round(centre - 0.4 * width)), round(centre + 0.4 * width) + 1
    apex = low + int(smooth[low:high].argmax())
    return (
        apex - _foot(smooth[: apex + 1][::-1]),
        apex,
        apex + _foot(smooth[apex:]),
    )


def _smooth(curve: Floats, width: float) -> Floats:
    """Gaussian mean, about ``width`` rows wide; the ends are held."""
    sd = max(0.3 * width, 0.35)
    reach = int(np.ceil(3 * sd))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sd))
    return np.convolve(np.pad(curve, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def _foot(falling: Floats) -> int:
    """Steps from the top (index 0) to where the flank meets the rest."""
    rest = float(np.quantile(falling, 0.25))
    top = float(falling[0])
    if top <= rest:
        return 0
    high, low = (_crossing(falling, rest + share * (top - rest)) for share in (0.75, 0.25))
    return int(np.clip(round(high + 2 * (low - high)), 0, len(falling) - 1))


def _crossing(falling: Floats, level: float) -> float:
    after = int(np.argmax(falling <= level))
    above, below = falling[after - 1], falling[after]
    return after - 1 + float((above - level) / (above - below))


def _shared(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Shared time over the shorter of both."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0.0) / max(min(one[1] - one[0], other[1] - other[0]), 1e-9)


def _blinks(
    block: _Block, usual: float, settings: SpottingSettings
) -> list[tuple[float, float, float, float]]:
    """Onset, apex, offset in seconds and how far the eyes closed, of each blink."""
    share = block.eye / max(usual, 1e-6)
    found = []
    for first, stop in _runs(share < settings.blink_share):
        if (stop - first) * block.step_s > settings.blink_s:
            continue
        apex = first + int(share[first:stop].argmin())
        depth = 1 - share[apex]
        rest = 1 - 0.15 * depth
        while first > 0 and share[first - 1] < rest:
            first -= 1
        while stop < len(share) and share[stop] < rest:
            stop += 1
        ends = block.times[max(first - 1, 0)], block.times[min(stop, len(share) - 1)]
        found.append(
            (float(ends[0]), float(block.times[apex]), float(ends[1]), float(np.clip(depth, 0, 1)))
        )
    return found


def _without_blinks(
    places: Floats, eye: Floats, names: tuple[str, ...], usual: float, settings: SpottingSettings
) -> Floats:
    """The places with those of the lids bridged over each blink: flow sees no closed eye."""
    lids = [index for index, name in enumerate(names) if name in LIDS]
    if not lids or not np.isfinite(eye).all():
        return places
    closed = eye / max(usual, 1e-6) < (1 + settings.blink_share) / 2
    reach = 2
    closed = np.convolve(closed, np.ones(2 * reach + 1), mode="same") > 0
    seen = np.flatnonzero(~closed)
    if not closed.any() or len(seen) < 2:
        return places
    bridged = places.copy()
    rows = np.arange(len(places))
    for index in lids:
        for axis in (0, 1):
            bridged[:, index, axis] = np.interp(rows, seen, places[seen, index, axis])
    return bridged


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


def _is_speech(movement: _Movement, block: _Block, talking: NDArray[np.bool_]) -> bool:
    reach = 0.25  # lips part before the first word and close after the last
    during = (block.times >= movement.onset_s - reach) & (block.times <= movement.offset_s + reach)
    names = [block.names[index] for index in movement.regions[:4]]
    return bool(talking[during].any() and any(name in MOUTH for name in names))


def _is_echo(movement: _Movement, stronger: _Movement) -> bool:
    """A filter that is blind to constants answers beside a swell, half as high, the other way."""
    near = 1.5 * max(movement.width_s, stronger.width_s)
    opposite = float((movement.moving * stronger.moving).sum()) < 0
    weaker = movement.height < 0.65 * stronger.height
    return opposite and weaker and abs(movement.apex_s - stronger.apex_s) < near


def _repeats(movement: _Movement, found: list[_Movement], names: tuple[str, ...]) -> int:
    """How many others, led by the mouth as this one is, lie near: mumbling, chewing."""
    if names[int(movement.regions[0])] not in MOUTH:
        return 0
    return sum(
        names[int(other.regions[0])] in MOUTH and 0 < abs(other.apex_s - movement.apex_s) < 1.5
        for other in found
    )


def _is_blink(
    movement: _Movement, block: _Block, blinks: list[tuple[float, float, float, float]]
) -> bool:
    """Led by the eyes' surroundings while they blink, and not much longer than that takes."""
    if block.names[int(movement.regions[0])] not in LIDS + BROWS:
        return False
    return any(
        movement.offset_s - movement.onset_s < 3 * (offset - onset)
        and _shared(movement.interval, (onset - 0.05, offset + 0.05)) > 0.3
        for onset, _, offset, _ in blinks
    )


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(first), int(stop)) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
