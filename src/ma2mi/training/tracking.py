"""Tracking: a run's settings, figures and scores in TensorBoard, MLflow and Weights & Biases."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from lightning.fabric.loggers.logger import Logger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger

from ma2mi.errors import SettingsError, optional_part
from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.provenance import flat, plain_values
from ma2mi.evaluation.results import RunResult
from ma2mi.files import replace_file

Service = Literal["mlflow", "wandb"]
"""Where a run is tracked beside its own folder."""
SERVICES: tuple[str, ...] = get_args(Service)
#: The name under which runs stand there.
PROJECT = "ma2mi"
#: Which runs of the services a folder's run is: one that goes on is one run there, too.
RUNS = "tracking.json"
#: Most figures that MLflow takes at once.
MOST_FIGURES = 500


class TrackingFailed(UserWarning):
    """A service took no more figures; the run goes on without it."""


class Tracker:
    """Figures of one run on their way to the loggers that are open.

    Args:
        loggers: name to Lightning's logger. One that fails is left out from then on, with a
            warning: no training ends because of it.
    """

    def __init__(self, loggers: dict[str, Logger]) -> None:
        self._loggers = loggers

    def log_settings(self, tree: Mapping[str, Any]) -> None:
        """Nested settings, as parameters of the run."""
        plain = flat(plain_values(tree))
        self._each(lambda logger: logger.log_hyperparams(plain))

    def log_figures(self, figures: Mapping[str, Any], step: int) -> None:
        """The figures that are finite numbers, under names that every service takes."""
        finite = {
            name_of(name): float(value)
            for name, value in figures.items()
            if isinstance(value, int | float | np.number) and math.isfinite(value)
        }
        names = list(finite)
        for start in range(0, len(names), MOST_FIGURES):
            part = {name: finite[name] for name in names[start : start + MOST_FIGURES]}
            self._each(lambda logger, part=part: logger.log_metrics(part, step))  # type: ignore[misc]

    def log_epoch(self, figures: Mapping[str, Any]) -> None:
        """The figures of an epoch, as ``loop.run_epochs`` has them."""
        rest = {name: value for name, value in figures.items() if name != "epoch"}
        self.log_figures(rest, int(figures["epoch"]))

    def close(self, status: str) -> None:
        """End the run there: "success" or "failed"."""
        self._each(lambda logger: logger.finalize(status))
        if "wandb" in self._loggers:  # else the next run of this process would be taken for it
            run: Any = self._loggers["wandb"]
            run.experiment.finish(exit_code=int(status != "success"))

    def _each(self, call: Callable[[Logger], None]) -> None:
        for name, logger in list(self._loggers.items()):
            try:
                call(logger)
            except Exception as error:  # whatever a service of someone else raises
                del self._loggers[name]
                what = " ".join(str(error).split())[:200]
                warnings.warn(
                    TrackingFailed(f"{name}: takes no more figures ({what}); the run goes on"),
                    stacklevel=3,
                )


@contextmanager
def track(
    folder: Path,
    services: Sequence[str],
    settings: Mapping[str, Any],
    *,
    board: bool = True,
    main: bool = True,
) -> Iterator[Tracker]:
    """Open a run's loggers, TensorBoard's among them, for as long as it lasts.

    Nothing leaves the machine unless the user's environment says so: MLflow writes to
    ``mlflow.db`` in the folder unless ``MLFLOW_TRACKING_URI`` names another place, and Weights &
    Biases to ``wandb/`` unless ``WANDB_MODE`` is "online".

    Args:
        folder: of the run; exists.
        services: see ``Service``; none opens TensorBoard alone.
        settings: of the run, as nested values.
        board: whether to write ``tensorboard/``.
        main: False in the other processes of a distributed run, which track nothing.

    Raises:
        SettingsError: an unknown service, or one that cannot be opened.
        MissingPart: a service that is not installed.
    """
    if not main:
        yield Tracker({})
        return
    loggers: dict[str, Logger] = {}
    if board:
        loggers["tensorboard"] = TensorBoardLogger(folder, name="tensorboard", version="")
    opened, known = _open(folder, services)
    # A run that goes on has its settings there.
    Tracker({name: one for name, one in opened.items() if name not in known}).log_settings(settings)
    tracker = Tracker(loggers | opened)
    try:
        yield tracker
    except BaseException:
        tracker.close("failed")
        raise
    tracker.close("success")


def check_services(services: Sequence[str]) -> None:
    """Refuse what cannot track a run, before any work.

    Raises:
        SettingsError: an unknown service.
        MissingPart: one that is not installed.
    """
    for name in services:
        if name not in SERVICES:
            hint = f"Known are: {', '.join(SERVICES)}"
            raise SettingsError("is no known tracker", where=f"--track {name}", hint=hint)
        _quiet()
        with optional_part(name, "track"):
            __import__(name)


def _quiet() -> None:
    """Before a service is imported: no reports to its makers, no lines on the terminal."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)


def _open(folder: Path, services: Sequence[str]) -> tuple[dict[str, Logger], set[str]]:
    """The services' loggers, and which of them go on with a run that was there before."""
    check_services(services)
    runs, known, loggers = _read_runs(folder), set(), {}
    for name in dict.fromkeys(services):
        place, open_logger = _PLACES[name](folder)
        before = runs.get(name, {})
        same = before.get("place") == place
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of their libraries about each other
                loggers[name], run = open_logger(before["run"] if same else None)
        except Exception as error:  # whatever a service of someone else raises
            what = " ".join(str(error).split())[:200]
            raise SettingsError(
                f"cannot be opened at {place} ({what})",
                where=f"--track {name}",
                hint="Leave it out, or change where it writes",
            ) from error
        known |= {name} if same else set()
        runs[name] = {"place": place, "run": run}
    if services:
        replace_file(folder / RUNS, (json.dumps(runs, indent=2) + "\n").encode())
    return loggers, known


