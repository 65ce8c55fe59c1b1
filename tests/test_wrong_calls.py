"""Wrong calls of every command: one line, the right exit code, no traceback, no hang.

The table is made from the commands' own options, so that a new option is tried as well.
"""

from __future__ import annotations

import inspect
import json
import random
import shutil
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import typer

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from ma2mi import cli

HANG_S = 60  # a loaded machine needs 20 to start processes
HUGE = "99999999999999999999"
LONG = "x" * 5000

#: Values that no option of a type may take; the option is named in the line.
REFUSED = {
    int: ("word", "1.5", "inf", "nan", HUGE, f"-{HUGE}", "1e5", ""),
    float: ("word", "inf", "-inf", "nan", "1e999", "1e300", "-1e300", ""),
    Fraction: ("word", "0", "-1", "inf", "nan", "1/0", "1e400", "1e99999999", "0/5", "1//2", ""),
    tuple: ("word", "5-1", "1-1", "0-inf", "nan-1", "-3", "1e99999999-2", "1-2-3", ""),
    Literal: ("no-such-word", "[/b]", "two\nlines", ""),
    bool: ("=maybe",),
    Path: ("", "nul\0nul"),
    str: ("nul\0nul",),
}
#: Numbers that a few options take; the others refuse them, or something after them.
SMALL = {int: ("0", "-1", "-7"), float: ("0", "-1", "-0.5")}
#: Names of what is not there, or is something else.
NAMES = (
    "nowhere",
    "[/b]nowhere",
    "[red]no[/red]",
    "two\nlines",
    "\x1b[31mred",
    LONG,
    "words.txt",
    "empty",
)
WORDS = (
    "no-such-word",
    "[/b]",
    "two\nlines",
    "\x1b[2J",
    LONG,
    "words.txt",
    "empty",
    "=",
    "a=",
    "=b",
    "..",
)

#: What a command needs, so that a call is wrong in one option; nothing is there, or no work begins.
NEEDED = {
    "source": "nowhere",
    "out": "out",
    "videos": "nowhere",
    "corpus": "no-such-corpus",
    "root": "nowhere",
    "runs": "nowhere",
    "run": "nowhere",
    "results": "nowhere",
    "predictions": "nowhere.csv",
    "truth": "nowhere.csv",
    "coders": "nowhere",
}
#: What ends a call that needs nothing, or whose output may have any name: wrong itself, and last.
LAST = {"demo": ("--jobs", "0"), "export onnx": ("--weights", "nowhere")}
COMMANDS = dict(cli.commands())


class Hang(BaseException):
    """No Exception, so that nothing between here and the test takes it for an error of its own."""


def options(info) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(info.callback, eval_str=True).parameters)


def is_argument(parameter) -> bool:
    return type(parameter.default).__name__ == "ArgumentInfo"


def is_needed(parameter) -> bool:
    return parameter.default.default is ...


def kind_of(parameter) -> type:
    annotation = parameter.annotation
    if parameter.default.parser is not None:
        return Fraction if annotation is Fraction else tuple
    if get_origin(annotation) is Literal:
        return Literal
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    return annotation


def base(words: str, without: str = "") -> list[str]:
    """The command with what it needs, but for one option."""
    call = words.split()
    for name, parameter in options(COMMANDS[words]).items():
        if name == without or not is_needed(parameter):
            continue
        call += [NEEDED[name]] if is_argument(parameter) else [flag(parameter, name), NEEDED[name]]
    return call


def flag(parameter, name: str) -> str:
    named = [word.split("/")[0] for word in parameter.default.param_decls or ()]
    return next((word for word in named if word.startswith("--")), f"--{name.replace('_', '-')}")


def with_value(words: str, name: str, parameter, value: str) -> list[str]:
    if is_argument(parameter):
        head = words.split()
        return [
            *head,
            *(["--"] if value.startswith("-") else []),
            value,
            *base(words, name)[len(head) :],
        ]
    if kind_of(parameter) is bool:
        return [*base(words, name), f"{flag(parameter, name)}{value}"]
    return [*base(words, name), flag(parameter, name), value]


def table() -> Iterator[tuple[list[str], str]]:
    """Each wrong call, and a word that its line must contain ("" for any)."""
    for words, info in COMMANDS.items():
        yield [*base(words), "--no-such-option"], "--no-such-option"
        yield [*base(words), "--out"], ""
        for name, parameter in options(info).items():
            kind = kind_of(parameter)
            shown = "" if is_argument(parameter) else flag(parameter, name)
            pair = get_origin(parameter.annotation) is tuple and kind is not tuple
            if pair:
                for value in (
                    ("word", "1"),
                    ("0.9", "0.1"),
                    ("nan", "1"),
                    ("0", "inf"),
                    ("-1", "1"),
                ):
                    yield [*base(words), flag(parameter, name), *value], ""
                continue
            if is_needed(parameter):
                yield base(words, name), "" if is_argument(parameter) else shown
            for value in REFUSED[kind]:
                may = value == "" and parameter.default.default == ""
                if not may:
                    yield with_value(words, name, parameter, value), shown
            for value in SMALL.get(kind, ()):
                if (words, name, value) == ("demo", "jobs", "-1"):
                    continue  # right, and long
                yield with_value(words, name, parameter, value), ""
            for value in NAMES if kind is Path else WORDS if kind is str else ():
                yield with_value(words, name, parameter, value), ""


