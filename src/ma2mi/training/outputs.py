"""What the outputs of a recognizer mean, and how they are calibrated."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional

from ma2mi.evaluation.labels import CD6ME_UNITS
from ma2mi.models.catalog import MOST_CLASSES
from ma2mi.records import UNIT_THRESHOLD
from ma2mi.training.views import VIEWS, View

Positive = Annotated[float, Field(gt=0)]


class RecognizerSettings(BaseModel):
    """What the outputs mean and how they are calibrated; "recognizer" in ``config.json``.

    The network's outputs are, in this order: classes, units, intensity, movement; but for the
    classes, a network may lack any of them.

    Args:
        classes: names of the classes.
        units: FACS units; empty for none.
        temperature: class logits are divided by it.
        class_bias: then added to them, one a class: part of the calibration; empty for none.
        prior: then added to them, one a class: offsets of the log-prior; empty for a flat one. It
            is chosen whenever weights are loaded; one that older weights hold does not count.
        unit_temperature: logits of the units are divided by it: one number, or one a unit.
        unit_bias: then added to them, one a unit.
        unit_thresholds: probability from which a unit counts as shown, one a unit; empty for 1/2.
        abstain_below: it abstains where no class is as probable as this.
        movement_threshold: it abstains, too, where an expression is less probable than this.
        has_intensity, has_movement: whether the network has this output.
        views: those of a pair whose logits are averaged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classes: tuple[str, ...] = Field(("negative", "positive", "surprise"), min_length=2)
    units: tuple[str, ...] = CD6ME_UNITS
    temperature: float = Field(1.0, gt=0)
    class_bias: tuple[float, ...] = ()
    prior: tuple[float, ...] = ()
    unit_temperature: Positive | tuple[Positive, ...] = 1.0
    unit_bias: tuple[float, ...] = ()
    unit_thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    abstain_below: float = Field(0.0, ge=0, le=1)
    movement_threshold: float = Field(0.0, ge=0, le=1)
    has_intensity: bool = True
    has_movement: bool = True
    views: tuple[View, ...] = Field(VIEWS, min_length=1)

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        per_unit = self.unit_temperature if isinstance(self.unit_temperature, tuple) else ()
        for given, what, of in (
            (self.class_bias, "biases", "classes"),
            (self.prior, "priors", "classes"),
            (per_unit, "temperatures", "units"),
            (self.unit_bias, "biases", "units"),
            (self.unit_thresholds, "thresholds", "units"),
        ):
            known = len(getattr(self, of))
            if given and len(given) != known:
                raise ValueError(f"{len(given)} {what} for {known} {of}")
        if self.movement_threshold and not self.has_movement:
            raise ValueError("a movement_threshold for a network without that output")
        for names in (self.classes, self.units):
            if len(set(names)) < len(names) or not all(names):
                raise ValueError("a name is empty or stands twice")
        if self.outputs > MOST_CLASSES:
            raise ValueError(f"more than {MOST_CLASSES} outputs")
        return self

    @property
    def outputs(self) -> int:
        """How many logits the network has."""
        return len(self.classes) + len(self.units) + self.has_intensity + self.has_movement

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Probability from which each unit counts as shown."""
        return self.unit_thresholds or (UNIT_THRESHOLD,) * len(self.units)


class Calibrated(NamedTuple):
    """Outputs after calibration, any batch shape before the last axis.

    Attributes:
        classes: [..., C], to be put through softmax.
        units: [..., U], log-odds.
        intensity: [...], percent of the crop's width, above 0; None of a network without it.
        movement: [...], log-odds that there is an expression; None of a network without it.
    """

    classes: Tensor
    units: Tensor
    intensity: Tensor | None
    movement: Tensor | None


def calibrate(logits: Tensor, settings: RecognizerSettings) -> Calibrated:
    """Take the network's outputs [..., outputs] apart and calibrate them."""
    sizes = [
        len(settings.classes),
        len(settings.units),
        int(settings.has_intensity),
        int(settings.has_movement),
    ]
    classes, units, intensity, movement = torch.split(logits, sizes, dim=-1)
    classes = classes / settings.temperature
    units = units / units.new_tensor(settings.unit_temperature)
    for offsets in (settings.class_bias, settings.prior):
        if offsets:
            classes = classes + classes.new_tensor(offsets)
    if settings.unit_bias:
        units = units + units.new_tensor(settings.unit_bias)
    return Calibrated(
        classes,
        units,
        functional.softplus(intensity)[..., 0] if settings.has_intensity else None,
        movement[..., 0] if settings.has_movement else None,
    )
