"""MA2MI's pretext task: reconstruct the near-future face in latent space, around any trunk.

The paper (Li, Niu, Zhao, arXiv 2405.16451, abstract) says: learn to represent subtle movement on
macro-expression videos by reconstructing future frames in latent space. That the decoder predicts
the *change* of the latent, the moving-average target and the weighting are our choices.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from ma2mi.clips.batches import Batch
from ma2mi.models.miacnet import FaceConv
from ma2mi.models.trunk import ConvStage, Trunk


class PretextSettings(BaseModel):
    """What is reconstructed, and how the loss weighs it.

    Args:
        space: "latent" (a target encoder's grid), "pixel" (the face, 4 x 4 px a cell) or "flow"
            (the movement, 4 x 4 values a cell).
        target: "t+k" reconstructs the frame that the action leads to, "t+2k" predicts the next.
        teacher: the latent's target encoder: "ema", a moving average of the position encoder, or
            "frozen", its random start.
        momentum: of that average, per step.
        beta: where smooth-L1 turns from square to absolute.
        moved_weight: extra weight of cells that move, relative to the pair's mean movement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: Literal["latent", "pixel", "flow"] = "latent"
    target: Literal["t+k", "t+2k"] = "t+k"
    teacher: Literal["ema", "frozen"] = "ema"
    momentum: float = 0.99
    beta: float = 0.1
    moved_weight: float = 1.0


class PretextLoss(NamedTuple):
    """One batch's figures, each a scalar.

    Attributes:
        loss: smooth-L1 of the reconstruction.
        copy: the same for answering "nothing changes"; a task is learned when loss < copy.
        variance: of the target over the batch, per channel and cell, averaged; 0 is collapse.
    """

    loss: Tensor
    copy: Tensor
    variance: Tensor


class MA2MI(nn.Module):
    """A trunk, a light decoder, and what the decoder's answer is held against.

    Args:
        trunk: any; a latent target is a copy of its position encoder, or of a fresh
            convolutional one where it has none.
        settings: see :class:`PretextSettings`.
    """

    def __init__(self, trunk: Trunk, settings: PretextSettings) -> None:
        super().__init__()
        self.trunk = trunk
        self.settings = settings
        for p in trunk.head_parameters():  # the pretext task has no classes
            p.requires_grad_(False)
        student = trunk.face_encoder() or FaceConv((32, 64, trunk.width))
        self.teacher = deepcopy(student).requires_grad_(False)
        outside = {"latent": trunk.width, "pixel": 3 * 16, "flow": 2 * 16}[settings.space]
        last = nn.Conv2d(trunk.width, outside, 1)
        for p in last.parameters():  # start at the copy baseline: "nothing changes"
            nn.init.zeros_(p)
        self.decoder = nn.Sequential(ConvStage(trunk.width, trunk.width), last)

    def train(self, mode: bool = True) -> MA2MI:
        super().train(mode)
        self.teacher.eval()  # the target must not be noisy
        return self

    def forward(self, batch: Batch) -> PretextLoss:
        """Loss of reconstructing ``batch.future``."""
        grid = self.trunk.grid(batch.position, batch.action)
        change = self.decoder(grid.features)  # [B, width or 48 or 32, gh, gw]
        if self.settings.space != "latent":
            change = functional.pixel_shuffle(change, 4)
        cells = (change.shape[2], change.shape[3])
        present, future = self._targets(batch, cells)
        weight = self._weight(batch, cells)
        return PretextLoss(
            self._distance(present + change, future, weight),
            self._distance(present, future, weight).detach(),
            future.var(dim=0).mean().detach() if len(future) > 1 else future.new_zeros(()),
        )

    @torch.no_grad()
    def follow(self) -> None:
        """Move the target encoder towards the position encoder, after an optimizer step."""
        student = self.trunk.face_encoder()
        if self.settings.teacher == "frozen" or student is None:
            return
        for target, source in zip(self.teacher.parameters(), student.parameters(), strict=True):
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

    def _latent(self, face: Tensor, cells: tuple[int, int]) -> Tensor:
        """The target grid, normalised over channels in every cell."""
        grid = functional.adaptive_avg_pool2d(self.teacher(face), cells)
        return functional.layer_norm(grid.movedim(1, 3), grid.shape[1:2]).movedim(3, 1)

    def _weight(self, batch: Batch, cells: tuple[int, int]) -> Tensor:
        """[B, 1, h, w] with mean 1: more where the pair moves."""
        moved = batch.action[:, :2].abs().sum(1, keepdim=True)
        moved = functional.adaptive_avg_pool2d(moved, cells)
        relative = moved / moved.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        return (1 + self.settings.moved_weight * relative) / (1 + self.settings.moved_weight)

    def _distance(self, guess: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        each = functional.smooth_l1_loss(guess, truth, beta=self.settings.beta, reduction="none")
        return (each * weight).mean()
