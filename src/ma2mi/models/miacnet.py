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
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from ma2mi.errors import SettingsError
from ma2mi.models.action_encoder import ActionEncoder, subtract_median_flow
from ma2mi.models.backbone import Backbone, Branches, Grid, Padding
from ma2mi.models.face_encoder import FaceConv, FaceTransformer
from ma2mi.models.part_finder import PartFinder, inverse, look_from, sampled

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
                f"inputs of {width} x {height} px", hint="Take a side that is a multiple of 16"
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
