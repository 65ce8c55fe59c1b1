"""What is read off a flow: strain, head motion, regions, apex, noise floor, pictures."""

from fractions import Fraction

import numpy as np
import pytest

from ma2mi.errors import MotionError
from ma2mi.motion import (
    REGIONS,
    Region,
    action_channels,
    draw_flow,
    draw_strain,
    expressive_mask,
    face_mask,
    find_apex,
    flow,
    magnify,
    movement_along,
    movement_curve,
    noise_floor,
    optical_strain,
    region_mask,
    region_summary,
    remove_rigid,
)
from ma2mi.records import Interval

SIDE = 128


def linear(u, v, side=SIDE):
    """The flow (u, v) = (u0 + u1 x + u2 y, ...), x and y from the centre."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    planes = [a[0] + a[1] * x + a[2] * y for a in (u, v)]
    return np.stack(planes, axis=-1).astype(np.float32)


def texture(x, y):
    rng = np.random.default_rng(3)
    angle, period = rng.uniform(0, 2 * np.pi, 30), rng.uniform(6, 40, 30)
    waves = np.stack([np.cos(angle), np.sin(angle)]) * 2 * np.pi / period
    phase = rng.uniform(0, 2 * np.pi, 30)
    return 128 + 4 * np.sin(np.multiply.outer(x, waves[0]) + y[..., None] * waves[1] + phase).sum(
        -1
    )


def shot(dx=0.0, dy=0.0, turn=0.0, noise_sd=0.0, rng=None):
    """The texture shifted and turned about the centre, as 8 bits."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    x, y = x - dx, y - dy
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    image = texture(x, y)
    if noise_sd:
        image = image + rng.normal(0, noise_sd, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


# -- strain ------------------------------------------------------------------------------------


def test_strain_of_a_linear_field_is_analytic():
    strain = optical_strain(linear((1, 0.02, 0.03), (2, 0.01, -0.04)))
    assert strain == pytest.approx(np.sqrt(0.02**2 + 0.04**2 + 2 * (0.5 * 0.04) ** 2), rel=1e-4)


def test_shift_and_turn_have_no_strain():
    assert optical_strain(linear((3, 0, -0.01), (1, 0.01, 0))).max() < 1e-6


def test_action_channels_are_u_v_strain():
    field = np.random.default_rng(0).normal(size=(2, 9, 8, 2)).astype(np.float32)
    channels = action_channels(field)
    assert channels.shape == (2, 9, 8, 3)
    assert (channels[..., :2] == field).all()
    assert (channels[..., 2] == optical_strain(field)).all()


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 3), (1, 5, 2)])
def test_strain_of_no_flow_is_refused(shape):
    with pytest.raises(MotionError, match="flow"):
        optical_strain(np.zeros(shape))


# -- head motion -------------------------------------------------------------------------------


def test_head_motion_is_named_and_the_smile_stays():
    head = linear((0.5, 0.01, -0.02), (-0.3, 0.02, 0.01))
    y, x = np.mgrid[:SIDE, :SIDE]
    smile = np.zeros_like(head)
    smile[..., 1] = -0.6 * np.exp(-((x - 48) ** 2 + (y - 77) ** 2) / (2 * 8**2))
    residual, motion = remove_rigid(head + smile)
    inside = face_mask((SIDE, SIDE))
    assert np.abs(residual - smile)[inside].max() < 0.05
    assert motion.translation_px[0] == pytest.approx([0.5, -0.3], abs=0.02)
    assert motion.rotation_rad[0] == pytest.approx(0.02, abs=0.001)
    assert motion.growth[0] == pytest.approx(0.01, abs=0.001)
    assert motion.shear[0] == pytest.approx([0, 0], abs=0.001)
    assert motion.field(SIDE, SIDE)[0] + residual == pytest.approx(head + smile, abs=1e-5)


def test_shift_turn_and_light_of_images_stay_below_the_noise_floor():
    rng = np.random.default_rng(5)
    still = np.stack([shot(noise_sd=1.5, rng=rng) for _ in range(6)])
    floor = noise_floor(still)
    moved = np.stack(
        [
            shot(dx=0.6, dy=-0.4, noise_sd=1.5, rng=rng),
            shot(turn=0.01, noise_sd=1.5, rng=rng),
            np.clip(still[1] * 1.1, 0, 255).astype(np.uint8),
        ]
    )
    residual, _ = remove_rigid(flow(still[0], moved))
    inside = face_mask((SIDE, SIDE))
    rms = np.sqrt(np.square(residual[:, inside]).sum(-1).mean(-1))
    assert (rms < floor.px).all(), (rms, floor.px)


@pytest.mark.parametrize(
    "weights", [np.zeros((SIDE, SIDE)), np.ones((3, 3)), -np.ones((SIDE, SIDE))]
)
def test_unusable_weights_are_refused(weights):
    with pytest.raises(MotionError, match="weights"):
        remove_rigid(linear((0, 0, 0), (0, 0, 0)), weights=weights)


