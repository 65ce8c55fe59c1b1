"""Spotting on fresh synthetic subjects: ``python benchmarks/spotting/evaluate.py``.

Each subject has a long video with expressions, blinks, speech and head movement, rendered frame by
frame into the ``VideoAnalyzer`` of ``ma2mi analyze``, once for each scorer: the multiple of the
noise floor alone ("floor", no training) and "learned". Events are scored as a user gets them,
examined and read. Hits, false alarms and misses are added up over the subjects; intervals come from
drawing subjects with replacement (percentile bootstrap, 2000 resamples). An event on another facial
movement (a yawn, a swallow, lips that are pressed: only ``--lifelike`` has some) is neither a hit
nor a false alarm; it has a column of its own.

By default videos are short and dense, for one core and some minutes each; ``--minutes 10 --density
1`` makes long ones (20 micro-expressions in ten minutes). A video that is done stays in ``--cache``
and counts as long as neither the package nor the weights change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from threadpoolctl import threadpool_limits
from videos import FIRST_SUBJECT, NoEventVideo, Video, filmed

import ma2mi
from ma2mi.analysis import AnalysisSettings, VideoAnalyzer
from ma2mi.evaluation.labels import LABEL_SETS
from ma2mi.evaluation.spotting import match_intervals, strs
from ma2mi.evaluation.statistics import bootstrap, spotting_f1_of
from ma2mi.face.detect import FaceDetector
from ma2mi.files import replace_file
from ma2mi.records import EXPRESSIONS, DetectedEvent, Event, Interval
from ma2mi.spotting import SpottingSettings
from ma2mi.synthesis import make_subject
from ma2mi.synthesis.long_video import LongVideo, make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.training.checkpoint import find_weights
from ma2mi.training.recognizer import Recognizer, load_model
from ma2mi.video import ahead

FIRST_SEED = 400  # ``scripts/learn_spotting.py`` has subjects of its own
FIRST_HEAD = 5000
SHORT = {30: (1.5, 2.5), 200: (0.7, 3.0)}  # minutes and density by frame rate
SCORERS = {"floor": "training-free", "learned": "learned"}
RESAMPLES = 2000
REPORT_S = 60


class Rendered(Protocol):
    """A synthetic video, whoever rendered it."""

    fps: Fraction
    frame_count: int
    events: tuple

    def frame(self, index: int) -> np.ndarray: ...
    def of_kind(self, *kinds: str) -> list: ...


class Found(NamedTuple):
    """An event, true or spotted: kind, frames, and the class of an expression."""

    kind: str
    onset: int
    apex: int
    offset: int
    emotion: str = ""

    @property
    def interval(self) -> Interval:
        return Interval(self.onset, self.offset)

    def as_event(self, subject: str) -> Event:
        """One of the only video of a subject."""
        return Event(
            self.kind, self.onset, self.apex, self.offset, video=subject, subject=subject,
            emotion=self.emotion,
        )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One subject's video: what happens in it, and each scorer's events."""

    subject: str
    fps: float
    frames: int
    truth: tuple[Found, ...]
    events: dict[str, tuple[Found, ...]]


# -- videos --------------------------------------------------------------------------------------


def faces(video: LongVideo, seed: int) -> Rendered:
    """As it was planned, by the renderer that the scorer learned from."""
    return video


def heads(video: LongVideo, seed: int) -> Rendered:
    """The same plan acted out by a rendered head: another renderer, other subjects."""
    from ma2mi.synthesis.head_video import HeadVideo

    return HeadVideo(video, head_seed=FIRST_HEAD + seed)


RENDERERS: dict[str, Callable[[LongVideo, int], Rendered]] = {"faces": faces, "heads": heads}


def plan(what: Video, lifelike: bool) -> LongVideo:
    """What happens: small movements of the laboratory, or what a webcam sees."""
    if not lifelike:
        return what.make()
    settings = LongVideoSettings.lifelike(60 * what.minutes)
    subject = make_subject(FIRST_SUBJECT + what.seed)
    return make_long_video(subject, seed=what.seed, fps=Fraction(what.fps), plan=settings)


