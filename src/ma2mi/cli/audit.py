"""``ma2mi audit``: who was in which fold of a run, and whether anything leaked."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi audit runs/mine`")(audit)


def audit(
    run: Path = typer.Argument(
        ..., help="Run folder of `ma2mi benchmark`; of a learning curve, every draw is audited."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Check a run for leaks: subjects of each fold, what was chosen on what, duplicates; a verdict.

    Exit code 3 if it fails.
    """
    from ma2mi.evaluation.audit import FINGERPRINTS, audit_run, audit_text, read_fingerprints
    from ma2mi.evaluation.curve_folder import is_curve, run_folders
    from ma2mi.evaluation.run_folder import load_run

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
