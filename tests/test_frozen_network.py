"""Frozen networks as entries: a mixed kernel by default, the plain ridge as its control."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ma2mi.errors import CheckpointError, SettingsError  # noqa: E402
from ma2mi.experiment.entries import Entry  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.checkpoint import open_backbone, save_model  # noqa: E402
from ma2mi.training.frozen import extract_features  # noqa: E402
from ma2mi.training.mixed_kernel import MixedKernel  # noqa: E402
from ma2mi.training.ridge import DualRidge  # noqa: E402

NAMES = ("up", "right")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder of pre-trained weights, no recognizer's."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(3)
    config = {"model": "miacnet-tiny", "classes": 2, "settings": {}, "size": 64}
    save_model(folder, build_model("miacnet-tiny", 2), config)
    return folder


def blocks_of(mixes):
    return {name for mix in mixes for name, _ in mix.weights}


def test_pre_trained_weights_are_read_by_their_grid(pairs, labels, own):
    entry = Entry("miacnet-tiny", init=own, frozen=True, size=64)
    learner, clips = entry.build_learner(pairs, NAMES, (0, 1))
    assert isinstance(learner, MixedKernel)
    assert learner.name == "miacnet-tiny (pre-trained, frozen + ridge)"
    assert blocks_of(learner.mixes) == blocks_of(learner.reseed(1).mixes) == {"grid"}
    predicted = learner.fit(clips, labels, pairs.subjects).predict(clips)
    assert (predicted.argmax(1) == labels).mean() > 0.9


def test_a_recognizer_brings_its_outputs(pairs):
    learner, _ = Entry("miacnet-tiny", init="zero", frozen=True).build_learner(pairs, NAMES, (0,))
    (mix,) = learner.mixes
    assert dict(mix.weights) == pytest.approx({"grid": 0.5, "classes": 0.3, "units": 0.2})
    assert mix.width == 1.0
    assert learner.strengths == (1.0,)


def test_each_seed_reads_random_weights_of_its_own(pairs, labels, own):
    entry = Entry("miacnet-tiny", like=own, frozen=True, size=64)
    learner, clips = entry.build_learner(pairs, NAMES, (0, 5))
    assert blocks_of(learner.mixes) == {"seed 0 grid"}
    assert blocks_of(learner.reseed(5).mixes) == {"seed 5 grid"}
    alone, own_clips = entry.build_learner(pairs, NAMES, (5,))
    one = learner.reseed(5).fit(clips, labels, pairs.subjects).predict(clips)
    other = alone.fit(own_clips, labels, pairs.subjects).predict(own_clips)
    assert np.array_equal(one, other)
    assert learner.settings["features_sha256"] != alone.settings["features_sha256"]


def test_the_plain_ridge_stays_as_the_control(pairs, own):
    entry = Entry("miacnet-tiny", init=own, frozen=True, size=64, classifier="ridge")
    learner, clips = entry.build_learner(pairs, NAMES, (0,))
    assert isinstance(learner, DualRidge)
    assert learner.name == "miacnet-tiny (pre-trained, frozen + plain ridge)"
    torch.manual_seed(3)
    net = build_model("miacnet-tiny", 2)
    assert np.array_equal(clips[:, 0], extract_features(net, pairs, size=64))


def test_mixed_kernel_takes_weights_beside_the_shipped_ones(pairs, own, tmp_path):
    shipped, _ = Entry("mixed-kernel").build_learner(pairs, NAMES, (0,))
    with pytest.raises(CheckpointError, match="reads 64 px, zero 112 px"):
        Entry("mixed-kernel", init=own).build_learner(pairs, NAMES, (0,))
    large = tmp_path / "large"
    config = {"model": "miacnet-tiny", "classes": 2, "settings": {}, "size": 112}
    save_model(large, open_backbone(own, 2), config)
    both, _ = Entry("mixed-kernel", init=large).build_learner(pairs, NAMES, (0,))
    assert blocks_of(shipped.mixes) == {"pixels", "grid", "classes", "units"}
    assert blocks_of(both.mixes) - blocks_of(shipped.mixes) == {"own grid"}
    assert dict(both.mixes[0].weights)["pixels"] == 0.25
    assert (shipped.name, both.name) == ("mixed-kernel", "mixed-kernel + large")
    with pytest.raises(SettingsError, match="has no weights"):
        Entry("pixels-rbf", init=own).build_learner(pairs, NAMES, (0,))


def test_further_frames_are_further_views(pairs, labels):
    from dataclasses import replace

    more = np.stack([0.8 * pairs.action, 0.6 * pairs.action], axis=1)
    entry = Entry("miacnet-tiny", frozen=True, size=64)
    several = replace(pairs, more=more.astype(np.float16))
    learner, clips = entry.build_learner(several, NAMES, (0,))
    assert clips.blocks["seed 0 grid"].shape[1] == 6
    _, alone = entry.build_learner(pairs, NAMES, (0,))
    first = clips.blocks["seed 0 grid"][:, :2]
    np.testing.assert_array_equal(first, alone.blocks["seed 0 grid"])
    plain = replace(entry, classifier="ridge").build_learner(several, NAMES, (0,))[1]
    assert plain.shape[:3] == (24, 1, 6)
    assert learner.fit(clips, labels, pairs.subjects).predict(clips).shape == (24, 2)
