"""One video file, opened: its picture stream, what decodes, and what it states."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ma2mi.arrays import Image
from ma2mi.errors import VideoError, optional_part
from ma2mi.video.frame import add_note, check_size
from ma2mi.video.steps import typical_step

with optional_part("av", "video"):
    import av
    from av.sidedata.sidedata import Type as SideData
if TYPE_CHECKING:
    from av.container import Container, InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

PROBED_PACKETS = 256  # from whose times the frame rate is estimated, none of them decoded
SAME_RATE = Fraction(1, 50)  # a container's frame rate is right if it is wrong by no more
LEAST_STEPS = 8  # between frames; of fewer, the container's own frame rate is the better estimate
SQUARE = Fraction(1, 50)  # pixels whose sides differ by no more count as square
SLOW_MOTION = Fraction(3, 2)  # recorded so many times faster than it plays: slow motion
INTERLACED = "is interlaced: each frame shows two moments in alternate rows"
NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS of libavformat/avformat.h
LOST_READS = 64  # failures to read from a container, one after the other, that end a file


def recorded_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """The rate of the camera as Android and QuickTime state it, if they do."""
    tags = {**container.metadata, **stream.metadata}
    for name, value in tags.items():
        if name.lower() in ("com.android.capture.fps", "com.apple.quicktime.capture.fps"):
            with suppress(ValueError, ZeroDivisionError, OverflowError):
                rate = Fraction(float(value)).limit_denominator(1001)
                return rate if rate > 0 else None
    return None


def check_file(path: Path) -> None:
    if os.path.lexists(path) and not path.exists():
        raise VideoError("is a link that leads nowhere", where=path, hint="Check the path")
    if not path.exists():
        raise VideoError("does not exist", where=path, hint="Check the path")
    if not path.is_file():
        raise VideoError(
            "is a stream, not a file",
            where=path,
            hint="Save it to a file first, or watch a camera with --camera",
        )
    if path.stat().st_size == 0:
        raise VideoError("has zero bytes", where=path, hint="Copy or download it again")


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        # PyAV takes no names that are not Unicode, but files.
        with path.open("rb") as file, _opened(path, file) as known:
            yield known
        return
    # "file:" keeps ffmpeg from taking a name with a colon for a protocol.
    with _opened(path, f"file:{path}") as known:
        yield known


@contextmanager
def _opened(path: Path, source: Any) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        container = av.open(source, metadata_errors="replace")
    except av.error.FFmpegError as error:
        if _lacks_index(path):
            raise VideoError(
                "the recording was cut off before its index was written (no moov atom)",
                where=path,
                hint="Copy it again, or repair it from another recording of the same camera",
            ) from error
        raise VideoError(
            f"is not a video that ffmpeg can read ({error.strerror})",
            where=path,
            hint="Copy it again, or convert it to mp4",
        ) from error
    with container:
        stream = next((s for s in container.streams.video if not _is_cover(s)), None)
        if stream is None:
            raise VideoError(
                "holds no picture, only sound or data",
                where=path,
                hint="Give the file that holds the picture",
            )
        context: Any = stream.codec_context  # PyAV's stubs do not know that there may be none
        if context is None:
            raise VideoError(
                "is coded in a way that ffmpeg does not know",
                where=path,
                hint="Convert it with the program that wrote it",
            )
        # Without this the decoder keeps back pictures whose reference is missing.
        stream.codec_context.flags |= av.codec.context.Flags.output_corrupt
        check_size(stream.codec_context.width, stream.codec_context.height, path)
        yield container, stream


def _lacks_index(path: Path) -> bool:
    """Whether a file is an MP4 (ISO/IEC 14496-12) whose boxes end before there is a moov."""
    with path.open("rb") as file:
        if file.read(12)[4:8] != b"ftyp":
            return False
        place, end = 0, path.stat().st_size
        while place + 8 <= end:
            file.seek(place)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if head[4:8] == b"moov":
                return False
            if size == 1:  # a long one
                size = int.from_bytes(head[8:16], "big")
            if size < 8:  # 0: up to the end
                break
            place += size
    return True


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


class Decoder:
    """The frames of a file one by one, whatever lies between them.

    Attributes:
        lost: packets that did not decode, without those at the very end.
        first_lost: frames before the first of them.
        concealed: frames whose errors the decoder concealed; ``last_concealed``: the last one.
        headless: packets before the first key frame; 0 where no packet is marked as one.
        broken: the file ends in what does not decode.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self.lost = self.concealed = self.headless = 0
        self.first_lost = 0
        self.broken = self.last_concealed = False

    def frames(self) -> Iterator[VideoFrame]:
        count, open_lost, seen_key, before_key = 0, 0, False, 0
        for packet in self.packets():
            if packet is None:
                open_lost += 1
                continue
            if packet.is_keyframe and not seen_key:
                seen_key, self.headless = True, before_key
            before_key += bool(packet.size)
            try:
                decoded = packet.decode()
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, ValueError):
                open_lost += 1
                continue
            for frame in decoded:
                if open_lost:
                    self.first_lost = self.first_lost if self.lost else count
                    self.lost, open_lost = self.lost + open_lost, 0
                self.last_concealed = bool(frame.is_corrupt)
                self.concealed += self.last_concealed
                count += 1
                yield frame
        self.broken = open_lost > 0

    def packets(self) -> Iterator[Any]:
        """The packets of the stream, an empty one last; None where the container is damaged."""
        failed = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failed = 0
                    yield packet
                return
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                failed += 1
                yield None
                if failed >= LOST_READS:
                    return


