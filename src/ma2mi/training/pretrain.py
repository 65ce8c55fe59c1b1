"""Pre-train a backbone by MA2MI: on videos of any folder or corpus, or on the flow simulator."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ma2mi.clips.batches import AugmentSettings, Batch, make_batch
from ma2mi.clips.pairs import Pairs
from ma2mi.errors import CheckpointError, SettingsError
from ma2mi.files import replace_file
from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import build_model
from ma2mi.progress import OnProgress, Progress
from ma2mi.synthesis.basis import make_basis
from ma2mi.training.checkpoint import load_backbone, read_config, save_model, weights_digest
from ma2mi.training.claim import SETTINGS, STATE, run_folder, writing
from ma2mi.training.loop import LoopSettings, run_epochs
from ma2mi.training.ma2mi import MA2MI, PretextLoss, PretextSettings
from ma2mi.training.movements import Movements, SimulatedMovements, Source, VideoMovements
from ma2mi.training.pretext import FutureLoss, FutureMovement, FutureMovementSettings
from ma2mi.training.probe import PROBED, Probe, ProbeSettings

Rows = NDArray[np.int64]

#: Fewer pairs than this are nothing to tell each other apart.
FEWEST = 8
BEST = "best.safetensors"
#: Columns of the log, those that a pretext task has.
COLUMNS = ("epoch", *FutureLoss._fields, *PROBED, "copy", "gain", "variance")


class PretrainSettings(BaseModel):
    """Everything that decides which weights come out.

    Args:
        model: name in the catalog.
        model_settings: changes to its preset.
        size: side of the network's input in px.
        held_out: share of the subjects that are evaluated on and never trained on.
        pretext: "future movement" by default; "near future" as an ablation.
        probe: see its class; for "future movement".
        stop: "fixed" takes the last epoch; "probe" the one whose probe is best, and ends when that
            was ``patience`` epochs ago: by the ridge on action units, or the retrieval where there
            is none; "near future" goes by its gain.
        patience: epochs.
        loop: see its class.
        augment: for "near future".
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    model: str = "miacnet-tiny"
    model_settings: dict[str, Any] = {}
    size: int = Field(112, ge=32, multiple_of=16)
    held_out: float = Field(0.2, ge=0, lt=1)
    pretext: FutureMovementSettings | PretextSettings = FutureMovementSettings()
    probe: ProbeSettings = ProbeSettings()
    stop: Literal["fixed", "probe"] = "fixed"
    patience: int = Field(3, ge=1)
    loop: LoopSettings = LoopSettings(epochs=10, epoch_steps=30, batch_size=96, lr=2e-3)
    augment: AugmentSettings = AugmentSettings(strength=0)


