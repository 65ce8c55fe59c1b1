"""Reads BIDS' events, those that ``analyze`` wrote included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction

from ma2mi.errors import CorpusError
from ma2mi.formats.annotation import Annotation, AnnotationFile
from ma2mi.formats.own_table import FOUND, read_found
from ma2mi.formats.sheets import Columns, Row

NEEDED = ("onset", "duration")
_OURS = ("event_id", "label", "action_units")
_FRAMES = ("onset_frame", "apex_frame", "offset_frame")
COLUMNS: Columns = {
    name: (name,)
    for name in (
        *NEEDED, "trial_type", "apex", "aus", "kind", "media_file", "subject", *FOUND, *_OURS,
        *_FRAMES,
    )
}  # fmt: skip


def bids_rows(rows: Iterable[Row], source: AnnotationFile) -> Iterator[Annotation]:
    """An annotation a row, its label the trial type.

    In the tables of ``analyze`` the trial type is the kind, and the class has a column. Times are
    those of the recording beside the events; ``stim_file`` is the film that was shown.
    """
    named = named_subject(source.file.name)
    for row in rows:
        try:
            start_s = source.cell_s(row, "onset")
            lasts = row.value("duration")
            end_s = start_s + (source.cell_s(row, "duration") if lasts else 0)
            source.rise(start_s, end_s, f"row {row.number}")
            apex_s = _apex_s(row, source, start_s, end_s)
            found = read_found(row)
            ours = all(column in row.cells for column in _OURS)
            number = row.frame("event_id") if ours else None
            if ours and apex_s is not None and not start_s <= apex_s < end_s:
                outside = row.error(
                    "apex", "lies outside its event", "Correct it, or leave it empty"
                )
                source.note(outside, "warning")
                apex_s = None
        except CorpusError as error:
            source.note(error)
            continue
        word, units, kind = row.value("trial_type"), row.value("aus"), row.value("kind")
        if ours:
            kind, word = word, row.value("label")
            units = row.value("action_units").replace(";", "+")
        subject = row.value("subject") if found and "subject" in row.cells else named
        yield Annotation(
            start_s,
            end_s,
            word,
            "trial_type",
            row.value("media_file"),
            subject,
            apex_s,
            units,
            kind,
            where=row.where(),
            number=number,
            **found,
        )


def named_subject(name: str) -> str:
    """Who is seen, by the name of a file: "07" of "sub-07_task-film_events.tsv"."""
    match = re.search(r"(?:^|_)sub-([A-Za-z0-9]+)_", name)
    return match[1] if match else ""


def _apex_s(
    row: Row, source: AnnotationFile, start_s: Fraction, end_s: Fraction
) -> Fraction | None:
    """When the apex is seen; in earlier tables by its share of the event's frames.

    Raises:
        CorpusError: there is a time, or a frame, that cannot be read.
    """
    if row.value("apex"):
        return source.cell_s(row, "apex")
    if "apex" in row.cells or not all(name in row.cells for name in _FRAMES):
        return None
    onset, apex, offset = (row.frame(name) for name in _FRAMES)
    if onset is None or apex is None or offset is None or not onset <= apex <= offset:
        return None
    return start_s + (end_s - start_s) * Fraction(apex - onset, offset - onset + 1)
