"""``ma2mi data``: list, info, check, fake, convert, and their exit codes."""

import json
import random
import subprocess
import sys
import time

import pytest

pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

from ma2mi import cli
from ma2mi.datasets import CORPORA
from ma2mi.errors import CorpusError
from ma2mi.files import hold
from ma2mi.testing import write_fake


@pytest.fixture
def data(monkeypatch, capsys, tmp_path):
    """Run ``ma2mi data`` in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ma2mi", "data", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


def test_list_and_info_name_every_corpus(data):
    assert set(CORPORA) <= set(data("list")[1].replace("│", " ").split())
    code, page, _ = data("list", "--markdown")
    assert code == 0
    assert page.startswith("# Corpora\n")
    for name in CORPORA:
        code, said, _ = data("info", name)
        assert code == 0
        assert f"({name})" in said


def test_a_fake_is_written_checked_and_converted(data):
    code, said, _ = data("fake", "casme2", "--out", "copy")
    assert (code, said.splitlines()[-1]) == (0, "fake of casme2: copy")
    code, said, _ = data("check", "casme2", "--root", "copy")
    assert code == 0
    assert "expected " in said
    assert said.splitlines()[-1].startswith("ready: 9 clips of 3 subjects")
    code, said, _ = data("convert", "casme2", "--root", "copy", "--out", "table.csv")
    assert (code, said) == (0, "9 rows in table.csv\n")


def test_a_copy_that_loses_clips_ends_with_three(data, tmp_path):
    write_fake("casme2", tmp_path / "copy", fault="other-version", pictures=False)
    code, said, _ = data("check", "casme2", "--root", "copy")
    assert code == 3
    assert "errors:\n  copy/" in said
    code, said, err = data("check", "casme2", "--root", "copy", "--json")
    told = json.loads(said)
    assert (code, err, told["passed"], told["corpus"]) == (3, "", False, "casme2")
    assert any("has no column OnsetFrame" in one["what"] for one in told["findings"])


@pytest.mark.parametrize(
    "words",
    [
        ("info", "nobody"),
        ("check", "nobody", "--root", "."),
        ("fake", "casme2", "--out", "x", "--fault", "rain"),
        ("convert", "casme2", "--root", "nowhere", "--out", "x.csv"),
    ],
)
def test_mistakes_end_in_one_line(data, words):
    code, _, said = data(*words)
    assert code == 2
    assert said.startswith("ma2mi: ")
    assert said.count("\n") == 1


def test_names_are_no_markup(data, tmp_path):
    odd = tmp_path / "[b] [/b]"
    code, said, err = data("fake", "smic", "--out", odd)
    assert (code, said.splitlines()[-1], err) == (0, f"fake of smic: {odd}", "")
    code, said, err = data("check", "smic", "--root", odd)
    assert (code, err) == (0, "")
    code, said, err = data("convert", "smic", "--root", odd, "--out", odd / "[/i].csv")
    assert (code, said, err) == (0, f"9 rows in {odd / '[/i].csv'}\n", "")
    code, _, err = data("check", "[/b]", "--root", odd)
    assert code == 2
    assert err.startswith("ma2mi: [/b]: is no known corpus")


def test_an_option_that_a_corpus_has_not_is_refused(data):
    code, _, err = data("check", "manifest", "--root", ".", "--layout", "raw")
    assert (code, err) == (
        2,
        "ma2mi: manifest: has no option layout. Leave it out for this corpus\n",
    )


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_fake_is_whole_or_absent(tmp_path, monkeypatch):
    whole = contents(write_fake("smic", tmp_path / "whole", pictures=False))

    def stop(now):
        if now.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_fake("smic", tmp_path / "fake", pictures=False, on_progress=stop)
    assert not (tmp_path / "fake").exists()
    # What a call leaves that was killed and could not even tidy up.
    (tmp_path / ".fake.part" / "SMIC").mkdir(parents=True)
    (tmp_path / ".fake.part" / "SMIC" / "half").write_text("x")
    (tmp_path / "fake").mkdir()
    assert contents(write_fake("smic", tmp_path / "fake", pictures=False)) == whole
    assert [p.name for p in tmp_path.glob(".fake.part")] == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(CorpusError, match="is not empty"):
        write_fake("smic", tmp_path / "mine", pictures=False)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CorpusError, match="is not empty"):
        write_fake("smic", tmp_path / "file", pictures=False)


def test_two_fakes_at_once_end_in_one_line(data, tmp_path):
    with hold(tmp_path / "fake"):
        code, _, err = data("fake", "smic", "--out", "fake")
    assert code == 2
    assert "fake: another process is writing here" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_killed_fake_is_written_anew(tmp_path):
    run = "from ma2mi.cli import main; main()"
    call = [sys.executable, "-c", run, "data", "fake", "casme2", "--out"]
    subprocess.run([*call, str(tmp_path / "whole")], check=True, capture_output=True)
    whole = contents(tmp_path / "whole")
    rng = random.Random(0)
    for trial in range(5):
        out = tmp_path / f"fake{trial}"
        killed = subprocess.Popen([*call, str(out)], stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 4))
        killed.kill()
        killed.wait()
        again = subprocess.run([*call, str(out)], capture_output=True, text=True)
        if again.returncode == 2:  # it was done when it was killed
            assert "is not empty" in again.stderr
        assert contents(out) == whole