def note_form(
    frame: VideoFrame,
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    *,
    is_known: bool,
) -> None:
    """Notes on the form of the pictures, and on their rate unless it is known."""
    if frame.interlaced_frame:
        add_note(path, f"{INTERLACED}; deinterlace it first, such as by ffmpeg -vf bwdif")
    aspect = stream.sample_aspect_ratio
    if aspect and aspect > 0 and abs(aspect - 1) > SQUARE:
        as_is = "the picture is taken as it is stored"
        add_note(path, f"pixels are {aspect.numerator}:{aspect.denominator}, not square; {as_is}")
    recorded, plays = recorded_rate(container, stream), average_frame_rate(stream)
    if recorded and recorded > SLOW_MOTION * plays and not is_known:
        add_note(
            path,
            f"slow motion: recorded at {float(recorded):g} frames a second, plays at"
            f" {float(plays):g}; times are those of playing unless its frame rate is given",
        )


Turn = tuple[tuple[int, int], tuple[int, int]]
AS_STORED: Turn = ((1, 0), (0, 1))


def turn_upright(frame: VideoFrame, turn: Turn) -> Image:
    image = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    (a, b), (c, d) = turn
    if b or c:  # x goes down, y goes across
        image = image.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    if down < 0:
        image = image[::-1]
    if across < 0:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def read_orientation(frame: VideoFrame, before: Turn = AS_STORED) -> Turn:
    """Where the display matrix takes x and y: ((a, b), (c, d)), x to (a, b) and y to (c, d).

    Quarter turns and mirrorings; what lies between goes to the nearest. A matrix in the bit stream
    (the display orientation of H.264 and HEVC) comes with key frames and holds until the next one.
    ISO/IEC 14496-12, 8.2.2: nine 32-bit numbers a b u c d v x y w, of which a to d are 16.16.

    Args:
        frame: as decoded.
        before: of the frame before it.
    """
    stored = b""
    # PyAV raises for kinds that it does not know, such as the EXIF of a camera's JPEGs.
    with suppress(ValueError):
        sides: Any = frame.side_data  # its stubs call it a mapping of words
        stored = next((bytes(one) for one in sides if one.type == SideData.DISPLAYMATRIX), b"")
    if len(stored) < 20:
        return AS_STORED if frame.key_frame else before
    a, b, _, c, d = struct.unpack("=5i", stored[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1, 0), (0, -1 if d < 0 else 1)
    return (0, -1 if b < 0 else 1), (-1 if c < 0 else 1, 0)


def is_lying(frame: VideoFrame) -> bool:
    return bool(read_orientation(frame)[0][1])


def probe_stream(
    container: InputContainer, stream: VideoStream, path: Path
) -> tuple[VideoFrame, list[Fraction]]:
    """The first frame, and when the first packets are decoded."""
    first, times = None, []
    # What does not decode is reported by ``read_frames``.
    for count, packet in enumerate(Decoder(container, stream).packets()):
        if packet is None:
            continue
        if packet.dts is not None:
            times.append(packet.dts * Fraction(packet.time_base or stream.time_base or 0))
        if first is None:
            with suppress(av.error.FFmpegError, ValueError):
                first = next(iter(packet.decode()), None)
        elif count >= PROBED_PACKETS:
            break
    if first is None:
        raise undecodable_error(path)
    return first, times


def average_frame_rate(stream: VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    # Of a bare stream the average is what ffmpeg takes by default; the codec may know better.
    if not has_clock(stream.container):
        rate = stream.guessed_rate or rate
    return Fraction(rate) if rate else Fraction(25)  # ffmpeg's own default rate


def has_clock(container: Container) -> bool:
    """Whether a container states times; ffmpeg makes them up for bare streams such as .m2v."""
    return not container.format.flags & NO_TIMES


def frame_rate(stream: VideoStream, times: Sequence[Fraction]) -> Fraction:
    """The container's average rate, unless the typical step of its first packets contradicts it.

    Args:
        stream: of the file.
        times: of decoding, in the order of the packets; steps back are passed over.
    """
    average = average_frame_rate(stream)
    if not has_clock(stream.container):
        return average
    steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    if len(steps) < LEAST_STEPS:
        return average
    step_s = typical_step(steps)
    tick = Fraction(stream.time_base or 0)
    # Steps of three ticks or less, such as 1 and 2 of film shown at 30, are no even sample.
    tolerance = tick if step_s < 3 * tick else 2 * tick / len(steps)
    near = max(tolerance, SAME_RATE * step_s)
    return average if abs(1 / average - step_s) <= near else (1 / step_s).limit_denominator(1001)


def stated_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    duration = container.duration
    return Fraction(duration, av.time_base) if duration else None


def falls_short(container: InputContainer, end_s: Fraction, step_s: Fraction) -> bool:
    """Whether a file of one stream ends well before its header says.

    Some demuxers take a missing end for the end. Beside a picture, sound may rightly last longer.
    """
    if len(container.streams) != 1 or not container.duration:
        return False
    # Matroska counts its length from 0, others from the first frame.
    start = 0 if "matroska" in container.format.name else container.start_time or 0
    promised_s = Fraction(container.duration + start, av.time_base)
    return promised_s - end_s > max(5 * step_s, Fraction(container.duration, 20 * av.time_base))


def undecodable_error(path: Path) -> VideoError:
    return VideoError("no frame of it decodes", where=path, hint="Copy it again, or convert it")
