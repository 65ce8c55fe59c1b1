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
EventKind = Literal["micro", "macro", "blink", "speech"]
Level = Literal["green", "amber", "red"]

EXPRESSIONS: tuple[EventKind, ...] = ("micro", "macro")
KINDS: dict[EventKind, str] = {
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
    """One video of one person: a video file, or a folder of frames.

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
class Expression:
    """A facial movement in time: what a coder marked, or what the machine found.

    Args:
        recording: where it happens.
        onset, offset: first and last frame, counted from 0, inclusive.
        apex: frame of the strongest movement, or None where nobody marked it.
        kind: "micro" (up to 1/2 s) or "macro".
        emotion: the corpus' own word, "" if unknown.
        action_units: FACS units as coded, such as ("4", "L10").
        score: the machine's confidence in [0, 1], None for a human mark.
    """

    recording: Recording
    onset: int
    offset: int
    apex: int | None = None
    kind: Kind = "micro"
    emotion: str = ""
    action_units: tuple[str, ...] = ()
    score: float | None = None

    @property
    def interval(self) -> Interval:
        return Interval(self.onset, self.offset)

    @property
    def subject(self) -> str:
        return self.recording.subject

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
        expression: probability that there is an expression at all; None if nobody asked.
        abstained: the model would rather not say; ``probabilities`` are what it leans to.
    """

    key: str
    probabilities: dict[str, float]
    action_units: dict[str, float] = field(default_factory=dict)
    intensity: float | None = None
    expression: float | None = None
    abstained: bool = False

    @property
    def label(self) -> str:
        """The most probable class; the first of equals."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True, slots=True)
class Event:
    """A movement of one face: a candidate for a person to review, no finding.

    Args:
        event_id: counts from 1 in the order of the onsets.
        face_id: counts from 0 in the order in which the faces appeared.
        kind: see ``KINDS``.
        onset_frame, apex_frame, offset_frame: decoded frames from 0, the ends inclusive.
        onset_s, apex_s, offset_s: when those frames are seen, seconds after the first frame.
        score: in [0, 1], how far it stands out; for ranking, not a probability of being true.
        floor_multiple: its peak in units of this face's own noise floor.
        regions: where it moves, strongest first; names of ``motion.REGIONS``.
        reading: what the recognizer says; None for blinks and speech, and where the recording is
            not good enough for an answer.
        flags: what a reviewer should know, such as "face lost".
        reason: "" for an event; for a candidate below the thresholds why it is none, such as
            "score 0.04 below 0.52" or "follows the head".
    """

    event_id: int
    face_id: int
    kind: EventKind
    onset_frame: int
    apex_frame: int
    offset_frame: int
    onset_s: float
    apex_s: float
    offset_s: float
    score: float
    floor_multiple: float
    regions: tuple[str, ...] = ()
    reading: Reading | None = None
    flags: tuple[str, ...] = ()
    reason: str = ""

    @property
    def duration_ms(self) -> float:
        """From the onset frame to the offset frame."""
        return round(1000 * (self.offset_s - self.onset_s), 3)

    @property
    def units(self) -> tuple[str, ...]:
        """Action units of probability 1/2 or more, such as "AU12", the surest first."""
        if self.reading is None:
            return ()
        sure = [(-p, unit) for unit, p in self.reading.action_units.items() if p >= 0.5]
        return tuple(f"AU{unit}" for _, unit in sorted(sure))

    @property
    def label(self) -> str:
        """The class that the recognizer stands by; "" where it abstains or was not asked."""
        return "" if self.reading is None or self.reading.abstained else self.reading.label

    @property
    def words(self) -> str:
        """One line for tools that show one: kind, answer, action units."""
        said: list[str] = [self.kind]
        if self.reading is not None and self.label:
            said.append(f"{self.label} {self.reading.probabilities[self.label]:.2f}")
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
    events: tuple[Event, ...]
    candidates: tuple[Event, ...] = ()
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
