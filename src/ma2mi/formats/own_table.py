"""A table of annotations of one's own: read and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from ma2mi.errors import CorpusError
from ma2mi.formats.annotation import Annotation, AnnotationFile, focal_subject
from ma2mi.formats.cells import parse_number, shorten
from ma2mi.formats.sheets import Columns, Row
from ma2mi.formats.tables import as_table

TABLE = ("path", "subject", "start_s", "apex_s", "end_s", "emotion", "aus", "kind", "fps")
"""Columns of a table of one's own; start_s and end_s are needed, the others may be absent."""

FOUND = ("face_id", "score", "flags")
"""Columns of what an analysis knows of an event; read where all of them are there."""

NEEDED = ("start_s", "end_s")
COLUMNS: Columns = {name: (name,) for name in TABLE + FOUND}
MOST_FPS = 10**6


def own_rows(rows: Iterable[Row], source: AnnotationFile) -> Iterator[Annotation]:
    """An annotation a row."""
    for row in rows:
        try:
            start_s, end_s = (source.cell_s(row, name) for name in NEEDED)
            source.rise(start_s, end_s, f"row {row.number}")
            apex_s = source.cell_s(row, "apex_s") if row.value("apex_s") else None
            fps = read_rate(row)
            found = read_found(row)
        except CorpusError as error:
            source.note(error)
            continue
        yield Annotation(
            start_s,
            end_s,
            row.value("emotion"),
            "emotion",
            row.value("path"),
            focal_subject(row.value("subject")),
            apex_s,
            row.value("aus"),
            row.value("kind"),
            fps,
            row.where(),
            **found,
        )


def read_rate(row: Row, column: str = "fps") -> Fraction | None:
    """Frames per second, None where the cell is empty.

    Raises:
        CorpusError: it is no rate, or above a million.
    """
    text = row.value(column)
    if not text:
        return None
    try:
        rate = parse_number(text)
    except ValueError:
        rate = Fraction(0)
    if not 0 < rate <= MOST_FPS:
        raise row.error(column, f"{shorten(text)!r} is no rate", "Write such as 200 or 30000/1001")
    return rate


def read_found(row: Row) -> dict[str, Any]:
    """``face``, ``score`` and ``flags`` of an annotation; nothing where ``FOUND`` is incomplete.

    Raises:
        CorpusError: the face is no whole number, or the score none from 0 to 1.
    """
    if not all(name in row.cells for name in FOUND):
        return {}
    score, text = None, row.value("score")
    if text:
        try:
            score = parse_number(text)
        except ValueError:
            score = Fraction(-1)
        if not 0 <= score <= 1:
            raise row.error("score", f"{shorten(text)!r} is no score", "Write a number from 0 to 1")
    flags = filter(None, map(str.strip, row.value("flags").split(";")))
    return {
        "face": row.frame("face_id"),
        "score": None if score is None else float(score),
        "flags": tuple(flags),
    }


def own_table(annotations: Sequence[Annotation]) -> str:
    """With the columns of ``TABLE``; with those of ``FOUND`` if an annotation has such a value."""
    rows = [
        {
            "path": one.media,
            "subject": one.subject,
            "start_s": clock(one.start_s),
            "apex_s": clock(one.apex_s),
            "end_s": clock(one.end_s),
            "emotion": one.label,
            "aus": one.aus,
            "kind": one.kind,
            "fps": str(one.fps or ""),
            **found_cells(one),
        }
        for one in annotations
    ]
    return as_table(rows, TABLE + found_columns(annotations))


def found_columns(annotations: Iterable[Annotation]) -> tuple[str, ...]:
    """``FOUND`` if an annotation has such a value."""
    some = any(one.face is not None or one.score is not None or one.flags for one in annotations)
    return FOUND if some else ()


def found_cells(one: Annotation) -> dict[str, Any]:
    """The cells of ``FOUND``."""
    return {"face_id": one.face, "score": one.score, "flags": ";".join(one.flags)}


def clock(time_s: Fraction | None) -> str:
    """Seconds to a millisecond, "" for none."""
    return "" if time_s is None else f"{float(time_s):.3f}"
