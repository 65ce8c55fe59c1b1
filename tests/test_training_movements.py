"""What the pretext task sees: both sides show one expression, and nothing else they share."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ma2mi.clips.batches import make_batch  # noqa: E402
from ma2mi.errors import SettingsError  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.motion import REGIONS  # noqa: E402
from ma2mi.synthesis.basis import make_basis  # noqa: E402
from ma2mi.training.movement_settings import STILL, NuisanceSettings, SimulatorSettings  # noqa: E402
from ma2mi.training.movements import EACH, SimulatedMovements, VideoMovements, normalised  # noqa: E402

SIZE = 64
ALL = np.arange(36)
QUIET = NuisanceSettings(head=0.02, noise=0.02)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def videos(pairs, model="miacnet-tiny", nuisance=NuisanceSettings(), **settings):  # noqa: B008
    return VideoMovements(pairs, build_model(model, 2, **settings), SIZE, nuisance)


@pytest.fixture(scope="module")
def basis():
    return make_basis(4, 500_000)


def alike(a, b):
    """Cosine of two movements, each less its median."""
    a, b = (normalised(x[:, :2]).flatten(1) for x in (a, b))
    return torch.nn.functional.cosine_similarity(a, b)


def test_undisturbed_is_what_a_network_is_shown_of_a_pair(grown):
    """The crop's middle, in percent of the input: as ``make_batch`` has it."""
    batch = videos(grown).batch(ALL, None)
    plain = make_batch(grown, ALL, size=SIZE)
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(batch.early[inside], plain.action[inside], atol=0.05, rtol=0.02)
    torch.testing.assert_close(batch.early_face, plain.position, atol=0.02, rtol=0)
    assert torch.equal(batch.early_face, batch.late_face)
    late = make_batch(
        grown.__class__(**{**grown.__dict__, "action": grown.late}), ALL, size=SIZE
    ).action
    torch.testing.assert_close(batch.late[inside], late[inside], atol=0.05, rtol=0.02)


def test_drawn_has_median_zero_and_size_one(grown):
    drawn = videos(grown).batch(ALL, generator()).drawn
    torch.testing.assert_close(drawn.flatten(2).median(2).values, torch.zeros(36, 2))
    torch.testing.assert_close(drawn.square().mean((1, 2, 3)), torch.ones(36))


def test_early_and_late_of_a_pair_are_alike_and_those_of_others_are_not(grown):
    batch = videos(grown, nuisance=QUIET).batch(ALL, generator())
    assert alike(batch.early, batch.late).median() > 0.6
    assert alike(batch.early, batch.late.roll(3, 0)).median() < 0.3


def test_each_side_is_disturbed_on_its_own(grown):
    """With nothing but nuisance, the same flow on both sides becomes two that differ."""
    same = grown.__class__(**{**grown.__dict__, "action": grown.late})
    batch = videos(same).batch(ALL, generator())
    assert not torch.allclose(batch.early, batch.late, atol=0.05)
    assert (batch.early - batch.late).abs().mean() > 0.1 * batch.late.abs().mean()
    still = videos(same, nuisance=STILL).batch(ALL, generator())
    assert torch.equal(still.early, still.late)


def test_a_mirrored_pair_is_mirrored_on_both_sides(grown):
    turned = videos(grown, nuisance=STILL.model_copy(update={"mirror": 1})).batch(ALL, generator())
    plain = videos(grown).batch(ALL, None)
    flip = torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    for name in ("early", "late"):
        expected = getattr(plain, name).flip(3) * flip
        torch.testing.assert_close(getattr(turned, name), expected, atol=0.02, rtol=0.02)
    torch.testing.assert_close(turned.early_face, plain.early_face.flip(3), atol=0.01, rtol=0)
    swapped = [list(REGIONS).index(_other_side(name)) for name in REGIONS]
    expected = plain.parts[:, swapped] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    torch.testing.assert_close(turned.parts, expected, atol=1e-4, rtol=0)


def _other_side(name):
    side, _, rest = name.partition("_")
    return {"right": f"left_{rest}", "left": f"right_{rest}"}.get(side, name)


