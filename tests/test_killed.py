"""Commands of minutes, killed at any moment or run twice at once.

What is there afterwards is what one whole run leaves.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import processes

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("av")

from ma2mi.datasets.synthetic import write_corpus
from ma2mi.synthesis import SyntheticSettings

pytestmark = pytest.mark.slow

#: Each takes up to a minute; ``MA2MI_MOMENTS=20`` tries more of them.
MOMENTS = int(os.environ.get("MA2MI_MOMENTS", "4"))
SHORT = SyntheticSettings(size=160, macro_duration_s=(0.9, 1.1), micro_duration_s=(0.16, 0.2))
COMMANDS = {
    "prepare": ("prepare", "{macro}", "--out", "{out}/store", "--size", "48", "--flow",
                "farneback", "--jobs", "2"),
    "pretrain": ("pretrain", "--videos", "{macro}", "--out", "{out}/run", "--store",
                 "{out}/store", "--size", "64", "--epochs", "2", "--epoch-steps", "2",
                 "--batch-size", "8", "--pairs-per-clip", "6", "--flow", "farneback", "--growth",
                 "1.0", "--jobs", "2", "--accelerator", "cpu"),
    "benchmark": ("benchmark", "--corpus", "synthetic-micro", "--root", "{micro}", "--model",
                  "ststnet", "--train", "full", "--epochs", "1", "--size", "28", "--recipe",
                  "as-is", "--flow", "farneback", "--jobs", "2", "--out", "{out}/run", "--store",
                  "{out}/store"),
    "train": ("train", "--corpus", "synthetic-micro", "--root", "{micro}", "--init", "none",
              "--method", "fine-tune", "--folds", "2", "--model", "ststnet", "--size", "28",
              "--epochs", "2", "--recipe", "as-is", "--flow", "farneback", "--jobs", "2", "--out",
              "{out}/run", "--store", "{out}/store"),
    "data fake": ("data", "fake", "casme2", "--full-size", "--out", "{out}/fake"),
    "demo": ("demo", "--out", "{out}/demo", "--subjects", "6", "--clips", "3", "--pretrain-steps",
             "10", "--epochs", "1", "--seeds", "1", "--jobs", "2"),
}  # fmt: skip


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    roots = {name: tmp_path_factory.mktemp(name) for name in ("macro", "micro")}
    for name, subjects, clips in (("macro", 3, 1), ("micro", 4, 3)):
        write_corpus(
            f"synthetic-{name}",
            roots[name],
            subjects=subjects,
            clips_per_subject=clips,
            seed=0,
            settings=SHORT,
        )
    return roots


def start(command: str, corpora: dict[str, Path], out: Path) -> subprocess.Popen[str]:
    return processes.start(*(word.format(out=out, **corpora) for word in COMMANDS[command]))


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    code, _, err = processes.finish(process, 300)
    return code, err


#: The state of the code, which may be edited while these tests run.
CODE = re.compile(rb'"(code|commit)": "[^"]*"')
#: In the summary of the demo.
SECONDS = re.compile(rb"in \d+ s on ")


def tree(folder: Path) -> dict[str, bytes]:
    """All files but the clock's, and but what only a process that was killed leaves."""
    return {
        path.relative_to(folder).as_posix(): SECONDS.sub(
            b"", CODE.sub(b"", path.read_bytes().replace(bytes(folder), b"OUT"))
        )
        for path in folder.rglob("*")
        if path.is_file()
        and "tensorboard" not in path.parts
        and path.name not in ("timings.csv", "environment.json")
        and (not path.name.startswith(".") or path.name == ".origin")
    }


@pytest.fixture(scope="module", params=COMMANDS)
def whole(request, corpora, tmp_path_factory):
    """The command, what a whole run of it leaves, and how long that takes."""
    out = tmp_path_factory.mktemp("whole")
    begin = time.monotonic()
    code, said = finish(start(request.param, corpora, out))
    assert code == 0, said
    return request.param, tree(out), time.monotonic() - begin


def kill(process: subprocess.Popen[str], *, alone: bool) -> None:
    if alone:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("alone", [False, True], ids=["group", "parent"])
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_and_run_again_is_as_if_nothing_had_happened(
    corpora, whole, tmp_path, moment, alone
):
    command, wanted, took_s = whole
    draw = random.Random(f"{command} {moment} {alone}")
    kills = [draw.uniform(0.3, 1.0) * took_s]
    if command == "demo":  # the longest: one run is killed at all moments, one after the other
        if moment:
            pytest.skip("the first killed it again and again")
        kills = [draw.uniform(0.1, 0.5) * took_s for _ in range(MOMENTS)]
    process = start(command, corpora, tmp_path)
    for wait_s in kills:
        time.sleep(wait_s)
        if process.poll() is None:  # on a busy machine the whole run took longer
            kill(process, alone=alone)
            process = start(command, corpora, tmp_path)
    code, said = finish(process)
    assert code == 0, said
    assert tree(tmp_path) == wanted


@pytest.mark.parametrize("apart_s", [0.0, 1.0])
def test_two_at_once_are_as_one_or_a_line(corpora, whole, tmp_path, apart_s):
    command, wanted, _ = whole
    first = start(command, corpora, tmp_path)
    time.sleep(apart_s)
    second = start(command, corpora, tmp_path)
    ends = [finish(process) for process in (first, second)]
    assert 0 in [code for code, _ in ends]
    for code, said in ends:
        busy = "another process is writing here" in said and said.count("\n") == 1
        assert code == 0 or (code == 2 and busy), said
    assert tree(tmp_path) == wanted
