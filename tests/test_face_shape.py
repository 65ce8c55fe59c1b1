"""A face in its own frame: what the head does leaves no trace, what the face does stays."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ma2mi.face.landmarks import Face
from ma2mi.motion import REGIONS
from ma2mi.motion.shape import EYE_DISTANCE_PX, STABLE, Shape, face_shape, landmark_flow


def solid_face(seed: int = 0) -> np.ndarray:
    """[478, 3] in eye distances: stable points where they belong, the others anywhere near."""
    points = np.random.default_rng(seed).uniform((-0.7, -0.5, -0.4), (0.7, 1.2, 0.5), (478, 3))
    points[[*STABLE]] = [*STABLE.values()]
    return points


def seen(points: np.ndarray, turn: Rotation | None = None, scale: float = 80.0) -> Face:
    """As a camera far away sees it: turned, enlarged and moved."""
    turned = points if turn is None else turn.apply(points)
    image = scale * turned + (320, 240, 7)
    flat = image[:, :2].astype(np.float32)
    (x0, y0), (x1, y1) = flat.min(axis=0).tolist(), flat.max(axis=0).tolist()
    return Face(flat, 1.0, (x0, y0, x1, y1), image[:, 2].astype(np.float32))


def shape_of(face: Face) -> Shape:
    shape = face_shape(face)
    assert shape is not None
    return shape


@pytest.mark.parametrize("angles", [(20, 0, 0), (0, -15, 0), (0, 0, 30), (12, 8, -5)])
@pytest.mark.parametrize("scale", [20.0, 200.0])
def test_turn_size_and_place_leave_no_trace(angles: tuple[int, int, int], scale: float) -> None:
    points = solid_face()
    still = shape_of(seen(points))
    turn = Rotation.from_euler("yxz", angles, degrees=True)
    turned = shape_of(seen(points, turn, scale))
    assert turned.positions == pytest.approx(still.positions, abs=1e-2)
    assert turned.mouth == pytest.approx(still.mouth, abs=1e-3)
    # scipy's own answer to the same question.
    stable = points[[*STABLE]] - points[[*STABLE]].mean(axis=0)
    image = turn.apply(points)[[*STABLE]]
    other, _ = Rotation.align_vectors(image - image.mean(axis=0), stable)
    assert other.magnitude() == pytest.approx(turn.magnitude(), abs=1e-6)
    assert np.linalg.norm(turned.turn) == pytest.approx(np.degrees(turn.magnitude()), rel=0.05)


def test_a_raised_brow_moves_by_as_much_as_it_does() -> None:
    points = solid_face()
    raised = points.copy()
    names = list(REGIONS)
    for name in ("right_inner_brow", "left_inner_brow"):
        raised[list(REGIONS[name].landmarks), 1] -= 0.05
    turn = Rotation.from_euler("y", 15, degrees=True)
    moved = shape_of(seen(raised, turn)).positions - shape_of(seen(points)).positions
    brow = moved[names.index("right_inner_brow")]
    assert brow == pytest.approx((0, -0.05 * EYE_DISTANCE_PX), abs=0.02)
    assert moved[names.index("chin")] == pytest.approx((0, 0), abs=0.02)


def test_without_depths_there_is_no_shape() -> None:
    face = seen(solid_face())
    assert face_shape(Face(face.points, 1.0, face.box)) is None
    heap = np.zeros((478, 2), np.float32)
    assert face_shape(Face(heap, 1.0, (0, 0, 0, 0), np.zeros(478, np.float32))) is None


def test_a_landmark_flow_is_linear_between_landmarks_and_nothing_outside() -> None:
    rng = np.random.default_rng(1)
    positions = rng.uniform(20, 100, (478, 2))
    moved = positions @ np.array([[0.05, 0.0], [0.02, -0.03]]) + (1, 2)
    field = landmark_flow(positions, moved, (128, 128))
    assert field.shape == (128, 128, 2)
    assert field.dtype == np.float32
    want = np.array([60, 50]) @ np.array([[0.05, 0.0], [0.02, -0.03]]) + (1, 2)
    assert field[50, 60] == pytest.approx(want, abs=0.02)
    assert not field[:5].any()
