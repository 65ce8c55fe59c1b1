"""Excursions: stretches in which regions are away from where they rest, whatever their length.

Flow below a pixel loses what moves by several pixels, and what it adds up drifts. Landmarks in the
face's own frame (``motion.shape``) are coarse and stay: this is how ordinary, large and held
expressions are seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import AREAS, runs, smooth, time_iou

Floats = NDArray[np.float64]

STEP_S = 0.04  # of the grid: landmarks come 20 times a second or more often
SMOOTH_S = 0.4  # landmarks jitter from detection to detection; expressions last 0.5 s or more
FINE_S = 0.1  # the same where onset and offset are located
SLOW_S = 0.8  # what lasts longer than this through speech is no syllable
UNSEEN_S = 0.3  # farther than this from any landmarks nothing is known
REST_S = 20.0  # the rest position is the median over so long before and after
WINDOW_S = 1.0  # the noise is measured in windows of this length
QUIETEST = 0.1  # the noise floor is what the quietest tenth of them shows
LEAST_FLOOR_PX = (
    0.08  # jitter of the landmark net on a still face, smoothed (0.05 to 0.13 px if not)
)
HEAD_PX = 0.06
"""Error of a region's position for each degree that the head has turned away, px: 0.02 to 0.11 in
real turns of 6 to 17 degrees (``../shared/clips``, cap13_edit2.mp4 from 19 to 25 s)."""
LIP_SHARE = 0.02  # of the eye distance: a mouth this much wider open is less at rest
QUIET_SHARE = 0.3  # of the time: the mouth is as closed as it gets for so long
AWAY = 0.35  # of the peak: below it an excursion has ended
VALLEY = 0.45  # of the lower of two peaks: a valley below it parts them
TOGETHER = 0.5  # shared time (IoU) from which excursions of two areas are one expression
JAW = ("upper_lip", "lower_lip", "chin")  # what speech moves, and keeps open on average
FLANK_S = 0.16  # flow is averaged over so long at either end of a flank
STRONGEST = 3  # regions of an area whose displacements make up the height


@dataclass(frozen=True, slots=True, eq=False)
class Excursion:
    """One stretch away from rest.

    Args:
        areas: of ``block.AREAS`` that take part.
        onset_s, apex_s, offset_s: seconds; the apex is where it first has nearly its full size.
        height: displacement in multiples of the noise floor, mean of the strongest regions.
        height_px: largest displacement of a region, px of the crop.
        slow_height, slow_px: the same of what is left of lip corners, cheeks and nose when
            syllables are averaged out: an expression under speech.
        moving: float64 [R, 2], displacement of each region at the peak, multiples of its floor.
        px: float64 [R, 2], the same in px of the crop, of the regions of its areas; else 0.
        rise_s, fall_s: how long it takes from ``AWAY`` of the peak to 3/4 of it, and back.
        turned: how far the head is turned away from its rest at most, degrees.
        flow_share: how much of it flow shows, along the same way in the flanks, 1 is all; NaN if
            it was not measured.
        begun, lasts: whether it had begun when the record begins, and goes on when that ends.
    """

    areas: tuple[str, ...]
    onset_s: float
    apex_s: float
    offset_s: float
    height: float
    height_px: float
    slow_height: float
    slow_px: float
    moving: Floats
    px: Floats
    rise_s: float
    fall_s: float
    turned: float
    flow_share: float = np.nan
    begun: bool = False
    lasts: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        return self.onset_s, self.offset_s


@dataclass(frozen=True, slots=True, eq=False)
class Displacement:
    """Where each region is beside its rest, on an even grid.

    Args:
        times: [T] seconds.
        px: [T, R, 2], px of the crop, smoothed over ``SMOOTH_S``; 0 where the face was not seen.
        fine: likewise, smoothed over ``FINE_S``.
        floor: [T, R], noise floor in px an axis; larger where the head is turned away.
        turned: [T], degrees that the head is turned away from its rest.
    """

    times: Floats
    px: Floats
    fine: Floats
    floor: Floats
    turned: Floats

    @property
    def height(self) -> Floats:
        """[T, R], multiples of the floor."""
        return np.asarray(np.hypot(self.px[..., 0], self.px[..., 1]) / (np.sqrt(2) * self.floor))


def displacement(
    times_s: Floats,
    positions: Floats,
    turns: Floats,
    mouth: Floats,
    width: Floats,
    neutral_s: tuple[float, float] | None = None,
) -> Displacement:
    """How far each region is from its rest.

    Rest is the median position while the mouth is as closed as it gets; a second round
    leaves out the excursions that the first one shows.

    Args:
        times_s: [T], rising, of the landmarks.
        positions, turns, mouth, width: as ``motion.shape.Shape`` has them, [T, ...].
        neutral_s: a stretch known to be at rest, in seconds.
    """
    times = np.arange(times_s[0], times_s[-1] + 1e-9, STEP_S)
    columns = np.column_stack([positions.reshape(len(positions), -1), turns, mouth, width])
    even = np.stack([np.interp(times, times_s, column) for column in columns.T], axis=1)
    flat, fine = (
        np.stack([smooth(column, seconds / STEP_S) for column in even.T], axis=1)
        for seconds in (SMOOTH_S, FINE_S)
    )
    mouth, width = flat[:, -2], flat[:, -1]
    after = np.clip(np.searchsorted(times_s, times), 1, len(times_s) - 1)
    nearest = np.minimum(np.abs(times - times_s[after - 1]), np.abs(times - times_s[after]))
    seen = nearest <= UNSEEN_S
    # The mouth has a rest of its own, closed and narrow; brows rest at their median.
    unrest = mouth / LIP_SHARE + np.clip(width - np.quantile(width, 0.1), 0, None) / (4 * LIP_SHARE)
    quiet = seen & (unrest <= np.quantile(unrest[seen], QUIET_SHARE) + 0.5)
    if neutral_s is not None:
        named = seen & (times >= neutral_s[0]) & (times <= neutral_s[1])
        quiet = named if named.any() else quiet
    for _ in range(2):
        rest = _rest(times, flat[:, :-2], quiet)
        px, finer = (
            (one[:, :-5] - rest[:, :-3]).reshape(len(times), -1, 2) * seen[:, None, None]
            for one in (flat, fine)
        )
        turned = np.linalg.norm(flat[:, -5:-2] - rest[:, -3:], axis=1)
        floor = np.hypot(_noise_floor(px, quiet), HEAD_PX * turned[:, None])
        found = Displacement(times, px, finer, floor, turned)
        away = np.sort(found.height, axis=1)[:, -STRONGEST:].mean(axis=1)
        quiet = quiet & (away <= max(4.0, float(np.median(away[quiet]))))
    return found


def _rest(times: Floats, values: Floats, quiet: NDArray[np.bool_]) -> Floats:
    """[T, C]: the median of the quiet rows within ``REST_S``, on a coarse grid, interpolated."""
    knots = np.arange(times[0], times[-1] + REST_S / 4, REST_S / 4)
    least = max(1, round(0.3 / STEP_S))
    rows = []
    for knot in knots:
        near = quiet & (np.abs(times - knot) <= REST_S)
        rows.append(np.median(values[near if near.sum() >= least else quiet], axis=0))
    return np.stack([np.interp(times, knots, column) for column in np.array(rows).T], axis=1)


def _noise_floor(px: Floats, quiet: NDArray[np.bool_]) -> Floats:
    """[R]: the noise of each region in its quietest windows, px an axis."""
    length = min(max(1, round(WINDOW_S / STEP_S)), len(px))
    power = np.square(px).sum(axis=2)
    starts = range(0, len(px) - length + 1, max(1, length // 2))
    parts = [power[s : s + length][quiet[s : s + length]] for s in starts]
    windows = [part for part in parts if len(part) > length / 2] or [power[quiet]]
    # The median of the squared length of a Gaussian pair is 2 ln 2 variances.
    noise = [np.sqrt(np.median(part, axis=0) / (2 * np.log(2))) for part in windows]
    return np.asarray(np.maximum(np.quantile(noise, QUIETEST, axis=0), LEAST_FLOOR_PX))


def find_excursions(
    moved: Displacement, names: tuple[str, ...], *, least: float, least_px: float
) -> list[Excursion]:
    """Excursions of brows and lower face, by rising onset; those that go together are one.

    Args:
        moved: from ``displacement``.
        names: of the regions.
        least: height in multiples of the noise floor.
        least_px: height in px.
    """
    found: list[Excursion] = []
    for area, members in AREAS.items():
        indices = np.array([i for i, name in enumerate(names) if name in members], np.intp)
        if len(indices):
            found += _of_area(moved, area, indices, names, least, least_px)
    return _joined(sorted(found, key=lambda one: one.onset_s))


def _of_area(
    moved: Displacement,
    area: str,
    members: NDArray[np.intp],
    names: tuple[str, ...],
    least: float,
    least_px: float,
) -> list[Excursion]:
    height = np.sort(moved.height[:, members], axis=1)[:, -STRONGEST:].mean(axis=1)
    steady = np.array([i for i in members if names[i] not in JAW], np.intp)
    found = []
    for first, stop in _parted(height, least):
        top = first + int(height[first:stop].argmax())
        near = slice(max(top - 3, 0), top + 4)
        weights = np.zeros_like(moved.px[top])
        weights[members] = moved.px[near, members].mean(axis=0)
        weights[members] /= np.square(moved.floor[top, members])[:, None]
        size = np.hypot(*moved.px[top, members].T)
        gain = float((weights * moved.px[top]).sum())
        if gain <= 0 or size.max() < least_px:
            continue
        curve = np.einsum("trc,rc->t", moved.fine, weights) / gain
        onset, apex, offset, rise, fall = _edges(curve, first, top, stop)
        slow_height, slow_px = _slow(moved, steady, onset, offset)
        found.append(
            Excursion(
                (area,),
                float(moved.times[onset]),
                float(moved.times[apex]),
                float(moved.times[offset]),
                float(height[top]),
                float(size.max()),
                slow_height,
                slow_px,
                moved.px[top] / moved.floor[top][:, None],
                np.where(np.isin(np.arange(len(names)), members)[:, None], moved.px[top], 0.0),
                rise * STEP_S,
                fall * STEP_S,
                float(moved.turned[onset : offset + 1].max()),
                begun=onset == 0,
                lasts=offset == len(curve) - 1,
            )
        )
    return found


def _slow(
    moved: Displacement, members: NDArray[np.intp], onset: int, offset: int
) -> tuple[float, float]:
    """Height and px of the mean displacement over ``SLOW_S`` or the whole, where it is largest."""
    piece = moved.px[onset : offset + 1, members]
    length = min(max(1, round(SLOW_S / STEP_S)), len(piece))
    sums = np.cumsum(np.concatenate([np.zeros_like(piece[:1]), piece]), axis=0)
    size = np.linalg.norm((sums[length:] - sums[:-length]) / length, axis=2)  # [n, members]
    floor = moved.floor[onset : offset + 1, members][: len(size)]
    height = np.sort(size / (np.sqrt(2) * floor), axis=1)[:, -STRONGEST:].mean(axis=1)
    return float(height.max()), float(size.max())


def _parted(height: Floats, least: float) -> list[tuple[int, int]]:
    """[first, stop) of each peak of ``least`` or more, parted at valleys below ``VALLEY``."""
    pieces = [part for run in runs(height >= 0.4 * least) for part in _part(height, *run)]
    return [(first, stop) for first, stop in pieces if height[first:stop].max() >= least]


def _part(height: Floats, first: int, stop: int) -> list[tuple[int, int]]:
    """Split where it falls below ``VALLEY`` of the lower of the peaks on either side."""
    piece = height[first:stop]
    before = np.maximum.accumulate(piece)
    after = np.maximum.accumulate(piece[::-1])[::-1]
    depth = piece / np.minimum(before, after)
    at = int(depth.argmin())
    if depth[at] >= VALLEY or at in (0, len(piece) - 1):
        return [(first, stop)]
    return _part(height, first, first + at) + _part(height, first + at, stop)


def _edges(curve: Floats, first: int, top: int, stop: int) -> tuple[int, int, int, int, int]:
    """Onset, apex and offset, and how many rows its flanks take from ``AWAY`` to 3/4 and back."""
    peak = float(np.quantile(curve[first:stop], 0.9))
    apex = min(first + int(np.argmax(curve[first:stop] >= 0.9 * peak)), top)
    last = max(stop - 1 - int(np.argmax(curve[first:stop][::-1] >= 0.75 * peak)), apex)
    before, rise = _foot(curve[: apex + 1][::-1], peak)
    after, fall = _foot(curve[last:], peak)
    return apex - before, apex, last + after, rise, fall


def _foot(falling: Floats, peak: float) -> tuple[int, int]:
    """Steps from the top to where the flank has ended, or to the end where it does not fall; and
    its steps from 3/4 of the peak to ``AWAY``."""
    low = np.flatnonzero(falling <= AWAY * peak)
    if not len(low):
        return len(falling) - 1, 0
    high = np.flatnonzero(falling[: low[0] + 1] >= 0.75 * peak)
    start = int(high[-1]) if len(high) else 0
    steps = int(low[0]) - start
    # A flank that goes straight on from there reaches a tenth of its height so much later.
    foot = start + steps * (0.75 - 0.1) / (0.75 - AWAY)
    end = min(int(low[0]) + round(0.12 / STEP_S), len(falling) - 1)
    return int(np.clip(round(foot), low[0], end)), steps


def _joined(found: list[Excursion]) -> list[Excursion]:
    """Those of two areas that largely share their time become one."""
    whole: list[Excursion] = []
    for one in found:
        for index, other in enumerate(whole):
            if time_iou(one.interval, other.interval) > TOGETHER:
                best, less = sorted((one, other), key=lambda each: -each.height)
                whole[index] = replace(
                    best,
                    areas=(*best.areas, *less.areas),
                    onset_s=min(one.onset_s, other.onset_s),
                    apex_s=max(one.apex_s, other.apex_s),
                    px=one.px + other.px,
                    rise_s=min(one.rise_s, other.rise_s),
                    fall_s=min(one.fall_s, other.fall_s),
                    offset_s=max(one.offset_s, other.offset_s),
                    height_px=max(one.height_px, other.height_px),
                    begun=one.begun or other.begun,
                    lasts=one.lasts or other.lasts,
                )
                break
        else:
            whole.append(one)
    return whole


def with_flow(one: Excursion, times: Floats, displacements: Floats) -> Excursion:
    """The excursion with the share of it that flow shows, in the flank that shows more.

    Args:
        one: an excursion.
        times: [T] seconds of the flow's displacements.
        displacements: [T, R, 2], by flow, px of the crop.
    """
    way = one.px / max(float(np.square(one.px).sum()), 1e-9)
    flanks = (
        (one.onset_s, max(one.apex_s, one.onset_s + FLANK_S)),
        (one.offset_s, one.offset_s - 2.5 * max(one.fall_s, STEP_S)),
    )
    shares = []
    for rest_s, away_s in flanks:
        rest, away = (np.abs(times - at_s) <= FLANK_S / 2 for at_s in (rest_s, away_s))
        if rest.any() and away.any():
            moved = displacements[away].mean(axis=0) - displacements[rest].mean(axis=0)
            shares.append(float((way * moved).sum()))
    return replace(one, flow_share=max(shares, default=np.nan))
