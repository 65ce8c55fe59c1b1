"""Pre-training: killed and resumed is uninterrupted, and nobody is both trained on and a judge."""

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

from pydantic import ValidationError  # noqa: E402

import ma2mi.training.pretext_plans as plans  # noqa: E402
from ma2mi.errors import CheckpointError, SettingsError, StoreError  # noqa: E402
from ma2mi.evaluation.run_folder import CodeChanged  # noqa: E402
from ma2mi.files import Busy, hold  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.checkpoint import open_backbone, read_config  # noqa: E402
from ma2mi.training.loop import LoopSettings  # noqa: E402
from ma2mi.training.pretrain import pretrain  # noqa: E402
from ma2mi.training.pretrain_settings import PretrainSettings  # noqa: E402
from ma2mi.training.unlabelled import split_subjects  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
SIMULATOR = {"subjects": 6}
PROBE = {"subjects": 4, "labels": 12, "tested": 24, "each": 4}


def make_settings(**changes):
    loop = {"epochs": 3, "epoch_steps": 2, "batch_size": 12, "lr": 3e-3} | changes.pop("loop", {})
    pretext = {"code": 16, "simulator": SIMULATOR} | changes.pop("pretext", {})
    return PretrainSettings(
        model_settings=SMALL,
        size=64,
        loop=LoopSettings(**loop),
        pretext=pretext,
        probe=PROBE,
        **changes,
    )


def near_future(**changes):
    """The old task, a pass over all pairs an epoch."""
    loop = {"epochs": 2, "batch_size": 8, "lr": 3e-3} | changes.pop("loop", {})
    return PretrainSettings(
        model_settings=SMALL | {"fusion": "sum"},
        size=64,
        loop=LoopSettings(**loop),
        pretext={"name": "near-future"} | changes.pop("pretext", {}),
        **changes,
    )


class Killed(Exception):
    """What the test's hook ends a run with."""


def written(folder):
    names = ("model.safetensors", "config.json", "log.csv", "settings.json")
    return [(folder / name).read_bytes() for name in names]


@pytest.mark.parametrize("task", ["videos", "simulator", "stopped by the probe", "near future"])
def test_resumed_is_uninterrupted_bit_for_bit(pairs, grown, tmp_path, task):
    settings, given = {
        "videos": (make_settings(), grown),
        "simulator": (make_settings(pretext={"target": "momentum"}), None),
        "stopped by the probe": (make_settings(stop="probe", patience=2), grown),
        "near future": (near_future(loop={"epochs": 3}), pairs),
    }[task]
    whole = pretrain(given, tmp_path / "whole", settings)

    def dies(now):
        if now.done == 3:
            raise Killed

    with pytest.raises(Killed):
        pretrain(given, tmp_path / "halves", settings, on_progress=dies)
    assert not (tmp_path / "halves" / "model.safetensors").exists()
    heard = []
    resumed = pretrain(
        given, tmp_path / "halves", settings, on_progress=lambda now: heard.append(now.done)
    )
    assert heard == [3]  # the finished epochs were not done again
    assert resumed == whole
    assert written(tmp_path / "halves") == written(tmp_path / "whole")


KILLED_RUN = """
import sys
from pathlib import Path
from ma2mi.training.pretrain import pretrain
from ma2mi.training.pretrain_settings import PretrainSettings
settings = PretrainSettings.model_validate_json(sys.argv[2])
pretrain(None, Path(sys.argv[1]), settings, on_progress=lambda now: print(now.done, flush=True))
"""


