"""Several faces tracked through a video, each under a number of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import FaceError
from ma2mi.face.align import Template, estimate_warp, warp_image
from ma2mi.face.boxes import Box, iou
from ma2mi.face.cuts import CutDetector
from ma2mi.face.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Face

Patch = NDArray[np.float32]

DETECT_S = 1.0  # further faces are detected this often while one is tracked
SEARCH_S = 0.2  # and this often while there is none
THOROUGH_S = 3.0  # and this often for small ones beside it, which takes ten times as long
FULL_S = 5.0  # and this often for faces beyond the number that may be tracked
NEAR_S = 1.0  # a face that is back at its position within this time is the same one
ALIKE = 0.75  # correlation of small portraits above which a returning face is the same one
CLEARLY_ALIKE = 0.85  # and after a cut; portraits of two subjects reached 0.79 in 20 real clips
REMEMBERED = 16  # faces that have left; older ones come back as new ones
# How a face differs across a frame that changed unusually: the way of its stable points in eye
# distances, in units of JUMP and 0.8 at most, plus what its portrait lacks of correlation 1, in
# units of UNLIKE; all times how unusual the change is. On real clips of 30 frames a second this
# reaches 1.9 within a shot (frames get lost while a hand or the head moves), and 2.5 at the least
# where two clips of the same subject at the same position are joined. Another subject differs much
# more.
JUMP, UNLIKE = 0.1, 0.05
MOST_JUMP = 0.8
OTHER = 2.2
OTHER_STEP_S = 1 / 30  # for a longer step between frames the limit rises in proportion
_DRIFT = 0.06  # of the face's width: beyond it the landmark net is applied at the new position
_PORTRAIT = Template(size=32)


class Detector(Protocol):
    """What :class:`ma2mi.face.detect.FaceDetector` does."""

    def detect(self, image: Image, known: Sequence[Face] = ()) -> list[Face]: ...

    def follow(self, image: Image, face: Face) -> Face | None: ...


@dataclass(eq=False)
class _Track:
    face_id: int
    anchor: Face  # where the net is applied: held, so that its own jitter cannot feed itself
    newest: Face
    portrait: Patch
    seen_s: float
    shot: int  # in which it was seen
    due_s: float = -np.inf  # when the net is applied again
    frames: int = field(default=1)


class FaceTracker:
    """Numbers faces from 0 in the order in which they appear.

    A face is tracked from frame to frame. One that was lost and is found again keeps its number
    if it is back at its position at once, or looks like the one that left: small aligned portraits
    are correlated. That separates most subjects of one recording; it is not face recognition, and
    a wrong number is possible.

    A hard cut ends all tracks: where the picture changes unusually (``cuts.CutDetector``)
    and a face with it, or no face is tracked. After a cut a face keeps its number only if it
    looks like one that was there, wherever it is.

    Args:
        detector: finds and tracks.
        most: faces tracked at a time, the largest.
        rate: landmark detections of a face a second, on average; between them it stays as it was.

    Attributes:
        cut: whether the newest frame begins another shot, so that nothing before it can be
            compared with it.
        cuts: how many there were so far.
        ended: numbers of the faces that were forgotten at the newest frame: they never return.
        passed_over: the largest number of further faces that were seen at a time beyond ``most``.
    """

    def __init__(self, detector: Detector, most: int = 4, rate: float = np.inf) -> None:
        self.detector = detector
        self.most = most
        self.rate = rate
        self._active: list[_Track] = []
        self._lost: list[_Track] = []
        self._count = 0
        self._detected_s = self._thorough_s = -np.inf
        self.cut = False
        self.cuts = 0
        self.ended: tuple[int, ...] = ()
        self.passed_over = 0
        self._cut_detector = CutDetector()
        self._before: tuple[Image, float] | None = None

    def push(self, image: Image, time_s: float) -> dict[int, Face]:
        """The faces of the next frame: number to face, the oldest first."""
        self.ended = ()
        unusual = self._cut_detector.push(image, time_s)
        self.cut = unusual > 0 and self._is_other(image, time_s, unusual)
        self._before = image, time_s
        if unusual:
            self._cut_detector.decide(is_cut=self.cut)
        if self.cut:
            self._begin_shot()
        missed = self._follow(image, time_s)
        full = len(self._active) >= self.most
        wait = FULL_S if full else DETECT_S if self._active else SEARCH_S
        if missed or time_s - self._detected_s >= wait:
            self._detected_s = time_s
            self._detect(image, time_s, missed=missed)
        return {track.face_id: track.newest for track in self._active}

    def _is_other(self, image: Image, time_s: float, unusual: float) -> bool:
        """Whether a face changed, too, since the frame before, or none is tracked."""
        if self._before is None:
            return False
        before, before_s = self._before
        limit = OTHER * max(1.0, (time_s - before_s) / OTHER_STEP_S) / unusual
        for track in self._active:
            old = self.detector.follow(before, track.anchor)
            new = None if old is None else self.detector.follow(image, old)
            if old is None or new is None:
                return True
            if difference(before, old, image, new, self._cut_detector.shift) > limit:
                return True
        return not self._active

    def _begin_shot(self) -> None:
        """All tracks end, and positions of faces are void."""
        self.cuts += 1
        self._lose(self._active)
        self._active = []
        self._detected_s = -np.inf

    def _follow(self, image: Image, time_s: float) -> bool:
        """Track all faces; whether one got lost."""
        kept: list[_Track] = []
        for track in self._active:
            if time_s < track.due_s:
                kept.append(track)
                continue
            track.due_s = max(track.due_s, time_s - 1 / self.rate) + 1 / self.rate
            face = self.detector.follow(image, track.anchor)
            if face is None or any(iou(face.box, other.newest.box) > 0.5 for other in kept):
                self._lose([track])
                continue
            track.newest, track.seen_s = face, time_s
            track.frames += 1
            if _moved(track.anchor.box, face.box) > _DRIFT:
                track.anchor = face
            kept.append(track)
        missed = len(kept) < len(self._active)
        self._active = kept
        return missed

    def _lose(self, tracks: list[_Track]) -> None:
        """They may return; of too many the oldest are forgotten."""
        lost = [*self._lost, *tracks]
        self._lost = lost[-REMEMBERED:]
        self.ended += tuple(track.face_id for track in lost[:-REMEMBERED])

    def _detect(self, image: Image, time_s: float, *, missed: bool) -> None:
        passed_over: list[Face] = []
        search = self.detector.detect
        if not missed and self._active and time_s - self._thorough_s < THOROUGH_S:
            search = getattr(self.detector, "detect_fast", search)
        else:
            self._thorough_s = time_s
        for face in search(image, [track.newest for track in self._active]):
            if any(iou(face.box, track.newest.box) > 0.2 for track in self._active):
                continue
            if len(self._active) >= self.most:
                if not any(iou(face.box, other.box) > 0.2 for other in passed_over):
                    passed_over.append(face)
                continue
            try:
                patch = portrait(image, face)
            except FaceError:
                continue  # degenerate landmarks: not a face
            track = self._known(face, patch, time_s)
            if track is None:
                track = _Track(self._count, face, face, patch, time_s, self.cuts)
                self._count += 1
            else:
                self._lost.remove(track)
                track.anchor = track.newest = face
                track.seen_s, track.shot = time_s, self.cuts
                track.portrait = 0.7 * track.portrait + 0.3 * patch
            self._active.append(track)
        self.passed_over = max(self.passed_over, len(passed_over))

    def _known(self, face: Face, patch: Patch, time_s: float) -> _Track | None:
        """The one that left, if this is it."""
        best, most = None, 0.0
        for track in self._lost:
            likeness = alike(patch, track.portrait)
            if track.shot != self.cuts:
                likeness -= CLEARLY_ALIKE - ALIKE
            elif time_s - track.seen_s <= NEAR_S and iou(face.box, track.newest.box) > 0.3:
                likeness += 1
            if likeness > max(most, ALIKE):
                best, most = track, likeness
        return best


def default_detector() -> Detector:
    """The detector that ships with the package; loads its nets."""
    from ma2mi.face.detect import FaceDetector

    return FaceDetector()


def portrait(image: Image, face: Face) -> Patch:
    """A small grey picture of a face, float32 [32 * 32], mean 0 and length 1."""
    crop = warp_image(image, estimate_warp(face, _PORTRAIT), _PORTRAIT)
    grey = crop.mean(axis=2, dtype=np.float32).ravel()
    grey -= grey.mean()
    unit: Patch = grey / max(float(np.linalg.norm(grey)), 1e-6)
    return unit


def difference(
    before: Image, old: Face, image: Image, new: Face, shift: tuple[float, float] = (0.0, 0.0)
) -> float:
    """How much a face changed between two frames; 0 is not at all. See ``JUMP``.

    Args:
        before, image: uint8 [H, W, 3].
        old, new: the face in each.
        shift: of the whole picture meanwhile, x and y as shares of its sides.
    """
    anchors = [index for index, _, _ in _PORTRAIT.anchors]
    way = new.points[anchors] - old.points[anchors]
    along = way - np.array(shift) * image.shape[1::-1]
    right, left = old.points[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    unit = max(float(np.hypot(*(left - right))), 1e-6)
    jump = min(float(np.abs(way).max()), float(np.abs(along).max())) / unit
    try:
        likeness = alike(portrait(before, old), portrait(image, new))
    except FaceError:
        return np.inf  # degenerate landmarks: not a face
    return min(jump / JUMP, MOST_JUMP) + (1 - likeness) / UNLIKE


def alike(one: Patch, other: Patch) -> float:
    """Correlation of two portraits, in [-1, 1]."""
    return float(one @ other / max(float(np.linalg.norm(other)), 1e-6))


def _moved(a: Box, b: Box) -> float:
    """How far the edges went, as a share of the width."""
    width = max(a[2] - a[0], 1e-6)
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) / width
