"""The position branch of MIACNet: the onset face to grid, by convolutions or a transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ma2mi.models.backbone import ConvStage, Residual


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
