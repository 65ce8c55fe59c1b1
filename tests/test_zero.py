"""Training on simulated flow: resumed equals uninterrupted, and what has no label has no loss."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ma2mi.errors import CheckpointError
from ma2mi.models.catalog import build_model
from ma2mi.synthesis.basis import make_basis
from ma2mi.training.loop import LoopSettings
from ma2mi.training.pretext import FutureMovementSettings
from ma2mi.training.pretrain import pretrain
from ma2mi.training.pretrain_settings import PretrainSettings
from ma2mi.training.simulated import MeasuredPairs, SimulatedBatch, SimulatedBatches

FOLDER = Path(__file__).parents[1] / "scripts" / "zero"
if not FOLDER.is_dir():
    pytest.skip("the recipe of the shipped weights is not here", allow_module_level=True)
sys.path.insert(0, str(FOLDER))
import train_zero as zero  # noqa: E402
from train_zero import OUTPUTS, ZeroSettings, losses, train_zero  # noqa: E402

SMALL = ZeroSettings(
    model_settings={
        "center": True,
        "branches": "action",
        "action_stem": (8,),
        "action_stages": (16, 16),
        "position_stages": (8, 8, 16),
    },
    size=32,
    steps=4,
    batch_size=16,
)


@pytest.fixture(scope="module")
def basis():
    return make_basis(2, 70)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    return MeasuredPairs(
        rng.normal(size=(5, 2, 40, 40)).astype(np.float16),
        np.array([0, 1, 2, 0, 1]),
        np.zeros((5, 12), np.float32),
        np.ones(5, np.float32),
    )


def test_a_batch_is_made_of_all_domains(basis, pairs):
    batch = SimulatedBatches(basis, pairs, SMALL.batches)[1]
    assert batch.action.shape == (16, 3, 32, 32)
    again = SimulatedBatches(basis, pairs, SMALL.batches)[1]
    assert torch.equal(batch.action, again.action)
    assert 8 <= int(batch.peak.isnan().sum()) <= 10  # images have lost their amplitude


@pytest.mark.parametrize(
    "changes",
    [{}, {"ma2mi": 0.5}, {"ma2mi": 0.5, "pretext": FutureMovementSettings(target="momentum")}],
    ids=["labels alone", "and MA2MI", "and MA2MI with a momentum target"],
)
def test_killed_and_resumed_learns_the_same(basis, pairs, tmp_path, monkeypatch, changes):
    settings = SMALL.model_copy(update={**changes, "ma2mi_batch": 6})
    whole = train_zero(basis, pairs, settings)
    state = tmp_path / "state"

    class Killed(Exception):
        pass

    kept = zero.save_state
    monkeypatch.setattr(zero, "KEPT_EVERY", 2)

    def save_and_die(path, *rest):
        kept(path, *rest)
        raise Killed

    monkeypatch.setattr(zero, "save_state", save_and_die)
    with pytest.raises(Killed):
        train_zero(basis, pairs, settings, state=state)
    monkeypatch.setattr(zero, "save_state", kept)
    resumed = train_zero(basis, pairs, settings, state=state)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_both_losses_together(basis, pairs):
    """MA2MI moves the backbone, and the head still learns, although the pretext task freezes it."""
    off, on = (
        train_zero(basis, pairs, SMALL.model_copy(update={"ma2mi": weight, "ma2mi_batch": 6}))
        for weight in (0.0, 0.5)
    )
    torch.manual_seed(SMALL.seed)
    fresh = build_model(SMALL.model, OUTPUTS, **SMALL.model_settings).state_dict()
    for name in ("action_encoder.stem.0.weight", "head.3.weight"):
        for net, other in ((off, on), (on, off)):
            assert not torch.equal(net.state_dict()[name], other.state_dict()[name])
            assert not torch.equal(net.state_dict()[name], fresh[name])


def test_it_starts_from_weights_of_ma2mi(basis, tmp_path):
    """Of a network with its settings; weights of another layout are refused in one line."""
    loop = {"epochs": 1, "epoch_steps": 1, "batch_size": 8}
    for name, network in (("same", SMALL.model_settings), ("other", {"branches": "action"})):
        settings = PretrainSettings(
            model_settings=network,
            size=64,
            pretext={"simulator": {"subjects": 4}, "code": 8},
            probe={"subjects": 4, "labels": 12, "tested": 12, "each": 4},
            loop=LoopSettings(**loop),
        )
        pretrain(None, tmp_path / name, settings)
    still = SMALL.model_copy(update={"lr": 1e-12})
    net = train_zero(basis, None, still, init=tmp_path / "same").state_dict()
    given = load_file(tmp_path / "same" / "model.safetensors")
    name = "action_encoder.blocks.0.look.weight"
    torch.testing.assert_close(net[name], given[name])
    with pytest.raises(CheckpointError, match="weights do not fit this network") as error:
        train_zero(basis, None, SMALL, init=tmp_path / "other")
    assert "\n" not in str(error.value)


def test_what_is_not_known_costs_nothing():
    torch.manual_seed(0)
    logits = torch.randn(4, OUTPUTS)
    batch = SimulatedBatch(
        torch.zeros(4, 3, 32, 32),
        torch.tensor([0, 1, 2, -1]),
        torch.zeros(4, 12),
        torch.tensor([1.0, torch.nan, torch.nan, 0.0]),
    )
    before = losses(logits, batch, 0.0)
    changed = logits.clone()
    changed[3, :3] += 5  # the class of no expression
    changed[1:, -2] -= 3  # the intensity where it is not known
    assert losses(changed, batch, 0.0) == before
    changed[0, -2] += 3
    assert losses(changed, batch, 0.0) != before


def test_it_learns(basis, monkeypatch):
    """On one easy domain the loss of the last steps is well below that of the first."""
    monkeypatch.setattr(zero, "KEPT_EVERY", 10)
    reported = []
    easy = SMALL.model_copy(update={"steps": 60, "images": 0.5, "lr": 5e-3})
    train_zero(basis, None, easy, on_progress=lambda now: reported.append(now.detail))
    assert len(reported) == 6
    assert reported[-1] < 0.93 * reported[0]
