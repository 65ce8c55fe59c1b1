"""Reads the events that BORIS exports as tables, tabular or aggregated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

from ma2mi.errors import CorpusError
from ma2mi.formats.annotation import Annotation, AnnotationFile, focal_subject
from ma2mi.formats.boris.ethogram import OBSERVATION
from ma2mi.formats.boris.events import join, table_ethogram
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
    "modifiers": ("modifiers", "modifier #1"),
    "units": ("modifier #2",),
    "comment": ("comment", "comment start"),
    "description": ("description",),
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
    "units": ("modifier #2",),
    "comment": ("comment", "comment start"),
    "description": ("description",),
    "observation": ("observation id",),
    "source": ("source",),
    "offset": ("time offset (s)",),
    "type": ("observation type",),
    "index": ("image index",),
    "fps": ("fps (frame/s)", "fps"),
}


def aggregated(rows: Iterable[Row], source: AnnotationFile) -> Iterator[Annotation]:
    """Rows with start and stop."""
    pairs = []
    for row in rows:
        try:
            place = f"row {row.number}"
            start_s = source.seconds(row.text("start"), f"{place}, column Start (s)")
            stop_s = source.seconds(row.text("stop"), f"{place}, column Stop (s)")
            source.rise(start_s, stop_s, place)
            shift_s = _shift(row, start_s, source)
            if shift_s is None:
                continue
            start = _event(row, start_s - shift_s)
        except CorpusError as error:
            source.note(error)
            continue
        pairs.append((start, replace(start, time_s=stop_s - shift_s), row))
    yield from _annotations(pairs, source)


def tabular(rows: Iterable[Row], source: AnnotationFile) -> Iterator[Annotation]:
    """Rows with one time each, to be paired."""
    events, by_place = [], {}
    for row in rows:
        try:
            time_s = source.seconds(row.text("time"), f"row {row.number}, column Time")
            role = row.text("role").upper()
            shift_s = _shift(row, time_s, source, ends=role == "STOP")
            if shift_s is None:
                continue
            event = _event(row, time_s - shift_s, role)
        except CorpusError as error:
            source.note(error)
            continue
        events.append(event)
        by_place[event.place] = row
    pairs = pair_events(events, source)
    yield from _annotations([(one, end, by_place[one.place]) for one, end in pairs], source)


def _event(row: Row, time_s: Fraction, role: str = "") -> CodedEvent:
    """What a row says of a moment."""
    label, subject = row.text("label"), focal_subject(row.text("subject"))
    media, chosen, units = _media(row), row.text("modifiers"), row.text("units")
    return CodedEvent(
        f"row {row.number}",
        time_s,
        label,
        row.text("layer"),
        subject,
        (row.text("observation"), media, subject, label, chosen),
        role if role in ("START", "STOP", "POINT") else "",
        media,
        f"{chosen}|{units}" if units else chosen,
        row.text("comment"),
    )


def _annotations(
    pairs: list[tuple[CodedEvent, CodedEvent, Row]], source: AnnotationFile
) -> Iterator[Annotation]:
    """The stretches between starts and stops; events of our own projects put together again."""
    ours = []
    for start, stop, row in pairs:
        plain = Annotation(
            start.time_s,
            stop.time_s,
            start.label,
            start.layer,
            start.media,
            start.subject,
            where=row.where(),
        )
        if row.text("description").startswith(OBSERVATION):
            ours.append((start, stop, plain))
        else:
            yield plain
    yield from join(ours, table_ethogram(start for start, _, _ in ours), source)


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
