"""Models of what was fitted: saved, loaded and exported they predict what the fit predicts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from ma2mi import load_model  # noqa: E402
from ma2mi.errors import CheckpointError, SettingsError  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.calibration import Calibration  # noqa: E402
from ma2mi.training.checkpoint import save_model  # noqa: E402
from ma2mi.training.finetune import FineTune, FineTuneSettings  # noqa: E402
from ma2mi.training.loop import LoopSettings  # noqa: E402
from ma2mi.training.mixed_kernel import MixedKernel  # noqa: E402
from ma2mi.training.outputs import calibrate  # noqa: E402
from ma2mi.training.recognizer import Recognizer  # noqa: E402
from ma2mi.training.set_kernels import SetClips, all_mixes  # noqa: E402
from ma2mi.training.trained import (  # noqa: E402
    FineTuneByLogits,
    open_blocks,
    recognizer_of_network,
    recognizer_on_blocks,
)

SMALL = {
    "action_stem": (16,),
    "action_stages": (16, 32),
    "position_stages": (16, 16, 32),
    "branches": "action",
}
CLASSES = ("up", "down", "side")
OTHERS = ("1", "4", "12")
CALIBRATION = Calibration(1.3, 0.45, 0.8, 0.9)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A small recognizer on disk, with units and thresholds of its own."""
    folder = tmp_path_factory.mktemp("weights") / "before"
    torch.manual_seed(0)
    net = build_model("miacnet-tiny", 8, **SMALL)
    meaning = {
        "units": OTHERS,
        "temperature": 0.7,
        "prior": (0.5, -0.2, -0.3),
        "unit_bias": (0.1, 0.2, 0.3),
        "movement_threshold": 0.3,
    }
    config = {"model": "miacnet-tiny", "classes": 8, "settings": SMALL, "size": 64}
    Recognizer(net, config | {"recognizer": meaning}).save_pretrained(folder)
    return folder


def mixes_of(blocks):
    """A linear kernel on all blocks, a Gaussian one, and then the others."""
    return all_mixes(blocks.groups, None, 1.0)


def fit(init, pairs, labels, mixes=None, *, biases=True):
    blocks = open_blocks(init, 64)
    clips = SetClips.of(blocks.extract(pairs))
    learner = MixedKernel(3, mixes or mixes_of(blocks), biases=biases)
    return blocks, clips, learner.fit(clips, noisy(labels), pairs.subjects)


def noisy(labels):
    """Three classes, a fourth of them wrong, so that no probability is 0."""
    wrong = np.random.default_rng(0).random(len(labels)) < 0.25
    return np.where(wrong, 2, labels).astype(np.int64)


