"""A ridge for few labelled subjects: kernel and strength chosen inside, calibrated there, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ma2mi.errors import EvaluationError
from ma2mi.training.calibration import smoothed_targets
from ma2mi.training.ridge import (
    SHARPNESS,
    ChooseBy,
    Features,
    Labels,
    Rows,
    Subjects,
    leave_groups_out,
    score_by,
)
from ma2mi.training.set_kernels import Mix, SetClips

#: Temperatures between which one is chosen; scores of a ridge are some tenths apart.
TEMPERATURES = (0.02, 2.0)
#: Class biases that are tried, in scores of a ridge.
BIASES = np.linspace(-0.5, 0.5, 21)
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
#: What is taken where none is chosen, relative to the mean of the kernel's diagonal.
STRENGTH = 1.0
GIVEN = "mix and strength are given; the rest on training subjects left out one by one"
LEFT_OUT = "training subjects left out one by one"


@dataclass(frozen=True)
class MixedKernel:
    """A class-balanced ridge on a kernel between clips that is chosen, too; a Learner.

    Mix and strength are those that predict training subjects best when these are left out one by
    one (exactly, see ``ridge.leave_groups_out``); the subject of the outer fold has no part in it.
    Temperature and class biases are fitted on the same predictions, so never on rows that the
    fit has seen.

    Args:
        classes: number of classes.
        mixes: candidates; of equals the first is taken.
        strengths: candidates, relative to the mean of the kernel's diagonal.
        choose_by: what is best; one mix and one strength are given, not chosen.
        biases: add to each class what makes UF1 best.
        by_seed: candidates of each seed, where each reads a network of its own.
        features: digest of what the clips' blocks come from, written beside results.
        name: as in tables.

    ``clips`` are :class:`ma2mi.training.set_kernels.SetClips`: all views are trained on, and the
    mean over them is predicted.
    """

    classes: int
    mixes: tuple[Mix, ...]
    strengths: tuple[float, ...] = (STRENGTH,)
    choose_by: ChooseBy = "error"
    biases: bool = False
    by_seed: tuple[tuple[int, tuple[Mix, ...]], ...] = ()
    features: str = ""
    name: str = "mixed-kernel"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "mixes": [describe_mix(mix) for mix in self.mixes],
            "strengths": list(self.strengths),
            "choose_by": self.choose_by,
            "biases": self.biases,
            "features_sha256": self.features,
        }

    def reseed(self, seed: int) -> MixedKernel:
        """Nothing is drawn; a seed may have a network of its own."""
        return replace(self, mixes=dict(self.by_seed).get(seed, self.mixes))

    def fit(self, clips: SetClips, labels: Labels, subjects: Subjects) -> MixedKernelPredictor:
        """Raises EvaluationError for features that are all zero.

        See :class:`ma2mi.evaluation.learner.Learner`.
        """
        groups = [np.flatnonzero(subjects == one) for one in np.unique(subjects)]
        alone = len(groups) < 2
        strengths = self.strengths[len(self.strengths) // 2 :][:1] if alone else self.strengths
        best: _Fit | None = None
        for mix in self.mixes:
            kernel = clips.kernel(mix)
            if not kernel.any():
                continue
            for strength in strengths:
                fit = self._fit(mix, kernel, labels, groups, strength)
                if best is None or fit.reached > best.reached:
                    best = fit
            if best and alone:
                break
        if best is None:
            raise EvaluationError("features are all zero", hint="Check the prepared clips")
        biases, temperature = np.zeros(self.classes), 1 / SHARPNESS
        if not alone:
            if self.biases:
                biases = fit_biases(best.left_out, labels)
            temperature = fit_temperature(best.left_out + biases, labels)
        chosen = {
            "mix": describe_mix(best.mix),
            "strength": best.strength,
            "temperature": round(temperature, 4),
            "class_biases": biases.round(4).tolist(),
            "chosen_on": "nothing: one subject" if alone else self._chosen_on(),
        }
        return MixedKernelPredictor(clips, best.mix, best.coefficients, biases, temperature, chosen)

    def _chosen_on(self) -> str:
        given = len(self.mixes) == len(self.strengths) == 1
        return GIVEN if given else LEFT_OUT

    def _fit(
        self, mix: Mix, kernel: Features, labels: Labels, groups: Sequence[Rows], strength: float
    ) -> _Fit:
        left_out, coefficients = leave_groups_out(kernel, labels, groups, self.classes, strength)
        reached = score_by(self.choose_by, labels, left_out)
        return _Fit(mix, strength, left_out, coefficients, reached)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A candidate: its scores [n, C] for training subjects left out, and its coefficients."""

    mix: Mix
    strength: float
    left_out: Features
    coefficients: Features
    reached: float


