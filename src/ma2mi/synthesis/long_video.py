"""A synthetic long video: one subject, many expressions, blinks, speech, and the truth of each."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import SettingsError
from ma2mi.motion.facs import EMOTIONS, SIDES
from ma2mi.motion.regions import EYE_DISTANCE, REGIONS
from ma2mi.records import EventKind, Interval, Kind
from ma2mi.synthesis.behaviour import (
    ExpressionSettings,
    GroundTruthEvent,
    Piece,
    PoseSettings,
    TalkSettings,
)
from ma2mi.synthesis.clip import SyntheticClip, make_clip, slow_curve
from ma2mi.synthesis.expression_plan import BROWS, begin_within, end_within, plan_expression
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.synthesis.movement import FACE, MOUTH, Track, face_field
from ma2mi.synthesis.other_plan import plan_other
from ma2mi.synthesis.pose_plan import follow_poses, plan_turns
from ma2mi.synthesis.speech_plan import plan_talk
from ma2mi.synthesis.subject import CANVAS, SyntheticSubject

__all__ = [
    "ExpressionSettings",
    "GroundTruthEvent",
    "LongVideo",
    "LongVideoSettings",
    "PoseSettings",
    "TalkSettings",
    "make_long_video",
]

ZOOM = 1.12
"""Usual size of the face, image pixels over canonical ones times ``CANVAS`` / size."""

NECK = 70.0
"""Canonical px from the neck's axis to the middle of the face, about 0.9 pupil distances."""

_DRAWS = 20  # of a lifelike plan, whose pieces may at first be too long for it
_SPEECH = (("25", 1.0), ("26", 0.6), ("20", 0.3))


