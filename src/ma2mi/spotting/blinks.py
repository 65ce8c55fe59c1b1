"""Blinks, read off the opening of the eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import LIDS, _Block, _runs
from ma2mi.spotting.settings import SpottingSettings

Floats = NDArray[np.float64]


def _blinks(
    block: _Block, usual: float, settings: SpottingSettings
) -> list[tuple[float, float, float, float]]:
    """Onset, apex, offset in seconds and how far the eyes closed, of each blink."""
    share = block.eye / max(usual, 1e-6)
    found = []
    for first, stop in _runs(share < settings.blink_share):
        if (stop - first) * block.step_s > settings.blink_s:
            continue
        apex = first + int(share[first:stop].argmin())
        depth = 1 - share[apex]
        rest = 1 - 0.15 * depth
        while first > 0 and share[first - 1] < rest:
            first -= 1
        while stop < len(share) and share[stop] < rest:
            stop += 1
        ends = block.times[max(first - 1, 0)], block.times[min(stop, len(share) - 1)]
        found.append(
            (float(ends[0]), float(block.times[apex]), float(ends[1]), float(np.clip(depth, 0, 1)))
        )
    return found


def _without_blinks(
    places: Floats, eye: Floats, names: tuple[str, ...], usual: float, settings: SpottingSettings
) -> Floats:
    """The places with those of the lids bridged over each blink: flow sees no closed eye."""
    lids = [index for index, name in enumerate(names) if name in LIDS]
    if not lids or not np.isfinite(eye).all():
        return places
    closed = eye / max(usual, 1e-6) < (1 + settings.blink_share) / 2
    reach = 2
    closed = np.convolve(closed, np.ones(2 * reach + 1), mode="same") > 0
    seen = np.flatnonzero(~closed)
    if not closed.any() or len(seen) < 2:
        return places
    bridged = places.copy()
    rows = np.arange(len(places))
    for index in lids:
        for axis in (0, 1):
            bridged[:, index, axis] = np.interp(rows, seen, places[seen, index, axis])
    return bridged
