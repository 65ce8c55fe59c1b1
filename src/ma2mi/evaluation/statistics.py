"""Statistics over subjects: intervals, paired tests, corrections, and sample sizes.

Clips of one subject are alike, so subjects are resampled and swapped. A metric is a function of
counts that add up over subjects (confusion matrices; hits, false alarms and misses), so each
subject becomes one array of counts, and thousands of resamples are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.metrics import METRICS, confusion_matrix

Counts = NDArray[np.int64]
"""One array of counts a subject: [subjects, ...]."""
Score = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Turns summed counts [..., counts' shape] into scores [...]."""
Floats = NDArray[np.float64]


def score_named(metric: str) -> Score:
    """A metric of ``metrics.METRICS`` as a function of confusion matrices alone.

    Where resampling makes a class vanish from truth and predictions, the others are averaged:
    counting it as 0 would punish a system for a class that no clip has.

    Raises:
        EvaluationError: there is no such metric of confusion matrices.
    """
    if metric not in METRICS:
        raise EvaluationError(
            "is not a metric of confusion matrices",
            where=metric,
            hint=f"Known are: {', '.join(METRICS)}",
        )
    return lambda confusion: METRICS[metric](confusion, "present")


def mean_unit_f1_of(counts: ArrayLike) -> Floats:
    """Mean F1 of action units from (tp, fp, fn) [..., units, 3]; absent units do not count."""
    tp, fp, fn = np.moveaxis(np.asarray(counts), -1, 0)
    marks = 2 * tp + fp + fn
    f1 = np.divide(2 * tp, marks, out=np.zeros(marks.shape), where=marks > 0)
    return np.asarray(f1.sum(axis=-1) / np.maximum((marks > 0).sum(axis=-1), 1))


def spotting_f1_of(counts: ArrayLike) -> Floats:
    """Spotting F1 from (tp, fp, fn) [..., 3]; 0 where all are 0."""
    tp, fp, fn = np.moveaxis(np.asarray(counts), -1, 0)
    marks = 2 * tp + fp + fn
    return np.asarray(np.divide(2 * tp, marks, out=np.zeros(marks.shape), where=marks > 0))


def subject_confusions(
    truth: ArrayLike,
    predictions: ArrayLike,
    subjects: Sequence[str] | NDArray[np.str_],
    classes: int,
) -> Counts:
    """One confusion matrix a subject: [subjects, classes, classes], in the order of their names."""
    true, predicted, ids = np.asarray(truth), np.asarray(predictions), np.asarray(subjects)
    if not len(true) == len(predicted) == len(ids):
        raise EvaluationError(
            f"{len(true)} labels, {len(predicted)} predictions, {len(ids)} subjects"
        )
    return np.stack(
        [
            confusion_matrix(true[ids == one], predicted[ids == one], classes)
            for one in np.unique(ids)
        ]
    )


def subject_unit_counts(
    truth: ArrayLike, predictions: ArrayLike, subjects: Sequence[str] | NDArray[np.str_]
) -> Counts:
    """(tp, fp, fn) of each subject and action unit, [subjects, units, 3], from [n, units]."""
    true, predicted, ids = np.asarray(truth), np.asarray(predictions), np.asarray(subjects)
    marks = np.stack([true * predicted, (1 - true) * predicted, true * (1 - predicted)], axis=-1)
    return np.stack([marks[ids == one].sum(axis=0) for one in np.unique(ids)])


@dataclass(frozen=True)
class Estimate:
    """A score and its interval.

    Args:
        value: of the subjects at hand.
        low, high: bounds of the interval.
        level: its coverage, such as 0.95.
        method: "bca" or "percentile".
        resamples: how many were drawn.
    """

    value: float
    low: float
    high: float
    level: float
    method: str
    resamples: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    counts: Counts,
    score: Score | str = "uf1",
    *,
    resamples: int = 2000,
    level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
    seed: int = 0,
) -> Estimate:
    """Confidence interval of a pooled score, by drawing subjects with replacement.

    "bca" corrects bias and skewness (Efron, JASA 82, 1987), its acceleration from leaving out
    one subject at a time; "percentile" takes the quantiles as they are. See ``score_named`` for
    resamples in which a class vanishes; ``vanished_share`` says how many they are.

    Args:
        counts: [subjects, ...], as from ``subject_confusions``.
        score: a metric's name, or a function of summed counts.
        level: coverage, in (0, 1).

    Raises:
        EvaluationError: fewer than two subjects, or impossible options.
    """
    _need(counts, resamples, seed)
    if not 0 < level < 1 or method not in ("bca", "percentile"):
        raise EvaluationError(f"level {level}, method {method}", hint="Take 0.95 and bca")
    score = score_named(score) if isinstance(score, str) else score
    value = float(score(counts.sum(axis=0)))
    draws = np.sort(score(_resampled(counts, len(counts), resamples, seed)))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _bca_tails(tails, draws, value, score(counts.sum(axis=0) - counts))
    low, high = np.quantile(draws, tails).tolist()
    return Estimate(value, low, high, level, method, resamples)


