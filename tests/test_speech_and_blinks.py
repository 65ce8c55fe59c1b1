"""Speech by its rhythm, and blinks by the lids: hand-made openings."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from ma2mi.spotting import MovementTrack, SpottingSettings, spot
from ma2mi.spotting.blinks import find_blinks
from ma2mi.spotting.speech import find_utterances, together

SETTINGS = SpottingSettings()
TIMES = np.arange(0, 20, 0.04)


def opened(*pieces: tuple[float, float, float, float], noise: float = 0.002) -> NDArray[np.float64]:
    """Start, end, opening, Hz; 0 Hz opens once."""
    mouth = 0.01 + np.random.default_rng(0).normal(0, noise, len(TIMES))
    for start, end, size, hz in pieces:
        inside = (start <= TIMES) & (end >= TIMES)
        beat = 0.5 - 0.5 * np.cos(2 * np.pi * (hz or 1 / (end - start)) * (TIMES - start))
        mouth[inside] += size * beat[inside]
    return mouth


@pytest.mark.parametrize("hz", [2.0, 3.0, 5.0, 8.0])
def test_syllables_are_speech(hz: float) -> None:
    (one,) = find_utterances(TIMES, opened((5, 9, 0.08, hz)))
    assert one.interval == pytest.approx((5, 9), abs=0.2)
    assert 5 < one.apex_s < 9


@pytest.mark.parametrize(
    "pieces",
    [
        ((5, 6.5, 0.35, 0),),  # a jaw drop
        ((5, 9, 0.15, 0),),  # lips part and stay
        ((5, 10, 0.4, 0),),  # a yawn
        ((5, 5.8, 0.2, 0), (6.0, 6.8, 0.2, 0)),  # teeth are shown twice
        ((5, 15, 0.1, 0.7),),  # chewing slowly
    ],
)
def test_one_opening_or_two_are_none(pieces: tuple[tuple[float, ...], ...]) -> None:
    assert find_utterances(TIMES, opened(*pieces)) == []  # type: ignore[arg-type]


def test_a_mouth_that_is_held_open_may_tremble() -> None:
    mouth = opened((4, 12, 0.3, 0)) + np.where(
        (TIMES > 6) & (TIMES < 10), 0.02 * np.sin(2 * np.pi * 4 * TIMES), 0
    )
    assert find_utterances(TIMES, mouth) == []


def test_noise_is_none() -> None:
    assert find_utterances(TIMES, opened(noise=0.01)) == []


def test_phrases_with_short_pauses_are_one_utterance() -> None:
    (one,) = find_utterances(TIMES, opened((4, 6, 0.08, 4), (6.5, 9, 0.08, 4)))
    assert one.interval == pytest.approx((4, 9), abs=0.2)
    assert len(find_utterances(TIMES, opened((4, 6, 0.08, 4), (9, 11, 0.08, 4)))) == 2


def test_what_drifts_is_seen_too() -> None:
    jaw = opened((5, 9, 0.06, 4)) + 0.03 * np.sin(0.3 * TIMES)
    (one,) = find_utterances(TIMES, jaw, drifts=True)
    assert one.interval == pytest.approx((5, 9), abs=0.3)


def test_what_overlaps_is_one() -> None:
    some = find_utterances(TIMES, opened((4, 6, 0.08, 4), (9, 11, 0.08, 4)))
    assert together([*some, *some]) == some


def test_a_long_utterance_keeps_its_onset_and_is_reported_in_pieces() -> None:
    """Its onset was up to 4 s late once: frames were derived from a block that had moved on."""
    times = np.arange(0, 50, 0.04)
    inside = (times >= 8) & (times <= 40)
    mouth = 0.01 + np.where(inside, 0.04 * (1 - np.cos(2 * np.pi * 4 * (times - 8))), 0)
    still = np.random.default_rng(0).normal(0, 0.01, (len(times), 2))
    openings = np.stack([np.full(len(times), 0.13), mouth], axis=1)
    track = MovementTrack(times, {"chin": still}, np.ones(len(times), bool), openings)
    pieces = [one for one in spot(track) if one.kind == "speech"]
    assert len(pieces) > 1
    assert pieces[0].onset * 0.04 == pytest.approx(8, abs=0.2)
    assert pieces[-1].offset * 0.04 == pytest.approx(40, abs=0.2)
    for one, following in itertools.pairwise(pieces):
        assert 0 <= following.onset - one.offset <= 2
        assert one.onset <= one.apex <= one.offset


def lids(*blinks: tuple[float, float]) -> NDArray[np.float64]:
    """Middle and length of each."""
    eye = np.full(len(TIMES), 0.13)
    for middle, length in blinks:
        shut = np.clip(1 - np.abs(TIMES - middle) / (length / 2), 0, 1)
        eye *= 1 - 0.95 * shut
    return eye


def test_blinks_are_found_with_their_flanks() -> None:
    (one,) = find_blinks(TIMES, lids((5.0, 0.32)), 0.13, SETTINGS)
    assert one.interval == pytest.approx((4.84, 5.16), abs=0.05)
    assert one.apex_s == pytest.approx(5.0, abs=0.03)
    assert one.depth == pytest.approx(0.95, abs=0.1)


def test_blinks_never_overlap_and_never_last_too_long() -> None:
    eye = lids(*((5 + 0.25 * i, 0.3) for i in range(6)))
    eye = np.minimum(eye, 0.1)  # a lid that stays low: flanks have no end of their own
    found = find_blinks(TIMES, eye, 0.13, SETTINGS)
    assert len(found) >= 5
    for one, following in itertools.pairwise(found):
        assert one.offset_s <= following.onset_s
    assert max(one.offset_s - one.onset_s for one in found) <= SETTINGS.blink_s + 1e-9


def test_closed_eyes_are_no_blink_and_unknown_ones_neither() -> None:
    assert find_blinks(TIMES, lids((8.0, 4.0)), 0.13, SETTINGS) == []
    assert find_blinks(TIMES, lids((5.0, 0.3)), np.nan, SETTINGS) == []


def test_after_a_stretch_without_eyes_blinks_are_found_again() -> None:
    """The usual opening stayed NaN once."""
    eye = lids((15.0, 0.32))
    openings = np.stack([np.where(TIMES < 6, np.nan, eye), np.full(len(TIMES), 0.01)], axis=1)
    still = np.random.default_rng(0).normal(0, 0.01, (len(TIMES), 2))
    track = MovementTrack(TIMES, {"chin": still}, np.ones(len(TIMES), bool), openings)
    (blink,) = (one for one in spot(track) if one.kind == "blink")
    assert TIMES[blink.apex] == pytest.approx(15.0, abs=0.05)
