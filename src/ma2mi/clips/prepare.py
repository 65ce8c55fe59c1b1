"""From recordings to prepared clips: find the face once, hold its warp, crop, store."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from ma2mi.clips.quality import ClipQuality, measure_clip
from ma2mi.clips.store import ClipStore, PreparedClip, Recipe
from ma2mi.errors import FaceError, StoreError, one_line
from ma2mi.face.align import Template, estimate_warp, warp_image, warp_points
from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.model_file import find_model
from ma2mi.face.quality import FrameQuality, measure_frame
from ma2mi.files import digest, replace_file
from ma2mi.progress import OnProgress, Progress
from ma2mi.records import Expression, Recording
from ma2mi.video import (
    ClockRestart,
    DamagedVideo,
    Frame,
    TruncatedVideo,
    VideoNote,
    inspect_video,
    read_frames,
)

#: Looking for a face costs ten times more than cropping one: without a face, look again this
#: many frames later.
SEARCH_STEP = 5
#: A segment shorter than this holds no pair worth drawing.
SHORTEST_SEGMENT = 3
#: Notes of a video that are told beside what failed; the others change no clip.
LOSSES = (TruncatedVideo, DamagedVideo, ClockRestart)


@dataclass(frozen=True)
class Prepared:
    """What came of one recording.

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
    for place, (recording, _) in enumerate(tasks):
        other = first.setdefault(recording.key, recording)
        if other != recording:
            what = f"is called as {other.path} is, and was left out"
            error = StoreError(what, where=recording.path, cure="Rename one of them")
            twins[place] = Prepared(recording.key, failures=(str(error),))
    alone = [task for place, task in enumerate(tasks) if place not in twins]
    bare = store.knowing({})
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator")
    done = parallel(joblib.delayed(_prepare_one)(task, bare) for task in alone)
    results: list[Prepared] = []
    for place in range(len(tasks)):
        result = twins.get(place) or next(done)
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
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", VideoNote)
            cut = (
                _cut_expressions(recording, expressions, store.recipe, _detector, failures)
                if expressions
                else _cut_segments(recording, store.recipe, _detector, failures)
            )
            for clip, row in cut:
                written[clip.key] = store.knowing({clip.key: source}).write(clip)
                quality.append(row)
        failures += [str(w.message) for w in said if issubclass(w.category, LOSSES)]
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


Cut = Iterator[tuple[PreparedClip, ClipQuality]]


class _Window:
    """Frames under one warp, gathered one by one."""

    def __init__(self, first: Frame, face: Face | None, recipe: Recipe) -> None:
        self.recipe, self.face = recipe, face
        self.template = make_template(recipe)
        if face and recipe.aligner == "first-frame":
            self.warp = estimate_warp(face, self.template)
        else:
            self.warp = _whole_picture(first.image, recipe.size)
        self.look = _look_at(first, face)
        self.crops: list[Any] = []
        self.frames: list[tuple[int, Any]] = []
        self.add(first)

    def add(self, frame: Frame) -> None:
        self.crops.append(warp_image(frame.image, self.warp, self.template))
        self.frames.append((frame.index, frame.time_s))
        self.last = frame.image

    def face_at_end(self, detector: FaceDetector) -> Face | None:
        return detector.follow(self.last, self.face) if self.face else None

    def clip(
        self, key: str, recording: Recording, at_end: Face | None, **marks: object
    ) -> tuple[PreparedClip, ClipQuality]:
        index, times = zip(*self.frames, strict=True)
        points = np.full((478, 2), np.nan)
        if self.face:
            points = warp_points(self.face.points, self.warp)
        clip = PreparedClip(
            key,
            recording.subject,
            np.stack(self.crops),
            np.array(index, dtype=np.int64),
            list(times),
            self.warp,
            points.astype(np.float32),
            {"corpus": recording.corpus, "recording": recording.key, **marks},
        )
        quality = measure_clip(
            clip, recording.path, self.recipe, look=self.look, first=self.face, last=at_end
        )
        return clip, quality


def _look_at(frame: Frame, face: Face | None) -> FrameQuality | None:
    try:
        return measure_frame(frame.image, face) if face else None
    except FaceError:  # too small, or half outside; its crop can still be cut
        return None


