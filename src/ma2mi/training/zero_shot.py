"""Zero-shot: a recognizer evaluated as it is, without training on the clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import CheckpointError
from ma2mi.training.recognizer import Floats, Recognizer

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """A recognizer as a learner that learns nothing: labels are handed to it and not looked at.

    Args:
        recognizer: predicts.
        order: the benchmark's class names; the recognizer's own, in any order.
        name: as in tables.

    Raises:
        CheckpointError: the recognizer knows other classes.
    """

    recognizer: Recognizer
    order: tuple[str, ...]
    name: str = "zero-shot"

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(self.recognizer.classes):
            raise CheckpointError(
                f"predicts {', '.join(self.recognizer.classes)}; "
                f"the protocol has {', '.join(self.order)}",
                where=self.name,
                hint="Fine-tune it with --init, or take a protocol with its classes",
            )

    @property
    def settings(self) -> dict[str, Any]:
        return {"zero_shot": True, **self.recognizer.settings.model_dump(mode="json")}

    def reseed(self, seed: int) -> ZeroShot:
        return self  # nothing is drawn

    def fit(self, clips: Pairs, labels: NDArray[np.int64], subjects: NDArray[np.str_]) -> ZeroShot:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        return self

    def predict(self, clips: Pairs) -> Floats:
        """Probabilities [N, C] in the benchmark's order."""
        columns = [self.recognizer.classes.index(name) for name in self.order]
        return self.recognizer.predict(clips)[:, columns]
