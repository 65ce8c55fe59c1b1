"""Tracking: curves of folds as CSV and TensorBoard's files, and the services beside a run."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
import types
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("lightning")
pytest.importorskip("tensorboard")

from ma2mi.errors import EvaluationError, MissingPart, SettingsError
from ma2mi.evaluation import load_run, run_benchmark
from ma2mi.training import tracking

SUBJECTS = [f"s{i // 2}" for i in range(8)]
TRUTH = np.array([0, 1] * 4)


class Trains:
    """Reports curve and choices as a network does, and a figure that is none."""

    name = "trains"
    settings = MappingProxyType({"lr": 0.1})
    chosen = MappingProxyType({"strength": 0.3, "mix": {"pixels": 0.25}, "on": "inner, folds"})

    def __init__(self, seed=0, fails_on=""):
        self.seed, self.fails_on = seed, fails_on

    def reseed(self, seed):
        return Trains(seed, self.fails_on)

    def fit(self, clips, labels, subjects):
        if self.fails_on and self.fails_on not in subjects:
            raise RuntimeError("the lights went out")
        missing = sum(map(int, "".join(sorted(set(subjects))).replace("s", "")))
        self.curve = [
            {"epoch": n, "train_loss": (1 + missing + self.seed) / n, "odd": float("nan")}
            for n in (1, 2)
        ]
        return self

    def predict(self, clips):
        return np.eye(2)[clips % 2]


def run(out, learner=None, **options):
    return run_benchmark(
        learner or Trains(),
        np.arange(8),
        TRUTH,
        SUBJECTS,
        **{"keys": [f"k{i}" for i in range(8)], "protocol": "loso", "classes": ("a", "b")},
        out=out,
        **options,
    )


def read_events(folder):
    """Tag to (step, value) of every scalar, by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: [(e.step, pytest.approx(e.value)) for e in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def test_every_fold_and_seed_has_its_curve(tmp_path):
    result = run(tmp_path / "run", seeds=(0, 5), jobs=2, backend="threading")
    with (tmp_path / "run/curves.csv").open(newline="") as sheet:
        rows = list(csv.DictReader(sheet))
    assert list(rows[0]) == ["seed", "fold", "epoch", "train_loss"]
    # Subjects are named 0 to 3: without 0 the others sum to 6, and 1 + 6 + seed is the first loss.
    assert [tuple(row.values()) for row in rows[:3]] == [
        ("0", "s0", "1", "7"),
        ("0", "s0", "2", "3.5"),
        ("0", "s1", "1", "6"),
    ]
    assert len(rows) == 2 * 4 * 2
    folders = sorted((tmp_path / "run/tensorboard").iterdir())
    assert [f.name for f in folders] == [
        *(f"{seed}-{n:04d}-s{n}" for seed in (0, 5) for n in range(4)),
        "scores",
    ]
    assert read_events(folders[5]) == {"train_loss": [(1, 11), (2, 5.5)]}
    assert read_events(folders[-1])["uf1"] == [(0, 1)]
    with (tmp_path / "run/choices.csv").open(newline="") as sheet:
        first = next(csv.DictReader(sheet))
    assert first == {
        "seed": "0",
        "fold": "s0",
        "strength": "0.3",
        "mix.pixels": "0.25",
        "on": "inner, folds",
    }
    assert load_run(tmp_path / "run") == result
    assert result.folds[0].curve == ({"epoch": 1, "train_loss": 7}, {"epoch": 2, "train_loss": 3.5})


def files_of(folder):
    left_out = ("timings.csv", "environment.json")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in left_out
    }


def test_curves_are_the_same_bytes_however_the_folds_end(tmp_path):
    whole = run(tmp_path / "whole", seeds=(0, 1))
    run(tmp_path / "threads", seeds=(0, 1), jobs=4, backend="threading")
    with pytest.raises((RuntimeError, EvaluationError), match="lights"):
        run(tmp_path / "cut", Trains(fails_on="s2"), seeds=(0, 1))
    # Killed between a fold and its events: they are made up for.
    shutil.rmtree(tmp_path / "cut/tensorboard/0-0001-s1")
    assert run(tmp_path / "cut", seeds=(0, 1)) == whole
    seen = {name: files_of(tmp_path / name) for name in ("whole", "threads", "cut")}
    assert "tensorboard/1-0003-s3/events.out.tfevents.0.ma2mi" in seen["whole"]
    assert seen["threads"] == seen["whole"]
    assert seen["cut"] == seen["whole"]


def test_runs_of_before_are_read_and_shown(tmp_path):
    from ma2mi.cli.report import write_report

    result = run(tmp_path / "run")
    for fold in (tmp_path / "run/folds").iterdir():
        tree = json.loads(fold.read_bytes())
        del tree["curve"]
        fold.write_text(json.dumps(tree), encoding="utf-8")
    for name in ("curves.csv", "choices.csv", ".written.json"):
        (tmp_path / "run" / name).unlink()
    shutil.rmtree(tmp_path / "run/tensorboard")
    old = load_run(tmp_path / "run")
    assert old.scores() == result.scores()
    page = write_report(tmp_path / "report.html", [old]).read_text(encoding="utf-8")
    assert "Training, fold by fold" not in page
    assert "Confusion matrices" in page


