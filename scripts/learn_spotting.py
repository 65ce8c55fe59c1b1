"""Learn the spotter's scorer from synthetic videos: ``python benchmarks/spotting/learn.py``.

Every swell that the spotter looks at is a row; it is right if it overlaps a planted expression by
half. A ridge-penalised logistic regression tells them apart. Its ridge is where F1 over the videos
is best, each judged by a regression that has not seen it; its cut the strictest that is as good to
half a percent, since most of most recordings holds nothing. The persons are none of those that
``evaluate.py`` and ``false_alarms.py`` measure on. From nothing this takes half an hour; measured
tracks stay in ``--cache``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tracks import SCENES, NoEventVideo, Video, measured

from ma2mi.analysis.steady import CROP
from ma2mi.datasets.synthetic.long_video import GroundTruthEvent
from ma2mi.evaluation.spotting import match_intervals
from ma2mi.face.motion import REGIONS
from ma2mi.records import Interval
from ma2mi.spotting import FEATURES, MovementTrack, Scorer, SpottingSettings, spot

VIDEOS = [
    *(Video(seed, 30, 2, 4) for seed in (11, 12, 13, 14)),
    *(Video(seed, 30, 2, 2.5) for seed in (61, 62, 63, 64)),
    *(Video(seed, 200, 0.7, 4) for seed in (21, 22)),
    Video(65, 200, 0.7, 3),
    *(Video(seed, 30, 2, 1, head_moves=0.3) for seed in (71, 72, 73)),
    *(NoEventVideo(seed, scene) for scene in SCENES for seed in (81, 82, 83)),
    NoEventVideo(84, "still picture", fps=200),
    *(Video(seed, 30, 2, 2, head_moves=0.2, coded=True) for seed in (91, 92, 93, 94)),
    *(NoEventVideo(seed, scene, coded=True) for scene in SCENES for seed in (85, 86)),
    Video(95, 200, 0.7, 3, coded=True),
]
RIDGES = (1.0, 3.0, 10.0, 30.0)
CUTS = np.arange(0.1, 0.9, 0.02)
AS_GOOD = 0.005
TARGET = Path(__file__).parents[2] / "src/ma2mi/spotting_scorer.json"

Rows = tuple[np.ndarray, np.ndarray, int]  # evidence, whether right, how many to find


def rows(track: MovementTrack, events: list[GroundTruthEvent]) -> Rows:
    """Evidence [n, features], whether each is right, and how many there were to find."""
    found = [one for one in spot(track, SpottingSettings(least_score=0)) if one.evidence]
    truth = [event.interval for event in events if event.kind in ("micro", "macro")]
    hits = {j for _, j in match_intervals(truth, [Interval(e.onset, e.offset) for e in found])}
    evidence = np.array([[one.evidence[name] for name in FEATURES] for one in found])
    return evidence.reshape(-1, len(FEATURES)), np.isin(np.arange(len(found)), [*hits]), len(truth)


def logistic(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Newton's method; the last weight is the bias and goes unpunished."""
    x = np.column_stack([x, np.ones(len(x))])
    penalty = ridge * np.diag([*np.ones(x.shape[1] - 1), 1e-6])
    weight = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weight))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + penalty
        weight -= np.linalg.solve(hessian, x.T @ (p - y) + penalty @ weight)
    return weight


def fit(x: np.ndarray, right: np.ndarray, ridge: float) -> Scorer:
    """The regression as a scorer without a cut."""
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    weight = logistic(np.clip((x - centre) / scale, -4, 4), right, ridge)
    table = np.round(np.column_stack([centre, scale, weight[:-1]]), 4).tolist()
    weights = {name: (c, s, w) for name, (c, s, w) in zip(FEATURES, table, strict=True)}
    return Scorer(weights, round(float(weight[-1]), 4), 0.0)


def judged_apart(tracks: list[Rows], ridge: float) -> np.ndarray:
    """F1 over the videos at each of ``CUTS``, each video's swells scored without it."""
    counts = np.zeros((3, len(CUTS)))  # hits, found, true
    for index, (evidence, right, total) in enumerate(tracks):
        scorer = fit(*stacked(tracks[:index] + tracks[index + 1 :]), ridge)
        named = (dict(zip(FEATURES, row, strict=True)) for row in evidence)
        kept = np.array([scorer(row) for row in named])[:, None] >= CUTS
        counts += right.astype(int) @ kept, kept.sum(axis=0), np.full(len(CUTS), total)
    hits, found, true = counts
    return np.asarray(2 * hits / (found + true))


def stacked(tracks: list[Rows]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([one[0] for one in tracks]), np.concatenate([one[1] for one in tracks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("runs/spotting"))
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    tracks, seen = [], []
    for what in VIDEOS:
        video = what.make()
        track = measured(what, video, options.cache)
        tracks.append(rows(track, list(video.events)))
        true = video.region_places(track.frames) * (CROP.size / 224)
        told = np.stack([track.regions[name] for name in REGIONS], axis=1)
        seen.append(_slopes(true, told))
        print(f"{what.name}: {len(tracks[-1][0])} swells", flush=True)
    x, right = stacked(tracks)
    print(f"{len(VIDEOS)} videos, {sum(total for _, _, total in tracks)} expressions")
    print(f"{len(x)} swells, {right.sum()} of them right")
    print(f"share of the true movement that flow tells: {np.nanmedian(seen):.2f}")
    table = {ridge: judged_apart(tracks, ridge) for ridge in RIDGES}
    ridge = max(table, key=lambda one: table[one].max())
    cut = float(CUTS[table[ridge] >= table[ridge].max() - AS_GOOD].max())
    for one, f1 in table.items():
        print(f"ridge {one:4g}: F1 {f1.max():.3f} at {CUTS[f1.argmax()]:.2f}, videos left out")
    print(f"ridge {ridge:g}, cut {cut:.2f}")
    scorer = fit(x, right, ridge)
    content = {
        "weights": scorer.weights,
        "bias": scorer.bias,
        "cut": round(cut, 2),
        "learned_from": [what.name for what in VIDEOS],
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for name, row in scorer.weights.items():
        print(f"{name:10s} {row[2]:+.2f}")


def _slopes(true: np.ndarray, told: np.ndarray) -> list[float]:
    """Of brow and mouth-corner movement up and down: told against true, steps of 0.2 s."""
    names = ("right_inner_brow", "left_inner_brow", "right_lip_corner", "left_lip_corner")
    slopes = []
    for name in names:
        index = list(REGIONS).index(name)
        x, y = (curve[6:, index, 1] - curve[:-6, index, 1] for curve in (true, told))
        slopes.append(float(x @ y / (x @ x)) if np.abs(x).max() > 0.2 else np.nan)
    return slopes


if __name__ == "__main__":
    main()
