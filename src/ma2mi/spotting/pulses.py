"""Movement pulses: local maxima of the matched responses, with onset, apex and offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import BROWS, LIDS, MOUTH, SCALES_S, _Block, _shared, _smooth
from ma2mi.spotting.records import Spotted, SpottedKind
from ma2mi.spotting.scorer import learned_scorer
from ma2mi.spotting.settings import SpottingSettings

Floats = NDArray[np.float64]


FIT = 0.6  # with the floor alone: least correlation with a swell


FROZEN_PX = 0.0025  # no camera is so quiet: a codec has frozen the picture, and what moves in it


CODED_PX = 0.02  # is the codec's refreshing, whose floor is that of coded videos


HEAD_REST = 0.02  # eye distances a second: slower heads count as this fast


HEAD_COST = 0.15  # with the floor alone: at this speed of the head a swell must be twice as high


@dataclass(slots=True)
class _Movement:
    onset_s: float
    apex_s: float
    offset_s: float
    height: float
    height_px: float
    regions: NDArray[np.intp]
    features: dict[str, float]
    moving: Floats
    width_s: float
    score: float = 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return self.onset_s, self.offset_s

    @property
    def head_speed(self) -> float:
        """Eye distances a second; 0 at rest."""
        return float(np.exp(self.features["head"])) - HEAD_REST

    def told(self, block: _Block, names: tuple[str, ...], settings: SpottingSettings) -> Spotted:
        kind: SpottedKind = "micro" if self.offset_s - self.onset_s <= settings.micro_s else "macro"
        frames = block.frames_of(self.onset_s, self.apex_s, self.offset_s)
        regions = tuple(names[index] for index in self.regions)
        return Spotted(*frames, kind, self.score, self.height, regions, self.features)


def _movements(
    block: _Block,
    floor: Floats,
    blinks: list[tuple[float, float, float, float]],
    talking: NDArray[np.bool_],
    where: NDArray[np.bool_],
    settings: SpottingSettings,
) -> list[_Movement]:
    """Candidates with their middle in ``where``, strongest first, hardly overlapping."""
    floor = np.maximum(floor, CODED_PX if np.median(floor[0]) < FROZEN_PX else 1e-3)
    length = np.hypot(block.responses[..., 0], block.responses[..., 1])  # [scales, T, regions]
    in_floors = length / floor[:, None]
    # Gaze and blinks move the lids all the time: they may take part in an event, not make one.
    leading = [index for index, name in enumerate(block.names) if name not in LIDS]
    strongest = np.partition(in_floors[..., leading], -min(3, len(leading)), axis=2)
    height = np.sqrt(np.square(strongest[..., -3:]).mean(axis=2) / 2)
    found: list[_Movement] = []
    learned = learned_scorer() if settings.scorer == "learned" else None
    for scale, row in _tops(height, settings.least_floors):
        centre = float(block.times[row])
        if not where[row] or any(other.onset_s <= centre <= other.offset_s for other in found):
            continue
        movement = _shaped(block, scale, row, floor[scale], float(height[scale, row]), settings)
        if movement is None or movement.height_px < settings.least_px:
            continue
        if any(
            _shared(movement.interval, other.interval) > 0.3 or _is_echo(movement, other)
            for other in found
        ):
            continue
        if _is_speech(movement, block, talking) or _is_blink(movement, block, blinks):
            continue
        near = np.abs(block.times - centre) < 3.0
        movement.features["crowd"] = float(np.log(np.median(height[scale, near]) + 0.1))
        movement.features["blink"] = max(
            (_shared(movement.interval, (one[0] - 0.1, one[2] + 0.1)) for one in blinks),
            default=0.0,
        )
        meanwhile = block.head_px_s[
            (block.times >= movement.onset_s) & (block.times <= movement.offset_s)
        ]
        head = float(meanwhile.max(initial=0.0)) / settings.eye_distance_px
        movement.features["head"] = float(np.log(max(head, HEAD_REST)))
        movement.features["talk"] = float(talking[np.abs(block.times - centre) < 1.0].mean())
        found.append(movement)
    for movement in found:
        movement.features["repeats"] = min(_repeats(movement, found, block.names), 4)
    if learned is None:
        found = [
            one
            for one in found
            if one.features["repeats"] < 2
            and one.features["fit"] > FIT
            and one.height > settings.least_floors * (1 + one.head_speed / HEAD_COST)
        ]
        for movement in found:
            movement.score = movement.height / (movement.height + settings.least_floors)
        return found
    for movement in found:
        movement.score = learned(movement.features)
    cut = learned.cut if settings.least_score is None else settings.least_score
    return [movement for movement in found if movement.score >= cut]


def _tops(height: Floats, threshold: float) -> list[tuple[int, int]]:
    """(scale, row) of the local maxima over time and neighbouring scales, highest first."""
    padded = np.pad(height, 1, mode="constant", constant_values=-np.inf)
    around = np.max(
        [
            padded[1 + i : 1 + i + height.shape[0], 1 + j : 1 + j + height.shape[1]]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ],
        axis=0,
    )
    scales, rows = np.nonzero((height >= around) & (height >= threshold))
    order = np.argsort(-height[scales, rows], kind="stable")
    return [(int(scales[index]), int(rows[index])) for index in order]


def _shaped(
    block: _Block,
    scale: int,
    row: int,
    floor: Floats,
    height: float,
    settings: SpottingSettings,
) -> _Movement | None:
    """Onset, apex and offset of the movement around a top; None where it has no such shape."""
    response = block.responses[scale, row]  # [regions, 2]
    snr = np.hypot(response[:, 0], response[:, 1]) / floor
    lids = np.array([name in LIDS for name in block.names])
    order = np.argsort(-np.where(lids, 0.5, 1.0) * snr, kind="stable")
    strong = order[: max(1, int((snr >= 0.5 * snr[order[0]]).sum()))]
    weights = np.zeros_like(response)
    leading = strong[~lids[strong]]
    weights[leading] = response[leading] / floor[leading, None] ** 2
    gain = float((weights * response).sum())
    if gain <= 0:
        return None
    width = SCALES_S[scale] / block.step_s
    reach = round(1.1 * width) + 2
    first, stop = max(row - reach, 0), min(row + reach + 1, len(block.times))
    curve = np.einsum("trc,rc->t", block.places[first:stop], weights) / gain
    onset, apex, offset = _feet(curve, row - first, width)
    times = block.times[first:stop]
    duration = float(times[offset] - times[onset])
    if not settings.shortest_s <= duration <= settings.longest_s:
        return None
    if min(apex - onset, offset - apex) < max(1, 0.12 * (offset - onset)):
        return None  # a step, not a swell: the eyes look elsewhere, or the reference changed
    power = np.square(snr) / np.square(snr).sum()
    moving = response / floor[:, None]
    share = {
        area: float(sum(power[index] for index, name in enumerate(block.names) if name in members))
        for area, members in (("lids", LIDS), ("brows", BROWS), ("mouth", MOUTH))
    }
    features = {
        "height": float(np.log(height)),
        "height_px": float(np.log(np.hypot(*response[order[0]]) / settings.eye_distance_px)),
        "duration": float(np.log(duration)),
        "fit": _fit(curve, apex, onset, offset),
        "rise": (apex - onset) / (offset - onset),
        "spread": float(1 / (np.square(power).sum() * len(power))),
        "common": float(
            np.square(moving.mean(axis=0)).sum() / np.square(moving).sum(axis=1).mean()
        ),
        **share,
    }
    return _Movement(
        float(times[onset]),
        float(times[apex]),
        float(times[offset]),
        height,
        float(np.hypot(*response[order[0]])),
        strong,
        features,
        moving,
        SCALES_S[scale],
    )


def _fit(curve: Floats, apex: int, onset: int, offset: int) -> float:
    """Correlation with a swell that has these feet and as much rest on either side, in [-1, 1]."""
    rows = np.arange(len(curve), dtype=np.float64)
    up = np.clip((rows - onset) / max(apex - onset, 1), 0, 1)
    down = np.clip((offset - rows) / max(offset - apex, 1), 0, 1)
    ideal = 0.5 - 0.5 * np.cos(np.pi * np.minimum(up, down))
    around = (rows >= 2 * onset - apex) & (rows <= 2 * offset - apex)
    seen, ideal = curve[around] - curve[around].mean(), ideal[around] - ideal[around].mean()
    size = float(np.sqrt((seen @ seen) * (ideal @ ideal)))
    return float(seen @ ideal) / size if size > 0 else 0.0


def _feet(curve: Floats, centre: int, width: float) -> tuple[int, int, int]:
    """Rows of onset, apex and offset of a swell near ``centre``, about ``width`` rows wide.

    As ``face.motion.find_apex``: each flank is half a wave of a cosine, of which the time from
    three quarters to a quarter of the height is a third.
    """
    smooth = _smooth(curve, 0.2 * width)
    low, high = max(0, round(centre - 0.4 * width)), round(centre + 0.4 * width) + 1
    apex = low + int(smooth[low:high].argmax())
    return (
        apex - _foot(smooth[: apex + 1][::-1]),
        apex,
        apex + _foot(smooth[apex:]),
    )


def _foot(falling: Floats) -> int:
    """Steps from the top (index 0) to where the flank meets the rest."""
    rest = float(np.quantile(falling, 0.25))
    top = float(falling[0])
    if top <= rest:
        return 0
    high, low = (_crossing(falling, rest + share * (top - rest)) for share in (0.75, 0.25))
    return int(np.clip(round(high + 2 * (low - high)), 0, len(falling) - 1))


def _crossing(falling: Floats, level: float) -> float:
    after = int(np.argmax(falling <= level))
    above, below = falling[after - 1], falling[after]
    return after - 1 + float((above - level) / (above - below))


def _is_speech(movement: _Movement, block: _Block, talking: NDArray[np.bool_]) -> bool:
    reach = 0.25  # lips part before the first word and close after the last
    during = (block.times >= movement.onset_s - reach) & (block.times <= movement.offset_s + reach)
    names = [block.names[index] for index in movement.regions[:4]]
    return bool(talking[during].any() and any(name in MOUTH for name in names))


def _is_echo(movement: _Movement, stronger: _Movement) -> bool:
    """A filter that is blind to constants answers beside a swell, half as high, the other way."""
    near = 1.5 * max(movement.width_s, stronger.width_s)
    opposite = float((movement.moving * stronger.moving).sum()) < 0
    weaker = movement.height < 0.65 * stronger.height
    return opposite and weaker and abs(movement.apex_s - stronger.apex_s) < near


def _repeats(movement: _Movement, found: list[_Movement], names: tuple[str, ...]) -> int:
    """How many others, led by the mouth as this one is, lie near: mumbling, chewing."""
    if names[int(movement.regions[0])] not in MOUTH:
        return 0
    return sum(
        names[int(other.regions[0])] in MOUTH and 0 < abs(other.apex_s - movement.apex_s) < 1.5
        for other in found
    )


def _is_blink(
    movement: _Movement, block: _Block, blinks: list[tuple[float, float, float, float]]
) -> bool:
    """Led by the eyes' surroundings while they blink, and not much longer than that takes."""
    if block.names[int(movement.regions[0])] not in LIDS + BROWS:
        return False
    return any(
        movement.offset_s - movement.onset_s < 3 * (offset - onset)
        and _shared(movement.interval, (onset - 0.05, offset + 0.05)) > 0.3
        for onset, _, offset, _ in blinks
    )
