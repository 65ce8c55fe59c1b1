"""``ma2mi benchmark --learning-curve`` on fake flow images, then compare, report and audit."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")
pytest.importorskip("matplotlib")

from fakes.megc2019_flow import write_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("megc"), scale=0.15)


def curve_of(ma2mi, tree, model, *words):
    return ma2mi(
        "benchmark", "--corpus", f"megc2019-flow={tree}", "--protocol", "megc2019", "--jobs", 1,
        "--backend", "sequential", "--model", model, "--learning-curve", "2,5", "--draws", 2,
        *words,
    )  # fmt: skip


def test_the_whole_way(ma2mi, tree, tmp_path):
    for model in ("pixels-rbf", "flow-pca"):
        code, out, err = curve_of(ma2mi, tree, model, "--out", model)
        assert code == 0, err
        assert f"{model}  " in out
        assert "learning_curve" not in out
    trained = [
        [
            json.loads(file.read_text())["train_people"]
            for file in sorted((tmp_path / model).glob("subjects-0005/draw-1/folds/*.json"))
        ]
        for model in ("pixels-rbf", "flow-pca")
    ]
    assert trained[0] == trained[1]
    assert {len(people) for people in trained[0]} == {5}

    code, out, _ = ma2mi(
        "compare", "pixels-rbf", "flow-pca", "--style", "csv", "--picture", "curve.png"
    )
    assert code == 0
    rows = [row for row in csv.DictReader(out.splitlines()) if row["model"] == "flow-pca"]
    assert [row["training subjects"] for row in rows] == ["2", "5"]
    assert all(0 < float(row["p"]) <= 1 for row in rows)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")

    code, out, err = ma2mi("report", "pixels-rbf", "flow-pca", "--out", "page.html")
    assert code == 0, err
    assert "Few training subjects" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "page-figures/learning-curve.png").is_file()

    code, out, err = ma2mi("report", "flow-pca", "flow-pca", "--out", "twice.html")
    assert code == 0, err
    assert "flow-pca [flow-pca]" in out

    code, out, _ = ma2mi("audit", "flow-pca/subjects-0002/draw-0")
    assert code in (0, 3)  # the fake's images may be alike
    assert "trained on 2 others" in out
    code, out, _ = ma2mi("audit", "flow-pca", "--json")
    sheets = json.loads(out)
    assert list(sheets) == [f"subjects-000{n}/draw-{d}" for n in (2, 5) for d in (0, 1)]
    assert code == (3 if any(sheet["faults"] for sheet in sheets.values()) else 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--learning-curve", "2,x"), "--learning-curve 2,x: is no list of numbers. Say 2,3,5,10"),
        (("--also-report-best-on-test",), "Leave out --also-report-best-on-test"),
        (("--learning-curve", "1,5", "--stop", "inner"), "Start --learning-curve at 2"),
        (("--learning-curve", "2,500"), "500 training subjects are requested"),
    ],
)
def test_mistakes_are_one_line(ma2mi, tree, words, message):
    code, _, err = curve_of(ma2mi, tree, "flow-pca", *words)
    assert code == 2
    assert err.startswith("ma2mi: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    "words",
    [
        ("--model", "ststnet", "--train", "full", "--epochs", 1, "--size", 28),
        ("--init", "zero", "--train", "frozen"),
        ("--weights", "zero", "--protocol", "zero-shot"),
    ],
    ids=["trained", "frozen", "zero-shot"],
)
def test_networks_too(ma2mi, tree, tmp_path, words):
    from ma2mi.evaluation import load_curve

    code, _, err = ma2mi(
        "benchmark", "--corpus", f"megc2019-flow={tree}", "--jobs", 1, "--out", "curve",
        "--backend", "sequential", "--learning-curve", "2", "--draws", 1, *words,
    )  # fmt: skip
    assert code == 0, err
    curve = load_curve(tmp_path / "curve")
    assert curve.is_level == ("zero-shot" in words)
    assert 0 < curve.estimate(2).value <= 1
