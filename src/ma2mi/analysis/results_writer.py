"""What is written of an analysis while it runs and when it ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ma2mi.analysis.evidence import Evidence, draw_card, heat_map, loop_frames
from ma2mi.analysis.faces import ExaminedEvent
from ma2mi.analysis.state import STATE
from ma2mi.arrays import Image
from ma2mi.environment import write_environment
from ma2mi.errors import VideoError, store_error
from ma2mi.formats.exports import EXPORTS
from ma2mi.formats.tables import FrameTable
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.records import Analysis, DetectedEvent
from ma2mi.report.review import CAPTIONS, CARDS, Card, Loop, write_review
from ma2mi.report.videos import check_blurred, write_annotated, write_magnified

if TYPE_CHECKING:
    from ma2mi.training.recognizer import Recognizer

REVIEW, ANNOTATED, MAGNIFIED = "report.html", "annotated.mp4", "magnified.mp4"


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
        if state is None:  # pictures there belong to a state that cannot be read
            shutil.rmtree(self._pictures, ignore_errors=True)
        self._pictures.mkdir(exist_ok=True)
        state = state or {"written": 0, "loops": {}, "drawn": []}
        self._table = FrameTable(folder, state["written"])
        self._loops: dict[str, Loop] = state["loops"]
        self._drawn: list[tuple[bool, float, str]] = state["drawn"]

    def state(self) -> dict[str, Any]:
        """What must be known to go on writing in the same folder."""
        return {"written": self._table.written(), "loops": self._loops, "drawn": self._drawn}

    def add(self, rows: Iterable[Mapping[str, Any]], found: Iterable[ExaminedEvent]) -> None:
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
        fps: Fraction | None = None,
        videos: bool = True,
        on_progress: OnProgress = ignore,
    ) -> Analysis:
        """Write everything else; ``analysis.json`` last: it marks the folder as complete.

        A video that cannot be written is noted; the other results stand.

        Args:
            analysis: what to write.
            path: of the video itself, for ``annotated.mp4``; None if it was not kept.
            fps: frame rate of a folder of frames.
            videos: write them at all.
            on_progress: called after each file ("write").

        Returns:
            The analysis with its last notes, as it was written.
        """
        self._forget_red(analysis)
        notes: list[str] = []
        steps = self._video_steps(analysis, path, fps, notes) if videos else []
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
            lambda: write_environment(self.folder, show_command=bool(analysis.source)),
            lambda: EXPORTS["json"](analysis, self.folder),
        ]
        for number, step in enumerate(steps):
            on_progress(Progress("write", number, len(steps)))
            if number == videos_written:
                analysis = replace(analysis, notes=(*analysis.notes, *notes))
            with storing(self.folder):
                step()
        on_progress(Progress("write", len(steps), len(steps)))
        return analysis

    def _video_steps(
        self, analysis: Analysis, path: Path | None, fps: Fraction | None, notes: list[str]
    ) -> list[Callable[[], object]]:
        """What writes the videos; their errors go to the notes."""
        magnified = partial(write_magnified, self._loops_shown(analysis), self.folder / MAGNIFIED)
        steps: list[Callable[[], object]] = [partial(_write_video, magnified, MAGNIFIED, notes)]
        if path is not None:
            annotated = partial(
                write_annotated,
                replace(analysis, source=str(path)),
                self._table.path,
                self.folder / ANNOTATED,
                fps=fps,
                blur=self.blur,
            )
            steps.append(partial(_write_video, annotated, ANNOTATED, notes))
        return steps

    def card(self, event: DetectedEvent) -> Card:
        """The pictures of an event, read from the folder."""
        stem = _stem(event)
        pictures = {
            kind: path.read_bytes()
            for kind in CAPTIONS
            if (path := self._pictures / f"{stem}-{kind}.png").is_file()
        }
        return Card(pictures, self._loop(stem))

    def _draw(self, event: DetectedEvent, evidence: Evidence) -> None:
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

    def _loops_shown(self, analysis: Analysis) -> Iterator[tuple[DetectedEvent, Image]]:
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
        """Search what is blurred for faces, and note in one line what was found."""
        videos = [path for name in (ANNOTATED, MAGNIFIED) if (path := self.folder / name).exists()]
        return (check_blurred(videos, sorted(self._pictures.glob("*.png"))),)

    def _forget_red(self, analysis: Analysis) -> None:
        """Remove the heat maps of events without a reading."""
        for event in analysis.events:
            if event.reading is None:
                self._remove(_stem(event), "heat.png")


def _write_video(write: Callable[[], object], name: str, notes: list[str]) -> None:
    """Write a video beside the results; an error is noted."""
    try:
        lines = write()
        notes += lines if isinstance(lines, tuple) else ()
    except VideoError as error:
        notes.append(f"{name} could not be written: {error.what}")


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Errors of the system while results are written, as a StoreError with the cause.

    Raises:
        StoreError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise store_error(error, folder) from error


def _stem(event: DetectedEvent) -> str:
    return f"face{event.face}-frame{event.onset:06d}-{event.offset:06d}"


@contextmanager
def results_writer(
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
