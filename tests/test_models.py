"""A contract for every network of the catalog: shapes, ranges, determinism, weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ma2mi.errors import CheckpointError, SettingsError  # noqa: E402
from ma2mi.models.backbone import flatten_grid  # noqa: E402
from ma2mi.models.catalog import build_model, startable  # noqa: E402
from ma2mi.models.part_finder import PARTS, inverse, look_from, sampled  # noqa: E402
from ma2mi.training.checkpoint import load_backbone, open_backbone, save_model  # noqa: E402

MIACNETS = [name for name in startable() if name.startswith("miacnet")]


@pytest.fixture(scope="module", params=sorted(startable()))
def built(request):
    torch.manual_seed(0)
    net = build_model(request.param, 5).eval()
    side = net.input_side or 64
    generator = torch.Generator().manual_seed(1)
    position = torch.rand(2, 3, side, side, generator=generator)
    action = torch.randn(2, 3, side, side, generator=generator)
    return request.param, net, position, action


@torch.no_grad()
def test_contract(built):
    _, net, position, action = built
    grid = net.grid(position, action)
    batch, width, height, breadth = grid.features.shape
    assert (batch, width) == (2, net.width)
    assert min(height, breadth) >= 1
    for part in (grid.position, grid.action):
        assert part is None or part.shape == grid.features.shape
    if grid.attention is not None:
        assert grid.attention.shape[:2] == (2, 1)
        assert grid.attention.shape[2] >= height
        assert grid.attention.shape[3] >= breadth
        assert (grid.attention > 0).all()
        assert (grid.attention < 1).all()
    logits = net(position, action)
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()
    assert net.action_input in ("flow", "difference")
    # A clip's answer does not hang on its neighbours in the batch.
    torch.testing.assert_close(net(position[:1], action[:1]), logits[:1], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_works_without_the_face(built):
    _, net, _, action = built
    assert torch.isfinite(net(None, action)).all()


def test_every_weight_is_in_backbone_or_head_once(built):
    _, net, _, _ = built
    groups = [{id(p) for p in g} for g in (net.backbone_parameters(), net.head_parameters())]
    assert not groups[0] & groups[1]
    assert groups[0] | groups[1] == {id(p) for p in net.parameters()}
    assert groups[1]


@torch.no_grad()
def test_weights_round_trip_and_fresh_head(built, tmp_path):
    name, net, position, action = built
    save_model(tmp_path, net, {"model": name, "classes": 5, "settings": {}, "size": 64})
    again = open_backbone(tmp_path, 3).eval()
    assert torch.equal(again.grid(position, action).features, net.grid(position, action).features)
    assert again(position, action).shape == (2, 3)
    first = (tmp_path / "model.safetensors").read_bytes()
    save_model(tmp_path, net, {"model": name, "classes": 5, "settings": {}, "size": 64})
    assert (tmp_path / "model.safetensors").read_bytes() == first


@pytest.mark.parametrize("name", sorted(set(startable()) - {"miacnet-base", "miacnet-paper"}))
def test_same_seed_same_weights(name):
    nets = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        nets.append(torch.cat([p.flatten() for p in build_model(name, 3).parameters()]))
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


def test_unknown_names():
    with pytest.raises(SettingsError, match=r"miacnet-small: is no known model. Known are: .*tiny"):
        build_model("miacnet-small", 3)
    for name in startable():
        with pytest.raises(SettingsError, match=f"{name} has no setting 'colour'"):
            build_model(name, 3, colour=1)


def test_sizes_are_as_documented():
    tiny, base = (
        sum(p.numel() for p in build_model(name, 3).parameters())
        for name in ("miacnet-tiny", "miacnet-base")
    )
    assert 0.5e6 < tiny < 1.5e6
    assert 5e6 < base < 15e6


@torch.no_grad()
@pytest.mark.parametrize("side", [96, 112])
def test_one_cell_per_16_px(side):
    net = build_model("miacnet-tiny", 3).eval()
    x = torch.rand(1, 3, side, side)
    assert net.grid(x, x).features.shape[2:] == (side // 16, side // 16)


@pytest.mark.parametrize("side", [100, 40])
def test_a_side_that_gives_no_whole_cells_is_refused(side):
    x = torch.rand(1, 3, side, side)
    with pytest.raises(SettingsError, match="multiple of 16"):
        build_model("miacnet-tiny", 3)(x, x)


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["sum", "concat"])
def test_branches_share_weights(fusion):
    nets = {
        b: build_model("miacnet-tiny", 3, branches=b, fusion=fusion)
        for b in ("both", "position", "action")
    }
    for net in nets.values():
        net.load_state_dict(nets["both"].state_dict())
        net.eval()
    x, y, z = (torch.randn(2, 3, 64, 64) for _ in range(3))
    both = nets["both"].grid(x, y)
    assert torch.equal(nets["position"].grid(x, y).features, both.position)
    assert torch.equal(nets["action"].grid(x, y).features, both.action)
    # What a branch does not see cannot change its answer.
    assert torch.equal(nets["position"](x, y), nets["position"](x, z))
    assert torch.equal(nets["action"](x, y), nets["action"](z, y))
    assert not torch.equal(nets["both"](x, y), nets["both"](x, z))
    assert not torch.equal(nets["both"](x, y), nets["both"](z, y))


@torch.no_grad()
def test_position_tells_where_and_nothing_else():
    """Whoever is shown, the movement is looked at from where the parts were found, and that is all
    that the face does: the same features as of the movement moved there."""
    net = build_model("miacnet-tiny", 3).eval()
    x, y, action = torch.rand(3, 2, 3, 64, 64).unbind()
    fresh = net.grid(x, action)
    assert torch.equal(fresh.features, net.grid(y, action).features)
    assert torch.equal(fresh.features, net.grid(None, action).features)
    torch.testing.assert_close(fresh.parts, torch.tensor(PARTS)[None, :, :2].expand(2, -1, -1))
    # A finder that says that all parts lie 8 px further right and 4 px further down.
    off = torch.tensor([8 / 64, 4 / 64]).repeat(len(PARTS))
    net.finder.read[-1].bias.copy_(off)
    expected = sampled(action, torch.tensor([[[1.0, 0, 0.25], [0, 1, 0.125]]]).expand(2, -1, -1))
    pose = net.grid(x, action).pose
    shift = pose[:, :, 2] / torch.tensor([0.25, 0.125])
    assert ((shift > 0.85) & (shift <= 1)).all()  # drawn a little towards no pose at all
    exact = look_from(action, torch.tensor([[[1.0, 0, 0.25], [0, 1, 0.125]]]).expand(2, -1, -1))
    torch.testing.assert_close(exact, expected)


def test_a_pose_turns_the_movement_with_the_face():
    """A face turned by 30 degrees that moves along its own axis moves along the mean face's."""
    turn = torch.tensor(np.pi / 6)
    pose = torch.stack((torch.cos(turn), -torch.sin(turn), torch.sin(turn), torch.cos(turn))).view(
        1, 2, 2
    )
    moved = (pose[0] @ torch.tensor([1.0, 0.0])).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    action = torch.cat((moved, torch.zeros(1, 1, 16, 16)), dim=1)
    seen = look_from(action, torch.cat((pose, torch.zeros(1, 2, 1)), dim=2))
    torch.testing.assert_close(seen[0, :, 8, 8], torch.tensor([1.0, 0.0, 0.0]))
    back = inverse(torch.cat((pose, torch.tensor([[[0.3], [0.1]]])), dim=2))
    both = torch.cat((pose, torch.tensor([[[0.3], [0.1]]])), dim=2)
    place = torch.tensor([0.2, -0.4])
    there = both[0, :, :2] @ place + both[0, :, 2]
    torch.testing.assert_close(back[0, :, :2] @ there + back[0, :, 2], place)