class LongVideo(SyntheticClip):
    """A long video whose frames are rendered one by one when asked for; nothing is kept.

    As of a ``SyntheticClip`` there are ``frame``, ``frames``, ``tracks``, ``head``, ``light`` and
    ``gaze``; instead of one expression it has ``events``. The layered face moves as a picture does
    (shift, turn, nearer), not in depth: yaw and pitch only shift it.

    Attributes:
        events: the ground truth, by rising onset.
        pose: float64 (frame_count, 6), for a renderer in depth: yaw, pitch and roll in degrees
            (positive to the subject's left, down, and clockwise in the image), shift of the head
            x right and y down in px of a 224 px crop at the usual distance, and the distance as a
            multiple of the usual. ``head`` follows from it.
        settings: of the scene; ``plan`` holds all.
    """

    events: tuple[GroundTruthEvent, ...]

    def __init__(
        self, subject: SyntheticSubject, *, seed: int, fps: Fraction, plan: LongVideoSettings
    ) -> None:
        self.subject, self.seed, self.fps, self.plan = subject, seed, Fraction(fps), plan
        self.settings = plan.scene.model_copy(update={"padding_frames": 0, "speech_rate": 0.0})
        self.frame_count = round(plan.duration_s * float(fps))
        streams = np.random.SeedSequence([seed, subject.seed, 0x106]).spawn(7)
        self.noise_seed = streams[5]
        self.tracks = {}
        events = self._plan_events(np.random.default_rng(streams[0]))
        closed = {name: track for name, track in self.tracks.items() if name[0] == "45"}
        self._plan_distractors(np.random.default_rng(streams[1]))
        for name, track in closed.items():  # eyes closed by another event, and blinks
            self.tracks[name] = np.maximum(track, self.blink)
        self._plan_gaze(np.random.default_rng(streams[2]))
        self._plan_camera(np.random.default_rng(streams[3]))
        self._plan_head_moves(np.random.default_rng(streams[4]))
        utterances = [event.interval for event in events if event.kind == "speech"]
        events += self._plan_pose(np.random.default_rng(streams[6]), utterances)
        events += self._blinks()
        self.events = tuple(sorted(events, key=lambda event: (event.onset, event.kind)))

    def of_kind(self, *kinds: EventKind) -> list[GroundTruthEvent]:
        """The events of these kinds, by rising onset."""
        return [event for event in self.events if event.kind in kinds]

    @property
    def face_px(self) -> float:
        """Width of the face between the ears, in image pixels at the usual distance."""
        return 2 * self.subject.width * ZOOM * self.settings.size / CANVAS

    def _plan_events(self, rng: np.random.Generator) -> list[GroundTruthEvent]:
        plan, rate = self.plan, float(self.fps)
        kinds = (
            ["micro"] * plan.micro_count
            + ["macro"] * plan.macro_count
            + ["speech"] * plan.speech_count
            + ["other"] * plan.other_count
        )
        rng.shuffle(kinds)
        begun, unfinished = self._move_to_ends(kinds, rng)
        gap = round(plan.apart_s * rate)
        lifelike = plan.expressions is not None or plan.talk is not None
        for _ in range(_DRAWS if lifelike else 1):
            pieces = [self._piece(kind, rng) for kind in kinds]
            if begun:
                pieces[0] = begin_within(pieces[0], rng)
            if unfinished:
                pieces[-1] = end_within(pieces[-1], rng)
            spare = self.frame_count - sum(len(piece) + gap for piece in pieces) - gap
            if spare >= 0 or not pieces:
                break
        else:
            raise SettingsError(
                f"{plan.duration_s:g} s are too short for {len(kinds)} expressions and utterances",
                hint="Plan fewer, or a longer video",
            )
        # Uniform spacings: the events fall like a Poisson process with a dead time.
        starts = np.sort(rng.integers(0, max(spare, 0) + 1, len(pieces)))
        events, at = [], gap
        for number, (piece, start) in enumerate(zip(pieces, starts, strict=True)):
            first = at + int(start)
            if begun and number == 0:
                first = 0
            if unfinished and number == len(pieces) - 1:
                first = self.frame_count - len(piece)
            events.append(self._place(piece, first))
            talk = plan.talk if piece.event.kind == "speech" else None
            if talk is not None and rng.random() < talk.brows_rate:
                brows = self._brows_meanwhile(piece, rng)
                room = max(len(piece) - len(brows), 0)
                events.append(self._place(brows, first + int(rng.integers(room + 1))))
            at += len(piece) + gap
        return events

    def _move_to_ends(self, kinds: list[str], rng: np.random.Generator) -> tuple[bool, bool]:
        """Whether the first and the last are expressions that the video cuts; moves them there."""
        settings = self.plan.expressions
        if settings is None:
            return False, False
        begun = rng.random() < settings.begun_rate and "macro" in kinds
        if begun:
            kinds.remove("macro")
        unfinished = rng.random() < settings.unfinished_rate and "macro" in kinds
        if unfinished:
            kinds.remove("macro")
        kinds[:] = ["macro"] * begun + kinds + ["macro"] * unfinished
        return begun, unfinished

    def _place(self, piece: Piece, first: int) -> GroundTruthEvent:
        """Add the piece to the tracks from a frame on."""
        for name, track in piece.tracks.items():
            whole = self.tracks.setdefault(name, np.zeros(self.frame_count, np.float32))
            whole[first : first + len(piece)] += track
        return piece.event.later(first)

    def _piece(self, kind: str, rng: np.random.Generator) -> Piece:
        plan, rate = self.plan, float(self.fps)
        if kind == "speech":
            if plan.talk is None:
                return self._utterance(rng)
            length = round(rng.uniform(*plan.speech_duration_s) * rate)
            return plan_talk(rng, rate, length, plan.talk)
        if kind == "other":
            return plan_other(rng, rate)
        if kind == "macro" and plan.expressions is not None:
            asymmetry = self.settings.asymmetry
            return plan_expression(self.subject, rng, rate, plan.expressions, asymmetry=asymmetry)
        still = self.settings.model_copy(update={"blink_rate": 0.0, "gaze_rate": 0.0})
        which: Kind = "micro" if kind == "micro" else "macro"
        clip = make_clip(
            self.subject,
            kind=which,
            emotion=list(EMOTIONS)[rng.integers(len(EMOTIONS))],
            seed=int(rng.integers(2**31)),
            fps=self.fps,
            settings=still,
        )
        weights = {name: float(track[clip.apex]) for name, track in clip.tracks.items()}
        field = face_field(self.subject, weights)
        peak = float(np.hypot(field.common[..., 0], field.common[..., 1]).max())
        peak = max(peak, float(np.abs(field.upper).max()), float(np.abs(field.lower).max()))
        event = GroundTruthEvent(
            which, clip.onset, clip.apex, clip.offset, clip.emotion, clip.action_units, peak
        )
        return Piece(clip.tracks, event)

    def _brows_meanwhile(self, talk: Piece, rng: np.random.Generator) -> Piece:
        """An expression of the brows that fits into an utterance."""
        return plan_expression(
            self.subject,
            rng,
            float(self.fps),
            self.plan.expressions or ExpressionSettings(),
            asymmetry=self.settings.asymmetry,
            table=BROWS,
            longest_s=(len(talk) - 1) / float(self.fps),
        )

    def _utterance(self, rng: np.random.Generator) -> Piece:
        length = round(rng.uniform(*self.plan.speech_duration_s) * float(self.fps))
        time = np.arange(length) / float(self.fps)
        ramp = np.clip(np.minimum(time, time[-1] - time) / 0.15, 0, 1)
        beat = np.abs(slow_curve(rng, time, 2.0, 6.0)).clip(0, 2) * 0.25 * ramp
        tracks: dict[Track, NDArray[np.float32]] = {
            (number, side): (share * beat).astype(np.float32)
            for number, share in _SPEECH
            for side in SIDES
        }
        units = tuple(number for number, _ in _SPEECH)
        return Piece(
            tracks, GroundTruthEvent("speech", 0, int(beat.argmax()), length - 1, "", units)
        )

    def _plan_gaze(self, rng: np.random.Generator) -> None:
        """The eyes rest at one place after the other; a short clip's walk would leave the face."""
        count, rate = self.frame_count, float(self.fps)
        turns = int(rng.poisson(self.settings.gaze_rate * count / rate))
        starts = np.sort(rng.uniform(0, count / rate, turns))
        places = np.clip(rng.normal(0, (2.2, 0.8), (turns + 1, 2)), (-5, -2), (5, 2))
        self.gaze = follow_poses(
            np.arange(count) / rate, starts, np.full(turns, 0.04), places
        ).astype(np.float32)

    def _plan_head_moves(self, rng: np.random.Generator) -> None:
        plan, count, rate = self.plan, self.frame_count, float(self.fps)
        moves = int(rng.poisson(plan.head_move_rate * count / rate))
        starts = np.sort(rng.uniform(0, count / rate, moves))
        lasting = rng.uniform(*plan.head_move_duration_s, moves)
        spread = (plan.head_move_px, plan.head_move_px, np.deg2rad(plan.head_move_deg), 0.01)
        poses = rng.normal(0, spread, (moves + 1, 4))
        x, y, turn, nearer = follow_poses(np.arange(count) / rate, starts, lasting, poses).T
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

    def _plan_pose(
        self, rng: np.random.Generator, utterances: list[Interval]
    ) -> list[GroundTruthEvent]:
        """The pose of the head so far, and what the plan adds to it."""
        centre, middle = CANVAS / 2, (self.settings.size - 1) / 2
        pixel = self.settings.size / CANVAS
        at = self.head @ (centre, centre, 1)
        self.pose = np.zeros((self.frame_count, 6))
        self.pose[:, 2] = np.rad2deg(np.arctan2(self.head[:, 1, 0], self.head[:, 0, 0]))
        self.pose[:, 3:5] = (at - middle) / pixel
        self.pose[:, 5] = ZOOM * pixel / np.hypot(self.head[:, 0, 0], self.head[:, 1, 0])
        if self.plan.pose is None:
            return []
        turns, events = plan_turns(
            rng, float(self.fps), self.frame_count, self.plan.pose, utterances
        )
        self.pose[:, :3] += turns[:, :3]
        self.pose[:, 5] *= turns[:, 3]
        yaw, pitch, roll = np.deg2rad(self.pose[:, :3]).T
        zoom = ZOOM * pixel / self.pose[:, 5]
        cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
        x, y = middle + pixel * self.pose[:, 3:5].T
        x = x + zoom * NECK * np.sin(yaw)
        y = y + zoom * NECK * np.sin(pitch)
        rows = [[cos, -sin, x - (cos - sin) * centre], [sin, cos, y - (sin + cos) * centre]]
        self.head = np.array(rows).transpose(2, 0, 1)
        return events

    def _blinks(self) -> list[GroundTruthEvent]:
        closed = np.concatenate([[False], self.blink > 0, [False]])
        edges = np.flatnonzero(np.diff(closed.astype(np.int8)))
        found = []
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            onset, offset = max(int(first) - 1, 0), min(int(stop), self.frame_count - 1)
            apex = int(first) + int(self.blink[first:stop].argmax())
            found.append(GroundTruthEvent("blink", onset, apex, offset, "", ("45",)))
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
    def _unit_gains(self) -> dict[Track, NDArray[np.float64]]:
        """Mean movement [len(REGIONS), 2] of every region at full intensity of each unit."""
        masks = _region_weights(self.subject)
        gains = {}
        for name in self.tracks:
            field = face_field(self.subject, {name: 1.0})
            whole = field.common.astype(np.float64)
            rows, columns = MOUTH
            top, left = rows.start - FACE[0].start, columns.start - FACE[1].start
            near = whole[top : top + field.upper.shape[0], left : left + field.upper.shape[1]]
            y = np.arange(rows.start, rows.stop)[:, None]
            x = np.arange(columns.start, columns.stop)[None]
            above = y < self.subject.lip_line(x - self.subject.centre_x)
            near[..., 1] += np.where(above, field.upper, field.lower)
            gains[name] = np.tensordot(masks, whole, axes=2)
        return gains


def make_long_video(
    subject: SyntheticSubject,
    *,
    seed: int,
    fps: Fraction = Fraction(30),
    plan: LongVideoSettings | None = None,
) -> LongVideo:
    """A long video of ``subject``: same arguments, same frames.

    Args:
        subject: from ``make_subject``.
        seed: any non-negative integer.
        fps: frames per second.
        plan: what happens; by default ten minutes with 20 micro-expressions.

    Raises:
        SettingsError: more events than time.
    """
    return LongVideo(subject, seed=seed, fps=fps, plan=plan or LongVideoSettings())


def _region_weights(subject: SyntheticSubject) -> NDArray[np.float64]:
    """[len(REGIONS), *FACE]: each region as a mean over its pixels on the canonical face."""
    rows, columns = FACE
    y, x = np.mgrid[rows.start : rows.stop, columns.start : columns.stop]
    side = subject.pupil_distance / EYE_DISTANCE
    masks = []
    for region in REGIONS.values():
        across = (x - subject.centre_x - (region.x - 0.5) * side) / (region.rx * side)
        along = (y - subject.eye_y - (region.y - 0.284) * side) / (region.ry * side)
        inside = across**2 + along**2 <= 1
        masks.append(inside / inside.sum())
    return np.stack(masks)
