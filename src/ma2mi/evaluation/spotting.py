"""Spotting metrics: which intervals were found, how far the apex is off, and STRS.

Counts are added up over videos, rates are derived at the end. Frames are inclusive at both ends.
State of the art for spot-then-recognise on unseen long videos is an STRS near 0.01 to 0.09:
spotted events are candidates for a person to review.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.labels import plain_word
from ma2mi.evaluation.metrics import confusion_matrix, rates
from ma2mi.records import Event, Interval

Rule = Literal["one-to-one", "megc2020"]
Mode = Literal["strict", "megc"]
Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class SpottingCounts:
    """Hits, false alarms and misses; they add up, and rates come last (0/0 is 0)."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: SpottingCounts) -> SpottingCounts:
        return SpottingCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return _share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def match_intervals(
    truth: Sequence[Interval],
    predicted: Sequence[Interval],
    iou: float = 0.5,
    rule: Rule = "one-to-one",
) -> Pairs:
    """Which prediction found which label, in one video.

    ::

        frame        0         1         2
                     01234567890123456789012
        truth        |--A--|   |-----B-----|
        predicted    |-1-|      |-2--||-3--|

        IoU          A1 5/7    B2 6/13   B3 6/13
        hits         A1 only: neither half of B reaches 1/2

    Args:
        iou: least overlap of a hit, in (0, 1].
        rule: "one-to-one": the most pairs in which each label and each prediction occurs once,
            and among those the largest sum of IoU. "megc2020": each label takes its best
            prediction, which may serve several labels.

    Returns:
        (index into truth, index into predicted), by rising label.

    Raises:
        EvaluationError: an unknown rule, or ``iou`` outside (0, 1].
    """
    if not 0 < iou <= 1:
        raise EvaluationError(f"an IoU of {iou}", hint="Take one above 0 and at most 1")
    if rule not in ("one-to-one", "megc2020"):
        raise EvaluationError("is no known rule", where=rule, hint="Take one-to-one or megc2020")
    overlap = _overlaps(truth, predicted)
    hit = overlap >= iou
    if rule == "megc2020":
        return [(t, int(overlap[t].argmax())) for t in range(len(truth)) if hit[t].any()]
    return match_most(overlap, hit)


