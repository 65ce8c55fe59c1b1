"""From labelled clips to a model: honest choices, who is in it, killed runs, bad input."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from ma2mi import load_model  # noqa: E402
from ma2mi.clips.pairs import PairSettings  # noqa: E402
from ma2mi.errors import (  # noqa: E402
    CheckpointError,
    EvaluationError,
    FaceError,
    SettingsError,
    StoreError,
)
from ma2mi.evaluation.protocols import protocol  # noqa: E402
from ma2mi.experiment import Entry, LabelledPairs, run_entry  # noqa: E402
from ma2mi.experiment import training as training_module  # noqa: E402
from ma2mi.experiment.training import TrainSettings, train_model  # noqa: E402
from ma2mi.files import hold  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.calibration import abstention_threshold, calibrate_on  # noqa: E402
from ma2mi.training.finetune import FineTuneSettings  # noqa: E402
from ma2mi.training.loop import LoopSettings  # noqa: E402
from ma2mi.training.recognizer import Recognizer  # noqa: E402

SMALL = {
    "action_stem": (16,),
    "action_stages": (16, 32),
    "position_stages": (16, 16, 32),
    "branches": "action",
}
RIDGE = TrainSettings(recipe=FineTuneSettings(size=64, stop="inner"))
RECIPE = FineTuneSettings(
    model="miacnet-tiny",
    model_settings=SMALL,
    size=64,
    stop="inner",
    loop=LoopSettings(epochs=2, batch_size=16),
)
FINE = TrainSettings(method="fine-tune", folds=2, recipe=RECIPE)


@pytest.fixture
def labelled(pairs, labels):
    return LabelledPairs(
        pairs,
        labels,
        ["casme2"] * len(pairs),
        ("left", "right"),
        "hash of the clips",
        (),
        "casme2",
        protocol("loso"),
        PairSettings(),
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "before"
    torch.manual_seed(0)
    config = {"model": "miacnet-tiny", "classes": 7, "settings": SMALL, "size": 64}
    meaning = {"units": ("1", "12"), "movement_threshold": 0.4}
    Recognizer(build_model("miacnet-tiny", 7, **SMALL), {**config, "recognizer": meaning}
               ).save_pretrained(folder)  # fmt: skip
    return folder


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "timings.csv" and "tensorboard" not in path.parts
    }


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("settings", [RIDGE, FINE], ids=["ridge", "fine-tune"])
def test_the_folder_holds_a_model_and_all_that_says_how_good_it_is(
    labelled, before, tmp_path, settings
):
    out = tmp_path / "model"
    ticks = []
    trained = train_model(labelled, out, settings, init=before, on_progress=ticks.append)
    assert [t.step for t in ticks][-2:] == ["folds", "final fit"]
    model = load_model(out)
    assert model.classes == ("left", "right")
    assert model.units == ("1", "12")
    assert model.settings.movement_threshold == 0.4
    np.testing.assert_array_equal(
        model.predict(labelled.pairs), trained.recognizer.predict(labelled.pairs)
    )
    config = json.loads((out / "config.json").read_text("utf-8"))
    subjects = [f"casme2/p{i}" for i in range(6)]
    assert config["people"] == config["trained_subjects"] == subjects
    about = config["trained"]
    assert about["corpora"]["casme2"]["licence"].startswith("research only")
    assert about["corpora"]["casme2"]["classes"] == {"left": 12, "right": 12}
    assert about["init"] == "before"
    for one in about["chosen"]:
        assert one["name"]
        assert one["source"]
    rows = read(out / "predictions.csv")
    assert len(rows) == 24
    assert {row["fold"] for row in rows} == {fold.fold for fold in trained.cross.folds}
    for fold in trained.cross.folds:
        assert not set(fold.subjects) & set(fold.train_subjects)
    assert (out / "calibration.png").read_bytes().startswith(b"\x89PNG")
    card = (out / "README.md").read_text("utf-8")
    for words in ("No lie detector", "Do not publish", "EU AI Act", "p0, p1, p2", "CASME II"):
        assert words in card
    assert about["scores"]["uf1"]["text"] in card


def test_a_start_from_nothing_reads_the_movement_alone(labelled, tmp_path):
    trained = train_model(labelled, tmp_path / "model", RIDGE)
    assert trained.recognizer.settings.outputs == 2
    assert trained.cross.scores()["mean"]["uf1"] > 0.9  # two kinds of bumps are told apart
    assert "Action units, intensity" not in trained.recognizer.card


def test_calibration_never_sees_a_fit_on_the_same_subject(labelled, tmp_path):
    """What is calibrated on is what the run folder holds, and its choice changes no class."""
    trained = train_model(labelled, tmp_path / "model", RIDGE)
    raw = read(tmp_path / "model" / "cross-validation" / "predictions.csv")
    probabilities = np.array([[float(row["p(left)"]), float(row["p(right)"])] for row in raw])
    truth = np.array([("left", "right").index(row["truth"]) for row in raw])
    again = calibrate_on(probabilities, truth)
    by_name = {one["name"]: one["value"] for one in trained.recognizer.config["trained"]["chosen"]}
    assert by_name["temperature"] == again.temperature
    assert trained.recognizer.settings.abstain_below == again.abstain_below
    calibrated = read(tmp_path / "model" / "predictions.csv")
    assert [row["guess"] for row in calibrated] == [row["guess"] for row in raw]


def test_a_threshold_is_the_lowest_that_keeps_nine_in_ten_right():
    stated = np.linspace(0.99, 0.5, 50)
    right = np.ones(50, bool)
    right[34:] = False  # 34 of 37 right is 0.919, of 38 0.895
    assert abstention_threshold(stated, right) == pytest.approx(stated[36], abs=1e-4)
    # Where all is wrong, half is kept.
    found = abstention_threshold(stated, np.zeros(50, bool))
    assert (stated >= found).sum() == 25


class TestWhoIsInIt:
    @pytest.fixture
    def model(self, labelled, before, tmp_path):
        train_model(labelled, tmp_path / "model", FINE, init=before)
        return tmp_path / "model"

    def test_none_of_them_is_tested(self, model, labelled):
        with pytest.raises(EvaluationError, match="labelled clips of casme2/p0, casme2/p1"):
            run_entry(
                Entry("beside", init=model, zero_shot=True, size=64),
                replace(labelled, protocol=protocol("zero-shot")),
            )

    def test_others_are(self, model, labelled):
        others = replace(
            labelled, databases=["samm"] * len(labelled.labels), protocol=protocol("zero-shot")
        )
        entry = Entry("beside", init=model, zero_shot=True, size=64)
        result = run_entry(entry, others)
        assert result.record.trained_subjects == tuple(f"casme2/p{i}" for i in range(6))
        np.testing.assert_allclose(
            result.pool().probabilities, load_model(model).predict(labelled.pairs), atol=1e-12
        )

    def test_it_is_no_start_for_another(self, model, labelled, tmp_path):
        with pytest.raises(CheckpointError, match="nothing to start from"):
            train_model(labelled, tmp_path / "next", RIDGE, init=model)


class TestKilled:
    @pytest.mark.parametrize("settings", [RIDGE, FINE], ids=["ridge", "fine-tune"])
    def test_it_goes_on_to_the_same(self, labelled, before, tmp_path, settings):
        whole = tmp_path / "whole"
        train_model(labelled, whole, settings, init=before)

        class Killed(BaseException):
            pass

        def kill(now):
            if now.done == 1:
                raise Killed

        with pytest.raises(Killed):
            train_model(labelled, tmp_path / "part", settings, init=before, on_progress=kill)
        assert not (tmp_path / "part" / "config.json").exists()
        resumed = []
        train_model(
            labelled,
            tmp_path / "part",
            settings,
            init=before,
            on_progress=lambda now: resumed.append(getattr(now.detail, "resumed", False)),
        )
        assert resumed[0]
        assert tree(tmp_path / "part") == tree(whole)

    def test_a_full_disk_at_the_last_step_loses_nothing(self, labelled, tmp_path, monkeypatch):
        def full(path, content):
            raise StoreError("cannot be written (No space left on device)", where=path)

        out = tmp_path / "model"
        with monkeypatch.context() as patch:
            patch.setattr(training_module, "replace_file", full)
            with pytest.raises(StoreError, match="No space left"):
                train_model(labelled, out, RIDGE)
        assert len(list((out / "cross-validation" / "folds").iterdir())) == 6
        train_model(labelled, out, RIDGE)
        assert load_model(out).classes == ("left", "right")

    def test_a_second_process_gets_one_line(self, labelled, tmp_path):
        with (
            hold(tmp_path / "model"),
            pytest.raises(StoreError, match="another process is writing here"),
        ):
            train_model(labelled, tmp_path / "model", RIDGE)

    def test_the_same_again_is_the_same_and_another_is_refused(self, labelled, tmp_path):
        train_model(labelled, tmp_path / "model", RIDGE)
        first = tree(tmp_path / "model")
        train_model(labelled, tmp_path / "model", RIDGE)
        assert tree(tmp_path / "model") == first
        with pytest.raises(SettingsError, match=r"train\.seed was 0, is 1"):
            train_model(labelled, tmp_path / "model", RIDGE.model_copy(update={"seed": 1}))


class TestBadInput:
    def test_one_subject(self, labelled, tmp_path):
        alone = replace(
            labelled, pairs=replace(labelled.pairs, subjects=np.full(len(labelled.pairs), "p0"))
        )
        with pytest.raises(EvaluationError, match="only one subject"):
            train_model(alone, tmp_path / "model", RIDGE)

    def test_a_class_that_nobody_shows(self, labelled, tmp_path):
        with pytest.raises(EvaluationError, match="no clip shows up"):
            train_model(
                replace(labelled, classes=("left", "right", "up")), tmp_path / "model", RIDGE
            )

    @pytest.mark.parametrize(
        ("name", "what"), [("zero-shot", "trains nothing"), ("cd6me", "knows action units")]
    )
    def test_a_protocol_without_training_or_classes(self, labelled, tmp_path, name, what):
        with pytest.raises(SettingsError, match=what):
            train_model(replace(labelled, protocol=protocol(name)), tmp_path / "model", RIDGE)

    def test_more_folds_than_subjects(self, labelled, tmp_path):
        with pytest.raises(EvaluationError, match="9 folds of 6 subjects"):
            train_model(labelled, tmp_path / "model", RIDGE.model_copy(update={"folds": 9}))

    def test_crops_that_are_smaller_than_the_network(self, labelled, before, tmp_path):
        names = ("first", "second", "third", "action")
        small = {name: getattr(labelled.pairs, name)[:, 10:58, 10:58] for name in names}
        pairs = replace(labelled.pairs, **small)
        for settings in (RIDGE, FINE):
            with pytest.raises(FaceError, match="crops of 48 px, the network sees 64 px"):
                train_model(replace(labelled, pairs=pairs), tmp_path / "m", settings, init=before)

    @pytest.mark.parametrize("name", ["README.md", "predictions.csv", "settings.json"])
    def test_nothing_of_the_users_is_written_over(self, labelled, tmp_path, name):
        (tmp_path / name).write_text("mine")
        with pytest.raises(SettingsError, match="holds files, but no training"):
            train_model(labelled, tmp_path, RIDGE)
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}

    def test_a_folder_with_a_foreign_model(self, labelled, before):
        with pytest.raises(SettingsError, match="holds a model that was not trained there"):
            train_model(labelled, before, RIDGE)


def test_an_alias_is_in_it_under_both_names(labelled, tmp_path):
    two = replace(labelled, databases=["casme2"] * 20 + ["mine"] * 4)
    trained = train_model(two, tmp_path / "model", RIDGE, aliases={"mine/p5": "casme2/p4"})
    found = trained.recognizer.config["trained_subjects"]
    assert {"mine/p5", "casme2/p4"} <= set(found)
    assert len(trained.cross.folds) == 5
