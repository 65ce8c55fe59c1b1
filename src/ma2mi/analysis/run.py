"""A user's video, end to end: one pass over the frames, then everything into one folder."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ma2mi._version import __version__
from ma2mi.analysis.evidence import Evidence, Image, draw_card, heat_map, loop_frames
from ma2mi.analysis.state import STATE, is_of, read_state, write_state
from ma2mi.analysis.watch import AnalysisSettings, DecidedEvent, DetectedFrame, VideoAnalyzer
from ma2mi.errors import StoreError, VideoError, optional_part, store_error
from ma2mi.files import Busy, Kept, digest, file_name, hold, look_into, whole_folder
from ma2mi.formats.exports import EXPORTS, without_paths
from ma2mi.formats.tables import FrameTable, read_json
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.records import Analysis, Event, Level
from ma2mi.report.review import CAPTIONS, CARDS, Card, Loop, write_review
from ma2mi.report.videos import check_blurred, write_annotated, write_magnified
from ma2mi.video import (
    INTERLACED,
    Frame,
    VideoInfo,
    VideoNote,
    ahead,
    inspect_video,
    needs_rate,
    read_frames,
)
from ma2mi.video.camera import camera_frames
from ma2mi.video.times import picture_delay

with optional_part("cv2", "video"):
    import cv2

if TYPE_CHECKING:
    from ma2mi.face.track import Detector
    from ma2mi.training.recognizer import Recognizer

REVIEW, ANNOTATED, MAGNIFIED = "report.html", "annotated.mp4", "magnified.mp4"
TOO_POOR = "recording too poor to name a class"
LEVELS: tuple[Level, ...] = ("green", "amber", "red")
#: Without these as they were written, a folder of results is not taken for done.
NEEDED = ("analysis.json", "frames.csv", REVIEW)
SAVE_S = 60.0  # how often an unfinished analysis is kept, so that a long video can go on
WAIT_S = 5.0  # for a process that was told to end and still holds the folder


def analyze(
    path: Path | str,
    out: Path | str | None = None,
    *,
    on_progress: OnProgress | None = None,
    weights: Path | str | None = "zero",
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
    that a person wrote or changed is removed: where the folder's name is taken, the results go
    beside it, under the name and eight digits of the video's hash.

    Args:
        path: a video file, or a folder of frames.
        out: results go to the folder ``out/NAME``, whole or not at all; None writes nothing.
            ``Analysis.name`` says which it is.
        on_progress: called frame by frame ("watch", with an event that was just decided as
            ``detail``), then for each file ("write"); what it raises ends the analysis.
        weights: "zero", a folder, or None to name no classes and action units.
        settings: by default ``AnalysisSettings()``.
        fps: frame rate of a folder of frames; of a file, the rate at which slow motion was
            recorded.
        blur_faces: in everything that is written.
        videos: write ``annotated.mp4`` and ``magnified.mp4``, too.
        show_paths: False leaves the video's name and place out of everything that is written.
        name: of the folder; by default the video's, or "video" and a hash without.
        detector: by default :class:`ma2mi.FaceDetector`.

    Raises:
        VideoError: no frame can be decoded.
        StoreError: ``out`` cannot be written, or another process analyses the same video there.
        CheckpointError: no such weights.

    Example:
        >>> analysis = ma2mi.analyze("talk.mp4", "results")
        >>> [event.words for event in analysis.events]
    """
    path, settings = Path(path), settings or AnalysisSettings()
    info = inspect_video(path, fps=fps)
    recognizer, weights_digest = _load(weights)
    content = digest(path)
    about = {
        "settings": settings.model_dump(mode="json"),
        "weights": weights_digest,
        "blur_faces": blur_faces,
        "videos": videos,
        "show_paths": show_paths,
        "fps": str(fps) if fps else None,
        "input": content,
    }
    if not show_paths:
        name = f"video-{content[:8]}"
    name = file_name(name) if name else folder_name(path)
    source = _shown(path)
    with _own_folder(out, name, source, about) as place:
        if place.done is not None:
            return place.done
        eyes = detector or _face_detector()
        known = {"detector": eyes, "recognizer": recognizer}
        state = read_state(place.work, about, known) if place.work else None
        if state is None:
            state = {
                "analyzer": VideoAnalyzer(eyes, recognizer, settings),
                "events": [],
                "writer": None,
            }
        analyzer: VideoAnalyzer = state["analyzer"]
        with _results_writer(place.work, recognizer, blur_faces, state["writer"]) as writer:
            tell = on_progress or ignore

            def save(events: list[Event]) -> None:
                if place.work is not None and writer is not None:
                    state = {"analyzer": analyzer, "events": events, "writer": writer.state()}
                    write_state(place.work, about, state, known)

            with _notes() as notes:
                events = _analyze_frames(
                    read_frames(path, fps=fps, start=analyzer.frames),
                    analyzer,
                    writer,
                    _frame_count(info),
                    tell,
                    state["events"],
                    None if blur_faces else save,  # a state shows faces in clear
                )
            analysis = summarise(
                analyzer,
                name=place.name,
                source=source,
                about=about,
                notes=(*notes, *place.notes),
                events=events,
            )
            if not show_paths:
                analysis = without_paths(analysis, path)
            if writer is not None:
                analysis = writer.finish(analysis, path, fps=fps, videos=videos, tell=tell)
    return analysis