def watch(
    what: Video | NoEventVideo,
    video: Rendered,
    model: Recognizer | None = None,
    crf: int = 20,
) -> dict[str, list[DetectedEvent]]:
    """Each scorer's events in a synthetic video; candidates below the thresholds are left out."""
    analyzers = {
        scorer: VideoAnalyzer(
            FaceDetector(), model, AnalysisSettings(spotting=SpottingSettings(scorer=scorer))
        )
        for scorer in SCORERS
    }
    events: dict[str, list[DetectedEvent]] = {scorer: [] for scorer in SCORERS}
    first = next(iter(analyzers.values()))
    start = time.perf_counter()
    with (
        threadpool_limits(1, user_api="blas"),
        ahead(first.detect(frame) for frame in filmed(what, video, crf)) as detected_frames,
    ):
        for detected in detected_frames:
            for scorer, analyzer in analyzers.items():
                events[scorer] += [found.event for found in analyzer.measure(detected)]
            if (detected.index + 1) % (REPORT_S * what.fps) == 0:
                took = time.perf_counter() - start
                print(
                    f"{(detected.index + 1) / what.fps:.0f} s analysed in {took:.0f} s",
                    file=sys.stderr,
                )
    for scorer, analyzer in analyzers.items():
        events[scorer] += [found.event for found in analyzer.finish()]
    return {scorer: [e for e in some if not e.reason] for scorer, some in events.items()}


def result_of(name: str, video: Rendered, events: dict[str, list[DetectedEvent]]) -> Result:
    """What is scored of a video and its events."""
    names = LABEL_SETS["synthetic-3"]
    labels, _ = names.encode([one.emotion or "other" for one in video.events])
    emotions = [names.classes[label] if label >= 0 else "other" for label in labels]
    truth = tuple(
        Found(one.kind, one.onset, one.apex, one.offset, emotion)
        for one, emotion in zip(video.events, emotions, strict=True)
    )
    found = {
        scorer: tuple(Found(e.kind, e.onset, e.apex, e.offset, e.emotion or "none") for e in some)
        for scorer, some in events.items()
    }
    return Result(name, float(video.fps), video.frame_count, truth, found)


# -- results on disk -----------------------------------------------------------------------------


@cache
def state(weights: str) -> str:
    """Digest of the package and the weights: what else the events depend on."""
    package = Path(ma2mi.__file__).parent
    files = [*package.rglob("*.py"), *package.rglob("*.json")]
    digest = hashlib.sha256()
    for file in (*sorted(files), find_weights(weights) / "model.safetensors"):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def write_result(result: Result, path: Path) -> None:
    replace_file(path, json.dumps(asdict(result)).encode())


def read_result(path: Path) -> Result:
    tree = json.loads(path.read_text("utf-8"))
    tree["truth"] = tuple(Found(*row) for row in tree["truth"])
    events = {scorer: tuple(Found(*row) for row in some) for scorer, some in tree["events"].items()}
    return Result(**(tree | {"events": events}))


# -- scores --------------------------------------------------------------------------------------


def counts_of(result: Result, scorer: str, *kinds: str) -> list[int]:
    """Hits, false alarms, misses, and events on other movements; a micro-expression is found by a
    micro event alone."""
    others = [one.interval for one in result.truth if one.kind == "other"]
    total = np.zeros(4, dtype=np.int64)
    for kind in kinds:
        truth, found = (
            [one.interval for one in some if one.kind == kind]
            for some in (result.truth, result.events[scorer])
        )
        hits = {f for _, f in match_intervals(truth, found)}
        free = [one for f, one in enumerate(found) if f not in hits]
        on_others = sum(any(_is_part(one, other) for other in others) for one in free)
        total += len(hits), len(free) - on_others, len(truth) - len(hits), on_others
    return total.tolist()


def _is_part(one: Interval, other: Interval) -> bool:
    """Four fifths of an event's frames, or half of both together, lie in another movement."""
    shared = min(one.offset, other.offset) - max(one.onset, other.onset) + 1
    both = max(one.offset, other.offset) - min(one.onset, other.onset) + 1
    return shared >= min(0.8 * len(one), 0.5 * both)


def apexes_of(result: Result, scorer: str) -> tuple[int, int, int]:
    """Of the expressions that are hit, whichever kind: their number, the sum of the apexes' errors
    in microseconds, and how many apexes lie inside.
    """
    truth, found = (
        [one for one in some if one.kind in EXPRESSIONS]
        for some in (result.truth, result.events[scorer])
    )
    pairs = match_intervals([one.interval for one in truth], [one.interval for one in found])
    off = sum(abs(truth[t].apex - found[f].apex) for t, f in pairs)
    inside = sum(found[f].apex in truth[t].interval for t, f in pairs)
    return len(pairs), round(1e6 * off / result.fps), inside


