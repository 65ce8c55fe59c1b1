"""Write any corpus as a manifest, CSV or Parquet, that ``manifest`` reads back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ma2mi.datasets.base import Corpus
from ma2mi.datasets.manifest import COLUMNS
from ma2mi.errors import CorpusError, Ma2miError, optional_part, store_error
from ma2mi.files import replace_file
from ma2mi.formats.sheets import mask
from ma2mi.records import Expression, Recording
from ma2mi.video.folders import index_frames

_ALL = (*COLUMNS, "kind")


def write_manifest(corpus: Corpus, file: Path | str) -> int:
    """Write a row an expression; recordings without any get a row without frames.

    Paths are relative to the manifest where they lie below it, else absolute. Frames count from
    0, whatever the corpus' own sheet counts; images that are missing from a folder are counted,
    too. Cells that a spreadsheet program would compute get an apostrophe (``sheets.mask``), which
    ``manifest`` takes off.

    Args:
        corpus: any.
        file: ends in .csv or .parquet; one that is there and differs is never replaced.

    Returns:
        the number of rows.

    Raises:
        CorpusError: another suffix, another file is there, or what the corpus raises.
        StoreError: it cannot be written.
        MissingPart: Parquet, and pyarrow is not installed.
    """
    file = Path(file)
    if file.suffix.lower() not in (".csv", ".parquet"):
        raise CorpusError("is no manifest", where=file, hint="Name it .csv or .parquet")
    rows = [
        {name: _shown(cell) for name, cell in row.items()}
        for row in _rows(corpus.recordings(), corpus.expressions(), file.parent)
    ]
    content = _csv(rows) if file.suffix.lower() == ".csv" else _parquet(rows)
    try:
        if file.exists() and file.read_bytes() != content:
            raise CorpusError(
                "is there already, and differs",
                where=file,
                hint="Move it away, or choose another name",
            )
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, file) from error
    replace_file(file, content)
    return len(rows)


def _rows(
    recordings: Iterable[Recording], expressions: Iterable[Expression], base: Path
) -> Iterator[dict[str, object]]:
    marked: dict[Recording, list[Expression | None]] = {r: [] for r in recordings}
    for expression in expressions:
        marked.setdefault(expression.recording, []).append(expression)
    for recording, found in marked.items():
        path = recording.path.resolve()
        below = path.is_relative_to(base.resolve())
        count = _counter(recording) if found else None
        for e in found or [None]:
            yield {
                "path": (path.relative_to(base.resolve()) if below else path).as_posix(),
                "subject": recording.subject,
                "onset": e and count and count(e.onset),
                "apex": e and count and count(e.apex),
                "offset": e and count and count(e.offset),
                "emotion": e.emotion if e else "",
                "aus": "+".join(e.action_units) if e else "",
                "fps": str(recording.fps) if recording.fps else "",
                "kind": e.kind if e else "",
            }


def _counter(recording: Recording) -> Callable[[int | None], int | None]:
    """From a place among the decoded frames to a number from 0, as ``manifest`` reads it."""
    if recording.path.is_dir():
        try:
            index = index_frames(recording.path)
        except Ma2miError:  # frames without numbers are counted
            return lambda place: place
        if index.counts_frames:
            numbers = {at: number - index.first for number, at in index.positions.items()}
            return lambda place: None if place is None else numbers.get(place, place)
    return lambda place: place


def _shown(cell: object) -> object:
    """A name that is no Unicode with its odd bytes spelled out, so that the others can be read."""
    return cell.encode(errors="backslashreplace").decode() if isinstance(cell, str) else cell


def _csv(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, _ALL, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({k: mask(v) if isinstance(v, str) else v for k, v in row.items()})
    return text.getvalue().encode()


def _parquet(rows: list[dict[str, object]]) -> bytes:
    with optional_part("pyarrow", "corpora"):
        import pyarrow
        import pyarrow.parquet
    numbers = {"onset", "apex", "offset"}
    schema = pyarrow.schema(
        [(name, pyarrow.int64() if name in numbers else pyarrow.string()) for name in _ALL]
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), sink)
    return sink.getvalue()
