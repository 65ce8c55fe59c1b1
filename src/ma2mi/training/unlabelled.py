"""Pairs without labels: a digest, a split by subject, and an order for batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ma2mi.clips.pairs import Pairs
from ma2mi.errors import SettingsError

Rows = NDArray[np.int64]

#: Fewer pairs than this are nothing to tell each other apart.
FEWEST = 8


def check_enough(train: Rows) -> None:
    """Refuse to learn from fewer than ``FEWEST`` pairs.

    Raises:
        SettingsError: there are fewer.
    """
    if len(train) < FEWEST:
        raise SettingsError(
            f"only {len(train)} pairs to learn from, at least {FEWEST} are needed",
            hint="Give more or longer videos in which faces move",
        )


def digest_pairs(pairs: Pairs) -> str:
    """sha256 of the pairs: names, subjects, pictures and movements."""
    drawn = hashlib.sha256(json.dumps([pairs.keys.tolist(), pairs.subjects.tolist()]).encode())
    for name in ("first", "second", "third", "action", "elapsed_s", "late", "regions"):
        values = getattr(pairs, name)
        drawn.update(f"{name} {values.shape} {values.dtype}".encode())
        for rows in np.array_split(values, max(1, len(values) // 256)):  # maps of any size
            drawn.update(np.ascontiguousarray(rows).tobytes())
    return drawn.hexdigest()


def split_subjects(subjects: NDArray[np.str_], share: float, seed: int) -> tuple[Rows, Rows]:
    """Positions of the subjects to train on and of those held out; never one of them in both.

    Raises:
        SettingsError: there are fewer than two subjects.
    """
    names = np.unique(subjects)
    if len(names) < 2:
        raise SettingsError(
            f"pre-training needs two subjects at least, one of them held out; found {len(names)}",
            hint="Add videos of other subjects",
        )
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng([seed, 7]).permutation(names)[:count]
    held = np.isin(subjects, chosen)
    return np.flatnonzero(~held), np.flatnonzero(held)


def video_order(videos: NDArray[np.str_], few: int) -> Callable[[np.random.Generator], Rows]:
    """Orders of pairs, drawn from a generator: those of one video side by side, a few at a time.

    Args:
        videos: [N], which video each pair is from.
        few: so many of a video follow each other.
    """
    number = np.unique(videos, return_inverse=True)[1].reshape(-1)
    own = [np.flatnonzero(number == one) for one in range(number.max() + 1)]

    def draw(rng: np.random.Generator) -> Rows:
        shuffled = [rng.permutation(rows) for rows in own]
        groups = [rows[i : i + few] for rows in shuffled for i in range(0, len(rows), few)]
        return np.concatenate([groups[i] for i in rng.permutation(len(groups))])

    return draw
