"""Where a synthetic expression moves the face."""

from fractions import Fraction

import numpy as np

from ma2mi.synthesis import make_subject
from ma2mi.synthesis.clip import make_clip
from ma2mi.synthesis.regions import expression_field, moves_at

BROW = (0.42, 0.16)  # where the painted face has them, as shares of a network's input
LIP_CORNERS = ((0.375, 0.73), (0.625, 0.73))


def clip_of(emotion, *units):
    """A clip with these action units, of whatever seed has them."""
    for seed in range(200):
        clip = make_clip(
            make_subject(1), kind="micro", emotion=emotion, seed=seed, fps=Fraction(100)
        )
        if set(units) == set(clip.action_units):
            return clip
    raise AssertionError(f"no seed has {units}")


def test_a_smile_moves_the_lip_corners_and_no_brow():
    clip = clip_of("happiness", "12")
    assert any(moves_at(clip, corner) for corner in LIP_CORNERS)  # one side may lag
    assert not moves_at(clip, BROW)


def test_raised_brows_move_no_mouth():
    clip = clip_of("surprise", "1", "2")
    assert moves_at(clip, BROW)
    assert not any(moves_at(clip, corner) for corner in LIP_CORNERS)


def test_a_smile_is_largest_at_a_lip_corner():
    clip = clip_of("happiness", "12")
    field = expression_field(clip)
    assert field.shape == (64, 64)
    y, x = np.unravel_index(field.argmax(), field.shape)
    assert 0.55 < y / 64 < 0.75  # the height of the mouth in the crop
    assert min(abs(x / 64 - 0.38), abs(x / 64 - 0.62)) < 0.1


def test_what_lies_outside_counts_as_its_edge():
    clip = clip_of("happiness", "12")
    assert moves_at(clip, (-3.0, 0.0)) == moves_at(clip, (-4.0, 0.0))
