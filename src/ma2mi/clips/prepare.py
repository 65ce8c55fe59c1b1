"""From recordings to prepared clips: find the face once, hold its warp, crop, store."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib

from ma2mi.clips.cutting import cut_expressions, cut_segments
from ma2mi.clips.quality import ClipQuality
from ma2mi.clips.store import ClipStore
from ma2mi.errors import FaceError, StoreError, one_line
from ma2mi.face.detect import FaceDetector
from ma2mi.face.model_file import find_model
from ma2mi.files import digest, replace_file
from ma2mi.progress import OnProgress, Progress
from ma2mi.records import Expression, Recording
from ma2mi.video import (
    ClockRestart,
    DamagedVideo,
    TruncatedVideo,
    VideoNote,
)
from ma2mi.workers import ending_with_this

#: Notes of a video that are reported beside what failed; the others change no clip.
LOSSES = (TruncatedVideo, DamagedVideo, ClockRestart)


@dataclass(frozen=True)
class Prepared:
    """Result of one recording.

    Args:
        recording: its key.
        clips: keys of its clips in the store, in order of time.
        failures: one clear line for each thing that could not be prepared.
        quality: a row for each clip.
        source: what the clips were made from: content of the recording, marks, frame rate.
    """

    recording: str
    clips: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    quality: tuple[ClipQuality, ...] = ()
    source: str = ""


def prepare_recordings(
    recordings: Sequence[Recording],
    store: ClipStore,
    *,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> list[Prepared]:
    """Cut whole recordings into short clips, for pre-training. Finished ones are not done again.

    A recording is known by its content: one that was replaced is cut anew, and so is one of
    whose clips a file is missing or was changed. Processes that work on one store at once write
    the same files.

    Args:
        recordings: any; a recording that fails, whatever it raises, ends as a line in
            ``failures``.
        store: where the clips go; it learns their sources.
        jobs: processes, as joblib counts them.
        on_progress: called after each recording.

    Raises:
        StoreError: the disk is full or not writable.
        FaceError: the face model is not installed.
    """
    return _prepare([(r, ()) for r in recordings], store, jobs, on_progress)


def prepare_expressions(
    expressions: Sequence[Expression],
    store: ClipStore,
    *,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> list[Prepared]:
    """Cut out the marked expressions, each from a little before its onset to after its offset.

    Arguments as :func:`prepare_recordings`; one result for each recording.
    """
    by_recording: dict[Recording, list[Expression]] = {}
    for expression in expressions:
        by_recording.setdefault(expression.recording, []).append(expression)
    return _prepare([(r, tuple(e)) for r, e in by_recording.items()], store, jobs, on_progress)


Task = tuple[Recording, tuple[Expression, ...]]


def _prepare(
    tasks: list[Task], store: ClipStore, jobs: int, on_progress: OnProgress | None
) -> list[Prepared]:
    first: dict[str, Recording] = {}
    twins: dict[int, Prepared] = {}
    for index, (recording, _) in enumerate(tasks):
        other = first.setdefault(recording.key, recording)
        if other != recording:
            what = f"is called as {other.path} is, and was left out"
            error = StoreError(what, where=recording.path, hint="Rename one of them")
            twins[index] = Prepared(recording.key, failures=(str(error),))
    alone = [task for index, task in enumerate(tasks) if index not in twins]
    bare = store.knowing({})
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator")
    done = parallel(joblib.delayed(ending_with_this(_prepare_one))(task, bare) for task in alone)
    results: list[Prepared] = []
    for index in range(len(tasks)):
        result = twins.get(index) or next(done)
        results.append(result)
        store.sources |= dict.fromkeys(result.clips, result.source)
        if on_progress:
            on_progress(Progress("prepare", len(results), len(tasks)))
    return results


_detector: FaceDetector | None = None  # one for each process: making it loads three networks


def _prepare_one(task: Task, store: ClipStore) -> Prepared:
    global _detector
    recording, expressions = task
    # Everything that ends up in a clip's marks: a corrected apex means another clip.
    marks = [[e.key, e.apex, e.offset, e.emotion, *e.action_units, e.kind] for e in expressions]
    try:
        source = _source(recording, marks)
    except Exception as error:
        return Prepared(recording.key, failures=(one_line(error, recording.path),))
    kind = "marks" if expressions else "whole"
    sheet = store.folder / f"{recording.key}.{source}.{kind}.json"
    if found := _finished(sheet, recording, store, source):
        return found
    _detector = _detector or FaceDetector()
    written: dict[str, str] = {}
    failures: list[str] = []
    quality: list[ClipQuality] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", VideoNote)
            cut = (
                cut_expressions(recording, expressions, store.recipe, _detector, failures)
                if expressions
                else cut_segments(recording, store.recipe, _detector, failures)
            )
            for clip, row in cut:
                written[clip.key] = store.knowing({clip.key: source}).write(clip)
                quality.append(row)
        failures += [str(w.message) for w in caught if issubclass(w.category, LOSSES)]
    except StoreError:
        raise  # the disk's fault, and not the recording's
    except Exception as error:
        failures.append(one_line(error, recording.path))
    else:
        about = {
            "clips": written,
            "failures": failures,
            "quality": [asdict(row) for row in quality],
        }
        store.make()
        replace_file(sheet, json.dumps(about, indent=1).encode())
    return Prepared(recording.key, tuple(written), tuple(failures), tuple(quality), source)


def _source(recording: Recording, marks: list[list[Any]]) -> str:
    """Sixteen hexadecimal digits that name what clips are made from, but for the recipe.

    Raises:
        OSError: the recording cannot be read.
    """
    path = recording.path
    try:
        model = find_model()
        other_model = "" if model.is_known else model.sha256
    except FaceError:  # what was prepared on another machine needs none
        other_model = ""
    made_of = [
        digest(path) if path.is_dir() or path.is_file() else "",
        [recording.corpus, recording.subject, recording.name, str(recording.fps)],
        marks,
        other_model,
    ]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _finished(sheet: Path, recording: Recording, store: ClipStore, source: str) -> Prepared | None:
    """What was prepared before, if all of it is there as it was written."""
    try:
        found = json.loads(sheet.read_bytes())
        clips: dict[str, str] = found["clips"]
        # A table of other columns was made by another version; the clips are cut again.
        rows = tuple(ClipQuality(**row) for row in found["quality"])
        known = store.knowing(dict.fromkeys(clips, source))
        if [row.key for row in rows] != list(clips):
            return None
        if any(digest(known.path(key)) != value for key, value in clips.items()):
            return None
        return Prepared(recording.key, tuple(clips), tuple(found["failures"]), rows, source)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
