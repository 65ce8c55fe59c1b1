"""Recognition metrics of pooled predictions: exact, named, and explicit about absent classes.

Every score is a function of the confusion matrix, so a stack of matrices (bootstrap resamples,
folds, subjects) is scored in one go. F1 has four averages that differ by up to ten points on the
same predictions (Varanka et al., arXiv:2211.11425); here each has its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ma2mi.errors import EvaluationError

Absent = Literal["error", "zero", "present"]
"""What to do with a class that no clip has and without predictions: refuse it (default),
count it as 0 (scikit-learn's ``zero_division=0``), or average over the present classes."""

Matrix = NDArray[np.int64]
Scores = NDArray[np.float64]


def confusion_matrix(truth: ArrayLike, predictions: ArrayLike, classes: int) -> Matrix:
    """Count clips by true class (rows) and predicted class (columns).

    Args:
        truth, predictions: ints [n], each in 0..classes-1.

    Returns:
        [classes, classes].

    Raises:
        EvaluationError: no clips, lengths differ, no ints, or a label outside, with its row.
    """
    true, predicted = _labels(truth, classes, "truth"), _labels(predictions, classes, "prediction")
    if len(true) != len(predicted):
        raise EvaluationError(f"{len(true)} true labels, but {len(predicted)} predictions")
    if not len(true):
        raise EvaluationError("no predictions to score")
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (true, predicted), 1)
    return counts


def _labels(labels: ArrayLike, classes: int, which: str) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1:
        raise EvaluationError(f"{which} has shape {array.shape}, not [clips]")
    if array.size and array.dtype.kind not in "iu":
        raise EvaluationError(f"{which} is {array.dtype}, not ints")
    outside = np.flatnonzero((array < 0) | (array >= classes))
    if len(outside):
        row = outside[0]
        raise EvaluationError(
            f"label {array[row]} is outside 0..{classes - 1}", where=f"{which}, row {row}"
        )
    return array.astype(np.int64)


@dataclass(frozen=True)
class Rates:
    """Precision, recall, F1 and number of clips of each class, each [..., classes].

    0/0 counts as 0, and ``counted`` says which classes occur in truth or predictions at all.
    """

    precision: Scores
    recall: Scores
    f1: Scores
    clips: NDArray[np.int64]
    counted: NDArray[np.bool_]


def rates(confusion: ArrayLike) -> Rates:
    """The rates of each class from confusion matrices [..., classes, classes]."""
    matrix = np.asarray(confusion)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    clips, outputs = matrix.sum(axis=-1), matrix.sum(axis=-2)
    return Rates(
        precision=_ratio(hits, outputs),
        recall=_ratio(hits, clips),
        f1=_ratio(2 * hits, clips + outputs),
        clips=clips,
        counted=(clips + outputs) > 0,
    )


def _ratio(part: ArrayLike, whole: ArrayLike) -> Scores:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))


def _mean(values: Scores, counted: NDArray[np.bool_], absent: Absent, what: str) -> Scores:
    """Average over classes, with a stated treatment of those that do not count."""
    if absent == "error" and not counted.all():
        missing = np.unique(np.nonzero(~counted)[-1])
        raise EvaluationError(
            f"class {', '.join(map(str, missing))} has {what}",
            hint='Score a set with all classes, or choose absent="zero" or absent="present"',
        )
    if absent == "present":
        return _ratio(np.where(counted, values, 0).sum(axis=-1), counted.sum(axis=-1))
    return np.asarray(values.mean(axis=-1))


def uf1_of(confusion: ArrayLike, absent: Absent = "error") -> Scores:
    """UF1 of confusion matrices [..., C, C]: (1/C) sum 2TP / (2TP + FP + FN) (MEGC2019)."""
    each = rates(confusion)
    return _mean(each.f1, each.counted, absent, "no clip and no prediction")


def uar_of(confusion: ArrayLike, absent: Absent = "error") -> Scores:
    """UAR of confusion matrices [..., C, C]: (1/C) sum TP / n (MEGC2019)."""
    each = rates(confusion)
    return _mean(each.recall, each.clips > 0, absent, "no clip")


def accuracy_of(confusion: ArrayLike, absent: Absent = "error") -> Scores:
    """Share of correct predictions, from matrices [..., C, C]; absent classes do not count."""
    matrix = np.asarray(confusion)
    return _ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1)))


def weighted_f1_of(confusion: ArrayLike, absent: Absent = "error") -> Scores:
    """F1 averaged with the classes' numbers of clips as weights; absent classes weigh nothing."""
    each = rates(confusion)
    return _ratio((each.f1 * each.clips).sum(axis=-1), each.clips.sum(axis=-1))


Metric = Callable[[ArrayLike, Absent], Scores]

METRICS: dict[str, Metric] = {
    "uf1": uf1_of,
    "uar": uar_of,
    "accuracy": accuracy_of,
    "macro_f1": uf1_of,
    "micro_f1": accuracy_of,
    "weighted_f1": weighted_f1_of,
}


