"""Learn to read facial movement from worlds that nobody filmed: the recipe behind "zero"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
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
from ma2mi.synthesis.flow_simulator import (
    FOREIGN,
    UNITS,
    Sample,
    WorldSettings,
    as_action,
    as_flow_image,
    bend_flow,
    sample_world,
)
from ma2mi.training.checkpoint import load_backbone, load_state, save_state
from ma2mi.training.movements import Movements, SimulatedMovements
from ma2mi.training.pretext import FutureMovement, FutureMovementSettings
from ma2mi.training.views import one_thread

#: Logits of a recognizer: classes, units, intensity, movement.
OUTPUTS = len(CLASSES) + len(UNITS) + 2

#: Steps between two states on disk.
KEPT_EVERY = 100

#: Crops with room for a bend around a measured pair: it already sits as its own world wants it.
_PAIR_WORLD = WorldSettings(eyes_apart=(0.28, 0.36), eyes_y=(0.26, 0.32))


class ZeroSettings(BaseModel):
    """How the network learns from worlds.

    Args:
        model, model_settings, size: the network; its position branch is not trained, since the
            worlds have movement and no faces: what it learns cannot depend on who somebody is.
        steps, batch_size, lr, weight_decay, average: AdamW with a cosine, and the decay of the
            moving average of weights that is kept.
        images: share of every batch that is shown as the MEGC2019 layout shows it.
        pairs: share of every batch that are pairs painted and measured by the estimator.
        smoothing: of the class labels.
        ma2mi: weight of a second loss, MA2MI's, on movements of the same faces without their
            labels; 0 leaves it out. ``benchmarks/ma2mi/zero_and_ma2mi.py`` measures what it brings.
        ma2mi_batch: movements, early and late, that it sees in a step.
        pretext: its settings.
        world, foreign: of the samples shown as movement in percent, and as scaled images.
        seed: of weights and samples.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    model: str = "miacnet-tiny"
    model_settings: dict[str, Any] = {
        "center": True,
        "branches": "action",
        "fusion": "sum",
        "padding": "zeros",
        "side": None,
        "global_attention": False,
    }
    size: int = Field(112, ge=16)
    steps: int = Field(2600, ge=1)
    batch_size: int = Field(128, ge=8)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    average: float = Field(0.995, ge=0, lt=1)
    images: float = Field(0.6, ge=0, le=1)
    pairs: float = Field(0.15, ge=0, lt=1)
    smoothing: float = Field(0.05, ge=0, lt=1)
    ma2mi: float = Field(0.0, ge=0)
    ma2mi_batch: int = Field(48, ge=2)
    pretext: FutureMovementSettings = FutureMovementSettings()
    world: WorldSettings = WorldSettings()
    foreign: WorldSettings = FOREIGN
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class MeasuredPairs:
    """Movement that an estimator measured between two painted images.

    Args:
        flow: float16 [N, 2, S, S], percent of the side.
        label: int64 [N], index into ``facs.CLASSES``, -1 for none.
        units: float32 [N, 12], see ``flow_world.UNITS``.
        peak: float32 [N], largest true movement of the expression in percent of the side.
    """

    flow: NDArray[np.float16]
    label: NDArray[np.int64]
    units: NDArray[np.float32]
    peak: NDArray[np.float32]


class WorldBatch(NamedTuple):
    """Movements of all worlds, as a network is shown them, with their truth.

    Attributes:
        action: [B, 3, size, size].
        label: int64 [B], index into ``facs.CLASSES``, -1 for none.
        units: [B, 12], see ``flow_world.UNITS``.
        peak: [B], largest movement in percent of the side, NaN where the amplitude is lost.
    """

    action: Tensor
    label: Tensor
    units: Tensor
    peak: Tensor


