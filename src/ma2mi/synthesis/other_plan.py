"""Other movements of a long video: swallowing, chewing, yawns and the like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ma2mi.synthesis.behaviour import GroundTruthEvent, Piece, both_sides, hold_ramps
from ma2mi.synthesis.clip import slow_curve

OTHERS = {"swallow": 0.3, "lip press": 0.3, "parted lips": 0.2, "chewing": 0.1, "yawn": 0.1}
"""Movements that are neither expression nor speech, and the chance of each."""


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
    ramps = hold_ramps(up + hold + down + 1, up, down, 0, 0)
    curves = {number: rng.uniform(*reach) * ramps for number, reach in units.items()}
    event = GroundTruthEvent("other", 0, up, len(ramps) - 1, "", tuple(curves), what=what)
    return Piece(both_sides(curves), event)


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
    phase = np.cumsum(rng.uniform(1.0, 2.0) * (1 + 0.15 * slow_curve(rng, time, 0.2, 0.8))) / fps
    ends = np.clip(np.minimum(time, time[-1] - time) / 0.4, 0, 1)
    bite = rng.uniform(0.2, 0.5) * np.sin(np.pi * phase) ** 2 * ends
    curves = {"26": bite, "17": bite, "24": 0.8 * bite}
    event = GroundTruthEvent(
        "other", 0, int(bite.argmax()), length - 1, "", tuple(curves), what=what
    )
    return Piece(both_sides(curves), event)


_OTHER_PLANS: dict[str, Callable[[np.random.Generator, float, str], Piece]] = {
    "swallow": _swallow,
    "lip press": _lip_press,
    "parted lips": _parted_lips,
    "chewing": _chewing,
    "yawn": _yawn,
}
