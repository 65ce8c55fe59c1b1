"""Feature blocks: the numbers of the controls in torch, bounded, rebuilt from a description."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ma2mi.clips.batches import make_batch  # noqa: E402
from ma2mi.errors import SettingsError  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.feature_blocks import (  # noqa: E402
    FeatureBlocks,
    NetworkBlocks,
    PixelBlock,
    network_blocks,
    remove_head_motion,
)
from ma2mi.training.flow_kernels import flow_views, signed_root  # noqa: E402
from ma2mi.training.frozen import extract_features  # noqa: E402
from ma2mi.training.recognizer import load_model  # noqa: E402


@pytest.fixture(scope="module")
def zero():
    return load_model("zero")


@pytest.fixture(scope="module")
def blocks(zero):
    return FeatureBlocks([PixelBlock(), network_blocks(zero)], size=64)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def gram(rows):
    flat = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
    return flat @ flat.T


@pytest.mark.parametrize("size", [28, 56, 64, 72])
def test_pixels_are_those_of_the_control(pairs, size):
    found = FeatureBlocks([PixelBlock()], size).extract(pairs)["pixels"]
    wanted = unit(signed_root(flow_views(pairs, size)).astype(np.float64))
    # A signed root has no slope at 0: there rounding of 1e-6 is seen as 1e-3.
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    np.testing.assert_allclose(gram(found), gram(wanted), atol=1e-5)
    small = replace(pairs, first=pairs.first[:0], action=pairs.action[:, 24:44, 24:44])
    found = FeatureBlocks([PixelBlock()], 112).extract(small)["pixels"]
    np.testing.assert_allclose(gram(found), gram(unit(signed_root(flow_views(small)))), atol=1e-5)


def test_the_grid_is_the_frozen_network_s(pairs, blocks, zero):
    found = blocks.extract(pairs)
    assert blocks.names == tuple(found) == ("pixels", "grid", "classes", "units")
    wanted = extract_features(zero.net, pairs, size=64)  # rotated, every inner product kept
    np.testing.assert_allclose(gram(found["grid"]), gram(wanted), atol=1e-5)


def test_every_row_is_bounded_and_still_pairs_are_zero(pairs, blocks):
    found = blocks.extract(pairs)
    for name in ("pixels", "grid", "units"):
        np.testing.assert_allclose(np.linalg.norm(found[name], axis=2), 1, atol=1e-5)
    assert np.linalg.norm(found["classes"], axis=2).max() <= 1 + 1e-6
    np.testing.assert_allclose(found["classes"].sum(axis=2), 0, atol=1e-6)
    still = replace(pairs, action=np.full_like(pairs.action, 0.3))
    assert not blocks.extract(still)["pixels"].any()


def test_a_clip_s_features_depend_on_no_other_clip(pairs, blocks):
    every, few = blocks.extract(pairs), blocks.extract(pairs[np.array([7, 2])])
    for name in blocks.names:
        np.testing.assert_allclose(few[name], every[name][[7, 2]], atol=1e-5)


def test_a_description_and_a_state_give_the_same_blocks(pairs, blocks):
    text = json.dumps(blocks.describe())
    again = FeatureBlocks.from_description(json.loads(text))
    again.load_state_dict(blocks.state_dict())
    assert json.dumps(again.describe()) == text
    batch = make_batch(pairs, np.arange(4), size=64)
    with torch.no_grad():
        for one, other in zip(blocks(*batch[:2]), again(*batch[:2]), strict=True):
            assert torch.equal(one, other)


def test_flow_images_are_read_as_they_are(pairs, blocks):
    images = replace(
        pairs, first=pairs.first[:0], second=pairs.second[:0], action=pairs.action[:, 22:50, 22:50]
    )
    found = replace_size(blocks, 112).extract(images)
    wanted = signed_root(flow_views(images))
    np.testing.assert_allclose(gram(found["pixels"]), gram(unit(wanted)), atol=1e-5)


def replace_size(blocks, size):
    again = FeatureBlocks.from_description({**blocks.describe(), "size": size})
    again.load_state_dict(blocks.state_dict())
    return again


def test_two_networks_have_titles_and_one_kind_of_action(zero):
    net = build_model("miacnet-tiny", 2)
    ours = NetworkBlocks(net, "miacnet-tiny", {}, title="ma2mi")
    assert FeatureBlocks([network_blocks(zero), ours]).names[-1] == "ma2mi grid"
    with pytest.raises(SettingsError, match="two blocks of one name"):
        FeatureBlocks([network_blocks(zero), NetworkBlocks(net, "miacnet-tiny", {})])
    other = NetworkBlocks(build_model("miacnet-paper", 2), "miacnet-paper", {})
    with pytest.raises(SettingsError, match="difference and flow cannot be read together"):
        FeatureBlocks([PixelBlock(), other])


class TestHeadMotion:
    def test_a_median_takes_a_shift_and_nothing_else(self):
        flow = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
        shifted = flow + torch.tensor([2.0, -3.0])[:, None, None]
        left = remove_head_motion(shifted)
        np.testing.assert_allclose(left, remove_head_motion(flow), atol=1e-5)
        wanted = flow.numpy() - np.median(flow.numpy(), axis=(2, 3), keepdims=True)
        np.testing.assert_allclose(remove_head_motion(flow), wanted, atol=1e-6)

    def test_a_plane_takes_tilt_and_zoom(self):
        y, x = np.mgrid[0:6, 0:7].astype(np.float32)
        planes = np.stack([3 + 0.2 * x - 0.1 * y, -1 + 0.3 * y])[None]
        bump = np.zeros((1, 2, 6, 7), np.float32)
        bump[0, :, 2, 3] = 1
        left = remove_head_motion(torch.from_numpy(planes + bump), "plane").numpy()
        basis = np.stack([np.ones(42), x.ravel(), y.ravel()], 1)
        for flow, found in zip((planes + bump)[0], left[0], strict=True):
            fit = basis @ np.linalg.lstsq(basis, flow.ravel(), rcond=None)[0]
            np.testing.assert_allclose(found.ravel(), flow.ravel() - fit, atol=1e-5)


def test_it_can_be_written_as_onnx(pairs, blocks, tmp_path):
    onnx = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    import io
    import warnings

    batch = make_batch(pairs, np.arange(4), size=56)
    pixels = FeatureBlocks([PixelBlock()], 56)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Actions(pixels), (batch.action,), stream, input_names=["action"],
            dynamic_axes={"action": {0: "batch"}}, opset_version=17, dynamo=False,
        )  # fmt: skip
    session = onnx.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    few = batch.action[:3]
    (found,) = session.run(None, {"action": few.numpy()})
    np.testing.assert_allclose(found @ found.T, gram(pixels(None, few)[0].numpy()), atol=1e-5)


class _Actions(torch.nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks

    def forward(self, action):
        return tuple(self.blocks(None, action))
