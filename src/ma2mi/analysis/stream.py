"""Frames in, events out, in constant memory: the analysis of a running video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ma2mi.analysis.faces import DetectedFrame, ExaminedEvent, FaceAnalyzer, FinishedFace
from ma2mi.analysis.settings import AnalysisSettings
from ma2mi.errors import FaceError
from ma2mi.face.align import warp_image
from ma2mi.face.stabilize import CROP, SteadyWarp
from ma2mi.face.track import Detector, FaceTracker, default_detector
from ma2mi.records import DetectedEvent
from ma2mi.spotting import Spotted
from ma2mi.video import FrameSteps

if TYPE_CHECKING:
    from ma2mi.training.recognizer import Recognizer
    from ma2mi.video import Frame


class VideoAnalyzer:
    """Takes the frames of one video or camera and gives events with bounded delay.

    ``detect`` and ``measure`` are the two halves of ``push``: the first cuts the faces out, the
    second measures them, and each may run in a thread of its own, as long as frames keep their
    order.

    Args:
        detector: finds faces.
        recognizer: names classes and action units; None names none.
        settings: by default ``AnalysisSettings()``.

    Memory grows with the number of faces by a few numbers each: of one that never returns only the
    summary is kept.

    Attributes:
        rows: of ``frames.csv``, for the newest frame.
        faces: number to what is known of each face so far.
        frames: how many were measured.
        start_s: the container's time of the first frame.
        last_s: seconds from the first to the newest frame.
        width, height: of the frames.
    """

    def __init__(
        self,
        detector: Detector,
        recognizer: Recognizer | None = None,
        settings: AnalysisSettings | None = None,
    ) -> None:
        self.settings = settings or AnalysisSettings()
        self.recognizer = recognizer
        self.tracker = FaceTracker(detector, self.settings.most_faces, self.settings.landmark_rate)
        self.rows: list[dict[str, Any]] = []
        self.faces: dict[int, FaceAnalyzer | FinishedFace] = {}
        self._analyzers: dict[int, FaceAnalyzer] = {}
        self._warps: dict[int, SteadyWarp] = {}
        self.frames = 0
        self.start_s: Fraction | None = None
        self.last_s = 0.0
        self.width = self.height = 0
        self._decided = 0
        self._steps = FrameSteps()

    @property
    def fps(self) -> float:
        """By the typical step between frames; 25, as ffmpeg has it, of a single frame."""
        typical_s = self._steps.typical_s
        return round(1 / typical_s, 4) if typical_s else 25.0

    def detect(self, frame: Frame) -> DetectedFrame:
        """Find the faces of the next frame, and cut them out."""
        if self.start_s is None:
            self.start_s = frame.time_s
        time_s = round(float(frame.time_s - self.start_s), 6)
        faces = self.tracker.push(frame.image, time_s)
        if self.tracker.cut:
            self._warps.clear()
        crops, warps = {}, {}
        for face_id, face in faces.items():
            steady = self._warps.setdefault(face_id, SteadyWarp())
            with suppress(FaceError):
                warps[face_id] = steady.push(face, time_s)
                crops[face_id] = warp_image(frame.image, warps[face_id], CROP)
        for face_id in self.tracker.ended:
            self._warps.pop(face_id, None)
        return DetectedFrame(
            frame.index,
            time_s,
            frame.image,
            faces,
            crops,
            warps,
            self.tracker.cut,
            self.tracker.ended,
        )

    def measure(self, detected: DetectedFrame) -> list[ExaminedEvent]:
        """Measure what moved; the events that are decided by now, by rising onset."""
        self._steps.push(detected.time_s)
        self.frames += 1
        self.last_s = detected.time_s
        self.height, self.width = detected.image.shape[:2]
        found: list[ExaminedEvent] = []
        self.rows = []
        if detected.cut:
            for face_analyzer in self._analyzers.values():
                found += self._decide(face_analyzer, face_analyzer.cut())
        for face_id in detected.faces:
            if face_id not in self._analyzers:
                self._analyzers[face_id] = self.faces[face_id] = FaceAnalyzer(
                    face_id, self.settings
                )
        for face_id, face_analyzer in self._analyzers.items():
            face = detected.faces.get(face_id)
            # Read before anything is forgotten: a pause may have been long.
            found += self._decide(face_analyzer, face_analyzer.end_lost(detected.time_s))
            found += self._decide(face_analyzer, face_analyzer.push(detected, face))
            if face is not None:
                self.rows.append(face_analyzer.row)
        for face_id in detected.ended:
            face_analyzer = self._analyzers.pop(face_id)
            found += self._decide(face_analyzer, face_analyzer.finish())
            self.faces[face_id] = FinishedFace(face_analyzer)
        if not self.rows:
            self.rows = [{"frame": detected.index, "timestamp": detected.time_s, "success": 0}]
        return found

    def push(self, frame: Frame) -> list[ExaminedEvent]:
        """The next frame; the events that are decided by now."""
        return self.measure(self.detect(frame))

    def finish(self) -> list[ExaminedEvent]:
        """The events that are still undecided at the end."""
        found = []
        for face_analyzer in self._analyzers.values():
            found += self._decide(face_analyzer, face_analyzer.finish())
        return found

    def _decide(self, face: FaceAnalyzer, spotted: list[Spotted]) -> list[ExaminedEvent]:
        found = []
        for one in spotted:
            self._decided += 1
            found.append(face.decide(one, self._decided, self.recognizer))
        return found


def watch_frames(
    frames: Iterable[Frame],
    *,
    recognizer: Recognizer | None = None,
    detector: Detector | None = None,
    settings: AnalysisSettings | None = None,
    candidates: bool = False,
) -> Iterator[DetectedEvent]:
    """Events of a running video or camera, each reported ``spotting.delay_s`` late at most.

    A brief movement's delay counts from its apex, a held expression's from its offset.

    Args:
        frames: as they come, times rising; :func:`ma2mi.video.camera.camera_frames` or
            :func:`ma2mi.read_frames`.
        recognizer: as from :func:`ma2mi.load_model`; None names no classes.
        detector: by default :class:`ma2mi.FaceDetector`.
        settings: by default ``AnalysisSettings()``.
        candidates: those below the thresholds, too; their ``reason`` says why.

    Yields:
        Events in the order in which they are decided.

    Example:
        >>> for event in watch_frames(read_frames("talk.mp4")):
        ...     print(event.onset_s, event.words)
    """
    analyzer = VideoAnalyzer(detector or default_detector(), recognizer, settings)

    def wanted(found: list[ExaminedEvent]) -> Iterator[DetectedEvent]:
        return (one.event for one in found if candidates or not one.event.reason)

    for frame in frames:
        yield from wanted(analyzer.push(frame))
    yield from wanted(analyzer.finish())
