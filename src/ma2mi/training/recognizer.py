"""A recognizer: one network for class, action units, intensity, and whether anything moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor
from torch.nn import functional

from ma2mi.errors import CheckpointError, FaceError
from ma2mi.evaluation.labels import CD6ME_UNITS
from ma2mi.files import replace_file
from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import MOST_CLASSES
from ma2mi.records import UNIT_THRESHOLD, Reading
from ma2mi.training.checkpoint import (
    build_described,
    find_weights,
    load_backbone,
    read_config,
    save_model,
)
from ma2mi.training.views import VIEWS, View, compute_logits

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs

CARD = "README.md"

Floats = NDArray[np.float64]
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
        prior: then added to them, one a class: offsets of the log-prior; empty for none.
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


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a recognizer outputs for N pairs.

    Args:
        classes: [N, C] probabilities, rows sum to 1.
        units: [N, U] probabilities, each for itself.
        shown: bool [N, U], the units that count as shown.
        intensity: [N], largest movement of the skin in percent of the crop's width; NaN for flow
            images scaled by their own range, whose amplitude is lost, and of a network without it.
        movement: [N], probability that there is an expression at all; NaN of a network without it.
        abstain: bool [N], see :class:`RecognizerSettings`.
    """

    classes: Floats
    units: Floats
    shown: NDArray[np.bool_]
    intensity: Floats
    movement: Floats
    abstain: NDArray[np.bool_]


