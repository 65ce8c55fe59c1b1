"""Where each region of a face goes in a video of any length, frame by frame, in constant memory."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError
from ma2mi.face.align import Template, Warp, estimate_warp, warp_image, warp_points
from ma2mi.face.detect import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Face
from ma2mi.face.motion.clip_flow import grey, matched
from ma2mi.face.motion.regions import REGIONS, face_mask, region_mask
from ma2mi.face.motion.rigid import RigidMotion, remove_rigid, stable_weights
from ma2mi.face.motion.thinplate import FlowSettings, Onset, doubled

EYELIDS = ((159, 145), (386, 374))  # upper and lower edge of the right and of the left eye
LIPS = (13, 14)  # inner edges
KEY_EVERY_S = 1.0
BLINKING = 0.75  # of the usual opening: a closed eye is no reference for an open one
KEY_SHIFT_PX = 4.0  # head motion in the crop after which a new reference is taken


class Openings(NamedTuple):
    """How far eyes and mouth are open, in shares of the distance between the eyes' outer corners.

    Args:
        eye: mean of both eyes, lid to lid.
        mouth: lip to lip.
    """

    eye: float
    mouth: float


def openings(face: Face) -> Openings:
    """Read off the landmarks: coarse, but a blink or a spoken word is large."""
    points = face.points.astype(np.float64)
    unit = max(_apart(points, (RIGHT_EYE_OUTER, LEFT_EYE_OUTER)), 1e-6)
    eyes = [_apart(points, pair) for pair in EYELIDS]
    return Openings(sum(eyes) / len(eyes) / unit, _apart(points, LIPS) / unit)


def _apart(points: NDArray[np.float64], pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))


class RegionMeter:
    r"""Movement of one face's regions against a reference frame that follows the head.

    ::

        time       0 s          1 s          2 s
        frames     | | | | | | || | | | | | || | | |
        reference  K------------K------------K------      flow runs from K to each frame
        place      0 ..........p1 ..........p2 .....      the new K starts where the old one ended

    Within a stretch all frames are cut out by one warp, so landmarks add no jitter; what the head
    does meanwhile is taken out of the flow. Places are chained at the references, so they drift
    slowly (a random walk of the flow's error, a step a second) and brief movements stay as they
    are: look at them against their own surroundings.

    Args:
        template: the crop that movement is measured in; its side is the unit's scale.
        settings: of the flow; by default one warp: each frame starts where the last one ended.
    """

    def __init__(
        self, template: Template | None = None, settings: FlowSettings | None = None
    ) -> None:
        self.template = template or Template(size=128)
        self.settings = settings or FlowSettings(warps=1)
        self.motion: RigidMotion | None = None
        self.crop: NDArray[np.uint8] | None = None
        self._flow: NDArray[np.float32] | None = None
        self.forget()

    def forget(self) -> None:
        """Start anew at the next frame: the face was gone, or it is another one."""
        self._key: _Key | None = None
        self._start = np.zeros((len(REGIONS), 2))
        self._eye = 0.0

    @property
    def flow(self) -> NDArray[np.float32]:
        """Float32 [side, side, 2]: from the reference to the last frame, head motion removed."""
        if self._flow is None:
            raise MotionError("no frame yet, so no flow")
        return self._flow

    def push(
        self, image: NDArray[np.uint8], face: Face, time_s: float | Fraction
    ) -> dict[str, tuple[float, float]]:
        """Measure the next frame.

        Args:
            image: uint8 [H, W, 3], RGB.
            face: its landmarks, of this frame or one shortly before it.
            time_s: of the frame; rises.

        Returns:
            Each of ``REGIONS`` to its place (right, down) in px of the crop, from where it was in
            the first frame.

        Raises:
            MotionError: an image without structure, or a face partly outside of any sense.
        """
        if self._key is None:
            self._key = _Key(image, face, float(time_s), self.template, self.settings)
        crop = warp_image(image, self._key.warp, self.template)
        moved, motion = self._key.measure(crop)
        places = self._start + self._key.means @ moved.reshape(-1, 2)[self._key.pixels]
        self.crop, self.motion, self._flow = crop, motion, moved
        if self._is_old(float(time_s), float(np.hypot(*motion.translation_px[0])), face):
            self._key = _Key(image, face, float(time_s), self.template, self.settings)
            self._start = places
        return {name: (float(x), float(y)) for name, (x, y) in zip(REGIONS, places, strict=True)}

    def _is_old(self, time_s: float, shift_px: float, face: Face) -> bool:
        """Whether the next frames need another reference: one with open eyes, if it can wait."""
        key, eye = self._key, openings(face).eye
        if key is None or shift_px > KEY_SHIFT_PX:
            return True
        age, self._eye = time_s - key.time_s, max(eye, 0.98 * self._eye)
        if eye < BLINKING * self._eye:
            return age >= 2 * KEY_EVERY_S
        return age >= KEY_EVERY_S or key.eye < BLINKING * eye


class _Key:
    """A reference frame: its crop ready for flow, and which pixels make up each region."""

    def __init__(
        self,
        image: NDArray[np.uint8],
        face: Face,
        time_s: float,
        template: Template,
        settings: FlowSettings,
    ) -> None:
        self.time_s, self.eye = time_s, openings(face).eye
        self.warp: Warp = estimate_warp(face, template)
        self.points = warp_points(face.points, self.warp)
        self.shape = (template.size, template.size)
        deepest = 1 + int(np.log2(template.size / 32))
        settings = replace(settings, levels=min(settings.levels, deepest))
        self.mask = face_mask(self.shape, self.points).astype(np.float32)
        self.image = grey(warp_image(image, self.warp, template), "reference")
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

    def measure(self, crop: NDArray[np.uint8]) -> tuple[NDArray[np.float32], RigidMotion]:
        frame = matched(grey(crop, "frame"), self.image, self.mask)
        self.grid = self.onset.follow(frame, self.grid)
        field = np.moveaxis(doubled(self.grid), 0, -1)
        return remove_rigid(field, weights=self.stable)
