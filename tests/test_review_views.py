"""Pictures of a face for review, on NASA's public-domain portrait of Eileen Collins."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from ma2mi.face.detect import FaceDetector
from ma2mi.motion import flow
from ma2mi.motion.regions import REGIONS, region_mask
from ma2mi.review.movement import bin_curve, lane_of, noise_floor_of
from ma2mi.review.recordings import ReviewedVideo
from ma2mi.review.views import ALIGNED, FaceViews, ViewRequest
from ma2mi.video import write_video
from smiles import pull_corners

APEX = 5


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """A smile that grows by 0.15 px a frame, lossless, without an analysis."""
    path = tmp_path_factory.mktemp("views") / "smile.mkv"
    portrait, detector = np.ascontiguousarray(astronaut()[0:250, 70:370]), FaceDetector()
    (face,) = detector.detect(portrait)
    frames = [pull_corners(portrait, face, 0.15 * number) for number in range(APEX + 1)]
    frames = [np.clip(np.round(one), 0, 255).astype(np.uint8) for one in frames]
    write_video(path, frames, Fraction(25), lossless=True)
    video = ReviewedVideo(0, None, path)
    video.open()
    yield FaceViews(video, detector)
    video.close()


def shown(views, view, frame):
    coded = views.picture(ViewRequest(view, frame, 0, APEX), kind="png")
    image = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return cv2.resize(image, (ALIGNED.size, ALIGNED.size), interpolation=cv2.INTER_AREA)


def corner_px(one, other):
    """How far the lip corners went, px."""
    moved = flow(one, other)[0]
    corners = [region_mask(REGIONS[f"{side}_lip_corner"], moved.shape[:2])
               for side in ("left", "right")]  # fmt: skip
    return float(np.mean([np.hypot(*moved[corner].mean(axis=0)) for corner in corners]))


def test_magnified_movement_goes_farther(views):
    times = views.times(ViewRequest("magnified", 0, 0, APEX))
    assert 1 < times < 20
    plain = views._movement(ViewRequest("magnified", APEX, 0, APEX))[0]
    still = shown(views, "magnified", 0)
    as_it_is, magnified = corner_px(still, plain), corner_px(still, shown(views, "magnified", APEX))
    assert magnified > 2 * as_it_is > 0.5


def test_arrows_grow_with_the_movement(views):
    plain = views._movement(ViewRequest("flow", 0, 0, APEX))[0]
    changed = []
    for frame in (0, 2, APEX):
        crop = views._movement(ViewRequest("flow", frame, 0, APEX))[0]
        changed.append(int((np.abs(shown(views, "flow", frame).astype(int) - crop) > 40).sum()))
    assert changed[0] < changed[1] < changed[2]
    assert plain.shape == (ALIGNED.size, ALIGNED.size, 3)


def test_a_close_picture_has_the_pixels_of_the_video(views):
    coded = views.picture(ViewRequest("face", 3, 0, APEX), kind="png")
    close = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    image = views._video.frames.image(3)
    middle = np.ascontiguousarray(close[20:-20, 20:-20])
    found = cv2.matchTemplate(image, middle, cv2.TM_SQDIFF)
    top, left = np.unravel_index(found.argmin(), found.shape)
    height, width = middle.shape[:2]
    assert np.array_equal(image[top : top + height, left : left + width], middle)


def test_a_curve_keeps_its_peaks_however_few_its_bins():
    curve = np.zeros(1000)
    curve[[3, 500, 999]] = 1, 2, 3
    curve[700:750] = np.nan
    binned = bin_curve(curve, 0, 999, 20)
    assert (binned[0], binned[10], binned[19], binned[14]) == (1, 2, 3, None)
    assert len(bin_curve(curve, 10, 14, 100)) == 5


def test_the_noise_floor_is_that_of_the_quietest_seconds():
    times = np.arange(0, 20, 0.04)
    curve = np.where(times < 4, 0.1, 1.0)
    assert noise_floor_of(curve, times) == pytest.approx(0.12)
    assert np.isnan(noise_floor_of(np.full(5, np.nan), times[:5]))


def test_every_region_has_a_lane():
    assert {lane_of(name) for name in REGIONS} == {"brows", "eyes", "cheeks and nose", "mouth"}
