"""Zero-shot: a recognizer evaluated as it is, without training on the clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import CheckpointError, SettingsError
from ma2mi.evaluation.labels import CD6ME_UNITS
from ma2mi.evaluation.priors import Prior, adjust, class_shares, estimate_shares, prior_text
from ma2mi.training.outputs import RecognizerSettings
from ma2mi.training.recognizer import Floats, Recognizer

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs


def check_names(
    settings: RecognizerSettings, order: Sequence[str], prior: Prior, where: object
) -> None:
    """Refuse a recognizer of other classes, or without some of the units, and a prior of others.

    Args:
        settings: the recognizer's.
        order: the benchmark's classes, or units.
        prior: how common they are taken to be.
        where: the weights, for the message.

    Raises:
        CheckpointError, SettingsError: see :class:`ZeroShot`.
    """
    if sorted(order) == sorted(settings.classes):
        if prior != "estimate":
            class_shares(prior, order)
        return
    units = any(name in CD6ME_UNITS for name in order)
    if units and set(order) <= set(settings.units):
        if prior != "flat":
            raise SettingsError(
                "is of classes; each unit has its threshold in the weights",
                where=f"prior {prior_text(prior)}",
                hint="Leave out --prior",
            )
        return
    lacking = ", ".join(unit for unit in order if unit not in settings.units)
    raise CheckpointError(
        f"knows no unit {lacking}"
        if units
        else f"predicts {', '.join(settings.classes)}; the protocol has {', '.join(order)}",
        where=where,
        hint="Train on your clips, starting from it with --init"
        if units
        else "Fine-tune it with --init, or take a protocol with its classes",
    )


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """A recognizer as a learner that learns nothing: labels are handed to it and not looked at.

    Args:
        recognizer: predicts; its own prior does not count.
        order: the benchmark's class names, the recognizer's own in any order; or action units that
            it knows.
        name: as in tables.
        prior: how common the classes are taken to be, with shares in the benchmark's order;
            "estimate" takes the shares from the predictions of all clips that are predicted at
            once, see ``evaluation.priors.estimate_shares``.

    Attributes:
        chosen: after ``predict``, the class shares that were estimated.

    Raises:
        CheckpointError: the recognizer knows other classes, or not all of these units.
        SettingsError: a prior that is none of these classes, or one of units.
    """

    recognizer: Recognizer
    order: tuple[str, ...]
    name: str = "zero-shot"
    prior: Prior = "flat"
    chosen: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        check_names(self.recognizer.settings, self.order, self.prior, self.name)
        object.__setattr__(self, "recognizer", self.recognizer.with_prior("flat"))

    @property
    def of_units(self) -> bool:
        return sorted(self.order) != sorted(self.recognizer.classes)

    @property
    def settings(self) -> dict[str, Any]:
        described = self.recognizer.settings.model_dump(mode="json", exclude={"prior"})
        prior: dict[str, Any] = {} if self.of_units else {"prior": prior_text(self.prior)}
        if not self.of_units and self.prior != "estimate":
            prior["class_shares"] = self._by_name(class_shares(self.prior, self.order))
        return {"zero_shot": True, **described, **prior}

    @property
    def notes(self) -> tuple[str, ...]:
        """After ``predict``, what was estimated, in words."""
        shares = self.chosen.get("class_shares", {})
        listed = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        return (f"class shares estimated without labels: {listed}",) if listed else ()

    def reseed(self, seed: int) -> ZeroShot:
        return self  # nothing is drawn

    def fit(self, clips: Pairs, labels: NDArray[np.int64], subjects: NDArray[np.str_]) -> ZeroShot:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        return self

    def predict(self, clips: Pairs) -> Floats:
        """Probabilities [N, C] in the benchmark's order; of units on a scale on which each counts
        as shown from 1/2 on.
        """
        if self.of_units:
            return self._units(clips)
        columns = [self.recognizer.classes.index(name) for name in self.order]
        flat = self.recognizer.predict(clips)[:, columns]
        if self.prior == "flat":
            return flat
        if self.prior != "estimate":
            return adjust(flat, class_shares(self.prior, self.order))
        shares = estimate_shares(flat)
        self.chosen.update(class_shares=self._by_name(shares), chosen_on="unlabelled test clips")
        return adjust(flat, shares)

    def _units(self, clips: Pairs) -> Floats:
        settings = self.recognizer.settings
        columns = [settings.units.index(unit) for unit in self.order]
        threshold = np.array(settings.thresholds)[columns]
        p = self.recognizer.outputs(clips).units[:, columns]
        # The odds over the odds at the threshold: 1 there, whatever it is.
        shown, absent = p * (1 - threshold), (1 - p) * threshold
        return np.asarray(shown / (shown + absent))

    def _by_name(self, shares: Floats) -> dict[str, float]:
        return dict(zip(self.order, shares.round(6).tolist(), strict=True))
