"""Batches of simulated flow with ground truth, as a recognizer learns from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
from ma2mi.synthesis.flow_simulator import FlowSample, sample_flow
from ma2mi.synthesis.flow_views import resample_flow

#: Little room around a measured pair: its crop was drawn off the template when it was rendered.
_PAIR_DOMAIN = DomainSettings(eyes_apart=(0.28, 0.36), eyes_y=(0.26, 0.32))


class SimulatedBatchSettings(BaseModel):
    """What a batch is made of.

    Args:
        size: side of the network's input in px.
        batch_size: samples in a batch.
        images: share of every batch that is shown as flow images of the MEGC2019 layout.
        pairs: share of every batch that are rendered pairs, measured by a flow estimator.
        domain: of the samples shown as movement in percent of the side.
        images_domain: of those shown as images.
        seed: of all draws, together with the number of the batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: int = Field(112, ge=16)
    batch_size: int = Field(128, ge=8)
    images: float = Field(0.6, ge=0, le=1)
    pairs: float = Field(0.15, ge=0, lt=1)
    domain: DomainSettings = DomainSettings()
    images_domain: DomainSettings = OFF_TEMPLATE
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class MeasuredPairs:
    """Movement that a flow estimator measured between two rendered images.

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
    """Movements of all domains, as a network takes them, with their ground truth.

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
    """Number to batch; the same whichever process draws it, on one thread.

    Args:
        basis: faces of the synthetic subjects.
        pairs: measured pairs to mix in, or None.
        settings: see :class:`SimulatedBatchSettings`.
    """

    def __init__(
        self, basis: FlowBasis, pairs: MeasuredPairs | None, settings: SimulatedBatchSettings
    ):
        self.basis, self.pairs, self.settings = basis, pairs, settings

    def __getitem__(self, number: int) -> SimulatedBatch:
        s = self.settings
        measured = round(s.pairs * s.batch_size) if self.pairs else 0
        images = round(s.images * (s.batch_size - measured))
        plain = s.batch_size - measured - images
        seed = (s.seed, number)
        parts = [
            _shown(sample_flow(self.basis, s.images_domain, images, (*seed, 0)), True, s.size),
            _shown(sample_flow(self.basis, s.domain, plain, (*seed, 1)), False, s.size),
        ]
        if measured:
            half = measured // 2
            parts += [
                _shown(self._measured(half, s.images_domain, (*seed, 2)), True, s.size),
                _shown(self._measured(measured - half, _PAIR_DOMAIN, (*seed, 3)), False, s.size),
            ]
        return SimulatedBatch(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _measured(
        self, count: int, domain: DomainSettings, seed: tuple[int, int, int]
    ) -> FlowSample:
        assert self.pairs is not None
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(self.pairs.label), size=count)
        flow = torch.from_numpy(self.pairs.flow[rows].astype(np.float32))
        return FlowSample(
            resample_flow(flow, domain, generator),
            torch.from_numpy(self.pairs.label[rows]),
            torch.from_numpy(self.pairs.units[rows]),
            torch.from_numpy(self.pairs.peak[rows]),
        )


def _shown(sample: FlowSample, image: bool, size: int) -> SimulatedBatch:
    action = as_flow_image(sample.flow) if image else as_action(sample.flow)
    action = functional.interpolate(action, size=(size, size), mode="bilinear")
    peak = torch.full_like(sample.peak, torch.nan) if image else sample.peak
    return SimulatedBatch(action, sample.label, sample.units, peak)
