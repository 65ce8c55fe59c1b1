"""Macro-expressions of a long video: which action units, how strong, and their course in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ma2mi.motion.facs import EMOTIONS, SIDES, parse_unit
from ma2mi.synthesis.behaviour import Curve, ExpressionSettings, GroundTruthEvent, Piece, hold_ramps
from ma2mi.synthesis.clip import slow_curve
from ma2mi.synthesis.movement import Track, face_field, peak_displacement
from ma2mi.synthesis.subject import SyntheticSubject

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
    wave = 1 + settings.unsteadiness * still * np.clip(slow_curve(rng, time, 0.3, 2.0), -2.5, 2.5)

    curves: dict[Track, Curve] = {}
    for number, code in enumerate(codes):
        strength = rng.uniform(0.6, 1.0)
        # The first unit spans the whole expression; the others start later and end earlier.
        late, early = (0.0, 0.0) if number == 0 else rng.uniform(0, 0.3, 2)
        curve = strength * wave * hold_ramps(length, steps[0], steps[2], late, early)
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
