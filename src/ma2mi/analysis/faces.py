"""One face of a running video: its movement, its newest crops, and its events."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ma2mi.analysis.evidence import Evidence, Stretch, examine, recognise, thin_out, without_areas
from ma2mi.analysis.settings import AnalysisSettings
from ma2mi.arrays import Flow, Image
from ma2mi.errors import FaceError, MotionError
from ma2mi.face.align import Warp, warp_points
from ma2mi.face.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Face
from ma2mi.face.occlusion import AREAS
from ma2mi.face.quality_monitor import QualityMonitor
from ma2mi.face.stabilize import CROP
from ma2mi.motion import REGIONS
from ma2mi.motion.region_tracker import RegionSample, RegionTracker, openings
from ma2mi.motion.shape import Shape, face_shape, landmark_flow
from ma2mi.records import EXPRESSIONS, DetectedEvent, FaceFacts
from ma2mi.spotting import BEGUN, Spotted, Spotter

if TYPE_CHECKING:
    from ma2mi.training.recognizer import Recognizer

NEAR_S = 0.16  # landmarks so near to onset or apex are put together
OLDER_EVERY_S = 0.2  # of crops older than the longest movement pulse, one in so long is kept
COVERED = 0.5  # of the samples during a movement: its area then does not show the face
MASKED = ("mouth", "nose")
"""Areas of which it is certain enough that something covers them. In some subjects light brows
count as hidden in every sample (``face.occlusion``): hidden brows and eyes only get a flag."""
LAG_S = 0.12  # the curve in frames.csv is the movement against this long before


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
class ExaminedEvent:
    """An event with its evidence; None where the crops are no longer there."""

    event: DetectedEvent
    evidence: Evidence | None


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
        self.sizes = ValueSample()
        self._tracker = RegionTracker(CROP, rate=settings.rate)
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
        with suppress(FaceError):  # too small, or outside the image: counted, not measured
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
        self.row = _row(detected, self.face_id, face)
        try:
            sample = self._tracker.push(detected.image, face, detected.time_s, detected.index)
        except MotionError:
            return found  # a blank frame, or a face half outside: nothing to measure
        if sample is None:
            return found
        self._add_curve(sample)
        anew = face is not self._newest  # between two detections a face counts as it was
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
        self._tracker.forget()
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
    ) -> ExaminedEvent:
        """Examine what was spotted frame by frame, and recognise it."""
        examined = spotted.kind in EXPRESSIONS and not spotted.reason
        evidence = self._examine(spotted) if examined else None
        frames = spotted.onset, spotted.apex, spotted.offset
        onset_s, apex_s, offset_s = (self._time_of(frame) for frame in frames)
        hidden = self._quality.hidden_between(onset_s, offset_s)
        behind = {region for area in hidden for region in AREAS[area]}
        moving = tuple(region for region in spotted.regions if region not in behind)
        reading, flags = None, ["not examined"] if examined and evidence is None else []
        if evidence is not None and evidence.implausible:
            flags.append("too large for skin: hand or head?")
        elif evidence is not None and recognizer is not None and moving == spotted.regions:
            reading = recognise(evidence, recognizer, f"face{self.face_id}@{spotted.onset}")
            if hidden:
                reading = without_areas(reading, hidden)
                flags.append(f"read without what is hidden: {', '.join(hidden)}")
        event = DetectedEvent(
            spotted.kind,
            *frames,
            event_id=event_id,
            face=self.face_id,
            onset_s=onset_s,
            apex_s=apex_s,
            offset_s=offset_s,
            score=round(spotted.score, 6),
            floor_multiple=round(spotted.floor_multiple, 6),
            regions=moving or spotted.regions,
            reading=reading,
            flags=(*flags, *self._flags(spotted, hidden)),
            reason=self._covered(spotted, onset_s, offset_s) if examined else spotted.reason,
        )
        return ExaminedEvent(event, evidence)

    def _flags(self, spotted: Spotted, hidden: Sequence[str]) -> Iterator[str]:
        """What happens during an event: areas that are hidden, what was spotted, a lost face."""
        areas = {"blink": AREAS["eyes"], "speech": AREAS["mouth"]}
        moves = areas.get(spotted.kind, spotted.regions)
        yield from (f"{area} hidden meanwhile" for area in hidden if set(AREAS[area]) & set(moves))
        yield from spotted.flags
        seen = sum(spotted.onset <= one.frame <= spotted.offset for one in self._times)
        if seen < 0.9 * (spotted.offset - spotted.onset + 1):
            yield "face lost meanwhile"

    def _covered(self, spotted: Spotted, onset_s: float, offset_s: float) -> str:
        """Why an event is not one of the face, "" if it is: a mask or a hand moves there."""
        covered = self._quality.hidden_between(onset_s, offset_s, share=COVERED)
        areas = [one for one in MASKED if one in covered and spotted.regions[0] in AREAS[one]]
        return f"led by the {areas[0]}, which is hidden" if areas else ""

    def end_lost(self, time_s: float) -> list[Spotted]:
        """What is decided because the face has been gone too long by now: it will start anew."""
        if self._gone or time_s - self.last_s <= self.settings.spotting.gap_s:
            return []
        if self._step_s() * 2.5 >= time_s - self.last_s:
            return []
        self._gone = True
        self._tracker.forget()
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
        times = [one.time_s for one in islice(reversed(self._times), 8)]
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

    def _by_landmarks(self, spotted: Spotted) -> Flow | None:
        """Flow by landmarks from onset to apex, [128, 128, 2], medians of some detections."""
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
        numbers = [one.frame for one in self._times]
        at = min(bisect_left(numbers, frame), len(numbers) - 1)
        if at > 0 and frame - numbers[at - 1] < numbers[at] - frame:
            at -= 1
        return self._times[at].time_s


def _row(detected: DetectedFrame, face_id: int, face: Face) -> dict[str, Any]:
    """The row of ``frames.csv`` as far as detection knows it."""
    x0, y0, x1, y1 = face.box
    return {
        "frame": detected.index,
        "face_id": face_id,
        "timestamp": detected.time_s,
        "confidence": face.confidence,
        "success": 1,
        "face_x": x0,
        "face_y": y0,
        "face_w": x1 - x0,
        "face_h": y1 - y0,
    }


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


class ValueSample:
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
