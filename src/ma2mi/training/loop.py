"""A training loop that knows nothing of its subject: epochs, steps, a schedule, a state on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ma2mi.errors import CheckpointError, SettingsError
from ma2mi.training.checkpoint import load_state, save_state


class LoopSettings(BaseModel):
    """How long and how fast to train.

    Args:
        epochs: passes over the data, unless an epoch has ``epoch_steps``.
        epoch_steps: steps of an epoch, however many examples there are; None is one pass.
        batch_size: examples of a step, over all devices together.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW.
        warmup: share of all steps in which the rate rises; it falls as a cosine after.
        clip: largest norm of the gradient.
        seed: of order, augmentation and dropout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(20, ge=1)
    epoch_steps: int | None = Field(None, ge=1)
    batch_size: int = Field(32, ge=1)
    lr: float = Field(1e-3, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)


#: rows of the batch and the epoch's generator -> loss
Step = Callable[[NDArray[np.int64], torch.Generator], Tensor]


def run_epochs(
    fabric: Fabric,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Step,
    count: int,
    settings: LoopSettings,
    *,
    state: Path | None = None,
    after_step: Callable[[], None] = lambda: None,
    after_epoch: Callable[[int], dict[str, Any]] = lambda epoch: {},
    order: Callable[[np.random.Generator], NDArray[np.int64]] | None = None,
    enough: Callable[[list[dict[str, Any]]], bool] = lambda history: False,
    on_figures: Callable[[dict[str, Any]], None] = lambda figures: None,
) -> list[dict[str, Any]]:
    """Train, and return the figures of every epoch: those of ``after_epoch``, and before them
    "epoch", from 1, and "train_loss".

    The loss is the mean over the epoch's steps, with the weights as they were at each; of several
    devices it is the first one's.

    Every epoch draws its order and its noise from (seed, epoch, device) alone. So a run that was
    killed goes on from ``state``, the last finished epoch, and ends with the same weights.

    Args:
        fabric: Lightning's; decides devices, precision and gradient exchange.
        module, optimizer: as ``fabric.setup`` returned them. Groups of the optimizer may carry
            "share", a factor on the learning rate.
        step: loss of the examples at these positions.
        count: examples there are.
        settings: see :class:`LoopSettings`.
        state: file of the training state; None keeps none.
        after_step: called after each optimizer step (a moving average, say).
        after_epoch: called after each epoch on every device; its numbers are kept.
        order: examples of one pass in an order drawn from the generator; shuffled by default.
        enough: from the figures of the epochs so far, whether to stop early.
        on_figures: receives the figures of each epoch on every device.

    Raises:
        SettingsError: a loss or a weight is no longer a finite number.
        CheckpointError: ``state`` is damaged, or of another network.
    """
    history: list[dict[str, Any]] = []
    inner: nn.Module = getattr(module, "module", module)
    if state and state.is_file():
        about = load_state(state, inner, optimizer)
        history = about.get("history", [])
        if not isinstance(history, list):
            raise CheckpointError(
                "no readable training state", where=state, hint="Delete it to start anew"
            )
        # Of 16-bit precision: by how much gradients are scaled.
        if scale := about.get("precision"):
            fabric.strategy.precision.load_state_dict(scale)
    order = order or (lambda rng: rng.permutation(count))
    steps = settings.epoch_steps or math.ceil(count / settings.batch_size)
    for epoch in range(len(history), settings.epochs):
        if enough(history):
            break
        seeds = np.random.SeedSequence([settings.seed, epoch, fabric.global_rank])
        noise, drops = (int(s) for s in seeds.generate_state(2))
        torch.manual_seed(drops)
        generator = torch.Generator().manual_seed(noise)
        module.train()
        losses: list[Tensor] = []
        for i, rows in enumerate(_batches(fabric, order, epoch, settings)):
            progress = (epoch * steps + i + 1) / (settings.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * group.get("share", 1.0) * _rate(progress, settings)
            optimizer.zero_grad(set_to_none=True)
            loss = step(rows, generator)
            # Several devices stop together, after the epoch: see below.
            if fabric.world_size == 1 and not bool(torch.isfinite(loss)):
                raise _diverged(
                    f"the loss is {float(loss.detach())} in step {i + 1}", epoch, settings
                )
            losses.append(loss.detach())
            fabric.backward(loss)
            fabric.clip_gradients(module, optimizer, max_norm=settings.clip)
            optimizer.step()
            after_step()
        module.eval()
        if not all(bool(torch.isfinite(p).all()) for p in inner.parameters()):
            raise _diverged("weights are not finite at the end", epoch, settings)
        # What one device measured counts for all, or they might not stop together.
        figures = {"epoch": epoch + 1, "train_loss": float(torch.stack(losses).mean())}
        history.append(fabric.broadcast({**figures, **after_epoch(epoch)}))
        on_figures(history[-1])
        if state:
            about = {"history": history, "precision": fabric.strategy.precision.state_dict()}
            save_state(state, inner, optimizer, about, write=fabric.is_global_zero)
        fabric.barrier()
    module.eval()
    return history


def _diverged(what: str, epoch: int, settings: LoopSettings) -> SettingsError:
    return SettingsError(
        f"{what} of epoch {epoch + 1}",
        where="training",
        hint=f"Lower the learning rate, which is {settings.lr:g}",
    )


def _rate(progress: float, settings: LoopSettings) -> float:
    """Share of the peak rate at this share of all steps."""
    if progress < settings.warmup:
        return progress / settings.warmup
    rest = (progress - settings.warmup) / (1 - settings.warmup)
    return 0.5 * (1 + math.cos(math.pi * rest))


def _batches(
    fabric: Fabric,
    order: Callable[[np.random.Generator], NDArray[np.int64]],
    epoch: int,
    settings: LoopSettings,
) -> Iterator[NDArray[np.int64]]:
    """This device's share of every batch of an epoch; never an empty one.

    Where an epoch has a number of steps, passes follow each other, and what is left of a pass and
    fills no batch is passed over: no example is twice in a batch.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    size, done = settings.batch_size, 0
    while True:
        rows = order(rng)
        size = min(size, len(rows))
        whole = len(rows) // size if settings.epoch_steps else math.ceil(len(rows) / size)
        for start in range(0, whole * size, size):
            batch = rows[start : start + size]
            own = np.array_split(batch, fabric.world_size)[fabric.global_rank]
            yield own if len(own) else batch[:1]
            done += 1
            if done == settings.epoch_steps:
                return
        if not settings.epoch_steps:
            return
