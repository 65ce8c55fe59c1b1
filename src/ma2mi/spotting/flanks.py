"""Flanks of held movements: steps of flow that stand out of the noise, with begin and end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RAMPS_S = (0.2, 0.4, 0.8)
"""Durations of a flank that are searched for: onset phases of posed and spontaneous smiles take 0.2
to 0.7 s (Schmidt et al., J. Nonverbal Behavior 30, 2006)."""
PLATEAU_S = 0.3  # rest on either side of a flank that its height is measured over
FASTEST_STEP_S = 1 / 60  # of the grid: faster cameras are averaged
QUIETEST = 0.1  # the noise floor is what the quietest tenth of the seconds shows
QUIETEST_TO_TYPICAL = 1.2  # see ``noise_floor``
LEAST_FLOOR_PX = 0.01
FULL = 0.85  # of the largest step over all ramps: the shortest ramp that shows so much is its own
STRONGEST = 3  # regions of an area whose steps make up the height
FLANK_TIMES = 2.4  # the time of a flank over that from 1/4 to 3/4 of its height


@dataclass(frozen=True, slots=True, eq=False)
class Flank:
    """One step of an area: its middle row, its length in rows, its height as an SNR and in px."""

    row: int
    ramp: int  # rows
    height: float
    px: float
    step: Floats  # [members, 2], px
    floor: Floats  # [members]


def region_steps(level: Floats, ramp: int, plateau: int) -> Floats:
    """[T, R, 2]: mean of the plateau after a ramp around each row, less that before; 0 where
    either is not wholly there."""
    sums = np.cumsum(np.concatenate([np.zeros_like(level[:1]), level]), axis=0)
    plateau = max(plateau, 2)
    means = (sums[plateau:] - sums[:-plateau]) / plateau  # row i: of [i, i + plateau)
    half = max(1, ramp // 2)
    inner = means[plateau + 2 * half :] - means[: -plateau - 2 * half]
    steps = np.zeros_like(level)
    first = plateau + half  # rows before it are missing
    steps[first : first + len(inner)] = inner
    return steps


def noise_floor(steps: Floats, step_s: float) -> Floats:
    """[R]: what the quietest seconds show, px an axis."""
    length = max(1, round(1.0 / step_s))
    count = max(1, len(steps) // length)
    power = np.square(steps).sum(axis=2)[: count * length]
    power_s = np.stack([np.median(part, axis=0) for part in np.array_split(power, count)])
    # The median of the squared length of a Gaussian pair is 2 ln 2 variances.
    quiet = np.quantile(np.sqrt(power_s / (2 * np.log(2))), QUIETEST, axis=0)
    return np.asarray(np.maximum(QUIETEST_TO_TYPICAL * quiet, LEAST_FLOOR_PX))


def find_flanks(
    steps: Floats, noise_floors: Floats, step_s: float, least: float, least_px: float
) -> list[Flank]:
    """Steps [ramps, T, members, 2] that stand out of the floor, by rising row.

    The highest first takes the time in which each ramp still responds to it.
    """
    size = np.linalg.norm(steps, axis=3)
    strongest = np.sort(size / noise_floors, axis=2)[..., -STRONGEST:]
    height = np.sqrt(np.square(strongest).mean(axis=2) / 2)  # [ramps, T]
    px = size.max(axis=2)
    found: list[Flank] = []
    free = np.ones(height.shape, bool)
    for row in np.argsort(-height.max(axis=0), kind="stable"):
        highest = int(height[:, row].argmax())
        if height[highest, row] < least:
            break
        if not free[highest, row]:
            continue
        full = np.flatnonzero(px[:, row] >= FULL * px[:, row].max())
        ramp = int(full[0])
        for one, seconds in enumerate(RAMPS_S):
            around = round(((seconds + RAMPS_S[ramp]) / 2 + PLATEAU_S) / step_s)
            free[one, max(0, row - around) : row + around + 1] = False
        if px[ramp, row] >= least_px and height[ramp, row] >= least:
            rows = max(2, round(RAMPS_S[ramp] / step_s))
            found.append(
                Flank(
                    int(row),
                    rows,
                    float(height[ramp, row]),
                    float(px[ramp, row]),
                    steps[ramp, row],
                    noise_floors[ramp, row],
                )
            )
    return sorted(found, key=lambda one: one.row)


def level_curve(flank: Flank, level: Floats, step_s: float) -> Floats:
    """[T]: the level [T, members, 2] along a flank's step, 0 before it and 1 after."""
    weights = flank.step / np.square(flank.floor)[:, None]
    curve = np.einsum("trc,rc->t", level, weights) / float((weights * flank.step).sum())
    stop = flank.row - flank.ramp // 2
    start = max(0, stop - max(2, round(PLATEAU_S / step_s)))
    return np.asarray(curve - curve[start : max(stop, start + 1)].mean())


def flank_times(flank: Flank, level: Floats, times: Floats, step_s: float) -> tuple[float, float]:
    """Begin and end of a flank, seconds.

    From a quarter to three quarters of the height it takes a half of its time if it is straight, a
    third if it is half a wave of a cosine: ``FLANK_TIMES`` lies between.
    """
    curve = level_curve(flank, level, step_s)
    first = max(0, flank.row - flank.ramp)
    piece = curve[first : flank.row + flank.ramp + 1]
    above = np.flatnonzero(piece >= 0.5)
    middle = int(above[0]) if len(above) else len(piece) // 2
    quarter = middle - _crossing(piece[: middle + 1][::-1] - 0.25)
    rest = middle + _crossing(0.75 - piece[middle:])
    radius = FLANK_TIMES / 2 * (rest - quarter)
    centre = (rest + quarter) / 2
    at = np.clip([centre - radius, centre + radius], 0, len(piece) - 1) + first
    begin, end = np.interp(at, np.arange(len(times)), times)
    return float(begin), float(end)


def _crossing(falling: Floats) -> float:
    """Steps, not whole ones, until a curve is no longer above 0; its length if it always is."""
    below = np.flatnonzero(falling <= 0)
    if not len(below):
        return float(len(falling) - 1)
    at = int(below[0])
    if at == 0:
        return 0.0
    before, there = float(falling[at - 1]), float(falling[at])
    return at - 1 + before / (before - there)
