"""Fine-tuning as a Learner: what the referee keeps back cannot reach the weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import ma2mi.training.finetune as module  # noqa: E402
from ma2mi.evaluation import run_benchmark  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.checkpoint import save_model  # noqa: E402
from ma2mi.training.finetune import FineTune, FineTuneSettings  # noqa: E402
from ma2mi.training.loop import LoopSettings  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
CLASSES = ("up", "right")


def make_recipe(epochs=2, **changes):
    return FineTuneSettings(
        model_settings=SMALL,
        size=64,
        loop=LoopSettings(epochs=epochs, batch_size=8, lr=3e-3),
        **changes,
    )


def digest(predictor):
    total = hashlib.sha256()
    for name, tensor in sorted(predictor.net.state_dict().items()):
        total.update(name.encode() + tensor.numpy().tobytes())
    return total.hexdigest()


@dataclass(frozen=True)
class Spying(FineTune):
    """Keeps what it was given, and the weights that came out, of every fold."""

    seen: dict = field(default_factory=dict)

    def __deepcopy__(self, memo):
        return self  # the referee copies its learner; the spy's notes must come back

    def fit(self, clips, labels, subjects):
        predictor = super().fit(clips, labels, subjects)
        left_out = ({f"p{i}" for i in range(6)} - {s.split("/")[-1] for s in subjects}).pop()
        self.seen[left_out] = (digest(predictor), labels.tolist(), len(clips))
        return predictor


def run(learner, pairs, labels, backend="sequential", **options):
    return run_benchmark(
        learner,
        pairs,
        labels,
        pairs.subjects.tolist(),
        keys=pairs.keys.tolist(),
        protocol="loso",
        classes=CLASSES,
        clips_hash="the fixture",
        backend=backend,
        **options,
    )


@pytest.mark.parametrize("stop", ["fixed", "inner"])
def test_labels_of_the_left_out_cannot_reach_the_weights(pairs, labels, stop):
    learners = [Spying(2, make_recipe(1, stop=stop)) for _ in range(2)]
    run(learners[0], pairs, labels)
    others = labels.copy()
    of_p3 = pairs.subjects == "p3"
    others[of_p3] = 1 - others[of_p3]
    run(learners[1], pairs, others)
    one, other = (learner.seen for learner in learners)
    assert set(one) == set(other) == {f"p{i}" for i in range(6)}
    assert one["p3"] == other["p3"]  # bit for bit
    assert one["p3"][2] == 20
    # The same change does reach the folds in which p3 is trained on.
    reached = [one[p][0] != other[p][0] for p in one if p != "p3"]
    assert all(reached) if stop == "fixed" else any(reached)


def test_same_seed_same_bytes_whatever_came_before(pairs, labels):
    learner = FineTune(2, make_recipe())
    first = learner.fit(pairs, labels, pairs.subjects)
    torch.manual_seed(99)
    torch.rand(7)
    second = learner.fit(pairs, labels, pairs.subjects)
    assert digest(first) == digest(second)
    assert np.array_equal(first.predict(pairs), second.predict(pairs))
    third = learner.reseed(1).fit(pairs, labels, pairs.subjects)
    assert digest(third) != digest(first)


def test_learns_what_is_easy_on_people_left_out(pairs, labels):
    train, test = np.arange(16), np.arange(16, 24)
    learner = FineTune(2, make_recipe(12, augment={"flip": 0.0}))
    predictor = learner.fit(pairs[train], labels[train], pairs.subjects[train])
    probabilities = predictor.predict(pairs[test])
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == labels[test]).all()


def test_inner_stop_watches_people_that_are_not_trained_on(pairs, labels, monkeypatch):
    trained, watched = set(), set()
    make = module.make_batch

    def spy(given, rows, **settings):
        people = set(given.subjects[rows].tolist())
        (trained if settings.get("augment") else watched).update(people)
        return make(given, rows, **settings)

    monkeypatch.setattr(module, "make_batch", spy)
    monkeypatch.setattr("ma2mi.clips.batches.make_batch", spy)
    learner = FineTune(2, make_recipe(3, stop="inner"))
    predictor = learner.fit(pairs, labels, pairs.subjects)
    assert trained
    assert watched
    assert not trained & watched
    assert predictor.chosen["chosen_on"] == "inner subject-disjoint split"
    assert 1 <= predictor.chosen["epoch"] <= 3


def test_inner_stop_takes_the_best_epoch(pairs, labels, monkeypatch):
    scores = iter([0.2, 0.9, 0.9, 0.5])
    monkeypatch.setattr(module, "uar", lambda *_: next(scores))
    learner = FineTune(2, make_recipe(4, stop="inner"), keep_epochs=True)
    predictor = learner.fit(pairs, labels, pairs.subjects)
    assert predictor.chosen["epoch"] == 2
    assert [row["epoch"] for row in predictor.curve] == [1, 2, 3, 4]
    assert [row["inner_uar"] for row in predictor.curve] == [0.2, 0.9, 0.9, 0.5]
    assert all(np.isfinite(row["train_loss"]) for row in predictor.curve)
    assert np.array_equal(predictor.predict_epochs(pairs)[1], predictor.predict(pairs))


def test_the_last_epoch_is_the_fixed_answer(pairs, labels):
    predictor = FineTune(2, make_recipe(3), keep_epochs=True).fit(pairs, labels, pairs.subjects)
    answers = predictor.predict_epochs(pairs)
    assert answers.shape == (3, 24, 2)
    assert np.array_equal(answers[-1], predictor.predict(pairs))
    assert not np.array_equal(answers[0], answers[-1])
    assert predictor.chosen == {"epoch": 3, "chosen_on": "fixed"}


def test_pretrained_weights_are_taken_and_learn_slower(pairs, labels, tmp_path):
    torch.manual_seed(7)
    net = build_model("miacnet-tiny", 5, **SMALL)
    save_model(
        tmp_path, net, {"model": "miacnet-tiny", "classes": 5, "settings": SMALL, "size": 64}
    )
    start = torch.cat([p.detach().flatten() for p in net.backbone_parameters()])
    moved = {}
    for share in (1.0, 0.01):
        learner = FineTune(2, make_recipe(1, trunk_share=share), init=tmp_path)
        backbone = learner.fit(pairs, labels, pairs.subjects).net.backbone_parameters()
        moved[share] = float((torch.cat([p.detach().flatten() for p in backbone]) - start).norm())
    assert 0 < moved[0.01] < 0.1 * moved[1.0]
    assert learner.settings["pretrained"] is True


def test_a_class_that_nobody_shows_draws_no_clip(pairs):
    """Label smoothing may not pull towards a class that is absent from training."""
    labels = np.tile(np.array([0, 1], dtype=np.int64), 12)
    predictor = FineTune(3, make_recipe(4, label_smoothing=0.2)).fit(pairs, labels, pairs.subjects)
    assert (predictor.predict(pairs).argmax(1) != 2).all()


def test_people_with_one_class_only(pairs):
    labels = np.repeat(np.array([0, 1], dtype=np.int64), 12)  # p0 to p2 show 0, the others 1
    result = run(FineTune(2, make_recipe(1)), pairs, labels)
    assert len(result.pool().keys) == 24


def test_threads_are_given_back(pairs, labels):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        FineTune(2, make_recipe(1)).fit(pairs, labels, pairs.subjects).predict(pairs)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_folds_side_by_side_say_the_same(pairs, labels, backend):
    learner = FineTune(2, make_recipe(1))
    one = run(learner, pairs, labels)
    two = run(learner, pairs, labels, backend=backend, jobs=2)
    assert np.array_equal(one.pool().probabilities, two.pool().probabilities)
