"""``ma2mi audit``, ``compare``, ``score``: judge finished runs, and anybody's predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.evaluation.spotting import Mark


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi audit runs/mine`")(audit)
    app.command(epilog="Example: `ma2mi compare runs/a runs/b --style latex`")(compare)
    app.command(
        epilog="Examples: `ma2mi score mine.csv truth.csv --classes negative,positive,surprise`, "
        "`ma2mi score mine.csv truth.csv --task strs --mode megc`"
    )(score)


def audit(
    run: Path = typer.Argument(
        ..., help="Run folder of `ma2mi benchmark`; of a learning curve, every draw is audited."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Who was in which fold, what was chosen on what, who and what is on both sides; a verdict.

    Exit code 3 if it fails.
    """
    from ma2mi.evaluation.audit import FINGERPRINTS, audit_run, audit_text, read_fingerprints
    from ma2mi.evaluation.learning_curve import is_curve, run_folders
    from ma2mi.evaluation.results import load_run

    trees, faults = {}, 0
    for folder in run_folders(run):
        result = load_run(folder)
        path = folder / FINGERPRINTS
        sheet = audit_run(result, read_fingerprints(path) if path.exists() else ())
        faults += len(sheet.faults)
        trees[folder.relative_to(run).as_posix()] = {
            "verdict": sheet.verdict,
            "faults": sheet.faults,
            "remarks": sheet.remarks,
            "folds": sheet.folds,
        }
        if not as_json:
            if folder != run:
                console.out.print(f"\n{folder}")
            console.out.print(audit_text(result, sheet))
    if as_json:
        print(json.dumps(trees if is_curve(run) else trees["."], indent=2))
    if faults:
        raise typer.Exit(console.FAILED)


def compare(
    runs: list[Path] = typer.Argument(..., help="Run folders over the same clips."),
    style: Literal["text", "markdown", "latex", "csv"] = typer.Option("text"),
    out: Path = typer.Option(None, help="Write the table there instead of printing it."),
    picture: Path = typer.Option(None, help="Also draw the scores as PNG."),
) -> None:
    """Scores beside each other, with intervals and paired tests against the first run.

    Folders of learning curves are compared at each number of training subjects; runs among them
    are level lines.
    """
    from ma2mi.evaluation.learning_curve import is_curve, load_curves
    from ma2mi.evaluation.results import load_run
    from ma2mi.files import replace_file
    from ma2mi.report.tables import compare_table, curve_table, make_rows

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
        from ma2mi.report.figures import draw_learning_curves, draw_scores

        png = draw_learning_curves(curves) if curves else draw_scores(make_rows(results))
        replace_file(picture, png)
        console.out.print(f"picture: {picture}")


def score(
    predictions: Path = typer.Argument(..., help="Table of predictions (csv)."),
    truth: Path = typer.Argument(..., help="Table of the truth (csv)."),
    task: Literal["recognition", "spotting", "strs"] = typer.Option("recognition"),
    classes: str = typer.Option("", help="Class names, separated by commas."),
    mode: Literal["strict", "megc"] = typer.Option("strict", help="STRS: right, or as the script."),
    rule: Literal["one-to-one", "megc2020"] = typer.Option(
        "one-to-one", help="Spotting: matching."
    ),
    iou: float = typer.Option(0.5, help="Least overlap of a hit."),
) -> None:
    """Score anybody's csv: recognition, spotting (MEGC 2022 files) or STRS (MEGC 2024 files).

    Recognition tables have the columns `key,label`. Exit code 3 if predictions name a video that
    the truth spells otherwise.
    """
    from dataclasses import asdict

    from ma2mi.errors import SettingsError
    from ma2mi.evaluation import files, metrics, spotting

    names = [name.strip() for name in classes.split(",") if name.strip()]
    labels: list[Mark] = []
    found: list[Mark] = []
    if task == "recognition":
        if not names:
            raise SettingsError("recognition needs --classes", cure="Name them, with commas")
        pair = files.paired(files.read_labels(truth, names), files.read_labels(predictions, names))
        figures: dict[str, object] = {
            "clips": len(pair.keys),
            "UF1": metrics.uf1(pair.truth, pair.predicted, len(names)),
            "UAR": metrics.uar(pair.truth, pair.predicted, len(names)),
            "accuracy": metrics.accuracy(pair.truth, pair.predicted, len(names)),
        }
    elif task == "spotting":
        labels, found = files.read_megc2022(truth), files.read_megc2022(predictions)
        scores = spotting.spotting_scores(labels, found, iou, rule)
        figures = {
            f"{kind} {name}": getattr(counts, name)
            for kind in ("micro", "macro", "overall")
            for counts in [getattr(scores, kind)]
            for name in ("tp", "fp", "fn", "precision", "recall", "f1")
        }
    else:
        labels = files.read_megc2024(truth, names)
        found = files.read_megc2024(predictions, names)
        figures = asdict(spotting.strs(labels, found, classes=names, mode=mode, iou=iou))
    for name, value in figures.items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        console.out.print(f"{name:<20} {shown}")
    _name_unplaced(labels, found)


def _name_unplaced(labels: list[Mark], found: list[Mark]) -> None:
    """Say which predictions can hit nothing; exit code 3 if a name seems spelled otherwise."""
    from ma2mi.evaluation.spotting import other_words, unplaced

    outside = unplaced(labels, found)
    if outside:
        console.out.print("\npredictions outside every video of the truth, all false alarms:")
        for one in outside:
            console.out.print(f"  {console.visible(str(one))}")
    words = other_words(labels, found)
    if words:
        names = console.visible(", ".join(words))
        console.out.print(f"\nemotions that no label of the truth has: {names}")
    if any(one.near for one in outside):
        console.out.print("\nname the videos as the truth does, and score again")
        raise typer.Exit(console.FAILED)
