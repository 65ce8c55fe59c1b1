"""A camera as a stream of frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from ma2mi.errors import VideoError, optional_part
from ma2mi.video.frame import Frame

with optional_part("cv2", "video"):
    import cv2

MOST_MISSES = 50  # frames in a row that a camera may fail to deliver


def camera_frames(
    number: int = 0,
    *,
    seconds: float | None = None,
    stop: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Frame]:
    """Frames as they come, times by the computer's clock from the first frame on.

    Cameras state no exact times; what the system delays shows as jitter of the times.

    Args:
        number: of the camera, 0 is the first.
        seconds: stop after so long; None goes on until the reader stops.
        stop: called before each frame; true ends.
        clock: rising seconds.

    Raises:
        VideoError: no such camera, or it stops delivering frames.
    """
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise VideoError(
                "cannot be opened",
                where=f"camera {number}",
                hint="Connect it, close other programs that use it, or try --camera 1",
            )
        index, misses, start = 0, 0, None
        while stop is None or not stop():
            there, picture = camera.read()
            now = clock()
            if not there:
                misses += 1
                if misses > MOST_MISSES:
                    raise VideoError("delivers no more frames", where=f"camera {number}")
                continue
            misses, start = 0, now if start is None else start
            if seconds is not None and now - start >= seconds:
                return
            time_s = Fraction(now - start).limit_denominator(1_000_000)
            yield Frame(index, time_s, np.ascontiguousarray(picture[..., ::-1]))
            index += 1
    finally:
        camera.release()
