"""Batches: units, the exact middle, and augmentation that keeps picture and movement together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch")

from ma2mi.clips.batches import AugmentSettings, make_batch  # noqa: E402
from ma2mi.errors import SettingsError  # noqa: E402

SIZE = 64
STILL = AugmentSettings(flip=0, rotate_deg=0, scale=0, shift=0, light=0, strength=0)
ALL = np.arange(24)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def warp(second, action):
    """What a flow in percent of the width says that the first picture was."""
    flow = action[:, :2] * SIZE / 100
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    at = torch.stack((x + flow[:, 0], y + flow[:, 1]), dim=-1)
    return torch.nn.functional.grid_sample(
        second, (2 * at + 1) / SIZE - 1, padding_mode="border", align_corners=False
    )


def inside(picture):
    return picture[..., 8:-8, 8:-8]


def test_units_and_the_exact_middle(pairs):
    batch = make_batch(pairs, ALL, size=SIZE, target="t+k")
    middle = slice(4, 68)
    face = pairs.first[:, middle, middle].transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_array_equal(batch.position.numpy(), face)
    later = pairs.second[:, middle, middle].transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_array_equal(batch.future.numpy(), later)
    px = pairs.action[:, middle, middle].astype(np.float32).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(batch.action[:, :2].numpy(), px[:, :2] * 100 / SIZE, rtol=1e-6)
    np.testing.assert_allclose(batch.action[:, 2].numpy(), px[:, 2] * 10, rtol=1e-6)


def test_rows_targets_and_difference(pairs):
    rows = np.array([5, 2])
    batch = make_batch(pairs, rows, size=SIZE, action_input="difference", target="t+2k")
    assert batch.position.shape == batch.action.shape == batch.future.shape == (2, 3, SIZE, SIZE)
    second = make_batch(pairs, rows, size=SIZE, target="t+k").future
    torch.testing.assert_close(batch.action, second - batch.position)
    third = pairs.third[rows][:, 4:68, 4:68].transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_array_equal(batch.future.numpy(), third)
    assert make_batch(pairs, rows, size=SIZE).future is None


def test_flow_of_the_fixture_is_right_to_begin_with(pairs):
    batch = make_batch(pairs, ALL, size=SIZE, target="t+k")
    error = inside(warp(batch.future, batch.action) - batch.position).abs().mean()
    copying = inside(batch.future - batch.position).abs().mean()
    assert error < 0.15 * copying


@pytest.mark.parametrize(
    "bent",
    [
        {"flip": 1.0},
        {"rotate_deg": 40.0},
        {"scale": 0.3},
        {"shift": 0.1},
        {"flip": 0.5, "rotate_deg": 20.0, "scale": 0.2, "shift": 0.05},
    ],
    ids=lambda bent: "+".join(bent),
)
def test_bent_flow_still_leads_from_picture_to_picture(pairs, bent):
    batch = make_batch(
        pairs,
        ALL,
        size=SIZE,
        target="t+k",
        augment=AugmentSettings(**(STILL.model_dump() | bent)),
        generator=generator(),
    )
    plain = make_batch(pairs, ALL, size=SIZE, target="t+k")
    assert (batch.position - plain.position).abs().mean() > 0.05  # it was bent indeed
    copying = inside(batch.future - batch.position).abs().mean()
    error = inside(warp(batch.future, batch.action) - batch.position).abs().mean()
    assert error < 0.2 * copying
    # The flow of the unbent pair, and one that goes backwards, explain it worse.
    for wrong in (plain.action, -batch.action):
        assert inside(warp(batch.future, wrong) - batch.position).abs().mean() > 3 * error


def test_strain_is_that_of_the_bent_flow(pairs):
    from ma2mi.motion import optical_strain

    settings = STILL.model_copy(update={"rotate_deg": 30.0, "scale": 0.25})
    action = make_batch(pairs, ALL, size=SIZE, augment=settings, generator=generator()).action
    px = (action[:, :2] * SIZE / 100).movedim(1, 3).numpy()
    strain = optical_strain(px)
    np.testing.assert_allclose(
        inside(action[:, 2].numpy() / 10), inside(strain), atol=0.08 * strain.max()
    )


def test_mirror_is_numpys_flip_with_the_sign_of_u_turned(pairs):
    for action_input in ("flow", "difference"):
        plain = make_batch(pairs, ALL, size=SIZE, action_input=action_input, target="t+k")
        flipped = make_batch(
            pairs, ALL, size=SIZE, action_input=action_input, target="t+k", mirror=True
        )
        action = plain.action.numpy()[..., ::-1].copy()
        if action_input == "flow":
            action[:, 0] *= -1
        close = {"rtol": 0, "atol": 2e-5}
        np.testing.assert_allclose(
            flipped.position.numpy(), plain.position.numpy()[..., ::-1], **close
        )
        np.testing.assert_allclose(flipped.future.numpy(), plain.future.numpy()[..., ::-1], **close)
        np.testing.assert_allclose(flipped.action.numpy(), action, rtol=0, atol=1e-3)


def test_no_bend_is_the_middle(pairs):
    plain = make_batch(pairs, ALL, size=SIZE, target="t+k")
    still = make_batch(pairs, ALL, size=SIZE, target="t+k", augment=STILL, generator=generator())
    for one, other in zip(plain, still, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


def test_shift_is_a_share_of_the_input(pairs):
    settings = STILL.model_copy(update={"shift": 0.05})
    batch = make_batch(pairs, ALL[:1], size=SIZE, augment=settings, generator=generator(1))
    wide = pairs.first[0].astype(np.float32).transpose(2, 0, 1) / 255
    u = 2 * torch.rand(1, 8, generator=generator(1))[0] - 1
    dx, dy = (u[3:5] * 0.05 * SIZE).tolist()
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    at_x, at_y = x + 4 + dx, y + 4 + dy
    x0, y0 = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
    fx, fy = at_x - x0, at_y - y0
    expected = (
        wide[:, y0, x0] * (1 - fx) * (1 - fy)
        + wide[:, y0, x0 + 1] * fx * (1 - fy)
        + wide[:, y0 + 1, x0] * (1 - fx) * fy
        + wide[:, y0 + 1, x0 + 1] * fx * fy
    )
    assert max(abs(dx), abs(dy)) > 0.5
    np.testing.assert_allclose(batch.position[0].numpy(), expected, atol=1e-4)


def test_strength_multiplies_the_movement_within_its_bounds(pairs):
    plain = make_batch(pairs, ALL, size=SIZE)
    settings = STILL.model_copy(update={"strength": 0.5})
    strong = make_batch(pairs, ALL, size=SIZE, augment=settings, generator=generator())
    ratio = strong.action.abs().amax((1, 2, 3)) / plain.action.abs().amax((1, 2, 3))
    assert (ratio >= 1 / 1.5 - 1e-3).all()
    assert (ratio <= 1.5 + 1e-3).all()
    assert ratio.min() < 0.9
    assert ratio.max() > 1.1
    torch.testing.assert_close(strong.position, plain.position, rtol=0, atol=1e-4)


def test_light_is_the_same_on_both_frames(pairs):
    settings = STILL.model_copy(update={"light": 0.1})
    plain = make_batch(pairs, ALL, size=SIZE, target="t+k")
    lit = make_batch(pairs, ALL, size=SIZE, target="t+k", augment=settings, generator=generator())
    for b in range(len(ALL)):
        x, y = plain.position[b].flatten().numpy(), lit.position[b].flatten().numpy()
        free = (y > 0) & (y < 1)
        contrast, brightness = np.polyfit(x[free], y[free], 1)
        assert 0.9 - 1e-3 <= contrast <= 1.1 + 1e-3
        expected = np.clip(contrast * plain.future[b].numpy() + brightness, 0, 1)
        np.testing.assert_allclose(lit.future[b].numpy(), expected, atol=1e-3)


def test_same_seed_same_batch(pairs):
    batches = [
        make_batch(
            pairs, ALL, size=SIZE, target="t+k", augment=AugmentSettings(), generator=generator(s)
        )
        for s in (4, 4, 5)
    ]
    assert all(torch.equal(a, b) for a, b in zip(batches[0], batches[1], strict=True))
    assert not torch.equal(batches[0].action, batches[2].action)


def test_flow_without_faces(pairs):
    flows = replace(pairs, first=pairs.first[:0], second=pairs.second[:0])
    batch = make_batch(flows, ALL, size=SIZE)
    assert batch.position is None
    assert torch.equal(batch.action, make_batch(pairs, ALL, size=SIZE).action)
    assert batch.to("cpu").position is None
    with pytest.raises(SettingsError, match="flow images hold no frames"):
        make_batch(flows, ALL, size=SIZE, action_input="difference")


def test_a_smaller_side_keeps_percent(pairs):
    full = make_batch(pairs, ALL, size=SIZE)
    small = make_batch(pairs, ALL, size=SIZE, side=32)
    assert torch.equal(small.position, full.position)
    torch.testing.assert_close(small.action, torch.nn.functional.avg_pool2d(full.action, 2))


def test_unknown_setting():
    with pytest.raises(ValidationError, match="flips"):
        AugmentSettings(flips=1)
