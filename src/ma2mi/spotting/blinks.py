"""Blinks, found in the opening of the eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import LIDS, runs
from ma2mi.spotting.settings import SpottingSettings

Floats = NDArray[np.float64]

OPEN_AGAIN = 0.15  # of its depth: a lid this near to its typical opening has ended the blink


@dataclass(frozen=True, slots=True)
class Blink:
    """One blink, in seconds.

    Args:
        onset_s, apex_s, offset_s: when the lids begin to close, are closed furthest, are open.
        depth: how far they close, in [0, 1].
    """

    onset_s: float
    apex_s: float
    offset_s: float
    depth: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.onset_s, self.offset_s

    @property
    def times_s(self) -> tuple[float, float, float]:
        """Onset, apex and offset."""
        return self.onset_s, self.apex_s, self.offset_s


def find_blinks(
    times: Floats, eye: Floats, typical: float, settings: SpottingSettings
) -> list[Blink]:
    """The blinks of an even series; no two overlap, and none lasts longer than ``blink_s``.

    Args:
        times: [T] seconds, even.
        eye: [T], opening of the eyes.
        typical: its median; a value that is not finite or above 0 means no blinks.
        settings: ``blink_share`` and ``blink_s``.
    """
    if not np.isfinite(typical) or typical <= 0:
        return []
    share = eye / typical
    step_s = float(times[1] - times[0]) if len(times) > 1 else 1.0
    longest = max(1, int(settings.blink_s / step_s + 1e-6))
    found: list[Blink] = []
    free = 0  # first row that no blink has taken
    for first, stop in runs(share < settings.blink_share):
        if stop - first > longest:
            continue
        apex = first + int(share[first:stop].argmin())
        rest = 1 - OPEN_AGAIN * (1 - share[apex])
        # The lids' flanks, never beyond the longest blink, the last blink, or a lid that closes
        # anew.
        low, high = max(free, stop - longest - 1, 0), min(first + longest, len(share) - 1)
        while first > low and share[first - 1] < rest and share[first - 1] >= share[first]:
            first -= 1
        while stop < high and share[stop] < rest and share[stop] >= share[stop - 1]:
            stop += 1
        onset = max(first - 1, low)
        offset = min(stop, high, onset + longest)
        depth = float(np.clip(1 - share[apex], 0, 1))
        found.append(Blink(float(times[onset]), float(times[apex]), float(times[offset]), depth))
        free = offset
    return found


def bridge_lids(
    displacements: Floats,
    eye: Floats,
    names: tuple[str, ...],
    typical: float,
    settings: SpottingSettings,
) -> Floats:
    """Displacements [T, R, 2] with those of the lids bridged over each blink, where flow sees no
    eye."""
    lids = [index for index, name in enumerate(names) if name in LIDS]
    if not lids or not np.isfinite(eye).all() or not np.isfinite(typical) or typical <= 0:
        return displacements
    closed = eye / typical < (1 + settings.blink_share) / 2
    radius = 2
    closed = np.convolve(closed, np.ones(2 * radius + 1), mode="same") > 0
    seen = np.flatnonzero(~closed)
    if not closed.any() or len(seen) < 2:
        return displacements
    bridged = displacements.copy()
    rows = np.arange(len(displacements))
    for index in lids:
        for axis in (0, 1):
            bridged[:, index, axis] = np.interp(rows, seen, displacements[seen, index, axis])
    return bridged
