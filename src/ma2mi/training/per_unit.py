"""Action units one by one: a learner of two classes becomes one of many labels a clip."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.evaluation.learner import Clips, Learner, Predictor
from ma2mi.evaluation.learner_faults import blamed, place_of, with_method

#: The two classes that a learner of one unit knows.
ABSENT_SHOWN = ("absent", "shown")


@dataclass(frozen=True)
class PerUnit:
    """Fits a learner once a unit; a :class:`ma2mi.evaluation.learner.Learner` of 0/1 [n, units].

    A unit that no training clip shows, or every one does, has nothing to be learned from: its
    share, 0 or 1, is predicted, and noted.

    Args:
        learner: of the two classes ``ABSENT_SHOWN``.
        units: names of the units.
    """

    learner: Learner
    units: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(getattr(self.learner, "name", type(self.learner).__name__))

    @property
    def settings(self) -> dict[str, Any]:
        return {"each_unit": getattr(self.learner, "settings", {})}

    def reseed(self, seed: int) -> PerUnit:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        with blamed(self.learner, "reseed", f"seed {seed}"):
            return replace(self, learner=with_method(self.learner.reseed(seed), "fit"))

    def fit(
        self, clips: Clips, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> UnitPredictors:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        fitted: list[Predictor | float] = []
        for unit, shown in zip(self.units, labels.T, strict=True):
            if shown.min() == shown.max():
                fitted.append(float(shown[0]))
                continue
            with blamed(self.learner, "fit", f"unit {unit}"):
                # A copy: a learner may return itself, fitted.
                learner = copy.deepcopy(self.learner)
                found = learner.fit(clips, shown.copy(), subjects.copy())
                fitted.append(with_method(found, "predict"))
        return UnitPredictors(self.units, fitted)


@dataclass(frozen=True, eq=False)
class UnitPredictors:
    """A predictor for each unit, or the unit's share in training where nothing was fitted."""

    units: tuple[str, ...]
    fitted: Sequence[Predictor | float]
    chosen: dict[str, Any] = field(init=False)
    notes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        each = dict(zip(self.units, self.fitted, strict=True))
        chosen = {unit: getattr(one, "chosen", None) for unit, one in each.items()}
        object.__setattr__(self, "chosen", {f"AU{u}": c for u, c in chosen.items() if c})
        shares = {u: share for u, share in each.items() if isinstance(share, float)}
        notes = [
            f"AU{unit} is in {'every' if share else 'no'} training clip: its share, {share:.0f}, "
            "is predicted"
            for unit, share in shares.items()
        ]
        object.__setattr__(self, "notes", tuple(notes))

    def predict(self, clips: Clips) -> NDArray[np.float64]:
        """Probability of each unit, [N, units]."""
        columns = np.empty((len(clips), len(self.units)))
        for column, (unit, one) in enumerate(zip(self.units, self.fitted, strict=True)):
            if isinstance(one, float):
                columns[:, column] = one
                continue
            with blamed(one, "predict", f"unit {unit}"):
                found = np.asarray(one.predict(clips), dtype=np.float64)
                if found.shape != (len(clips), 2):
                    raise ValueError(
                        f"{place_of(one)}: probabilities have shape {found.shape}, "
                        f"not ({len(clips)}, 2)"
                    )
            columns[:, column] = found[:, 1]
        return columns
