"""Pre-training: killed and resumed is uninterrupted, and nobody is both trained on and a judge."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from pydantic import ValidationError  # noqa: E402

import ma2mi.training.pretrain as module  # noqa: E402
from ma2mi.errors import CheckpointError, SettingsError  # noqa: E402
from ma2mi.training.checkpoint import open_trunk, read_config  # noqa: E402
from ma2mi.training.loop import LoopSettings  # noqa: E402
from ma2mi.training.pretrain import PretrainSettings, pretrain, split_people  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}


def make_settings(**changes):
    loop = {"epochs": 3, "batch_size": 8, "lr": 3e-3} | changes.pop("loop", {})
    return PretrainSettings(model_settings=SMALL, size=64, loop=LoopSettings(**loop), **changes)


class Killed(Exception):
    """What the test's hook ends a run with."""


def test_resumed_is_uninterrupted_bit_for_bit(pairs, tmp_path):
    settings = make_settings()
    whole = pretrain(pairs, tmp_path / "whole", settings)

    def dies(epoch, epochs, figures):
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        pretrain(pairs, tmp_path / "halves", settings, hook=dies)
    assert not (tmp_path / "halves" / "model.safetensors").exists()
    heard = []
    resumed = pretrain(
        pairs, tmp_path / "halves", settings, hook=lambda epoch, *_: heard.append(epoch)
    )
    assert heard == [3]  # the finished epochs were not done again
    assert resumed == whole
    for name in ("model.safetensors", "config.json", "log.csv", "settings.json"):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("whole", "halves"))
        assert one == other, name


def test_what_is_written(pairs, tmp_path):
    history = pretrain(pairs, tmp_path, make_settings(), about={"data_hash": "abc"})
    with (tmp_path / "log.csv").open() as sheet:
        rows = list(csv.DictReader(sheet))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history
    for row in history:
        assert row["gain"] == pytest.approx(1 - row["loss"] / row["copy"])
        assert row["variance"] > 0
    config = read_config(tmp_path)
    assert config["people"] == sorted(set(pairs.subjects.tolist()))
    assert len(config["held_out"]) == 1
    assert config["data_hash"] == "abc"
    assert config["gain"] == history[-1]["gain"]
    assert list((tmp_path / "tensorboard").glob("events*"))
    net = open_trunk(tmp_path, 3)
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_held_out_people_are_never_trained_on(pairs, tmp_path, monkeypatch):
    trained, judged = set(), set()
    make = module.make_batch

    def spy(pairs, rows, **settings):
        people = set(pairs.subjects[rows].tolist())
        (trained if settings["augment"] else judged).update(people)
        return make(pairs, rows, **settings)

    monkeypatch.setattr(module, "make_batch", spy)
    pretrain(pairs, tmp_path, make_settings(held_out=0.34, loop={"epochs": 1}))
    assert trained
    assert sorted(judged) == read_config(tmp_path)["held_out"]
    assert not trained & judged
    assert trained | judged == set(pairs.subjects.tolist())


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99])
def test_split_leaves_people_on_both_sides(share):
    subjects = np.repeat(["a", "b", "c", "d"], [1, 2, 3, 4])
    train, held = split_people(subjects, share, 0)
    assert len(train)
    assert len(held)
    assert not set(subjects[train]) & set(subjects[held])
    assert sorted([*train, *held]) == list(range(10))


def test_one_person_is_too_few(pairs, tmp_path):
    with pytest.raises(SettingsError, match=r"two people at least.* found 1"):
        pretrain(pairs[np.arange(4)], tmp_path, make_settings())


def test_a_folder_belongs_to_one_run(pairs, tmp_path):
    settings = make_settings(loop={"epochs": 1})
    pretrain(pairs, tmp_path, settings)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(SettingsError, match="holds a run with other settings"):
        pretrain(pairs, tmp_path, make_settings(loop={"epochs": 1, "seed": 1}))
    with pytest.raises(SettingsError, match="or other videos"):
        pretrain(pairs[np.arange(20)], tmp_path, settings)
    with pytest.raises(SettingsError, match="or other videos"):
        pretrain(pairs, tmp_path, settings, about={"data_hash": "other clips"})
    pretrain(pairs, tmp_path, settings)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_another_seed_other_weights(pairs, tmp_path):
    for seed in (0, 1):
        pretrain(pairs, tmp_path / str(seed), make_settings(loop={"epochs": 1, "seed": seed}))
    one, other = ((tmp_path / s / "model.safetensors").read_bytes() for s in "01")
    assert one != other


def test_damaged_state_is_one_line(pairs, tmp_path):
    pretrain(pairs, tmp_path, make_settings(loop={"epochs": 1}))
    (tmp_path / "state.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match="no readable training state"):
        pretrain(pairs, tmp_path, make_settings(loop={"epochs": 1}))


@pytest.mark.parametrize("space", ["pixel", "flow"])
def test_other_spaces_and_targets_run(pairs, tmp_path, space):
    settings = make_settings(
        pretext={"space": space, "target": "t+2k", "teacher": "frozen"}, loop={"epochs": 1}
    )
    [figures] = pretrain(pairs, tmp_path, settings)
    assert all(np.isfinite(v) for v in figures.values())


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


def test_settings_file_tells_everything(pairs, tmp_path):
    settings = make_settings(loop={"epochs": 1})
    pretrain(pairs, tmp_path, settings)
    told = json.loads((tmp_path / "settings.json").read_text())
    known = {name: told[name] for name in PretrainSettings.model_fields}
    assert known == settings.model_dump(mode="json")
