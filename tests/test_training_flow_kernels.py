"""The controls on flow: equal to scikit-learn's, blind to head shift, scale and the left-out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("sklearn")

from sklearn.decomposition import PCA  # noqa: E402
from sklearn.kernel_ridge import KernelRidge  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.metrics.pairwise import euclidean_distances  # noqa: E402

from ma2mi.errors import EvaluationError  # noqa: E402
from ma2mi.evaluation import run_benchmark  # noqa: E402
from ma2mi.evaluation.splits import inner_splits  # noqa: E402
from ma2mi.experiment.entries import BUILDERS, Entry  # noqa: E402
from ma2mi.models.catalog import MODELS  # noqa: E402
from ma2mi.training.flow_kernels import FlowPCA, RBFRidge, flow_views, signed_root  # noqa: E402
from ma2mi.training.ridge import solve_dual, solve_primal  # noqa: E402

TARGETS = np.array([[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1]])


def draw(seed=0, n=36, width=50, people=6, signal=0.0):
    """Clips [n, 2, width] in two views, labels, subjects."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=[0.6, 0.25, 0.15])
    labels[:3] = [0, 1, 2]
    clips = rng.normal(size=(n, 2, width)) * np.linspace(3, 0.2, width)
    clips += signal * TARGETS[labels][:, None] @ np.eye(3, width)
    return clips, labels.astype(np.int64), np.array([f"p{i % people}" for i in range(n)])


def weights_of(labels):
    return (len(labels) / (3 * np.maximum(np.bincount(labels, minlength=3), 1)))[labels]


def ridge_of(z, labels, strength):
    """Scikit-learn's ridge with the classes' weights, and a penalty relative to the features."""
    weights = weights_of(labels)
    centred = z - np.average(z, axis=0, weights=weights)
    alpha = strength * (weights * (centred**2).sum(1)).mean()
    return Ridge(alpha=alpha).fit(z, TARGETS[labels], weights)


class TestFlowViews:
    def test_head_shift_and_scale_are_gone_and_nothing_else(self, pairs):
        views = flow_views(pairs, size=64)
        assert views.shape == (24, 2, 28 * 28 * 2)
        u, v = np.moveaxis(views.reshape(24, 2, 28, 28, 2), -1, 0)
        for each in (u, v):
            assert abs(np.median(each, axis=(2, 3))).max() < 1e-6
        np.testing.assert_allclose(np.square(views).mean(axis=2), 1, rtol=1e-4)
        shifted = pairs.action.astype(np.float32) * 4
        shifted[..., :2] += (2.0, -3.0)
        moved = replace(pairs, action=shifted)
        np.testing.assert_allclose(flow_views(moved, size=64), views, atol=2e-5)
        # What lifts the upper left still does.
        assert v[0, 0, :14, :14].min() < -2
        assert abs(v[0, 0, 20:, 20:]).max() < 0.2

    def test_the_second_view_is_the_mirror_image(self, pairs):
        turned = pairs.action[:, :, ::-1].copy()
        turned[..., 0] *= -1
        views, mirrored = flow_views(pairs, 64), flow_views(replace(pairs, action=turned), 64)
        np.testing.assert_allclose(mirrored[:, ::-1], views, atol=1e-4)

    @pytest.mark.parametrize("size", [28, 56, 64, 72])
    def test_cells_are_those_of_opencv(self, pairs, size):
        margin = (72 - size) // 2
        inner = slice(margin, 72 - margin)
        flow = pairs.action[3, inner, inner, :2].astype(np.float32)
        cells = cv2.resize(flow, (28, 28), interpolation=cv2.INTER_AREA)
        cells -= np.median(cells, axis=(0, 1))
        mine = flow_views(pairs, size)[3, 0].reshape(28, 28, 2)
        np.testing.assert_allclose(mine, cells / np.sqrt((cells**2).mean()), atol=1e-4)

    def test_small_flow_stays_and_no_movement_is_zero(self, pairs):
        small = replace(pairs, action=pairs.action[:, 24:44, 24:44])
        assert flow_views(small).shape == (24, 2, 20 * 20 * 2)
        still = replace(pairs, action=np.full_like(pairs.action, 0.25))
        assert not flow_views(still).any()

    def test_signed_root(self):
        assert signed_root(np.array([-4.0, 0.0, 9.0])).tolist() == [-2, 0, 3]


