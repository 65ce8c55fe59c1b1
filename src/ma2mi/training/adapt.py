"""Adapt a recognizer to a camera: MA2MI on unlabelled videos, its outputs held to what they were.

A lab's own camera, light and subjects differ from what a recognizer was trained on. MA2MI learns
from its videos without a label; alone, it would forget what the classes mean. So every step also
runs the recognizer on simulated flow, and holds its outputs to those of the weights before
(distillation; Hinton, Vinyals, Dean, arXiv 1503.02531; for keeping an old task without its
data: Li and Hoiem, "Learning without forgetting", ECCV 2016).

On synthetic videos of a poor camera it improved nothing, see
``benchmarks/ma2mi/zero_and_ma2mi.py``; so it is never a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from ma2mi.clips.pairs import Pairs
from ma2mi.errors import CheckpointError, SettingsError
from ma2mi.files import digest
from ma2mi.models.backbone import Backbone
from ma2mi.progress import OnProgress, Progress
from ma2mi.synthesis.basis import make_basis
from ma2mi.training import tracking
from ma2mi.training.adapt_card import adaptation_card
from ma2mi.training.checkpoint import CONFIG, WEIGHTS
from ma2mi.training.claim import STATE, run_folder, writing
from ma2mi.training.loop import LoopSettings, run_epochs
from ma2mi.training.movements import Movements, VideoMovements
from ma2mi.training.outputs import Calibrated, RecognizerSettings, calibrate
from ma2mi.training.pretext import FutureLoss, FutureMovement, FutureMovementSettings
from ma2mi.training.pretrain import write_log
from ma2mi.training.probe import PROBED, Probe, ProbeSettings
from ma2mi.training.recognizer import Recognizer
from ma2mi.training.simulated import SimulatedBatches, SimulatedBatchSettings
from ma2mi.training.trained import refuse_fitted
from ma2mi.training.unlabelled import Rows, check_enough, digest_pairs, split_subjects, video_order
from ma2mi.training.views import one_thread

#: Synthetic subjects whose movements hold the outputs, and others on which the drift is measured:
#: how many, and the seed of the first.
REHEARSAL, UNSEEN = (24, 700_000), (8, 710_000)
UNSEEN_BATCHES = 4
#: Columns of the log, those that there are.
COLUMNS = ("epoch", "train_loss", *FutureLoss._fields, *PROBED, "drift", "same")


class AdaptSettings(BaseModel):
    """How far a recognizer is adapted to the videos, and what holds its outputs.

    Args:
        pretext: MA2MI's "future-movement", see its class.
        hold: weight of holding the outputs; 0 does not hold them.
        world_batch: samples of simulated flow in a step that hold them.
        images: share of them that is shown as flow images of the MEGC2019 layout.
        held_out: share of the subjects that are evaluated on and never trained on.
        probe: of MA2MI's figures, see its class.
        loop: see its class. The rate is a tenth of training's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pretext: FutureMovementSettings = FutureMovementSettings()
    hold: float = Field(1.0, ge=0)
    world_batch: int = Field(64, ge=8)
    images: float = Field(0.5, ge=0, le=1)
    held_out: float = Field(0.2, ge=0, lt=1)
    probe: ProbeSettings = ProbeSettings()
    loop: LoopSettings = LoopSettings(epochs=5, epoch_steps=40, batch_size=48, lr=3e-4)


class Drift(nn.Module):
    """How far outputs have drifted from those of the weights before.

    Args:
        settings: what the outputs mean.
    """

    def __init__(self, settings: RecognizerSettings) -> None:
        super().__init__()
        # Logits are compared as the network gives them, before any calibration.
        self.meaning = RecognizerSettings(
            classes=settings.classes,
            units=settings.units,
            has_intensity=settings.has_intensity,
            has_movement=settings.has_movement,
        )

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        """0 for equal logits [B, outputs]: the Kullback-Leibler divergence of the classes, that of
        the units and of the movement, each a yes or no, and the squared change of the logarithm of
        the intensity, each a mean."""
        new, known = (calibrate(logits, self.meaning) for logits in (now, before))
        change = functional.kl_div(
            new.classes.log_softmax(1),
            known.classes.log_softmax(1),
            reduction="batchmean",
            log_target=True,
        )
        binary, target = (_yes_or_no(output) for output in (new, known))
        if binary.shape[1]:
            least = functional.binary_cross_entropy_with_logits(target, target.sigmoid())
            found = functional.binary_cross_entropy_with_logits(binary, target.sigmoid())
            change = change + 2 * (found - least)
        if new.intensity is not None and known.intensity is not None:
            size, known_size = (x.clamp_min(1e-3).log() for x in (new.intensity, known.intensity))
            change = change + 0.2 * functional.mse_loss(size, known_size)
        return change


