"""Held movements that are too small for landmarks alone and too long for a pulse."""

import numpy as np
import pytest

from ma2mi.spotting.holds import Landmarks, find_holds
from test_excursions import NAMES, Face, between


def expressions(face):
    found = [one for one in face.candidates() if not one.reason]
    return [one for one in found if one.kind in ("micro", "macro")]


def interval_s(face, one):
    return tuple(face.times[[one.onset, one.apex, one.offset]])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lasts_s", [1.5, 4.0, 9.0])
def test_a_faint_held_movement_is_one_event(seed, lasts_s):
    face = Face(seed=seed)
    face.raise_brows(between(face.times, 10.0, 10.0 + lasts_s, 0.3), px=0.6)
    (one,) = expressions(face)
    onset, apex, offset = interval_s(face, one)
    assert one.kind == "macro"
    assert one.regions[0] in ("right_inner_brow", "left_inner_brow", "right_outer_brow",
                              "left_outer_brow")  # fmt: skip
    assert onset == pytest.approx(10.0, abs=0.15)
    assert apex == pytest.approx(10.3, abs=0.15)
    assert offset == pytest.approx(10.0 + lasts_s, abs=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_what_landmarks_do_not_show_is_no_expression(seed):
    """As a head does that turns away and back."""
    face = Face(seed=seed)
    course = between(face.times, 10.0, 16.0, 0.3)
    for index, name in enumerate(NAMES):
        if "brow" in name:
            face.flow[:, index, 1] -= 0.4 * course
    assert not any(one.by_landmarks for one in expressions(face))


def test_the_rest_between_two_expressions_is_none():
    face = Face(seed=1)
    face.raise_brows(between(face.times, 6.0, 10.0, 0.3), px=0.7)
    face.raise_brows(between(face.times, 12.0, 16.0, 0.3), px=0.7)
    first, second = expressions(face)
    assert interval_s(face, first)[::2] == pytest.approx((6.0, 10.0), abs=0.2)
    assert interval_s(face, second)[::2] == pytest.approx((12.0, 16.0), abs=0.2)


def test_an_onset_without_an_offset_is_a_candidate_with_its_reason():
    face = Face(seed=2)
    face.raise_brows(np.clip((face.times - 10.0) / 0.4, 0, 1), px=0.5)
    assert not expressions(face)
    reasons = {one.reason for one in face.candidates() if abs(face.times[one.apex] - 10.3) < 0.5}
    assert "a step: the face stays so" in reasons


def test_an_onset_is_not_reported_before_its_offset_is_known():
    """The offset comes long after the onset's delay has passed."""
    face = Face(seconds=40.0, seed=3)
    face.raise_brows(between(face.times, 8.0, 20.0, 0.3), px=0.6)
    (one,) = expressions(face)
    assert interval_s(face, one)[::2] == pytest.approx((8.0, 20.0), abs=0.2)


def test_a_brief_movement_is_no_held_one():
    face = Face(seed=4)
    face.raise_brows(between(face.times, 10.0, 10.3, 0.15), px=0.6)
    assert [one.kind for one in expressions(face)] == ["micro"]


def test_flanks_by_hand():
    """Two flanks of half a second, 1 px, 3 s apart, without noise but a known amount of it."""
    rng = np.random.default_rng(0)
    times = np.arange(0, 20, 0.04)
    level = rng.normal(0, 0.02, (len(times), len(NAMES), 2))
    course = between(times, 8.0, 11.5, 0.5)
    brows = [i for i, name in enumerate(NAMES) if "brow" in name]
    level[:, brows, 1] -= course[:, None]
    landmarks = Landmarks(times, level.copy(), np.zeros((len(times), 3)))
    (one,), staying = find_holds(times, level, tuple(NAMES), landmarks, least=6, least_px=0.1)
    assert one.areas == ("brows",)
    assert (one.onset_s, one.apex_s) == pytest.approx((8.0, 8.5), abs=0.21)
    assert one.offset_s == pytest.approx(11.5, abs=0.21)
    assert one.height_px == pytest.approx(1.0, rel=0.15)
    assert one.landmark_share == pytest.approx(1.0, abs=0.1)
    assert not staying
    shown = np.hypot(*one.moving.T) > 1
    assert [name for name, moves in zip(NAMES, shown, strict=True) if moves] == [
        NAMES[i] for i in brows
    ]


def test_too_short_a_record_has_none():
    times = np.arange(10) / 30
    landmarks = Landmarks(times, np.zeros((10, len(NAMES), 2)), np.zeros((10, 3)))
    assert find_holds(
        times, np.zeros((10, len(NAMES), 2)), tuple(NAMES), landmarks, least=6, least_px=0.1
    ) == ([], [])
