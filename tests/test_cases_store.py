"""The situations of ../shared/cases that concern stores, from the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("av")

from ma2mi.clips.store import ClipStore, find_recipe
from ma2mi.datasets.synthetic import write_corpus
from ma2mi.synthesis import SyntheticSettings

SHORT = SyntheticSettings(size=160, macro_duration_s=(0.6, 0.8), micro_duration_s=(0.16, 0.2))
WORDS = ("--recipe", "as-is", "--size", 48, "--flow", "farneback", "--jobs", 1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two videos of two subjects."""
    root = tmp_path_factory.mktemp("videos")
    write_corpus("synthetic-macro", root, subjects=2, clips_per_subject=1, seed=0, settings=SHORT)
    found = sorted(root.rglob("*.mp4"))
    assert len(found) == 2
    return found


@pytest.fixture
def studies(videos, tmp_path):
    """Two studies of equal names: path, subject and marks are the same, the pixels are not."""
    for name, video in zip("AB", videos, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "v.mp4").write_bytes(video.read_bytes())
        (tmp_path / name / "manifest.csv").write_text(
            "path,subject,onset,apex,offset,emotion\nv.mp4,s1,2,5,9,happiness\n"
        )
    return tmp_path


def crops(store: Path) -> list[bytes]:
    folder = ClipStore(store, find_recipe("as-is", size=48, flow="farneback")).folder
    return sorted(path.read_bytes() for path in folder.glob("*.safetensors"))


def test_two_studies_of_equal_names_do_not_mix(ma2mi, studies):
    for name in "AB":
        code, _, err = ma2mi("prepare", "manifest", "--root", name, "--out", f"only-{name}", *WORDS)
        assert (code, err) == (0, "")
    alone = {name: crops(studies / f"only-{name}") for name in "AB"}
    assert [len(one) for one in alone.values()] == [1, 1]
    assert alone["A"] != alone["B"]
    shown = {}
    for name in "ABAB":
        code, out, err = ma2mi("prepare", "manifest", "--root", name, "--out", "both", *WORDS)
        assert (code, err) == (0, "")
        sheets = Path(out[out.index(" in both/manifest") + 4 :].splitlines()[0])
        shown.setdefault(name, set()).add(sheets)
        page = (studies / sheets / "contact-001.png").read_bytes()
        [own] = (studies / f"only-{name}").glob("manifest-*/contact-001.png")
        assert page == own.read_bytes()
    assert crops(studies / "both") == sorted(alone["A"] + alone["B"])
    assert all(len(one) == 1 for one in shown.values())
    assert shown["A"] != shown["B"]


def test_sheets_that_a_person_changed_stay(ma2mi, studies):
    words = ("prepare", "manifest", "--root", "A", "--out", "clips", *WORDS)
    assert ma2mi(*words)[0] == 0
    [sheets] = (studies / "clips").glob("manifest-*")
    (sheets / "notes.txt").write_text("the left one blinks")
    assert ma2mi(*words)[0] == 0
    assert (sheets / "notes.txt").read_text() == "the left one blinks"
    other = next(path for path in (studies / "clips").glob("manifest-*") if path != sheets)
    (other / "quality.csv").write_text("corrected")
    code, _, err = ma2mi(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert "were not written here, or were changed since" in err
    assert (other / "quality.csv").read_text() == "corrected"


def test_one_bad_member_does_not_end_prepare_or_pretrain(ma2mi, videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for number, video in enumerate(videos):
        (folder / f"v{number}.mp4").write_bytes(video.read_bytes())
    (folder / os.fsdecode(b"caf\xe9.mp4")).write_bytes(videos[0].read_bytes())
    (folder / os.fsdecode(b"br\xe9.mp4")).write_text("no video")
    (folder / "[b]odd \x1b[31m.mp4").write_text("no video")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    words = ("--recipe", "as-is", "--flow", "farneback", "--jobs", 1)
    code, out, err = ma2mi(
        "prepare", folder, "--out", "clips", "--size", 48, *words[:2], *words[2:]
    )
    assert (code, "Traceback" in out + err) == (3, False)
    listed = (tmp_path / "clips" / "videos-as-is-48" / "failures.txt").read_text("utf-8")
    assert "br\\udce9.mp4" in listed
    assert "caf\\udce9.mp4" not in listed
    assert "\x1b" not in out + listed
    code, out, err = ma2mi(
        "pretrain", "--videos", folder, "--out", "run", "--size", 64, "--epochs", 1,
        "--epoch-steps", 1, "--batch-size", 8, "--pairs-per-clip", 12, "--growth", 1,
        "--accelerator", "cpu", *words,
    )  # fmt: skip
    assert (code, "Traceback" in out + err) == (3, False), out + err
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_a_corrected_call_is_not_refused(ma2mi, tmp_path):
    words = ("pretrain", "--simulator", "--size", 64, "--epochs", 1, "--epoch-steps", 1,
             "--batch-size", 8, "--accelerator", "cpu", "--out", "run")  # fmt: skip
    for rate in ("inf", "1e15"):
        code, _, err = ma2mi(*words, "--lr", rate)
        assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert ma2mi(*words, "--lr", "1e-3")[0] == 0


def test_a_model_in_out_is_not_replaced(ma2mi, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"mine")
    code, _, err = ma2mi("pretrain", "--simulator", "--size", 64, "--out", "run",
                         "--accelerator", "cpu")  # fmt: skip
    assert (code, err.count("\n")) == (2, 1)
    assert "holds a model that was not trained there" in err
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == b"mine"
