"""Blocks of features that a classifier for few labelled clips reads: pixels, grids, outputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from ma2mi.errors import SettingsError
from ma2mi.models.backbone import Backbone, flatten_grid, scale_action
from ma2mi.models.catalog import build_model
from ma2mi.training.outputs import RecognizerSettings, calibrate
from ma2mi.training.views import VIEWS, View, batches, one_thread

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs

Blocks = dict[str, NDArray[np.float64]]
"""Name of a block to features [N, V, D]: of N pairs in V views, those of each instance in turn."""

#: Side of the flow that the pixel block holds, in cells: that of MEGC2019's flow images.
CELLS = 28
#: Root mean square below which a movement is none, in percent of the width: rounding.
STILL = 1e-5
#: Of the outputs' share in a kernel that of the classes; the units have the rest. Ours.
CLASSES_SHARE = 0.6

Removed = Literal["median", "plane"]


def remove_head_motion(flow: Tensor, removed: Removed = "median") -> Tensor:
    """What is left of u and v [B, 2, h, w] without the head's shift, or without its tilt.

    Args:
        flow: in any unit.
        removed: "median" subtracts the medians of u and of v; "plane" the planes that fit them
            best (least squares): a head that shifts, turns or comes nearer.
    """
    flat = flow.flatten(2)
    if removed == "plane":
        basis = _plane_basis(flow.shape[2], flow.shape[3]).to(flat)
        return (flat - (flat @ basis) @ basis.T).view_as(flow)
    ordered = flat.sort(dim=2).values
    last = flat.shape[2] - 1
    middle = (ordered[:, :, last // 2] + ordered[:, :, last - last // 2]) / 2
    return flow - middle[:, :, None, None]


@cache
def _plane_basis(height: int, width: int) -> Tensor:
    """Orthonormal columns [height * width, 3] that span all planes."""
    y, x = np.mgrid[0:height, 0:width]
    columns = np.stack([np.ones(height * width), x.ravel(), y.ravel()], axis=1)
    return torch.from_numpy(np.linalg.qr(columns)[0].astype(np.float32))


@cache
def _cell_means(cells: int, whole: int) -> Tensor:
    """The matrix [cells, whole] of area means along one side, whole > cells."""
    edges = np.arange(cells + 1)[:, None] * (whole / cells)
    covered = np.clip(edges - np.arange(whole), 0, 1)  # of each pixel, left of each edge
    return torch.from_numpy((np.diff(covered, axis=0) * (cells / whole)).astype(np.float32))


class PixelBlock(nn.Module):
    """The movement itself: without head motion and scale, averaged over cells, signed square root.

    Args:
        cells: a side; a smaller movement stays as it is.
        removed: see :func:`remove_head_motion`.
    """

    names = ("pixels",)
    groups: tuple[dict[str, float], ...] = ({"pixels": 1.0},)
    action_input = "flow"

    def __init__(self, cells: int = CELLS, removed: Removed = "median") -> None:
        super().__init__()
        self.cells, self.removed = cells, removed

    def describe(self) -> dict[str, Any]:
        return {"kind": "pixels", "cells": self.cells, "removed": self.removed}

    def forward(self, position: Tensor | None, action: Tensor, size: int) -> list[Tensor]:
        """[B, 3, S, S] to one block [B, cells * cells * 2] of length 1; 0 where nothing moves."""
        flow = action[:, :2]
        whole = int(flow.shape[2])
        if whole > self.cells:
            means = _cell_means(self.cells, whole).to(flow)
            flow = means @ flow @ means.T
        flat = remove_head_motion(flow, self.removed).movedim(1, 3).flatten(1)
        moves = flat.square().mean(1, keepdim=True).sqrt() > STILL
        # Of length 1, so the own scale needs no division.
        return [normalize(torch.sign(flat) * torch.sqrt(flat.abs())) * moves]


class NetworkBlocks(nn.Module):
    """A frozen network: its grid and, of a recognizer, its outputs for classes and units.

    Args:
        net: of the catalog.
        model, settings: as it is built again with ``models.catalog.build_model``.
        outputs: a recognizer's; None leaves the grid alone.
        title: goes before the blocks' names, where there are several networks.
    """

    def __init__(
        self,
        net: Backbone,
        model: str,
        settings: Mapping[str, Any],
        outputs: RecognizerSettings | None = None,
        title: str = "",
    ) -> None:
        super().__init__()
        self.net = net.eval()
        self.model, self.settings, self.title = model, dict(settings), title
        # Which classes are frequent where it was trained is no property of a clip.
        self.outputs = outputs and outputs.model_copy(update={"prior": ()})
        kinds = ["grid", *(["classes"] if outputs else []), *(["units"] if self._units else [])]
        self.names = tuple(f"{title} {kind}".strip() for kind in kinds)
        self.groups = self._groups()
        self.action_input = net.action_input

    def _groups(self) -> tuple[dict[str, float], ...]:
        """Blocks that belong together, with their shares: the grid, and what is output."""
        grid, *outputs = self.names
        shares = (CLASSES_SHARE, 1 - CLASSES_SHARE) if len(outputs) == 2 else (1.0,)
        return ({grid: 1.0}, *([dict(zip(outputs, shares, strict=True))] if outputs else []))

    @property
    def _units(self) -> int:
        """How many units it outputs."""
        return len(self.outputs.units) if self.outputs else 0

    @property
    def others(self) -> int:
        """How many outputs a recognizer has after its classes."""
        return self.outputs.outputs - len(self.outputs.classes) if self.outputs else 0

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "network",
            "model": self.model,
            "settings": self.settings,
            "classes": len(self.net.head_parameters()[-1]),
            "outputs": self.outputs.model_dump(mode="json") if self.outputs else None,
            "title": self.title,
        }

    def forward(self, position: Tensor | None, action: Tensor, size: int) -> list[Tensor]:
        """Grid [B, width * gh * gw] of length 1; classes [B, C] of length 1 where it is certain
        and 0 where it does not know; units [B, U] of length 1.
        """
        return self.look(position, action, size)[0]

    def look(
        self, position: Tensor | None, action: Tensor, size: int
    ) -> tuple[list[Tensor], Tensor | None]:
        """The blocks, and a recognizer's outputs [B, outputs] before calibration."""
        grid = self.net.grid(position, scale_action(action, self.net.input_side or size)).features
        if self.outputs is None:
            return [flatten_grid(grid)], None
        logits: Tensor = self.net.head(grid)
        output = calibrate(logits, self.outputs)
        chance = 1 / len(self.outputs.classes)
        certain = (1 - chance) ** 0.5
        found = [flatten_grid(grid), (output.classes.softmax(1) - chance) / certain]
        if self._units:
            found.append(normalize(output.units.sigmoid()))
        return found, logits


