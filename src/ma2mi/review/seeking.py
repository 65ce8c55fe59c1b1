"""Any frame of a video by its number: the very frames that are decoded from start to end."""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

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

if TYPE_CHECKING:
    Packet = av.Packet[Any]

SAME_S = 2e-6  # frames.csv holds six decimals of a second


@dataclass(frozen=True, slots=True)
class SeekIndex:
    """Where the frames of one video are.

    Args:
        times: when each frame is seen, exact seconds on the container's own clock.
        stamps: the frames' own time stamps in ticks, rising; empty where the file must be read
            from its start.
        starts: frames at which decoding can begin, rising.
        packets: time stamp to place in the file and CRC-32 of the packet.
    """

    times: Sequence[Fraction]
    stamps: Sequence[int] = ()
    starts: Sequence[int] = ()
    packets: dict[int, tuple[int, int]] | None = None


class _OtherPackets(Exception):
    """After a seek the container gives other packets than from its start."""


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
) -> SeekIndex:
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
            quick = replace(quick, times=[time * factor for time in quick.times])
            if known_s is None or _agree(quick.times, known_s):
                return quick
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoNote)
        return SeekIndex(read_times(path, fps=fps))


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


def _index_packets(path: Path) -> SeekIndex | None:
    """From the packets; None where they do not tell which frames there are."""
    with open_video(path) as (container, stream):
        if not has_clock(container) or container.format.name in ("avi", "asf"):
            return None
        packets: dict[int, tuple[int, int]] = {}
        keys: list[int] = []
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None or packet.pts in packets or packet.is_corrupt:
                    return None
                if packet.is_keyframe:
                    keys.append(packet.pts)
                packets[packet.pts] = len(packets), crc32(packet)
        except av.error.FFmpegError:
            return None
        tick = Fraction(stream.time_base or 0)
    stamps = sorted(packets)
    if not keys or not tick or packets[keys[0]][0] != 0 or stamps[0] != keys[0]:
        return None
    starts = sorted(bisect_left(stamps, key) for key in keys)
    return SeekIndex([stamp * tick for stamp in stamps], stamps, starts, packets)


def open_source(path: Path, index: SeekIndex, *, fps: Fraction | None = None) -> FrameSource:
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

    def __init__(self, path: Path, index: SeekIndex) -> None:
        self._path, self._index = path, index
        self._known = index.packets or {}
        self._open = ExitStack()
        self._container, self._stream = self._open.enter_context(open_video(path))

    def close(self) -> None:
        self._open.close()

    def start_of(self, frame: int) -> int:
        return self._index.starts[bisect_right(self._index.starts, frame) - 1]

    def run(self, frame: int, keep: int) -> Iterator[tuple[int, Image]]:
        """As of ``FrameSource``.

        Where what follows a key frame does not decode cleanly (gradual refresh), decoding begins
        at an earlier one, in the end at the first. Where the container does not lead to the same
        packets (program streams), it begins at the start of the file.
        """
        place, back = bisect_right(self._index.starts, keep) - 1, 1
        while True:
            start, began = self._index.starts[max(place, 0)], False
            with suppress(_OtherPackets):
                for number, image, is_clean in self._decode(self._seek(start), start, keep):
                    if not is_clean and not began and place > 0:
                        break
                    began, keep = True, number + 1
                    yield number, image
                else:
                    return
                place, back = place - back, 2 * back
                continue
            for number, image, _ in self._decode(self._reopen(), 0, keep):
                yield number, image
            return

    def _decode(
        self, packets: Iterator[Packet], start: int, keep: int
    ) -> Iterator[tuple[int, Image, bool]]:
        """Number, picture, and whether it and all before it from ``start`` on are undamaged."""
        index, turn, clean = self._index, AS_STORED, True
        for packet in packets:
            try:
                decoded = packet.decode()
            except (av.error.FFmpegError, ValueError):
                decoded = []
            for frame in decoded:
                stamp = frame.pts
                if stamp is None or stamp not in self._known:
                    continue
                number = bisect_left(index.stamps, stamp)
                turn = read_orientation(frame, turn)
                if number < start:
                    continue
                clean = clean and not frame.is_corrupt
                if number >= keep:
                    yield number, turn_upright(frame, turn), clean

    def _seek(self, start: int) -> Iterator[Packet]:
        """The packets from a key frame on, each compared with what it was.

        Raises:
            _OtherPackets: the container leads elsewhere.
        """
        wanted = self._known[self._index.stamps[start]]
        place = bisect_right(self._index.starts, start) - 1
        for back in (0, 1, 3):
            stamp = self._index.stamps[self._index.starts[max(place - back, 0)]]
            try:
                self._container.seek(stamp, stream=self._stream, backward=True)
                packets = self._container.demux(self._stream)
                for packet in packets:
                    found = self._of(packet)
                    if found == wanted:
                        yield packet
                        yield from self._same(packets)
                        return
                    if found is not None and found[0] >= wanted[0]:
                        break
            except av.error.FFmpegError:
                continue
        raise _OtherPackets

    def _same(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        for packet in packets:
            if packet.size and not packet.is_discard and self._of(packet) is None:
                raise _OtherPackets
            yield packet

    def _of(self, packet: Packet) -> tuple[int, int] | None:
        """The packet's place and checksum; None if it is not as it was."""
        known = self._known.get(packet.pts) if packet.pts is not None else None
        return known if known is not None and crc32(packet) == known[1] else None

    def _reopen(self) -> Iterator[Packet]:
        self.close()
        self._open = ExitStack()
        self._container, self._stream = self._open.enter_context(open_video(self._path))
        return self._container.demux(self._stream)