@pytest.mark.slow
def test_killed_for_good_and_resumed(tmp_path):
    """SIGKILL in the middle of an epoch, in another process."""
    settings = make_settings(loop={"epochs": 3, "epoch_steps": 3})
    words = [sys.executable, "-c", KILLED_RUN, str(tmp_path / "killed"), settings.model_dump_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout.readline() == "1\n"
        time.sleep(0.1)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    subprocess.run(words, env=environment, check=True, capture_output=True)
    words[3] = str(tmp_path / "whole")
    subprocess.run(words, env=environment, check=True, capture_output=True)
    assert written(tmp_path / "killed") == written(tmp_path / "whole")


def test_what_is_written(grown, tmp_path):
    history = pretrain(grown, tmp_path, make_settings(), about={"data_hash": "abc"})
    with (tmp_path / "log.csv").open() as sheet:
        rows = list(csv.DictReader(sheet))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history
    assert [row["epoch"] for row in history] == [1, 2, 3]
    for row in history:
        assert 0 <= row["retrieval"] <= 1
        assert 0 <= row["units"] <= 1
        assert 0 <= row["subject"] <= 1
        assert row["subject_chance"] == 0.25
    config = read_config(tmp_path)
    assert config["pretext"] == "future-movement"
    assert config["people"] == sorted(set(grown.subjects.tolist()))
    assert len(config["held_out"]) == 1
    assert config["data_hash"] == "abc"
    assert config["figures"] == history[-1]
    assert list((tmp_path / "tensorboard").glob("events*"))
    net = open_backbone(tmp_path, 3)
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_the_simulator_depicts_nobody(tmp_path):
    pretrain(None, tmp_path, make_settings(loop={"epochs": 1}))
    config = read_config(tmp_path)
    assert config["people"] == config["held_out"] == []
    assert config["pretext"] == "future-movement"


def test_held_out_people_are_never_trained_on(grown, tmp_path, monkeypatch):
    trained, judged = set(), set()
    make = plans.VideoMovements.batch

    def spy(self, rows, generator):
        people = set(self.subjects[rows].tolist())
        (trained if generator else judged).update(people)
        return make(self, rows, generator)

    monkeypatch.setattr(plans.VideoMovements, "batch", spy)
    pretrain(grown, tmp_path, make_settings(held_out=0.34, loop={"epochs": 1, "epoch_steps": 6}))
    assert sorted(judged) == read_config(tmp_path)["held_out"]
    assert not trained & judged
    assert trained | judged == set(grown.subjects.tolist())


def test_batches_hold_several_pairs_of_each_video_and_none_twice(grown):
    backbone = build_model("miacnet-tiny", 2, **SMALL)
    plan = plans.plan_pretext(backbone, grown, make_settings(pretext={"per_video": 3}))
    rows = np.arange(36)
    for seed in range(3):
        order = plan.order(rows)(np.random.default_rng(seed))
        assert sorted(order) == rows.tolist()
        videos = grown.videos[order].reshape(-1, 3)
        assert (videos == videos[:, :1]).all()
    assert len({tuple(plan.order(rows)(np.random.default_rng(s))) for s in range(3)}) == 3


def test_the_probe_chooses_the_weights_and_ends_the_run(grown, tmp_path, monkeypatch):
    scores = iter([0.5, 0.8, 0.7, 0.6, 0.9])
    monkeypatch.setattr(
        plans.Probe, "figures", lambda self, task: {"loss": 1.0, "units": next(scores)}
    )
    settings = make_settings(stop="probe", patience=2, loop={"epochs": 5})
    history = pretrain(grown, tmp_path / "stopped", settings)
    assert [row["units"] for row in history] == [0.5, 0.8, 0.7, 0.6]
    assert read_config(tmp_path / "stopped")["figures"]["epoch"] == 2
    monkeypatch.setattr(plans.Probe, "figures", lambda self, task: {"loss": 1.0, "units": 0.5})
    # The schedule is that of five epochs: the weights of the second are those of a run that is
    # told to stop there.
    pretrain(grown, tmp_path / "fixed", make_settings(loop={"epochs": 5}))
    one, other = (
        (tmp_path / run / "model.safetensors").read_bytes() for run in ("stopped", "fixed")
    )
    assert one != other


def test_going_on_from_the_simulator_to_videos(grown, tmp_path):
    settings = make_settings(loop={"epochs": 1, "lr": 0})
    pretrain(None, tmp_path / "simulated", settings)
    pretrain(grown, tmp_path / "videos", settings, init=tmp_path / "simulated")
    nets = [open_backbone(tmp_path / run, 2) for run in ("simulated", "videos")]
    encoders = [torch.cat([p.flatten() for p in net.action_encoder.parameters()]) for net in nets]
    assert torch.equal(*encoders)  # nothing was learned at a rate of 0, so it is what was loaded


def test_weights_of_another_pretext_are_refused_by_name(pairs, grown, tmp_path):
    pretrain(pairs, tmp_path / "faces", near_future(loop={"epochs": 1}))
    pretrain(None, tmp_path / "movement", make_settings(loop={"epochs": 1}))
    with pytest.raises(CheckpointError, match=r"near-future latent t\+k, not future-movement"):
        pretrain(grown, tmp_path / "new", make_settings(), init=tmp_path / "faces")
    with pytest.raises(CheckpointError, match="future-movement, not near-future flow"):
        pretrain(
            pairs,
            tmp_path / "new",
            near_future(pretext={"space": "flow"}),
            init=tmp_path / "movement",
        )
    with pytest.raises(SettingsError, match=r"near-future latent t\+k, not future-movement"):
        pretrain(grown, tmp_path / "faces", make_settings())
    with pytest.raises(SettingsError, match="future-movement, not near-future pixel"):
        pretrain(pairs, tmp_path / "movement", near_future(pretext={"space": "pixel"}))


def test_weights_of_another_network_are_refused(tmp_path):
    pretrain(None, tmp_path / "small", make_settings(loop={"epochs": 1}))
    settings = make_settings().model_copy(update={"size": 96})
    with pytest.raises(CheckpointError, match="miacnet-tiny at 64 px, not miacnet-tiny at 96 px"):
        pretrain(None, tmp_path / "large", settings, init=tmp_path / "small")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99])
