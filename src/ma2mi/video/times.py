"""When each frame of a recording is seen, and how many there are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from ma2mi.errors import VideoError, optional_part


def frame_times(path: Path, fps: Fraction | None = None) -> list[Fraction]:
    """The times that ``video.read_frames`` gives, in seconds.

    A file is decoded, once in a process while it stays as it is, without making pictures: only so
    are frames counted right where packets do not decode.

    Args:
        path: a video file, or a folder of frames.
        fps: needed for a folder; for a file, the rate at which it was recorded.

    Raises:
        VideoError: as ``video.read_frames``.
    """
    try:
        state = path.stat()
    except (OSError, ValueError) as error:
        raise VideoError("does not exist", where=path, hint="Check the path") from error
    return list(_frame_times(path, fps, (state.st_size, state.st_mtime_ns)))


@lru_cache(maxsize=64)
def _frame_times(path: Path, fps: Fraction | None, state: tuple[int, int]) -> tuple[Fraction, ...]:
    from ma2mi.video.frame import VideoNote
    from ma2mi.video.read import read_times

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoNote)  # warned of when the video is analysed
        return tuple(read_times(path, fps=fps))


def packet_count(path: Path) -> int:
    """How many frames a video file should have: its packets, counted without decoding.

    Raises:
        VideoError: the file does not open.
    """
    from ma2mi.video.read import inspect_video

    inspect_video(path)  # refuses what does not decode
    with optional_part("av", "video"):
        import av
    count = 0
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            covers = av.stream.Disposition.attached_pic
            stream = next(s for s in container.streams.video if not s.disposition & covers)
            for packet in container.demux(stream):
                count += bool(packet.size and not packet.is_discard)
    except av.error.FFmpegError as error:
        raise VideoError(
            f"breaks off after {count} packets ({error.strerror})",
            where=path,
            hint="Copy it again, or convert it",
        ) from error
    return count


def picture_delay(path: Path, times: Sequence[Fraction]) -> Fraction:
    """How long a file plays before its first frame is seen, seconds: sound may begin earlier.

    A player's clock, and so ELAN's and BORIS', starts where the first of a file's streams does.

    Args:
        path: a video file, or a folder of frames, which has no delay.
        times: of its frames, on the container's own clock.

    Raises:
        VideoError: the file does not open.
    """
    if path.is_dir() or not times:
        return Fraction(0)
    start, _ = _container_clock(path)
    return Fraction(0) if start is None else max(times[0] - start, Fraction(0))


def file_length(path: Path) -> Fraction | None:
    """How long a media file plays, seconds, sound included; None where it is not stated.

    Raises:
        VideoError: it does not open.
    """
    return _container_clock(path)[1]


def _container_clock(path: Path) -> tuple[Fraction | None, Fraction | None]:
    """Start and duration of a file, seconds."""
    with optional_part("av", "video"):
        import av
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            clock = (container.start_time, container.duration)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"does not open ({error})", where=path, hint="Copy it again") from error
    start, length = (None if one is None else Fraction(one, av.time_base) for one in clock)
    return start, length
