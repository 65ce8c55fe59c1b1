"""A learning curve on disk: its sheet, and a run folder for each draw."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ma2mi.errors import EvaluationError, store_error
from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.run_folder import load_run
from ma2mi.files import replace_file

CURVE = "curve.json"


class CurveSheet(BaseModel):
    """What the folder of a curve holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    sizes: tuple[int, ...]
    draws: int


def draw_folder(size: int, draw: int) -> Path:
    return Path(f"subjects-{size:04d}") / f"draw-{draw}"


def start_curve(folder: Path, sheet: CurveSheet) -> None:
    """Make the folder, or find in it a curve of the same entry, which stays until this one ends."""
    path = folder / CURVE
    if path.exists():
        found = _read_sheet(path)
        if found.name != sheet.name:
            raise EvaluationError(
                f"holds the learning curve of {found.name}",
                where=folder,
                hint="Give another folder",
            )
        return
    # A process killed at its very start may leave the sheet's first half.
    if folder.is_dir() and any(not f.name.startswith(f".{CURVE}.") for f in folder.iterdir()):
        raise EvaluationError(
            "holds files, but no learning curve", where=folder, hint="Give a new folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, folder) from error
    write_sheet(folder, sheet)


def write_sheet(folder: Path, sheet: CurveSheet) -> None:
    text = json.dumps(sheet.model_dump(mode="json"), indent=2) + "\n"
    replace_file(folder / CURVE, text.encode())


def _read_sheet(path: Path) -> CurveSheet:
    try:
        return CurveSheet.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise EvaluationError(
            "no learning curve here", where=path.parent, hint="Give a folder of --learning-curve"
        ) from error


def load_curve(folder: Path | str) -> LearningCurve:
    """A curve from its folder; a folder of one run gives a level line.

    Raises:
        EvaluationError: neither is there, or it has not finished.
    """
    folder = Path(folder)
    if not (folder / CURVE).exists():
        run = load_run(folder)
        return LearningCurve(run.record.learner, {0: (run,)})
    sheet = _read_sheet(folder / CURVE)
    runs = iter(list(map(load_run, run_folders(folder))))
    return LearningCurve(
        sheet.name, {size: tuple(next(runs) for _ in range(sheet.draws)) for size in sheet.sizes}
    )


def run_folders(folder: Path | str) -> list[Path]:
    """The run folders of a learning curve, draw by draw; of a run, itself.

    Raises:
        EvaluationError: a draw has not begun.
    """
    folder = Path(folder)
    if not is_curve(folder):
        return [folder]
    sheet = _read_sheet(folder / CURVE)
    folders = [
        folder / draw_folder(size, draw) for size in sheet.sizes for draw in range(sheet.draws)
    ]
    for run_folder in folders:
        if not (run_folder / "run.json").exists():
            raise EvaluationError(
                "the learning curve has not finished",
                where=run_folder,
                hint="Run it again to go on",
            )
    return folders


def load_curves(folders: Sequence[Path | str]) -> list[LearningCurve]:
    """Curves and runs as :func:`load_curve` reads them; equal names get their folder's beside."""
    curves = [load_curve(folder) for folder in folders]
    often = Counter(curve.name for curve in curves)
    return [
        replace(curve, name=f"{curve.name} [{Path(folder).resolve().name}]")
        if often[curve.name] > 1
        else curve
        for curve, folder in zip(curves, folders, strict=True)
    ]


def is_curve(folder: Path | str) -> bool:
    """Whether the folder is one of a learning curve."""
    return (Path(folder) / CURVE).is_file()
