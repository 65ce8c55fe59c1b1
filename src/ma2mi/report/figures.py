"""Pictures of faces, movement and pre-training as PNG bytes; the same input, the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ma2mi.arrays import Flow
from ma2mi.report.canvas import BLUE, GREY, RED, png, styled


@styled
def draw_pretraining(history: Sequence[dict[str, Any]]) -> bytes:
    """What was learned, on held-out subjects, epoch by epoch.

    Loss, later movement found among 32, action units and the subject read off, the last against
    chance; for the pretext task "near future" loss and copy baseline, gain over it, and variance of
    the latent.
    """
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    if "retrieval" in history[0]:
        _draw_probe(figure, history)
        return png(figure)
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
    return png(figure)


def _draw_probe(figure: Figure, history: Sequence[dict[str, Any]]) -> None:
    left, middle, right = figure.subplots(1, 3)
    epochs = [h["epoch"] for h in history]
    if all("train_loss" in h for h in history):
        left.plot(epochs, [h["train_loss"] for h in history], color=GREY, label="training")
    left.plot(epochs, [h["loss"] for h in history], color=BLUE, label="held out")
    left.legend(frameon=False)
    left.set_title("loss")
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


@styled
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
    return png(figure)


@styled
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
    return png(figure)


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


@styled
def draw_strip(frames: NDArray[np.uint8], captions: Sequence[str]) -> bytes:
    """Frames of one clip side by side, uint8 [N, S, S, 3]."""
    figure = Figure(figsize=(1.5 * len(frames), 1.8), layout="constrained")
    for axes, frame, caption in zip(
        figure.subplots(1, len(frames), squeeze=False).flat, frames, captions, strict=True
    ):
        axes.imshow(frame)
        axes.set_title(caption, fontsize=8)
        axes.axis("off")
    return png(figure)
