"""The interface of a learner: fit on training subjects, then predict class probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]


class Clips(Protocol):
    """Anything with a length that an array of row numbers picks from: an array, a tensor set."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: NDArray[np.int64], /) -> object: ...


@runtime_checkable
class Predictor(Protocol):
    """Predicts how probable each class is."""

    def predict(self, clips: Any, /) -> Probabilities:
        """Probabilities [n, classes], rows sum to 1 (action units: each in [0, 1])."""
        ...


@runtime_checkable
class EpochPredictor(Predictor, Protocol):
    """A predictor that also remembers every epoch; only for ``also_best_on_test``."""

    def predict_epochs(self, clips: Any, /) -> Probabilities:
        """Probabilities [epochs, n, classes]."""
        ...


class Learner(Protocol):
    """Fits on training subjects. Its ``settings`` are written beside every result."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, object]: ...

    def reseed(self, seed: int, /) -> Learner:
        """The same learner with another seed."""
        ...

    def fit(
        self, clips: Any, labels: NDArray[np.int64], subjects: NDArray[np.str_], /
    ) -> Predictor:
        """Fit on the training clips; choose whatever is to be chosen on them alone.

        A predictor may have an attribute ``notes``, lines that a reader of its scores should know;
        ``chosen``, a mapping of what was chosen on what, and
        ``curve``, a mapping for each epoch of training: "epoch" from 1, "train_loss", and what else
        it measured on the training clips.

        Args:
            clips: n clips, of the kind given to ``run_benchmark``.
            labels: [n], ints 0..classes-1; for action units 0/1 [n, units].
            subjects: [n], of each clip; ``splits.inner_splits`` keeps them apart.
        """
        ...
