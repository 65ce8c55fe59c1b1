"""The spotter on made-up displacements: what is rendered is found, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from ma2mi.errors import MotionError
from ma2mi.motion import REGIONS
from ma2mi.spotting import (
    FEATURES,
    SCALES_S,
    MovementTrack,
    Spotted,
    Spotter,
    SpottingSettings,
    learned_scorer,
    pulse,
    spot,
)

FLOOR = SpottingSettings(scorer="floor")
BROWS = ("right_inner_brow", "left_inner_brow", "right_outer_brow", "left_outer_brow")


def bump(times: NDArray[np.float64], start: float, length: float) -> NDArray[np.float64]:
    share = np.clip((times - start) / length, 0, 1)
    return 0.5 - 0.5 * np.cos(2 * np.pi * share)


def make_track(
    seconds: float = 30,
    fps: float = 50,
    brows: tuple[tuple[float, float, float], ...] = (),
    noise: float = 0.015,
    seed: int = 0,
    uneven: bool = False,
) -> MovementTrack:
    """A quiet face whose brows rise: (start, length, px)."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * fps)) / fps
    if uneven:
        times = times + rng.uniform(-0.3, 0.3, len(times)) / fps
        times -= times[0]
    displacements = noise * rng.standard_normal((len(times), len(REGIONS), 2))
    displacements += np.cumsum(0.002 * rng.standard_normal(displacements.shape), axis=0)
    for start, length, px in brows:
        for name in BROWS:
            displacements[:, list(REGIONS).index(name), 1] -= px * bump(times, start, length)
    regions = {name: displacements[:, index] for index, name in enumerate(REGIONS)}
    openings = np.tile([0.13, 0.002], (len(times), 1))
    openings += 0.0005 * rng.standard_normal(openings.shape)
    return MovementTrack(times, regions, np.ones(len(times), bool), openings)


def of_kind(found: list[Spotted], *kinds: str) -> list[Spotted]:
    return [one for one in found if one.kind in kinds]


@pytest.mark.parametrize("settings", [FLOOR, SpottingSettings()], ids=["floor", "learned"])
@pytest.mark.parametrize("fps", [30, 100])
def test_finds_a_micro_expression(settings: SpottingSettings, fps: int) -> None:
    track = make_track(fps=fps, brows=((12.0, 0.36, 0.4),))
    (found,) = of_kind(spot(track, settings), "micro", "macro")
    assert found.kind == "micro"
    assert found.onset / fps == pytest.approx(12.0, abs=0.07)
    assert found.apex / fps == pytest.approx(12.18, abs=0.05)
    assert found.offset / fps == pytest.approx(12.36, abs=0.07)
    assert set(found.regions[:2]) <= set(BROWS)
    assert found.floor_multiple > 3
    assert 0 < found.score <= 1
    assert set(FEATURES) <= set(found.evidence)


def test_finds_a_macro_expression() -> None:
    (found,) = spot(make_track(brows=((10.0, 1.8, 2.0),)), FLOOR)
    assert found.kind == "macro"
    assert found.onset / 50 == pytest.approx(10.0, abs=0.2)
    assert found.offset / 50 == pytest.approx(11.8, abs=0.2)


def test_uneven_frames_do_no_harm() -> None:
    track = make_track(brows=((12.0, 0.36, 0.4),), uneven=True)
    (found,) = of_kind(spot(track, FLOOR), "micro", "macro")
    assert track.times_s[found.apex] == pytest.approx(12.18, abs=0.05)


@pytest.mark.parametrize("settings", [FLOOR, SpottingSettings()], ids=["floor", "learned"])
def test_a_quiet_face_has_no_events(settings: SpottingSettings) -> None:
    assert sum(len(spot(make_track(40, fps=30, seed=seed), settings)) for seed in range(2)) <= 1


def test_a_still_picture_has_no_events() -> None:
    still = make_track(20)
    frozen = {name: np.zeros_like(displacements) for name, displacements in still.regions.items()}
    assert spot(MovementTrack(still.times_s, frozen, still.present, still.openings)) == []


def test_a_codec_that_refreshes_a_frozen_picture_makes_no_events() -> None:
    """Each region stays where it is for seconds and is set elsewhere by a tenth of a pixel."""
    still, rng = make_track(40), np.random.default_rng(5)
    frozen = {}
    for name, displacements in still.regions.items():
        steps = np.zeros_like(displacements)
        steps[rng.integers(0, len(steps), 12)] = rng.normal(0, 0.03, (12, 2))
        frozen[name] = np.cumsum(steps, axis=0)
    track = MovementTrack(still.times_s, frozen, still.present, still.openings)
    assert not of_kind(spot(track), "micro", "macro")
    # What is larger than that is seen in it all the same.
    for name in BROWS:
        frozen[name][:, 1] -= 0.5 * bump(still.times_s, 12.0, 0.36)
    (found,) = of_kind(spot(track), "micro", "macro")
    assert found.apex / 50 == pytest.approx(12.18, abs=0.05)


