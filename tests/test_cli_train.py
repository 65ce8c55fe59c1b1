"""``ma2mi train`` and ``benchmark --train-also``: a model that knows whom it has seen."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from ma2mi.testing import write_fake

QUICK = ("--flow", "farneback", "--jobs", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Fakes of two corpora, and a store of clips for all tests."""
    root = tmp_path_factory.mktemp("train")
    for name in ("casme2", "samm"):
        write_fake(name, root / name)
    return root


@pytest.fixture
def call(ma2mi, place):
    def run(*words):
        return ma2mi(*(word.format(place=place) for word in words))

    return run


@pytest.fixture
def model(call, place):
    """A model that was learned from the fake of CASME II, made once."""
    out = place / "model"
    if not (out / "config.json").exists():
        code, _, err = call(
            *("train", "--corpus", "casme2={place}/casme2", "--protocol", "megc2019"),
            *("--out", "{place}/model", "--store", "{place}/store", *QUICK),
        )
        assert code == 0, err
    return out


def test_a_model_says_who_is_in_it(call, model):
    code, out, err = call("audit", str(model), "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["model"]["with_labels"] == {"casme2": ["sub01", "sub02", "sub03"]}
    assert found["cross-validation"]["verdict"] == "passed"
    code, out, _ = call("audit", str(model))
    assert "with labels: 3 subjects" in out
    assert "casme2: sub01, sub02, sub03" in out


@pytest.mark.parametrize(
    "words",
    [
        ("--weights", "{place}/model", "--protocol", "zero-shot"),
        ("--init", "{place}/model", "--model", "block-classifier"),
        ("--init", "{place}/model", "--train", "full"),
    ],
)
def test_nobody_in_it_is_tested_and_nothing_is_prepared(call, model, place, words, tmp_path):
    code, _, err = call(
        *("benchmark", "--corpus", "casme2={place}/casme2", "--store", str(tmp_path / "store")),
        *("--out", str(tmp_path / "run"), *QUICK, *words),
    )
    assert code == 2
    assert "labelled clips of casme2/sub01, casme2/sub02, casme2/sub03" in err
    assert err.count("\n") <= 2
    assert not (tmp_path / "store").exists()


def test_others_are_tested_unless_an_alias_says_that_they_are_the_same(call, model, tmp_path):
    words = (
        *("benchmark", "--corpus", "samm={place}/samm", "--weights", "{place}/model"),
        *("--protocol", "zero-shot", "--store", "{place}/store", *QUICK),
    )
    code, _, err = call(*words, "--alias", "samm/006=casme2/sub01", "--out", str(tmp_path / "a"))
    assert code == 2
    assert "casme2/sub01" in err
    code, _, err = call(*words, "--out", str(tmp_path / "b"))
    assert code == 0, err
    run = json.loads((tmp_path / "b" / "run.json").read_text("utf-8"))
    assert run["trained_subjects"] == ["casme2/sub01", "casme2/sub02", "casme2/sub03"]


def test_with_and_without_other_corpora_stand_in_one_table(call, place, tmp_path):
    code, out, err = call(
        *("benchmark", "--corpus", "casme2={place}/casme2", "--train-also", "samm={place}/samm"),
        *("--model", "pixels-rbf", "--store", "{place}/store", "--out", str(tmp_path / "run")),
        *("--alias", "samm/006=casme2/sub01", "--backend", "sequential", *QUICK),
    )
    assert code == 0, err
    assert "pixels-rbf, also trained on samm" in out
    assert "tested against" in out
    with (tmp_path / "run-also-samm" / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["database"] for row in rows} == {"casme2"}
    folds = [
        json.loads(path.read_text("utf-8"))
        for path in (tmp_path / "run-also-samm" / "folds").iterdir()
    ]
    for fold in folds:
        others = {one for one in fold["train_people"] if one.startswith("samm/")}
        assert others == {"samm/007", "samm/008"}
        assert fold["fold"] not in fold["train_people"]
    code, out, err = call("audit", str(tmp_path / "run-also-samm"))
    assert code == 0, (out, err)
    assert "only trained on: 9 clips of 3 subjects" in out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("train", "--size", "64"), "the size is that of --init"),
        (("train", "--model", "ststnet"), "the network is that of --init"),
        (("train", "--init", "none", "--model", "ststnet"), "a ridge on movement has no network"),
        (("train", "--protocol", "zero-shot"), "trains nothing"),
        (("train", "--protocol", "cd6me"), "knows action units, no classes"),
        (("train", "--init", "{place}"), "config.json"),
        (("train", "--folds", "9"), "9 folds of 3 subjects"),
        (
            ("benchmark", "--weights", "zero", "--protocol", "zero-shot", "--train-also", "samm=x"),
            "has nothing to join",
        ),
        (("benchmark", "--train-also", "samm={place}/nowhere"), "is no folder"),
        (
            ("benchmark", "--model", "majority", "--train-also", "casme2={place}/casme2"),
            "is tested, and in --train-also, too",
        ),
    ],
)
def test_wrong_calls_are_one_line(call, tmp_path, words, what):
    command, *others = words
    code, _, err = call(
        *(command, "--corpus", "casme2={place}/casme2", "--out", str(tmp_path / "out")),
        *("--store", "{place}/store", *QUICK, *others),
    )
    assert code == 2
    assert what in err
    assert "Traceback" not in err


def test_words_without_a_class_are_one_line(call, tmp_path):
    (tmp_path / "manifest.csv").write_text(
        "path,subject,onset,apex,offset,emotion,aus,fps\n"
        "a.mp4,p1,1,2,3,puzzled,,30\nb.mp4,p2,1,2,3,puzzled,,30\n"
    )
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    code, _, err = call(
        *("train", "--corpus", "manifest", "--root", str(tmp_path), "--out", str(tmp_path / "m"))
    )
    assert code == 2
    assert "puzzled" in err
