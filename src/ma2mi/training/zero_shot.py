"""Zero-shot: a recognizer evaluated as it is, without training on the clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import CheckpointError
from ma2mi.evaluation.priors import Prior, adjust, class_shares, estimate_shares, prior_text
from ma2mi.training.recognizer import Floats, Recognizer

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """A recognizer as a learner that learns nothing: labels are handed to it and not looked at.

    Args:
        recognizer: predicts; its own prior does not count.
        order: the benchmark's class names; the recognizer's own, in any order.
        name: as in tables.
        prior: how common the classes are taken to be, with shares in the benchmark's order;
            "estimate" takes the shares from the predictions of all clips that are predicted at
            once, see ``evaluation.priors.estimate_shares``.

    Attributes:
        chosen: after ``predict``, the class shares that were estimated.

    Raises:
        CheckpointError: the recognizer knows other classes.
        SettingsError: a prior that is none of these classes.
    """

    recognizer: Recognizer
    order: tuple[str, ...]
    name: str = "zero-shot"
    prior: Prior = "flat"
    chosen: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(self.recognizer.classes):
            raise CheckpointError(
                f"predicts {', '.join(self.recognizer.classes)}; "
                f"the protocol has {', '.join(self.order)}",
                where=self.name,
                hint="Fine-tune it with --init, or take a protocol with its classes",
            )
        object.__setattr__(self, "recognizer", self.recognizer.with_prior("flat"))
        if self.prior != "estimate":
            class_shares(self.prior, self.order)

    @property
    def settings(self) -> dict[str, Any]:
        described = self.recognizer.settings.model_dump(mode="json", exclude={"prior"})
        prior: dict[str, Any] = {"prior": prior_text(self.prior)}
        if self.prior != "estimate":
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
        """Probabilities [N, C] in the benchmark's order."""
        columns = [self.recognizer.classes.index(name) for name in self.order]
        flat = self.recognizer.predict(clips)[:, columns]
        if self.prior == "flat":
            return flat
        if self.prior != "estimate":
            return adjust(flat, class_shares(self.prior, self.order))
        shares = estimate_shares(flat)
        self.chosen.update(class_shares=self._by_name(shares), chosen_on="unlabelled test clips")
        return adjust(flat, shares)

    def _by_name(self, shares: Floats) -> dict[str, float]:
        return dict(zip(self.order, shares.round(6).tolist(), strict=True))
