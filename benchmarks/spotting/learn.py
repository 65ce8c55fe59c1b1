"""Learn the spotter's scorer from synthetic videos: ``python benchmarks/spotting/learn.py``.

Every swell that the spotter looks at is a row; it is right if it overlaps a planted expression by
half. A ridge-penalised logistic regression tells them apart; the cut is where F1 is best on
the same videos. The persons are none of those that ``judge.py`` measures on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tracks import CROP, SEEN, Video, measured, planted

from ma2mi.datasets.synthetic.long_video import Planted
from ma2mi.evaluation.spotting import match_intervals
from ma2mi.face.motion import REGIONS
from ma2mi.records import Interval
from ma2mi.spotting import FEATURES, MovementTrack, SpottingSettings, spot

VIDEOS = [Video(11, 30, 1, 4), Video(21, 200, 0.7, 4)]
TARGET = Path(__file__).parents[2] / "src/ma2mi/spotting_scorer.json"


def rows(track: MovementTrack, events: list[Planted]) -> tuple[np.ndarray, np.ndarray, int]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("runs/spotting"))
    parser.add_argument("--plantings", type=int, default=4, help="of each rendered video")
    parser.add_argument("--ridge", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    gathered, seen = [], []
    for what in VIDEOS:
        video = what.make()
        track = measured(what, video, options.cache)
        gathered.append(rows(track, list(video.events)))
        true = video.region_places(track.frames) * (CROP / 224)
        told = np.stack([track.regions[name] for name in REGIONS], axis=1)
        seen.append(_slopes(true, told))
        for index in range(options.plantings):
            gathered.append(rows(*planted(track, video, what.fps, 100 * what.seed + index)))
    x, right, total = (
        np.concatenate([one[0] for one in gathered]),
        np.concatenate([one[1] for one in gathered]),
        sum(one[2] for one in gathered),
    )
    print(f"{len(VIDEOS)} rendered videos, {len(gathered)} tracks, {total} expressions")
    print(f"{len(x)} swells, {right.sum()} of them right")
    print(f"share of the true movement that flow tells: {np.nanmedian(seen):.2f}; planted {SEEN}")
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    weight = logistic(np.clip((x - centre) / scale, -4, 4), right, options.ridge)
    score = 1 / (1 + np.exp(-np.clip((x - centre) / scale, -4, 4) @ weight[:-1] - weight[-1]))
    cuts = np.arange(0.1, 0.9, 0.02)
    f1 = [2 * right[score >= cut].sum() / ((score >= cut).sum() + total) for cut in cuts]
    cut = float(cuts[int(np.argmax(f1))])
    print(f"F1 {max(f1):.3f} at cut {cut:.2f} on the training tracks")
    content = {
        "weights": {
            name: [round(float(value), 4) for value in row]
            for name, row in zip(
                FEATURES, zip(centre, scale, weight[:-1], strict=True), strict=True
            )
        },
        "bias": round(float(weight[-1]), 4),
        "cut": round(cut, 2),
        "learned_from": [what.name for what in VIDEOS],
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for name, row in content["weights"].items():
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
