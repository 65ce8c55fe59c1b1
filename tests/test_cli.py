"""The command line: help that shows how, mistakes in one line, and the whole way once."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from ma2mi import __version__, cli
from ma2mi.video import write_video

COMMANDS = [command.name or command.callback.__name__ for command in cli.app.registered_commands]


def test_the_front_door_is_light():
    script = (
        "import sys, ma2mi\n"
        "print(*sorted({'torch', 'cv2', 'av', 'lightning', 'matplotlib'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == ""


def test_help_answers_without_torch():
    script = (
        "import sys, ma2mi.cli\n"
        "print(*sorted({'torch', 'cv2', 'av', 'lightning', 'matplotlib'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == ""


def test_commands_are_complete():
    assert set(COMMANDS) >= {"demo", "doctor", "prepare", "pretrain", "benchmark", "report"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(ma2mi, command):
    code, out, _ = ma2mi(command, "--help")
    assert code == 0
    assert re.search(rf"Examples?: .*ma2mi {command}", out)


def test_version(ma2mi):
    assert ma2mi("--version") == (0, f"{__version__}\n", "")


def test_doctor_finds_everything_here(ma2mi):
    code, out, _ = ma2mi("doctor")
    assert (code, "missing" in out) == (0, False)
    for part in ("av", "cv2", "torch", "face landmarks", "face model"):
        assert part in out


def test_doctor_names_what_is_missing_and_the_cure(ma2mi, monkeypatch):
    from ma2mi.cli import doctor

    monkeypatch.setattr(doctor, "PARTS", (("mind reading", ("ma2mi_no_such",), "magic"),))
    monkeypatch.setenv("MA2MI_FACE_MODEL", "/nowhere/face.task")
    code, out, _ = ma2mi("doctor")
    assert code == 3
    assert "mind reading: pip install 'ma2mi[magic]'" in out
    assert "face model: " in out


def test_doctor_names_the_system_package(ma2mi, monkeypatch):
    from ma2mi.cli import doctor

    def lacks():
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor, "_encoder", lacks)
    code, out, _ = ma2mi("doctor")
    assert code == 3
    assert "video encoder (H.264): apt-get install libgl1" in out


def one_line(result):
    code, _, err = result
    assert code == 2, result
    assert err.startswith("ma2mi: ")
    assert err.count("\n") == 1
    return err


def wallpaper(path):
    coarse = np.random.default_rng(0).integers(60, 200, (8, 8, 8, 3), dtype=np.uint8)
    write_video(path, (np.kron(c, np.ones((16, 16, 1), np.uint8)) for c in coarse), Fraction(25))


def test_mistakes_are_one_line(ma2mi, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    out = ("--out", tmp_path / "run")
    cases = {
        ("pretrain", *out): "give one of --videos, --corpus and --simulator",
        ("pretrain", "--simulator", "--space", "flow", *out): "has movement and no faces",
        ("pretrain", "--simulator", "--pretext", "future-movement", "--space", "flow", *out): (
            "--space: belongs to the pretext task near-future"
        ),
        ("pretrain", "--simulator", "--action", "difference", *out): "has movement and no frames",
        ("pretrain", "--simulator", "--branches", "position", *out): "sees no movement",
        ("pretrain", "--videos", "empty", *out): "empty: holds no video",
        ("pretrain", "--videos", "nowhere", *out): "nowhere",
        ("pretrain", "--videos", "empty", "--space", "sound", *out): "setting space",
        ("pretrain", "--videos", "empty", "--flow", "magic", *out): "setting method",
        ("pretrain", "--videos", "empty", "--size", "100", *out): "multiple of 16",
        ("pretrain", "--corpus", "casme9", *out): "casme9",
        ("prepare", "empty", "--out", "clips"): "empty: holds no video",
        ("prepare", "empty", "--out", "file/clips"): "cannot be written",
        ("benchmark", "--corpus", "manifest"): "needs --root",
        ("benchmark", "--corpus", "synthetic-micro", "--protocol", "best"): "known protocol",
        ("report", "nowhere"): "nowhere",
    }
    for words, message in cases.items():
        assert message in one_line(ma2mi(*words)), words


def test_usage_errors_end_with_2(ma2mi):
    for words in (
        ("pretrain", "--nonsense"),
        ("prepare", ".", "--out", "clips", "--frame-rate", "fast"),
        ("prepare", ".", "--out", "clips", "--frame-rate", "30/0"),
        ("demo", "--subjects", "1"),
        ("nothing",),
    ):
        code, _, err = ma2mi(*words)
        assert code == 2, words
        assert "Traceback" not in err


def test_interrupted(ma2mi, monkeypatch):
    def stops(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ma2mi.datasets.folder.list_recordings", stops)
    code, _, err = ma2mi("prepare", ".", "--out", "clips")
    assert code == 130
    assert "interrupted; what is finished is kept, and the same command goes on from there" in err


def test_interrupted_where_nothing_is_kept(ma2mi, monkeypatch):
    def stops(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ma2mi.evaluation.files.read_labels", stops)
    code, _, err = ma2mi("score", "a.csv", "b.csv", "--classes", "a")
    assert (code, err) == (130, "ma2mi: interrupted; the same command begins anew\n")


TABLES = {
    "truth.csv": "subject,video,onset,offset,emotion\n006,006_1,100,140,negative\n",
    "zeros.csv": "subject,video,onset,offset,emotion\n6,006_1,100,140,negative\n",
    "loud.csv": "subject,video,onset,offset,emotion\n006,006_1,100,140,Negative\n",
    "free.csv": "subject,video,onset,offset,emotion\n006,calm,1,9,negative\n",
}


def test_predictions_outside_every_video_are_named(ma2mi, tmp_path):
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    code, out, err = ma2mi("score", "zeros.csv", "truth.csv", "--task", "strs")
    assert (code, err) == (3, "")
    assert "subject 6, video 006_1: 1 prediction; the truth has subject 006, video 006_1" in out
    code, out, _ = ma2mi("score", "loud.csv", "truth.csv", "--task", "strs")
    assert code == 0
    assert re.search(r"strs +1\.0000", out)
    # A video without events: a false alarm, and nothing is wrong with the files.
    code, out, _ = ma2mi("score", "free.csv", "truth.csv", "--task", "strs")
    assert code == 0
    assert "subject 006, video calm: 1 prediction" in out


CASES = Path(__file__).parents[2] / "shared" / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")
def test_the_case_of_lost_zeros(ma2mi):
    score = CASES / "score"
    code, out, _ = ma2mi("score", score / "pred_zeros.csv", score / "truth24.csv", "--task", "strs")
    assert code == 3
    assert "subject 6, video 006_1: 2 predictions; the truth has subject 006" in out
    assert "subject 11, video 011_2: 1 prediction; the truth has subject 011" in out


def test_names_are_shown_as_they_are(ma2mi, tmp_path):
    from ma2mi.cli.console import visible

    assert visible("a\x1b[31mb\nc\u202ed") == "a\\x1b[31mb\\nc\\u202ed"
    assert visible(os.fsdecode(b"\xff.mp4")) == "\\udcff.mp4"
    assert visible("grün 表情 \U0001f600") == "grün 表情 \U0001f600"
    (tmp_path / "truth.csv").write_text("key,label\na,x\n", encoding="utf-8")
    for name in ("[/b]", "[red]", ":smile:", "\x1b[2J", "two\nlines"):
        (tmp_path / "said.csv").write_text(f'key,label\n"{name}",x\n', encoding="utf-8")
        assert visible(name) in one_line(ma2mi("score", "said.csv", "truth.csv", "--classes", "x"))
        (tmp_path / name).mkdir(parents=True)
        file = Path(name) / "truth.csv"
        (tmp_path / file).write_text("key,label\na,x\n", encoding="utf-8")
        assert ma2mi("score", file, file, "--classes", "x")[0] == 0


def test_work_that_is_done_ends_well_whatever_its_folder_is_called(ma2mi, tmp_path):
    from ma2mi.cli.console import visible

    for name in ("[/b]", "[red]", "\x1b[2J", "two\nlines"):
        code, out, err = ma2mi("data", "fake", "ckplus", "--out", f"{name}/fake")
        assert (code, err) == (0, "")
        assert visible(name, keep="\n") in out
        code, _, err = ma2mi("data", "check", "ckplus", "--root", f"{name}/fake")
        assert (code, err) == (0, "")
        code, out, err = ma2mi(
            "data", "convert", "ckplus", "--root", f"{name}/fake", "--out", f"{name}/fake.csv"
        )
        assert (code, err) == (0, "")
        assert (tmp_path / name / "fake.csv").is_file()


def test_a_fault_of_ours_is_one_line_too(ma2mi, monkeypatch):
    def breaks(*_, **__):
        raise KeyError("nothing")

    monkeypatch.setattr("ma2mi.datasets.folder.list_recordings", breaks)
    code, _, err = ma2mi("prepare", ".", "--out", "clips")
    assert code == 1
    assert err.startswith("ma2mi: unexpected KeyError: 'nothing' (")
    assert err.count("\n") == 1
    monkeypatch.setenv("MA2MI_TRACEBACK", "1")
    assert "Traceback" in ma2mi("prepare", ".", "--out", "clips")[2]


@pytest.mark.parametrize(
    "text", ["1e99999999", "inf", "nan", "0", "-1", "1/0", "1" * 5000, "1e7", "0x10", "1_0", ""]
)
def test_rates_that_are_none(text):
    from typer import BadParameter

    from ma2mi.cli.console import frame_rate

    with pytest.raises(BadParameter):
        frame_rate(text)


def test_rates_and_stretches():
    from typer import BadParameter

    from ma2mi.cli.console import frame_rate, stretch

    assert frame_rate("30000/1001") == Fraction(30000, 1001)
    assert frame_rate("29.97") == Fraction(2997, 100)
    assert frame_rate("1000000") == 1_000_000
    assert stretch("0-8.5") == (0, 8.5)
    for text in ("5-1", "1-1", "0-inf", "nan-1", "1e9-2e9", "a-b", "1-2-3", "-1"):
        with pytest.raises(BadParameter):
            stretch(text)


EMBEDDED = """
import importlib, logging, os, pkgutil, warnings
import cv2, lightning.fabric, matplotlib, numpy as np, scipy.special, sklearn, sympy, torch

