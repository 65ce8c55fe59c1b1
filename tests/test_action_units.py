"""Benchmarks of action units: many labels a clip, learners of them, and their F1."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.svm import SVC

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from ma2mi.clips.pairs import PairSettings  # noqa: E402
from ma2mi.errors import CheckpointError, CorpusError, EvaluationError, SettingsError  # noqa: E402
from ma2mi.evaluation import protocols  # noqa: E402
from ma2mi.evaluation.benchmark import run_benchmark  # noqa: E402
from ma2mi.evaluation.labels import CD6ME_UNITS  # noqa: E402
from ma2mi.evaluation.protocols import PROTOCOLS, untrained  # noqa: E402
from ma2mi.evaluation.splits import k_folds_by_subject, loso  # noqa: E402
from ma2mi.experiment import Entry, LabelledPairs, run_entry  # noqa: E402
from ma2mi.experiment.labelled import check_labels, choose_examples, label_pairs  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.report.unit_tables import unit_f1_by_database, unit_table  # noqa: E402
from ma2mi.testing import write_fake  # noqa: E402
from ma2mi.training.baselines import Majority  # noqa: E402
from ma2mi.training.finetune import FineTune, FineTuneSettings, inner_score, loss_of  # noqa: E402
from ma2mi.training.loop import LoopSettings  # noqa: E402
from ma2mi.training.per_unit import PerUnit  # noqa: E402
from ma2mi.training.recognizer import Recognizer  # noqa: E402
from ma2mi.training.zero_shot import ZeroShot  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
UNITS = ("1", "4", "12")
#: The protocol's own folds and metric, of three units.
THREE = replace(PROTOCOLS["cd6me"], units=UNITS)


@dataclass
class Says:
    """Predicts what it was made with, by the clip's number."""

    output: np.ndarray

    def reseed(self, seed):
        return self

    def fit(self, clips, labels, subjects):
        return self

    def predict(self, clips):
        return self.output[clips[:, 0].astype(int)]


def unit_run(truth, output, bases, seeds=(0,)):
    n = len(truth)
    return run_benchmark(
        Says(np.asarray(output, dtype=float)),
        np.arange(n)[:, None].astype(float),
        np.asarray(truth),
        [f"s{i}" for i in range(n)],
        keys=[f"k{i}" for i in range(n)],
        protocol=THREE,
        databases=bases,
        seeds=seeds,
    )


def test_f1_of_units_by_hand():
    """AU1: tp 2, fp 1, fn 1, so 4/6. AU4: tp 1, fn 1: 2/3. AU12: fp 1, fn 1: 0."""
    truth = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 0]]
    output = [[0.9, 0.1, 0.7], [0.5, 0.6, 0.2], [0.4, 0.2, 0.3], [0.8, 0.3, 0.1]]
    result = unit_run(truth, output, ["a", "a", "b", "b"])
    scores = result.scores()["seeds"]["0"]
    assert scores["classes"] == pytest.approx({"1": 2 / 3, "4": 2 / 3, "12": 0.0})
    assert scores["overall"]["mean_unit_f1"] == pytest.approx(4 / 9)
    found = unit_f1_by_database(result)
    assert found[""] == pytest.approx([2 / 3, 2 / 3, 0])
    # In "a" nothing is AU12, but once predicted: 0. In "b" AU4 is missed: 0.
    assert found["a"] == pytest.approx([1, 1, 0])
    assert found["b"] == pytest.approx([0, 0, 0])
    assert scores["databases"]["a"]["mean_unit_f1"] == pytest.approx(2 / 3)
    text = unit_table([result])
    line = next(line for line in text.splitlines() if line.startswith("Says"))
    assert line.split() == ["Says", "0.667", "0.667", "0.000", "0.444"]


def test_f1_of_units_is_scikit_learns():
    rng = np.random.default_rng(0)
    truth, output = rng.integers(2, size=(40, 3)), rng.random((40, 3))
    bases = [f"b{i % 3}" for i in range(40)]
    found = unit_f1_by_database(unit_run(truth, output, bases))
    for base, scores in found.items():
        rows = np.array([base in ("", one) for one in bases])
        expected = f1_score(truth[rows], output[rows] >= 0.5, average=None)
        np.testing.assert_allclose(scores, expected)
    assert list(found) == ["", "b0", "b1", "b2"]


