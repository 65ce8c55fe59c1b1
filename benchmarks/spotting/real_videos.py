"""Spotting on real videos with marked movements: ``python benchmarks/spotting/real_videos.py``.

Runs ``ma2mi.analyze`` on every video that the ground truth names and prints hits, misses with the
reason of the best-overlapping candidate, false events a minute and how much is called speech. By
default these are the open clips in ``../shared/clips``. On videos of one's own::

    python benchmarks/spotting/real_videos.py --videos DIR --truth marks.csv
    python benchmarks/spotting/real_videos.py --corpus annotations=DIR

A csv has a row a marked movement (``COLUMNS``); a corpus is any that ``ma2mi data list`` names, and
``annotations`` reads ELAN, BORIS, BIDS and tables. Every expression in a video that is named must
be marked, or the events on it count as false. ``--sheet`` draws the faces of every event in the
videos below DIR that the ground truth does not name.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from joblib import Parallel, delayed

from ma2mi.analysis import analyze
from ma2mi.analysis.batch import Outcome, name_folders
from ma2mi.datasets import open_corpus
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.files import look_into
from ma2mi.formats.findings import LeftOut
from ma2mi.formats.sheets import Row, read_sheet
from ma2mi.records import EXPRESSIONS, DetectedEvent, Expression, Recording
from ma2mi.video import list_videos
from ma2mi.video.times import frame_times

REPOSITORY = Path(__file__).resolve().parents[2]
CLIPS = REPOSITORY.parent / "shared" / "clips"
COLUMNS = ("file", "kind", "onset_s", "offset_s", "sure", "what")
"""Path below the videos; a kind of ``KINDS``; seconds after the first frame; yes or no: whether a
coder would doubt which movement it is; words."""
KINDS = (*EXPRESSIONS, "head", "speech", "blink")

LEAST_IOU = 0.4  # of an event and a marked interval whose edges are good to 0.2 s
FACTOR = 2.0  # an event with its apex in the marked interval may be so many times as long, or short
EDGE_S = 0.2  # shared time up to this is a doubt about where a head movement begins


@dataclass(frozen=True, slots=True)
class Marked:
    """One movement that a coder marked.

    Args:
        file: the video, as the ground truth names it.
        kind: one of ``KINDS``.
        onset_s, offset_s: seconds after the first frame.
        sure: False: neither a miss if it is not found, nor a false event if it is.
        what: words.
    """

    file: str
    kind: str
    onset_s: float
    offset_s: float
    sure: bool = True
    what: str = ""


@dataclass(frozen=True, slots=True)
class MarkedVideo:
    """A video and its ground truth; ``fps`` of a folder of frames."""

    path: Path
    marks: tuple[Marked, ...] = ()
    fps: Fraction | None = None


@dataclass(frozen=True, slots=True)
class VideoScore:
    """What was found of one video's marked movements.

    Args:
        file: the video.
        duration_s: its length.
        hits: marked expressions, sure or not, each with its event.
        misses: sure ones without an event, each with the reason.
        unsure_misses: those in doubt, with the reason; they count nowhere.
        heads: marked head movements, each with the events that take it for something else.
        false: expression events that overlap no marked expression.
        counted: expression events that precision is over: all but those on doubtful marks alone.
        speech_s: time called speech.
        candidates: number below the thresholds.
    """

    file: str
    duration_s: float
    hits: tuple[tuple[Marked, DetectedEvent], ...]
    misses: tuple[tuple[Marked, str], ...]
    unsure_misses: tuple[tuple[Marked, str], ...]
    heads: tuple[tuple[Marked, tuple[DetectedEvent, ...]], ...]
    false: tuple[DetectedEvent, ...]
    counted: int
    speech_s: float
    candidates: int

    @property
    def sure_hits(self) -> int:
        return sum(mark.sure for mark, _ in self.hits)

    def false_a_minute(self, kind: str) -> float:
        return 60 * sum(event.kind == kind for event in self.false) / self.duration_s


@dataclass(frozen=True, slots=True)
class Summary:
    """All videos together; NaN where there is nothing to divide by.

    Args:
        precision: share of the counted expression events that are hits of sure marks.
        recall: share of the sure marks that are hit.
        false_micro, false_macro: false events a minute.
        speech: share of the time called speech.
    """

    precision: float
    recall: float
    false_micro: float
    false_macro: float
    speech: float


# -- scores: pure functions ----------------------------------------------------------------------


def evaluate(
    file: str,
    events: Sequence[DetectedEvent],
    marks: Sequence[Marked],
    *,
    duration_s: float,
    frame_s: float = 0.0,
    candidates: Sequence[DetectedEvent] = (),
) -> VideoScore:
    """Score the events of one video.

    A marked expression is hit by one event, micro or macro, that overlaps it with an IoU of
    ``LEAST_IOU``, or has its apex inside and is as long to a factor of ``FACTOR``; both end with
    the video. Each event hits one mark at most.

    Args:
        file: the video.
        events: of the analysis, every kind.
        marks: of this video.
        duration_s: length of the video.
        frame_s: length of a frame; an event lasts to the end of its last one.
        candidates: below the thresholds; the best-overlapping one gives the reason of a miss.
    """
    events, candidates = (
        [replace(e, offset_s=min(e.offset_s + frame_s, duration_s)) for e in some]
        for some in (events, candidates)
    )
    marks = [replace(mark, offset_s=min(mark.offset_s, duration_s)) for mark in marks]
    found = [event for event in events if event.kind in EXPRESSIONS]
    expressions = [mark for mark in marks if mark.kind in EXPRESSIONS]
    hits = match(expressions, found)
    missed = [
        (mark, why_missed(mark, found, candidates))
        for index, mark in enumerate(expressions)
        if index not in hits
    ]
    sure = [mark for mark in expressions if mark.sure]
    false = [event for event in found if not _touches(event, expressions)]
    counted = len(false) + sum(_touches(event, sure) for event in found)
    hitting = [found[number] for number in hits.values()]
    mistaken = [e for e in events if e.kind in (*EXPRESSIONS, "speech") and e not in hitting]
    heads = tuple(
        (mark, tuple(event for event in mistaken if _takes(event, mark)))
        for mark in marks
        if mark.kind == "head"
    )
    return VideoScore(
        file,
        duration_s,
        tuple((expressions[index], found[number]) for index, number in sorted(hits.items())),
        tuple(one for one in missed if one[0].sure),
        tuple(one for one in missed if not one[0].sure),
        heads,
        tuple(false),
        counted,
        covered_s((e.onset_s, e.offset_s) for e in events if e.kind == "speech"),
        len(candidates),
    )


def summarise(scores: Sequence[VideoScore]) -> Summary:
    """Pool videos: events, marks and seconds are added up."""
    hits = sum(score.sure_hits for score in scores)
    sure = hits + sum(len(score.misses) for score in scores)
    seconds = sum(score.duration_s for score in scores)
    false = [event.kind for score in scores for event in score.false]
    return Summary(
        _share(hits, sum(score.counted for score in scores)),
        _share(hits, sure),
        60 * _share(false.count("micro"), seconds),
        60 * _share(false.count("macro"), seconds),
        _share(sum(score.speech_s for score in scores), seconds),
    )


def match(marks: Sequence[Marked], events: Sequence[DetectedEvent]) -> dict[int, int]:
    """Which event hits which mark, by their places; the best-overlapping pairs first."""
    pairs = sorted(
        (-iou(mark, event), index, number)
        for index, mark in enumerate(marks)
        for number, event in enumerate(events)
        if is_hit(mark, event)
    )
    hits: dict[int, int] = {}
    for _, index, number in pairs:
        if index not in hits and number not in hits.values():
            hits[index] = number
    return hits


def is_hit(mark: Marked, event: DetectedEvent) -> bool:
    """Overlap of ``LEAST_IOU``, or the apex inside and the length right to ``FACTOR``."""
    length, marked = event.offset_s - event.onset_s, mark.offset_s - mark.onset_s
    fits = marked / FACTOR <= length <= marked * FACTOR
    inside = mark.onset_s <= event.apex_s <= mark.offset_s
    return iou(mark, event) >= LEAST_IOU or (fits and inside)


def iou(mark: Marked, event: DetectedEvent) -> float:
    """Shared time over the time of both, in [0, 1]."""
    shared = shared_s(mark, event)
    both = (mark.offset_s - mark.onset_s) + (event.offset_s - event.onset_s) - shared
    return shared / both if both > 0 else 0.0


def shared_s(mark: Marked, event: DetectedEvent) -> float:
    return max(min(mark.offset_s, event.offset_s) - max(mark.onset_s, event.onset_s), 0.0)


def why_missed(
    mark: Marked, events: Sequence[DetectedEvent], candidates: Sequence[DetectedEvent]
) -> str:
    """Reason of the best-overlapping candidate, unless an event overlaps better, but too little."""
    near = [(iou(mark, one), one) for one in (*candidates, *events)]
    share, best = max(near, key=lambda one: one[0], default=(0.0, None))
    if best is None or share <= 0:
        return "no candidate"
    span = f"{best.onset_s:.2f}-{best.offset_s:.2f} s, IoU {share:.2f}"
    return f"{best.reason or f'{best.kind} event overlaps too little'} ({span})"


def covered_s(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union."""
    total, end = 0.0, -math.inf
    for first, last in sorted(spans):
        total += max(last - max(first, end), 0.0)
        end = max(end, last)
    return total


