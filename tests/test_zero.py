"""Learning from worlds: resumed equals uninterrupted, and what has no label has no loss."""

import numpy as np
import pytest
import torch

from ma2mi.datasets.synthetic.basis import make_basis
from ma2mi.training import zero
from ma2mi.training.zero import (
    OUTPUTS,
    MeasuredPairs,
    ZeroSettings,
    _Batch,
    _Batches,
    losses,
    train_zero,
)

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


def test_a_batch_is_made_of_all_worlds(basis, pairs):
    batch = _Batches(basis, pairs, SMALL)[1]
    assert batch.action.shape == (16, 3, 32, 32)
    again = _Batches(basis, pairs, SMALL)[1]
    assert torch.equal(batch.action, again.action)
    assert 8 <= int(batch.peak.isnan().sum()) <= 10  # images have lost their amplitude


def test_killed_and_resumed_learns_the_same(basis, pairs, tmp_path, monkeypatch):
    whole = train_zero(basis, pairs, SMALL)
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
        train_zero(basis, pairs, SMALL, state=state)
    monkeypatch.setattr(zero, "save_state", kept)
    resumed = train_zero(basis, pairs, SMALL, state=state)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_what_is_not_known_costs_nothing():
    torch.manual_seed(0)
    logits = torch.randn(4, OUTPUTS)
    batch = _Batch(
        torch.zeros(4, 3, 32, 32),
        torch.tensor([0, 1, 2, -1]),
        torch.zeros(4, 12),
        torch.tensor([1.0, torch.nan, torch.nan, 0.0]),
    )
    before = losses(logits, batch, 0.0)
    changed = logits.clone()
    changed[3, :3] += 5  # the class of no expression
    changed[1:, -2] -= 3  # the intensity where nobody knows it
    assert losses(changed, batch, 0.0) == before
    changed[0, -2] += 3
    assert losses(changed, batch, 0.0) != before


def test_it_learns(basis, monkeypatch):
    """On one easy world the loss of the last steps is well below that of the first."""
    monkeypatch.setattr(zero, "KEPT_EVERY", 10)
    told = []
    easy = SMALL.model_copy(update={"steps": 60, "images": 0.5, "lr": 5e-3})
    train_zero(basis, None, easy, hook=lambda step, steps, loss: told.append(loss))
    assert len(told) == 6
    assert told[-1] < 0.93 * told[0]
