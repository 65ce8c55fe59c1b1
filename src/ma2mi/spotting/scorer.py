"""How likely a movement pulse is an expression: a logistic regression that ships with ma2mi."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

FEATURES = (
    "height",  # logarithm of multiples of the noise floor
    "height_px",  # logarithm of shares of the eyes' distance
    "duration",  # logarithm of seconds
    "fit",  # correlation with a cosine pulse
    "rise",  # share of the time before the apex
    "spread",  # share of the face that takes part
    "common",  # how much all regions go one way
    "lids",  # shares of the movement, in multiples of the noise floor
    "brows",
    "mouth",
    "crowd",  # logarithm of the median height around
    "company",  # logarithm of how many others in a minute are as high, unexplained
    "steps",  # how far the noise comes in steps, as a codec's does
    "blink",  # overlap with a blink
    "talk",  # share of speech within a second
    "repeats",  # other movements led by the mouth within 1.5 s, if the mouth leads this one
    "head",  # logarithm of the head's highest speed meanwhile, eye distances a second
    "turn",  # logarithm of how fast the head turns meanwhile, degrees a second
)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Logistic regression over a movement pulse's evidence.

    Args:
        weights: for each of ``FEATURES`` its centre, its scale and its weight.
        bias: log odds of a pulse whose evidence is at the centres.
        cut: score from which a pulse is an event: the best F1 on the training videos.
    """

    weights: Mapping[str, tuple[float, float, float]]
    bias: float
    cut: float

    def __call__(self, evidence: Mapping[str, float]) -> float:
        """Score in [0, 1], 1/2 where the learned probability is at the cut."""
        odds = self.bias + sum(
            weight * float(np.clip((evidence[name] - centre) / scale, -4, 4))
            for name, (centre, scale, weight) in self.weights.items()
        )
        odds -= float(np.log(self.cut / (1 - self.cut)))
        return float(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


@cache
def learned_scorer() -> Scorer:
    """The scorer that ships with the package (learned by ``scripts/learn_spotting.py``)."""
    text = files("ma2mi.spotting").joinpath("scorer.json").read_text(encoding="utf-8")
    content = json.loads(text)
    weights = {name: tuple(row) for name, row in content["weights"].items()}
    return Scorer(weights, content["bias"], content["cut"])
