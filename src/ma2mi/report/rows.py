"""Rows of tables: runs and learning curves scored, with intervals and paired tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.learning_curve import LearningCurve, compare_curves
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.statistics import Estimate, PairedTest, holm, mean_and_sd

METRIC_NAMES = {"uf1": "UF1", "uar": "UAR", "mean_unit_f1": "mean unit F1"}
#: Metrics that are shown without an interval.
PLAIN = ("accuracy", "micro_f1", "fold_mean_f1")


@dataclass(frozen=True)
class TableRow:
    """One run in a table.

    Args:
        name: the learner's.
        scores: metric to its score, mean over seeds, with a 95 % interval by bootstrap over
            subjects; the first is the one to compare by.
        means: every metric of the protocol, mean over seeds.
        subjects, clips: how many were left out and tested.
        seed_scores: each seed and its scores.
        seeds_sd: metric to the standard deviation of the seeds; empty for one seed.
        databases: database to its scores, mean over seeds, where the run pools several; where
            folds are directions from one database to another, each direction instead.
        classes: class to precision, recall and F1, mean over seeds, and its number of clips;
            empty for action units.
        classes_sd: the same, standard deviations; empty for one seed.
        against: name of the run that it is tested against, "" if none.
        test: paired permutation test over subjects on the first metric against that run.
        p_holm: its p, adjusted for all tests of the table.
        notes: what a reader should know of the run.
    """

    name: str
    scores: Mapping[str, Estimate]
    means: Mapping[str, float]
    subjects: int
    clips: int
    seed_scores: Mapping[int, Mapping[str, float]]
    seeds_sd: Mapping[str, float] = field(default_factory=dict)
    databases: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    classes_sd: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    against: str = ""
    test: PairedTest | None = None
    p_holm: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """The one to compare by."""
        return next(iter(self.scores))


def make_rows(
    results: Sequence[RunResult], against: Sequence[int | None] | None = None
) -> list[TableRow]:
    """Score runs and test each against another of them.

    Args:
        results: runs over the same clips. All seeds count: scores are means over them, and a
            subject's results of all seeds are swapped together in the test.
        against: for each run, the position of the run that it is tested against; by default
            every run but the first is tested against the first.

    Raises:
        EvaluationError: the runs were tested on other clips, or scored by other metrics.
    """
    if against is None:
        against = [None] + [0] * (len(results) - 1)
    levels = [LearningCurve(result.record.learner, {0: (result,)}) for result in results]
    rows = []
    for level, position in zip(levels, against, strict=True):
        _check_alike(level, levels[0])
        row = _row(level)
        if position is not None:
            other = levels[position]
            test = compare_curves(level, other, row.metric)[0]
            row = replace(row, against=other.name, test=test)
        rows.append(row)
    adjusted = iter(_adjusted([row.test for row in rows]))
    return [replace(row, p_holm=next(adjusted)) if row.test else row for row in rows]


def _check_alike(level: LearningCurve, first: LearningCurve) -> None:
    """Refuse runs that no table can hold beside each other."""
    keys = [sorted(one.at(0)[0].pool().keys.tolist()) for one in (level, first)]
    if keys[0] != keys[1]:
        raise EvaluationError(
            f"{level.name} and {first.name} were tested on other clips",
            hint="Compare runs over the same clips",
        )
    records = level.record, first.record
    if records[0].metrics != records[1].metrics or records[0].classes != records[1].classes:
        raise EvaluationError(
            f"{level.name} and {first.name} have other classes or metrics",
            hint="Compare runs of one protocol",
        )


def _row(level: LearningCurve) -> TableRow:
    (result,) = level.at(0)
    scores, pool = result.scores(), result.pool()
    seeds: dict[str, dict[str, Any]] = scores["seeds"]
    each = list(seeds.values())
    several = len(each) > 1
    part = "directions" if result.of_directions else "databases"
    known = [] if result.record.multi_label else list(result.record.classes)
    return TableRow(
        level.name,
        {name: level.estimate(0, name) for name in result.record.metrics if name not in PLAIN},
        scores["mean"],
        len(set(pool.subjects.tolist())),
        len(set(pool.keys.tolist())),
        {int(seed): one["overall"] for seed, one in seeds.items()},
        {name: sd for name, sd in scores["sd"].items() if sd is not None},
        {
            base: _over([one[part][base] for one in each], result.record.metrics)[0]
            for base in each[0].get(part, {})
        },
        {name: _over([one["classes"][name] for one in each])[0] for name in known},
        {name: _over([one["classes"][name] for one in each])[1] for name in known if several},
        notes=(*level.notes(), *_lacking(each[0])),
    )


def _over(
    trees: Sequence[Mapping[str, Any]], names: Sequence[str] = ()
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean over seeds of every number, and its standard deviation (0 for one seed)."""
    values = {name: [float(tree[name]) for tree in trees] for name in names or trees[0]}
    both = {name: mean_and_sd(each) for name, each in values.items()}
    return (
        {name: mean for name, (mean, _) in both.items()},
        {name: sd or 0.0 for name, (_, sd) in both.items()},
    )


