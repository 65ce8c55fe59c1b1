"""Held movements too small for landmarks: an onset phase and the opposite offset phase of flow.

A movement that is held (a frown, a faint smile) has no shape of a pulse, and flow drifts too much
over seconds for its level to be reliable. Its two flanks are brief, so they stand out of the noise
as micro-expressions do: two steps of the same regions, the second undoing the first. What flow
shows between them, landmarks must show, too, averaged over the plateau: a head that turns away and
back moves as an expression would, in flow alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import AREAS, TURN_FREE, TURN_PX, time_iou, turned

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
SHORTEST_S = 0.5  # from flank to flank: what is briefer is a pulse
LONGEST_S = 12.0
STRONGEST = 3  # regions of an area whose steps make up the height
OPPOSITE = 0.85  # cosine between onset and reversed offset, in multiples of the noise floor
RATIO = 2.0  # neither is more than so many times the other
HELD = 0.35  # of the step that is left through most of the plateau
MOST = 0.15  # quantile of the plateau that must be at least that
UNDONE = 0.5  # of the step that may be left after the offset
LANDMARK_SHARE = 0.3
"""Of the step that landmarks show between the flanks: on rendered heads 0.3 to 1.6 in 9 of 10 held
expressions, and less in 2 of 3 pairs of steps that are none (``scripts/learn_spotting.py``'s
videos)."""
BESIDE_S = 1.5  # landmarks before the onset and after the offset that the plateau is compared with
LEAST_DETECTIONS = 3
TOGETHER = 0.5  # shared time (IoU) from which holds of two areas are one expression
FLANK_TIMES = 2.4  # the time of a flank over that from 1/4 to 3/4 of its height
STAYS_S = 1.0  # a step whose level is still held so long after stays, for now


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """A held movement, seen by its flanks.

    Args:
        areas: of ``block.AREAS`` that take part.
        onset_s, apex_s, held_s, offset_s: seconds; the plateau is from the apex to ``held_s``.
        height: the lesser flank in multiples of the noise floor.
        height_px: the same in px of the crop, of the region that moves most.
        moving: [R, 2], mean of both flanks in multiples of the noise floor, 0 outside the areas.
        landmark_share: how much of it landmarks show, along the same direction, 1 is all.
        turned: how far the head turns from flank to flank, degrees.
    """

    areas: tuple[str, ...]
    onset_s: float
    apex_s: float
    held_s: float
    offset_s: float
    height: float
    height_px: float
    moving: Floats
    landmark_share: float
    turned: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.onset_s, self.offset_s


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A flank whose level stays to the end of what is known.

    Args:
        area: of ``block.AREAS``.
        onset_s, apex_s: begin and end of the flank, seconds.
        height_px: of the region that moves most.
        left: share of it that is left since, 1 is all.
    """

    area: str
    onset_s: float
    apex_s: float
    height_px: float
    left: float


