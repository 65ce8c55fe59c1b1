"""The runs of a learning curve: a protocol repeated with few training subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.benchmark import run_benchmark
from ma2mi.evaluation.curve_folder import CurveSheet, draw_folder, start_curve, write_sheet
from ma2mi.evaluation.exposure import split_tested, training_only_rows
from ma2mi.evaluation.learner import Clips, Learner, Predictor
from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.protocols import protocol as protocol_named
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.splits import Split
from ma2mi.evaluation.subjects import SubjectIds
from ma2mi.evaluation.training_draws import TrainingDraw
from ma2mi.files import hold
from ma2mi.progress import OnProgress, Progress

DRAWS = 5


def run_learning_curve(
    learner: Learner | Predictor,
    clips: Clips,
    labels: ArrayLike,
    subjects: Sequence[str] | SubjectIds,
    *,
    protocol: Protocol | str,
    sizes: Sequence[int],
    draws: int = DRAWS,
    databases: Sequence[str] | SubjectIds | None = None,
    aliases: Mapping[str, str] | None = None,
    out: Path | str | None = None,
    on_progress: OnProgress | None = None,
    on_run: Callable[[Path], None] | None = None,
    training_only: ArrayLike | None = None,
    **options: Any,
) -> LearningCurve:
    """Repeat a protocol with few training subjects a fold, several draws of them for each number.

    Which subjects are drawn depends on the fold, the draw's number and the training labels alone:
    every entry and every run is given the same ones. Each draw is a run of its own, in a folder
    of its own, and finished folds are kept::

        curve.json
        subjects-0002/draw-0/   a run folder, see ``run_folder.RunFolder``
        subjects-0002/draw-1/

    A protocol that trains nothing is run once, as a level line.

    Args:
        sizes: numbers of training subjects.
        draws: for each number.
        out: folder of the curve; a later call there may have other ``sizes`` and ``draws``.
        on_run: called with the folder of each run that is finished.
        training_only: clips that join the training at every size, see ``run_benchmark``.
        options: further arguments of ``run_benchmark``, and those not named here.

    Raises:
        EvaluationError: impossible sizes or draws, more subjects than a fold has, a folder that
            holds something else, or what ``run_benchmark`` raises.
        Busy: another process works in ``out``.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    sizes = sorted(sizes)
    _check_sizes(sizes, draws)
    plan: list[TrainingDraw | None] = [None]
    if protocol.trains:
        only = training_only_rows(training_only, len(subjects), protocol)
        _check_enough(split_tested(protocol, subjects, databases, aliases, only), sizes[-1])
        plan = [TrainingDraw(size, draw) for size in sizes for draw in range(draws)]
    sheet = CurveSheet(
        name=str(getattr(learner, "name", type(learner).__name__)),
        sizes=tuple(sizes) if protocol.trains else (0,),
        draws=draws if protocol.trains else 1,
    )
    known: Any = {"databases": databases, "aliases": aliases, "training_only": training_only}
    run = partial(run_benchmark, learner, clips, labels, subjects, **known)
    runs: dict[int, list[RunResult]] = {size: [] for size in sheet.sizes}

    def report(done: Progress) -> None:
        if on_progress:
            total = done.total or 0
            before = sum(map(len, runs.values())) * total
            on_progress(replace(done, done=before + done.done, total=len(plan) * total))

    with _held_curve(out, sheet) as folder:
        for drawn in plan:
            size, draw = (drawn.subjects, drawn.draw) if drawn else (0, 0)
            at = folder / draw_folder(size, draw) if folder else None
            result = run(protocol=protocol, out=at, on_progress=report, training=drawn, **options)
            runs[size].append(result)
            if at and on_run:
                on_run(at)
    return LearningCurve(sheet.name, {size: tuple(each) for size, each in runs.items()})


def _check_sizes(sizes: Sequence[int], draws: int) -> None:
    if not sizes or sizes[0] < 1 or len(set(sizes)) != len(sizes) or draws < 1:
        raise EvaluationError(
            f"sizes {', '.join(map(str, sizes)) or 'none'}, {draws} draws",
            where="learning curve",
            hint="Give each number of training subjects once, from 1 on, and 1 draw or more",
        )


def _check_enough(splits: Sequence[Split], most: int) -> None:
    """Refuse more training subjects than the smallest fold has."""
    least = min(splits, key=lambda split: len(split.train_subjects))
    if most > len(least.train_subjects):
        raise EvaluationError(
            f"{most} training subjects are requested, but the fold that leaves out "
            f"{least.name} has {len(least.train_subjects)}",
            where="learning curve",
            hint=f"Take up to {len(least.train_subjects)}",
        )


@contextmanager
def _held_curve(out: Path | str | None, sheet: CurveSheet) -> Iterator[Path | None]:
    """The folder of the curve, held while its runs are done; None without ``out``."""
    if out is None:
        yield None
        return
    folder = Path(out)
    with hold(folder, claim="benchmark"):
        start_curve(folder, sheet)
        yield folder
        write_sheet(folder, sheet)
