"""Pairs without labels, to pre-train on: clips cut from recordings, and the movements in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ma2mi.clips.pair_store import build_pairs, count_left_out, counted
from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.clips.prepare import Prepared, prepare_recordings
from ma2mi.clips.store import ClipStore
from ma2mi.errors import FaceError
from ma2mi.progress import OnProgress
from ma2mi.records import Recording

log = logging.getLogger("ma2mi")


def cut_recordings(
    recordings: Sequence[Recording],
    store: ClipStore,
    *,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> tuple[list[str], list[str]]:
    """Keys of the clips cut from whole recordings, and a line for each that failed.

    Raises:
        FaceError: there is no clip at all; ``details`` holds the lines.
    """
    prepared = prepare_recordings(recordings, store, jobs=jobs, on_progress=on_progress)
    return keys_and_failures(prepared, store)


def keys_and_failures(
    prepared: Sequence[Prepared], store: ClipStore, lost: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Keys of all clips, and all failures after those that are ``lost`` already.

    Raises:
        FaceError: there is no clip at all; ``details`` holds the failures.
    """
    keys = [key for one in prepared for key in one.clips]
    failures = [*lost, *(line for one in prepared for line in one.failures)]
    if not keys:
        raise FaceError(
            "nothing could be prepared",
            where=store.folder,
            hint="See the lines above",
            details=failures,
        )
    return keys, failures


def measure_movements(
    store: ClipStore,
    keys: Sequence[str],
    settings: PairSettings,
    *,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> tuple[Pairs, list[str]]:
    """Pairs to pre-train on, and a line for each clip that failed; what is left out is logged."""
    pairs, failures = build_pairs(store, keys, settings, jobs=jobs, on_progress=on_progress)
    if left_out := count_left_out(store, keys, settings):
        log.info("%d pairs of movements; left out: %s", len(pairs), counted(left_out))
    videos = {key.rpartition("@")[0] for key in keys}
    for video in sorted(videos - set(pairs.videos.tolist())):
        log.info("  %s: left out, nothing in it moves enough to learn from", video)
    return pairs, failures
