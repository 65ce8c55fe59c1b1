"""The mixed kernel: exact without refitting, the mean of all views, chosen on training subjects."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from scipy.special import softmax
from sklearn.metrics.pairwise import rbf_kernel

from ma2mi.errors import EvaluationError
from ma2mi.evaluation import run_benchmark
from ma2mi.evaluation.metrics import uf1
from ma2mi.training.mixed_kernel import (
    STRENGTHS,
    MixedKernel,
    fit_biases,
    fit_temperature,
)
from ma2mi.training.ridge import leave_groups_out, solve_dual
from ma2mi.training.set_kernels import Mix, SetClips, all_mixes, given_mix

CLASSES = ("a", "b", "c")
A, B = Mix((("a", 1.0),)), Mix((("b", 1.0),))
BOTH = Mix((("a", 0.5), ("b", 0.5)))
ROUND = Mix((("a", 0.5), ("b", 0.5)), width=0.8)


def draw(seed=0, n=48, subjects=8, signal=0.0):
    """Blocks "a" (with the class, if ``signal``) and "b" (without) of unit rows, 2 views each."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=[0.6, 0.25, 0.15])
    labels[:3] = [0, 1, 2]
    blocks = {"a": rng.normal(size=(n, 2, 9)), "b": rng.normal(size=(n, 2, 30))}
    blocks["a"] += signal * np.eye(9)[labels][:, None]
    unit = {k: x / np.linalg.norm(x, axis=2, keepdims=True) for k, x in blocks.items()}
    return unit, labels.astype(np.int64), np.array([f"s{i % subjects}" for i in range(n)])


def test_leaving_groups_out_is_refitting_without_them():
    blocks, labels, subjects = draw()
    kernel = SetClips.of(blocks).kernel(BOTH)
    groups = [np.flatnonzero(subjects == s) for s in np.unique(subjects)]
    scores, coefficients = leave_groups_out(kernel, labels, groups, 3, 0.3)
    np.testing.assert_allclose(coefficients, solve_dual(kernel, labels, 3, 0.3), atol=1e-10)
    # Weights and penalty stay those of all rows.
    weights = (48 / (3 * np.bincount(labels)))[labels]
    penalty = 0.3 * (weights * np.diagonal(kernel)).mean()
    targets = np.where(np.eye(3)[labels] == 1, 1.0, -0.5)
    for group in groups:
        rest = np.setdiff1d(np.arange(48), group)
        system = kernel[np.ix_(rest, rest)] + np.diag(penalty / weights[rest])
        refitted = kernel[np.ix_(group, rest)] @ np.linalg.solve(system, targets[rest])
        np.testing.assert_allclose(scores[group], refitted, atol=1e-10)


class TestSetKernels:
    def test_a_linear_mix_is_the_inner_product_of_mean_views(self):
        blocks, _, _ = draw()
        a, b = (blocks[name].mean(axis=1) for name in "ab")
        np.testing.assert_allclose(SetClips.of(blocks).kernel(BOTH), (a @ a.T + b @ b.T) / 2)

    def test_a_gaussian_mix_is_scikit_learn_s_over_all_pairs_of_views(self):
        blocks, _, _ = draw(n=70)  # more than a chunk
        rows = np.concatenate([x.reshape(140, -1) for x in blocks.values()], axis=1) * 0.5**0.5
        wanted = rbf_kernel(rows, gamma=1 / (2 * 0.8**2)).reshape(70, 2, 70, 2).mean((1, 3))
        np.testing.assert_allclose(SetClips.of(blocks).kernel(ROUND), wanted)

    @pytest.mark.parametrize("mix", [A, BOTH, ROUND])
    def test_parts_of_a_set_see_slices_and_strangers_the_same_numbers(self, mix):
        blocks, _, _ = draw()
        whole = SetClips.of(blocks, [BOTH, ROUND])
        one, other = whole[np.array([5, 3, 7])], whole[np.array([1, 2])]
        wanted = SetClips.of(blocks).kernel(mix)[np.ix_([5, 3, 7], [1, 2])]
        np.testing.assert_allclose(one.kernel(mix, other), wanted)
        stranger = SetClips.of({name: x[[1, 2]] for name, x in blocks.items()})
        np.testing.assert_allclose(one.kernel(mix, stranger), wanted)
        np.testing.assert_allclose(stranger.kernel(mix, one), wanted.T)
        part = one[np.array([2, 0])]
        assert len(part) == 2
        np.testing.assert_allclose(part.kernel(mix, other), wanted[[2, 0]])

    def test_all_mixes(self):
        groups = [{"a": 1.0}, {"b": 0.6, "c": 0.4}]
        mixes = all_mixes(groups, None, 1.0)
        assert [dict(mix.weights) for mix in mixes[::2]] == [
            {"a": 0.5, "b": 0.3, "c": 0.2},
            {"a": 1.0},
            {"b": 0.6, "c": 0.4},
        ]
        assert [mix.width for mix in mixes] == [None, 1.0] * 3
        assert [mix.width for mix in all_mixes(groups)] == [None] * 3

    def test_the_given_mix_leaves_pixels_out_beside_a_network(self):
        groups = [{"pixels": 1.0}, {"grid": 1.0}, {"classes": 0.6, "units": 0.4}]
        mix = given_mix(groups)
        assert dict(mix.weights) == pytest.approx({"grid": 0.5, "classes": 0.3, "units": 0.2})
        assert mix.width == 1.0
        assert given_mix(groups[:1]) == Mix((("pixels", 1.0),), 1.0)


