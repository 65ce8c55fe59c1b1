"""Known mistakes in handed-out sheets, as tables beside this file, each with its source."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ma2mi.errors import CorpusError
from ma2mi.formats.cells import read_text, shorten

FIELDS = ("onset", "apex", "offset", "emotion", "aus")
COLUMNS = ("subject", "clip", "version", "field", "value", "source")


@dataclass(frozen=True, slots=True)
class Repair:
    """One cell that is read as something else.

    Args:
        subject: as the corpus names it, such as "sub04".
        clip: the recording's name within the corpus; "name@onset" where it holds several.
        version: of the sheet that is mistaken; "" for all.
        field: one of ``FIELDS``.
        value: what it should be, in the sheet's own numbers; "" clears the apex.
        source: of the repair.
    """

    subject: str
    clip: str
    version: str
    field: str
    value: str
    source: str


def load_repairs(table: str | Path) -> list[Repair]:
    """The repairs of a corpus by its name (none if there is no table), or of a CSV of your own.

    Raises:
        CorpusError: a table that is missing, lacks a column, or repairs what cannot be repaired.
    """
    own = isinstance(table, Path)
    file = Path(table) if own else Path(__file__).with_name(f"{table}.csv")
    if not file.is_file():
        if own:
            raise CorpusError("is no file", where=file, hint=f"Give a CSV of {', '.join(COLUMNS)}")
        return []
    lines = io.StringIO(read_text(file).removeprefix("\ufeff"), newline=None)
    try:
        reader = csv.DictReader(lines)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise CorpusError(
                f"has no column {', '.join(missing)}",
                where=file,
                hint=f"The header is {','.join(COLUMNS)}",
            )
        repairs = []
        for number, cells in enumerate(reader, start=2):
            repair = Repair(*((cells[name] or "").strip() for name in COLUMNS))
            if repair.field not in FIELDS:
                raise CorpusError(
                    f"{repair.field!r} cannot be repaired",
                    where=f"{file}, row {number}, column field",
                    hint=f"Write one of {', '.join(FIELDS)}",
                )
            frame = repair.field in ("onset", "apex", "offset")
            cleared = repair.field == "apex" and not repair.value
            is_number = repair.value.isdecimal() and len(repair.value) < 10
            if frame and not cleared and not is_number:
                raise CorpusError(
                    f"{shorten(repair.value)!r} is no frame number",
                    where=f"{file}, row {number}, column value",
                    hint="Write a whole number; only an apex may be empty",
                )
            repairs.append(repair)
    except csv.Error as error:
        raise CorpusError(f"cannot be read ({error})", where=file, hint="Save it again") from error
    return repairs
