"""Pairs of frames of filmed heads (``synthesis/head_video.py``), which no training saw."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import joblib
import numpy as np
from estimators import measure
from numpy.typing import NDArray
from pairs import CLASS_OF, SIDE, read_pairs, save

from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.synthesis import SyntheticSettings
from ma2mi.synthesis.behaviour import GroundTruthEvent
from ma2mi.synthesis.flow_simulator import UNITS
from ma2mi.synthesis.head_video import HeadVideo, make_head_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.training.simulated import MeasuredPairs

EACH = 15
"""Micro-expressions of each head."""
APART, EYES_Y = (0.33, 0.38), (0.23, 0.29)
"""Where the crops have the middles of the eyes, as shares of the side; see ``DomainSettings``."""


def write_filmed(
    path: Path,
    heads: tuple[int, int],
    methods: tuple[str, ...],
    *,
    jobs: int,
    on_progress: OnProgress = ignore,
) -> None:
    """Micro-expressions of filmed heads.

    Args:
        path: the .npz file; heads that are done wait beside it.
        heads: how many, and the first seed.
        methods: estimators, see ``estimators.measure``.
        jobs: processes.
        on_progress: called after each head.
    """
    count, first = heads
    parts = [path.with_suffix(f".{seed:05d}.npz") for seed in range(first, first + count)]

    def write_part(at: int) -> None:
        if not parts[at].is_file():
            save(parts[at], film_head(first + at, methods))

    tasks = (joblib.delayed(write_part)(at) for at in range(count))
    for done, _ in enumerate(joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks), start=1):
        on_progress(Progress(path.stem, done, count))
    loaded = [np.load(part) for part in parts]
    save(path, {name: np.concatenate([part[name] for part in loaded]) for name in loaded[0]})
    for part in parts:
        part.unlink()


def film_head(seed: int, methods: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """One head's micro-expressions: labels, units, and a flow for each method."""
    rng = np.random.default_rng([seed, 0xF11])
    video = make_head_video(
        seed=seed,
        fps=Fraction((60, 100)[rng.integers(2)]),
        plan=LongVideoSettings(
            duration_s=2.5 * EACH,
            micro_count=EACH,
            macro_count=0,
            speech_count=0,
            scene=SyntheticSettings(
                micro_peak_px=(0.3, 2.0), noise=float(rng.uniform(0.5, 4)), blink_rate=0.6
            ),
        ),
        size=(320, 320),
        face_px=float(rng.uniform(140, 190)),
    )
    rows = [film_pair(video, event, rng, methods) for event in video.of_kind("micro")]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def film_pair(
    video: HeadVideo, event: GroundTruthEvent, rng: np.random.Generator, methods: tuple[str, ...]
) -> dict[str, object]:
    """Onset and about the apex of one expression, both in the crop of the onset."""
    later = int(np.clip(event.apex + rng.integers(-2, 3), event.onset + 2, event.offset))
    warp = crop_of(video.points(event.onset), rng)
    first, second = (
        cv2.warpAffine(
            video.frame(at),
            warp,
            (SIDE, SIDE),
            flags=cv2.INTER_AREA,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for at in (event.onset, later)
    )
    units = {code.lstrip("LR") for code in event.action_units}
    return {
        "label": CLASS_OF.get(event.emotion, 0),
        "units": [float(unit in units) for unit in UNITS],
        "person": video.head_seed,
        **{
            method: (measure(first, second, method) * (100 / SIDE)).astype(np.float16)
            for method in methods
        },
    }


def crop_of(
    points: dict[str, tuple[float, float]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The similarity, image to crop px, that levels the eyes and brings them about where they are
    in a network's input."""
    right, left = (
        np.mean([points[f"{side} eye outer"], points[f"{side} eye inner"]], axis=0)
        for side in ("right", "left")
    )
    apart = complex(*(left - right))
    turn = rng.uniform(*APART) * SIDE / abs(apart) * np.exp(-1j * np.angle(apart))
    turn *= np.exp(1j * np.deg2rad(rng.normal(0, 2)))
    middle = complex(*((left + right) / 2))
    at = complex(SIDE / 2 + rng.normal(0, 2), rng.uniform(*EYES_Y) * SIDE)
    shift = at - turn * middle
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def read_filmed(path: Path, method: str) -> tuple[MeasuredPairs, NDArray[np.int64]]:
    """The pairs as one method saw them, and whose they are."""
    with np.load(path) as file:
        return read_pairs(path, method), file["person"]
