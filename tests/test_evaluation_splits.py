"""Splits: each person on one side only, under all names, for every splitter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.splits import (
    Split,
    SubjectSplitter,
    all_subjects_tested,
    cde,
    hde,
    inner_splits,
    k_folds_by_subject,
    leave_one_database_out,
    loso,
    sde,
)
from ma2mi.evaluation.subjects import subject_ids
from ma2mi.evaluation.training_draws import TrainingDraw, draw_training

SUBJECTS = ["01", "01", "02", "03", "01", "02", "x", "x"]
BASES = ["a", "a", "a", "a", "b", "b", "c", "c"]

studies = st.lists(
    st.tuples(st.sampled_from("stuvw"), st.sampled_from("abc")), min_size=2, max_size=25
).filter(lambda rows: len({s for s, _ in rows}) > 1 and len({b for _, b in rows}) > 1)


class TestSplit:
    def test_a_leaking_one_cannot_be_built(self):
        with pytest.raises(EvaluationError, match="split x: s in training and in test"):
            Split("x", np.array([0]), np.array([1]), ["s", "s"])
        with pytest.raises(EvaluationError, match="row 1 is in training and in test"):
            Split("x", np.array([0, 1]), np.array([1]), ["s", "t"])
        with pytest.raises(EvaluationError, match="empty test fold"):
            Split("x", np.array([0, 1]), np.array([], int), ["s", "t"])

    def test_says_who_is_where(self):
        split = Split("x", np.array([0, 2]), np.array([1]), ["s", "t", "s"])
        assert (split.train_subjects, split.test_subjects) == (("s",), ("t",))


class TestSubjectIds:
    def test_two_databases_may_share_a_name(self):
        assert subject_ids(["01", "01"], ["a", "b"]).tolist() == ["a/01", "b/01"]
        assert subject_ids(["01", "01"]).tolist() == ["01", "01"]

    def test_aliases_are_followed(self):
        aliases = {"b/01": "a/01", "c/x": "b/01", "stranger": "else"}
        assert subject_ids(["01", "01", "x"], ["a", "b", "c"], aliases).tolist() == ["a/01"] * 3

    def test_mistakes_are_refused(self):
        with pytest.raises(EvaluationError, match="aliases run in a circle"):
            subject_ids(["a"], None, {"a": "b", "b": "a"})
        with pytest.raises(EvaluationError, match="row 1: no subject"):
            subject_ids(["a", " "])
        with pytest.raises(EvaluationError, match="2 subjects, but 1 databases"):
            subject_ids(["a", "b"], ["x"])


class TestSplitters:
    def test_loso_equals_scikit_learn(self):
        subjects = ["b", "a", "c", "a", "b"]
        theirs = LeaveOneGroupOut().split(subjects, groups=subjects)
        for mine, (train, test) in zip(loso(subjects), theirs, strict=True):
            assert mine.train.tolist() == train.tolist()
            assert mine.test.tolist() == test.tolist()

    def test_cde_leaves_out_subjects_of_all_databases(self):
        assert [s.name for s in cde(SUBJECTS, BASES)] == [
            "a/01",
            "a/02",
            "a/03",
            "b/01",
            "b/02",
            "c/x",
        ]

    def test_hde_takes_each_pair(self):
        splits = {s.name: s for s in hde(SUBJECTS, BASES)}
        assert len(splits) == 6
        assert splits["a to b"].train.tolist() == [0, 1, 2, 3]
        assert splits["a to b"].test.tolist() == [4, 5]

    def test_a_person_of_two_databases_does_not_train_for_the_other(self):
        aliases = {"b/01": "a/01"}
        assert cde(SUBJECTS, BASES, aliases)[0].test.tolist() == [0, 1, 4]
        splits = {s.name: s for s in leave_one_database_out(SUBJECTS, BASES, aliases)}
        assert splits["a"].train.tolist() == [5, 6, 7]
        assert splits["b"].train.tolist() == [2, 3, 6, 7]
        assert {s.name: s for s in hde(SUBJECTS, BASES, aliases)}["a to b"].train.tolist() == [2, 3]

    def test_zero_shot_trains_on_no_subject(self):
        (split,) = all_subjects_tested(SUBJECTS)
        assert (len(split.train), len(split.test)) == (0, 8)

    @settings(deadline=None)
    @given(studies)
    def test_no_subject_is_on_both_sides_and_all_are_tested(self, rows):
        subjects, bases = [s for s, _ in rows], [b for _, b in rows]
        ids = subject_ids(subjects, bases)
        once = (loso, cde, leave_one_database_out)
        for splitter in (*once, hde):
            splits = splitter(subjects, bases)
            for split in splits:
                assert not set(ids[split.train]) & set(ids[split.test])
            tested = np.sort(np.concatenate([split.test for split in splits]))
            times = 1 if splitter in once else len(set(bases)) - 1
            assert tested.tolist() == sorted([*range(len(rows))] * times)

    def test_mistakes_are_refused(self):
        with pytest.raises(EvaluationError, match=r"loso: only one subject \(s\)"):
            loso(["s", "s"])
        with pytest.raises(EvaluationError, match="sde: clips of a, b"):
            sde(["s", "t"], ["a", "b"])
        for splitter in (cde, hde, leave_one_database_out):
            with pytest.raises(EvaluationError, match=r"only one database \(a\)"):
                splitter(["s", "t"], ["a", "a"])
            with pytest.raises(EvaluationError, match="no databases"):
                splitter(["s", "t"], None)


class TestFolds:
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=6, max_size=60),
        st.integers(0, 5),
        st.booleans(),
    )
    def test_partition_people(self, rows, seed, with_labels):
        subjects = [f"s{s}" for s, _ in rows]
        labels = [label for _, label in rows] if with_labels else None
        k = min(3, len(set(subjects)))
        assume(k > 1)
        splits = k_folds_by_subject(subjects, k, seed, labels)
        assert sorted(np.concatenate([s.test for s in splits]).tolist()) == [*range(len(rows))]
        assert len(splits) == k
        again = k_folds_by_subject(subjects, k, seed, labels)
        assert all((a.test == b.test).all() for a, b in zip(splits, again, strict=True))

    def test_with_labels_each_fold_has_each_class(self):
        subjects = np.repeat([f"s{i:02d}" for i in range(12)], 5)
        labels = np.repeat([0] * 6 + [1] * 3 + [2] * 3, 5)
        for split in k_folds_by_subject(subjects, 3, 0, labels):
            assert np.bincount(labels[split.test]).tolist() == [10, 5, 5]

    def test_another_seed_gives_other_folds(self):
        subjects = [f"s{i}" for i in range(20)]
        one, two = (k_folds_by_subject(subjects, 4, seed) for seed in (0, 1))
        assert any(a.test.tolist() != b.test.tolist() for a, b in zip(one, two, strict=True))

    def test_inner_splits_of_few_subjects_are_fewer(self):
        assert len(inner_splits(["a", "b", "b"], [0, 1, 0])) == 2
        with pytest.raises(EvaluationError, match="1 folds of 1 subjects"):
            inner_splits(["a", "a"], [0, 1])
        with pytest.raises(EvaluationError, match="3 subjects, but 2 labels"):
            inner_splits(["a", "b", "c"], [0, 1])


class TestScikitLearn:
    def test_serves_as_cv(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
        groups = np.repeat([f"s{i}" for i in range(8)], 5)
        model = LogisticRegression()
        mine = cross_val_score(model, x, y, groups=groups, cv=SubjectSplitter())
        theirs = cross_val_score(model, x, y, groups=groups, cv=LeaveOneGroupOut())
        assert mine.tolist() == theirs.tolist()
        assert SubjectSplitter().get_n_splits(groups=groups) == 8

    def test_databases_and_aliases(self):
        splitter = SubjectSplitter(
            leave_one_database_out, databases=BASES, aliases={"b/01": "a/01"}
        )
        train, test = next(splitter.split(None, None, SUBJECTS))
        assert (train.tolist(), test.tolist()) == ([5, 6, 7], [0, 1, 2, 3])

    def test_without_groups_is_reported(self):
        with pytest.raises(EvaluationError, match="groups="):
            SubjectSplitter().get_n_splits()


@pytest.mark.parametrize(
    ("train", "test"),
    [([-1], [2]), ([0], [99]), ([0.5], [2]), ([0], [-1]), ([0], [True]), (["0"], [2])],
)
def test_rows_that_are_none(train, test):
    with pytest.raises(EvaluationError, match=r"rows are not whole numbers of 0\.\.7"):
        Split("odd", train, test, SUBJECTS)


def test_seeds_and_draws_below_0():
    with pytest.raises(EvaluationError, match="seed -1 is below 0"):
        k_folds_by_subject(SUBJECTS, 2, seed=-1)
    fold = loso(SUBJECTS)[0]
    with pytest.raises(EvaluationError, match="draw -1 is below 0"):
        draw_training(fold, SUBJECTS, [0] * len(fold.train), TrainingDraw(1, -1))