# -- regions -----------------------------------------------------------------------------------


def test_every_region_lies_in_the_crop_and_left_mirrors_right():
    masks = {name: region_mask(region, (224, 224)) for name, region in REGIONS.items()}
    assert all(mask.sum() > 100 for mask in masks.values())
    for name, mask in masks.items():
        if name.startswith("right_"):
            assert (mask[:, ::-1] == masks[name.replace("right", "left")]).mean() > 0.998
            assert mask[:, 112:].sum() == 0


def test_summary_names_the_side_that_moved():
    field = np.zeros((2, 224, 224, 2), np.float32)
    field[1, region_mask(REGIONS["left_lip_corner"], (224, 224))] = (0.4, -0.3)
    summary = region_summary(field, floor_px=0.1)
    assert set(summary) == set(REGIONS)
    corner = summary["left_lip_corner"]
    assert corner["magnitude"] == pytest.approx([0, 0.5], rel=1e-4)
    assert corner["u"][1] == pytest.approx(0.4, rel=1e-4)
    assert corner["v"][1] == pytest.approx(-0.3, rel=1e-4)
    assert corner["snr"][1] == pytest.approx(5, rel=1e-4)
    assert summary["right_lip_corner"]["magnitude"][1] == 0


def test_landmarks_place_a_region():
    points = np.full((478, 2), 50.0)
    points[[33, 133]] = [[30, 40], [40, 40]]
    points[[362, 263]] = [[60, 40], [70, 40]]
    points[61] = (44, 66)
    rows, columns = np.nonzero(region_mask(REGIONS["right_lip_corner"], (100, 100), points))
    assert (columns.mean(), rows.mean()) == pytest.approx((44, 66), abs=0.3)
    assert np.ptp(columns) == pytest.approx(2 * 0.04 * 30 / 0.32, abs=1.5)


def test_bad_landmarks_and_floors_are_refused():
    with pytest.raises(MotionError, match="landmarks"):
        region_mask(REGIONS["chin"], (50, 50), np.zeros((68, 2)))
    with pytest.raises(MotionError, match="noise floor"):
        region_summary(linear((0, 0, 0), (0, 0, 0)), floor_px=0)


def test_face_without_eyes():
    mask = face_mask((224, 224))
    assert mask[100, 112]
    assert not mask[63, 77]
    assert not mask[0, 0]
    expressive = expressive_mask((224, 224))
    assert (expressive & ~mask).sum() == 0
    assert expressive[135, 84]  # a lip corner
    assert not expressive[100, 112]  # the bridge of the nose


# -- curve and apex ----------------------------------------------------------------------------


def swelling(onset, apex, offset, length):
    """Half a cosine up, another one down:  __/\\__"""
    time = np.arange(length)
    up = np.clip((time - onset) / (apex - onset), 0, 1)
    down = np.clip((offset - time) / (offset - apex), 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * up)) * (0.5 - 0.5 * np.cos(np.pi * down))


def test_curve_sees_a_small_part_that_moves():
    field = np.zeros((2, 100, 100, 2), np.float32)
    field[1, :10, :50, 0] = 0.5
    curve = movement_curve(field)
    assert curve == pytest.approx([0, 0.5])
    weights = np.ones((100, 100))
    weights[:10, :50] = 0
    assert movement_curve(field, weights=weights) == pytest.approx([0, 0])


def test_movement_along_the_apex_has_clean_feet():
    """Noise as large as a third of the peak lifts the length's foot, not the projection's."""
    rng = np.random.default_rng(0)
    course = swelling(10, 30, 60, 80)
    field = 0.3 * rng.normal(size=(80, 40, 40, 2)).astype(np.float32)
    field[:, 10:20, 10:30, 1] -= course[:, None, None].astype(np.float32)
    along = movement_along(field)
    assert along[[0, 5, 65, 79]] == pytest.approx(0, abs=0.1)
    assert movement_curve(field)[0] > 0.5
    found = find_apex(along)
    assert (found.onset, found.apex, found.offset) == pytest.approx((10, 30, 60), abs=3)
    still = np.ones((40, 40))
    still[10:20] = 0
    assert abs(movement_along(field, weights=still)).max() < 0.5 * along.max()


@pytest.mark.parametrize(("onset", "apex", "offset"), [(10, 30, 60), (5, 25, 40), (20, 50, 70)])
def test_apex_of_a_swell(onset, apex, offset):
    rng = np.random.default_rng(0)
    curve = swelling(onset, apex, offset, 80) + 0.02 * rng.normal(size=80)
    found = find_apex(curve)
    assert found.apex == pytest.approx(apex, abs=2)
    assert found.onset == pytest.approx(onset, abs=4)
    assert found.offset == pytest.approx(offset, abs=4)
    assert found.confidence > 0.8


