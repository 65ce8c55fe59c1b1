"""Statistics: against hand counts and SciPy, and against what they promise in simulations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.metrics import mean_unit_f1, uf1
from ma2mi.evaluation.statistics import (
    bootstrap,
    holm,
    mean_and_sd,
    mean_unit_f1_of,
    permutation_test,
    score_named,
    spotting_f1_of,
    subject_confusions,
    subject_unit_counts,
    subjects_needed,
    vanished_share,
)


def study(subject_count=20, clips=6, skill=0.6, seed=0, spread=0.0):
    """Truth, predictions and subjects of a system that is right with ``skill``."""
    rng = np.random.default_rng(seed)
    ids = np.repeat([f"s{i:02d}" for i in range(subject_count)], clips)
    truth = rng.integers(0, 3, len(ids))
    skills = np.repeat(np.clip(skill + spread * rng.normal(size=subject_count), 0, 1), clips)
    right = rng.random(len(ids)) < skills
    return truth, np.where(right, truth, (truth + rng.integers(1, 3, len(ids))) % 3), ids


def counts_of(truth, predicted, ids):
    return subject_confusions(truth, predicted, ids, 3)


class TestCounts:
    def test_subjects_add_up_to_the_pool(self):
        truth, predicted, ids = study()
        pooled = counts_of(truth, predicted, ids).sum(axis=0)
        assert float(score_named("uf1")(pooled)) == uf1(truth, predicted, 3)

    def test_units_and_spotting(self):
        rng = np.random.default_rng(1)
        truth, predicted = rng.integers(0, 2, (2, 40, 5))
        counts = subject_unit_counts(truth, predicted, np.repeat(list("abcd"), 10))
        assert float(mean_unit_f1_of(counts.sum(axis=0))) == pytest.approx(
            mean_unit_f1(truth, predicted, list("12345")), abs=1e-15
        )
        assert spotting_f1_of([[3, 1, 2], [0, 0, 0]]).tolist() == [6 / 9, 0]

    def test_a_metric_that_does_not_add_up_is_refused(self):
        with pytest.raises(EvaluationError, match="fold_mean_f1: is not a metric of confusion"):
            score_named("fold_mean_f1")


class TestBootstrap:
    @pytest.mark.parametrize("method", ["bca", "percentile"])
    def test_equals_scipy(self, method):
        truth, predicted, ids = study(subject_count=25, spread=0.2)
        counts = counts_of(truth, predicted, ids)
        mine = bootstrap(counts, "accuracy", method=method, resamples=20_000)
        right = np.trace(counts, axis1=1, axis2=2) / 6
        theirs = stats.bootstrap(
            (right,), np.mean, method=method, n_resamples=20_000, rng=np.random.default_rng(5)
        ).confidence_interval
        assert mine.low == pytest.approx(theirs.low, abs=0.01)
        assert mine.high == pytest.approx(theirs.high, abs=0.01)
        assert mine.value == pytest.approx(right.mean(), abs=1e-15)

    def test_same_seed_same_interval(self):
        counts = counts_of(*study())
        assert bootstrap(counts, seed=4) == bootstrap(counts, seed=4)
        assert bootstrap(counts, seed=4) != bootstrap(counts, seed=5)

    def test_covers_the_truth_about_as_often_as_it_says(self):
        hits = 0
        for seed in range(200):
            counts = counts_of(*study(subject_count=30, clips=4, seed=seed, spread=0.1, skill=0.6))
            interval = bootstrap(counts, "accuracy", resamples=400, seed=seed)
            hits += interval.low <= 0.6 <= interval.high
        assert 0.88 <= hits / 200 <= 0.99

    def test_clips_of_one_person_do_not_count_as_many(self):
        truth, predicted, ids = study(subject_count=12, clips=20, spread=0.3)
        by_subject = bootstrap(counts_of(truth, predicted, ids), "accuracy")
        by_clip = bootstrap(
            counts_of(truth, predicted, np.arange(len(ids)).astype(str)), "accuracy"
        )
        assert by_subject.high - by_subject.low > 1.5 * (by_clip.high - by_clip.low)

    def test_a_perfect_system_has_no_width(self):
        truth, _, ids = study()
        interval = bootstrap(counts_of(truth, truth, ids))
        assert (interval.value, interval.low, interval.high) == (1, 1, 1)
        assert str(interval) == "1.000 [1.000, 1.000]"

    def test_a_class_that_vanishes_from_a_resample(self):
        # One of six subjects alone shows class 2: it is missing from (5/6)^6 = 0.335 resamples.
        truth, ids = np.array([0, 1] * 6 + [2]), np.array([*"aabbccddeeff", "f"])
        counts = counts_of(truth, truth, ids)
        assert vanished_share(counts, resamples=20_000) == pytest.approx((5 / 6) ** 6, abs=0.015)
        assert bootstrap(counts).low == 1.0

    def test_bad_input_is_refused(self):
        counts = counts_of(*study())
        for wrong in ({"level": 1.0}, {"method": "magic"}, {"resamples": 0}):
            with pytest.raises(EvaluationError):
                bootstrap(counts, **wrong)
        with pytest.raises(EvaluationError, match="1 subject"):
            bootstrap(counts[:1])
        with pytest.raises(EvaluationError, match="2 labels, 2 predictions, 1 subjects"):
            subject_confusions([0, 1], [0, 1], ["a"], 2)


class TestPermutation:
    def test_by_hand(self):
        # Three subjects; the first system is right on all, the second on none.
        truth, ids = np.array([0, 1, 0]), np.array(list("abc"))
        test = permutation_test(
            subject_confusions(truth, truth, ids, 2),
            subject_confusions(truth, 1 - truth, ids, 2),
            "accuracy",
        )
        assert (test.difference, test.p, test.exact, test.swaps) == (1.0, 2 / 8, True, 8)

    def test_exact_counts_every_swap(self):
        truth, first, ids = study(subject_count=6, seed=1)
        second = study(subject_count=6, seed=2)[1]
        test = permutation_test(counts_of(truth, first, ids), counts_of(truth, second, ids))
        as_large = 0
        for swaps in itertools.product([False, True], repeat=6):
            swap = np.repeat(swaps, 6)
            one, two = np.where(swap, second, first), np.where(swap, first, second)
            difference = uf1(truth, one, 3) - uf1(truth, two, 3)
            as_large += abs(difference) >= abs(test.difference) - 1e-12
        assert test.p == as_large / 64

    def test_drawn_swaps_come_near_the_exact_ones(self):
        truth, first, ids = study(subject_count=10, seed=1, skill=0.7)
        counts = counts_of(truth, first, ids), counts_of(truth, study(subject_count=10)[1], ids)
        exact, drawn = permutation_test(*counts), permutation_test(*counts, swaps=1000)
        assert exact.exact and not drawn.exact
        assert drawn.p == pytest.approx(exact.p, abs=0.05)
        assert drawn.p > 0

    def test_p_is_uniform_when_nothing_differs(self):
        values = []
        for seed in range(200):
            truth, first, ids = study(subject_count=25, clips=4, seed=seed, spread=0.2)
            rng = np.random.default_rng(seed + 1000)
            right = rng.random(len(truth)) < 0.6
            second = np.where(right, truth, (truth + rng.integers(1, 3, len(truth))) % 3)
            counts = counts_of(truth, first, ids), counts_of(truth, second, ids)
            values.append(permutation_test(*counts, swaps=399, seed=seed).p)
        assert stats.kstest(values, "uniform").pvalue > 0.01

    def test_other_clips_are_refused(self):
        one, two = counts_of(*study(seed=0)), counts_of(*study(seed=1))
        with pytest.raises(EvaluationError, match="subject 0: the systems saw other clips"):
            permutation_test(one, two)
        with pytest.raises(EvaluationError, match="counts of shape"):
            permutation_test(one, two[:5])


class TestCorrections:
    def test_holm_by_hand(self):
        adjusted = holm([0.01, 0.04, 0.03, 0.005])
        assert adjusted.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]

    def test_what_is_no_p_value_is_reported(self):
        with pytest.raises(EvaluationError, match=r"in 0\.\.1"):
            holm([0.5, 1.5])
        with pytest.raises(EvaluationError, match=r"in 0\.\.1"):
            holm([float("nan")])

    def test_seeds(self):
        assert mean_and_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
        assert mean_and_sd([1.0]) == (1.0, None)


class TestPower:
    def test_one_clip_a_person_follows_the_formula(self):
        truth, first, ids = study(subject_count=400, clips=1, skill=0.6, seed=1)
        second = study(subject_count=400, clips=1, skill=0.6, seed=2)[1]
        second = np.where(study(subject_count=400, clips=1, seed=3)[0] == 0, second, first)
        counts = counts_of(truth, first, ids), counts_of(truth, second, ids)
        wins = (first == truth).astype(int) - (second == truth)
        expected = ((1.959964 + 0.841621) * wins.std() / 0.1) ** 2
        assert subjects_needed(*counts, 0.1, "accuracy") == pytest.approx(expected, rel=0.1)

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 100))
    def test_smaller_differences_need_more_people(self, seed):
        truth, first, ids = study(subject_count=15, seed=seed)
        counts = counts_of(truth, first, ids), counts_of(truth, (first + 1) % 3, ids)
        options = {"resamples": 200, "seed": seed}
        assert subjects_needed(*counts, 0.05, **options) > subjects_needed(*counts, 0.2, **options)

    def test_too_many_are_refused(self):
        truth, first, ids = study()
        counts = counts_of(truth, first, ids), counts_of(truth, (first + 1) % 3, ids)
        with pytest.raises(EvaluationError, match="more than 50 subjects"):
            subjects_needed(*counts, 0.001, most=50, resamples=100)
        with pytest.raises(EvaluationError, match="difference other than 0"):
            subjects_needed(*counts, 0.0)


def test_seeds_below_0_and_differences_without_end_are_refused():
    counts = np.stack([np.eye(2, dtype=int)] * 3)
    for call in (
        lambda: bootstrap(counts, seed=-1),
        lambda: permutation_test(counts, counts, swaps=2, seed=-1),
        lambda: vanished_share(counts, seed=-1),
        lambda: subjects_needed(counts, counts, 0.1, seed=-1),
    ):
        with pytest.raises(EvaluationError, match="seed -1 is below 0"):
            call()
    for difference in (float("nan"), float("inf")):
        with pytest.raises(EvaluationError, match="difference"):
            subjects_needed(counts, counts, difference)
