"""A class-balanced ridge on fixed features: a fold of leave-one-subject-out in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.metrics import uar
from ma2mi.evaluation.splits import inner_splits

Features = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DualRidge:
    """L2-regularised least squares to one-of-C targets, in the dual form; a Learner.

    Its strength is chosen by subject-disjoint folds within the training people alone; the
    left-out person has no part in it. Every class weighs the same, however many clips it has.

    Args:
        classes: number of classes.
        seeds: the seeds of the trunks that the features come from.
        strengths: candidates, relative to the mean of the kernel's diagonal.
        folds: inner folds that choose among them; with one candidate there are none.
        seed: of the inner folds.

    ``clips`` are float features [N, K, V, D]: of one trunk for all seeds, or of one trunk a seed
    (K = 1 or the number of seeds), in V views (as it is, mirrored). All views are trained on; the
    first alone is predicted from.
    """

    classes: int
    seeds: tuple[int, ...] = (0,)
    strengths: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    folds: int = 5
    seed: int = 0
    name: str = "dual-ridge"

    @property
    def settings(self) -> dict[str, Any]:
        return {"strengths": list(self.strengths), "folds": self.folds}

    def reseed(self, seed: int) -> DualRidge:
        return replace(self, seed=seed)

    def fit(
        self, clips: Features, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> RidgePredictor:
        """See :class:`ma2mi.evaluation.benchmark.Learner`."""
        if self.seed not in self.seeds:
            raise EvaluationError(f"has no trunk of seed {self.seed}", where=self.name)
        trunk = self.seeds.index(self.seed) % clips.shape[1]
        clips = clips[:, trunk]
        views = clips.shape[1]
        strength = self._choose(clips[:, 0], labels, subjects)
        x = clips.reshape(len(labels) * views, -1).astype(np.float64)
        alpha = _solve(x @ x.T, np.repeat(labels, views), self.classes, strength * views)
        return RidgePredictor(x.T @ alpha, trunk, self._chosen(strength))

    def _chosen(self, strength: float) -> dict[str, Any]:
        on = "inner folds of the training people" if len(self.strengths) > 1 else "nothing: given"
        return {"strength": strength, "chosen_on": on}

    def _choose(
        self, clips: Features, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> float:
        """The best candidate on inner folds, from the clips as they are [N, D] (8 times faster)."""
        if len(self.strengths) == 1 or len(np.unique(subjects)) < 2:
            return self.strengths[0]
        kernel = clips @ clips.T
        scores = np.zeros((len(self.strengths), len(labels), self.classes))
        for split in inner_splits(subjects.tolist(), labels, self.folds, self.seed):
            train, test = split.train, split.test
            inner, across = kernel[np.ix_(train, train)], kernel[np.ix_(test, train)]
            for i, strength in enumerate(self.strengths):
                scores[i, test] = across @ _solve(inner, labels[train], self.classes, strength)
        reached = [uar(labels, s.argmax(1), self.classes, "present") for s in scores]
        return self.strengths[int(np.argmax(reached))]


@dataclass(frozen=True, eq=False)
class RidgePredictor:
    """Weights [D, C] for one trunk, and what was chosen for them on the training people."""

    weights: Features
    trunk: int
    chosen: dict[str, Any]

    def predict(self, clips: Features) -> NDArray[np.float64]:
        """Probabilities [N, C]: a softmax of scores, ordered right but not calibrated."""
        scores = 4.0 * (clips[:, self.trunk, 0] @ self.weights).astype(np.float64)
        scores -= scores.max(1, keepdims=True)
        exp = np.exp(scores)
        result: NDArray[np.float64] = exp / exp.sum(1, keepdims=True)
        return result


def _solve(kernel: Features, labels: NDArray[np.int64], classes: int, strength: float) -> Features:
    """Coefficients [rows, C] of the class-balanced ridge with this kernel."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    root = np.sqrt(len(labels) / (classes * counts[labels]))[:, None]
    target = np.where(np.arange(classes) == labels[:, None], 1.0, -1.0 / max(classes - 1, 1))
    weighted = root * kernel * root.T
    ridge = strength * np.trace(weighted) / len(weighted)
    if not ridge > 0:
        raise EvaluationError("features are all zero", cure="Check the prepared clips")
    weighted[np.diag_indices_from(weighted)] += ridge
    result: Features = root * scipy.linalg.solve(weighted, target * root, assume_a="pos")
    return result


def compress(features: Features) -> Features:
    """The same clips in as few dimensions as there are rows, every inner product kept.

    A ridge sees inner products alone, so this changes nothing but the time that it takes. No
    label enters.

    Args:
        features: [N, V, D].

    Returns:
        float64 [N, V, min(D, N*V)].
    """
    n, views, width = features.shape
    if width <= n * views:
        return features.astype(np.float64)
    x = features.reshape(n * views, width).astype(np.float64)
    values, vectors = np.linalg.eigh(x @ x.T)
    small: Features = (vectors * np.sqrt(np.maximum(values, 0))).reshape(n, views, -1)
    return small
