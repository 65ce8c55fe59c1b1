"""Results: predictions of each fold, scores of their pool, and the folder on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.metrics import (
    METRICS,
    Absent,
    confusion_matrix,
    fold_mean_f1,
    mean_unit_f1,
    per_class,
    unit_f1,
)
from ma2mi.evaluation.run_record import SELECTED_ON_TEST, FoldResult, RunRecord

Tree = dict[str, Any]
"""Plain values as JSON has them."""
#: Protocols whose folds are directions from one database to another: each is scored alone, and a
#: score of the whole is the mean over directions. A clip is tested in several of them.
OF_DIRECTIONS = frozenset(("hde",))


@dataclass(frozen=True)
class Pool:
    """The predictions of all folds of one seed, one row a clip, in the order of the folds.

    Args:
        keys, subjects, databases, folds: [n].
        truth, predicted: ints [n], or 0/1 [n, units].
        probabilities: [n, classes].
    """

    keys: NDArray[np.str_]
    subjects: NDArray[np.str_]
    databases: NDArray[np.str_]
    folds: NDArray[np.str_]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """A finished run: the record, and one ``FoldResult`` a fold and seed, in their order.

    Args:
        fit_s: seconds of fitting and predicting by (seed, fold); not part of the result files.
        failures: a line for each sample that could not be used.
    """

    record: RunRecord
    folds: tuple[FoldResult, ...]
    fit_s: Mapping[tuple[int, str], float] = field(default_factory=dict, compare=False)
    failures: tuple[str, ...] = field(default=(), compare=False)

    @property
    def of_directions(self) -> bool:
        """Whether each fold is scored alone, see ``OF_DIRECTIONS``."""
        return self.record.protocol in OF_DIRECTIONS

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, of the run and of each fold."""
        of_folds = (f"seed {f.seed}, {f.fold}: {note}" for f in self.folds for note in f.notes)
        return (*self.record.notes, *of_folds)

    def pool(self, seed: int | None = None, *, best_on_test: bool = False) -> Pool:
        """The predictions of all folds of one seed (default: the first).

        Args:
            best_on_test: those of the epochs selected on test data instead; never mix the two.

        Raises:
            EvaluationError: no such seed, or a run without predictions selected on test data.
        """
        seed = self.record.seeds[0] if seed is None else seed
        folds = [fold for fold in self.folds if fold.seed == seed]
        if not folds:
            raise EvaluationError(f"no seed {seed}", hint=f"It has {self.record.seeds}")
        rows: list[tuple[float, ...]] = []
        for fold in folds:
            if best_on_test and fold.best_on_test is None:
                raise EvaluationError(
                    "nothing was selected on test data here",
                    where=f"fold {fold.fold}",
                    hint="Run it with --also-report-best-on-test",
                )
            source = fold.best_on_test if best_on_test and fold.best_on_test else fold
            rows.extend(source.probabilities)
        probabilities = np.array(rows, dtype=np.float64)
        return Pool(
            keys=np.array([key for fold in folds for key in fold.keys]),
            subjects=np.array([one for fold in folds for one in fold.subjects]),
            databases=np.array([base for fold in folds for base in fold.databases]),
            folds=np.array([fold.fold for fold in folds for _ in fold.keys]),
            truth=np.array([label for fold in folds for label in fold.truth], dtype=np.int64),
            predicted=predicted_labels(probabilities, multi_label=self.record.multi_label),
            probabilities=probabilities,
        )

    def scores(self) -> Tree:
        """All scores as one tree of plain values, as in ``scores.json``.

        ``seeds`` holds each seed's pooled scores overall, by database (by direction where folds
        are directions; the overall score is then their mean) and by class; ``mean``
        and ``sd`` (over seeds, None for one seed) the overall ones. The best-on-test score
        (optimistically biased), where requested, stands apart under ``best_on_test``, stamped as
        selected on test data.
        """
        tree: Tree = {
            "protocol": self.record.protocol,
            "learner": self.record.learner,
            "data_hash": self.record.data_hash,
            **self._scores_of(best_on_test=False),
        }
        if self.record.also_best_on_test:
            tree["best_on_test"] = {
                "stamp": SELECTED_ON_TEST,
                **self._scores_of(best_on_test=True),
            }
        tree["notes"] = list(self.notes)
        return tree

    def _scores_of(self, *, best_on_test: bool) -> Tree:
        seeds = {
            seed: self._score(self.pool(seed, best_on_test=best_on_test))
            for seed in self.record.seeds
        }
        overall = {
            name: [each["overall"][name] for each in seeds.values()] for name in self.record.metrics
        }
        return {
            "mean": {name: float(np.mean(values)) for name, values in overall.items()},
            "sd": {
                name: float(np.std(values, ddof=1)) if len(values) > 1 else None
                for name, values in overall.items()
            },
            "seeds": {str(seed): each for seed, each in seeds.items()},
        }

    def _score(self, pool: Pool) -> Tree:
        record = self.record
        if self.of_directions:
            names = dict.fromkeys(pool.folds.tolist())
            directions = {name: self._of_direction(name, pool) for name in names}
            overall = {
                metric: float(np.mean([each[metric] for each in directions.values()]))
                for metric in record.metrics
            }
            return {"overall": overall, "directions": directions, "classes": self._classes(pool)}
        tree: Tree = {"overall": {name: self._metric(name, pool) for name in record.metrics}}
        bases = [base for base in np.unique(pool.databases).tolist() if base]
        if len(bases) > 1:
            tree["databases"] = {base: self._of_database(base, pool) for base in bases}
        return {**tree, "classes": self._classes(pool)}

    def _classes(self, pool: Pool) -> Tree:
        names = self.record.classes
        if self.record.multi_label:
            each = unit_f1(pool.truth, pool.predicted, names, "zero").tolist()
            return dict(zip(names, each, strict=True))
        return {
            one.name: {key: value for key, value in asdict(one).items() if key != "name"}
            for one in per_class(pool.truth, pool.predicted, names)
        }

    def _of_direction(self, name: str, pool: Pool) -> Tree:
        """A direction's scores, over the classes that its target has or is predicted to have."""
        rows = pool.folds == name
        tree: Tree = {one: self._metric(one, pool, rows, "present") for one in self.record.metrics}
        absent = self._absent(pool.truth[rows])
        return {**tree, "absent_left_out": absent} if absent else tree

    def _absent(self, truth: NDArray[np.int64]) -> list[str]:
        shown = np.flatnonzero(truth.any(axis=0)) if truth.ndim == 2 else np.unique(truth)
        return [name for index, name in enumerate(self.record.classes) if index not in shown]

    def _of_database(self, base: str, pool: Pool) -> Tree:
        rows = pool.databases == base
        tree: Tree = {name: self._metric(name, pool, rows, "zero") for name in self.record.metrics}
        absent = self._absent(pool.truth[rows])
        # A database may lack a class that the pool has; it counts as 0, and that is stated.
        return {**tree, "absent_counted_as_0": absent} if absent else tree

    def _metric(
        self,
        name: str,
        pool: Pool,
        rows: NDArray[np.bool_] | slice = slice(None),
        absent: Absent = "error",
    ) -> float:
        truth, predicted = pool.truth[rows], pool.predicted[rows]
        if name == "mean_unit_f1":
            return mean_unit_f1(truth, predicted, self.record.classes, absent)
        if name == "fold_mean_f1":
            return fold_mean_f1(truth, predicted, pool.folds[rows], len(self.record.classes))
        return float(
            METRICS[name](confusion_matrix(truth, predicted, len(self.record.classes)), absent)
        )

    def text(self) -> str:
        """A few plain lines: the scores, and the best-on-test score stamped as such."""
        scores = self.scores()
        lines = [f"{self.record.learner} on {self.record.protocol}", _line("", scores)]
        if self.record.also_best_on_test:
            best = scores["best_on_test"]
            lines.append(_line(f"{SELECTED_ON_TEST.upper()}, not a result: ", best))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _line(head: str, scores: Tree) -> str:
    mean, sd = scores["mean"], scores["sd"]
    parts = (
        f"{name} {mean[name]:.4f}" + ("" if sd[name] is None else f" ± {sd[name]:.4f}")
        for name in mean
    )
    return head + ", ".join(parts)


def predicted_labels(probabilities: NDArray[np.float64], *, multi_label: bool) -> NDArray[np.int64]:
    """The most probable class [n], the first of equals; or each unit of at least 1/2 [n, units]."""
    if multi_label:
        return (probabilities >= 0.5).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
