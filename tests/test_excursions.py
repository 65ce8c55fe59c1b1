"""Ordinary expressions, seen by landmarks: held, large, cut by the recording, under speech."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ma2mi.motion import REGIONS
from ma2mi.motion.shape import Shape
from ma2mi.spotting import BEGUN, LASTS, SPEECH, MovementTrack, Spotted, Spotter, SpottingSettings
from ma2mi.spotting.whole_track import spot_candidates

Floats = NDArray[np.float64]

NAMES = list(REGIONS)
FPS = 25
POINTS = np.zeros((478, 2), np.float32)
FLOW = 0.6  # of a movement that flow shows


def between(times: Floats, onset: float, offset: float, ramp: float = 0.2) -> Floats:
    """0 before and after, 1 in between, straight flanks of ``ramp`` seconds inside."""
    return np.clip(np.minimum(times - onset, offset - times) / ramp, 0, 1)


def syllables(times: Floats, onset: float, offset: float, hz: float = 4.0) -> Floats:
    inside = (times > onset) & (times < offset)
    return np.where(inside, 0.5 - 0.5 * np.cos(2 * np.pi * hz * (times - onset)), 0.0)


class Face:
    """Landmarks of a face with jitter; movements are added to it."""

    def __init__(self, seconds: float = 30.0, seed: int = 0, jitter: float = 0.12) -> None:
        rng = np.random.default_rng(seed)
        self.times = np.arange(round(seconds * FPS)) / FPS
        count = len(self.times)
        self.positions = rng.normal(0, jitter, (count, len(NAMES), 2))
        self.turns = rng.normal(0, 0.15, (count, 3))
        self.mouth = 0.01 + rng.normal(0, 0.002, count)
        self.width = 0.52 + rng.normal(0, 0.003, count)
        self.eye = np.full(count, 0.13)
        self.flow = rng.normal(0, 0.02, (count, len(NAMES), 2))
        self.flow += np.cumsum(rng.normal(0, 0.002, self.flow.shape), axis=0)

    def move(self, course: Floats, **px: tuple[float, float]) -> None:
        """Regions whose names hold a key go right and down by so much."""
        for index, name in enumerate(NAMES):
            for key, way in px.items():
                if key in name:
                    self.positions[:, index] += course[:, None] * way
                    self.flow[:, index] += FLOW * course[:, None] * way

    def raise_brows(self, course: Floats, px: float = 2.0) -> None:
        self.move(course, brow=(0, -px))

    def drop_jaw(self, course: Floats, px: float = 12.0) -> None:
        self.move(course, lower_lip=(0, px), chin=(0, px), corner=(0, px / 4))
        self.mouth += course * px / 56

    def smile(self, course: Floats, px: float = 4.0) -> None:
        self.move(course, right_lip_corner=(-px, -px / 2), left_lip_corner=(px, -px / 2))
        self.move(course, cheek=(0, -px / 3))
        self.width += course * 2 * px / 56

    def track(self) -> MovementTrack:
        shapes = [
            Shape(positions, turn, 0.13, float(mouth), float(width), POINTS)
            for positions, turn, mouth, width in zip(
                self.positions, self.turns, self.mouth, self.width, strict=True
            )
        ]
        regions = {name: self.flow[:, index] for index, name in enumerate(NAMES)}
        present = np.ones(len(self.times), bool)
        openings = np.stack([self.eye, self.mouth], axis=1)
        return MovementTrack(self.times, regions, present, openings, shapes=shapes)

    def candidates(self, settings: SpottingSettings | None = None) -> list[Spotted]:
        return spot_candidates(self.track(), settings)

    def events(self, *kinds: str) -> list[Spotted]:
        return [one for one in self.candidates() if not one.reason and one.kind in kinds]


def seconds(event: Spotted) -> tuple[float, float]:
    return event.onset / FPS, event.offset / FPS


MOVES: dict[str, Callable[[Face, Floats], None]] = {
    "brows": Face.raise_brows,
    "jaw": Face.drop_jaw,
    "smile": Face.smile,
}


@pytest.mark.parametrize("length", [0.7, 1.5, 4.0, 9.0])
@pytest.mark.parametrize("move", [*MOVES])
def test_an_expression_of_any_length_is_one_event(move: str, length: float) -> None:
    face = Face()
    MOVES[move](face, between(face.times, 10.0, 10.0 + length))
    (found,) = face.events("micro", "macro", "speech")
    assert found.kind == "macro"
    assert found.by_landmarks
    assert seconds(found) == pytest.approx((10.0, 10.0 + length), abs=0.16)
    assert 10.1 <= found.apex / FPS <= 10.0 + length - 0.1
    assert found.flags == ()
    assert found.score > 0.5


def test_a_quiet_face_has_no_events() -> None:
    assert sum(len(Face(60, seed).events("micro", "macro", "speech")) for seed in range(3)) == 0


def test_two_expressions_of_one_area_are_two() -> None:
    face = Face()
    for onset in (10.0, 11.4):
        face.raise_brows(between(face.times, onset, onset + 1.2))
    found = face.events("macro")
    assert [round(seconds(one)[0], 1) for one in found] == pytest.approx([10.0, 11.4], abs=0.2)


def test_brows_and_mouth_together_are_one() -> None:
    face = Face()
    course = between(face.times, 10.0, 12.0)
    face.raise_brows(course)
    face.drop_jaw(course)
    (found,) = face.events("macro")
    assert any("brow" in name for name in found.regions) or "lower_lip" in found.regions


def test_what_the_recording_cuts_says_so() -> None:
    face = Face(12)
    face.smile(between(face.times, -1.0, 2.0))
    face.drop_jaw(between(face.times, 10.0, 14.0))
    first, last = face.events("macro")
    assert (first.onset, first.flags) == (0, (BEGUN,))
    assert seconds(first)[1] == pytest.approx(2.0, abs=0.16)
    assert (last.offset, last.flags) == (len(face.times) - 1, (LASTS,))
    assert seconds(last)[0] == pytest.approx(10.0, abs=0.16)


def test_a_smile_that_fills_most_of_a_short_clip() -> None:
    """As ``single_face.mp4``: rest is where the mouth is closed and narrow, not what is usual."""
    face = Face(2.4)
    face.smile(between(face.times, 0.6, 3.0))
    face.mouth += 0.15 * between(face.times, 0.6, 3.0)
    (found,) = face.events("micro", "macro", "speech")
    assert found.flags == (LASTS,)
    assert seconds(found)[0] == pytest.approx(0.6, abs=0.16)


def test_who_shows_much_has_a_floor_all_the_same() -> None:
    """Half of the time something goes on: the noise is what the quietest tenth shows."""
    face = Face(60)
    starts = np.arange(2.0, 57.0, 3.0)
    for start in starts:
        face.raise_brows(between(face.times, start, start + 1.5))
    assert len(face.events("macro")) == len(starts)


def test_a_turned_head_is_no_expression() -> None:
    """The landmarks' error of depth: 0.05 px a degree."""
    face = Face()
    course = between(face.times, 10.0, 12.0, ramp=0.5)
    face.turns[:, 0] += 20 * course
    face.move(course, brow=(1.0, 0.3), corner=(1.0, 0.5), chin=(1.0, 1.0))
    assert face.events("macro") == []
    face.drop_jaw(between(face.times, 20.0, 21.5))
    assert len(face.events("macro")) == 1


