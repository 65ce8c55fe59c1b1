"""Learn the spotter's scorer from rendered heads: ``python scripts/learn_spotting.py``.

Heads in three dimensions (``synthesis/head_video``) act out lifelike plans: expressions of
0.3 to 15 px, held phases, speech with and without brows, turns, nods and leans, some through a
webcam. Every movement pulse that the spotter finds is a row; it is right if it overlaps a true
expression by half, and left out if it is a part of another movement. A ridge-penalised logistic
regression tells them apart. Its ridge is where F1 over the videos is best, each scored by a
regression that has not seen it; its cut the strictest that is as good to half a percent, since most
of most recordings holds nothing.

Rendering takes minutes and micro-expressions are few, so more of them are added to the measured
tracks: what each region would do (``LongVideo.region_places``), times the share of it that flow
shows. Their surroundings, noise, blinks, turns and talk are the rendered ones.

None of these subjects, and not their renderer, is what ``benchmarks/spotting/evaluate.py`` and
``false_alarms.py`` measure on by default. Measured tracks stay in ``--cache``.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ma2mi.analysis.track import measure_track
from ma2mi.evaluation.spotting import match_intervals
from ma2mi.face.stabilize import CROP
from ma2mi.files import replace_file
from ma2mi.motion import REGIONS
from ma2mi.records import Interval
from ma2mi.spotting import FEATURES, MovementTrack, Scorer, SpottingSettings, spot_candidates
from ma2mi.synthesis import SyntheticSettings, make_subject
from ma2mi.synthesis.head_video import HeadVideo
from ma2mi.synthesis.long_video import GroundTruthEvent, make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.synthesis.webcam import WebcamSettings, webcam
from ma2mi.video import Frame

FIRST_SUBJECT = 7000  # seeds of subjects whose plans are acted out; heads have seeds of their own
FIRST_ADDED = 8000  # seeds of subjects whose micro-expressions are added to a track
ADDED_RATE = 20.0  # a minute
ADDED_PX = (0.4, 3.0)  # peak, px of a 224 px crop
FLOW_SHARE = 0.75  # of a true movement that the flow shows (measured on synthetic faces)
LANDMARK_SHARE = 0.5  # of it that landmarks show
RIDGES = (1.0, 3.0, 10.0, 30.0)
CUTS = np.arange(0.1, 0.9, 0.02)
AS_GOOD = 0.005
TARGET = Path(__file__).parents[1] / "src/ma2mi/spotting/scorer.json"
QUIET = {"micro_count": 0, "macro_count": 0, "speech_count": 0, "other_count": 0}
STILL = {
    "blink_rate": 0.0,
    "gaze_rate": 0.0,
    "head_drift_px": 0.0,
    "head_turn_deg": 0.0,
    "head_tremor_px": 0.0,
}


@dataclass(frozen=True)
class Video:
    """One head acting out one plan.

    Args:
        seed: of everything.
        seconds, fps, face_px: length, rate, and width of the face.
        micro_px: range of a micro-expression's peak, px of a 224 px crop.
        changes: to ``LongVideoSettings.lifelike``; counts are per minute.
        scene: changes to the scene.
        camera: whether a webcam films it.
    """

    seed: int
    seconds: float = 60.0
    fps: int = 30
    face_px: float = 150.0
    micro_px: tuple[float, float] = (0.25, 1.0)
    changes: dict[str, Any] = field(default_factory=dict)
    scene: dict[str, Any] = field(default_factory=dict)
    camera: bool = False

    @property
    def name(self) -> str:
        words = [f"head{self.seed}", f"{self.fps}fps", f"{self.seconds:g}s", f"{self.face_px:g}px"]
        what = "still" if self.scene else "no events" if self.changes == QUIET else ""
        return " ".join(filter(None, [*words, what, "webcam" * self.camera]))

    def make(self) -> HeadVideo:
        scene = SyntheticSettings(micro_peak_px=self.micro_px, neck_follows=True, **self.scene)
        plan = LongVideoSettings.lifelike(self.seconds, scene=scene)
        counts = {k: round(v * self.seconds / 60) for k, v in self.changes.items() if "count" in k}
        others = {k: v for k, v in self.changes.items() if "count" not in k}
        plan = plan.model_copy(update={"micro_count": round(self.seconds / 10), **counts, **others})
        subject = make_subject(FIRST_SUBJECT + self.seed)
        planned = make_long_video(subject, seed=self.seed, fps=Fraction(self.fps), plan=plan)
        return HeadVideo(planned, self.seed, face_px=self.face_px)

    def frames(self, video: HeadVideo) -> Iterator[Frame]:
        if not self.camera:
            for index, image in enumerate(video.frames()):
                yield Frame(index, Fraction(index, self.fps), image)
            return
        draw = WebcamSettings.draw(np.random.default_rng(self.seed))
        # The head is filmed at its size, and at even times, so that rows are true frames.
        even = {"dropped": 0.0, "doubled": 0.0, "jitter_s": 0.0}
        settings = draw.model_copy(update={"face_px": None, "fps": self.fps, **even})
        yield from webcam(video.frames(), self.fps, settings, seed=self.seed)


FEW = {"micro_count": 16, "macro_count": 2.4, "speech_count": 2.4, "other_count": 2.4}
PICTURE = QUIET | {"pose": None, "head_move_rate": 0.0}
FILMED = ((25, 90), (30, 110), (30, 150), (25, 180), (30, 220), (30, 130))  # fps, px of the face
VIDEOS = [
    *(Video(i, face_px=px) for i, px in enumerate((110, 130, 150, 170, 200, 230, 260))),
    *(Video(10 + i, fps=fps, face_px=px, camera=True) for i, (fps, px) in enumerate(FILMED)),
    *(
        Video(20 + i, 40, face_px=px, changes=QUIET, camera=i % 2 == 1)
        for i, px in enumerate((120, 150, 180, 220))
    ),
    *(
        Video(30 + i, 30, face_px=px, changes=PICTURE, scene=STILL, camera=i % 2 == 1)
        for i, px in enumerate((120, 200))
    ),
    *(
        Video(40 + i, 25, fps=200, face_px=px, micro_px=(0.2, 0.7), changes=FEW)
        for i, px in enumerate((150, 200))
    ),
]

Rows = tuple[np.ndarray, np.ndarray, int]  # evidence, whether right, how many to find
Measured = tuple[MovementTrack, tuple[GroundTruthEvent, ...]]


def measured(what: Video, cache: Path) -> Measured:
    """Render and measure; kept in ``cache``, since this takes minutes."""
    kept = cache / f"{what.name}.pickle"
    if not kept.exists():
        start = time.perf_counter()
        video = what.make()
        with threadpool_limits(1):
            track = measure_track(what.frames(video))
        kept.parent.mkdir(parents=True, exist_ok=True)
        replace_file(kept, pickle.dumps((track, video.events)))
        print(f"{what.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return pickle.loads(kept.read_bytes())


def with_more(what: Video, measured: Measured) -> Measured:
    """The track with micro-expressions added without rendering them."""
    track, events = measured
    seconds = what.seconds
    quiet = {"blink_rate": 0.0, "gaze_rate": 0.0}
    scene = SyntheticSettings(micro_peak_px=ADDED_PX, **quiet)
    plan = LongVideoSettings(
        duration_s=seconds,
        micro_count=round(ADDED_RATE * seconds / 60),
        macro_count=0,
        speech_count=0,
        apart_s=1.0,
        scene=scene,
    )
    subject = make_subject(FIRST_ADDED + what.seed)
    more = make_long_video(subject, seed=what.seed, fps=Fraction(what.fps), plan=plan)
    last = more.frame_count - 1
    px = more.region_places(np.clip(track.frames, 0, last)) * (CROP.size / 224)
    regions = {
        name: track.regions[name] + FLOW_SHARE * px[:, index] for index, name in enumerate(REGIONS)
    }
    shapes = [
        None if one is None else one._replace(positions=one.positions + LANDMARK_SHARE * px[row])
        for row, one in enumerate(track.shapes or ())
    ]
    busy = [(e.onset, e.offset) for e in events if e.kind in ("micro", "macro")]
    added = [e for e in more.events if all(e.offset < a or e.onset > b for a, b in busy)]
    return replace(track, regions=regions, shapes=shapes), (*events, *added)


def rows(track: MovementTrack, events: tuple[GroundTruthEvent, ...]) -> Rows:
    """Evidence [n, features], whether each is right, and how many there were to find."""
    all_of_them = SpottingSettings(least_score=0)
    found = [one for one in spot_candidates(track, all_of_them) if "fit" in one.evidence]
    found = [one for one in found if not one.reason]
    truth = [event.interval for event in events if event.kind in ("micro", "macro")]
    hits = {j for _, j in match_intervals(truth, [Interval(e.onset, e.offset) for e in found])}
    right = np.isin(np.arange(len(found)), [*hits])
    # A swallow, or a part of an expression, is neither an expression nor a mistake.
    moves = [(e.onset, e.offset) for e in events if e.kind in ("micro", "macro", "other")]
    unclear = [any(e.onset <= b and e.offset >= a for a, b in moves) for e in found]
    kept = right | ~np.array(unclear, bool).reshape(-1)
    evidence = np.array([[one.evidence[name] for name in FEATURES] for one in found])
    return evidence.reshape(-1, len(FEATURES))[kept], right[kept], len(truth)


def fit(x: np.ndarray, right: np.ndarray, ridge: float) -> Scorer:
    """The regression as a scorer whose cut is 1/2."""
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    # Newton's method: the same weights to the last printed digit on any machine.
    model = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(np.clip((x - centre) / scale, -4, 4), right)
    table = np.round(np.column_stack([centre, scale, model.coef_[0]]), 4).tolist()
    weights = {name: (c, s, w) for name, (c, s, w) in zip(FEATURES, table, strict=True)}
    return Scorer(weights, round(float(model.intercept_[0]), 4), 0.5)


def scored_apart(tracks: list[Rows], ridge: float) -> np.ndarray:
    """F1 over the videos at each of ``CUTS``, each video's pulses scored without it."""
    counts = np.zeros((3, len(CUTS)))  # hits, found, true
    half = len(tracks) // 2  # the second half holds the same videos with more in them
    for index, (evidence, right, total) in enumerate(tracks):
        others = [one for i, one in enumerate(tracks) if i % half != index % half]
        scorer = fit(*stacked(others), ridge)
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
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    both = Parallel(n_jobs=options.jobs)(delayed(measured)(what, options.cache) for what in VIDEOS)
    both += [with_more(what, one) for what, one in zip(VIDEOS, both, strict=True)]
    tracks = Parallel(n_jobs=options.jobs)(delayed(rows)(*one) for one in both)
    names = [what.name for what in VIDEOS]
    names += [f"{name} with more" for name in names]
    for name, (evidence, right, total) in zip(names, tracks, strict=True):
        print(f"{name}: {len(evidence)} pulses, {right.sum()} right, {total} to find")
    x, right = stacked(tracks)
    print(f"{len(VIDEOS)} videos twice, {sum(total for _, _, total in tracks)} expressions")
    print(f"{len(x)} pulses, {right.sum()} of them right")
    table = {ridge: scored_apart(tracks, ridge) for ridge in RIDGES}
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


if __name__ == "__main__":
    main()