def test_regions_stay_on_the_face_whatever_the_crop(grown):
    """A bright spot at a region's centre is where the batch says that the region is."""
    import cv2

    corner = list(REGIONS).index("right_lip_corner")
    faces = np.zeros_like(grown.first)
    for face, (x, y) in zip(faces, grown.regions[:, corner].astype(float), strict=True):
        cv2.circle(face, (round(x), round(y)), 2, (255, 255, 255), -1)
    spotted = grown.__class__(**{**grown.__dict__, "first": faces})
    nuisance = NuisanceSettings(elastic=0, light=0, mirror=0)
    batch = videos(spotted, nuisance=nuisance).batch(ALL, generator(3))
    light = batch.early_face.mean(1)
    x = torch.arange(SIZE) + 0.5
    total = light.sum((1, 2))
    found = torch.stack(((light.sum(1) * x).sum(1), (light.sum(2) * x).sum(1)), 1) / total[:, None]
    torch.testing.assert_close(found / SIZE, batch.parts[:, corner], atol=0.012, rtol=0)


def test_without_landmarks_no_region_is_known_and_nothing_is_cut_off(grown):
    unknown = grown.__class__(**{**grown.__dict__, "regions": np.full_like(grown.regions, np.nan)})
    nuisance = STILL.model_copy(update={"rest_outside": 1})
    batch = videos(unknown, nuisance=nuisance).batch(ALL, generator())
    assert batch.parts.isnan().all()
    torch.testing.assert_close(batch.early, videos(grown).batch(ALL, None).early)


def test_movement_outside_the_face_becomes_rest(grown):
    everywhere = np.ones_like(grown.late) * np.array([3, 0, 0], np.float16)
    moving = grown.__class__(**{**grown.__dict__, "late": everywhere})
    nuisance = STILL.model_copy(update={"rest_outside": 1})
    late = videos(moving, nuisance=nuisance).batch(ALL, generator()).late[:, 0]
    assert late[:, 28:36, 28:36].min() > 2
    assert late[:, -4:, :4].abs().max() < 1


def test_a_network_of_differences_sees_frames(grown):
    batch = videos(grown, action_input="difference").batch(ALL, None)
    plain = make_batch(grown, ALL, size=SIZE, action_input="difference")
    torch.testing.assert_close(batch.early, plain.action, atol=0.03, rtol=0)
    disturbed = videos(grown, action_input="difference").batch(ALL, generator())
    assert not torch.allclose(disturbed.early, batch.early, atol=0.05)


@pytest.mark.parametrize("model", ["ststnet", "conv5", "miacnet-tiny"])
def test_same_seed_same_batch(grown, basis, model):
    backbone = build_model(model, 2)
    sources = [
        VideoMovements(grown, backbone, SIZE, NuisanceSettings()),
        SimulatedMovements(
            basis, backbone, SIZE, NuisanceSettings(images=0.5), SimulatorSettings()
        ),
    ]
    for source in sources:
        one, again, other = (source.batch(ALL, generator(s)) for s in (1, 1, 2))
        for a, b in zip(one, again, strict=True):
            assert a is None or torch.equal(a.nan_to_num(), b.nan_to_num())
        assert not torch.equal(one.early, other.early)
        assert one.early.shape == (36, 3, source.side, source.side)
        fixed = source.batch(ALL, None)
        assert torch.equal(fixed.early, source.batch(ALL, None).early)
        assert not torch.equal(fixed.early, one.early)


def test_the_simulator_shows_one_expression_early_and_late(basis):
    source = SimulatedMovements(
        basis, build_model("conv5", 2), SIZE, QUIET, SimulatorSettings(subjects=4)
    )
    rows = np.arange(0, 4 * EACH, 2)
    batch = source.batch(rows, generator())
    assert batch.early_face is None
    assert batch.parts is None
    assert len(source.subjects) == len(source.videos) == 4 * EACH
    assert len(np.unique(source.subjects)) == 4
    assert alike(batch.early, batch.late).median() > 0.4
    assert alike(batch.early, batch.late.roll(1, 0)).median() < 0.2
    size = [x[:, :2].square().mean((1, 2, 3)).sqrt() for x in (batch.early, batch.late)]
    assert (size[0] / size[1]).median() < 0.5


def test_a_simulator_has_no_frames(basis):
    backbone = build_model("miacnet-tiny", 2, action_input="difference")
    with pytest.raises(SettingsError, match="movement and no frames"):
        SimulatedMovements(basis, backbone, SIZE, NuisanceSettings(), SimulatorSettings())


def test_pairs_of_another_kind(pairs):
    with pytest.raises(SettingsError, match="without a later movement"):
        videos(pairs)
