"""Movement pulses: brief movements below a pixel, with onset, apex and offset.

Each region's displacement is correlated with pulses of ten widths. Of brows and of the lower face
the strongest regions are put together, in multiples of the noise floor; tops over time and width
are pulses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ma2mi.spotting.block import (
    AREAS,
    BROWS,
    LIDS,
    MOUTH,
    SCALES_S,
    Block,
    shared_time,
    smooth,
    time_iou,
)
from ma2mi.spotting.settings import SpottingSettings

Floats = NDArray[np.float64]

STRONGEST = 3  # regions of an area whose responses make up the height
LEAST_FLANK = 0.12  # of the duration: a flank shorter than this is that of a step
SAME = 0.3  # shared time from which the weaker of two pulses of an area is the same movement
ECHO = 0.65  # of the height of a pulse: its echo in the filter stays below that
TOGETHER = 0.4  # shared time (IoU) from which pulses of two areas are one movement


@dataclass(frozen=True, slots=True, eq=False)
class Pulse:
    """One movement pulse.

    Args:
        onset_s, apex_s, offset_s: seconds.
        height: multiples of the noise floor.
        height_px: the strongest region's response, px of the crop.
        regions: those that move, strongest first.
        features: evidence that the pulse's own shape gives, see ``scorer.FEATURES``.
        moving: [R, 2], responses in multiples of the noise floor.
        width_s: of the filter that responded.
        raised: how many times the head's turn raises the noise floor; ``height`` counts with it.
    """

    onset_s: float
    apex_s: float
    offset_s: float
    height: float
    height_px: float
    regions: NDArray[np.intp]
    features: dict[str, float]
    moving: Floats
    width_s: float
    raised: float = 1.0

    @property
    def interval(self) -> tuple[float, float]:
        return self.onset_s, self.offset_s

    def led_by(self, names: tuple[str, ...], members: tuple[str, ...]) -> bool:
        """Whether the region that moves most is one of ``members``."""
        return names[int(self.regions[0])] in members


def find_pulses(
    block: Block,
    floor: Floats,
    where: NDArray[np.bool_],
    settings: SpottingSettings,
    least: float,
) -> list[Pulse]:
    """Pulses of ``least`` or more with their middle in ``where``, by rising onset.

    Args:
        block: the stretch.
        floor: [scales, regions], px.
        where: bool [T].
        settings: durations.
        least: multiple of the noise floor.
    """
    length = np.hypot(block.responses[..., 0], block.responses[..., 1])  # [scales, T, regions]
    snr = length / floor[:, None]
    found: list[Pulse] = []
    for area in AREAS:
        members = block.members(area)
        if len(members):
            found += _of_area(block, floor, snr, members, where, settings, least)
    return sorted(_joined(found), key=lambda one: one.onset_s)


def _of_area(
    block: Block,
    floor: Floats,
    snr: Floats,
    members: NDArray[np.intp],
    where: NDArray[np.bool_],
    settings: SpottingSettings,
    least: float,
) -> list[Pulse]:
    """Strongest first; what is the same movement as a stronger one is left out."""
    count = min(STRONGEST, len(members))
    strongest = np.partition(snr[..., members], -count, axis=2)[..., -count:]
    height = np.sqrt(np.square(strongest).mean(axis=2) / 2)
    found: list[Pulse] = []
    for scale, row in _tops(height, least):
        centre = float(block.times[row])
        if not where[row] or any(one.onset_s <= centre <= one.offset_s for one in found):
            continue
        one = _shaped(block, scale, row, floor[scale], float(height[scale, row]), members, settings)
        if one is None:
            continue
        if any(
            shared_time(one.interval, other.interval) > SAME or _is_echo(one, other)
            for other in found
        ):
            continue
        near = np.abs(block.times - centre) < 3.0
        one.features["crowd"] = float(np.log(np.median(height[scale, near]) + 0.1))
        found.append(one)
    return found


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
    block: Block,
    scale: int,
    row: int,
    floor: Floats,
    height: float,
    members: NDArray[np.intp],
    settings: SpottingSettings,
) -> Pulse | None:
    """Onset, apex and offset of the movement around a top; None where it has no such shape."""
    response = block.responses[scale, row]  # [regions, 2]
    own_snr = np.hypot(response[:, 0], response[:, 1]) / floor
    leading = members[np.argsort(-own_snr[members], kind="stable")]
    leading = leading[own_snr[leading] >= 0.5 * own_snr[leading[0]]]
    weights = np.zeros_like(response)
    weights[leading] = response[leading] / floor[leading, None] ** 2
    gain = float((weights * response).sum())
    if gain <= 0:
        return None
    width = SCALES_S[scale] / block.step_s
    radius = round(1.1 * width) + 2
    first, stop = max(row - radius, 0), min(row + radius + 1, len(block.times))
    curve = np.einsum("trc,rc->t", block.displacements[first:stop], weights) / gain
    onset, apex, offset = _feet(curve, row - first, width)
    onset_s, apex_s, offset_s = block.times[first:stop][[onset, apex, offset]].tolist()
    # A step is not a pulse: the eyes look elsewhere, or the reference changed.
    is_step = min(apex - onset, offset - apex) < max(1, LEAST_FLANK * (offset - onset))
    if is_step or not settings.shortest_s <= offset_s - onset_s <= settings.longest_s:
        return None
    moving = response / floor[:, None]
    features = {
        "height": float(np.log(height)),
        "height_px": float(np.log(np.hypot(*response[leading[0]]) / settings.eye_distance_px)),
        "duration": float(np.log(offset_s - onset_s)),
        "fit": _fit(curve, apex, onset, offset),
        "rise": (apex - onset) / (offset - onset),
        **_shares(own_snr, moving, block.names),
    }
    order = [i for i in np.argsort(-own_snr, kind="stable") if i not in leading]
    others = [i for i in order if own_snr[i] >= 0.5 * own_snr[leading[0]]]
    return Pulse(
        onset_s,
        apex_s,
        offset_s,
        height,
        float(np.hypot(*response[leading[0]])),
        np.array([*leading, *others], np.intp),
        features,
        moving,
        SCALES_S[scale],
    )


def _shares(snr: Floats, moving: Floats, names: tuple[str, ...]) -> dict[str, float]:
    """How the movement is spread over the regions, as features; ``snr`` [R], ``moving`` [R, 2]."""
    power = np.square(snr) / np.square(snr).sum()
    common = np.square(moving.mean(axis=0)).sum() / np.square(moving).sum(axis=1).mean()
    return {
        "spread": float(1 / (np.square(power).sum() * len(power))),
        "common": float(common),
        **{
            area: float(sum(power[i] for i, name in enumerate(names) if name in some))
            for area, some in (("lids", LIDS), ("brows", BROWS), ("mouth", MOUTH))
        },
    }


def _fit(curve: Floats, apex: int, onset: int, offset: int) -> float:
    """Correlation with a pulse that has these feet and as much rest on either side, in [-1, 1]."""
    rows = np.arange(len(curve), dtype=np.float64)
    up = np.clip((rows - onset) / max(apex - onset, 1), 0, 1)
    down = np.clip((offset - rows) / max(offset - apex, 1), 0, 1)
    ideal = 0.5 - 0.5 * np.cos(np.pi * np.minimum(up, down))
    around = (rows >= 2 * onset - apex) & (rows <= 2 * offset - apex)
    seen, ideal = curve[around] - curve[around].mean(), ideal[around] - ideal[around].mean()
    size = float(np.sqrt((seen @ seen) * (ideal @ ideal)))
    return float(seen @ ideal) / size if size > 0 else 0.0


def _feet(curve: Floats, centre: int, width: float) -> tuple[int, int, int]:
    """Rows of onset, apex and offset of a pulse near ``centre``, about ``width`` rows wide.

    As ``motion.find_apex``: each flank is half a wave of a cosine, of which the time from
    three quarters to a quarter of the height is a third.
    """
    curve = smooth(curve, 0.2 * width)
    low, high = max(0, round(centre - 0.4 * width)), round(centre + 0.4 * width) + 1
    apex = low + int(curve[low:high].argmax())
    return (
        apex - _foot(curve[: apex + 1][::-1]),
        apex,
        apex + _foot(curve[apex:]),
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


def _is_echo(one: Pulse, stronger: Pulse) -> bool:
    """A filter that is blind to constants responds beside a pulse, half as high, the other way."""
    near = 1.5 * max(one.width_s, stronger.width_s)
    opposite = float((one.moving * stronger.moving).sum()) < 0
    weaker = one.height < ECHO * stronger.height
    return opposite and weaker and abs(one.apex_s - stronger.apex_s) < near


def _joined(found: list[Pulse]) -> list[Pulse]:
    """Pulses of two areas that largely share their time become one, the higher one's shape."""
    whole: list[Pulse] = []
    for one in sorted(found, key=lambda each: -each.height):
        for index, other in enumerate(whole):
            if time_iou(one.interval, other.interval) > TOGETHER:
                new = [i for i in one.regions if i not in other.regions]
                regions = np.array([*other.regions, *new], np.intp)
                whole[index] = replace(other, regions=regions)
                break
        else:
            whole.append(one)
    return whole
