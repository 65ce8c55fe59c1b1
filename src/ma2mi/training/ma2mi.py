"""The pretext task "near future": reconstruct the face or the flow of a moment later.

It is kept as an ablation: see ``training.pretext`` for the one that helps.

The paper (Li, Niu, Zhao, arXiv 2405.16451, abstract) says: learn to represent subtle movement on
macro-expression videos by reconstructing future frames in latent space. That the decoder predicts
the *change* of the latent, by kernels, the moving-average target and the weighting are our choices.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from ma2mi.clips.batches import Batch
from ma2mi.models.backbone import Backbone, ConvStage
from ma2mi.models.face_encoder import FaceConv

#: Standard deviation over faces that a position grid starts with (measured: 0.53 on synthetic
#: faces, 0.62 on real ones) and is asked to keep.
LEAST_DEVIATION = 0.5


class PretextSettings(BaseModel):
    """What is reconstructed, and how the loss weighs it.

    Args:
        name: tells the pretext tasks apart, in checkpoints too.
        space: "latent" (a target encoder's grid), "pixel" (the face, 4 x 4 px a cell) or "flow"
            (the movement, 4 x 4 values a cell).
        target: "t+k" reconstructs the frame that the action leads to, "t+2k" predicts the next.
        teacher: the target encoder of the latent: "ema", a moving average of the position
            encoder, or "frozen", its random start.
        momentum: of that average, per step.
        beta: where smooth-L1 turns from square to absolute.
        keep_spread: weight of a hinge on the variance of position grids over different faces
            (Bardes, Ponce, LeCun, "VICReg", ICLR 2022): without it a moving-average target
            collapses to a constant, which is easy to predict.
        moved_weight: extra weight of cells that move, relative to the pair's mean movement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["near-future"] = "near-future"
    space: Literal["latent", "pixel", "flow"] = "latent"
    target: Literal["t+k", "t+2k"] = "t+k"
    teacher: Literal["ema", "frozen"] = "ema"
    momentum: float = Field(0.99, ge=0, le=1)
    beta: float = Field(0.1, gt=0)
    keep_spread: float = Field(1.0, ge=0)
    moved_weight: float = Field(1.0, ge=0)

    @property
    def title(self) -> str:
        return f"{self.name} {self.space} {self.target}"


class PretextLoss(NamedTuple):
    """One batch's figures, each a scalar.

    Attributes:
        loss: smooth-L1 of the reconstruction.
        lost_spread: shortfall of the position grids' standard deviation over the batch; 0 if none.
        copy: the same of the identity (no-change) baseline; a task is learned when loss < copy.
        variance: of the target over the batch, per channel and cell, averaged; 0 is collapse.
    """

    loss: Tensor
    lost_spread: Tensor
    copy: Tensor
    variance: Tensor


class MA2MI(nn.Module):
    """A backbone, a light decoder, and the target encoder.

    Args:
        backbone: any; the target encoder starts as a copy of its position encoder, or of a fresh
            convolutional one where it has none.
        settings: see :class:`PretextSettings`.
    """

    def __init__(self, backbone: Backbone, settings: PretextSettings) -> None:
        super().__init__()
        self.trunk = backbone  # so named in the states of runs
        self.settings = settings
        for p in backbone.head_parameters():  # the pretext task has no classes
            p.requires_grad_(False)
        encoder = backbone.face_encoder() or FaceConv((32, 64, backbone.width))
        self.teacher = deepcopy(encoder).requires_grad_(False)  # so named in the states of runs
        self.decoder = KernelDecoder(backbone.width, settings.space)

    def train(self, mode: bool = True) -> MA2MI:
        super().train(mode)
        self.teacher.eval()  # the target must not be noisy
        return self

    def forward(self, batch: Batch) -> PretextLoss:
        """Loss of reconstructing ``batch.future``."""
        grid = self.trunk.grid(batch.position, batch.action)
        present, future = self._targets(batch, self.decoder.cells(grid.features))
        change = self.decoder(grid.features, present)
        weight = self._weight(batch, (future.shape[2], future.shape[3]))
        return PretextLoss(
            self._distance(present + change, future, weight),
            self._shortfall(grid.position),
            self._distance(present, future, weight).detach(),
            future.var(dim=0).mean().detach() if len(future) > 1 else future.new_zeros(()),
        )

    @torch.no_grad()
    def update_target(self) -> None:
        """Update the target encoder towards the position encoder, after an optimizer step."""
        encoder = self.trunk.face_encoder()
        if self.settings.teacher == "frozen" or encoder is None:
            return
        for target, source in zip(self.teacher.parameters(), encoder.parameters(), strict=True):
            target.lerp_(source, 1 - self.settings.momentum)

    @torch.no_grad()
    def _targets(self, batch: Batch, cells: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Present and future in the space that is reconstructed."""
        if batch.position is None or batch.future is None:
            raise ValueError("a pretext batch needs its faces, now and in the future")
        if self.settings.space == "latent":
            return self._latent(batch.position, cells), self._latent(batch.future, cells)
        pool = functional.adaptive_avg_pool2d
        if self.settings.space == "pixel":
            return pool(batch.position, cells), pool(batch.future, cells)
        moved = pool(batch.action[:, :2], cells)
        return torch.zeros_like(moved), moved

    def _shortfall(self, position: Tensor | None) -> Tensor:
        """Mean shortfall of the position grid's standard deviation over the batch."""
        if self.settings.space != "latent" or position is None or len(position) < 2:
            return next(self.decoder.parameters()).new_zeros(())
        deviation = _normalised(position).var(dim=0).add(1e-6).sqrt()
        return functional.relu(LEAST_DEVIATION - deviation).mean()

    def _latent(self, face: Tensor, cells: tuple[int, int]) -> Tensor:
        """The target grid, normalised over channels in every cell."""
        grid = functional.adaptive_avg_pool2d(self.teacher(face), cells)
        return _normalised(grid)

    def _weight(self, batch: Batch, cells: tuple[int, int]) -> Tensor:
        """[B, 1, h, w] with mean 1: more where the pair moves."""
        moved = batch.action[:, :2].abs().sum(1, keepdim=True)
        moved = functional.adaptive_avg_pool2d(moved, cells)
        relative = moved / moved.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        return (1 + self.settings.moved_weight * relative) / (1 + self.settings.moved_weight)

    def _distance(self, predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        each = functional.smooth_l1_loss(
            predicted, truth, beta=self.settings.beta, reduction="none"
        )
        return (each * weight).mean()


def _normalised(grid: Tensor) -> Tensor:
    """[B, C, h, w] with mean 0 and variance 1 over the channels of every cell."""
    return functional.layer_norm(grid.movedim(1, 3), grid.shape[1:2]).movedim(3, 1)


class KernelDecoder(nn.Module):
    """From the grid Z to what changes: per cell a small kernel, applied to what is there now.

    A change is movement times what is there, so a decoder that must find that product by itself
    learns next to nothing in the first hundreds of steps (measured: 0.0 % over the identity
    baseline after 300 steps on real clips, against 6 % after 150 with kernels). Predicted kernels
    are as in Jia et al., "Dynamic filter networks", and Finn et al., "Unsupervised learning for
    physical interaction through video prediction" (both NIPS 2016). In the space "flow" nothing is
    there before, and the change is read off Z directly. In the space "flow" nothing is there
    before, and the change is read off Z directly.

    Args:
        width: channels of the grid.
        space: see :class:`PretextSettings`.
    """

    def __init__(self, width: int, space: Literal["latent", "pixel", "flow"]) -> None:
        super().__init__()
        self.space = space
        # latent: 3 x 3 weights a channel; pixel: 3 x 3 weights and flow: u, v, at 4 x 4 places
        out_channels = {"latent": 9 * width, "pixel": 9 * 16, "flow": 2 * 16}[space]
        last = nn.Conv2d(width, out_channels, 1)
        for p in last.parameters():  # start at the identity baseline
            nn.init.zeros_(p)
        self.layers = nn.Sequential(ConvStage(width, width), last)

    def cells(self, features: Tensor) -> tuple[int, int]:
        """Height and width of what is reconstructed."""
        finer = 1 if self.space == "latent" else 4
        return finer * features.shape[2], finer * features.shape[3]

    def forward(self, features: Tensor, present: Tensor) -> Tensor:
        """Change [B, C, h, w] of ``present`` [B, C, h, w], read off ``features`` [B, W, gh, gw]."""
        output: Tensor = self.layers(features)
        if self.space != "latent":
            output = functional.pixel_shuffle(output, 4)
        if self.space == "flow":
            return output
        batch, channels, height, width = present.shape
        around = functional.unfold(functional.pad(present, (1, 1, 1, 1), mode="replicate"), 3)
        around = around.view(batch, channels, 9, height, width)
        kernels = output.view(batch, -1, 9, height, width)  # [B, C or 1, 9, h, w]
        change: Tensor = (kernels * around).sum(2)
        return change
