"""Entries of a benchmark: what their record says of the weights that they come from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from ma2mi.clips.pairs import PairSettings  # noqa: E402
from ma2mi.errors import EvaluationError, SettingsError, StoreError  # noqa: E402
from ma2mi.evaluation.protocols import protocol  # noqa: E402
from ma2mi.experiment import Entry, LabelledPairs, run_entry, run_entry_curve  # noqa: E402
from ma2mi.experiment.runs import arrange  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.checkpoint import save_model  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}


@pytest.fixture
def folders(tmp_path):
    """Weights of two networks that differ in one setting, both from the same seed."""
    made = {}
    for name, center in (("one", True), ("other", False)):
        torch.manual_seed(0)
        settings = {**SMALL, "center": center}
        config = {"model": "miacnet-tiny", "classes": 2, "settings": settings, "size": 64}
        save_model(tmp_path / name, build_model("miacnet-tiny", 2, **settings), config)
        made[name] = tmp_path / name
    assert len({(folder / "model.safetensors").read_bytes() for folder in made.values()}) == 1
    return made


@pytest.fixture
def labelled(pairs, labels):
    return LabelledPairs(
        pairs,
        labels,
        ["c"] * len(pairs),
        ("a", "b"),
        "hash of the clips",
        (),
        "c",
        protocol("loso"),
        PairSettings(),
    )


@pytest.mark.parametrize("role", ["init", "like"])
def test_weights_and_their_config_are_part_of_the_record(labelled, folders, tmp_path, role):
    """Equal weights under another config are another network, random ones as well."""

    def entry(name):
        return Entry("miacnet-tiny", **{role: folders[name]}, frozen=True, size=64)

    run_entry(entry("one"), labelled, tmp_path / "run")
    run_entry(entry("one"), labelled, tmp_path / "run")
    what = "weights_sha256" if role == "init" else "like_sha256"
    with pytest.raises(EvaluationError, match=rf"other settings.*settings\.run\.{what} was"):
        run_entry(entry("other"), labelled, tmp_path / "run")


def test_a_misspelt_branch_is_refused(labelled, folders):
    for changes in ({}, {"like": folders["one"]}):
        entry = Entry("miacnet-tiny", branches="actoin", frozen=True, size=64, **changes)
        with pytest.raises(SettingsError, match="'both', 'position' or 'action'"):
            run_entry(entry, labelled, None)


def test_random_numbers_of_the_caller_stay(labelled, folders):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    entry = Entry("miacnet-tiny", like=folders["one"], frozen=True, size=64)
    arrange(entry, labelled, (0, 1))
    assert torch.equal(torch.rand(2), wanted)


TEN_LINES = """
import ma2mi

corpus = ma2mi.open_corpus("synthetic-micro", ROOT)
labelled = ma2mi.label_pairs(corpus, "loso", STORE, settings=QUICK)
entry = ma2mi.Entry("flow-pca")
result = ma2mi.run_entry(entry, labelled, OUT)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    from ma2mi.experiment import render_corpus

    root = tmp_path_factory.mktemp("corpus")
    return render_corpus("synthetic-micro", root, subjects=3, clips=3)


def test_ten_lines_are_what_the_command_does(corpus, ma2mi, tmp_path, capsys):
    import ma2mi as package

    quick = package.PairSettings(method="farneback")
    names = {"ROOT": corpus.root, "STORE": "clips", "OUT": "python", "QUICK": quick}
    exec(compile(TEN_LINES, "ten lines", "exec"), names)
    assert capsys.readouterr() == ("", "")  # silent
    words = ("--root", corpus.root, "--model", "flow-pca", "--flow", "farneback", "--jobs", "1")
    code, _, err = ma2mi(
        "benchmark", "--corpus", "synthetic-micro", *words, "--out", "cli", "--store", "clips"
    )
    assert (code, err) == (0, "")
    one, other = tmp_path / "python", tmp_path / "cli"
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
    for file in files:
        if file.name not in ("timings.csv", "environment.json", ".written.json"):
            assert (one / file).read_bytes() == (other / file).read_bytes(), file
    assert names["result"].scores()["mean"]["uf1"] >= 0


def test_what_is_left_out_is_logged(corpus, tmp_path, caplog):
    import ma2mi

    quick = ma2mi.PairSettings(method="farneback")
    first = corpus.expressions()[0].emotion
    steps = []
    with caplog.at_level("INFO", logger="ma2mi"):
        labelled = ma2mi.label_pairs(
            corpus,
            "loso",
            tmp_path,
            settings=quick,
            own_labels={first: ""},
            on_progress=lambda now: steps.append(now.step),
        )
    assert f"clips marked {first!r} have no class" in caplog.text
    assert len(labelled.labels) < len(corpus.expressions())
    assert set(steps) == {"prepare", "pairs"}