class TestFlowPCA:
    def test_equals_sklearn(self):
        clips, labels, subjects = draw()
        learner = FlowPCA(3, components=(5,), strengths=(0.3,))
        predictor = learner.fit(clips, labels, subjects)
        assert predictor.chosen == {
            "components": 5,
            "strength": 0.3,
            "chosen_on": "nothing: given",
        }
        y = np.repeat(labels, 2)
        pca = PCA(5).fit(clips.reshape(72, 50))
        z = pca.transform(clips.reshape(72, 50))
        expected = ridge_of(z, y, 0.3).predict(pca.transform(clips[:, 0]))
        scores = clips[:, 0] @ predictor.weights + predictor.offset
        np.testing.assert_allclose(scores, expected, atol=1e-9)
        assert np.array_equal(predictor.predict(clips).argmax(1), expected.argmax(1))
        np.testing.assert_allclose(predictor.predict(clips).sum(1), 1)

    def test_the_choice_is_that_of_sklearn_on_inner_subjects(self):
        from ma2mi.evaluation.metrics import uar

        clips, labels, subjects = draw(n=60, signal=1.5, people=7)
        grid = [(k, s) for k in (1, 3, 9) for s in (1.0, 0.1)]
        reached = []
        for k, strength in grid:
            guess = np.empty_like(labels)
            for split in inner_splits(subjects.tolist(), labels, 5, 2):
                train, y = clips[split.train].reshape(-1, 50), np.repeat(labels[split.train], 2)
                pca = PCA(k).fit(train)
                z = pca.transform(train)
                ridge = ridge_of(z, y, strength)
                guess[split.test] = ridge.predict(pca.transform(clips[split.test, 0])).argmax(1)
            reached.append(uar(labels, guess, 3, "present"))
        assert len(set(reached)) > 2
        learner = FlowPCA(3, components=(1, 3, 9), strengths=(1.0, 0.1), seed=2)
        chosen = learner.fit(clips, labels, subjects).chosen
        assert (chosen["components"], chosen["strength"]) == grid[int(np.argmax(reached))]
        assert chosen["chosen_on"] == "inner folds of the training subjects"

    def test_more_components_than_there_are(self):
        clips, labels, subjects = draw(n=4, people=2)
        predictor = FlowPCA(3, components=(64,), strengths=(1.0,)).fit(clips, labels, subjects)
        assert predictor.chosen["components"] == 7  # 8 rows, centred
        assert FlowPCA(3).fit(clips, labels, subjects).predict(clips).shape == (4, 3)


class TestRBFRidge:
    def test_equals_sklearn(self):
        clips, labels, subjects = draw()
        predictor = RBFRidge(3, widths=(0.7,), strengths=(0.1,)).fit(clips, labels, subjects)
        x, y = clips.reshape(72, 50), np.repeat(labels, 2)
        middle = np.median(euclidean_distances(clips[:, 0])[np.triu_indices(36, k=1)])
        gamma = 1 / (2 * (0.7 * middle) ** 2)
        # The diagonal is 1, and the weights' mean is 1: a strength of 0.1, twice for two views.
        ridge = KernelRidge(alpha=0.2, kernel="rbf", gamma=gamma)
        ridge.fit(x, TARGETS[y], sample_weight=weights_of(y))
        expected = ridge.predict(clips[:, 0])
        squared = 2 * (0.7 * middle) ** 2
        assert predictor.spread == pytest.approx(squared)
        scores = np.exp(-(euclidean_distances(clips[:, 0], x) ** 2) / squared)
        np.testing.assert_allclose(scores @ predictor.coefficients, expected, atol=1e-8)
        assert np.array_equal(predictor.predict(clips).argmax(1), expected.argmax(1))

    def test_learns_what_no_straight_line_can(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(240, 2, 2))
        labels = (x[:, 0, 0] * x[:, 0, 1] > 0).astype(np.int64)  # exclusive or
        x[:, 1] = -x[:, 0]  # the second view keeps the class
        subjects = np.array([f"p{i % 8}" for i in range(240)])
        train = slice(0, 120)
        reached = [
            (learner.fit(x[train], labels[train], subjects[train]).predict(x).argmax(1) == labels)[
                120:
            ].mean()
            for learner in (RBFRidge(2), FlowPCA(2, components=(2,)))
        ]
        assert reached[0] > 0.85
        assert reached[1] < 0.7

    def test_zeros_are_refused(self):
        clips, labels, subjects = draw()
        for learner in (RBFRidge(3), FlowPCA(3, components=(2,), strengths=(1.0,))):
            with pytest.raises(EvaluationError, match="features are all zero"):
                learner.fit(clips * 0, labels, subjects)