def pretrain(
    pairs: Pairs | None,
    out: Path,
    settings: PretrainSettings,
    *,
    init: Path | None = None,
    fabric: Fabric | None = None,
    about: dict[str, Any] | None = None,
    on_progress: OnProgress | None = None,
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

    Returns:
        The figures of every epoch, on held-out subjects: see ``Probe.figures``; for "near future"
        loss, copy (the loss of the identity baseline), gain (1 - loss/copy) and variance.

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
        plan = _plan(backbone, pairs, settings)
        train, held = split_subjects(plan.subjects, settings.held_out, settings.loop.seed)
        check_enough(train)
        meant = {
            **settings.model_dump(mode="json"),
            "about": about or {},
            "init_sha256": weights_digest(init) if init else "",
            "pairs_sha256": "" if pairs is None else digest_pairs(pairs),
        }
        refused = _other_pretext(out, settings)
        with run_folder(out, meant, fabric, epochs="loop.epochs", refused=refused) as claimed:
            history = _learn(plan, backbone, (train, held), out, settings, fabric, on_progress)
            if fabric.is_global_zero:
                chosen = _choose(plan, backbone, history, out, settings)
                config = {
                    "model": settings.model,
                    "classes": 2,
                    "settings": settings.model_settings,
                    "size": settings.size,
                    "pretext": settings.pretext.title,
                    "people": [] if pairs is None else sorted({str(s) for s in pairs.subjects}),
                    "held_out": []
                    if pairs is None
                    else sorted({str(s) for s in pairs.subjects[held]}),
                    "figures": history[chosen],
                    **({"planned": claimed["planned"]} if "planned" in claimed else {}),
                    **(about or {}),
                }
                write_log(out / "log.csv", history, COLUMNS)
                with writing(out):
                    save_model(out, backbone, config)
            fabric.barrier()
    return history


def _learn(
    plan: _FuturePlan | _NearPlan,
    backbone: Backbone,
    parts: tuple[Rows, Rows],
    out: Path,
    settings: PretrainSettings,
    fabric: Fabric,
    on_progress: OnProgress | None,
) -> list[dict[str, Any]]:
    """Run all epochs; ``parts`` are the positions of the pairs to train on and to evaluate on."""
    train, held = parts
    _freeze_idle(plan, train[:FEWEST])
    optimizer = torch.optim.AdamW(
        [p for p in plan.task.parameters() if p.requires_grad],
        lr=settings.loop.lr,
        weight_decay=settings.loop.weight_decay,
    )
    module, optimizer = fabric.setup(plan.task, optimizer)
    board = (
        TensorBoardLogger(out, name="tensorboard", version="") if fabric.is_global_zero else None
    )

    def step(rows: Rows, generator: torch.Generator) -> Tensor:
        return plan.loss(module(plan.batch(train[rows], generator).to(fabric.device)))

    def after_epoch(epoch: int) -> dict[str, Any]:
        figures = plan.evaluate(held)
        if board:
            board.log_metrics(figures, epoch + 1)
        if settings.stop == "probe" and fabric.is_global_zero:
            _keep_if_best(out / BEST, backbone, figures[plan.measure(figures)])
        if on_progress and fabric.is_global_zero:
            on_progress(Progress("pretrain", epoch + 1, settings.loop.epochs, figures))
        return {"epoch": epoch + 1, **figures}

    history = run_epochs(
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
    )
    if board:
        board.finalize("success")
    return history


def _choose(
    plan: _FuturePlan | _NearPlan,
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


def check_enough(train: Rows) -> None:
    """Refuse to learn from fewer than ``FEWEST`` pairs.

    Raises:
        SettingsError: there are fewer.
    """
    if len(train) < FEWEST:
        raise SettingsError(
            f"only {len(train)} pairs to learn from, at least {FEWEST} are needed",
            cure="Give more or longer videos in which faces move",
        )


def digest_pairs(pairs: Pairs) -> str:
    """sha256 of the pairs: names, subjects, pictures and movements."""
    drawn = hashlib.sha256(json.dumps([pairs.keys.tolist(), pairs.subjects.tolist()]).encode())
    for name in ("first", "second", "third", "action", "elapsed_s", "late", "regions"):
        values = getattr(pairs, name)
        drawn.update(f"{name} {values.shape} {values.dtype}".encode())
        for rows in np.array_split(values, max(1, len(values) // 256)):  # maps of any size
            drawn.update(np.ascontiguousarray(rows).tobytes())
    return drawn.hexdigest()


def split_subjects(subjects: NDArray[np.str_], share: float, seed: int) -> tuple[Rows, Rows]:
    """Positions of the subjects to train on and of those held out; never one of them in both.

    Raises:
        SettingsError: there are fewer than two subjects.
    """
    names = np.unique(subjects)
    if len(names) < 2:
        raise SettingsError(
            f"pre-training needs two subjects at least, one of them held out; found {len(names)}",
            cure="Add videos of other subjects",
        )
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng([seed, 7]).permutation(names)[:count]
    held = np.isin(subjects, chosen)
    return np.flatnonzero(~held), np.flatnonzero(held)


def video_order(videos: NDArray[np.str_], few: int) -> Callable[[np.random.Generator], Rows]:
    """Orders of pairs, drawn from a generator: those of one video side by side, a few at a time.

    Args:
        videos: [N], which video each pair is from.
        few: so many of a video follow each other.
    """
    number = np.unique(videos, return_inverse=True)[1].reshape(-1)
    own = [np.flatnonzero(number == one) for one in range(number.max() + 1)]

    def draw(rng: np.random.Generator) -> Rows:
        shuffled = [rng.permutation(rows) for rows in own]
        groups = [rows[i : i + few] for rows in shuffled for i in range(0, len(rows), few)]
        return np.concatenate([groups[i] for i in rng.permutation(len(groups))])

    return draw


@dataclass(frozen=True, eq=False)
class _FuturePlan:
    """How "future movement" is trained and evaluated."""

    task: FutureMovement
    source: Source
    settings: PretrainSettings

    @property
    def subjects(self) -> NDArray[np.str_]:
        return self.source.subjects

    def batch(self, rows: Rows, generator: torch.Generator) -> Movements:
        return self.source.batch(rows, generator)

    def loss(self, losses: FutureLoss) -> Tensor:
        return losses.loss

    def order(self, train: Rows) -> Callable[[np.random.Generator], Rows]:
        pretext = self.settings.pretext
        assert isinstance(pretext, FutureMovementSettings)
        return video_order(self.source.videos[train], pretext.per_video)

    def evaluate(self, held: Rows) -> dict[str, float]:
        loop = self.settings.loop
        probe = Probe(self.source, held, self.settings.probe, loop.batch_size, loop.seed)
        return probe.figures(self.task)

    def measure(self, figures: dict[str, Any]) -> str:
        return "units" if "units" in figures else "retrieval"


@dataclass(frozen=True, eq=False)
class _NearPlan:
    """How "near future" is trained and evaluated."""

    task: MA2MI
    pairs: Pairs
    settings: PretrainSettings

    @property
    def subjects(self) -> NDArray[np.str_]:
        return self.pairs.subjects

    def batch(self, rows: Rows, generator: torch.Generator | None) -> Batch:
        pretext, backbone = self.task.settings, self.task.trunk
        return make_batch(
            self.pairs,
            rows,
            size=self.settings.size,
            side=backbone.input_side or self.settings.size,
            action_input=backbone.action_input,
            target=pretext.target,
            augment=self.settings.augment if generator else None,
            generator=generator,
        )

    def loss(self, losses: PretextLoss) -> Tensor:
        return losses.loss + self.task.settings.keep_spread * losses.lost_spread

    def order(self, train: Rows) -> None:
        return None

    @torch.no_grad()
    def evaluate(self, held: Rows) -> dict[str, float]:
        """Loss, that of the identity baseline, gain and latent variance, means over these pairs."""
        self.task.eval()
        device = next(self.task.parameters()).device
        totals = np.zeros(4)
        for start in range(0, len(held), self.settings.loop.batch_size):
            rows = held[start : start + self.settings.loop.batch_size]
            losses = self.task(self.batch(rows, None).to(device))
            totals += len(rows) * np.array([float(x) for x in losses])
        loss, _, copy, variance = (totals / len(held)).tolist()
        # Where nothing changes there is nothing to gain.
        gain = 1 - loss / copy if copy > 0 else 0.0
        return {"loss": loss, "copy": copy, "gain": gain, "variance": variance}

    def measure(self, figures: dict[str, Any]) -> str:
        return "gain"


def _plan(
    backbone: Backbone, pairs: Pairs | None, settings: PretrainSettings
) -> _FuturePlan | _NearPlan:
    pretext = settings.pretext
    if isinstance(pretext, PretextSettings):
        if pairs is None:
            raise SettingsError(
                "the simulator has movement and no faces",
                where=pretext.title,
                cure="Take the pretext task future-movement, or give videos",
            )
        return _NearPlan(MA2MI(backbone, pretext), pairs, settings)
    source: Source
    if pairs is None:
        basis = make_basis(pretext.simulator.subjects, pretext.simulator.seed)
        source = SimulatedMovements(
            basis, backbone, settings.size, pretext.nuisance, pretext.simulator
        )
    else:
        source = VideoMovements(pairs, backbone, settings.size, pretext.nuisance)
    return _FuturePlan(FutureMovement(backbone, pretext), source, settings)


def _freeze_idle(plan: _FuturePlan | _NearPlan, rows: Rows) -> None:
    """Freeze what no loss reaches, such as the position branch where there are no faces: several
    devices wait for the gradient of everything that is not frozen."""
    tried = deepcopy(plan.task).train()
    batch = plan.batch(rows, torch.Generator().manual_seed(0))
    plan.loss(tried(batch)).backward()  # type: ignore[no-untyped-call]
    for own, other in zip(plan.task.parameters(), tried.parameters(), strict=True):
        if other.grad is None:
            own.requires_grad_(False)


def _best(history: list[dict[str, Any]], plan: _FuturePlan | _NearPlan) -> int:
    return int(np.argmax([figures[plan.measure(figures)] for figures in history]))


def _stale(history: list[dict[str, Any]], plan: _FuturePlan | _NearPlan, patience: int) -> bool:
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
            f"no readable weights ({error})", where=path, cure="Delete the run to start anew"
        ) from error
    return tensors, float(tensors.pop("score"))


def _check_init(init: Path, settings: PretrainSettings) -> None:
    config = read_config(init)
    if (config["model"], config["size"]) != (settings.model, settings.size):
        raise CheckpointError(
            f"holds {config['model']} at {config['size']} px, not {settings.model} at "
            f"{settings.size} px",
            where=init,
            cure="Name them with --model and --size",
        )
    before = _pretext_of(config)
    if before not in ("", settings.pretext.title):
        raise CheckpointError(
            f"holds weights of the pretext task {before}, not {settings.pretext.title}",
            where=init,
            cure="Start from weights of the same pretext task",
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
    writer = csv.DictWriter(text, [name for name in columns if name in history[0]])
    writer.writeheader()
    writer.writerows(history)
    replace_file(path, text.getvalue().encode())
