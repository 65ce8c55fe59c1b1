"""Marked stretches of time in the files of ELAN, BORIS and BIDS, and in tables: in and out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.files import replace_file
from ma2mi.formats.annotation import Annotation, AnnotationFile, NoAnnotations
from ma2mi.formats.bids.read import named_subject
from ma2mi.formats.bids.write import bids_events
from ma2mi.formats.boris.read import read_boris
from ma2mi.formats.boris.write import boris_project
from ma2mi.formats.eaf.read import read_elan
from ma2mi.formats.eaf.write import eaf_document
from ma2mi.formats.findings import Finding, LeftOut
from ma2mi.formats.own_table import TABLE, own_table
from ma2mi.formats.table_files import read_table
from ma2mi.video.times import file_length

__all__ = ["SUFFIXES", "TABLE", "Annotation", "NoAnnotations", "read_annotations"]

_READERS: dict[str, Callable[[AnnotationFile], Iterator[Annotation]]] = {
    ".eaf": read_elan,
    ".boris": read_boris,
    ".boris.gz": read_boris,
    ".csv": read_table,
    ".tsv": read_table,
    ".xlsx": read_table,
}
SUFFIXES = tuple(_READERS)


def read_annotations(
    file: Path | str,
    *,
    faults: list[Finding] | None = None,
    length_s: Callable[[str], Fraction | None] | None = None,
) -> list[Annotation]:
    """Every annotation of a file, in its order; one that cannot be read takes no other along.

    Understood are ELAN (.eaf), BORIS projects (.boris, .boris.gz) and their exports of events,
    tabular or aggregated (.csv, .tsv, .xlsx), BIDS (``_events.tsv``), and tables with the columns
    of ``TABLE``. Text is in UTF-8, or has the mark of UTF-16; delimiters may be commas,
    semicolons or tabs, and decimals have a point or a comma.

    Args:
        file: its suffix names the format, in any case.
        faults: what was left out is added here; without it a ``LeftOut`` warning names the first.
        length_s: how long a video of that name plays, seconds, None if it is not at hand; for
            observations of several videos. By default the videos beside the file are measured.

    Raises:
        NoAnnotations: a table with other columns.
        CorpusError: the file as a whole cannot be read.
    """
    file = Path(file)
    suffix = next((s for s in reversed(SUFFIXES) if file.name.lower().endswith(s)), None)
    if suffix is None:
        raise CorpusError(
            "is no file of annotations",
            where=file,
            hint=f"Known are {', '.join(SUFFIXES)} of ELAN, BORIS, BIDS and tables of your own",
        )
    source = AnnotationFile(file, length_s or _beside(file))
    found = list(_READERS[suffix](source))
    if faults is not None:
        faults += source.faults
    elif lost := [one for one in source.faults if one.severity == "error"]:
        warnings.warn(
            f"{len(lost)} annotations are left out; the first is {lost[0]}", LeftOut, stacklevel=2
        )
    return found


def _beside(file: Path) -> Callable[[str], Fraction | None]:
    def length_s(name: str) -> Fraction | None:
        video = file.parent / name.replace("\\", "/").split("/")[-1]
        try:
            return file_length(video) if video.is_file() else None
        except Ma2miError:  # said where the video itself is read
            return None

    return length_s


def write_annotations(annotations: Sequence[Annotation], file: Path | str) -> None:
    """Write the annotations of one video, to a millisecond.

    What is written reads back equal but for layers in BIDS and tables, and frame rates in all but
    tables. Characters that XML forbids become U+FFFD; cells that a spreadsheet program would
    compute get an apostrophe (``sheets.mask``).

    Args:
        annotations: in order of time.
        file: ends in .eaf (ELAN), .boris, _events.tsv (BIDS) or .csv (``TABLE``); is replaced.

    Raises:
        CorpusError: another suffix, or an annotation that begins before 0 or ends too early.
        StoreError: it cannot be written.
    """
    file = Path(file)
    writers: dict[str, Callable[[Sequence[Annotation]], str | bytes]] = {
        ".eaf": eaf_document,
        ".boris": boris_project,
        ".tsv": partial(bids_events, subject=named_subject(file.name)),
        ".csv": own_table,
    }
    if file.suffix not in writers:
        raise CorpusError(
            "is no file of annotations", where=file, hint=f"Name it {', '.join(writers)}"
        )
    for one in annotations:
        if not 0 <= one.start_s <= one.end_s:
            raise CorpusError(
                f"{one.label!r} goes from {float(one.start_s):.3f} to {float(one.end_s):.3f} s",
                where=file,
                hint="Give times that rise from 0",
            )
    content = writers[file.suffix](annotations)
    if isinstance(content, str):
        content = content.encode("utf-8", errors="replace")
    replace_file(file, content)