CALLS = list(table())


BUILT = typer.main.get_command(cli.app)  # once, not in each call


@pytest.fixture
def call(ma2mi, monkeypatch, tmp_path):
    """Run a wrong call beside a file and an empty folder, stopped if it hangs."""
    monkeypatch.setattr(cli, "app", BUILT)
    here = tmp_path / "here"  # ".." is a name, too: of a folder that holds nothing else
    (here / "empty").mkdir(parents=True)
    (here / "words.txt").write_text("no data\n", encoding="utf-8")
    monkeypatch.chdir(here)

    def late(*_):
        raise Hang(f"no end after {HANG_S} s")

    def run(*words):
        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(HANG_S)
        try:
            return ma2mi(*words)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    return run


def test_the_table_is_large_and_covers_all_commands():
    assert len(CALLS) >= 300
    assert {words.split()[0] for words in COMMANDS} <= {call[0] for call, _ in CALLS}


@pytest.mark.parametrize("words", COMMANDS)
def test_wrong_calls_end_in_one_line(call, words):
    faults = []
    mine = [(c, w) for c, w in CALLS if c[: len(words.split())] == words.split()]
    for arguments, word in mine:
        last = LAST.get(words, ())
        code, _, err = call(*arguments, *(() if last[:1] and last[0] in arguments else last))
        shown = [a if len(a) < 100 else f"{a[:10]}..." for a in arguments]
        if code not in (2, 3) or err.count("\n") != (code == 2) or "Traceback" in err:
            faults.append((shown, code, err[:500]))
        elif word and word not in err:
            faults.append((shown, code, f"{word} is not named: {err[:300]}"))
    assert not faults, "\n".join(map(str, faults))


# fmt: off
#: Calls whose options are right one by one.
TOGETHER = {
    ("analyze",): "no video given",
    ("analyze", "empty", "--camera", "0"): "--camera",
    ("analyze", "words.txt"): "",
    ("analyze", "empty"): "",
    ("pretrain", "--out", "run"): "give one of --videos, --corpus and --simulator",
    ("pretrain", "--out", "run", "--simulator", "--interval", "0.9", "0.1"): "0.9 to 0.1",
    ("pretrain", "--out", "run", "--simulator", "--horizon", "0.9", "0.1"): "0.9 to 0.1",
    ("pretrain", "--out", "run", "--simulator", "--init", "empty"): "empty",
    ("pretrain", "--out", "run", "--simulator", "--model", "magic"): "magic",
    ("pretrain", "--out", "run", "--simulator", "--flow", "magic"): "magic",
    ("pretrain", "--out", "run", "--simulator", "--recipe", "magic"): "magic",
    ("pretrain", "--out", "run", "--simulator", "--root", "empty"): "--root",
    ("pretrain", "--out", "run", "--simulator", "--size", "40"): "multiple of 16",
    ("pretrain", "--out", "run", "--simulator", "--devices", "0"): "Lightning",
    ("pretrain", "--out", "run", "--simulator", "--accelerator", "magic"): "Lightning",
    ("pretrain", "--out", "run", "--simulator", "--precision", "magic"): "Lightning",
    ("pretrain", "--out", "run", "--simulator", "--strategy", "magic"): "Lightning",
    ("pretrain", "--out", "run", "--corpus", "=x"): "known corpus",
    ("pretrain", "--out", "words.txt", "--videos", "empty"): "",
    ("adapt", "--out", "run", "--videos", "empty", "--weights", "empty"): "empty",
    ("prepare", "casme2", "--out", "run"): "needs --root",
    ("prepare", "casme2", "--out", "run", "--root", "words.txt"): "words.txt",
    ("prepare", "synthetic-micro", "--out", "run", "--no-repairs"): "repairs",
    ("benchmark", "--corpus", "synthetic-micro", "--model", "magic"): "magic",
    ("benchmark", "--corpus", "synthetic-micro", "--recipe", "magic"): "magic",
    ("benchmark", "--corpus", "synthetic-micro", "--flow", "magic"): "magic",
    ("benchmark", "--corpus", "synthetic-micro", "--alias", "a"): "--alias a",
    ("benchmark", "--corpus", "synthetic-micro", "--label", "a"): "--label a",
    ("benchmark", "--corpus", "synthetic-micro", "--weights", "zero"): "--protocol zero-shot",
    ("benchmark", "--corpus", "synthetic-micro", "--protocol", "zero-shot"): "--weights zero",
    ("benchmark", "--corpus", "synthetic-micro", "--learning-curve", "2,x"): "numbers",
    ("benchmark", "--corpus", "synthetic-micro", "--out", "words.txt"): "words.txt",
    ("explain", "--corpus", "synthetic-micro", "--out", "empty"): "is a folder",
    ("explain", "--corpus", "synthetic-micro", "--out", "a.png", "--target", "magic"): "magic",
    ("explain", "--corpus", "synthetic-micro", "--out", "words.txt/a.png"): "words.txt",
    ("export", "onnx", "--out", "empty"): "is a folder",
    ("export", "onnx", "--out", "words.txt/a.onnx"): "words.txt",
    ("export", "onnx", "--out", "a.onnx", "--position"): "--position",
    ("compare", "empty", "--out", "empty"): "is a folder",
    ("report", "empty", "--out", "empty"): "is a folder",
    ("data", "fake", "samm", "--out", "run", "--fault", "magic"): "magic",
    ("data", "fake", "samm", "--out", "run", "--layout", "magic"): "magic",
    ("data", "fake", "samm", "--out", "run", "--version", "magic"): "magic",
    ("data", "fake", "samm", "--out", "words.txt"): "words.txt",
    ("data", "chekc",): "Did you mean 'check'",
    ("anaylze", "a.mp4"): "Did you mean 'analyze'",
    ("score", "words.txt", "words.txt", "--classes", "a"): "words.txt",
    ("score", "words.txt", "words.txt"): "--classes",
    ("score", "empty", "empty", "--classes", "a"): "empty",
    ("score", "words.txt", "words.txt", "--task", "spotting"): "vid",
    ("score", "/dev/zero", "/dev/zero", "--task", "strs"): "/dev/zero",
    ("audit", "words.txt"): "words.txt",
    ("audit", "empty"): "no run here",
    ("report", "empty"): "no run here",
}
# fmt: on