LIBRARIES = ("KMP_", "PYTORCH_", "TORCH")  # sklearn and torch set these when they are imported

def state():
    return {
        "warnings": [f for f in warnings.filters],
        "shown by": warnings.showwarning,
        "environment": {k: v for k, v in os.environ.items() if not k.startswith(LIBRARIES)},
        "folder": os.getcwd(),
        "handlers": list(logging.getLogger().handlers),
        "logging": logging.getLogger("matplotlib").level,
        "style": dict(matplotlib.rcParams),
        "threads": (cv2.getNumThreads(), torch.get_num_threads()),
        "numpy": np.geterr(),
        "random": (torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()),
    }

before = state()
import ma2mi
for module in pkgutil.walk_packages(ma2mi.__path__, "ma2mi."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from ma2mi.face.detect import FaceDetector
from ma2mi.models.catalog import build_model
from ma2mi.report.figures import draw_strip
draw_strip(np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"])
FaceDetector().detect(np.zeros((96, 96, 3), np.uint8))
frames = np.tile(np.arange(64, dtype=np.uint8) * 3, (2, 64, 1))
ma2mi.flow(frames[0], frames)
after = state()
changed = [name for name in before if before[name] != after[name]]
assert not changed, [(before[name], after[name]) for name in changed]
"""


def test_the_process_of_an_embedder_stays_as_it_was():
    """Importing everything and calls of the library change no state that others share."""
    said = subprocess.run([sys.executable, "-c", EMBEDDED], capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")


def test_what_cannot_be_prepared_is_listed_and_nothing_is_left(ma2mi, tmp_path):
    (tmp_path / "videos").mkdir()
    wallpaper(tmp_path / "videos" / "wallpaper.mp4")
    (tmp_path / "videos" / "words.mp4").write_text("no video")
    result = ma2mi("prepare", "videos", "--out", "clips", "--jobs", 1)
    assert "nothing could be prepared" in one_line(result)
    assert "2 could not be used" in result[1]
    assert "wallpaper.mp4: no face in any frame" in result[1]
    assert "words.mp4: is not a video that ffmpeg can read" in result[1]


@pytest.fixture(scope="module")
def macro(tmp_path_factory):
    """Three painted people, a second each, and one file that is no video."""
    from ma2mi.datasets.synthetic import write_corpus
    from ma2mi.synthesis import SyntheticSettings

    root = tmp_path_factory.mktemp("macro")
    write_corpus(
        "synthetic-macro",
        root,
        subjects=3,
        clips_per_subject=1,
        seed=0,
        settings=SyntheticSettings(size=160, macro_duration_s=(0.6, 0.8)),
    )
    return root


QUICK = ("--size", 64, "--epochs", 2, "--epoch-steps", 2, "--batch-size", 8, "--pairs-per-clip", 4,
         "--flow", "dis", "--jobs", 1, "--accelerator", "cpu")  # fmt: skip


def test_pretrain_on_videos_names_failures_and_goes_on(ma2mi, macro, tmp_path):
    videos = macro / "clips"
    (videos / "words.mp4").write_text("no video")
    try:
        code, out, err = ma2mi("pretrain", "--videos", videos, "--out", "run", *QUICK)
    finally:
        (videos / "words.mp4").unlink()
    assert code == 3, (out, err)
    assert "words.mp4: is not a video that ffmpeg can read" in out
    assert "later movement found" in out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert len(config["people"]) >= 3
    assert config["pairs"]["method"] == "dis"
    with (tmp_path / "run" / "log.csv").open() as sheet:
        assert [row["epoch"] for row in csv.DictReader(sheet)] == ["1", "2"]
    # Other weights than the network asked for: told before anything is trained.
    err = one_line(
        ma2mi("benchmark", "--corpus", "synthetic-macro", "--root", macro, "--init", "run",
              "--size", 96, "--flow", "dis", "--jobs", 1)
    )  # fmt: skip
    assert "holds miacnet-tiny at 64 px, not miacnet-tiny at 96 px" in err


def command_line(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "ma2mi.cli", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        **options,
    )


@pytest.mark.slow
def test_pretrain_in_two_processes(macro, tmp_path):
    from ma2mi.training.checkpoint import open_backbone

    said = command_line(
        "pretrain", "--corpus", "synthetic-macro", "--root", macro, "--out", tmp_path / "run",
        *QUICK, "--devices", 2, "--strategy", "ddp", timeout=300,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("on held-out subjects") == 1  # one process speaks
    with (tmp_path / "run" / "log.csv").open() as sheet:
        rows = list(csv.DictReader(sheet))
    assert len(rows) == 2
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert all(p.isfinite().all() for p in open_backbone(tmp_path / "run", 2).parameters())


@pytest.mark.slow
def test_demo_the_whole_way_twice(tmp_path):
    scores = []
    for name in "ab":
        out = tmp_path / name
        said = command_line(
            "demo", "--out", out, "--subjects", 3, "--clips", 3, "--pretrain-steps", 5,
            "--epochs", 1, "--seeds", 2, "--jobs", 1, timeout=600,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        assert "from scratch" in said.stdout
        assert "after MA2MI" in said.stdout
        page = (out / "report.html").read_text(encoding="utf-8")
        assert "<td>from scratch</td>" in page
        assert str(out / "report.html") in said.stdout.replace("\n", "")
        assert "attention after MA2MI" in said.stdout
        assert "random weights, frozen" in (out / "summary.md").read_text("utf-8")
        predictions = sorted((out / "results").glob("*/predictions.csv"))
        assert len(predictions) >= 4
        scores.append([p.read_bytes() for p in predictions])
        scores[-1].append((out / "ma2mi" / "model.safetensors").read_bytes())
    assert scores[0] == scores[1]


def test_module_is_the_command():
    said = command_line("--version")
    assert (said.returncode, said.stdout) == (0, f"{__version__}\n")
    assert Path(cli.__file__).with_name("__main__.py").is_file()
