"""Logits of a network for pairs and their mirror images, computed on one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ma2mi.models.backbone import Backbone

if TYPE_CHECKING:
    from ma2mi.clips.batches import Batch
    from ma2mi.clips.pairs import Pairs

View = Literal["as-is", "mirrored"]
VIEWS: tuple[View, ...] = ("as-is", "mirrored")
BATCH = 32


class Reads(Protocol):
    """What says how it takes pairs; see :class:`ma2mi.models.backbone.Backbone`."""

    @property
    def input_side(self) -> int | None: ...
    @property
    def scales_itself(self) -> bool: ...
    @property
    def action_input(self) -> str: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...


def batches(net: Reads, pairs: Pairs, size: int, view: View = "as-is") -> Iterator[Batch]:
    """All pairs in their order, as the network takes them, on its device."""
    # Imported here: weights are loaded without cv2, av and numba, sooner.
    from ma2mi.clips.batches import make_batch

    device = next((weights.device for weights in net.parameters()), torch.device("cpu"))
    for start in range(0, len(pairs), BATCH):
        yield make_batch(
            pairs,
            np.arange(start, min(start + BATCH, len(pairs))),
            size=size,
            side=None if net.scales_itself else net.input_side or size,
            action_input=net.action_input,
            mirror=view == "mirrored",
        ).to(device)


@torch.no_grad()
def compute_logits(net: Backbone, pairs: Pairs, size: int, views: Sequence[View] = VIEWS) -> Tensor:
    """Logits, float64 [views, N, outputs] on the CPU; computed on one thread.

    Args:
        net: is put into evaluation mode.
        pairs: N, at least one.
        size: side of the network's input in px.
        views: which views of each pair.
    """
    net.eval()
    with one_thread():
        logits = [
            torch.cat([net(b.position, b.action) for b in batches(net, pairs, size, view)])
            for view in views
        ]
    return torch.stack(logits).double().cpu()


#: torch has one random state and one number of threads a process: folds that run as threads
#: (backend "threading") take turns, or their results would depend on each other.
_TURN = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, the same bytes on every machine of a kind, then as before."""
    with _TURN:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
