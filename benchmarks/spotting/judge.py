"""How well the spotter finds planted expressions: ``python benchmarks/spotting/judge.py``.

Synthetic long videos are rendered, faces found, movement measured frame by frame, and spotted in
one stream: by height in noise floors alone ("floor", no training) and by the learned scorer. By
default videos are short and dense, for one core and some minutes; ``--minutes 10 --density 1``
makes the long ones (20 micro-expressions in ten minutes). Measured tracks stay in ``--cache``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tracks import Video, measured

from ma2mi.datasets.synthetic.long_video import LongVideo
from ma2mi.errors import CheckpointError, FaceError
from ma2mi.evaluation.labels import LABEL_SETS
from ma2mi.evaluation.spotting import (
    Mark,
    SpottingCounts,
    apex_errors,
    match_intervals,
    spotting_scores,
    strs,
)
from ma2mi.face.align import Template, estimate_warp, warp_image
from ma2mi.face.detect import FaceDetector
from ma2mi.records import Interval
from ma2mi.spotting import Spotted, SpottingSettings, spot
from ma2mi.training.recognizer import Recognizer, load_model

SEEDS = {30: 5, 200: 6}  # none that ``learn.py`` learned from


def counts_of(video: LongVideo, found: list[Spotted], kind: str) -> SpottingCounts:
    """Blinks and speech, which the referee does not know."""
    truth = [event.interval for event in video.events if event.kind == kind]
    guess = [Interval(one.onset, one.offset) for one in found if one.kind == kind]
    hits = len(match_intervals(truth, guess))
    return SpottingCounts(hits, len(guess) - hits, len(truth) - hits)


def judge(what: Video, video: LongVideo, found: list[Spotted], model: Recognizer | None) -> None:
    """Print one table."""
    planted = video.of_kind("micro", "macro")
    movements = [one for one in found if one.kind in ("micro", "macro")]
    truth = [Mark("v", one.interval, kind=one.kind) for one in planted]
    guess = [Mark("v", Interval(one.onset, one.offset), kind=one.kind) for one in movements]
    scores = spotting_scores(truth, guess)
    rows = {"micro": scores.micro, "macro": scores.macro, "both": scores.overall}
    rows |= {kind: counts_of(video, found, kind) for kind in ("blink", "speech")}
    print("| | true | found | hits | precision | recall | F1 | false a minute |")
    print("|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {row.tp + row.fn} | {row.tp + row.fp} | {row.tp} | {row.precision:.2f} "
            f"| {row.recall:.2f} | {row.f1:.2f} | {row.fp / what.minutes:.1f} |"
        )
    intervals = [mark.interval for mark in truth]
    pairs = match_intervals(intervals, [mark.interval for mark in guess])
    if pairs:
        error = apex_errors(
            [planted[t].apex for t, _ in pairs],
            [movements[p].apex for _, p in pairs],
            [intervals[t] for t, _ in pairs],
            [what.fps] * len(pairs),
        )
        print(
            f"apex of {error.clips} hits: off by {error.mean_ms:.0f} ms; inside {error.inside:.0%}"
        )
    if model is not None:
        print(f"STRS {_strs(video, movements, model):.3f} (micro and macro, three classes)")


def _strs(video: LongVideo, movements: list[Spotted], model: Recognizer) -> float:
    """Spot-then-recognise, strict; a face that is lost counts as no answer."""
    planted = video.of_kind("micro", "macro")
    names = LABEL_SETS["synthetic-3"]
    labels, _ = names.encode([one.emotion for one in planted])
    truth = [
        Mark("v", one.interval, emotion=names.classes[label] if label >= 0 else "other")
        for one, label in zip(planted, labels, strict=True)
    ]
    detector, template, guess = FaceDetector(), Template(size=model.size + 16), []
    for one in movements:
        try:
            onset = video.frame(one.onset)
            faces = detector.detect(onset)
            warp = estimate_warp(faces[0], template) if faces else None
        except FaceError:
            warp = None
        said = "none"
        if warp is not None:
            crops = [warp_image(image, warp, template) for image in (onset, video.frame(one.apex))]
            said = model.read(crops[0], crops[1][None])[0].label
        guess.append(Mark("v", Interval(one.onset, one.offset), emotion=said))
    return strs(truth, guess, classes=names.classes).strs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0.0, help="0: 1.5 at 30, 0.7 at 200 fps")
    parser.add_argument("--density", type=float, default=0.0, help="0: 2.5 at 30, 3 at 200 fps")
    parser.add_argument("--fps", type=int, nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--seed", type=int, help="of the video; by default one a rate")
    parser.add_argument("--cache", type=Path, default=Path("runs/spotting"))
    parser.add_argument("--weights", default="zero", help="recognizer for STRS")
    options = parser.parse_args()
    try:
        model = load_model(options.weights)
    except CheckpointError as error:
        model = None
        print(f"no STRS: {error}\n")
    for fps in options.fps:
        short = fps == 30
        what = Video(
            SEEDS[fps] if options.seed is None else options.seed,
            fps,
            options.minutes or (1.5 if short else 0.7),
            options.density or (2.5 if short else 3.0),
        )
        video = what.make()
        start = time.process_time()
        track = measured(what, video, options.cache)
        print(
            f"## {what.minutes:g} minutes at {fps} fps, {video.frame_count} frames, every "
            f"{what.every} measured; seed {what.seed}, {what.density:g} times 2 micro a minute"
        )
        print(
            f"rendered and measured in {time.process_time() - start:.0f} s of CPU (0: from cache)"
        )
        print(f"face in {np.mean(track.present):.1%} of the frames\n")
        for name, settings in (
            ("floor (no training)", SpottingSettings(scorer="floor")),
            ("learned", SpottingSettings(scorer="learned")),
        ):
            start = time.process_time()
            found = spot(track, settings)
            print(f"### {name}, {time.process_time() - start:.1f} s of CPU")
            judge(what, video, found, model)
            print()


if __name__ == "__main__":
    main()
