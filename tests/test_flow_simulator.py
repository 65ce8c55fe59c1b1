"""Simulated flow: same seed same bytes, what was asked for moves, and nets see it as files."""

import cv2
import numpy as np
import pytest
import torch

from ma2mi.clips.batches import make_batch
from ma2mi.clips.pairs import read_flow_images
from ma2mi.motion import optical_strain
from ma2mi.motion.facs import CLASSES, class_combinations, parse_unit
from ma2mi.records import Expression, Recording
from ma2mi.synthesis.basis import TRACKS, make_basis, unit_track
from ma2mi.synthesis.domain import SIDE, DomainSettings
from ma2mi.synthesis.flow_inputs import as_action, as_flow_image, strain
from ma2mi.synthesis.flow_simulator import UNITS, sample_flow
from ma2mi.synthesis.flow_views import resample_flow

CLEAN = DomainSettings(
    still=0, head=0, noise=0, gain=0, blur=0, blink=0, gaze=0, speech=0, elastic=0, turn_deg=0
)


@pytest.fixture(scope="module")
def basis():
    return make_basis(2, 40)


def test_units_move_their_own_part(basis):
    """Image coordinates: rightward and downward count up; "L" is seen on the right."""
    corner = basis.fields[0, unit_track("12", "L")]
    y, x = np.unravel_index(np.hypot(*corner).argmax(), corner.shape[1:])
    assert x > 32
    assert y > 38  # the lower half
    assert corner[0, y, x] > 0  # outward
    assert corner[1, y, x] < 0  # upward
    brow = basis.fields[0, unit_track("4", "R")]
    y, x = np.unravel_index(np.hypot(*brow).argmax(), brow.shape[1:])
    assert x < 34
    assert y < 22
    assert brow[0, y, x] > 0  # towards the nose
    assert brow[1, y, x] > 0  # downward


def test_same_seed_same_sample(basis):
    one, two = (sample_flow(basis, DomainSettings(), 6, (3, 1)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    other = sample_flow(basis, DomainSettings(), 6, (3, 2))
    assert not torch.equal(one.flow, other.flow)


def test_an_extra_unit_is_shown_and_coded(basis):
    """Alone it explains what no combination of the class does; without it nothing changes."""
    alone = CLEAN.model_copy(update={"dropped": 0, "stray": 0, "one_sided": 0})
    plain, extra = (
        sample_flow(basis, alone.model_copy(update={"extra": chance}), 60, (5,))
        for chance in (0.0, 1.0)
    )
    assert torch.equal(plain.flow, sample_flow(basis, alone, 60, (5,)).flow)
    assert extra.units.sum() > plain.units.sum() + 25
    assert not (extra.units.sum(1) == 0).any()  # classes have units that are not coded here


def test_labels_and_units_agree(basis):
    sample = sample_flow(basis, CLEAN.model_copy(update={"dropped": 0, "stray": 0}), 40, (0,))
    for label, units in zip(sample.label.tolist(), sample.units.numpy(), strict=True):
        shown = {unit for unit, on in zip(UNITS, units, strict=True) if on}
        combinations, _ = class_combinations(CLASSES[label])
        expected = [{parse_unit(c)[0].number for c in codes} & set(UNITS) for codes in combinations]
        assert shown in expected


def test_peak_is_the_largest_movement(basis):
    sample = sample_flow(basis, CLEAN, 12, (1,))
    largest = sample.flow.square().sum(1).sqrt().amax((1, 2))
    # A tighter crop magnifies: its pixels are smaller.
    assert (largest / sample.peak).numpy() == pytest.approx(1.15, abs=0.2)


def test_still_samples_show_no_expression(basis):
    sample = sample_flow(basis, CLEAN.model_copy(update={"still": 1.0}), 4, (0,))
    assert (sample.label == -1).all()
    assert not sample.units.any()
    assert not sample.peak.any()
    assert not sample.flow.any()


def test_class_chances_add_up():
    for name in CLASSES:
        combinations, chances = class_combinations(name)
        assert sum(chances) == pytest.approx(1)
        for codes in combinations:
            for code in codes:
                unit, sides = parse_unit(code)
                assert all((unit.number, side) in TRACKS for side in sides)


def test_images_are_what_the_corpus_reader_hands_out(basis, tmp_path):
    """A world's image, written as a PNG of the MEGC2019 layout, reaches a network unchanged."""
    sample = sample_flow(basis, DomainSettings(), 3, (5,))
    shown = as_flow_image(sample.flow)
    expressions = []
    for i, action in enumerate(shown.numpy()):
        channels = np.stack([(action[0] + 1) / 2, (action[1] + 1) / 2, action[2]], axis=2)
        file = tmp_path / f"{i}.png"
        cv2.imwrite(str(file), np.round(channels * 255).astype(np.uint8)[..., ::-1])
        expressions.append(Expression("micro", 0, None, 0, recording=Recording(file, "s", str(i))))
    batch = make_batch(read_flow_images(expressions), np.arange(3), size=112)
    assert batch.action.numpy() == pytest.approx(shown.numpy(), abs=2e-3)


def test_movement_is_what_prepared_clips_hand_out(basis):
    sample = sample_flow(basis, DomainSettings(), 2, (6,))
    flow_px = sample.flow.movedim(1, 3).numpy() * SIDE / 100
    expected = 10 * optical_strain(flow_px)
    assert as_action(sample.flow)[:, 2].numpy() == pytest.approx(expected, abs=1e-3)


def test_a_mirrored_smile_is_a_smile(basis):
    flow = torch.from_numpy(basis.fields[0, unit_track("12", "L")])[None]
    plain = DomainSettings(shift=0, stretch=0, turn_deg=0, elastic=0)
    bent = [
        resample_flow(flow, plain, torch.Generator().manual_seed(0), flip=flip)[0]
        for flip in (0, 1)
    ]
    assert bent[1][0].flip(1) == pytest.approx(-bent[0][0], abs=0.05)
    assert bent[1][1].flip(1) == pytest.approx(bent[0][1], abs=0.05)


def test_strain_of_a_turn_is_nothing():
    line = torch.linspace(-1, 1, SIDE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    assert strain(torch.stack((-y, x))[None]).max() < 1e-5