def _read_runs(folder: Path) -> dict[str, dict[str, str]]:
    try:
        tree = json.loads((folder / RUNS).read_bytes())
        return {str(name): dict(run) for name, run in tree.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # a run that begins


Opener = Callable[[str | None], tuple[Logger, str]]
"""From the run to go on with, or None, to a logger and its run."""


def _mlflow(folder: Path) -> tuple[str, Opener]:
    from lightning.pytorch.loggers import MLFlowLogger

    ours = f"sqlite:///{folder.resolve()}/mlflow.db"
    place = os.environ.get("MLFLOW_TRACKING_URI") or ours

    def open_logger(run: str | None) -> tuple[Logger, str]:
        given = os.environ.get("MLFLOW_TRACKING_URI")
        artifacts = (folder.resolve() / "mlartifacts").as_uri() if place == ours else None
        logger = MLFlowLogger(
            PROJECT, folder.resolve().name, place, run_id=run, artifact_location=artifacts
        )
        found = str(logger.run_id)
        if given is None:  # MLflow sets it, and the next run would go to this one's place
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        return logger, found

    return place, open_logger


def _wandb(folder: Path) -> tuple[str, Opener]:
    from lightning.pytorch.loggers import WandbLogger

    online = os.environ.get("WANDB_MODE", "offline") == "online"
    place = "online" if online else "offline"

    def open_logger(run: str | None) -> tuple[Logger, str]:
        run = run or secrets.token_hex(4)
        name = folder.resolve().name
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        logger = WandbLogger(name, folder, offline=not online, project=project, id=run)
        logger.experiment  # noqa: B018  # opened here, where a failure is one line
        return logger, run

    return place, open_logger


_PLACES: dict[str, Callable[[Path], tuple[str, Opener]]] = {"mlflow": _mlflow, "wandb": _wandb}


def name_of(name: str) -> str:
    """The name of a figure as every service takes it: ASCII, parts between single strokes.

    Example:
        >>> name_of("folds/0-0001-Müller/train_loss")
        'folds/0-0001-M-ller/train_loss'
    """
    parts = (re.sub(r"[^A-Za-z0-9_. -]+", "-", part).strip(". ") for part in name.split("/"))
    return "/".join(part or "-" for part in parts)


# Finished runs


def track_run(folder: Path, result: RunResult, services: Sequence[str]) -> None:
    """Log a finished run of ``ma2mi benchmark``: what it is, its scores, and its folds' curves.

    TensorBoard's files of the folds are the run folder's own.

    Args:
        folder: of the run.
        services: see ``Service``; nothing happens without any.

    Raises:
        SettingsError, MissingPart: see :func:`track`.
    """
    if not services:
        return
    record = result.record.model_dump(mode="json", by_alias=True)
    about = {name: value for name, value in record.items() if name not in _LONG}
    with track(folder, services, about, board=False) as tracker:
        for step, figures in fold_figures(result).items():
            tracker.log_figures(figures, step)
        tracker.log_figures(score_figures(result), len(result.folds))


#: Of a record: lists of subjects and clips, which are no parameters.
_LONG = ("pretraining_people", "aliases", "trained_subjects", "train_also")


def score_figures(result: RunResult) -> dict[str, float]:
    """Scores with their 95 % intervals and sd, overall, by database, class and seed."""
    level = LearningCurve(result.record.learner, {0: (result,)})
    scores = result.scores()
    figures: dict[str, float] = dict(scores["mean"])
    for name in result.record.metrics:
        if name != "fold_mean_f1":  # the one that is no function of pooled counts
            interval = level.estimate(0, name)
            figures |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    figures |= {f"{name}_sd": sd for name, sd in scores["sd"].items() if sd is not None}
    for seed, tree in scores["seeds"].items():
        parts = {part: tree.get(part, {}) for part in ("overall", "databases", "classes")}
        figures |= flat({"seeds": {seed: parts}}, joint="/")
    return figures


def fold_figures(result: RunResult) -> dict[int, dict[str, float]]:
    """Epoch to the figures of all folds, each under its name, and their means."""
    epochs: dict[int, dict[str, float]] = {}
    for fold in result.folds:
        for row in fold.curve:
            at = epochs.setdefault(int(row["epoch"]), {})
            for name, value in row.items():
                if name != "epoch":
                    at[f"folds/{fold.seed}-{fold.fold.replace('/', '-')}/{name}"] = value
    for at in epochs.values():
        names = dict.fromkeys(name.rpartition("/")[2] for name in at)
        means = {
            name: float(np.mean([v for key, v in at.items() if key.endswith(f"/{name}")]))
            for name in names
        }
        at |= {f"mean/{name}": value for name, value in means.items()}
    return epochs


def track_curve(folder: Path, curve: LearningCurve, services: Sequence[str]) -> None:
    """Log a finished learning curve: the step is the number of training subjects.

    Args:
        folder, services: as for :func:`track_run`.

    Raises:
        SettingsError, MissingPart: see :func:`track`.
    """
    if not services:
        return
    record = curve.record.model_dump(mode="json", by_alias=True)
    about = {name: value for name, value in record.items() if name not in (*_LONG, "training")}
    metric = curve.record.metrics[0]
    with track(folder, services, about, board=False) as tracker:
        for size in curve.runs:
            score = curve.estimate(size, metric)
            ends = {f"{metric}_low": score.low, f"{metric}_high": score.high}
            tracker.log_figures({metric: score.value, **ends}, size)
