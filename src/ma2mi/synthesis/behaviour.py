"""What faces do in long recordings: held and blended expressions, speech, other habits, head pose.

Every function gives intensity curves of action units and the exact frames of what happens. Ranges
are in seconds and pixels of a 224 px face crop, as in ``SyntheticSettings``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.motion.facs import EMOTIONS, SIDES, parse_unit
from ma2mi.records import Event, EventSource, Interval
from ma2mi.synthesis.clip import _slow
from ma2mi.synthesis.movement import Track, face_field, peak_displacement
from ma2mi.synthesis.settings import Range
from ma2mi.synthesis.subject import SyntheticSubject

Curve = NDArray[np.float32]
Floats = NDArray[np.float64]

PROTOTYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "jaw drop": ("surprise", ("25+26", "5+25+26", "1+2+25+26", "1+2+5+25+26")),
    "smile with teeth": ("happiness", ("6+12+25", "12+25", "6+12+25+26")),
    "smile": ("happiness", ("12", "6+12")),
    "brows raised, mouth open": ("surprise", ("1+2+25", "1+2+5+25", "1+2+5+25+26")),
    "brow raise": ("surprise", ("1+2", "1+2+5")),
    "frown": ("anger", ("4", "4+7", "4+17", "4+7+24")),
    "pout": ("sadness", ("17+24", "17+23", "17+23+24", "15+17")),
    "nose wrinkle": ("disgust", ("9", "9+10", "4+9+10")),
}
"""Large expressions that subjects pose: name, emotion, combinations of units.

A jaw drop above intensity 1 of unit 26 stands for FACS 27, a pout of 17, 23 and 24 for 18 and 22,
which ``facs.ACTION_UNITS`` lacks.
"""

BROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "brow raise": ("surprise", ("1+2", "1+2+5", "2")),
    "frown": ("anger", ("4",)),
    "inner brow raise": ("sadness", ("1", "1+4")),
}
"""Expressions that leave the mouth free to talk."""

UPPER_FACE = frozenset(("1", "2", "4", "5", "6", "7"))

STRONGEST = {"26": 2.0}
"""Largest intensity of a unit, beside the table's "E"; a jaw opens twice as far as at 26E."""
STRONGEST_ELSE = 1.5

OTHERS = {"swallow": 0.3, "lip press": 0.3, "parted lips": 0.2, "chewing": 0.1, "yawn": 0.1}
"""Movements that are neither expression nor speech, and the chance of each."""


class ExpressionSettings(BaseModel):
    """Macro-expressions of real recordings. "px" are pixels of a 224 px face crop.

    Args:
        peak_px: range of the largest displacement of the skin, drawn log-uniformly; what the
            units cannot reach is cut off. 26 px are 15 px of the 128 px crop.
        onset_s, offset_s: ranges of the time from rest to full strength, and back.
        hold_s: range of the time between.
        held_share, held_s: share of the expressions that are held longer, and how long.
        unsteadiness: deviation of the strength while it is held, relative.
        prototype_share: share that shows one of ``PROTOTYPES``, not a row of the FACS table.
        blend_share: share that joins the upper face of one emotion and the lower of another.
        begun_rate: chance that an expression is there when the video starts.
        unfinished_rate: chance that an expression outlasts the video.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    peak_px: Range = (0.5, 26.0)
    onset_s: Range = (0.2, 0.8)
    hold_s: Range = (0.1, 2.2)
    offset_s: Range = (0.2, 1.0)
    held_share: float = Field(0.2, ge=0, le=1)
    held_s: Range = (2.0, 8.0)
    unsteadiness: float = Field(0.04, ge=0, le=0.3)
    prototype_share: float = Field(0.6, ge=0, le=1)
    blend_share: float = Field(0.1, ge=0, le=1)
    begun_rate: float = Field(0.1, ge=0, le=1)
    unfinished_rate: float = Field(0.15, ge=0, le=1)


class TalkSettings(BaseModel):
    """Speech in syllables, phrases and pauses.

    Args:
        syllable_hz: range of the rate at which the mouth opens and closes.
        phrase_s, pause_s: ranges of the length of a phrase and of the rest after it.
        loudness: range of the usual opening, intensity of unit 25.
        brows_rate: share of the utterances during which the brows make an expression, an event of
            its own beside ``macro_count``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    syllable_hz: Range = (2.5, 7.0)
    phrase_s: Range = (0.8, 3.0)
    pause_s: Range = (0.15, 0.7)
    loudness: Range = (0.25, 0.9)
    brows_rate: float = Field(0.4, ge=0, le=1)


