"""Calibrate a classifier on predictions of subjects that its fit has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Share of right predictions among those that it does not abstain from; ours, as for "zero".
RIGHT_SHARE = 0.9
#: It abstains from half of them at most, or it would be of no use. Ours.
MOST_ABSTAINED = 0.5
#: Temperatures between which one is chosen; 1 leaves probabilities as they are.
TEMPERATURES = (0.1, 10.0)
#: Below this a probability counts as this: one that is 0 would make a single clip decide.
LEAST = 1e-6


@dataclass(frozen=True)
class Calibration:
    """What was chosen on held-out predictions.

    Args:
        temperature: log-probabilities are divided by it.
        abstain_below: it abstains where no class is as probable as this, after that.
        kept: share of the predictions that are then left.
        right: share of those that is right.
    """

    temperature: float
    abstain_below: float
    kept: float
    right: float

    def apply(self, probabilities: Floats) -> Floats:
        """Calibrated probabilities [N, C]."""
        calibrated: Floats = softmax(_logs(probabilities) / self.temperature, axis=1)
        return calibrated

    def describe(self) -> list[dict[str, Any]]:
        """Each number with name, value, unit and source, for a config and a card."""
        on = "on cross-validated predictions"
        return [
            {
                "name": "temperature",
                "value": self.temperature,
                "unit": "",
                "source": f"the labels are most probable under it, all classes alike; {on}",
            },
            {
                "name": "abstain_below",
                "value": self.abstain_below,
                "unit": "probability of the most probable class",
                "source": f"the lowest from which on {RIGHT_SHARE:.0%} are right, but at most "
                f"{MOST_ABSTAINED:.0%} are abstained from; {on}. It keeps {self.kept:.0%}, "
                f"{self.right:.0%} of them right",
            },
        ]


def calibrate_on(probabilities: Floats, labels: Labels) -> Calibration:
    """Choose temperature and threshold.

    Args:
        probabilities: [N, C], of clips whose subjects the fit has not seen.
        labels: [N].
    """
    temperature = _best_temperature(_logs(probabilities), labels)
    calibrated = softmax(_logs(probabilities) / temperature, axis=1)
    stated, right = calibrated.max(1), calibrated.argmax(1) == labels
    threshold = abstention_threshold(stated, right)
    kept = stated >= threshold
    return Calibration(temperature, threshold, float(kept.mean()), float(right[kept].mean()))


def _logs(probabilities: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(probabilities, LEAST))
    return logs


def smoothed_targets(labels: Labels, classes: int) -> Floats:
    """One-hot rows [N, C] as if one more clip of each class had been called by chance.

    Without it a handful of clips, all of them right, would make a classifier certain (Platt,
    "Probabilistic outputs for support vector machines", 1999).
    """
    share = classes / (len(labels) + classes)
    rows: Floats = (1 - share) * np.eye(classes)[labels] + share / classes
    return rows


def _best_temperature(logs: Floats, labels: Labels) -> float:
    counts = np.bincount(labels, minlength=logs.shape[1])
    weights = 1 / counts[labels]  # all classes alike: the prior is flat
    targets = weights[:, None] * smoothed_targets(labels, logs.shape[1])

    def loss(log: float) -> float:
        return -float((targets * log_softmax(logs / np.exp(log), axis=1)).sum())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return round(float(np.exp(found.x)), 4)


def abstention_threshold(stated: Floats, right: NDArray[np.bool_]) -> float:
    """The lowest probability from which on ``RIGHT_SHARE`` of the predictions are right.

    At most so high that ``MOST_ABSTAINED`` of them are lost.

    Args:
        stated: [N], probability of the predicted class.
        right: bool [N].
    """
    order = np.argsort(-stated, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(right) + 1)
    enough = np.flatnonzero(share >= RIGHT_SHARE)
    fewest = int(np.ceil(len(right) * (1 - MOST_ABSTAINED))) - 1
    last = max(int(enough[-1]) if len(enough) else 0, fewest)
    # Rounded down, so that the clip that sets it is not lost.
    return float(np.floor(stated[order[last]] * 1e4) / 1e4)
