"""Styles of a table: plain text, Markdown, LaTeX and CSV, from the same cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from ma2mi.formats.sheets import mask

Cells = Sequence[Sequence[str]]
#: What a table says of its bold cells.
BEST = "best of the scores compared, as rounded here; that says nothing about significance"
#: Two spaces before a name: a part of the row above, such as one of its databases.
PART = "  "
_SCORE = re.compile(r"[+-]?\d[\d.]*")


@dataclass(frozen=True)
class Table:
    """Cells with a header, and what belongs around them.

    Args:
        name: a word for its label, such as "scores".
        title: above it.
        header: names of the columns.
        lines: rows of cells. A name that begins with ``PART`` is a part of the row above.
        notes: below it: how it was measured, and what a reader should know.
        caption: what was compared and how, for a paper.
        best: (row, column) of the cells that are bold.
        stamped: rows that are no results, and say so.
    """

    name: str
    title: str
    header: Sequence[str]
    lines: Cells
    notes: Sequence[str] = ()
    caption: str = ""
    best: Collection[tuple[int, int]] = ()
    stamped: Collection[int] = ()

    def filled(self) -> Table:
        """The table without the columns that have nothing in any row."""
        kept = [
            i for i in range(len(self.header)) if any(line[i].strip() for line in self.lines)
        ] or list(range(len(self.header)))
        place = {column: i for i, column in enumerate(kept)}
        return replace(
            self,
            header=[self.header[i] for i in kept],
            lines=[[line[i] for i in kept] for line in self.lines],
            best={(row, place[column]) for row, column in self.best if column in place},
        )


def number_and_rest(cell: str) -> tuple[str, str]:
    """The number that a cell begins with, and the rest of it."""
    value = _SCORE.match(cell)
    return (value[0], cell[value.end() :]) if value else ("", cell)


def best_cells(
    lines: Cells, columns: Sequence[int], groups: Sequence[str], skipped: Collection[int] = ()
) -> set[tuple[int, int]]:
    """The cells with the largest number of their column and group, equals as shown together.

    Args:
        lines: rows of cells that begin with their number.
        columns: those in which larger is better.
        groups: one a row: only rows of one group are compared, such as those of one database.
        skipped: rows that do not count.

    Returns:
        (row, column) of each; none in a group of one row.
    """
    found = set()
    for group in dict.fromkeys(groups):
        rows = [i for i, one in enumerate(groups) if one == group and i not in skipped]
        for column in columns:
            shown = {i: n for i in rows if (n := number_and_rest(lines[i][column])[0])}
            if len(shown) > 1:
                most = max(map(float, shown.values()))
                found |= {(i, column) for i, text in shown.items() if float(text) == most}
    return found


def text_table(header: Sequence[str], lines: Cells) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, rule, *lines)
    )


def text_page(tables: Sequence[Table]) -> str:
    """Tables below each other, what is best with an asterisk, and their notes below each."""
    parts = []
    for number, table in enumerate(map(Table.filled, tables)):
        lines = _marked(table, lambda value, rest: f"{value}{rest}*")
        notes = [*table.notes, *([f"*: {BEST}"] if table.best else [])]
        title = [table.title] if number else []
        parts.append("\n".join([*title, text_table(table.header, lines), *notes]))
    return "\n\n".join(parts)


def markdown_table(header: Sequence[str], lines: Cells) -> str:
    """The table for a README or an issue; asterisks of the cells are not escaped."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def markdown_page(tables: Sequence[Table]) -> str:
    """Tables for a README or an issue, what is best in bold, and their notes below each."""
    parts = []
    for number, table in enumerate(map(Table.filled, tables)):
        escaped = replace(table, lines=[[_markdown(cell) for cell in row] for row in table.lines])
        lines = _marked(escaped, lambda value, rest: f"**{value}**{rest}")
        notes = [_markdown(note) for note in table.notes]
        notes += [f"Bold: {BEST}."] if table.best else []
        title = [f"**{_markdown(table.title)}**", ""] if number else []
        shown = markdown_table([_markdown(name) for name in table.header], lines)
        parts.append("\n".join([*title, shown, *(f"\n{note}" for note in notes)]))
    return "\n\n".join(parts)


