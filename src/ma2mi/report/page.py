"""One HTML page that holds everything, pictures included, and loads nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from ma2mi._version import __version__
from ma2mi.report.tables import HEADER, TableRow, cells


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


@dataclass(frozen=True)
class Table:
    """Cells of a page's table, its header, and how it was measured."""

    header: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str


def make_page(
    title: str,
    rows: Sequence[TableRow],
    pictures: Sequence[Picture],
    facts: dict[str, str],
    stamped: Sequence[Sequence[str]] = (),
    curves: Table | None = None,
) -> str:
    """The page as HTML.

    Args:
        title: heading.
        rows: the table of runs, or none; the note below it says how it was measured.
        pictures: in order.
        stamped: rows of numbers that were selected on test data, see ``stamped_lines``.
        facts: what the reader needs to repeat it (version, commit, data hash, settings).
        curves: the table of learning curves.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
    template = environment.from_string((files(__package__) / "page.html").read_text("utf-8"))
    return template.render(
        title=title,
        header=HEADER,
        lines=[cells(row) for row in rows],
        clips=rows[0].clips if rows else 0,
        subjects=rows[0].subjects if rows else 0,
        curves=curves,
        pictures=pictures,
        stamped=stamped,
        facts=facts,
        version=__version__,
    )
