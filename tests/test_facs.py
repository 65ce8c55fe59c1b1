"""The table of action units agrees with itself and with the fields that are made from it."""

import numpy as np
import pytest

from ma2mi.motion.facs import ACTION_UNITS, EMOTIONS, SIDES, parse_unit
from ma2mi.synthesis.movement import FACE, MOUTH, anchor, face_field, unit_field
from ma2mi.synthesis.subject import make_subject

SUBJECT = make_subject(5)


def test_the_table_holds_the_units_of_the_upper_and_the_lower_face():
    assert " ".join(ACTION_UNITS) == "1 2 4 5 6 7 9 10 12 14 15 17 20 23 24 25 26 43 45"
    assert all(unit.name and unit.muscle and unit.shifts for unit in ACTION_UNITS.values())


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_combination_of_an_emotion_is_in_the_table(emotion):
    for codes in EMOTIONS[emotion]:
        assert len(set(codes)) == len(codes)
        for code in codes:
            parse_unit(code)


@pytest.mark.parametrize(
    ("code", "number", "sides"), [("12", "12", SIDES), ("L10", "10", ("L",)), ("R4", "4", ("R",))]
)
def test_codes_name_a_unit_and_its_sides(code, number, sides):
    unit, seen = parse_unit(code)
    assert (unit.number, seen) == (number, sides)


@pytest.mark.parametrize("code", ["", "99", "X4", "4+7", "l4"])
def test_other_codes_are_refused(code):
    with pytest.raises(ValueError, match="names no known action unit"):
        parse_unit(code)


def movement_at(field, region, sign):
    """Displacement (outward, upward) where a region is anchored, canonical px."""
    out, y = anchor(SUBJECT, region)
    if out == 0:
        out = 12.0  # the midline belongs to both sides by halves
    x = round(SUBJECT.centre_x + sign * out)
    y = round(y)
    common = field.common[y - FACE[0].start, x - FACE[1].start]
    down = common[1]
    if "lip" in region and region != "lip corner":
        lip = field.upper if region == "upper lip" else field.lower
        down = down + lip[y - MOUTH[0].start, x - MOUTH[1].start]
    return sign * common[0], -down


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("number", ACTION_UNITS)
def test_every_field_moves_the_first_region_as_the_table_says(number, side):
    shift = ACTION_UNITS[number].shifts[0]
    sign = 1 if side == "L" else -1
    moved = np.array(movement_at(unit_field(SUBJECT, number, side), shift.region, sign))
    told = np.array([shift.outward, shift.upward]) * SUBJECT.pupil_distance / 100
    cosine = moved @ told / np.linalg.norm(moved) / np.linalg.norm(told)
    assert cosine > 0.9
    assert 0.3 < np.linalg.norm(moved) / np.linalg.norm(told) < 1.5


@pytest.mark.parametrize("number", ACTION_UNITS)
def test_one_side_alone_leaves_the_other_eye_and_mouth_corner_at_rest(number):
    left = unit_field(SUBJECT, number, "L")
    columns = np.arange(FACE[1].start, FACE[1].stop)
    far = left.common[:, columns < SUBJECT.centre_x - 30]
    assert np.abs(far).max() < 0.12 * np.abs(left.common).max() + 0.05


def test_fields_mirror_and_add_up():
    both = face_field(SUBJECT, {("12", "L"): 0.5, ("12", "R"): 0.5})
    # Column 192 is the midline; the box runs from 80 to 303, so 81 to 303 is symmetric.
    right_half = both.common[:, 1:]
    np.testing.assert_allclose(right_half[:, ::-1, 1], right_half[..., 1], atol=1e-4)
    np.testing.assert_allclose(right_half[:, ::-1, 0], -right_half[..., 0], atol=1e-4)
