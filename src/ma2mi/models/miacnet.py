"""MIACNet: a position branch (where the parts of this face are) and an action branch (what moved).

The split into two branches, and pre-training them together, is the paper's (Li, Niu, Zhao,
"From Macro to Micro", arXiv 2405.16451, abstract). Its layers were not published in what we could
read; blocks and widths of ``paper`` follow the parent network MMNet (Li et al., IJCAI 2022).
``tiny`` and ``base``, flow as the action, and the null position are our choices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ma2mi.errors import SettingsError
from ma2mi.models.trunk import Branches, ConvStage, Grid, Residual, Trunk


@dataclass(frozen=True)
class MIACNetSettings:
    """Shape of a MIACNet.

    Args:
        action_stem: channels of the action branch's stem.
        stem_stride: pixels per cell after the stem.
        action_stages: channels of its attention blocks; the last ones halve the size, so that
            the grid has one cell per 16 px.
        position: "conv", or "vit": a small transformer over the face at grid size (MMNet).
        position_stages: channels of the convolutional position encoder.
        vit_depth: layers of the "vit" position encoder.
        fusion: "sum" (Z = P + A) or "concat" (followed by a 1 x 1 convolution).
        action_input: "flow" (u, v, strain) or "difference" of the frames (as the paper's parent).
        branches: "both", or one of them alone, for ablations; weights fit all three.
        drop_position: chance that training hides the position and the null position stands in.
        dropout: before the classifier.
        center: take the median of u and of v for rest. Flow images that are scaled by their own
            range (MEGC2019's) have lost where zero is; and a head that drifts moves all alike.
    """

    action_stem: tuple[int, ...] = (32,)
    stem_stride: Literal[2, 4] = 4
    action_stages: tuple[int, ...] = (64, 128)
    position: Literal["conv", "vit"] = "conv"
    position_stages: tuple[int, ...] = (32, 64, 128)
    vit_depth: int = 3
    fusion: Literal["sum", "concat"] = "sum"
    action_input: Literal["flow", "difference"] = "flow"
    branches: Branches = "both"
    drop_position: float = 0.1
    dropout: float = 0.2
    center: bool = False


TINY = MIACNetSettings()
BASE = replace(
    TINY,
    action_stem=(64,),
    action_stages=(192, 384),
    position_stages=(64, 192, 384),
)
PAPER = replace(
    TINY,
    action_stem=(180, 128),
    stem_stride=2,
    action_stages=(128, 128, 256, 512),
    position="vit",
    action_input="difference",
)


class MIACNet(Trunk):
    """The two-branch micro-action network.

    Args:
        classes: number of classes.
        settings: see :class:`MIACNetSettings`.

    The grid has one cell per 16 px: 7 x 7 at 112 px, 14 x 14 at 224 px.
    """

    def __init__(self, classes: int, settings: MIACNetSettings = TINY) -> None:
        width = settings.action_stages[-1]
        super().__init__(width, classes, dropout=settings.dropout)
        self.settings = settings
        self.action_input = settings.action_input
        self.position_encoder: nn.Module = (
            FaceConv(settings.position_stages)
            if settings.position == "conv"
            else FaceTransformer(width, settings.vit_depth)
        )
        self.action_encoder = ActionEncoder(
            settings.action_stem, settings.stem_stride, settings.action_stages
        )
        self.null_position = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.fuse = nn.Conv2d(2 * width, width, 1) if settings.fusion == "concat" else None

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        """See :class:`ma2mi.models.trunk.Trunk`; ``position`` None means: the null position.

        Raises:
            SettingsError: a side of the input is no multiple of 16 px.
        """
        height, width = action.shape[2:]
        if height % 16 or width % 16:
            raise SettingsError(
                f"inputs of {width} x {height} px", cure="Take a side that is a multiple of 16"
            )
        where = self._position_grid(position, action)
        if self.settings.center:
            action = take_rest_off(action)
        what, attention = self.action_encoder(action)  # [B, width, gh, gw], [B, 1, gh, gw]
        if self.settings.branches == "position":
            return Grid(where, where, None, None)
        if self.settings.branches == "action":
            return Grid(what, None, what, attention)
        fused = where + what if self.fuse is None else self.fuse(torch.cat((where, what), dim=1))
        return Grid(fused, where, what, attention)

    def _position_grid(self, position: Tensor | None, action: Tensor) -> Tensor:
        batch, _, height, width = action.shape
        null = self.null_position.expand(batch, -1, height // 16, width // 16)
        if position is None:
            return null
        seen: Tensor = self.position_encoder(position)
        if self.training and self.settings.drop_position > 0:
            kept = torch.rand(batch, 1, 1, 1, device=seen.device) >= self.settings.drop_position
            # where(), not indexing: the null position stays in the graph, as DDP demands
            seen = torch.where(kept, seen, null)
        return seen


class ActionEncoder(nn.Module):
    """Movement to grid, through blocks of continuous attention (MMNet, section 3.1).

    A block is a residual pair of convolutions times a spatial attention map. Each map starts
    from the block's channel mean and maximum and is multiplied by the map before it, pooled.
    """

    def __init__(self, stem: tuple[int, ...], stride: int, stages: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem[0], stride + 1, stride=stride, padding=stride // 2),
            nn.GroupNorm(4, stem[0]),
            nn.GELU(),
            *(ConvStage(a, b) for a, b in pairwise(stem)),
        )
        widths = (stem[-1], *stages)
        halvings = (16 // stride).bit_length() - 1
        same_size = len(stages) - halvings
        self.blocks = nn.ModuleList(
            AttentionBlock(widths[i], widths[i + 1], stride=1 if i < same_size else 2)
            for i in range(len(stages))
        )

    def forward(self, action: Tensor) -> tuple[Tensor, Tensor]:
        # Macro movement is ten times micro movement; the logarithm keeps both on one scale.
        scaled = torch.sign(action) * torch.log1p(4 * action.abs())
        x = self.stem(scaled)  # [B, stem, H/stride, W/stride]
        attention = x.new_ones(x.shape[0], 1, *x.shape[2:])
        for block in self.blocks:
            x, attention = block(x, attention)
        return x, attention


def take_rest_off(action: Tensor) -> Tensor:
    """Subtract from u and v [B, 3, H, W] their medians over the face; strain knows no rest."""
    few = nn.functional.adaptive_avg_pool2d(action[:, :2], 28).flatten(2)
    middle = few.sort(dim=2).values[:, :, few.shape[2] // 2, None, None]
    return torch.cat((action[:, :2] - middle, action[:, 2:]), dim=1)


class AttentionBlock(nn.Module):
    """Convolve, and weigh every place by what this block and those before it saw."""

    def __init__(self, inside: int, outside: int, *, stride: int) -> None:
        super().__init__()
        self.shrink = ConvStage(inside, outside, stride=stride)
        self.convolve = Residual(outside)
        self.look = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        x = self.convolve(self.shrink(x))
        seen = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)  # [B, 2, h, w]
        earlier = nn.functional.adaptive_avg_pool2d(before, (x.shape[2], x.shape[3]))
        attention = torch.sigmoid(self.look(seen)) * earlier
        return x * attention, attention


class FaceConv(nn.Module):
    """The onset face to a grid of where its parts are, by convolutions."""

    def __init__(self, stages: tuple[int, ...]) -> None:
        super().__init__()
        first, *rest = stages
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=4), nn.GroupNorm(4, first), nn.GELU()
        )
        self.stages = nn.Sequential(
            *(
                nn.Sequential(ConvStage(a, b, stride=2), Residual(b))
                for a, b in zip(stages, rest, strict=False)
            )
        )

    def forward(self, face: Tensor) -> Tensor:  # [B, 3, H, W] in [0, 1] -> [B, width, H/16, W/16]
        grid: Tensor = self.stages(self.stem(2 * face - 1))
        return grid


class FaceTransformer(nn.Module):
    """The onset face at grid size, one token a cell, through a small transformer (MMNet)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 1)
        self.place = nn.Parameter(torch.randn(1, width, 14, 14) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width,
            nhead=4,
            dim_feedforward=2 * width,
            dropout=0.1,
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, face: Tensor) -> Tensor:  # [B, 3, H, W] in [0, 1] -> [B, width, H/16, W/16]
        side = (face.shape[2] // 16, face.shape[3] // 16)
        small = nn.functional.interpolate(face, side, mode="bilinear", antialias=True)
        place = nn.functional.interpolate(self.place, side, mode="bilinear")
        tokens = (self.embed(2 * small - 1) + place).flatten(2).transpose(1, 2)  # [B, gh*gw, width]
        grid: Tensor = self.layers(tokens).transpose(1, 2).unflatten(2, side)
        return grid
