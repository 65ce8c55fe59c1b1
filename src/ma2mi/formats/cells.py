"""The cells of a table, whatever program saved it: .csv, .tsv or .xlsx, in any common encoding."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from ma2mi.errors import CorpusError, optional_part

LARGEST_BYTES = 64 * 2**20
"""Of a file, unpacked. The longest sheet of a corpus that we know has less than 2 MB."""

MOST_ROWS, MOST_CELLS = 2**20, 2**14  # of a sheet and of a row, as in Excel
DELIMITERS = "\t,;"

_NUMBER = re.compile(r"[+-]?([0-9]{1,30}([.,][0-9]{0,30})?|[.,][0-9]{1,30})([eE][+-]?[0-9]{1,2})?")
_RATIO = re.compile(r"[+-]?[0-9]{1,15}/[0-9]{1,15}")
_CLOCK = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2}([.,][0-9]{0,9})?)")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def parse_number(text: str) -> Fraction:
    """The number that a cell holds: "12.345", "12,345", "30000/1001", "1e-3".

    Longer ones than anybody measures are refused: ``Fraction("1e99999999")`` never returns.

    Raises:
        ValueError: it is no number, infinite, or has more than 30 digits or an exponent of 100.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    if _NUMBER.fullmatch(plain):
        return Fraction(plain.replace(",", "."))
    if _RATIO.fullmatch(plain) and Fraction(plain.split("/")[1]):
        return Fraction(plain)
    raise ValueError(f"{shorten(text)!r} is no number")


def parse_seconds(text: str) -> Fraction:
    """A time in seconds, as a number or as a clock shows it ("1:02:03.5").

    Raises:
        ValueError: it is neither.
    """
    if match := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = match[1] or 0, match[2], match[3].replace(",", ".")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    return parse_number(text)


def shorten(text: object, longest: int = 60) -> str:
    """What a message shows of a cell: one line, no control characters, not too long."""
    line = "".join(c if c.isprintable() else " " for c in str(text)[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def read_bytes(file: Path) -> bytes:
    """The content of a file of at most ``LARGEST_BYTES``.

    Raises:
        CorpusError: it is larger, or cannot be read.
    """
    try:
        if not file.is_file():
            raise CorpusError("is no file", where=file, hint="Check the path")
        if (size := file.stat().st_size) > LARGEST_BYTES:
            raise _too_large(file, size)
        return file.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror or error})", where=file) from error


def _too_large(file: Path, size: int) -> CorpusError:
    return CorpusError(
        f"has {size / 2**20:.0f} MB unpacked, at most {LARGEST_BYTES >> 20} are read",
        where=file,
        hint="Keep the annotations, and leave out what else is in it",
    )


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 as its byte order mark says.

    Raises:
        CorpusError: it is in another encoding, which is named as far as its bytes show; or as
            ``read_bytes``.
    """
    return decode_text(read_bytes(file), file)


def decode_text(content: bytes, file: Path) -> str:
    """As :func:`read_text`, of bytes that are there already."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    if not encoding:
        # Plain text in UTF-16 is a NUL at every second place.
        even, odd = content[::2].count(0), content[1::2].count(0)
        if max(even, odd) > len(content) / 8:
            encoding = "utf-16-le" if odd > even else "utf-16-be"
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if not encoding and b"\0" in content:
            raise CorpusError("is no text", where=file, hint="Save it as UTF-8") from error
        name = f"damaged {encoding}" if encoding else _likely_encoding(content)
        raise CorpusError(
            f"is not in UTF-8; by its bytes it is {name}",
            where=file,
            hint="Save it as UTF-8 (in Excel: CSV UTF-8)",
        ) from error