def _touches(event: DetectedEvent, marks: Iterable[Marked]) -> bool:
    return any(shared_s(mark, event) > 0 for mark in marks)


def _takes(event: DetectedEvent, mark: Marked) -> bool:
    """More than the doubt about the edges is shared, or half of a brief event."""
    shared = shared_s(mark, event)
    return shared > 0 and shared >= min(EDGE_S, (event.offset_s - event.onset_s) / 2)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


# -- ground truth --------------------------------------------------------------------------------


def read_truth(file: Path, videos: Path) -> list[MarkedVideo]:
    """The marks of a csv, by video, in the order of the rows.

    Raises:
        CorpusError: a column is missing or a row is wrong; names file, row and column.
    """
    sheet = read_sheet(file, {name: (name,) for name in COLUMNS}, optional=("sure", "what"))
    marks: dict[str, list[Marked]] = {}
    for row in sheet.rows:
        mark = _mark(row, videos, "sure" in sheet.columns)
        marks.setdefault(mark.file, []).append(mark)
    if not marks:
        raise CorpusError("marks nothing", where=file, hint=f"Add rows: {', '.join(COLUMNS)}")
    return [MarkedVideo(videos / name, tuple(some)) for name, some in marks.items()]


def _mark(row: Row, videos: Path, doubts: bool) -> Marked:
    name, kind = row.text("file"), row.text("kind").lower()
    if not name or not (videos / name).is_file():
        raise row.error("file", f"{name!r} is not below {videos}", "Correct it, or give --videos")
    if kind not in KINDS:
        raise row.error("kind", f"{kind!r} is not one of {', '.join(KINDS)}", "Correct the cell")
    onset_s, offset_s = _seconds(row, "onset_s"), _seconds(row, "offset_s")
    if offset_s <= onset_s:
        raise row.error("offset_s", f"{offset_s:g} s is not after onset_s", "Correct the cell")
    sure = row.text("sure").lower() if doubts else "yes"
    if sure not in ("yes", "no"):
        raise row.error("sure", f"{sure!r} is neither yes nor no", "Correct the cell")
    return Marked(name, kind, onset_s, offset_s, sure == "yes", row.text("what"))


