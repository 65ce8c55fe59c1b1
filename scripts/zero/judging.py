"""What a recognizer is calibrated and judged on: synthetic movements of subjects not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from estimators import UNSEEN
from filmed import read_filmed
from numpy.typing import NDArray
from pairs import read_pairs
from torch.nn import functional

from ma2mi.models.backbone import Backbone
from ma2mi.synthesis.basis import FlowBasis
from ma2mi.synthesis.domain import OFF_TEMPLATE, DomainSettings
from ma2mi.synthesis.flow_inputs import as_action, as_flow_image
from ma2mi.synthesis.flow_simulator import sample_flow
from ma2mi.synthesis.head_bank import read_head_bank
from ma2mi.training.simulated import MeasuredPairs
from ma2mi.training.views import one_thread

CALIBRATION_SUBJECTS = range(5000, 5040)
EVALUATION_SUBJECTS = range(5040, 5080)

CALIBRATED_BY = ("thin-plate", "opencv-tvl1", "farneback")
"""Estimators that the calibration subjects are measured by."""

OTHER_HEADS = DomainSettings(
    peak=(0.05, 1.0), bend_deg=18, asymmetry=0.8, head=0.4, noise=0.2, dropped=0.25
)
"""Movement of unseen heads: weaker, less symmetric, under more noise and head motion."""


class EvaluationSet(NamedTuple):
    """Movements with their truth.

    Attributes:
        actions: as the network sees them, [N, 3, S, S].
        label, units: as in ``flow_simulator.FlowSample``.
        subject: [N].
    """

    actions: torch.Tensor
    label: NDArray[np.int64]
    units: NDArray[np.float32]
    subject: NDArray[np.int64]


def measured(pairs: MeasuredPairs, subject: NDArray[np.int64], image: bool) -> EvaluationSet:
    """Measured pairs, as percent of movement or as the MEGC2019 layout has them."""
    flow = torch.from_numpy(pairs.flow.astype(np.float32))
    actions = as_flow_image(flow) if image else as_action(flow)
    return EvaluationSet(actions, pairs.label, pairs.units, subject)


def synthetic(out: Path, method: str, subjects: range, image: bool) -> EvaluationSet:
    """Pairs of these subjects, measured by ``method``."""
    with np.load(out / "judging.npz") as file:
        keep = np.isin(file["person"], subjects)
        subject = file["person"][keep]
    return measured(read_pairs(out / "judging.npz", method, keep), subject, image)


def rendered(
    fields: NDArray[np.float32],
    image: bool,
    seed: int = 0,
    domain: DomainSettings = OTHER_HEADS,
) -> EvaluationSet:
    """Samples of heads that were not trained on, with other movement settings; one batch a head."""
    parts = []
    if image:
        domain = domain.model_copy(
            update={"eyes_apart": OFF_TEMPLATE.eyes_apart, "eyes_y": OFF_TEMPLATE.eyes_y}
        )
    for subject, field in enumerate(fields):
        sample = sample_flow(FlowBasis(field[None]), domain, 100, (900, seed, subject, image))
        shown = as_flow_image(sample.flow) if image else as_action(sample.flow)
        parts.append((shown, sample.label.numpy(), sample.units.numpy(), np.full(100, subject)))
    actions, label, units, subject = zip(*parts, strict=True)
    return EvaluationSet(
        torch.cat(actions), np.concatenate(label), np.concatenate(units), np.concatenate(subject)
    )


def head_fields(path: Path) -> NDArray[np.float32]:
    """Fields of the rendered heads of a bank, as :class:`FlowBasis` holds them."""
    heads = read_head_bank(path)
    return np.stack([head.fields.transpose(0, 3, 1, 2).astype(np.float32) for head in heads])


def judging_domains(out: Path) -> dict[str, EvaluationSet]:
    """The domains of the card, by name; none has a sample or a subject of the training."""
    heads = head_fields(out / "judged-heads.safetensors")
    faces, filmed = EVALUATION_SUBJECTS, out / "judged-films.npz"
    return {
        "synthetic faces, Farneback's flow, as movement": synthetic(out, "farneback", faces, False),
        "synthetic faces, Farneback's flow, as 28 px images": synthetic(
            out, "farneback", faces, True
        ),
        "synthetic faces, OpenCV's TV-L1, as 28 px images": synthetic(
            out, "opencv-tvl1", faces, True
        ),
        "unseen heads, other settings, as movement": rendered(heads, False),
        "unseen heads, other settings, as 28 px images": rendered(heads, True),
        "synthetic faces, DeepFlow (unseen), as movement": synthetic(out, UNSEEN, faces, False),
        "synthetic faces, DeepFlow (unseen), as 28 px images": synthetic(out, UNSEEN, faces, True),
        "filmed heads (unseen renderer), our flow, as movement": measured(
            *read_filmed(filmed, "thin-plate"), False
        ),
        "filmed heads (unseen renderer), DeepFlow (unseen), as 28 px images": measured(
            *read_filmed(filmed, UNSEEN), True
        ),
    }


def calibration_domains(out: Path) -> list[EvaluationSet]:
    """What temperatures and thresholds are chosen on: 40 other faces, and 16 other heads."""
    heads = head_fields(out / "calibration-heads.safetensors")
    return [
        *(
            synthetic(out, method, CALIBRATION_SUBJECTS, image)
            for method in CALIBRATED_BY
            for image in (False, True)
        ),
        *(rendered(heads, image, 1, DomainSettings()) for image in (False, True)),
    ]


@torch.no_grad()
def compute_logits(net: Backbone, actions: torch.Tensor, size: int) -> torch.Tensor:
    """Logits [N, outputs], a mean of the movement and its mirror image.

    Args:
        net: is put into evaluation mode.
        actions: [N, 3, S, S], brought to the side that the network sees.
        size: side of an input of a network that takes any.
    """
    net.eval()
    sign = torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    output = []
    with one_thread():
        for part in actions.split(64):
            shown = shown_at(part, net.input_side or size)
            output.append((net(None, shown) + net(None, shown.flip(3) * sign)).double() / 2)
    return torch.cat(output)


def shown_at(action: torch.Tensor, side: int) -> torch.Tensor:
    """An action at the side that a network sees, as ``clips.batches.make_batch`` hands it on:
    shrunk by area, grown bilinearly."""
    if side < action.shape[2]:
        return functional.adaptive_avg_pool2d(action, side)
    return functional.interpolate(action, size=(side, side), mode="bilinear")
