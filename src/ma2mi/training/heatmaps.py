"""Heat maps: where a network looks, and what on the face supports an output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ma2mi.clips.batches import Batch
from ma2mi.clips.pairs import Pairs
from ma2mi.errors import SettingsError, optional_part
from ma2mi.models.backbone import Backbone
from ma2mi.models.miacnet import MIACNet
from ma2mi.training.recognizer import Recognizer
from ma2mi.training.views import batches, one_thread

Maps = NDArray[np.float32]


@torch.no_grad()
def attention_map(backbone: Backbone, batch: Batch) -> Maps | None:
    """Where the action branch looks, float32 [B, S, S] in (0, 1); None for a backbone without it.

    The last block's attention, which is a product of all before it (MMNet, section 3.1).
    """
    if backbone.explained is None:
        return None
    attention = backbone.eval().grid(batch.position, batch.action).attention
    return None if attention is None else _enlarged(attention, batch.action.shape[-1])


def grad_cam(
    recognizer: Recognizer, pairs: Pairs, target: str | Sequence[str] | None = None
) -> Maps:
    """What supports an output: Grad-CAM on the last grid of the action branch.

    Selvaraju et al., "Grad-CAM", ICCV 2017, by captum: the grid's channels, weighted by the mean
    gradient of the output's logit, summed; negative sums count as 0. For a network without an
    action branch of its own it is the grid that its head reads.

    Args:
        recognizer: stays as it is; it sees the pairs as they are, not mirrored.
        pairs: N pairs.
        target: a class or an action unit, one for all or one for each pair; None takes the most
            probable class of each.

    Returns:
        float32 [N, s, s] over the part of the crop that the network sees, or the side it takes;
        each map stretched to [0, 1], all 0 where nothing supports the output.

    Raises:
        SettingsError: the recognizer has no such output, or reads no network's grid.
        MissingPart: captum is not installed.
    """
    with optional_part("captum", "explain"):
        from captum.attr import LayerGradCam

    outputs = (*recognizer.classes, *recognizer.units)
    if target is None:
        wanted = recognizer.predict(pairs).argmax(1).tolist()
    else:
        names = [target] * len(pairs) if isinstance(target, str) else list(target)
        if unknown := set(names) - set(outputs):
            raise SettingsError(
                f"has no output {', '.join(sorted(unknown))}",
                where="heat maps",
                hint=f"It has: {', '.join(outputs)}",
            )
        wanted = [outputs.index(name) for name in names]
    net = recognizer.net.eval()
    inner = net.explained
    if inner is None:
        raise SettingsError(
            "reads the movement itself, and no grid supports its outputs",
            where=recognizer.config["model"],
        )
    encoder = inner.action_encoder.seen if isinstance(inner, MIACNet) else None
    parts, done = [], 0
    with one_thread():
        for batch in batches(net, pairs, recognizer.size):
            cam = LayerGradCam(
                lambda action, position=batch.position: net(position, action), encoder or inner.head
            )
            found = cam.attribute(
                batch.action,
                target=wanted[done : done + len(batch.action)],
                attribute_to_layer_input=encoder is None,
                relu_attributions=True,
            )
            grid = (found[0] if isinstance(found, tuple) else found).detach()
            grid = grid.nan_to_num()  # a signed root has no slope at 0
            parts.append(_enlarged(grid, batch.action.shape[-1]))
            done += len(batch.action)
    maps = np.concatenate(parts)
    top = maps.max(axis=(1, 2), keepdims=True)
    stretched: Maps = np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)
    return stretched


def _enlarged(grid: Tensor, side: int) -> Maps:
    """[B, 1, gh, gw] to [B, side, side], bilinear."""
    large = functional.interpolate(grid.float(), size=(side, side), mode="bilinear")
    maps: Maps = large[:, 0].cpu().numpy()
    return maps
