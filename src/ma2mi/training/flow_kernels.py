"""Controls without a network: components of the flow under a ridge, and an RBF kernel ridge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ma2mi.arrays import Flow
from ma2mi.clips.pairs import Pairs
from ma2mi.errors import EvaluationError
from ma2mi.training.ridge import (
    Features,
    Labels,
    Rows,
    Subjects,
    choose,
    probabilities_of,
    solve_dual,
    solve_primal,
)

#: Side of the flow that the controls see, in cells: that of MEGC2019's flow images.
SIDE = 28


def flow_views(pairs: Pairs, size: int = 112, side: int = SIDE) -> Features:
    """The movement of every pair and of its mirror image, without head shift and without scale.

    Of each pair alone: the median of u and of v over the picture is subtracted, and the rest
    divided by its own root mean square. A pair without any movement stays 0.

    Args:
        pairs: N onset-apex pairs.
        size: side in px of the middle of the crops that is seen, at most all.
        side: it is averaged down to so many cells a side.

    Returns:
        float32 [N, 2, side * side * 2].
    """
    whole = pairs.action.shape[1]
    margin = (whole - min(size, whole)) // 2
    inner = slice(margin, whole - margin)
    flows = np.stack([_shrink(a[inner, inner, :2].astype(np.float32), side) for a in pairs.action])
    flows -= np.median(flows, axis=(1, 2), keepdims=True)
    length = np.sqrt(np.mean(np.square(flows), axis=(1, 2, 3), keepdims=True))
    flows = np.divide(flows, length, out=np.zeros_like(flows), where=length > 0)
    mirrored = flows[:, :, ::-1] * np.array([-1, 1], np.float32)
    return np.stack([flows, mirrored], axis=1).reshape(len(flows), 2, -1)


def _shrink(flow: Flow, side: int) -> Flow:
    """Means over cells, [S, S, 2] -> [side, side, 2]; a smaller flow stays as it is.

    Pixels on the border of two cells count to both by their share.
    """
    whole = flow.shape[0]
    if whole <= side:
        return flow
    edges = np.arange(side + 1)[:, None] * (whole / side)
    covered = np.clip(edges - np.arange(whole), 0, 1)  # of each pixel, left of each edge
    share = (np.diff(covered, axis=0) * (side / whole)).astype(np.float32)
    means: Flow = np.einsum("iy,yxc,jx->ijc", share, flow, share, optimize=True)
    return means


def signed_root(flows: Features) -> Features:
    """Signed square root of every value: large movements count less against small ones."""
    rooted: Features = np.sign(flows) * np.sqrt(np.abs(flows))
    return rooted


@dataclass(frozen=True)
class FlowPCA:
    """Principal components of the training subjects' flow, a ridge on their scores; a Learner.

    A linear latent action model: what a pre-trained movement code has to beat. Components and
    ridge strength are chosen by subject-disjoint folds within the training subjects, each fold
    with components of its own.

    Args:
        classes: number of classes.
        components: candidates for their number; never more than the rank.
        strengths: candidates, relative to the mean squared length of the scores. Of equally good
            candidates the first is taken, and with few labelled clips many are: both defaults
            begin with what served two labelled subjects best on synthetic movements.
        folds: inner folds.
        seed: of the inner folds.

    ``clips`` are float [N, V, D] as from :func:`flow_views`; all views are trained on, the first
    alone is predicted from.
    """

    classes: int
    components: tuple[int, ...] = (64, 32, 16)
    strengths: tuple[float, ...] = (0.3, 0.1, 1.0, 0.03)
    folds: int = 5
    seed: int = 0
    name: str = "flow-pca"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "components": list(self.components),
            "strengths": list(self.strengths),
            "folds": self.folds,
        }

    def reseed(self, seed: int) -> FlowPCA:
        return replace(self, seed=seed)

    def fit(self, clips: Features, labels: Labels, subjects: Subjects) -> FlowPCAPredictor:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        views = clips.shape[1]
        x = clips.reshape(len(labels) * views, -1).astype(np.float64)
        repeated = np.repeat(labels, views)
        kernel = x @ x.T
        grid = [(k, s) for k in self.components for s in self.strengths]

        def candidate_scores(train: Rows, test: Rows) -> list[Features]:
            rows = (train[:, None] * views + np.arange(views)).ravel()
            axes = _principal_axes(kernel[np.ix_(rows, rows)], max(self.components))
            # Of a kernel's rows; the axes sum to 0, so the training mean need not be subtracted
            # from the rows that they meet.
            mean = kernel[np.ix_(rows, rows)].mean(axis=0)
            z = (kernel[np.ix_(rows, rows)] - mean) @ axes
            z_test = (kernel[np.ix_(test * views, rows)] - mean) @ axes
            if not axes.shape[1]:  # one clip, or clips that are all the same
                return [np.zeros((len(test), self.classes))] * len(grid)
            fits = [solve_primal(z[:, :k], repeated[rows], self.classes, s) for k, s in grid]
            return [z_test[:, : len(w)] @ w + offset for w, offset in fits]

        best, chosen_on = choose(
            len(grid), candidate_scores, labels, subjects, self.classes, self.folds, self.seed
        )
        count, strength = grid[best]
        axes = _principal_axes(kernel, count)
        mean = x.mean(axis=0)
        directions = x.T @ axes  # [D, k]; centred, as the axes sum to 0
        scores = (x - mean) @ directions
        weights, offset = solve_primal(scores, repeated, self.classes, strength)
        chosen = {"components": axes.shape[1], "strength": strength, "chosen_on": chosen_on}
        whole = directions @ weights
        return FlowPCAPredictor(whole, offset - mean @ whole, chosen)


@dataclass(frozen=True, eq=False)
class FlowPCAPredictor:
    """Weights [D, C] and offset [C] of the flow, and what was chosen for them."""

    weights: Features
    offset: Features
    chosen: dict[str, Any]

    def predict(self, clips: Features) -> NDArray[np.float64]:
        """Probabilities [N, C]: a softmax of scores, ordered right but not calibrated."""
        return probabilities_of(clips[:, 0] @ self.weights + self.offset)


def _principal_axes(kernel: Features, count: int) -> Features:
    """The first principal axes as combinations of the rows: [rows, k], k at most the rank.

    Args:
        kernel: inner products of the rows [rows, rows], not centred.
        count: at most so many.

    Each column sums to 0 and, applied to the rows, gives a direction of length 1.
    """
    rows = len(kernel)
    across = kernel.mean(axis=0)
    centred = kernel - across - across[:, None] + kernel.mean()
    count = min(count, rows)
    values, vectors = scipy.linalg.eigh(centred, subset_by_index=(rows - count, rows - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    # Below this share of the largest, a component is rounding.
    kept = values > max(values[0], 0) * rows * np.finfo(np.float64).eps
    axes = vectors[:, kept] / np.sqrt(values[kept])
    summing_to_0: Features = axes - axes.mean(axis=0)
    return summing_to_0


@dataclass(frozen=True)
class RBFRidge:
    """A class-balanced ridge with a Gaussian kernel on the flow's values; a Learner.

    k(x, y) = exp(-|x - y|^2 / (2 (width * m)^2)), with m the median distance of two training
    clips. Width and strength are chosen by subject-disjoint folds within the training subjects.

    Args:
        classes: number of classes.
        widths: candidates, in units of m. The wider, the nearer to a straight line.
        strengths: candidates, relative to the kernel's diagonal; a wide kernel needs less. Of
            equals the first is taken, as in :class:`FlowPCA`.
        folds: inner folds.
        seed: of the inner folds.

    ``clips`` are float [N, V, D], such as the signed root of :func:`flow_views`; all views are
    trained on, the first alone is predicted from.
    """

    classes: int
    widths: tuple[float, ...] = (4.0, 2.0, 1.0)
    strengths: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    folds: int = 5
    seed: int = 0
    name: str = "pixels-rbf"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "widths": list(self.widths),
            "strengths": list(self.strengths),
            "folds": self.folds,
        }

    def reseed(self, seed: int) -> RBFRidge:
        return replace(self, seed=seed)

    def fit(self, clips: Features, labels: Labels, subjects: Subjects) -> RBFPredictor:
        """Raises EvaluationError for clips without any movement.

        See :class:`ma2mi.evaluation.learner.Learner`.
        """
        views = clips.shape[1]
        x = clips.reshape(len(labels) * views, -1).astype(np.float64)
        if not x.any():
            raise EvaluationError("features are all zero", hint="Check the prepared clips")
        squared = _squared_distances(x, x)
        grid = [(w, s) for w in self.widths for s in self.strengths]
        # Chosen on the clips as they are: 8 times faster than with all views.
        plain = squared[::views, ::views]

        def candidate_scores(train: Rows, test: Rows) -> list[Features]:
            unit = _unit(plain[np.ix_(train, train)])
            reached = []
            for width in self.widths:
                kernel = np.exp(-plain[:, train] / (2 * width**2 * unit))
                reached += [
                    kernel[test] @ solve_dual(kernel[train], labels[train], self.classes, strength)
                    for strength in self.strengths
                ]
            return reached

        best, chosen_on = choose(
            len(grid), candidate_scores, labels, subjects, self.classes, self.folds, self.seed
        )
        width, strength = grid[best]
        spread = 2 * width**2 * _unit(plain)
        alpha = solve_dual(
            np.exp(-squared / spread), np.repeat(labels, views), self.classes, strength * views
        )
        chosen = {"width": width, "strength": strength, "chosen_on": chosen_on}
        return RBFPredictor(x, alpha, spread, chosen)


@dataclass(frozen=True, eq=False)
class RBFPredictor:
    """Training rows [n, D] with their coefficients [n, C], and what was chosen for them.

    Args:
        spread: what squared distances are divided by.
    """

    rows: Features
    coefficients: Features
    spread: float
    chosen: dict[str, Any]

    def predict(self, clips: Features) -> NDArray[np.float64]:
        """Probabilities [N, C]: a softmax of scores, ordered right but not calibrated."""
        squared = _squared_distances(clips[:, 0].astype(np.float64), self.rows)
        return probabilities_of(np.exp(-squared / self.spread) @ self.coefficients)


def _squared_distances(one: Features, other: Features) -> Features:
    """[n, m] between rows [n, D] and [m, D]."""
    lengths = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1)
    squared: Features = np.maximum(lengths - 2 * one @ other.T, 0)
    return squared


def _unit(squared: Features) -> float:
    """The median squared distance of two clips [n, n]; 1 where all of them are the same."""
    pairs = squared[np.triu_indices(len(squared), k=1)]
    middle = float(np.median(pairs)) if pairs.size else 0.0
    return middle if middle > 0 else 1.0
