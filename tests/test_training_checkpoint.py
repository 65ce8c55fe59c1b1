"""Weights and training states come back exactly, or with one clear line."""

from __future__ import annotations

import hashlib
import json

import pytest

torch = pytest.importorskip("torch")

from ma2mi.errors import CheckpointError  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.checkpoint import (  # noqa: E402
    load_state,
    open_backbone,
    read_config,
    save_model,
    save_state,
)

CONFIG = {"model": "miacnet-tiny", "classes": 2, "settings": {"fusion": "concat"}, "size": 64}


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "run", build_model("miacnet-tiny", 2, fusion="concat"), CONFIG)
    return tmp_path / "run"


def test_settings_travel_with_the_weights(folder):
    told = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert read_config(folder) == {**CONFIG, "format": 2, "weights_sha256": told}
    net = open_backbone(folder, 3, branches="action")
    assert (net.settings.fusion, net.settings.branches) == ("concat", "action")


def test_weights_of_before_keep_what_their_settings_meant(folder):
    """A config without a format was written when "sum" and no centring were the defaults."""
    (folder / "config.json").write_text(json.dumps(CONFIG | {"settings": {"dropout": 0.5}}))
    settings = read_config(folder)["settings"]
    assert settings == {
        "fusion": "sum",
        "center": False,
        "padding": "zeros",
        "side": None,
        "global_attention": False,
        "dropout": 0.5,
    }


def spoil(folder, name, content):
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "holds no readable config.json"),
        ("config.json", b'{"model": "miacnet-tiny"}', "config.json lacks classes, settings, size"),
        ("model.safetensors", b"nothing", "no readable weights"),
        ("model.safetensors", b"", "no readable weights"),
    ],
)
def test_damaged_files_are_one_line(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as raised:
        open_backbone(folder, 2)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match="Give a folder that ma2mi pretrain finished"):
        open_backbone(tmp_path / "none", 2)


def test_missing_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no readable weights .*Pre-train again"):
        open_backbone(folder, 2)


def test_weights_under_another_config(folder):
    other = {"global_attention": True}  # all else is as weights without a format had it
    (folder / "config.json").write_text(json.dumps(CONFIG | {"settings": other}))
    with pytest.raises(CheckpointError, match=r"do not fit this network: fuse\.\w+ and 1 more"):
        open_backbone(folder, 2)


def trained(steps=3):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    advance(net, optimizer, steps)
    return net, optimizer


def advance(net, optimizer, steps):
    for i in range(steps):
        optimizer.zero_grad()
        net(torch.full((2, 4), float(i + 1))).square().sum().backward()
        optimizer.step()


def test_state_round_trip_goes_on_as_if_never_stopped(tmp_path):
    net, optimizer = trained()
    save_state(tmp_path / "state", net, optimizer, {"history": [{"loss": 0.1 + 0.2}]})
    other, fresh = trained(steps=1)
    about = load_state(tmp_path / "state", other, fresh)
    assert about == {"history": [{"loss": 0.1 + 0.2}]}
    assert fresh.state_dict()["state"][0].keys() == optimizer.state_dict()["state"][0].keys()
    advance(net, optimizer, 4)
    advance(other, fresh, 4)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_state_of_another_network(tmp_path):
    save_state(tmp_path / "state", *trained(), {})
    net = torch.nn.Linear(4, 3)
    with pytest.raises(CheckpointError, match="training state of another network"):
        load_state(tmp_path / "state", net, torch.optim.AdamW(net.parameters()))


def test_damaged_state(tmp_path):
    save_state(tmp_path / "state", *trained(), {})
    whole = (tmp_path / "state").read_bytes()
    for content in (whole[:-7], b""):
        (tmp_path / "state").write_bytes(content)
        with pytest.raises(CheckpointError, match="no readable training state"):
            load_state(tmp_path / "state", *trained())
