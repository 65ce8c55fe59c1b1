"""Displacements of the regions of a face in a video of any length, in constant memory."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image, Points
from ma2mi.errors import MotionError
from ma2mi.face.align import Template, Warp, estimate_warp, warp_image, warp_points
from ma2mi.face.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Face
from ma2mi.motion.clip_flow import grey, matched
from ma2mi.motion.head_motion import remove_rigid, stable_weights
from ma2mi.motion.regions import REGIONS, face_mask, region_mask
from ma2mi.motion.shape import EYELIDS, LIPS
from ma2mi.motion.thin_plate import FlowSettings, Onset, downsample, upsample

KEY_EVERY_S = 1.0
BLINKING = 0.75  # of the typical opening: a closed eye is no reference for an open one
KEY_SHIFT = 0.1  # head motion, of the crop's side, after which a new reference is taken
LOST = 0.08  # of the crop's side: head motion by flow and by landmarks may differ so far
TRACKER_FLOW = FlowSettings(presmooth_px=0.4, warps=1, curvature=1e-3)
"""One warp, since each frame starts where the last one ended; a stiffness that does not follow the
frame, since a flow that sees noise in one frame and movement in the next cannot be held against
the noise of a minute."""


class Openings(NamedTuple):
    """How far eyes and mouth are open, in shares of the distance between the eyes' outer corners.

    Args:
        eye: mean of both eyes, lid to lid.
        mouth: lip to lip.
    """

    eye: float
    mouth: float


def openings(face: Face) -> Openings:
    """Measured on the landmarks: coarse, but a blink or a spoken word is large."""
    points = face.points.astype(np.float64)
    unit = max(_apart(points, (RIGHT_EYE_OUTER, LEFT_EYE_OUTER)), 1e-6)
    eyes = [_apart(points, pair) for pair in EYELIDS]
    return Openings(sum(eyes) / len(eyes) / unit, _apart(points, LIPS) / unit)


def _apart(points: Points, pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))


class RegionSample(NamedTuple):
    """Displacements of all regions at one time.

    Args:
        frame, time_s: of the sample; where several frames were averaged, the middle one's.
        displacements: each of ``REGIONS`` to its displacement (right, down) in px of the crop, from
            the first frame on.
        head: likewise where the head has gone, the middle of the crop.
    """

    frame: int
    time_s: float
    displacements: dict[str, tuple[float, float]]
    head: tuple[float, float]


class RegionTracker:
    r"""Movement of one face's regions against a reference frame that follows the head.

    ::

        time       0 s          1 s          2 s
        frames     | | | | | | || | | | | | || | | |
        reference  K------------K------------K------      flow runs from K to each frame
        moved      0 ..........p1 ..........p2 .....      the new K starts where the old one ended

    Within a stretch all frames are cut out by one warp, moved by what the head has done since: so
    landmarks add no jitter, and the flow measures small movements only, whose error is small. What
    is left of the head's motion is taken out of the flow. Displacements are chained at the
    references, so they drift slowly (a random walk of the flow's error, a step a second); brief
    movements are kept: compare them with the time around them.

    Args:
        template: the crop that movement is measured in; its side sets the scale of a pixel.
        settings: of the flow; by default ``TRACKER_FLOW``.
        rate: samples a second, or up to a ninth more. Where frames come faster, those of a sample
            are averaged, which takes their noise down: at 200 frames a second and a rate of 60
            always three, 67 samples a second, since samples are even.
    """

    def __init__(
        self,
        template: Template | None = None,
        settings: FlowSettings | None = None,
        rate: float = np.inf,
    ) -> None:
        self.template = template or Template(size=128)
        self.settings = settings or TRACKER_FLOW
        self.step_s = 0.9 / rate - 1e-6  # times jitter, and are rounded
        self.forget()

    def forget(self) -> None:
        """Start anew at the next frame: the face was gone, or it is another one."""
        self._key: _Key | None = None
        self._frames: list[tuple[int, float, Image]] = []
        self._newest_s = -np.inf
        self._start = self._displacements = np.zeros((len(REGIONS), 2))
        self._head_start = np.zeros(2)
        self._eye = 0.0

    def push(
        self, image: Image, face: Face, time_s: float | Fraction, frame: int = 0
    ) -> RegionSample | None:
        """Take the next frame.

        Args:
            image: uint8 [H, W, 3], RGB.
            face: its landmarks, of this frame or one shortly before it.
            time_s: of the frame; rises.
            frame: its number.

        Returns:
            The sample that ends with this frame, or None where it waits for the next ones.

        Raises:
            MotionError: an image without structure, or a region outside the crop.
            FaceError: landmarks without direction.
        """
        now = float(time_s)
        self._frames.append((frame, now, image))
        if now - self._newest_s < self.step_s:
            return None
        frames, self._frames = self._frames, []
        self._measure([image for _, _, image in frames], face, now)
        self._newest_s = now
        number, middle_s, _ = frames[(len(frames) - 1) // 2]
        displacements = zip(REGIONS, self._displacements.tolist(), strict=True)
        x, y = (self._head_start + (0 if self._key is None else self._key.shift)).tolist()
        return RegionSample(
            number, middle_s, {name: (u, v) for name, (u, v) in displacements}, (x, y)
        )

    def _measure(self, images: list[Image], face: Face, time_s: float) -> None:
        if self._key is None:
            self._key = _Key(images, face, time_s, self.template, self.settings)
        moved = self._key.measure(images)
        lost = self._key.misses(face)
        if not lost:  # else something moved before the face, and of the skin nothing is known
            self._displacements = self._start + moved
        if lost or self._is_old(time_s, face):
            self._start, self._head_start = self._displacements, self._head_start + self._key.shift
            self._key = None  # even if there can be no other yet
            self._key = _Key(images, face, time_s, self.template, self.settings)

    def _is_old(self, time_s: float, face: Face) -> bool:
        """Whether the next frames need another reference: one with open eyes, if it can wait."""
        key, eye = self._key, openings(face).eye
        if key is None or np.hypot(*key.shift) > KEY_SHIFT * self.template.size:
            return True
        age, self._eye = time_s - key.time_s, max(eye, 0.98 * self._eye)
        if eye < BLINKING * self._eye:
            return age >= 2 * KEY_EVERY_S
        return age >= KEY_EVERY_S or key.eye < BLINKING * eye


class _Key:
    """A reference frame: its crop ready for flow, and which pixels make up each region."""

    def __init__(
        self,
        images: list[Image],
        face: Face,
        time_s: float,
        template: Template,
        settings: FlowSettings,
    ) -> None:
        self.time_s, self.eye, self.template = time_s, openings(face).eye, template
        self.warp: Warp = estimate_warp(face, template)
        self.head = np.eye(3)  # from the crop of the reference to that of the newest frame
        self.points = warp_points(face.points, self.warp)
        self.shape = (template.size, template.size)
        deepest = 1 + int(np.log2(template.size / 32))
        settings = replace(settings, levels=min(settings.levels, deepest))
        self.mask = face_mask(self.shape, self.points).astype(np.float32)
        self.image = self._cut(images, self.warp)
        self.onset = Onset(self.image, self.mask, settings)
        masks = [
            region_mask(region, self.shape, self.points).ravel() for region in REGIONS.values()
        ]
        empty = [name for name, mask in zip(REGIONS, masks, strict=True) if not mask.any()]
        if empty:
            raise MotionError("lies outside the crop", where=empty[0])
        self.pixels = np.flatnonzero(np.any(masks, axis=0))
        self.means = np.stack([mask[self.pixels] / mask.sum() for mask in masks])
        self.stable = stable_weights(self.shape, self.points)
        self.grid: NDArray[np.float32] | None = None

    @property
    def shift(self) -> NDArray[np.float64]:
        """How far the head has gone since, at the middle of the crop, px [2]."""
        middle = np.array([*(np.array(self.shape[::-1]) - 1) / 2, 1])
        return np.asarray((self.head @ middle - middle)[:2])

    def misses(self, face: Face) -> bool:
        """Whether what it follows is not the head: the landmarks are elsewhere."""
        anchors = [index for index, _, _ in self.template.anchors]
        residual = warp_points(face.points[anchors], self._following()) - self.points[anchors]
        return not float(np.abs(residual).max()) < LOST * self.template.size

    def _following(self) -> Warp:
        """From the image to the crop, as the head lies by now."""
        return np.asarray((np.linalg.inv(self.head) @ np.vstack([self.warp, [0, 0, 1]]))[:2])

    def _cut(self, images: list[Image], warp: Warp) -> NDArray[np.float32]:
        """The mean of the images' grey crops, float32 [side, side]."""
        crops = [grey(warp_image(image, warp, self.template), "frame") for image in images]
        return np.asarray(np.mean(crops, axis=0)) if len(crops) > 1 else crops[0]

    def measure(self, images: list[Image]) -> NDArray[np.float64]:
        """Where each region is, px [regions, 2] from where it was, without the head's motion."""
        frame = matched(self._cut(images, self._following()), self.image, self.mask)
        grid = self.onset.follow(frame, self.grid)
        moved, news = remove_rigid(np.moveaxis(upsample(grid), 0, -1), weights=self.stable)
        # The next crop will follow the head, so the next flow starts without its motion.
        self.grid = grid - downsample(np.moveaxis(news.field(*self.shape)[0], -1, 0))
        self.head = self.head @ news.maps(*self.shape)[0]
        return np.asarray(self.means @ moved.reshape(-1, 2)[self.pixels])