def test_split_leaves_people_on_both_sides(share):
    subjects = np.repeat(["a", "b", "c", "d"], [1, 2, 3, 4])
    train, held = split_subjects(subjects, share, 0)
    assert len(train)
    assert len(held)
    assert not set(subjects[train]) & set(subjects[held])
    assert sorted([*train, *held]) == list(range(10))


def test_one_person_is_too_few(grown, tmp_path):
    with pytest.raises(SettingsError, match=r"two subjects at least.* found 1"):
        pretrain(grown[np.arange(6)], tmp_path, make_settings())
    assert not list(tmp_path.iterdir())


def test_too_few_pairs_are_named(grown, tmp_path):
    with pytest.raises(SettingsError, match="only 6 pairs to learn from, at least 8"):
        pretrain(grown[np.arange(12)], tmp_path, make_settings(held_out=0.5))


def test_pairs_of_another_kind_are_refused(pairs, tmp_path):
    with pytest.raises(SettingsError, match="pairs without a later movement"):
        pretrain(pairs, tmp_path, make_settings())


def test_fewer_pairs_than_a_batch(grown, tmp_path):
    settings = make_settings(loop={"epochs": 1, "batch_size": 96})
    [figures] = pretrain(grown, tmp_path, settings)
    assert all(np.isfinite(v) for v in figures.values())


def test_a_network_of_differences_has_no_synthetic_probe(grown, tmp_path):
    settings = make_settings(loop={"epochs": 1}).model_copy(
        update={"model_settings": SMALL | {"action_input": "difference"}}
    )
    [figures] = pretrain(grown, tmp_path, settings)
    assert "retrieval" in figures
    assert "units" not in figures


def test_a_folder_belongs_to_one_run(grown, tmp_path):
    settings = make_settings(loop={"epochs": 1})
    pretrain(grown, tmp_path, settings)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(SettingsError, match="holds a run with other settings"):
        pretrain(grown, tmp_path, make_settings(loop={"epochs": 1, "seed": 1}))
    with pytest.raises(SettingsError, match="or other videos"):
        pretrain(grown[np.arange(30)], tmp_path, settings)
    with pytest.raises(SettingsError, match="or other videos"):
        pretrain(grown, tmp_path, settings, about={"data_hash": "other clips"})
    pretrain(grown, tmp_path, settings)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_another_seed_other_weights(grown, tmp_path):
    for seed in (0, 1):
        pretrain(grown, tmp_path / str(seed), make_settings(loop={"epochs": 1, "seed": seed}))
    one, other = ((tmp_path / s / "model.safetensors").read_bytes() for s in "01")
    assert one != other


def test_damaged_state_is_one_line(grown, tmp_path):
    pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}))
    (tmp_path / "state.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match="no readable training state"):
        pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}))


@pytest.mark.parametrize("space", ["pixel", "flow"])
def test_other_spaces_and_targets_run(pairs, tmp_path, space):
    settings = near_future(
        pretext={"space": space, "target": "t+2k", "teacher": "frozen"}, loop={"epochs": 1}
    )
    [figures] = pretrain(pairs, tmp_path, settings)
    assert all(np.isfinite(v) for v in figures.values())
    assert figures["gain"] == pytest.approx(1 - figures["loss"] / figures["copy"])
    assert read_config(tmp_path)["pretext"] == f"near-future {space} t+2k"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sise": 64},
        {"size": 100},
        {"loop": {"warmup": 1}},
        {"loop": {"epochs": 0}},
        {"held_out": 1},
    ],
)
def test_impossible_settings(wrong):
    with pytest.raises(ValidationError):
        PretrainSettings.model_validate(wrong)


def test_settings_file_tells_everything(tmp_path):
    settings = make_settings(loop={"epochs": 1})
    pretrain(None, tmp_path, settings)
    told = json.loads((tmp_path / "settings.json").read_text())
    known = {name: told[name] for name in PretrainSettings.model_fields}
    assert known == settings.model_dump(mode="json")


