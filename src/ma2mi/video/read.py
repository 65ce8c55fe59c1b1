"""Frames with their true times, in and out, from video files and from folders of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

from ma2mi.errors import VideoError
from ma2mi.video.container import (
    SAME_RATE,
    Decoder,
    check_file,
    frame_rate,
    is_lying,
    open_video,
    probe_stream,
    recorded_rate,
    stated_duration,
    undecodable_error,
)
from ma2mi.video.decode import Clock, read_file, with_next
from ma2mi.video.frame import Frame, VideoInfo
from ma2mi.video.images import (
    folder_rate,
    list_pages,
    page_count,
    read_folder,
    read_image,
)
from ma2mi.video.numbering import even_positions


def read_frames(
    path: Path | str, *, fps: Fraction | None = None, start: int = 0, stop: int | None = None
) -> Iterator[Frame]:
    """Frames ``start`` to ``stop`` (exclusive) in showing order, one in memory at a time.

    A file's times are ``pts * time_base``, and they rise. A frame without pts comes one typical
    step after the one before it (the first one at the stream's start); the typical step is the
    median of the last 256. Where the clock jumps back, as in joined recordings, the pieces are
    laid end to end with one typical step between them, and a ``ClockRestart`` warning says so.
    A time that does not lie between those before and after it, which agree, goes to their middle.
    A jump forward is kept: it may be a pause of the recording. AVI and ASF store the times of
    decoding only; there frames are as far apart as these. Bare streams such as .m2v have no times;
    there frames come at the stream's rate. Quarter turns and mirrorings that the file
    states are applied. Colours follow the file's own matrix and range; untagged files count
    as BT.601, limited range. Grey becomes three equal channels, deeper video 8 bits.

    A folder's images are sorted by the numbers in their names ("img2" before "img10"), and
    frame i is seen at ``i / fps``; where numbers are missing, the frames after the gap are seen
    later by as many. A TIFF of several pages is a folder of its pages. Images of more than 8 bits
    become 8 bits from the folder's own depth: 12 bits in files of 16 go from 0 to 4095.

    What does not decode is passed over, and a ``DamagedVideo`` warning counts it; a file that
    breaks off gives the frames that decode, then a ``TruncatedVideo`` warning. Other warnings are
    ``VideoNote``: interlaced pictures, pixels that are not square, a size that changes, a start
    without key frame, missing images, slow motion.

    Args:
        path: a video file, or a folder of images.
        fps: needed for a folder. For a file, the rate at which it was really recorded, such as
            200 of slow motion that plays at 25: times run so many times faster; None leaves them.
        start, stop: frame indices; what lies before ``start`` is decoded and skipped.

    Raises:
        VideoError: missing, empty or undecodable input, audio only, images of different sizes, a
            side longer than ``LONGEST_SIDE_PX``.
    """
    path = Path(path)
    if start < 0 or (stop is not None and stop < start):
        raise VideoError(f"frames {start} to {stop} are not a range", where=path)
    if needs_rate(path):
        return read_folder(path, folder_rate(path, fps), start, stop)
    check_file(path)
    frames = islice(read_file(path, start, fps), None if stop is None else stop - start)
    factor = _slow_motion(path, fps)
    if factor == 1:
        return frames
    return (replace(frame, time_s=frame.time_s * factor) for frame in frames)


def read_times(path: Path | str, *, fps: Fraction | None = None) -> list[Fraction]:
    """When each frame of ``read_frames`` is seen, seconds; decodes all, and makes no picture.

    Packets are no substitute: some do not decode, and are not frames.

    Raises:
        VideoError: as ``read_frames``, but for pictures of different sizes.
    """
    path = Path(path)
    if needs_rate(path):
        rate = folder_rate(path, fps)
        return [at / rate for at in even_positions([file for file, _ in list_pages(path)])]
    check_file(path)
    factor = _slow_motion(path, fps)
    with open_video(path) as (container, stream):
        clock, decoder = Clock(container, stream, path), Decoder(container, stream)
        times = [clock.read(*pair) * factor for pair in with_next(decoder.frames())]
    if not times:
        raise undecodable_error(path)
    return times


def inspect_video(path: Path | str, *, fps: Fraction | None = None) -> VideoInfo:
    """Size, rate and length of a video file or a folder of frames; decodes one frame.

    Raises:
        VideoError: as ``read_frames``.
    """
    path = Path(path)
    if needs_rate(path):
        rate = folder_rate(path, fps)
        images = list_pages(path)
        height, width = read_image(*images[0]).shape[:2]
        last = even_positions([file for file, _ in images])[-1]
        return VideoInfo(path, width, height, rate, len(images), (last + 1) / rate)
    check_file(path)
    with open_video(path) as (container, stream):
        first, times = probe_stream(container, stream, path)
        width, height = first.width, first.height
        if is_lying(first):
            width, height = height, width
        rate = frame_rate(stream, times)
        duration, factor = stated_duration(container, stream), _factor(rate, fps)
        return VideoInfo(
            path,
            width,
            height,
            rate / factor,
            stream.frames or None,
            None if duration is None else duration * factor,
            recorded_rate(container, stream),
        )


def needs_rate(path: Path) -> bool:
    """Whether a video carries no times: a folder of frames, or a TIFF of several pages."""
    return path.is_dir() or page_count(path) > 1


def _factor(plays: Fraction, fps: Fraction | None) -> Fraction:
    """Of the times of a file that plays at a rate, where it was recorded at ``fps``."""
    if fps is None:
        return Fraction(1)
    factor = plays / Fraction(fps)
    return Fraction(1) if abs(factor - 1) <= SAME_RATE else factor


def _slow_motion(path: Path, fps: Fraction | None) -> Fraction:
    return Fraction(1) if fps is None else _factor(inspect_video(path).fps, fps)