def uf1(truth: ArrayLike, predictions: ArrayLike, classes: int, absent: Absent = "error") -> float:
    """Unweighted F1 of pooled predictions: the mean of the classes' F1, in [0, 1].

    Example:
        >>> round(uf1([0, 0, 1, 2], [0, 1, 1, 2], classes=3), 4)
        0.7778

    Raises:
        EvaluationError: see ``confusion_matrix``; a class absent from truth and predictions.
    """
    return float(uf1_of(confusion_matrix(truth, predictions, classes), absent))


def macro_f1(
    truth: ArrayLike, predictions: ArrayLike, classes: int, absent: Absent = "error"
) -> float:
    """The other name of ``uf1``: pooled, then averaged over classes."""
    return uf1(truth, predictions, classes, absent)


def uar(truth: ArrayLike, predictions: ArrayLike, classes: int, absent: Absent = "error") -> float:
    """Unweighted average recall of pooled predictions, in [0, 1].

    Raises:
        EvaluationError: see ``confusion_matrix``; a class without a clip.
    """
    return float(uar_of(confusion_matrix(truth, predictions, classes), absent))


def accuracy(truth: ArrayLike, predictions: ArrayLike, classes: int) -> float:
    """Share of correct predictions, in [0, 1]."""
    return float(accuracy_of(confusion_matrix(truth, predictions, classes)))


def micro_f1(truth: ArrayLike, predictions: ArrayLike, classes: int) -> float:
    """F1 of TP, FP, FN summed over classes: with one label a clip, this is the accuracy."""
    return accuracy(truth, predictions, classes)


def weighted_f1(truth: ArrayLike, predictions: ArrayLike, classes: int) -> float:
    """F1 averaged with the classes' numbers of clips as weights, in [0, 1]."""
    return float(weighted_f1_of(confusion_matrix(truth, predictions, classes)))


def fold_mean_f1(
    truth: ArrayLike, predictions: ArrayLike, folds: Sequence[str] | NDArray[np.str_], classes: int
) -> float:
    """Mean over folds of each fold's macro F1 over the classes that it holds.

    Only to compare with papers that report it: it depends on how clips fall into folds, and
    is not UF1 (66.6 against 73.9 on the same predictions, arXiv:2211.11425).

    Args:
        folds: the fold of each clip.
    """
    true, predicted, fold = np.asarray(truth), np.asarray(predictions), np.asarray(folds)
    if len(fold) != len(true):
        raise EvaluationError(f"{len(true)} true labels, but {len(fold)} folds")
    each = [
        confusion_matrix(true[fold == f], predicted[fold == f], classes) for f in np.unique(fold)
    ]
    if not each:
        raise EvaluationError("no predictions to score")
    return float(uf1_of(np.stack(each), "present").mean())


@dataclass(frozen=True)
class ClassScore:
    """One class: precision, recall and F1 in [0, 1] (0 for 0/0), and its number of clips."""

    name: str
    precision: float
    recall: float
    f1: float
    clips: int


def per_class(truth: ArrayLike, predictions: ArrayLike, classes: Sequence[str]) -> list[ClassScore]:
    """The scores of each class, in the order of ``classes``; classes without a clip stay in."""
    each = rates(confusion_matrix(truth, predictions, len(classes)))
    columns = (each.precision.tolist(), each.recall.tolist(), each.f1.tolist(), each.clips.tolist())
    return [ClassScore(name, *row) for name, *row in zip(classes, *columns, strict=True)]


def unit_f1(
    truth: ArrayLike, predictions: ArrayLike, units: Sequence[str], absent: Absent = "error"
) -> Scores:
    """F1 of each action unit, pooled over clips: multi-label, as in CD6ME.

    Args:
        truth, predictions: 0 or 1, [clips, units].
        units: the names, for messages.
        absent: a unit without clips and predictions; "present" gives NaN for it.

    Returns:
        [units], each in [0, 1].

    Raises:
        EvaluationError: shapes, values other than 0 and 1 (with the row), or an absent unit.
    """
    true, predicted = np.asarray(truth), np.asarray(predictions)
    for which, array in (("truth", true), ("prediction", predicted)):
        if array.shape != (len(true), len(units)) or not array.size:
            raise EvaluationError(f"{which} has shape {array.shape}, not [clips, {len(units)}]")
        wrong = np.argwhere((array != 0) & (array != 1))
        if len(wrong):
            row, unit = map(int, wrong[0])
            raise EvaluationError(
                f"{array[row, unit]} for unit {units[unit]} is neither 0 nor 1",
                where=f"{which}, row {row}",
            )
    marks = true.sum(axis=0) + predicted.sum(axis=0)
    if absent == "error" and not marks.all():
        missing = [unit for unit, mark in zip(units, marks, strict=True) if not mark]
        raise EvaluationError(
            f"unit {', '.join(missing)} has no clip and no prediction",
            hint='Leave it out, or choose absent="zero" or absent="present"',
        )
    scores = _ratio(2 * (true * predicted).sum(axis=0), marks)
    return np.where(marks == 0, np.nan, scores) if absent == "present" else scores


def mean_unit_f1(
    truth: ArrayLike, predictions: ArrayLike, units: Sequence[str], absent: Absent = "error"
) -> float:
    """The mean of ``unit_f1`` over units; with absent="present", over the present ones."""
    return float(np.nanmean(unit_f1(truth, predictions, units, absent)))
