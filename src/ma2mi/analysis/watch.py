"""Frames in, events out: everything that is known while a video runs, in constant memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.analysis.evidence import Evidence, Stretch, examine, recognise, thin_out, without_areas
from ma2mi.errors import FaceError, MotionError
from ma2mi.face.align import Warp, warp_image, warp_points
from ma2mi.face.detect import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Face
from ma2mi.face.occlusion import AREAS
from ma2mi.face.quality import QualityMonitor
from ma2mi.face.stabilize import CROP, SteadyWarp
from ma2mi.face.track import Detector, FaceTracker
from ma2mi.motion import REGIONS
from ma2mi.motion.region_tracker import RegionSample, RegionTracker, openings
from ma2mi.motion.shape import Shape, face_shape, landmark_flow
from ma2mi.records import EXPRESSIONS, Event, FaceFacts
from ma2mi.spotting import BEGUN, Spotted, Spotter, SpottingSettings
from ma2mi.video import FrameSteps

if TYPE_CHECKING:
    from ma2mi.training.recognizer import Recognizer
    from ma2mi.video import Frame

Image = NDArray[np.uint8]

NEAR_S = 0.16  # landmarks so near to onset or apex are put together
OLDER_EVERY_S = 0.2  # of crops older than the longest movement pulse, one in so long is kept
COVERED = 0.5  # of the looks during a movement: what its area shows then is not the face
MASKED = ("mouth", "nose")
"""Areas of which it is known well enough that something lies over them. Light brows are taken for
hidden ones in some people in every look (``face.occlusion``): brows and eyes only get a flag."""
LAG_S = 0.12  # the curve in frames.csv is the movement against this long before


class AnalysisSettings(BaseModel):
    """What an analysis depends on, but for the weights.

    Args:
        most_faces: followed at a time, the largest.
        rate: movement is measured so many times a second, or up to a ninth more; of faster
            videos, frames are averaged.
        landmark_rate: faces are looked at in so many frames a second at most, on average; in those
            between them a face counts as seen where it was. A blink lasts 0.1 s or more.
        spotting: when a movement counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    most_faces: int = Field(4, ge=1)
    rate: float = Field(60.0, gt=0)
    landmark_rate: float = Field(20.0, gt=0)
    spotting: SpottingSettings = SpottingSettings()

    @property
    def memory_s(self) -> float:
        """How long crops are kept: until the longest movement has been reported."""
        return self.spotting.delay_s + self.spotting.longest_s

    @property
    def long_memory_s(self) -> float:
        """How long few crops and the landmarks are kept: until a held expression was reported."""
        return self.spotting.floor_memory_s


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """One frame and the faces in it.

    Args:
        index, time_s: of the frame; seconds after the first.
        image: uint8 [H, W, 3].
        faces: number to face.
        crops: number to steady crop, uint8 [128, 128, 3]; none of landmarks in a heap.
        warps: number to the crop's warp, float64 [2, 3].
        cut: whether this frame begins another shot.
        ended: numbers of the faces that never return.
    """

    index: int
    time_s: float
    image: Image
    faces: dict[int, Face]
    crops: dict[int, Image]
    warps: dict[int, Warp]
    cut: bool = False
    ended: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class DecidedEvent:
    """An event with what it was read from; None where the crops are no longer there."""

    event: Event
    evidence: Evidence | None


class VideoAnalyzer:
    """Takes the frames of one video or camera and gives events with bounded delay.

    ``detect`` and ``measure`` are the two halves of ``push``: the first cuts the faces out, the second
    measures them, and each may run in a thread of its own, as long as frames keep their order.

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
        """By the usual step between frames; 25, as ffmpeg has it, of a single frame."""
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

    def measure(self, detected: DetectedFrame) -> list[DecidedEvent]:
        """Measure what moved; the events that are decided by now, by rising onset."""
        self._steps.push(detected.time_s)
        self.frames += 1
        self.last_s = detected.time_s
        self.height, self.width = detected.image.shape[:2]
        found: list[DecidedEvent] = []
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

    def push(self, frame: Frame) -> list[DecidedEvent]:
        """The next frame; the events that are decided by now."""
        return self.measure(self.detect(frame))

    def finish(self) -> list[DecidedEvent]:
        """The events that are still undecided at the end."""
        found = []
        for face_analyzer in self._analyzers.values():
            found += self._decide(face_analyzer, face_analyzer.finish())
        return found

    def _decide(self, face: FaceAnalyzer, spotted: list[Spotted]) -> list[DecidedEvent]:
        found = []
        for one in spotted:
            self._decided += 1
            found.append(face.decide(one, self._decided, self.recognizer))
        return found


class _FrameTime(NamedTuple):
    """A frame with this face."""

    frame: int
    time_s: float


class _Landmarks(NamedTuple):
    """Landmarks that were found anew: in the face's own frame, and in the crop, px."""

    frame: int
    time_s: float
    own: NDArray[np.float32]
    crop: NDArray[np.float32]


