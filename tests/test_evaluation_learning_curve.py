"""Learning curves: paired draws that show all classes, tests counted by hand and against SciPy."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ma2mi.errors import EvaluationError, StoreError
from ma2mi.evaluation import (
    LearningCurve,
    TrainingDraw,
    compare_curves,
    draw_training,
    load_curve,
    run_benchmark,
    run_learning_curve,
)
from ma2mi.evaluation.curve_folder import is_curve, load_curves
from ma2mi.evaluation.metrics import uf1
from ma2mi.evaluation.splits import loso
from ma2mi.files import Busy, hold

CLASSES = ("negative", "positive", "surprise")


@dataclass
class NearestMean:
    """Softmax over distances to the class means, with ``noise`` of its own by seed."""

    noise: float = 0.0
    seed: int = 0
    name: str = "nearest-mean"
    fails_on: str = ""

    @property
    def settings(self):
        return {"noise": self.noise}

    def reseed(self, seed):
        return replace(self, seed=seed)

    def fit(self, clips, labels, subjects):
        if self.fails_on and self.fails_on in subjects:
            raise RuntimeError("the lights went out")
        total = self.noise * np.random.default_rng(self.seed).normal(size=(3, clips.shape[1]))
        np.add.at(total, labels, clips)
        self.means = total / np.maximum(np.bincount(labels, minlength=3), 1)[:, None]
        return self

    def predict(self, clips):
        logits = -((clips[:, None] - self.means) ** 2).sum(axis=-1)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


def a_set(subject_count=8, clips=6, signal=2.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(subject_count * clips) % 3)
    x = rng.normal(size=(len(labels), 5))
    x[np.arange(len(labels)), labels] += signal
    subjects = [f"s{i // clips:02d}" for i in range(len(labels))]
    return x, labels, subjects, [f"clip{i:03d}" for i in range(len(labels))]


def trace(learner, data=None, **options):
    x, labels, subjects, keys = data or a_set()
    options = {"protocol": "loso", "classes": CLASSES, "sizes": (2, 5), "draws": 3, **options}
    options = {"backend": "sequential", **options}
    return run_learning_curve(learner, x, labels, subjects, keys=keys, **options)


def trained(curve, size):
    return [[fold.train_subjects for fold in run.folds] for run in curve.at(size)]


#: Subjects, each with the classes of its clips.
studies = st.lists(
    st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=3, max_size=7
).flatmap(lambda shown: st.tuples(st.just(shown), st.integers(1, len(shown) - 1)))


class TestDraws:
    @settings(deadline=None)
    @given(studies, st.integers(0, 50))
    def test_as_many_classes_occur_as_so_few_subjects_can_show(self, study, draw):
        shown, count = study
        ids = np.array([f"s{i}" for i, classes in enumerate(shown) for _ in classes])
        labels = np.array([c for classes in shown for c in classes])
        split = loso(ids)[0]
        fewer = draw_training(split, ids, labels[split.train], TrainingDraw(count, draw))
        assert len(fewer.train_subjects) == count
        assert fewer.test.tolist() == split.test.tolist()
        assert set(fewer.train_subjects) <= set(split.train_subjects)
        # All clips of those who were drawn, and no other's.
        assert fewer.train.tolist() == np.flatnonzero(np.isin(ids, fewer.train_subjects)).tolist()
        best = max(
            len(set().union(*(shown[i] for i in some)))
            for some in itertools.combinations(range(1, len(shown)), count)
        )
        assert len(np.unique(labels[fewer.train])) == best

    def test_everybody_is_drawn_and_equally_often(self):
        ids = np.repeat([f"s{i}" for i in range(11)], 3)
        split, labels = loso(ids)[0], np.tile([0, 1, 2], 11)
        often = dict.fromkeys(split.train_subjects, 0)
        for draw in range(2000):
            for name in draw_training(
                split, ids, labels[split.train], TrainingDraw(3, draw)
            ).train_subjects:
                often[name] += 1
        # 600 times each, within four standard deviations.
        assert all(abs(count - 600) < 4 * (2000 * 0.3 * 0.7) ** 0.5 for count in often.values())

    def test_larger_draws_contain_smaller_ones_where_all_show_everything(self):
        ids = np.repeat([f"s{i}" for i in range(9)], 3)
        split, labels = loso(ids)[0], np.tile([0, 1, 2], 9)
        drawn = [
            set(draw_training(split, ids, labels[split.train], TrainingDraw(n, 4)).train_subjects)
            for n in (2, 3, 6)
        ]
        assert drawn[0] < drawn[1] < drawn[2]

    def test_folds_and_draws_differ_and_entries_do_not(self):
        curve, other = trace(NearestMean()), trace(NearestMean(noise=4.0, name="other"))
        assert trained(curve, 2) == trained(other, 2)
        assert trained(curve, 5) == trained(other, 5)
        draws = trained(curve, 2)
        assert len({tuple(draw) for draw in draws}) == 3
        assert len(set(draws[0])) > 3
        assert trained(trace(NearestMean(), draws=1), 2) == draws[:1]

    def test_labels_of_the_left_out_do_not_matter(self):
        x, labels, subjects, keys = a_set()
        mine = np.array(subjects) == "s02"
        changed = np.where(mine, (labels + 1) % 3, labels)
        before, after = (
            trace(NearestMean(), (x, these, subjects, keys)) for these in (labels, changed)
        )
        for size in (2, 5):
            for one, other in zip(before.at(size), after.at(size), strict=True):
                assert one.folds[2].train_subjects == other.folds[2].train_subjects
                assert one.folds[2].probabilities == other.folds[2].probabilities

    def test_units_count_as_classes(self):
        ids = np.repeat(list("abcd"), 2)
        units = np.zeros((8, 3), int)
        units[2:4, 0], units[4:6, 1], units[6:, 2] = 1, 1, 1
        split = loso(ids)[0]
        drawn = draw_training(split, ids, units[split.train], TrainingDraw(3))
        assert drawn.train_subjects == ("b", "c", "d")


class TestCurve:
    def test_more_subjects_help_and_the_score_is_the_mean_over_draws_and_seeds(self):
        data = a_set(subject_count=12, clips=4, signal=1.2)
        curve = trace(NearestMean(noise=2.0), data, seeds=(0, 3))
        assert curve.sizes == (2, 5)
        each = [
            [uf1(pool.truth, pool.predicted, 3) for seed in (0, 3) for pool in [run.pool(seed)]]
            for run in curve.at(5)
        ]
        estimate = curve.estimate(5)
        assert estimate.value == pytest.approx(np.mean(each), abs=1e-12)
        assert curve.draw_scores(5) == pytest.approx(np.mean(each, axis=1), abs=1e-12)
        assert estimate.low < estimate.value < estimate.high
        assert curve.estimate(2).value < estimate.value
        assert curve.counts(5).shape == (12, 3, 2, 3, 3)

    def test_a_class_that_cannot_occur_is_reported(self):
        x, labels, subjects, keys = a_set()
        # Surprise is shown by s00 alone: without that subject no clip can show it.
        labels = np.where(labels == 2, 0, labels)
        labels[:2] = 2
        curve = trace(NearestMean(), (x, labels, subjects, keys))
        assert curve.notes() == [
            "2 training subjects: in 3 of 24 folds no training subject shows surprise",
            "5 training subjects: in 3 of 24 folds no training subject shows surprise",
        ]

    def test_a_protocol_that_trains_nothing_is_a_level_line(self, tmp_path):
        predictor = NearestMean()
        predictor.means = 2 * np.eye(3, 5)
        level = trace(predictor, protocol="zero-shot", out=tmp_path / "level")
        assert level.is_level
        assert (level.sizes, len(level.at(5))) == ((), 1)
        assert level.estimate(5) == level.estimate(2)
        assert load_curve(tmp_path / "level") == level

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"sizes": (2, 8)}, "8 training subjects .* leaves out s00 has 7. Take up to 7"),
            ({"sizes": ()}, "sizes none"),
            ({"sizes": (0, 2)}, "from 1 on"),
            ({"sizes": (2, 2)}, "once"),
            ({"draws": 0}, "1 draw or more"),
        ],
    )
    def test_impossible_sizes_are_told_before_anything_is_fitted(self, options, message):
        with pytest.raises(EvaluationError, match=message):
            trace(NearestMean(fails_on="s01"), **options)


def files_of(folder: Path):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "timings.csv"
    }


class TestFolder:
    def test_is_read_back_and_each_draw_is_a_run(self, tmp_path):
        finished = []
        curve = trace(NearestMean(), out=tmp_path / "curve", on_run=finished.append)
        assert is_curve(tmp_path / "curve")
        assert load_curve(tmp_path / "curve") == curve
        assert len(finished) == 6
        level = load_curve(tmp_path / "curve/subjects-0002/draw-1")
        assert level.at(3) == (curve.at(2)[1],)
        assert level.record.training == TrainingDraw(2, 1)

    def test_equal_names_are_told_apart_by_their_folders(self, tmp_path):
        for name in ("one", "two"):
            trace(NearestMean(), out=tmp_path / name, draws=1)
        trace(NearestMean(name="other"), out=tmp_path / "three", draws=1)
        curves = load_curves([tmp_path / name for name in ("one", "two", "three")])
        assert [c.name for c in curves] == ["nearest-mean [one]", "nearest-mean [two]", "other"]
        assert compare_curves(curves[0], curves[1])[2].p == 1.0

    def test_an_interrupted_curve_goes_on_to_the_same_bytes(self, tmp_path):
        whole = trace(NearestMean(), out=tmp_path / "whole")
        # Fails in the first fold that trains on s01.
        with pytest.raises(EvaluationError, match="lights"):
            trace(NearestMean(fails_on="s01"), out=tmp_path / "cut")
        with pytest.raises(EvaluationError, match="has not finished"):
            load_curve(tmp_path / "cut")
        heard = []
        again = trace(NearestMean(), out=tmp_path / "cut", on_progress=heard.append, jobs=2)
        assert sum(p.detail.resumed for p in heard) > 0
        assert [p.done for p in heard] == list(range(1, 49))
        assert {p.total for p in heard} == {48}
        assert again == whole
        assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")

    def test_more_sizes_and_draws_keep_what_is_there(self, tmp_path):
        trace(NearestMean(), out=tmp_path / "curve", draws=2)
        heard = []
        more = trace(
            NearestMean(),
            out=tmp_path / "curve",
            sizes=(2, 3, 5),
            draws=3,
            on_progress=heard.append,
        )
        assert sum(p.detail.resumed for p in heard) == 2 * 2 * 8
        assert more == trace(NearestMean(), sizes=(2, 3, 5))
        assert load_curve(tmp_path / "curve") == more

    def test_two_at_once_are_one_and_a_line(self, tmp_path):
        with hold(tmp_path / "curve"), pytest.raises(Busy, match="another process is writing"):
            trace(NearestMean(), out=tmp_path / "curve")
        (tmp_path / "file").write_text("notes")
        with pytest.raises(StoreError, match="A file stands where a folder is needed"):
            trace(NearestMean(), out=tmp_path / "file" / "inner")

    def test_what_is_something_else_is_refused(self, tmp_path):
        trace(NearestMean(), out=tmp_path / "curve")
        with pytest.raises(EvaluationError, match="holds the learning curve of nearest-mean"):
            trace(NearestMean(name="other"), out=tmp_path / "curve")
        with pytest.raises(EvaluationError, match="other settings"):
            trace(NearestMean(noise=1.0), out=tmp_path / "curve")
        (tmp_path / "attic").mkdir()
        (tmp_path / "attic/letters.txt").write_text("dear")
        with pytest.raises(EvaluationError, match="holds files, but no learning curve"):
            trace(NearestMean(), out=tmp_path / "attic")
        (tmp_path / "curve/curve.json").write_text("{}")
        with pytest.raises(EvaluationError, match="no learning curve here"):
            load_curve(tmp_path / "curve")
        with pytest.raises(EvaluationError, match="no run here"):
            load_curve(tmp_path / "nowhere")


class Says:
    """Says the label of the clips with an even number drawn below ``skill``; else the next one."""

    settings: dict = {}  # noqa: RUF012

    def __init__(self, name, right):
        self.name, self.right, self.seed = name, np.asarray(right), 0

    def reseed(self, seed):
        self.seed = seed
        return self

    def fit(self, clips, labels, subjects):
        self.first = subjects[0]
        return self

    def predict(self, clips):
        """``clips``: (number, label); right[..., number] by training subject and seed."""
        number, label = clips.T
        right = self.right[(int(self.first[1:]) + self.seed) % len(self.right), number]
        return np.eye(2)[np.where(right, label, 1 - label)]


def says(name, right, **options):
    """Two clips of classes 0 and 1 of each of five subjects; right [variants, 10]."""
    clips = np.stack([np.arange(10), np.arange(10) % 2], axis=1)
    return run_learning_curve(
        Says(name, right),
        clips,
        clips[:, 1],
        [f"s{i // 2}" for i in range(10)],
        keys=[f"k{i}" for i in range(10)],
        protocol="loso",
        classes=("a", "b"),
        **{"sizes": (2,), "draws": 2, "backend": "sequential", **options},
    )


class TestCompare:
    def test_by_hand(self):
        # The first is right of all clips, the second of none, in both draws. Only the swaps of
        # none and of all five subjects give a difference of 1: p = 2 / 2^5, however many draws.
        always, never = says("always", np.ones((1, 10))), says("never", np.zeros((1, 10)))
        test = compare_curves(always, never)[2]
        assert (test.difference, test.p, test.exact, test.swaps) == (1.0, 2 / 32, True, 32)
        assert compare_curves(never, always)[2].difference == -1.0
        same = compare_curves(always, always)[2]
        assert (same.difference, same.p) == (0.0, 1.0)

    def test_equals_scipy(self):
        rng = np.random.default_rng(5)
        first = says("first", rng.random((3, 10)) < 0.9, seeds=(0, 1))
        second = says("second", rng.random((3, 10)) < 0.4, seeds=(0, 1))
        mine = compare_curves(first, second)[2]
        counts = [curve.counts(2) for curve in (first, second)]

        def difference(one, other, axis):
            """SciPy permutes subjects' numbers: 0..4 are the first's results, 5..9 the second's."""
            every = np.concatenate(counts)
            scores = [
                uf1_by_hand(every[rows.astype(int)].sum(axis=-5)).mean(axis=(-1, -2))
                for rows in (one, other)
            ]
            return scores[0] - scores[1]

        theirs = stats.permutation_test(
            (np.arange(5.0), np.arange(5.0, 10)),
            difference,
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        )
        assert mine.difference == pytest.approx(theirs.statistic, abs=1e-12)
        # Theirs doubles the smaller tail; the law is symmetric under swaps, so both agree.
        assert mine.p == pytest.approx(theirs.pvalue, abs=1e-12)
        assert 0 < mine.p < 1

    def test_seeds_that_differ_in_number_are_repeated(self):
        rng = np.random.default_rng(6)
        right, wrong = rng.random((4, 10)) < 0.8, rng.random((1, 10)) < 0.5
        many, once = says("many", right, seeds=(0, 1, 2)), says("once", wrong)
        # The second is the same whatever its seed.
        thrice = says("once", wrong, seeds=(0, 1, 2))
        assert compare_curves(many, once) == compare_curves(many, thrice)

    def test_a_level_line_meets_every_size(self):
        curve = says("curve", np.ones((1, 10)), sizes=(2, 3))
        level = LearningCurve("level", {0: says("never", np.zeros((1, 10))).at(2)[:1]})
        for tests in (compare_curves(curve, level), compare_curves(level, curve)):
            assert {size: abs(test.difference) for size, test in tests.items()} == {2: 1.0, 3: 1.0}
        assert list(compare_curves(level, level)) == [0]

    def test_p_is_uniform_when_nothing_differs(self):
        values = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            # Subjects differ in how hard they are, and draws of a subject are alike.
            skill = np.repeat(rng.uniform(0.2, 0.9, 12), 3)
            truth = rng.integers(0, 2, 36)
            runs = []
            for _ in range(2):
                right = rng.random(36) < skill
                runs.append(level_of(truth, np.where(right, truth, 1 - truth)))
            values.append(compare_curves(*runs, swaps=199, seed=seed)[0].p)
        assert stats.kstest(values, "uniform").pvalue > 0.01

    def test_what_is_not_paired_is_refused(self):
        curve = trace(NearestMean())
        with pytest.raises(EvaluationError, match="2 and 3 draws"):
            compare_curves(trace(NearestMean(), draws=2), curve)
        with pytest.raises(EvaluationError, match="other clips"):
            compare_curves(trace(NearestMean(), a_set(seed=1)), curve)
        with pytest.raises(EvaluationError, match="no number of training subjects in common"):
            compare_curves(trace(NearestMean(), sizes=(3,)), curve)
        with pytest.raises(EvaluationError, match="was not run with 4 training subjects"):
            curve.estimate(4)
        swapped = {2: curve.at(2)[::-1], 5: curve.at(5)}
        with pytest.raises(EvaluationError, match=r"2 training subjects: .* other subjects"):
            compare_curves(LearningCurve("swapped", swapped), curve)


def uf1_by_hand(confusion):
    """Of [..., 2, 2]: mean of 2 TP / (2 TP + FP + FN)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    marks = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return np.where(marks > 0, 2 * hits / np.maximum(marks, 1), 0).mean(axis=-1)


def level_of(truth, predicted):
    class Fixed:
        def predict(self, clips):
            return np.eye(2)[predicted]

    run = run_benchmark(
        Fixed(),
        np.zeros((36, 1)),
        truth,
        [f"s{i // 3:02d}" for i in range(36)],
        keys=[f"k{i}" for i in range(36)],
        protocol="zero-shot",
        classes=("a", "b"),
        backend="sequential",
    )
    return LearningCurve("fixed", {0: (run,)})
