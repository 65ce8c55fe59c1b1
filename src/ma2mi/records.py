"""The nouns that every room shares: Recording, Interval, Expression, Reading."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Literal

from ma2mi.files import file_name

Kind = Literal["micro", "macro"]


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