def test_wrong_together(call):
    for words, message in TOGETHER.items():
        code, _, err = call(*words)
        assert code in (2, 3), (words, code, err)
        assert err.count("\n") == (code == 2), (words, err)
        assert message in err, (words, err)


def test_nothing_is_left_of_wrong_calls(call):
    before = sorted(path.name for path in Path().iterdir())
    for words in TOGETHER:
        if words[0] in ("benchmark", "explain", "export", "compare", "report", "score", "audit"):
            call(*words)
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six clips, on disk."""
    from ma2mi.evaluation import run_benchmark
    from ma2mi.training.baselines import Majority

    out = tmp_path_factory.mktemp("runs") / "run"
    run_benchmark(
        Majority(2),
        np.zeros((6, 1)),
        [0, 1, 0, 1, 0, 1],
        ["a", "a", "b", "b", "c", "c"],
        keys=list("uvwxyz"),
        protocol="loso",
        classes=("negative", "positive"),
        out=out,
    )
    return out


VALUES = (None, -1, 10**30, 1e308, "[/b]", [], {}, True, ["a"], [[1]], "\ud800")


def damage(folder: Path, draw: random.Random) -> str:
    """Change one file of a run, and say how."""
    file = draw.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    how = draw.choice(("value", "value", "bytes", "gone", "empty", "folder", "half"))
    if how == "value" and file.suffix == ".json":
        tree = json.loads(file.read_text("utf-8"))
        places, waiting = [], [tree]
        while waiting:
            one = waiting.pop()
            for key, value in one.items() if isinstance(one, dict) else enumerate(one):
                places.append((one, key))
                waiting += [value] if isinstance(value, dict | list) else []
        one, key = draw.choice(places)
        one[key] = draw.choice(VALUES)
        file.write_text(json.dumps(tree), "utf-8")
        return f"{file.name}: {key} is {one[key]!r}"
    content = file.read_bytes()
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how != "gone":
        new = {"empty": b"", "half": content[: len(content) // 2]}.get(how, draw.randbytes(200))
        file.write_bytes(new)
    return f"{file.name}: {how}"


def test_damaged_runs_end_in_one_line_or_in_the_same_scores(call, finished):
    _, right, _ = call("compare", finished, "--style", "csv")
    for number in range(60):
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(finished, "run")
        how = damage(Path("run"), random.Random(number))
        for words in (("audit", "run"), ("compare", "run", "--style", "csv")):
            code, out, err = call(*words)
            assert code in (0, 2, 3), (how, code, err)
            assert err.count("\n") == (code == 2), (how, err)
        # The record, which says what was run, may be changed by hand; the folds may not.
        if code == 0 and not how.startswith("run.json"):
            assert out == right, how
