"""A synthetic long video: one person, many expressions, blinks, speech, and the truth of each."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.datasets.facs import EMOTIONS, SIDES
from ma2mi.datasets.synthetic.clip import SyntheticClip, _slow, make_clip
from ma2mi.datasets.synthetic.movement import FACE, MOUTH, face_field
from ma2mi.datasets.synthetic.people import CANVAS, Person
from ma2mi.datasets.synthetic.settings import Range, SyntheticSettings
from ma2mi.errors import SettingsError
from ma2mi.face.motion.regions import EYE_DISTANCE, REGIONS
from ma2mi.records import Interval, Kind

PlantedKind = Literal["micro", "macro", "blink", "speech"]

_SPEECH = (("25", 1.0), ("26", 0.6), ("20", 0.3))


class LongVideoSettings(BaseModel):
    """What happens in a long video.

    Args:
        duration_s: length.
        micro_count, macro_count, speech_count: how many of each; none overlaps another.
        apart_s: least rest between two of them.
        speech_duration_s: range of the length of an utterance.
        head_move_rate: times a second that the head goes to another pose.
        head_move_px, head_move_deg: deviation of these poses, in 224 px crops and degrees.
        head_move_duration_s: range of the time that it takes.
        scene: everything else; its ``padding_frames`` and ``speech_rate`` mean nothing here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration_s: float = Field(600.0, gt=0)
    micro_count: int = Field(20, ge=0)
    macro_count: int = Field(10, ge=0)
    speech_count: int = Field(10, ge=0)
    apart_s: float = Field(1.0, ge=0)
    speech_duration_s: Range = (1.5, 6.0)
    head_move_rate: float = Field(0.1, ge=0)
    head_move_px: float = Field(5.0, ge=0)
    head_move_deg: float = Field(2.0, ge=0)
    head_move_duration_s: Range = (0.4, 1.5)
    scene: SyntheticSettings = SyntheticSettings()

    def per_minute(self, minutes: float) -> LongVideoSettings:
        """The same density of events over another length, at least one of each kind kept."""
        share = minutes * 60 / self.duration_s
        counts = {
            name: max(1, round(getattr(self, name) * share)) if getattr(self, name) else 0
            for name in ("micro_count", "macro_count", "speech_count")
        }
        return self.model_copy(update={"duration_s": minutes * 60, **counts})


@dataclass(frozen=True, slots=True)
class Planted:
    """One true event: frames from 0, the movement is zero at onset and offset.

    Args:
        kind: what it is.
        onset, apex, offset: frames; an utterance's apex is where the mouth is widest open.
        emotion: of expressions, "" otherwise.
        action_units: FACS codes that move.
        peak_px: the largest displacement of the skin, px of a 224 px crop.
    """

    kind: PlantedKind
    onset: int
    apex: int
    offset: int
    emotion: str = ""
    action_units: tuple[str, ...] = ()
    peak_px: float = 0.0

    @property
    def interval(self) -> Interval:
        return Interval(self.onset, self.offset)