OWN = """
import numpy as np


class Constant:
    name = "constant"

    def __init__(self, classes):
        self.classes = classes

    def reseed(self, seed):
        return self

    def fit(self, clips, labels, subjects):
        assert len(clips.action) == len(labels)
        return self

    def predict(self, clips):
        return np.tile(np.eye(self.classes)[0], (len(clips), 1))
"""


def test_a_learner_of_another_package_runs_by_its_name(labelled, tmp_path, monkeypatch):
    (tmp_path / "my_package.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    result = run_entry(Entry("my_package:Constant"), labelled)
    assert result.record.learner == "constant"
    assert set(result.pool().predicted.tolist()) == {0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("magic", "is no known model.*Known are: conv5, flow-pca"),
        ("no_such_package:Thing", "cannot be imported: ModuleNotFoundError"),
        ("json:Thing", "cannot be imported: AttributeError"),
        ("json:dumps", "is not a learner: it has no method fit, reseed"),
    ],
)
def test_models_that_are_none_are_one_line(labelled, name, message):
    with pytest.raises(SettingsError, match=message):
        run_entry(Entry(name), labelled)


def test_installed_packages_name_models(labelled, tmp_path, monkeypatch):
    folder = tmp_path / "mine-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[ma2mi.models]\nmine = my_learners:Constant\n")
    (tmp_path / "my_learners.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    assert run_entry(Entry("mine"), labelled).record.settings["run"]["model"] == "mine"


def with_subjects(folder, **subjects):
    """The same weights, by whose config these subjects are in them."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | subjects), "utf-8")


def others(labelled, corpus="d"):
    pairs = replace(
        labelled.pairs, keys=np.char.add(f"{corpus}/", labelled.pairs.keys.astype(np.str_))
    )
    return replace(labelled, pairs=pairs, databases=[corpus] * len(pairs), corpus=corpus)


class TestSeenSubjects:
    def entry(self, folder):
        return Entry("miacnet-tiny", init=folder, frozen=True, size=64)

    def test_labelled_ones_are_refused_before_anything_runs(self, labelled, folders, monkeypatch):
        one = f"c/{labelled.pairs.subjects[0]}"
        with_subjects(folders["one"], people=[one, "x/1"], trained_subjects=[one])
        monkeypatch.setattr(Entry, "build_learner", None)
        with pytest.raises(EvaluationError, match=rf"one: learned from labelled clips of {one},"):
            run_entry(self.entry(folders["one"]), labelled)
        with pytest.raises(EvaluationError, match="would be tested on them"):
            run_entry_curve(self.entry(folders["one"]), labelled, [2])

    def test_under_another_name_too(self, labelled, folders):
        one = f"c/{labelled.pairs.subjects[0]}"
        with_subjects(folders["one"], people=["x/1"], trained_subjects=["x/1"])
        with pytest.raises(EvaluationError, match=f"labelled clips of {one}"):
            run_entry(self.entry(folders["one"]), labelled, aliases={"x/1": one})

    def test_others_are_noted(self, labelled, folders):
        known = {"people": ["x/1", "x/2"], "trained_subjects": ["x/1"]}
        with_subjects(folders["one"], **known)
        record = run_entry(self.entry(folders["one"]), labelled).record
        assert record.trained_subjects == ("x/1",)
        assert record.pretraining_subjects == ("x/2",)


class TestTrainAlso:
    def test_every_fold_is_trained_on_all_of_them_and_tests_none(self, labelled):
        both = labelled.train_also(others(labelled))
        n = len(labelled.labels)
        assert (both.training_only == (np.arange(2 * n) >= n)).all()
        assert both.clips_hash != labelled.clips_hash
        assert len(both.prints) == 2 * n
        result = run_entry(Entry("majority"), both, None)
        assert sorted(result.pool().keys) == sorted(labelled.pairs.keys)
        theirs = {f"d/{one}" for one in labelled.pairs.subjects}
        assert all(theirs <= set(fold.train_subjects) for fold in result.folds)

    def test_a_corpus_on_both_sides_is_refused(self, labelled):
        with pytest.raises(SettingsError, match="c: is tested, and in --train-also, too"):
            labelled.train_also(others(labelled, "c"))

    def test_other_classes_are_refused(self, labelled):
        with pytest.raises(SettingsError, match="a, z are other classes than a, b"):
            labelled.train_also(replace(others(labelled), classes=("a", "z")))

    def test_flow_images_do_not_join_faces(self, labelled):
        theirs = others(labelled)
        faceless = replace(
            theirs.pairs, **{name: getattr(theirs.pairs, name)[:0] for name in ("first", "second")}
        )
        with pytest.raises(StoreError, match="pairs of several kinds"):
            labelled.train_also(replace(theirs, pairs=faceless))
