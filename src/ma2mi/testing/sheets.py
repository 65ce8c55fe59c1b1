"""Sheets of fakes: .xlsx and .csv that are the same to the byte each time."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ma2mi.errors import optional_part

Table = list[list[object]]
"""The cells of a sheet, header and rows of text included."""


def write_table(file: Path, table: Table, tab: str = "Sheet1") -> None:
    """Write cells as .xlsx or .csv, by the file's suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines, lineterminator="\n").writerows(table)
        return
    write_tabs(file, {tab: table})


def write_tabs(file: Path, tabs: Mapping[str, Table]) -> None:
    """Write an .xlsx of several tabs; the same cells give the same bytes."""
    with optional_part("openpyxl", "corpora"):
        import openpyxl
    file.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, table in tabs.items():
        page = book.create_sheet(name)
        for row in table:
            page.append(row)
    book.save(file)
    _forget_time(file)


def _forget_time(file: Path) -> None:
    """Rewrite an .xlsx without the clock: its parts and its properties carry the time of saving."""
    import re
    import zipfile

    with zipfile.ZipFile(file) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    core = "docProps/core.xml"
    parts[core] = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2000-01-01T00:00:00Z", parts[core])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), content)