def test_a_small_excursion_must_be_seen_by_flow_too() -> None:
    """Landmarks of a coded picture err by a pixel for seconds."""
    face = Face()
    course = between(face.times, 10.0, 12.0)
    for index, name in enumerate(NAMES):
        if "brow" in name:
            face.positions[:, index, 1] -= 2.0 * course
    assert face.events("macro") == []
    (one,) = (each for each in face.candidates() if each.by_landmarks)
    assert one.reason == "flow does not show it (score 0.20 below 0.50)"


def test_speech_is_no_expression_and_hides_none() -> None:
    face = Face()
    talk = syllables(face.times, 10.0, 16.0)
    face.drop_jaw(talk, 4.0)
    (speech,) = face.events("micro", "macro", "speech")
    assert speech.kind == "speech"
    assert seconds(speech) == pytest.approx((10.0, 16.0), abs=0.25)
    explained = [one for one in face.candidates() if "speech" in one.reason]
    assert explained
    assert all(SPEECH in one.flags for one in explained)

    face.raise_brows(between(face.times, 12.0, 13.5))
    (brows,) = face.events("micro", "macro")
    assert seconds(brows) == pytest.approx((12.0, 13.5), abs=0.2)
    assert SPEECH in brows.flags


def test_a_smile_while_talking_is_an_event() -> None:
    face = Face()
    face.drop_jaw(syllables(face.times, 10.0, 16.0), 4.0)
    face.smile(between(face.times, 11.0, 15.0), 6.0)
    found = [one for one in face.events("macro") if SPEECH in one.flags]
    assert len(found) == 1