@dataclass(frozen=True, eq=False)
class MixedKernelPredictor:
    """What was fitted, and what was chosen for it on the training subjects.

    Args:
        clips: n, that it was fitted on.
        mix: the kernel.
        coefficients: [n, C].
        biases: [C], added to the scores.
        temperature: scores are then divided by it; their softmax is calibrated.
        chosen: in words and numbers.
    """

    clips: SetClips
    mix: Mix
    coefficients: Features
    biases: Features
    temperature: float
    chosen: dict[str, Any]

    def scores(self, clips: SetClips) -> NDArray[np.float64]:
        """[N, C], the mean over each clip's views."""
        scores: NDArray[np.float64] = clips.kernel(self.mix, self.clips) @ self.coefficients
        return scores

    def predict(self, clips: SetClips) -> NDArray[np.float64]:
        """Probabilities [N, C]."""
        calibrated = (self.scores(clips) + self.biases) / self.temperature
        probabilities: NDArray[np.float64] = softmax(calibrated, axis=1)
        return probabilities

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """Of a linear mix: weights [D, C] of each block, so that a view's scores are their sum.

        Raises:
            EvaluationError: the mix is Gaussian.
        """
        if self.mix.width is not None:
            raise EvaluationError("a Gaussian kernel has no weights", where=self.chosen["mix"])
        rows = self.clips.own_blocks(self.mix)
        return {
            name: weight * rows[name].mean(axis=1).T @ self.coefficients
            for name, weight in self.mix.weights
        }


def describe_mix(mix: Mix) -> dict[str, Any]:
    """A mix as JSON has it."""
    weights = {name: round(weight, 6) for name, weight in mix.weights}
    return {"weights": weights, "width": mix.width}


def fit_temperature(scores: Features, labels: Labels) -> float:
    """The temperature under which the labels are most probable.

    Args:
        scores: [N, C], of rows that the fit has not seen.
        labels: [N].
    """

    def loss(log: float) -> float:
        return -float((targets * log_softmax(scores / np.exp(log), axis=1)).mean())

    targets = smoothed_targets(labels, scores.shape[1])
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def fit_biases(scores: Features, labels: Labels) -> NDArray[np.float64]:
    """What is added to each class for the best UF1: [C], summing to 0.

    One class after the other, twice; each value is scored with its neighbours on the grid, so that
    a single lucky clip decides nothing.

    Args:
        scores: [N, C], of rows that the fit has not seen.
        labels: [N].
    """
    biases = np.zeros(scores.shape[1])
    for _ in range(2):
        for c in range(len(biases)):
            reached = []
            for value in BIASES:
                biases[c] = value
                reached.append(score_by("uf1", labels, scores + biases))
            smooth = np.convolve(np.pad(reached, 2, mode="edge"), np.full(5, 0.2), "valid")
            # Of equals the one nearest to 0.
            biases[c] = BIASES[int(np.argmax(smooth - 1e-3 * np.abs(BIASES)))]
    centred: NDArray[np.float64] = biases - biases.mean()
    return centred
