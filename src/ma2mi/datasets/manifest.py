"""Any folder of clips, listed in one table: the corpus for data that has no loader of its own."""

from __future__ import annotations

import unicodedata
import warnings
from functools import cached_property
from pathlib import Path

from ma2mi.datasets.base import Corpus, DataSheet, Layout, register
from ma2mi.errors import CorpusError, Ma2miError, optional_part
from ma2mi.formats.action_units import parse_units
from ma2mi.formats.cells import LARGEST_BYTES, MOST_ROWS, shorten
from ma2mi.formats.findings import Finding, LeftOut
from ma2mi.formats.own_table import read_rate
from ma2mi.formats.sheets import Columns, NoColumns, Row, Sheet, read_sheet
from ma2mi.records import Expression, Kind, Recording
from ma2mi.video.folders import FrameIndex, index_frames

COLUMNS = ("path", "subject", "onset", "apex", "offset", "emotion", "aus", "fps")
"""The columns, in the order in which they are written."""

_NEEDED = ("path", "subject", "onset", "offset")
_OPTIONAL = ("apex", "emotion", "aus", "fps", "first_frame", "kind")
_HEADERS: Columns = {name: (name,) for name in (*_NEEDED, *_OPTIONAL)}
_SUFFIXES = (".csv", ".xlsx", ".parquet")