def test_every_threshold_acts_on_excursions() -> None:
    """Too slow a rise for flow to see flanks, so that landmarks alone show it."""
    face = Face()
    face.raise_brows(between(face.times, 10.0, 14.0, 1.9))
    (found,) = face.events("macro")
    higher = SpottingSettings(threshold=found.floor_multiple + 0.5)
    (below,) = (one for one in face.candidates(higher) if one.by_landmarks)
    assert below.reason.endswith(f"below {found.floor_multiple + 0.5:.1f}")
    stricter = SpottingSettings(least_score=0.99)
    (below,) = (one for one in face.candidates(stricter) if one.by_landmarks)
    assert below.reason == f"score {found.score:.2f} below 0.99"


def test_every_threshold_acts_on_held_movements() -> None:
    face = Face()
    face.raise_brows(between(face.times, 10.0, 14.0, 0.3), px=0.6)
    (found,) = face.events("macro")
    higher = SpottingSettings(threshold=found.floor_multiple)
    below = [one for one in face.candidates(higher) if one.by_landmarks]
    least = 4 / 3 * found.floor_multiple  # two flanks have two chances to look like one
    assert [one.reason.rpartition(", ")[2] for one in below] == [f"below {least:.1f}"]
    stricter = SpottingSettings(least_score=0.99)
    (below,) = (one for one in face.candidates(stricter) if one.by_landmarks)
    assert below.reason == f"score {found.score:.2f} below 0.99"


def test_what_speech_explains_comes_back_at_score_zero() -> None:
    face = Face()
    face.drop_jaw(syllables(face.times, 10.0, 16.0), 4.0)
    every = [one for one in face.candidates(SpottingSettings(least_score=0)) if not one.reason]
    assert {"macro"} <= {one.kind for one in every}


def test_a_stream_reports_as_a_whole_does() -> None:
    face = Face(40)
    face.raise_brows(between(face.times, 10.0, 14.0))
    face.drop_jaw(between(face.times, 20.0, 21.0))
    track, spotter = face.track(), Spotter()
    assert track.shapes is not None and track.openings is not None
    late, found = [], []
    for row, time in enumerate(face.times):
        displacements = {name: tuple(track.regions[name][row]) for name in NAMES}
        for one in spotter.push(
            float(time), displacements, openings=tuple(track.openings[row]), shape=track.shapes[row]
        ):
            found.append(one)
            late.append(time - one.offset / FPS)
    assert max(late) <= spotter.settings.delay_s + 0.1
    found += spotter.finish()
    assert sorted(found, key=lambda one: (one.onset, one.offset)) == face.candidates()


def test_after_a_reset_nothing_is_left() -> None:
    face, spotter = Face(10), Spotter()
    track = face.track()
    for row in range(100):
        displacements = {name: tuple(track.regions[name][row]) for name in NAMES}
        spotter.push(float(face.times[row]), displacements)
    spotter.reset()
    assert spotter.finish() == []
    spotter.push(0.0, {"chin": (0, 0)})  # other regions, and a time before: another shot
