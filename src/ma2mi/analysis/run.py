"""A user's video, end to end: one pass over the frames, then everything into one folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ma2mi import __version__
from ma2mi.analysis.camera import camera_frames
from ma2mi.analysis.evidence import Evidence, Image, draw_card, heat_map, loop_frames
from ma2mi.analysis.watch import AnalysisSettings, Finding, Watcher
from ma2mi.errors import StoreError, VideoError, optional_part
from ma2mi.files import file_name
from ma2mi.report.events import Analysis, Event, Level
from ma2mi.report.export import EXPORTS
from ma2mi.report.export.tables import FrameTable, read_json
from ma2mi.report.export.videos import write_annotated, write_magnified
from ma2mi.report.review import CAPTIONS, CARDS, Card, Loop, write_review
from ma2mi.video import Frame, VideoInfo, VideoNote, ahead, inspect_video, read_frames

with optional_part("cv2", "video"):
    import cv2

if TYPE_CHECKING:
    from ma2mi.analysis.faces import Detector
    from ma2mi.training.recognizer import Recognizer

REVIEW, ANNOTATED, MAGNIFIED = "report.html", "annotated.mp4", "magnified.mp4"
TOO_POOR = "recording too poor to name a class"
LEVELS: tuple[Level, ...] = ("green", "amber", "red")
LONGEST_NAME = 120  # bytes; file systems take 255, and files in the folder bear the name, too


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an analysis is.

    Args:
        step: "watch", then "write".
        done, total: frames, or files to write; total is None where the container does not say.
        event: one that was just decided, else None.
    """

    step: str
    done: int
    total: int | None
    event: Event | None = None


Hook = Callable[[Progress], None]


def analyze(
    path: Path | str,
    out: Path | str | None = None,
    *,
    hook: Hook | None = None,
    weights: Path | str | None = "zero",
    settings: AnalysisSettings | None = None,
    fps: Fraction | None = None,
    blur_faces: bool = False,
    videos: bool = True,
    name: str = "",
    detector: Detector | None = None,
) -> Analysis:
    """Find brief facial movements in a video: candidates for a person to review.

    Memory does not grow with the video's length. A video in which there is no face is a result,
    too. Results that are there already, of the same video and settings, are read back.

    Args:
        path: a video file, or a folder of frames.
        out: results go to the folder ``out/NAME``, whole or not at all; None writes nothing.
        hook: is told how far it is, frame by frame; what it raises ends the analysis.
        weights: "zero", a folder, or None to name no classes and action units.
        settings: by default ``AnalysisSettings()``.
        fps: frame rate of a folder of frames.
        blur_faces: in everything that is written.
        videos: write ``annotated.mp4`` and ``magnified.mp4``, too.
        name: of the folder; by default the video's.
        detector: by default :class:`ma2mi.FaceDetector`.

    Raises:
        VideoError: no frame can be decoded.
        StoreError: ``out`` cannot be written, or the disk is full.
        CheckpointError: no such weights.

    Example:
        >>> analysis = ma2mi.analyze("talk.mp4", "results")
        >>> [event.words for event in analysis.events]
    """
    path, settings = Path(path), settings or AnalysisSettings()
    name = name or folder_name(path)
    info = inspect_video(path, fps=fps)
    recognizer, digest = _load(weights)
    about = {
        "settings": settings.model_dump(mode="json"),
        "weights": digest,
        "blur_faces": blur_faces,
        "videos": videos,
        "fps": str(fps) if fps else None,
        "input": sha256(path),
    }
    if out is not None and (done := find_done(Path(out) / name, about)) is not None:
        return done
    watcher = Watcher(detector or _face_detector(), recognizer, settings)
    with _own_folder(out, name) as folder, _book(folder, recognizer, blur_faces) as book:
        tell = hook or _nobody
        with _notes() as notes:
            events = _watch(read_frames(path, fps=fps), watcher, book, _frame_count(info), tell)
        analysis = summarise(
            watcher, name=name, source=str(path), about=about, notes=tuple(notes), events=events
        )
        if book is not None:
            book.finish(analysis, fps=fps, videos=videos, tell=tell)
    return analysis