class LongVideo(SyntheticClip):
    """A long video whose frames are rendered one by one when asked for; nothing is kept.

    As of a ``SyntheticClip`` there are ``frame``, ``frames``, ``tracks``, ``head``, ``light`` and
    ``gaze``; instead of one expression it has ``events``. The head moves as a picture does
    (shift, turn, nearer), not in depth.

    Attributes:
        events: everything planted, by rising onset.
        settings: of the scene; ``plan`` holds all.
    """

    events: tuple[Planted, ...]

    def __init__(
        self, person: Person, *, seed: int, fps: Fraction, plan: LongVideoSettings
    ) -> None:
        self.person, self.seed, self.fps, self.plan = person, seed, Fraction(fps), plan
        self.settings = plan.scene.model_copy(update={"padding_frames": 0, "speech_rate": 0.0})
        self.frame_count = round(plan.duration_s * float(fps))
        streams = np.random.SeedSequence([seed, person.seed, 0x106]).spawn(6)
        self.noise_seed = streams[5]
        self.tracks = {}
        events = self._plan_events(np.random.default_rng(streams[0]))
        self._plan_distractors(np.random.default_rng(streams[1]))
        self._plan_gaze(np.random.default_rng(streams[2]))
        self._plan_camera(np.random.default_rng(streams[3]))
        self._plan_head_moves(np.random.default_rng(streams[4]))
        events += self._blinks()
        self.events = tuple(sorted(events, key=lambda event: (event.onset, event.kind)))

    def of_kind(self, *kinds: PlantedKind) -> list[Planted]:
        """The events of these kinds, by rising onset."""
        return [event for event in self.events if event.kind in kinds]

    def _plan_events(self, rng: np.random.Generator) -> list[Planted]:
        plan, rate = self.plan, float(self.fps)
        kinds = (
            ["micro"] * plan.micro_count
            + ["macro"] * plan.macro_count
            + ["speech"] * plan.speech_count
        )
        rng.shuffle(kinds)
        pieces = [self._piece(kind, rng) for kind in kinds]
        gap = round(plan.apart_s * rate)
        spare = self.frame_count - sum(length + gap for length, _, _ in pieces) - gap
        if spare < 0:
            raise SettingsError(
                f"{plan.duration_s:g} s are too short for {len(pieces)} expressions and utterances",
                cure="Plan fewer, or a longer video",
            )
        # Uniform spacings: the events fall like a Poisson process with a dead time.
        starts = np.sort(rng.integers(0, spare + 1, len(pieces)))
        events, at = [], gap
        for (length, tracks, event), start in zip(pieces, starts, strict=True):
            first = at + int(start)
            for name, track in tracks.items():
                whole = self.tracks.setdefault(name, np.zeros(self.frame_count, np.float32))
                whole[first : first + length] += track
            events.append(_moved(event, first))
            at += length + gap
        return events

    def _piece(
        self, kind: str, rng: np.random.Generator
    ) -> tuple[int, dict[tuple[str, Literal["L", "R"]], NDArray[np.float32]], Planted]:
        """Length in frames, tracks, and the event as if it started at frame 0."""
        if kind == "speech":
            return self._utterance(rng)
        still = self.settings.model_copy(update={"blink_rate": 0.0, "gaze_rate": 0.0})
        which: Kind = "micro" if kind == "micro" else "macro"
        clip = make_clip(
            self.person,
            kind=which,
            emotion=list(EMOTIONS)[rng.integers(len(EMOTIONS))],
            seed=int(rng.integers(2**31)),
            fps=self.fps,
            settings=still,
        )
        weights = {name: float(track[clip.apex]) for name, track in clip.tracks.items()}
        field = face_field(self.person, weights)
        peak = float(np.hypot(field.common[..., 0], field.common[..., 1]).max())
        peak = max(peak, float(np.abs(field.upper).max()), float(np.abs(field.lower).max()))
        event = Planted(
            which, clip.onset, clip.apex, clip.offset, clip.emotion, clip.action_units, peak
        )
        return clip.frame_count, clip.tracks, event

    def _utterance(
        self, rng: np.random.Generator
    ) -> tuple[int, dict[tuple[str, Literal["L", "R"]], NDArray[np.float32]], Planted]:
        length = round(rng.uniform(*self.plan.speech_duration_s) * float(self.fps))
        time = np.arange(length) / float(self.fps)
        ramp = np.clip(np.minimum(time, time[-1] - time) / 0.15, 0, 1)
        beat = np.abs(_slow(rng, time, 2.0, 6.0)).clip(0, 2) * 0.25 * ramp
        tracks = {
            (number, side): (share * beat).astype(np.float32)
            for number, share in _SPEECH
            for side in SIDES
        }
        units = tuple(number for number, _ in _SPEECH)
        return length, tracks, Planted("speech", 0, int(beat.argmax()), length - 1, "", units)

    def _plan_gaze(self, rng: np.random.Generator) -> None:
        """The eyes rest at one place after the other; a short clip's walk would leave the face."""
        count, rate = self.frame_count, float(self.fps)
        turns = int(rng.poisson(self.settings.gaze_rate * count / rate))
        starts = np.sort(rng.uniform(0, count / rate, turns))
        places = np.clip(rng.normal(0, (2.2, 0.8), (turns + 1, 2)), (-5, -2), (5, 2))
        self.gaze = _poses(np.arange(count) / rate, starts, np.full(turns, 0.04), places).astype(
            np.float32
        )

    def _plan_head_moves(self, rng: np.random.Generator) -> None:
        plan, count, rate = self.plan, self.frame_count, float(self.fps)
        moves = int(rng.poisson(plan.head_move_rate * count / rate))
        starts = np.sort(rng.uniform(0, count / rate, moves))
        lasting = rng.uniform(*plan.head_move_duration_s, moves)
        spread = (plan.head_move_px, plan.head_move_px, np.deg2rad(plan.head_move_deg), 0.01)
        poses = rng.normal(0, spread, (moves + 1, 4))
        x, y, turn, nearer = _poses(np.arange(count) / rate, starts, lasting, poses).T
        # Another similarity after the drift, about the middle of the image.
        scale = 1 + nearer * (plan.head_move_px > 0)
        cos, sin = scale * np.cos(turn), scale * np.sin(turn)
        middle = (self.settings.size - 1) / 2
        extra = np.empty((count, 2, 3))
        extra[:, 0, 0], extra[:, 0, 1], extra[:, 1, 0], extra[:, 1, 1] = cos, -sin, sin, cos
        pixel = self.settings.size / CANVAS
        extra[:, 0, 2] = middle + x * pixel - (cos - sin) * middle
        extra[:, 1, 2] = middle + y * pixel - (sin + cos) * middle
        head = extra[:, :, :2] @ self.head
        head[:, :, 2] += extra[:, :, 2]
        self.head = head

    def _blinks(self) -> list[Planted]:
        closed = np.concatenate([[False], self.blink > 0, [False]])
        edges = np.flatnonzero(np.diff(closed.astype(np.int8)))
        found = []
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            onset, offset = max(int(first) - 1, 0), min(int(stop), self.frame_count - 1)
            apex = int(first) + int(self.blink[first:stop].argmax())
            found.append(Planted("blink", onset, apex, offset, "", ("45",)))
        return found

    # -- movement without pictures ---------------------------------------------------------------

    def region_places(self, rows: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Where the skin of each of ``REGIONS`` truly is, relative to rest, head motion left out.

        Units add up and their fields are fixed, so this is one matrix product: a video's movement
        in a second where rendering and flow take minutes.

        Args:
            rows: frames; all by default.

        Returns:
            Float64 [len(rows), len(REGIONS), 2], x right and y down, px of a 224 px crop.
        """
        parts = slice(None) if rows is None else rows
        names = list(self.tracks)
        if not names:
            count = self.frame_count if rows is None else len(rows)
            return np.zeros((count, len(REGIONS), 2))
        amounts = np.stack([self.tracks[name][parts] for name in names], axis=1)
        gains = np.stack([self._unit_gains[name] for name in names])
        return np.tensordot(amounts.astype(np.float64), gains, axes=1)

    @cached_property
    def _unit_gains(self) -> dict[tuple[str, Literal["L", "R"]], NDArray[np.float64]]:
        """Mean movement [len(REGIONS), 2] of every region at full intensity of each unit."""
        masks = _region_weights(self.person)
        gains = {}
        for name in self.tracks:
            field = face_field(self.person, {name: 1.0})
            whole = field.common.astype(np.float64)
            rows, columns = MOUTH
            top, left = rows.start - FACE[0].start, columns.start - FACE[1].start
            near = whole[top : top + field.upper.shape[0], left : left + field.upper.shape[1]]
            y = np.arange(rows.start, rows.stop)[:, None]
            x = np.arange(columns.start, columns.stop)[None]
            above = y < self.person.lip_line(x - self.person.centre_x)
            near[..., 1] += np.where(above, field.upper, field.lower)
            gains[name] = np.tensordot(masks, whole, axes=2)
        return gains


def make_long_video(
    person: Person,
    *,
    seed: int,
    fps: Fraction = Fraction(30),
    plan: LongVideoSettings | None = None,
) -> LongVideo:
    """A long video of ``person``: same arguments, same frames.

    Args:
        person: from ``make_person``.
        seed: any non-negative integer.
        fps: frames per second.
        plan: what happens; by default ten minutes with 20 micro-expressions.

    Raises:
        SettingsError: more events than time.
    """
    return LongVideo(person, seed=seed, fps=fps, plan=plan or LongVideoSettings())


def _region_weights(person: Person) -> NDArray[np.float64]:
    """[len(REGIONS), *FACE]: each region as a mean over its pixels on the canonical face."""
    rows, columns = FACE
    y, x = np.mgrid[rows.start : rows.stop, columns.start : columns.stop]
    side = person.pupil_distance / EYE_DISTANCE
    masks = []
    for region in REGIONS.values():
        across = (x - person.centre_x - (region.x - 0.5) * side) / (region.rx * side)
        along = (y - person.eye_y - (region.y - 0.284) * side) / (region.ry * side)
        inside = across**2 + along**2 <= 1
        masks.append(inside / inside.sum())
    return np.stack(masks)


def _poses(
    time: NDArray[np.float64],
    starts: NDArray[np.float64],
    lasting: NDArray[np.float64],
    places: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[T, k]: from ``places[i]`` smoothly to ``places[i + 1]`` at ``starts[i]``."""
    pose = np.tile(places[0], (len(time), 1))
    for start, seconds, step in zip(starts, lasting, np.diff(places, axis=0), strict=True):
        first, stop = np.searchsorted(time, (start, start + seconds))
        share = (time[first:stop, None] - start) / seconds
        pose[first:stop] += step * share**3 * (10 - 15 * share + 6 * share**2)
        pose[stop:] += step
    return pose


def _moved(event: Planted, frames: int) -> Planted:
    return Planted(
        event.kind,
        event.onset + frames,
        event.apex + frames,
        event.offset + frames,
        event.emotion,
        event.action_units,
        event.peak_px,
    )