def make_template(recipe: Recipe) -> Template:
    """The template of a recipe, shrunk towards the crop's middle by the margin."""
    plain = Template(size=recipe.size)
    if not recipe.margin:
        return plain
    whole = 1 + 2 * recipe.margin
    anchors = tuple(
        (point, (x + recipe.margin) / whole, (y + recipe.margin) / whole)
        for point, x, y in plain.anchors
    )
    return replace(plain, anchors=anchors)


def _whole_picture(image: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """The warp that fits a picture's longer side into the crop and centres it."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shift = [(size - 1) / 2 - scale * (side - 1) / 2 for side in (width, height)]
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _cut_segments(
    recording: Recording, recipe: Recipe, detector: FaceDetector, failures: list[str]
) -> Cut:
    """Segment after segment; one in which the face is lost before its end is left out."""
    window: _Window | None = None
    face: Face | None = None
    search_at = 0
    seen = kept = 0

    def close() -> Cut:
        nonlocal kept
        if window and len(window.crops) >= SHORTEST_SEGMENT:
            at_end = window.face_at_end(detector)
            if at_end:
                kept += 1
                yield window.clip(f"{recording.key}@{window.frames[0][0]}", recording, at_end)

    for frame in read_frames(recording.path, fps=recording.fps):
        if window and frame.time_s - window.frames[0][1] < recipe.segment_s:
            window.add(frame)
            continue
        yield from close()
        window = None
        if frame.index >= search_at:
            face = (face and detector.follow(frame.image, face)) or _largest(detector, frame)
            if face:
                window = _Window(frame, face, recipe)
                seen += 1
            else:
                search_at = frame.index + SEARCH_STEP
    yield from close()
    if not seen:
        failures.append(str(FaceError("no face in any frame", where=recording.path)))
    elif not kept:
        failures.append(
            str(
                FaceError(
                    f"no face that stays for {SHORTEST_SEGMENT} frames, up to {recipe.segment_s} s",
                    where=recording.path,
                    cure="Give a longer or steadier video",
                )
            )
        )


def _cut_expressions(
    recording: Recording,
    expressions: Sequence[Expression],
    recipe: Recipe,
    detector: FaceDetector,
    failures: list[str],
) -> Cut:
    """One pass over the recording, in which every expression gathers its own frames."""
    lead = round(recipe.lead_s * float(recording.fps or _rate(recording)))
    windows: dict[str, _Window] = {}
    expressions = _without_twins(expressions, failures)
    first = max(min(e.onset for e in expressions) - lead, 0)
    last = max(e.offset for e in expressions) + lead
    seen = -1
    for frame in read_frames(recording.path, fps=recording.fps, start=first, stop=last + 1):
        seen = frame.index
        for e in expressions:
            if e.key in windows:
                if frame.index <= e.offset + lead:
                    windows[e.key].add(frame)
            elif e.onset - lead <= frame.index <= e.onset:
                face = _largest(detector, frame)
                if face or (recipe.aligner == "as-is" and frame.index == e.onset):
                    windows[e.key] = _Window(frame, face, recipe)
    for e in expressions:
        if e.offset > seen:
            failures.append(
                str(
                    FaceError(
                        f"ends at frame {seen}, but {e.key} lasts until frame {e.offset}",
                        where=recording.path,
                        cure="Check the offset and the frame rate",
                    )
                )
            )
        elif e.key not in windows:
            failures.append(
                str(FaceError(f"no face up to the onset, frame {e.onset}", where=recording.path))
            )
        else:
            yield windows[e.key].clip(
                e.key,
                recording,
                windows[e.key].face_at_end(detector),
                onset=e.onset,
                apex=e.apex,
                offset=e.offset,
                emotion=e.emotion,
                action_units=list(e.action_units),
                kind=e.kind,
            )


def _without_twins(expressions: Sequence[Expression], failures: list[str]) -> list[Expression]:
    """The first of those that start at one frame: they would share a clip."""
    first: dict[str, Expression] = {}
    for e in expressions:
        if first.setdefault(e.key, e) is not e:
            what = f"a second expression starts at frame {e.onset}, and was left out"
            failures.append(str(StoreError(what, where=e.recording.path, cure="Check the sheet")))
    return list(first.values())


def _rate(recording: Recording) -> float:
    return float(inspect_video(recording.path, fps=recording.fps).fps)


def _largest(detector: FaceDetector, frame: Frame) -> Face | None:
    faces = detector.detect(frame.image)
    return faces[0] if faces else None
