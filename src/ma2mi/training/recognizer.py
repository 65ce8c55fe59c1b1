"""A recognizer: one network for class, action units, intensity, and whether anything moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from ma2mi.errors import CheckpointError, FaceError
from ma2mi.evaluation.priors import Prior, prior_offsets
from ma2mi.files import replace_file
from ma2mi.models.backbone import Backbone
from ma2mi.records import Reading
from ma2mi.training.checkpoint import (
    build_described,
    find_weights,
    load_backbone,
    read_config,
    save_model,
)
from ma2mi.training.outputs import RecognizerSettings, calibrate
from ma2mi.training.views import compute_logits

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs

CARD = "README.md"

Floats = NDArray[np.float64]


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
    def from_pretrained(
        cls, folder: Path | str, *, prior: Prior = "flat", **changes: Any
    ) -> Recognizer:
        """Read a folder that :meth:`save_pretrained` wrote; nothing is fetched from anywhere.

        Args:
            folder: holds ``model.safetensors`` and ``config.json``.
            prior: see :meth:`with_prior`; it goes before what ``config.json`` may hold.
            changes: settings of the network to change, such as ``branches="action"``.

        Raises:
            CheckpointError: weights or config are missing, damaged, or no recognizer's.
            SettingsError: a prior that is none of its classes.
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
        return cls(net, config, text).with_prior(prior)

    def with_prior(self, prior: Prior) -> Recognizer:
        """The same network under another class prior.

        Args:
            prior: "flat" takes all classes for equally common; "megc2019" takes the shares of that
                composite's clips; or a share for each of ``classes``, in their order.

        Raises:
            SettingsError: a prior that is none of its classes, or "estimate", which takes the
                predictions of many clips (see ``evaluation.priors.estimate_shares``).

        Example:
            >>> ma2mi.load_model("zero").with_prior((0.6, 0.2, 0.2))
        """
        offsets = prior_offsets(prior, self.classes)
        if offsets == self.settings.prior:
            return self
        described = {**self.config["recognizer"], "prior": list(offsets)}
        return Recognizer(self.net, {**self.config, "recognizer": described}, self.card)

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
            hint="Learn classes on it: ma2mi train --corpus NAME=DIR --init WEIGHTS --out DIR",
        )
    try:
        return RecognizerSettings.model_validate(config["recognizer"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["recognizer", *map(str, first["loc"])])
        raise CheckpointError(f"{place}: {first['msg']}", where=where) from error


def load_model(name: Path | str = "zero", prior: Prior = "flat") -> Recognizer:
    """A recognizer that ships with ma2mi, or one in a folder; needs no network connection.

    Args:
        name: "zero", learned from synthetic movement alone, or a folder.
        prior: see :meth:`Recognizer.with_prior`.

    Raises:
        CheckpointError: neither shipped weights nor a folder have this name, or they are damaged.
        SettingsError: a prior that is none of its classes.
    """
    return Recognizer.from_pretrained(find_weights(name), prior=prior)