def _seconds(row: Row, column: str) -> float:
    text = row.text(column)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise row.error(column, f"{text!r} is not a time in seconds", "Write such as 1.25")
    return seconds


def read_corpus(word: str) -> list[MarkedVideo]:
    """The marks of a corpus such as ``annotations=DIR``, by video; without those that have none.

    Raises:
        CorpusError: no such corpus, or nothing is marked in it.
    """
    name, _, root = word.partition("=")
    corpus = open_corpus(name, root or ".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOut)  # the findings tell it in full
        expressions = corpus.expressions()
    for finding in corpus.findings():
        if finding.severity == "error":
            print(f"left out: {finding}", file=sys.stderr)
    by_video: dict[Recording, list[Expression]] = {}
    for one in expressions:
        by_video.setdefault(one.recording, []).append(one)
    if not by_video:
        raise CorpusError("marks no expression", where=word, hint="`ma2mi data check` says more")
    return [
        MarkedVideo(recording.path, _marks(recording, some), recording.fps)
        for recording, some in by_video.items()
    ]


def _marks(recording: Recording, expressions: Iterable[Expression]) -> tuple[Marked, ...]:
    """Marked frames in seconds; the last frame is seen until the next one comes."""
    times = [float(time) for time in frame_times(recording.path, recording.fps)]
    times.append(2 * times[-1] - times[-2] if len(times) > 1 else times[-1])
    return tuple(
        Marked(
            recording.name,
            one.kind,
            times[one.onset] - times[0],
            times[min(one.offset + 1, len(times) - 1)] - times[0],
            what=" ".join((one.emotion, *(f"AU{code}" for code in one.action_units))).strip(),
        )
        for one in expressions
    )


# -- the table -----------------------------------------------------------------------------------


def lines(score: VideoScore) -> Iterator[str]:
    """One video as Markdown."""
    yield f"### {score.file}, {score.duration_s:.1f} s\n"
    yield "| marked s | kind | sure | what | outcome |"
    yield "|---|---|---|---|---|"
    rows = [(mark, f"hit: {_words(event)}") for mark, event in score.hits]
    rows += [(mark, f"**missed**: {reason}") for mark, reason in score.misses]
    rows += [(mark, f"not found: {reason}") for mark, reason in score.unsure_misses]
    rows += [
        (mark, "; ".join(f"**taken for** {_words(event)}" for event in taken) or "left alone")
        for mark, taken in score.heads
    ]
    for mark, outcome in sorted(rows, key=lambda row: row[0].onset_s):
        yield (
            f"| {mark.onset_s:.2f}-{mark.offset_s:.2f} | {mark.kind} "
            f"| {'yes' if mark.sure else 'no'} | {mark.what} | {outcome} |"
        )
    yield ""
    yield from (f"- false: {_words(event)}" for event in score.false)
    per_minute = ", ".join(f"{score.false_a_minute(k):.1f} {k}" for k in EXPRESSIONS)
    yield (
        f"- false a minute: {per_minute}; speech: {score.speech_s:.1f} s "
        f"({score.speech_s / score.duration_s:.0%}); candidates below the thresholds: "
        f"{score.candidates}\n"
    )


def _words(event: DetectedEvent) -> str:
    flags = f" [{', '.join(event.flags)}]" if event.flags else ""
    regions = f" ({', '.join(event.regions[:3])})".replace("_", " ") if event.regions else ""
    return f"{event.words} {event.onset_s:.2f}-{event.offset_s:.2f} s{regions}{flags}"


def summary_line(scores: Sequence[VideoScore]) -> str:
    total = summarise(scores)
    hits, misses = sum(s.sure_hits for s in scores), sum(len(s.misses) for s in scores)
    heads = [taken for score in scores for _, taken in score.heads]
    return (
        f"precision {total.precision:.2f}, recall {total.recall:.2f} on {hits + misses} sure "
        f"expressions; false a minute: {total.false_macro:.1f} macro, {total.false_micro:.1f} "
        f"micro; {total.speech:.0%} called speech; "
        f"{sum(not taken for taken in heads)} of {len(heads)} head movements left alone"
    )


# -- the command ---------------------------------------------------------------------------------


def run(
    videos: Sequence[MarkedVideo], out: Path | None, *, weights: str | None, jobs: int
) -> Iterator[tuple[MarkedVideo, Outcome]]:
    """Analyse anew, in order: results that are there may be of an older state of the code."""
    names = name_folders([video.path for video in videos])
    for name in names if out is not None else ():
        if look_into(out / name).replaceable:
            shutil.rmtree(out / name)
    outcomes = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_analyze)(video, name, out, weights)
        for video, name in zip(videos, names, strict=True)
    )
    for video, outcome in zip(videos, outcomes, strict=True):
        print(f"{outcome.name}: {outcome.failure or 'analysed'}", file=sys.stderr)
        yield video, outcome