class PoseSettings(BaseModel):
    """Movement of the head in depth, beside the shifts of ``LongVideoSettings``. Rates a minute.

    Args:
        turn_rate: the head goes to another pose.
        turn_deg: deviation of these poses in yaw, pitch and roll; every second faces the camera.
        limit_deg: the farthest yaw, pitch and roll.
        turn_duration_s: range of the time that a turn takes.
        nod_rate: nods; every third is a shake of the head.
        nod_deg, nod_hz, nod_cycles: ranges of height, rate and number of the cycles.
        lean_rate: leans towards the camera, or back.
        lean: range of the distance, as a multiple of the usual.
        lean_duration_s: range of the time that leaning takes.
        bob_deg: deviation of the head's movement while talking.
        sway_deg: deviation of the slow movement that never rests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    turn_rate: float = Field(6.0, ge=0)
    turn_deg: tuple[float, float, float] = (14.0, 7.0, 4.0)
    limit_deg: tuple[float, float, float] = (35.0, 20.0, 15.0)
    turn_duration_s: Range = (0.4, 1.5)
    nod_rate: float = Field(2.0, ge=0)
    nod_deg: Range = (2.0, 8.0)
    nod_hz: Range = (1.2, 3.0)
    nod_cycles: Range = (1.0, 4.0)
    lean_rate: float = Field(1.5, ge=0)
    lean: Range = (0.8, 1.25)
    lean_duration_s: Range = (0.6, 2.0)
    bob_deg: float = Field(1.5, ge=0)
    sway_deg: float = Field(0.5, ge=0)


@dataclass(frozen=True, slots=True)
class GroundTruthEvent(Event):
    """One true event: frames from 0, the movement is zero at onset and offset.

    Args:
        kind: what it is; "other" are ``OTHERS``.
        onset, apex, offset: frames. A held expression's apex is its first frame at full strength,
            an utterance's or habit's where the mouth moves most, a head movement's its middle.
        emotion: of expressions, "" otherwise.
        action_units: FACS codes that move.
        peak_px: the largest displacement of the skin, px of a 224 px crop; 0 where not measured.
        what: the name among ``PROTOTYPES``, ``BROWS`` or ``OTHERS``; "turn", "nod", "shake" or
            "lean" of the head.
        blended_with: the emotion of the lower face where it is another one.
        begun: it is there when the video starts; onset is frame 0.
        unfinished: it outlasts the video; offset is the last frame.
    """

    apex: int
    emotion: str = ""
    action_units: tuple[str, ...] = ()
    peak_px: float = 0.0
    what: str = ""
    blended_with: str = ""
    begun: bool = False
    unfinished: bool = False
    source: EventSource = field(default="rendered", kw_only=True)

    def later(self, frames: int) -> GroundTruthEvent:
        """The same event, moved by ``frames``."""
        return replace(
            self, onset=self.onset + frames, apex=self.apex + frames, offset=self.offset + frames
        )


@dataclass(frozen=True, eq=False)
class Piece:
    """Tracks of one length in frames, and the event that starts at their first frame."""

    tracks: dict[Track, Curve]
    event: GroundTruthEvent

    def __len__(self) -> int:
        return self.event.offset + 1


# -- expressions -------------------------------------------------------------------------------


def plan_expression(
    subject: SyntheticSubject,
    rng: np.random.Generator,
    fps: float,
    settings: ExpressionSettings,
    *,
    asymmetry: float,
    table: dict[str, tuple[str, tuple[str, ...]]] | None = None,
    longest_s: float = np.inf,
) -> Piece:
    """A macro-expression from rest to rest.

    Args:
        subject: whose face it moves.
        rng: of everything that is drawn.
        fps: frames per second.
        settings: how large and how long.
        asymmetry: largest share by which one side of the face may lag behind the other.
        table: draws from it alone, such as ``BROWS``, and holds it no longer than usual.
        longest_s: a longer one is shortened, all its parts alike.
    """
    what, emotion, second, codes = _draw_units(rng, settings, table)
    up, down = rng.uniform(*settings.onset_s), rng.uniform(*settings.offset_s)
    held = table is None and rng.random() < settings.held_share
    hold = rng.uniform(*(settings.held_s if held else settings.hold_s))
    shorter = min(1.0, longest_s / (up + hold + down)) * fps
    steps = [max(2, int(seconds * shorter)) for seconds in (up, hold, down)]
    length = sum(steps) + 1
    time = np.arange(length) / fps
    still = np.clip(np.minimum(time - time[steps[0]], time[-steps[2] - 1] - time) / 0.3, 0, 1)
    wave = 1 + settings.unsteadiness * still * np.clip(_slow(rng, time, 0.3, 2.0), -2.5, 2.5)

    curves: dict[Track, Curve] = {}
    for number, code in enumerate(codes):
        strength = rng.uniform(0.6, 1.0)
        # The first unit spans the whole expression; the others start later and end earlier.
        late, early = (0.0, 0.0) if number == 0 else rng.uniform(0, 0.3, 2)
        curve = strength * wave * _ramps(length, steps[0], steps[2], late, early)
        weaker, lack = SIDES[rng.integers(2)], rng.uniform(0, asymmetry)
        unit, sides = parse_unit(code)
        for side in sides:
            curves[unit.number, side] = curve * (1 - lack * (side == weaker))
    apex = steps[0]
    weights = {name: float(curve[apex]) for name, curve in curves.items()}
    peak = peak_displacement(face_field(subject, weights))
    reach = peak * min(
        STRONGEST.get(name[0], STRONGEST_ELSE) / weight for name, weight in weights.items()
    )
    low, high = settings.peak_px
    wanted = float(np.exp(rng.uniform(*np.log((min(low, reach), min(high, reach))))))
    tracks = {name: (wanted / peak * curve).astype(np.float32) for name, curve in curves.items()}
    event = GroundTruthEvent(
        "macro", 0, apex, length - 1, emotion, codes, wanted, what, blended_with=second
    )
    return Piece(tracks, event)


def begin_within(piece: Piece, rng: np.random.Generator) -> Piece:
    """The expression in a video that starts while it is held."""
    event, share = piece.event, rng.uniform(0.0, 0.9)
    _, stop = _hold(piece)
    cut = int(event.apex + share * (stop - event.apex))
    tracks = {name: track[cut:] for name, track in piece.tracks.items()}
    return Piece(tracks, replace(event, apex=0, offset=event.offset - cut, begun=True))


def end_within(piece: Piece, rng: np.random.Generator) -> Piece:
    """The expression in a video that ends while it is held."""
    event, share = piece.event, rng.uniform(0.1, 1.0)
    _, stop = _hold(piece)
    last = int(event.apex + share * (stop - event.apex))
    tracks = {name: track[: last + 1] for name, track in piece.tracks.items()}
    return Piece(tracks, replace(event, offset=last, unfinished=True))


def _hold(piece: Piece) -> tuple[int, int]:
    """First and last frame at full strength."""
    first = next(iter(piece.tracks.values()))
    high = np.flatnonzero(first >= 0.85 * first[piece.event.apex])
    return piece.event.apex, max(piece.event.apex, int(high.max()))


def _draw_units(
    rng: np.random.Generator,
    settings: ExpressionSettings,
    table: dict[str, tuple[str, tuple[str, ...]]] | None,
) -> tuple[str, str, str, tuple[str, ...]]:
    """Name, emotion, the other emotion of a blend or "", and FACS codes."""

    def one() -> tuple[str, str, tuple[str, ...]]:
        if table is not None or rng.random() < settings.prototype_share:
            chosen = PROTOTYPES if table is None else table
            what = list(chosen)[rng.integers(len(chosen))]
            emotion, combinations = chosen[what]
            return what, emotion, tuple(combinations[rng.integers(len(combinations))].split("+"))
        emotion = list(EMOTIONS)[rng.integers(len(EMOTIONS))]
        options = EMOTIONS[emotion]
        likely = 1 / (1.5 + np.arange(len(options)))
        return "", emotion, options[rng.choice(len(options), p=likely / likely.sum())]

    what, emotion, codes = one()
    if table is not None or rng.random() >= settings.blend_share:
        return what, emotion, "", codes
    while True:  # ends soon: most draws fit together
        what, emotion, codes = one()
        other, second, more = one()
        upper = tuple(code for code in codes if parse_unit(code)[0].number in UPPER_FACE)
        lower = tuple(code for code in more if parse_unit(code)[0].number not in UPPER_FACE)
        if upper and lower and emotion != second:
            return " and ".join(filter(None, (what, other))), emotion, second, upper + lower


def _ramps(length: int, up: int, down: int, late: float, early: float) -> Floats:
    """0 at both ends, 1 from frame ``up`` until ``down`` frames before the last."""
    frame = np.arange(length)
    rise = _smooth((frame / up - late) / (1 - late))
    fall = _smooth(((length - 1 - frame) / down - early) / (1 - early))
    return np.minimum(rise, fall)


def _smooth(share: Floats) -> Floats:
    """From 0 to 1 with the least jerk, as muscles move (Flash & Hogan 1985)."""
    share = np.clip(share, 0, 1)
    smooth: Floats = share**3 * (10 - 15 * share + 6 * share**2)
    return smooth


# -- speech and other habits -------------------------------------------------------------------


def plan_talk(rng: np.random.Generator, fps: float, length: int, settings: TalkSettings) -> Piece:
    """An utterance of about ``length`` frames whose mouth is closed at both ends.

    Lips open and close once a syllable, the jaw follows by a share that the vowel sets, and the
    corners spread (20) or draw in (23).
    """
    last_s = max((length - 1) / fps, 0.5)  # time for one syllable at least
    rate, loudness = rng.uniform(*settings.syllable_hz), rng.uniform(*settings.loudness)
    knots = [(0.0, 0.0, 0.0, 0.0)]  # seconds, opening, jaw, spread
    at = 0.0
    phrase_end = rng.uniform(*settings.phrase_s)
    while True:
        step = float(np.clip(rng.lognormal(0, 0.2) / rate, 1 / 8, 1 / 2))
        if at + step > last_s:
            break
        opening = float(np.clip(loudness * rng.lognormal(0, 0.35), 0.05, 1.4))
        spread = rng.uniform(-0.5, 0.5) * opening
        knots.append((at + step / 2, opening, opening * rng.uniform(0.2, 0.8), spread))
        at += step
        # Lips meet at b, m and p; other consonants leave them ajar.
        ajar = 0.0 if rng.random() < 0.35 else opening * rng.uniform(0.1, 0.35)
        pause = rng.uniform(*settings.pause_s)
        if at >= phrase_end or at + pause + 1 / rate > last_s:
            knots.append((at, 0.0, 0.0, 0.0))
            at += pause
            phrase_end = at + rng.uniform(*settings.phrase_s)
            ajar = 0.0
        knots.append((at, ajar, 0.5 * ajar, 0.5 * spread * (ajar > 0)))
    knots[-1] = (knots[-1][0], 0.0, 0.0, 0.0)
    table = np.array(knots)
    closed_s = table[1 + np.flatnonzero(table[:-1, 1]).max(initial=0), 0]
    time = np.arange(int(np.ceil(closed_s * fps)) + 1) / fps
    lips, jaw, corners = (_through(time, table[:, 0], table[:, k]) for k in (1, 2, 3))
    curves = {"25": lips, "26": jaw, "20": corners.clip(0), "23": (-corners).clip(0)}
    event = GroundTruthEvent(
        "speech", 0, int((lips + 2 * jaw).argmax()), len(time) - 1, "", tuple(curves)
    )
    return Piece(_both_sides(curves), event)


def _through(time: Floats, at: Floats, values: Floats) -> Floats:
    """Smoothly from one value to the next, flat at each."""
    index = np.clip(np.searchsorted(at, time, side="right") - 1, 0, len(at) - 2)
    share = (time - at[index]) / np.maximum(at[index + 1] - at[index], 1e-9)
    result: Floats = values[index] + (values[index + 1] - values[index]) * _smooth(share)
    return result


def plan_other(rng: np.random.Generator, fps: float) -> Piece:
    """A movement of ``OTHERS``, from rest to rest."""
    what = str(rng.choice(list(OTHERS), p=list(OTHERS.values())))
    return _OTHER_PLANS[what](rng, fps, what)


def _held(
    rng: np.random.Generator,
    fps: float,
    what: str,
    units: dict[str, tuple[float, float]],
    up_s: tuple[float, float],
    hold_s: tuple[float, float],
    down_s: tuple[float, float],
) -> Piece:
    """Units go to a strength of their range, stay, and come back."""
    up, hold, down = (
        max(2, int(rng.uniform(*seconds) * fps)) for seconds in (up_s, hold_s, down_s)
    )
    ramps = _ramps(up + hold + down + 1, up, down, 0, 0)
    curves = {number: rng.uniform(*reach) * ramps for number, reach in units.items()}
    event = GroundTruthEvent("other", 0, up, len(ramps) - 1, "", tuple(curves), what=what)
    return Piece(_both_sides(curves), event)


def _swallow(rng: np.random.Generator, fps: float, what: str) -> Piece:
    units = {"24": (0.2, 0.5), "17": (0.1, 0.5)}
    return _held(rng, fps, what, units, (0.15, 0.3), (0.05, 0.2), (0.2, 0.4))


def _lip_press(rng: np.random.Generator, fps: float, what: str) -> Piece:
    units = {"24": (0.4, 1.2), "23": (0.2, 0.8)}
    return _held(rng, fps, what, units, (0.15, 0.4), (0.1, 1.0), (0.15, 0.4))


def _parted_lips(rng: np.random.Generator, fps: float, what: str) -> Piece:
    units = {"25": (0.2, 0.8), "26": (0.02, 0.2)}
    return _held(rng, fps, what, units, (0.2, 0.6), (1.5, 6.0), (0.2, 0.6))


def _yawn(rng: np.random.Generator, fps: float, what: str) -> Piece:
    units = {
        "26": (1.2, 2.0),
        "25": (0.4, 0.9),
        "4": (0.1, 0.6),
        "7": (0.3, 0.9),
        "45": (0.3, 0.9),
    }
    return _held(rng, fps, what, units, (0.8, 1.8), (0.8, 2.5), (0.5, 1.2))


def _chewing(rng: np.random.Generator, fps: float, what: str) -> Piece:
    """The jaw opens and closes at 1 to 2 Hz behind lips that stay almost closed."""
    length = round(rng.uniform(3.0, 8.0) * fps)
    time = np.arange(length) / fps
    phase = np.cumsum(rng.uniform(1.0, 2.0) * (1 + 0.15 * _slow(rng, time, 0.2, 0.8))) / fps
    ends = np.clip(np.minimum(time, time[-1] - time) / 0.4, 0, 1)
    bite = rng.uniform(0.2, 0.5) * np.sin(np.pi * phase) ** 2 * ends
    curves = {"26": bite, "17": bite, "24": 0.8 * bite}
    event = GroundTruthEvent(
        "other", 0, int(bite.argmax()), length - 1, "", tuple(curves), what=what
    )
    return Piece(_both_sides(curves), event)


_OTHER_PLANS: dict[str, Callable[[np.random.Generator, float, str], Piece]] = {
    "swallow": _swallow,
    "lip press": _lip_press,
    "parted lips": _parted_lips,
    "chewing": _chewing,
    "yawn": _yawn,
}


def _both_sides(curves: dict[str, Floats]) -> dict[Track, Curve]:
    return {
        (number, side): curve.astype(np.float32)
        for number, curve in curves.items()
        for side in SIDES
    }


# -- the head ----------------------------------------------------------------------------------


def plan_turns(
    rng: np.random.Generator,
    fps: float,
    count: int,
    settings: PoseSettings,
    utterances: list[Interval],
) -> tuple[Floats, list[GroundTruthEvent]]:
    """How the head moves beside small shifts.

    Args:
        rng: of everything that is drawn.
        fps: frames per second.
        count: frames.
        settings: rates and ranges.
        utterances: frames in which the subject talks.

    Returns:
        Float64 [count, 4]: yaw, pitch and roll in degrees (positive to the subject's left, down,
        and clockwise in the image), and the distance as a multiple of the usual; and the turns,
        nods, shakes and leans.
    """
    time = np.arange(count) / fps
    minutes = count / fps / 60
    events: list[GroundTruthEvent] = []

    def note(what: str, start_s: float, seconds: float) -> None:
        onset, offset = int(start_s * fps), min(int(np.ceil((start_s + seconds) * fps)), count - 1)
        if onset < offset:
            events.append(GroundTruthEvent("head", onset, (onset + offset) // 2, offset, what=what))

    turns = int(rng.poisson(settings.turn_rate * minutes))
    starts = np.sort(rng.uniform(0, count / fps, turns))
    lasting = rng.uniform(*settings.turn_duration_s, turns)
    limit = np.array(settings.limit_deg)
    away = rng.random((turns + 1, 1)) < 0.5
    poses = rng.normal(0, settings.turn_deg, (turns + 1, 3)) * np.where(away, 1.0, 0.2)
    poses = np.clip(poses, -limit, limit)
    angles = follow_poses(time, starts, lasting, poses)
    for start, seconds in zip(starts, lasting, strict=True):
        note("turn", start, seconds)

    for _ in range(int(rng.poisson(settings.nod_rate * minutes))):
        start, hertz = rng.uniform(0, count / fps), rng.uniform(*settings.nod_hz)
        cycles = max(1, round(rng.uniform(*settings.nod_cycles)))
        seconds, shakes = cycles / hertz, rng.random() < 1 / 3
        share = np.clip((time - start) / seconds, 0, 1)
        fading = np.minimum(1, 4 * cycles * np.minimum(share, 1 - share))
        height = rng.uniform(*settings.nod_deg)
        wave = np.sin(2 * np.pi * cycles * share)
        if not shakes:  # a nod goes down and comes back
            wave = 0.5 - 0.5 * np.cos(2 * np.pi * cycles * share)
        angles[:, 0 if shakes else 1] += height * wave * fading
        note("shake" if shakes else "nod", start, seconds)

    leans = int(rng.poisson(settings.lean_rate * minutes))
    starts = np.sort(rng.uniform(0, count / fps, leans))
    lasting = rng.uniform(*settings.lean_duration_s, leans)
    distances = np.log(rng.uniform(*settings.lean, (leans + 1, 1)))
    distances[0] *= 0.2
    distance = np.exp(follow_poses(time, starts, lasting, distances))
    for start, seconds in zip(starts, lasting, strict=True):
        note("lean", start, seconds)

    talking = np.zeros(count)
    for one in utterances:
        frame = np.arange(one.onset, one.offset + 1)
        ramp = np.minimum(frame - one.onset, one.offset - frame) / (0.3 * fps)
        talking[one.onset : one.offset + 1] = np.clip(ramp, 0, 1)
    for axis, part in enumerate((0.7, 1.0, 0.5)):
        angles[:, axis] += settings.bob_deg * part * talking * _slow(rng, time, 0.5, 3.0)
        angles[:, axis] += settings.sway_deg * part * _slow(rng, time, 0.05, 0.5)
    return np.column_stack([angles, distance]), events


def follow_poses(time: Floats, starts: Floats, lasting: Floats, places: Floats) -> Floats:
    """[T, k]: from ``places[i]`` smoothly to ``places[i + 1]`` at ``starts[i]``."""
    pose = np.tile(places[0], (len(time), 1))
    for start, seconds, step in zip(starts, lasting, np.diff(places, axis=0), strict=True):
        first, stop = np.searchsorted(time, (start, start + seconds))
        share = (time[first:stop, None] - start) / seconds
        pose[first:stop] += step * share**3 * (10 - 15 * share + 6 * share**2)
        pose[stop:] += step
    return pose
