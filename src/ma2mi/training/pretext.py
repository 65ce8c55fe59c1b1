"""MA2MI's pretext task "future movement": what does a small movement become?

From the subtle movement between t and t + k of a face, predict the larger movement between t and
t + K of the same face, in latent space: by telling it from the later movements of others, of other
moments of the same video among them (contrast), and by drawing it (a light decoder).

The paper (Li, Niu, Zhao, arXiv 2405.16451, abstract) says: learn to represent subtle movement on
macro-expression videos by reconstructing future frames in latent space. That the future is a
movement and not a face, both losses, and what is put on either side are our choices: a face's
latent rewards knowing the identity, and its target can be reached without seeing what moves.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from ma2mi.errors import SettingsError
from ma2mi.models.backbone import Backbone, ConvStage, Grid
from ma2mi.models.part_finder import inverse, sampled
from ma2mi.training.movement_settings import NuisanceSettings, SimulatorSettings
from ma2mi.training.movements import Movements

#: Cells per side of what codes are read off: where something moves is part of what moves.
CELLS = 4


class FutureMovementSettings(BaseModel):
    """What is predicted, and how the losses weigh.

    Args:
        name: tells the pretext tasks apart, in checkpoints too.
        temperature: of the contrast (InfoNCE, van den Oord et al. 2018, equation 4).
        contrast, draw: weights of the two losses.
        attend: weight of a third: attention lies where the decoder draws movement. It is held
            against the drawing and not the true later movement, which is one noisy sample of what
            the early one may become: on the simulator the largest attention then lay in the region
            that moves for 76 % of 192 samples instead of 58 %.
        find: weight of a fourth: the position branch finds the regions of the face.
        code: length of the codes that are compared.
        per_video: pairs of each video in a batch, so that negatives look alike.
        target: the later movement's encoder: "shared", the same one, or "momentum", a moving
            average of it.
        momentum: of that average, per step.
        nuisance, simulator: see their classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["future-movement"] = "future-movement"
    temperature: float = Field(0.1, gt=0)
    contrast: float = Field(1.0, ge=0)
    draw: float = Field(3.0, ge=0)
    attend: float = Field(1.0, ge=0)
    find: float = Field(10.0, ge=0)
    code: int = Field(128, ge=2)
    per_video: int = Field(3, ge=1)
    target: Literal["shared", "momentum"] = "shared"
    momentum: float = Field(0.99, ge=0, lt=1)
    nuisance: NuisanceSettings = NuisanceSettings()
    simulator: SimulatorSettings = SimulatorSettings()

    @property
    def title(self) -> str:
        return self.name


class FutureLoss(NamedTuple):
    """One batch's figures, each a scalar.

    Attributes:
        loss: weighted sum of the others; what is minimised.
        contrast: mean cross-entropy of finding the late movement by the early one, and back.
        drawing: smooth-L1 between drawn and true late movement.
        attending: cross-entropy between attention and where movement is drawn.
        finding: mean distance of found from true regions, in shares of the side.
    """

    loss: Tensor
    contrast: Tensor
    drawing: Tensor
    attending: Tensor
    finding: Tensor


class FutureMovement(nn.Module):
    """A backbone, what reads codes off its grid, and a light decoder.

    Args:
        backbone: any that sees movement.
        settings: see :class:`FutureMovementSettings`.

    Raises:
        SettingsError: the backbone sees the face alone.
    """

    def __init__(self, backbone: Backbone, settings: FutureMovementSettings) -> None:
        super().__init__()
        if getattr(getattr(backbone, "settings", None), "branches", "") == "position":
            raise SettingsError(
                "sees no movement with its position branch alone",
                where="future-movement",
                hint='Take branches="both" or "action"',
            )
        self.trunk = backbone  # so named in the states of runs
        self.settings = settings
        for p in backbone.head_parameters():  # the pretext task has no classes
            p.requires_grad_(False)
        self.projector = Projector(backbone.width, settings.code)
        self.decoder = DrawingDecoder(backbone.width)
        self.target = None
        if settings.target == "momentum":
            self.target = deepcopy(nn.ModuleList((backbone, self.projector))).requires_grad_(False)

    def forward(self, batch: Movements) -> FutureLoss:
        """Losses of a batch of B pairs, at least two."""
        grid = self.trunk.grid(batch.early_face, batch.early)
        early = self.projector(moved(grid))
        late = self.late_code(batch)
        contrast = contrast_loss(early, late, self.settings.temperature)
        drawn = self.decoder(grid)
        drawing = functional.smooth_l1_loss(drawn, in_frame(batch.drawn, grid, drawn.shape[2:]))
        attending, finding = _attending(grid, drawn.detach()), _finding(grid, batch.parts)
        s = self.settings
        loss = s.contrast * contrast + s.draw * drawing + s.attend * attending + s.find * finding
        return FutureLoss(loss, contrast, drawing, attending, finding)

    def early_code(self, batch: Movements) -> Tensor:
        """[B, code] of length 1, of the early movements."""
        code: Tensor = self.projector(moved(self.trunk.grid(batch.early_face, batch.early)))
        return code

    def late_code(self, batch: Movements) -> Tensor:
        """[B, code] of length 1, of the late movements; without a gradient under "momentum"."""
        if self.target is None:
            code: Tensor = self.projector(moved(self.trunk.grid(batch.late_face, batch.late)))
            return code
        backbone, projector = self.target
        with torch.no_grad():
            target: Tensor = projector(moved(backbone.grid(batch.late_face, batch.late)))  # type: ignore[operator]
        return target

    @torch.no_grad()
    def update_target(self) -> None:
        """Update the momentum target towards the encoder, after an optimizer step."""
        if self.target is None:
            return
        sources = (*self.trunk.parameters(), *self.projector.parameters())
        for target, source in zip(self.target.parameters(), sources, strict=True):
            target.lerp_(source, 1 - self.settings.momentum)


