"""Learn to read facial movement from worlds that nobody filmed: the recipe behind "zero"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
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
    UNITS,
)
from ma2mi.training.checkpoint import load_backbone, load_state, save_state
from ma2mi.training.movements import Movements, SimulatedMovements
from ma2mi.training.pretext import FutureMovement
from ma2mi.training.simulated import MeasuredPairs, SimulatedBatch, SimulatedBatches, ZeroSettings
from ma2mi.training.views import one_thread

#: Logits of a recognizer: classes, units, intensity, movement.
OUTPUTS = len(CLASSES) + len(UNITS) + 2


#: Steps between two states on disk.
KEPT_EVERY = 100


def losses(logits: Tensor, batch: SimulatedBatch, smoothing: float) -> Tensor:
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
        return _learn(net, SimulatedBatches(basis, pairs, settings), settings, state, on_progress)


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


class _Steps(Dataset[tuple[SimulatedBatch, Movements | None]]):
    """Step to all that it is shown, with and without labels."""

    def __init__(self, batches: SimulatedBatches, movements: SimulatedMovements | None) -> None:
        self.batches, self.movements = batches, movements

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple[SimulatedBatch, Movements | None]:
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