def analyze_camera(
    number: int = 0,
    out: Path | str | None = None,
    *,
    hook: Hook | None = None,
    seconds: float | None = None,
    stop: Callable[[], bool] | None = None,
    weights: Path | str | None = "zero",
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
    recognizer, digest = _load(weights)
    about = {
        "settings": settings.model_dump(mode="json"),
        "weights": digest,
        "blur_faces": blur_faces,
    }
    name = f"camera{number}-{datetime.now():%Y%m%d-%H%M%S}"
    watcher = Watcher(detector or _face_detector(), recognizer, settings)
    with _own_folder(out, name) as folder, _book(folder, recognizer, blur_faces) as book:
        tell = hook or _nobody
        frames = camera_frames(number, seconds=seconds, stop=stop)
        events = _watch(frames, watcher, book, None, tell)
        if not watcher.frames:
            raise VideoError("delivered no frame", where=f"camera {number}")
        analysis = summarise(
            watcher, name=name, source=f"camera {number}", about=about, events=events
        )
        if book is not None:
            book.finish(analysis, fps=None, videos=True, tell=tell)
    return analysis


def _frame_count(info: VideoInfo) -> int | None:
    """As stated, or as it follows from the length; decoding may find more or fewer."""
    if info.frame_count is None and info.duration_s is not None:
        return round(info.duration_s * info.fps)
    return info.frame_count


def _nobody(progress: Progress) -> None:
    """Listens to no progress."""


def folder_name(path: Path) -> str:
    """A folder's name for a video's results, also for very long and strange names."""
    name = file_name(path.resolve().name if path.is_dir() else path.stem) or "video"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    short = name.encode()[: LONGEST_NAME - 9].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def find_done(folder: Path, about: dict[str, Any]) -> Analysis | None:
    """The finished analysis in ``folder``, if it is of the same input, settings and version."""
    try:
        tree = json.loads((folder / "analysis.json").read_text("utf-8"))
        same = tree["settings"] == json.loads(json.dumps(about)) and tree["version"] == __version__
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing there, or not ours: it is written anew
    if not same:
        return None
    try:
        return read_json(folder / "analysis.json")
    except StoreError:
        return None  # written by another state of this version


def summarise(
    watcher: Watcher,
    *,
    name: str,
    source: str,
    about: Mapping[str, Any],
    notes: tuple[str, ...] = (),
    events: Iterable[Event] = (),
) -> Analysis:
    """All that a watcher knows at the end; of faces that are seen too poorly nothing is read.

    What has a reason why it is no event goes to the candidates.

    Args:
        watcher: after ``finish``.
        name, source, notes: as in the analysis.
        about: its settings.
        events: events and candidates, in any order; each kind is numbered anew by its onsets.
    """
    faces = {number: watch.facts(watcher.frames) for number, watch in watcher.faces.items()}
    ordered = sorted(events, key=lambda e: (e.onset_frame, e.offset_frame, e.face_id, e.event_id))
    told: list[Event] = []
    below: list[Event] = []
    for event in ordered:
        if event.reason:
            below.append(replace(event, event_id=len(below) + 1, reading=None))
            continue
        if faces[event.face_id].level == "red":
            event = replace(event, reading=None, flags=(*event.flags, TOO_POOR))
        told.append(replace(event, event_id=len(told) + 1))
    if stretch := watcher.settings.spotting.neutral_s:
        where = "neutral from {:g} to {:g} s".format(*stretch)
        for number, watch in watcher.faces.items():
            known = "" if watch.knows_neutral else ", where it was not seen for a whole second"
            notes += (f"face {number}: {where}{known}",)
    notes += _tracking_notes(watcher)
    # The recording is as good as its best face; people who pass by do not spoil it.
    best = min(
        faces.values(), key=lambda face: (LEVELS.index(face.level), -face.frames), default=None
    )
    recognizer = watcher.recognizer
    return Analysis(
        name=name,
        source=source,
        version=__version__,
        width=watcher.width,
        height=watcher.height,
        fps=watcher.fps,
        frames=watcher.frames,
        start_s=float(watcher.start_s or 0),
        duration_s=round(watcher.last_s + 1 / watcher.fps, 6),
        level=best.level if best else "red",
        reasons=best.reasons if best else ("no face is seen",),
        faces=tuple(faces.values()),
        events=tuple(told),
        candidates=tuple(below),
        classes=recognizer.classes if recognizer else (),
        units=recognizer.units if recognizer else (),
        notes=notes,
        settings=about,
    )


def _tracking_notes(watcher: Watcher) -> tuple[str, ...]:
    """What a reader should know about whom the events belong to."""
    tracker, notes = watcher.tracker, []
    if tracker.cuts:
        cuts = "1 hard cut" if tracker.cuts == 1 else f"{tracker.cuts} hard cuts"
        notes.append(f"{cuts}: measuring starts anew after each, and no event spans one")
    if tracker.passed_over:
        many = tracker.passed_over
        faces = "1 further face was" if many == 1 else f"{many} further faces were"
        notes.append(
            f"{faces} seen at a time, but not followed: more than {tracker.most} (most_faces)"
        )
    return tuple(notes)


class Book:
    """The folder of one analysis while it is being written.

    Rows and pictures are written as they come; of the pictures only the best events' are kept.

    Args:
        folder: exists and is empty.
        recognizer: for heat maps; None draws none.
        blur: faces in everything.
    """

    def __init__(self, folder: Path, recognizer: Recognizer | None, *, blur: bool) -> None:
        self.folder = folder
        self.recognizer = recognizer
        self.blur = blur
        self._pictures = folder / "pictures"
        self._pictures.mkdir()
        self._table = FrameTable(folder)
        self._loops: dict[str, Loop] = {}
        self._drawn: list[tuple[bool, float, str]] = []

    def add(self, rows: Iterable[Mapping[str, Any]], found: Iterable[Finding]) -> None:
        """One frame's rows, and the events that were decided at it; candidates get no pictures."""
        for row in rows:
            self._table.add(row)
        for finding in found:
            if finding.evidence is not None and not finding.event.reason:
                self._draw(finding.event, finding.evidence)

    def close(self) -> None:
        self._table.close()

    def finish(self, analysis: Analysis, *, fps: Fraction | None, videos: bool, tell: Hook) -> None:
        """Write everything else; ``analysis.json`` last, which says that all of it is there."""
        self._forget_red(analysis)
        steps: list[Callable[[], object]] = [
            lambda: write_review(analysis, self._table.path, self.card, self.folder / REVIEW),
            *(
                partial(write, analysis, self.folder)
                for format_name, write in EXPORTS.items()
                if format_name != "json"
            ),
        ]
        if videos:
            steps.append(lambda: write_magnified(self._shown(analysis), self.folder / MAGNIFIED))
        if videos and Path(analysis.source).exists():
            target = self.folder / ANNOTATED
            steps.append(
                lambda: write_annotated(analysis, self._table.path, target, fps=fps, blur=self.blur)
            )
        steps.append(self._clear_loops)
        steps.append(lambda: EXPORTS["json"](analysis, self.folder))
        for number, step in enumerate(steps):
            tell(Progress("write", number, len(steps)))
            step()
        tell(Progress("write", len(steps), len(steps)))

    def card(self, event: Event) -> Card:
        """The pictures of an event, read from the folder."""
        stem = _stem(event)
        pictures = {
            kind: path.read_bytes()
            for kind in CAPTIONS
            if (path := self._pictures / f"{stem}-{kind}.png").is_file()
        }
        return Card(pictures, self._loop(stem))

    def _draw(self, event: Event, evidence: Evidence) -> None:
        known = self.recognizer is not None and event.reading is not None
        heat = heat_map(evidence, self.recognizer) if known and self.recognizer else None
        card, stem = draw_card(evidence, heat, blur=self.blur), _stem(event)
        for kind, png in card.pictures.items():
            (self._pictures / f"{stem}-{kind}.png").write_bytes(png)
        if card.loop is not None:
            (self._pictures / f"{stem}-loop.jpg").write_bytes(card.loop.strip)
            self._loops[stem] = replace(card.loop, strip=b"")
        self._drawn.append((event.kind != "micro", -event.score, stem))
        if len(self._drawn) > 2 * CARDS:
            self._drawn.sort()
            for _, _, worse in self._drawn[CARDS:]:
                self._remove(worse)
            del self._drawn[CARDS:]

    def _remove(self, stem: str, pattern: str = "*") -> None:
        for path in self._pictures.glob(f"{stem}-{pattern}"):
            path.unlink()

    def _loop(self, stem: str) -> Loop | None:
        path = self._pictures / f"{stem}-loop.jpg"
        return replace(self._loops[stem], strip=path.read_bytes()) if path.is_file() else None

    def _shown(self, analysis: Analysis) -> Iterator[tuple[Event, Image]]:
        for event in analysis.events:
            loop = self._loop(_stem(event))
            if loop is not None:
                yield event, loop_frames(loop)

    def _clear_loops(self) -> None:
        """Strips were for the page; as files ``magnified.mp4`` shows them better."""
        for path in self._pictures.glob("*-loop.jpg"):
            path.unlink()
        if not any(self._pictures.iterdir()):
            self._pictures.rmdir()

    def _forget_red(self, analysis: Analysis) -> None:
        """What spoke for an answer is not shown where none is given."""
        for event in analysis.events:
            if event.reading is None:
                self._remove(_stem(event), "heat.png")


def _stem(event: Event) -> str:
    return f"face{event.face_id}-frame{event.onset_frame:06d}-{event.offset_frame:06d}"


def _watch(
    frames: Iterable[Frame], watcher: Watcher, book: Book | None, total: int | None, tell: Hook
) -> list[Event]:
    """Every frame through the watcher and into the book; all events and candidates."""
    events: list[Event] = []

    def add(found: list[Finding], rows: Iterable[Mapping[str, Any]]) -> None:
        if book is not None:
            book.add(rows, found)
        for finding in found:
            events.append(finding.event)
            if not finding.event.reason:
                tell(Progress("watch", watcher.frames, total, finding.event))

    with (
        _one_thread_each(),
        ahead(iter(frames)) as decoded,
        ahead(watcher.see(frame) for frame in decoded) as sights,
    ):
        for sight in sights:
            found = watcher.measure(sight)
            add(found, watcher.rows)
            tell(Progress("watch", watcher.frames, total))
    add(watcher.finish(), ())
    if book is not None:
        book.close()
    return events


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Three threads share the work; those of BLAS and OpenCV would only stand in their way."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def _book(folder: Path | None, recognizer: Recognizer | None, blur: bool) -> Iterator[Book | None]:
    if folder is None:
        yield None
        return
    book = Book(folder, recognizer, blur=blur)
    try:
        yield book
    finally:
        book.close()


@contextmanager
def _own_folder(out: Path | str | None, name: str) -> Iterator[Path | None]:
    """A hidden folder beside the final one, which it becomes when all went well.

    Raises:
        StoreError: it cannot be written, at any time until it is complete.
    """
    if out is None:
        yield None
        return
    final = Path(out) / name
    unfinished = final.with_name(f".{name}.part")
    try:
        if unfinished.exists():
            shutil.rmtree(unfinished)  # of a run that was killed
        unfinished.mkdir(parents=True)
        yield unfinished
        if final.exists():
            shutil.rmtree(final)
        unfinished.rename(final)
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error.strerror or error})",
            where=final,
            cure="Free the disk or choose another folder with --out",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _notes() -> Iterator[list[str]]:
    """What the video reader warns of, as lines."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", VideoNote)
        try:
            yield lines
        finally:
            lines += [str(w.message) for w in said if issubclass(w.category, VideoNote)]
            others = [w for w in said if not issubclass(w.category, VideoNote)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)


def _load(weights: Path | str | None) -> tuple[Recognizer | None, str | None]:
    """The recognizer and the sha256 of its weights."""
    if weights is None:
        return None, None
    with optional_part("torch", "train"):
        from ma2mi.training.checkpoint import find_weights
        from ma2mi.training.recognizer import Recognizer
    folder = find_weights(weights)
    recognizer = Recognizer.from_pretrained(folder)
    return recognizer, sha256(folder / "model.safetensors")


def sha256(path: Path) -> str:
    """Of a file's content; of a folder of frames, of the names and sizes in it."""
    if path.is_dir():
        names = sorted((p.name, p.stat().st_size) for p in path.iterdir() if p.is_file())
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _face_detector() -> Detector:
    from ma2mi.face.detect import FaceDetector

    return FaceDetector()
