"""A class-balanced ridge on fixed features: a fold of leave-one-subject-out in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.metrics import uar, uf1
from ma2mi.evaluation.splits import inner_splits

Features = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64]
Subjects = NDArray[np.str_]

#: Scores of a ridge are differences of some tenths; so many times larger they are spread over
#: [0, 1] by a softmax. Which class is the most probable does not depend on it.
SHARPNESS = 4.0

#: What a candidate is chosen by: a metric of predictions for subjects left out inside, or their
#: squared error, every class weighing the same. Metrics count clips and jump; an error does not.
ChooseBy = Literal["uar", "uf1", "error"]
_METRICS = {"uar": uar, "uf1": uf1}


@dataclass(frozen=True)
class DualRidge:
    """L2-regularised least squares to one-of-C targets, in the dual form; a Learner.

    Its strength is chosen by subject-disjoint folds within the training subjects alone; the
    left-out subject has no part in it. Every class weighs the same, however many clips it has.

    Args:
        classes: number of classes.
        seeds: the seeds of the backbones that the features come from.
        strengths: candidates, relative to the mean of the kernel's diagonal.
        folds: inner folds that choose among them; with one candidate there are none.
        seed: of the inner folds.
        choose_by: what is best on them.

    ``clips`` are float features [N, K, V, D]: of one backbone for all seeds, or of one backbone a
    seed (K = 1 or the number of seeds), in V views (as it is, mirrored). All views are trained on;
    the first alone is predicted from.
    """

    classes: int
    seeds: tuple[int, ...] = (0,)
    strengths: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    folds: int = 5
    seed: int = 0
    name: str = "dual-ridge"
    choose_by: ChooseBy = "uar"

    @property
    def settings(self) -> dict[str, Any]:
        known = {"strengths": list(self.strengths), "folds": self.folds}
        return known if self.choose_by == "uar" else {**known, "choose_by": self.choose_by}

    def reseed(self, seed: int) -> DualRidge:
        return replace(self, seed=seed)

    def fit(self, clips: Features, labels: Labels, subjects: Subjects) -> RidgePredictor:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        if self.seed not in self.seeds:
            raise EvaluationError(f"has no backbone of seed {self.seed}", where=self.name)
        backbone = self.seeds.index(self.seed) % clips.shape[1]
        clips = clips[:, backbone]
        views = clips.shape[1]
        # From the clips as they are: 8 times faster than with all views.
        kernel = clips[:, 0] @ clips[:, 0].T

        def candidate_scores(train: Rows, test: Rows) -> list[Features]:
            inner, across = kernel[np.ix_(train, train)], kernel[np.ix_(test, train)]
            return [across @ solve_dual(inner, labels[train], self.classes, s) for s in strengths]

        strengths = self.strengths
        best, chosen_on = choose(
            len(strengths),
            candidate_scores,
            labels,
            subjects,
            self.classes,
            self.folds,
            self.seed,
            self.choose_by,
        )
        x = clips.reshape(len(labels) * views, -1).astype(np.float64)
        repeated = np.repeat(labels, views)
        alpha = solve_dual(x @ x.T, repeated, self.classes, strengths[best] * views)
        chosen = {"strength": strengths[best], "chosen_on": chosen_on}
        return RidgePredictor(x.T @ alpha, backbone, chosen)


@dataclass(frozen=True, eq=False)
class RidgePredictor:
    """Weights [D, C] for one backbone, and what was chosen for them on the training subjects."""

    weights: Features
    backbone: int
    chosen: dict[str, Any]

    def predict(self, clips: Features) -> NDArray[np.float64]:
        """Probabilities [N, C]: a softmax of scores, ordered right but not calibrated."""
        return probabilities_of(clips[:, self.backbone, 0] @ self.weights)


def choose(
    candidates: int,
    candidate_scores: Callable[[Rows, Rows], list[Features]],
    labels: Labels,
    subjects: Subjects,
    classes: int,
    folds: int,
    seed: int,
    choose_by: ChooseBy = "uar",
) -> tuple[int, str]:
    """The candidate of the best UAR, or UF1, on subject-disjoint folds of the training subjects.

    The first of equals is taken. One subject alone cannot be parted: then it is the candidate in
    the middle.

    Args:
        candidates: how many there are.
        candidate_scores: fits each candidate on the first rows, and returns its scores
            [len(second rows), C] for the second rows.
        labels, subjects: [N], of the training clips.
        folds, seed: of the inner folds.

    Returns:
        its number, and what it was chosen on, in words.
    """
    if candidates == 1 or len(np.unique(subjects)) < 2:
        return candidates // 2, "nothing: given" if candidates == 1 else "nothing: one subject"
    scores = np.zeros((candidates, len(labels), classes))
    for split in inner_splits(subjects.tolist(), labels, folds, seed):
        for i, reached in enumerate(candidate_scores(split.train, split.test)):
            scores[i, split.test] = reached
    found = [score_by(choose_by, labels, s) for s in scores]
    return int(np.argmax(found)), "inner folds of the training subjects"


def score_by(metric: ChooseBy, labels: Labels, scores: Features) -> float:
    """What is best is highest: a metric of the classes that scores [N, C] are highest for (absent
    classes do not count), or less the error of the scores.
    """
    if metric == "error":
        root, target = _balance(labels, scores.shape[1])
        return -float(np.mean(np.square(root * (scores - target))))
    return _METRICS[metric](labels, scores.argmax(1), scores.shape[1], "present")


def solve_dual(kernel: Features, labels: Labels, classes: int, strength: float) -> Features:
    """Coefficients [rows, C] of the class-balanced ridge with this kernel.

    Args:
        kernel: [rows, rows].
        labels: [rows].
        strength: relative to the mean of the weighted kernel's diagonal.

    Raises:
        EvaluationError: a kernel of zeros.
    """
    root, target = _balance(labels, classes)
    weighted = root * kernel * root.T
    weighted[np.diag_indices_from(weighted)] += _penalty(np.diagonal(weighted), strength)
    result: Features = root * scipy.linalg.solve(weighted, target * root, assume_a="pos")
    return result


def leave_groups_out(
    kernel: Features, labels: Labels, groups: Sequence[Rows], classes: int, strength: float
) -> tuple[Features, Features]:
    """The class-balanced ridge, and what it predicts for each group when that is left out.

    Exact, from one decomposition (the leave-one-out formula of least squares, for groups: Rifkin
    and Lippert 2007). What is balanced and what ``strength`` is relative to stays that of all rows.

    Args:
        kernel, labels, strength: as in :func:`solve_dual`.
        groups: row numbers, each row in one group.

    Returns:
        scores [rows, C] of each row by a fit without its group, and coefficients [rows, C] of
        the fit on all.

    Raises:
        EvaluationError: a kernel of zeros.
    """
    root, target = _balance(labels, classes)
    weighted = root * kernel * root.T
    weighted[np.diag_indices_from(weighted)] += _penalty(np.diagonal(weighted), strength)
    lower = scipy.linalg.cholesky(weighted, lower=True, check_finite=False)
    # weighted^-1 = inverse.T @ inverse
    inverse, _ = scipy.linalg.lapack.dtrtri(lower, lower=1)
    solved = inverse.T @ (inverse @ (root * target))
    scores = np.empty_like(target)
    for rows in groups:
        own = inverse[:, rows]
        scores[rows] = target[rows] - np.linalg.solve(own.T @ own, solved[rows]) / root[rows]
    coefficients: Features = root * solved
    return scores, coefficients


def solve_primal(
    x: Features, labels: Labels, classes: int, strength: float
) -> tuple[Features, Features]:
    """The class-balanced ridge on few features, with an offset that is not penalised.

    Args:
        x: features [rows, D].
        labels: [rows].
        strength: relative to the mean squared length of the weighted features, centred.

    Returns:
        weights [D, C] and offset [C].

    Raises:
        EvaluationError: features that are all the same.
    """
    root, target = _balance(labels, classes)
    share = np.square(root) / np.square(root).sum()
    x_mean, target_mean = (share * x).sum(axis=0), (share * target).sum(axis=0)
    weighted = root * (x - x_mean)
    gram = weighted.T @ weighted
    gram[np.diag_indices_from(gram)] += _penalty(np.square(weighted).sum(axis=1), strength)
    aim = weighted.T @ (root * (target - target_mean))
    weights: Features = scipy.linalg.solve(gram, aim, assume_a="pos")
    return weights, target_mean - x_mean @ weights


def _balance(labels: Labels, classes: int) -> tuple[Features, Features]:
    """Square roots of the rows' weights [rows, 1], equal in sum for all classes, and targets."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    root = np.sqrt(len(labels) / (classes * counts[labels]))[:, None]
    target = np.where(np.arange(classes) == labels[:, None], 1.0, -1.0 / max(classes - 1, 1))
    return root, target


def _penalty(diagonal: Features, strength: float) -> float:
    penalty = strength * float(np.mean(diagonal))
    if not penalty > 0:
        raise EvaluationError("features are all zero", hint="Check the prepared clips")
    return penalty


def probabilities_of(scores: Features) -> NDArray[np.float64]:
    """A softmax of scores [N, C]: ordered right, not calibrated."""
    sharp = SHARPNESS * scores.astype(np.float64)
    exp = np.exp(sharp - sharp.max(1, keepdims=True))
    result: NDArray[np.float64] = exp / exp.sum(1, keepdims=True)
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
