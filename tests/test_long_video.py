"""Long synthetic videos: the ground truth is what is rendered, frame by frame."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from ma2mi.errors import SettingsError
from ma2mi.motion import REGIONS
from ma2mi.synthesis import SyntheticSettings, make_subject
from ma2mi.synthesis.expression_plan import (
    BROWS,
    PROTOTYPES,
    UPPER_FACE,
    begin_within,
    end_within,
    plan_expression,
)
from ma2mi.synthesis.long_video import (
    ExpressionSettings,
    LongVideo,
    PoseSettings,
    TalkSettings,
    make_long_video,
)
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.synthesis.movement import face_field, peak_displacement
from ma2mi.synthesis.other_plan import OTHERS, plan_other
from ma2mi.synthesis.pose_plan import plan_turns
from ma2mi.synthesis.speech_plan import plan_talk

SMALL = LongVideoSettings(
    duration_s=30,
    micro_count=4,
    macro_count=2,
    speech_count=1,
    scene=SyntheticSettings(size=96),
)


@pytest.fixture(scope="module")
def video() -> LongVideo:
    return make_long_video(make_subject(7), seed=3, plan=SMALL)


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
    video = make_long_video(make_subject(8), seed=5, plan=plan)
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
    again = make_long_video(make_subject(7), seed=3, plan=SMALL)
    assert again.events == video.events
    frame = video.frame(17)
    assert frame.shape == (96, 96, 3)
    assert frame.dtype == np.uint8
    assert np.array_equal(frame, again.frame(17))
    other = make_long_video(make_subject(7), seed=4, plan=SMALL)
    assert other.events != video.events


def test_the_head_and_the_eyes_move_but_stay(video: LongVideo) -> None:
    middle = video.head @ (192, 192, 1)
    assert middle.std(axis=0).min() > 0.3
    assert 0 < middle.min() < middle.max() < 96
    assert np.abs(video.gaze).max() <= 5
    assert video.gaze.std() > 0.5


def test_frame_rate_changes_frames_not_seconds() -> None:
    fast = make_long_video(make_subject(7), seed=3, fps=Fraction(200), plan=SMALL)
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
        make_long_video(make_subject(1), seed=1, plan=SMALL.model_copy(update={"micro_count": 40}))


def test_no_events_at_all() -> None:
    plan = LongVideoSettings(
        duration_s=2,
        micro_count=0,
        macro_count=0,
        speech_count=0,
        head_move_rate=0,
        scene=SyntheticSettings(size=96, blink_rate=0, gaze_rate=0),
    )
    video = make_long_video(make_subject(2), seed=1, plan=plan)
    assert video.events == ()
    assert not video.region_places().any()


# -- lifelike ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lifelike() -> LongVideo:
    plan = LongVideoSettings.lifelike(90, scene=SyntheticSettings(size=96, neck_follows=True))
    return make_long_video(make_subject(9), seed=5, plan=plan)


def test_lifelike_plans_fit_their_length() -> None:
    subject = make_subject(9)
    for seconds, seed in ((5, 1), (12, 2), (30, 3), (60, 4), (60, 5)):
        for fps in (25, 30):
            plan = LongVideoSettings.lifelike(seconds)
            video = make_long_video(subject, seed=seed, fps=Fraction(fps), plan=plan)
            assert video.frame_count == seconds * fps
            assert len(video.of_kind("speech")) == plan.speech_count
            assert len(video.of_kind("macro")) >= plan.macro_count
            for event in video.events:
                assert 0 <= event.onset <= event.apex <= event.offset < video.frame_count


def test_nothing_moves_outside_of_lifelike_events(lifelike: LongVideo) -> None:
    moving = np.zeros(lifelike.frame_count, bool)
    for event in lifelike.events:
        if event.kind != "head":
            moving[event.onset + 1 : event.offset] = True
            moving[event.onset] |= event.begun
            moving[event.offset] |= event.unfinished
    moved = np.abs(lifelike.region_places()).max(axis=(1, 2))
    assert moved[~moving].max() < 1e-6
    assert moving.mean() < 0.9


def test_only_brows_meet_speech(lifelike: LongVideo) -> None:
    planned = lifelike.of_kind("micro", "macro", "speech", "other")
    for one, other in pairwise(planned):
        if one.kind == "speech" and other.onset <= one.offset:
            assert other.offset <= one.offset
            assert {code.strip("LR") for code in other.action_units} <= UPPER_FACE
    plan = lifelike.plan.model_copy(update={"talk": TalkSettings(brows_rate=1)})
    always = make_long_video(make_subject(9), seed=5, plan=plan)
    speech, macro = always.of_kind("speech"), always.of_kind("macro")
    meanwhile = [m for m in macro for s in speech if s.onset <= m.onset and m.offset <= s.offset]
    assert len(meanwhile) == len(speech) == plan.speech_count
    assert len(macro) == plan.macro_count + plan.speech_count


def expression(seed: int, fps: float = 30, **settings: object):
    given = ExpressionSettings(**({"blend_share": 0.0} | settings))
    rng = np.random.default_rng(seed)
    return plan_expression(make_subject(9), rng, fps, given, asymmetry=0.2)


def test_a_held_expression_has_ramps_and_a_hold() -> None:
    piece = expression(
        3, 100, onset_s=(0.5, 0.5), held_share=1, held_s=(4, 4), offset_s=(1, 1), unsteadiness=0.05
    )
    event = piece.event
    assert (event.onset, event.apex, event.offset) == (0, 50, 550)
    first = piece.tracks[event.action_units[0].strip("LR"), "L"]
    assert len(first) == len(piece) == 551
    assert first[0] == first[550] == 0
    assert (np.diff(first[:51]) > 0).all()
    assert (np.diff(first[450:]) < 0).all()
    full = first[50]
    assert first[25] == pytest.approx(full / 2)  # the ramp of least jerk is even about its middle
    assert first[20] == pytest.approx(full * 0.31744)  # 0.4^3 (10 - 15 * 0.4 + 6 * 0.4^2)
    hold = first[50:451] / full
    assert 0.005 < hold.std() < 0.1
    assert 0.8 < hold.min() < hold.max() < 1.2


def test_expressions_have_the_promised_size_and_length() -> None:
    peaks, seconds = [], []
    for seed in range(60):
        piece = expression(seed, held_share=0, hold_s=(0.1, 2.2))
        weights = {name: track[piece.event.apex] for name, track in piece.tracks.items()}
        peak = peak_displacement(face_field(make_subject(9), weights))
        assert peak == pytest.approx(piece.event.peak_px, rel=0.01)
        peaks.append(peak)
        seconds.append(piece.event.offset / 30)
    assert 0.5 <= min(peaks) < 1.0
    assert 12 < max(peaks) <= 26
    assert 1.5 < np.median(peaks) < 6  # log-uniform, cut off at what the units reach
    assert 0.4 < min(seconds) < 1.2
    assert 2.5 < max(seconds) <= 4.01


def test_jaws_drop_far_and_prototypes_have_names() -> None:
    pieces = [expression(seed, prototype_share=1, peak_px=(25, 26)) for seed in range(40)]
    assert {piece.event.what for piece in pieces} == set(PROTOTYPES)
    jaws = [piece.event for piece in pieces if piece.event.what == "jaw drop"]
    assert min(event.peak_px for event in jaws) > 15
    assert max(event.peak_px for event in jaws) > 25
    assert all("26" in event.action_units and event.emotion == "surprise" for event in jaws)


def test_a_blend_joins_two_emotions() -> None:
    for seed in range(8):
        event = expression(seed, blend_share=1).event
        numbers = [code.strip("LR") for code in event.action_units]
        assert event.blended_with not in ("", event.emotion)
        assert 0 < sum(number in UPPER_FACE for number in numbers) < len(numbers)


def test_expressions_that_the_video_cuts() -> None:
    whole = expression(1, 30, held_share=1, held_s=(3, 3))
    first = whole.event.action_units[0].strip("LR"), "L"
    full = whole.tracks[first][whole.event.apex]
    rng = np.random.default_rng(0)
    begun, ended = begin_within(whole, rng), end_within(whole, rng)
    assert begun.event.begun
    assert (begun.event.onset, begun.event.apex) == (0, 0)
    assert begun.tracks[first][0] > 0.8 * full
    assert begun.tracks[first][-1] == 0
    assert len(begun.tracks[first]) == len(begun) < len(whole)
    assert ended.event.unfinished
    assert ended.tracks[first][0] == 0
    assert ended.tracks[first][-1] > 0.8 * full
    assert len(ended.tracks[first]) == len(ended) < len(whole)

    plan = LongVideoSettings.lifelike(40).model_copy(
        update={"expressions": ExpressionSettings(begun_rate=1, unfinished_rate=1)}
    )
    video = make_long_video(make_subject(9), seed=1, plan=plan)
    cut = [event for event in video.of_kind("macro") if event.begun or event.unfinished]
    assert [event.onset for event in cut if event.begun] == [0]
    assert [event.offset for event in cut if event.unfinished] == [video.frame_count - 1]
    assert len(cut) == 2
    assert np.abs(video.region_places(np.array([0, video.frame_count - 1]))).max(axis=(1, 2)).all()


@pytest.mark.parametrize("hertz", [2.0, 4.0, 7.0])
def test_talk_has_the_rhythm_of_syllables(hertz: float) -> None:
    settings = TalkSettings(syllable_hz=(hertz, hertz), phrase_s=(20, 20))
    piece = plan_talk(np.random.default_rng(2), 100, 1500, settings)
    lips = piece.tracks["25", "L"]
    assert len(lips) == len(piece)
    assert lips[0] == lips[-1] == 0
    assert lips[1:-1].max() == lips.max() > 0
    peaks = ((lips[1:-1] > lips[:-2]) & (lips[1:-1] >= lips[2:])).sum()
    assert peaks / (len(lips) / 100) == pytest.approx(hertz, rel=0.15)


def test_talk_pauses_between_phrases() -> None:
    settings = TalkSettings(syllable_hz=(5, 5), phrase_s=(1, 1), pause_s=(0.5, 0.5))
    piece = plan_talk(np.random.default_rng(2), 100, 1000, settings)
    still = piece.tracks["25", "L"] == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(int)))
    pauses = (edges[1::2] - edges[::2]) / 100
    assert np.sum(np.abs(pauses - 0.5) < 0.03) >= 4
    assert piece.event.apex == (piece.tracks["25", "L"] + 2 * piece.tracks["26", "L"]).argmax()


def test_other_movements_start_and_end_at_rest() -> None:
    pieces = [plan_other(np.random.default_rng(seed), 30) for seed in range(40)]
    assert {piece.event.what for piece in pieces} == set(OTHERS)
    for piece in pieces:
        assert piece.event.kind == "other"
        for track in piece.tracks.values():
            assert len(track) == len(piece)
            assert abs(track[0]) < 1e-6
            assert abs(track[-1]) < 1e-6
            assert track.max() > 0
    yawns = [piece for piece in pieces if piece.event.what == "yawn"]
    assert min(piece.tracks["26", "L"].max() for piece in yawns) > 1.1


def test_eyes_that_a_yawn_closes_stay_closed() -> None:
    for seed in range(60):
        plan = LongVideoSettings(
            duration_s=12, micro_count=0, macro_count=0, speech_count=0, other_count=1
        )
        video = make_long_video(make_subject(9), seed=seed, plan=plan)
        (event,) = video.of_kind("other")
        if event.what == "yawn":
            assert video.tracks["45", "L"][event.apex] > 0.25
            assert (video.tracks["45", "L"] >= video.blink).all()
            return
    pytest.fail("nobody yawned")


def test_the_head_turns_nods_and_leans() -> None:
    rng = np.random.default_rng(4)
    settings = PoseSettings(turn_rate=10, nod_rate=6, lean_rate=6, sway_deg=0, bob_deg=0)
    pose, events = plan_turns(rng, 30, 5400, settings, [])
    assert pose.shape == (5400, 4)
    assert {event.what for event in events} == {"turn", "nod", "shake", "lean"}
    for event in events:
        if event.what == "turn" and event.offset < 5399:
            assert 0.4 * 30 - 1 <= event.offset - event.onset <= 1.5 * 30 + 2
    moved = np.abs(np.diff(pose, axis=0)).max(axis=1) > 1e-9
    said = np.zeros(5400, bool)
    for event in events:
        said[event.onset : event.offset + 1] = True
    assert not moved[~said[:-1] & ~said[1:]].any()
    assert np.abs(pose[:, 0]).max() > 10
    assert np.abs(pose[:, :3]).max(axis=0)[2] < 15.1
    assert 0.79 < pose[:, 3].min() < 0.95 < 1.05 < pose[:, 3].max() < 1.26


def test_a_talker_bobs() -> None:
    settings = PoseSettings(turn_rate=0, nod_rate=0, lean_rate=0, sway_deg=0)
    talk = plan_talk(np.random.default_rng(1), 30, 150, TalkSettings()).event.later(100).interval
    pose, events = plan_turns(np.random.default_rng(1), 30, 400, settings, [talk])
    assert events == []
    resting = pose[0]
    assert (pose[: talk.onset + 1] == resting).all()
    assert (pose[talk.offset :] == resting).all()
    assert pose[talk.onset : talk.offset, 1].std() > 0.2


def test_the_painted_head_follows_roll_shift_and_distance(lifelike: LongVideo) -> None:
    assert lifelike.pose.shape == (lifelike.frame_count, 6)
    yaw, pitch, roll, x, y, distance = lifelike.pose.T
    size = np.hypot(lifelike.head[:, 0, 0], lifelike.head[:, 1, 0])
    np.testing.assert_allclose(size * distance, 1.12 * 96 / 384)
    turn = np.rad2deg(np.arctan2(lifelike.head[:, 1, 0], lifelike.head[:, 0, 0]))
    np.testing.assert_allclose(turn, roll)
    still = int(np.abs(lifelike.pose[:, :2]).sum(axis=1).argmin())
    middle = lifelike.head[still] @ (192, 192, 1)
    assert middle == pytest.approx(47.5 + 96 / 384 * lifelike.pose[still, 3:5], abs=0.5)
    # As it turns to its left, which is the image's right, the middle of the face goes there.
    turned = (lifelike.head @ (192, 192, 1) - 47.5) / (96 / 384) - np.column_stack([x, y])
    assert np.corrcoef(turned[:, 0], yaw)[0, 1] > 0.95
    assert np.corrcoef(turned[:, 1], pitch)[0, 1] > 0.95


def test_a_plain_pose_is_the_head_as_a_picture(video: LongVideo) -> None:
    assert not video.pose[:, :2].any()
    size = np.hypot(video.head[:, 0, 0], video.head[:, 1, 0])
    np.testing.assert_allclose(video.pose[:, 5] * size, 1.12 * 96 / 384)
    at = (video.head @ (192, 192, 1) - 47.5) / (96 / 384)
    np.testing.assert_allclose(video.pose[:, 3:5], at)


def test_lifelike_videos_are_the_same_each_time(lifelike: LongVideo) -> None:
    again = make_long_video(make_subject(9), seed=5, plan=lifelike.plan)
    assert again.events == lifelike.events
    np.testing.assert_array_equal(again.pose, lifelike.pose)
    macro = lifelike.of_kind("macro")[0]
    np.testing.assert_array_equal(again.frame(macro.apex), lifelike.frame(macro.apex))


def test_the_neck_ends_below_a_head_that_moved() -> None:
    plan = LongVideoSettings.lifelike(2, scene=SyntheticSettings(size=192, neck_follows=True))
    video = make_long_video(make_subject(2), seed=1, plan=plan)
    fixed = make_long_video(
        make_subject(2),
        seed=1,
        plan=plan.model_copy(update={"scene": SyntheticSettings(size=192)}),
    )
    for one in (video, fixed):
        one.head = one.head.copy()
        one.head[:, 0, 2] += 20  # to the right
    row = round(float((video.head[9] @ (192, make_subject(2).chin_y + 18, 1))[1]))
    moved, stays = (one.frame(9)[row].astype(int).sum(axis=1) for one in (video, fixed))
    assert np.abs(moved - stays).max() > 60


def test_brows_leave_the_mouth_free() -> None:
    codes = {c for _, rows in BROWS.values() for row in rows for c in row.split("+")}
    assert codes <= UPPER_FACE


def test_too_short_for_a_lifelike_plan() -> None:
    plan = LongVideoSettings.lifelike(60).model_copy(update={"duration_s": 6.0})
    with pytest.raises(SettingsError, match="too short"):
        make_long_video(make_subject(1), seed=1, plan=plan)
