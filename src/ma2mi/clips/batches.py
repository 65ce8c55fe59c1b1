"""Pairs as tensors: one network input after the other, augmented alike on every frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from ma2mi.clips.pairs import Pairs
from ma2mi.errors import SettingsError
from ma2mi.models.backbone import scale_action


class Batch(NamedTuple):
    """What a backbone and a pretext task take; see :class:`ma2mi.models.backbone.Backbone`.

    Attributes:
        position: [B, 3, S, S] in [0, 1], the face now; None where there are no faces.
        action: [B, 3, S, S], flow as u and v in percent of S and ten times the strain, or the
            difference of the frames in [-1, 1].
        future: [B, 3, S, S] in [0, 1], the face that a pretext task reconstructs; None without one.
    """

    position: Tensor | None
    action: Tensor
    future: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        position, action, future = self
        return Batch(
            None if position is None else position.to(device),
            action.to(device),
            None if future is None else future.to(device),
        )


class AugmentSettings(BaseModel):
    """How far a training pair may be deformed. One draw a pair, the same for all of its frames.

    Args:
        flip: chance of a mirror image.
        rotate_deg, scale, shift: largest turn in degrees, change of size and of place (as shares
            of the input's side).
        light: largest change of contrast and brightness, as a share.
        strength: movement is multiplied by up to 1 + strength, or divided by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    flip: float = Field(0.5, ge=0, le=1)
    rotate_deg: float = Field(6.0, ge=0, le=180)
    scale: float = Field(0.06, ge=0, lt=1)
    shift: float = Field(0.04, ge=0, lt=1)
    light: float = Field(0.2, ge=0, le=1)
    strength: float = Field(0.25, ge=0)


def make_batch(
    pairs: Pairs,
    rows: np.ndarray,
    *,
    size: int,
    side: int | None = None,
    action_input: str = "flow",
    target: str | None = None,
    augment: AugmentSettings | None = None,
    generator: torch.Generator | None = None,
    mirror: bool = False,
) -> Batch:
    """Rows of ``pairs`` as one batch.

    Args:
        pairs: any; without faces (flow images) the batch has no position.
        rows: positions within ``pairs``.
        size: side in px of the part of the crops that is seen, at most all; without ``augment``
            their middle.
        side: side in px that the action is scaled to, for networks that see nothing else; None
            keeps ``size``.
        action_input: "flow" or "difference".
        target: the ``future`` wanted: None, "t+k", or "t+2k" where a third frame was drawn.
        augment: None for evaluation.
        generator: source of the augmentation's draws, on the CPU.
        mirror: flip every pair (for features of the mirrored face).
    """
    rows = np.asarray(rows)
    size = min(size, pairs.action.shape[1])
    faces = [_images(pairs.first[rows])] if len(pairs.first) else []
    if target:
        faces.append(_images((pairs.second if target == "t+k" else pairs.third)[rows]))
    if action_input == "flow":
        action = torch.from_numpy(pairs.action[rows].astype(np.float32)).movedim(3, 1)
    elif faces:
        action = _images(pairs.second[rows]) - faces[0]
    else:
        raise SettingsError("flow images hold no frames", hint="Take a network that reads flow")
    if augment or mirror:
        affine, light, strength = _draw(len(rows), augment, generator, mirror)
        warped = _warp(torch.cat((*faces, action), dim=1), affine, size)
        *faces, action = torch.tensor_split(warped, warped.shape[1] // 3, dim=1)
        contrast, brightness = light[..., None, None].unbind(1)  # each [B, 1, 1, 1]
        faces = [((face - 0.5) * contrast + 0.5 + brightness).clamp(0, 1) for face in faces]
        if action_input == "flow":
            # A movement seen in a picture that is itself warped by A: A's inverse applies to it.
            moved = torch.einsum(
                "bij,bjhw->bihw", torch.linalg.inv(affine[:, :, :2]), action[:, :2]
            )
            action = torch.cat((moved, action[:, 2:]), dim=1) * strength
        else:
            action = action * contrast
    else:
        *faces, action = (_middle(x, size) for x in (*faces, action))
    if action_input == "flow":
        action = torch.cat((action[:, :2] * (100 / size), action[:, 2:] * 10), dim=1)
    action = scale_action(action, side)
    return Batch(faces[0] if faces else None, action, faces[1] if target else None)


def _images(frames: np.ndarray) -> Tensor:
    """uint8 [B, S, S, 3] to float [B, 3, S, S] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(3, 1).float() / 255


def _middle(x: Tensor, size: int) -> Tensor:
    top, left = (x.shape[2] - size) // 2, (x.shape[3] - size) // 2
    return x[:, :, top : top + size, left : left + size].contiguous()


def _draw(
    count: int, settings: AugmentSettings | None, generator: torch.Generator | None, mirror: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices [B, 2, 3] (input px to crop px), contrast and brightness [B, 2, 1], strength."""
    if settings is None:
        settings = AugmentSettings(flip=1, rotate_deg=0, scale=0, shift=0, light=0, strength=0)
        generator = torch.Generator()  # nothing is drawn: the process keeps its random numbers
    u = torch.rand(count, 8, generator=generator)
    signed = 2 * u - 1
    angle = torch.deg2rad(signed[:, 0] * settings.rotate_deg)
    size = 1 + signed[:, 1] * settings.scale
    side = torch.where((u[:, 2] < settings.flip) | mirror, -1.0, 1.0)
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    matrix = torch.stack((cos * side, -sin, sin * side, cos), dim=1).view(count, 2, 2)
    affine = torch.cat((matrix, signed[:, 3:5, None] * settings.shift), dim=2)
    contrast = 1 + signed[:, 5] * settings.light
    light = torch.stack((contrast, signed[:, 6] * settings.light), dim=1)[..., None]
    strength = (1 + settings.strength) ** signed[:, 7]
    return affine, light, strength[:, None, None, None]


def _warp(x: Tensor, affine: Tensor, size: int) -> Tensor:
    """Sample [B, C, S, S] at the deformed grid; shifts in ``affine`` are shares of ``size``."""
    source = x.shape[2]
    theta = affine.clone()
    # affine_grid counts from -1 to 1 across each picture; the input covers size/source of a crop.
    theta[:, :, :2] *= size / source
    theta[:, :, 2] *= 2 * size / source
    grid = functional.affine_grid(theta, [len(x), x.shape[1], size, size], align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
