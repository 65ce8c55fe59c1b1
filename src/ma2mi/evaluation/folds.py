"""One fold of a benchmark: fitted and predicted in a worker, checked beside the truth."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import JsonValue
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.checks import (
    checked_probabilities,
    missing_classes,
)
from ma2mi.evaluation.learner import Clips, EpochPredictor, Learner, Predictor, Probabilities
from ma2mi.evaluation.learner_faults import blamed, place_of, with_method
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.provenance import plain_values
from ma2mi.evaluation.results import predicted_labels
from ma2mi.evaluation.run_record import BestOnTest, FoldResult
from ma2mi.evaluation.splits import Split
from ma2mi.evaluation.subjects import SubjectIds


@dataclass(frozen=True, eq=False)
class Examples:
    """What is evaluated, but for the clips themselves; one entry a clip.

    Args:
        keys, subjects, databases: [n].
        truth: ints [n], or 0/1 [n, units].
        classes: names of the classes or units.
        protocol: how they are evaluated.
    """

    keys: Sequence[str]
    subjects: SubjectIds
    databases: Sequence[str]
    truth: NDArray[np.int64]
    classes: tuple[str, ...]
    protocol: Protocol


Curve = tuple[dict[str, float], ...]
"""Figures of each epoch of training."""


@dataclass(frozen=True)
class FoldOutput:
    """Output of a fold: probabilities, those of every epoch if requested, the time, the learner's
    figures of each epoch of training and its notes, and the class that predicted."""

    probabilities: Probabilities
    epochs: Probabilities | None
    chosen: dict[str, JsonValue]
    fit_s: float
    curve: Curve = ()
    notes: tuple[str, ...] = ()
    predictor: str = ""


def run_fold(
    clips: Clips,
    learner: Learner | Predictor,
    task: tuple[int, int],
    split: Split,
    labels: NDArray[np.int64],
    ids: SubjectIds,
    all_epochs: bool,
) -> tuple[tuple[int, int], FoldOutput]:
    """Fit and predict one fold, in whichever process; labels and subjects are those of training."""
    start = time.perf_counter()
    fold = f"fold {split.name}, seed {task[0]}"
    # One thread: sums come out in the same order on every machine and with every backend.
    with threadpool_limits(1):
        with blamed(learner, "copy", fold):
            predictor: object = copy.deepcopy(learner)
        if len(split.train):
            with blamed(predictor, "reseed", fold):
                seeded = with_method(cast(Learner, predictor).reseed(task[0]), "fit")
            train = _picked(clips, split.train)
            with blamed(seeded, "fit", fold):
                fitted = seeded.fit(train, labels.copy(), ids.copy())
                predictor = with_method(fitted, "predict")
        test = _picked(clips, split.test)
        with blamed(predictor, "predict", fold):
            found = cast(Predictor, predictor).predict(test)
            probabilities = np.asarray(found, dtype=np.float64)
        with blamed(predictor, "predict_epochs", fold):
            epochs = _all_epochs(predictor, test) if all_epochs else None
    with blamed(predictor, "chosen, curve or notes", fold):
        chosen = plain_values(getattr(predictor, "chosen", {}))
        curve = _finite(getattr(predictor, "curve", ()))
        notes = tuple(str(note) for note in getattr(predictor, "notes", ()))
    took = time.perf_counter() - start
    output = FoldOutput(probabilities, epochs, chosen, took, curve, notes, place_of(predictor))
    return task, output


def _finite(curve: Sequence[Mapping[str, float]]) -> Curve:
    """The figures that are numbers; JSON has no others."""
    return tuple(
        {str(name): float(v) for name, v in row.items() if math.isfinite(v)} for row in curve
    )


def _picked(clips: Clips, rows: NDArray[np.int64]) -> object:
    part = clips[rows]
    # joblib hands large arrays to its workers as memory maps; a learner sees a plain array.
    return np.asarray(part) if isinstance(part, np.ndarray) else part


def _all_epochs(predictor: object, clips: object) -> Probabilities:
    if not isinstance(predictor, EpochPredictor):
        raise EvaluationError(
            "remembers no epochs",
            where=type(predictor).__name__,
            hint="Leave out --also-report-best-on-test, or take a learner with predict_epochs",
        )
    return np.asarray(predictor.predict_epochs(clips), dtype=np.float64)


def fold_result(output: FoldOutput, seed: int, split: Split, examples: Examples) -> FoldResult:
    """Check the output of a fold and put the truth beside it."""
    keys = tuple(str(examples.keys[row]) for row in split.test)
    where, truth = f"fold {split.name}, seed {seed}", examples.truth[split.test]
    if output.predictor:
        where = f"{output.predictor}.predict, {where}"
    probabilities = _checked(output.probabilities, keys, examples, where)
    return FoldResult(
        fold=split.name,
        seed=seed,
        keys=keys,
        subjects=tuple(examples.subjects[split.test].tolist()),
        databases=tuple(examples.databases[row] for row in split.test),
        truth=_rows(truth),
        probabilities=_rows(probabilities),
        train_subjects=split.train_subjects,
        chosen=output.chosen,
        curve=output.curve,
        notes=(
            *_fold_notes(examples.truth[split.train], examples.classes, examples.protocol),
            *output.notes,
        ),
        best_on_test=_best_on_test(output.epochs, keys, truth, examples, where),
    )


def _best_on_test(
    epochs: ArrayLike | None,
    keys: Sequence[str],
    truth: NDArray[np.int64],
    examples: Examples,
    where: str,
) -> BestOnTest | None:
    """The epoch that is best on the test clips themselves; None where there are no epochs."""
    if epochs is None:
        return None
    checked = [
        _checked(epoch, keys, examples, f"{where}, epoch {number}")
        for number, epoch in enumerate(np.asarray(epochs))
    ]
    if not checked:
        raise EvaluationError("predict_epochs gave no epoch", where=where)
    multi_label = bool(examples.protocol.units)
    right = [
        float((predicted_labels(epoch, multi_label=multi_label) == truth).mean())
        for epoch in checked
    ]
    best = int(np.argmax(right))
    return BestOnTest(epoch=best, probabilities=_rows(checked[best]))


def _checked(
    probabilities: ArrayLike, keys: Sequence[str], examples: Examples, where: str
) -> Probabilities:
    multi_label = bool(examples.protocol.units)
    return checked_probabilities(
        probabilities, keys, len(examples.classes), multi_label=multi_label, where=where
    )


def _rows(array: NDArray[np.generic]) -> tuple:  # type: ignore[type-arg]
    rows = array.tolist()
    return tuple(tuple(row) if isinstance(row, list) else row for row in rows)


def _fold_notes(
    labels: NDArray[np.int64], names: Sequence[str], protocol: Protocol
) -> tuple[str, ...]:
    lacking = missing_classes(labels, names, protocol) if protocol.trains else []
    return (f"no training subject shows {', '.join(lacking)}",) if lacking else ()
