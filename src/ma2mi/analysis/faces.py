"""Several faces followed through a video, each under a number of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import FaceError
from ma2mi.face.align import Template, estimate_warp, warp_image
from ma2mi.face.detect import Box, Face

Image = NDArray[np.uint8]
Patch = NDArray[np.float32]

LOOK_S = 1.0  # a look for further faces this often while one is followed
SEARCH_S = 0.2  # and this often while there is none
NEAR_S = 1.0  # a face that is back at its place within this time is the same one
ALIKE = 0.75  # correlation of small portraits above which a returning face is the same one
REMEMBERED = 16  # faces that have left; older ones come back as new ones
_DRIFT = 0.06  # of the face's width: beyond it the landmark net looks at the new place
_PORTRAIT = Template(size=32)


class Detector(Protocol):
    """What :class:`ma2mi.face.detect.FaceDetector` does."""

    def detect(self, image: Image, known: Sequence[Face] = ()) -> list[Face]: ...

    def follow(self, image: Image, face: Face) -> Face | None: ...


@dataclass(eq=False)
class _Track:
    face_id: int
    anchor: Face  # where the net looks: held, so that its own jitter cannot feed itself
    newest: Face
    portrait: Patch
    seen_s: float
    due_s: float = -np.inf  # when the net shall look again
    frames: int = field(default=1)


class FaceTracker:
    """Numbers faces from 0 in the order in which they appear.

    A face is followed from frame to frame. One that was lost and is found again keeps its number
    if it is back at its place at once, or looks like the one that left: small aligned portraits
    are correlated. That tells people in one recording apart, usually; it is no face recognition,
    and a wrong number is possible.

    Args:
        detector: finds and follows.
        most: faces followed at a time, the largest.
        rate: looks at a face in a second, on average; in frames between them it stays as it was.
    """

    def __init__(self, detector: Detector, most: int = 4, rate: float = np.inf) -> None:
        self.detector = detector
        self.most = most
        self.rate = rate
        self._active: list[_Track] = []
        self._lost: list[_Track] = []
        self._count = 0
        self._looked_s = -np.inf

    def push(self, image: Image, time_s: float) -> dict[int, Face]:
        """The faces of the next frame: number to face, the oldest first."""
        missed = self._follow(image, time_s)
        wait = LOOK_S if self._active else SEARCH_S
        if (missed or time_s - self._looked_s >= wait) and len(self._active) < self.most:
            self._looked_s = time_s
            self._look(image, time_s)
        return {track.face_id: track.newest for track in self._active}

    def _follow(self, image: Image, time_s: float) -> bool:
        """Follow all; whether one got lost."""
        kept: list[_Track] = []
        for track in self._active:
            if time_s < track.due_s:
                kept.append(track)
                continue
            track.due_s = max(track.due_s, time_s - 1 / self.rate) + 1 / self.rate
            face = self.detector.follow(image, track.anchor)
            if face is None or any(overlap(face.box, other.newest.box) > 0.5 for other in kept):
                self._lost = [*self._lost, track][-REMEMBERED:]
                continue
            track.newest, track.seen_s = face, time_s
            track.frames += 1
            if _moved(track.anchor.box, face.box) > _DRIFT:
                track.anchor = face
            kept.append(track)
        missed = len(kept) < len(self._active)
        self._active = kept
        return missed

    def _look(self, image: Image, time_s: float) -> None:
        for face in self.detector.detect(image, [track.newest for track in self._active]):
            taken = any(overlap(face.box, track.newest.box) > 0.2 for track in self._active)
            if taken or len(self._active) >= self.most:
                continue
            try:
                look = portrait(image, face)
            except FaceError:
                continue  # landmarks in a heap: no face
            track = self._known(face, look, time_s)
            if track is None:
                track = _Track(self._count, face, face, look, time_s)
                self._count += 1
            else:
                self._lost.remove(track)
                track.anchor = track.newest = face
                track.seen_s = time_s
                track.portrait = 0.7 * track.portrait + 0.3 * look
            self._active.append(track)

    def _known(self, face: Face, look: Patch, time_s: float) -> _Track | None:
        """The one that left, if this is it."""
        likeness = {id(track): alike(look, track.portrait) for track in self._lost}
        for track in self._lost:
            if time_s - track.seen_s <= NEAR_S and overlap(face.box, track.newest.box) > 0.3:
                likeness[id(track)] += 1
        best = max(self._lost, key=lambda track: likeness[id(track)], default=None)
        return best if best is not None and likeness[id(best)] >= ALIKE else None


def portrait(image: Image, face: Face) -> Patch:
    """A small grey picture of a face, float32 [32 * 32], mean 0 and length 1."""
    crop = warp_image(image, estimate_warp(face, _PORTRAIT), _PORTRAIT)
    grey = crop.mean(axis=2, dtype=np.float32).ravel()
    grey -= grey.mean()
    unit: Patch = grey / max(float(np.linalg.norm(grey)), 1e-6)
    return unit


def alike(one: Patch, other: Patch) -> float:
    """Correlation of two portraits, in [-1, 1]."""
    return float(one @ other / max(float(np.linalg.norm(other)), 1e-6))


def overlap(a: Box, b: Box) -> float:
    """Shared area of two boxes over the area of both, in [0, 1]."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0 else 0.0


def _moved(a: Box, b: Box) -> float:
    """How far the edges went, as a share of the width."""
    width = max(a[2] - a[0], 1e-6)
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) / width
