"""The ridge is the weighted ridge of the textbook, and it learns nothing from who a person is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ma2mi.errors import EvaluationError  # noqa: E402
from ma2mi.evaluation import run_benchmark  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.frozen import extract_features  # noqa: E402
from ma2mi.training.ridge import DualRidge, compress  # noqa: E402

CLASSES = ("a", "b", "c")


def draw(seed=0, n=30, views=2, width=7, people=6):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=[0.6, 0.3, 0.1])
    labels[:3] = [0, 1, 2]
    return (
        rng.normal(size=(n, 1, views, width)),
        labels.astype(np.int64),
        np.array([f"p{i % people}" for i in range(n)]),
    )


@pytest.mark.parametrize("width", [7, 200])
def test_equals_the_weighted_ridge_in_its_primal_form(width):
    clips, labels, subjects = draw(width=width)
    predictor = DualRidge(3, strengths=(0.3,)).fit(clips, labels, subjects)
    # min_W sum_i c_i |W'x_i - t_i|^2 + penalty |W|^2: c_i lets the classes weigh the same, and
    # the penalty grows with the views, as the data does.
    x = clips.reshape(60, width)
    y = np.repeat(labels, 2)
    c = 60 / (3 * np.bincount(y))[y]
    assert [c[y == k].sum() for k in range(3)] == pytest.approx([20, 20, 20])
    t = np.where(np.eye(3)[y] == 1, 1.0, -0.5)
    penalty = 0.3 * 2 * (c * (x**2).sum(1)).mean()
    w = np.linalg.solve(x.T @ (c[:, None] * x) + penalty * np.eye(width), x.T @ (c[:, None] * t))
    np.testing.assert_allclose(predictor.weights, w, rtol=1e-8, atol=1e-10)
    scores = clips[:, 0, 0] @ w
    probabilities = predictor.predict(clips)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert np.array_equal(probabilities.argmax(1), scores.argmax(1))


def test_compress_keeps_every_inner_product_and_the_predictions():
    clips, labels, subjects = draw(width=300)
    small = compress(clips[:, 0].astype(np.float32))
    assert small.shape == (30, 2, 60)
    wide = clips[:, 0].astype(np.float32).astype(np.float64)
    x, z = wide.reshape(60, -1), small.reshape(60, -1)
    np.testing.assert_allclose(z @ z.T, x @ x.T, atol=1e-9 * (x**2).sum(1).max())
    train, test = np.arange(20), np.arange(20, 30)
    one, other = (
        DualRidge(3).fit(f[train, None], labels[train], subjects[train]).predict(f[test, None])
        for f in (wide, small)
    )
    np.testing.assert_allclose(one, other, atol=1e-9)
    few = draw(width=7)[0][:, 0]
    assert np.array_equal(compress(few), few)


def test_strength_is_chosen_on_training_people():
    clips, labels, subjects = draw(n=60)
    clips[..., 0] += 2.0 * labels[:, None, None]
    predictor = DualRidge(3).fit(clips, labels, subjects)
    assert predictor.chosen["strength"] in DualRidge(3).strengths
    assert predictor.chosen["chosen_on"] == "inner folds of the training subjects"


def test_learns_what_everybody_shares():
    rng = np.random.default_rng(1)
    labels = np.tile(np.arange(3), 20)
    subjects = np.repeat([f"p{i}" for i in range(10)], 6)
    clips = rng.normal(size=(60, 1, 2, 12)) + 4 * np.eye(12)[labels][:, None, None]
    result = run_benchmark(
        DualRidge(3),
        clips,
        labels,
        subjects.tolist(),
        keys=[str(i) for i in range(60)],
        protocol="loso",
        classes=CLASSES,
    )
    pool = result.pool()
    assert (pool.truth == pool.predicted).mean() > 0.9


def test_labels_that_follow_the_person_are_chance_when_that_person_is_left_out():
    """Features that name the person and nothing else; the label is the person's."""
    rng = np.random.default_rng(2)
    hits, clips_seen = 0, 0
    for _ in range(8):
        labels = np.repeat(rng.permutation(np.tile(np.arange(3), 4)), 4)
        subjects = np.repeat([f"p{i}" for i in range(12)], 4)
        person = rng.normal(size=(12, 30))
        clips = (np.repeat(person, 4, axis=0) + 0.1 * rng.normal(size=(48, 30)))[:, None, None]
        inside = DualRidge(3, strengths=(0.03,)).fit(clips, labels, subjects).predict(clips)
        assert (inside.argmax(1) == labels).mean() == 1.0
        result = run_benchmark(
            DualRidge(3, strengths=(0.03,)),
            clips,
            labels,
            subjects.tolist(),
            keys=[str(i) for i in range(48)],
            protocol="loso",
            classes=CLASSES,
        )
        pool = result.pool()
        hits += int((pool.truth == pool.predicted).sum())
        clips_seen += 48
    # 96 people in all, each right or wrong as one: chance is 1/3 +- 5 % (one deviation).
    assert hits / clips_seen < 1 / 3 + 0.15


def test_each_seed_reads_its_own_backbone():
    clips, labels, subjects = draw()
    other = draw(seed=1)[0]
    both = np.concatenate([clips, other], axis=1)
    learner = DualRidge(3, seeds=(0, 5))
    alone = DualRidge(3, seeds=(5,), seed=5).fit(other, labels, subjects).predict(other)
    second = learner.reseed(5).fit(both, labels, subjects).predict(both)
    assert np.array_equal(second, alone)
    assert not np.array_equal(learner.fit(both, labels, subjects).predict(both), alone)


def test_a_class_without_clips_is_no_error():
    clips, labels, subjects = draw()
    predictor = DualRidge(4).fit(clips, labels, subjects)
    assert predictor.predict(clips).shape == (30, 4)
    assert np.isfinite(predictor.predict(clips)).all()


def test_zero_features_are_refused():
    clips, labels, subjects = draw()
    with pytest.raises(EvaluationError, match="features are all zero"):
        DualRidge(3, strengths=(1.0,)).fit(clips * 0, labels, subjects)


def test_features_of_a_frozen_backbone(pairs):
    torch.manual_seed(0)
    net = build_model("miacnet-tiny", 2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    features = extract_features(net, pairs, size=64)
    assert features.shape == (24, 2, 48)
    np.testing.assert_allclose(np.linalg.norm(features, axis=2), 1, atol=1e-5)
    assert np.array_equal(extract_features(net, pairs, size=64), features)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    # The second view is the mirror image: the pairs mirrored have the two views swapped.
    turned = pairs.action[:, :, ::-1].copy()
    turned[..., 0] *= -1
    mirrored = replace(pairs, first=pairs.first[:, :, ::-1], action=turned)
    swapped = extract_features(net, mirrored, size=64)
    gram = np.einsum("nvd,nvd->nv", features, features[:, ::-1])
    other = np.einsum("nvd,nvd->nv", swapped, swapped[:, ::-1])
    np.testing.assert_allclose(gram, other, atol=1e-4)
    assert (gram < 0.9999).any()
