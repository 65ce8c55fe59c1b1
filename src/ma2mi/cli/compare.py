"""``ma2mi compare``: one table of several runs, with paired tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi compare runs/a runs/b --style latex`")(compare)


def compare(
    runs: list[Path] = typer.Argument(..., help="Run folders over the same clips."),
    style: Literal["text", "markdown", "latex", "csv"] = typer.Option("text"),
    out: Path = typer.Option(None, help="Write the table there instead of printing it."),
    picture: Path = typer.Option(None, help="Also draw the scores as PNG."),
) -> None:
    """Compare scores of runs, with intervals and paired tests against the first.

    Scores, each class and each seed below each other, what is best marked; CSV holds the scores
    alone. LaTeX has a table for each, with a caption, and needs booktabs and graphicx.

    Folders of learning curves are compared at each number of training subjects; runs among them
    are horizontal lines.
    """
    from ma2mi.evaluation.curve_folder import is_curve, load_curves
    from ma2mi.evaluation.run_folder import load_run
    from ma2mi.files import replace_file
    from ma2mi.report.rows import make_rows
    from ma2mi.report.tables import compare_table, curve_table

    for file in (out, picture):
        if file:
            console.new_file(file).parent.mkdir(parents=True, exist_ok=True)
    curves = load_curves(runs) if any(map(is_curve, runs)) else []
    results = [] if curves else [load_run(run) for run in runs]
    text = curve_table(curves, style) if curves else compare_table(results, style)
    if out:
        replace_file(out, f"{text}\n".encode(errors="backslashreplace"))
        console.out.print(f"table: {out}")
    else:
        console.out.print(text)
    if picture:
        from ma2mi.report.run_figures import draw_learning_curves, draw_scores

        png = draw_learning_curves(curves) if curves else draw_scores(make_rows(results))
        replace_file(picture, png)
        console.out.print(f"picture: {picture}")
