"""ma2mi.face.align on made-up points and pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ma2mi.errors import FaceError
from ma2mi.face.align import Template, estimate_warp, warp_image, warp_points
from ma2mi.face.landmarks import Face

TEMPLATE = Template()


def similarity(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


def inverse(warp: np.ndarray) -> np.ndarray:
    return np.linalg.inv(np.vstack([warp, [0, 0, 1]]))[:2]


def face_at(points: np.ndarray) -> Face:
    return Face(points, 1.0, (0.0, 0.0, 1.0, 1.0))


def canonical_points(template: Template = TEMPLATE) -> np.ndarray:
    """Float64 [478, 2]: a face that lies on the template; the other points anywhere."""
    points = np.random.default_rng(0).uniform(0, template.size, (478, 2))
    for index, x, y in template.anchors:
        points[index] = np.array([x, y]) * template.size - 0.5
    return points


@given(st.floats(0.1, 10), st.floats(-3.1, 3.1), st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_known_similarity_is_recovered(scale: float, angle: float, x: float, y: float) -> None:
    placed = similarity(scale, angle, x, y)
    warp = estimate_warp(face_at(warp_points(canonical_points(), placed)), TEMPLATE)
    np.testing.assert_allclose(warp[:, :2], inverse(placed)[:, :2], atol=1e-9)
    there_and_back = warp_points(warp_points(canonical_points(), placed), warp)
    np.testing.assert_allclose(there_and_back, canonical_points(), atol=1e-9)


def test_expression_does_not_move_the_crop() -> None:
    points = canonical_points()
    stable = [index for index, _, _ in TEMPLATE.anchors]
    moved = points + 5.0
    moved[stable] = points[stable]
    np.testing.assert_array_equal(
        estimate_warp(face_at(moved), TEMPLATE), estimate_warp(face_at(points), TEMPLATE)
    )


def test_noise_on_one_point_is_shared_among_all() -> None:
    points = canonical_points()
    points[TEMPLATE.anchors[4][0]] += (0.0, 7.0)
    moved = warp_points(canonical_points(), estimate_warp(face_at(points), TEMPLATE))
    shift = np.abs(moved - canonical_points())[[index for index, _, _ in TEMPLATE.anchors]]
    assert 0.5 < shift.max() < 2


def test_template_is_symmetrical_and_scales_with_its_size() -> None:
    places = {(x, y) for _, x, y in TEMPLATE.anchors}
    assert {(round(1 - x, 9), y) for x, y in places} == places
    small = Template(size=112)
    warp = estimate_warp(face_at(canonical_points(TEMPLATE)), small)
    np.testing.assert_allclose(warp[:, :2], np.eye(2) / 2, atol=1e-12)
    np.testing.assert_allclose(warp[:, 2], -0.25, atol=1e-9)  # pixel centres, not edges


def test_points_without_direction_are_refused() -> None:
    for points in (np.ones((478, 2)), np.full((478, 2), np.nan)):
        with pytest.raises(FaceError, match="no direction"):
            estimate_warp(face_at(points), TEMPLATE)


def blob(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    light = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return np.repeat(np.round(light)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.7, 0.6, 0.4, 0.23])  # both kinds of sampling
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_warp_image_puts_a_point_in_its_place(scale: float, angle: float) -> None:
    x, y = 301.3, 222.6
    image = blob(480, 640, x, y, radius=6 / scale)
    turned = similarity(scale, angle, 0, 0)
    turned[:, 2] = (103.4, 118.9) - warp_points(np.array([[x, y]]), turned)[0]
    crop = warp_image(image, turned, TEMPLATE)
    assert crop.shape == (224, 224, 3)
    assert crop.dtype == np.uint8
    weight = crop[..., 0].astype(float)
    rows, columns = np.mgrid[:224, :224]
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    np.testing.assert_allclose(centre, (103.4, 118.9), atol=0.05)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 200  # one pixel wide: at a third of the size only their mean can be seen
    crop = warp_image(stripes, similarity(1 / 3, 0, 0, 0), TEMPLATE)
    assert np.abs(crop.astype(int) - 100).max() < 40
    assert abs(crop.mean() - 100) < 2


def test_border_pixels_go_on_outside_the_image() -> None:
    image = np.full((50, 50, 3), 90, np.uint8)
    image[:, -1] = 30
    crop = warp_image(image, similarity(1, 0, 0, 0), TEMPLATE)
    assert (crop[:, 100] == 30).all()
    assert (crop[100, :49] == 90).all()


def track(times: np.ndarray) -> np.ndarray:
    return np.stack([similarity(1 + 0.02 * t, 0.1 * t, 40 - 9 * t, 30 + 4 * t) for t in times])
