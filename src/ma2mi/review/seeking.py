"""Any frame of a video by its number: the very frames that are decoded from start to end."""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Protocol

from ma2mi.arrays import Image
from ma2mi.errors import optional_part
from ma2mi.video import VideoNote, inspect_video, needs_rate, read_frames, read_times
from ma2mi.video.container import (
    AS_STORED,
    check_file,
    has_clock,
    open_video,
    read_orientation,
    turn_upright,
)

with optional_part("av", "video"):
    import av

SAME_S = 2e-6  # frames.csv holds six decimals of a second


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """Where the frames of one video are.

    Args:
        times: when each frame is seen, exact seconds on the container's own clock.
        stamps: the frames' own time stamps in ticks, rising; empty where the file must be read
            from its start.
        starts: frames at which decoding can begin, rising.
        order: time stamp to place in the file, in packets.
    """

    times: Sequence[Fraction]
    stamps: Sequence[int] = ()
    starts: Sequence[int] = ()
    order: dict[int, int] | None = None


class FrameSource(Protocol):
    """A video as runs of frames; one thread at a time."""

    def run(self, frame: int, keep: int) -> Iterator[tuple[int, Image]]:
        """The frames from ``keep`` on (at most ``frame``), decoding from where it can begin."""
        ...

    def start_of(self, frame: int) -> int:
        """Where decoding begins for a frame."""
        ...

    def close(self) -> None: ...


def index_video(
    path: Path, *, fps: Fraction | None = None, known_s: Sequence[float] | None = None
) -> FrameIndex:
    """Find out where frames are, from the packets alone where these tell.

    A file whose packets do not fit ``known_s``, or have no rising times of their own, is decoded
    once as a whole.

    Args:
        path: a video file, or a folder of frames.
        fps: as of ``read_frames``.
        known_s: when an analysis saw each frame, seconds after the first.

    Raises:
        VideoError: as ``read_frames``.
    """
    if not needs_rate(path):
        check_file(path)
        quick = _index_packets(path)
        if quick is not None:
            factor = _factor(path, fps)
            quick = FrameIndex([t * factor for t in quick.times], *_rest(quick))
            if known_s is None or _agree(quick.times, known_s):
                return quick
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoNote)
        return FrameIndex(read_times(path, fps=fps))


def _rest(index: FrameIndex) -> tuple[Sequence[int], Sequence[int], dict[int, int] | None]:
    return index.stamps, index.starts, index.order


def _factor(path: Path, fps: Fraction | None) -> Fraction:
    """What a recorded rate makes of the times, as in ``read_frames``."""
    if fps is None:
        return Fraction(1)
    plays = inspect_video(path).fps
    return plays / inspect_video(path, fps=fps).fps


def _agree(times: Sequence[Fraction], known_s: Sequence[float]) -> bool:
    if len(times) != len(known_s) or not times:
        return False
    first = times[0]
    return all(
        abs(float(time - first) - known) < SAME_S
        for time, known in zip(times, known_s, strict=True)
    )


def _index_packets(path: Path) -> FrameIndex | None:
    """From the packets; None where they do not tell which frames there are."""
    with open_video(path) as (container, stream):
        if not has_clock(container) or container.format.name in ("avi", "asf"):
            return None
        order: dict[int, int] = {}
        keys: list[int] = []
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None or packet.pts in order or packet.is_corrupt:
                    return None
                if packet.is_keyframe:
                    keys.append(packet.pts)
                order[packet.pts] = len(order)
        except av.error.FFmpegError:
            return None
        tick = Fraction(stream.time_base or 0)
    stamps = sorted(order)
    if not keys or not tick or order[keys[0]] != 0 or stamps[0] != keys[0]:
        return None
    starts = sorted(bisect_left(stamps, key) for key in keys)
    return FrameIndex([stamp * tick for stamp in stamps], stamps, starts, order)


def open_source(path: Path, index: FrameIndex, *, fps: Fraction | None = None) -> FrameSource:
    """The frames of a video that ``index_video`` looked through."""
    if index.stamps:
        return SeekingSource(path, index)
    return RunningSource(path, fps, by_file=needs_rate(path))