@pytest.mark.parametrize("absent", [False, True])
def test_primal_is_that_of_sklearn_and_of_the_dual(absent):
    clips, labels, _ = draw(width=8)
    labels = np.where(labels == 2, 0, labels) if absent else labels
    x, weights = clips[:, 0] + 3.0, weights_of(labels)
    fitted, offset = solve_primal(x, labels, 3, 0.3)
    ridge = ridge_of(x, labels, 0.3)
    np.testing.assert_allclose(fitted, ridge.coef_.T, atol=1e-10)
    np.testing.assert_allclose(offset, ridge.intercept_, atol=1e-10)
    # On centred features any offset is orthogonal to them: the dual without one is the same.
    centred = x - np.average(x, axis=0, weights=weights)
    dual = centred.T @ solve_dual(centred @ centred.T, labels, 3, 0.3)
    np.testing.assert_allclose(fitted, dual, atol=1e-10)
    if absent:
        assert ((x @ fitted + offset).argmax(1) != 2).all()


CONTROLS = ("majority", "flow-svm", "flow-pca", "pixels-rbf")


def test_the_controls_are_complete():
    assert set(BUILDERS) == {*CONTROLS, "random-ridge", "mixed-kernel", *MODELS}


@pytest.mark.parametrize("name", CONTROLS)
class TestEveryControl:
    def fitted(self, name, pairs, labels):
        learner, clips = Entry(name, size=64).build_learner(pairs, ("up", "right"), (0,))
        result = run_benchmark(
            learner,
            clips,
            labels,
            pairs.subjects.tolist(),
            keys=pairs.keys.tolist(),
            protocol="loso",
            classes=("up", "right"),
            backend="sequential",
        )
        return learner, clips, result

    def test_finds_what_moves(self, name, pairs, labels):
        learner, _, result = self.fitted(name, pairs, labels)
        assert learner.name == name
        # Two of the components do for 20 of the 24 here, and the fewest of equals are taken.
        expected = {"majority": 0.25, "flow-pca": 0.8}.get(name, 0.9)
        assert result.scores()["mean"]["uf1"] >= expected

    def test_neither_labels_nor_clips_of_the_left_out_reach_it(self, name, pairs, labels):
        mine = pairs.subjects == "p2"
        _, clips, before = self.fitted(name, pairs, labels)
        action = pairs.action.copy()
        action[mine] = np.random.default_rng(0).normal(size=action[mine].shape)
        _, changed, _ = self.fitted(name, replace(pairs, action=action), labels)
        # A clip's features are its own: to the bit, whatever the others are.
        assert np.array_equal(np.asarray(changed)[~mine], np.asarray(clips)[~mine])
        after = self.fitted(name, pairs, np.where(mine, 1 - labels, labels))[2]
        assert after.folds[2].subjects == ("p2",) * 4
        assert after.folds[2].probabilities == before.folds[2].probabilities

    def test_one_subject_or_one_class_is_enough_to_fit(self, name, pairs, labels):
        learner, clips = Entry(name, size=64).build_learner(pairs, ("up", "right"), (0,))
        for rows in (pairs.subjects == "p0", labels == 0):
            predictor = learner.fit(clips[rows], labels[rows], pairs.subjects[rows])
            probabilities = predictor.predict(clips)
            np.testing.assert_allclose(probabilities.sum(1), 1)
        assert (probabilities.argmax(1) == 0).all()
