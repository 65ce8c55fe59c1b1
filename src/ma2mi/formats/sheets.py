"""Annotation sheets, .xlsx or .csv, as coders leave them: text above the header, blank columns,
numbers as text and text as numbers; every complaint names file, row and column.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ma2mi.errors import CorpusError
from ma2mi.formats.cells import Line, read_pages, shorten

UNMARKED = ("", "/", "-", "-1", "nan", "none", "n/a", "na", "null")
"""What stands in a cell of frames where none is marked."""

_HEADER_WITHIN = 40  # rows; SAMM's sheet has 13 rows of text above its header
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet program compute

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
        fault: why nothing of the line can be used, "" if it can; reading a cell raises it.
    """

    file: Path
    number: int
    cells: Mapping[str, Any]
    headers: Mapping[str, str]
    fault: str = ""

    def where(self, column: str = "") -> str:
        place = f"{self.file}, row {self.number}"
        return f"{place}, column {self.headers.get(column, column)}" if column else place

    def error(self, column: str, what: str, hint: str) -> CorpusError:
        return CorpusError(what, where=self.where(column), hint=hint)

    def text(self, column: str) -> str:
        """The cell as text without blanks around; 6 and 6.0 become "6", nothing becomes "".

        Raises:
            CorpusError: the line cannot be read, or the cell holds a formula without a value.
        """
        if self.fault:
            raise CorpusError(self.fault, where=self.where(), hint="Correct the line")
        text = plain(self.cells.get(column))
        if text.startswith("=") and self.file.suffix.lower() in (".xlsx", ".xlsm"):
            raise self.error(
                column,
                f"holds the formula {shorten(text)} and no value",
                "Open the sheet in a spreadsheet program and save it",
            )
        return unmask(text)

    def value(self, column: str) -> str:
        """As :meth:`text`, empty where BIDS writes "n/a"."""
        text = self.text(column)
        return "" if text.lower() == "n/a" else text

    def whole(self, column: str) -> int:
        """The cell as a whole number.

        Raises:
            CorpusError: it is none.
        """
        text = self.text(column)
        # Table programs write 3 as 3.0 in CSV; no video has more frames than nine digits.
        match = re.fullmatch(r"([+-]?[0-9]{1,9})([.,]0*)?", unicodedata.normalize("NFKC", text))
        if match is None:
            raise self.error(column, f"{shorten(text)!r} is no whole number", "Correct the cell")
        return int(match[1])

    def frame(self, column: str) -> int | None:
        """The cell as a frame number, None where none is marked (``UNMARKED``).

        Raises:
            CorpusError: it is neither.
        """
        return None if self.text(column).lower() in UNMARKED else self.whole(column)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet's rows below its header.

    Args:
        file: where it was read from.
        columns: our names of the columns that it has; they show its version.
        rows: those that are not blank.
    """

    file: Path
    columns: frozenset[str]
    rows: tuple[Row, ...]


class NoColumns(CorpusError):
    """A table that lacks a column."""


def plain(cell: object) -> str:
    """A cell as text: no blanks around, no ".0"."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def mask(text: str) -> str:
    """A text that no spreadsheet program takes for a formula: with an apostrophe before it.

    All else stays as it is, numbers too, negative ones included. Our readers take the apostrophe
    off (``unmask``); pandas by ``column.str.replace(r"^'(?='?[=+@\\t\\r-])", "", regex=True)``.
    """
    if re.fullmatch(r"[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?|-", text):
        return text
    return f"'{text}" if text.removeprefix("'").startswith(_FORMULA) else text


