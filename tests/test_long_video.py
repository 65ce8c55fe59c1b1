"""Long synthetic videos: what is planted is what is told, and nothing overlaps."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from ma2mi.datasets.synthetic import SyntheticSettings, make_person
from ma2mi.datasets.synthetic.long_video import LongVideo, LongVideoSettings, make_long_video
from ma2mi.errors import SettingsError
from ma2mi.face.motion import REGIONS

SMALL = LongVideoSettings(
    duration_s=30,
    micro_count=4,
    macro_count=2,
    speech_count=1,
    scene=SyntheticSettings(size=96),
)


@pytest.fixture(scope="module")
def video() -> LongVideo:
    return make_long_video(make_person(7), seed=3, plan=SMALL)


def test_counts_and_order(video: LongVideo) -> None:
    assert video.frame_count == 900
    assert [len(video.of_kind(kind)) for kind in ("micro", "macro", "speech")] == [4, 2, 1]
    assert len(video.of_kind("blink")) > 2
    onsets = [event.onset for event in video.events]
    assert onsets == sorted(onsets)
    for event in video.events:
        assert 0 <= event.onset <= event.apex <= event.offset < video.frame_count


def test_expressions_keep_apart(video: LongVideo) -> None:
    planned = video.of_kind("micro", "macro", "speech")
    for one, other in pairwise(planned):
        assert other.onset - one.offset >= 0.95 * SMALL.apart_s * 30


def test_micro_expressions_are_brief_and_small(video: LongVideo) -> None:
    low, high = SMALL.scene.micro_peak_px
    for event in video.of_kind("micro"):
        assert 4 <= event.offset - event.onset <= 0.4 * 30 + 1
        assert 0.5 * low <= event.peak_px <= 1.5 * high
        assert event.emotion and event.action_units


def test_nothing_moves_outside_of_events(video: LongVideo) -> None:
    moving = np.zeros(video.frame_count, bool)
    for event in video.events:
        moving[event.onset : event.offset + 1] = True
    moved = np.abs(video.region_places()).max(axis=(1, 2))
    assert moved[~moving].max() == 0
    for event in video.of_kind("micro", "macro"):
        assert moved[event.apex] > 0


def test_region_places_are_linear_and_follow_units() -> None:
    plan = SMALL.model_copy(
        update={"scene": SMALL.scene.model_copy(update={"blink_rate": 0.0}), "speech_count": 0}
    )
    video = make_long_video(make_person(8), seed=5, plan=plan)
    brow = list(REGIONS).index("left_inner_brow")
    track = np.zeros(video.frame_count, np.float32)
    track[10] = 1.0
    video.tracks = {("1", "L"): track}
    places = video.region_places(np.array([9, 10]))
    assert places.shape == (2, len(REGIONS), 2)
    assert places[0].max() == 0
    assert places[1, brow, 1] < -2  # the inner brow raiser lifts the inner brow
    assert np.hypot(*places[1].T).argmax() == brow


def test_same_seed_same_frames(video: LongVideo) -> None:
    again = make_long_video(make_person(7), seed=3, plan=SMALL)
    assert again.events == video.events
    frame = video.frame(17)
    assert frame.shape == (96, 96, 3)
    assert frame.dtype == np.uint8
    assert np.array_equal(frame, again.frame(17))
    other = make_long_video(make_person(7), seed=4, plan=SMALL)
    assert other.events != video.events


def test_the_head_and_the_eyes_move_but_stay(video: LongVideo) -> None:
    middle = video.head @ (192, 192, 1)
    assert middle.std(axis=0).min() > 0.3
    assert 0 < middle.min() < middle.max() < 96
    assert np.abs(video.gaze).max() <= 5
    assert video.gaze.std() > 0.5


def test_frame_rate_changes_frames_not_seconds() -> None:
    fast = make_long_video(make_person(7), seed=3, fps=Fraction(200), plan=SMALL)
    assert fast.frame_count == 6000
    for event in fast.of_kind("micro"):
        assert 0.15 < (event.offset - event.onset) / 200 < 0.41


def test_per_minute_keeps_the_density() -> None:
    plan = LongVideoSettings().per_minute(2)
    assert plan.duration_s == 120
    assert (plan.micro_count, plan.macro_count, plan.speech_count) == (4, 2, 2)
    assert LongVideoSettings(speech_count=0).per_minute(1).speech_count == 0


def test_too_much_for_too_little_time() -> None:
    with pytest.raises(SettingsError, match="too short"):
        make_long_video(make_person(1), seed=1, plan=SMALL.model_copy(update={"micro_count": 40}))


def test_no_events_at_all() -> None:
    plan = LongVideoSettings(
        duration_s=2,
        micro_count=0,
        macro_count=0,
        speech_count=0,
        head_move_rate=0,
        scene=SyntheticSettings(size=96, blink_rate=0, gaze_rate=0),
    )
    video = make_long_video(make_person(2), seed=1, plan=plan)
    assert video.events == ()
    assert not video.region_places().any()
