"""From recordings to prepared clips: find the face once, hold its warp, crop, store."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np

from ma2mi.clips.store import ClipStore, PreparedClip, Recipe, replace_file
from ma2mi.errors import FaceError, Ma2miError, StoreError
from ma2mi.face.align import Template, estimate_warp, warp_image, warp_points
from ma2mi.face.detect import Face, FaceDetector
from ma2mi.records import Expression, Recording
from ma2mi.video import Frame, TruncatedVideo, inspect_video, read_frames

#: Looking for a face costs ten times more than cropping one: without a face, look again this
#: many frames later.
SEARCH_STEP = 5
#: A segment shorter than this holds no pair worth drawing.
SHORTEST_SEGMENT = 3


@dataclass(frozen=True)
class Prepared:
    """What came of one recording.

    Args:
        recording: its key.
        clips: keys of its clips in the store, in order of time.
        failures: one clear line for each thing that could not be prepared.
    """

    recording: str
    clips: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def prepare_recordings(
    recordings: Sequence[Recording],
    store: ClipStore,
    *,
    jobs: int = 1,
    hook: Callable[[int, int], None] | None = None,
) -> list[Prepared]:
    """Cut whole recordings into short clips, for pre-training. Finished ones are not done again.

    Args:
        recordings: any; a recording that fails ends as a line in ``failures``.
        store: where the clips go.
        jobs: processes, as joblib counts them.
        hook: told (done, of how many) after each recording.

    Raises:
        StoreError: two recordings would get the same key.
    """
    return _prepare([(r, ()) for r in recordings], store, jobs, hook)


def prepare_expressions(
    expressions: Sequence[Expression],
    store: ClipStore,
    *,
    jobs: int = 1,
    hook: Callable[[int, int], None] | None = None,
) -> list[Prepared]:
    """Cut out the marked expressions, each from a little before its onset to after its offset.

    Arguments as :func:`prepare_recordings`; one result for each recording.
    """
    by_recording: dict[Recording, list[Expression]] = {}
    for expression in expressions:
        by_recording.setdefault(expression.recording, []).append(expression)
    return _prepare([(r, tuple(e)) for r, e in by_recording.items()], store, jobs, hook)


Task = tuple[Recording, tuple[Expression, ...]]


def _prepare(
    tasks: list[Task], store: ClipStore, jobs: int, hook: Callable[[int, int], None] | None
) -> list[Prepared]:
    by_key: dict[str, Recording] = {}
    for recording, _ in tasks:
        other = by_key.setdefault(recording.key, recording)
        if other != recording:
            raise StoreError(
                f"would share the clips of {other.path}: both are called {recording.key}",
                where=recording.path,
                cure="Rename one of them",
            )
    results: list[Prepared] = []
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator")
    for result in parallel(joblib.delayed(_prepare_one)(task, store) for task in tasks):
        results.append(result)
        if hook:
            hook(len(results), len(tasks))
    return results


_detector: FaceDetector | None = None  # one for each process: making it loads three networks


def _prepare_one(task: Task, store: ClipStore) -> Prepared:
    recording, expressions = task
    done = store.folder / f"{recording.key}.{'marks' if expressions else 'whole'}.json"
    # Everything that ends up in a clip's marks: a corrected apex means another clip.
    marks = [[e.key, e.apex, e.offset, e.emotion, *e.action_units, e.kind] for e in expressions]
    if done.is_file():
        found = json.loads(done.read_text())
        if found["expressions"] == marks and all(key in store for key in found["clips"]):
            return Prepared(recording.key, tuple(found["clips"]), tuple(found["failures"]))
    global _detector
    _detector = _detector or FaceDetector()
    keys: list[str] = []
    failures: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", TruncatedVideo)
            cut = (
                _cut_expressions(recording, expressions, store.recipe, _detector, failures)
                if expressions
                else _cut_segments(recording, store.recipe, _detector, failures)
            )
            for clip in cut:
                store.write(clip)
                keys.append(clip.key)
        failures += [str(w.message) for w in said if issubclass(w.category, TruncatedVideo)]
    except Ma2miError as error:
        return Prepared(recording.key, tuple(keys), (*failures, str(error)))
    except OSError as error:
        line = f"{recording.path}: cannot be read ({error.strerror})"
        return Prepared(recording.key, tuple(keys), (*failures, line))
    about = {"expressions": marks, "clips": keys, "failures": failures}
    replace_file(done, json.dumps(about, indent=1).encode())
    return Prepared(recording.key, tuple(keys), tuple(failures))


class _Window:
    """Frames under one warp, gathered one by one."""

    def __init__(self, first: Frame, face: Face, template: Template) -> None:
        self.template = template
        self.warp = estimate_warp(face, template)
        self.points = warp_points(face.points, self.warp)
        self.crops: list[Any] = []
        self.frames: list[tuple[int, Any]] = []
        self.add(first)

    def add(self, frame: Frame) -> None:
        self.crops.append(warp_image(frame.image, self.warp, self.template))
        self.frames.append((frame.index, frame.time_s))

    def clip(self, key: str, recording: Recording, **marks: object) -> PreparedClip:
        index, times = zip(*self.frames, strict=True)
        return PreparedClip(
            key,
            recording.subject,
            np.stack(self.crops),
            np.array(index, dtype=np.int64),
            list(times),
            self.warp,
            self.points.astype(np.float32),
            {"corpus": recording.corpus, "recording": recording.key, **marks},
        )


def _cut_segments(
    recording: Recording, recipe: Recipe, detector: FaceDetector, failures: list[str]
) -> Iterator[PreparedClip]:
    """Segment after segment; one in which the face is lost before its end is left out."""
    template = Template(size=recipe.size)
    window: _Window | None = None
    face: Face | None = None
    search_at = 0
    before: Frame | None = None
    seen = kept = 0

    def close() -> Iterator[PreparedClip]:
        nonlocal kept
        whole = window and len(window.crops) >= SHORTEST_SEGMENT
        if window and whole and face and before and detector.follow(before.image, face):
            kept += 1
            yield window.clip(f"{recording.key}@{window.frames[0][0]}", recording)

    for frame in read_frames(recording.path, fps=recording.fps):
        if window and frame.time_s - window.frames[0][1] < recipe.segment_s:
            window.add(frame)
            before = frame
            continue
        yield from close()
        window = None
        if frame.index >= search_at:
            face = (face and detector.follow(frame.image, face)) or _largest(detector, frame)
            if face:
                window = _Window(frame, face, template)
                before = frame
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
) -> Iterator[PreparedClip]:
    """One pass over the recording, in which every expression gathers its own frames."""
    template = Template(size=recipe.size)
    lead = round(recipe.lead_s * float(recording.fps or _rate(recording)))
    windows: dict[str, _Window] = {}
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
                if face:
                    windows[e.key] = _Window(frame, face, template)
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
                onset=e.onset,
                apex=e.apex,
                offset=e.offset,
                emotion=e.emotion,
                action_units=list(e.action_units),
                kind=e.kind,
            )


def _rate(recording: Recording) -> float:
    return float(inspect_video(recording.path, fps=recording.fps).fps)


def _largest(detector: FaceDetector, frame: Frame) -> Face | None:
    faces = detector.detect(frame.image)
    return faces[0] if faces else None
