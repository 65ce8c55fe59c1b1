"""A trunk that is not trained: its grid as features, computed once for all folds."""

from __future__ import annotations

import numpy as np
import torch

from ma2mi.clips.batches import make_batch
from ma2mi.clips.pairs import Pairs
from ma2mi.models.trunk import Trunk, flatten_grid
from ma2mi.training.ridge import Features, compress

BATCH = 32


@torch.no_grad()
def extract_features(
    trunk: Trunk, pairs: Pairs, *, size: int, device: torch.device | str = "cpu"
) -> Features:
    """Features of every pair and of its mirror image, without a label.

    Args:
        trunk: stays as it is.
        pairs: N onset-apex pairs.
        size: side of the network's input in px.
        device: where the trunk computes.

    Returns:
        [N, 2, D]: the flattened grid, signed square root, length 1 (see ``flatten_grid``),
        rotated into as few dimensions as there are rows (see ``compress``).
    """
    trunk = trunk.to(device).eval()
    views = []
    for mirror in (False, True):
        parts = []
        for start in range(0, len(pairs), BATCH):
            rows = np.arange(start, min(start + BATCH, len(pairs)))
            batch = make_batch(
                pairs,
                rows,
                size=size,
                side=trunk.input_side or size,
                action_input=trunk.action_input,
                mirror=mirror,
            ).to(device)
            grid = trunk.grid(batch.position, batch.action)
            parts.append(flatten_grid(grid.features).cpu().numpy())
        views.append(np.concatenate(parts))
    return compress(np.stack(views, axis=1))
