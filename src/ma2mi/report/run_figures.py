"""Charts of runs, curves and agreement as PNG bytes; the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ma2mi.evaluation.agreement import PairAgreement
from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.metrics import confusion_matrix
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.statistics import reliability
from ma2mi.report.canvas import BLUE, GREY, LINES, MARKERS, png, styled
from ma2mi.report.rows import METRIC_NAMES, TableRow, curve_rows

#: Characters of a name in one line, so that neighbours do not run into each other.
LINE = 36
#: Ends of an axis of shares: marks at 0 and 1 are seen whole.
SHARES = (-0.03, 1.03)
#: More subjects are counted, not named.
MOST_NAMED = 40


@styled
def draw_scores(rows: Sequence[TableRow]) -> bytes:
    """The score of every run, mean over its seeds, with its interval; each seed as a tick."""
    figure = Figure(figsize=(7, 0.8 + 0.38 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        score = row.scores[row.metric]
        axes.plot([score.low, score.high], [place, place], color=GREY, lw=3, zorder=1)
        axes.plot(score.value, place, "o", color=BLUE, zorder=2)
        if len(row.seed_scores) > 1:
            seeds = [each[row.metric] for each in row.seed_scores.values()]
            axes.plot(seeds, [place] * len(seeds), "|", color="black", ms=9, zorder=3)
    axes.set_yticks(places, [fill(row.name, LINE) for row in rows])
    axes.set_xlim(*SHARES)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    name = METRIC_NAMES.get(rows[0].metric, rows[0].metric)
    axes.set_xlabel(f"{name}, 95 % interval over subjects")
    axes.grid(axis="x", alpha=0.3)
    return png(figure)


@styled
def draw_learning_curves(curves: Sequence[LearningCurve]) -> bytes:
    """Score against the number of training subjects, one line an entry, intervals as bars.

    Level lines are dashed, their interval a band. Entries stand a little apart, so that their
    bars do not cover each other.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    metric = curves[0].record.metrics[0]
    sizes = sorted({size for curve in curves for size in curve.sizes})
    drawn = [curve for curve in curves if not curve.is_level]
    for i, curve in enumerate(curves):
        color, marker = LINES[i % len(LINES)], MARKERS[i % len(MARKERS)]
        rows = curve_rows([curve])
        if curve.is_level:
            score = rows[0].score
            axes.axhline(score.value, color=color, ls="--", lw=1.2, label=curve.name)
            axes.axhspan(score.low, score.high, color=color, alpha=0.12, lw=0)
            continue
        # The axis is logarithmic: equal factors are equal steps.
        beside = 1.02 ** (drawn.index(curve) - (len(drawn) - 1) / 2)
        at = np.array([row.subjects for row in rows]) * beside
        value = np.array([row.score.value for row in rows])
        ends = np.array([[row.score.low, row.score.high] for row in rows]).T
        axes.vlines(at, *ends, color=color, lw=2, alpha=0.45)
        axes.plot(at, value, color=color, marker=marker, ms=5, lw=1.5, label=curve.name)
    if sizes:
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
    axes.set_xlabel("training subjects")
    axes.set_ylabel(f"{METRIC_NAMES.get(metric, metric)}, 95 % interval over left-out subjects")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    return png(figure)


