"""``ma2mi score``: metrics of anybody's predictions against a truth file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.records import Event


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi score mine.csv truth.csv --classes negative,positive,surprise`, "
        "`ma2mi score mine.csv truth.csv --task strs --mode megc`"
    )(score)


def score(
    predictions: Path = typer.Argument(..., help="Table of predictions (csv)."),
    truth: Path = typer.Argument(..., help="Table of the ground truth (csv)."),
    task: Literal["recognition", "spotting", "strs"] = typer.Option("recognition"),
    classes: str = typer.Option("", help="Class names, separated by commas."),
    mode: Literal["strict", "megc"] = typer.Option(
        "strict",
        help="STRS: strict as the definition, or megc as the public script, faults included.",
    ),
    rule: Literal["one-to-one", "megc2020"] = typer.Option(
        "one-to-one",
        help="Spotting: one-to-one, or megc2020: a label is found if any prediction hits it.",
    ),
    iou: float = typer.Option(
        0.5, help="Least intersection over union of a hit; higher finds fewer."
    ),
) -> None:
    """Score predictions of any program: recognition, spotting (MEGC 2022) or STRS (MEGC 2024).

    Recognition tables have the columns `key,label`. Exit code 3 if predictions name a video that
    the truth spells otherwise.
    """
    from dataclasses import asdict

    from ma2mi.errors import SettingsError
    from ma2mi.evaluation import files, metrics, spotting

    names = [name.strip() for name in classes.split(",") if name.strip()]
    labels: list[Event] = []
    found: list[Event] = []
    if task == "recognition":
        if not names:
            raise SettingsError("recognition needs --classes", hint="Name them, with commas")
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


def _name_unplaced(labels: list[Event], found: list[Event]) -> None:
    """Say which predictions can hit nothing; exit code 3 if a name seems spelled otherwise."""
    from ma2mi.evaluation.unplaced import other_words, unplaced

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