@register("manifest")
class Manifest(Corpus):
    """Clips of your own.

    Format:
        ``manifest.csv``, UTF-8, with a header, or ``manifest.xlsx`` or ``manifest.parquet``.
        Delimiters are commas, semicolons or tabs. Columns:

        - ``path``: video file or folder of frames, relative to the table; one row an expression.
        - ``subject``: the subject shown.
        - ``onset``, ``apex``, ``offset``: frame numbers; an empty apex is unknown, a row without
          onset and offset is a recording in which nothing was marked.
        - ``emotion``: your own word; may be empty or absent.
        - ``aus``: FACS codes such as ``4+L10``; may be empty or absent.
        - ``fps``: such as ``200`` or ``30000/1001``; needed for folders, empty for video files.
        - ``first_frame``: number that the sheet gives to the first frame, 0 if absent. Where the
          images of a folder are numbered, these numbers count, so that a missing one shifts none.
        - ``kind``: ``micro`` (also if absent) or ``macro``.

    A row that is wrong is left out, with a ``LeftOut`` warning; ``findings`` lists every one with
    its row, column and hint.

    Args:
        root: the folder that holds the table, or a .csv, .tsv, .xlsx or .parquet of any name.

    Raises:
        CorpusError: the file is missing, does not read, or lacks a column.
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
        self.sheet = given
        if given.is_dir():
            names = [given / f"manifest{suffix}" for suffix in _SUFFIXES]
            self.sheet = next((file for file in names if file.is_file()), names[0])
        if not self.sheet.is_file():
            raise CorpusError(
                "is no manifest",
                where=self.sheet,
                hint=f"Give a {', '.join(_SUFFIXES)}, or the folder that holds manifest.csv, "
                "with --root",
            )
        super().__init__(self.sheet.parent)
        self._recordings: dict[str, Recording] = {}
        self._rows: dict[tuple[str, int], tuple[Expression, Row]] = {}
        self._findings: list[Finding] = []
        for row in _sheet(self.sheet).rows:
            try:
                self._read(row)
            except Ma2miError as error:
                self._findings.append(Finding.of(error))

    def recordings(self) -> list[Recording]:
        return list(self._recordings.values())

    def expressions(self) -> list[Expression]:
        lost = [one for one in self._findings if one.severity == "error"]
        if lost:
            warnings.warn(
                f"{self.name}: {len(lost)} rows are left out; the first is {lost[0]}. "
                "`ma2mi data check` lists them all",
                LeftOut,
                stacklevel=2,
            )
        return [expression for expression, _ in self._rows.values()]

    def findings(self) -> list[Finding]:
        return list(self._findings)

    def place(self, expression: Expression) -> str:
        """Row and column of the frame in which an expression ends."""
        _, row = self._rows[expression.recording.name, expression.onset]
        return row.where("offset")

    def _read(self, row: Row) -> None:
        recording = self._recording(row)
        expression = self._expression(row, recording)
        if expression is None:
            return
        earlier, first = self._rows.setdefault(
            (recording.name, expression.onset), (expression, row)
        )
        if first is row:
            units = parse_units(row.cells.get("aus"))
            if units.unread:
                doubt = row.error(
                    "aus",
                    f"{', '.join(units.unread)} of {shorten(row.text('aus'))!r} cannot be read",
                    f"{units.taken}; write such as 4+L10",
                )
                self._findings.append(Finding.of(doubt, "warning"))
            return
        same = earlier == expression
        again = row.error(
            "path",
            f"repeats an earlier row ({first.number})" + ("" if same else " and contradicts it"),
            "Remove one of the two; the first is taken",
        )
        self._findings.append(Finding.of(again, "warning" if same else "error"))

    def _recording(self, row: Row) -> Recording:
        given, subject = row.text("path"), unicodedata.normalize("NFC", row.text("subject"))
        if not given:
            raise row.error("path", "is empty", "Name a video file or a folder of frames")
        if not subject:
            raise row.error("subject", "is empty", "Name the subject; folds are made by subject")
        path = _find_path(self.root, given)
        if path is None:
            raise row.error(
                "path", f"{shorten(given, 200)} does not exist", "Paths are relative to the table"
            )
        name = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        known = self._recordings.get(name.as_posix())
        if known is None:
            fps = read_rate(row)
            if fps is None and path.is_dir():
                raise row.error("fps", "is empty", "A folder of frames has no time of its own")
            known = Recording(path, subject, name.as_posix(), corpus=self.name, fps=fps)
            self._recordings[known.name] = known
            self._compare_first(row, path)
        elif known.subject != subject:
            raise row.error(
                "subject", f"{subject}, but {given} showed {known.subject} before", "Correct one"
            )
        return known

    def _compare_first(self, row: Row, path: Path) -> None:
        """Report which image is taken for the first frame where the sheet seems to mean another."""
        first, index = row.frame("first_frame"), self._index(path) if path.is_dir() else None
        if first and index and index.first > first:
            odd = row.error(
                "first_frame",
                f"is {first}, and the first image of {path.name} has the number {index.first}; it "
                f"is taken for frame {first}",
                f"Write {index.first} if the images before it are lost",
            )
            self._findings.append(Finding.of(odd, "warning"))

    @cached_property
    def _indices(self) -> dict[Path, FrameIndex | None]:
        return {}

    def _index(self, folder: Path) -> FrameIndex | None:
        """The numbers of a folder's images, None where they do not count frames."""
        if folder not in self._indices:
            try:
                index: FrameIndex | None = index_frames(folder)
            except Ma2miError:  # frames without numbers; reported where the pictures are checked
                index = None
            self._indices[folder] = index if index and index.counts_frames else None
        return self._indices[folder]

    def _frame(self, row: Row, column: str, recording: Recording) -> int | None:
        """A frame's place among the decoded ones; None where the cell is empty.

        Raises:
            CorpusError: it is no number, or lies outside a folder of frames.
        """
        number, first = row.frame(column), row.frame("first_frame") or 0
        if number is None:
            return None
        if number < first:
            raise row.error(
                column, f"{number} lies before the first frame {first}", "Check first_frame"
            )
        index = self._index(recording.path) if recording.path.is_dir() else None
        if index is None:
            return number - first
        try:
            return index.position(number - first + index.first)
        except CorpusError as error:
            what = f"frame {number} is missing; the folder holds {first} to "
            what += f"{index.last - index.first + first}"
            hint = f"See {index.folder}, or correct the cell"
            raise row.error(column, what, hint) from error

    def _expression(self, row: Row, recording: Recording) -> Expression | None:
        onset, apex, offset = (
            self._frame(row, column, recording) for column in ("onset", "apex", "offset")
        )
        if onset is None:
            for column, value in (("apex", apex), ("offset", offset)):
                if value is not None:
                    raise row.error(
                        column, "stands without an onset", "Fill in the onset, or clear it"
                    )
            return None
        if offset is None:
            raise row.error("offset", "is empty though there is an onset", "Fill in the last frame")
        if offset < onset:
            raise row.error("offset", "lies before the onset", "Check both numbers")
        if apex is not None and not onset <= apex <= offset:
            raise row.error(
                "apex", "lies outside onset and offset", "Correct it, or leave it empty"
            )
        word = row.text("kind").lower()
        if word not in ("", "micro", "macro"):
            raise row.error("kind", f"{word!r} is neither micro nor macro", "Write one of them")
        kind: Kind = "macro" if word == "macro" else "micro"
        emotion = unicodedata.normalize("NFC", row.text("emotion"))
        units = parse_units(row.cells.get("aus")).codes
        return Expression(
            kind, onset, apex, offset, recording=recording, emotion=emotion, action_units=units
        )