def _bca_tails(tails: Floats, draws: Floats, value: float, left_one_out: Floats) -> Floats:
    # Ties count half; no tail is finer than half a resample.
    below = ((draws < value).mean() + (draws <= value).mean()) / 2
    bias = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    deviation = left_one_out.mean() - left_one_out
    spread = (deviation**2).sum() ** 1.5
    acceleration = (deviation**3).sum() / (6 * spread) if spread > 0 else 0.0
    shifted = bias + ndtri(tails)
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))


def vanished_share(confusions: Counts, *, resamples: int = 2000, seed: int = 0) -> float:
    """Share of resamples in which some class that the pool has is without a clip, in [0, 1]."""
    _need(confusions, resamples, seed)
    has = confusions.sum(axis=(0, 2)) > 0
    clips = _resampled(confusions, len(confusions), resamples, seed).sum(axis=-1)
    return float(((clips == 0) & has).any(axis=-1).mean())


def _resampled(counts: Counts, subjects: int, resamples: int, seed: int) -> Counts:
    """Summed counts [resamples, ...] of ``subjects`` subjects drawn with replacement."""
    rng = np.random.default_rng(seed)
    times = rng.multinomial(subjects, np.full(len(counts), 1 / len(counts)), size=resamples)
    return _weighted(times, counts)


def _weighted(times: Counts, counts: Counts) -> Counts:
    # Float products are exact here (counts are far below 2**53), and much faster than ints.
    flat = times.astype(np.float64) @ counts.reshape(len(counts), -1).astype(np.float64)
    return np.rint(flat).astype(np.int64).reshape(len(times), *counts.shape[1:])


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same clips.

    Args:
        difference: first minus second.
        p: two-sided.
        exact: whether all swaps were counted, or a sample of them.
        swaps: how many were.
    """

    difference: float
    p: float
    exact: bool
    swaps: int


def permutation_test(
    first: Counts, second: Counts, score: Score | str = "uf1", *, swaps: int = 9999, seed: int = 0
) -> PairedTest:
    """Would the difference be as large if the systems' names were swapped subject by subject?

    All 2^subjects swaps are counted where they are at most ``swaps``; else that many are drawn, and
    p = (1 + as large) / (1 + swaps) (Phipson and Smyth, 2010).

    Args:
        first, second: [subjects, ...], the same subjects and clips.

    Raises:
        EvaluationError: other subjects or clips, or fewer than two subjects.
    """
    _need(first, swaps, seed)
    if first.shape != second.shape:
        raise EvaluationError(f"counts of shape {first.shape} and {second.shape}")
    if first.ndim == 3 and first.shape[1] == first.shape[2]:
        other = np.flatnonzero((first.sum(axis=2) != second.sum(axis=2)).any(axis=1))
        if len(other):
            raise EvaluationError("the systems saw other clips", where=f"subject {other[0]}")
    score = score_named(score) if isinstance(score, str) else score
    subjects = len(first)
    exact = subjects < 63 and 2**subjects <= swaps
    if exact:
        swapped = (np.arange(2**subjects)[:, None] >> np.arange(subjects)) & 1
    else:
        swapped = np.random.default_rng(seed).integers(0, 2, size=(swaps, subjects))
    total, start = first.sum(axis=0) + second.sum(axis=0), first.sum(axis=0)
    one = start + _weighted(swapped, second - first)
    differences = np.abs(score(one) - score(total - one))
    seen = float(score(start) - score(total - start))
    # The same sums in another order may differ in the last bit.
    as_large = int((differences >= abs(seen) - 1e-12).sum())
    p = as_large / len(swapped) if exact else (1 + as_large) / (1 + swaps)
    return PairedTest(seen, p, exact, len(swapped))


def holm(p_values: ArrayLike) -> Floats:
    """P-values adjusted so that the chance of any false finding stays below the level (Holm).

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = _p_values(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.asarray(np.minimum(adjusted, 1)[np.argsort(order)])


def _p_values(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1)))
    if p.ndim != 1 or len(wrong):
        raise EvaluationError(f"p-values {p.tolist()}", hint="Each must be in 0..1")
    return p


