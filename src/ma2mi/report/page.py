"""One HTML page that holds everything, pictures included, and loads nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from ma2mi._version import __version__
from ma2mi.report.styles import BEST, PART, Table, number_and_rest


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Args:
        name: of its PNG file.
        title: above it.
        caption: what it shows and how it was made, one or two sentences.
        png: its bytes.
    """

    name: str
    title: str
    caption: str
    png: bytes


def make_page(
    title: str,
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    facts: dict[str, str],
    failures: Sequence[str] = (),
) -> str:
    """The page as HTML.

    Args:
        title: heading.
        tables: in order; each with its notes.
        pictures: in order.
        facts: what the reader needs to repeat it (version, commit, data hash, settings).
        failures: a line for each sample that could not be used.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
    template = environment.from_string((files(__package__) / "page.html").read_text("utf-8"))
    return template.render(
        title=title,
        tables=[_shown(table.filled()) for table in tables],
        pictures=pictures,
        facts=facts,
        failures=failures,
        version=__version__,
    )


def _shown(table: Table) -> dict[str, Any]:
    """The table as the template takes it: cells with the number that is best apart."""
    lines = []
    for row, cells in enumerate(table.lines):
        kind = "stamped" if row in table.stamped else "part" if cells[0].startswith(PART) else ""
        shown = []
        for column, cell in enumerate(cells):
            best = (row, column) in table.best
            shown.append(number_and_rest(cell) if best else ("", cell))
        lines.append({"kind": kind, "cells": shown})
    notes = [*table.notes, *([f"Bold: {BEST}."] if table.best else [])]
    return {
        "title": table.title,
        "header": table.header,
        "lines": lines,
        "notes": notes,
        "stamped": bool(table.stamped),
    }