def uncalibrated(recognizer, pairs):
    """Probabilities as they were before :data:`CALIBRATION`."""
    calibrated = np.log(recognizer.predict(pairs)) * CALIBRATION.temperature
    odds = np.exp(calibrated - calibrated.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


@pytest.mark.parametrize("start", ["none", "recognizer", "backbone"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_kernel_predicts_the_same_as_a_model(pairs, labels, before, tmp_path, start, number):
    """Linear and Gaussian, on pixels alone, with a recognizer, and with a bare backbone."""
    init = {"none": None, "recognizer": before, "backbone": tmp_path / "backbone"}[start]
    if start == "backbone":
        torch.manual_seed(1)
        config = {"model": "miacnet-tiny", "classes": 2, "settings": SMALL, "size": 64}
        save_model(init, build_model("miacnet-tiny", 2, **SMALL), config)
    mixes = mixes_of(open_blocks(init, 64))
    blocks, clips, predictor = fit(init, pairs, labels, [mixes[number]])
    model = recognizer_on_blocks(predictor, blocks, CLASSES, CALIBRATION)
    model.save_pretrained(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    expected = predictor.predict(clips)
    np.testing.assert_allclose(loaded.predict(pairs), CALIBRATION.apply(expected), atol=1e-5)
    assert loaded.classes == CLASSES
    assert loaded.settings.abstain_below == 0.45
    assert loaded.settings.prior == ()
    assert loaded.units == (OTHERS if start == "recognizer" else ())


def test_the_other_outputs_are_those_of_before(pairs, labels, before, tmp_path):
    blocks, _, predictor = fit(before, pairs, labels)
    recognizer_on_blocks(predictor, blocks, CLASSES, CALIBRATION).save_pretrained(tmp_path)
    old, new = load_model(before), load_model(tmp_path)
    was, now = (calibrate(one.logits(pairs), one.settings) for one in (old, new))
    for name in ("units", "intensity", "movement"):
        torch.testing.assert_close(getattr(now, name), getattr(was, name))
    assert new.settings.movement_threshold == 0.3


@pytest.mark.parametrize("number", [0, 1])
def test_onnx_says_the_same(pairs, labels, before, tmp_path, number):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from ma2mi.clips.batches import make_batch
    from ma2mi.training.export import export_onnx

    mixes = mixes_of(open_blocks(before, 64))
    blocks, _, predictor = fit(before, pairs, labels, [mixes[number]])
    model = recognizer_on_blocks(predictor, blocks, CLASSES, CALIBRATION)
    assert export_onnx(model, tmp_path / "model.onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    batch = make_batch(pairs, np.arange(len(pairs)), size=64, side=None, action_input="flow")
    found = dict(
        zip(
            [one.name for one in session.get_outputs()],
            session.run(None, {"action": batch.action.numpy()}),
            strict=True,
        )
    )
    np.testing.assert_allclose(found["classes"], model.predict(pairs), atol=1e-5)
    assert found["units"].shape == (len(pairs), 3)


@pytest.mark.parametrize("start", ["none", "recognizer"])
def test_a_network_predicts_the_same_as_a_model(pairs, labels, before, tmp_path, start):
    recipe = FineTuneSettings(
        model="miacnet-tiny",
        model_settings=SMALL,
        size=64,
        loop=LoopSettings(epochs=1, batch_size=16),
    )
    old = Recognizer.from_pretrained(before) if start == "recognizer" else None
    learner = FineTuneByLogits(FineTune(3, recipe, before if old else None))
    predictor = learner.fit(pairs, labels % 3, pairs.subjects)
    model = recognizer_of_network(predictor.trained, learner.inner, CLASSES, CALIBRATION, old)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    expected = predictor.predict(pairs)
    np.testing.assert_allclose(uncalibrated(loaded, pairs), expected, atol=1e-5)
    if old:
        was, now = (calibrate(one.logits(pairs), one.settings) for one in (old, loaded))
        torch.testing.assert_close(now.units, was.units)
        torch.testing.assert_close(now.movement, was.movement)
    else:
        assert loaded.settings.outputs == 3
        assert loaded.readings(pairs[np.arange(2)])[0].action_units == {}


def test_a_model_on_another_is_no_start(pairs, labels, before, tmp_path):
    blocks, _, predictor = fit(before, pairs, labels)
    model = recognizer_on_blocks(predictor, blocks, CLASSES, CALIBRATION)
    model.config["trained"] = {"init": "zero"}
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"nothing to start from.*--init zero"):
        open_blocks(tmp_path, 64)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"head": {"classes": 3}}, "describes no classifier"),
        ({"blocks": {"size": 64}}, "describes no classifier"),
        ({"blocks": {"size": 64, "parts": [{"kind": "eyes"}]}}, "no kind of feature block"),
        (
            {
                "head": {
                    "classes": 3,
                    "weights": [["ear", 1]],
                    "width": None,
                    "features": 9,
                    "rows": 0,
                }
            },
            "has no block ear",
        ),
        (
            {
                "head": {
                    "classes": 2,
                    "weights": [["pixels", 1.0]],
                    "width": None,
                    "features": 1568,
                    "rows": 0,
                }
            },
            "3 outputs, not 2 classes and 0 others",
        ),
    ],
)
def test_a_damaged_description_is_one_line(pairs, labels, tmp_path, changes, what):
    blocks, _, predictor = fit(None, pairs, labels)
    model = recognizer_on_blocks(predictor, blocks, CLASSES, CALIBRATION)
    damaged = replace_settings(model, changes)
    damaged.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=what) as raised:
        load_model(tmp_path)
    assert "\n" not in str(raised.value)


def replace_settings(model, changes):
    config = {**model.config, "settings": {**model.config["settings"], **changes}}
    return Recognizer(model.net, config)


@pytest.mark.parametrize("start", ["none", "recognizer"])
def test_heat_maps_are_those_of_the_network_that_is_read(pairs, labels, before, start):
    pytest.importorskip("captum")
    from ma2mi.training.heatmaps import grad_cam

    init = before if start == "recognizer" else None
    blocks, _, predictor = fit(init, pairs, labels, [mixes_of(open_blocks(init, 64))[0]])
    model = recognizer_on_blocks(predictor, blocks, CLASSES, CALIBRATION)
    few = pairs[np.arange(3)]
    if init is None:
        with pytest.raises(SettingsError, match="no grid supports"):
            grad_cam(model, few)
        return
    maps = grad_cam(model, few, "12")
    np.testing.assert_allclose(maps, grad_cam(load_model(before), few, "12"), atol=1e-5)
    assert grad_cam(model, few).max() == 1