class TestMixedKernel:
    @pytest.mark.parametrize("choose_by", ["uf1", "error"])
    def test_mix_and_strength_are_chosen_on_training_subjects(self, choose_by):
        blocks, labels, subjects = draw(signal=2.0)
        clips = SetClips.of(blocks, [A, B])
        learner = MixedKernel(3, (B, A), STRENGTHS, choose_by)
        predictor = learner.fit(clips, labels, subjects)
        assert predictor.chosen["mix"] == {"weights": {"a": 1.0}, "width": None}
        assert predictor.chosen["chosen_on"] == "training subjects left out one by one"
        groups = [np.flatnonzero(subjects == s) for s in np.unique(subjects)]
        reached = []
        for mix in (B, A):
            for strength in STRENGTHS:
                left = leave_groups_out(clips.kernel(mix), labels, groups, 3, strength)[0]
                if choose_by == "uf1":
                    reached.append(uf1(labels, left.argmax(1), 3))
                else:  # every class weighs the same
                    error = ((left - np.where(np.eye(3)[labels] == 1, 1, -0.5)) ** 2).sum(1)
                    reached.append(-np.mean([error[labels == c].mean() for c in range(3)]))
        assert predictor.chosen["strength"] == STRENGTHS[int(np.argmax(reached)) % len(STRENGTHS)]

    @pytest.mark.parametrize("mix", [BOTH, ROUND])
    def test_the_prediction_is_the_mean_over_views_whatever_their_order(self, mix):
        blocks, labels, subjects = draw(signal=1.0)
        clips = SetClips.of(blocks, [mix])
        predictor = MixedKernel(3, (mix,)).fit(clips, labels, subjects)
        views = [{name: x[:, [v]] for name, x in blocks.items()} for v in (0, 1)]
        each = [predictor.scores(SetClips.of(view)) for view in views]
        np.testing.assert_allclose(predictor.scores(clips), np.mean(each, axis=0), atol=1e-12)
        turned = SetClips.of({name: x[:, ::-1] for name, x in blocks.items()})
        np.testing.assert_allclose(predictor.predict(turned), predictor.predict(clips), atol=1e-12)

    def test_its_weights_give_its_scores(self):
        blocks, labels, subjects = draw(signal=1.0)
        predictor = MixedKernel(3, (BOTH,)).fit(SetClips.of(blocks), labels, subjects)
        new, _, _ = draw(seed=1)
        scores = sum(new[name].mean(axis=1) @ w for name, w in predictor.weights().items())
        np.testing.assert_allclose(predictor.scores(SetClips.of(new)), scores, atol=1e-12)
        with pytest.raises(EvaluationError, match="no weights"):
            MixedKernel(3, (ROUND,)).fit(SetClips.of(blocks), labels, subjects).weights()

    def test_leaves_subjects_out_on_parts_of_the_whole_set(self):
        blocks, labels, subjects = draw(signal=3.0)
        result = run_benchmark(
            MixedKernel(3, all_mixes([{"a": 1.0}, {"b": 1.0}]), STRENGTHS),
            SetClips.of(blocks, all_mixes([{"a": 1.0}, {"b": 1.0}])),
            labels,
            subjects.tolist(),
            keys=[str(i) for i in range(48)],
            protocol="loso",
            classes=CLASSES,
            clips_hash="drawn",
        )
        pool = result.pool()
        assert (pool.truth == pool.predicted).mean() > 0.9
        assert {fold.chosen["strength"] for fold in result.folds} <= set(STRENGTHS)

    def test_one_subject_has_nobody_to_choose_on(self):
        blocks, labels, subjects = draw()
        learner = MixedKernel(3, (BOTH, A), STRENGTHS)
        predictor = learner.fit(SetClips.of(blocks), labels, subjects == "nobody")
        assert predictor.chosen["chosen_on"] == "nothing: one subject"
        assert predictor.chosen["strength"] == 0.3
        np.testing.assert_allclose(predictor.predict(SetClips.of(blocks)).sum(1), 1)

    def test_a_block_of_zeros_is_passed_over_and_zeros_alone_are_refused(self):
        blocks, labels, subjects = draw()
        clips = SetClips.of({**blocks, "a": 0 * blocks["a"]})
        fitted = MixedKernel(3, (A, B)).fit(clips, labels, subjects)
        assert fitted.chosen["mix"]["weights"] == {"b": 1.0}
        with pytest.raises(EvaluationError, match="features are all zero"):
            MixedKernel(3, (A,)).fit(clips, labels, subjects)


def test_the_temperature_is_the_one_that_drew_the_labels():
    rng = np.random.default_rng(0)
    scores = 0.3 * rng.normal(size=(4000, 3))
    likely = np.exp(scores / 0.15)
    labels = np.array([rng.choice(3, p=p / p.sum()) for p in likely])
    assert fit_temperature(scores, labels) == pytest.approx(0.15, rel=0.1)


def test_biases_lift_what_uf1_loses():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, size=600, p=[0.7, 0.2, 0.1]).astype(np.int64)
    scores = 0.3 * np.eye(3)[labels] + 0.2 * rng.normal(size=(600, 3)) - (0, 0.2, 0.2)
    biases = fit_biases(scores, labels)
    assert biases.sum() == pytest.approx(0)
    assert biases[0] < min(biases[1:])
    gain = uf1(labels, (scores + biases).argmax(1), 3) - uf1(labels, scores.argmax(1), 3)
    assert gain > 0.02


def test_a_handful_of_clips_all_right_make_nothing_certain():
    labels = np.array([0, 1, 2] * 3)
    scores = np.eye(3)[labels]  # all right, by far
    temperature = fit_temperature(scores, labels)
    stated = softmax(scores / temperature, axis=1).max(1)
    # One more clip of each class called by chance: (9 + 1) / (9 + 3).
    assert stated == pytest.approx(np.full(9, 10 / 12), abs=1e-3)
