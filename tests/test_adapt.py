"""Adapting a recognizer: its outputs hold, killed and resumed is uninterrupted, bad input."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from torch.distributions import Bernoulli, Categorical, kl_divergence  # noqa: E402

import ma2mi.training.adapt as module  # noqa: E402
from ma2mi.datasets.synthetic import write_corpus  # noqa: E402
from ma2mi.errors import CheckpointError, SettingsError  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.adapt import AdaptSettings, Drift, adapt  # noqa: E402
from ma2mi.training.recognizer import (  # noqa: E402
    Recognizer,
    RecognizerSettings,
    load_model,
)
from ma2mi.training.zero_shot import ZeroShot  # noqa: E402
from ma2mi.video import read_frames, write_video  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
#: As "zero" lays its input out.
ZERO = SMALL | {
    "branches": "action", "fusion": "sum", "padding": "zeros", "side": None,
    "global_attention": False,
}  # fmt: skip


def make(folder, size=64, **changes):
    """Weights that have learned nothing."""
    torch.manual_seed(0)
    settings = RecognizerSettings()
    network = ZERO | changes
    config = {
        "model": "miacnet-tiny",
        "classes": settings.outputs,
        "settings": network,
        "size": size,
        "people": ["somebody"],
        "recipe": {"script": "a test"},
        "recognizer": settings.model_dump(mode="json"),
    }
    net = build_model("miacnet-tiny", settings.outputs, **network)
    card = "---\ntags: []\n---\n# Before\n\nSaid before.\n"
    Recognizer(net, json.loads(json.dumps(config)), card).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return make(tmp_path_factory.mktemp("weights") / "small")


@pytest.fixture(autouse=True)
def _few_subjects(monkeypatch):
    monkeypatch.setattr(module, "REHEARSAL", (3, 700_000))
    monkeypatch.setattr(module, "UNSEEN", (2, 710_000))


def make_settings(**changes):
    loop = {"epochs": 2, "epoch_steps": 2, "batch_size": 12, "lr": 3e-3} | changes.pop("loop", {})
    return AdaptSettings.model_validate(
        {
            "world_batch": 16,
            "pretext": {"code": 16} | changes.pop("pretext", {}),
            "probe": {"subjects": 4, "labels": 12, "tested": 24, "each": 4},
            "loop": loop,
            **changes,
        }
    )


def written(folder):
    names = ("model.safetensors", "config.json", "README.md", "log.csv", "settings.json")
    return [(folder / name).read_bytes() for name in names]


def test_what_is_written_is_a_recognizer_that_says_where_it_comes_from(grown, weights, tmp_path):
    history = adapt(grown, tmp_path, weights, make_settings(), about={"data_hash": "abc"})
    with (tmp_path / "log.csv").open() as sheet:
        rows = list(csv.DictReader(sheet))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history
    assert [row["epoch"] for row in history] == [1, 2]
    model, before = load_model(tmp_path), load_model(weights)
    assert model.settings == before.settings
    subjects = sorted(set(grown.subjects.tolist()))
    assert model.config["people"] == sorted([*subjects, "somebody"])
    told = model.config["adapted"]
    assert told["weights"] == "small"
    assert told["subjects"] == subjects
    assert len(told["held_out"]) == 1
    assert told["data_hash"] == "abc"
    assert told["figures"] == history[-1]
    for said in ("weights `small`", *subjects, '"hold": 1.0', "Said before.", "### Before"):
        assert said in model.card
    learner = ZeroShot(model, before.classes)
    chances = learner.predict(grown)
    assert chances.shape == (len(grown), 3)
    np.testing.assert_allclose(chances.sum(1), 1)
    assert not np.array_equal(chances, ZeroShot(before, before.classes).predict(grown))


@pytest.mark.parametrize("target", ["shared", "momentum"])
def test_resumed_is_uninterrupted_bit_for_bit(grown, weights, tmp_path, target):
    settings = make_settings(pretext={"target": target})
    whole = adapt(grown, tmp_path / "whole", weights, settings)

    class Killed(Exception):
        pass

    def dies(now):
        if now.done == 2:
            raise Killed

    with pytest.raises(Killed):
        adapt(grown, tmp_path / "halves", weights, settings, on_progress=dies)
    assert not (tmp_path / "halves" / "model.safetensors").exists()
    heard = []
    resumed = adapt(
        grown,
        tmp_path / "halves",
        weights,
        settings,
        on_progress=lambda now: heard.append(now.done),
    )
    assert heard == [2]  # the finished epoch was not done again
    assert resumed == whole
    assert written(tmp_path / "halves") == written(tmp_path / "whole")


def test_outputs_hold_and_let_go(grown, weights, tmp_path):
    """The same steps move the outputs twice as far where nothing holds them, and hardly at all
    where nothing else is learned."""
    loop = {"epochs": 1, "epoch_steps": 30}
    [held], [free] = (
        adapt(grown, tmp_path / f"{hold}", weights, make_settings(hold=hold, loop=loop))
        for hold in (30.0, 0.0)
    )
    assert 0 < held["drift"] < free["drift"] / 2
    nothing = {"contrast": 0, "draw": 0, "attend": 0, "find": 0}
    slow = {"epochs": 1, "epoch_steps": 10, "lr": 3e-4}
    [alone] = adapt(grown, tmp_path / "alone", weights, make_settings(pretext=nothing, loop=slow))
    assert alone["drift"] < held["drift"] / 20


def test_drift_is_the_divergence_that_torch_knows():
    generator = torch.Generator().manual_seed(0)
    now, before = torch.randn(2, 6, 17, generator=generator)
    drift = Drift(RecognizerSettings())
    assert drift(before, before) == pytest.approx(0, abs=1e-6)
    sized = now.clone()
    sized[:, -2] = before[:, -2]
    classes = kl_divergence(Categorical(logits=before[:, :3]), Categorical(logits=now[:, :3]))
    yes_or_no = [*range(3, 15), 16]
    binary = kl_divergence(
        Bernoulli(logits=before[:, yes_or_no]), Bernoulli(logits=now[:, yes_or_no])
    )
    assert float(drift(sized, before)) == pytest.approx(float(classes.mean() + 2 * binary.mean()))
    assert drift(now, before) > drift(sized, before)


def test_what_no_synthetic_movement_passes_stays_as_it_was(grown, tmp_path):
    """The worlds have no faces, so nothing would hold a position branch."""
    both = {"branches": "both", "fusion": "where", "padding": "replicate", "side": 64}
    weights = make(tmp_path / "both", **both)
    adapt(grown, tmp_path / "run", weights, make_settings(loop={"epochs": 1}))
    before, after = (load_model(f).net.state_dict() for f in (weights, tmp_path / "run"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"action_encoder", "head"}


def test_one_subject_is_too_few(grown, weights, tmp_path):
    with pytest.raises(SettingsError, match=r"p0: adapting needs videos of two subjects") as error:
        adapt(grown[np.arange(6)], tmp_path / "run", weights, make_settings())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_too_few_pairs_are_named(grown, weights, tmp_path):
    with pytest.raises(SettingsError, match="only 6 pairs to learn from, at least 8"):
        adapt(grown[np.arange(12)], tmp_path / "run", weights, make_settings(held_out=0.5))


def test_pairs_of_another_kind_are_refused(pairs, weights, tmp_path):
    with pytest.raises(SettingsError, match="pairs without a later movement"):
        adapt(pairs, tmp_path / "run", weights, make_settings())


def test_weights_that_do_not_serve_are_one_line(grown, tmp_path):
    backbone = make(tmp_path / "trunk")
    config = json.loads((backbone / "config.json").read_text())
    del config["recognizer"]
    (backbone / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="holds a pre-trained backbone, not a recognizer"):
        adapt(grown, tmp_path / "run", backbone, make_settings())
    frames = make(tmp_path / "frames", action_input="difference")
    with pytest.raises(CheckpointError, match="frames: takes differences of frames"):
        adapt(grown, tmp_path / "run", frames, make_settings())


def test_the_folder_of_another_run_is_refused(grown, weights, tmp_path):
    settings = make_settings(loop={"epochs": 1, "epoch_steps": 1})
    adapt(grown, tmp_path / "run", weights, settings)
    kept = written(tmp_path / "run")
    other = make(tmp_path / "other", padding="replicate")
    fewer = replace(grown, keys=np.array([f"other/{key}" for key in grown.keys]))
    for given in (
        (grown, tmp_path / "run", weights, settings.model_copy(update={"hold": 2.0})),
        (grown, tmp_path / "run", other, settings),
        (fewer, tmp_path / "run", weights, settings),
    ):
        with pytest.raises(SettingsError, match="holds a run with other settings or other videos"):
            adapt(*given)
    with pytest.raises(SettingsError, match="other: holds a model that was not trained there"):
        adapt(grown, other, weights, settings)
    assert written(tmp_path / "run") == kept


# By command


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Synthetic subjects before a camera with H.264: three videos."""
    folder = tmp_path_factory.mktemp("adapt")
    write_corpus("synthetic-macro", folder, subjects=3, clips_per_subject=1, seed=3, size=160)
    return folder / "clips"