def test_apex_in_uneven_time():
    times = [Fraction(n, 30) for n in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10)]
    found = find_apex([0, 0, 1, 3, 9, 6, 2, 0, 0, 0], times)
    assert (found.onset <= 2, found.apex, found.offset >= 6) == (True, 4, True)


def test_no_movement_no_confidence():
    assert find_apex(np.zeros(9)).confidence == 0
    jitter = np.abs(np.random.default_rng(0).normal(size=80))
    assert find_apex(jitter).confidence < 0.6


def test_clip_that_ends_at_the_apex():
    found = find_apex(swelling(10, 30, 60, 31))
    assert found.apex >= 28
    assert found.offset == 30


@pytest.mark.parametrize(
    ("curve", "times"), [([1, 2], None), ([1, np.nan, 2], None), ([1, 2, 3], [0, 1, 1])]
)
def test_unusable_curves_are_refused(curve, times):
    with pytest.raises(MotionError):
        find_apex(curve, times)


# -- noise floor -------------------------------------------------------------------------------


def test_floor_is_measured_where_nothing_moves():
    rng = np.random.default_rng(0)
    shifts = [0.0] * 5 + [0.5, 1.0, 1.5, 1.0, 0.5]
    clip = np.stack([shot(dx=dx, noise_sd=2, rng=rng) for dx in shifts])
    floor = noise_floor(clip, length=4)
    assert floor.still.offset <= 4
    assert floor.noise_sd == pytest.approx(2, rel=0.1)
    assert 0 < floor.px < 0.2
    assert floor.map_px.shape == (SIDE, SIDE)
    assert floor.snr(3 * floor.px) == pytest.approx(3)


def test_more_noise_higher_floor():
    rng = np.random.default_rng(1)
    low, high = (
        noise_floor(np.stack([shot(noise_sd=sd, rng=rng) for _ in range(5)])) for sd in (1, 8)
    )
    assert high.px > low.px


def test_floor_needs_frames():
    with pytest.raises(MotionError, match="3 or more"):
        noise_floor(np.stack([shot(), shot()]))
    with pytest.raises(MotionError, match="no stretch"):
        noise_floor(np.stack([shot()] * 4), still=Interval(2, 9))


# -- magnification and pictures ----------------------------------------------------------------


def test_magnified_shift_is_factor_times_as_long():
    frames = np.stack([shot(), shot(dx=0.5)])
    larger = magnify(frames, 4)
    assert larger.shape == frames.shape
    assert (larger[0] == frames[0]).all()
    found = flow(frames[0], larger[1])[0, 16:-16, 16:-16]
    assert found.mean(axis=(0, 1)) == pytest.approx([2, 0], abs=0.1)


def test_nothing_is_magnified_outside_the_mask():
    frames = np.stack([shot(), shot(dx=0.5)])
    mask = np.zeros((SIDE, SIDE))
    mask[:, :64] = 1
    larger = magnify(frames, 4, mask=mask)[1]
    assert (larger[:, 90:] == frames[1][:, 90:]).all()
    assert (larger[:, :40] != frames[1][:, :40]).any()


def test_factor_one_changes_nothing_and_colour_stays_colour():
    frames = np.repeat(np.stack([shot(), shot(dx=0.5)])[..., None], 3, axis=-1)
    assert (magnify(frames, 1) == frames).all()


def test_magnify_refuses_what_does_not_fit():
    frames = np.stack([shot(), shot()])
    with pytest.raises(MotionError, match="uint8"):
        magnify(frames / 255, 5)
    with pytest.raises(MotionError, match="flow is"):
        magnify(frames, 5, moved=np.zeros((2, 5, 5, 2), np.float32))


def test_pictures_have_a_scale():
    field = linear((1, 0, 0), (0, 0, 0))
    picture = draw_flow(field, mm_per_px=0.9)
    assert picture.shape == (SIDE + 44, 160, 3)
    assert picture.dtype == np.uint8
    assert (picture[50, 50] == (255, 0, 0)).all()  # to the right: red
    assert (picture[SIDE:] < 128).any()
    strain = draw_strain(optical_strain(linear((0, 0.1, 0), (0, 0, 0))), limit=0.2)
    assert strain.shape == (SIDE + 44, 160, 3)
    assert draw_flow(0 * field)[:SIDE, :SIDE].min() == 255


def test_pictures_refuse_nonsense():
    with pytest.raises(MotionError, match="flow"):
        draw_flow(np.zeros((4, 4, 3)))
    with pytest.raises(MotionError, match="limit"):
        draw_strain(np.zeros((9, 9)), limit=0)


def test_own_region():
    assert region_mask(Region((), 0.5, 0.5, 0.1, 0.1), (100, 100)).sum() == pytest.approx(
        314, abs=8
    )
