"""Every corpus the whole way by the command line: fake, check, prepare, one epoch of LOSO."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

from ma2mi.cli.settings import parse_labels
from ma2mi.datasets import open_corpus
from ma2mi.evaluation.labels import DROPPED, label_set
from ma2mi.testing import FAKES

#: Flow images are no recordings; they are benchmarked as they are.
PREPARED = "megc2019-flow"


#: Words that no protocol knows.
LABELS = {
    "casme": ("tense=",),
    "4dme": ("negative+repression=negative", "surprise+repression=surprise"),
}


def ma2mi(*words, folder, code=0):
    said = subprocess.run(
        [sys.executable, "-m", "ma2mi.cli", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        timeout=600,
    )
    assert said.returncode == code, said.stdout + said.stderr
    assert "Warning" not in said.stderr
    return said.stdout + said.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAKES))
def test_the_whole_way(name, tmp_path):
    ma2mi("data", "fake", name, "--out", "fake", folder=tmp_path)
    ma2mi("data", "check", name, "--root", "fake", folder=tmp_path)
    if name != PREPARED:
        out = ma2mi(
            "prepare", name, "--root", "fake", "--out", "clips", "--size", 64, "--flow", "dis",
            "--jobs", 1, folder=tmp_path,
        )  # fmt: skip
        assert "clips in" in out
        sheets = tmp_path / "clips" / f"{name}-face-64"
        with (sheets / "quality.csv").open(encoding="utf-8", newline="") as rows:
            assert len(list(csv.DictReader(rows))) >= 3
        assert (sheets / "contact-001.png").stat().st_size > 1000
        assert (sheets / "failures.txt").read_text() == ""
    words = (
        "benchmark", "--corpus", f"{name}=fake", "--store", "clips", "--out", "run", "--epochs", 1,
        "--model", "conv5", "--size", 48, "--flow", "dis", "--jobs", 1,
        *(word for one in LABELS.get(name, ()) for word in ("--label", one)),
    )  # fmt: skip
    refusal = refused(name, tmp_path / "fake")
    out = ma2mi(*words, folder=tmp_path, code=2 if refusal else 0)
    assert (refusal or "UF1") in out
    assert (tmp_path / "run" / "predictions.csv").is_file() == (not refusal)


def refused(name, root):
    """Why leaving people out makes no sense on a small fake; "" if it does."""
    expressions = open_corpus(name, root).expressions()
    if not expressions:
        return "has no marked expressions"  # for pre-training
    if not any(e.emotion for e in expressions):
        return "no expression carries an emotion"  # for spotting
    megc = label_set("megc2019")
    own = {word: to or None for word, to in parse_labels(LABELS.get(name, ())).items()}
    labels, _ = replace(megc, mapping={**megc.mapping, **own}).encode(
        [e.emotion for e in expressions if e.emotion]
    )
    return "" if len(set(labels.tolist()) - {DROPPED}) == 3 else "no clip shows"