class WorldBatches(Dataset[WorldBatch]):
    """Step to batch; the same whichever process draws it, on one thread.

    Args:
        basis: faces of the worlds.
        pairs: measured pairs to mix in, or None.
        settings: shares, worlds, size and seed.
    """

    def __init__(self, basis: FlowBasis, pairs: MeasuredPairs | None, settings: ZeroSettings):
        self.basis, self.pairs, self.settings = basis, pairs, settings

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> WorldBatch:
        s = self.settings
        measured = round(s.pairs * s.batch_size) if self.pairs else 0
        images = round(s.images * (s.batch_size - measured))
        plain = s.batch_size - measured - images
        parts = [
            _shown(sample_world(self.basis, s.foreign, images, (s.seed, step, 0)), True, s.size),
            _shown(sample_world(self.basis, s.world, plain, (s.seed, step, 1)), False, s.size),
        ]
        if measured:
            half = measured // 2
            parts += [
                _shown(self._measured(half, s.foreign, step, 2), True, s.size),
                _shown(self._measured(measured - half, _PAIR_WORLD, step, 3), False, s.size),
            ]
        return WorldBatch(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _measured(self, count: int, world: WorldSettings, step: int, stream: int) -> Sample:
        assert self.pairs is not None
        rng = np.random.default_rng((self.settings.seed, step, stream))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(self.pairs.label), size=count)
        flow = torch.from_numpy(self.pairs.flow[rows].astype(np.float32))
        return Sample(
            bend_flow(flow, world, generator),
            torch.from_numpy(self.pairs.label[rows]),
            torch.from_numpy(self.pairs.units[rows]),
            torch.from_numpy(self.pairs.peak[rows]),
        )


def _shown(sample: Sample, image: bool, size: int) -> WorldBatch:
    action = as_flow_image(sample.flow) if image else as_action(sample.flow)
    action = functional.interpolate(action, size=(size, size), mode="bilinear")
    peak = torch.full_like(sample.peak, torch.nan) if image else sample.peak
    return WorldBatch(action, sample.label, sample.units, peak)


def losses(logits: Tensor, batch: WorldBatch, smoothing: float) -> Tensor:
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
    return class_loss + 2 * unit_loss + 0.3 * movement_loss + 0.2 * size_loss


def train_zero(
    basis: FlowBasis,
    pairs: MeasuredPairs | None,
    settings: ZeroSettings,
    *,
    init: Path | None = None,
    state: Path | None = None,
    on_progress: OnProgress = ignore,
) -> Backbone:
    """A network with ``OUTPUTS`` outputs, learned from worlds alone.

    One process draws the samples, another learns, on one thread: on one kind of machine the same
    weights come out, however busy it is. Killed, it goes on from the last 100 steps.

    Args:
        basis: faces of the worlds.
        pairs: measured pairs to mix in, or None.
        settings: see :class:`ZeroSettings`.
        init: folder of pre-trained weights to start from, such as MA2MI's, of a network with the
            settings of this one.
        state: file of the training state.
        on_progress: called now and then; ``detail`` is the mean loss since.
    """
    # Threads and random numbers of whoever calls stay as they were.
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        net = build_model(settings.model, OUTPUTS, **settings.model_settings)
        if init:
            load_backbone(net, init)
        return _learn(net, WorldBatches(basis, pairs, settings), settings, state, on_progress)


def _learn(
    net: Backbone,
    batches: WorldBatches,
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
    told: list[float] = []
    for step, (batch, grown) in enumerate(_from(_Steps(batches, movements), done), start=done):
        torch.manual_seed(settings.seed * 1_000_003 + step)  # of dropout
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _rate(step, settings.steps)
        net.train()
        loss = losses(net(None, batch.action), batch, settings.smoothing)
        if task:
            loss = loss + settings.ma2mi * task(grown).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        if task:
            task.update_target()
        average.update_parameters(net)
        told.append(float(loss.detach()))
        if (step + 1) % KEPT_EVERY == 0 or step + 1 == settings.steps:
            on_progress(Progress("zero", step + 1, settings.steps, float(np.mean(told))))
            told = []
            if state:
                save_state(state, both, optimizer, {"done": step + 1})
    learned: Backbone = average.module  # type: ignore[assignment]
    return learned.eval()


def _rate(step: int, steps: int) -> float:
    """Share of the peak rate: up within 100 steps, then down as a cosine."""
    return float(min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * step / steps)))


class _Steps(Dataset[tuple[WorldBatch, Movements | None]]):
    """Step to all that it is shown, with and without labels."""

    def __init__(self, batches: WorldBatches, movements: SimulatedMovements | None) -> None:
        self.batches, self.movements = batches, movements

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple[WorldBatch, Movements | None]:
        return self.batches[step], None if self.movements is None else self._grown(step)

    def _grown(self, step: int) -> Movements:
        assert self.movements is not None
        settings = self.batches.settings
        rng = np.random.default_rng((settings.seed, step, 4))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(self.movements.subjects), size=settings.ma2mi_batch)
        return self.movements.batch(rows, generator)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _from(steps: _Steps, start: int) -> Iterator[tuple[WorldBatch, Movements | None]]:
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
