"""Learning curves: a protocol repeated with few training subjects, alike for every entry."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_record import RunRecord
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
                hint=f"It has {', '.join(map(str, self.sizes))}",
            )
        return self.runs[key]

    def counts(self, size: int) -> Counts:
        """Confusion matrices of each left-out subject: [subjects, draws, seeds, C, C].

        Action units: (tp, fp, fn), [subjects, draws, seeds, units, 3]. Where folds are directions
        from one database to another, a draw has as many entries as directions.
        """
        return np.concatenate(
            [
                np.stack([_subject_counts(run, seed) for seed in run.record.seeds], axis=2)
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
        each = np.asarray(_score(metric)(self.counts(size).sum(axis=0)).mean(axis=1))
        return np.asarray(each.reshape(len(self.at(size)), -1).mean(axis=1))

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
            f"{names} were evaluated on other clips", hint="Compare runs over the same clips"
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
            hint="Run both with the same --draws; what is finished is kept",
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
    """[subjects, parts, ...]: one part, or one a direction; subjects without clips there are 0."""
    pool = run.pool(seed)
    names = np.unique(pool.subjects)
    folds = dict.fromkeys(pool.folds.tolist()) if run.of_directions else {"": None}
    parts = []
    for fold in folds:
        rows = pool.folds == fold if run.of_directions else np.full(len(pool.keys), True)
        truth, predicted, subjects = (a[rows] for a in (pool.truth, pool.predicted, pool.subjects))
        there = (
            subject_unit_counts(truth, predicted, subjects)
            if run.record.multi_label
            else subject_confusions(truth, predicted, subjects, len(run.record.classes))
        )
        part = np.zeros((len(names), *there.shape[1:]), dtype=np.int64)
        part[np.isin(names, subjects)] = there
        parts.append(part)
    return np.stack(parts, axis=1)


def _score(metric: str) -> Score:
    return mean_unit_f1_of if metric == "mean_unit_f1" else score_named(metric)


def _mean_score(metric: str) -> Score:
    """The metric of counts [..., runs, counts' shape] as the mean over runs [...]."""
    score = _score(metric)

    def mean(counts: NDArray[np.int64]) -> Floats:
        return np.asarray(score(counts).mean(axis=-1))

    return mean
