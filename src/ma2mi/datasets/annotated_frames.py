"""From annotations in seconds to expressions in frames."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from ma2mi.errors import CorpusError
from ma2mi.formats.action_units import parse_units
from ma2mi.formats.annotation import Annotation
from ma2mi.formats.cells import shorten
from ma2mi.formats.findings import Finding
from ma2mi.records import Expression, Kind, Recording

_ROUNDED_S = Fraction(1, 1000)  # the tools write milliseconds
_LONGEST_MICRO_S = Fraction(1, 2)


class Meaning(NamedTuple):
    """What a coder's word means here: nothing at all if emotion and units are empty."""

    emotion: str
    aus: str = ""
    kind: str = ""


def join_expressions(
    recording: Recording,
    meant: Iterable[tuple[Annotation, Meaning]],
    times: list[Fraction],
    findings: list[Finding],
) -> list[Expression]:
    """The expressions of one video in order of time, with the apexes and units beside them.

    Args:
        meant: annotations that count and what they mean, in order of time; of equals, the first
            comes first.
        times: when the frames are seen, on the annotations' clock.
        findings: what is wrong is added here.
    """
    marks: dict[int, Expression] = {}
    apexes: list[tuple[int, Annotation]] = []
    units: list[Expression] = []
    for one, meaning in meant:
        try:
            if meaning.emotion.casefold() == "apex":
                apexes.append((_frame_at(one.start_s, times, one.where), one))
                continue
            mark = expression_of(recording, one, meaning, times)
        except CorpusError as error:
            findings.append(Finding.of(error))
            continue
        if meaning.aus and not meaning.emotion and one.face is None:
            units.append(mark)
        elif (twin := marks.setdefault(mark.onset, mark)) is not mark:
            findings.append(_again(twin, mark, one.where))
            continue
        findings += _doubts(meaning.aus, one.where)
    for unit in units:
        around = [one for one in marks.values() if one.interval.iou(unit.interval) > 0]
        for host in around:
            codes = dict.fromkeys(host.action_units + unit.action_units)
            marks[host.onset] = replace(host, action_units=tuple(codes))
        if not around:
            marks[unit.onset] = unit
    for frame, one in apexes:
        around = [mark for mark in marks.values() if frame in mark.interval]
        for host in around:
            marks[host.onset] = replace(host, apex=frame)
        if not around:
            outside = CorpusError(
                "marks an apex outside any expression",
                where=one.where,
                hint="Move it between an onset and an offset",
            )
            findings.append(Finding.of(outside))
    return [marks[onset] for onset in sorted(marks)]


def _again(twin: Expression, mark: Expression, where: str) -> Finding:
    """Two expressions that begin in one frame: the onset is what names them."""
    again = CorpusError(
        f"begins with {twin.emotion!r} in frame {mark.onset}",
        where=where,
        hint="Remove one of the two; the first is taken",
    )
    same = (twin.emotion, twin.offset) == (mark.emotion, mark.offset)
    return Finding.of(again, "warning" if same else "error")


def counts(one: Annotation) -> bool:
    """Whether it can be an expression: blinks and speech, which an analysis lists, are none."""
    return one.kind.lower() not in ("blink", "speech")


def _frame_at(time_s: Fraction, times: list[Fraction], where: str) -> int:
    """The frame that is seen at a time of the file, the first one before there is a picture.

    Args:
        time_s: on the file's own clock.
        times: when the frames are seen, on the same clock.

    Raises:
        CorpusError: the video is over by then.
    """
    period_s = _period(times)
    if time_s < 0 or time_s >= times[-1] + period_s + _ROUNDED_S:
        raise CorpusError(
            f"{float(time_s):.3f} s is not in the video, which lasts "
            f"{float(times[-1] + period_s):.3f} s",
            where=where,
            hint="Check that this is the video that was annotated",
        )
    return max(bisect_right(times, time_s + min(_ROUNDED_S, period_s / 2)) - 1, 0)


def _period(times: list[Fraction]) -> Fraction:
    """Seconds from frame to frame, in the mean."""
    return (times[-1] - times[0]) / max(len(times) - 1, 1)


def expression_of(
    recording: Recording, annotation: Annotation, meaning: Meaning, times: list[Fraction]
) -> Expression:
    """Frames that an annotation covers, from the one seen at its start to the last before its end.

    Raises:
        CorpusError: it is a point, ends before it begins or before there is a picture, or leaves
            the video.
    """
    start_s, end_s, where = annotation.start_s, annotation.end_s, annotation.where
    if end_s <= start_s:
        raise CorpusError(
            f"{annotation.label!r} begins at {float(start_s):.3f} s and does not last",
            where=where,
            hint="Mark its start and its end",
        )
    onset = _frame_at(start_s, times, where)
    if end_s <= times[0]:
        raise CorpusError(
            f"ends at {float(end_s):.3f} s, and the picture begins at {float(times[0]):.3f} s",
            where=where,
            hint="Check that this is the video that was annotated",
        )
    rounded_s = min(_ROUNDED_S, _period(times) / 2)
    last = bisect_left(times, end_s - rounded_s) - 1
    _frame_at(end_s - _ROUNDED_S, times, where)
    offset = max(last, onset)
    apex = None
    if annotation.apex_s is not None:
        apex = _frame_at(annotation.apex_s, times, where)
        if not onset <= apex <= offset:
            raise CorpusError(
                f"the apex at {float(annotation.apex_s):.3f} s lies outside",
                where=where,
                hint="Correct it, or leave it empty",
            )
    if meaning.kind not in ("", "micro", "macro"):
        raise CorpusError(
            f"{meaning.kind!r} is neither micro nor macro", where=where, hint="Write one of them"
        )
    brief = end_s - start_s <= _LONGEST_MICRO_S
    kind: Kind = "macro" if meaning.kind == "macro" or not (meaning.kind or brief) else "micro"
    codes = parse_units(meaning.aus).codes
    return Expression(
        kind,
        onset,
        apex,
        offset,
        recording=recording,
        emotion=meaning.emotion,
        action_units=codes,
        face=annotation.face,
        score=annotation.score,
    )


def _doubts(aus: str, where: str) -> Iterator[Finding]:
    """What of a cell of action units is in doubt; the emotion beside it is none the worse."""
    units = parse_units(aus)
    if units.unread:
        doubt = CorpusError(
            f"{', '.join(units.unread)} of {shorten(aus)!r} cannot be read",
            where=where,
            hint=f"{units.taken}; write such as 4+L10",
        )
        yield Finding.of(doubt, "warning")


def moved_by(one: Annotation, ahead_s: Fraction) -> Annotation:
    apex_s = None if one.apex_s is None else one.apex_s + ahead_s
    return replace(
        one, start_s=one.start_s + ahead_s, end_s=one.end_s + ahead_s, apex_s=apex_s, others=()
    )
