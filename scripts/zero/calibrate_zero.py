"""Temperatures, biases and thresholds of a recognizer, chosen on subjects that it never saw."""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
import torch
from judging import EvaluationSet, compute_logits
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch.nn import functional

from ma2mi.models.backbone import Backbone
from ma2mi.motion.facs import CLASSES
from ma2mi.synthesis.flow_simulator import UNITS
from ma2mi.training.outputs import RecognizerSettings, calibrate
from ma2mi.training.recognizer import Recognizer

Floats = NDArray[np.float64]

KEPT_MOVEMENTS = 0.95
"""Share of the calibration domains' expressions that the movement threshold lets pass."""

RIGHT_SHARE = 0.95
"""Share of right predictions on the calibration domains, below which it abstains."""

RECIPE = [
    "scripts/zero",
    "src/ma2mi/training/simulated.py",
    "src/ma2mi/motion/facs.py",
    "src/ma2mi/synthesis",
    "src/ma2mi/models",
    "src/ma2mi/motion",
]


def calibrate_on(
    net: Backbone, domains: list[EvaluationSet], described: dict[str, Any]
) -> Recognizer:
    """The network with temperatures and thresholds chosen on these domains.

    No prior of the classes goes in: the temperature is fitted beside the domains' own shares of
    the classes, which are then left out.

    Args:
        net: with ``RecognizerSettings.outputs`` outputs.
        domains: see ``judging.calibration_domains``; each counts as its samples.
        described: "model", "settings", "size" and whatever else the config should hold.
    """
    logits = [compute_logits(net, domain.actions, described["size"]) for domain in domains]
    label = np.concatenate([domain.label for domain in domains])
    units = [domain.units for domain in domains]
    every = torch.cat(logits)
    c, u = len(CLASSES), len(UNITS)
    moves = torch.from_numpy(label >= 0)
    temperature = class_temperature(every[moves, :c], label[label >= 0])
    unit_logits = [part[:, c : c + u].numpy() for part in logits]
    fits = [
        unit_scale(np.concatenate(unit_logits)[:, k], np.concatenate(units)[:, k]) for k in range(u)
    ]
    unit_temperature, unit_bias = (tuple(values) for values in zip(*fits, strict=True))
    chance = [
        1 / (1 + np.exp(-(part / np.array(unit_temperature) + np.array(unit_bias))))
        for part in unit_logits
    ]
    chosen: dict[str, Any] = {
        "classes": CLASSES,
        "units": UNITS,
        "temperature": temperature,
        "unit_temperature": unit_temperature,
        "unit_bias": unit_bias,
        "unit_thresholds": tuple(
            unit_threshold([part[:, k] for part in chance], [part[:, k] for part in units])
            for k in range(u)
        ),
    }
    output = calibrate(every, RecognizerSettings(**chosen))
    probable, predicted = output.classes[moves].softmax(1).max(1)
    right = predicted.numpy() == label[label >= 0]
    chosen["abstain_below"] = abstention_threshold(probable.numpy(), right)
    movement = output.movement[moves].sigmoid().numpy()
    chosen["movement_threshold"] = round(float(np.quantile(movement, 1 - KEPT_MOVEMENTS)), 4)
    config = {
        **described,
        "classes": RecognizerSettings(**chosen).outputs,
        "dtype": "float16",
        "people": [],
        "recognizer": RecognizerSettings(**chosen).model_dump(mode="json"),
    }
    return Recognizer(net, config)


def class_temperature(logits: torch.Tensor, label: NDArray[np.int64]) -> float:
    """What class logits [N, C] are divided by; the domain's shares of the classes are known."""
    shares = torch.from_numpy(np.log(np.bincount(label) / len(label)))
    truth = torch.from_numpy(label)

    def loss(x: Floats) -> float:
        return float(functional.cross_entropy(logits / np.exp(x[0]) + shares, truth))

    return round(float(np.exp(minimize(loss, [0.0], method="Nelder-Mead").x[0])), 4)


def unit_scale(logit: Floats, shown: NDArray[np.float32]) -> tuple[float, float]:
    """One unit's temperature and bias: the logistic regression of its presence on its logit."""
    logits, truth = torch.from_numpy(logit), torch.from_numpy(shown).double()

    def loss(x: Floats) -> float:
        scaled = logits / np.exp(x[0]) + x[1]
        return float(functional.binary_cross_entropy_with_logits(scaled, truth))

    x = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return round(float(np.exp(x[0])), 4), round(float(x[1]), 4)


def unit_threshold(chances: list[Floats], shown: list[NDArray[np.float32]]) -> float:
    """The probability from which a unit counts as shown: where its F1, a mean over the domains,
    is highest; the middle of all that come within a hundredth of that."""
    grid = np.linspace(0.02, 0.9, 89)
    total = np.zeros(len(grid))
    for chance, truth in zip(chances, shown, strict=True):
        if truth.any():
            marked = chance[:, None] >= grid
            hits = (marked * truth[:, None]).sum(0)
            total += 2 * hits / (marked.sum(0) + truth.sum())
    best = grid[total >= 0.99 * total.max()]
    return round(float(best.mean()), 2)


def abstention_threshold(probable: Floats, right: NDArray[np.bool_]) -> float:
    """The lowest probability from which on predictions are right ``RIGHT_SHARE`` of the time.

    At most that of the upper half, so that it does not abstain too often.
    """
    order = np.argsort(-probable)
    share = np.cumsum(right[order]) / np.arange(1, len(right) + 1)
    enough = np.flatnonzero(share >= RIGHT_SHARE)
    last = max(int(enough[-1]) if len(enough) else 0, len(right) // 2)
    return round(float(probable[order[last]]), 4)


def commit() -> str:
    """The last commit that changed the recipe; "+" if its files differ from that."""

    def git(*words: str) -> str:
        asked = subprocess.run(["git", *words, "--", *RECIPE], capture_output=True, text=True)
        return asked.stdout.strip()

    changed = "+" if git("status", "--porcelain") else ""
    return git("log", "-1", "--format=%h", "--abbrev=12") + changed
