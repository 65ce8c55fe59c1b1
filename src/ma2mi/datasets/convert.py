"""Write any corpus as a manifest, CSV or Parquet, that ``manifest`` reads back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from ma2mi.datasets.base import Corpus
from ma2mi.datasets.manifest import COLUMNS
from ma2mi.errors import CorpusError, optional_part
from ma2mi.files import replace_file
from ma2mi.records import Expression, Recording

_ALL = (*COLUMNS, "kind")


def write_manifest(corpus: Corpus, file: Path | str) -> int:
    """Write a row an expression; recordings without any get a row without frames.

    Paths are relative to the manifest where they lie below it, else absolute. Frames count from
    0 among the decoded frames, whatever the corpus' own sheet counts.

    Args:
        corpus: any.
        file: ends in .csv or .parquet; an existing file is replaced.

    Returns:
        the number of rows.

    Raises:
        CorpusError: another suffix, or what the corpus raises.
        MissingPart: Parquet, and pyarrow is not installed.
    """
    file = Path(file)
    if file.suffix.lower() not in (".csv", ".parquet"):
        raise CorpusError("is no manifest", where=file, cure="Name it .csv or .parquet")
    rows = list(_rows(corpus.recordings(), corpus.expressions(), file.parent))
    content = _csv(rows) if file.suffix.lower() == ".csv" else _parquet(rows)
    file.parent.mkdir(parents=True, exist_ok=True)
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
        for e in found or [None]:
            yield {
                "path": (path.relative_to(base.resolve()) if below else path).as_posix(),
                "subject": recording.subject,
                "onset": e and e.onset,
                "apex": e and e.apex,
                "offset": e and e.offset,
                "emotion": e.emotion if e else "",
                "aus": "+".join(e.action_units) if e else "",
                "fps": str(recording.fps) if recording.fps else "",
                "kind": e.kind if e else "",
            }


def _csv(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, _ALL, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
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
