"""MA2MI's "future movement": what it minimises, whom it teaches, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pydantic import ValidationError  # noqa: E402
from torch.nn import functional  # noqa: E402

from ma2mi.errors import SettingsError  # noqa: E402
from ma2mi.models.backbone import Grid  # noqa: E402
from ma2mi.models.catalog import build_model, startable  # noqa: E402
from ma2mi.models.part_finder import PARTS  # noqa: E402
from ma2mi.motion import REGIONS  # noqa: E402
from ma2mi.training.movement_settings import NuisanceSettings  # noqa: E402
from ma2mi.training.movements import VideoMovements  # noqa: E402
from ma2mi.training.pretext import (  # noqa: E402
    FutureMovement,
    FutureMovementSettings,
    contrast_loss,
    in_frame,
)

SIZE = 64
ALL = np.arange(36)
SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}


def make_task(seed=0, model="miacnet-tiny", model_settings=SMALL, **settings):
    torch.manual_seed(seed)
    return FutureMovement(
        build_model(model, 2, **model_settings), FutureMovementSettings(code=16, **settings)
    )


def batch_of(grown, task, rows=ALL, seed=0):
    source = VideoMovements(grown, task.trunk, SIZE, NuisanceSettings())
    return source.batch(rows, torch.Generator().manual_seed(seed))


def test_contrast_by_hand():
    early = functional.normalize(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    late = functional.normalize(torch.tensor([[1.0, 0.2], [0.5, 0.5], [-1.0, 1.0]]))
    likeness = np.exp(early.numpy() @ late.numpy().T / 0.5)
    there = -np.log(np.diag(likeness) / likeness.sum(1)).mean()
    back = -np.log(np.diag(likeness) / likeness.sum(0)).mean()
    assert float(contrast_loss(early, late, 0.5)) == pytest.approx((there + back) / 2, rel=1e-5)


def test_a_code_that_tells_nothing_loses_the_logarithm_of_the_batch():
    same = functional.normalize(torch.ones(10, 4))
    assert float(contrast_loss(same, same, 0.1)) == pytest.approx(np.log(10))


def test_the_loss_is_the_weighted_sum(grown):
    task = make_task(contrast=2, draw=0.5, attend=0.25, find=4).eval()
    said = task(batch_of(grown, task))
    expected = 2 * said.contrast + said.drawing / 2 + said.attending / 4 + 4 * said.finding
    assert said.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(term.item() > 0 for term in said)


@pytest.mark.parametrize("name", sorted(set(startable()) - {"miacnet-base", "miacnet-paper"}))
def test_around_every_model(grown, name):
    task = make_task(model=name, model_settings={})
    said = task(batch_of(grown, task, ALL[:8]))
    said.loss.backward()
    assert all(torch.isfinite(term) for term in said)
    assert all(p.grad is None for p in task.trunk.head_parameters())
    taught = [p for p in task.trunk.backbone_parameters() if p.grad is not None]
    assert sum(float(p.grad.abs().sum()) for p in taught) > 0


@pytest.mark.parametrize("fusion", ["where", "sum", "concat"])
def test_the_code_never_hears_of_the_face(grown, fusion):
    """Other faces in the same places: the codes stay, whichever way the branches meet."""
    task = make_task(model_settings=SMALL | {"fusion": fusion}).eval()
    batch = batch_of(grown, task)
    other = batch._replace(early_face=batch.early_face.flip(0), late_face=batch.late_face.flip(0))
    assert torch.equal(task.early_code(batch), task.early_code(other))
    assert torch.equal(task.late_code(batch), task.late_code(other))
    loss = contrast_loss(task.early_code(batch), task.late_code(batch), 0.1)
    loss.backward()
    assert all(p.grad is None for p in task.trunk.position_encoder.parameters())
    assert all(p.grad is not None for p in task.trunk.action_encoder.blocks.parameters())


def test_the_momentum_target_follows_and_is_not_taught(grown):
    task = make_task(target="momentum", momentum=0.9)
    before = [p.clone() for p in task.target.parameters()]
    task(batch_of(grown, task)).loss.backward()
    assert all(p.grad is None for p in task.target.parameters())
    with torch.no_grad():
        for p in (*task.trunk.parameters(), *task.projector.parameters()):
            p.add_(1)
    task.update_target()
    for old, new in zip(before, task.target.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1)


def test_a_shared_target_is_the_encoder_itself(grown):
    task = make_task()
    assert task.target is None
    task.update_target()
    batch = batch_of(grown, task)
    mirrored = batch._replace(early=batch.late, early_face=batch.late_face)
    task.eval()
    assert torch.equal(task.late_code(batch), task.early_code(mirrored))


def test_position_alone_sees_no_movement():
    with pytest.raises(SettingsError, match="sees no movement"):
        make_task(model_settings=SMALL | {"branches": "position"})


def test_what_is_drawn_lies_in_the_grids_frame():
    """A pose that looks 16 px further right moves what is seen 16 px to the left."""
    spot = torch.zeros(1, 2, 64, 64)
    spot[:, :, 24:40, 32:48] = 1
    pose = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]])  # half of [-1, 1] is 16 of 64 px
    nothing = torch.zeros(1, 1, 4, 4)
    there = in_frame(spot, Grid(nothing, pose=pose), torch.Size((64, 64)))
    torch.testing.assert_close(there, spot.roll(-16, 3))
    assert torch.equal(in_frame(spot, Grid(nothing), torch.Size((64, 64))), spot)


def test_parts_are_the_regions_of_the_face():
    """The numbers in ``models`` are those of ``face``, seen in the crop's middle 7/8."""
    for part, region in zip(PARTS, REGIONS.values(), strict=True):
        middle = [(v - 0.5) * 8 / 7 + 0.5 for v in (region.x, region.y)]
        assert part == pytest.approx((*middle, region.rx * 8 / 7, region.ry * 8 / 7), abs=6e-4)


