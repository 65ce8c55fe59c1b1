"""``ma2mi data``: list, info, check, fake, convert, and their exit codes."""

import json
import sys

import pytest

pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

from ma2mi import cli
from ma2mi.datasets import CORPORA
from ma2mi.datasets.fakes import write_fake


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
