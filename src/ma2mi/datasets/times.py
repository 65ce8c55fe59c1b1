"""When each frame of a recording is seen, without decoding it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from ma2mi.errors import VideoError, optional_part


def frame_times(path: Path, fps: Fraction | None = None) -> list[Fraction]:
    """The times that ``video.read_frames`` gives, in seconds, from the packets of the file alone.

    Files whose packets carry no times, or whose clock jumps back, are decoded, which takes as long
    as it takes.

    Args:
        path: a video file, or a folder of frames.
        fps: needed for a folder.

    Raises:
        VideoError: as ``video.read_frames``.
    """
    from ma2mi.video import ClockRestart, inspect_video, read_frames

    info = inspect_video(path, fps=fps)  # refuses what does not decode
    if path.is_dir():
        return [number / info.fps for number in range(info.frame_count or 0)]
    with optional_part("av", "video"):
        import av
    times: list[Fraction | None] = []
    decoded: list[Fraction] = []
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            covers = av.stream.Disposition.attached_pic
            stream = next(s for s in container.streams.video if not s.disposition & covers)
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    clock = Fraction(packet.time_base or stream.time_base or 0)
                    times.append(None if packet.pts is None else packet.pts * clock)
                    decoded += [] if packet.dts is None else [packet.dts * clock]
            start_s = (stream.start_time or 0) * Fraction(stream.time_base or 0)
            avi = container.format.name == "avi"
    except av.error.FFmpegError as error:
        raise VideoError(
            f"breaks off after {len(times)} packets ({error.strerror})",
            where=path,
            cure="Copy it again, or convert it",
        ) from error
    known = sorted(time for time in times if time is not None)
    restarts = any(later <= earlier for earlier, later in pairwise(decoded))
    if len(known) < len(times) or not known or restarts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ClockRestart)  # said when the video is analysed
            return [frame.time_s for frame in read_frames(path)]
    if avi and len(decoded) == len(times):  # which has no times of showing
        return [time - decoded[0] + start_s for time in decoded]
    return known


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
    """How long a media file plays, seconds, sound included; None where it does not say.

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
        raise VideoError(f"does not open ({error})", where=path, cure="Copy it again") from error
    start, length = (None if one is None else Fraction(one, av.time_base) for one in clock)
    return start, length