class FaceAnalyzer:
    """One face: its movement, its newest crops, and what sums it up.

    Attributes:
        row: of ``frames.csv``, for the newest frame with this face.
    """

    def __init__(self, face_id: int, settings: AnalysisSettings) -> None:
        self.face_id = face_id
        self.settings = settings
        self.row: dict[str, Any] = {}
        self.frames = 0
        self.first_s = self.last_s = 0.0
        self.sizes = Sample()
        self._meter = RegionTracker(CROP, rate=settings.rate)
        self._quality = QualityMonitor()
        self._spotter = Spotter(settings.spotting)
        self._crops: deque[tuple[int, float, Image]] = deque()
        self._older_crops: deque[tuple[int, float, Image]] = deque()
        self._times: deque[_FrameTime] = deque()
        self._landmarks: deque[_Landmarks] = deque()
        self._displacements: deque[tuple[float, NDArray[np.float64]]] = deque()
        self._gone = True
        self._newest: Face | None = None
        self._shape: Shape | None = None

    def push(self, detected: DetectedFrame, face: Face | None) -> list[Spotted]:
        """The next frame, with the face or without it; after ``end_lost``."""
        found: list[Spotted] = []
        self._forget(detected.time_s)
        with suppress(FaceError):  # too small, or outside the image: counted, not looked at
            self._quality.push(detected.image, face, detected.time_s)
        crop = detected.crops.get(self.face_id)
        if face is None or crop is None:
            return found
        if not self.frames:
            self.first_s = detected.time_s
        self.frames += 1
        self.last_s = detected.time_s
        self._gone = False
        self._crops.append((detected.index, detected.time_s, crop))
        self._times.append(_FrameTime(detected.index, detected.time_s))
        right, left = face.points[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]].astype(np.float64)
        self.sizes.add(float(np.hypot(*(left - right))))
        x0, y0, x1, y1 = face.box
        self.row = {
            "frame": detected.index,
            "face_id": self.face_id,
            "timestamp": detected.time_s,
            "confidence": face.confidence,
            "success": 1,
            "face_x": x0,
            "face_y": y0,
            "face_w": x1 - x0,
            "face_h": y1 - y0,
        }
        try:
            sample = self._meter.push(detected.image, face, detected.time_s, detected.index)
        except MotionError:
            return found  # a blank frame, or a face half outside: nothing to measure
        if sample is None:
            return found
        self._add_curve(sample)
        anew = face is not self._newest  # between two looks a face counts as it was
        self._newest, self._shape = face, face_shape(face) if anew else self._shape
        shape = self._shape
        if shape is not None and anew:
            crop_points = warp_points(face.points, detected.warps[self.face_id]).astype(np.float32)
            self._landmarks.append(
                _Landmarks(detected.index, detected.time_s, shape.points, crop_points)
            )
        return found + self._spotter.push(
            sample.time_s,
            sample.displacements,
            openings=openings(face) if shape is None else (shape.eye, shape.mouth),
            frame=sample.frame,
            head=sample.head,
            shape=shape if anew else None,
        )

    def cut(self) -> list[Spotted]:
        """Another shot begins: end what is undecided, and measure anew from the next frame on."""
        found = self._spotter.finish()
        self._spotter.reset()
        self._meter.forget()
        self._displacements.clear()
        self._gone = True
        return found

    def facts(self, frames: int | None = None) -> FaceFacts:
        """What sums this face up, and whether it is seen well enough.

        Args:
            frames: of the whole recording; by default since the face was first seen.
        """
        suitability = self._quality.assess(frames)
        return FaceFacts(
            self.face_id,
            self.frames,
            self.first_s,
            self.last_s,
            float(np.median(self.sizes.values)) if self.sizes.values else 0.0,
            suitability.level,
            suitability.reasons,
            {name: round(float(value), 6) for name, value in suitability.values.items()},
        )

    @property
    def knows_neutral(self) -> bool:
        """Whether this face was seen in the stretch that was named neutral."""
        return self._spotter.knows_neutral

    def finish(self) -> list[Spotted]:
        """The events still undecided."""
        return self._spotter.finish()

    def decide(
        self, spotted: Spotted, event_id: int, recognizer: Recognizer | None
    ) -> DecidedEvent:
        """Look at what was spotted frame by frame, and have it read."""
        examined = spotted.kind in EXPRESSIONS and not spotted.reason
        evidence = self._examine(spotted) if examined else None
        onset, apex, offset = spotted.onset, spotted.apex, spotted.offset
        onset_s, apex_s, offset_s = (self._time_of(frame) for frame in (onset, apex, offset))
        reading, flags, reason = None, [], spotted.reason
        hidden = self._quality.hidden_between(onset_s, offset_s)
        behind = {region for area in hidden for region in AREAS[area]}
        moving = tuple(region for region in spotted.regions if region not in behind)
        covered = self._quality.hidden_between(onset_s, offset_s, share=COVERED) if examined else ()
        areas = [one for one in MASKED if one in covered and spotted.regions[0] in AREAS[one]]
        if areas:
            # What moves there is the mask or the hand.
            reason = f"led by the {areas[0]}, which is hidden"
        if evidence is not None:
            if evidence.implausible:
                flags.append("too large for skin: hand or head?")
            elif recognizer is not None and moving == spotted.regions:
                reading = recognise(evidence, recognizer, f"face{self.face_id}@{onset}")
                if hidden:
                    reading = without_areas(reading, hidden)
                    flags.append(f"read without what is hidden: {', '.join(hidden)}")
        elif examined:
            flags.append("not examined")
        moves = {"blink": AREAS["eyes"], "speech": AREAS["mouth"]}.get(
            spotted.kind, spotted.regions
        )
        flags += [f"{area} hidden meanwhile" for area in hidden if set(AREAS[area]) & set(moves)]
        flags += spotted.flags
        seen = sum(onset <= look.frame <= offset for look in self._times)
        if seen < 0.9 * (offset - onset + 1):
            flags.append("face lost meanwhile")
        event = Event(
            event_id,
            self.face_id,
            spotted.kind,
            onset,
            apex,
            offset,
            onset_s,
            apex_s,
            offset_s,
            round(spotted.score, 6),
            round(spotted.floor_multiple, 6),
            moving or spotted.regions,
            reading,
            tuple(flags),
            reason,
        )
        return DecidedEvent(event, evidence)

    def end_lost(self, time_s: float) -> list[Spotted]:
        """What is decided because the face has been gone too long by now: it will start anew."""
        if self._gone or time_s - self.last_s <= self.settings.spotting.gap_s:
            return []
        if self._step_s() * 2.5 >= time_s - self.last_s:
            return []
        self._gone = True
        self._meter.forget()
        self._displacements.clear()
        return self._spotter.finish()

    def _forget(self, time_s: float) -> None:
        """Forget what is too old."""
        while self._crops and time_s - self._crops[0][1] > self.settings.memory_s:
            crop = self._crops.popleft()
            if not self._older_crops or crop[1] - self._older_crops[-1][1] >= OLDER_EVERY_S:
                self._older_crops.append(crop)
        oldest_s = time_s - self.settings.long_memory_s
        while self._older_crops and self._older_crops[0][1] < oldest_s:
            self._older_crops.popleft()
        while self._times and self._times[0].time_s < oldest_s:
            self._times.popleft()
        while self._landmarks and self._landmarks[0].time_s < oldest_s:
            self._landmarks.popleft()

    def _step_s(self) -> float:
        """Seconds from frame to frame, lately."""
        times = [look.time_s for look in islice(reversed(self._times), 8)]
        return float(np.median(-np.diff(times))) if len(times) > 1 else 0.0

    def _add_curve(self, sample: RegionSample) -> None:
        """Movement of each region over the last ``LAG_S``, into the row."""
        time_s, displacements = sample.time_s, np.array(list(sample.displacements.values()))
        self._displacements.append((time_s, displacements))
        while len(self._displacements) > 1 and time_s - self._displacements[1][0] >= LAG_S - 1e-6:
            self._displacements.popleft()
        if time_s - self._displacements[0][0] < 0.6 * LAG_S:
            return
        moved = np.hypot(*(displacements - self._displacements[0][1]).T)
        self.row |= {f"{name}_px": float(px) for name, px in zip(REGIONS, moved, strict=True)}
        self.row["movement_px"] = float(np.sort(moved)[-3:].mean())

    def _examine(self, spotted: Spotted) -> Evidence | None:
        crops = (*self._older_crops, *self._crops)
        kept = [crop for crop in crops if spotted.onset <= crop[0] <= spotted.offset]
        if len(kept) < 3:
            return None
        stretch = thin_out(Stretch([k[0] for k in kept], np.stack([k[2] for k in kept])))
        field = self._by_landmarks(spotted) if spotted.by_landmarks else None
        try:
            return examine(stretch, (spotted.onset, spotted.apex, spotted.offset), field)
        except MotionError:
            return None  # crops that show nothing: the event stays as it was spotted

    def _by_landmarks(self, spotted: Spotted) -> NDArray[np.float32] | None:
        """What landmarks did from onset to apex, [128, 128, 2]; the median of some looks each."""
        onset_s, apex_s = self._time_of(spotted.onset), self._time_of(spotted.apex)
        rest_s = -NEAR_S, 0.0
        if BEGUN in spotted.flags:  # the way back shows what it was
            onset_s, rest_s = self._time_of(spotted.offset), (0.0, NEAR_S)
        before = [o for o in self._landmarks if rest_s[0] <= o.time_s - onset_s <= rest_s[1]]
        at = [one for one in self._landmarks if abs(one.time_s - apex_s) <= NEAR_S / 2]
        if not before or not at:
            return None
        moved = np.median([one.own for one in at], 0) - np.median([one.own for one in before], 0)
        return landmark_flow(before[-1].crop, moved, (CROP.size, CROP.size))

    def _time_of(self, frame: int) -> float:
        """When a frame was seen; of frames without this face, the nearest's."""
        numbers = [look.frame for look in self._times]
        at = min(bisect_left(numbers, frame), len(numbers) - 1)
        if at > 0 and frame - numbers[at - 1] < numbers[at] - frame:
            at -= 1
        return self._times[at].time_s