def match_most(overlap: NDArray[np.float64], hit: NDArray[np.bool_]) -> Pairs:
    """The most pairs in which each row and each column occurs once; of those the largest overlap.

    Args:
        overlap: [n, m], in [0, 1].
        hit: bool [n, m], the pairs that may be.

    Returns:
        (row, column), by rising row.
    """
    # The overlaps of all pairs together weigh less than one more pair.
    value = np.where(hit, 1 + overlap / (1 + min(overlap.shape)), 0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    return [(int(t), int(p)) for t, p in zip(rows, columns, strict=True) if hit[t, p]]


def _overlaps(truth: Sequence[Interval], predicted: Sequence[Interval]) -> NDArray[np.float64]:
    flat = [one.iou(other) for one in truth for other in predicted]
    return np.array(flat, dtype=np.float64).reshape(len(truth), len(predicted))


def count_hits(
    truth: Sequence[Interval],
    predicted: Sequence[Interval],
    iou: float = 0.5,
    rule: Rule = "one-to-one",
) -> SpottingCounts:
    """Hits, false alarms and misses of one video; see ``match_intervals``.

    With "megc2020", hits are the labels found, at most as many as predictions
    (a <= m and a <= n, He et al., FG 2020); the rest are false alarms and misses.
    """
    tp = min(len(match_intervals(truth, predicted, iou, rule)), len(predicted))
    return SpottingCounts(tp, len(predicted) - tp, len(truth) - tp)


@dataclass(frozen=True)
class SpottingScores:
    """Counts over the whole database: micro-expressions, macro-expressions, and their sum."""

    micro: SpottingCounts
    macro: SpottingCounts
    overall: SpottingCounts


def spotting_scores(
    truth: Sequence[Event],
    predicted: Sequence[Event],
    iou: float = 0.5,
    rule: Rule = "one-to-one",
) -> SpottingScores:
    """Counts summed over all videos, those without labels included (MEGC 2020 to 2022).

    A micro-expression is found only by a prediction of the kind "micro", so the overall counts
    are the sums. Marks without a kind count in the overall alone.

    Example:
        >>> label = Event("micro", 10, None, 20, video="v1")
        >>> spotting_scores([label], [Event("micro", 12, None, 21, video="v1")]).overall.f1
        1.0

    Raises:
        EvaluationError: an unknown kind, with the row.
    """
    for which, marks in (("truth", truth), ("predicted", predicted)):
        for row, mark in enumerate(marks):
            if mark.kind not in ("micro", "macro", ""):
                raise EvaluationError(
                    f'"{mark.kind}" is neither micro nor macro', where=f"{which}, row {row}"
                )
    counts = {kind: SpottingCounts() for kind in ("micro", "macro", "")}
    for (_, _, kind), labels, found in _by_video(truth, predicted, kinds_apart=True):
        intervals = [mark.interval for mark in labels], [mark.interval for mark in found]
        counts[kind] += count_hits(*intervals, iou, rule)
    overall = counts["micro"] + counts["macro"] + counts[""]
    return SpottingScores(counts["micro"], counts["macro"], overall)


def _by_video(
    truth: Sequence[Event], predicted: Sequence[Event], *, kinds_apart: bool = False
) -> list[tuple[tuple[str, str, str], list[Event], list[Event]]]:
    """(subject, video, kind), labels and predictions of each video that has any of the two."""
    groups: dict[tuple[str, str, str], tuple[list[Event], list[Event]]] = {}
    for side, marks in enumerate((truth, predicted)):
        for mark in marks:
            place = (mark.subject, mark.video, mark.kind if kinds_apart else "")
            groups.setdefault(place, ([], []))[side].append(mark)
    return [(place, *groups[place]) for place in sorted(groups)]


@dataclass(frozen=True)
class ApexErrors:
    """How far apexes are off: mean absolute error, and the share inside [onset, offset].

    Args:
        mean_frames, mean_ms: mean absolute errors in frames and in milliseconds.
        inside: share of predicted apexes that lie in the true interval, in [0, 1].
        clips: how many.
    """

    mean_frames: float
    mean_ms: float
    inside: float
    clips: int


def apex_errors(
    truth: Sequence[int],
    predicted: Sequence[int],
    intervals: Sequence[Interval],
    fps: Sequence[Fraction | float],
) -> ApexErrors:
    """Errors of predicted apex frames.

    ::

        frame      0         1
                   0123456789012345
        label        |---A---|           onset 2, apex 6, offset 10
        predicted            p           apex 10: 4 frames off, inside

    Args:
        truth, predicted: frames, one a clip.
        intervals: the true onset and offset, one a clip.
        fps: frames per second, one a clip.

    Raises:
        EvaluationError: no clips, other lengths, or a rate that is no number above 0, with its
            row.
    """
    if not truth:
        raise EvaluationError("no apexes to score")
    if not len(truth) == len(predicted) == len(intervals) == len(fps):
        raise EvaluationError(
            f"{len(truth)} apexes, {len(predicted)} predictions, {len(intervals)} intervals and "
            f"{len(fps)} frame rates"
        )
    for row, rate in enumerate(fps):
        if not 0 < rate < math.inf:
            raise EvaluationError(f"{rate} frames per second", where=f"row {row}")
    for which, frames in (("truth", truth), ("predicted", predicted)):
        for row, frame in enumerate(frames):
            if not math.isfinite(frame):
                raise EvaluationError(f"{frame} is not a frame", where=f"{which}, row {row}")
    off = [abs(int(t) - int(p)) for t, p in zip(truth, predicted, strict=True)]
    ms = [1000 * frames / float(rate) for frames, rate in zip(off, fps, strict=True)]
    inside = [int(p) in where for p, where in zip(predicted, intervals, strict=True)]
    return ApexErrors(float(np.mean(off)), float(np.mean(ms)), float(np.mean(inside)), len(off))


@dataclass(frozen=True)
class Strs:
    """Spot-then-recognise: F1 of spotting times F1 of recognition over the hits.

    Args:
        strs: the product, in [0, 1].
        spotting: counts of spotting.
        precision, recall: means over classes, over the hits; a class that no hit shows counts 0.
        f1: harmonic mean of ``precision`` and ``recall``.
        uf1: mean of the classes' F1.
        uar: mean of the classes' recall; in mode "megc" of their precision, as the script has it.
        right: hits with the right emotion.
        mode: "strict" or "megc".
    """

    strs: float
    spotting: SpottingCounts
    precision: float
    recall: float
    f1: float
    uf1: float
    uar: float
    right: int
    mode: Mode


def strs(
    truth: Sequence[Event],
    predicted: Sequence[Event],
    *,
    classes: Sequence[str] = (),
    mode: Mode = "strict",
    iou: float = 0.5,
) -> Strs:
    """Spot-then-recognise score (Liong et al., Signal Processing: Image Communication 110, 2023).

    ::

        truth        |---happiness---|    |--disgust--|
        predicted      |--happiness-|     |--surprise--|      |--others--|
                       hit, right         hit, wrong          false alarm

    Mode "strict" is the definition: one-to-one matching, every video counts. Mode "megc"
    reproduces the public script (github.com/genbing99/STRS-Metric) with its faults:

    - a subject without predictions is dropped, so its labels are no misses;
    - predictions in a video without labels are no false alarms;
    - predictions, in their order, take every free label that they hit, so one may take two;
    - a class that all hits show and all predictions say counts 0, so a perfect result with one
      class is NaN (as is a result without hits, where the script breaks off);
    - its "UAR" is the mean precision;
    - emotions are compared as they are written, case and plural included.

    Args:
        truth, predicted: in their files' order.
        classes: emotions that count in recognition; hits on other labels count in spotting
            only. Default: all emotions of the truth.
        iou: least overlap of a hit.

    Raises:
        EvaluationError: no labels, an unknown mode, or a mark without an emotion, with its row.
    """
    if mode not in ("strict", "megc"):
        raise EvaluationError("is no known mode", where=mode, hint="Take strict or megc")
    if not truth:
        raise EvaluationError("no labels to score against")
    for which, marks in (("truth", truth), ("predicted", predicted)):
        for row, mark in enumerate(marks):
            if not mark.emotion:
                raise EvaluationError("no emotion", where=f"{which}, row {row}")
    word = plain_word if mode == "strict" else str
    names = list(dict.fromkeys(map(word, classes))) or sorted({word(m.emotion) for m in truth})
    subjects = {mark.subject for mark in predicted}
    counts, hits = SpottingCounts(), []
    for (subject, _, _), labels, found in _by_video(truth, predicted):
        intervals = [mark.interval for mark in labels], [mark.interval for mark in found]
        if mode == "strict":
            pairs = match_intervals(*intervals, iou)
            false_alarms = len(found) - len(pairs)
        else:
            if subject not in subjects or not labels:
                continue
            pairs = _pairs_of_script(*intervals, iou)
            false_alarms = len(found) - len({p for _, p in pairs})
        counts += SpottingCounts(len(pairs), false_alarms, len(labels) - len(pairs))
        hits += [(word(labels[t].emotion), word(found[p].emotion)) for t, p in pairs]
    return _recognised(counts, [hit for hit in hits if hit[0] in names], names, mode)


def _pairs_of_script(truth: Sequence[Interval], predicted: Sequence[Interval], iou: float) -> Pairs:
    hit, free, pairs = _overlaps(truth, predicted) >= iou, set(range(len(truth))), []
    for p in range(len(predicted)):
        taken = [t for t in sorted(free) if hit[t, p]]
        pairs += [(t, p) for t in taken]
        free -= set(taken)
    return pairs


def _recognised(
    counts: SpottingCounts, hits: list[tuple[str, str]], names: list[str], mode: Mode
) -> Strs:
    column = {name: index for index, name in enumerate(names)}
    other = len(names)  # a prediction that is not a class: wrong, and no class' false alarm
    truth = [column[label] for label, _ in hits]
    predictions = [column.get(said, other) for _, said in hits]
    right = sum(label == said for label, said in hits)
    matrix = np.zeros((other + 1, other + 1), dtype=np.int64)
    if hits:
        matrix = confusion_matrix(truth, predictions, other + 1)
    each = rates(matrix)
    precision, recall, f1 = (rate[:other].copy() for rate in (each.precision, each.recall, each.f1))
    if mode == "megc":
        certain = np.diagonal(matrix)[:other] == len(hits)
        precision[certain], recall[certain], f1[certain] = 0, 0, 0
    p, r = float(precision.mean()), float(recall.mean())
    nothing = float("nan") if mode == "megc" else 0.0
    analysis = 2 * p * r / (p + r) if p + r else nothing
    return Strs(
        strs=counts.f1 * analysis,
        spotting=counts,
        precision=p,
        recall=r,
        f1=analysis,
        uf1=float(f1.mean()),
        uar=p if mode == "megc" else r,
        right=right,
        mode=mode,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
