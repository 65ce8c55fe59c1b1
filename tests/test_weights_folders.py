"""Folders of weights that are not as they should be: one line each, quickly, whoever opens them."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from safetensors.torch import load_file, save_file  # noqa: E402

from ma2mi.errors import CheckpointError, Ma2miError, SettingsError  # noqa: E402
from ma2mi.evaluation.labels import CD6ME_UNITS  # noqa: E402
from ma2mi.models.catalog import build_model, startable  # noqa: E402
from ma2mi.training.checkpoint import find_weights, load_backbone, open_backbone, save_model  # noqa: E402
from ma2mi.training.recognizer import Recognizer, load_model  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
QUICK_S = 10.0
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with nothing wrong in it."""
    torch.manual_seed(0)
    outputs = 3 + len(CD6ME_UNITS) + 2
    config = {
        "model": "miacnet-tiny",
        "classes": outputs,
        "settings": {name: list(value) for name, value in SMALL.items()},
        "size": 64,
        "people": ["a/1"],
        "recognizer": {
            "classes": ["negative", "positive", "surprise"],
            "units": list(CD6ME_UNITS),
        },
    }
    folder = tmp_path_factory.mktemp("weights") / "whole"
    net = build_model("miacnet-tiny", outputs, **SMALL)
    Recognizer(net, config, "# A card\n").save_pretrained(folder)
    load_model(folder)
    return folder


def set_in(*path):
    """A change of the config: what stands at ``path``, the last of which is the value."""
    *names, last, value = path

    def change(folder):
        config = json.loads((folder / CONFIG).read_bytes())
        inner = config
        for name in names:
            inner = inner[name]
        inner[last] = value
        (folder / CONFIG).write_text(json.dumps(config))

    return change


def without(*path):
    *names, last = path

    def change(folder):
        config = json.loads((folder / CONFIG).read_bytes())
        inner = config
        for name in names:
            inner = inner[name]
        del inner[last]
        (folder / CONFIG).write_text(json.dumps(config))

    return change


