"""Videos of rendered heads: ground truth in the pictures, and the same seed the same bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("cv2")

from ma2mi.errors import FaceError, SettingsError
from ma2mi.motion import REGIONS, FlowSettings, flow
from ma2mi.synthesis import SyntheticSettings, make_subject
from ma2mi.synthesis.head_video import HeadPose, HeadVideo, make_head_video
from ma2mi.synthesis.heads import LANDMARKS
from ma2mi.synthesis.long_video import make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings

# Building anny's cache takes minutes where it was never used; with it these tests take seconds.
pytestmark = pytest.mark.slow

STILL = SyntheticSettings(
    **{"noise": 0, "blink_rate": 0, "flicker": 0, "gaze_rate": 0},
    **{"head_drift_px": 0, "head_turn_deg": 0, "head_tremor_px": 0},
)
NOTHING = LongVideoSettings(
    **{"duration_s": 0.4, "micro_count": 0, "macro_count": 0, "speech_count": 0},
    head_move_rate=0,
    scene=STILL,
)
SIZE = (160, 200)


@pytest.fixture(scope="module", autouse=True)
def _anny():
    pytest.importorskip("anny")


@pytest.fixture(scope="module")
def still():
    """A head that does nothing; tests give it tracks and poses of their own."""
    return make_head_video(seed=3, fps=Fraction(10), plan=NOTHING, size=SIZE, face_px=90)


@pytest.fixture(scope="module")
def lively():
    plan = LongVideoSettings.lifelike(30.0)
    return make_head_video(seed=4, fps=Fraction(10), plan=plan, size=SIZE, face_px=90)


@pytest.fixture
def acting(still):
    """Give the head tracks, and a pose in its second frame; undone afterwards."""
    tracks, head, gaze = still.tracks, still.head, still.gaze

    def act(weights=None, **pose):
        once = np.zeros(still.frame_count, np.float32)
        once[1] = 1
        still.tracks = {
            (number, side): weight * once
            for number, weight in (weights or {}).items()
            for side in ("L", "R")
        }
        still.gaze = np.zeros_like(gaze)
        rest = {"yaw": 0, "pitch": 0, "roll": 0, "x": 0, "y": 0, "distance": head.distance[0]}
        still.head = HeadPose(**{k: v + once * (pose.get(k, v) - v) for k, v in rest.items()})
        return still

    yield act
    still.tracks, still.head, still.gaze = tracks, head, gaze


def test_same_seed_same_bytes(lively):
    plan = LongVideoSettings.lifelike(30.0)
    again, other = (
        make_head_video(seed=seed, fps=Fraction(10), plan=plan, size=SIZE, face_px=90)
        for seed in (4, 5)
    )
    assert lively.frame(7).tobytes() == again.frame(7).tobytes()
    assert lively.frame(7).tobytes() == lively.frame(7).tobytes()
    assert lively.frame(7).tobytes() != other.frame(7).tobytes()
    assert lively.frame(7).shape == (*SIZE, 3) and lively.frame(7).dtype == np.uint8


def test_events_are_the_plan_s_and_as_large_as_planned(lively):
    plan = lively.plan_video
    assert lively.fps == 10 and lively.frame_count == plan.frame_count == 300
    assert [replace(event, peak_px=0) for event in lively.events] == [
        replace(event, peak_px=0) for event in plan.events
    ]
    assert set(lively.tracks) == set(plan.tracks)
    kinds = ("micro", "macro")
    for shown, planned in zip(lively.of_kind(*kinds), plan.of_kind(*kinds), strict=True):
        if planned.kind == "micro" or planned.peak_px < 3:
            assert shown.peak_px == pytest.approx(planned.peak_px, rel=0.02)
        else:  # what the shapes cannot do is held back
            assert 0.5 * planned.peak_px < shown.peak_px < 1.02 * planned.peak_px


def test_true_flow_is_where_the_landmarks_go(acting):
    video = acting({"12": 1.0, "26": 1.0}, yaw=6.0, pitch=3.0, x=0.004)
    moved, mask = video.true_flow(0, 1)
    before, after = video.points(0), video.points(1)
    assert mask.mean() > 0.1 and not moved[~mask].any()
    for name in LANDMARKS:
        if "eye outer" in name or "nose" in name or name == "chin":  # no lip or lid slides there
            x, y = (round(value) for value in before[name])
            told = np.array(after[name]) - before[name]
            around = (slice(y - 1, y + 2), slice(x - 1, x + 2))
            assert np.hypot(*(moved[around][mask[around]].mean(axis=0) - told)) < 0.5


def test_a_fifth_of_a_pixel_is_in_the_picture(acting):
    video = acting(x=0.0)
    step = 0.2 / video.points(0)["left eye outer"][0]  # any metres, then scaled to 0.2 px
    video = acting(x=step)
    step *= 0.2 / video.true_flow(0, 1)[0][..., 0].max()
    video = acting(x=step)
    truth, mask = video.true_flow(0, 1)
    seen = flow(video.frame(0), video.frame(1)[None], mask=mask)[0]
    assert truth[mask, 0].mean() == pytest.approx(0.2, abs=0.02)
    assert np.median(seen[mask, 0]) == pytest.approx(truth[mask, 0].mean(), abs=0.04)
    assert abs(np.median(seen[mask, 1])) < 0.02


def test_brows_rise_in_the_picture(acting):
    video = acting({"1": 0.3, "2": 0.3})
    truth, mask = video.true_flow(0, 1)
    soft = FlowSettings(presmooth_px=0.4, warps=1, curvature=1e-3)  # as long videos are measured
    seen = flow(video.frame(0), video.frame(1)[None], settings=soft, mask=mask)[0]
    strong = truth[..., 1] < 0.6 * truth[..., 1].min()
    assert -1.5 < truth[..., 1].min() < -0.3  # px, upwards
    assert 0.6 < seen[strong, 1].mean() / truth[strong, 1].mean() < 1.1


def test_the_head_turns_to_the_subject_s_left_and_down(acting):
    video = acting(yaw=20.0)
    nose, eye = (video.points(1)[name][0] for name in ("nose tip", "between the eyes"))
    assert nose > eye + 1  # the subject's left is the image's right
    video = acting(pitch=15.0)
    assert video.points(1)["nose tip"][1] > video.points(0)["nose tip"][1] + 1
    video = acting(roll=10.0)
    chin, nose = (video.points(1)[name][0] for name in ("chin", "nose tip"))
    assert chin < nose - 1  # the top goes to the right, the chin to the left
    video = acting(distance=1.5 * video.head.distance[0])
    wide = [video.points(index)["left eye outer"][0] for index in (0, 1)]
    narrow = [video.points(index)["right eye outer"][0] for index in (0, 1)]
    assert wide[1] - narrow[1] == pytest.approx((wide[0] - narrow[0]) / 1.5, rel=0.05)


def test_region_places_follow_the_tracks(acting):
    places = acting({"12": 1.0}).region_places()
    assert places.shape == (4, len(REGIONS), 2) and not places[0].any()
    right, left = (list(REGIONS).index(f"{side}_lip_corner") for side in ("right", "left"))
    assert places[1, left, 0] > 1 and places[1, right, 0] < -1  # outwards
    assert places[1, [left, right], 1].max() < -1  # and up
    assert np.allclose(acting({"12": 1.0}).region_places(np.array([1])), places[1:2])


def test_the_landmark_net_sees_blinks_and_jaw_drops(acting):
    from ma2mi.face.detect import FaceDetector
    from ma2mi.motion.region_tracker import openings

    try:
        detector = FaceDetector()
    except FaceError as error:
        pytest.skip(str(error))
    rest = detector.detect(acting().frame(0))
    assert len(rest) == 1 and rest[0].confidence > 0.9
    points = acting().points(0)
    width = points["left eye outer"][0] - points["right eye outer"][0]
    for name, number in (
        ("right eye outer", 33),
        ("left eye outer", 263),
        ("left mouth corner", 291),
    ):
        assert np.hypot(*(rest[0].points[number] - points[name])) < 0.08 * width
    blink = detector.follow(acting({"45": 1.0}).frame(1), rest[0])
    jaw = detector.follow(acting({"25": 0.5, "26": 2.0}).frame(1), rest[0])
    assert openings(blink).eye < 0.6 * openings(rest[0]).eye
    assert openings(jaw).mouth > openings(rest[0]).mouth + 0.15


def test_what_users_get_wrong(still):
    planned = make_long_video(make_subject(0), seed=0, fps=Fraction(10), plan=NOTHING)
    with pytest.raises(SettingsError, match="face of 500 px"):
        HeadVideo(planned, 0, size=SIZE, face_px=500)
    planned.tracks["99", "L"] = np.zeros(planned.frame_count, np.float32)
    with pytest.raises(SettingsError, match="unit 99"):
        HeadVideo(planned, 0, size=SIZE, face_px=90)
    with pytest.raises(IndexError, match=re.escape("frame 4 of a video of 4 frames")):
        still.frame(4)
