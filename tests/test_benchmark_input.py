"""Input that no benchmark can score: one line with its place and a hint, before any work."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")
pytest.importorskip("av")

from ma2mi.training.checkpoint import find_weights
from ma2mi.video import write_video

ROWS = [
    ("s1", "happiness", "12"),
    ("s1", "anger", "4"),
    ("s2", "surprise", "1+2"),
    ("s2", "disgust", "9"),
]


@pytest.fixture
def study(tmp_path):
    """A function that writes a manifest: rows of (subject, emotion, units); its faces are grey."""
    frames = [np.full((64, 64, 3), 120, np.uint8)] * 30
    for subject in ("s1", "s2"):
        write_video(tmp_path / f"{subject}.mp4", frames, Fraction(30))

    def write(rows, name="study"):
        folder = tmp_path / name
        folder.mkdir()
        lines = ["path,subject,onset,apex,offset,emotion,aus"]
        lines += [
            f"../{subject}.mp4,{subject},{3 * i},{3 * i + 1},{3 * i + 2},{emotion},{aus}"
            for i, (subject, emotion, aus) in enumerate(rows)
        ]
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
        return folder

    return write


@pytest.fixture
def refused(ma2mi, study, tmp_path):
    """Call the benchmark on such a manifest: its one line; nothing was prepared."""

    def call(rows, *words, exit_code=2):
        folder = study(rows)
        code, out, err = ma2mi(
            *("benchmark", "--corpus", "manifest", "--root", folder, "--jobs", 1),
            *("--store", "clips", "--out", "run", *words),
        )
        assert code == exit_code, (out, err)
        assert not (tmp_path / "clips").exists()
        assert not (tmp_path / "run").exists()
        lines = [line for line in err.splitlines() if line.startswith("ma2mi: ")]
        assert len(lines) == 1, err
        return lines[0]

    return call


def test_a_corpus_without_one_class(refused):
    line = refused([row for row in ROWS if row[1] != "surprise"], "--model", "majority")
    assert "study: no expression shows surprise of negative, positive, surprise" in line
    assert "--label WORD=CLASS" in line


def test_a_corpus_of_one_subject(refused):
    line = refused([("s1", *row[1:]) for row in ROWS], "--model", "majority")
    assert line == "ma2mi: loso: only one subject (manifest/s1). At least two are needed"


def test_a_word_that_the_protocol_does_not_know(refused):
    line = refused([*ROWS, ("s2", "smug", "14")], "--model", "majority")
    assert "manifest.csv, row 6" in line
    assert 'the word "smug" is unknown to label set megc2019' in line
    assert "Say --label smug=CLASS, or --label smug= to leave such clips out" in line


def test_a_word_is_given_its_class(ma2mi, study):
    """The same table is scored once the word has a class: no face is found, but the word is not
    refused."""
    folder = study([*ROWS, ("s2", "smug", "14")])
    code, _, err = ma2mi(
        *("benchmark", "--corpus", "manifest", "--root", folder, "--jobs", 1, "--store", "clips"),
        *("--model", "majority", "--label", "smug=negative"),
    )
    assert code == 2
    assert "nothing could be prepared" in err


def test_weights_of_other_classes(refused, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in find_weights("zero").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["recognizer"]["classes"] = ["dull", "tense", "glad"]
    (folder / "config.json").write_text(json.dumps(config))
    line = refused(ROWS, "--weights", folder, "--protocol", "zero-shot")
    assert line.startswith(f"ma2mi: {folder}: predicts dull, tense, glad; the protocol has neg")
    assert "Fine-tune it with --init, or take a protocol with its classes" in line


def test_a_prior_of_other_classes(refused):
    words = ("--weights", "zero", "--protocol", "zero-shot", "--prior", "0.5,0.5")
    line = refused(ROWS, *words)
    assert "prior 0.5,0.5: 2 shares for 3 classes. Give one for each of negative, positive" in line


def test_a_corpus_without_units(refused):
    line = refused([(*row[:2], "") for row in ROWS], "--protocol", "cd6me", "--model", "majority")
    assert "study: no expression carries an action unit" in line


def test_cells_that_are_no_units(refused):
    """Where no unit can be read, the run says file, row and column, beside what it cannot do."""
    rows = [*ROWS[:3], ("s2", "disgust", "wrinkle")]
    line = refused(rows, "--protocol", "cd6me", "--model", "majority")
    assert "no expression shows 5, 6, 7" in line


@pytest.mark.parametrize("aus", ["wrinkle", "AU", "12?!x"])
def test_a_cell_that_is_no_unit_is_a_failure_with_its_row(study, aus):
    from dataclasses import replace

    from ma2mi.datasets import open_corpus
    from ma2mi.errors import FaceError
    from ma2mi.evaluation.protocols import PROTOCOLS
    from ma2mi.experiment.labelled import label_pairs

    few = replace(PROTOCOLS["cd6me"], units=("4", "12"))
    corpus = open_corpus("manifest", study([*ROWS[:3], ("s2", "disgust", aus)]))
    with pytest.raises(FaceError) as raised:  # the faces are grey
        label_pairs(corpus, few, corpus.root / "clips")
    [line] = [one for one in raised.value.details if "manifest.csv" in one]
    assert "manifest.csv, row 5, column aus" in line
    assert "cannot be read. No unit is taken; write such as 4+L10" in line
