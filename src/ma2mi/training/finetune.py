"""Fine-tune a network on marked expressions: a Learner, called once a fold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from ma2mi.clips.batches import AugmentSettings, Batch, make_batch
from ma2mi.clips.pairs import Pairs
from ma2mi.evaluation.metrics import mean_unit_f1, uar
from ma2mi.evaluation.results import predicted_labels
from ma2mi.evaluation.splits import inner_splits
from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import build_model
from ma2mi.training.checkpoint import load_backbone
from ma2mi.training.loop import LoopSettings, run_epochs
from ma2mi.training.views import compute_logits, one_thread


class FineTuneSettings(BaseModel):
    """How a fold is trained.

    Args:
        model, model_settings, size: the network, as in ``PretrainSettings``.
        pretrained_lr: learning rate of the head on a pre-trained backbone; from scratch, backbone
            and head learn at ``loop.lr``.
        trunk_share: learning rate of a pre-trained backbone relative to its head's.
        stop: "fixed" takes the last epoch; "inner" the epoch that is best on subjects held out
            of the *training* set. The left-out subject never decides.
        label_smoothing: in [0, 1).
        loop, augment: see their classes.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    model: str = "miacnet-tiny"
    model_settings: dict[str, Any] = {}
    size: int = Field(112, ge=16)
    pretrained_lr: float = Field(5e-3, ge=0)
    trunk_share: float = Field(0.1, ge=0)
    stop: Literal["fixed", "inner"] = "fixed"
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    loop: LoopSettings = LoopSettings(epochs=15, batch_size=16)
    augment: AugmentSettings = AugmentSettings()


@dataclass(frozen=True)
class FineTune:
    """Train all of a network in every fold; ``clips`` are onset-apex :class:`Pairs`.

    Labels are ints [n], and the loss cross-entropy with all classes weighing alike; or 0/1
    [n, units], and the loss binary cross-entropy with shown and absent weighing alike in each unit.

    One thread a fold, so that folds run side by side and give the same bytes however many do.

    Args:
        classes: number of classes or units.
        recipe: see :class:`FineTuneSettings`.
        init: folder of pre-trained weights; None starts from scratch.
        head: which outputs of the head in ``init`` the classes start from; empty for a fresh head.
        keep_epochs: predictions of every epoch are wanted too.
        seed: of weights, order and augmentation.
        accelerator: Lightning's name of the device.
    """

    classes: int
    recipe: FineTuneSettings = field(default_factory=FineTuneSettings)
    init: Path | None = None
    head: tuple[int, ...] = ()
    keep_epochs: bool = False
    seed: int = 0
    accelerator: str = "cpu"
    name: str = "fine-tune"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            **self.recipe.model_dump(mode="json"),
            "pretrained": self.init is not None,
            "head": list(self.head),
        }

    def reseed(self, seed: int) -> FineTune:
        return replace(self, seed=seed)

    def fit(
        self, clips: Pairs, labels: NDArray[np.int64], subjects: NDArray[np.str_]
    ) -> NetworkPredictor:
        """See :class:`ma2mi.evaluation.learner.Learner`."""
        # Threads and random numbers of whoever calls stay as they were.
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = build_model(self.recipe.model, self.classes, **self.recipe.model_settings)
            if self.init:
                load_backbone(net, self.init, head=self.head or None)
            watched = np.empty(0, dtype=np.int64)
            rows = np.arange(len(labels))
            if self.recipe.stop == "inner":
                split = inner_splits(subjects.tolist(), labels, 5, self.seed)[0]
                rows, watched = split.train, split.test
            return self._train(net, clips, labels, rows, watched)

    def _optimizer(self, net: Backbone, loop: LoopSettings) -> torch.optim.Optimizer:
        share = self.recipe.trunk_share if self.init else 1.0
        groups = [
            {"params": net.backbone_parameters(), "share": share},
            {"params": net.head_parameters(), "share": 1.0},
        ]
        return torch.optim.AdamW(groups, lr=loop.lr, weight_decay=loop.weight_decay)

    def _batch(
        self, net: Backbone, clips: Pairs, rows: NDArray[np.int64], generator: torch.Generator
    ) -> Batch:
        return make_batch(
            clips,
            rows,
            size=self.recipe.size,
            side=net.input_side or self.recipe.size,
            action_input=net.action_input,
            augment=self.recipe.augment,
            generator=generator,
        )

    def _train(
        self,
        net: Backbone,
        clips: Pairs,
        labels: NDArray[np.int64],
        rows: NDArray[np.int64],
        watched: NDArray[np.int64],
    ) -> NetworkPredictor:
        fabric = Fabric(accelerator=self.accelerator, devices=1)
        changes = {"seed": self.seed} | ({"lr": self.recipe.pretrained_lr} if self.init else {})
        loop = self.recipe.loop.model_copy(update=changes)
        module, optimizer = fabric.setup(net, self._optimizer(net, loop))
        criterion = fabric.to_device(loss_of(labels[rows], self.classes, self.recipe))
        predictor = NetworkPredictor(
            net,
            self.recipe.size,
            {"epoch": loop.epochs, "chosen_on": "fixed"},
            many_labels=labels.ndim == 2,
        )
        score = "inner_unit_f1" if predictor.many_labels else "inner_uar"
        states: list[dict[str, torch.Tensor]] = []

        def step(batch_rows: NDArray[np.int64], generator: torch.Generator) -> torch.Tensor:
            chosen = rows[batch_rows]
            batch = self._batch(net, clips, chosen, generator).to(fabric.device)
            logits = module(batch.position, batch.action)
            truth = fabric.to_device(torch.from_numpy(labels[chosen]))
            loss: torch.Tensor = criterion(logits, truth)
            return loss

        def after_epoch(epoch: int) -> dict[str, Any]:
            if self.keep_epochs or len(watched):
                states.append({k: v.detach().clone() for k, v in net.state_dict().items()})
            if not len(watched):
                return {}
            return {score: inner_score(labels[watched], predictor.predict(clips[watched]))}

        history = run_epochs(
            fabric, module, optimizer, step, len(rows), loop, after_epoch=after_epoch
        )
        if len(watched):
            best = int(np.argmax([h[score] for h in history]))
            net.load_state_dict(states[best])
            predictor.chosen.update(epoch=best + 1, chosen_on="inner subject-disjoint split")
        predictor.states, predictor.curve = (states if self.keep_epochs else []), history
        return predictor


