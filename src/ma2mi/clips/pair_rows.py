"""Rows of pairs from one clip: frames that are drawn, and the flow between them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.clips.pairs import PairSettings
from ma2mi.clips.sampling import (
    NOT_LARGER,
    before_apex,
    early_and_late,
    near_future,
    onset_apex,
)
from ma2mi.clips.store import PreparedClip
from ma2mi.errors import MotionError, StoreError
from ma2mi.motion import (
    REGIONS,
    action_channels,
    face_mask,
    flow,
    remove_rigid,
)

#: Early and later movements that are measured at most, for each one that is wanted: where nothing
#: moves, the next draw is not better than the last.
MEASURED = 3


def add_movements(
    rows: dict[str, list[Any]],
    clip: PreparedClip,
    settings: PairSettings,
    failures: list[str],
    left_out: Counter[str],
) -> None:
    """A clip's movements early and late, where the late one is clearly larger."""
    marks = clip.points if np.isfinite(clip.points).all() else None
    face = face_mask(clip.frames.shape[1:3], marks)
    kept = measured = 0
    for pick in early_and_late(
        clip,
        interval_s=settings.interval_s,
        horizon_s=settings.horizon_s,
        reverse=settings.reverse,
        seed=settings.seed,
        left_out=left_out,
    ):
        if kept == settings.per_clip or measured == MEASURED * settings.per_clip:
            break
        measured += 1
        first, second, third = (clip.frames[at] for at in pick)
        try:
            # One by one: neither measurement may depend on the other frame.
            moved = np.concatenate(
                [flow(first, frame[None], method=settings.method) for frame in (second, third)]
            )
            moved, _ = remove_rigid(moved, landmarks=marks)
        except MotionError as error:
            where = f"{clip.key}, frames {', '.join(map(str, pick))} of the crops"
            failures.append(str(MotionError(error.what, where=where, hint=error.hint)))
            continue
        early, late = np.sqrt(np.square(moved[:, face]).sum(-1).mean(-1))
        if late < settings.growth * early:
            left_out[NOT_LARGER] += 1
            continue
        kept += 1
        action, later = action_channels(moved).astype(np.float16)
        for name, value in {
            "keys": clip.key,
            "subjects": clip.subject,
            "first": first,
            "second": second,
            "third": third,
            "action": action,
            "elapsed_s": np.float64(clip.times_s[pick[1]] - clip.times_s[pick[0]]),
            "late": later,
            "regions": _region_centres(marks),
        }.items():
            rows[name].append(value)


def _region_centres(points: NDArray[np.float32] | None) -> NDArray[np.float16]:
    """[17, 2], the centres of ``REGIONS``, NaN without landmarks [478, 2]."""
    if points is None:
        return np.full((len(REGIONS), 2), np.nan, np.float16)
    centres = [points[list(region.landmarks)].mean(0) for region in REGIONS.values()]
    return np.array(centres, np.float16)


def add_rows(
    rows: dict[str, list[Any]], clip: PreparedClip, settings: PairSettings, failures: list[str]
) -> None:
    if settings.kind == "onset-apex":
        try:
            picks: list[tuple[int, ...]] = [onset_apex(clip)]
        except StoreError as error:  # the sheet names a frame that is not there
            failures.append(str(error))
            return
    else:
        picks = near_future(
            clip,
            settings.per_clip,
            interval_s=settings.interval_s,
            reach=settings.reach,
            seed=settings.seed,
        )
    for pick in picks:
        first, second = clip.frames[pick[0]], clip.frames[pick[1]]
        others = []
        if settings.kind == "onset-apex" and settings.instances > 1:
            others = before_apex(pick[0], pick[1], settings.instances - 1)
        try:
            moved = flow(first, clip.frames[[pick[1], *others]], method=settings.method)
        except MotionError as error:
            where = f"{clip.key}, frames {pick[0]} and {pick[1]} of the crops"
            failures.append(str(MotionError(error.what, where=where, hint=error.hint)))
            continue
        rows["keys"].append(clip.key)
        rows["subjects"].append(clip.subject)
        rows["first"].append(first)
        rows["second"].append(second)
        if len(pick) > 2:
            rows["third"].append(clip.frames[pick[2]])
        action, *more = action_channels(moved).astype(np.float16)
        rows["action"].append(action)
        if more:
            rows["more"].append(np.stack(more))
        rows["elapsed_s"].append(np.float64(clip.times_s[pick[1]] - clip.times_s[pick[0]]))