def _analyze(video: MarkedVideo, name: str, out: Path | None, weights: str | None) -> Outcome:
    try:
        found = analyze(video.path, out, name=name, weights=weights, fps=video.fps, videos=False)
    except Ma2miError as error:
        return Outcome(video.path, name, failure=str(error))
    return Outcome(video.path, name, found)


def score_videos(
    videos: Sequence[MarkedVideo], out: Path | None = None, *, weights: str | None, jobs: int = 1
) -> tuple[list[VideoScore], list[str]]:
    """Scores in the order of the videos, and a line for each that could not be analysed."""
    scores, failures = [], []
    for video, outcome in run(videos, out, weights=weights, jobs=jobs):
        if outcome.analysis is None:
            failures.append(outcome.failure)
            continue
        found = outcome.analysis
        scores.append(
            evaluate(
                video.marks[0].file,
                found.events,
                video.marks,
                duration_s=found.duration_s,
                frame_s=found.frame_s,
                candidates=found.candidates,
            )
        )
    return scores, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, default=CLIPS, help="folder of the videos")
    parser.add_argument("--truth", type=Path, help="csv; by default truth.csv beside the videos")
    parser.add_argument("--corpus", help="instead of a csv: NAME=DIR, such as annotations=DIR")
    parser.add_argument("--out", type=Path, help="keep the results here; written anew")
    parser.add_argument("--sheet", action="store_true", help="draw videos without truth into OUT")
    parser.add_argument("--weights", default="zero", help="recognizer; none names no classes")
    parser.add_argument("--jobs", type=int, default=1, help="videos at a time")
    options = parser.parse_args()
    if options.sheet and (options.out is None or inside(options.out, REPOSITORY)):
        parser.error("--sheet needs --out outside the repository: it shows faces")
    weights = None if options.weights == "none" else options.weights
    try:
        if options.corpus:
            videos = read_corpus(options.corpus)
        else:
            videos = read_truth(options.truth or options.videos / "truth.csv", options.videos)
    except Ma2miError as error:
        parser.error(str(error))
    scores, failures = score_videos(videos, options.out, weights=weights, jobs=options.jobs)
    for score in scores:
        print("\n".join(lines(score)), flush=True)
    if scores:
        print(summary_line(scores))
    if options.sheet:
        failures += draw_sheets(options, {video.path for video in videos}, weights)
    for failure in failures:
        print(f"not analysed: {failure}", file=sys.stderr)
    return 3 if failures else 0


def inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def draw_sheets(
    options: argparse.Namespace, marked: Collection[Path], weights: str | None
) -> list[str]:
    """A sheet and a table row a video without ground truth; a line for each that failed."""
    from event_sheet import draw_sheet

    paths = [path for path in list_videos(options.videos) if path.is_file() and path not in marked]
    failures = []
    print("\n| clip | s | micro | macro | blink | speech, s | candidates | sheet |")
    print("|---|---|---|---|---|---|---|---|")
    folder = options.out / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    videos = [MarkedVideo(path) for path in paths]
    for video, outcome in run(videos, options.out, weights=weights, jobs=options.jobs):
        if outcome.analysis is None:
            failures.append(outcome.failure)
            continue
        found = outcome.analysis
        target = folder / f"{outcome.name}.png"
        draw_sheet(found, video.path, options.out / outcome.name / "frames.csv", target)
        micro, macro, blinks = (
            sum(event.kind == kind for event in found.events)
            for kind in ("micro", "macro", "blink")
        )
        speech = covered_s([(e.onset_s, e.offset_s) for e in found.events if e.kind == "speech"])
        print(
            f"| {outcome.name} | {found.duration_s:.1f} | {micro} | {macro} | {blinks} "
            f"| {speech:.1f} | {len(found.candidates)} | {target} |",
            flush=True,
        )
    return failures


if __name__ == "__main__":
    sys.exit(main())