def _yes_or_no(output: Calibrated) -> Tensor:
    """Log-odds of the units and, where there is one, of an expression: [B, U + 1] or [B, U]."""
    if output.movement is None:
        return output.units
    return torch.cat((output.units, output.movement[:, None]), dim=1)


class Adaptation(nn.Module):
    """MA2MI's task around a recognizer's network, and its outputs on simulated flow.

    Args:
        net: learns; the classifier's dropout is off, since outputs are compared.
        settings: of the pretext task.
    """

    def __init__(self, net: Backbone, settings: FutureMovementSettings) -> None:
        super().__init__()
        self.task = FutureMovement(net, settings)
        for p in net.head_parameters():  # frozen by the task, which has no classes
            p.requires_grad_(True)

    def train(self, mode: bool = True) -> Adaptation:
        super().train(mode)
        self.task.trunk.eval()
        return self

    def forward(self, movements: Movements, action: Tensor) -> tuple[FutureLoss, Tensor]:
        """MA2MI's losses, and logits [B, outputs] of simulated flow [B, 3, s, s]."""
        return self.task(movements), self.task.trunk(None, action)


def adapt(
    pairs: Pairs,
    out: Path,
    weights: Path,
    settings: AdaptSettings,
    *,
    fabric: Fabric | None = None,
    about: dict[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    services: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Adapt a recognizer to videos, going on from where a killed run stopped.

    Writes to ``out`` a recognizer, as ``ma2mi.load_model`` takes it, with its card; ``log.csv``,
    ``tensorboard/``, ``settings.json``, and ``state.safetensors``, to go on from.

    Args:
        pairs: of kind "future-movement".
        out: folder of the run.
        weights: folder of the recognizer to start from.
        settings: see :class:`AdaptSettings`.
        fabric: Lightning's, launched; one CPU by default.
        about: written into ``config.json`` beside the settings (version, data hash).
        on_progress: called after each epoch (from 1); ``detail`` holds its figures.
        services: where the run is tracked beside its folder, see ``tracking.Service``.

    Returns:
        The figures of every epoch: "train_loss"; those of ``Probe.figures`` on held-out subjects;
        "drift" of the outputs (see :class:`Drift`), and "same", the share of predicted classes that
        are the same, both on simulated flow that was not trained on.

    Raises:
        CheckpointError: ``weights`` hold no recognizer, or one that does not see flow.
        SettingsError: ``out`` holds another run, there are fewer than two subjects or too few
            pairs, or the pairs have no later movement.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    before = Recognizer.from_pretrained(weights)
    _check(before, weights, pairs)
    net = Recognizer.from_pretrained(weights).net
    source = VideoMovements(pairs, net, before.size, settings.pretext.nuisance)
    train, held = split_subjects(pairs.subjects, settings.held_out, settings.loop.seed)
    check_enough(train)
    adapted = {
        "weights_sha256": digest(weights / WEIGHTS),
        "subjects": sorted(set(pairs.subjects.tolist())),
        "held_out": sorted(set(pairs.subjects[held].tolist())),
        "videos": len(set(pairs.videos.tolist())),
        "pairs": len(pairs),
        "settings": settings.model_dump(mode="json"),
        **(about or {}),
    }
    meant = {
        "adapt": adapted,
        "config_sha256": digest(weights / CONFIG),
        "pairs_sha256": digest_pairs(pairs),
    }
    # The random numbers of the caller stay as they were.
    with (
        run_folder(out, meant, fabric, epochs="adapt.settings.loop.epochs") as claimed,
        tracking.track(out, services, claimed, main=fabric.is_global_zero) as tracker,
        torch.random.fork_rng(devices=[]),
        one_thread(),
    ):
        torch.manual_seed(settings.loop.seed)
        adaptation = Adaptation(net, settings.pretext)
        history = _learn(
            adaptation, before, source, (train, held), settings, (out, tracker), fabric, on_progress
        )
        write_log(out / "log.csv", history, COLUMNS)
        adapted |= {"figures": history[-1]}
        adapted |= {"planned": claimed["planned"]} if "planned" in claimed else {}
        with writing(out):
            _finished(before, net, weights, adapted).save_pretrained(out)
    return history


def _check(before: Recognizer, weights: Path, pairs: Pairs) -> None:
    """Refuse what cannot be adapted: outputs that nothing holds, no subject to hold out."""
    refuse_fitted(before.config, weights)
    if before.net.action_input != "flow":
        raise CheckpointError(
            "takes differences of frames, and the simulator has none to hold its outputs by",
            where=weights,
            hint="Take a recognizer that takes flow",
        )
    if len(set(pairs.subjects.tolist())) < 2:
        raise SettingsError(
            "adapting needs videos of two subjects at least, one of them held out to evaluate it",
            where=f"subject {pairs.subjects[0]}",
            hint="Add videos of another subject",
        )


def _learn(
    adaptation: Adaptation,
    before: Recognizer,
    source: VideoMovements,
    parts: tuple[Rows, Rows],
    settings: AdaptSettings,
    run: tuple[Path, tracking.Tracker],
    fabric: Fabric,
    on_progress: OnProgress | None,
) -> list[dict[str, Any]]:
    """Run all epochs; ``parts`` are the positions of the pairs to train on and to evaluate on."""
    (train, held), (out, tracker) = parts, run
    rehearsal, others = (
        _simulated(before.size, settings, subjects) for subjects in (REHEARSAL, UNSEEN)
    )
    unseen = torch.cat([others[number].action for number in range(UNSEEN_BATCHES)])
    drift = Drift(before.settings)
    _freeze_unheld(adaptation, before.net, unseen, drift)
    loop = settings.loop
    learning = [p for p in adaptation.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=loop.lr, weight_decay=loop.weight_decay)
    module, optimizer = fabric.setup(adaptation, optimizer)
    reference = before.net.to(fabric.device).requires_grad_(False)
    probe = Probe(source, held, settings.probe, loop.batch_size, loop.seed)

    def step(rows: Rows, generator: torch.Generator) -> Tensor:
        number = int(torch.randint(2**31, (), generator=generator))
        action = rehearsal[number].action.to(fabric.device)
        movements = source.batch(train[rows], generator).to(fabric.device)
        losses, logits = module(movements, action)
        loss: Tensor = losses.loss + settings.hold * drift(logits, reference(None, action))
        return loss

    def after_epoch(epoch: int) -> dict[str, Any]:
        figures: dict[str, Any] = probe.figures(adaptation.task)
        figures |= _moved(adaptation.task.trunk, reference, unseen.to(fabric.device), drift)
        if on_progress:
            on_progress(Progress("adapt", epoch + 1, settings.loop.epochs, figures))
        return figures

    return run_epochs(
        fabric,
        module,
        optimizer,
        step,
        len(train),
        settings.loop,
        state=out / STATE,
        after_step=adaptation.task.update_target,
        after_epoch=after_epoch,
        order=video_order(source.videos[train], settings.pretext.per_video),
        on_figures=tracker.log_epoch,
    )


def _simulated(size: int, settings: AdaptSettings, subjects: tuple[int, int]) -> SimulatedBatches:
    """Simulated flow as the recipe of "zero" has it."""
    made_of = SimulatedBatchSettings(
        size=size,
        batch_size=settings.world_batch,
        images=settings.images,
        pairs=0,
        seed=settings.loop.seed,
    )
    return SimulatedBatches(make_basis(*subjects), None, made_of)


def _freeze_unheld(adaptation: Adaptation, before: Backbone, action: Tensor, drift: Drift) -> None:
    """Freeze what simulated flow does not pass, such as a position branch: nothing holds it."""
    net = adaptation.task.trunk
    net.eval()
    drift(net(None, action), before(None, action).detach()).backward()
    for p in net.parameters():
        if p.grad is None:
            p.requires_grad_(False)
        p.grad = None


@torch.no_grad()
def _moved(net: Backbone, before: Backbone, action: Tensor, drift: Drift) -> dict[str, float]:
    """The drift of the outputs, and the share of predicted classes that are the same."""
    now, then = net(None, action), before(None, action)
    c = len(drift.meaning.classes)
    same = (now[:, :c].argmax(1) == then[:, :c].argmax(1)).double().mean()
    return {"drift": float(drift(now, then)), "same": float(same)}


#: Of the config before: what is true of those weights alone.
_THEIRS = ("card", "figures", "weights_sha256", "format", "recipe", "adapted")


def _finished(before: Recognizer, net: Backbone, weights: Path, run: dict[str, Any]) -> Recognizer:
    """The adapted recognizer with its card; its list of training subjects is that of both."""
    config = {name: value for name, value in before.config.items() if name not in _THEIRS}
    config["people"] = sorted({*before.config.get("people", []), *run["subjects"]})
    config["adapted"] = {"weights": weights.resolve().name, **run}
    return Recognizer(net, config, adaptation_card(config["adapted"], before))
