"""Heads of anny: where each unit moves the skin, and that the same seed gives the same bytes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from ma2mi.errors import CorpusError, MissingPart, SettingsError
from ma2mi.face.align import Template
from ma2mi.motion.facs import ACTION_UNITS
from ma2mi.synthesis import head_bank, heads
from ma2mi.synthesis.heads import LANDMARKS, UNIT_SHAPES, UNITS

# Building anny's cache takes minutes where it was never used; with it these tests take seconds.
needs_anny = pytest.mark.slow

# Unit, place in percent of the distance between the outer eye corners (outward, down) from a
# landmark of the left side, and the direction in which the skin goes there (outward, down).
DIRECTIONS = (
    ("1", "left eye inner", (-5, -24), (0, -1)),
    ("2", "left eye outer", (0, -26), (0, -1)),
    ("4", "left eye inner", (-5, -24), (-0.7, 0.7)),
    ("5", "left eye inner", (15, -10), (0, -1)),
    ("6", "left eye outer", (-8, 40), (0.3, -0.9)),
    ("7", "left eye inner", (15, 10), (0, -1)),
    ("9", "nose tip", (16, 0), (0.2, -0.9)),
    ("10", "left mouth corner", (-20, -8), (0, -1)),
    ("12", "left mouth corner", (2, 0), (0.5, -0.85)),
    ("14", "left mouth corner", (2, 0), (-1, 0)),
    ("15", "left mouth corner", (2, 0), (0.2, 1)),
    ("17", "left mouth corner", (-20, 9), (0, -1)),
    ("20", "left mouth corner", (2, 0), (1, 0.2)),
    ("23", "left mouth corner", (2, 0), (-1, 0)),
    ("24", "left mouth corner", (-20, 9), (0, -1)),
    ("25", "left mouth corner", (-20, 9), (0, 1)),
    ("26", "chin", (5, -8), (0, 1)),
    ("45", "left eye inner", (15, -9), (0, 1)),
)


@pytest.fixture(scope="module")
def head():
    pytest.importorskip("anny")
    return heads.make_head(5)


def _near(head, unit, landmark, offset):
    """The strongest movement of the mask within 4 % of the crop around a place."""
    points = dict(zip(LANDMARKS, head.points, strict=True))
    width = np.linalg.norm(points["left eye outer"] - points["right eye outer"])
    x, y = points[landmark] + np.array(offset) * width / 100
    rows, columns = np.mgrid[: head.mask.shape[0], : head.mask.shape[1]]
    close = (np.hypot(columns - x, rows - y) < 0.04 * len(head.mask)) & head.mask
    moved = head.fields[UNITS.index(unit)][close].astype(np.float64)
    return moved[np.hypot(*moved.T).argmax()]


def test_every_unit_of_the_table_has_shapes():
    assert set(UNIT_SHAPES) == set(ACTION_UNITS) - {"43"}  # which moves what 45 moves
    assert {number for number, *_ in DIRECTIONS} == set(UNIT_SHAPES)


@needs_anny
@pytest.mark.parametrize(("number", "landmark", "offset", "way"), DIRECTIONS)
def test_direction(head, number, landmark, offset, way):
    moved = _near(head, (number, "L"), landmark, offset)
    assert np.hypot(*moved) > 0.5  # % of the crop
    assert moved @ way / np.hypot(*moved) / np.hypot(*way) > 0.8


@needs_anny
def test_sides_lie_apart_and_the_left_is_on_the_right(head):
    middle = int(head.points[list(LANDMARKS).index("nose bridge"), 0])
    for number in UNIT_SHAPES:
        left, right = (
            np.abs(head.fields[UNITS.index((number, side))].astype(np.float64)).sum(axis=(0, 2))
            for side in ("L", "R")
        )
        assert left[middle:].sum() > 2 * left[:middle].sum()
        assert right[:middle].sum() > 2 * right[middle:].sum()


@needs_anny
def test_eyes_and_background_stand_still(head):
    assert not head.fields[:, ~head.mask].any()
    points = dict(zip(LANDMARKS, head.points, strict=True))
    x, y = (points["left eye inner"] + points["left eye outer"]) / 2
    assert not head.mask[round(float(y)), round(float(x))]  # the eyeball
    assert not head.mask[0, 0] and not head.mask[0, -1]
    assert 0.4 < head.mask.mean() < 0.8


@needs_anny
def test_lies_as_the_template_says(head):
    places = np.array([(x, y) for _, x, y in Template().anchors]) * len(head.mask) - 0.5
    found = head.points[: len(places)]
    assert np.abs(found - places).max() < 0.05 * len(head.mask)
    assert np.abs((found - places).mean(axis=0)).max() < 0.1


@needs_anny
def test_same_seed_same_bytes(head):
    again, other = heads.make_head(5), heads.make_head(6)
    for name in ("fields", "mask", "points", "shade"):
        assert getattr(again, name).tobytes() == getattr(head, name).tobytes()
    assert other.fields.tobytes() != head.fields.tobytes()


@needs_anny
def test_field_is_the_same_at_another_size(head):
    fine = heads.make_head(5, size=224)
    both = fine.mask.reshape(112, 2, 112, 2).all(axis=(1, 3)) & head.mask
    mean = fine.fields.astype(np.float64).reshape(-1, 112, 2, 112, 2, 2).mean(axis=(2, 4))
    apart = np.abs(mean - head.fields)[:, both]
    assert np.quantile(apart, 0.99) < 0.05  # % of the crop; lids and lips end in the rest


@needs_anny
def test_bank_resumes_and_reads_back(head, tmp_path):
    file = tmp_path / "bank.safetensors"
    parts = head_bank._parts(file, 112)
    parts.mkdir(parents=True)
    head_bank._write_head(5, 112, parts / "5.safetensors")
    told = []
    head_bank.write_head_bank(
        file, 2, 5, on_progress=lambda now: told.append((now.done, now.total))
    )
    assert told == [(1, 2), (2, 2)]
    first, second = head_bank.read_head_bank(file)
    assert (first.seed, second.seed) == (5, 6)
    assert first.fields.tobytes() == head.fields.tobytes()
    assert list(tmp_path.iterdir()) == [file]


def test_one_triangle_hides_another():
    at = np.array([[0, 0], [8, 0], [0, 8], [0, 0], [3, 0], [0, 3]], np.float64)
    depth = np.array([2, 2, 2, 1, 1, 1], np.float64)
    hit, weights = heads.rasterise(at, depth, np.arange(6).reshape(2, 3), 10)
    assert hit[0, 0] == 1 and hit[4, 2] == 0 and hit[9, 9] == -1
    # A pixel lies where the weights of its triangle's corners put it.
    assert weights[4, 2] @ at[:3] == pytest.approx((2, 4))


def test_what_users_get_wrong(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="16 px"):
        heads.make_head(0, size=8)
    wrong = tmp_path / "bank.safetensors"
    wrong.write_text("no bank")
    with pytest.raises(CorpusError, match="no bank of heads"):
        head_bank.read_head_bank(wrong)
    monkeypatch.setitem(sys.modules, "warp", None)
    with pytest.raises(MissingPart, match=r"ma2mi\[heads\]"):
        heads._head_model.__wrapped__()