def test_a_unit_that_a_database_lacks_is_a_dash_and_counts_as_0():
    truth = [[1, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]]
    result = unit_run(truth, truth, ["a", "a", "b", "b"], seeds=(0, 3))
    assert np.isnan(unit_f1_by_database(result)["a"][1])
    lines = unit_table([result]).splitlines()
    assert next(one for one in lines if one.startswith("  a")).split()[2:] == [
        "-",
        "1.000",
        "0.667",
    ]
    assert "-: the database has no clip of the unit; it counts as 0 in the mean" in lines
    assert result.scores()["seeds"]["0"]["databases"]["a"]["mean_unit_f1"] == pytest.approx(2 / 3)


@dataclass
class RowSVC:
    """A learner of classes."""

    classes: int
    seed: int = 0
    name: str = "row-svc"

    def reseed(self, seed):
        return replace(self, seed=seed)

    def fit(self, clips, labels, subjects):
        self.model = SVC(random_state=self.seed).fit(clips, labels)
        self.chosen = {"clips": len(labels)}
        return self

    def predict(self, clips):
        return np.eye(self.classes)[self.model.predict(clips)]


class TestPerUnit:
    def test_it_is_the_learner_fitted_once_a_unit(self):
        rng = np.random.default_rng(0)
        x, marks = rng.normal(size=(60, 4)), rng.integers(2, size=(60, 3))
        marks[:, 0] = x[:, 0] > 0
        learner = PerUnit(RowSVC(2), UNITS).reseed(5)
        assert learner.learner.seed == 5
        found = learner.fit(x[:40], marks[:40], np.full(40, "s"))
        for column in range(3):
            alone = SVC(random_state=5).fit(x[:40], marks[:40, column]).predict(x[40:])
            assert np.array_equal(found.predict(x[40:])[:, column], alone)
        assert found.chosen == {f"AU{u}": {"clips": 40} for u in UNITS}
        assert found.notes == ()

    def test_a_unit_that_training_lacks_is_predicted_by_its_share_and_noted(self):
        marks = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 0]])
        found = PerUnit(Majority(2), UNITS).fit(np.zeros((3, 1)), marks, np.full(3, "s"))
        np.testing.assert_allclose(found.predict(np.zeros((2, 1))), [[0, 1, 1 / 3]] * 2)
        assert found.notes == (
            "AU1 is in no training clip: its share, 0, is predicted",
            "AU4 is in every training clip: its share, 1, is predicted",
        )

    def test_the_note_reaches_the_run(self):
        truth = [[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]]
        result = run_benchmark(
            PerUnit(Majority(2), UNITS),
            np.zeros((4, 1)),
            truth,
            list("abcd"),
            keys=list("wxyz"),
            protocol=THREE,
            databases=["p", "p", "q", "q"],
        )
        assert "seed 0, p: AU4 is in no training clip: its share, 0, is predicted" in result.notes
        assert "seed 0, p: no training subject shows 4" in result.notes

    def test_a_fault_of_the_learner_names_the_unit(self):
        class Broken(RowSVC):
            def fit(self, clips, labels, subjects):
                raise ValueError("no solver")

        with pytest.raises(EvaluationError, match=r"Broken\.fit, unit 1: ValueError: no solver"):
            PerUnit(Broken(2), UNITS).fit(np.zeros((2, 1)), np.eye(3)[:2], np.full(2, "s"))


@pytest.fixture
def labelled(pairs, labels):
    """Two movements as two units, a third in some clips of each kind; two databases."""
    third = np.arange(len(labels)) % 3 == 0
    return LabelledPairs(
        pairs,
        np.stack([labels == 0, labels == 1, third], axis=1).astype(np.int64),
        ["x"] * 12 + ["y"] * 12,
        UNITS,
        "hash",
        (),
        "x+y",
        THREE,
        PairSettings(),
    )


