"""``ma2mi audit``: who was in which fold of a run, or in a model, and whether anything leaked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Example: `ma2mi audit runs/mine`, a run of `ma2mi benchmark` or a model of "
        "`ma2mi train`"
    )(audit)


def audit(
    run: Path = typer.Argument(
        ...,
        help="Run folder of `ma2mi benchmark`; of a learning curve, every draw is audited. Or a "
        "folder of weights: who is in it, and the cross-validation beside it.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Check a run for leaks: subjects of each fold, what was chosen on what, duplicates; a verdict.

    Of a model, list who is in it. Exit code 3 if the check fails.
    """
    from ma2mi.evaluation.audit import FINGERPRINTS, audit_run, audit_text, read_fingerprints
    from ma2mi.evaluation.curve_folder import run_folders
    from ma2mi.evaluation.run_folder import load_run

    trees: dict[str, Any] = {}
    faults = 0
    runs = [] if _is_model(run) else run_folders(run)
    if _is_model(run):
        from ma2mi.evaluation.model_audit import model_subjects, model_text
        from ma2mi.training.checkpoint import read_config

        config = read_config(run)
        trees["model"] = model_subjects(config)
        if not as_json:
            console.out.print(model_text(str(run), config), markup=False)
        # Of a model by `ma2mi train`; others were not cross-validated here.
        runs = [path for path in [run / "cross-validation"] if (path / "run.json").is_file()]
    for folder in runs:
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
        print(json.dumps(trees.get(".", trees), indent=2))
    if faults:
        raise typer.Exit(console.FAILED)


def _is_model(folder: Path) -> bool:
    """Whether it is a folder of weights, and none of a run."""
    return (folder / "config.json").is_file() and not (folder / "run.json").exists()
