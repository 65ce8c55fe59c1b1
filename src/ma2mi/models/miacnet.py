"""MIACNet: a position branch (where the parts of this face are) and an action branch (what moved).

The split into two branches, and pre-training them together, is the paper's (Li, Niu, Zhao,
"From Macro to Micro", arXiv 2405.16451, abstract). Its layers were not published in what we could
read; blocks and widths of ``paper`` follow the parent network MMNet (Li et al., IJCAI 2022).
``tiny`` and ``base``, flow as the action, and the null position are our choices.

How the branches meet is ours, too. Added to the movement's features (fusion "sum"), the face
reveals the subject's identity, and a classifier with few labels learns that. With fusion "where"
the position branch outputs one thing only: where the parts of this face are, 17 points. The action
branch sees the movement under the affine pose that follows from them, in the frame of the mean
face, and its attention starts from the parts that expressions move.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from ma2mi.errors import SettingsError
from ma2mi.models.backbone import Backbone, Branches, ConvStage, Grid, Padding, Residual

#: Where the parts of a face lie in the mean face: x and y as shares of the side of the input, the
#: middle 7/8 of the aligned crop, and their half axes; ``motion.REGIONS`` in its order.
PARTS = (
    (0.423, 0.147, 0.057, 0.046),  # inner brows, right and left
    (0.577, 0.147, 0.057, 0.046),
    (0.207, 0.162, 0.063, 0.046),  # outer brows
    (0.793, 0.162, 0.063, 0.046),
    (0.315, 0.228, 0.074, 0.023),  # upper lids
    (0.685, 0.228, 0.074, 0.023),
    (0.321, 0.277, 0.074, 0.029),  # lower lids
    (0.679, 0.277, 0.074, 0.029),
    (0.279, 0.445, 0.080, 0.074),  # cheeks
    (0.721, 0.445, 0.080, 0.074),
    (0.401, 0.461, 0.040, 0.046),  # wings of the nose
    (0.599, 0.461, 0.040, 0.046),
    (0.359, 0.617, 0.046, 0.046),  # corners of the lips
    (0.641, 0.617, 0.046, 0.046),
    (0.500, 0.582, 0.097, 0.029),  # upper lip, lower lip, chin
    (0.500, 0.638, 0.097, 0.034),
    (0.500, 0.831, 0.091, 0.057),
)
#: Attention starts from 1 on the parts, falls off as a Gaussian whose deviation is the half axis
#: and this share of the side, and never starts lower than the second number.
PRIOR_BLUR, PRIOR_FLOOR = 0.06, 0.05
#: How strongly a pose is drawn to none at all, relative to the evidence of 17 parts.
POSE_PRIOR = 0.1


#: Channels of a layer: those of a stem are normalised in 4 groups, all others in 8.
Width = Annotated[int, Field(ge=8, le=4096, multiple_of=4)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class MIACNetSettings:
    """Shape of a MIACNet.

    Raises:
        pydantic.ValidationError: a value that is none of these.

    Args:
        action_stem: channels of the action branch's stem.
        stem_stride: pixels per cell after the stem.
        action_stages: channels of its attention blocks; the last ones halve the size, so that
            the grid has one cell per 16 px.
        position: "conv", or "vit": a small transformer over the face at grid size (MMNet).
        position_stages: channels of the convolutional position encoder.
        vit_depth: layers of the "vit" position encoder.
        fusion: "where" (the position branch sets the pose, and nothing else), "sum" (Z = P + A) or
            "concat" (followed by a 1 x 1 convolution).
        action_input: "flow" (u, v, strain) or "difference" of the frames (as the paper's parent).
        branches: "both", or one of them alone, for ablations; weights fit all three.
        drop_position: chance that training hides the position and the null position stands in.
        dropout: before the classifier.
        center: subtract the median of u and of v. Flow images that are scaled by their own range
            (MEGC2019's) have lost where zero is; and a head that drifts moves all alike.
        padding: what convolutions of the action see beyond the edge: "replicate" what lies there,
            or "zeros", a line along which everything seems to move.
        side: side in px that the movement is scaled to; None takes it as it comes.
        global_attention: a last attention map depends on the whole grid: what moves at one place
            decides where else to look, and a blink is no expression though it moves most.
    """

    action_stem: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (32,)
    stem_stride: Literal[2, 4] = 4
    action_stages: Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)] = (64, 128)
    position: Literal["conv", "vit"] = "conv"
    position_stages: tuple[Width, Width, Width] = (32, 64, 128)
    vit_depth: Annotated[int, Field(ge=1, le=64)] = 3
    fusion: Literal["where", "sum", "concat"] = "where"
    action_input: Literal["flow", "difference"] = "flow"
    branches: Branches = "both"
    drop_position: Annotated[float, Field(ge=0, le=1)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    center: bool = True
    padding: Padding = "replicate"
    side: Annotated[int, Field(ge=16, le=1024, multiple_of=16)] | None = None
    global_attention: bool = True

    def __post_init__(self) -> None:
        halvings = 3 if self.stem_stride == 2 else 2
        if len(self.action_stages) < halvings:
            raise ValueError(
                f"{halvings} action_stages are needed after a stride of 16 / 2^{halvings}"
            )
        if self.position == "conv" and self.position_stages[-1] != self.action_stages[-1]:
            raise ValueError("position_stages and action_stages end with other widths")
        later = (*self.action_stem[1:], *self.action_stages, *self.position_stages[1:])
        if any(width % 8 for width in later):
            raise ValueError("widths after a stem's first must be multiples of 8")


#: What a setting meant in weights stored before it had the default of today.
BEFORE = {
    "fusion": "sum",
    "center": False,
    "padding": "zeros",
    "side": None,
    "global_attention": False,
}

# Movements are smooth: at 64 px as at 112, a ridge reads untrained features as well (UF1 0.818 and
# 0.826 on 192 synthetic micro-expressions, mean of three networks), in a third of the time.
TINY = MIACNetSettings(side=64)
BASE = replace(
    TINY,
    action_stem=(64,),
    action_stages=(192, 384),
    position_stages=(64, 192, 384),
    side=None,
)
PAPER = replace(
    TINY,
    action_stem=(180, 128),
    stem_stride=2,
    action_stages=(128, 128, 256, 512),
    position="vit",
    action_input="difference",
    side=None,
)


class MIACNet(Backbone):
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
        self.input_side = settings.side
        self.position_encoder: nn.Module = (
            FaceConv(settings.position_stages)
            if settings.position == "conv"
            else FaceTransformer(width, settings.vit_depth)
        )
        self.action_encoder = ActionEncoder(
            settings.action_stem,
            settings.stem_stride,
            settings.action_stages,
            settings.padding,
            global_attention=settings.global_attention,
        )
        self.null_position = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.fuse = nn.Conv2d(2 * width, width, 1) if settings.fusion == "concat" else None
        self.finder = PartFinder(width) if settings.fusion == "where" else None

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        """See :class:`ma2mi.models.backbone.Backbone`; ``position`` None means: the null position.

        Raises:
            SettingsError: a side of the input is no multiple of 16 px.
        """
        height, width = action.shape[2:]
        if height % 16 or width % 16:
            raise SettingsError(
                f"inputs of {width} x {height} px", cure="Take a side that is a multiple of 16"
            )
        if self.settings.center and self.action_input == "flow":
            action = subtract_median_flow(action)
        if self.finder is not None and self.settings.branches == "both":
            return self._look_from(self.finder, position, action)
        face = self._position_grid(position, action)
        moved, attention = self.action_encoder(action)  # [B, width, gh, gw], [B, 1, gh, gw]
        if self.settings.branches == "position":
            return Grid(face, face, None, None)
        if self.settings.branches == "action":
            return Grid(moved, None, moved, attention)
        fused = face + moved if self.fuse is None else self.fuse(torch.cat((face, moved), dim=1))
        return Grid(fused, face, moved, attention)

    def _look_from(self, finder: PartFinder, position: Tensor | None, action: Tensor) -> Grid:
        """Fusion "where": the movement as the mean face would show it."""
        height, width = action.shape[2:]
        face = parts = pose = None
        if position is not None:
            face = self._resized(self.position_encoder(position), action)
            parts = finder(face)
            # Detached: what an expression is called must not bend where the face is found.
            pose = finder.pose(parts.detach())
            if self.training and self.settings.drop_position > 0:
                kept = torch.rand(len(pose), 1, 1, device=pose.device)
                still = torch.eye(2, 3, device=pose.device).expand_as(pose)
                pose = torch.where(kept >= self.settings.drop_position, pose, still)
            action = look_from(action, pose, vectors=self.action_input == "flow")
        stride = self.settings.stem_stride
        prior = finder.prior(height // stride, width // stride)
        moved, attention = self.action_encoder(action, prior)
        if pose is not None:  # shown on the face as it lies
            attention = sampled(attention, inverse(pose))
        return Grid(moved, face, moved, attention, parts, pose)

    def _resized(self, grid: Tensor, action: Tensor) -> Tensor:
        """A grid of the face at the size of the action's, where their inputs differ in size."""
        size = (action.shape[2] // 16, action.shape[3] // 16)
        return grid if grid.shape[2:] == size else nn.functional.adaptive_avg_pool2d(grid, size)

    def _position_grid(self, position: Tensor | None, action: Tensor) -> Tensor:
        batch, _, height, width = action.shape
        null = self.null_position.expand(batch, -1, height // 16, width // 16)
        if position is None:
            return null
        seen = self._resized(self.position_encoder(position), action)
        if self.training and self.settings.drop_position > 0:
            kept = torch.rand(batch, 1, 1, 1, device=seen.device) >= self.settings.drop_position
            # where(), not indexing: the null position stays in the graph, as DDP demands
            seen = torch.where(kept, seen, null)
        return seen


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


class PartFinder(nn.Module):
    """Where the parts of a face are, read off the position branch's grid.

    Untrained, it outputs the mean face for every input.

    Args:
        width: channels of the grid.
    """

    mean: Tensor
    axes: Tensor
    solve: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        table = torch.tensor(PARTS)
        # Not stored with the weights: they are the same for all.
        self.register_buffer("mean", table[:, :2], persistent=False)
        self.register_buffer("axes", table[:, 2:], persistent=False)
        self.register_buffer("solve", _least_squares(2 * table[:, :2] - 1), persistent=False)
        last = nn.Linear(16 * 7 * 7, 2 * len(PARTS))
        for p in last.parameters():
            nn.init.zeros_(p)
        self.read = nn.Sequential(
            nn.Conv2d(width, 16, 1), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.GELU(), last
        )

    def forward(self, grid: Tensor) -> Tensor:  # [B, width, gh, gw] -> [B, parts, 2]
        off: Tensor = self.read(grid).unflatten(1, (len(PARTS), 2))
        return self.mean + off

    def pose(self, parts: Tensor) -> Tensor:
        """[B, 2, 3], the affine map that takes the mean face's parts closest to these."""
        off = 2 * (parts - self.mean)  # from -1 to 1
        fit: Tensor = torch.einsum("kn,bnc->bck", self.solve, off)
        return fit + torch.eye(2, 3, device=fit.device)

    def prior(self, height: int, width: int) -> Tensor:
        """[1, 1, height, width], where expressions show in the mean face, in (0, 1]."""
        y = (torch.arange(height, device=self.mean.device) + 0.5) / height
        x = (torch.arange(width, device=self.mean.device) + 0.5) / width
        spread = (self.axes**2 + PRIOR_BLUR**2)[:, :, None]
        across = (x - self.mean[:, :1]) ** 2 / spread[:, 0]  # [parts, width]
        down = (y - self.mean[:, 1:]) ** 2 / spread[:, 1]
        near: Tensor = torch.exp(-0.5 * (across[:, None] + down[:, :, None])).amax(0)
        return (PRIOR_FLOOR + (1 - PRIOR_FLOOR) * near)[None, None]


def _least_squares(places: Tensor) -> Tensor:
    """[3, n]: from movements of n places [n, 2] to the affine map that fits them best."""
    known = torch.cat((places, torch.ones(len(places), 1)), dim=1)
    drawn = POSE_PRIOR * torch.diag((known**2).sum(0))
    fit: Tensor = torch.linalg.solve(known.T @ known + drawn, known.T)
    return fit


def look_from(action: Tensor, pose: Tensor, *, vectors: bool = True) -> Tensor:
    """The action [B, C, H, W] as it would be in the mean face, by a pose [B, 2, 3].

    Args:
        vectors: the first two channels are a movement, which the pose turns and scales, too.
    """
    seen = sampled(action, pose)
    if not vectors:
        return seen
    moved = torch.einsum("bij,bjhw->bihw", inverse(pose)[:, :, :2], seen[:, :2])
    return torch.cat((moved, seen[:, 2:]), dim=1)


def sampled(x: Tensor, pose: Tensor) -> Tensor:
    """Planes [B, C, H, W] where a pose [B, 2, 3] looks; beyond the edge they go on."""
    height, width = x.shape[2:]
    down = (2 * torch.arange(height, device=x.device) + 1) / height - 1
    across = (2 * torch.arange(width, device=x.device) + 1) / width - 1
    rows, columns = torch.meshgrid(down, across, indexing="ij")
    places = torch.stack((columns, rows, torch.ones_like(rows)), dim=-1)  # [H, W, 3]
    grid = torch.einsum("bck,hwk->bhwc", pose, places)
    return nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def inverse(pose: Tensor) -> Tensor:
    """The affine map [B, 2, 3] back. Written out: ONNX knows no inverse."""
    a, b, c, d = pose[:, 0, 0], pose[:, 0, 1], pose[:, 1, 0], pose[:, 1, 1]
    turn = torch.stack((d, -b, -c, a), dim=1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
    return torch.cat((turn, -torch.einsum("bij,bj->bi", turn, pose[:, :, 2])[..., None]), dim=2)


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
