"""What all readers of annotation files share: the annotation, and the file while it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ma2mi.errors import CorpusError
from ma2mi.formats.cells import parse_seconds, shorten
from ma2mi.formats.findings import Finding, Severity

LONGEST_S = 10**7
"""Seconds, four months: a later time is a date, or was counted in other units."""

_NOBODY = ("", "no focal subject", "n/a")


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
        apex_s: a time within, None where nobody marked one.
        aus: FACS units as written.
        kind: "micro", "macro" or "".
        fps: frames per second of a folder of frames.
        where: file and place, for complaints.
        others: other media that were played at the same time, each with the seconds that its
            own clock is ahead of ``start_s`` and ``end_s``.
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
    where: str = ""
    others: tuple[tuple[str, Fraction], ...] = ()

    @property
    def is_point(self) -> bool:
        return self.start_s == self.end_s


class NoAnnotations(CorpusError):
    """A table whose columns are none that hold annotations."""


@dataclass(slots=True)
class Source:
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

    def error(self, place: str, what: str, cure: str = "") -> CorpusError:
        return CorpusError(what, where=self.where(place), cure=cure)

    def note(self, error: CorpusError, severity: Severity = "error") -> None:
        self.faults.append(Finding.of(error, severity))

    def say(self, severity: Severity, place: str, what: str, cure: str = "") -> None:
        self.note(self.error(place, what, cure), severity)

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
    """Who is seen, "" where the tool says that it is nobody."""
    text = str(subject or "").strip()
    return "" if text.lower() in _NOBODY else text