def mean_and_sd(values: ArrayLike) -> tuple[float, float | None]:
    """Mean over seeds and standard deviation (n - 1); None for one seed."""
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        raise EvaluationError("no values")
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else None


@dataclass(frozen=True)
class Reliability:
    """How often predictions of so much probability are right.

    Args:
        stated, right: mean probability and share that is right of each bin that has one, [bins].
        count: predictions in each, [bins].
        error: expected calibration error: the mean distance of the two, weighed by ``count``
            (Naeini et al., AAAI 2015).
    """

    stated: Floats
    right: Floats
    count: Counts
    error: float


def reliability(probabilities: ArrayLike, right: ArrayLike, bins: int = 10) -> Reliability:
    """Predictions in bins of equal width by their probability.

    Args:
        probabilities: [n], in [0, 1].
        right: [n], whether each is right.

    Raises:
        EvaluationError: no predictions, other lengths, or probabilities outside [0, 1].

    Example:
        >>> found = reliability([0.9, 0.9, 0.6, 0.6], [True, True, True, False])
        >>> round(found.error, 2)
        0.1
    """
    p, hit = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=bool)
    if p.ndim != 1 or not p.size or p.shape != hit.shape or not ((p >= 0) & (p <= 1)).all():
        raise EvaluationError(f"probabilities of shape {p.shape}, right of shape {hit.shape}")
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    stated = np.bincount(place, weights=p, minlength=bins)[kept] / count[kept]
    share = np.bincount(place, weights=hit, minlength=bins)[kept] / count[kept]
    error = float((np.abs(stated - share) * count[kept]).sum() / len(p))
    return Reliability(stated, share, count[kept], error)


def subjects_needed(
    first: Counts,
    second: Counts,
    difference: float,
    score: Score | str = "uf1",
    *,
    power: float = 0.8,
    level: float = 0.05,
    resamples: int = 2000,
    seed: int = 0,
    most: int = 100_000,
) -> int:
    """How many subjects a study needs to see a true difference, estimated from two systems.

    For a number of subjects, that many are drawn with replacement from those at hand, again and
    again; the systems' difference scatters around its mean. Moved to scatter around
    ``difference``, it is seen where it lies further from 0 than the two-sided level allows. The
    smallest number at which the share seen reaches ``power`` is found by bisection.

    Args:
        first, second: counts of two systems on the same subjects, [subjects, ...].
        difference: the true one to be seen, such as 0.03.
        most: give up above this many.

    Raises:
        EvaluationError: impossible options, other subjects, or more than ``most`` needed.
    """
    _need(first, resamples, seed)
    if first.shape != second.shape or not (
        0 < abs(difference) < math.inf and 0 < power < 1 and 0 < level < 1
    ):
        raise EvaluationError(
            f"counts of shape {first.shape} and {second.shape}, difference {difference}, "
            f"power {power}, level {level}",
            hint="Give the same subjects, a difference other than 0, power and level in 0..1",
        )
    score = score_named(score) if isinstance(score, str) else score
    both = np.stack([first, second], axis=1)

    def enough(subjects: int) -> bool:
        drawn = _resampled(both, subjects, resamples, seed)
        scatter = score(drawn[:, 0]) - score(drawn[:, 1])
        scatter = scatter - scatter.mean()
        threshold = -ndtri(level / 2) * scatter.std()
        return bool((np.abs(difference + scatter) > threshold).mean() >= power)

    low, high = 1, 2
    while not enough(high):
        if high >= most:
            raise EvaluationError(
                f"more than {most} subjects are needed to see a difference of {difference}"
            )
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _need(counts: Counts, draws: int, seed: int) -> None:
    if len(counts) < 2:
        raise EvaluationError(f"{len(counts)} subject", hint="Statistics need two subjects or more")
    if draws < 1:
        raise EvaluationError(f"{draws} draws", hint="Take 1000 or more")
    if seed < 0:
        raise EvaluationError(f"seed {seed} is below 0")
