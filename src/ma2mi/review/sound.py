"""The sound of a video as one WAV file whose start is the first frame."""

from __future__ import annotations

import io
import wave
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import VideoError, optional_part

with optional_part("av", "video"):
    import av

RATE = 22_050  # samples a second: speech, and 2.6 MB a minute
LONGEST_S = 1800.0  # of a video whose sound is kept in memory


def has_sound(path: Path) -> bool:
    """Whether a file holds sound that is not too long to be played beside the frames."""
    if not path.is_file():
        return False
    with suppress(av.error.FFmpegError, OSError), av.open(f"file:{path}") as container:
        length_s = (container.duration or 0) / av.time_base
        return bool(container.streams.audio) and length_s <= LONGEST_S
    return False


def read_sound(path: Path, start_s: Fraction) -> bytes:
    """The first sound track, mono, 16 bits, as a WAV file.

    Args:
        path: of the video.
        start_s: when the first frame is seen, on the container's clock: there the sound begins.

    Raises:
        VideoError: it holds no sound that decodes.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    parts: list[NDArray[Any]] = []
    begins_s: Fraction | None = None
    # What breaks off is played as far as it goes.
    with suppress(av.error.FFmpegError), av.open(f"file:{path}") as container:
        for frame in container.decode(audio=0):
            if begins_s is None:
                begins_s = (frame.pts or 0) * Fraction(frame.time_base or 0)
            parts += [
                np.asarray(one.to_ndarray()[0], np.int16) for one in resampler.resample(frame)
            ]
        parts += [np.asarray(one.to_ndarray()[0], np.int16) for one in resampler.resample(None)]
    if begins_s is None:
        raise VideoError("holds no sound that decodes", where=path)
    samples = np.concatenate(parts).astype(np.int16)
    late = round((begins_s - start_s) * RATE)
    samples = np.concatenate([np.zeros(max(late, 0), np.int16), samples[max(-late, 0) :]])
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()
