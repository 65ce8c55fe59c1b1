"""Pre-train a trunk by MA2MI on the pairs of any folder of face videos."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.clips.batches import AugmentSettings, Batch, make_batch
from ma2mi.clips.pairs import Pairs
from ma2mi.errors import SettingsError
from ma2mi.files import replace_file
from ma2mi.models.catalog import build_model
from ma2mi.training.checkpoint import save_model
from ma2mi.training.loop import LoopSettings, run_epochs
from ma2mi.training.ma2mi import MA2MI, PretextSettings

Hook = Callable[[int, int, dict[str, Any]], None]


class PretrainSettings(BaseModel):
    """Everything that decides which weights come out.

    Args:
        model: name in the catalog.
        model_settings: changes to its preset.
        size: side of the network's input in px.
        held_out: share of the people that judge the reconstruction and are never trained on.
        pretext, loop, augment: see their classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = "miacnet-tiny"
    model_settings: dict[str, Any] = {}
    size: int = Field(112, ge=32, multiple_of=16)
    held_out: float = Field(0.2, ge=0, lt=1)
    pretext: PretextSettings = PretextSettings()
    loop: LoopSettings = LoopSettings(batch_size=16, lr=2e-3)
    augment: AugmentSettings = AugmentSettings(strength=0)


def pretrain(
    pairs: Pairs,
    out: Path,
    settings: PretrainSettings,
    *,
    fabric: Fabric | None = None,
    about: dict[str, Any] | None = None,
    hook: Hook | None = None,
) -> list[dict[str, Any]]:
    """Train until ``settings.loop.epochs``, going on from where a killed run stopped.

    Writes to ``out``: ``model.safetensors`` and ``config.json`` (the weights, who was seen),
    ``log.csv`` and ``tensorboard/`` (loss, copy baseline, gain, variance after every epoch on
    held-out people), ``settings.json``, and ``state.safetensors``, to go on from.

    Args:
        pairs: near-future pairs.
        out: folder of the run.
        settings: see :class:`PretrainSettings`.
        fabric: Lightning's, launched; one CPU by default. Its flags choose devices, nodes,
            strategy and precision.
        about: written into ``config.json`` beside the settings (version, data hash).
        hook: told (epoch from 1, epochs, figures of the epoch).

    Returns:
        The figures of every epoch; ``gain`` is 1 - loss/copy on held-out people.

    Raises:
        SettingsError: ``out`` holds a run with other settings or other pairs, or there are fewer
            than two people.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, pairs, settings, about or {}, fabric)
    train, held = split_people(pairs.subjects, settings.held_out, settings.loop.seed)
    torch.manual_seed(settings.loop.seed)
    task = MA2MI(build_model(settings.model, 2, **settings.model_settings), settings.pretext)
    optimizer = torch.optim.AdamW(
        [p for p in task.parameters() if p.requires_grad],
        lr=settings.loop.lr,
        weight_decay=settings.loop.weight_decay,
    )
    module, optimizer = fabric.setup(task, optimizer)
    board = (
        TensorBoardLogger(out, name="tensorboard", version="") if fabric.is_global_zero else None
    )

    def batch(rows: NDArray[np.int64], generator: torch.Generator | None) -> Batch:
        return make_batch(
            pairs,
            rows,
            size=settings.size,
            side=task.trunk.input_side or settings.size,
            action_input=task.trunk.action_input,
            target=settings.pretext.target,
            augment=settings.augment if generator else None,
            generator=generator,
        ).to(fabric.device)

    def step(rows: NDArray[np.int64], generator: torch.Generator) -> torch.Tensor:
        said = module(batch(train[rows], generator))
        loss: torch.Tensor = said.loss + settings.pretext.keep_spread * said.lost_spread
        return loss

    def after_epoch(epoch: int) -> dict[str, Any]:
        figures = _judge(task, batch, held, settings.loop.batch_size)
        if board:
            board.log_metrics(figures, epoch + 1)
        if hook and fabric.is_global_zero:
            hook(epoch + 1, settings.loop.epochs, figures)
        return {"epoch": epoch + 1, **figures}

    history = run_epochs(
        fabric,
        module,
        optimizer,
        step,
        len(train),
        settings.loop,
        state=out / "state.safetensors",
        after_step=task.follow,
        after_epoch=after_epoch,
    )
    if board:
        board.finalize("success")
    if fabric.is_global_zero:
        _write_log(out / "log.csv", history)
        config = {
            "model": settings.model,
            "classes": 2,
            "settings": settings.model_settings,
            "size": settings.size,
            "people": sorted({str(s) for s in pairs.subjects}),
            "held_out": sorted({str(s) for s in pairs.subjects[held]}),
            "gain": history[-1]["gain"] if history else None,
            **(about or {}),
        }
        save_model(out, task.trunk, config)
    fabric.barrier()
    return history


def split_people(
    subjects: NDArray[np.str_], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the people to train on and of those held out; never the same person in both.

    Raises:
        SettingsError: there is nobody to hold out.
    """
    people = np.unique(subjects)
    if len(people) < 2:
        raise SettingsError(
            f"pre-training needs two people at least, one to judge it on; found {len(people)}",
            cure="Add videos of other people",
        )
    count = min(max(1, round(share * len(people))), len(people) - 1)
    held = np.random.default_rng([seed, 7]).permutation(people)[:count]
    outside = np.isin(subjects, held)
    return np.flatnonzero(~outside), np.flatnonzero(outside)


@torch.no_grad()
def _judge(
    task: MA2MI, batch: Callable[..., Batch], rows: NDArray[np.int64], batch_size: int
) -> dict[str, float]:
    """Loss, copy baseline, gain and latent variance, averaged over these pairs."""
    totals = np.zeros(4)
    task.eval()
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        totals += len(chosen) * np.array([float(x) for x in task(batch(chosen, None))])
    loss, _, copy, variance = (totals / len(rows)).tolist()
    return {"loss": loss, "copy": copy, "gain": 1 - loss / copy, "variance": variance}


def _claim(
    out: Path, pairs: Pairs, settings: PretrainSettings, about: dict[str, Any], fabric: Fabric
) -> None:
    """Make the folder this run's, or refuse to go on with other settings or other pairs."""
    path = out / "settings.json"
    drawn = hashlib.sha256(pairs.elapsed_s.tobytes())
    drawn.update(json.dumps([pairs.keys.tolist(), pairs.subjects.tolist()]).encode())
    tree = {
        **settings.model_dump(mode="json"),
        "about": about,
        "pairs_sha256": drawn.hexdigest(),
    }
    text = json.dumps(tree, indent=2, sort_keys=True)
    if path.is_file() and path.read_text() != text:
        raise SettingsError(
            "holds a run with other settings or other videos",
            where=out,
            cure="Choose another --out, or delete it",
        )
    if fabric.is_global_zero:
        replace_file(path, text.encode())


def _write_log(path: Path, history: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=["epoch", "loss", "copy", "gain", "variance"])
    writer.writeheader()
    writer.writerows(history)
    replace_file(path, text.getvalue().encode())
