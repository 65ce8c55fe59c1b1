"""Options from a file, single settings and the environment, and options of the last version."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from ma2mi.cli.configuration import OLD_OPTIONS, configure, with_changes
from ma2mi.errors import SettingsError

OPTIONS = {
    "pretrain": dict.fromkeys(("epochs", "out", "batch_size"), False),
    "data fake": {"out": False},
}
SHORT = ("pretrain", "--simulator", "--size", "32", "--accelerator", "cpu")


def test_the_command_line_goes_before_the_file_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MA2MI_PRETRAIN_EPOCHS", "7")
    monkeypatch.setenv("MA2MI_PRETRAIN_OUT", "there")
    (tmp_path / "run.toml").write_text("epochs = 3\nbatch-size = 8\n[settings]\nloop.lr = 1e-3\n")
    found = configure(
        ["pretrain", "--config", str(tmp_path / "run.toml"), "--set=loop.lr=2e-3", "--epochs", "1"],
        OPTIONS,
    )
    assert found.words == ("pretrain", "--epochs", "1")
    assert found.default_map == {"pretrain": {"epochs": 3, "out": "there", "batch_size": 8}}
    assert found.changes == {"loop.lr": 0.002}


def test_words_after_a_double_dash_are_left(monkeypatch):
    assert configure(["data", "fake", "--", "--set"], OPTIONS).words[-1] == "--set"
    assert configure(["data", "fake"], OPTIONS).default_map == {"data": {"fake": {}}}


def test_changes_reach_into_the_tree():
    from ma2mi.cli.configuration import changed

    with changed({"loop.lr": 1, "pretext": "x", "other.y": 2}):
        assert with_changes({"loop": {"lr": 2, "seed": 3}}, ["loop", "pretext"]) == {
            "loop": {"lr": 1, "seed": 3},
            "pretext": "x",
        }
    assert with_changes({"loop": {"lr": 2}}, ["loop"]) == {"loop": {"lr": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "epoch is not a setting of ma2mi pretrain. Did you mean epochs?"),
        ("epochs 3", "cannot be read as TOML"),
        ("settings = 3", "settings is not a table"),
        ("[settings]\nlop.lr = 1", "lop is not a setting of ma2mi pretrain. Did you mean loop?"),
    ],
)
def test_files_that_do_not_fit_are_one_line(ma2mi, text, message):
    from pathlib import Path

    Path("run.toml").write_text(text)
    code, _, err = ma2mi(*SHORT, "--out", "run", "--config", "run.toml")
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("words", [("--set", "lr"), ("--set", "lop.lr=1"), ("--set",)])
def test_single_settings_that_do_not_fit_are_one_line(ma2mi, words):
    code, _, err = ma2mi(*SHORT, "--out", "run", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "--set" in err


def test_a_file_and_options_are_the_same_run(ma2mi, tmp_path):
    (tmp_path / "run.toml").write_text(
        "epochs = 1\nepoch-steps = 1\nbatch-size = 8\n[settings]\nloop.lr = 0.003\n"
    )
    words = ("--epochs", "1", "--epoch-steps", "1", "--batch-size", "8", "--lr", "0.003")
    assert ma2mi(*SHORT, "--out", "one", "--config", "run.toml")[0] == 0
    assert ma2mi(*SHORT, "--out", "other", *words)[0] == 0
    one, other = (
        json.loads((tmp_path / name / "settings.json").read_text()) for name in ("one", "other")
    )
    assert one["loop"] == other["loop"]
    assert one["loop"]["lr"] == 0.003
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "other")]
    assert weights[0] == weights[1]


def test_options_of_the_last_version_are_taken(ma2mi):
    from ma2mi import cli

    known = {
        flag
        for _, info in cli.commands()
        for flag in (f"--{name.replace('_', '-')}" for name in cli._options()[_])
    }
    assert set(OLD_OPTIONS.values()) <= known
    code, _, err = ma2mi("pretrain", "--videos", "nowhere", "--people=folder", "--out", "run")
    assert code == 2
    assert "nowhere" in err


def test_one_word_is_a_list_of_one(ma2mi, tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text('corpus = "no-such-corpus"\n')
    code, _, err = ma2mi("benchmark", "--config", "run.toml", "--root", ".")
    assert (code, err.count("\n")) == (2, 1)
    assert "no-such-corpus" in err
    assert "iterable" not in err
    monkeypatch.setenv("MA2MI_BENCHMARK_CORPUS", "another")
    code, _, err = ma2mi("benchmark", "--root", ".")
    assert (code, "another" in err) == (2, True)


def test_no_environment_no_change(monkeypatch):
    monkeypatch.setenv("MA2MI_PRETRAIN_EPOCH", "7")  # no option of this name
    assert configure(["pretrain"], OPTIONS).defaults == {}
    with pytest.raises(SettingsError, match="needs a value"):
        configure(["pretrain", "--config"], OPTIONS)


def test_an_empty_word_of_a_file_is_as_if_it_were_not_there(tmp_path):
    (tmp_path / "run.toml").write_text('out = ""\nepochs = 3\n')
    assert configure(["pretrain", "--config", str(tmp_path / "run.toml")], OPTIONS).defaults == {
        "epochs": 3
    }


@pytest.mark.parametrize("changes", [{"loop": 3, "loop.lr": 1}, {"loop.lr": 1, "loop.lr.x": 2}])
def test_nothing_lies_below_a_single_value(changes):
    from ma2mi.cli.configuration import changed

    with changed(changes), pytest.raises(SettingsError, match="single value"):
        with_changes({"loop": {"seed": 3}}, ["loop"])


def test_files_without_an_end_or_nested_too_deep_are_refused(tmp_path):
    (tmp_path / "deep.toml").write_text("epochs = " + "[" * 5000)
    for file in ("/dev/zero", tmp_path / "deep.toml"):
        with pytest.raises(SettingsError, match=r"too (large|deep)"):
            configure(["pretrain", "--config", str(file)], OPTIONS)
    deep = "[" * 5000
    assert configure(["pretrain", f"--set=loop.lr={deep}"], OPTIONS).changes == {"loop.lr": deep}


def test_settings_without_a_command_ask_for_one():
    with pytest.raises(SettingsError, match="Name a command first"):
        configure(["--set", "loop.lr=1"], OPTIONS)
