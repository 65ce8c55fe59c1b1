"""Speech, found by its rhythm: the mouth opens and closes at syllable rate, several times.

A jaw that drops, a smile that shows teeth, lips that part and stay, and a yawn are no speech: they
open the mouth once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

from ma2mi.spotting.block import smooth

Floats = NDArray[np.float64]

STEP_S = 0.04
SMOOTH_S = 0.08
SYLLABLE_S = (0.1, 0.6)
"""Shortest and longest time from one opening to the next: the jaw's rhythm in speech is 2 to 8 Hz
(Chandrasekaran et al. 2009, PLoS Comput. Biol. 5(7) e1000436), with a fifth to spare."""
SYLLABLES = (
    4  # openings in a row, three cycles, make speech: fewer may be an expression shown twice
)
OPENING = 0.008  # shares of the eye distance: least opening of a syllable, by landmarks
OPENING_BY_FLOW = 0.006  # by flow, which shows less of it and jitters less
NOISE = 5.0  # standard deviations of the opening's noise that a syllable must exceed
SHARE = 0.25  # of how far the mouth is open: a syllable closes it by so much
PAUSE_S = 0.9  # longest pause within an utterance
LONGEST_S = 10.0  # an utterance is reported in pieces of this length: its delay stays bounded


@dataclass(frozen=True, slots=True)
class Utterance:
    """The mouth opening and closing at syllable rate, in seconds.

    Args:
        onset_s, offset_s: before the first opening and after the last.
        apex_s: when the mouth is widest open.
    """

    onset_s: float
    apex_s: float
    offset_s: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.onset_s, self.offset_s


def find_utterances(times_s: Floats, opening: Floats, *, drifts: bool = False) -> list[Utterance]:
    """Stretches of speech.

    Args:
        times_s: [T], rising.
        opening: [T], of the mouth, shares of the distance between the eyes.
        drifts: what "closed" is wanders, as in a movement that is added up from frame to frame.
    """
    if len(times_s) < 2 or times_s[-1] - times_s[0] < SYLLABLES * SYLLABLE_S[0]:
        return []
    times = np.arange(times_s[0], times_s[-1] + 1e-9, STEP_S)
    curve = smooth(np.interp(times, times_s, opening), SMOOTH_S / STEP_S)
    if drifts:
        curve -= minimum_filter1d(curve, 2 * round(SYLLABLE_S[1] / STEP_S) + 1, mode="nearest")
    raw = np.diff(opening, 2)
    noise = float(np.median(np.abs(raw))) * 1.4826 / np.sqrt(6) if len(raw) else 0.0
    least = OPENING_BY_FLOW if drifts else OPENING
    peaks, valleys = _turning_points(curve, max(least, NOISE * noise))
    found = [
        (_closed(curve, chain[0], -1), _closed(curve, chain[-1], 1), len(chain))
        for chain in _chains(peaks, curve, valleys)
    ]
    merged = [
        (group[0][0], group[-1][1])
        for group in _near(found)
        if max(count for _, _, count in group) >= SYLLABLES
    ]
    widest = [first + int(curve[first : last + 1].argmax()) for first, last in merged]
    return [
        Utterance(*(float(times[row]) for row in (first, top, last)))
        for (first, last), top in zip(merged, widest, strict=True)
    ]


def together(found: Sequence[Utterance]) -> list[Utterance]:
    """Utterances without overlap: what two measurements find at one time is one."""
    whole: list[Utterance] = []
    for one in sorted(found, key=lambda each: each.onset_s):
        if whole and one.onset_s <= whole[-1].offset_s:
            last = whole[-1]
            whole[-1] = Utterance(last.onset_s, last.apex_s, max(last.offset_s, one.offset_s))
        else:
            whole.append(one)
    return whole


def _closed(curve: Floats, peak: int, way: int) -> int:
    """The row where an opening has begun, or ended: nearly as closed as it gets beside it."""
    radius = max(1, round(SYLLABLE_S[1] / STEP_S))
    beside = curve[peak::way][: radius + 1]
    low = float(beside.min())
    return peak + way * int(np.argmax(beside <= low + 0.1 * (float(beside[0]) - low)))


def _chains(peaks: list[int], curve: Floats, valleys: list[int]) -> list[list[int]]:
    """Openings that follow each other at syllable rate, two or more."""
    shortest, longest = (seconds / STEP_S for seconds in SYLLABLE_S)
    chains: list[list[int]] = []
    for peak in peaks:
        previous = chains[-1][-1] if chains else None
        if previous is not None and shortest <= peak - previous <= longest:
            between = [v for v in valleys if previous < v < peak]
            low = min((float(curve[v]) for v in between), default=float(curve[previous]))
            # A mouth that is held open trembles; a syllable closes it.
            if min(curve[previous], curve[peak]) - low >= SHARE * min(curve[previous], curve[peak]):
                chains[-1].append(peak)
                continue
        chains.append([peak])
    return [chain for chain in chains if len(chain) >= 2]


def _near(found: list[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Chains that no more than a pause parts."""
    groups: list[list[tuple[int, int, int]]] = []
    for one in found:
        if groups and (one[0] - groups[-1][-1][1]) * STEP_S <= PAUSE_S:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _turning_points(curve: Floats, least: float) -> tuple[list[int], list[int]]:
    """Rows of maxima and minima between which the curve goes by ``least`` or more."""
    peaks: list[int] = []
    valleys: list[int] = []
    high = low = 0
    rising = None
    for row, value in enumerate(curve.tolist()):
        if value > curve[high]:
            high = row
        if value < curve[low]:
            low = row
        if rising is not False and value < curve[high] - least:
            peaks.append(high)
            rising, low = False, row
        elif rising is not True and value > curve[low] + least:
            valleys.append(low)
            rising, high = True, row
    return peaks, valleys