def _lacking(scores: Mapping[str, Any]) -> Iterator[str]:
    """Databases and directions that lack a class which the pool has."""
    for base, tree in scores.get("databases", {}).items():
        if lacks := tree.get("absent_counted_as_0"):
            yield f"{base} has no clip of {', '.join(lacks)}: counted as 0 in its scores"
    for name, tree in scores.get("directions", {}).items():
        if lacks := tree.get("absent_left_out"):
            yield f"{name}: no clip of {', '.join(lacks)}, left out of its scores"


def _adjusted(tests: Sequence[PairedTest | None]) -> list[float]:
    """The p of the tests there are, adjusted for their number (Holm)."""
    p = [test.p for test in tests if test]
    return holm(p).tolist() if p else []


def best_on_test_row(result: RunResult) -> TableRow | None:
    """The same run by its epochs that were selected on test data; None where it has none."""
    if not result.record.also_best_on_test:
        return None
    selected = [
        fold.model_copy(update={"probabilities": fold.best_on_test.probabilities})
        for fold in result.folds
        if fold.best_on_test
    ]
    chosen = RunResult(
        result.record.model_copy(update={"also_best_on_test": False}), tuple(selected)
    )
    return make_rows([chosen])[0]


@dataclass(frozen=True)
class CurveRow:
    """One entry of a learning curve with one number of training subjects.

    Args:
        name: the entry's.
        subjects: number of training subjects; 0 for a level line.
        draws, seeds: how many.
        score: mean over draws and seeds, with a 95 % interval by bootstrap over left-out subjects.
        draws_sd: standard deviation of the draws; None for one draw.
        against: name of the entry that it is tested against, "" if none.
        test: paired permutation test over left-out subjects, draws and seeds pooled.
        p_holm: its p, adjusted for all tests of the table.
        seeds_sd: standard deviation of the seeds; None for one seed.
    """

    name: str
    subjects: int
    draws: int
    seeds: int
    score: Estimate
    draws_sd: float | None
    against: str = ""
    test: PairedTest | None = None
    p_holm: float | None = None
    seeds_sd: float | None = None


def curve_rows(
    curves: Sequence[LearningCurve], against: Sequence[int | None] | None = None
) -> list[CurveRow]:
    """Score learning curves and test each against another of them.

    Args:
        curves: over the same clips, with the same draws; level lines among them.
        against: for each curve, the position of the one that it is tested against; by default
            every curve but the first is tested against the first.

    Raises:
        EvaluationError: other clips, draws or training subjects.
    """
    if against is None:
        against = [None] + [0] * (len(curves) - 1)
    metric = curves[0].record.metrics[0]
    rows = []
    for curve, position in zip(curves, against, strict=True):
        other = None if position is None else curves[position]
        tests = compare_curves(curve, other, metric) if other else {}
        # A level line is tested at each number of the other curve.
        for size in (tests or curve.runs) if curve.is_level else curve.sizes:
            rows.append(
                CurveRow(
                    curve.name,
                    size,
                    len(curve.at(size)),
                    len(curve.record.seeds),
                    curve.estimate(size, metric),
                    mean_and_sd(curve.draw_scores(size, metric))[1],
                    other.name if other and size in tests else "",
                    tests.get(size),
                    seeds_sd=mean_and_sd(curve.seed_scores(size, metric))[1],
                )
            )
    adjusted = iter(_adjusted([row.test for row in rows]))
    return [replace(row, p_holm=next(adjusted)) if row.test else row for row in rows]