class FeatureBlocks(nn.Module):
    """Several blocks of features of a movement; nothing in it is trained, and no label enters.

    Args:
        parts: what they come from, at most one of them :class:`PixelBlock`.
        size: side in px of the middle of the crops that is seen, as in ``clips.make_batch``.

    Raises:
        SettingsError: parts that read other kinds of action, or two blocks of one name.

    It takes position [B, 3, S, S] or None and action [B, 3, S, S] as ``clips.batches.make_batch``
    delivers them with ``side=None``: the action at full size, whatever a network scales it to.

    Example:
        >>> blocks = FeatureBlocks([PixelBlock(), network_blocks(load_model("zero"))])
        >>> blocks.extract(pairs)["grid"].shape  # N pairs, as they are and mirrored
        (442, 2, 2048)
    """

    #: As of a network, for ``views.batches``.
    input_side = None
    scales_itself = True

    def __init__(self, parts: Sequence[PixelBlock | NetworkBlocks], size: int = 112) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.typed_parts = tuple(parts)  # the same, with their type
        self.size = size
        self.groups = tuple(group for part in parts for group in part.groups)
        self.names: tuple[str, ...] = tuple(name for part in parts for name in part.names)
        kinds = {part.action_input for part in parts}
        if len(set(self.names)) < len(self.names):
            raise SettingsError(f"two blocks of one name: {', '.join(self.names)}")
        if len(kinds) != 1:
            raise SettingsError(
                f"blocks of {' and '.join(sorted(kinds))} cannot be read together",
                hint="Take networks of one action_input; pixels are of flow",
            )
        self.action_input: str = kinds.pop()
        self.eval()

    def forward(self, position: Tensor | None, action: Tensor) -> list[Tensor]:
        """One tensor [B, D] a block, in the order of ``names``; each row no longer than 1."""
        found: list[Tensor] = []
        for part in self.typed_parts:
            found += part(position, action, self.size)
        return found

    @torch.no_grad()
    def extract(self, pairs: Pairs, views: Sequence[View] = VIEWS) -> Blocks:
        """All blocks of N pairs, float64 [N, views * instances, D]; computed on one thread."""
        seen = [(one, view) for one in pairs.instances for view in views]
        found: list[list[list[Tensor]]] = [[[] for _ in seen] for _ in self.names]
        with one_thread():
            for number, (one, view) in enumerate(seen):
                for batch in batches(self, one, self.size, view):
                    blocks = self.forward(batch.position, batch.action)
                    for rows, block in zip(found, blocks, strict=True):
                        rows[number].append(block.double().cpu())
        stacked = [torch.stack([torch.cat(rows) for rows in block], dim=1) for block in found]
        return {name: block.numpy() for name, block in zip(self.names, stacked, strict=True)}

    def digest(self) -> str:
        """One sha256 of all that decides what it computes."""
        found = hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode())
        for name, tensor in self.state_dict().items():
            found.update(name.encode() + tensor.cpu().numpy().tobytes())
        return found.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What :meth:`from_description` builds it from, as JSON has it; weights excepted."""
        return {"size": self.size, "parts": [part.describe() for part in self.typed_parts]}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> FeatureBlocks:
        """The same blocks with fresh weights; ``load_state_dict`` brings them back.

        Raises:
            SettingsError: an unknown kind of block, network or setting.
        """
        return cls([_part(given) for given in description["parts"]], description["size"])


def _part(given: Mapping[str, Any]) -> PixelBlock | NetworkBlocks:
    if given["kind"] == "pixels":
        return PixelBlock(given["cells"], given["removed"])
    if given["kind"] != "network":
        raise SettingsError(f"{given['kind']!r} is no kind of feature block")
    net = build_model(given["model"], given["classes"], **given["settings"])
    outputs = given["outputs"] and RecognizerSettings.model_validate(given["outputs"])
    return NetworkBlocks(net, given["model"], given["settings"], outputs, given["title"])


class Described(Protocol):
    """A network with its description, such as a recognizer."""

    @property
    def net(self) -> Backbone: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def settings(self) -> RecognizerSettings: ...


def network_blocks(recognizer: Described, title: str = "") -> NetworkBlocks:
    """A recognizer's grid, classes and units."""
    config = recognizer.config
    return NetworkBlocks(
        recognizer.net, config["model"], config["settings"], recognizer.settings, title
    )
