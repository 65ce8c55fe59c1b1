"""The pretext task "near future": starts at the copy baseline, teaches both encoders, passes it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pydantic import ValidationError  # noqa: E402

from ma2mi.clips.batches import make_batch  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.ma2mi import MA2MI, PretextSettings  # noqa: E402

SIZE = 64
ALL = np.arange(24)
SMALL = {
    "action_stem": (16,),
    "action_stages": (16, 32),
    "position_stages": (16, 16, 32),
    "fusion": "sum",
}


def make_task(seed=0, model=None, **settings):
    torch.manual_seed(seed)
    net = build_model("miacnet-tiny", 2, **(SMALL | (model or {})))
    return MA2MI(net, PretextSettings(**settings))


@pytest.mark.parametrize("space", ["latent", "pixel", "flow"])
@pytest.mark.parametrize("target", ["t+k", "t+2k"])
def test_starts_exactly_at_the_copy_baseline(pairs, space, target):
    task = make_task(space=space, target=target)
    loss, _, copy, variance = task(make_batch(pairs, ALL, size=SIZE, target=target))
    assert loss.item() == copy.item() > 0
    assert variance.item() > 0
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)


def test_copy_is_the_distance_between_now_and_then(pairs):
    """The weighted smooth-L1 of the two target grids, written out."""
    task = make_task(space="pixel", moved_weight=2.0, beta=0.1).eval()
    batch = make_batch(pairs, ALL, size=SIZE, target="t+k")
    now, then = (
        x.numpy().reshape(24, 3, 16, 4, 16, 4).mean((3, 5)) for x in (batch.position, batch.future)
    )
    error = np.abs(now - then)
    error = np.where(error < 0.1, 0.5 * error**2 / 0.1, error - 0.05)
    moved = batch.action[:, :2].abs().sum(1).numpy().reshape(24, 16, 4, 16, 4).mean((2, 4))
    weight = (1 + 2 * moved / moved.mean((1, 2), keepdims=True)) / 3
    assert task(batch).copy.item() == pytest.approx((error * weight[:, None]).mean(), rel=1e-4)


def test_gradient_reaches_both_encoders_never_teacher_or_head(pairs):
    task = make_task()
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.1)
    batch = make_batch(pairs, ALL, size=SIZE, target="t+k")
    for _ in range(2):  # the decoder starts at zero and lets no gradient through at first
        optimizer.zero_grad()
        task(batch).loss.backward()
        optimizer.step()
    backbone = task.trunk
    for part in (backbone.position_encoder, backbone.action_encoder, task.decoder):
        for name, p in part.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().max() > 0, name
    for part in (task.teacher, backbone.head):
        assert all(p.grad is None and not p.requires_grad for p in part.parameters())


def test_teacher_follows_by_its_momentum():
    task = make_task(momentum=0.9)
    pairs_of = [
        (t, s, t.clone(), s)
        for t, s in zip(
            task.teacher.parameters(), task.trunk.position_encoder.parameters(), strict=True
        )
    ]
    with torch.no_grad():
        for p in task.trunk.position_encoder.parameters():
            p.add_(torch.randn_like(p))
    task.update_target()
    for target, source, before, _ in pairs_of:
        torch.testing.assert_close(target, 0.9 * before + 0.1 * source)


def test_frozen_teacher_stays():
    task = make_task(teacher="frozen")
    before = [p.clone() for p in task.teacher.parameters()]
    with torch.no_grad():
        for p in task.trunk.position_encoder.parameters():
            p.add_(1)
    task.update_target()
    assert all(torch.equal(a, b) for a, b in zip(before, task.teacher.parameters(), strict=True))


def test_latent_target_is_normalised_over_channels(pairs):
    task = make_task()
    grid = task._latent(make_batch(pairs, ALL, size=SIZE).position, (4, 4))
    torch.testing.assert_close(grid.mean(1), torch.zeros(24, 4, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(grid.var(1, correction=0), torch.ones(24, 4, 4), atol=0.02, rtol=0)


def test_the_teacher_never_drops_out():
    task = make_task(model={"position": "vit", "vit_depth": 1})
    task.train()
    assert task.trunk.training
    assert not any(module.training for module in task.teacher.modules())


def test_target_reads_its_own_frame(pairs):
    task = make_task(space="pixel")
    near = task(make_batch(pairs, ALL, size=SIZE, target="t+k")).copy
    far = task(make_batch(pairs, ALL, size=SIZE, target="t+2k")).copy
    assert far > 1.3 * near


def test_needs_faces(pairs):
    with pytest.raises(ValueError, match="future"):
        make_task()(make_batch(pairs, ALL, size=SIZE))


def test_unknown_setting():
    with pytest.raises(ValidationError):
        PretextSettings(space="audio")


@pytest.mark.parametrize("space", ["latent", "pixel"])
def test_training_beats_copying_where_the_action_tells_the_change(pairs, space):
    task = make_task(space=space, teacher="frozen")
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=3e-3)
    train, new_clips = ALL[ALL % 4 < 2], ALL[ALL % 4 >= 2]  # two clips of each person
    batch = make_batch(pairs, train, size=SIZE, target="t+k")
    for _ in range(60):
        optimizer.zero_grad()
        task(batch).loss.backward()
        optimizer.step()
    task.eval()
    with torch.no_grad():
        seen = task(batch)
        new = task(make_batch(pairs, new_clips, size=SIZE, target="t+k"))
    assert 1 - seen.loss / seen.copy > 0.3
    assert 1 - new.loss / new.copy > 0