def test_what_moves_with_the_head_must_be_clearer() -> None:
    """The flow's error grows while the head moves: the same swell counts less then."""
    track = make_track(brows=((12.0, 0.36, 0.2),))
    head = np.zeros((len(track.times_s), 2))
    head[:, 0] = 40 * np.clip(track.times_s - 11.5, 0, 1.5)  # px a second; eyes are 56 px apart
    turning = replace(track, head=head)
    assert of_kind(spot(track, FLOOR), "micro")
    assert not of_kind(spot(turning, FLOOR), "micro")
    every = SpottingSettings(least_score=0)
    still, same = (
        next(e for e in spot(one, every) if abs(e.apex / 50 - 12.18) < 0.05)
        for one in (track, turning)
    )
    assert np.exp(still.evidence["head"]) < 0.05
    assert np.exp(same.evidence["head"]) == pytest.approx(40 / 56, rel=0.05)
    assert same.score < still.score


def test_a_step_is_no_expression() -> None:
    track = make_track()
    for name in BROWS:
        track.regions[name][700:, 1] -= 0.5
    assert of_kind(spot(track, FLOOR), "micro") == []


def test_blinks_are_told_apart() -> None:
    track = make_track()
    assert track.openings is not None
    closed = bump(track.times_s, 15.0, 0.3)
    track.openings[:, 0] *= 1 - 0.95 * closed
    for name in ("right_upper_lid", "left_upper_lid", "right_outer_brow", "left_outer_brow"):
        track.regions[name][:, 1] += 0.5 * closed
    (found,) = spot(track, FLOOR)
    assert found.kind == "blink"
    assert found.apex / 50 == pytest.approx(15.15, abs=0.05)
    assert found.score > 0.8


@pytest.mark.parametrize("seen_by", ["landmarks", "flow"])
def test_speech_is_told_apart(seen_by: str) -> None:
    track = make_track()
    assert track.openings is not None
    talking = (track.times_s > 14) & (track.times_s < 17)
    beat = np.abs(np.sin(2 * np.pi * 2 * track.times_s)) * talking
    if seen_by == "landmarks":
        track.openings[:, 1] += 0.05 * beat
    for name, px in (("lower_lip", 1.5), ("chin", 1.5)):
        track.regions[name][:, 1] += px * beat
    found = spot(track, FLOOR)
    (speech,) = of_kind(found, "speech")
    assert speech.onset / 50 == pytest.approx(14, abs=0.4)
    assert speech.offset / 50 == pytest.approx(17, abs=0.4)
    assert of_kind(found, "micro", "macro") == []


def test_one_gasp_is_no_speech() -> None:
    track = make_track()
    assert track.openings is not None
    track.openings[:, 1] += 0.1 * bump(track.times_s, 14, 1.5)
    assert of_kind(spot(track, FLOOR), "speech") == []


def test_streaming_is_bounded_in_delay_and_memory() -> None:
    track = make_track(60, brows=((20.0, 0.36, 0.5), (40.0, 0.36, 0.5)))
    spotter, reported = Spotter(FLOOR), {}
    longest = 0
    for row, time in enumerate(track.times_s):
        displacements = {
            name: tuple(displacements[row]) for name, displacements in track.regions.items()
        }
        for event in spotter.push(float(time), displacements, openings=tuple(track.openings[row])):
            if not event.reason:
                reported[event.apex] = float(time)
        longest = max(longest, len(spotter._rows))
    assert [one for one in spotter.finish() if not one.reason] == []
    assert len(reported) == 2
    for apex, time in reported.items():
        assert time - apex / 50 <= FLOOR.delay_s + 0.05
    assert longest <= (2 * FLOOR.delay_s + 1) * 50


def test_a_face_that_leaves_and_returns() -> None:
    track = make_track(40, brows=((10.0, 0.36, 0.5), (30.0, 0.36, 0.5)))
    away = (track.times_s > 18) & (track.times_s < 22)
    track.present[away] = False
    for displacements in track.regions.values():
        displacements[track.times_s >= 22] += 5  # it sits elsewhere now
        displacements[away] = np.nan
    found = of_kind(spot(track, FLOOR), "micro", "macro")
    assert [round(one.apex / 50) for one in found] == [10, 30]