@dataclass(frozen=True, slots=True, eq=False)
class _Flank:
    row: int
    ramp: int  # rows
    height: float
    px: float
    step: Floats  # [members, 2], px
    floor: Floats  # [members]


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Where landmarks have the regions, in the face's own frame.

    Args:
        times_s: [L], rising.
        positions: [L, R, 2], px of the crop.
        turns: [L, 3], degrees.
    """

    times_s: Floats
    positions: Floats
    turns: Floats


def find_holds(
    times_s: Floats,
    displacements: Floats,
    names: tuple[str, ...],
    landmarks: Landmarks,
    *,
    least: float,
    least_px: float,
) -> tuple[list[Hold], list[Step]]:
    """Held movements by rising onset, and flanks that nothing has undone yet.

    Args:
        times_s: [T], rising.
        displacements: [T, R, 2], displacements by flow, px of the crop.
        names: of the regions.
        landmarks: of the same stretch.
        least: height in multiples of the noise floor.
        least_px: height in px.
    """
    step_s = max(float(np.median(np.diff(times_s))), FASTEST_STEP_S)
    times = np.arange(times_s[0], times_s[-1] + 1e-9, step_s)
    if len(times) < round((RAMPS_S[-1] + 2 * PLATEAU_S) / step_s) + 2:
        return [], []
    flat = displacements.reshape(len(displacements), -1)
    even = np.stack([np.interp(times, times_s, column) for column in flat.T], axis=1)
    level = even.reshape(len(times), -1, 2)
    turns = np.stack(
        [np.interp(times, landmarks.times_s, column) for column in landmarks.turns.T], axis=1
    )
    plateau = round(PLATEAU_S / step_s)
    steps = np.stack([_steps(level, round(ramp / step_s), plateau) for ramp in RAMPS_S])
    turning = np.stack([turned(turns, round((ramp + PLATEAU_S) / 2 / step_s)) for ramp in RAMPS_S])
    noise_floors = np.hypot(
        np.stack([_floor(one, step_s) for one in steps])[:, None],
        TURN_PX * np.maximum(0.0, turning - TURN_FREE)[..., None],
    )  # [ramps, T, R]
    found, open_steps = [], []
    for area, members in AREAS.items():
        own = np.array([i for i, name in enumerate(names) if name in members], np.intp)
        if not len(own):
            continue
        flanks = _flanks(steps[:, :, own], noise_floors[..., own], step_s, least, least_px)
        pairs, left = _paired(flanks, level[:, own], step_s)
        for first, second in pairs:
            hold = _hold(first, second, area, own, times, level, turns, landmarks)
            if hold is not None:
                found.append(hold)
        open_steps += [
            step
            for one in left
            if (step := _staying(one, area, own, times, level, landmarks)) is not None
        ]
    return _joined(sorted(found, key=lambda one: one.onset_s)), open_steps


def _steps(level: Floats, ramp: int, plateau: int) -> Floats:
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


def _floor(steps: Floats, step_s: float) -> Floats:
    """[R]: what the quietest seconds show, px an axis."""
    length = max(1, round(1.0 / step_s))
    count = max(1, len(steps) // length)
    power = np.square(steps).sum(axis=2)[: count * length]
    power_s = np.stack([np.median(part, axis=0) for part in np.array_split(power, count)])
    # The median of the squared length of a Gaussian pair is 2 ln 2 variances.
    quiet = np.quantile(np.sqrt(power_s / (2 * np.log(2))), QUIETEST, axis=0)
    return np.asarray(np.maximum(QUIETEST_TO_TYPICAL * quiet, LEAST_FLOOR_PX))


def _flanks(
    steps: Floats, noise_floors: Floats, step_s: float, least: float, least_px: float
) -> list[_Flank]:
    """Steps [ramps, T, members, 2] that stand out of the floor, by rising row.

    The highest first takes the time in which each ramp still responds to it.
    """
    size = np.linalg.norm(steps, axis=3)
    strongest = np.sort(size / noise_floors, axis=2)[..., -STRONGEST:]
    height = np.sqrt(np.square(strongest).mean(axis=2) / 2)  # [ramps, T]
    px = size.max(axis=2)
    found: list[_Flank] = []
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
                _Flank(
                    int(row),
                    rows,
                    float(height[ramp, row]),
                    float(px[ramp, row]),
                    steps[ramp, row],
                    noise_floors[ramp, row],
                )
            )
    return sorted(found, key=lambda one: one.row)


def _paired(
    flanks: Sequence[_Flank], level: Floats, step_s: float
) -> tuple[list[tuple[_Flank, _Flank]], list[_Flank]]:
    """Onsets with the offsets that undo them, the highest first, and the flanks that are left."""
    possible = [
        (min(first.height, second.height), i, j)
        for i, first in enumerate(flanks)
        for j, second in enumerate(flanks[i + 1 :], i + 1)
        if SHORTEST_S <= (second.row - first.row) * step_s <= LONGEST_S
        and _undoes(first, second, level, step_s)
    ]
    pairs: list[tuple[_Flank, _Flank]] = []
    used: set[int] = set()
    for _, i, j in sorted(possible, reverse=True):
        if not used & {i, j}:
            used |= {i, j}
            pairs.append((flanks[i], flanks[j]))
    return pairs, [one for i, one in enumerate(flanks) if i not in used]


def _undoes(first: _Flank, second: _Flank, level: Floats, step_s: float) -> bool:
    one, other = first.step / first.floor[:, None], -second.step / second.floor[:, None]
    sizes = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if float((one * other).sum()) < OPPOSITE * sizes[0] * sizes[1]:
        return False
    if not 1 / RATIO <= sizes[0] / sizes[1] <= RATIO:
        return False
    curve = _curve(first, level, step_s)
    plateau = curve[first.row + first.ramp // 2 : second.row - second.ramp // 2]
    after = second.row + second.ramp // 2
    back = curve[after : after + max(2, round(PLATEAU_S / step_s))]
    return bool(
        len(plateau)
        and len(back)
        and np.quantile(plateau, MOST) >= HELD
        and abs(back.mean()) <= UNDONE
    )


def _curve(flank: _Flank, level: Floats, step_s: float) -> Floats:
    """[T]: the level [T, members, 2] along a flank's step, 0 before it and 1 after."""
    weights = flank.step / np.square(flank.floor)[:, None]
    curve = np.einsum("trc,rc->t", level, weights) / float((weights * flank.step).sum())
    stop = flank.row - flank.ramp // 2
    start = max(0, stop - max(2, round(PLATEAU_S / step_s)))
    return np.asarray(curve - curve[start : max(stop, start + 1)].mean())