OPTIONS = ("--recipe", "as-is", "--pairs-per-clip", 4, "--epochs", 2, "--epoch-steps", 2,
           "--batch-size", 8, "--jobs", 1, "--accelerator", "cpu")  # fmt: skip


def test_from_videos_to_weights(ma2mi, weights, videos, tmp_path):
    words = ("adapt", "--weights", weights, "--videos", videos, *OPTIONS)
    code, out, err = ma2mi(*words, "--out", "mine")
    assert code == 0, err
    assert "3 subjects" in out
    assert "predictions as before" in out
    model = load_model(tmp_path / "mine")
    assert len(model.config["people"]) == 4
    assert ma2mi(*words, "--out", "mine")[0] == 0  # again: nothing left to do
    assert ma2mi(*words, "--out", "again", "--store", "mine/clips")[0] == 0
    assert written(tmp_path / "mine") == written(tmp_path / "again")
    code, _, err = ma2mi(*words, "--hold", 2, "--out", "mine")
    assert code == 2
    assert err.count("\n") == 1
    assert (
        "mine: holds a run with other settings or other videos: adapt.settings.hold was 1.0, is 2.0"
        in err
    )


def test_one_video_is_one_line(ma2mi, weights, videos, tmp_path):
    (tmp_path / "one").mkdir()
    first = sorted(videos.rglob("*.mp4"))[0]
    (tmp_path / "one" / "only.mp4").write_bytes(first.read_bytes())
    code, _, err = ma2mi(
        "adapt", "--weights", weights, "--videos", "one", "--out", "mine", *OPTIONS
    )
    assert code == 2
    assert err.count("\n") == 1
    assert "only.mp4: adapting needs videos of two subjects at least" in err


