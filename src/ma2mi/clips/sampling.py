"""Which frames of a clip go together: onset and apex, now and the near future, early and late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ma2mi.clips.store import PreparedClip
from ma2mi.errors import MotionError, StoreError
from ma2mi.motion import (
    REGIONS,
    Method,
    expressive_mask,
    find_apex,
    flow,
    movement_curve,
    region_mask,
    remove_rigid,
)

#: Mean absolute difference of two crops (grey levels of 255) below which they are one frame
#: shown twice, and above which, between neighbours, the scene was cut.
DUPLICATE = 0.02
CUT = 25.0
#: Draws per wanted pair before a still or broken clip gives fewer.
TRIES = 8
#: Frames of an expression among which its apex is searched at most, evenly spread.
SEARCHED = 120
#: How an apex is found: the flow, and the share of the face whose mean movement counts. Chosen
#: on 28 synthetic clips (200 fps) among two flows, two shares and the projection that
#: ``movement_along`` makes: 89 % of the apexes within 5 frames, the others 61 to 86 %.
APEX_FLOW: Method = "dis"
APEX_SHARE = 0.3
#: Share of the time from onset to apex after which a movement is most of what it becomes: of a
#: smooth rise (half a cosine) 0.65 of it.
RISEN = 0.6


def onset_apex(clip: PreparedClip) -> tuple[int, int]:
    """Positions of onset and apex within ``clip.frames``.

    An unmarked apex is where the face has moved furthest up to the offset, head motion and the
    eyes left out (see :func:`ma2mi.motion.find_apex`): a blink differs more than a
    micro-expression does, and light from the window more than both.

    Raises:
        StoreError: the clip carries no onset, or its apex frame is missing.
    """
    onset, apex, offset = (clip.marks.get(name) for name in ("onset", "apex", "offset"))
    if onset is None:
        raise StoreError("carries no onset", where=clip.key, hint="Prepare a corpus with marks")
    first = _position(clip, int(str(onset)))
    if apex is not None:
        return first, _position(clip, int(str(apex)))
    return first, _strongest(clip, first, _position(clip, int(str(offset))))


def before_apex(onset: int, apex: int, count: int) -> list[int]:
    """Positions of ``count`` frames before the apex, the nearest first.

    They part the last two fifths of the rise evenly (``RISEN``); in a rise of few frames some
    stand twice, and none is the onset.

    Args:
        onset, apex: positions within a clip's frames.
    """
    shares = np.linspace(1, RISEN, count + 1)[1:]
    first = min(onset + 1, apex)
    return [max(round(onset + (apex - onset) * share), first) for share in shares.tolist()]


def _strongest(clip: PreparedClip, first: int, last: int) -> int:
    """Position of the apex between an onset and an offset."""
    step = -(-(last - first) // SEARCHED) or 1
    candidates = np.arange(first, last + 1, step)
    placed = np.isfinite(clip.points).all() and np.ptp(clip.points, axis=0).all()
    marks = clip.points if placed else None
    shape = clip.frames.shape[1:3]
    try:
        moved = flow(clip.frames[first], clip.frames[candidates[1:]], method=APEX_FLOW)
        moved, _ = remove_rigid(moved, landmarks=marks)
        weights = expressive_mask(shape, marks)
        for name, region in REGIONS.items():
            if "lid" in name:
                weights &= ~region_mask(region, shape, marks)
        moved = np.concatenate([np.zeros_like(moved[:1]), moved])
        curve = movement_curve(moved, weights=weights, share=APEX_SHARE)
        found = find_apex(curve, [clip.times_s[i] - clip.times_s[first] for i in candidates])
    except MotionError:  # too short for a curve, or without structure to follow
        changes = [difference(clip.frames[first], clip.frames[i]) for i in candidates]
        return int(candidates[int(np.argmax(changes))])
    return int(candidates[found.apex])


def _position(clip: PreparedClip, frame: int) -> int:
    found = np.flatnonzero(clip.frame_index == frame)
    if not len(found):
        raise StoreError(
            f"has no frame {frame}", where=clip.key, hint="Check the sheet against the frames"
        )
    return int(found[0])


def near_future(
    clip: PreparedClip,
    count: int,
    *,
    interval_s: tuple[float, float] = (0.03, 0.25),
    reach: int = 1,
    seed: int = 0,
) -> list[tuple[int, ...]]:
    """Draw ``count`` times (t, t + k), or (t, t + k, t + 2k), and reverse half of them.

    The time between the frames is uniform in ``interval_s``, so k depends on the frame rate; it
    is at least 1. Frames shown twice and pairs across a cut are rejected; a clip that is too
    short or too still gives fewer pairs, or none.

    Args:
        clip: any.
        count: pairs wanted.
        interval_s: shortest and longest time from t to t + k, in seconds.
        reach: 1, or 2 to draw the frame after that as well.
        seed: same seed and clip, same pairs.

    Returns:
        Positions within ``clip.frames``, each tuple in the order of (present, future...).
    """
    rng = np.random.default_rng([seed, *clip.key.encode()])
    times = np.array([float(t) for t in clip.times_s])
    cuts = _cuts(clip)
    drawn: list[tuple[int, ...]] = []
    for _ in range(count * TRIES):
        if len(drawn) == count:
            break
        start = int(rng.integers(len(times)))
        step_s = rng.uniform(*interval_s)
        reverse = rng.random() < 0.5
        if times[start] + step_s > times[-1]:
            continue  # the clip's last frame would stand in for a later one
        first = int(np.argmin(np.abs(times - times[start] - step_s)))
        step = max(first - start, 1)
        picked = [start + step * i for i in range(reach + 1)]
        if picked[-1] >= len(times) or cuts[picked[0] : picked[-1]].any():
            continue
        elapsed = times[picked[1]] - times[picked[0]]
        if elapsed > interval_s[1] + 1e-9 and step > 1:
            continue
        if difference(clip.frames[picked[0]], clip.frames[picked[1]]) < DUPLICATE:
            continue
        drawn.append(tuple(reversed(picked)) if reverse else tuple(picked))
    return drawn


#: A later frame is at least this many times as far away as the early one; at low frame rates one
#: step is long, and a movement must have time to grow.
LATER = 2.0

TOO_SHORT = "clips shorter than the horizon"
TOO_SLOW = "frame rate too low for an early and a later movement within the horizon"
ACROSS_A_CUT = "across a cut"
SHOWN_TWICE = "same frame shown twice"
NOT_LARGER = "later movement not clearly larger than the early one"


def early_and_late(
    clip: PreparedClip,
    *,
    interval_s: tuple[float, float] = (0.03, 0.16),
    horizon_s: tuple[float, float] = (0.25, 0.9),
    reverse: float = 0.5,
    seed: int = 0,
    left_out: Counter[str],
) -> Iterator[tuple[int, int, int]]:
    """Draw times (t, t + k, t + K), endlessly: a movement early, and what becomes of it.

    Both times are uniform in their ranges and rounded to frames; k is at least 1. A clip of one
    second has room for any horizon up to that; one shorter than the shortest horizon gives none.
    Reversed in time, the clip's end is where a movement starts.

    Args:
        clip: any.
        interval_s: shortest and longest time from t to t + k, in seconds.
        horizon_s: shortest and longest time from t to t + K, in seconds.
        reverse: chance that a draw goes backwards in time.
        seed: same seed and clip, same draws.
        left_out: counts the draws that are rejected, by reason.

    Yields:
        Positions within ``clip.frames``; at most ``TRIES`` draws are rejected one after the other.
    """
    rng = np.random.default_rng([seed, *clip.key.encode()])
    times = np.array([float(t) for t in clip.times_s])
    length = times[-1] - times[0]
    if len(times) < 3 or length < horizon_s[0] - 1e-9:
        left_out[TOO_SHORT] += 1
        return
    if np.median(np.diff(times)) * LATER > min(horizon_s[1], length) + 1e-9:
        left_out[TOO_SLOW] += 1
        return
    cuts = _cuts(clip)
    rejected = 0
    while rejected < TRIES:
        horizon = rng.uniform(horizon_s[0], min(horizon_s[1], length))
        start_s = times[0] + rng.uniform(0, length - horizon)
        early_s = rng.uniform(*interval_s)
        backwards = rng.random() < reverse
        ahead = times if not backwards else times[0] + times[-1] - times[::-1]
        start = int(np.argmin(np.abs(ahead - start_s)))
        early = max(int(np.argmin(np.abs(ahead - ahead[start] - early_s))), start + 1)
        late = int(np.argmin(np.abs(ahead - ahead[start] - horizon)))
        rejected += 1
        if early >= late or ahead[late] - ahead[start] < LATER * (ahead[early] - ahead[start]):
            left_out[TOO_SLOW] += 1
            continue
        last = len(times) - 1
        picks = (start, early, late) if not backwards else (last - start, last - early, last - late)
        if cuts[min(picks) : max(picks)].any():
            left_out[ACROSS_A_CUT] += 1
            continue
        if difference(clip.frames[picks[0]], clip.frames[picks[2]]) < DUPLICATE:
            left_out[SHOWN_TWICE] += 1
            continue
        rejected = 0
        yield picks


def _cuts(clip: PreparedClip) -> NDArray[np.bool_]:
    """[T - 1], whether the scene was cut between two neighbours."""
    return np.array(
        [difference(a, b) > CUT for a, b in zip(clip.frames, clip.frames[1:], strict=False)]
    )


def difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two crops in grey levels, in [0, 255]."""
    return float(np.abs(first.astype(np.int16) - second).mean())
