"""A user's video, end to end: one pass over the frames, then everything into one folder."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ma2mi.analysis.faces import DetectedFrame, ExaminedEvent
from ma2mi.analysis.results_folder import folder_name, own_folder
from ma2mi.analysis.results_writer import ResultsWriter, results_writer
from ma2mi.analysis.settings import AnalysisSettings
from ma2mi.analysis.state import read_state, write_state
from ma2mi.analysis.stream import VideoAnalyzer
from ma2mi.analysis.summary import summarise
from ma2mi.errors import VideoError, optional_part
from ma2mi.evaluation.priors import Prior, prior_text
from ma2mi.face.track import Detector, default_detector
from ma2mi.files import digest, file_name
from ma2mi.formats.exports import without_paths
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.records import Analysis, DetectedEvent
from ma2mi.video import (
    Frame,
    VideoInfo,
    VideoNote,
    ahead,
    inspect_video,
    read_frames,
)
from ma2mi.video.camera import camera_frames

with optional_part("cv2", "video"):
    import cv2
if TYPE_CHECKING:
    from ma2mi.training.recognizer import Recognizer

SAVE_S = 60.0  # how often an unfinished analysis is kept, so that a long video can be resumed


def analyze(
    path: Path | str,
    out: Path | str | None = None,
    *,
    on_progress: OnProgress | None = None,
    weights: Path | str | None = "zero",
    prior: Prior = "flat",
    settings: AnalysisSettings | None = None,
    fps: Fraction | None = None,
    blur_faces: bool = False,
    videos: bool = True,
    show_paths: bool = True,
    name: str = "",
    detector: Detector | None = None,
) -> Analysis:
    """Find brief facial movements in a video: candidates for a person to review.

    Memory does not grow with the video's length. A video in which there is no face is a result,
    too. Results that are there already, of the same video and settings, are read back. Nothing
    that a user wrote or changed is removed: where the folder's name is taken, the results go
    beside it, under the name and eight digits of the video's hash.

    Args:
        path: a video file, or a folder of frames.
        out: results go to the folder ``out/NAME``, whole or not at all; None writes nothing.
            ``Analysis.name`` is its name.
        on_progress: called frame by frame ("watch", with an event that was just decided as
            ``detail``), then for each file ("write"); what it raises ends the analysis.
        weights: "zero", a folder, or None to name no classes and action units.
        prior: how common its classes are, see :meth:`ma2mi.Recognizer.with_prior`.
        settings: by default ``AnalysisSettings()``.
        fps: frame rate of a folder of frames; of a file, the rate at which slow motion was
            recorded.
        blur_faces: in everything that is written.
        videos: write ``annotated.mp4`` and ``magnified.mp4``, too.
        show_paths: False leaves the video's name and path out of everything that is written.
        name: of the folder; by default the video's, or "video" and a hash without.
        detector: by default :class:`ma2mi.FaceDetector`.

    Raises:
        VideoError: no frame can be decoded.
        StoreError: ``out`` cannot be written, or another process analyses the same video there.
        CheckpointError: no such weights.
        SettingsError: a prior that is none of their classes.

    Example:
        >>> analysis = ma2mi.analyze("talk.mp4", "results")
        >>> [event.words for event in analysis.events]
    """
    path, settings = Path(path), settings or AnalysisSettings()
    info = inspect_video(path, fps=fps)
    recognizer, recognition = _load(weights, prior)
    about: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        **recognition,
        "blur_faces": blur_faces,
        "videos": videos,
        "show_paths": show_paths,
        "fps": str(fps) if fps else None,
        "input": digest(path),
    }
    name = name if show_paths else f"video-{about['input'][:8]}"
    name, source = file_name(name) if name else folder_name(path), path_text(path)
    progress = on_progress or ignore
    with own_folder(out, name, source, about) as target:
        if target.done is not None:
            return target.done
        known = {"detector": detector or default_detector(), "recognizer": recognizer}
        with _begun(target.work, about, known, settings) as (analyzer, events, writer, save):
            frames, total = read_frames(path, fps=fps, start=analyzer.frames), _frame_count(info)
            with _notes() as notes:
                analyze_frames(
                    frames, analyzer, writer, events, total=total, on_progress=progress, save=save
                )
            notes += target.notes
            analysis = summarise(
                analyzer, name=target.name, source=source, about=about, notes=notes, events=events
            )
            analysis = analysis if show_paths else without_paths(analysis, path)
            if writer is not None:
                analysis = writer.finish(
                    analysis, path, fps=fps, videos=videos, on_progress=progress
                )
    return analysis


Begun = tuple[
    VideoAnalyzer,
    list[DetectedEvent],
    ResultsWriter | None,
    Callable[[list[DetectedEvent]], None] | None,
]


@contextmanager
def _begun(
    work: Path | None,
    about: Mapping[str, Any],
    known: Mapping[str, Any],
    settings: AnalysisSettings,
) -> Iterator[Begun]:
    """Analyzer, events so far, writer and what saves them: as they were kept, or new ones.

    Args:
        work: folder of the results while they are written; None where nothing is written.
        about: what the results depend on.
        known: detector and recognizer, which are not kept.
        settings: of a new analyzer.
    """
    state = read_state(work, about, known) if work else None
    if state is None:
        analyzer = VideoAnalyzer(known["detector"], known["recognizer"], settings)
        state = {"analyzer": analyzer, "events": [], "writer": None}
    analyzer, blur = state["analyzer"], about["blur_faces"]
    with results_writer(work, known["recognizer"], blur, state["writer"]) as writer:

        def save(events: list[DetectedEvent]) -> None:
            if work is not None and writer is not None:
                kept = {"analyzer": analyzer, "events": events, "writer": writer.state()}
                write_state(work, about, kept, known)

        # A state shows faces in clear.
        yield analyzer, state["events"], writer, None if blur else save


def analyze_camera(
    number: int = 0,
    out: Path | str | None = None,
    *,
    on_progress: OnProgress | None = None,
    seconds: float | None = None,
    stop: Callable[[], bool] | None = None,
    weights: Path | str | None = "zero",
    prior: Prior = "flat",
    settings: AnalysisSettings | None = None,
    blur_faces: bool = False,
    detector: Detector | None = None,
) -> Analysis:
    """As :func:`analyze`, of a camera, until ``seconds`` are over or ``stop()`` is true.

    The recording itself is not kept, so there is no ``annotated.mp4``.

    Raises:
        VideoError: no such camera, or it delivers no frame.
        StoreError, CheckpointError: as :func:`analyze`.
    """
    settings = settings or AnalysisSettings()
    recognizer, recognition = _load(weights, prior)
    about = {
        "settings": settings.model_dump(mode="json"),
        **recognition,
        "blur_faces": blur_faces,
    }
    source = f"camera {number}"
    name = f"camera{number}-{datetime.now():%Y%m%d-%H%M%S}"
    analyzer = VideoAnalyzer(detector or default_detector(), recognizer, settings)
    with (
        own_folder(out, name, source, about) as target,
        results_writer(target.work, recognizer, blur_faces) as writer,
    ):
        frames, events = camera_frames(number, seconds=seconds, stop=stop), list[DetectedEvent]()
        analyze_frames(frames, analyzer, writer, events, on_progress=on_progress or ignore)
        if not analyzer.frames:
            raise VideoError("delivered no frame", where=f"camera {number}")
        analysis = summarise(analyzer, name=target.name, source=source, about=about, events=events)
        if writer is not None:
            analysis = writer.finish(analysis, None, on_progress=on_progress or ignore)
    return analysis


def _frame_count(info: VideoInfo) -> int | None:
    """As stated, or as it follows from the length; decoding may find more or fewer."""
    if info.frame_count is None and info.duration_s is not None:
        return round(info.duration_s * info.fps)
    return info.frame_count


def analyze_frames(
    frames: Iterable[Frame],
    analyzer: VideoAnalyzer,
    writer: ResultsWriter | None,
    events: list[DetectedEvent],
    *,
    total: int | None = None,
    on_progress: OnProgress = ignore,
    save: Callable[[list[DetectedEvent]], None] | None = None,
) -> None:
    """Push every frame through the analyzer and write it.

    Args:
        frames: those that the analyzer has not received yet.
        analyzer, writer: of this video.
        events: those found before; events and candidates are added to it.
        total: how many frames there are, if known.
        on_progress: called after each frame, and after each event.
        save: called every ``SAVE_S`` seconds, between two frames.
    """
    due, paused = time.monotonic() + SAVE_S, False

    def add(found: list[ExaminedEvent], rows: Iterable[Mapping[str, Any]]) -> None:
        if writer is not None:
            writer.add(rows, found)
        for one in found:
            events.append(one.event)
            if not one.event.reason:
                on_progress(Progress("watch", analyzer.frames, total, one.event))

    def detect(decoded: Iterator[Frame]) -> Iterator[DetectedFrame]:
        nonlocal paused
        for frame in decoded:
            yield analyzer.detect(frame)
            if save is not None and time.monotonic() >= due:
                paused = True
                return

    with ahead(iter(frames)) as decoded:
        while True:
            with ahead(detect(decoded)) as detected_frames:
                for detected in detected_frames:
                    add(analyzer.measure(detected), analyzer.rows)
                    on_progress(Progress("watch", analyzer.frames, total))
            if not paused or save is None:
                break
            save(events)
            due, paused = time.monotonic() + SAVE_S, False
    add(analyzer.finish(), ())
    if writer is not None:
        writer.close()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Three threads share the work; threads of BLAS and OpenCV would slow them down.

    This holds for the whole process: for one that does nothing else.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def _notes() -> Iterator[list[str]]:
    """What the video reader warns of, as lines."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", VideoNote)
        try:
            yield lines
        finally:
            lines += [str(w.message) for w in caught if issubclass(w.category, VideoNote)]
            others = [w for w in caught if not issubclass(w.category, VideoNote)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)


def _load(
    weights: Path | str | None, prior: Prior
) -> tuple[Recognizer | None, dict[str, str | None]]:
    """The recognizer; and what the analysis depends on: a digest of its weights and settings, and
    the class prior.
    """
    if weights is None:
        return None, {"weights": None, "prior": prior_text(prior)}
    with optional_part("torch", "train"):
        from ma2mi.training.checkpoint import find_weights
        from ma2mi.training.recognizer import Recognizer
    folder = find_weights(weights)
    recognizer = Recognizer.from_pretrained(folder, prior=prior)
    return recognizer, {"weights": digest(folder), "prior": prior_text(prior)}


def path_text(path: Path) -> str:
    """A path as text; bytes that are not UTF-8 are shown as ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
