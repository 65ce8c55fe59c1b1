"""How each pretext task is trained and evaluated."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ma2mi.clips.batches import Batch, make_batch
from ma2mi.clips.pairs import Pairs
from ma2mi.errors import SettingsError
from ma2mi.models.backbone import Backbone
from ma2mi.synthesis.basis import make_basis
from ma2mi.training.ma2mi import MA2MI, PretextLoss, PretextSettings
from ma2mi.training.movements import Movements, SimulatedMovements, Source, VideoMovements
from ma2mi.training.pretext import FutureLoss, FutureMovement, FutureMovementSettings
from ma2mi.training.pretrain_settings import PretrainSettings
from ma2mi.training.probe import Probe
from ma2mi.training.unlabelled import Rows, video_order


@dataclass(frozen=True, eq=False)
class FuturePlan:
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
class NearPlan:
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


def plan_pretext(
    backbone: Backbone, pairs: Pairs | None, settings: PretrainSettings
) -> FuturePlan | NearPlan:
    pretext = settings.pretext
    if isinstance(pretext, PretextSettings):
        if pairs is None:
            raise SettingsError(
                "the simulator has movement and no faces",
                where=pretext.title,
                hint="Take the pretext task future-movement, or give videos",
            )
        return NearPlan(MA2MI(backbone, pretext), pairs, settings)
    source: Source
    if pairs is None:
        basis = make_basis(pretext.simulator.subjects, pretext.simulator.seed)
        source = SimulatedMovements(
            basis, backbone, settings.size, pretext.nuisance, pretext.simulator
        )
    else:
        source = VideoMovements(pairs, backbone, settings.size, pretext.nuisance)
    return FuturePlan(FutureMovement(backbone, pretext), source, settings)


def freeze_idle(plan: FuturePlan | NearPlan, rows: Rows) -> None:
    """Freeze what no loss reaches, such as the position branch where there are no faces: several
    devices wait for the gradient of everything that is not frozen."""
    tried = deepcopy(plan.task).train()
    batch = plan.batch(rows, torch.Generator().manual_seed(0))
    plan.loss(tried(batch)).backward()  # type: ignore[no-untyped-call]
    for own, other in zip(plan.task.parameters(), tried.parameters(), strict=True):
        if other.grad is None:
            own.requires_grad_(False)