def inner_score(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """What an epoch is chosen by: UAR over the classes that occur, or the mean F1 of such units."""
    if truth.ndim == 1:
        return uar(truth, probabilities.argmax(1), probabilities.shape[1], "present")
    shown = predicted_labels(probabilities, multi_label=True)
    occurs = (truth + shown).any(axis=0)
    names = [str(unit) for unit in np.flatnonzero(occurs)]
    return mean_unit_f1(truth[:, occurs], shown[:, occurs], names) if names else 0.0


def loss_of(labels: NDArray[np.int64], classes: int, recipe: FineTuneSettings) -> nn.Module:
    """The loss of these training labels: ints [n], or 0/1 [n, units]."""
    smoothing = recipe.label_smoothing
    if labels.ndim == 1:
        counts = np.maximum(np.bincount(labels, minlength=classes), 1)
        balance = torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)
        return ClassLoss(balance, smoothing)
    shown = labels.mean(axis=0)
    # Of a unit that no clip shows, or all do, there is one side to weigh.
    one_sided = (shown == 0) | (shown == 1)
    sides = np.where(one_sided, 1.0, 1 / (2 * np.clip([1 - shown, shown], 1e-12, None)))
    return UnitLoss(torch.tensor(sides, dtype=torch.float32), smoothing)


class ClassLoss(nn.Module):
    """Cross-entropy in which all classes weigh alike.

    Args:
        balance: weight of each class, [C].
        smoothing: of the labels.
    """

    balance: torch.Tensor

    def __init__(self, balance: torch.Tensor, smoothing: float) -> None:
        super().__init__()
        self.register_buffer("balance", balance)
        self.smoothing = smoothing

    def forward(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        # Weighed here: cross_entropy(weight=) would weigh its smoothing too, and drag every clip
        # towards the rarest class.
        each = functional.cross_entropy(
            logits, truth, label_smoothing=self.smoothing, reduction="none"
        )
        return (each * self.balance[truth]).sum() / self.balance[truth].sum()


class UnitLoss(nn.Module):
    """Binary cross-entropy of each unit, in which shown and absent weigh alike; their mean.

    Args:
        sides: weights of absent and shown, [2, units].
        smoothing: of the labels: 0 becomes half of it, and 1 one minus half of it.
    """

    sides: torch.Tensor

    def __init__(self, sides: torch.Tensor, smoothing: float) -> None:
        super().__init__()
        self.register_buffer("sides", sides)
        self.smoothing = smoothing

    def forward(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        weight = torch.where(truth == 1, self.sides[1], self.sides[0])
        target = truth * (1 - self.smoothing) + self.smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, target, weight=weight)


@dataclass(eq=False)
class NetworkPredictor:
    """A trained network that predicts probabilities.

    Args:
        net: the network.
        size: side of its input in px.
        chosen: what was chosen in training, and on which subjects.
        states: its weights after every epoch, where they were kept.
        curve: "epoch" (from 1), "train_loss", and where an epoch was chosen "inner_uar" or
            "inner_unit_f1", on the training subjects held out for that.
        many_labels: of a clip: probabilities of units, each for itself.
    """

    net: Backbone
    size: int
    chosen: dict[str, Any]
    states: list[dict[str, torch.Tensor]] | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    many_labels: bool = False

    def predict(self, clips: Pairs) -> NDArray[np.float64]:
        """Probabilities [N, classes], averaged over each clip and its mirror image."""
        logits = compute_logits(self.net, clips, self.size)
        each = logits.sigmoid() if self.many_labels else logits.softmax(2)
        outputs: NDArray[np.float64] = each.mean(0).numpy()
        return outputs

    def predict_epochs(self, clips: Pairs) -> NDArray[np.float64]:
        """Probabilities [epochs, N, classes] of the weights after every epoch."""
        last = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        outputs = []
        for state in self.states or []:
            self.net.load_state_dict(state)
            outputs.append(self.predict(clips))
        self.net.load_state_dict(last)
        return np.stack(outputs)
