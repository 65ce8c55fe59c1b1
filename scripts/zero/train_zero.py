"""Train a recognizer on simulated flow alone: the recipe of the shipped weights "zero"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import build_model
from ma2mi.motion.facs import CLASSES
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.synthesis.basis import FlowBasis
from ma2mi.synthesis.domain import OFF_TEMPLATE, DomainSettings
from ma2mi.synthesis.flow_simulator import UNITS
from ma2mi.training.checkpoint import load_backbone, load_state, save_state
from ma2mi.training.movements import Movements, SimulatedMovements
from ma2mi.training.pretext import FutureMovement, FutureMovementSettings
from ma2mi.training.simulated import (
    MeasuredPairs,
    SimulatedBatch,
    SimulatedBatches,
    SimulatedBatchSettings,
)
from ma2mi.training.views import one_thread

#: Logits of a recognizer: classes, units, intensity, movement.
OUTPUTS = len(CLASSES) + len(UNITS) + 2


#: Steps between two states on disk.
KEPT_EVERY = 100

WORLD = DomainSettings(
    asymmetry=0.85, one_sided=0.25, dropped=0.2, extra=0.3, bend_deg=14, head=0.32, noise=0.16
)
"""Movements that lag or stand on one side, and units that no emotion explains, are common here."""

FOREIGN = WORLD.model_copy(
    update={
        **OFF_TEMPLATE.model_dump(include={"stretch"}),
        "eyes_apart": (0.25, 0.52),
        "eyes_y": (0.2, 0.44),
        "shift": 0.06,
        "turn_deg": 5.0,
        "head": 0.36,
        "noise": 0.2,
    }
)
"""The same in the crops of other people's pipelines, a little wider than ``OFF_TEMPLATE``."""