def train(task, grown, steps, rows):
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=3e-3)
    task.train()
    for step in range(steps):
        optimizer.zero_grad()
        task(batch_of(grown, task, rows, seed=step)).loss.backward()
        optimizer.step()
        task.update_target()
    return task.eval()


@torch.no_grad()
def found(task, batch):
    """Share of early movements whose late one is the likeliest."""
    likeness = task.early_code(batch) @ task.late_code(batch).T
    return float((likeness.argmax(1) == torch.arange(len(likeness))).float().mean())


def test_it_learns_to_find_and_draw_the_later_movement_of_new_videos(grown):
    task = make_task()
    learned, new = ALL[:24], ALL[24:]
    batch = batch_of(grown, task, new, seed=1000)
    with torch.no_grad():
        before = task.eval()(batch)
    train(task, grown, 60, learned)
    with torch.no_grad():
        after = task(batch)
    assert after.contrast < 0.85 * before.contrast
    assert after.drawing < before.drawing
    shown = [batch_of(grown, task, new, seed=1000 + i) for i in range(8)]
    assert np.mean([found(task, one) for one in shown]) > 0.2  # chance is 1 / 12


def test_it_learns_to_find_the_regions(grown):
    """Faces 3 px off: after training the position branch says so, of new pairs too."""
    task = train(make_task(), grown, 80, ALL[ALL % 3 < 2])
    source = VideoMovements(grown, task.trunk, SIZE, NuisanceSettings())
    batch = source.batch(ALL[ALL % 3 == 2], None)
    with torch.no_grad():
        parts = task.trunk.grid(batch.early_face, batch.early).parts
    off = (parts - batch.parts).norm(dim=2).mean()
    asleep = (torch.tensor(PARTS)[:, :2] - batch.parts).norm(dim=2).mean()
    assert off < 0.7 * asleep


def test_unknown_and_impossible_settings():
    for wrong in ({"temprature": 0.1}, {"temperature": 0}, {"target": "frozen"}, {"name": "x"}):
        with pytest.raises(ValidationError):
            FutureMovementSettings(**wrong)