def test_a_call_that_learned_nothing_claims_nothing(grown, tmp_path):
    """The folder of a run that failed before its first epoch is free for the corrected call."""

    def dies(_):
        raise Killed

    with pytest.raises(Killed):
        pretrain(grown, tmp_path, make_settings(), on_progress=dies)
    assert (tmp_path / "settings.json").is_file()
    with pytest.raises(SettingsError, match=r"the loss is nan in step \d of epoch 1"):
        pretrain(grown, tmp_path, make_settings(loop={"lr": 1e12, "warmup": 0}))
    assert not (tmp_path / "model.safetensors").exists()
    settings = make_settings(loop={"epochs": 1})
    pretrain(grown, tmp_path, settings)
    pretrain(grown, tmp_path.with_name("alone"), settings)
    assert written(tmp_path) == written(tmp_path.with_name("alone"))


@pytest.mark.parametrize("rate", [float("inf"), float("nan"), -1.0])
def test_rates_that_are_no_rates(rate):
    with pytest.raises(ValidationError):
        LoopSettings(lr=rate)


def test_weights_that_are_no_longer_finite_end_the_run(grown, tmp_path, monkeypatch):
    """As where several devices work: the loss of each is looked at after the epoch only."""
    monkeypatch.setattr(plans.FutureMovement, "update_target", lambda self: spoil(self))

    def spoil(task):
        with torch.no_grad():
            next(task.trunk.action_encoder.parameters()).fill_(float("nan"))

    with pytest.raises(SettingsError, match=r"not finite at the end of epoch 1"):
        pretrain(grown, tmp_path, make_settings(loop={"epoch_steps": 1}))
    assert {p.name for p in tmp_path.iterdir()} <= {
        "settings.json",
        "environment.json",
        "tensorboard",
    }


def test_more_epochs_go_on_and_are_told(grown, tmp_path):
    first = pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}))
    heard = []
    longer = make_settings(loop={"epochs": 3})
    history = pretrain(grown, tmp_path, longer, on_progress=lambda now: heard.append(now.done))
    assert heard == [2, 3]
    assert history[:1] == first
    planned = [{"from_epoch": 1, "epochs": 1}, {"from_epoch": 2, "epochs": 3}]
    assert read_config(tmp_path)["planned"] == planned
    before = written(tmp_path)
    assert pretrain(grown, tmp_path, longer) == history
    assert written(tmp_path) == before
    with pytest.raises(SettingsError, match="has learned for 3 epochs already, 2 are asked for"):
        pretrain(grown, tmp_path, make_settings(loop={"epochs": 2}))
    assert written(tmp_path) == before


def test_more_epochs_killed_and_resumed_are_as_never_stopped(grown, tmp_path):
    longer = make_settings(loop={"epochs": 3})

    def dies(now):
        if now.done == 3:
            raise Killed

    for name in ("whole", "halves"):
        pretrain(grown, tmp_path / name, make_settings(loop={"epochs": 1}))
    pretrain(grown, tmp_path / "whole", longer)
    with pytest.raises(Killed):
        pretrain(grown, tmp_path / "halves", longer, on_progress=dies)
    pretrain(grown, tmp_path / "halves", longer)
    assert written(tmp_path / "halves") == written(tmp_path / "whole")


