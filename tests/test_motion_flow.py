"""Flow against movements that are known exactly: the picture is a sum of waves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ma2mi.errors import MotionError, SettingsError
from ma2mi.motion import FlowSettings, flow

SIDE = 96


def waves(x, y, seed=0):
    """A texture with a value at every real position: 40 sines, periods of 6 to 40 px."""
    rng = np.random.default_rng(seed)
    angle, period = rng.uniform(0, 2 * np.pi, 40), rng.uniform(6, 40, 40)
    phase, height = rng.uniform(0, 2 * np.pi, 40), rng.uniform(2, 6, 40)
    image = np.full(x.shape, 128.0)
    for a, p, f, h in zip(angle, period, phase, height, strict=True):
        image += h * np.sin(2 * np.pi * (np.cos(a) * x + np.sin(a) * y) / p + f)
    return image


def grid(side=SIDE):
    y, x = np.mgrid[:side, :side].astype(float)
    return x, y


def bump(x, y, length):
    """A smooth movement to the lower right, ``length`` px in its middle."""
    swell = np.exp(-((x - 50) ** 2 + (y - 44) ** 2) / (2 * 14**2)) * length
    return np.stack([0.8 * swell, 0.6 * swell], axis=-1)


def moved(movement, seed=0, side=SIDE):
    """What is at x in the onset is at x + movement(x): found backwards by fixed point."""
    x, y = grid(side)
    a, b = x, y
    for _ in range(20):
        d = movement(a, b)
        a, b = x - d[..., 0], y - d[..., 1]
    return camera(waves(a, b, seed))


def camera(image, noise_sd=0.0, rng=None):
    noisy = image + rng.normal(0, noise_sd, image.shape) if noise_sd else image
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def still():
    return camera(waves(*grid()))


def inner(field):
    return field[..., 8:-8, 8:-8, :]


@pytest.mark.parametrize("length", [0.1, 0.5, 1.3])
def test_translation_is_found(length):
    shift = np.array([length, -length / 2])
    frame = moved(lambda x, y: np.broadcast_to(shift, (*x.shape, 2)))
    found = inner(flow(still(), frame))[0]
    assert np.abs(found - shift).mean() < 0.02 + 0.01 * length
    assert found.mean(axis=(0, 1)) == pytest.approx(shift, abs=0.01 + 0.01 * length)


@pytest.mark.parametrize("length", [0.2, 0.5, 1.5])
def test_bump_is_found_without_bias(length):
    frame = moved(lambda x, y: bump(x, y, length))
    truth = bump(*grid(), length)
    found = flow(still(), frame)[0]
    assert (
        np.linalg.norm(found - truth, axis=-1).mean() < 0.2 * np.linalg.norm(truth, axis=-1).mean()
    )
    assert (found * truth).sum() / (truth**2).sum() == pytest.approx(1, abs=0.1)


def test_noise_leaves_the_movement_visible_and_stillness_still():
    rng = np.random.default_rng(1)
    x, y = grid()
    truth = bump(x, y, 1.0)
    shifted = waves(x - truth[..., 0], y - truth[..., 1])
    onset, frame, same = (camera(image, 1, rng) for image in (waves(x, y), shifted, waves(x, y)))
    found, nothing = flow(onset, np.stack([frame, same]))
    assert (
        np.linalg.norm(found - truth, axis=-1).mean() < 0.5 * np.linalg.norm(truth, axis=-1).mean()
    )
    assert np.linalg.norm(nothing, axis=-1).max() < 0.1


def test_a_given_stiffness_is_the_same_for_all_frames():
    """Then twice the movement is measured as twice as far, in noise, too."""
    rng, settings = np.random.default_rng(3), FlowSettings(curvature=1e-3)
    x, y = grid()
    reported = []
    for length in (0.1, 0.2, 0.4):
        a, b = (axis - bump(x, y, length)[..., c] for c, axis in enumerate((x, y)))
        means = [
            flow(camera(waves(x, y), 4.0, rng), camera(waves(a, b), 4.0, rng), settings=settings)[
                0, 40:49, 46:55
            ]
            for _ in range(6)
        ]
        reported.append(float(np.mean(means, axis=(0, 1, 2)) @ (0.8, 0.6)))
    assert reported[1] / reported[0] == pytest.approx(2, rel=0.2)
    assert reported[2] / reported[1] == pytest.approx(2, rel=0.2)
    assert reported[2] > 0.2


def test_equal_frames_give_zero():
    assert np.abs(flow(still(), np.stack([still(), still()]))).max() < 1e-6


@pytest.mark.parametrize(("gain", "offset"), [(1.1, 0), (0.9, 8), (1, 12)])
def test_brightness_is_no_movement(gain, offset):
    bright = camera(gain * waves(*grid()) + offset)
    assert np.abs(flow(still(), bright)).max() < 0.02


def test_slow_shade_is_no_movement_with_local_brightness():
    x, y = grid()
    shaded = camera(waves(x, y) + 10 * np.sin(np.pi * x / SIDE))
    left, treated = (
        np.abs(flow(still(), shaded, settings=FlowSettings(brightness=kind))).mean()
        for kind in ("global", "local")
    )
    assert treated < 0.05
    assert treated < left / 2


def test_warm_start_ends_where_a_cold_one_does():
    clip = np.stack([moved(lambda x, y, s=s: bump(x, y, s)) for s in (0.2, 0.5, 0.8, 0.4)])
    warm = flow(still(), clip)
    cold = np.concatenate([flow(still(), frame) for frame in clip])
    assert np.abs(warm - cold).mean() < 0.005
    assert np.abs(warm - cold).max() < 0.05


def test_same_input_same_bytes():
    frame = moved(lambda x, y: bump(x, y, 0.7))
    assert flow(still(), frame).tobytes() == flow(still(), frame).tobytes()


def test_depths_and_colours_of_one_picture_agree():
    frame = moved(lambda x, y: bump(x, y, 0.5))
    expected = flow(still(), frame)
    wide = [image.astype(np.uint16) * 257 for image in (still(), frame)]
    rgb = [np.repeat(image[..., None], 3, axis=-1) for image in (still(), frame)]
    for onset, other in (wide, rgb, [still().astype(float), frame.astype(float)]):
        assert flow(onset, other) == pytest.approx(expected, abs=1e-2)


def test_mask_keeps_a_part_out():
    x, y = grid()
    part = np.hypot(x - 50, y - 44) <= 20
    frame = np.where(part, camera(waves(x - 1, y)), still())
    seen, masked = flow(still(), frame)[0], flow(still(), frame, mask=~part)[0]
    assert np.abs(seen).max() > 0.8
    assert np.abs(masked).max() < 0.1


def test_averaged_neighbours_lessen_noise():
    rng = np.random.default_rng(2)
    x, y = grid()
    truth = bump(x, y, 0.8)
    shifted = waves(x - truth[..., 0], y - truth[..., 1])
    clip = np.stack([camera(shifted, 6, rng) for _ in range(5)])
    single, mean = (
        np.abs(flow(still(), clip, settings=FlowSettings(average_frames=n))[2] - truth).mean()
        for n in (1, 5)
    )
    assert mean < 0.8 * single


@settings(max_examples=8, deadline=None)
@given(st.integers(32, 75), st.integers(32, 75))
def test_any_size_from_32_px(height, width):
    y, x = np.mgrid[:height, :width].astype(float)
    found = flow(camera(waves(x, y)), camera(waves(x - 0.5, y)))
    assert found.shape == (1, height, width, 2)
    assert found.dtype == np.float32
    assert found[..., 0].mean() == pytest.approx(0.5, abs=0.1)
    assert found[..., 1].mean() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("method", ["opencv-tvl1", "dis", "farneback"])
def test_references_see_a_pixel(method):
    found = inner(flow(still(), camera(waves(grid()[0] - 1, grid()[1])), method=method))
    assert found.mean(axis=(0, 1, 2)) == pytest.approx([1, 0], abs=0.2)


def nan_image():
    image = still().astype(float)
    image[3, 4] = np.nan
    return image


@pytest.mark.parametrize(
    ("onset", "frames", "words"),
    [
        (still(), still()[:-1], "size"),
        (still(), np.empty((0, SIDE, SIDE), np.uint8), "one or more frames"),
        (still(), nan_image(), "NaN"),
        (np.full((SIDE, SIDE), 7, np.uint8), still(), "nothing to follow"),
        (still(), np.full((SIDE, SIDE), 7, np.uint8), "frame 0: grey values"),
        (still() / 255, still(), r"0\.\.255"),
        (still()[:20], still()[:20], "32 pixels"),
        (still() > 100, still(), "not images"),
    ],
)
def test_unusable_images_are_named(onset, frames, words):
    with pytest.raises(MotionError, match=words):
        flow(onset, frames)


@pytest.mark.parametrize("mask", [np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE - 1))])
def test_unusable_masks_are_named(mask):
    with pytest.raises(MotionError, match="mask"):
        flow(still(), still(), mask=mask)


@pytest.mark.parametrize(
    "wrong",
    [
        {"warps": 0},
        {"average_frames": 2},
        {"brightness": "maybe"},
        {"presmooth_px": 5},
        {"misfit_px": -1},
        {"curvature": 0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        FlowSettings(**wrong)


def test_unknown_method_and_settings_of_a_reference_are_refused():
    with pytest.raises(SettingsError, match="opencv-tvl1"):
        flow(still(), still(), method="tvl2")
    with pytest.raises(SettingsError, match="dis"):
        flow(still(), still(), method="dis", settings=FlowSettings())
