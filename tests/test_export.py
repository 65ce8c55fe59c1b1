"""ONNX files answer as torch does, hold their labels, and are not written if they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import ma2mi.training.export as module  # noqa: E402
from ma2mi import cli  # noqa: E402
from ma2mi.clips.batches import make_batch  # noqa: E402
from ma2mi.errors import CheckpointError  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.export import export_onnx  # noqa: E402
from ma2mi.training.recognizer import Recognizer, RecognizerSettings  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}


def make(model="miacnet-tiny", size=64, settings=None, **changes):
    torch.manual_seed(0)
    settings = (SMALL if model == "miacnet-tiny" else {}) | (settings or {})
    meaning = {"temperature": 1.5, "prior": [0.5, 0, -0.5], **changes}
    outputs = RecognizerSettings(**meaning).outputs
    config = {
        "model": model,
        "classes": outputs,
        "settings": settings,
        "size": size,
        "recipe": "abc",
        "recognizer": meaning,
    }
    return Recognizer(build_model(model, outputs, **settings), config)


def run(path, feed):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True)), session


@pytest.mark.parametrize("position", [False, True])
def test_the_file_answers_as_the_recognizer(pairs, tmp_path, position):
    model = make()
    assert export_onnx(model, tmp_path / "m.onnx", position=position) <= 1e-4
    batch = make_batch(pairs, np.arange(24), size=64)
    feed = {"action": batch.action.numpy()}
    if position:
        feed["position"] = batch.position.numpy()
        given = pairs
    else:
        nobody = np.empty((0, 72, 72, 3), np.uint8)
        given = replace(pairs, first=nobody, second=nobody)
    said, session = run(tmp_path / "m.onnx", feed)
    assert {i.name for i in session.get_inputs()} == set(feed)
    answers = model.outputs(given)
    # The mirror image is flipped there and sampled here: the same up to rounding.
    np.testing.assert_allclose(said["logits"], model.logits(given).numpy(), atol=1e-4)
    for name in ("classes", "units", "intensity", "movement"):
        np.testing.assert_allclose(said[name], getattr(answers, name), atol=1e-4)


@pytest.mark.parametrize(
    ("lacking", "names"),
    [
        ({"units": []}, ["logits", "classes", "intensity", "movement"]),
        (
            {"has_intensity": False, "unit_temperature": [1.0 + i / 10 for i in range(12)]},
            ["logits", "classes", "units", "movement"],
        ),
        (
            {"units": [], "has_intensity": False, "has_movement": False},
            ["logits", "classes"],
        ),
    ],
)
def test_what_the_network_lacks_is_left_out(pairs, tmp_path, lacking, names):
    model = make(**lacking)
    export_onnx(model, tmp_path / "m.onnx")
    feed = {"action": make_batch(pairs, np.arange(24), size=64).action.numpy()}
    said, _ = run(tmp_path / "m.onnx", feed)
    assert list(said) == names
    unseen = np.empty((0, 72, 72, 3), np.uint8)
    answers = model.outputs(replace(pairs, first=unseen, second=unseen))
    for name in names[1:]:
        np.testing.assert_allclose(said[name], getattr(answers, name), atol=1e-4)


def test_labels_and_preprocessing_are_inside(tmp_path):
    export_onnx(make(), tmp_path / "m.onnx")
    meta = {p.key: json.loads(p.value) for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert meta["labels"]["classes"] == ["negative", "positive", "surprise"]
    assert len(meta["labels"]["units"]) == 12
    assert meta["preprocessing"]["size"] == 64
    assert meta["preprocessing"]["inputs"]["action"]["shape"] == ["batch", 3, 64, 64]
    assert "percent of the width" in meta["preprocessing"]["inputs"]["action"]["is"]
    assert meta["recognizer"]["temperature"] == 1.5
    assert meta["ma2mi"]["recipe"] == "abc"


def test_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        export_onnx(make(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("conv5", {}),
        ("ststnet", {}),
        ("miacnet-tiny", {"fusion": "concat"}),
        ("miacnet-tiny", {"center": True}),
    ],
)
def test_other_networks(tmp_path, model, settings):
    assert export_onnx(make(model, settings=settings), tmp_path / "m.onnx") <= 1e-4


@pytest.mark.parametrize(("inside", "outside"), [(7, 4), (28, 14), (10, 3), (5, 5), (4, 7)])
def test_pooling_as_matrices_is_pooling(inside, outside):
    x = torch.randn(2, 3, inside, inside + 2)
    expected = torch.nn.functional.adaptive_avg_pool2d(x, (outside, 3))
    with module._pooling_as_matrices():
        got = torch.nn.functional.adaptive_avg_pool2d(x, (outside, 3))
    torch.testing.assert_close(got, expected)


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(CheckpointError, match="onnxruntime and torch differ by"):
        export_onnx(make(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_networks_without_position_say_so(tmp_path):
    with pytest.raises(CheckpointError, match=r"does not look at its position\. Leave out"):
        export_onnx(make("conv5"), tmp_path / "m.onnx", position=True)
    with pytest.raises(CheckpointError, match="shrinks the face as ONNX cannot"):
        export_onnx(
            make(settings={"position": "vit", "vit_depth": 1}), tmp_path / "m.onnx", position=True
        )


def test_by_command(tmp_path, monkeypatch, capsys):
    make().save_pretrained(tmp_path / "w")
    words = ["ma2mi", "export", "onnx", "--weights", str(tmp_path / "w"), "--out"]
    monkeypatch.setattr(sys, "argv", [*words, str(tmp_path / "new" / "m.onnx")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in (0, None)
    assert "onnxruntime agrees with torch to" in capsys.readouterr().out
    assert (tmp_path / "new" / "m.onnx").is_file()


def test_onnxruntime_reports_nothing_to_its_makers(tmp_path):
    """Its telemetry keeps an identifier in the user's cache and opens sockets later."""
    make().save_pretrained(tmp_path / "w")
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ma2mi.training.export import export_onnx\n"
        "from ma2mi.training.recognizer import load_model\n"
        "export_onnx(load_model(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert 'ORT_DISABLE_TELEMETRY' not in os.environ\n"
    )
    (tmp_path / "home").mkdir()
    quiet = {
        k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    said = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "w", tmp_path / "m.onnx"],
        capture_output=True,
        text=True,
        env={**quiet, "HOME": str(tmp_path / "home")},
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert not [p for p in (tmp_path / "home").rglob("*") if "microsoft" in str(p).lower()]