def _likely_encoding(content: bytes) -> str:
    """The most likely encoding of text that is not UTF-8; for a message and nothing more."""
    runs = re.findall(rb"[\x80-\xff]+", content)
    try:
        if re.search("[\u3041-\u30ff]{2}", content.decode("shift_jis")):
            return "Shift-JIS (Japanese)"
    except UnicodeDecodeError:
        pass
    try:
        content.decode("gb18030")
        leads = [lead for run in runs for lead in run[::2]]
        common = sum(0xB0 <= lead <= 0xD7 for lead in leads)  # characters that are often used
        # A Western word has accents one by one, most of them small letters above 0xDF.
        if all(len(run) % 2 == 0 for run in runs) and common > len(leads) / 2:
            return "GBK (Chinese; or EUC-KR or Big5)"
    except UnicodeDecodeError:
        pass
    return "Latin-1 (Windows-1252, or another one with one byte a letter)"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Args:
        number: as Excel counts, from 1.
        cells: as text, or what .xlsx holds.
        fault: why the line cannot be read, "" if it can.
    """

    number: int
    cells: tuple[Any, ...]
    fault: str = ""


def read_pages(file: Path, tab: str | None = None) -> Iterator[list[Line]]:
    """The tables that a file may be: an .xlsx' tabs in their order, or a text by each delimiter.

    Args:
        file: .xlsx, or else text.
        tab: the only tab that is wanted.

    Raises:
        CorpusError: the file does not read, or has no such tab.
        MissingPart: an .xlsx, and openpyxl is not installed.
    """
    if file.suffix.lower() in (".xlsx", ".xlsm"):
        yield from _read_xlsx(file, tab)
        return
    text = read_text(file)
    for delimiter in DELIMITERS:
        yield split_lines(text, delimiter)


def split_lines(text: str, delimiter: str) -> list[Line]:
    """The lines of a text with delimiters; a faulty one does not take others along."""
    text = io.StringIO(text, newline=None).read()  # one line end for three
    lines = _parse(io.StringIO(text), delimiter)
    swallowed = (line.fault or any("\n" in cell for cell in line.cells) for line in lines)
    if text.count('"') % 2 and any(swallowed):
        # A quotation mark that is never closed would take in all that follows.
        lines = [
            Line(number, *_parse_one(line, delimiter))
            for number, line in enumerate(text.split("\n"), 1)
        ]
    return lines


def _parse(stream: io.StringIO, delimiter: str) -> list[Line]:
    reader = csv.reader(stream, delimiter=delimiter)
    lines: list[Line] = []
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            lines.append(Line(len(lines) + 1, (), f"cannot be read ({error})"))
            continue
        if cells is None:
            return lines
        many = f"has {len(cells)} cells" if len(cells) > MOST_CELLS else ""
        lines.append(Line(len(lines) + 1, () if many else tuple(cells), many))


def _parse_one(line: str, delimiter: str) -> tuple[tuple[str, ...], str]:
    if line.count('"') % 2:
        return (), "opens a quotation mark and does not close it"
    (one,) = _parse(io.StringIO(line), delimiter) or [Line(1, ())]
    return one.cells, one.fault


# Excel


def _read_xlsx(file: Path, tab: str | None) -> Iterator[list[Line]]:
    with optional_part("openpyxl", "corpora"):
        import openpyxl
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(file))) as parts:
            if (size := sum(part.file_size for part in parts.infolist())) > LARGEST_BYTES:
                raise _too_large(file, size)
            formulas = any(
                b"<f>" in (xml := parts.read(name)) or b"<f " in xml
                for name in parts.namelist()
                if name.startswith("xl/worksheets/")
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations, which are not read
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            written = openpyxl.load_workbook(file, read_only=True) if formulas else None
            try:
                if tab is not None and tab not in book.sheetnames:
                    raise CorpusError(
                        f"has no tab {tab!r}",
                        where=file,
                        hint=f"It has {', '.join(book.sheetnames)}; use the sheet as handed out",
                    )
                pages = [book[tab]] if tab is not None else book.worksheets
                tables = [_page(page, written and written[page.title]) for page in pages]
            finally:
                book.close()
                if written:
                    written.close()
    except CorpusError:
        raise
    except Exception as error:  # a damaged file fails in whatever part of it is damaged
        raise CorpusError(
            "is no readable .xlsx",
            where=file,
            hint="Open it in a spreadsheet program and save it as .xlsx, without a password",
        ) from error
    yield from tables


def _page(page: Any, formulas: Any) -> list[Line]:
    """A tab's lines: merged cells filled downwards, formulas by value, else as they stand."""
    cells = _rows(page)
    for number, row in _rows(formulas).items() if formulas else ():
        values = list(cells.get(number, ()))
        for at, cell in enumerate(row):
            if isinstance(cell, str) and cell.startswith("=") and at < len(values):
                # A program that computes nothing, such as a script, saved no value.
                values[at] = cell if values[at] is None else values[at]
        cells[number] = tuple(values)
    for column, first, last in islice(_merged(page), MOST_CELLS):
        top = cells.get(first, ())
        if column >= len(top):
            continue
        for number in [n for n in cells if first < n <= last]:  # no new rows
            filled = list(cells[number])
            filled += [None] * (column + 1 - len(filled))
            filled[column] = top[column] if filled[column] is None else filled[column]
            cells[number] = tuple(filled)
    return [Line(number, row) for number, row in cells.items()]


def _rows(page: Any) -> dict[int, tuple[Any, ...]]:
    page.reset_dimensions()  # some programs write wrong ones
    found = {}
    for number, row in enumerate(page.iter_rows(values_only=True), 1):
        if number > MOST_ROWS:
            raise ValueError(f"row {number}")
        if any(map(_filled, row)):
            found[number] = tuple(row)
    return found


def _filled(cell: object) -> bool:
    return cell is not None and cell != ""


def _merged(page: Any) -> list[tuple[int, int, int]]:
    """Column from 0, first and last row of each merged range; read-only tabs lack them."""
    with page.parent._archive.open(page._worksheet_path) as part:
        found = re.findall(
            rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})"',
            part.read(),
        )
    ranges = []
    for letters, first, last in found:
        column = 0
        for letter in letters:
            column = 26 * column + letter - ord("A") + 1
        ranges.append((column - 1, int(first), min(int(last), MOST_ROWS)))
    return ranges