def unmask(text: str) -> str:
    """What ``mask`` was given."""
    masked = text[:1] == "'" and text[1:].removeprefix("'").startswith(_FORMULA)
    return text[1:] if masked else text


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
        hint=f"Put {' or '.join(patterns)} there, as the owners hand it out",
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

    Of the tabs of an .xlsx the first with all needed columns is taken, of a text the delimiter
    (tab, comma or semicolon) that finds the most columns.

    Raises:
        NoColumns: it lacks a column.
        CorpusError: the file does not read, or has no such tab.
        MissingPart: an .xlsx, and openpyxl is not installed.
    """
    return pick_sheet(file, list(read_pages(file, tab)), columns, optional=optional, header=header)


def pick_sheet(
    file: Path,
    pages: Iterable[list[Line]],
    columns: Columns,
    *,
    optional: Iterable[str] = (),
    header: bool = True,
) -> Sheet:
    """As :func:`read_sheet`, of pages (``cells.read_pages``) that are read already.

    Raises:
        NoColumns: none of them has all needed columns.
    """
    pages = list(pages)
    is_text = file.suffix.lower() not in (".xlsx", ".xlsm")
    if not header:
        lines = max(pages, key=_most_cells) if is_text else pages[0] if pages else []
        places = {name: at for at, name in enumerate(columns) if not name.startswith("_")}
        headers = {name: _letter(at) for name, at in places.items()}
        return Sheet(file, frozenset(places), _rows_of(file, lines, places, headers, width=0))
    needed = set(columns) - set(optional)
    best: tuple[tuple[bool, int, int], list[Line], int, dict[str, int]] | None = None
    for lines in pages:
        at, places = _find_header(lines, columns)
        whole = needed <= set(places)
        cells = len(lines[at].cells) if is_text and lines else 0
        rank = (whole, len(places) if is_text or not whole else 0, cells)
        if best is None or rank > best[0]:
            best = rank, lines, at, places
    (complete, _, _), lines, at, places = best or ((False, 0, 0), [], 0, {})
    top = lines[at] if at < len(lines) else Line(1, ())
    if not complete:
        missing = [name for name in columns if name in needed - set(places)]
        wanted = ", ".join(" or ".join(columns[name]) for name in missing)
        found = ", ".join(filter(None, map(plain, top.cells))) or "nothing that is known"
        raise NoColumns(
            f"has no column {wanted}; its header is {shorten(found, 200)}",
            where=f"{file}, row {top.number}",
            hint="Use the sheet as the owners hand it out, or rename the column",
        )
    headers = {name: plain(top.cells[place]) for name, place in places.items()}
    width = len(top.cells) if is_text else 0
    return Sheet(
        file, frozenset(places), _rows_of(file, lines[at + 1 :], places, headers, width=width)
    )


def _rows_of(
    file: Path, lines: list[Line], places: dict[str, int], headers: dict[str, str], *, width: int
) -> tuple[Row, ...]:
    """The rows that are not blank; text beyond a header of ``width`` is a fault (0: none is)."""
    rows = []
    lengths = Counter(len(line.cells) for line in lines if any(line.cells))
    usual = min(lengths, key=lambda one: (-lengths[one], one), default=0)
    for line in lines:
        cells = {name: _at(line.cells, place) for name, place in places.items()}
        fault, beyond = line.fault, len(line.cells) - width if width and any(line.cells) else 0
        # Where most rows end with a delimiter, an empty cell after it means nothing.
        if beyond > 0 and not fault and (len(line.cells) > usual or any(line.cells[width:])):
            fault = (
                f"has {beyond} cells more than the header: a comma that is no delimiter, "
                "such as a decimal one, must stand between quotation marks"
            )
        if fault or any(map(plain, cells.values())):
            rows.append(Row(file, line.number, cells, headers, fault))
    return tuple(rows)


def _most_cells(lines: list[Line]) -> int:
    return sum(len(line.cells) for line in lines)


def _at(line: tuple[Any, ...], place: int) -> Any:
    return line[place] if place < len(line) else None


def _letter(place: int) -> str:
    """Excel's name of a column: 0 is A, 26 is AA."""
    return (_letter(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def _bare(header: object) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", plain(header))).casefold()


def _find_header(lines: list[Line], columns: Columns) -> tuple[int, dict[str, int]]:
    """Which line has the most of the columns, and where each stands in it."""
    best: tuple[int, dict[str, int]] = (0, {})
    for number, line in enumerate(islice(lines, _HEADER_WITHIN)):
        seen: dict[str, int] = {}
        for at, cell in enumerate(line.cells):
            seen.setdefault(_bare(cell), at)
        places = {
            name: seen[_bare(h)]
            for name, headers in columns.items()
            for h in reversed(headers)
            if _bare(h) in seen
        }
        if len(places) > len(best[1]):
            best = (number, places)
    return best
