"""The nouns that every room shares: recordings, intervals, events, readings, analyses."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from ma2mi.files import file_name

Kind = Literal["micro", "macro"]
DetectedKind = Literal["micro", "macro", "blink", "speech"]
EventKind = Literal["micro", "macro", "blink", "speech", "head", "other", ""]
EventSource = Literal["coded", "rendered", "detected", "reviewed", ""]
Level = Literal["green", "amber", "red"]

#: Probability from which an action unit counts as shown, unless the weights say otherwise.
UNIT_THRESHOLD = 0.5

EXPRESSIONS: tuple[Kind, ...] = ("micro", "macro")
KINDS: dict[DetectedKind, str] = {
    "micro": "brief movement of the face, up to 1/2 s: a candidate for a micro-expression",
    "macro": "longer movement of the face: a candidate for an ordinary expression",
    "blink": "closing and opening of the eyes",
    "speech": "the mouth opening and closing at syllable rate, as in talking or chewing",
}


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of frames, inclusive at both ends.

    ::

        frame   0 1 2 3 4 5 6 7
        (2, 5)      |-----|        length 4

    Args:
        onset: first frame, counted from 0 in decoding order.
        offset: last frame, at least ``onset``.
    """

    onset: int
    offset: int

    def __post_init__(self) -> None:
        if self.offset < self.onset:
            raise ValueError(f"offset {self.offset} lies before onset {self.onset}")

    def __len__(self) -> int:
        return self.offset - self.onset + 1

    def __contains__(self, frame: object) -> bool:
        # numpy's numbers, too, and 5.0, as in a range.
        number = float(frame) if isinstance(frame, Real) else float("nan")
        return number.is_integer() and self.onset <= number <= self.offset

    def iou(self, other: Interval) -> float:
        """Shared frames over all frames of both, in [0, 1]."""
        shared = min(self.offset, other.offset) - max(self.onset, other.onset) + 1
        return max(shared, 0) / (len(self) + len(other) - max(shared, 0))


@dataclass(frozen=True, slots=True)
class Recording:
    """One video of one subject: a video file, or a folder of frames.

    Args:
        path: the file or the folder.
        subject: who it shows; the unit that leave-one-subject-out leaves out.
        name: unique within the corpus; a relative path with "/" is fine.
        corpus: the corpus' registered name, or "" for loose files.
        fps: frames per second, needed for a folder of frames (it has no time stamps).
    """

    path: Path
    subject: str
    name: str
    corpus: str = ""
    fps: Fraction | None = None

    @property
    def key(self) -> str:
        """Names the recording among all corpora and loose files, and can be a file name."""
        subject = self.subject if self.subject != self.name else ""
        parts = (self.corpus, subject, self.name)
        named = file_name(*parts)
        complete = all(parts) or (not self.corpus and not subject and "_" not in self.name)
        if complete and all(unicodedata.is_normalized("NFC", part) for part in parts):
            return named
        # Where a part is missing, "a_b" may be one part or two; and NFC is not all there is.
        return f"{named}-{hashlib.sha256(ascii(parts).encode()).hexdigest()[:8]}"

    @property
    def person(self) -> str:
        """Names the person among all corpora: "corpus/subject"."""
        return f"{self.corpus}/{self.subject}" if self.corpus else self.subject


@dataclass(frozen=True, slots=True)
class Event:
    """A movement of a face in time: what a coder marked, what was rendered, what was detected.

    ::

        frame   0 1 2 3 4 5 6 7
        event       |---^-|        onset 2, apex 4, offset 5

    Args:
        kind: "micro" (up to 1/2 s), "macro", "blink" or "speech"; "head" and "other" in rendered
            videos; "" where kinds are not distinguished.
        onset, offset: first and last frame, counted from 0, inclusive.
        apex: frame of the strongest movement, None if it is not marked.
        emotion: the class, in the words of whoever names it; "" if unknown.
        action_units: FACS units, such as ("4", "L10").
        subject: who shows it, "" if unknown or the same throughout.
        video: name of the recording within its corpus, "" likewise.
        face: number of the face in the video, None where faces are not counted.
        score: a detector's confidence in [0, 1], None for what a coder marked.
        source: how it came to be known, "" if unknown.
    """

    kind: EventKind
    onset: int
    apex: int | None
    offset: int
    emotion: str = field(default="", kw_only=True)
    action_units: tuple[str, ...] = field(default=(), kw_only=True)
    subject: str = field(default="", kw_only=True)
    video: str = field(default="", kw_only=True)
    face: int | None = field(default=None, kw_only=True)
    score: float | None = field(default=None, kw_only=True)
    source: EventSource = field(default="", kw_only=True)

    @property
    def interval(self) -> Interval:
        return Interval(self.onset, self.offset)


