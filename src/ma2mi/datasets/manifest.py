"""Any folder of clips, listed in one table: the corpus for data that has no loader of its own."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

from ma2mi.datasets.base import Corpus, DataSheet, Layout, register
from ma2mi.errors import CorpusError, optional_part
from ma2mi.records import Expression, Kind, Recording

COLUMNS = ("path", "subject", "onset", "apex", "offset", "emotion", "aus", "fps")
"""The columns, in the order in which they are written."""

_NEEDED = ("path", "subject", "onset", "offset")
_OPTIONAL = ("apex", "emotion", "aus", "fps", "first_frame", "kind")


@register("manifest")
class Manifest(Corpus):
    """Clips of your own.

    Format:
        ``manifest.csv``, UTF-8, with a header, or ``manifest.parquet``. Columns:

        - ``path``: video file or folder of frames, relative to the table; one row an expression.
        - ``subject``: who it shows.
        - ``onset``, ``apex``, ``offset``: frame numbers; an empty apex is unknown, a row without
          onset and offset is a recording in which nothing was marked.
        - ``emotion``: your own word; may be empty or absent.
        - ``aus``: FACS codes such as ``4+L10``; may be empty or absent.
        - ``fps``: such as ``200`` or ``30000/1001``; needed for folders, empty for video files.
        - ``first_frame``: number that the sheet gives to the first frame, 0 if absent.
        - ``kind``: ``micro`` (also if absent) or ``macro``.

    Args:
        root: the folder that holds the table, or a .csv or .parquet of any name.

    Raises:
        CorpusError: the file is missing or a row is wrong; the message names row and column.
    """

    about = DataSheet(
        title="Your own clips",
        what="Any videos or folders of frames, listed in one table with onset, apex and offset.",
        apply="It is yours",
        licence="yours",
        citation="yours",
        layouts=(Layout("table", "manifest.csv"), Layout("parquet", "manifest.parquet")),
        gated=False,
    )

    def __init__(self, root: Path | str) -> None:
        given = Path(root)
        self.sheet = given / "manifest.csv" if given.is_dir() else given
        if given.is_dir() and not self.sheet.is_file() and (given / "manifest.parquet").is_file():
            self.sheet = given / "manifest.parquet"
        if not self.sheet.is_file():
            raise CorpusError(
                "is no manifest",
                where=self.sheet,
                cure="Give a .csv or .parquet, or the folder that holds manifest.csv, with --root",
            )
        super().__init__(self.sheet.parent)
        self._recordings: dict[str, Recording] = {}
        self._expressions: list[Expression] = []
        self._read()

    def recordings(self) -> list[Recording]:
        return list(self._recordings.values())

    def expressions(self) -> list[Expression]:
        return list(self._expressions)

    def _read(self) -> None:
        seen: set[tuple[str, int | None]] = set()
        parquet = self.sheet.suffix.lower() == ".parquet"
        for row in _parquet_rows(self.sheet) if parquet else _csv_rows(self.sheet):
            recording = self._recording(row)
            expression = _expression(row, recording)
            identity = (recording.name, expression.onset if expression else None)
            if identity in seen:
                raise row.error("path", "repeats an earlier row", "Remove one of the two")
            seen.add(identity)
            if expression:
                self._expressions.append(expression)

    def _recording(self, row: _Row) -> Recording:
        name, subject = row.text("path"), row.text("subject")
        if not name:
            raise row.error("path", "is empty", "Name a video file or a folder of frames")
        if not subject:
            raise row.error("subject", "is empty", "Say who is seen; folds are made by subject")
        name = Path(name).as_posix()
        known = self._recordings.get(name)
        if known is None:
            path = self.root / name
            if not path.exists():
                raise row.error("path", f"{name} does not exist", "Paths are relative to the CSV")
            known = Recording(path, subject, name, corpus=self.name, fps=row.fps(path))
            self._recordings[name] = known
        elif known.subject != subject:
            raise row.error(
                "subject", f"{subject}, but {name} showed {known.subject} before", "Correct one"
            )
        return known


class _Row:
    """One line of the sheet, and errors that say where in it."""

    def __init__(self, sheet: Path, number: int, cells: Mapping[str, str | None]) -> None:
        self.sheet = sheet
        self.number = number
        self.cells = cells

    def error(self, column: str, what: str, cure: str) -> CorpusError:
        where = f"{self.sheet}, row {self.number}, column {column}"
        return CorpusError(what, where=where, cure=cure)

    def text(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()

    def frame(self, column: str) -> int | None:
        text = self.text(column)
        if not text:
            return None
        first = self.text("first_frame") or "0"
        for name, value in ((column, text), ("first_frame", first)):
            if not value.removeprefix("-").isdecimal():
                raise self.error(name, f"{value!r} is no frame number", "Write whole numbers")
        if int(text) < int(first):
            raise self.error(
                column, f"{text} lies before the first frame {first}", "Check first_frame"
            )
        return int(text) - int(first)

    def fps(self, path: Path) -> Fraction | None:
        text = self.text("fps")
        if not text:
            if path.is_dir():
                raise self.error("fps", "is empty", "A folder of frames has no time of its own")
            return None
        try:
            fps = Fraction(text)
        except (ValueError, ZeroDivisionError):
            fps = Fraction(0)
        if fps <= 0:
            raise self.error("fps", f"{text!r} is no rate", "Write such as 200 or 30000/1001")
        return fps


def _csv_rows(sheet: Path) -> Iterator[_Row]:
    # utf-8-sig: spreadsheets like to put a byte order mark before the first column's name.
    with sheet.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines)
        _check_columns(sheet, table.fieldnames or ())
        for number, cells in enumerate(table, start=2):
            yield _Row(sheet, number, cells)


def _parquet_rows(sheet: Path) -> Iterator[_Row]:
    """Rows count from 1; a whole number is one even where the column holds floats."""
    with optional_part("pyarrow", "corpora"):
        from pyarrow import ArrowException, parquet
    try:
        table = parquet.read_table(sheet)
    except (ArrowException, OSError) as error:
        what = f"is no readable Parquet file ({str(error).splitlines()[0]})"
        raise CorpusError(what, where=sheet, cure="Write it again") from error
    _check_columns(sheet, table.column_names)
    for number, cells in enumerate(table.to_pylist(), start=1):
        yield _Row(sheet, number, {name: _as_text(value) for name, value in cells.items()})


def _as_text(value: object) -> str:
    if value is None or value != value:  # an empty cell is NaN in a column of floats
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_columns(sheet: Path, columns: Collection[str]) -> None:
    for column in _NEEDED:
        if column not in columns:
            raise CorpusError(
                f"column {column} is missing",
                where=sheet,
                cure=f"The header needs {', '.join(_NEEDED)}; optional are {', '.join(_OPTIONAL)}",
            )


def _expression(row: _Row, recording: Recording) -> Expression | None:
    onset, apex, offset = (row.frame(column) for column in ("onset", "apex", "offset"))
    if onset is None:
        for column, value in (("apex", apex), ("offset", offset)):
            if value is not None:
                raise row.error(column, "stands without an onset", "Fill in the onset, or clear it")
        return None
    if offset is None:
        raise row.error("offset", "is empty though there is an onset", "Fill in the last frame")
    if offset < onset:
        raise row.error("offset", "lies before the onset", "Check both numbers")
    if apex is not None and not onset <= apex <= offset:
        raise row.error("apex", "lies outside onset and offset", "Correct it, or leave it empty")
    kind: Kind = "micro"
    if (word := row.text("kind")) == "macro":
        kind = "macro"
    elif word not in ("", "micro"):
        raise row.error("kind", f"{word!r} is neither micro nor macro", "Write one of them")
    units = tuple(code.strip() for code in row.text("aus").split("+") if code.strip())
    return Expression(
        recording, onset, offset, apex, kind, emotion=row.text("emotion"), action_units=units
    )