class TestFineTune:
    def test_the_loss_by_hand(self):
        """Unit 1 is shown in 1 of 4 clips: shown weighs 2, absent 2/3. Unit 4 in none: both 1."""
        marks = np.array([[1, 0], [0, 0], [0, 0], [0, 0]])
        loss = loss_of(marks, 2, FineTuneSettings(label_smoothing=0.2))
        logits = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
        p = 1 / (1 + np.exp(-logits.numpy()))
        target = np.array([[0.9, 0.1], [0.1, 0.1]])
        each = -(target * np.log(p) + (1 - target) * np.log(1 - p))
        expected = (each * np.array([[2, 1], [2 / 3, 1]])).mean()
        found = loss(logits, torch.tensor([[1, 0], [0, 0]]))
        assert float(found) == pytest.approx(expected, rel=1e-5)

    def test_an_epoch_is_chosen_by_the_mean_f1_of_units_that_occur(self):
        truth = np.array([[1, 0, 0], [1, 0, 1]])
        p = np.array([[0.9, 0.1, 0.1], [0.2, 0.1, 0.8]])
        assert inner_score(truth, p) == pytest.approx((2 / 3 + 1) / 2)
        assert inner_score(np.zeros((2, 3), int), np.zeros((2, 3))) == 0

    @pytest.mark.parametrize("stop", ["fixed", "inner"])
    def test_it_learns_units_that_show_together(self, labelled, stop):
        recipe = FineTuneSettings(
            model_settings=SMALL, size=64, stop=stop, loop=LoopSettings(epochs=6, batch_size=8)
        )
        found = FineTune(3, recipe).fit(labelled.pairs, labelled.labels, labelled.pairs.subjects)
        p = found.predict(labelled.pairs)
        assert p.shape == (24, 3)
        assert not np.allclose(p.sum(1), 1)
        shown = p[:, :2] >= 0.5
        assert (shown == labelled.labels[:, :2]).mean() > 0.9
        assert ("inner_unit_f1" in found.curve[0]) == (stop == "inner")

    def test_weights_bring_their_head_for_units(self, labelled, recognizer, tmp_path):
        recognizer.save_pretrained(tmp_path)
        entry = Entry("miacnet-tiny", init=tmp_path, size=64)
        learner, _ = entry.build_learner(labelled.pairs, ("12", "1"), [0], units=True)
        # Three classes stand before the units 1, 2, 4, ..., 12.
        assert learner.head == (3 + CD6ME_UNITS.index("12"), 3)


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    meaning = {"unit_thresholds": [0.3 + 0.03 * i for i in range(12)]}
    config = {
        **{"model": "miacnet-tiny", "classes": 17, "settings": SMALL, "size": 64},
        "recognizer": meaning,
    }
    return Recognizer(build_model("miacnet-tiny", 17, **SMALL), config)


class TestZeroShot:
    def test_a_unit_is_predicted_where_the_recognizer_counts_it_as_shown(self, pairs, recognizer):
        found = ZeroShot(recognizer, ("12", "4")).predict(pairs)
        output = recognizer.outputs(pairs)
        columns = [CD6ME_UNITS.index("12"), CD6ME_UNITS.index("4")]
        assert np.array_equal(found >= 0.5, output.shown[:, columns])
        # The odds over the odds at the threshold.
        p, t = output.units[0, columns[0]], recognizer.settings.thresholds[columns[0]]
        odds = (p / (1 - p)) / (t / (1 - t))
        assert found[0, 0] == pytest.approx(odds / (1 + odds))

    def test_what_it_does_not_know_is_refused(self, recognizer):
        with pytest.raises(CheckpointError, match=r"knows no unit 26\. Train on your"):
            ZeroShot(recognizer, ("12", "26"))
        with pytest.raises(SettingsError, match="prior megc2019: is of classes; each unit has"):
            ZeroShot(recognizer, ("12", "4"), prior="megc2019")

    def test_as_a_run_nothing_is_trained(self, labelled, recognizer, tmp_path):
        recognizer.save_pretrained(tmp_path / "w")
        entry = Entry("miacnet-tiny", init=tmp_path / "w", zero_shot=True, size=64)
        run = run_entry(entry, replace(labelled, protocol=untrained(THREE)))
        assert [fold.fold for fold in run.folds] == ["everyone"]
        assert run.folds[0].train_subjects == ()
        assert set(run.scores()["seeds"]["0"]["databases"]) == {"x", "y"}


class TestEntries:
    @pytest.mark.parametrize("model", ["majority", "flow-svm", "flow-pca", "random-ridge"])
    def test_learners_of_classes_learn_unit_by_unit(self, labelled, model):
        run = run_entry(Entry(model, size=64), labelled)
        assert [fold.fold for fold in run.folds] == ["x", "y"]
        scores = run.scores()["seeds"]["0"]["classes"]
        if model != "majority":
            assert min(scores["1"], scores["4"]) > 0.9

    def test_a_class_of_ones_own_may_learn_all_at_once(self, labelled):
        run = run_entry(Entry(f"{__name__}:AllAtOnce"), labelled)
        assert run.record.learner == "AllAtOnce"
        assert run.folds[0].probabilities[0] == (0.25, 0.25, 0.25)
        run = run_entry(Entry(f"{__name__}:Halves"), labelled)
        assert run.folds[0].probabilities[0] == (0.5, 0.5, 0.5)

    def test_a_class_that_cannot_be_made_is_one_line(self, labelled):
        with pytest.raises(
            EvaluationError, match=r":Unmakeable, called with the number of classes"
        ):
            run_entry(Entry(f"{__name__}:Unmakeable"), labelled)


