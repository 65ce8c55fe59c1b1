"""The action branch of MIACNet: movement to grid, through continuous attention."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ma2mi.models.backbone import ConvStage, Padding, Residual


class ActionEncoder(nn.Module):
    """Movement to grid, through blocks of continuous attention (MMNet, section 3.1).

    A block is a residual pair of convolutions times a spatial attention map. Each map starts
    from the block's channel mean and maximum and is multiplied by the map before it, pooled. A
    last one may be read off the whole grid (our addition).
    """

    def __init__(
        self,
        stem: tuple[int, ...],
        stride: int,
        stages: tuple[int, ...],
        padding: Padding,
        *,
        global_attention: bool = False,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(
                3, stem[0], stride + 1, stride=stride, padding=stride // 2, padding_mode=padding
            ),
            nn.GroupNorm(4, stem[0]),
            nn.GELU(),
            *(ConvStage(a, b, padding=padding) for a, b in pairwise(stem)),
        )
        widths = (stem[-1], *stages)
        halvings = (16 // stride).bit_length() - 1
        same_size = len(stages) - halvings
        self.blocks = nn.ModuleList(
            AttentionBlock(
                widths[i], widths[i + 1], stride=1 if i < same_size else 2, padding=padding
            )
            for i in range(len(stages))
        )
        self.look = GlobalAttention(stages[-1]) if global_attention else None
        self.seen = nn.Identity()  # what is handed on, for heat maps

    def forward(self, action: Tensor, prior: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Grid, and the last attention; with a ``prior`` [1, 1, h, w] that attention starts from,
        the product of all of them at the size of the first."""
        # Macro movement is ten times micro movement; the logarithm keeps both on one scale.
        scaled = torch.sign(action) * torch.log1p(4 * action.abs())
        x = self.stem(scaled)  # [B, stem, H/stride, W/stride]
        attention = x.new_ones(x.shape[0], 1, *x.shape[2:])
        if prior is not None:
            attention = attention * prior
        seen = []
        for block in self.blocks:
            before = attention
            x, attention = block(x, attention)
            seen.append((before, attention))
        whole = None
        if self.look is not None:
            whole = self.look(x)
            x = x * resized(whole, x)
            attention = attention * resized(whole, attention)
        x = self.seen(x)
        if prior is None:
            return x, attention
        product = seen[0][1]
        for before, after in seen[1:]:
            pooled = nn.functional.adaptive_avg_pool2d(before, (after.shape[2], after.shape[3]))
            own = after / pooled
            product = product * nn.functional.interpolate(
                own, size=(product.shape[2], product.shape[3]), mode="bilinear"
            )
        return x, product if whole is None else product * resized(whole, product)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Planes [B, C, h, w] at the height and width of others, bilinear."""
    return nn.functional.interpolate(x, size=(like.shape[2], like.shape[3]), mode="bilinear")


class GlobalAttention(nn.Module):
    """A map [B, 1, 8, 8] in (0, 1), read off a whole grid [B, width, gh, gw]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Conv2d(width, 16, 1),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, 128),
            nn.GELU(),
            nn.Linear(128, 8 * 8),
        )

    def forward(self, grid: Tensor) -> Tensor:
        return torch.sigmoid(self.read(grid)).reshape(-1, 1, 8, 8)


def subtract_median_flow(action: Tensor) -> Tensor:
    """Subtract from u and v [B, 3, H, W] their medians over the face; strain has none."""
    few = nn.functional.adaptive_avg_pool2d(action[:, :2], 28).flatten(2)
    middle = few.sort(dim=2).values[:, :, few.shape[2] // 2, None, None]
    return torch.cat((action[:, :2] - middle, action[:, 2:]), dim=1)


class AttentionBlock(nn.Module):
    """Convolve, and weigh every place by what this block and those before it saw."""

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, padding: Padding
    ) -> None:
        super().__init__()
        self.shrink = ConvStage(in_channels, out_channels, stride=stride, padding=padding)
        self.convolve = Residual(out_channels, padding=padding)
        self.look = nn.Conv2d(2, 1, 7, padding=3, padding_mode=padding)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        x = self.convolve(self.shrink(x))
        seen = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)  # [B, 2, h, w]
        earlier = nn.functional.adaptive_avg_pool2d(before, (x.shape[2], x.shape[3]))
        attention = torch.sigmoid(self.look(seen)) * earlier
        return x * attention, attention