def _sheet(file: Path) -> Sheet:
    """The table's rows.

    Raises:
        CorpusError: it does not read, or lacks a column.
    """
    if file.suffix.lower() == ".parquet":
        return _read_parquet(file)
    try:
        return read_sheet(file, _HEADERS, optional=_OPTIONAL)
    except NoColumns as error:
        found = error.what.partition("; ")[2]
        missing = error.what.partition("; ")[0].removeprefix("has no column ")
        raise CorpusError(
            f"column {missing} is missing; {found}",
            where=file,
            hint=f"The header needs {', '.join(_NEEDED)}; optional are {', '.join(_OPTIONAL)}",
        ) from error


def _find_path(root: Path, given: str) -> Path | None:
    """A path as a table gives it, with the slashes, Unicode form and case of another system.

    What is there by its very name comes first; another case counts only where one file has it.
    """
    for text in dict.fromkeys((given, given.replace("\\", "/"))):
        try:
            path = root / Path(text)
            if path.exists():
                return path
        except (OSError, ValueError):  # too long a name, or a NUL in it
            continue
        path = Path(path.anchor) if Path(text).is_absolute() else root
        for part in Path(text).parts[bool(Path(text).anchor) :]:
            near = _alike(path, part)
            if near is None:
                break
            path = near
        else:
            return path
    return None


def _alike(folder: Path, name: str) -> Path | None:
    """The entry of a folder that is called ``name``, in any Unicode form, else in any case."""
    if name in ("..", ".") or (folder / name).exists():
        return folder / name
    if not folder.is_dir():
        return None
    wanted = unicodedata.normalize("NFC", name)
    entries = [(unicodedata.normalize("NFC", one.name), one) for one in folder.iterdir()]
    same = [one for form, one in entries if form == wanted]
    same = same or [one for form, one in entries if form.casefold() == wanted.casefold()]
    return same[0] if len(same) == 1 else None


def _read_parquet(sheet: Path) -> Sheet:
    """Rows count from 1; a whole number is one even where the column holds floats."""
    with optional_part("pyarrow", "corpora"):
        from pyarrow import ArrowException, parquet
    try:
        about = parquet.read_metadata(sheet)
        size = sum(about.row_group(at).total_byte_size for at in range(about.num_row_groups))
        if about.num_rows > MOST_ROWS or size > LARGEST_BYTES:
            raise CorpusError(
                f"has {about.num_rows} rows, {size >> 20} MB unpacked",
                where=sheet,
                hint=f"At most {MOST_ROWS} rows and {LARGEST_BYTES >> 20} MB are read",
            )
        table = parquet.read_table(sheet)
        lines = table.to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        what = f"is no readable Parquet file ({shorten(str(error).splitlines()[0], 200)})"
        raise CorpusError(what, where=sheet, hint="Write it again") from error
    for column in _NEEDED:
        if column not in table.column_names:
            raise CorpusError(
                f"column {column} is missing",
                where=sheet,
                hint=f"The columns need to be {', '.join(_NEEDED)}; optional are "
                f"{', '.join(_OPTIONAL)}",
            )
    names = {name: name for name in (*_NEEDED, *_OPTIONAL) if name in table.column_names}
    rows = (
        Row(sheet, number, {name: _known(cells.get(name)) for name in names}, names)
        for number, cells in enumerate(lines, start=1)
    )
    return Sheet(sheet, frozenset(names), tuple(rows))


def _known(value: object) -> object:
    """An empty cell is NaN in a column of floats."""
    return None if value != value else value