class RunningSource:
    """Frames as ``read_frames`` gives them: from the start of a file, anywhere in a folder."""

    def __init__(self, path: Path, fps: Fraction | None, *, by_file: bool) -> None:
        self._path, self._fps, self._by_file = path, fps, by_file

    def run(self, frame: int, keep: int) -> Iterator[tuple[int, Image]]:
        del frame
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VideoNote)
            for one in read_frames(self._path, fps=self._fps, start=keep):
                yield one.index, one.image

    def start_of(self, frame: int) -> int:
        return frame if self._by_file else 0

    def close(self) -> None: ...


class SeekingSource:
    """Frames of a file whose packets tell all; decoding begins at the key frame before.

    Args:
        path: of the file.
        index: of :func:`index_video`, with time stamps.
    """

    def __init__(self, path: Path, index: FrameIndex) -> None:
        self._path, self._index = path, index
        self._order = index.order or {}
        self._open = ExitStack()
        self._container, self._stream = self._open.enter_context(open_video(path))

    def close(self) -> None:
        self._open.close()

    def start_of(self, frame: int) -> int:
        return self._index.starts[bisect_right(self._index.starts, frame) - 1]

    def run(self, frame: int, keep: int) -> Iterator[tuple[int, Image]]:
        """As of ``FrameSource``.

        Where what follows a key frame does not decode cleanly (gradual refresh), decoding begins
        at an earlier one, in the end at the first.
        """
        place, back = bisect_right(self._index.starts, keep) - 1, 1
        while True:
            place = max(place, 0)
            started = False
            for number, image, is_clean in self._decode(self._index.starts[place], keep):
                if not is_clean and not started and place > 0:
                    break
                started = True
                yield number, image
            else:
                return
            place, back = place - back, 2 * back

    def _decode(self, start: int, keep: int) -> Iterator[tuple[int, Image, bool]]:
        """Number, picture, and whether it and all before it from ``start`` on are undamaged."""
        index, turn, clean = self._index, AS_STORED, True
        for packet in self._packets(start):
            try:
                decoded = packet.decode()
            except (av.error.FFmpegError, ValueError):
                decoded = []
            for frame in decoded:
                stamp = frame.pts
                if stamp is None or stamp not in self._order:
                    continue
                number = bisect_left(index.stamps, stamp)
                turn = read_orientation(frame, turn)
                if number < start:
                    continue
                clean = clean and not frame.is_corrupt
                if number >= keep:
                    yield number, turn_upright(frame, turn), clean

    def _packets(self, start: int) -> Iterator[av.Packet[Any]]:
        """The packets from a key frame on, or from before it; what is damaged ends them."""
        with suppress(av.error.FFmpegError):
            yield from self._seek(start)

    def _place_of(self, packet: av.Packet[Any]) -> int:
        """Its place in the file; after all others where it is not known."""
        last = len(self._order)
        return last if packet.pts is None else self._order.get(packet.pts, last)

    def _seek(self, start: int) -> Iterator[av.Packet[Any]]:
        wanted = self._order[self._index.stamps[start]]
        place = bisect_right(self._index.starts, start) - 1
        for back in (0, 1, 3):
            stamp = self._index.stamps[self._index.starts[max(place - back, 0)]]
            first = None
            with suppress(av.error.FFmpegError):
                self._container.seek(stamp, stream=self._stream, backward=True)
                packets = self._container.demux(self._stream)
                first = next(packets, None)
            if first is not None and self._place_of(first) <= wanted:
                return chain((first,), packets)
        # No index of the container leads there: from the start of the file.
        self.close()
        self._open = ExitStack()
        self._container, self._stream = self._open.enter_context(open_video(self._path))
        return self._container.demux(self._stream)


def is_steady(times: Sequence[Fraction]) -> bool:
    """Whether all frames are the same time apart."""
    steps = {later - earlier for earlier, later in pairwise(times)}
    return len(steps) <= 1
