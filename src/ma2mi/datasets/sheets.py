"""Annotation sheets, .xlsx or .csv, as coders leave them: text above the header, blank columns,
numbers as text and text as numbers; every complaint names file, row and column.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ma2mi.errors import CorpusError, optional_part

UNMARKED = ("", "/", "-", "-1", "nan", "none")
"""What stands in a cell of frames where nobody marked one."""

_HEADER_WITHIN = 40  # rows; SAMM's sheet has 13 rows of text above its header

Columns = Mapping[str, tuple[str, ...]]
"""Our name of a column to the headers that it goes by."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a sheet.

    Args:
        file: the sheet.
        number: as Excel counts, from 1.
        cells: our names of columns to what stands there.
        headers: our names of columns to the sheet's own.
    """

    file: Path
    number: int
    cells: Mapping[str, Any]
    headers: Mapping[str, str]

    def where(self, column: str = "") -> str:
        place = f"{self.file}, row {self.number}"
        return f"{place}, column {self.headers.get(column, column)}" if column else place

    def error(self, column: str, what: str, cure: str) -> CorpusError:
        return CorpusError(what, where=self.where(column), cure=cure)

    def text(self, column: str) -> str:
        """The cell as text without blanks around; 6 and 6.0 become "6", nothing becomes ""."""
        return plain(self.cells.get(column))

    def whole(self, column: str) -> int:
        """The cell as a whole number.

        Raises:
            CorpusError: it is none.
        """
        text = self.text(column)
        match = re.fullmatch(r"(-?\d+)(\.0+)?", text)  # table programs write 3 as 3.0 in CSV
        if match is None:
            raise self.error(column, f"{text!r} is no whole number", "Correct the cell")
        return int(match[1])

    def frame(self, column: str) -> int | None:
        """The cell as a frame number, None where nobody marked one (``UNMARKED``).

        Raises:
            CorpusError: it is neither.
        """
        return None if self.text(column).lower() in UNMARKED else self.whole(column)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet's rows below its header.

    Args:
        file: where it was read from.
        columns: our names of the columns that it has; tells its version.
        rows: those that are not blank.
    """

    file: Path
    columns: frozenset[str]
    rows: tuple[Row, ...]


def plain(cell: object) -> str:
    """A cell as text: no blanks around, no ".0"."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def find_sheet(root: Path, patterns: Iterable[str]) -> Path:
    """The first file below ``root``, at most two folders down, that fits one of the globs.

    Raises:
        CorpusError: there is none.
    """
    patterns = tuple(patterns)
    for pattern in patterns:
        for depth in ("", "*/", "*/*/"):
            # "~$" is the lock that Excel leaves beside an open sheet.
            found = [f for f in root.glob(depth + pattern) if not f.name.startswith(("~$", "."))]
            if found:
                return min(found)
    raise CorpusError(
        "holds no annotation sheet",
        where=root,
        cure=f"Put {' or '.join(patterns)} there, as the owners hand it out",
    )


def read_sheet(
    file: Path,
    columns: Columns,
    *,
    optional: Iterable[str] = (),
    tab: str | None = None,
    header: bool = True,
) -> Sheet:
    """Read the rows of a sheet.

    Args:
        file: .xlsx or .csv.
        columns: our names to the headers they go by; case, blanks and punctuation do not matter.
        optional: those of our names that a version may lack.
        tab: name of the tab of an .xlsx; None takes the first.
        header: False for a sheet without one; ``columns`` then gives our names in the sheet's
            order, and a name that begins with "_" passes over a column.

    Raises:
        CorpusError: the file does not read, has no such tab, or lacks a column.
        MissingPart: an .xlsx, and openpyxl is not installed.
    """
    lines = list(_read_csv(file) if file.suffix.lower() == ".csv" else _read_xlsx(file, tab))
    if header:
        start, places, headers = _find_header(file, lines, columns, set(optional))
    else:
        places = {name: at for at, name in enumerate(columns) if not name.startswith("_")}
        start, headers = 0, {name: _letter(at) for name, at in places.items()}
    rows = tuple(
        Row(file, number, {name: _at(line, at) for name, at in places.items()}, headers)
        for number, line in enumerate(lines[start:], start + 1)
        if any(plain(_at(line, at)) for at in places.values())
    )
    return Sheet(file, frozenset(places), rows)


def _at(line: tuple[Any, ...], place: int) -> Any:
    return line[place] if place < len(line) else None


def _letter(place: int) -> str:
    """Excel's name of a column: 0 is A, 26 is AA."""
    return (_letter(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def _bare(header: object) -> str:
    return re.sub(r"[\W_]+", "", plain(header)).casefold()


def _find_header(
    file: Path, lines: list[tuple[Any, ...]], columns: Columns, optional: set[str]
) -> tuple[int, dict[str, int], dict[str, str]]:
    """The row after the header, and where each column stands."""
    best: tuple[int, dict[str, int]] = (0, {})
    for number, line in enumerate(islice(lines, _HEADER_WITHIN), start=1):
        seen: dict[str, int] = {}
        for at, cell in enumerate(line):
            seen.setdefault(_bare(cell), at)
        places = {
            name: seen[_bare(h)]
            for name, headers in columns.items()
            for h in reversed(headers)
            if _bare(h) in seen
        }
        if len(places) > len(best[1]):
            best = (number, places)
    number, places = best
    missing = [name for name in columns if name not in places and name not in optional]
    if missing:
        wanted = ", ".join(" or ".join(columns[name]) for name in missing)
        line = lines[number - 1] if number else ()
        found = ", ".join(filter(None, map(plain, line))) or "nothing that is known"
        raise CorpusError(
            f"has no column {wanted}; its header is {found}",
            where=f"{file}, row {max(number, 1)}",
            cure="Use the sheet as the owners hand it out, or rename the column",
        )
    line = lines[number - 1]
    return number, places, {name: plain(line[at]) for name, at in places.items()}


def _read_csv(file: Path) -> Iterator[tuple[Any, ...]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            yield from (tuple(line) for line in csv.reader(lines))
    except UnicodeDecodeError as error:
        raise CorpusError("is not in UTF-8", where=file, cure="Save it as CSV UTF-8") from error


def _read_xlsx(file: Path, tab: str | None) -> Iterator[tuple[Any, ...]]:
    with optional_part("openpyxl", "corpora"):
        import openpyxl
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations that nobody asked for
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged file fails in whatever part of it is damaged
        raise CorpusError(
            "is no readable .xlsx",
            where=file,
            cure="Open it in a spreadsheet program and save it as .xlsx",
        ) from error
    try:
        if tab is not None and tab not in book.sheetnames:
            raise CorpusError(
                f"has no tab {tab!r}",
                where=file,
                cure=f"It has {', '.join(book.sheetnames)}; use the sheet as handed out",
            )
        page = book[tab] if tab is not None else book.worksheets[0]
        page.reset_dimensions()  # some programs write wrong ones
        yield from page.iter_rows(values_only=True)
    finally:
        book.close()