def test_what_differs_is_named_setting_by_setting(grown, tmp_path):
    pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}))
    with pytest.raises(
        SettingsError, match=r"loop\.lr was 0\.003, is 0\.004; probe\.labels was 12"
    ):
        other = make_settings(loop={"epochs": 1, "lr": 4e-3})
        pretrain(
            grown,
            tmp_path,
            other.model_copy(update={"probe": other.probe.model_copy(update={"labels": 13})}),
        )
    brighter = replace(grown, first=grown.first // 2)
    with pytest.raises(SettingsError, match=r"videos: pairs_sha256 was .*, is"):
        pretrain(brighter, tmp_path, make_settings(loop={"epochs": 1}))


def test_another_version_is_refused_and_another_state_of_the_code_is_said(
    grown, tmp_path, monkeypatch
):
    settings = make_settings(loop={"epochs": 2})

    def dies(now):
        if now.done == 2:
            raise Killed

    with pytest.raises(Killed):
        pretrain(grown, tmp_path, settings, on_progress=dies)
    monkeypatch.setattr("ma2mi.training.claim.code_digest", lambda: "another")
    with pytest.warns(CodeChanged, match="another state of ma2mi's code"):
        pretrain(grown, tmp_path, settings)
    monkeypatch.setattr("ma2mi._version.__version__", "0.0.1")
    with pytest.raises(SettingsError, match=r'version was ".*", is "0\.0\.1"'):
        pretrain(grown, tmp_path, settings)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_model_of_somebody_else_is_never_replaced(grown, tmp_path, name):
    (tmp_path / name).write_bytes(b"a year of work")
    with pytest.raises(SettingsError, match="holds a model that was not trained there"):
        pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"a year of work"


def test_a_model_that_was_changed_since_is_never_replaced(grown, tmp_path):
    settings = make_settings(loop={"epochs": 1})
    pretrain(grown, tmp_path, settings)
    (tmp_path / "model.safetensors").write_bytes(b"better")
    with pytest.raises(SettingsError, match="was changed since it was trained"):
        pretrain(grown, tmp_path, settings)
    assert (tmp_path / "model.safetensors").read_bytes() == b"better"


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "log.csv", "state.safetensors", "settings.json"]
)
def test_what_was_deleted_is_made_again(grown, tmp_path, name):
    settings = make_settings(loop={"epochs": 1})
    pretrain(grown, tmp_path / "run", settings)
    before = written(tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    if name == "settings.json":  # nobody can say what this model is
        with pytest.raises(SettingsError, match="was not trained there"):
            pretrain(grown, tmp_path / "run", settings)
        return
    pretrain(grown, tmp_path / "run", settings)
    assert written(tmp_path / "run") == before


def test_killed_between_weights_and_config_it_goes_on(grown, tmp_path, monkeypatch):
    """The weights are new and the config is old: nobody else's change."""
    pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}))
    config = (tmp_path / "config.json").read_bytes()
    pretrain(grown, tmp_path, make_settings(loop={"epochs": 2}))
    whole = written(tmp_path)
    (tmp_path / "config.json").write_bytes(config)
    (tmp_path / ".writing").write_bytes(b"")
    pretrain(grown, tmp_path, make_settings(loop={"epochs": 2}))
    assert written(tmp_path) == whole
    assert not (tmp_path / ".writing").exists()


def test_two_at_once_are_one_and_a_line(grown, tmp_path):
    settings = make_settings(loop={"epochs": 1})
    with hold(tmp_path), pytest.raises(Busy, match="another process is writing here"):
        pretrain(grown, tmp_path, settings)
    assert not list(tmp_path.iterdir())


def test_a_file_where_the_folder_would_be(grown, tmp_path):
    (tmp_path / "run").write_text("notes")
    with pytest.raises(SettingsError, match="is a file"):
        pretrain(grown, tmp_path / "run", make_settings())
    with pytest.raises(StoreError, match="A file stands where a folder is needed"):
        pretrain(grown, tmp_path / "run" / "inner", make_settings())


def test_a_hook_that_raises_is_not_blamed_on_the_disk(grown, tmp_path):
    def hook(*_):
        raise OSError(28, "of the hook")

    with pytest.raises(OSError, match="of the hook"):
        pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}), on_progress=hook)


def test_the_process_stays_as_it_was(grown, tmp_path):
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    pretrain(grown, tmp_path, make_settings(loop={"epochs": 1}))
    assert torch.equal(torch.rand(3), wanted)
    assert torch.get_num_threads() == threads


def test_gain_where_nothing_changes(pairs):
    still = replace(pairs, second=pairs.first, third=pairs.first, action=0 * pairs.action)
    settings = near_future(pretext={"space": "pixel"})
    plan = plans.plan_pretext(
        build_model("miacnet-tiny", 2, **settings.model_settings), still, settings
    )
    figures = plan.evaluate(np.arange(8))
    assert figures["copy"] == 0
    assert figures["gain"] == 0


def test_the_scale_of_gradients_is_kept(tmp_path):
    """Of 16-bit precision: how much a loss is scaled is part of the training's state."""
    from lightning.fabric import Fabric
    from lightning.fabric.plugins import MixedPrecision

    from ma2mi.training.loop import run_epochs

    def train(epochs, scale):
        torch.manual_seed(0)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1)
        plugin = MixedPrecision("16-mixed", "cpu", scaler)
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[plugin])
        net = torch.nn.Linear(4, 1)
        module, optimizer = fabric.setup(net, torch.optim.AdamW(net.parameters()))
        run_epochs(
            fabric,
            module,
            optimizer,
            lambda rows, generator: module(torch.ones(2, 4)).square().mean(),
            4,
            LoopSettings(epochs=epochs, batch_size=2),
            state=tmp_path / "state",
        )
        return scaler.get_scale()

    assert train(1, 4.0) == 16.0  # doubled after each of two steps
    assert train(2, 4.0) == 64.0  # goes on from there, and not from 4