@torch.no_grad()
@pytest.mark.parametrize("side", [64, 112])
def test_attention_starts_on_the_parts_and_not_on_the_edge(side):
    """Averaged over untrained networks: whatever moves, the edge is looked at least."""
    maps = []
    for seed in range(5):
        torch.manual_seed(seed)
        net = build_model("miacnet-tiny", 3).eval()
        maps.append(net.grid(None, torch.randn(4, 3, side, side)).attention.mean(0)[0])
    seen = torch.stack(maps).mean(0)
    assert seen.shape[0] >= side // 16
    edge = torch.cat((seen[0], seen[-1], seen[:, 0], seen[:, -1]))
    eyes = seen[len(seen) // 4, round(0.32 * len(seen)) - 1 : round(0.32 * len(seen)) + 1]
    assert edge.max() < 0.7 * seen.max()
    assert edge.mean() < 0.4 * seen.max()
    assert eyes.min() > 2 * edge.mean()


def test_the_movement_is_scaled_to_a_side_of_its_own():
    net = build_model("miacnet-tiny", 3, side=64).eval()
    assert net.input_side == 64
    grid = net.grid(torch.rand(2, 3, 112, 112), torch.randn(2, 3, 64, 64))
    assert grid.features.shape == grid.position.shape == (2, 128, 4, 4)


def test_position_is_dropped_in_training_only():
    net = build_model("miacnet-tiny", 3, drop_position=1.0, fusion="sum")
    with torch.no_grad():
        net.null_position.normal_()
    x = torch.rand(2, 3, 64, 64)
    null = net.null_position.expand(2, -1, 4, 4)
    assert torch.equal(net.train().grid(x, x).position, null)
    assert not torch.equal(net.eval().grid(x, x).position, null)
    assert torch.equal(net.grid(None, x).position, null)


def test_attention_of_a_block_never_exceeds_the_one_before():
    encoder = build_model("miacnet-tiny", 3).action_encoder.eval()
    with torch.no_grad():
        x = encoder.stem(torch.randn(2, 3, 64, 64))
        attention = torch.ones(2, 1, 16, 16)
        for block in encoder.blocks:
            before = attention
            x, attention = block(x, attention)
            pooled = torch.nn.functional.adaptive_avg_pool2d(before, attention.shape[2:])
            assert (attention <= pooled).all()


def test_flatten_grid_is_the_signed_root_at_length_one():
    grid = torch.tensor([[[[4.0, -9.0]], [[0.0, 1.0]]]])
    expected = torch.tensor([[2.0, -3.0, 0.0, 1.0]]) / 14**0.5
    torch.testing.assert_close(flatten_grid(grid), expected)


def test_weights_of_another_network(tmp_path):
    save_model(
        tmp_path,
        build_model("miacnet-tiny", 3),
        {"model": "miacnet-tiny", "classes": 3, "settings": {}, "size": 64},
    )
    with pytest.raises(CheckpointError, match="made for miacnet-tiny; name that with --model"):
        load_backbone(build_model("miacnet-base", 3), tmp_path)