def _hold(
    first: _Flank,
    second: _Flank,
    area: str,
    own: NDArray[np.intp],
    times: Floats,
    level: Floats,
    turns: Floats,
    landmarks: Landmarks,
) -> Hold | None:
    """The held movement, if landmarks agree that it is one."""
    step_s = float(times[1] - times[0])
    onset_s, apex_s = _feet(first, level[:, own], times, step_s)
    held_s, offset_s = _feet(second, level[:, own], times, step_s)
    moving, px = (np.zeros((level.shape[1], 2)) for _ in range(2))
    px[own] = (first.step - second.step) / 2
    moving[own] = px[own] / np.sqrt(first.floor * second.floor)[:, None]
    inside = (landmarks.times_s >= apex_s) & (landmarks.times_s <= max(held_s, apex_s))
    beside = _beside(landmarks.times_s, onset_s, offset_s)
    share = _landmark_share(landmarks, inside, beside, px)
    if not share >= LANDMARK_SHARE or not _leaves_rest(landmarks, inside, beside, px):
        return None
    rows = slice(first.row, second.row + 1)
    return Hold(
        (area,),
        onset_s,
        apex_s,
        max(held_s, apex_s),
        offset_s,
        min(first.height, second.height),
        min(first.px, second.px),
        moving,
        share,
        float(np.linalg.norm(np.ptp(turns[rows], axis=0))),
    )


def _staying(
    flank: _Flank,
    area: str,
    own: NDArray[np.intp],
    times: Floats,
    level: Floats,
    landmarks: Landmarks,
) -> Step | None:
    """The flank if what it brought is there to the end, by flow and by landmarks."""
    step_s = float(times[1] - times[0])
    after = flank.row + flank.ramp // 2
    rest = _curve(flank, level[:, own], step_s)[after:]
    soon = rest[: round(STAYS_S / step_s)]
    if len(rest) * step_s < STAYS_S or min(np.quantile(x, MOST) for x in (soon, rest)) < HELD:
        return None
    onset_s, apex_s = _feet(flank, level[:, own], times, step_s)
    px = np.zeros((level.shape[1], 2))
    px[own] = flank.step
    beside = _beside(landmarks.times_s, onset_s, np.inf)
    if not _landmark_share(landmarks, landmarks.times_s >= apex_s, beside, px) >= LANDMARK_SHARE:
        return None
    return Step(area, onset_s, apex_s, flank.px, float(np.median(rest)))


def _feet(flank: _Flank, level: Floats, times: Floats, step_s: float) -> tuple[float, float]:
    """Begin and end of a flank, seconds.

    From a quarter to three quarters of the height it takes a half of its time if it is straight, a
    third if it is half a wave of a cosine: ``FLANK_TIMES`` lies between.
    """
    curve = _curve(flank, level, step_s)
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


def _beside(times_s: Floats, onset_s: float, offset_s: float) -> NDArray[np.bool_]:
    before = (times_s < onset_s) & (times_s >= onset_s - BESIDE_S)
    after = (times_s > offset_s) & (times_s <= offset_s + BESIDE_S)
    return np.asarray(before | after)


def _landmark_share(
    landmarks: Landmarks, inside: NDArray[np.bool_], beside: NDArray[np.bool_], px: Floats
) -> float:
    """Of a displacement [R, 2]; NaN with fewer than ``LEAST_DETECTIONS`` detections."""
    if inside.sum() < LEAST_DETECTIONS or beside.sum() < LEAST_DETECTIONS:
        return np.nan
    moved = landmarks.positions[inside].mean(axis=0) - landmarks.positions[beside].mean(axis=0)
    return float((px * moved).sum() / np.square(px).sum())


def _leaves_rest(
    landmarks: Landmarks, inside: NDArray[np.bool_], beside: NDArray[np.bool_], px: Floats
) -> bool:
    """Whether the face is farther from its median position between the flanks than beside them: the
    rest between two expressions has two flanks as well."""
    home = np.median(landmarks.positions, axis=0)
    away, beside_px = (
        float((px * (landmarks.positions[rows].mean(axis=0) - home)).sum())
        for rows in (inside, beside)
    )
    return away > abs(beside_px)


def _joined(found: Sequence[Hold]) -> list[Hold]:
    """Those of two areas that largely share their time become one."""
    whole: list[Hold] = []
    for one in found:
        for index, other in enumerate(whole):
            if time_iou(one.interval, other.interval) > TOGETHER:
                best, less = sorted((one, other), key=lambda each: -each.height)
                whole[index] = replace(
                    best,
                    areas=tuple(dict.fromkeys((*best.areas, *less.areas))),
                    onset_s=min(one.onset_s, other.onset_s),
                    apex_s=max(one.apex_s, other.apex_s),
                    held_s=max(one.held_s, other.held_s),
                    offset_s=max(one.offset_s, other.offset_s),
                    height_px=max(one.height_px, other.height_px),
                    moving=one.moving + other.moving,
                )
                break
        else:
            whole.append(one)
    return whole