class Recorder:
    """In the place of one of Lightning's loggers; keeps what it is called with."""

    opened: ClassVar[list] = []

    def __init__(self, *given, **named):
        self.given, self.named, self.calls = given, named, []
        self.run_id = named.get("run_id") or "a-new-run"
        self.experiment = types.SimpleNamespace(finish=lambda **o: self.calls.append(("end", o)))
        Recorder.opened.append(self)

    def log_hyperparams(self, params):
        self.calls.append(("settings", params))

    def log_metrics(self, figures, step):
        if "fails" in figures:
            raise OSError("the server is gone")
        self.calls.append((step, figures))

    def finalize(self, status):
        self.calls.append(("closed", status))


@pytest.fixture
def services(monkeypatch):
    """Both services, neither of them real."""
    import lightning.pytorch.loggers as loggers

    for name in tracking.SERVICES:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name in ("MLFlowLogger", "WandbLogger"):
        monkeypatch.setattr(loggers, name, Recorder)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Recorder, "opened", [])
    return Recorder.opened


def test_a_run_is_tracked_whole(tmp_path, services):
    result = run(tmp_path / "run", seeds=(0, 1))
    tracking.track_run(tmp_path / "run", result, ["mlflow", "wandb"])
    mlflow, wandb = services
    # Below the run's folder, and offline.
    assert mlflow.given[2] == f"sqlite:///{tmp_path}/run/mlflow.db"
    assert wandb.named["offline"]
    settings = mlflow.calls[0][1]
    assert settings["protocol"] == "loso"
    assert settings["settings.learner.lr"] == 0.1
    assert {"version", "commit", "data_hash", "learner", "seeds"} <= set(settings)
    steps = [call for call in mlflow.calls if isinstance(call[0], int)]
    assert steps[0][0] == 1
    assert steps[0][1]["folds/1-s0/train_loss"] == 8
    assert steps[0][1]["mean/train_loss"] == pytest.approx(6)  # 7, 6, 5, 4 and one more each
    scores = steps[-1][1]
    assert scores["uf1"] == scores["uf1_low"] == scores["uf1_high"] == 1
    assert scores["seeds/1/classes/a/f1"] == 1
    assert mlflow.calls[-1] == ("closed", "success")
    assert wandb.calls[-1] == ("end", {"exit_code": 0})


def test_a_run_that_goes_on_is_one_run_there_too(tmp_path, services):
    result = run(tmp_path / "run")
    for _ in range(2):
        tracking.track_run(tmp_path / "run", result, ["mlflow", "wandb"])
    first, first_wandb, second, second_wandb = services
    assert first.named["run_id"] is None
    assert second.named["run_id"] == "a-new-run"
    assert second_wandb.named["id"] == first_wandb.named["id"]
    assert [call[0] for call in second.calls].count("settings") == 0
    assert load_run(tmp_path / "run") == result  # what a service writes is no part of it


def test_the_users_own_places_count(tmp_path, services, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    monkeypatch.setenv("WANDB_MODE", "online")
    with tracking.track(tmp_path, ["mlflow", "wandb"], {}, board=False):
        pass
    assert services[0].given[2] == "http://tracking.example"
    assert not services[1].named["offline"]


def test_a_service_that_fails_ends_no_run(tmp_path, services):
    with tracking.track(tmp_path, ["mlflow"], {"a": {"b": 1}}) as tracker:
        with pytest.warns(tracking.TrackingFailed, match=r"mlflow: .*the server is gone"):
            tracker.log_figures({"fails": 1.0}, 1)
        tracker.log_epoch({"epoch": 2, "train_loss": 0.5, "note": "no number"})
    assert [call[0] for call in services[0].calls] == ["settings"]
    assert read_events(tmp_path / "tensorboard") == {
        "fails": [(1, 1)],
        "train_loss": [(2, 0.5)],
    }


def test_a_training_that_ends_early_is_marked_failed(tmp_path, services):
    with pytest.raises(ValueError), tracking.track(tmp_path, ["mlflow", "wandb"], {}, board=False):
        raise ValueError
    assert services[0].calls[-1] == ("closed", "failed")
    assert services[1].calls[-1] == ("end", {"exit_code": 1})


def test_wrong_services_are_one_line(monkeypatch):
    with pytest.raises(SettingsError, match=r"--track clearml.*Known are: mlflow, wandb"):
        tracking.check_services(["clearml"])
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(MissingPart, match=r"pip install 'ma2mi\[track\]'"):
        tracking.check_services(["wandb"])


def test_names_that_no_service_refuses():
    assert (
        tracking.name_of("folds/0-Müller @ home/train_loss") == "folds/0-M-ller - home/train_loss"
    )
    assert tracking.name_of("a//ü") == "a/-/-"


@pytest.mark.skipif(not importlib.util.find_spec("mlflow"), reason="mlflow is not installed")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_itself(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = run(tmp_path / "run", seeds=(0, 1))
    for _ in range(2):
        tracking.track_run(tmp_path / "run", result, ["mlflow"])
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/run/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("ma2mi").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["protocol"] == "loso"
    assert found.data.metrics["uf1_low"] == 1
    assert found.data.metrics["folds/0-s0/train_loss"] == 3.5


@pytest.mark.skipif(not importlib.util.find_spec("wandb"), reason="wandb is not installed")
@pytest.mark.filterwarnings("ignore")
def test_wandb_itself(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tracking.track_run(tmp_path / "run", run(tmp_path / "run"), ["wandb"])
    (kept,) = (tmp_path / "run/wandb").glob("offline-run-*/run-*.wandb")
    assert b"uf1_low" in kept.read_bytes()