class Recognizer:
    """A trained network with the meaning of its outputs; a Predictor for benchmarks.

    Args:
        net: of the catalog, with ``RecognizerSettings.outputs`` outputs.
        config: as in ``config.json``: "model", "classes" (the number of outputs), "settings",
            "size", "recognizer" (see :class:`RecognizerSettings`), and whatever else should
            travel along: "dtype" ("float16" halves the file), "people", "recipe", "card".
        card: text of the model card, "" for none.

    Raises:
        CheckpointError: ``config`` describes no recognizer, or another network.

    Example:
        >>> model = ma2mi.load_model("zero")
        >>> model.read(onset, frames)[0].label
    """

    def __init__(self, net: Backbone, config: Mapping[str, Any], card: str = "") -> None:
        self.settings = recognizer_settings(config)
        if config["classes"] != self.settings.outputs:
            raise CheckpointError(
                f"has {config['classes']} outputs, its classes and units need "
                f"{self.settings.outputs}",
                where=config["model"],
            )
        self.net = net.eval()
        self.config = dict(config)
        self.card = card
        self.size: int = config["size"]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.settings.classes

    @property
    def units(self) -> tuple[str, ...]:
        return self.settings.units

    @classmethod
    def from_pretrained(cls, folder: Path | str, **changes: Any) -> Recognizer:
        """Read a folder that :meth:`save_pretrained` wrote; nothing is fetched from anywhere.

        Args:
            folder: holds ``model.safetensors`` and ``config.json``.
            changes: settings of the network to change, such as ``branches="action"``.

        Raises:
            CheckpointError: weights or config are missing, damaged, or no recognizer's.
        """
        folder = Path(folder)
        config = read_config(folder)
        outputs = recognizer_settings(config, folder).outputs
        if config["classes"] != outputs:
            raise CheckpointError(
                f"has {config['classes']} outputs, its classes and units need {outputs}",
                where=folder,
            )
        net = load_backbone(
            build_described(folder, outputs, **changes), folder, head=range(outputs)
        )
        card = folder / CARD
        try:
            text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
        except OSError as error:
            raise CheckpointError(f"cannot be read ({error.strerror})", where=card) from error
        return cls(net, config, text)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write ``model.safetensors``, ``config.json`` and the card; files are whole or absent."""
        folder = Path(folder)
        save_model(folder, self.net, self.config)
        if self.card:
            replace_file(folder / CARD, self.card.encode())

    def logits(self, pairs: Pairs) -> Tensor:
        """The network's outputs, float64 [N, outputs], averaged over the views.

        Averaging logits is averaging probabilities in log space. The mirror image swaps no
        output: classes and units have no side.

        Raises:
            FaceError: crops smaller than the network's input.
        """
        side = pairs.action.shape[1]
        if len(pairs.first) and side < self.size:
            raise FaceError(
                f"crops of {side} px, the network sees {self.size} px",
                hint=f"Prepare crops of {self.size} px or more",
            )
        return compute_logits(self.net, pairs, self.size, self.settings.views).mean(0)

    def outputs(self, pairs: Pairs) -> Outputs:
        """All that it outputs for these pairs."""
        output = calibrate(self.logits(pairs), self.settings)
        classes, units = output.classes.softmax(1).numpy(), output.units.sigmoid().numpy()
        unknown = np.full(len(classes), np.nan)
        movement = unknown if output.movement is None else output.movement.sigmoid().numpy()
        intensity = unknown if output.intensity is None else output.intensity.numpy()
        lost = np.isnan(pairs.elapsed_s) & (len(pairs.first) == 0)
        return Outputs(
            classes,
            units,
            units >= np.array(self.settings.thresholds),
            np.where(lost, np.nan, intensity),
            movement,
            (classes.max(1) < self.settings.abstain_below)
            | (movement < self.settings.movement_threshold),
        )

    def predict(self, clips: Pairs) -> Floats:
        """Probabilities [N, C]; it never abstains here, since metrics take no blanks."""
        return self.outputs(clips).classes

    def read(
        self, onset: NDArray[np.uint8], frames: NDArray[np.uint8], keys: Sequence[str] = ()
    ) -> list[Reading]:
        """Read the movement from one aligned crop to each of some others.

        Args:
            onset: uint8 [S, S, 3], RGB; S as the clips of ``ma2mi prepare``: the network sees
                the middle ``size`` px, and was trained with 16 px around them.
            frames: uint8 [T, S, S, 3], candidates for the apex, under the same warp as ``onset``.
            keys: T names for the readings; by default "0", "1", ...

        Raises:
            MotionError: images that do not fit each other, or show nothing.
            FaceError: crops smaller than the network's input.
        """
        # Imported here: loading weights alone needs none of it.
        from ma2mi.clips.pairs import Pairs
        from ma2mi.motion import action_channels, flow

        action = action_channels(flow(onset, frames)).astype(np.float16)
        count = len(action)
        pairs = Pairs(
            keys=np.array(list(keys) or [str(i) for i in range(count)]),
            subjects=np.full(count, ""),
            first=np.broadcast_to(onset, (count, *onset.shape)),
            second=frames,
            third=np.empty((0, *onset.shape), np.uint8),
            action=action,
            elapsed_s=np.full(count, np.nan),
        )
        return self.readings(pairs)

    def readings(self, pairs: Pairs) -> list[Reading]:
        """The outputs as one :class:`ma2mi.records.Reading` a pair."""
        output = self.outputs(pairs)
        thresholds = dict(zip(self.units, self.settings.unit_thresholds, strict=False))
        return [
            Reading(
                str(key),
                dict(zip(self.classes, classes.tolist(), strict=True)),
                dict(zip(self.units, units.tolist(), strict=True)),
                intensity=None if math.isnan(intensity) else float(intensity),
                expression=None if math.isnan(movement) else float(movement),
                abstained=bool(abstained),
                unit_thresholds=thresholds,
            )
            for key, classes, units, intensity, movement, abstained in zip(
                pairs.keys,
                output.classes,
                output.units,
                output.intensity,
                output.movement,
                output.abstain,
                strict=True,
            )
        ]


def recognizer_settings(config: Mapping[str, Any], where: Path | str = "") -> RecognizerSettings:
    """The "recognizer" of a config.

    Raises:
        CheckpointError: there is none, or it holds an unknown name or an impossible value.
    """
    if "recognizer" not in config:
        raise CheckpointError(
            "holds a pre-trained backbone, not a recognizer",
            where=where,
            hint="Fine-tune it with --init",
        )
    try:
        return RecognizerSettings.model_validate(config["recognizer"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["recognizer", *map(str, first["loc"])])
        raise CheckpointError(f"{place}: {first['msg']}", where=where) from error


def load_model(name: Path | str = "zero") -> Recognizer:
    """A recognizer that ships with ma2mi, or one in a folder; needs no network connection.

    Args:
        name: "zero", learned from synthetic movement alone, or a folder.

    Raises:
        CheckpointError: neither shipped weights nor a folder have this name, or they are damaged.
    """
    return Recognizer.from_pretrained(find_weights(name))
