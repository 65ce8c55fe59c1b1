"""Spotting: hand-drawn timelines, and every known answer of the public STRS script."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.spotting import (
    SpottingCounts,
    apex_errors,
    count_hits,
    match_intervals,
    spotting_scores,
    strs,
)
from ma2mi.evaluation.unplaced import other_words, unplaced
from ma2mi.records import Event, Interval

intervals = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 15)).map(lambda o: Interval(o[0], o[0] + o[1])),
    max_size=5,
)


def line(timeline: str) -> list[Interval]:
    """Intervals from a drawing such as ``"|--|  |---|"``: bars are the first and last frames."""
    bars = [frame for frame, sign in enumerate(timeline) if sign == "|"]
    return [Interval(a, b) for a, b in zip(bars[::2], bars[1::2], strict=True)]


def marks(rows: list[tuple[int, str, int, int, str]]) -> list[Event]:
    return [Event("", a, None, b, video=v, subject=str(s), emotion=e) for s, v, a, b, e in rows]


class TestMatching:
    def test_of_two_halves_neither_hits(self):
        truth = line("|-----|   |-----------|")
        predicted = line("|---|     |----||-----|")
        assert match_intervals(truth, predicted) == [(0, 0), (1, 2)]
        predicted = line("|---|      |----||---|")
        assert match_intervals(truth, predicted) == [(0, 0)]

    def test_an_iou_of_one_half_is_a_hit_and_less_is_none(self):
        truth = line("|--------|")
        assert match_intervals(truth, line("|---|")) == [(0, 0)]
        assert match_intervals(truth, line(" |--|")) == []
        assert match_intervals(truth, line(" |--|"), iou=0.4) == [(0, 0)]

    def test_frames_are_inclusive_at_both_ends(self):
        assert Interval(0, 4).iou(Interval(4, 8)) == 1 / 9
        assert match_intervals([Interval(3, 3)], [Interval(3, 3)]) == [(0, 0)]

    def test_the_most_pairs_win_over_the_best_pair(self):
        # 0 takes A best, but then 1 finds nothing; crossing over finds both.
        truth = [Interval(0, 9), Interval(5, 14)]
        predicted = [Interval(1, 9), Interval(0, 6)]
        assert match_intervals(truth, predicted, iou=0.3) == [(0, 1), (1, 0)]

    def test_two_predictions_on_one_label(self):
        truth, predicted = line("|---------|"), line("|------|") + line("  |-------|")
        assert count_hits(truth, predicted) == SpottingCounts(1, 1, 0)
        assert count_hits(truth, predicted, rule="megc2020") == SpottingCounts(1, 1, 0)

    def test_one_prediction_over_two_labels(self):
        truth, predicted = line("|---||---|"), line("|--------|")
        assert count_hits(truth, predicted) == SpottingCounts(1, 0, 1)
        assert match_intervals(truth, predicted, rule="megc2020") == [(0, 0), (1, 0)]
        assert count_hits(truth, predicted, rule="megc2020") == SpottingCounts(1, 0, 1)

    def test_no_labels_or_no_predictions(self):
        assert count_hits([], line("|--|")) == SpottingCounts(0, 1, 0)
        assert count_hits(line("|--|"), []) == SpottingCounts(0, 0, 1)
        assert count_hits([], []).f1 == 0

    @settings(deadline=None)
    @given(truth=intervals, predicted=intervals)
    def test_one_to_one_is_the_largest_matching(self, truth, predicted):
        pairs = match_intervals(truth, predicted)
        assert len({t for t, _ in pairs}) == len({p for _, p in pairs}) == len(pairs)
        assert all(truth[t].iou(predicted[p]) >= 0.5 for t, p in pairs)
        few, many = sorted((truth, predicted), key=len)
        best = max(
            sum(a.iou(b) >= 0.5 for a, b in zip(few, chosen, strict=True))
            for chosen in itertools.permutations(many, len(few))
        )
        assert len(pairs) == best

    @pytest.mark.parametrize("wrong", [{"iou": 0}, {"iou": 1.1}, {"rule": "lucky"}])
    def test_wrong_options_are_told(self, wrong):
        with pytest.raises(EvaluationError):
            match_intervals([], [], **wrong)


class TestScores:
    def test_kinds_apart_and_summed_over_videos(self):
        truth = [
            Event("micro", 0, None, 9, video="v1"),
            Event("macro", 20, None, 60, video="v1"),
            Event("micro", 0, None, 9, video="v2"),
        ]
        predicted = [
            Event("micro", 1, None, 9, video="v1"),
            Event("micro", 20, None, 60, video="v1"),  # right place, wrong kind
            Event("macro", 0, None, 5, video="v3"),  # a video without labels
        ]
        scores = spotting_scores(truth, predicted)
        assert scores.micro == SpottingCounts(1, 1, 1)
        assert scores.macro == SpottingCounts(0, 1, 1)
        assert scores.overall == SpottingCounts(1, 2, 2)
        assert scores.overall.f1 == 1 / 3
        assert scores.micro.precision == scores.micro.recall == 1 / 2

    def test_the_same_video_name_of_two_people_is_two_videos(self):
        truth = [Event("", 0, None, 9, video="1", subject="a")]
        assert spotting_scores(truth, [Event("", 0, None, 9, video="1", subject="b")]).overall == (
            SpottingCounts(0, 1, 1)
        )

    def test_an_unknown_kind_names_the_row(self):
        with pytest.raises(EvaluationError, match='predicted, row 0: "me" is neither'):
            spotting_scores([], [Event("me", 0, None, 1, video="v")])


class TestApex:
    def test_by_hand(self):
        errors = apex_errors([6, 6], [10, 1], [Interval(2, 10)] * 2, [200, 30])
        assert errors.mean_frames == 4.5
        assert errors.mean_ms == pytest.approx((20 + 500 / 3) / 2, abs=1e-12)
        assert (errors.inside, errors.clips) == (0.5, 2)

    def test_bad_input_is_told(self):
        with pytest.raises(EvaluationError, match="no apexes"):
            apex_errors([], [], [], [])
        with pytest.raises(EvaluationError, match="1 apexes, 2 predictions"):
            apex_errors([1], [1, 2], [Interval(0, 3)], [30])
        with pytest.raises(EvaluationError, match="row 0: 0 frames per second"):
            apex_errors([1], [1], [Interval(0, 3)], [0])


class TestStrs:
    truth = marks(
        [
            (1, "EP02_01f", 45, 85, "happiness"),
            (1, "EP03_02", 130, 160, "others"),
            (1, "EP04_02", 20, 75, "others"),
            (2, "EP01_11f", 45, 95, "repression"),
            (2, "EP02_04f", 30, 140, "repression"),
        ]
    )

    @pytest.mark.parametrize("mode", ["strict", "megc"])
    def test_the_example_of_the_readme(self, mode):
        predicted = marks(
            [
                (1, "EP02_01f", 10, 70, "happiness"),
                (1, "EP03_02", 100, 170, "others"),
                (1, "EP04_02", 0, 70, "others"),
                (2, "EP01_11f", 20, 90, "happiness"),
                (2, "EP02_04f", 70, 140, "happiness"),
            ]
        )
        score = strs(self.truth, predicted, mode=mode)
        assert score.spotting == SpottingCounts(3, 2, 2)
        assert score.strs == pytest.approx(0.2, abs=1e-12)
        assert (score.right, score.mode) == (1, mode)

    @pytest.mark.parametrize("mode", ["strict", "megc"])
    def test_a_perfect_result_of_two_subjects(self, mode):
        score = strs(self.truth, self.truth, mode=mode)
        assert score.strs == score.f1 == score.uf1 == score.uar == 1.0

    def test_false_alarms_in_a_video_without_labels(self):
        alarms = marks([(1, "empty", 100 * i, 100 * i + 20, "others") for i in range(10)])
        assert strs(self.truth, self.truth + alarms, mode="megc").spotting.fp == 0
        assert strs(self.truth, self.truth + alarms, mode="strict").spotting.fp == 10

    def test_one_prediction_over_two_labels(self):
        truth = marks([(1, "v", 0, 4, "disgust"), (1, "v", 5, 9, "fear")])
        predicted = marks([(1, "v", 0, 9, "fear")])
        assert strs(truth, predicted, mode="megc").spotting == SpottingCounts(2, 0, 0)
        assert strs(truth, predicted, mode="strict").spotting == SpottingCounts(1, 0, 1)

    def test_a_perfect_result_of_one_class(self):
        truth = marks([(1, "v", 0, 9, "fear"), (2, "v", 0, 9, "fear")])
        assert math.isnan(strs(truth, truth, mode="megc").strs)
        assert strs(truth, truth, mode="strict").strs == 1.0

    def test_a_subject_without_predictions(self):
        predicted = self.truth[:3]
        megc, strict = (strs(self.truth, predicted, mode=m) for m in ("megc", "strict"))
        assert (megc.spotting.fn, megc.spotting.recall) == (0, 1.0)
        assert (strict.spotting.fn, strict.spotting.recall) == (2, 0.6)

    def test_the_uar_of_the_script_is_the_mean_precision(self):
        truth = marks([(1, str(i), 0, 9, e) for i, e in enumerate(["fear", "fear", "anger"])])
        said = marks([(1, str(i), 0, 9, e) for i, e in enumerate(["fear", "anger", "anger"])])
        assert strs(truth, said, mode="megc").uar == (1 + 0.5) / 2
        assert strs(truth, said, mode="strict").uar == (0.5 + 1) / 2
        said = marks([(1, str(i), 0, 9, e) for i, e in enumerate(["fear", "fear", "fear"])])
        assert strs(truth, said, mode="megc").uar == pytest.approx(1 / 3)
        assert strs(truth, said, mode="strict").uar == 0.5

    def test_classes_that_do_not_count_are_spotted_only(self):
        said = marks([(1, "EP02_01f", 45, 85, "happiness"), (1, "EP04_02", 20, 75, "repression")])
        score = strs(self.truth, said, classes=["happiness", "repression"])
        assert (score.spotting.tp, score.precision, score.recall) == (2, 0.5, 0.5)

    def test_a_guess_that_is_no_class_is_wrong(self):
        truth = marks([(1, "v", 0, 9, "fear"), (1, "w", 0, 9, "fear")])
        said = marks([(1, "v", 0, 9, "fear"), (1, "w", 0, 9, "boredom")])
        assert (strs(truth, said).precision, strs(truth, said).recall) == (1.0, 0.5)

    def test_nothing_hit(self):
        said = marks([(1, "EP02_01f", 500, 510, "happiness")])
        assert strs(self.truth, said).strs == 0.0
        assert strs(self.truth, []).spotting == SpottingCounts(0, 0, 5)
        assert math.isnan(strs(self.truth, said, mode="megc").strs)

    def test_bad_input_is_told(self):
        with pytest.raises(EvaluationError, match="no labels"):
            strs([], self.truth)
        with pytest.raises(EvaluationError, match="predicted, row 0: no emotion"):
            strs(self.truth, [Event("", 0, None, 1, video="v")])
        with pytest.raises(EvaluationError, match="lenient: is no known mode"):
            strs(self.truth, self.truth, mode="lenient")

    def test_the_case_of_a_word_does_not_matter(self):
        loud = [replace(m, emotion=m.emotion.upper()) for m in self.truth]
        assert strs(self.truth, loud).strs == 1.0
        assert strs(loud, self.truth, classes=[m.emotion for m in self.truth]).strs == 1.0
        # The script compares words as they are written, and says nothing.
        assert strs(self.truth, loud, mode="megc").right == 0


class TestUnplaced:
    truth = marks(
        [("006", "006_1", 100, 140, "negative"), ("s11", "011_2.mp4", 50, 90, "surprise")]
    )

    @pytest.mark.parametrize(
        ("subject", "video"),
        [
            ("6", "006_1"),
            ("006", "6_1"),
            ("sub06", "006_1"),
            ("006", "006_1.AVI"),
            ("006", "videos/006_1"),
            ("006", "006-1"),
        ],
    )
    def test_a_name_spelled_otherwise(self, subject, video):
        (one,) = unplaced(self.truth, marks([(subject, video, 1, 2, "negative")]))
        assert one.near == ("006", "006_1")
        assert "the truth has subject 006, video 006_1" in str(one)

    def test_a_name_of_its_own(self):
        said = marks([("006", "006_9", 1, 2, "negative"), ("006", "006_9", 5, 7, "negative")])
        (one,) = unplaced(self.truth, said)
        assert (one.near, str(one)) == (None, "subject 006, video 006_9: 2 predictions")

    def test_unicode_forms_are_one_name(self):
        truth = [Event("", 0, None, 1, video="e\u0301.mp4")]
        (one,) = unplaced(truth, [Event("", 0, None, 1, video="\u00e9.mp4")])
        assert one.near == ("", "e\u0301.mp4")

    def test_nothing_to_say(self):
        assert unplaced(self.truth, self.truth) == []
        assert other_words(self.truth, self.truth) == []

    def test_words_that_no_label_has(self):
        said = marks([("006", "006_1", 1, 2, e) for e in ("Negative", "joy", "calm")])
        assert other_words(self.truth, said) == ["calm", "joy"]


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_rates_that_are_none(rate):
    with pytest.raises(EvaluationError, match=r"row 0: .* frames per second"):
        apex_errors([1], [1], [Interval(0, 2)], [rate])


def test_apexes_that_are_no_frames():
    with pytest.raises(EvaluationError, match="predicted, row 0: nan is not a frame"):
        apex_errors([1], [math.nan], [Interval(0, 2)], [25])
