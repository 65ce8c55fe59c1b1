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
from ma2mi.spotting.flanks import (
    FASTEST_STEP_S,
    PLATEAU_S,
    RAMPS_S,
    Flank,
    find_flanks,
    flank_times,
    level_curve,
    noise_floor,
    region_steps,
)

Floats = NDArray[np.float64]

SHORTEST_S = 0.5  # from flank to flank: what is briefer is a pulse
LONGEST_S = 12.0
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
    steps = np.stack([region_steps(level, round(ramp / step_s), plateau) for ramp in RAMPS_S])
    turning = np.stack([turned(turns, round((ramp + PLATEAU_S) / 2 / step_s)) for ramp in RAMPS_S])
    noise_floors = np.hypot(
        np.stack([noise_floor(one, step_s) for one in steps])[:, None],
        TURN_PX * np.maximum(0.0, turning - TURN_FREE)[..., None],
    )  # [ramps, T, R]
    found, open_steps = [], []
    for area, members in AREAS.items():
        own = np.array([i for i, name in enumerate(names) if name in members], np.intp)
        if not len(own):
            continue
        flanks = find_flanks(steps[:, :, own], noise_floors[..., own], step_s, least, least_px)
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


def _paired(
    flanks: Sequence[Flank], level: Floats, step_s: float
) -> tuple[list[tuple[Flank, Flank]], list[Flank]]:
    """Onsets with the offsets that undo them, the highest first, and the flanks that are left."""
    possible = [
        (min(first.height, second.height), i, j)
        for i, first in enumerate(flanks)
        for j, second in enumerate(flanks[i + 1 :], i + 1)
        if SHORTEST_S <= (second.row - first.row) * step_s <= LONGEST_S
        and _undoes(first, second, level, step_s)
    ]
    pairs: list[tuple[Flank, Flank]] = []
    used: set[int] = set()
    for _, i, j in sorted(possible, reverse=True):
        if not used & {i, j}:
            used |= {i, j}
            pairs.append((flanks[i], flanks[j]))
    return pairs, [one for i, one in enumerate(flanks) if i not in used]


def _undoes(first: Flank, second: Flank, level: Floats, step_s: float) -> bool:
    one, other = first.step / first.floor[:, None], -second.step / second.floor[:, None]
    sizes = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if float((one * other).sum()) < OPPOSITE * sizes[0] * sizes[1]:
        return False
    if not 1 / RATIO <= sizes[0] / sizes[1] <= RATIO:
        return False
    curve = level_curve(first, level, step_s)
    plateau = curve[first.row + first.ramp // 2 : second.row - second.ramp // 2]
    after = second.row + second.ramp // 2
    back = curve[after : after + max(2, round(PLATEAU_S / step_s))]
    return bool(
        len(plateau)
        and len(back)
        and np.quantile(plateau, MOST) >= HELD
        and abs(back.mean()) <= UNDONE
    )


def _hold(
    first: Flank,
    second: Flank,
    area: str,
    own: NDArray[np.intp],
    times: Floats,
    level: Floats,
    turns: Floats,
    landmarks: Landmarks,
) -> Hold | None:
    """The held movement, if landmarks agree that it is one."""
    step_s = float(times[1] - times[0])
    onset_s, apex_s = flank_times(first, level[:, own], times, step_s)
    held_s, offset_s = flank_times(second, level[:, own], times, step_s)
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
    flank: Flank,
    area: str,
    own: NDArray[np.intp],
    times: Floats,
    level: Floats,
    landmarks: Landmarks,
) -> Step | None:
    """The flank if what it brought is there to the end, by flow and by landmarks."""
    step_s = float(times[1] - times[0])
    after = flank.row + flank.ramp // 2
    rest = level_curve(flank, level[:, own], step_s)[after:]
    soon = rest[: round(STAYS_S / step_s)]
    if len(rest) * step_s < STAYS_S or min(np.quantile(x, MOST) for x in (soon, rest)) < HELD:
        return None
    onset_s, apex_s = flank_times(flank, level[:, own], times, step_s)
    px = np.zeros((level.shape[1], 2))
    px[own] = flank.step
    beside = _beside(landmarks.times_s, onset_s, np.inf)
    if not _landmark_share(landmarks, landmarks.times_s >= apex_s, beside, px) >= LANDMARK_SHARE:
        return None
    return Step(area, onset_s, apex_s, flank.px, float(np.median(rest)))


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