def _markdown(cell: str) -> str:
    """The text as one line of Markdown that is neither a formula, nor HTML, nor a cell's end."""
    indent = "&emsp;" if cell.startswith(PART) else ""
    flat = " ".join(cell.split())
    return indent + re.sub(r"([\\`*_|$]|<(?! )|(?<=\])\()", r"\\\1", flat)


def latex_page(tables: Sequence[Table]) -> str:
    r"""Tables for a paper, each a ``table`` with caption and label, what is best in bold.

    They need the packages booktabs and graphicx, and are as wide as a column at most. Letters
    beyond Latin need LuaLaTeX or XeLaTeX and a font that has them.
    """
    floats = "\n\n".join(_latex_float(table.filled()) for table in tables)
    head = "% \\usepackage{booktabs,graphicx}"
    if not floats.isascii():
        head += "\n% \\usepackage[T1]{fontenc} for pdfLaTeX; LuaLaTeX for letters beyond Latin"
    return f"{head}\n{floats}"


def _latex_float(table: Table) -> str:
    escaped = replace(table, lines=[[_latex(cell) for cell in row] for row in table.lines])
    marked = _marked(escaped, lambda value, rest: f"\\textbf{{{value}}}{rest}")
    body = "\n".join(_latex_row(row) for row in marked)
    caption = " ".join([table.caption or table.title, *([f"Bold: {BEST}."] if table.best else [])])
    # A name to the left, numbers below each other to the right of it.
    columns = "l" * len(table.header)
    return (
        "\\begin{table}[tbp]\n\\centering\n"
        f"\\caption{{{_latex(caption)}}}\n\\label{{tab:ma2mi-{table.name}}}\n"
        # Shrunk only where it is wider than the column.
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{_latex_row([_latex(name) for name in table.header])}\n\\midrule\n"
        f"{body}\n\\bottomrule\n\\end{{tabular}}}}\n\\end{{table}}"
    )


def _latex_row(row: Sequence[str]) -> str:
    # After \\ and \midrule a bracket would be their option, an asterisk their variant.
    first = "{}" if row[0].startswith(("[", "*")) else ""
    return first + " & ".join(row) + r" \\"


_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "%&_#${}"}
    | {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}"}
    | {"<": "$<$", ">": "$>$", "|": "\\textbar{}", "±": "$\\pm$"}
)


def _latex(cell: str) -> str:
    """The text as LaTeX prints it: no command, no ligature that is another sign."""
    indent = "\\quad " if cell.startswith(PART) else ""
    shown = "".join(c if c.isprintable() else " " for c in cell)
    escaped = " ".join(shown.split()).translate(_LATEX)
    return indent + re.sub(r"([-'`,])(?=\1)|([!?])(?=`)", r"\1\2{}", escaped)


def _marked(table: Table, mark: Callable[[str, str], str]) -> list[list[str]]:
    """The cells, the number at the start of the best ones marked: its value and the rest."""
    lines = [list(line) for line in table.lines]
    for row, column in table.best:
        lines[row][column] = mark(*number_and_rest(lines[row][column]))
    return lines


def csv_table(header: Sequence[str], lines: Cells) -> str:
    """The table for a spreadsheet, which computes none of its cells."""
    text = io.StringIO()
    rows = [[mask(cell) for cell in row] for row in (header, *lines)]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def csv_page(tables: Sequence[Table]) -> str:
    """The first table with all its columns; a file for a spreadsheet holds one."""
    return csv_table(tables[0].header, tables[0].lines)


#: Name of a style to what writes tables in it.
STYLES: dict[str, Callable[[Sequence[Table]], str]] = {
    "text": text_page,
    "markdown": markdown_page,
    "latex": latex_page,
    "csv": csv_page,
}
