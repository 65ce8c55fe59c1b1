"""Head motion of a long video: turns, nods, shakes and leans."""

from __future__ import annotations

import numpy as np

from ma2mi.records import Interval
from ma2mi.synthesis.behaviour import Floats, GroundTruthEvent, PoseSettings
from ma2mi.synthesis.clip import slow_curve


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
        start = rng.uniform(0, count / fps)
        shakes, seconds, angle = _plan_nod(rng, time - start, settings)
        angles[:, 0 if shakes else 1] += angle
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
        angles[:, axis] += settings.bob_deg * part * talking * slow_curve(rng, time, 0.5, 3.0)
        angles[:, axis] += settings.sway_deg * part * slow_curve(rng, time, 0.05, 0.5)
    return np.column_stack([angles, distance]), events


def _plan_nod(
    rng: np.random.Generator, since: Floats, settings: PoseSettings
) -> tuple[bool, float, Floats]:
    """Whether it shakes instead, how long, and its angle at these seconds since it starts."""
    hertz = rng.uniform(*settings.nod_hz)
    cycles = max(1, round(rng.uniform(*settings.nod_cycles)))
    seconds, shakes = cycles / hertz, rng.random() < 1 / 3
    share = np.clip(since / seconds, 0, 1)
    fading = np.minimum(1, 4 * cycles * np.minimum(share, 1 - share))
    height = rng.uniform(*settings.nod_deg)
    wave = np.sin(2 * np.pi * cycles * share)
    if not shakes:  # a nod goes down and comes back
        wave = 0.5 - 0.5 * np.cos(2 * np.pi * cycles * share)
    return shakes, seconds, height * wave * fading


def follow_poses(time: Floats, starts: Floats, lasting: Floats, places: Floats) -> Floats:
    """[T, k]: from ``places[i]`` smoothly to ``places[i + 1]`` at ``starts[i]``."""
    pose = np.tile(places[0], (len(time), 1))
    for start, seconds, step in zip(starts, lasting, np.diff(places, axis=0), strict=True):
        first, stop = np.searchsorted(time, (start, start + seconds))
        share = (time[first:stop, None] - start) / seconds
        pose[first:stop] += step * share**3 * (10 - 15 * share + 6 * share**2)
        pose[stop:] += step
    return pose