def analyze_camera(
    number: int = 0,
    out: Path | str | None = None,
    *,
    on_progress: OnProgress | None = None,
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
    recognizer, weights_digest = _load(weights)
    about = {
        "settings": settings.model_dump(mode="json"),
        "weights": weights_digest,
        "blur_faces": blur_faces,
    }
    source = f"camera {number}"
    name = f"camera{number}-{datetime.now():%Y%m%d-%H%M%S}"
    analyzer = VideoAnalyzer(detector or _face_detector(), recognizer, settings)
    with (
        _own_folder(out, name, source, about) as place,
        _results_writer(place.work, recognizer, blur_faces) as writer,
    ):
        tell = on_progress or ignore
        frames = camera_frames(number, seconds=seconds, stop=stop)
        events = _analyze_frames(frames, analyzer, writer, None, tell)
        if not analyzer.frames:
            raise VideoError("delivered no frame", where=f"camera {number}")
        analysis = summarise(analyzer, name=place.name, source=source, about=about, events=events)
        if writer is not None:
            analysis = writer.finish(analysis, None, fps=None, videos=True, tell=tell)
    return analysis


def _frame_count(info: VideoInfo) -> int | None:
    """As stated, or as it follows from the length; decoding may find more or fewer."""
    if info.frame_count is None and info.duration_s is not None:
        return round(info.duration_s * info.fps)
    return info.frame_count


def folder_name(path: Path) -> str:
    """A folder's name for a video's results, also for very long and strange names."""
    # abspath, not resolve: a link is called what its owner calls it, and may lead in a circle.
    return file_name(Path(os.path.abspath(path)).name if path.is_dir() else path.stem)  # noqa: PTH100


@dataclass(frozen=True, slots=True)
class _Place:
    """Where results go.

    Args:
        name: of the folder.
        work: to write to; None where nothing is to be written.
        done: results that are there already.
        notes: why it is not the name that was asked for.
    """

    name: str
    work: Path | None = None
    done: Analysis | None = None
    notes: tuple[str, ...] = ()


def find_done(folder: Path, about: Mapping[str, Any]) -> Analysis | None:
    """The finished analysis in ``folder``, if it is of the same input, settings and version.

    Files that a person changed or added are kept and named in the notes; if one that is needed
    was changed, or any is missing, the results are not taken for done.
    """
    if not os.path.lexists(folder / "analysis.json"):
        return None
    tree = _read_about(folder)
    if tree.get("settings") != json.loads(json.dumps(about)) or tree.get("version") != __version__:
        return None
    kept = look_into(folder)
    if not kept.ours or kept.missing or set(kept.changed) & set(NEEDED):
        return None
    try:
        analysis = read_json(folder / "analysis.json")
    except StoreError:
        return None  # written by another state of this version
    return replace(analysis, name=folder.name, notes=(*analysis.notes, *_kept_notes(kept)))


def _read_about(folder: Path) -> dict[str, Any]:
    """``analysis.json`` as a tree; empty if it cannot be read."""
    try:
        tree = json.loads((folder / "analysis.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _kept_notes(kept: Kept) -> Iterator[str]:
    if kept.changed:
        yield f"kept as they were changed since: {', '.join(kept.changed)}"


def _is_of(folder: Path, about: Mapping[str, Any]) -> bool:
    """Whether the results in ``folder`` are of the same input, whatever the settings."""
    settings = _read_about(folder).get("settings")
    return isinstance(settings, dict) and settings.get("input") == about.get("input")


def summarise(
    analyzer: VideoAnalyzer,
    *,
    name: str,
    source: str,
    about: Mapping[str, Any],
    notes: tuple[str, ...] = (),
    events: Iterable[Event] = (),
) -> Analysis:
    """All that a analyzer knows at the end; of faces that are seen too poorly nothing is read.

    What has a reason why it is no event goes to the candidates.

    Args:
        analyzer: after ``finish``.
        name, source, notes: as in the analysis.
        about: its settings.
        events: events and candidates, in any order; each kind is numbered anew by its onsets.
    """
    faces = {number: face.facts(analyzer.frames) for number, face in analyzer.faces.items()}
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
    if stretch := analyzer.settings.spotting.neutral_s:
        where = "neutral from {:g} to {:g} s".format(*stretch)
        for number, face in analyzer.faces.items():
            known = "" if face.knows_neutral else ", where it was not seen for a whole second"
            notes += (f"face {number}: {where}{known}",)
    notes += _tracking_notes(analyzer)
    # The recording is as good as its best face; people who pass by do not spoil it.
    best = min(
        faces.values(), key=lambda facts: (LEVELS.index(facts.level), -facts.frames), default=None
    )
    level, reasons = (best.level, best.reasons) if best else ("red", ("no face is seen",))
    if any(INTERLACED in note for note in notes):
        level, reasons = (
            max(level, "amber", key=LEVELS.index),
            (*reasons, "the video is interlaced"),
        )
    recognizer = analyzer.recognizer
    return Analysis(
        name=name,
        source=source,
        version=__version__,
        width=analyzer.width,
        height=analyzer.height,
        fps=analyzer.fps,
        frames=analyzer.frames,
        start_s=float(analyzer.start_s or 0),
        duration_s=round(analyzer.last_s + 1 / analyzer.fps, 6),
        level=level,
        reasons=reasons,
        faces=tuple(faces.values()),
        events=tuple(told),
        candidates=tuple(below),
        classes=recognizer.classes if recognizer else (),
        units=recognizer.units if recognizer else (),
        notes=notes,
        settings=about,
        **_player(Path(source), about.get("fps"), analyzer.start_s),
    )


def _player(video: Path, fps: str | None, start_s: Fraction | None) -> dict[str, float]:
    """What the clock of a player that shows a video file says, against the analysis' own."""
    if start_s is None or not video.is_file() or needs_rate(video):
        return {}
    slowed = Fraction(1)
    if fps:
        slowed = inspect_video(video, fps=Fraction(fps)).fps / inspect_video(video).fps
    delay_s = picture_delay(video, [start_s * slowed])
    return {"picture_s": round(float(delay_s), 6), "slowed": round(float(slowed), 6)}


def _tracking_notes(analyzer: VideoAnalyzer) -> tuple[str, ...]:
    """What a reader should know about whom the events belong to."""
    tracker, notes = analyzer.tracker, []
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


class ResultsWriter:
    """The folder of one analysis while it is being written.

    Rows and pictures are written as they come; of the pictures only the best events' are kept.

    Args:
        folder: exists and is empty.
        recognizer: for heat maps; None draws none.
        blur: faces in everything.
        state: of a writer that was begun in the folder, see :meth:`state`.
    """

    def __init__(
        self,
        folder: Path,
        recognizer: Recognizer | None,
        *,
        blur: bool,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.recognizer = recognizer
        self.blur = blur
        self._pictures = folder / "pictures"
        if state is None:  # what is there is of a state that cannot be read
            shutil.rmtree(self._pictures, ignore_errors=True)
        self._pictures.mkdir(exist_ok=True)
        state = state or {"written": 0, "loops": {}, "drawn": []}
        self._table = FrameTable(folder, state["written"])
        self._loops: dict[str, Loop] = state["loops"]
        self._drawn: list[tuple[bool, float, str]] = state["drawn"]

    def state(self) -> dict[str, Any]:
        """What must be known to go on writing in the same folder."""
        return {"written": self._table.written(), "loops": self._loops, "drawn": self._drawn}

    def add(self, rows: Iterable[Mapping[str, Any]], found: Iterable[DecidedEvent]) -> None:
        """One frame's rows, and the events that were decided at it; candidates get no pictures."""
        with storing(self.folder):
            for row in rows:
                self._table.add(row)
            for one in found:
                if one.evidence is not None and not one.event.reason:
                    self._draw(one.event, one.evidence)

    def close(self) -> None:
        with storing(self.folder):
            self._table.close()

    def finish(
        self,
        analysis: Analysis,
        path: Path | None,
        *,
        fps: Fraction | None,
        videos: bool,
        tell: OnProgress,
    ) -> Analysis:
        """Write everything else; ``analysis.json`` last, which says that all of it is there.

        A video that cannot be written costs no result: the notes say why.

        Args:
            analysis: what to write.
            path: of the video itself, for ``annotated.mp4``; None if it was not kept.
            fps: frame rate of a folder of frames.
            videos: write them at all.
            tell: is told of the steps.

        Returns:
            The analysis with its last notes, as it was written.
        """
        self._forget_red(analysis)
        steps: list[Callable[[], object]] = []
        notes: list[str] = []
        if videos:
            magnified = partial(write_magnified, self._shown(analysis), self.folder / MAGNIFIED)
            steps.append(partial(_write_video, magnified, MAGNIFIED, notes))
        if videos and path is not None:
            named = replace(analysis, source=str(path))
            annotated = partial(
                write_annotated,
                named,
                self._table.path,
                self.folder / ANNOTATED,
                fps=fps,
                blur=self.blur,
            )
            steps.append(partial(_write_video, annotated, ANNOTATED, notes))
        if self.blur:
            steps.append(partial(_write_video, self._check_blurred, "what was blurred", notes))
        videos_written = len(steps)
        steps += [
            lambda: (self.folder / STATE).unlink(missing_ok=True),
            lambda: write_review(analysis, self._table.path, self.card, self.folder / REVIEW),
            *(
                lambda write=write: write(analysis, self.folder)
                for format_name, write in EXPORTS.items()
                if format_name != "json"
            ),
            self._clear_loops,
            lambda: EXPORTS["json"](analysis, self.folder),
        ]
        for number, step in enumerate(steps):
            tell(Progress("write", number, len(steps)))
            if number == videos_written:
                analysis = replace(analysis, notes=(*analysis.notes, *notes))
            with storing(self.folder):
                step()
        tell(Progress("write", len(steps), len(steps)))
        return analysis

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

    def _check_blurred(self) -> tuple[str, ...]:
        """What is blurred is searched for faces, and one line says what was found."""
        videos = [path for name in (ANNOTATED, MAGNIFIED) if (path := self.folder / name).exists()]
        return (check_blurred(videos, sorted(self._pictures.glob("*.png"))),)

    def _forget_red(self, analysis: Analysis) -> None:
        """What spoke for an answer is not shown where none is given."""
        for event in analysis.events:
            if event.reading is None:
                self._remove(_stem(event), "heat.png")


def _write_video(write: Callable[[], object], name: str, notes: list[str]) -> None:
    """A video beside the results; what goes wrong with it is noted."""
    try:
        said = write()
        notes += said if isinstance(said, tuple) else ()
    except VideoError as error:
        notes.append(f"{name} could not be written: {error.what}")


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """What the system refuses while results are written is told as what it is.

    Raises:
        StoreError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise store_error(error, folder) from error


def _stem(event: Event) -> str:
    return f"face{event.face_id}-frame{event.onset_frame:06d}-{event.offset_frame:06d}"


def _analyze_frames(
    frames: Iterable[Frame],
    analyzer: VideoAnalyzer,
    writer: ResultsWriter | None,
    total: int | None,
    tell: OnProgress,
    events: list[Event] | None = None,
    save: Callable[[list[Event]], None] | None = None,
) -> list[Event]:
    """Push every frame through the analyzer and write it; all events and candidates.

    Args:
        frames: those that the analyzer has not seen.
        analyzer, writer: see there.
        total: how many frames there are, if known.
        tell: of the progress.
        events: found before.
        save: is called every ``SAVE_S`` seconds, when nothing is half done.
    """
    events = [] if events is None else events
    due, paused = time.monotonic() + SAVE_S, False

    def add(found: list[DecidedEvent], rows: Iterable[Mapping[str, Any]]) -> None:
        if writer is not None:
            writer.add(rows, found)
        for one in found:
            events.append(one.event)
            if not one.event.reason:
                tell(Progress("watch", analyzer.frames, total, one.event))

    def see(decoded: Iterator[Frame]) -> Iterator[DetectedFrame]:
        nonlocal paused
        for frame in decoded:
            yield analyzer.detect(frame)
            if save is not None and time.monotonic() >= due:
                paused = True
                return

    with ahead(iter(frames)) as decoded:
        while True:
            with ahead(see(decoded)) as detected_frames:
                for detected in detected_frames:
                    found = analyzer.measure(detected)
                    add(found, analyzer.rows)
                    tell(Progress("watch", analyzer.frames, total))
            if not paused or save is None:
                break
            save(events)
            due, paused = time.monotonic() + SAVE_S, False
    add(analyzer.finish(), ())
    if writer is not None:
        writer.close()
    return events


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Three threads share the work; those of BLAS and OpenCV would only stand in their way.

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
def _results_writer(
    folder: Path | None,
    recognizer: Recognizer | None,
    blur: bool,
    state: Mapping[str, Any] | None = None,
) -> Iterator[ResultsWriter | None]:
    if folder is None:
        yield None
        return
    with storing(folder):
        writer = ResultsWriter(folder, recognizer, blur=blur, state=state)
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def _own_folder(
    out: Path | str | None, name: str, source: str, about: Mapping[str, Any]
) -> Iterator[_Place]:
    """The folder for an analysis, held while it is written; or the results that are there.

    It is called ``name`` unless that is taken: by another video's results, by a file or a folder
    that was not written here, by results that a person changed, or by another process.

    Raises:
        StoreError: it cannot be written, or another process analyses the same video there.
    """
    if out is None:
        yield _Place(name)
        return
    parent = Path(out)
    content = str(about.get("input", ""))
    # Where they were before another video of that name came; a copy has results of its own.
    plain = name.removesuffix(f"-{content[:8]}")
    earlier = (plain,) if _read_about(parent / plain).get("source") == source else ()
    for number, one in enumerate(chain(earlier, _names(name, content))):
        if (done := find_done(parent / one, about)) is not None:
            yield _Place(one, done=done)
            return
        if number > 2 and not os.path.lexists(parent / one):
            break
    for one in _names(name, content):
        folder = parent / one
        try:
            with hold(folder, wait_s=WAIT_S, claim=content):
                # Looked at again: the process that held it may just have finished.
                if (done := find_done(folder, about)) is not None:
                    yield _Place(one, done=done)
                    return
                free = not os.path.lexists(folder)
                if free or (_is_of(folder, about) and look_into(folder).replaceable):
                    taken = f"{name} was taken and is kept as it is: these results are in {one}"
                    with whole_folder(folder, lambda part: is_of(part, about)) as work:
                        yield _Place(one, work, notes=() if one == name else (taken,))
                    return
        except Busy as busy:
            if busy.claim == content:
                raise


def _names(name: str, content: str) -> Iterator[str]:
    """Names for a video's results, the one to take if it is free first; without end."""
    yield name
    beside = name
    if content and not name.endswith(f"-{content[:8]}"):
        beside = f"{name}-{content[:8]}"
        yield beside
    for number in count(2):
        yield f"{beside}-{number}"


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
    """The recognizer and a digest of its weights and settings."""
    if weights is None:
        return None, None
    with optional_part("torch", "train"):
        from ma2mi.training.checkpoint import find_weights
        from ma2mi.training.recognizer import Recognizer
    folder = find_weights(weights)
    recognizer = Recognizer.from_pretrained(folder)
    return recognizer, digest(folder)


def _shown(path: Path) -> str:
    """A path as text; bytes that are no UTF-8 are shown as ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _face_detector() -> Detector:
    from ma2mi.face.detect import FaceDetector

    return FaceDetector()
