"""The nouns: intervals count frames at both ends, keys name things among all corpora."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ma2mi.records import Expression, Interval, Reading, Recording

spans = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda s: Interval(s[0], sum(s)))


def test_interval_holds_both_ends():
    interval = Interval(2, 5)
    assert len(interval) == 4
    assert [f for f in range(8) if f in interval] == [2, 3, 4, 5]
    assert len(Interval(3, 3)) == 1
    with pytest.raises(ValueError, match="offset 1 lies before onset 2"):
        Interval(2, 1)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int16, np.float32, float, int])
def test_whatever_counts_frames_is_held_or_not(kind):
    assert [f for f in range(8) if kind(f) in Interval(2, 5)] == [2, 3, 4, 5]
    assert all(x not in Interval(2, 5) for x in (2.5, float("nan"), float("inf"), "3", None))


@given(spans, spans)
def test_iou_is_shared_frames_over_all_frames(one, other):
    a, b = ({f for f in range(90) if f in i} for i in (one, other))
    assert one.iou(other) == pytest.approx(len(a & b) / len(a | b))
    assert one.iou(other) == other.iou(one)


def test_keys():
    recording = Recording(Path("x/s1/a b.mp4"), "s1", "s1/a b.mp4", corpus="mine")
    assert recording.key.startswith("mine_s1_s1-a-b.mp4-")
    others = ("s1/a-b.mp4", "s1-a b.mp4", "s1/a/b.mp4", "s1 a b.mp4")
    keys = {Recording(Path("x"), "s1", name, corpus="mine").key for name in others}
    assert len({recording.key, *keys}) == 5
    assert recording.person == "mine/s1"
    loose = Recording(Path("a.mp4"), "a.mp4", "a.mp4")
    assert (loose.key, loose.person) == ("a.mp4", "a.mp4")
    expression = Expression("micro", 7, None, 9, recording=recording)
    assert expression.key == f"{recording.key}@7"
    assert (expression.subject, expression.interval) == ("s1", Interval(7, 9))


def test_no_two_recordings_share_a_key():
    """Parts that lack, that hold what joins them, or that only look alike."""
    parts = ("", "a", "b", "a_b", "a/b", "a-b", "a b", "caf\u00e9", "cafe\u0301", "\udcff", "..")
    known = {}
    for corpus in parts:
        for subject in parts:
            for name in parts[1:]:
                given = (corpus, subject if subject != name else "", name)
                key = Recording(Path("x"), subject, name, corpus).key
                assert known.setdefault(key, given) == given
                assert "/" not in key
    assert Recording(Path("x"), "sub01", "EP02_01f", "casme2").key == "casme2_sub01_EP02_01f"


def test_label_is_the_most_probable_first_of_equals():
    assert Reading("k", {"a": 0.2, "b": 0.4, "c": 0.4}).label == "b"


def test_units_are_shown_from_their_threshold_on():
    units = {"1": 0.5, "2": 0.49, "4": 0.3, "12": 0.8}
    assert Reading("k", {"a": 1.0}, units).shown == ("12", "1")
    own = Reading("k", {"a": 1.0}, units, unit_thresholds={"4": 0.3, "12": 0.9})
    assert own.shown == ("1", "4")