@dataclass(frozen=True, slots=True)
class Expression(Event):
    """An expression that somebody coded, with the recording in which it happens.

    Args:
        kind: "micro" or "macro".
        recording: where it happens; subject and video are its own.
    """

    kind: Kind
    recording: Recording = field(kw_only=True)
    subject: str = field(init=False)
    video: str = field(init=False)
    source: EventSource = field(default="coded", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", self.recording.subject)
        object.__setattr__(self, "video", self.recording.name)

    @property
    def key(self) -> str:
        """Names the expression: one recording can hold several, so the onset belongs to it."""
        return f"{self.recording.key}@{self.onset}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model says about one expression.

    Args:
        key: the expression's key.
        probabilities: class name to probability, summing to 1.
        action_units: FACS unit to probability, each in [0, 1].
        intensity: largest movement of the skin in percent of the crop's width; None if unknown.
        expression: probability that there is an expression at all; None if it was not estimated.
        abstained: the model would rather not say; ``probabilities`` are what it leans to.
        unit_thresholds: FACS unit to the probability from which it counts as shown; units that
            are not named count from ``UNIT_THRESHOLD`` on.

    Attributes:
        shown: the units that count as shown, the surest first.
    """

    key: str
    probabilities: dict[str, float]
    action_units: dict[str, float] = field(default_factory=dict)
    intensity: float | None = None
    expression: float | None = None
    abstained: bool = False
    unit_thresholds: dict[str, float] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[str, ...]:
        likely = [
            (-p, unit)
            for unit, p in self.action_units.items()
            if p >= self.unit_thresholds.get(unit, UNIT_THRESHOLD)
        ]
        return tuple(unit for _, unit in sorted(likely))

    @property
    def label(self) -> str:
        """The most probable class; the first of equals."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True, slots=True)
class DetectedEvent(Event):
    """A movement that an analysis found: a candidate for a person to review, no finding.

    Args:
        kind: see ``KINDS``.
        onset, apex, offset: decoded frames from 0, the ends inclusive.
        event_id: counts from 1 in the order of the onsets.
        face: counts from 0 in the order in which the faces appeared.
        onset_s, apex_s, offset_s: when those frames are seen, seconds after the first frame.
        score: in [0, 1], how far it stands out; for ranking, not a probability of being true.
        floor_multiple: its peak in units of this face's own noise floor.
        regions: where it moves, strongest first; names of ``motion.REGIONS``.
        reading: what the recognizer says; None for blinks and speech, and where the recording is
            not good enough for an answer.
        flags: what a reviewer should know, such as "face lost".
        reason: "" for an event; for a candidate below the thresholds why it is none, such as
            "score 0.04 below 0.52" or "follows the head".

    Attributes:
        emotion: the class that the recognizer stands by; "" where it abstains or was not asked.
        action_units: those that the recognizer counts as shown, such as "12", the surest first.
    """

    kind: DetectedKind
    apex: int
    face: int = field(kw_only=True)
    event_id: int = field(kw_only=True)
    onset_s: float = field(kw_only=True)
    apex_s: float = field(kw_only=True)
    offset_s: float = field(kw_only=True)
    score: float = field(kw_only=True)
    floor_multiple: float = field(kw_only=True)
    regions: tuple[str, ...] = field(default=(), kw_only=True)
    reading: Reading | None = field(default=None, kw_only=True)
    flags: tuple[str, ...] = field(default=(), kw_only=True)
    reason: str = field(default="", kw_only=True)
    emotion: str = field(init=False)
    action_units: tuple[str, ...] = field(init=False)
    source: EventSource = field(default="detected", kw_only=True)

    def __post_init__(self) -> None:
        read = self.reading
        certain = read is not None and not read.abstained
        object.__setattr__(self, "emotion", read.label if read and certain else "")
        object.__setattr__(self, "action_units", read.shown if read else ())

    @property
    def duration_ms(self) -> float:
        """From the onset frame to the offset frame."""
        return round(1000 * (self.offset_s - self.onset_s), 3)

    @property
    def units(self) -> tuple[str, ...]:
        """The action units as tables write them: "AU12"."""
        return tuple(f"AU{unit}" for unit in self.action_units)

    @property
    def words(self) -> str:
        """One line for tools that show one: kind, answer, action units."""
        said: list[str] = [self.kind]
        if self.reading is not None and self.emotion:
            said.append(f"{self.emotion} {self.reading.probabilities[self.emotion]:.2f}")
        return " ".join((*said, *self.units))


@dataclass(frozen=True, slots=True)
class FaceFacts:
    """One face of a video.

    Args:
        face_id: as in the events.
        frames: in how many it was found.
        first_s, last_s: when it was seen first and last.
        size_px: median distance between the outer corners of the eyes, in pixels of the video.
        level: is the recording good enough for this face?
        reasons: why not, worst first, each with its number.
        quality: everything that was measured for the verdict, see ``face.quality``.
    """

    face_id: int
    frames: int
    first_s: float
    last_s: float
    size_px: float
    level: Level
    reasons: tuple[str, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that was found in one video, but for the rows of ``frames.csv``.

    Args:
        name: of the folder that holds the results.
        source: the video, as the user named it; "" where paths are left out.
        version: of ma2mi.
        width, height: of the frames, upright.
        fps: frames per second, as measured from the frames' own times.
        frames: how many were decoded.
        start_s: what the container's clock says at the first frame; all times count from there.
        picture_s: what a player's clock says at the first frame, above 0 where sound begins before
            the picture; ELAN, BORIS and BIDS count from that clock's 0.
        slowed: how many times longer the file plays than it was recorded: 8 for 200 frames a
            second that play at 25.
        duration_s: from the first frame to the end of the last.
        level, reasons: whether the recording is good enough; the best face's.
        faces, events: in the order of their ids.
        candidates: movements below the thresholds, each with its reason; micro or macro, without a
            reading, with ids of their own from 1 in the order of the onsets.
        classes, units: what the recognizer knows; empty where none was asked.
        notes: what happened on the way, such as a file that breaks off.
        settings: everything that the results depend on.
    """

    name: str
    source: str
    version: str
    width: int
    height: int
    fps: float
    frames: int
    start_s: float
    duration_s: float
    level: Level
    reasons: tuple[str, ...]
    faces: tuple[FaceFacts, ...]
    events: tuple[DetectedEvent, ...]
    candidates: tuple[DetectedEvent, ...] = ()
    classes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    picture_s: float = 0.0
    slowed: float = 1.0

    @property
    def frame_s(self) -> float:
        """Seconds of one frame, in the mean."""
        return 1 / self.fps

    def player_s(self, time_s: float) -> float:
        """What a player's clock says at a time of the analysis, seconds."""
        return self.picture_s + self.slowed * time_s
