"""Batches of simulated movement with their truth, as a recognizer learns from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ma2mi.synthesis.basis import FlowBasis
from ma2mi.synthesis.domain import OFF_TEMPLATE, DomainSettings
from ma2mi.synthesis.flow_inputs import as_action, as_flow_image
from ma2mi.synthesis.flow_simulator import Sample, sample_flow
from ma2mi.synthesis.flow_views import resample_flow
from ma2mi.training.pretext import FutureMovementSettings

#: Little room around a measured pair: its crop was drawn off the template when it was rendered.
_PAIR_DOMAIN = DomainSettings(eyes_apart=(0.28, 0.36), eyes_y=(0.26, 0.32))


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
    world: DomainSettings = DomainSettings()
    foreign: DomainSettings = OFF_TEMPLATE
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class MeasuredPairs:
    """Movement that an estimator measured between two painted images.

    Args:
        flow: float16 [N, 2, S, S], percent of the side.
        label: int64 [N], index into ``facs.CLASSES``, -1 for none.
        units: float32 [N, 12], see ``flow_simulator.UNITS``.
        peak: float32 [N], largest true movement of the expression in percent of the side.
    """

    flow: NDArray[np.float16]
    label: NDArray[np.int64]
    units: NDArray[np.float32]
    peak: NDArray[np.float32]


class SimulatedBatch(NamedTuple):
    """Movements of all worlds, as a network is shown them, with their truth.

    Attributes:
        action: [B, 3, size, size].
        label: int64 [B], index into ``facs.CLASSES``, -1 for none.
        units: [B, 12], see ``flow_simulator.UNITS``.
        peak: [B], largest movement in percent of the side, NaN where the amplitude is lost.
    """

    action: Tensor
    label: Tensor
    units: Tensor
    peak: Tensor


class SimulatedBatches(Dataset[SimulatedBatch]):
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

    def __getitem__(self, step: int) -> SimulatedBatch:
        s = self.settings
        measured = round(s.pairs * s.batch_size) if self.pairs else 0
        images = round(s.images * (s.batch_size - measured))
        plain = s.batch_size - measured - images
        parts = [
            _shown(sample_flow(self.basis, s.foreign, images, (s.seed, step, 0)), True, s.size),
            _shown(sample_flow(self.basis, s.world, plain, (s.seed, step, 1)), False, s.size),
        ]
        if measured:
            half = measured // 2
            parts += [
                _shown(self._measured(half, s.foreign, step, 2), True, s.size),
                _shown(self._measured(measured - half, _PAIR_DOMAIN, step, 3), False, s.size),
            ]
        return SimulatedBatch(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _measured(self, count: int, world: DomainSettings, step: int, stream: int) -> Sample:
        assert self.pairs is not None
        rng = np.random.default_rng((self.settings.seed, step, stream))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(self.pairs.label), size=count)
        flow = torch.from_numpy(self.pairs.flow[rows].astype(np.float32))
        return Sample(
            resample_flow(flow, world, generator),
            torch.from_numpy(self.pairs.label[rows]),
            torch.from_numpy(self.pairs.units[rows]),
            torch.from_numpy(self.pairs.peak[rows]),
        )


def _shown(sample: Sample, image: bool, size: int) -> SimulatedBatch:
    action = as_flow_image(sample.flow) if image else as_action(sample.flow)
    action = functional.interpolate(action, size=(size, size), mode="bilinear")
    peak = torch.full_like(sample.peak, torch.nan) if image else sample.peak
    return SimulatedBatch(action, sample.label, sample.units, peak)
