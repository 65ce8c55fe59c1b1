"""Pictures of results as PNG bytes; the same input gives the same bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ma2mi.arrays import Flow
from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.metrics import confusion_matrix
from ma2mi.evaluation.results import RunResult
from ma2mi.report.tables import METRIC_NAMES, TableRow, curve_rows

#: Of our pictures alone: the process of whoever calls keeps its own, and a matplotlibrc in the
#: user's home changes no byte. Names of classes and models are no formulas.
_STYLE: Any = [
    "default",
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
        "text.usetex": False,
    },
]
BLUE, GREY, RED = "#2a6f97", "#8d99ae", "#c1666b"
#: Lines of a chart in their order; distinct under every common colour blindness (Okabe and Ito).
LINES = ("#8d99ae", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vP<>"
Draw = TypeVar("Draw", bound=Callable[..., bytes])


def _styled(draw: Draw) -> Draw:
    @functools.wraps(draw)
    def run(*given: Any, **named: Any) -> bytes:
        with matplotlib.style.context(_STYLE):
            return draw(*given, **named)

    return cast(Draw, run)


@_styled
def draw_scores(rows: Sequence[TableRow]) -> bytes:
    """UF1 of every run with its interval."""
    figure = Figure(figsize=(7, 0.8 + 0.38 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        axes.plot([row.uf1.low, row.uf1.high], [place, place], color=GREY, lw=3, zorder=1)
        axes.plot(row.uf1.value, place, "o", color=BLUE, zorder=2)
    axes.set_yticks(places, [row.name for row in rows])
    axes.set_xlim(0, 1)
    axes.set_xlabel("UF1, 95 % interval over subjects")
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


@_styled
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
    return _png(figure)


@_styled
def draw_confusions(results: Sequence[RunResult]) -> bytes:
    """Confusion matrices of all seeds together, rows true, shaded by the share of the row."""
    columns = min(3, len(results))
    lines = -(-len(results) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.9 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, result in zip(grid.flat, results, strict=False):
        classes = result.record.classes
        pools = [result.pool(seed) for seed in result.record.seeds]
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
        axes.set_title(result.record.learner, fontsize=8)
    return _png(figure)


@_styled
def draw_pretraining(history: Sequence[dict[str, Any]]) -> bytes:
    """What was learned, on held-out subjects, epoch by epoch.

    Loss, later movement found among 32, action units and the subject read off, the last against
    chance; for the pretext task "near future" loss and copy baseline, gain over it, and variance of
    the latent.
    """
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    if "retrieval" in history[0]:
        _draw_probe(figure, history)
        return _png(figure)
    left, middle, right = figure.subplots(1, 3)
    epochs = [h["epoch"] for h in history]
    left.plot(epochs, [h["loss"] for h in history], color=BLUE, label="MA2MI")
    left.plot(epochs, [h["copy"] for h in history], color=GREY, label="no change")
    left.legend(frameon=False)
    left.set_title("held-out loss")
    middle.plot(epochs, [100 * h["gain"] for h in history], color=BLUE)
    middle.axhline(0, color=GREY, lw=1)
    middle.set_title("gain over the no-change baseline, %")
    right.plot(epochs, [h["variance"] for h in history], color=RED)
    right.set_ylim(bottom=0)
    right.set_title("variance of the latent")
    for axes in (left, middle, right):
        axes.set_xlabel("epoch")
    return _png(figure)


def _draw_probe(figure: Figure, history: Sequence[dict[str, Any]]) -> None:
    left, middle, right = figure.subplots(1, 3)
    epochs = [h["epoch"] for h in history]
    left.plot(epochs, [h["loss"] for h in history], color=BLUE)
    left.set_title("held-out loss")
    middle.plot(epochs, [100 * h["retrieval"] for h in history], color=BLUE)
    middle.axhline(100 / 32, color=GREY, lw=1)
    middle.set_title("later movement found among 32, %")
    if "units" in history[0]:
        right.plot(epochs, [h["units"] for h in history], color=BLUE, label="action units, AUC")
        right.plot(epochs, [h["subject"] for h in history], color=RED, label="subject")
        right.plot(epochs, [h["subject_chance"] for h in history], color=GREY, lw=1, label="chance")
        right.legend(frameon=False)
    right.set_ylim(0, 1)
    right.set_title("read off by a ridge")
    for axes in (left, middle, right):
        axes.set_xlabel("epoch")


@_styled
def draw_attention(
    onsets: NDArray[np.uint8],
    apexes: NDArray[np.uint8],
    flows: NDArray[np.uint8],
    attention: NDArray[np.float32],
    titles: Sequence[str],
) -> bytes:
    """One column a clip: onset, apex, flow, and where the action branch looks.

    Args:
        onsets, apexes, flows: uint8 [N, S, S, 3].
        attention: [N, gh, gw]; every map is stretched to its own range.
        titles: N.
    """
    names = ("onset", "apex", "flow", "attention")
    figure = Figure(figsize=(1.5 * len(titles) + 0.4, 6.2), layout="constrained")
    grid = figure.subplots(4, len(titles), squeeze=False)
    for i, title in enumerate(titles):
        grid[0, i].set_title(title, fontsize=8)
        for row, picture in enumerate((onsets[i], apexes[i], flows[i], onsets[i])):
            grid[row, i].imshow(picture)
            grid[row, i].set_xticks([])
            grid[row, i].set_yticks([])
        side = onsets.shape[1]
        grid[3, i].imshow(
            attention[i],
            cmap="inferno",
            alpha=0.55,
            extent=(-0.5, side - 0.5, side - 0.5, -0.5),
            interpolation="bilinear",
        )
    for row, name in enumerate(names):
        grid[row, 0].set_ylabel(name)
    return _png(figure)


@_styled
def draw_heatmaps(
    flows: NDArray[np.float32],
    maps: NDArray[np.float32],
    titles: Sequence[str],
    *,
    faces: NDArray[np.uint8] | None = None,
    attention: NDArray[np.float32] | None = None,
) -> bytes:
    """One column a clip: the flow, what spoke for the answer over it and over the face, attention.

    Args:
        flows: [N, S, S, 2] in px; arrows every eighth of the side, each column to its own scale.
        maps: [N, s, s] in [0, 1], such as Grad-CAM.
        titles: N.
        faces: uint8 [N, S, S, 3], the onsets; None where there are none.
        attention: [N, s, s]; None without; every map is stretched to its own range.
    """
    lines = ["flow", "Grad-CAM, flow"]
    lines += ["Grad-CAM, face"] if faces is not None else []
    lines += ["attention"] if attention is not None else []
    side = flows.shape[1]
    figure = Figure(figsize=(1.7 * len(titles) + 0.4, 1.7 * len(lines) + 0.5), layout="constrained")
    grid = figure.subplots(len(lines), len(titles), squeeze=False)
    for i, title in enumerate(titles):
        grid[0, i].set_title(title, fontsize=8)
        length = np.hypot(flows[i, ..., 0], flows[i, ..., 1])
        for axes, line in zip(grid[:, i], lines, strict=True):
            if faces is not None and ("face" in line or line == "attention"):
                axes.imshow(faces[i])
            else:
                axes.imshow(length, cmap="gray_r", vmin=0, vmax=_long(length))
            shown = attention if line == "attention" else maps if line != "flow" else None
            if shown is not None:
                _overlay(axes, shown[i], side, stretch=line == "attention")
            if "flow" in line:
                _arrows(axes, flows[i])
            axes.set_xlim(-0.5, side - 0.5)
            axes.set_ylim(side - 0.5, -0.5)
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, line in zip(grid[:, 0], lines, strict=True):
        axes.set_ylabel(line)
    return _png(figure)


def _overlay(axes: Any, heat: NDArray[np.float32], side: int, *, stretch: bool) -> None:
    """A map over a picture of this side: the stronger, the less of the picture shows."""
    low = float(heat.min()) if stretch else 0.0
    share = (heat - low) / max(float(heat.max()) - low, 1e-9)
    axes.imshow(
        share,
        cmap="inferno",
        alpha=0.15 + 0.6 * share,
        vmin=0,
        vmax=1,
        extent=(-0.5, side - 0.5, side - 0.5, -0.5),
        interpolation="bilinear",
    )


def _arrows(axes: Any, flow: Flow, count: int = 14) -> None:
    """Movement as arrows; long ones are as long as the distance between them."""
    side = flow.shape[0]
    at = ((np.arange(count) + 0.5) * side / count).astype(int)
    u, v = np.moveaxis(flow[np.ix_(at, at)], -1, 0)
    scale = _long(np.hypot(u, v)) / (side / count)
    axes.quiver(at, at, u, v, angles="xy", scale_units="xy", scale=scale, color=BLUE, width=0.012)


def _long(length: NDArray[np.floating[Any]]) -> float:
    """A length that few exceed: flow in hair and backgrounds is often wrong, and huge."""
    return max(float(np.quantile(length, 0.97)), 1e-9)


@_styled
def draw_strip(frames: NDArray[np.uint8], captions: Sequence[str]) -> bytes:
    """Frames of one clip side by side, uint8 [N, S, S, 3]."""
    figure = Figure(figsize=(1.5 * len(frames), 1.8), layout="constrained")
    for axes, frame, caption in zip(
        figure.subplots(1, len(frames), squeeze=False).flat, frames, captions, strict=True
    ):
        axes.imshow(frame)
        axes.set_title(caption, fontsize=8)
        axes.axis("off")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    # No software version in the file: the same input, the same bytes.
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()
