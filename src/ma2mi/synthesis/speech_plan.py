"""Speech of a long video: lips and jaw in syllables, phrases and pauses."""

from __future__ import annotations

import numpy as np

from ma2mi.synthesis.behaviour import (
    Floats,
    GroundTruthEvent,
    Piece,
    TalkSettings,
    both_sides,
    minimum_jerk,
)


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
    return Piece(both_sides(curves), event)


def _through(time: Floats, at: Floats, values: Floats) -> Floats:
    """Smoothly from one value to the next, flat at each."""
    index = np.clip(np.searchsorted(at, time, side="right") - 1, 0, len(at) - 2)
    share = (time - at[index]) / np.maximum(at[index + 1] - at[index], 1e-9)
    result: Floats = values[index] + (values[index + 1] - values[index]) * minimum_jerk(share)
    return result
