"""Learning curves: a protocol repeated with few training subjects, alike for every entry."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ma2mi.errors import EvaluationError, store_error
from ma2mi.evaluation.benchmark import run_benchmark
from ma2mi.evaluation.learner import Clips, Learner, Predictor
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.protocols import protocol as protocol_named
from ma2mi.evaluation.results import RunRecord, RunResult, load_run
from ma2mi.evaluation.splits import SubjectIds, TrainingDraw
from ma2mi.evaluation.statistics import (
    Counts,
    Estimate,
    Floats,
    PairedTest,
    Score,
    bootstrap,
    mean_unit_f1_of,
    permutation_test,
    score_named,
    subject_confusions,
    subject_unit_counts,
)
from ma2mi.files import hold, replace_file
from ma2mi.progress import OnProgress, Progress

CURVE = "curve.json"
DRAWS = 5


@dataclass(frozen=True)
class LearningCurve:
    """One entry, run several times with each number of training subjects.

    Args:
        name: the entry's.
        runs: number of training subjects to one run a draw, ascending. 0 stands for a run that
            is not part of a curve; such a curve is a level line, the same at every number.
    """

    name: str
    runs: Mapping[int, tuple[RunResult, ...]]

    @property
    def record(self) -> RunRecord:
        """Of the first run; all have the same protocol, classes, data and seeds."""
        return next(iter(self.runs.values()))[0].record

    @property
    def is_level(self) -> bool:
        return tuple(self.runs) == (0,)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of training subjects; of a level line none."""
        return () if self.is_level else tuple(self.runs)

    def at(self, size: int) -> tuple[RunResult, ...]:
        """The runs with so many training subjects, one a draw.

        Raises:
            EvaluationError: there are none.
        """
        key = 0 if self.is_level else size
        if key not in self.runs:
            raise EvaluationError(
                f"was not run with {size} training subjects",
                where=self.name,
                cure=f"It has {', '.join(map(str, self.sizes))}",
            )
        return self.runs[key]

    def counts(self, size: int) -> Counts:
        """Confusion matrices of each left-out subject: [subjects, draws, seeds, C, C].

        Action units: (tp, fp, fn), [subjects, draws, seeds, units, 3].
        """
        return np.stack(
            [
                np.stack([_subject_counts(run, seed) for seed in run.record.seeds], axis=1)
                for run in self.at(size)
            ],
            axis=1,
        )

    def estimate(self, size: int, metric: str = "uf1") -> Estimate:
        """The mean score over draws and seeds, its interval by bootstrap over left-out subjects.

        Each left-out subject has training subjects drawn for itself, so that the interval holds
        the chance of that draw, too.

        Args:
            size: number of training subjects.
            metric: see ``statistics.score_named``, or "mean_unit_f1" for action units.
        """
        return bootstrap(_merged(self.counts(size)), _mean_score(metric))

    def draw_scores(self, size: int, metric: str = "uf1") -> Floats:
        """The score of each draw, mean over seeds: [draws]."""
        return np.asarray(_score(metric)(self.counts(size).sum(axis=0)).mean(axis=1))

    def seed_scores(self, size: int, metric: str = "uf1") -> Floats:
        """The score of each seed, mean over draws: [seeds]."""
        return np.asarray(_score(metric)(self.counts(size).sum(axis=0)).mean(axis=0))

    def notes(self) -> list[str]:
        """What a reader should know of each number of training subjects: classes that lack."""
        lines = []
        for size, runs in self.runs.items():
            folds = [fold for run in runs for fold in run.folds]
            for note, count in sorted(Counter(n for fold in folds for n in fold.notes).items()):
                lines.append(
                    f"{size} training subjects: in {count} of {len(folds)} folds {note}"
                    if size
                    else f"in {count} of {len(folds)} folds {note}"
                )
        return [*dict.fromkeys(self.record.notes), *lines]


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
    **options: Any,
) -> LearningCurve:
    """Repeat a protocol with few training subjects a fold, several draws of them for each number.

    Which subjects are drawn depends on the fold, the draw's number and the training labels alone:
    every entry and every run is given the same ones. Each draw is a run of its own, in a folder
    of its own, and finished folds are kept::

        curve.json
        subjects-0002/draw-0/   a run folder, see ``results.RunFolder``
        subjects-0002/draw-1/

    A protocol that trains nothing is run once, as a level line.

    Args:
        sizes: numbers of training subjects.
        draws: for each number.
        out: folder of the curve; a later call there may have other ``sizes`` and ``draws``.
        on_run: called with the folder of each run that is finished.
        options: further arguments of ``run_benchmark``, and those not named here.

    Raises:
        EvaluationError: impossible sizes or draws, more subjects than a fold has, a folder that
            holds something else, or what ``run_benchmark`` raises.
        Busy: another process works in ``out``.
    """
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    sizes = sorted(sizes)
    if not sizes or sizes[0] < 1 or len(set(sizes)) != len(sizes) or draws < 1:
        raise EvaluationError(
            f"sizes {', '.join(map(str, sizes)) or 'none'}, {draws} draws",
            where="learning curve",
            cure="Give each number of training subjects once, from 1 on, and 1 draw or more",
        )
    plan: list[TrainingDraw | None] = [None]
    if protocol.trains:
        splits = protocol.splitter(subjects, databases, aliases)
        least = min(splits, key=lambda split: len(split.train_subjects))
        if sizes[-1] > len(least.train_subjects):
            raise EvaluationError(
                f"{sizes[-1]} training subjects are requested, but the fold that leaves out "
                f"{least.name} has {len(least.train_subjects)}",
                where="learning curve",
                cure=f"Take up to {len(least.train_subjects)}",
            )
        plan = [TrainingDraw(size, draw) for size in sizes for draw in range(draws)]
    sheet = _Sheet(
        name=str(getattr(learner, "name", type(learner).__name__)),
        sizes=tuple(sizes) if protocol.trains else (0,),
        draws=draws if protocol.trains else 1,
    )
    folder = Path(out) if out is not None else None
    with ExitStack() as stack:
        if folder:
            stack.enter_context(hold(folder, claim="benchmark"))
            _start(folder, sheet)
        runs: dict[int, list[RunResult]] = {size: [] for size in sheet.sizes}

        def report(done: Progress) -> None:
            if on_progress:
                total = done.total or 0
                before = sum(map(len, runs.values())) * total
                on_progress(replace(done, done=before + done.done, total=len(plan) * total))

        for drawn in plan:
            size, draw = (drawn.subjects, drawn.draw) if drawn else (0, 0)
            run_folder = folder / _draw_folder(size, draw) if folder else None
            result = run_benchmark(
                learner,
                clips,
                labels,
                subjects,
                protocol=protocol,
                databases=databases,
                aliases=aliases,
                out=run_folder,
                on_progress=report,
                training=drawn,
                **options,
            )
            runs[size].append(result)
            if run_folder and on_run:
                on_run(run_folder)
        if folder:
            _write_sheet(folder, sheet)
        return LearningCurve(sheet.name, {size: tuple(each) for size, each in runs.items()})


