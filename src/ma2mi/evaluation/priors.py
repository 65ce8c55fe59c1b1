"""Class priors: how common each class is taken to be, and an estimate of it without a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import SettingsError

Prior: TypeAlias = Literal["flat", "megc2019", "estimate"] | tuple[float, ...]
"""``"flat"``: no class is more common than another; ``"megc2019"``: as in ``MEGC2019_CLIPS``;
``"estimate"``: from unlabelled predictions, see ``estimate_shares``; or a share for each class."""

#: Clips of each class in the composite of MEGC 2019 (See et al., FG 2019), 442 in all.
MEGC2019_CLIPS: Mapping[str, int] = {"negative": 250, "positive": 109, "surprise": 83}

#: How far from 1 the sum of given shares may be: those of three classes have two decimals.
ROUNDING = 0.011

#: Largest change of a share at which the estimate has converged, and most rounds.
CONVERGED, MOST_ROUNDS = 1e-10, 100_000

Floats = NDArray[np.float64]


def parse_prior(text: str) -> Prior:
    """A prior from what a user typed: a word, or shares such as ``"0.6,0.2,0.2"``.

    Raises:
        SettingsError: neither.
    """
    word = text.strip().lower()
    if word in ("flat", "megc2019", "estimate"):
        return word  # type: ignore[return-value]  # one of the three words
    try:
        return tuple(float(part) for part in word.split(","))
    except ValueError:
        raise SettingsError(
            "is no class prior",
            where=f"--prior {text}",
            hint="Say flat, megc2019, estimate, or a share for each class, as 0.6,0.2,0.2",
        ) from None


def class_shares(prior: Prior, classes: Sequence[str]) -> Floats:
    """The share of each class, [C], summing to 1.

    Raises:
        SettingsError: shares that are no shares of these classes, ``"megc2019"`` for other classes
            than its own, or ``"estimate"``, which takes predictions.
    """
    names = ", ".join(classes)
    where = f"prior {prior_text(prior)}"
    if prior == "flat":
        return np.full(len(classes), 1 / len(classes))
    if prior == "estimate":
        raise SettingsError(
            "takes the predictions of many clips",
            where=where,
            hint="Estimate it in a benchmark with --protocol zero-shot, and give its shares here",
        )
    if prior == "megc2019":
        if set(classes) != set(MEGC2019_CLIPS):
            raise SettingsError(
                f"is of the classes {', '.join(MEGC2019_CLIPS)}, these are {names}",
                where=where,
                hint="Say flat, or a share for each class",
            )
        counts = np.array([MEGC2019_CLIPS[name] for name in classes], dtype=np.float64)
        return np.asarray(counts / counts.sum())
    shares = np.asarray(prior, dtype=np.float64)
    if shares.shape != (len(classes),):
        raise SettingsError(
            f"{shares.size} shares for {len(classes)} classes",
            where=where,
            hint=f"Give one for each of {names}, in this order",
        )
    if not ((shares > 0) & (shares < 1)).all() or abs(shares.sum() - 1) > ROUNDING:
        raise SettingsError(
            "is no set of shares", where=where, hint="Give shares above 0 that sum to 1"
        )
    return np.asarray(shares / shares.sum())


def prior_offsets(prior: Prior, classes: Sequence[str]) -> tuple[float, ...]:
    """What the prior adds to each class' logit; () for a flat one.

    A model whose outputs take all classes for equally common outputs p(class | clip) under the
    prior once log(share * C) is added to its logits.
    """
    if prior == "flat":
        return ()
    return tuple(np.log(class_shares(prior, classes) * len(classes)).tolist())


def prior_text(prior: Prior) -> str:
    """``"flat"``, ``"megc2019"``, ``"estimate"`` or ``"0.6,0.2,0.2"``."""
    return prior if isinstance(prior, str) else ",".join(f"{share:g}" for share in prior)


def adjust(probabilities: Floats, shares: Floats) -> Floats:
    """Probabilities [n, C] of a model with a flat prior under other class shares [C]."""
    weighted = probabilities * shares
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def estimate_shares(probabilities: Floats) -> Floats:
    """The class shares under which the predictions of unlabelled clips are most likely.

    Expectation maximisation of Saerens, Latinne & Decaestecker, "Adjusting the outputs of a
    classifier to new a priori probabilities" (Neural Computation 14, 2002), equations 2.9: the
    shares are the mean of the adjusted probabilities, and the probabilities are adjusted to the
    shares, until neither changes. No label is used.

    Args:
        probabilities: [n, C] under a flat prior; calibrated, or the estimate is biased.

    Returns:
        [C], summing to 1.

    Raises:
        SettingsError: no clip.
    """
    if not len(probabilities):
        raise SettingsError("no clip to estimate class shares from", where="prior estimate")
    shares = np.full(probabilities.shape[1], 1 / probabilities.shape[1])
    for _ in range(MOST_ROUNDS):
        new = adjust(probabilities, shares).mean(axis=0)
        done = np.abs(new - shares).max() < CONVERGED
        shares = new
        if done:
            break
    return np.asarray(shares / shares.sum())
