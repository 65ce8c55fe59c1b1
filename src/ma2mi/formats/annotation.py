"""What all codecs of annotation files share: the annotation, its notes, and the file as read."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from ma2mi.errors import CorpusError
from ma2mi.formats.cells import parse_seconds, shorten
from ma2mi.formats.findings import Finding, Severity
from ma2mi.formats.sheets import Row
from ma2mi.records import KINDS

LONGEST_S = 10**7
"""Seconds, four months: a later time is a date, or was counted in other units."""

_NO_SUBJECT = ("", "no focal subject", "n/a")
_FACE = re.compile(r"face([0-9]{1,4})")
_UNIT = re.compile(r"AU[LRTBUMA]?[0-9]{1,2}[A-E]?", re.IGNORECASE)
_NUMBER = re.compile(r"#([0-9]{1,9})")
_SCORE = re.compile(r"score ([0-9]*\.?[0-9]+)")


@dataclass(frozen=True, slots=True)
class Annotation:
    """What somebody marked, in seconds of the file that they looked at, as a player shows them.

    ::

        sound    |~~~~~~~~~~~~~~~~~~~~~~~|    a player's clock starts with the file, ...
        frames         |--0--|--1--|--2--|    ... and so does this one, even if the picture is late
        marked               [-----------)    frames 1 and 2

    Args:
        start_s, end_s: from the moment in which the first frame appears to the moment in which
            the last one disappears; both are the same for a point.
        label: the coder's word.
        layer: ELAN's tier, BORIS' behavioral category.
        media: the video's name or path as the file gives it, "" if it does not.
        subject: who is seen, "" if the file does not say.
        apex_s: a time within, None if unmarked.
        aus: FACS units as written.
        kind: one of ``records.KINDS``, "" where the file does not say.
        fps: frames per second of a folder of frames.
        where: file and place, for complaints.
        others: other media that were played at the same time, each with the seconds that its
            own clock is ahead of ``start_s`` and ``end_s``.
        face: number of the face, from 0, in an analysis; None in other files. An annotation of a
            face is an event even where it has no word.
        score: how far an event of an analysis stands out, in [0, 1].
        flags: what a reviewer should know of it.
        number: of the event in ``events.csv``.
    """

    start_s: Fraction
    end_s: Fraction
    label: str = ""
    layer: str = ""
    media: str = ""
    subject: str = ""
    apex_s: Fraction | None = None
    aus: str = ""
    kind: str = ""
    fps: Fraction | None = None
    where: str = field(default="", compare=False)
    others: tuple[tuple[str, Fraction], ...] = ()
    face: int | None = None
    score: float | None = None
    flags: tuple[str, ...] = ()
    number: int | None = field(default=None, compare=False)

    @property
    def is_point(self) -> bool:
        return self.start_s == self.end_s

    @property
    def shown(self) -> str:
        """The subject as written to tools that know no faces: the name, or "face0"."""
        return self.subject or ("" if self.face is None else f"face{self.face}")

    @property
    def notes(self) -> str:
        """What has no place of its own in ELAN and BORIS: "#2; score 0.75; head moves"."""
        parts = [] if self.number is None else [f"#{self.number}"]
        if self.score is not None:
            parts.append(f"score {self.score:.6f}".rstrip("0").rstrip("."))
        return "; ".join((*parts, *self.flags))


class Notes(NamedTuple):
    """What ``Annotation.notes`` held."""

    number: int | None = None
    score: float | None = None
    flags: tuple[str, ...] = ()


def read_notes(text: str) -> Notes:
    """Number, score and flags of a note, whatever else somebody added to it counts as a flag."""
    number, score, flags = None, None, []
    for part in filter(None, map(str.strip, text.split(";"))):
        if number is None and (match := _NUMBER.fullmatch(part)):
            number = int(match[1])
        elif score is None and (match := _SCORE.fullmatch(part)):
            score = float(match[1])
        else:
            flags.append(part)
    return Notes(number, score, tuple(flags))


class Words(NamedTuple):
    """What ``Event.words`` said, with the number before it."""

    number: int | None
    kind: str
    label: str
    aus: str


def read_words(text: str) -> Words:
    """The parts of "#2 micro negative 0.99 AU4 AU12", as earlier exports wrote an event.

    Whatever a user left out or put in between is the class: "sad AU4" is of the class "sad".
    """
    words = text.split()
    number = _NUMBER.fullmatch(words[0]) if words else None
    if number:
        words = words[1:]
    kind = words.pop(0) if words and words[0] in KINDS else ""
    units: list[str] = []
    while words and _UNIT.fullmatch(words[-1]):
        units.insert(0, words.pop())
    if words and re.fullmatch(r"[01]\.[0-9]+", words[-1]):  # the probability of the class
        words.pop()
    return Words(int(number[1]) if number else None, kind, " ".join(words), "+".join(units))


def face_number(shown: str) -> int | None:
    """The face that ``Annotation.shown`` names, None where it names a subject."""
    match = _FACE.fullmatch(shown)
    return int(match[1]) if match else None


Span = tuple[int, int]
"""Begin and end, in milliseconds."""


def free_lane(name: str, span: Span, taken: dict[str, list[Span]]) -> str:
    """The name, or "name (2)" and so on: the first under which ``span`` overlaps nothing."""
    lane, number = name, 1
    while any(span[0] < other[1] and other[0] < span[1] for other in taken.get(lane, [])):
        number += 1
        lane = f"{name} ({number})"
    taken.setdefault(lane, []).append(span)
    return lane


def of_lane(lane: str, known: Container[str]) -> str:
    """ "name" for "name (2)" that stands beside it; all others as they are."""
    match = re.fullmatch(r"(.+) \([0-9]+\)", lane, re.DOTALL)
    return match[1] if match and match[1] in known else lane


class NoAnnotations(CorpusError):
    """A table whose columns are none that hold annotations."""


@dataclass(slots=True)
class AnnotationFile:
    """A file of annotations while it is read: what cannot be read is listed, the rest goes on.

    Args:
        file: the file.
        length_s: how long a media file plays, seconds, by its name; None if it is not at hand.
        faults: what was left out, and what is good to know.
    """

    file: Path
    length_s: Callable[[str], Fraction | None]
    faults: list[Finding] = field(default_factory=list)

    def where(self, place: str) -> str:
        return f"{self.file}, {place}" if place else str(self.file)

    def error(self, place: str, what: str, hint: str = "") -> CorpusError:
        return CorpusError(what, where=self.where(place), hint=hint)

    def note(self, error: CorpusError, severity: Severity = "error") -> None:
        self.faults.append(Finding.of(error, severity))

    def say(self, severity: Severity, place: str, what: str, hint: str = "") -> None:
        self.note(self.error(place, what, hint), severity)

    def seconds(self, text: object, place: str) -> Fraction:
        """A time in seconds; a fraction and a comma for the point are fine.

        Raises:
            CorpusError: it is none, or of another order of magnitude.
        """
        try:
            time_s = parse_seconds(str(text))
        except ValueError as error:
            raise self.error(
                place, f"{shorten(text)!r} is no time in seconds", "Write such as 12.345"
            ) from error
        if abs(time_s) > LONGEST_S:
            raise self.error(
                place, f"{shorten(text)} s is no time of a video", "Write seconds, such as 12.345"
            )
        return time_s

    def cell_s(self, row: Row, column: str) -> Fraction:
        """A time in a cell, seconds.

        Raises:
            CorpusError: it is none.
        """
        place = f"row {row.number}, column {row.headers.get(column, column)}"
        return self.seconds(row.value(column), place)

    def rise(self, start_s: Fraction, end_s: Fraction, place: str) -> None:
        """Refuse an interval that ends before it begins.

        Raises:
            CorpusError: it does.
        """
        if end_s < start_s:
            raise self.error(
                place,
                f"ends at {float(end_s):.3f} s, before it begins at {float(start_s):.3f} s",
                "Correct the two times",
            )


def focal_subject(subject: object) -> str:
    """The subject, "" where the tool says that there is none."""
    text = str(subject or "").strip()
    return "" if text.lower() in _NO_SUBJECT else text
