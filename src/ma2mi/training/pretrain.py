"""Pre-train a backbone by MA2MI: on videos of any folder or corpus, or on the flow simulator."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ma2mi.clips.pairs import Pairs
from ma2mi.errors import CheckpointError
from ma2mi.files import replace_file
from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import build_model
from ma2mi.progress import OnProgress, Progress
from ma2mi.training import tracking
from ma2mi.training.checkpoint import load_backbone, read_config, save_model, weights_digest
from ma2mi.training.claim import SETTINGS, STATE, run_folder, writing
from ma2mi.training.loop import run_epochs
from ma2mi.training.ma2mi import PretextSettings
from ma2mi.training.pretext import FutureLoss
from ma2mi.training.pretext_plans import FuturePlan, NearPlan, freeze_idle, plan_pretext
from ma2mi.training.pretrain_settings import PretrainSettings
from ma2mi.training.probe import PROBED
from ma2mi.training.unlabelled import FEWEST, Rows, check_enough, digest_pairs, split_subjects

BEST = "best.safetensors"
#: Columns of the log, those that a pretext task has.
COLUMNS = ("epoch", "train_loss", *FutureLoss._fields, *PROBED, "copy", "gain", "variance")


def pretrain(
    pairs: Pairs | None,
    out: Path,
    settings: PretrainSettings,
    *,
    init: Path | None = None,
    fabric: Fabric | None = None,
    about: dict[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    services: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Train until ``settings.loop.epochs``, going on from where a killed run stopped.

    A finished run goes on if more epochs are asked for; the learning rate then follows the new
    number, and ``config.json`` says so ("planned").

    Writes to ``out``: ``model.safetensors`` and ``config.json`` (the weights, the pretext task's
    name, subjects), ``log.csv`` and ``tensorboard/`` (figures on held-out subjects after every
    epoch), ``settings.json``, and ``state.safetensors``, to go on from.

    Args:
        pairs: "future-movement" or "near-future" pairs, as the pretext task takes them; None takes
            the flow simulator.
        out: folder of the run.
        settings: see :class:`PretrainSettings`.
        init: folder of weights to start from, such as those of the simulator.
        fabric: Lightning's, launched; one CPU by default. Its flags choose devices, nodes,
            strategy and precision.
        about: written into ``config.json`` beside the settings (version, data hash).
        on_progress: called after each epoch (from 1); ``detail`` holds its figures.
        services: where the run is tracked beside its folder, see ``tracking.Service``.

    Returns:
        The figures of every epoch: "train_loss", and on held-out subjects see ``Probe.figures``;
        for "near future" loss, copy (the loss of the identity baseline), gain (1 - loss/copy) and
        variance.

    Raises:
        SettingsError: ``out`` holds a run with another pretext task, other settings or other
            pairs, or a model that was not trained there; the loss is not finite; there are fewer
            than two subjects or too few pairs, or the simulator is asked for faces.
        Busy: another process trains in ``out``.
        CheckpointError: ``init`` holds weights of another pretext task, network or size.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    # The random numbers of the caller stay as they were.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.loop.seed)
        backbone = build_model(settings.model, 2, **settings.model_settings)
        if init:
            _check_init(init, settings)
            load_backbone(backbone, init)
        plan = plan_pretext(backbone, pairs, settings)
        train, held = split_subjects(plan.subjects, settings.held_out, settings.loop.seed)
        check_enough(train)
        meant = {
            **settings.model_dump(mode="json"),
            "about": about or {},
            "init_sha256": weights_digest(init) if init else "",
            "pairs_sha256": "" if pairs is None else digest_pairs(pairs),
        }
        refused = _other_pretext(out, settings)
        with (
            run_folder(out, meant, fabric, epochs="loop.epochs", refused=refused) as claimed,
            tracking.track(out, services, claimed, main=fabric.is_global_zero) as tracker,
        ):
            history = _learn(
                plan, backbone, (train, held), out, settings, fabric, on_progress, tracker
            )
            if fabric.is_global_zero:
                chosen = _choose(plan, backbone, history, out, settings)
                config = {
                    **_description(settings, pairs, held),
                    "figures": history[chosen],
                    **({"planned": claimed["planned"]} if "planned" in claimed else {}),
                    **(about or {}),
                }
                config |= _seen_before(init, config)
                write_log(out / "log.csv", history, COLUMNS)
                with writing(out):
                    save_model(out, backbone, config)
            fabric.barrier()
    return history


def _description(settings: PretrainSettings, pairs: Pairs | None, held: Rows) -> dict[str, Any]:
    """Network, pretext task and subjects, for ``config.json``."""
    seen, held_out = (
        ([], []) if pairs is None else (pairs.subjects.tolist(), pairs.subjects[held].tolist())
    )
    return {
        "model": settings.model,
        "classes": 2,
        "settings": settings.model_settings,
        "size": settings.size,
        "pretext": settings.pretext.title,
        "people": sorted(set(seen)),
        "held_out": sorted(set(held_out)),
    }


def _seen_before(init: Path | None, config: dict[str, Any]) -> dict[str, list[str]]:
    """The subjects, with those that are in the weights that it started from."""
    before = read_config(init) if init else {}
    people = sorted({*config["people"], *before.get("people", [])})
    trained: list[str] = before.get("trained_subjects", [])
    return {"people": people, **({"trained_subjects": trained} if trained else {})}


def _learn(
    plan: FuturePlan | NearPlan,
    backbone: Backbone,
    parts: tuple[Rows, Rows],
    out: Path,
    settings: PretrainSettings,
    fabric: Fabric,
    on_progress: OnProgress | None,
    tracker: tracking.Tracker,
) -> list[dict[str, Any]]:
    """Run all epochs; ``parts`` are the positions of the pairs to train on and to evaluate on."""
    train, held = parts
    freeze_idle(plan, train[:FEWEST])
    optimizer = torch.optim.AdamW(
        [p for p in plan.task.parameters() if p.requires_grad],
        lr=settings.loop.lr,
        weight_decay=settings.loop.weight_decay,
    )
    module, optimizer = fabric.setup(plan.task, optimizer)

    def step(rows: Rows, generator: torch.Generator) -> Tensor:
        return plan.loss(module(plan.batch(train[rows], generator).to(fabric.device)))

    def after_epoch(epoch: int) -> dict[str, Any]:
        figures = plan.evaluate(held)
        if settings.stop == "probe" and fabric.is_global_zero:
            _keep_if_best(out / BEST, backbone, figures[plan.measure(figures)])
        if on_progress and fabric.is_global_zero:
            on_progress(Progress("pretrain", epoch + 1, settings.loop.epochs, figures))
        return figures

    return run_epochs(
        fabric,
        module,
        optimizer,
        step,
        len(train),
        settings.loop,
        state=out / STATE,
        after_step=plan.task.update_target,
        after_epoch=after_epoch,
        order=plan.order(train),
        enough=lambda so_far: settings.stop == "probe" and _stale(so_far, plan, settings.patience),
        on_figures=tracker.log_epoch,
    )


def _choose(
    plan: FuturePlan | NearPlan,
    backbone: Backbone,
    history: list[dict[str, Any]],
    out: Path,
    settings: PretrainSettings,
) -> int:
    """Put the weights of the epoch that counts into the backbone, and say which it is, from 0."""
    if settings.stop == "fixed":
        return len(history) - 1
    backbone.load_state_dict(_read_best(out / BEST)[0])
    return _best(history, plan)


def _best(history: list[dict[str, Any]], plan: FuturePlan | NearPlan) -> int:
    return int(np.argmax([figures[plan.measure(figures)] for figures in history]))


def _stale(history: list[dict[str, Any]], plan: FuturePlan | NearPlan, patience: int) -> bool:
    return bool(history) and len(history) - 1 - _best(history, plan) >= patience


def _keep_if_best(path: Path, backbone: Backbone, score: float) -> None:
    """Keep the weights if none before were better.

    A run that was killed after this and before its state was written comes to the same weights
    again, and keeps them again.
    """
    if path.is_file() and _read_best(path)[1] > score:
        return
    tensors = {name: t.detach().cpu().contiguous() for name, t in backbone.state_dict().items()}
    replace_file(path, save({**tensors, "score": torch.tensor([score], dtype=torch.float64)}))


def _read_best(path: Path) -> tuple[dict[str, Tensor], float]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"no readable weights ({error})", where=path, hint="Delete the run to start anew"
        ) from error
    return tensors, float(tensors.pop("score"))


def _check_init(init: Path, settings: PretrainSettings) -> None:
    config = read_config(init)
    if (config["model"], config["size"]) != (settings.model, settings.size):
        raise CheckpointError(
            f"holds {config['model']} at {config['size']} px, not {settings.model} at "
            f"{settings.size} px",
            where=init,
            hint="Name them with --model and --size",
        )
    before = _pretext_of(config)
    if before not in ("", settings.pretext.title):
        raise CheckpointError(
            f"holds weights of the pretext task {before}, not {settings.pretext.title}",
            where=init,
            hint="Start from weights of the same pretext task",
        )


def _pretext_of(config: dict[str, Any]) -> str:
    """Name of the pretext task, "" for weights that were made without one, such as "zero"."""
    if "pretext" in config:
        return str(config["pretext"])
    return "near-future" if "gain" in config else ""  # as written before there was another


def _other_pretext(out: Path, settings: PretrainSettings) -> str:
    """That a run in a folder has another pretext task, in words; "" if not, or unknown."""
    try:
        old = json.loads((out / SETTINGS).read_bytes())["pretext"]
        named = old.get("name") == "future-movement"
        name = "future-movement" if named else PretextSettings.model_validate(old).title
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    if name == settings.pretext.title:
        return ""
    return f"of the pretext task {name}, not {settings.pretext.title}"


def write_log(path: Path, history: list[dict[str, Any]], columns: Sequence[str]) -> None:
    """The figures of every epoch as a table, those of ``columns`` that there are."""
    text = io.StringIO()
    # Epochs of a version before may lack some.
    there = [name for name in columns if any(name in row for row in history)]
    writer = csv.DictWriter(text, there, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(history)
    replace_file(path, text.getvalue().encode())
