"""Analyses that are killed, or run beside each other, end in the same files."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

import processes
from ma2mi.files import hold, results_folder
from ma2mi.synthesis import make_subject
from ma2mi.synthesis.long_video import make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.video import write_video

pytestmark = pytest.mark.slow
SECONDS = 9.0  # longer than a run of one of these commands, start included


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """Three videos of 3 s: two subjects, one name twice."""
    folder = tmp_path_factory.mktemp("shelf")
    for number, name in enumerate(("a.mp4", "b.mp4", "more/a.mp4")):
        plan = LongVideoSettings.lifelike(3.0)
        shown = make_long_video(make_subject(number), seed=number, fps=Fraction(30), plan=plan)
        (folder / name).parent.mkdir(exist_ok=True)
        frames = (shown.frame(index) for index in range(shown.frame_count))
        write_video(folder / name, frames, Fraction(30))
    return folder


def _start(shelf: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    return processes.start("analyze", shelf, "--out", out, "--weights", "none", *options)


def _finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    code, out, err = processes.finish(process, 180)
    return code, out + err


def _tree(folder: Path) -> dict[str, bytes]:
    """All files but videos, by relative path; of the videos only that they are there."""
    return {
        path.relative_to(folder).as_posix(): b"" if path.suffix == ".mp4" else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".written.json"
    }


@pytest.fixture(scope="module")
def whole(shelf, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    code, output = _finish(_start(shelf, out))
    assert code == 0, output
    return _tree(out)


@pytest.mark.parametrize("options", [(), ("--jobs", "2")])
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("moment", range(5))
def test_killed_and_run_again_is_as_if_nothing_had_happened(
    shelf, whole, tmp_path, options, alone, moment
):
    wait_s = random.Random(moment * 4 + 2 * alone + len(options)).uniform(1.0, SECONDS)
    process = _start(shelf, tmp_path / "out", *options)
    time.sleep(wait_s)
    if alone:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, output = _finish(_start(shelf, tmp_path / "out", *options))
    assert code == 0, output
    assert _tree(tmp_path / "out") == whole
    assert not list((tmp_path / "out").glob(".*"))


def test_two_at_once_end_in_the_same_files_or_one_line(shelf, whole, tmp_path):
    both = [_start(shelf, tmp_path / "out", "--jobs", "2") for _ in range(2)]
    ends = [_finish(process) for process in both]
    assert _tree(tmp_path / "out") == whole
    for code, output in ends:
        assert code == 0 or (code == 3 and "another process is writing here" in output), output


def test_a_folder_moved_aside_comes_back(tmp_path):
    """As if a run had been killed between the two renames."""
    final = tmp_path / "r"
    with results_folder(final) as work:
        (work / "table.csv").write_text("one")
    final.rename(tmp_path / ".r.0123abcd.old")
    with pytest.raises(ZeroDivisionError), results_folder(final):
        raise ZeroDivisionError
    assert (final / "table.csv").read_text() == "one"
    shutil.copytree(final, tmp_path / ".r.0123abcd.old")
    with results_folder(final) as work:
        (work / "table.csv").write_text("two")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_lock_dies_with_its_process(tmp_path):
    code = "import sys, time; from pathlib import Path; from ma2mi.files import hold\n"
    code += "with hold(Path(sys.argv[1])): print(1, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(tmp_path / "x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        other.kill()
        other.wait()
    with hold(tmp_path / "x"):
        pass
