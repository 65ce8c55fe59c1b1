"""Synthetic pairs: two rendered images, and the flow that an estimator measures between them."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import cv2
import joblib
import numpy as np
from estimators import measure

from ma2mi.files import replace_file
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.synthesis import SyntheticSettings, make_clip, make_subject
from ma2mi.synthesis.flow_simulator import UNITS
from ma2mi.training.simulated import MeasuredPairs

SIDE = 112
CHUNK = 20
EMOTIONS = (
    "happiness", "surprise", "disgust", "anger", "sadness", "fear", "contempt", "repression",
)  # fmt: skip
#: Chances, in twelfths, with which an emotion is drawn: positive and surprise are otherwise rare.
DRAWN = (0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7)
CLASS_OF = {"happiness": 1, "surprise": 2}


def make_pair(
    number: int, first: int, methods: tuple[str, ...], asymmetry: float = 0.5
) -> dict[str, object]:
    """One pair of the subject ``first + number // 10``; labels, and a flow for each method."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([first, number])
    subject = first + number // 10
    emotion = EMOTIONS[DRAWN[rng.integers(12)] if rng.random() < 0.85 else rng.integers(8)]
    settings = SyntheticSettings(
        size=int(rng.integers(220, 360)),
        micro_peak_px=(0.3, 2.0),
        noise=float(rng.uniform(0.5, 4)),
        flicker=float(rng.uniform(0.001, 0.01)),
        head_drift_px=float(rng.uniform(0.1, 1.5)),
        head_turn_deg=float(rng.uniform(0.05, 0.5)),
        blink_rate=0.6,
        padding_frames=2,
        asymmetry=asymmetry,
    )
    clip = make_clip(
        make_subject(subject),
        kind="micro",
        emotion=emotion,
        seed=int(rng.integers(1e6)),
        fps=Fraction((60, 100, 200)[rng.integers(3)]),
        settings=settings,
    )
    # Coders do not mark the apex to the frame.
    apex = int(np.clip(clip.apex + rng.integers(-3, 4), clip.onset + 2, clip.offset))
    onset, later = clip.frame(clip.onset), clip.frame(apex)
    scale = rng.uniform(0.85, 1.2)
    side, x, y = 224 * scale, 192 + rng.normal(0, 5), 223 + rng.normal(0, 6)
    step = side / SIDE
    to_canonical = np.array([[step, 0, x - side / 2], [0, step, y - side / 2], [0, 0, 1]])
    warp = clip.head[clip.onset] @ to_canonical
    first_crop, second_crop = (
        cv2.warpAffine(
            image,
            warp,
            (SIDE, SIDE),
            flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for image in (onset, later)
    )
    units = {code.lstrip("LR") for code in clip.action_units}
    return {
        "label": CLASS_OF.get(emotion, 0),
        "units": [float(unit in units) for unit in UNITS],
        "person": subject,
        **{
            method: (measure(first_crop, second_crop, method) * (100 / SIDE)).astype(np.float16)
            for method in methods
        },
    }


def write_pairs(
    path: Path,
    count: int,
    first: int,
    methods: tuple[str, ...],
    *,
    jobs: int,
    asymmetry: float = 0.5,
    on_progress: OnProgress = ignore,
) -> None:
    """``count`` pairs, ten a subject from seed ``first`` on; parts are kept until all are done."""
    parts = [path.with_suffix(f".{start:05d}.npz") for start in range(0, count, CHUNK)]

    def write_part(at: int) -> None:
        if parts[at].is_file():
            return
        numbers = range(at * CHUNK, min(count, (at + 1) * CHUNK))
        rows = [make_pair(number, first, methods, asymmetry) for number in numbers]
        save(parts[at], {name: np.array([row[name] for row in rows]) for name in rows[0]})

    tasks = (joblib.delayed(write_part)(at) for at in range(len(parts)))
    for done, _ in enumerate(joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks), start=1):
        on_progress(Progress("pairs", min(done * CHUNK, count), count))
    loaded = [np.load(part) for part in parts]
    save(path, {name: np.concatenate([part[name] for part in loaded]) for name in loaded[0]})
    for part in parts:
        part.unlink()


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Arrays into one file, whole or absent."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    replace_file(path, buffer.getvalue())


def read_pairs(path: Path, method: str, keep: np.ndarray | None = None) -> MeasuredPairs:
    """Pairs as one method saw them."""
    with np.load(path) as file:
        flows = file[method].transpose(0, 3, 1, 2)
        label, units = file["label"].astype(np.int64), file["units"].astype(np.float32)
    rows = np.arange(len(label)) if keep is None else np.flatnonzero(keep)
    return MeasuredPairs(flows[rows], label[rows], units[rows], _peak(flows[rows]))


def _peak(flows: np.ndarray) -> np.ndarray:
    """What stands out of the measured movement: its 99.5th percentile above the median."""
    few = flows[:, :, ::2, ::2].astype(np.float32)
    rest = np.median(few, axis=(2, 3), keepdims=True)
    length = np.hypot(*(few - rest).transpose(1, 0, 2, 3)).reshape(len(few), -1)
    return np.maximum(np.quantile(length, 0.995, axis=1), 0.02).astype(np.float32)
