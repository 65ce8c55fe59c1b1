"""How well planted expressions are found: ``python benchmarks/spotting/evaluate.py``.

Synthetic long videos are rendered frame by frame into the ``Watcher`` that ``ma2mi analyze`` uses,
once for each scorer: height in noise floors alone ("floor", no training) and "learned". Events are
judged as a user gets them, examined and read. By default videos are short and dense, for one core
and some minutes; ``--minutes 10 --density 1`` makes the long ones (20 micro-expressions in ten
minutes).
"""

from __future__ import annotations

import argparse
import sys
import time

from threadpoolctl import threadpool_limits
from tracks import Calm, Video, filmed

from ma2mi.analysis import AnalysisSettings, Watcher
from ma2mi.datasets.synthetic.long_video import LongVideo
from ma2mi.evaluation.labels import LABEL_SETS
from ma2mi.evaluation.spotting import (
    Mark,
    SpottingCounts,
    apex_errors,
    match_intervals,
    spotting_scores,
    strs,
)
from ma2mi.face.detect import FaceDetector
from ma2mi.records import Interval
from ma2mi.report.events import EXPRESSIONS, Event
from ma2mi.spotting import SpottingSettings
from ma2mi.training.recognizer import Recognizer, load_model
from ma2mi.video import ahead

SEEDS = {30: 5, 200: 6}  # none that ``learn.py`` learned from
SCORERS = {"floor": "training-free", "learned": "learned"}
REPORT_S = 60


def watch(
    what: Video | Calm, video: LongVideo, model: Recognizer | None = None
) -> dict[str, list[Event]]:
    """Each scorer's events in a painted video."""
    watchers = {
        scorer: Watcher(
            FaceDetector(), model, AnalysisSettings(spotting=SpottingSettings(scorer=scorer))
        )
        for scorer in SCORERS
    }
    events: dict[str, list[Event]] = {scorer: [] for scorer in SCORERS}
    first = next(iter(watchers.values()))
    start = time.perf_counter()
    with (
        threadpool_limits(1, user_api="blas"),
        ahead(first.see(frame) for frame in filmed(what, video)) as sights,
    ):
        for sight in sights:
            for scorer, watcher in watchers.items():
                events[scorer] += [found.event for found in watcher.measure(sight)]
            if (sight.index + 1) % (REPORT_S * what.fps) == 0:
                took = time.perf_counter() - start
                print(
                    f"{(sight.index + 1) / what.fps:.0f} s watched in {took:.0f} s", file=sys.stderr
                )
    for scorer, watcher in watchers.items():
        events[scorer] += [found.event for found in watcher.finish()]
    return events


def judge(what: Video, video: LongVideo, found: list[Event]) -> None:
    """Print one table."""
    planted = video.of_kind("micro", "macro")
    movements = [one for one in found if one.kind in EXPRESSIONS]
    truth = [Mark("v", one.interval, kind=one.kind) for one in planted]
    guess = [Mark("v", interval_of(one), kind=one.kind) for one in movements]
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
            [movements[p].apex_frame for _, p in pairs],
            [intervals[t] for t, _ in pairs],
            [what.fps] * len(pairs),
        )
        print(
            f"apex of {error.clips} hits: off by {error.mean_ms:.0f} ms; inside {error.inside:.0%}"
        )
    names = LABEL_SETS["synthetic-3"]
    labels, _ = names.encode([one.emotion for one in planted])
    emotions = [names.classes[label] if label >= 0 else "other" for label in labels]
    score = strs(
        [Mark("v", m.interval, emotion=e) for m, e in zip(truth, emotions, strict=True)],
        [Mark("v", m.interval, emotion=said(one)) for m, one in zip(guess, movements, strict=True)],
        classes=names.classes,
    )
    print(f"STRS {score.strs:.3f} (micro and macro, three classes)")


def interval_of(event: Event) -> Interval:
    return Interval(event.onset_frame, event.offset_frame)


def said(event: Event) -> str:
    """The class that was named; none where the recognizer would not."""
    return event.reading.label if event.reading and not event.reading.abstained else "none"


def counts_of(video: LongVideo, found: list[Event], kind: str) -> SpottingCounts:
    """Blinks and speech, which the referee does not know."""
    truth = [event.interval for event in video.events if event.kind == kind]
    guess = [interval_of(one) for one in found if one.kind == kind]
    hits = len(match_intervals(truth, guess))
    return SpottingCounts(hits, len(guess) - hits, len(truth) - hits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0.0, help="0: 1.5 at 30, 0.7 at 200 fps")
    parser.add_argument("--density", type=float, default=0.0, help="0: 2.5 at 30, 3 at 200 fps")
    parser.add_argument("--fps", type=int, nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--seed", type=int, help="of the video; by default one a rate")
    parser.add_argument("--coded", action="store_true", help="as H.264 (crf 20), not as rendered")
    parser.add_argument("--weights", default="zero", help="recognizer")
    options = parser.parse_args()
    model = load_model(options.weights)
    for fps in options.fps:
        short = fps == 30
        what = Video(
            SEEDS[fps] if options.seed is None else options.seed,
            fps,
            options.minutes or (1.5 if short else 0.7),
            options.density or (2.5 if short else 3.0),
            coded=options.coded,
        )
        video = what.make()
        print(
            f"## {what.minutes:g} minutes at {fps} fps, {video.frame_count} frames; "
            f"seed {what.seed}, {what.density:g} times 2 micro a minute{', coded' * what.coded}"
        )
        start = time.process_time()
        events = watch(what, video, model)
        print(f"rendered and watched in {time.process_time() - start:.0f} s of CPU\n")
        for scorer, name in SCORERS.items():
            print(f"### {name}")
            judge(what, video, events[scorer])
            print()


if __name__ == "__main__":
    main()
