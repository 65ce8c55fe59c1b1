"""Reads the events that BORIS exports as tables, tabular or aggregated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction

from ma2mi.errors import CorpusError
from ma2mi.formats.annotation import Annotation, AnnotationFile, focal_subject
from ma2mi.formats.boris.pairs import CodedEvent, pair_events
from ma2mi.formats.cells import parse_number
from ma2mi.formats.sheets import Row

_NAMELESS = ("", "na", "n/a", "none", "nan")

AGGREGATED = {
    "label": ("behavior",),
    "start": ("start (s)",),
    "stop": ("stop (s)",),
    "layer": ("behavioral category",),
    "media": ("media file name", "media file", "media file path"),
    "subject": ("subject",),
    "source": ("source",),
    "offset": ("time offset (s)",),
    "type": ("observation type",),
    "index": ("image index start",),
    "fps": ("fps (frame/s)", "fps"),
}
TABULAR = {
    "label": ("behavior",),
    "time": ("time",),
    "role": ("behavior type", "status"),
    "layer": ("behavioral category",),
    "media": ("media file name", "media file", "media file path"),
    "subject": ("subject",),
    "modifiers": ("modifiers", "modifier #1"),
    "observation": ("observation id",),
    "source": ("source",),
    "offset": ("time offset (s)",),
    "type": ("observation type",),
    "index": ("image index",),
    "fps": ("fps (frame/s)", "fps"),
}


def aggregated(rows: Iterable[Row], source: AnnotationFile) -> Iterator[Annotation]:
    """Rows with start and stop."""
    for row in rows:
        try:
            place = f"row {row.number}"
            start_s = source.seconds(row.text("start"), f"{place}, column Start (s)")
            stop_s = source.seconds(row.text("stop"), f"{place}, column Stop (s)")
            source.rise(start_s, stop_s, place)
            shift_s = _shift(row, start_s, source)
        except CorpusError as error:
            source.note(error)
            continue
        if shift_s is None:
            continue
        yield Annotation(
            start_s - shift_s,
            stop_s - shift_s,
            row.text("label"),
            row.text("layer"),
            _media(row),
            focal_subject(row.text("subject")),
            where=row.where(),
        )


def tabular(rows: Iterable[Row], source: AnnotationFile) -> Iterator[Annotation]:
    """Rows with one time each, to be paired."""
    events, by_place = [], {}
    for row in rows:
        try:
            place = f"row {row.number}"
            time_s = source.seconds(row.text("time"), f"{place}, column Time")
            role = row.text("role").upper()
            shift_s = _shift(row, time_s, source, ends=role == "STOP")
        except CorpusError as error:
            source.note(error)
            continue
        if shift_s is None:
            continue
        label, subject = row.text("label"), focal_subject(row.text("subject"))
        role = role if role in ("START", "STOP", "POINT") else ""
        media = _media(row)
        state = (row.text("observation"), media, subject, label, row.text("modifiers"))
        event = CodedEvent(
            place, time_s - shift_s, label, row.text("layer"), subject, state, role, media
        )
        events.append(event)
        by_place[place] = row
    for start, stop in pair_events(events, source):
        yield Annotation(
            start.time_s,
            stop.time_s,
            start.label,
            start.layer,
            start.media,
            start.subject,
            where=by_place[start.place].where(),
        )


def _media(row: Row) -> str:
    text = row.text("media")
    return "" if text.lower() in _NAMELESS else text


def _shift(
    row: Row, time_s: Fraction, source: AnnotationFile, *, ends: bool = False
) -> Fraction | None:
    """What the observation's clock is ahead of the row's video; None where there is no video.

    Raises:
        CorpusError: several videos were played, and how long those before it last is not known.
    """
    kind = row.text("type").lower()
    if kind.startswith(("live", "image", "pictures")):
        source.note(row.error("type", f"is {kind}, not of a video", ""), "warning")
        return None
    offset = row.text("offset")
    offset_s = source.seconds(offset, f"row {row.number}") if offset else Fraction(0)
    players = re.findall(r"player #\d+:(.*?)(?=player #\d+:|$)", row.text("source"), re.DOTALL)
    for player in players:
        names = [name.strip() for name in re.split(r"[;,](?=\S)", player.strip(" ;,")) if name]
        at = next((i for i, name in enumerate(names) if _same(name, _media(row))), None)
        if at is None or len(names) == 1:
            continue
        lengths = [source.length_s(name) for name in names[:at]]
        if None not in lengths:
            return offset_s + sum((one for one in lengths if one), Fraction(0))
        try:
            # The number of the frame in its own file shows when that file began.
            within_s = parse_number(row.text("index")) / parse_number(row.text("fps"))
        except (ValueError, ZeroDivisionError) as error:
            raise row.error(
                "media",
                f"several videos were played, and how long {names[0]} lasts is not known",
                "Put the videos beside the file",
            ) from error
        return time_s - within_s
    return offset_s


def _same(one: str, other: str) -> bool:
    return re.split(r"[\\/]", one)[-1] == re.split(r"[\\/]", other)[-1]
