"""Baselines without a network: the majority class, and a kernel SVM on histograms of flow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ma2mi.clips.pairs import Pairs
from ma2mi.evaluation.metrics import uar
from ma2mi.evaluation.splits import inner_splits

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Majority:
    """Predicts the classes' shares in training, whatever the clip: chance level.

    Args:
        classes: number of classes.
    """

    classes: int
    name: str = "majority"

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def reseed(self, seed: int) -> Majority:
        return self  # nothing is drawn

    def fit(
        self, clips: Any, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> MajorityPredictor:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        return MajorityPredictor(np.bincount(labels, minlength=self.classes) / len(labels))


@dataclass(frozen=True, eq=False)
class MajorityPredictor:
    """The same shares [C] for every clip."""

    shares: Floats

    def predict(self, clips: Any) -> Floats:
        return np.tile(self.shares, (len(clips), 1))


BLOCKS, BINS = 7, 8


def flow_histograms(pairs: Pairs) -> Floats:
    """Histograms of oriented flow on 7 x 7 blocks, 8 directions, weighted by length.

    After Chaudhry et al., "Histograms of oriented optical flow", CVPR 2009, with blocks as in the
    field's LBP-TOP baselines; square root of each bin.

    Args:
        pairs: N pairs; the action's middle 7/8 is used, so that crops' margins do not count.

    Returns:
        [N, 392].
    """
    action = pairs.action.astype(np.float64)  # [N, S, S, 3]
    margin = action.shape[1] // 16
    u, v = np.moveaxis(action[:, margin:-margin, margin:-margin, :2], -1, 0)
    side = u.shape[1]
    block = np.arange(side) * BLOCKS // side
    cell = block[:, None] * BLOCKS + block[None, :]  # [s, s]
    direction = np.floor((np.arctan2(v, u) / (2 * np.pi) % 1.0) * BINS).astype(int) % BINS
    place = cell[None] * BINS + direction
    length = np.hypot(u, v)
    rows = [
        np.bincount(p.ravel(), w.ravel(), minlength=BLOCKS * BLOCKS * BINS)
        for p, w in zip(place, length, strict=True)
    ]
    return np.sqrt(np.array(rows))


@dataclass(frozen=True)
class FlowSVM:
    """A class-balanced RBF-kernel SVM (scikit-learn's) on features [N, D].

    Its C is chosen by subject-disjoint folds within the training subjects.

    Args:
        classes: number of classes.
        strengths: candidates for C.
        seed: of the inner folds.
    """

    classes: int
    strengths: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    seed: int = 0
    name: str = "flow-svm"

    @property
    def settings(self) -> dict[str, Any]:
        return {"strengths": list(self.strengths)}

    def reseed(self, seed: int) -> FlowSVM:
        return replace(self, seed=seed)

    def fit(
        self, clips: Floats, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> SVMPredictor:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        best, chosen_on = self._choose(clips, labels, subjects)
        chosen = {"C": best, "chosen_on": chosen_on}
        return SVMPredictor(_fitted(best, clips, labels), self.classes, chosen)

    def _choose(
        self, clips: Floats, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> tuple[float, str]:
        if len(np.unique(subjects)) < 2:
            return self.strengths[len(self.strengths) // 2], "nothing: one subject"
        splits = inner_splits(subjects.tolist(), labels, 5, self.seed)
        reached = []
        for strength in self.strengths:
            predicted = np.empty_like(labels)
            for split in splits:
                model = _fitted(strength, clips[split.train], labels[split.train])
                predicted[split.test] = model.predict(clips[split.test])
            reached.append(uar(labels, predicted, self.classes, "present"))
        return self.strengths[int(np.argmax(reached))], "inner folds of the training subjects"


def _fitted(
    strength: float, clips: Floats, labels: NDArray[np.int64]
) -> Pipeline | DummyClassifier:
    """A fitted SVM; of clips of one class alone, what always predicts that class."""
    if len(np.unique(labels)) < 2:
        return DummyClassifier(strategy="most_frequent").fit(clips, labels)
    svm = make_pipeline(StandardScaler(), SVC(C=strength, class_weight="balanced"))
    return svm.fit(clips, labels)


@dataclass(frozen=True, eq=False)
class SVMPredictor:
    """A fitted SVM that predicts a softmax of its votes: ordered right, not calibrated."""

    model: Pipeline | DummyClassifier
    classes: int
    chosen: dict[str, Any]

    def predict(self, clips: Floats) -> Floats:
        """Probabilities [N, classes]; the most probable class is the SVM's own prediction."""
        seen = self.model.classes_
        predicted = np.searchsorted(seen, self.model.predict(clips))
        if len(seen) == 1:
            certain: Floats = np.eye(self.classes)[seen[predicted]]
            return certain
        votes = self.model.decision_function(clips)
        scores = np.full((len(clips), self.classes), -30.0)
        if votes.ndim == 1:
            votes = np.stack([-votes, votes], axis=1)
        scores[:, seen] = votes
        # One-against-one votes can tie where the SVM has its own rule: let its prediction win.
        rows = np.arange(len(clips))
        scores[rows, seen[predicted]] = np.maximum(
            scores[rows, seen[predicted]], scores.max(1) + 1e-6
        )
        exp = np.exp(scores - scores.max(1, keepdims=True))
        result: Floats = exp / exp.sum(1, keepdims=True)
        return result
