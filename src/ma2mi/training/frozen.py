"""Features of a network that is not trained, computed once for all folds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ma2mi.clips.pairs import Pairs
from ma2mi.models.backbone import Backbone, flatten_grid
from ma2mi.training.outputs import calibrate
from ma2mi.training.recognizer import Recognizer
from ma2mi.training.ridge import Features, compress
from ma2mi.training.views import VIEWS, batches

#: Share of a recognizer's features (of their squared length, so of the ridge's kernel) that is
#: its outputs; the rest is the grid. Ours: half and half. On synthetic pairs with a fifth of the
#: labels wrong (16 folds by subject, twice) that gave UF1 0.70 and 0.74, the grid alone 0.69 and
#: 0.72, random weights 0.64 and 0.65.
OUTPUT_SHARE = 0.5
#: Of that, the classes' part; the units have the rest.
CLASSES_SHARE = 0.6


@torch.no_grad()
def extract_features(
    backbone: Backbone, pairs: Pairs, *, size: int, device: torch.device | str = "cpu"
) -> Features:
    """Features of every pair and of its mirror image, without a label.

    Args:
        backbone: stays as it is.
        pairs: N onset-apex pairs.
        size: side of the network's input in px.
        device: where the backbone computes.

    Returns:
        [N, 2 * M, D] of M instances: the flattened grid, signed square root, length 1 (see
        ``flatten_grid``), rotated into as few dimensions as there are rows (see ``compress``).
    """
    backbone = backbone.to(device).eval()
    return _by_view(backbone, pairs, size, flatten_grid)


@torch.no_grad()
def recognizer_features(
    recognizer: Recognizer, pairs: Pairs, *, share: float = OUTPUT_SHARE
) -> Features:
    """Features of every pair and of its mirror image: the grid, and what the network outputs.

    Three blocks side by side, each bounded, so that a clip's features depend on no other clip:
    the grid as in :func:`extract_features`; the calibrated probabilities of the classes less
    chance, of length 1 where it is certain and 0 where it does not know; and those of the units,
    of length 1. With an untrained recognizer the same rule is the control.

    Args:
        recognizer: stays as it is.
        pairs: N onset-apex pairs.
        share: of the squared length that goes to classes and units.

    Returns:
        [N, 2 * M, D] of M instances, see ``compress``.
    """
    net = recognizer.net
    chance = 1 / len(recognizer.classes)
    certain = (1 - chance) ** 0.5

    def joined(grid: Tensor) -> Tensor:
        output = calibrate(net.head(grid), recognizer.settings)
        return torch.cat(
            [
                (1 - share) ** 0.5 * flatten_grid(grid),
                (share * CLASSES_SHARE) ** 0.5 * (output.classes.softmax(1) - chance) / certain,
                (share * (1 - CLASSES_SHARE)) ** 0.5 * normalize(output.units.sigmoid()),
            ],
            dim=1,
        )

    return _by_view(net, pairs, recognizer.size, joined)


def _by_view(
    net: Backbone, pairs: Pairs, size: int, features: Callable[[Tensor], Tensor]
) -> Features:
    """Features of the grid [B, width, gh, gw] -> [B, D], for every instance in both views."""
    views = [
        np.concatenate(
            [
                features(net.grid(batch.position, batch.action).features).cpu().numpy()
                for batch in batches(net, one, size, view)
            ]
        )
        for one in pairs.instances
        for view in VIEWS
    ]
    return compress(np.stack(views, axis=1))