def wrote(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def cut(name, share):
    def change(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return change


def gone(name):
    return lambda folder: (folder / name).unlink()


def folder_instead(name):
    def change(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def loop_instead(name):
    def change(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)

    return change


def pipe_instead(name):
    def change(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def tensors(change, *, told=True):
    """Other tensors; ``told`` also says their sha256 in the config."""

    def apply(folder):
        held = load_file(folder / WEIGHTS)
        save_file(change(held), folder / WEIGHTS)
        if told:
            without("weights_sha256")(folder)

    return apply


def first_of(held):
    return next(name for name in held if not name.startswith("head."))


def with_value(value):
    def change(held):
        held[first_of(held)].view(-1)[0] = value
        return held

    return tensors(change)


def header(text):
    """A file whose header says ``text`` and whose body is empty."""
    return struct.pack("<Q", len(text)) + text


WRONG = {
    "null": None,
    "word": "word",
    "list": [],
    "numbers": [1, 2, 3],
    "table": {},
    "number": 5,
    "negative": -1,
    "zero": 0,
    "share": 0.5,
    "huge": 10**30,
    "float huge": 1e308,
    "true": True,
    "nested": {"a": {"b": [None]}},
    "empty": "",
}
TABLE = {}
for key, allowed in {
    "model": (),
    "classes": (),
    "settings": ("table",),  # another network, then: its weights do not fit
    "size": (),
    "recognizer": ("table",),  # all by default
    "format": ("number",),
    "people": ("list",),
    "dtype": (),
    "weights_sha256": ("empty", "word"),
    "pretext": ("word", "empty"),
}.items():
    for kind, value in WRONG.items():
        if kind not in allowed:
            TABLE[f"{key} is {kind}"] = set_in(key, value)
for key in ("model", "classes", "settings", "size", "recognizer"):
    TABLE[f"no {key}"] = without(key)
for key, value in {
    "branches": "actoin",
    "fusion": "product",
    "position": "gru",
    "padding": 7,
    "side": 63,
    "dropout": 1.5,
    "drop_position": -1,
    "vit_depth": 10**9,
    "stem_stride": 3,
    "action_stem": [10**9],
    "action_stages": [4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096],
    "position_stages": [16, 32],
    "center": "maybe",
    "no_such_setting": 1,
    "action_input": "sound",
    "global_attention": None,
}.items():
    TABLE[f"settings.{key} is {value}"] = set_in("settings", key, value)
for key, value in {
    "classes": ["one"],
    "units": [],
    "temperature": 0,
    "prior": [1.0],
    "unit_temperature": -1,
    "unit_bias": [0.0] * 5,
    "abstain_below": 7,
    "movement_threshold": float("nan"),
    "views": ["sideways"],
    "extra": 1,
}.items():
    TABLE[f"recognizer.{key} is {value}"] = set_in("recognizer", key, value)
TABLE |= {
    "classes twice": set_in("recognizer", "classes", ["a", "a", "b"]),
    "temperature infinite": set_in("recognizer", "temperature", float("inf")),
    "more outputs": set_in("classes", 18),
    "another network": set_in("model", "ststnet"),
    "a network that is not known": set_in("model", "resnet"),
    "of a later version": set_in("format", 99),
    "no digest of its own": set_in("weights_sha256", "0" * 64),
    "config empty": wrote(CONFIG, b""),
    "config half": cut(CONFIG, 0.5),
    "config no JSON": wrote(CONFIG, b"model: miacnet-tiny\n"),
    "config latin-1": wrote(CONFIG, b'{"model": "caf\xe9"}'),
    "config a number": wrote(CONFIG, b"5"),
    "config a list": wrote(CONFIG, b"[]"),
    "config a word": wrote(CONFIG, b'"model"'),
    "config null": wrote(CONFIG, b"null"),
    "config NUL": wrote(CONFIG, b"\0" * 100),
    "config very deep": wrote(CONFIG, b"[" * 200_000),
    "config of many digits": wrote(CONFIG, b'{"size": ' + b"9" * 100_000 + b"}"),
    "config very large": wrote(CONFIG, b" " * 10_000_001),
    "config gone": gone(CONFIG),
    "config a folder": folder_instead(CONFIG),
    "config a loop": loop_instead(CONFIG),
    "config a pipe": pipe_instead(CONFIG),
    "weights empty": wrote(WEIGHTS, b""),
    "weights half": cut(WEIGHTS, 0.5),
    "weights nearly all": cut(WEIGHTS, 0.999),
    "weights of a few bytes": cut(WEIGHTS, 0.0001),
    "weights text": wrote(WEIGHTS, b"no weights at all"),
    "weights a pickle": wrote(WEIGHTS, b"\x80\x04\x95\x10\0\0\0\0\0\0\0."),
    "weights gone": gone(WEIGHTS),
    "weights a folder": folder_instead(WEIGHTS),
    "weights a loop": loop_instead(WEIGHTS),
    "weights a pipe": pipe_instead(WEIGHTS),
    "header of all there is": wrote(WEIGHTS, struct.pack("<Q", 2**63)),
    "header no JSON": wrote(WEIGHTS, header(b"{")),
    "header a list": wrote(WEIGHTS, header(b"[]")),
    "header empty": wrote(WEIGHTS, header(b"{}")),
    "header of a huge tensor": wrote(
        WEIGHTS, header(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}')
    ),
    "no tensor": tensors(lambda held: {"x": torch.zeros(1)}),
    "a tensor less": tensors(lambda held: {n: t for n, t in held.items() if n != first_of(held)}),
    "a tensor more": tensors(lambda held: held | {"more": torch.zeros(2)}),
    "a transposed tensor": tensors(
        lambda held: held | {first_of(held): held[first_of(held)].flatten()}
    ),
    "whole numbers": tensors(lambda held: {name: t.to(torch.int32) for name, t in held.items()}),
    "a head of one output": tensors(
        lambda held: {
            n: t[:1].contiguous() if n.startswith("head.") else t for n, t in held.items()
        }
    ),
    "not a number": with_value(float("nan")),
    "infinite": with_value(float("inf")),
    "minus infinite": with_value(float("-inf")),
    "other weights than said": tensors(
        lambda held: {name: t + 1 for name, t in held.items()}, told=False
    ),
}


def test_the_table_is_large():
    assert len(TABLE) >= 100


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "w")
    return tmp_path / "w"


@pytest.mark.parametrize("what", TABLE)
def test_a_wrong_folder_is_one_line(folder, what):
    TABLE[what](folder)
    start = time.monotonic()
    with pytest.raises(CheckpointError) as raised:
        load_model(folder)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    try:  # as a start of training; what only a recognizer needs is no fault here
        open_backbone(folder, 3)
    except Ma2miError as error:
        assert "\n" not in str(error)
    assert time.monotonic() - start < QUICK_S


@pytest.mark.parametrize(
    "change",
    [
        wrote("README.md", b"caf\xe9"),
        gone("README.md"),
        without("people"),
        without("weights_sha256"),
        set_in("people", []),
        set_in("notes", {"mine": [1, 2]}),
    ],
)
def test_what_is_no_fault_is_none(folder, change):
    change(folder)
    assert load_model(folder).classes == ("negative", "positive", "surprise")


@pytest.mark.parametrize("name", ["", "n" * 5000, "no/such/folder", "\ud800"])
def test_a_name_that_names_nothing_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as raised:
        load_model(name)
    assert "\n" not in str(raised.value)


CALLED = ["config null", "settings is null", "weights half", "not a number", "classes is word"]


@pytest.mark.parametrize("what", CALLED)
@pytest.mark.parametrize(
    "words",
    [
        ("export", "--out", "x.onnx", "--weights"),
        ("pretrain", "--simulator", "--size", 64, "--out", "run", "--accelerator", "cpu", "--init"),
        ("adapt", "--videos", "videos", "--out", "run", "--accelerator", "cpu", "--weights"),
        ("benchmark", "--corpus", "manifest", "--root", "videos", "--protocol", "zero-shot",
         "--out", "run", "--weights"),
        ("analyze", "videos", "--out", "run", "--weights"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_commands_say_it_in_one_line(ma2mi, folder, tmp_path, what, words):
    (tmp_path / "videos").mkdir()
    TABLE[what](folder)
    code, _, err = ma2mi(*words, folder)
    assert (code, err.count("\n"), "Traceback" in err) == (2, 1, False), err
    assert not (tmp_path / "run" / "settings.json").exists()


def test_weights_that_are_not_finite_are_never_written(tmp_path):
    net = build_model("miacnet-tiny", 2, **SMALL)
    config = {"model": "miacnet-tiny", "classes": 2, "settings": SMALL, "size": 64}
    with torch.no_grad():
        next(net.parameters()).view(-1)[0] = 1e6  # beyond half precision
    save_model(tmp_path / "whole", net, config)
    with pytest.raises(CheckpointError, match="not finite"):
        save_model(tmp_path / "half", net, config | {"dtype": "float16"})
    with torch.no_grad():
        next(net.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        save_model(tmp_path / "nan", net, config)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


@pytest.mark.parametrize("name", ["block-classifier", "beside"])
def test_a_network_made_from_trained_ones_is_not_built_from_nothing(name):
    with pytest.raises(SettingsError, match="lacks its settings"):
        build_model(name, 3)
    assert name not in startable()


@pytest.mark.parametrize("name", startable())
def test_impossible_settings_of_a_network(name):
    build_model(name, 3)
    for wrong in ({"dropout": float("nan")}, {"dropout": "much"}, {"dropout": 1}, {"no": 1}):
        with pytest.raises(SettingsError) as raised:
            build_model(name, 3, **wrong)
        assert "\n" not in str(raised.value)
    with pytest.raises(SettingsError, match="0 classes"):
        build_model(name, 0)


def test_a_misspelt_branch_trains_nothing():
    with pytest.raises(SettingsError, match="'both', 'position' or 'action'"):
        build_model("miacnet-tiny", 3, branches="actoin")


def test_shipped_weights_are_as_they_say():
    net = load_model("zero").net
    assert load_backbone(net, find_weights("zero"), head=range(17)) is net
    assert all(p.isfinite().all() for p in net.parameters())
