"""Metrics: equal to scikit-learn to 1e-12, to hand counts, and loud about absent classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.metrics import (
    METRICS,
    accuracy,
    confusion_matrix,
    fold_mean_f1,
    macro_f1,
    mean_unit_f1,
    micro_f1,
    per_class,
    uar,
    uf1,
    unit_f1,
    weighted_f1,
)

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)
LABELS = range(5)


def close(value):
    return pytest.approx(value, abs=1e-12, rel=0)


class TestScikitLearn:
    @settings(deadline=None)
    @given(pairs)
    def test_every_average_agrees(self, rows):
        truth, predicted = np.array(rows).T
        f1 = {"labels": LABELS, "zero_division": 0}
        assert (
            confusion_matrix(truth, predicted, 5)
            == sk.confusion_matrix(truth, predicted, labels=LABELS)
        ).all()
        assert uf1(truth, predicted, 5, "zero") == close(
            sk.f1_score(truth, predicted, average="macro", **f1)
        )
        assert uar(truth, predicted, 5, "zero") == close(
            sk.recall_score(truth, predicted, average="macro", **f1)
        )
        assert accuracy(truth, predicted, 5) == close(sk.accuracy_score(truth, predicted))
        assert micro_f1(truth, predicted, 5) == close(
            sk.f1_score(truth, predicted, average="micro", **f1)
        )
        assert weighted_f1(truth, predicted, 5) == close(
            sk.f1_score(truth, predicted, average="weighted", **f1)
        )
        # Without labels=, scikit-learn averages over the classes that are present.
        assert uf1(truth, predicted, 5, "present") == close(
            sk.f1_score(truth, predicted, average="macro", zero_division=0)
        )

    @settings(deadline=None)
    @given(pairs)
    def test_recall_of_present_classes_is_balanced_accuracy(self, rows):
        truth, predicted = np.array(
            [*rows, (0, 0), (1, 1)]
        ).T  # scikit-learn warns of one class only
        predicted = np.where(np.isin(predicted, truth), predicted, 0)
        assert uar(truth, predicted, 5, "present") == close(
            sk.balanced_accuracy_score(truth, predicted)
        )

    @settings(deadline=None)
    @given(pairs)
    def test_each_class_agrees(self, rows):
        truth, predicted = np.array(rows).T
        expected = sk.precision_recall_fscore_support(
            truth, predicted, labels=LABELS, zero_division=0
        )
        for one, *row in zip(per_class(truth, predicted, "abcde"), *expected, strict=True):
            assert [one.precision, one.recall, one.f1, one.clips] == close([float(v) for v in row])

    @settings(deadline=None)
    @given(st.integers(1, 30), st.integers(0, 1000))
    def test_action_units_agree(self, clips, seed):
        truth, predicted = np.random.default_rng(seed).integers(0, 2, (2, clips, 3))
        expected = sk.f1_score(truth, predicted, average=None, zero_division=0)
        assert unit_f1(truth, predicted, "abc", "zero").tolist() == close(expected.tolist())
        assert mean_unit_f1(truth, predicted, "abc", "zero") == close(expected.mean())


class TestByHand:
    truth = (0, 0, 0, 0, 1, 1, 2)
    predicted = (0, 0, 0, 1, 1, 0, 2)

    def test_three_classes(self):
        #        predicted 0  1  2
        # true 0       3  1  0     F1 = 6 / (6 + 1 + 1) = 3/4   recall 3/4
        # true 1       1  1  0     F1 = 2 / (2 + 1 + 1) = 1/2   recall 1/2
        # true 2       0  0  1     F1 = 1                       recall 1
        assert confusion_matrix(self.truth, self.predicted, 3).tolist() == [
            [3, 1, 0],
            [1, 1, 0],
            [0, 0, 1],
        ]
        assert uf1(self.truth, self.predicted, 3) == macro_f1(self.truth, self.predicted, 3) == 0.75
        assert uar(self.truth, self.predicted, 3) == 0.75
        assert accuracy(self.truth, self.predicted, 3) == 5 / 7
        assert weighted_f1(self.truth, self.predicted, 3) == close((4 * 0.75 + 2 * 0.5 + 1) / 7)

    def test_pooling_first_is_not_the_mean_over_folds(self):
        # Fold a: truth 0 0 0 0, predicted 0 0 0 1: F1 6/7 and 0, mean 3/7.
        # Fold b: truth 1 1 2, predicted 1 0 2: F1 0, 2/3 and 1, mean 5/9.
        assert fold_mean_f1(self.truth, self.predicted, list("aaaabbb"), 3) == close(
            (3 / 7 + 5 / 9) / 2
        )
        # Each clip a fold: 5 of 7 are right. The same predictions, pooled, have 3/4 throughout.
        assert fold_mean_f1(self.truth, self.predicted, list("abcdefg"), 3) == close(5 / 7)
        assert uf1(self.truth, self.predicted, 3) == 0.75

    def test_a_stack_is_scored_in_one_go(self):
        rng = np.random.default_rng(0)
        stack = rng.integers(1, 9, (4, 6, 3, 3))
        for metric in METRICS.values():
            together = metric(stack, "error")
            assert together.shape == (4, 6)
            assert together[2, 3] == close(float(metric(stack[2, 3], "error")))

    def test_action_units(self):
        truth, predicted = [[1, 0], [1, 1], [0, 0]], [[1, 1], [0, 1], [0, 0]]
        assert unit_f1(truth, predicted, ["4", "12"]).tolist() == close([2 / 3, 2 / 3])


class TestAbsent:
    def test_a_class_without_clip_and_prediction_is_refused(self):
        with pytest.raises(EvaluationError, match="class 2 has no clip and no prediction"):
            uf1([0, 1], [0, 1], 3)
        with pytest.raises(EvaluationError, match="class 2 has no clip"):
            uar([0, 1], [0, 2], 3)
        assert uf1([0, 1], [0, 2], 3) == close(1 / 3)  # predicted, so it counts, as 0

    def test_both_treatments(self):
        assert uf1([0, 1], [0, 1], 3, "zero") == close(2 / 3)
        assert uf1([0, 1], [0, 1], 3, "present") == 1

    def test_a_unit_without_clips_is_refused(self):
        with pytest.raises(EvaluationError, match="unit 12 has no clip and no prediction"):
            unit_f1([[1, 0]], [[1, 0]], ["4", "12"])
        assert np.isnan(unit_f1([[1, 0]], [[1, 0]], ["4", "12"], "present")).tolist() == [
            False,
            True,
        ]
        assert mean_unit_f1([[1, 0]], [[1, 0]], ["4", "12"], "present") == 1


class TestBadInput:
    @pytest.mark.parametrize(
        ("truth", "predicted", "message"),
        [
            ([0, 3], [0, 1], r"truth, row 1: label 3 is outside 0\.\.2"),
            ([0, 1], [-1, 1], r"prediction, row 0: label -1 is outside 0\.\.2"),
            ([0, 1], [0], "2 true labels, but 1 predictions"),
            ([], [], "no predictions to score"),
            ([0.0, np.nan], [0, 1], "truth is float64, not ints"),
            ([[0, 1]], [0, 1], r"truth has shape \(1, 2\)"),
        ],
    )
    def test_names_the_row(self, truth, predicted, message):
        with pytest.raises(EvaluationError, match=message):
            uf1(truth, predicted, 3)

    def test_of_units_and_folds(self):
        with pytest.raises(
            EvaluationError, match=r"prediction, row 0: 2 for unit 12 is neither 0 nor 1"
        ):
            unit_f1([[1, 0]], [[1, 2]], ["4", "12"])
        with pytest.raises(EvaluationError, match=r"truth has shape \(1, 3\), not \[clips, 2\]"):
            unit_f1([[1, 0, 1]], [[1, 0]], ["4", "12"])
        with pytest.raises(EvaluationError, match="2 true labels, but 1 folds"):
            fold_mean_f1([0, 1], [0, 1], ["a"], 2)
