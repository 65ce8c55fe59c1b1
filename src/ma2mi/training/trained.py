"""Recognizers from what was fitted: a kernel on frozen features, or a network that was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ma2mi.errors import CheckpointError
from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import build_model
from ma2mi.training.block_classifier import BESIDE, FITTED, ON_BLOCKS
from ma2mi.training.calibration import Calibration
from ma2mi.training.checkpoint import open_backbone, read_config
from ma2mi.training.feature_blocks import (
    FeatureBlocks,
    NetworkBlocks,
    PixelBlock,
    network_blocks,
)
from ma2mi.training.finetune import FineTune, NetworkPredictor
from ma2mi.training.mixed_kernel import MixedKernelPredictor
from ma2mi.training.outputs import RecognizerSettings
from ma2mi.training.recognizer import Recognizer
from ma2mi.training.views import compute_logits

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs


def refuse_fitted(config: Mapping[str, Any], where: Path | str) -> None:
    """Refuse to start from a model whose classifier lies on another's weights.

    Raises:
        CheckpointError: it says what to start from.
    """
    if config["model"] in FITTED:
        start = config.get("trained", {}).get("init") or "none"
        raise CheckpointError(
            "holds a classifier on the weights of another model, and nothing to start from",
            where=where,
            hint=f"Start from what it was made from: --init {start}",
        )


def open_blocks(init: Path | None, size: int) -> FeatureBlocks:
    """What a classifier reads: the movement itself, and the features of a frozen network.

    Args:
        init: folder of weights; None for the movement alone.
        size: side in px of the crops' middle; that of the weights, if there are some.

    Raises:
        CheckpointError: damaged weights, or those of :func:`refuse_fitted`.
    """
    if init is None:
        return FeatureBlocks([PixelBlock()], size)
    config = read_config(init)
    refuse_fitted(config, init)
    if "recognizer" in config:
        part = network_blocks(Recognizer.from_pretrained(init))
    else:
        # The head is not read.
        part = NetworkBlocks(open_backbone(init, 2), config["model"], config["settings"])
    # Pixels are of flow.
    pixels = [PixelBlock()] if part.action_input == "flow" else []
    return FeatureBlocks([*pixels, part], config["size"])


def recognizer_on_blocks(
    predictor: MixedKernelPredictor,
    blocks: FeatureBlocks,
    classes: Sequence[str],
    calibration: Calibration,
) -> Recognizer:
    """The recognizer that predicts what a fitted kernel predicts, calibrated.

    Args:
        predictor: fitted on these blocks.
        blocks: with their weights; of a recognizer among them the other outputs are kept.
        classes: names of the classes.
        calibration: applied to the predictor's probabilities.
    """
    mix = predictor.mix
    names = [name for name, _ in mix.weights]
    if mix.width is None:
        weights = predictor.weights()
        tensors = {"coefficients": np.concatenate([weights[name] for name in names])}
        rows = 0
    else:
        own = predictor.clips.own_blocks(mix)
        support = np.concatenate([w**0.5 * own[name] for name, w in mix.weights], axis=2)
        views = support.shape[1]
        rows = len(support) * views
        tensors = {
            "rows": support.reshape(rows, -1),
            "coefficients": np.repeat(predictor.coefficients / views, views, axis=0),
        }
    wide = tensors["coefficients" if mix.width is None else "rows"]
    settings = {
        "blocks": blocks.describe(),
        "head": {
            "classes": len(classes),
            "weights": [list(one) for one in mix.weights],
            "width": mix.width,
            "features": len(wide) if mix.width is None else wide.shape[1],
            "rows": rows,
        },
    }
    part = next((p for p in blocks.typed_parts if isinstance(p, NetworkBlocks)), None)
    temperature = predictor.temperature * calibration.temperature
    meaning = _meaning(part.outputs if part else None, classes, temperature, calibration)
    if predictor.biases.any():
        biases = tuple((predictor.biases / temperature).tolist())
        meaning = meaning.model_copy(update={"class_bias": biases})
    net = build_model(ON_BLOCKS, meaning.outputs, **settings)
    state = {f"blocks.{name}": tensor for name, tensor in blocks.state_dict().items()}
    state |= {name: torch.from_numpy(x).float() for name, x in tensors.items()}
    net.load_state_dict(state)
    return _recognizer(net, ON_BLOCKS, settings, blocks.size, meaning)


def recognizer_of_network(
    predictor: NetworkPredictor,
    learner: FineTune,
    classes: Sequence[str],
    calibration: Calibration,
    before: Recognizer | None = None,
) -> Recognizer:
    """The recognizer of a network that was trained.

    Args:
        predictor: what ``learner`` has trained.
        learner: it knows the network.
        classes: names of the classes.
        calibration: applied to the network's probabilities.
        before: what the training started from; its other outputs are kept, from its own weights.
    """
    recipe = learner.recipe
    own = {"model": recipe.model, "settings": recipe.model_settings, "classes": len(classes)}
    outputs = before.settings if before else None
    meaning = _meaning(outputs, classes, calibration.temperature, calibration)
    if before is None or meaning.outputs == len(classes):
        net, model, settings = predictor.net, recipe.model, dict(recipe.model_settings)
        return _recognizer(net, model, settings, recipe.size, meaning)
    kept = {name: before.config[name] for name in ("model", "settings", "classes")}
    settings = {"classifier": own, "rest": kept, "kept": meaning.outputs - len(classes)}
    net = build_model(BESIDE, meaning.outputs, **settings)
    parts = {"classifier": predictor.net, "rest": before.net}
    net.load_state_dict(
        {f"{at}.{name}": t for at, part in parts.items() for name, t in part.state_dict().items()}
    )
    return _recognizer(net, BESIDE, settings, recipe.size, meaning)


def _meaning(
    before: RecognizerSettings | None,
    classes: Sequence[str],
    temperature: float,
    calibration: Calibration,
) -> RecognizerSettings:
    """New classes under a flat prior, and the other outputs as they were."""
    nothing = {"units": (), "has_intensity": False, "has_movement": False}
    of_classes = {
        "classes": tuple(classes),
        "temperature": temperature,
        "class_bias": (),
        "prior": (),
        "abstain_below": calibration.abstain_below,
    }
    kept = before.model_dump() if before else nothing
    return RecognizerSettings.model_validate(kept | of_classes)


def _recognizer(
    net: Backbone, model: str, settings: dict[str, Any], size: int, meaning: RecognizerSettings
) -> Recognizer:
    config = {
        "model": model,
        "classes": meaning.outputs,
        "settings": settings,
        "size": size,
        "recognizer": meaning.model_dump(mode="json"),
    }
    return Recognizer(net, config)


@dataclass(frozen=True)
class FineTuneByLogits:
    """As :class:`FineTune`, and predicts as a recognizer does: logits averaged over the views.

    Args:
        inner: trains.
    """

    inner: FineTune

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.inner.settings, "averaged": "logits"}

    def reseed(self, seed: int) -> FineTuneByLogits:
        return replace(self, inner=self.inner.reseed(seed))

    def fit(
        self, clips: Pairs, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> LogitPredictor:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        return LogitPredictor(self.inner.fit(clips, labels, subjects))


@dataclass(frozen=True, eq=False)
class LogitPredictor:
    """A trained network whose logits are averaged over each clip and its mirror image."""

    trained: NetworkPredictor

    @property
    def chosen(self) -> dict[str, Any]:
        return self.trained.chosen

    @property
    def curve(self) -> list[dict[str, Any]]:
        return self.trained.curve

    def predict(self, clips: Pairs) -> NDArray[np.float64]:
        """Probabilities [N, classes]."""
        logits = compute_logits(self.trained.net, clips, self.trained.size)
        probabilities: NDArray[np.float64] = logits.mean(0).softmax(1).numpy()
        return probabilities