class Projector(nn.Module):
    """From a grid [B, width, gh, gw] to codes [B, code] of length 1.

    Batch normalisation, as in SimCLR (Chen et al. 2020, appendix B.4): fresh grids are nearly alike
    for all movements, and without it a contrast among measured movements stays at chance for
    hundreds of steps.
    """

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(CELLS),
            nn.Flatten(),
            nn.Linear(width * CELLS**2, 2 * code),
            nn.BatchNorm1d(2 * code),
            nn.GELU(),
            nn.Linear(2 * code, code),
        )

    def forward(self, grid: Tensor) -> Tensor:
        return functional.normalize(self.layers(grid))


class DrawingDecoder(nn.Module):
    """Draws a movement [B, 2, 4 gh, 4 gw] from a grid; the face, where there is one, helps.

    It is the only part that sees the position branch's features: they know how a face is built,
    and the codes must not.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.movement = ConvStage(width, width)
        self.face = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.face.weight)
        self.last = nn.Conv2d(width, 2 * 16, 1)

    def forward(self, grid: Grid) -> Tensor:
        features = self.movement(grid.features)
        if grid.position is not None and grid.position is not grid.features:
            seen = in_frame(grid.position, grid, features.shape[2:])
            features = features + self.face(seen)
        drawn: Tensor = functional.pixel_shuffle(self.last(features), 4)
        return drawn


def moved(grid: Grid) -> Tensor:
    """The part of a grid that codes are read off: the movement's, without the face's."""
    return grid.features if grid.action is None else grid.action


def in_frame(x: Tensor, grid: Grid, size: torch.Size) -> Tensor:
    """A movement or features [B, C, h, w] of the input in the frame of the grid, at a size.

    A movement's vectors are left as they are: a pose turns them by a few degrees.
    """
    if grid.pose is not None:
        x = sampled(x, grid.pose)
    return functional.adaptive_avg_pool2d(x, (size[0], size[1]))


def contrast_loss(early: Tensor, late: Tensor, temperature: float) -> Tensor:
    """InfoNCE, both ways: early [B, D] and late [B, D] of the same row belong together."""
    likeness = early @ late.T / temperature
    truth = torch.arange(len(early), device=early.device)
    there = functional.cross_entropy(likeness, truth)
    back = functional.cross_entropy(likeness.T, truth)
    return (there + back) / 2


def _attending(grid: Grid, drawn: Tensor) -> Tensor:
    """Cross-entropy between attention and the share of the drawn movement that each place has."""
    if grid.attention is None:
        return drawn.new_zeros(())
    if grid.pose is not None:  # attention is shown on the face as it lies
        drawn = sampled(drawn, inverse(grid.pose))
    there = grid.attention.flatten(1)
    size = (grid.attention.shape[2], grid.attention.shape[3])
    wanted = functional.adaptive_avg_pool2d(drawn.square().sum(1, keepdim=True), size).flatten(1)
    wanted = wanted / wanted.sum(1, keepdim=True).clamp_min(1e-6)
    share = (there / there.sum(1, keepdim=True)).clamp_min(1e-6)
    return -(wanted * share.log()).sum(1).mean()


def _finding(grid: Grid, parts: Tensor | None) -> Tensor:
    """Mean distance of found regions from the true ones, over faces whose regions are known."""
    if grid.parts is None or parts is None:
        return grid.features.new_zeros(())
    known = parts.isfinite().flatten(1).all(1)
    if not known.any():
        return 0 * grid.parts.sum()
    off = grid.parts[known] - parts[known]
    return functional.smooth_l1_loss(off, torch.zeros_like(off), beta=0.02) + 0 * grid.parts.sum()
