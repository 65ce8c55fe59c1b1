"""Hard cuts: where the picture changes to another shot from one frame to the next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import optional_part

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]

# Measured on the 22 real clips of ``shared/clips`` that show a face throughout, and on their 506
# joins.
WIDTH, HEIGHT = 64, 48  # of a thumbnail, pixels
SAMPLES = 6  # of the frame, each way, for a pixel of the thumbnail
SMOOTH = 0.8  # deviation in pixels of the thumbnail: finer detail moves with the slightest shake
CHANGED = 6.0  # of 255: a pixel of the thumbnail that differs by more has changed
LEAST_CHANGE = 0.15  # share of changed pixels; the joins begin at 0.17
UNUSUAL = 1.7  # times the largest change of the last frames; the joins begin at 1.79
MOST_UNUSUAL = 4.0
LEAST_BASELINE = 0.01  # share of changed pixels that noise may have
RECENT = 8  # frames that set the baseline
FIRST_BASELINE = 0.1  # share of changed pixels, before there are such frames
SHORTEST_S = 0.15  # of a shot; a change that follows sooner is not a cut
LIGHT_SHARE = 0.02  # of the pixels at most go against a change of light
BLANK = 3.0  # of 255: deviation of a thumbnail that shows nothing
HELD_S = 4.0  # longest time that a flash or a blank may hide a picture


class CutDetector:
    """Compares each frame of a video with the one before it, on thumbnails.

    The share of the picture that changed is set against the largest share of the last frames, so
    that a shaking camera or moving hands set their own baseline. A change in light brightens or
    darkens everything and is none; when it ends, as a flash does, the picture is compared with
    the one before it. Keeps two thumbnails, and takes 0.3 ms a frame of any size.

    Attributes:
        shift: of the whole picture at the newest likely cut, x and y as shares of its sides.
    """

    def __init__(self) -> None:
        self._before: Thumbnail | None = None
        self._held: Thumbnail | None = None  # from before a change of light, a flash or a blank
        self._held_s = self._shot_s = self._time_s = -np.inf
        self.shift = 0.0, 0.0
        self._share = 0.0  # of the newest frame
        self._recent: deque[float] = deque(maxlen=RECENT)

    def push(self, image: Image, time_s: float) -> float:
        """How unusual the next frame is; where it is, ``decide`` has to follow.

        Args:
            image: uint8 [H, W, 3].
            time_s: of the frame, seconds.

        Returns:
            The share of the picture that changed over the largest of the last frames, at least 1.7
            and at most 4, where a cut is likely; else 0. Light and shift of the whole are no cut.
        """
        before, now = self._before, Thumbnail.of(image)
        self._before, self._time_s = now, time_s
        if before is None:
            self._shot_s = time_s
            return 0.0
        share = changed_share(before, now)
        if share > LEAST_CHANGE:
            moved, self.shift = _shifted(before, now)
            share = min(share, changed_share(moved, now))
        self._share = max(share, LEAST_BASELINE)
        baseline = max(self._recent, default=FIRST_BASELINE)
        if share > max(LEAST_CHANGE, UNUSUAL * baseline) and time_s - self._shot_s >= SHORTEST_S:
            return min(share / baseline, MOST_UNUSUAL) if self._is_other(before, now) else 0.0
        self._recent.append(self._share)
        return 0.0

    def decide(self, *, is_cut: bool) -> None:
        """Whether the likely cut is one; if not, such changes raise the baseline."""
        if is_cut:
            self._shot_s = self._time_s
        else:
            self._recent.append(self._share)

    def _is_other(self, before: Thumbnail, now: Thumbnail) -> bool:
        """Whether an unusual change is more than one of the light."""
        held = self._held if self._time_s - self._held_s < HELD_S else None
        if held is not None and changed_share(held, now) < LEAST_CHANGE:
            self._held = None  # the light is as it was, and so is the picture
            return False
        appears = before.is_blank and held is not None
        if now.is_blank or (_is_light(before, now) and not appears):
            if held is None:
                self._held, self._held_s = before, self._time_s
            return False
        self._held = None
        return True


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A frame in small.

    Args:
        pixels: float32 [3, 48 * 64], 0..255, RGB.
        middle, spread: float32 [3, 1], median and deviation of each channel.
    """

    pixels: Floats
    middle: Floats
    spread: Floats

    @classmethod
    def of(cls, image: Image) -> Thumbnail:
        """Of an image, uint8 [H, W, 3]."""
        # A mean over all pixels takes a hundred times longer in large images.
        size = (SAMPLES * WIDTH, SAMPLES * HEIGHT)
        few = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
        small = cv2.resize(few, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
        return cls.from_pixels(cv2.GaussianBlur(small, (0, 0), SMOOTH))

    @classmethod
    def from_pixels(cls, picture: NDArray[Any]) -> Thumbnail:
        """Of a picture that is small already, [48, 64, 3]."""
        pixels = np.ascontiguousarray(picture.reshape(-1, 3).T, np.float32)
        half = pixels.shape[1] // 2
        middle = np.partition(pixels, half, axis=1)[:, half, None]
        return cls(pixels, middle, pixels.std(axis=1, keepdims=True))

    @property
    def is_blank(self) -> bool:
        """Whether it shows nothing."""
        return float(self.spread.max()) < BLANK


def changed_share(one: Thumbnail, other: Thumbnail) -> float:
    """Share of the pixels that differ by more than light explains, in [0, 1].

    Light multiplies each channel by 0.8 to 1.25 and adds to it.
    """
    gain = np.clip((one.spread + 1) / (other.spread + 1), 0.8, 1.25)
    residual = np.abs(other.pixels * gain - one.pixels + (one.middle - other.middle * gain))
    return float((residual.max(axis=0) > CHANGED).mean())


def _shifted(before: Thumbnail, now: Thumbnail) -> tuple[Thumbnail, tuple[float, float]]:
    """``before``, moved as a whole to lie on ``now``; and how far, as shares of the sides."""
    first, second = (one.pixels.mean(axis=0).reshape(HEIGHT, WIDTH) for one in (before, now))
    window = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(first, second, window)
    move = np.array([[1, 0, x], [0, 1, y]])
    picture = np.ascontiguousarray(before.pixels.T).reshape(HEIGHT, WIDTH, 3)
    size = (WIDTH, HEIGHT)
    moved = cv2.warpAffine(picture, move, size, borderMode=cv2.BORDER_REPLICATE)
    return Thumbnail.from_pixels(moved), (x / WIDTH, y / HEIGHT)


def _is_light(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether nearly all pixels became brighter, or nearly all darker."""
    rise = (other.pixels - one.pixels).mean(axis=0)
    return min(float((rise > CHANGED).mean()), float((rise < -CHANGED).mean())) < LIGHT_SHARE