def test_nobody_moves(ma2mi, weights, videos, tmp_path):
    for path in sorted(videos.rglob("*.mp4"))[:2]:
        first = next(read_frames(path)).image
        still = tmp_path / "still" / f"{path.stem}.mkv"
        write_video(still, [first] * 40, 30, lossless=True)
    code, _, err = ma2mi(
        "adapt", "--weights", weights, "--videos", "still", "--out", "mine", *OPTIONS
    )
    assert code == 2
    assert err.count("\n") == 1
    assert "no clip gives a pair of frames" in err


def test_weights_are_refused_before_videos_are_prepared(ma2mi, videos, tmp_path):
    code, _, err = ma2mi("adapt", "--weights", "none", "--videos", videos, "--out", "mine")
    assert code == 2
    assert "none: is neither a folder nor the name of shipped weights" in err
    assert not (tmp_path / "mine").exists()


KILLED_RUN = """
import sys
from ma2mi import cli
cli.main()
"""


@pytest.mark.slow
def test_killed_for_good_and_resumed(weights, videos, tmp_path):
    """SIGKILL after the first epoch, in another process."""
    words = [
        sys.executable, "-c", KILLED_RUN, "adapt", "--weights", str(weights), "--videos",
        str(videos), *map(str, OPTIONS), "--epochs", "3", "--out",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    killed = [*words, str(tmp_path / "killed")]
    with subprocess.Popen(killed, stdout=subprocess.PIPE, text=True, env=environment) as run:
        while "epoch   1" not in run.stdout.readline():
            pass
        time.sleep(0.1)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    subprocess.run(killed, env=environment, check=True, capture_output=True)
    whole = [*words, str(tmp_path / "whole")]
    subprocess.run(whole, env=environment, check=True, capture_output=True)
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