def table(results: Sequence[Result], scorer: str) -> Iterator[str]:
    """One scorer over all subjects, as Markdown."""
    frames, fps = sum(result.frames for result in results), results[0].fps
    yield (
        "| | true | found | on other movements | hits | precision | recall | F1 [95 %] "
        "| false a minute [95 %] |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    rows = {"micro": ("micro",), "macro": ("macro",), "both": EXPRESSIONS}
    for name, kinds in (rows | {kind: (kind,) for kind in ("blink", "speech")}).items():
        counts = np.array([counts_of(result, scorer, *kinds) for result in results])
        tp, fp, fn, on_others = counts.sum(axis=0).tolist()
        false = np.array([(c[1], r.frames) for c, r in zip(counts, results, strict=True)])
        yield (
            f"| {name} | {tp + fn} | {tp + fp + on_others} | {on_others} | {tp} "
            f"| {_share(tp, tp + fp):.2f} | {_share(tp, tp + fn):.2f} "
            f"| {interval(counts[:, :3], spotting_f1_of)} "
            f"| {interval(false, lambda c: 60 * fps * _ratio(c[..., 0], c[..., 1]))} |"
        )
    apexes = np.array([apexes_of(result, scorer) for result in results])
    hits, _, inside = apexes.sum(axis=0).tolist()
    off = interval(apexes, lambda c: _ratio(c[..., 1], c[..., 0]) / 1000, digits=0)
    yield f"\napex of {hits} hits: off by {off} ms; inside {_share(inside, hits):.0%}"
    truth = [(r.subject, one) for r in results for one in r.truth if one.kind in EXPRESSIONS]
    predicted = [(r.subject, e) for r in results for e in r.events[scorer] if e.kind in EXPRESSIONS]
    score = strs(
        [one.as_event(subject) for subject, one in truth],
        [one.as_event(subject) for subject, one in predicted],
        classes=LABEL_SETS["synthetic-3"].classes,
    )
    yield f"STRS {score.strs:.3f} (micro and macro, three classes)"
    yield f"{len(results)} subjects, {frames / fps / 60:.1f} minutes"


def interval(counts: np.ndarray, score: Callable[[np.ndarray], np.ndarray], digits: int = 2) -> str:
    """A score of the summed counts [subjects, ...] and its interval; alone if there is one row."""
    if len(counts) < 2:
        return f"{float(score(counts.sum(axis=0))):.{digits}f}"
    found = bootstrap(counts, score, resamples=RESAMPLES, method="percentile", seed=0)
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where nothing is to be divided by."""
    part, whole = (np.asarray(one, dtype=np.float64) for one in (part, whole))
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


# -- the command ---------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=5, help="fresh ones, one video each")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first subject")
    parser.add_argument("--fps", type=int, nargs="*", default=[*SHORT], choices=[*SHORT])
    parser.add_argument("--minutes", type=float, default=0.0, help="0: 1.5 at 30, 0.7 at 200 fps")
    parser.add_argument("--density", type=float, default=0.0, help="0: 2.5 at 30, 3 at 200 fps")
    parser.add_argument("--lifelike", action="store_true", help="large expressions, talk, 3-D head")
    parser.add_argument("--renderer", default="faces", choices=[*RENDERERS])
    parser.add_argument("--coded", action="store_true", help="as H.264, not as rendered")
    parser.add_argument("--crf", type=int, default=20, help="of H.264; larger is worse")
    parser.add_argument("--weights", default="zero", help="recognizer")
    parser.add_argument("--cache", type=Path, default=Path("runs/spotting_results"))
    return parser.parse_args()


def results_of(options: argparse.Namespace, fps: int) -> Iterator[Result]:
    """Subject after subject; those that are done are read back."""
    minutes, density = options.minutes or SHORT[fps][0], options.density or SHORT[fps][1]
    model = None
    for seed in range(options.seed, options.seed + options.subjects):
        what = Video(seed, fps, minutes, density, coded=options.coded)
        name = f"{what.name}{options.crf if what.coded else ''}_{options.renderer}"
        name += "_lifelike" * options.lifelike
        path = options.cache / f"{name}_{state(options.weights)}.json"
        if not path.exists():
            model = model or load_model(options.weights)
            video = RENDERERS[options.renderer](plan(what, options.lifelike), seed)
            start = time.process_time()
            result = result_of(str(seed), video, watch(what, video, model, options.crf))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_result(result, path)
            print(f"{name}: {time.process_time() - start:.0f} s of CPU", file=sys.stderr)
        yield read_result(path)


def main() -> None:
    options = parse()
    for fps in options.fps:
        results = [*results_of(options, fps)]
        how = f", {options.renderer}" + ", lifelike" * options.lifelike
        how += f", H.264 crf {options.crf}" * options.coded
        print(f"## {len(results)} subjects at {fps} fps, seeds from {options.seed}{how}\n")
        for scorer, words in SCORERS.items():
            print(f"### {words}\n")
            print("\n".join(table(results, scorer)), flush=True)
            print()


if __name__ == "__main__":
    main()
