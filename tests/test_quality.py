"""Suitability: each fault is seen, named, and none is invented."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from ma2mi.errors import FaceError
from ma2mi.face.landmarks import LEFT_EYE_OUTER, NOSE_BRIDGE, RIGHT_EYE_OUTER, Face
from ma2mi.face.quality import NOSE_TIP, FrameQuality, blockiness_of, blur_of, measure_frame
from ma2mi.face.quality_monitor import KEPT, QualityMonitor
from ma2mi.face.suitability import Suitability, assess_suitability

GOOD = FrameQuality(120, 0.4, 0.0, 130, 0.0, 0.05, 300, 200, 0.99)


def assessed(
    fps: float = 100, samples: list[FrameQuality] | None = None, **more: float
) -> Suitability:
    samples = [GOOD] * 20 if samples is None else samples
    return assess_suitability(samples, np.arange(len(samples)) * 0.2, fps=fps, **more)


def a_face(x: float = 100, y: float = 100, eye_distance: float = 90) -> Face:
    points = np.full((478, 2), (x, y), np.float32)
    points[RIGHT_EYE_OUTER] = x - eye_distance / 2, y
    points[LEFT_EYE_OUTER] = x + eye_distance / 2, y
    points[list(NOSE_BRIDGE)] = x, y
    points[NOSE_TIP] = x, y + 40
    return Face(points, 0.98, (x - 70, y - 70, x + 70, y + 90))


def noise(seed: int = 0, side: int = 240) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(60, 200, (side, side, 3)).astype(np.uint8)


def test_a_good_recording_is_green() -> None:
    suitability = assessed()
    assert suitability.level == "green"
    assert suitability.reasons == ()
    assert suitability.values["brief_frames"] == 20


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"eye_distance_px": 60.0}, "small"),
        ({"blur": 0.6}, "blurred"),
        ({"blockiness": 0.8}, "compression"),
        ({"luma": 30.0}, "dark"),
        ({"clipped": 0.2}, "black or white"),
        ({"turned": 0.4}, "turned aside"),
        ({"confidence": 0.8}, "hidden"),
    ],
)
def test_each_fault_is_named(change: dict[str, float], word: str) -> None:
    suitability = assessed(samples=[replace(GOOD, **change)] * 20)
    assert suitability.level == "amber"
    assert len(suitability.reasons) == 1
    assert word in suitability.reasons[0]


def test_frame_rate() -> None:
    assert assessed(fps=200).level == "green"
    ordinary = assessed(fps=30)
    assert ordinary.level == "amber"
    assert "6.0 frames" in ordinary.reasons[0]
    assert assessed(fps=15).level == "red"


def test_missing_faces_and_frames() -> None:
    assert assessed(seen=0.9).level == "amber"
    assert assessed(seen=0.3).level == "red"
    assert assessed(gap=3).level == assessed(gap=3000).level == "amber"
    assert assessed(lost=0.2).level == "amber"
    assert assessed(lost=0.6).level == "red"
    assert assessed(samples=[]).reasons == ("no face is seen",)


def test_worst_reason_comes_first() -> None:
    suitability = assessed(fps=30, samples=[replace(GOOD, eye_distance_px=20.0)] * 5)
    assert suitability.level == "red"
    assert "small" in suitability.reasons[0]
    assert len(suitability.reasons) == 2


def test_flicker_and_head_motion() -> None:
    flicker = [replace(GOOD, luma=130 + 8 * (-1) ** i) for i in range(20)]
    assert any("flickers" in reason for reason in assessed(samples=flicker).reasons)
    moving = [replace(GOOD, x=300 + 20.0 * i) for i in range(20)]
    assert any("head moves" in reason for reason in assessed(samples=moving).reasons)


def test_blur_and_blocks_are_measured() -> None:
    sharp = noise().mean(axis=2)
    soft = (sharp[:-2] + sharp[1:-1] + sharp[2:]) / 3
    soft = (soft[:, :-2] + soft[:, 1:-1] + soft[:, 2:]) / 3
    assert blur_of(sharp) < blur_of(soft)
    blocks = np.kron(np.random.default_rng(1).uniform(0, 255, (20, 20)), np.ones((8, 8)))
    assert blockiness_of(sharp) < 0.15
    assert blockiness_of(blocks + 0.2 * sharp[:160, :160]) > 0.5


def test_look_at_a_face() -> None:
    sample = measure_frame(noise(), a_face())
    assert sample.eye_distance_px == pytest.approx(90)
    assert sample.turned == pytest.approx(0, abs=0.01)
    assert 110 < sample.luma < 150
    assert (sample.x, sample.y) == (100, 100)


def test_look_refuses_what_is_no_face() -> None:
    with pytest.raises(FaceError, match="outside"):
        measure_frame(noise(), a_face(x=900))
    with pytest.raises(FaceError, match="uint8"):
        measure_frame(noise().astype(np.float32), a_face())
    with pytest.raises(FaceError, match="as many times"):
        assess_suitability([GOOD], [], fps=30)


def pushed(faces: Sequence[bool], times_s: Sequence[Fraction]) -> QualityMonitor:
    monitor, image, face = QualityMonitor(), noise(), a_face()
    for seen, time_s in zip(faces, times_s, strict=True):
        monitor.push(image, face if seen else None, time_s)
    return monitor


def even(count: int, fps: int = 25) -> list[Fraction]:
    return [Fraction(frame, fps) for frame in range(count)]


def test_meter_counts_all_and_keeps_little() -> None:
    monitor, image = QualityMonitor(every_s=0.02), noise()
    for frame in range(300):
        monitor.push(image, a_face() if frame % 3 else None, Fraction(frame, 100))
    suitability = monitor.assess()
    assert suitability.values["seen"] == pytest.approx(200 / 299)  # from the first to the last
    assert suitability.values["present"] == pytest.approx(2 / 3)
    assert suitability.values["fps"] == pytest.approx(100)
    assert suitability.values["gap"] == pytest.approx(1)
    monitor._kept *= 1 + KEPT // len(monitor._kept)
    monitor.push(image, a_face(), 10)
    assert len(monitor._kept) <= KEPT // 2 + 100
    assert QualityMonitor().assess().level == "red"


def test_a_face_is_judged_over_the_time_it_is_in_view() -> None:
    comes_and_goes = [False] * 400 + [True] * 100 + [False] * 500
    suitability = pushed(comes_and_goes, even(1000)).assess(frames=2000)
    assert suitability.values["seen"] == 1
    assert suitability.values["visible_s"] == pytest.approx(4)
    assert suitability.values["present"] == pytest.approx(0.05)
    assert not any("frames from its first" in reason for reason in suitability.reasons)


def test_an_absence_counts_two_seconds_and_a_lost_face_in_full() -> None:
    returns = [True] * 100 + [False] * 800 + [True] * 100
    seen = pushed(returns, even(1000)).assess().values["seen"]
    assert seen == pytest.approx(200 / 250, abs=0.01)
    flickers = ([True] * 10 + [False] * 15) * 8
    suitability = pushed(flickers, even(200)).assess()
    assert suitability.values["seen"] == pytest.approx(80 / 185)
    assert suitability.level == "red"
    assert any("seen in 43% of the frames" in reason for reason in suitability.reasons)


def test_a_face_seen_too_briefly_is_named() -> None:
    brief = [True] * 8 + [False] * 92
    suitability = pushed(brief, even(100)).assess()
    assert suitability.level == "red"
    assert any("seen for 0.3 s only" in reason for reason in suitability.reasons)
    suitability = pushed([True] * 30, even(30)).assess()
    assert any("seen for 1.2 s only" in reason for reason in suitability.reasons)


def test_a_pause_lowers_no_frame_rate_and_spoils_no_recording() -> None:
    times = even(200)
    times = times[:100] + [time + 60 for time in times[100:]]
    suitability = pushed([True] * 200, times).assess()
    assert suitability.values["fps"] == pytest.approx(25)
    assert suitability.values["gap"] == pytest.approx(60 * 25 + 1)
    assert suitability.level == "amber"
    assert any("longest step" in reason for reason in suitability.reasons)


def test_many_lost_frames_are_named_with_the_time_they_cost() -> None:
    kept = [time for frame, time in enumerate(even(300)) if frame % 10 < 6]
    suitability = pushed([True] * len(kept), kept).assess()
    assert suitability.values["fps"] == pytest.approx(25)
    assert suitability.values["lost"] == pytest.approx(0.4, abs=0.01)
    assert any("39% of the time is lost" in reason for reason in suitability.reasons)


def test_a_face_that_is_never_whole_in_the_picture_is_named() -> None:
    monitor = QualityMonitor()
    for frame in range(50):
        with suppress(FaceError):
            monitor.push(noise(), a_face(x=900), Fraction(frame, 25))
    suitability = monitor.assess()
    assert suitability.level == "red"
    assert suitability.reasons == ("the face is tiny or lies outside the picture",)
