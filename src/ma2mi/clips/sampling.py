"""Which frames of a clip go together: onset and apex, or now and the near future."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ma2mi.clips.store import PreparedClip
from ma2mi.errors import StoreError

#: Mean absolute difference of two crops (grey levels of 255) below which they are one frame
#: shown twice, and above which, between neighbours, the scene was cut.
DUPLICATE = 0.02
CUT = 25.0
#: Draws per wanted pair before a still or broken clip gives fewer.
TRIES = 8


def onset_apex(clip: PreparedClip) -> tuple[int, int]:
    """Positions of onset and apex within ``clip.frames``.

    An unmarked apex is the frame that differs most from the onset, up to the offset.

    Raises:
        StoreError: the clip carries no onset, or its apex frame is missing.
    """
    onset, apex, offset = (clip.marks.get(name) for name in ("onset", "apex", "offset"))
    if onset is None:
        raise StoreError("carries no onset", where=clip.key, cure="Prepare a corpus with marks")
    first = _position(clip, int(str(onset)))
    if apex is not None:
        return first, _position(clip, int(str(apex)))
    last = _position(clip, int(str(offset)))
    changes = [difference(clip.frames[first], frame) for frame in clip.frames[first : last + 1]]
    return first, first + int(np.argmax(changes))


def _position(clip: PreparedClip, frame: int) -> int:
    found = np.flatnonzero(clip.frame_index == frame)
    if not len(found):
        raise StoreError(
            f"has no frame {frame}", where=clip.key, cure="Check the sheet against the frames"
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
    cuts = np.array(
        [difference(a, b) > CUT for a, b in zip(clip.frames, clip.frames[1:], strict=False)]
    )
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


def difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two crops in grey levels, in [0, 255]."""
    return float(np.abs(first.astype(np.int16) - second).mean())
