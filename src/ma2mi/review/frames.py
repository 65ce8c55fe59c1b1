"""The frames of one video while it is looked at: decoded once, kept, and fetched ahead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

from ma2mi.arrays import Image
from ma2mi.errors import VideoError, optional_part
from ma2mi.review.seeking import FrameSource, SeekIndex, open_source

with optional_part("cv2", "video"):
    import cv2

ImageFormat = Literal["jpeg", "png"]
T = TypeVar("T")

QUALITY = 90  # of JPEG
KEPT_BYTES = 160 * 2**20  # of decoded frames: 25 of 1920x1080, 180 of 640x480
KEPT_CODED_BYTES = 96 * 2**20
AHEAD = 12  # frames decoded ahead of the cursor
BEHIND = 12  # frames kept before it, for stepping back


class RecentlyUsed(Generic[T]):
    """The values used last, up to a number of bytes; several threads may use it.

    Args:
        most: bytes in all.
        size: bytes of one value.
    """

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._most, self._size = most, size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            if key in self._values:
                self._bytes -= self._size(self._values.pop(key))
            self._values[key] = value
            self._bytes += self._size(value)
            while self._bytes > self._most and len(self._values) > 1:
                _, old = self._values.popitem(last=False)
                self._bytes -= self._size(old)


class PictureCache:
    """What was decoded and coded last, of all videos of a review together.

    Attributes:
        images: decoded frames; coded: files of pictures.
    """

    def __init__(self) -> None:
        self.images = RecentlyUsed[Image](KEPT_BYTES, lambda image: image.nbytes)
        self.coded = RecentlyUsed[bytes](KEPT_CODED_BYTES, len)


class FrameRun:
    """A video being decoded forward, which jumps where that is shorter."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._frames: Iterator[tuple[int, Image]] = iter(())
        self._next = -1  # the frame that comes next; -1: none

    def until(self, frame: int, keep: int) -> Iterator[tuple[int, Image]]:
        """The frames on the way to ``frame``, those from ``keep`` on.

        Raises:
            VideoError: as of ``read_frames``.
        """
        goes_on = self._source.start_of(frame) <= self._next <= frame
        if not goes_on:
            self._frames = self._source.run(frame, max(keep, self._source.start_of(frame)))
        for number, image in self._frames:
            self._next = number + 1
            yield number, image
            if number >= frame:
                return
        self._next = -1

    def close(self) -> None:
        self._frames = iter(())
        self._source.close()


class VideoFrames:
    """Any frame of a video, quickly near the one that was asked for last.

    Args:
        path, fps: as of ``read_frames``.
        index: of ``index_video``.
        cache: shared with other videos; by default its own.

    Raises:
        VideoError: the file does not open.
    """

    def __init__(
        self,
        path: Path,
        index: SeekIndex,
        *,
        fps: Fraction | None = None,
        cache: PictureCache | None = None,
    ) -> None:
        self.path, self.index = path, index
        self.count = len(index.times)
        self._cache = cache or PictureCache()
        self._front = FrameRun(open_source(path, index, fps=fps))
        self._back = FrameRun(open_source(path, index, fps=fps))
        self._front_lock, self._wake = threading.Lock(), threading.Condition()
        self._cursor, self._forward, self._ended = -1, True, False
        self._thread = threading.Thread(target=self._fetch, name="ma2mi-fetch", daemon=True)
        self._thread.start()

    def image(self, frame: int) -> Image:
        """A frame as decoded, uint8 [H, W, 3], RGB.

        Raises:
            VideoError: there is no such frame, or it does not decode.
        """
        if not 0 <= frame < self.count:
            raise VideoError(f"has no frame {frame}", where=self.path)
        image = self._cache.images.get((self.path, frame))
        if image is None:
            with self._front_lock:
                image = self._cache.images.get((self.path, frame))
                if image is None:
                    for number, one in self._front.until(frame, max(frame - BEHIND, 0)):
                        self._cache.images.put((self.path, number), one)
                        image = one if number == frame else image
        if image is None:
            raise VideoError(f"frame {frame} does not decode", where=self.path)
        return image

    def picture(
        self, frame: int, width: int = 0, kind: ImageFormat = "jpeg", *, ahead: bool = False
    ) -> bytes:
        """A frame as a JPEG or PNG file.

        Args:
            frame: its number.
            width: it is made no wider than this, px; 0 leaves it as it is.
            kind: of file; PNG loses nothing.
            ahead: it is not looked at yet, so that what is near it is not fetched.

        Raises:
            VideoError: as ``image``.
        """
        if not ahead:
            self._move(frame)
        key = (self.path, frame, width, kind)
        coded = self._cache.coded.get(key)
        if coded is None:
            coded = encode_image(shrink(self.image(frame), width), kind)
            self._cache.coded.put(key, coded)
        return coded

    def close(self) -> None:
        with self._wake:
            self._ended = True
            self._wake.notify()
        self._thread.join()
        with self._front_lock:
            self._front.close()
        self._back.close()

    def _move(self, frame: int) -> None:
        with self._wake:
            if frame != self._cursor:
                self._forward = frame > self._cursor
                self._cursor = frame
                self._wake.notify()

    def _fetch(self) -> None:
        """What is near the cursor, the way that it moves first; what fails fails when asked for."""
        seen = -1
        while True:
            with self._wake:
                while self._cursor == seen and not self._ended:
                    self._wake.wait()
                if self._ended:
                    return
                seen, forward = self._cursor, self._forward
            try:
                if not forward:
                    self._fetch_before(seen)
                for frame in range(seen + 1, min(seen + AHEAD + 1, self.count)):
                    if self._cursor != seen or self._ended:
                        break
                    self.image(frame)
            except VideoError:
                continue

    def _fetch_before(self, cursor: int) -> None:
        """The frames before the cursor, once less than half of them are there."""
        near = range(max(cursor - BEHIND // 2, 0), cursor)
        missing = [frame for frame in near if (self.path, frame) not in self._cache.images]
        if not missing:
            return
        last = missing[-1]
        for number, image in self._back.until(last, max(last - BEHIND, 0)):
            self._cache.images.put((self.path, number), image)
            if self._ended or self._forward:
                return


def shrink(image: Image, width: int) -> Image:
    """The image no wider than ``width`` px; 0 leaves it as it is."""
    if not 0 < width < image.shape[1]:
        return image
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def encode_image(image: Image, kind: ImageFormat) -> bytes:
    """An RGB image as a file."""
    suffix, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if kind == "jpeg":
        suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    _, coded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return bytes(coded.tobytes())