class _Sheet(BaseModel):
    """What the folder of a curve holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    sizes: tuple[int, ...]
    draws: int


def _draw_folder(size: int, draw: int) -> Path:
    return Path(f"subjects-{size:04d}") / f"draw-{draw}"


def _start(folder: Path, sheet: _Sheet) -> None:
    """Make the folder, or find in it a curve of the same entry, which stays until this one ends."""
    path = folder / CURVE
    if path.exists():
        found = _read_sheet(path)
        if found.name != sheet.name:
            raise EvaluationError(
                f"holds the learning curve of {found.name}",
                where=folder,
                cure="Give another folder",
            )
        return
    # A process killed at its very start may leave the sheet's first half.
    if folder.is_dir() and any(not f.name.startswith(f".{CURVE}.") for f in folder.iterdir()):
        raise EvaluationError(
            "holds files, but no learning curve", where=folder, cure="Give a new folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, folder) from error
    _write_sheet(folder, sheet)


def _write_sheet(folder: Path, sheet: _Sheet) -> None:
    text = json.dumps(sheet.model_dump(mode="json"), indent=2) + "\n"
    replace_file(folder / CURVE, text.encode())


def _read_sheet(path: Path) -> _Sheet:
    try:
        return _Sheet.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise EvaluationError(
            "no learning curve here", where=path.parent, cure="Give a folder of --learning-curve"
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
        folder / _draw_folder(size, draw) for size in sheet.sizes for draw in range(sheet.draws)
    ]
    for run_folder in folders:
        if not (run_folder / "run.json").exists():
            raise EvaluationError(
                "the learning curve has not finished",
                where=run_folder,
                cure="Run it again to go on",
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


def compare_curves(
    first: LearningCurve,
    second: LearningCurve,
    metric: str = "uf1",
    *,
    swaps: int = 9999,
    seed: int = 0,
) -> dict[int, PairedTest]:
    """Test two learning curves against each other, at each number of training subjects both have.

    The statistic is the difference of the mean scores over draws and seeds. Under the null
    hypothesis a left-out subject's results of all draws and seeds may as well be the other
    entry's: they are swapped together, subject by subject (``statistics.permutation_test``).
    So draws and seeds are pooled, and do not count as further subjects.

    Args:
        first, second: curves over the same clips, from the same draws. Where they have other
            numbers of seeds, the seeds of a draw are repeated to a common multiple, which leaves
            their mean as it is. One may be a level line.
        metric: see :meth:`LearningCurve.estimate`.
        swaps, seed: see ``permutation_test``.

    Returns:
        number of training subjects to the test of first minus second; {0: ...} for two levels.

    Raises:
        EvaluationError: other clips, other training subjects or draws, or no common number.
    """
    if second.is_level:
        sizes = first.sizes or (0,)
    else:
        sizes = tuple(n for n in second.sizes if first.is_level or n in first.sizes)
    if not sizes:
        raise EvaluationError(
            f"{first.name} and {second.name} have no number of training subjects in common",
            where="learning curve",
        )
    tests = {}
    for size in sizes:
        _check_paired(first, second, size)
        one, other = _alike(first.counts(size), second.counts(size))
        tests[size] = permutation_test(one, other, _mean_score(metric), swaps=swaps, seed=seed)
    return tests


def _check_paired(first: LearningCurve, second: LearningCurve, size: int) -> None:
    """Refuse curves over other clips, or from other training subjects."""
    names = f"{first.name} and {second.name}"
    one, other = (curve.at(size)[0].pool() for curve in (first, second))
    labels = [dict(zip(p.keys.tolist(), p.truth.tolist(), strict=True)) for p in (one, other)]
    if labels[0] != labels[1]:
        raise EvaluationError(
            f"{names} were evaluated on other clips", cure="Compare runs over the same clips"
        )
    if first.is_level or second.is_level:
        return
    trained = [
        [{fold.fold: fold.train_subjects for fold in run.folds} for run in curve.at(size)]
        for curve in (first, second)
    ]
    if len(trained[0]) != len(trained[1]):
        raise EvaluationError(
            f"{names} have {len(trained[0])} and {len(trained[1])} draws",
            where=f"{size} training subjects",
            cure="Run both with the same --draws; what is finished is kept",
        )
    if trained[0] != trained[1]:
        raise EvaluationError(
            f"{names} were trained on other subjects", where=f"{size} training subjects"
        )


def _alike(one: Counts, other: Counts) -> tuple[Counts, Counts]:
    """Counts of both [subjects, draws * seeds, ...], of the same shape, their means unchanged."""
    draws = max(one.shape[1], other.shape[1])
    seeds = math.lcm(one.shape[2], other.shape[2])
    pair = [
        _merged(np.repeat(np.repeat(c, draws // c.shape[1], 1), seeds // c.shape[2], 2))
        for c in (one, other)
    ]
    return pair[0], pair[1]


def _merged(counts: Counts) -> Counts:
    """[subjects, draws, seeds, ...] -> [subjects, draws * seeds, ...]."""
    return counts.reshape(len(counts), -1, *counts.shape[3:])


def _subject_counts(run: RunResult, seed: int) -> Counts:
    pool = run.pool(seed)
    if run.record.multi_label:
        return subject_unit_counts(pool.truth, pool.predicted, pool.subjects)
    return subject_confusions(pool.truth, pool.predicted, pool.subjects, len(run.record.classes))


def _score(metric: str) -> Score:
    return mean_unit_f1_of if metric == "mean_unit_f1" else score_named(metric)


def _mean_score(metric: str) -> Score:
    """The metric of counts [..., runs, counts' shape] as the mean over runs [...]."""
    score = _score(metric)

    def mean(counts: NDArray[np.int64]) -> Floats:
        return np.asarray(score(counts).mean(axis=-1))

    return mean