def test_frame_numbers_may_leave_frames_out() -> None:
    track = make_track(brows=((12.0, 0.36, 0.4),))
    thin = MovementTrack(
        track.times_s, track.regions, track.present, track.openings, 4 * np.arange(1500)
    )
    (found,) = of_kind(spot(thin, FLOOR), "micro")
    assert found.apex / 200 == pytest.approx(12.18, abs=0.05)


def test_without_openings_nothing_is_called_a_blink() -> None:
    track = make_track(brows=((12.0, 0.36, 0.4),))
    bare = MovementTrack(track.times_s, track.regions, track.present)
    assert [one.kind for one in spot(bare, FLOOR)] == ["micro"]


def test_short_or_empty_tracks() -> None:
    assert Spotter().finish() == []
    assert of_kind(spot(make_track(0.2), FLOOR), "micro", "macro") == []


def test_mistakes_are_refused() -> None:
    spotter = Spotter()
    spotter.push(0.0, {"chin": (0, 0)})
    with pytest.raises(MotionError, match="does not rise"):
        spotter.push(0.0, {"chin": (0, 0)})
    with pytest.raises(MotionError, match="other regions"):
        spotter.push(0.1, {"nose": (0, 0)})
    with pytest.raises(MotionError, match="finite"):
        spotter.push(0.1, {"chin": (np.nan, 0)})
    with pytest.raises(ValidationError):
        SpottingSettings(treshold=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("scale", SCALES_S)
def test_the_swell_is_blind_to_drift(scale: float) -> None:
    kernel = pulse(scale * 50)
    rows = np.arange(len(kernel))
    assert kernel @ np.ones(len(kernel)) == pytest.approx(0, abs=1e-9)
    assert kernel @ rows == pytest.approx(0, abs=1e-6)


def test_the_shipped_scorer_knows_all_features_and_likes_swells() -> None:
    scorer = learned_scorer()
    assert tuple(scorer.weights) == FEATURES
    assert 0 < scorer.cut < 1
    usual = {name: row[0] for name, row in scorer.weights.items()}
    assert scorer({**usual, "fit": 0.98}) > scorer({**usual, "fit": 0.3})


def test_the_curve_rises_where_the_brows_do() -> None:
    track = make_track(brows=((12.0, 0.36, 0.5),))
    curve = track.curve_px
    assert curve.shape == (1500,)
    assert 600 <= int(curve.argmax()) <= 625
    track.present[:] = False
    assert track.curve_px.max() == 0


class TestNeutral:
    def restless(self) -> MovementTrack:
        """At rest for two seconds, then never quite, with one brief movement."""
        quiet = make_track(fps=50, brows=((22.0, 0.36, 0.4),))
        rng = np.random.default_rng(1)
        busy = (quiet.times_s > 2.3)[:, None] * bump(quiet.times_s % 0.7, 0.1, 0.3)[:, None]
        regions = {
            name: displacements + busy * rng.uniform(-0.12, 0.12, 2)
            for name, displacements in quiet.regions.items()
        }
        return MovementTrack(quiet.times_s, regions, quiet.present, quiet.openings)

    def test_a_named_stretch_is_the_floor(self) -> None:
        track = self.restless()
        heights = []
        for stretch in (None, (0.0, 2.2)):
            found = spot(track, SpottingSettings(scorer="floor", threshold=2, neutral_s=stretch))
            near = [one for one in found if one.kind == "micro" and abs(one.apex - 1109) < 8]
            heights.append(max(one.floor_multiple for one in near))
        assert heights[1] > 1.5 * heights[0]

    def test_a_stretch_that_is_never_seen_changes_nothing(self) -> None:
        track = self.restless()
        late = SpottingSettings(scorer="floor", threshold=2, neutral_s=(100, 110))
        assert spot(track, late) == spot(track, SpottingSettings(scorer="floor", threshold=2))

    @pytest.mark.parametrize("stretch", [(3.0, 1.0), (0.0, 1.0), (-3.0, 4.0)])
    def test_it_must_last(self, stretch: tuple[float, float]) -> None:
        with pytest.raises(ValidationError, match="2 s or more"):
            SpottingSettings(neutral_s=stretch)


def test_a_threshold_holds_for_both_scorers() -> None:
    track = make_track(brows=((12.0, 0.36, 0.4),))
    for scorer in ("floor", "learned"):
        (found,) = of_kind(spot(track, SpottingSettings(scorer=scorer)), "micro")
        higher = SpottingSettings(scorer=scorer, threshold=found.floor_multiple + 0.1)
        assert not of_kind(spot(track, higher), "micro")