@styled
def draw_confusions(results: Sequence[RunResult]) -> bytes:
    """Confusion matrices, rows true, shaded by the share of the row.

    Counts of all seeds are summed, and the title says how many there are.
    """
    columns = min(3, len(results))
    lines = -(-len(results) // columns)
    figure = Figure(figsize=(2.9 * columns, 3.0 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, result in zip(grid.flat, results, strict=False):
        classes, seeds = result.record.classes, result.record.seeds
        pools = [result.pool(seed) for seed in seeds]
        matrix = np.sum(
            [confusion_matrix(p.truth, p.predicted, len(classes)) for p in pools], axis=0
        )
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axes.axis("on")
        axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
        for (i, j), count in np.ndenumerate(matrix):
            ink = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, str(count), ha="center", va="center", color=ink)
        axes.set_xticks(range(len(classes)), classes, rotation=30)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        summed = f"\nsum of {len(seeds)} seeds" if len(seeds) > 1 else ""
        axes.set_title(f"{fill(result.record.learner, LINE)}{summed}", fontsize=8)
    return png(figure)


@styled
def draw_subjects(results: Sequence[RunResult]) -> bytes:
    """Share of right predictions of each subject, mean over seeds, and its range over seeds.

    Subjects are ordered by the first run, the same in every line. For action units the share of
    (clip, unit) pairs that are right.
    """
    shares = [np.stack([_right_by_subject(r, seed) for seed in r.record.seeds]) for r in results]
    names = np.unique(results[0].pool().subjects)
    order = np.argsort(-shares[0].mean(axis=0), kind="stable")
    figure = Figure(figsize=(7, 0.9 + 1.15 * len(results)), layout="constrained")
    grid = figure.subplots(len(results), 1, sharex=True, squeeze=False)
    places = np.arange(len(names))
    for axes, result, share in zip(grid[:, 0], results, shares, strict=True):
        ordered = share[:, order]
        axes.bar(places, ordered.mean(axis=0), color=BLUE, width=0.8)
        axes.vlines(places, ordered.min(axis=0), ordered.max(axis=0), color="black", lw=1)
        axes.set_ylim(0, 1)
        axes.set_title(result.record.learner, fontsize=8)
    last = grid[-1, 0]
    if len(names) <= MOST_NAMED:
        last.set_xticks(places, names[order], rotation=90, fontsize=7)
    else:
        last.set_xticks([])
        last.set_xlabel(f"{len(names)} subjects, ordered by the first run")
    figure.supylabel("share of right predictions", fontsize=9)
    return png(figure)


def _right_by_subject(result: RunResult, seed: int) -> NDArray[np.float64]:
    pool = result.pool(seed)
    right = pool.truth == pool.predicted
    return np.array([right[pool.subjects == one].mean() for one in np.unique(pool.subjects)])


@styled
def draw_calibration(results: Sequence[RunResult]) -> bytes:
    """How often a prediction of so much probability is right: reliability, all seeds pooled.

    A calibrated model lies on the diagonal. Beside each name its expected calibration error.
    """
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    for i, result in enumerate(results):
        pools = [result.pool(seed) for seed in result.record.seeds]
        if result.record.multi_label:
            stated = np.concatenate([pool.probabilities.ravel() for pool in pools])
            right = np.concatenate([pool.truth.ravel() for pool in pools]) == 1
        else:
            stated = np.concatenate([pool.probabilities.max(axis=1) for pool in pools])
            right = np.concatenate([pool.truth == pool.predicted for pool in pools])
        found = reliability(stated, right)
        label = fill(f"{result.record.learner}: {found.error:.3f}", 2 * LINE)
        color, marker = LINES[(i + 1) % len(LINES)], MARKERS[i % len(MARKERS)]
        axes.plot(found.stated, found.right, color=color, marker=marker, ms=5, lw=1.2, label=label)
    axes.set_xlim(*SHARES)
    axes.set_ylim(*SHARES)
    axes.set_xlabel("probability of the predicted class")
    if results[0].record.multi_label:
        axes.set_xlabel("probability of an action unit")
    axes.set_ylabel("share that is right")
    figure.legend(
        frameon=False, fontsize=7, loc="outside lower center", title="expected calibration error"
    )
    return png(figure)


@styled
def draw_fold_curves(results: Sequence[RunResult]) -> bytes:
    """Figures of each epoch: mean over folds and seeds, the middle 80 % of them as a band.

    Args:
        results: runs some of whose folds have a curve; others are left out.
    """
    shown = [result for result in results if any(fold.curve for fold in result.folds)]
    names = list(dict.fromkeys(n for r in shown for f in r.folds for row in f.curve for n in row))
    names.remove("epoch")
    figure = Figure(figsize=(3.6 * len(names), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for i, result in enumerate(shown):
            epochs, low, mean, high = _band(result, name)
            color = LINES[(i + 1) % len(LINES)]
            axes.fill_between(epochs, low, high, color=color, alpha=0.15, lw=0)
            axes.plot(epochs, mean, color=color, lw=1.5, label=result.record.learner)
        axes.set_xlabel("epoch")
        axes.set_title(name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.axes[0].legend(frameon=False, fontsize=7)
    return png(figure)


def _band(result: RunResult, name: str) -> list[NDArray[np.float64]]:
    """Epochs, and of each the 10 % quantile, mean and 90 % quantile over folds and seeds."""
    by_epoch: dict[float, list[float]] = {}
    for fold in result.folds:
        for row in fold.curve:
            if name in row:
                by_epoch.setdefault(row["epoch"], []).append(row[name])
    epochs = sorted(by_epoch)
    values = [np.array(by_epoch[epoch]) for epoch in epochs]
    ends = [[np.quantile(each, share) for each in values] for share in (0.1, 0.9)]
    mean = [each.mean() for each in values]
    return [np.array(one) for one in (epochs, ends[0], mean, ends[1])]


@styled
def draw_agreement(pairs: Sequence[PairAgreement]) -> bytes:
    """Detection against the least IoU, a line for each two coders, as PNG."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, pair in enumerate(pairs):
        place = number + 1  # grey is for what others are held against
        axes.plot(
            list(pair.curve),
            list(pair.curve.values()),
            color=LINES[place % len(LINES)],
            marker=MARKERS[number % len(MARKERS)],
            label=" and ".join(pair.coders),
        )
    axes.set(xlabel="least IoU of a match", ylabel="2 x matched / all", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    return png(figure)
