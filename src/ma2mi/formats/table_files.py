"""Reads annotations in tables, whatever program made them, by their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ma2mi.formats.annotation import Annotation, AnnotationFile, NoAnnotations
from ma2mi.formats.bids import read as bids
from ma2mi.formats.boris import exported as boris
from ma2mi.formats.cells import read_pages
from ma2mi.formats.own_table import COLUMNS, NEEDED, TABLE, own_rows
from ma2mi.formats.sheets import Columns, NoColumns, Row, pick_sheet

MOST_ANNOTATIONS = 200_000  # in one file: an hour, in which something is marked at every frame

Reader = Callable[[Iterable[Row], AnnotationFile], Iterator[Annotation]]

_READERS: tuple[tuple[Columns, tuple[str, ...], Reader], ...] = (
    (boris.AGGREGATED, ("label", "start", "stop"), boris.aggregated),
    (boris.TABULAR, ("label", "role", "time"), boris.tabular),
    (bids.COLUMNS, bids.NEEDED, bids.bids_rows),
    (COLUMNS, NEEDED, own_rows),
)


def read_table(source: AnnotationFile) -> Iterator[Annotation]:
    """Every annotation of a table, by what its columns are.

    Raises:
        NoAnnotations: its columns are others.
        CorpusError: the file does not read.
    """
    pages = list(read_pages(source.file))
    for columns, needed, read in _READERS:
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
        hint="Known are onset, duration (BIDS), Behavior with Start (s), Stop (s) or Behavior "
        f"type, Time (BORIS), and {', '.join(TABLE)}",
    )
