"""Heat maps point at what moves the answer, and the picture is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("captum")
pytest.importorskip("matplotlib")

from ma2mi.cli.explain import heatmap_picture  # noqa: E402
from ma2mi.clips.batches import make_batch  # noqa: E402
from ma2mi.errors import SettingsError  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.heatmaps import attention_map, grad_cam  # noqa: E402
from ma2mi.training.recognizer import Recognizer  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}


def make(model="miacnet-tiny", size=64):
    torch.manual_seed(0)
    settings = SMALL if model == "miacnet-tiny" else {}
    config = {
        "model": model,
        "classes": 17,
        "settings": settings,
        "size": size,
        "recognizer": {},
    }
    return Recognizer(build_model(model, 17, **settings), config)


def test_attention(pairs):
    batch = make_batch(pairs, np.arange(6), size=64)
    found = attention_map(make().net, batch)
    assert found.shape == (6, 64, 64)
    assert ((found > 0) & (found < 1)).all()
    assert attention_map(build_model("conv5", 3), make_batch(pairs, np.arange(2), size=28)) is None


@pytest.mark.parametrize(("model", "side"), [("miacnet-tiny", 64), ("conv5", 28)])
def test_grad_cam(pairs, model, side):
    network = make(model)
    before = {k: v.clone() for k, v in network.net.state_dict().items()}
    maps = grad_cam(network, pairs)
    assert maps.shape == (24, side, side)
    assert maps.dtype == np.float32
    assert maps.min() == 0
    assert set(maps.max(axis=(1, 2)).tolist()) <= {0.0, 1.0}
    assert maps.any()
    assert np.array_equal(grad_cam(network, pairs), maps)
    assert all(torch.equal(before[k], v) for k, v in network.net.state_dict().items())
    assert all(p.grad is None for p in network.net.parameters())


def test_grad_cam_by_hand(pairs):
    """The channels' mean gradients, by autograd, on the grid that the action branch gives."""
    network = make()
    rows = np.arange(3)
    batch = make_batch(pairs, rows, size=64)
    column = network.classes.index("surprise")
    grid = network.net.grid(batch.position, batch.action)
    what = grid.action
    gradient = torch.autograd.grad(
        network.net.head(grid.features)[:, column].sum(), what, retain_graph=True
    )[0]
    weighted = (gradient.mean((2, 3), keepdim=True) * what).sum(1, keepdim=True).relu()
    large = torch.nn.functional.interpolate(weighted, (64, 64), mode="bilinear")[:, 0]
    expected = (large / large.amax((1, 2), keepdim=True)).detach().numpy()
    np.testing.assert_allclose(grad_cam(network, pairs[rows], "surprise"), expected, atol=1e-4)


def test_targets(pairs):
    network = make()
    few = pairs[np.arange(3)]
    answers = [network.classes[i] for i in network.predict(few).argmax(1)]
    assert np.array_equal(grad_cam(network, few), grad_cam(network, few, answers))
    assert not np.array_equal(grad_cam(network, few, "12"), grad_cam(network, few, "4"))
    with pytest.raises(SettingsError, match="has no output joy"):
        grad_cam(network, few, "joy")


@pytest.mark.parametrize("faces", [True, False])
def test_picture(pairs, faces):
    few = pairs[np.arange(2)]
    if not faces:
        nobody = np.empty((0, 72, 72, 3), np.uint8)
        few = replace(few, first=nobody, second=nobody)
    png = heatmap_picture(make(), few, ["up", "right"])
    assert png.startswith(b"\x89PNG")
    assert png == heatmap_picture(make(), few, ["up", "right"])
    assert png != heatmap_picture(make(), few, ["up", "right"], "12")
