"""Writes BIDS' events: one table, with the columns of an analysis or without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ma2mi.formats.annotation import Annotation
from ma2mi.formats.own_table import FOUND, clock, found_cells, found_columns
from ma2mi.formats.tables import as_table

NOT_KNOWN = "n/a"
COLUMNS = ("onset", "duration", "trial_type", "apex", "aus", "kind", "media_file")


def bids_events(
    annotations: Sequence[Annotation],
    known: Iterable[Mapping[str, Any]] = (),
    columns: Iterable[str] = (),
    *,
    subject: str = "",
) -> str:
    """As BIDS wants it: tab-separated, onset and duration first, "n/a" where there is no value.

    Args:
        annotations: in order of time.
        known: cells of each annotation that go before what is written else, such as those of
            ``events.csv``; may be empty.
        columns: in their order; by default ``COLUMNS``, with face, score, flags and subject where
            an annotation has one of them.
        subject: as in the file's name; other subjects get a column.
    """
    rows = [
        {
            "onset": clock(one.start_s),
            "duration": clock(one.end_s - one.start_s),
            "trial_type": one.label,
            "apex": clock(one.apex_s),
            "aus": one.aus,
            "kind": one.kind,
            "media_file": one.media,
            **found_cells(one),
            "subject": one.subject,
        }
        for one in annotations
    ]
    for row, cells in zip(rows, known, strict=False):
        row.update(cells)
    others = any(one.subject != subject for one in annotations)
    more = (*FOUND, "subject") if others or found_columns(annotations) else ()
    return as_table(rows, columns or COLUMNS + more, "\t", NOT_KNOWN)
