"""Annotations in tables: the events of BIDS and of BORIS, and a table of one's own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from ma2mi.errors import CorpusError
from ma2mi.formats.base import Annotation, NoAnnotations, Source, focal_subject
from ma2mi.formats.boris import AGGREGATED, TABULAR, aggregated, tabular
from ma2mi.formats.cells import parse_number, read_pages, shorten
from ma2mi.formats.sheets import Columns, NoColumns, Row, mask, pick_sheet

TABLE = ("path", "subject", "start_s", "apex_s", "end_s", "emotion", "aus", "kind", "fps")
"""Columns of a table of one's own; start_s and end_s are needed, the others may be absent."""

MOST_FPS = 10**6
MOST_ANNOTATIONS = 200_000  # in one file: an hour, in which something is marked at every frame

_BIDS = ("onset", "duration", "trial_type", "apex", "aus", "kind", "media_file")
_BIDS_COLUMNS: Columns = {name: (name,) for name in _BIDS}
_OWN_COLUMNS: Columns = {name: (name,) for name in TABLE}

Reader = Callable[[Iterable[Row], Source], Iterator[Annotation]]


def read_table(source: Source) -> Iterator[Annotation]:
    """Every annotation of a table, by what its columns are.

    Raises:
        NoAnnotations: its columns are others.
        CorpusError: the file does not read.
    """
    readers: tuple[tuple[Columns, tuple[str, ...], Reader], ...] = (
        (AGGREGATED, ("label", "start", "stop"), aggregated),
        (TABULAR, ("label", "role", "time"), tabular),
        (_BIDS_COLUMNS, ("onset", "duration"), _bids_rows),
        (_OWN_COLUMNS, ("start_s", "end_s"), _own_rows),
    )
    pages = list(read_pages(source.file))
    for columns, needed, read in readers:
        try:
            optional = set(columns) - set(needed)
            sheet = pick_sheet(source.file, pages, columns, optional=optional)
        except NoColumns:
            continue
        if len(sheet.rows) > MOST_ANNOTATIONS:
            raise source.error(
                "",
                f"has {len(sheet.rows)} rows, at most {MOST_ANNOTATIONS} are read",
                "Keep the annotations, and leave out what else is in it",
            )
        return read(sheet.rows, source)
    raise NoAnnotations(
        "has no columns that are known",
        where=source.file,
        cure="Known are onset, duration (BIDS), Behavior with Start (s), Stop (s) or Behavior "
        f"type, Time (BORIS), and {', '.join(TABLE)}",
    )


def _text(row: Row, column: str) -> str:
    """The cell, empty where BIDS writes that there is no value."""
    text = row.text(column)
    return "" if text.lower() == "n/a" else text


def _time(row: Row, column: str, source: Source) -> Fraction:
    place = f"row {row.number}, column {row.headers.get(column, column)}"
    return source.seconds(_text(row, column), place)


def _time_or_none(row: Row, column: str, source: Source) -> Fraction | None:
    return _time(row, column, source) if _text(row, column) else None


def _bids_rows(rows: Iterable[Row], source: Source) -> Iterator[Annotation]:
    """``stim_file`` is the film that was shown; the recording is the one beside the events."""
    person = re.search(r"(?:^|_)sub-([A-Za-z0-9]+)_", source.file.name)
    for row in rows:
        try:
            start_s = _time(row, "onset", source)
            end_s = start_s + (_time_or_none(row, "duration", source) or 0)
            source.rise(start_s, end_s, f"row {row.number}")
            apex_s = _time_or_none(row, "apex", source)
        except CorpusError as error:
            source.note(error)
            continue
        yield Annotation(
            start_s,
            end_s,
            _text(row, "trial_type"),
            "trial_type",
            _text(row, "media_file"),
            person[1] if person else "",
            apex_s,
            _text(row, "aus"),
            _text(row, "kind"),
            where=row.where(),
        )


def _own_rows(rows: Iterable[Row], source: Source) -> Iterator[Annotation]:
    for row in rows:
        try:
            start_s, end_s = _time(row, "start_s", source), _time(row, "end_s", source)
            source.rise(start_s, end_s, f"row {row.number}")
            apex_s = _time_or_none(row, "apex_s", source)
            fps = read_rate(row)
        except CorpusError as error:
            source.note(error)
            continue
        yield Annotation(
            start_s,
            end_s,
            _text(row, "emotion"),
            "emotion",
            _text(row, "path"),
            focal_subject(_text(row, "subject")),
            apex_s,
            _text(row, "aus"),
            _text(row, "kind"),
            fps,
            row.where(),
        )


def read_rate(row: Row, column: str = "fps") -> Fraction | None:
    """Frames per second, None where the cell is empty.

    Raises:
        CorpusError: it is no rate, or above a million.
    """
    text = _text(row, column)
    if not text:
        return None
    try:
        rate = parse_number(text)
    except ValueError:
        rate = Fraction(0)
    if not 0 < rate <= MOST_FPS:
        raise row.error(column, f"{shorten(text)!r} is no rate", "Write such as 200 or 30000/1001")
    return rate


# Writing


def bids_events(annotations: Sequence[Annotation]) -> str:
    """As BIDS wants it: tab-separated, "n/a" where there is no value."""
    rows = [
        (one.start_s, one.end_s - one.start_s, one.label, one.apex_s, one.aus, one.kind, one.media)
        for one in annotations
    ]
    lines = [_BIDS, *([_cell(value) or "n/a" for value in row] for row in rows)]
    return _as_text(lines, "\t")


def own_table(annotations: Sequence[Annotation]) -> str:
    """With the columns of ``TABLE``."""
    rows = []
    for one in annotations:
        row = (one.media, one.subject, one.start_s, one.apex_s, one.end_s, one.label, one.aus)
        rows.append([_cell(value) for value in (*row, one.kind)] + [str(one.fps or "")])
    return _as_text([TABLE, *rows], ",")


def _as_text(lines: Iterable[Sequence[str]], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", delimiter=delimiter).writerows(lines)
    return text.getvalue()


def _cell(value: Any) -> str:
    """Times to a millisecond, the rest as it is; nothing that a spreadsheet would compute."""
    if value is None:
        return ""
    return f"{float(value):.3f}" if isinstance(value, Fraction) else mask(str(value))
