"""``ma2mi data``: which corpora there are, whether a copy is whole, and fakes to try things on."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import typer

from ma2mi.cli import console

SHOWN = 5  # findings of one kind on the screen; --json holds all

data = typer.Typer(
    name="data", help="Corpora: list, describe, check, fake, convert.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(data)


@data.command("list", epilog="Example: `ma2mi data list`")
def list_corpora(
    markdown: bool = typer.Option(False, "--markdown", help="Print the page docs/datasets.md."),
) -> None:
    """List the supported corpora by the names that other commands take."""
    from rich.table import Column, Table

    from ma2mi.datasets import CORPORA
    from ma2mi.datasets.page import markdown_page

    if markdown:
        console.out.print(markdown_page(), markup=False, end="")
        return
    # The name is what other commands take: a narrow terminal must not cut it short.
    name_column = Column("name", no_wrap=True, min_width=max(map(len, CORPORA)))
    table = Table(name_column, "title", "frames/s", "clips", "subjects", "gated")
    for name in sorted(CORPORA):
        about = CORPORA[name].about
        counts = (str(about.clips or ""), str(about.subjects or ""))
        table.add_row(name, about.title, about.fps, *counts, "yes" if about.gated else "no")
    console.out.print(table)


@data.command(epilog="Example: `ma2mi data info casme2`")
def info(corpus: str = typer.Argument(..., help="Name of a corpus.")) -> None:
    """What a corpus holds, how to apply for it, and the layouts that are understood."""
    from ma2mi.datasets.base import corpus_class
    from ma2mi.datasets.page import info_lines

    for heading, text in info_lines(corpus_class(corpus)):
        for number, line in enumerate(text.splitlines()):
            console.out.print(f"{'' if number else heading:<10} {line}", markup=False)


@data.command(epilog="Example: `ma2mi data check casme2 --root DIR`")
def check(
    corpus: str = typer.Argument(..., help="Name of a corpus."),
    root: Path = typer.Option(..., help="Where your copy lies."),
    layout: str = typer.Option("", help="One of its layouts; the first that is there if empty."),
    repairs: bool = typer.Option(True, help="Apply the known repairs of its sheets."),
    repair_table: Path = typer.Option(None, help="A CSV of repairs of your own instead."),
    json: bool = typer.Option(False, "--json", help="Everything as JSON on stdout."),
) -> None:
    """Compare folder and sheet with what was published; exit code 3 if a clip cannot be used."""
    from ma2mi.datasets.check import check_corpus, side_by_side

    if json:
        findings = check_corpus(corpus, root, layout=layout, repairs=repair_table or repairs)
        print(findings.to_json())
    else:
        with console.progress(f"Checking {corpus}") as tick:
            findings = check_corpus(
                corpus, root, layout=layout, repairs=repair_table or repairs, on_progress=tick
            )
        for line in side_by_side(findings.expected, findings.found):
            console.out.print(line, markup=False)
        for severity, same in groupby(findings.items, key=lambda item: item.severity):
            some = list(same)
            console.out.print(f"\n{severity}s:")
            for item in some[:SHOWN]:
                console.out.print("  " + " ".join(str(item).splitlines()), markup=False)
            if len(some) > SHOWN:
                console.out.print(f"  ... {len(some) - SHOWN} more; --json lists all")
        console.out.print(f"\n{findings.verdict}", markup=False)
    if not findings.passed:
        raise typer.Exit(console.FAILED)


@data.command(epilog="Example: `ma2mi data fake casme2 --out fakes/casme2`")
def fake(
    corpus: str = typer.Argument(..., help="Name of a corpus."),
    out: Path = typer.Option(..., help="An empty or new folder."),
    full_size: bool = typer.Option(False, "--full-size", help="As many clips as published."),
    fault: str = typer.Option("", help="Add a fault, such as missing-sheet or apex-slash."),
    layout: str = typer.Option("", help="One of its layouts, such as cropped."),
    version: str = typer.Option("", help="One of its sheet's versions."),
) -> None:
    """Write a fake: its layout, sheet and quirks, with synthetic faces and invented rows."""
    from ma2mi.testing import write_fake

    with console.progress(f"Painting {corpus}") as tick:
        write_fake(
            corpus,
            out,
            full_size=full_size,
            fault=fault,
            layout=layout,
            version=version,
            on_progress=tick,
        )
    console.out.print(f"fake of {corpus}: {out}")


@data.command(epilog="Example: `ma2mi data convert casme2 --root DIR --out casme2.csv`")
def convert(
    corpus: str = typer.Argument(..., help="Name of a corpus."),
    root: Path = typer.Option(..., help="Where it lies."),
    out: Path = typer.Option(..., help="A manifest, .csv or .parquet."),
) -> None:
    """Write a corpus as a manifest that any table program reads, and ma2mi reads back.

    What cannot be read is listed and left out, with exit code 3.
    """
    import warnings

    from ma2mi.datasets import open_corpus
    from ma2mi.datasets.convert import write_manifest
    from ma2mi.formats.findings import LeftOut

    opened = open_corpus(corpus, root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOut)  # listed in full below
        rows = write_manifest(opened, out)
    console.out.print(f"{rows} rows in {out}")
    lost = [str(one) for one in opened.findings() if one.severity == "error"]
    console.list_failures(lost)
    console.finish(lost)