class ZeroSettings(BaseModel):
    """How the network is trained; written beside the weights.

    Args:
        model, model_settings, size: the network. Its position branch is not trained, since
            simulated flow has no faces; so nothing that it learns depends on a subject's identity.
        steps, batch_size, lr, weight_decay, average: AdamW with a cosine, and the decay of the
            moving average of weights that is kept.
        images: share of every batch that is shown as flow images of the MEGC2019 layout.
        pairs: share of every batch that are rendered pairs, measured by a flow estimator.
        smoothing: of the class labels.
        unit_weight: of the units' loss beside that of the classes.
        ma2mi: weight of a second loss, MA2MI's, on movements of the same faces without their
            labels; 0 leaves it out. ``benchmarks/ma2mi/zero_and_ma2mi.py`` measures its effect.
        ma2mi_batch: movements, early and late, in a step of that loss.
        pretext: its settings.
        world, foreign: the domains of samples shown as movement in percent, and as images.
        seed: of weights and samples.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    model: str = "miacnet-tiny"
    model_settings: dict[str, Any] = {
        "branches": "action",
        "fusion": "sum",
        "action_stem": (48,),
        "action_stages": (96, 128),
        "position_stages": (8, 8, 128),
        "center": True,
        "padding": "replicate",
        "side": 64,
        "global_attention": True,
    }
    size: int = Field(112, ge=16)
    steps: int = Field(9000, ge=1)
    batch_size: int = Field(128, ge=8)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    average: float = Field(0.998, ge=0, lt=1)
    images: float = Field(0.6, ge=0, le=1)
    pairs: float = Field(0.3, ge=0, lt=1)
    smoothing: float = Field(0.05, ge=0, lt=1)
    unit_weight: float = Field(4.0, gt=0)
    ma2mi: float = Field(0.0, ge=0)
    ma2mi_batch: int = Field(48, ge=2)
    pretext: FutureMovementSettings = FutureMovementSettings()
    world: DomainSettings = WORLD
    foreign: DomainSettings = FOREIGN
    seed: int = Field(0, ge=0)

    @property
    def side(self) -> int:
        """Side of the actions that the network sees: its own, or that of its input."""
        return self.model_settings.get("side") or self.size

    @property
    def batches(self) -> SimulatedBatchSettings:
        return SimulatedBatchSettings(
            size=self.side,
            batch_size=self.batch_size,
            images=self.images,
            pairs=self.pairs,
            domain=self.world,
            images_domain=self.foreign,
            seed=self.seed,
        )


def losses(
    logits: Tensor, batch: SimulatedBatch, smoothing: float, unit_weight: float = 2.0
) -> Tensor:
    """Class, units, movement and the logarithm of the intensity, each where it is known."""
    c, u = len(CLASSES), len(UNITS)
    moves = batch.label >= 0
    class_loss = functional.cross_entropy(
        logits[moves, :c], batch.label[moves], label_smoothing=smoothing
    )
    unit_loss = functional.binary_cross_entropy_with_logits(logits[:, c : c + u], batch.units)
    movement_loss = functional.binary_cross_entropy_with_logits(logits[:, -1], moves.float())
    known = moves & batch.peak.isfinite()
    size = functional.softplus(logits[known, -2]).clamp_min(1e-3)
    size_loss = functional.smooth_l1_loss(size.log(), batch.peak[known].log())
    return class_loss + unit_weight * unit_loss + 0.3 * movement_loss + 0.2 * size_loss


def train_zero(
    basis: FlowBasis,
    pairs: MeasuredPairs | None,
    settings: ZeroSettings,
    *,
    init: Path | None = None,
    state: Path | None = None,
    on_progress: OnProgress = ignore,
) -> Backbone:
    """A network with ``OUTPUTS`` outputs, trained on simulated flow alone.

    One process draws the samples, another trains, on one thread: on one kind of machine the same
    weights come out, however busy it is. Killed, it goes on from the last 100 steps.

    Args:
        basis: faces of the synthetic subjects.
        pairs: measured pairs to mix in, or None.
        settings: see :class:`ZeroSettings`.
        init: folder of pre-trained weights to start from, such as MA2MI's, of a network with the
            settings of this one.
        state: file of the training state.
        on_progress: called now and then; ``detail`` is the mean loss since.
    """
    # Threads and random numbers of the caller stay as they were.
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        net = build_model(settings.model, OUTPUTS, **settings.model_settings)
        if init:
            load_backbone(net, init)
        batches = SimulatedBatches(basis, pairs, settings.batches)
        return _learn(net, batches, settings, state, on_progress)


def _learn(
    net: Backbone,
    batches: SimulatedBatches,
    settings: ZeroSettings,
    state: Path | None,
    on_progress: OnProgress,
) -> Backbone:
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(settings.average))  # type: ignore[no-untyped-call]
    both = nn.ModuleDict({"net": net, "average": average})
    learning, task, movements = [*net.parameters()], None, None
    if settings.ma2mi:
        task = FutureMovement(net, settings.pretext)
        for p in net.head_parameters():  # frozen by the task, which has no classes
            p.requires_grad_(True)
        beside = nn.ModuleDict({n: child for n, child in task.named_children() if n != "trunk"})
        both["ma2mi"] = beside
        learning += beside.parameters()
        nuisance, simulator = settings.pretext.nuisance, settings.pretext.simulator
        movements = SimulatedMovements(batches.basis, net, settings.size, nuisance, simulator)
    optimizer = torch.optim.AdamW(learning, lr=settings.lr, weight_decay=settings.weight_decay)
    done = 0
    if state and state.is_file():
        done = int(load_state(state, both, optimizer)["done"])
    recent: list[float] = []
    steps = _from(_Steps(batches, movements, settings), done)
    for step, (batch, unlabelled) in enumerate(steps, start=done):
        torch.manual_seed(settings.seed * 1_000_003 + step)  # of dropout
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _rate(step, settings.steps)
        net.train()
        loss = losses(net(None, batch.action), batch, settings.smoothing, settings.unit_weight)
        if task:
            loss = loss + settings.ma2mi * task(unlabelled).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        if task:
            task.update_target()
        average.update_parameters(net)
        recent.append(float(loss.detach()))
        if (step + 1) % KEPT_EVERY == 0 or step + 1 == settings.steps:
            on_progress(Progress("zero", step + 1, settings.steps, float(np.mean(recent))))
            recent = []
            if state:
                save_state(state, both, optimizer, {"done": step + 1})
    learned: Backbone = average.module  # type: ignore[assignment]
    return learned.eval()


def _rate(step: int, steps: int) -> float:
    """Share of the peak rate: up within 100 steps, then down as a cosine."""
    return float(min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * step / steps)))


class _Steps(Dataset[tuple[SimulatedBatch, Movements | None]]):
    """Step to its samples, with and without labels."""

    def __init__(
        self,
        batches: SimulatedBatches,
        movements: SimulatedMovements | None,
        settings: ZeroSettings,
    ) -> None:
        self.batches, self.movements, self.settings = batches, movements, settings

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> tuple[SimulatedBatch, Movements | None]:
        return self.batches[step], None if self.movements is None else self._unlabelled(step)

    def _unlabelled(self, step: int) -> Movements:
        assert self.movements is not None
        rng = np.random.default_rng((self.settings.seed, step, 4))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(self.movements.subjects), size=self.settings.ma2mi_batch)
        return self.movements.batch(rows, generator)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _from(steps: _Steps, start: int) -> Iterator[tuple[SimulatedBatch, Movements | None]]:
    return iter(
        DataLoader(
            steps,
            batch_size=None,
            sampler=range(start, len(steps)),
            num_workers=1,
            # A fork of a process that has threads can wait for ever for one that it lacks.
            multiprocessing_context="spawn",
            worker_init_fn=_one_thread,
            prefetch_factor=8,
        )
    )
