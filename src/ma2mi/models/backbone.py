"""A backbone: any network that turns the onset face and its movement into a grid of features."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Branches = Literal["both", "position", "action"]
#: What a convolution sees beyond the edge.
Padding = Literal["zeros", "replicate"]


class Grid(NamedTuple):
    """What a backbone sees, cell by cell (gh x gw cells, 7 x 7 for a 112 px crop).

    Attributes:
        features: [B, width, gh, gw], the fused grid Z that heads and decoders read.
        position: [B, width, gh, gw], where the parts of this face are; None without that branch.
        action: [B, width, gh, gw], what moved; None without that branch.
        attention: [B, 1, ah, aw] in (0, 1), where the action branch looks, at least as fine as
            the grid; None if it does not.
        parts: [B, parts, 2], where the position branch finds the parts of this face, x and y as
            shares of the input's side; None without.
        pose: [B, 2, 3], from where a part lies in the mean face to where it lies in this input,
            both from -1 to 1: ``features`` and ``action`` are in the mean face's frame. None where
            they are in the input's, as the others always are.
    """

    features: Tensor
    position: Tensor | None = None
    action: Tensor | None = None
    attention: Tensor | None = None
    parts: Tensor | None = None
    pose: Tensor | None = None


class Backbone(nn.Module):
    """Base of every backbone, with the classifier that reads its grid.

    Args:
        width: channels of the grid.
        classes: number of classes.
        dropout: share of pooled features dropped before the classifier, in [0, 1).
        pool: cells per side that the classifier sees; the rest is averaged. Position on the
            face tells action units apart, so it must not be 1.

    A subclass implements :meth:`grid`. ``position`` is [B, 3, H, W] in [0, 1] or None;
    ``action`` is [B, 3, H, W]: u and v in percent of the crop's width and ten times the strain,
    or a frame difference in [-1, 1].
    """

    #: Face [B, 3, H, W] to grid, where a backbone has such a branch; a pretext task takes its
    #: latent space from here.
    position_encoder: nn.Module
    #: Side of the only input it takes, in px; None takes any multiple of 16.
    input_side: int | None = None
    #: Whether it takes an action of any side, and scales it.
    scales_itself: bool = False
    #: What "action" means for this network: "flow" (u, v, strain) or "difference".
    action_input: str = "flow"

    def __init__(self, width: int, classes: int, *, dropout: float = 0.2, pool: int = 4) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(pool),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(width * pool * pool, classes),
        )

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        raise NotImplementedError

    def forward(self, position: Tensor | None, action: Tensor) -> Tensor:
        """Logits [B, classes]."""
        logits: Tensor = self.head(self.grid(position, action).features)
        return logits

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    @property
    def explained(self) -> Backbone | None:
        """The network whose grid supports the outputs; None where they come from none."""
        return self

    def face_encoder(self) -> nn.Module | None:
        """The position encoder, or None for a backbone without one."""
        return self._modules.get("position_encoder")

    def backbone_parameters(self) -> list[nn.Parameter]:
        head = {id(p) for p in self.head.parameters()}
        return [p for p in self.parameters() if id(p) not in head]


class ConvStage(nn.Sequential):
    """3 x 3 convolution, group normalisation, GELU. Groups, so that batches of any size agree."""

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, padding: Padding = "zeros"
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                3,
                stride=stride,
                padding=1,
                bias=False,
                padding_mode=padding,
            ),
            nn.GroupNorm(8, out_channels),
            nn.GELU(),
        )


class Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, width: int, *, padding: Padding = "zeros") -> None:
        super().__init__()
        self.first = ConvStage(width, width, padding=padding)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False, padding_mode=padding),
            nn.GroupNorm(8, width),
        )

    def forward(self, x: Tensor) -> Tensor:  # [B, C, h, w] -> [B, C, h, w]
        return nn.functional.gelu(x + self.second(self.first(x)))


def scale_action(action: Tensor, side: int | None) -> Tensor:
    """An action at another side in px, shrunk by area, grown bilinearly; None leaves it.

    Movement in percent of the width stays what it is.
    """
    if side is None or side == action.shape[2]:
        return action
    if side < action.shape[2]:
        return nn.functional.adaptive_avg_pool2d(action, side)
    return nn.functional.interpolate(action, size=(side, side), mode="bilinear")


def flatten_grid(features: Tensor) -> Tensor:
    """Signed square root of a grid, [B, C, h, w] -> [B, C*h*w], each row of length 1."""
    flat = features.flatten(1)
    flat = torch.sign(flat) * torch.sqrt(flat.abs())
    return nn.functional.normalize(flat)
