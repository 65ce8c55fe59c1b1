"""Clips cut out of a recording: the face is found once, and its warp held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.clips.quality import ClipQuality, measure_clip
from ma2mi.clips.store import PreparedClip, Recipe
from ma2mi.errors import FaceError, StoreError
from ma2mi.face.align import Template, estimate_warp, warp_image, warp_points
from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.quality import FrameQuality, measure_frame
from ma2mi.records import Expression, Recording
from ma2mi.video import (
    Frame,
    inspect_video,
    read_frames,
)

#: Detecting a face costs ten times more than cropping one: without a face, detect again
#: this many frames later.
SEARCH_STEP = 5

#: A segment shorter than this holds no pair worth drawing.
SHORTEST_SEGMENT = 3
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
        self.quality = _measured(first, face)
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
            clip,
            recording.path,
            self.recipe,
            first_quality=self.quality,
            first=self.face,
            last=at_end,
        )
        return clip, quality


def _measured(frame: Frame, face: Face | None) -> FrameQuality | None:
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


def cut_segments(
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
                    hint="Give a longer or steadier video",
                )
            )
        )


def cut_expressions(
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
                        hint="Check the offset and the frame rate",
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
            failures.append(str(StoreError(what, where=e.recording.path, hint="Check the sheet")))
    return list(first.values())


def _rate(recording: Recording) -> float:
    return float(inspect_video(recording.path, fps=recording.fps).fps)


def _largest(detector: FaceDetector, frame: Frame) -> Face | None:
    faces = detector.detect(frame.image)
    return faces[0] if faces else None