class AllAtOnce:
    many_labels = True

    def __init__(self, classes):
        self.classes = classes

    def reseed(self, seed):
        return self

    def fit(self, clips, labels, subjects):
        assert labels.shape == (len(clips), 3)
        return self

    def predict(self, clips):
        return np.full((len(clips), self.classes), 0.25)


class Halves(AllAtOnce):
    many_labels = False

    def fit(self, clips, labels, subjects):
        assert labels.shape == (len(clips),)
        return self

    def predict(self, clips):
        return np.full((len(clips), self.classes), 0.5)


class Unmakeable(AllAtOnce):
    def __init__(self, classes):
        raise RuntimeError("no licence")


def test_inner_folds_share_units_out():
    """Four subjects show AU1, four AU4: each of two folds gets two of each."""
    marks = np.repeat(np.eye(2, 3, dtype=int), 4, axis=0)
    folds = k_folds_by_subject([f"s{i}" for i in range(8)], 2, labels=marks)
    assert [marks[fold.test].sum(0).tolist() for fold in folds] == [[2, 2, 0], [2, 2, 0]]


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    root = tmp_path_factory.mktemp("fakes")
    return {name: write_fake(name, root / name) for name in ("casme2", "samm")}


def open_fake(fakes, name):
    from ma2mi.datasets import open_corpus

    return open_corpus(name, fakes[name])


class TestCorpora:
    def test_units_are_read_from_the_sheet(self, fakes, tmp_path):
        few = replace(THREE, units=("6", "12"), splitter=loso)
        corpus = open_fake(fakes, "samm")
        found = label_pairs(corpus, few, tmp_path)
        coded = {e.key: e.action_units for e in corpus.expressions()}
        assert found.classes == ("6", "12")
        assert found.labels.sum() > 0
        for key, row in zip(found.pairs.keys.tolist(), found.labels.tolist(), strict=True):
            numbers = {int(re.sub(r"\D", "", code)) for code in coded[key]}
            assert row == [int(6 in numbers), int(12 in numbers)]
        chosen = choose_examples(found, 2)
        assert found.labels[chosen[0], 0] == 1
        assert found.labels[chosen[1], 1] == 1

    def test_what_cannot_be_scored_is_said_before_frames_are_read(self, fakes):
        corpus = open_fake(fakes, "samm")
        with pytest.raises(CorpusError, match=r"no expression shows .* of 1, 2, 4.*Add a corpus"):
            check_labels(corpus, replace(PROTOCOLS["cd6me"], units=(*CD6ME_UNITS, "43")))
        with pytest.raises(EvaluationError, match="only one database"):
            check_labels(corpus, replace(THREE, units=("6", "12")))

    def test_a_corpus_without_units_is_refused(self, fakes, monkeypatch):
        corpus = open_fake(fakes, "samm")
        bare = [replace(e, action_units=()) for e in corpus.expressions()]
        monkeypatch.setattr(type(corpus), "expressions", lambda self: bare)
        with pytest.raises(CorpusError, match=r"no expression carries an action unit\. Take"):
            check_labels(corpus, THREE)


@pytest.fixture
def few_units(monkeypatch):
    """cd6me of four units, which the small fakes of two corpora show."""
    few = replace(PROTOCOLS["cd6me"], units=("1", "5", "6", "12"))
    monkeypatch.setitem(protocols.PROTOCOLS, "cd6me", few)


def test_by_command(ma2mi, fakes, few_units, tmp_path):
    given = ("benchmark", "--protocol", "cd6me", "--jobs", 1, "--store", "clips")
    given += tuple(word for name, at in fakes.items() for word in ("--corpus", f"{name}={at}"))
    code, out, err = ma2mi(*given, "--model", "flow-svm", "--out", "svm")
    assert code == 0, err
    scores = json.loads((tmp_path / "svm/scores.json").read_text())["seeds"]["0"]
    line = out[out.index("Action units") :].splitlines()[3]
    found = [cell.rstrip("*") for cell in line.split()]
    expected = [*scores["classes"].values(), scores["overall"]["mean_unit_f1"]]
    assert found == ["flow-svm", *(f"{score:.3f}" for score in expected)]
    code, out, err = ma2mi(*given, "--weights", "zero", "--out", "zero")
    assert code == 0, err
    assert "trained on none of these clips" in out
    code, out, err = ma2mi("compare", "svm", "zero")
    assert code == 0, err
    assert out.count("AU12") == 1
    code, out, err = ma2mi("report", "svm", "zero", "--out", "page.html")
    assert code == 0, err
    assert "AU12" in (tmp_path / "page.html").read_text()
    code, out, err = ma2mi("audit", "svm")
    assert code == 0, err
    assert "passed" in out