class FinishedFace:
    """What is kept of a face that never returns.

    Attributes:
        knows_neutral: as of :class:`FaceAnalyzer`.
    """

    def __init__(self, face: FaceAnalyzer) -> None:
        self.knows_neutral = face.knows_neutral
        self._facts = face.facts(1)  # "present" counts its frames

    def facts(self, frames: int) -> FaceFacts:
        """As :meth:`FaceAnalyzer.facts`."""
        quality = dict(self._facts.quality)
        if "present" in quality:
            quality["present"] = round(quality["present"] / max(frames, 1), 6)
        return replace(self._facts, quality=quality)


class Sample:
    """Evenly spread values of a long series, at most 1024, for medians in constant memory."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._every, self._count = 1, 0

    def add(self, value: float) -> None:
        if self._count % self._every == 0:
            self.values.append(value)
            if len(self.values) > 1024:
                self.values = self.values[::2]
                self._every *= 2
        self._count += 1


def watch_frames(
    frames: Iterable[Frame],
    *,
    recognizer: Recognizer | None = None,
    detector: Detector | None = None,
    settings: AnalysisSettings | None = None,
    candidates: bool = False,
) -> Iterator[Event]:
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
    if detector is None:
        from ma2mi.face.detect import FaceDetector

        detector = FaceDetector()
    analyzer = VideoAnalyzer(detector, recognizer, settings)

    def wanted(found: list[DecidedEvent]) -> Iterator[Event]:
        return (one.event for one in found if candidates or not one.event.reason)

    for frame in frames:
        yield from wanted(analyzer.push(frame))
    yield from wanted(analyzer.finish())
