"""Frames with their true times, in and out, from video files and from folders of frames."""

from __future__ import annotations

import queue
import re
import statistics
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import VideoError, optional_part
from ma2mi.files import unfinished

with optional_part("av", "video"):
    import av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]
T = TypeVar("T")
Number = TypeVar("Number", float, Fraction)

AHEAD = 8  # items that wait for their reader
RECENT_STEPS = 256  # of the newest frames, whose median is the usual step between two frames
KEPT_STEPS = 1024  # of a whole video
LOOKED_PACKETS = 256  # from whose times the frame rate is estimated, none of them decoded
SAME_RATE = Fraction(1, 50)  # a container's frame rate is right if it is off by no more
LEAST_STEPS = 8  # between frames; of fewer, the container's own frame rate is the better guess

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".avi", ".mov", ".mkv", ".webm", ".flv", ".m4v", ".mpg", ".wmv", ".gif")
)
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"))


class VideoNote(UserWarning):
    """What a reader of the results should know about the file; the frames that were read count."""


class TruncatedVideo(VideoNote):
    """A video that ends before its header says, or breaks off; the frames before it are good."""


class ClockRestart(VideoNote):
    """A video whose clock jumps back, such as joined recordings; the pieces are laid end to end."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One upright image and when it was seen.

    Args:
        index: counts decoded frames from 0.
        time_s: exact seconds on the container's own clock, its start offset kept.
        image: uint8 [H, W, 3], RGB.
    """

    index: int
    time_s: Fraction
    image: Image


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video says of itself, without decoding more than one frame.

    Args:
        path: the file or the folder.
        width, height: pixels, after the rotation that the file asks for.
        fps: frames per second: the inverse of the median step between the first frames, or the
            container's average where the two agree; a pause in the recording does not lower it.
        frame_count: as the container states it, None where it does not.
        duration_s: as the container states it, None where it does not.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frame_count: int | None
    duration_s: Fraction | None


def read_frames(
    path: Path | str, *, fps: Fraction | None = None, start: int = 0, stop: int | None = None
) -> Iterator[Frame]:
    """Frames ``start`` to ``stop`` (exclusive) in showing order, one in memory at a time.

    A file's times are ``pts * time_base``, and they rise. A frame without pts comes one usual
    step after the one before it (the first one at the stream's start); the usual step is the
    median of the last 256. Where the clock jumps back, as in joined recordings, the pieces are
    laid end to end with one usual step between them, and a ``ClockRestart`` warning says so.
    A jump forward is kept: nobody knows what happened meanwhile. AVI stores the times of decoding
    only; there frames are as far apart as these. Rotation is applied in quarter turns, mirroring
    is not. Colours follow the file's own matrix and range; untagged files count
    as BT.601, limited range. Grey becomes three equal channels, deeper video 8 bits.

    A folder's images are sorted by the numbers in their names ("img2" before "img10"), and
    frame i is seen at ``i / fps``. 16-bit images become ``round(x / 257)``, so that black and
    white stay black and white.

    A file that breaks off gives the frames that decode, then a ``TruncatedVideo`` warning.

    Args:
        path: a video file, or a folder of images.
        fps: needed for a folder; not used for a file, which has times of its own.
        start, stop: frame indices; what lies before ``start`` is decoded and skipped.

    Raises:
        VideoError: missing, empty or undecodable input, audio only, images of different sizes.
    """
    path = Path(path)
    if start < 0 or (stop is not None and stop < start):
        raise VideoError(f"frames {start} to {stop} are no range", where=path)
    if path.is_dir():
        return _read_folder(path, _folder_rate(path, fps), start, stop)
    _check_file(path)
    return islice(_read_file(path, start), None if stop is None else stop - start)


def inspect_video(path: Path | str, *, fps: Fraction | None = None) -> VideoInfo:
    """Size, rate and length of a video file or a folder of frames; decodes one frame.

    Raises:
        VideoError: as ``read_frames``.
    """
    path = Path(path)
    if path.is_dir():
        rate = _folder_rate(path, fps)
        files = list_images(path)
        height, width = read_image(files[0]).shape[:2]
        return VideoInfo(path, width, height, rate, len(files), len(files) / rate)
    _check_file(path)
    with _open(path) as (container, stream):
        first, times = _look(container, stream, path)
        width, height = first.width, first.height
        if _quarter_turns(first) % 2:
            width, height = height, width
        return VideoInfo(
            path,
            width,
            height,
            _frame_rate(stream, times),
            stream.frames or None,
            _duration(container, stream),
        )


def usual_step(steps: Sequence[Number]) -> Number:
    """The step between frames that no pause, gap or lost frame distorts.

    It is the mean of the steps that differ from their median by less than half of it: clocks that
    count milliseconds show 30 frames a second as steps of 33, 33 and 34 ms, and a plain median
    would make 30.3 of them.

    Args:
        steps: seconds between frames that follow one another, at least one, all above 0.
    """
    middle = statistics.median_low(steps)
    usual = [step for step in steps if abs(step - middle) < middle / 2]
    return sum(usual[1:], usual[0]) / len(usual)


class StepMeter:
    """Steps between the frames of a video of any length, summed up in constant memory.

    Attributes:
        sample: an even sample of them, seconds.
        longest_s: the longest step so far, seconds.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.sample: list[float] = []
        self._before_s: float | Fraction | None = None
        self._count, self._every = 0, 1

    def push(self, time_s: float | Fraction) -> None:
        """When the next frame is seen, in seconds; a frame that is no later is passed over."""
        before, self._before_s = self._before_s, time_s
        step_s = 0.0 if before is None else float(time_s - before)
        if step_s <= 0:
            return
        self.longest_s = max(self.longest_s, step_s)
        if self._count % self._every == 0:
            self.sample.append(step_s)
            if len(self.sample) > KEPT_STEPS:
                self.sample = self.sample[::2]
                self._every *= 2
        self._count += 1

    @property
    def usual_s(self) -> float | None:
        """The usual step as :func:`usual_step` has it; None until two frames were seen."""
        return usual_step(self.sample) if self.sample else None


@contextmanager
def ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The items, made in a thread of their own a few ahead; stops it when the reader stops."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(entry: tuple[bool, Any]) -> bool:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:  # handed to the reader, who raises it
            put((False, error))

    def read() -> Iterator[T]:
        while True:
            more, item = ready.get()
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item

    thread = threading.Thread(target=work, name="ma2mi-ahead", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        stop.set()
        thread.join()


def write_video(
    path: Path | str,
    images: Iterable[Image],
    fps: Fraction | int,
    *,
    lossless: bool = False,
    quick: bool = False,
    crf: int | None = None,
) -> None:
    """Write RGB images as H.264 (.mp4, yuv420p, crf 18), or bit for bit as FFV1 (.mkv).

    The file appears under its name only when it is complete. Odd sizes gain one column or row in
    H.264, a copy of the last one, because yuv420p needs even sizes. Matroska keeps times to a
    millisecond; mp4 keeps them exactly.

    Args:
        path: ends in .mp4, or .mkv when ``lossless``; an existing file is replaced.
        images: uint8 [H, W, 3], all of one size, at least one.
        fps: frames per second.
        quick: a third of the time for a larger file that is a little less fine (crf 20).
        crf: another quality of H.264, 0 to 51, larger is worse.

    Raises:
        VideoError: wrong suffix, no image, images of other shape or type, or ffmpeg's refusal.
    """
    path = Path(path)
    suffix = ".mkv" if lossless else ".mp4"
    if path.suffix.lower() != suffix:
        raise VideoError(
            f"a {'lossless' if lossless else 'H.264'} video is written as {suffix}",
            where=path,
            cure=f"Name it {path.stem}{suffix}",
        )
    if fps <= 0:
        raise VideoError(f"fps {fps} is no frame rate", where=path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished(path) as part:
            checked, rate = _checked(images, path), Fraction(fps)
            _encode(part, checked, rate, lossless=lossless, quick=quick, crf=crf)
    except av.error.FFmpegError as error:
        raise VideoError(f"cannot be written ({error.strerror})", where=path) from error


def write_frames(
    folder: Path | str, images: Iterable[Image], *, pattern: str = "img{index}.png", first: int = 1
) -> None:
    """Write RGB images as a folder of frames; the pattern's suffix chooses the format.

    Args:
        folder: made if missing.
        images: uint8 [H, W, 3], all of one size, at least one.
        pattern: file name with ``{index}`` in it, such as "img{index:03d}.jpg".
        first: index of the first image.

    Raises:
        VideoError: no image, images of other shape or type, a pattern that names no image file.
    """
    folder = Path(folder)
    if Path(pattern).suffix.lower() not in IMAGE_SUFFIXES or "{index" not in pattern:
        raise VideoError(
            "names no numbered image", where=pattern, cure='Use one such as "img{index}.png"'
        )
    with optional_part("cv2", "video"):
        import cv2
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(_checked(images, folder), start=first):
        _, coded = cv2.imencode(Path(pattern).suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        (folder / pattern.format(index=index)).write_bytes(coded.tobytes())


def list_videos(folder: Path | str) -> list[Path]:
    """Every video file and every folder that directly holds images, at any depth, sorted naturally.

    Suffixes count in any case; names that begin with a dot are passed over.

    Raises:
        VideoError: ``folder`` is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError("is no folder", where=folder, cure="Give a folder that holds videos")
    found = set()
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        suffix = path.suffix.lower()
        if suffix in VIDEO_SUFFIXES and path.is_file():
            found.add(path)
        elif suffix in IMAGE_SUFFIXES and path.is_file():
            found.add(path.parent)
    return sorted(found, key=lambda path: [_natural(part) for part in path.parts])


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key: runs of digits by their value, the rest by letters; the name breaks ties."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts], name


# Folders of frames


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in the order in which ``read_frames`` shows them, at least one.

    Raises:
        VideoError: there is none.
    """
    images = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if not images:
        raise VideoError(
            "the folder holds no images",
            where=folder,
            cure=f"Frames are files that end in {' '.join(sorted(IMAGE_SUFFIXES))}",
        )
    return sorted(images, key=lambda path: _natural(path.name))


def _folder_rate(folder: Path, fps: Fraction | None) -> Fraction:
    if fps is None or fps <= 0:
        raise VideoError(
            "a folder of frames carries no times", where=folder, cure="Give its frame rate as fps"
        )
    return Fraction(fps)


def _read_folder(folder: Path, fps: Fraction, start: int, stop: int | None) -> Iterator[Frame]:
    files = list_images(folder)
    shape = None
    for index, file in list(enumerate(files))[start:stop]:
        image = read_image(file)
        shape = shape or image.shape
        if image.shape != shape:
            raise VideoError(
                f"is {image.shape[1]}x{image.shape[0]}, the frames before it"
                f" are {shape[1]}x{shape[0]}",
                where=file,
                cure="Bring all frames to one size",
            )
        yield Frame(index, index / fps, image)


def read_image(file: Path) -> Image:
    """One image file as uint8 [H, W, 3], RGB; 16 bits become 8 as in ``read_frames``.

    Raises:
        VideoError: it is no readable image, or neither 8 nor 16 bits deep.
    """
    with optional_part("cv2", "video"):
        import cv2
    coded = np.fromfile(file, np.uint8)  # cv2.imread fails on names that are not ASCII on Windows
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    image = cv2.imdecode(coded, flags) if coded.size else None
    if image is None:
        raise VideoError("is no readable image", where=file, cure="Copy or extract it again")
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise VideoError(
            f"has pixels of type {image.dtype}", where=file, cure="Save it with 8 or 16 bits"
        )
    return np.ascontiguousarray(image[..., ::-1])


# Video files


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise VideoError("does not exist", where=path, cure="Check the path")
    if path.stat().st_size == 0:
        raise VideoError("has zero bytes", where=path, cure="Copy or download it again")


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        # "file:" keeps ffmpeg from taking a name with a colon for a protocol.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.error.FFmpegError as error:
        with path.open("rb") as file:
            is_mp4 = file.read(12)[4:8] == b"ftyp"
        if is_mp4:
            raise VideoError(
                "the recording was cut off before its index was written (no moov atom)",
                where=path,
                cure="Copy it again, or repair it from another recording of the same camera",
            ) from error
        raise VideoError(
            f"is no video that ffmpeg knows ({error.strerror})",
            where=path,
            cure="Copy it again, or convert it to mp4",
        ) from error
    with container:
        stream = next((s for s in container.streams.video if not _is_cover(s)), None)
        if stream is None:
            raise VideoError("holds no picture, only sound or data", where=path)
        yield container, stream


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _read_file(path: Path, start: int) -> Iterator[Frame]:
    with _open(path) as (container, stream):
        clock = _Clock(container, stream, path)
        count, end_s, broken = 0, Fraction(0), False
        frames = container.decode(stream)
        while True:
            try:
                frame = next(frames, None)
            except av.error.FFmpegError as error:
                if count == 0:
                    raise _undecodable(path) from error
                broken = True
                break
            if frame is None:
                break
            time_s = clock.read(frame)
            end_s = time_s + ((frame.duration or 0) * clock.tick(frame) or clock.usual_step_s)
            if count >= start:
                yield Frame(count, time_s, _upright(frame))
            count += 1
        if count == 0:
            raise _undecodable(path)
        clock.close()
        if broken or _falls_short(container, end_s, clock.usual_step_s):
            warnings.warn(
                f"{path}: breaks off after frame {count - 1} ({float(clock.time_s):.3f} s)",
                TruncatedVideo,
                stacklevel=2,
            )


class _Clock:
    """Rising times of the frames of one file, in showing order, as exact as its time stamps.

    Attributes:
        time_s: of the newest frame, on the container's own clock, its start offset kept.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        self._path = path
        self._tick_s = Fraction(stream.time_base or 0)
        self._average_step_s = 1 / _average_rate(stream)
        self._steps: deque[Fraction] = deque(maxlen=RECENT_STEPS)
        self.time_s = (stream.start_time or 0) * self._tick_s - self._average_step_s
        # AVI stores no times of showing: what it gives as pts is in the order of decoding.
        self._no_pts = container.format.name == "avi"
        self._newest: dict[str, int] = {}
        self._faults = {"pts": 0, "dts": 0}
        self._kind, self._shift_s = "pts", Fraction(0)
        self._frames = self._restarts = 0

    @property
    def usual_step_s(self) -> Fraction:
        """Seconds from frame to frame: the median of the newest steps."""
        return statistics.median_low(self._steps) if self._steps else self._average_step_s

    def tick(self, frame: VideoFrame) -> Fraction:
        """Seconds of one unit of the frame's time stamps."""
        return Fraction(frame.time_base or self._tick_s)

    def read(self, frame: VideoFrame) -> Fraction:
        """When the next frame is seen: later than the one before it."""
        before, self.time_s = self.time_s, self.time_s + self.usual_step_s
        kind, stamp = self._stamp(frame)
        if stamp is not None:
            time_s = stamp * self.tick(frame) + self._shift_s
            restarts = self._frames > 0 and time_s <= before
            if kind != self._kind or restarts:
                self._shift_s += self.time_s - time_s
                if kind == self._kind:
                    self._tell(before - time_s)
                self._kind = kind
            else:
                self.time_s = time_s
            if self._frames:
                self._steps.append(self.time_s - before)
        self._frames += 1
        return self.time_s

    def close(self) -> None:
        """Say in how many pieces the file came, if there were more than two."""
        if self._restarts > 1:
            words = f"the clock jumps back {self._restarts} times in all"
            warnings.warn(f"{self._path}: {words}", ClockRestart, stacklevel=3)

    def _stamp(self, frame: VideoFrame) -> tuple[str, int | None]:
        """The better of a frame's two time stamps: the one that failed to rise less often.

        ffmpeg's own best-effort time stamps choose so, too (``guess_correct_pts``).
        """
        for kind, stamp in (("pts", frame.pts), ("dts", frame.dts)):
            if stamp is not None:
                self._faults[kind] += stamp <= self._newest.get(kind, stamp - 1)
                self._newest[kind] = stamp
        by_dts = self._no_pts or self._faults["pts"] > self._faults["dts"]
        return ("dts", frame.dts) if by_dts else ("pts", frame.pts)

    def _tell(self, back_s: Fraction) -> None:
        self._restarts += 1
        if self._restarts == 1:
            warnings.warn(
                f"{self._path}: the clock jumps back by {float(back_s):.3f} s after frame"
                f" {self._frames - 1}; the pieces are laid end to end",
                ClockRestart,
                stacklevel=4,
            )


def _upright(frame: VideoFrame) -> Image:
    image = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    turns = _quarter_turns(frame)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _quarter_turns(frame: VideoFrame) -> int:
    """Counter-clockwise quarter turns that the display matrix asks for, 0 to 3."""
    return round(frame.rotation / 90) % 4


def _look(
    container: InputContainer, stream: VideoStream, path: Path
) -> tuple[VideoFrame, list[Fraction]]:
    """The first frame, and when the first packets are decoded."""
    first, times = None, []
    try:
        for count, packet in enumerate(container.demux(stream)):
            if packet.dts is not None:
                times.append(packet.dts * Fraction(packet.time_base or stream.time_base or 0))
            if first is None:
                first = next(iter(packet.decode()), None)
            elif count >= LOOKED_PACKETS:
                break
    except av.error.FFmpegError as error:
        if first is None:
            raise _undecodable(path) from error
    if first is None:
        raise _undecodable(path)
    return first, times


def _average_rate(stream: VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return Fraction(rate) if rate else Fraction(25)  # ffmpeg's own default rate


def _frame_rate(stream: VideoStream, times: Sequence[Fraction]) -> Fraction:
    """The container's average rate, unless the usual step of its first packets denies it.

    Args:
        stream: of the file.
        times: of decoding, in the order of the packets; steps back are passed over.
    """
    average = _average_rate(stream)
    steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    if len(steps) < LEAST_STEPS:
        return average
    step_s = usual_step(steps)
    near = max(Fraction(stream.time_base or 0), SAME_RATE * step_s)
    return average if abs(1 / average - step_s) <= near else (1 / step_s).limit_denominator(1001)


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    duration = container.duration
    return Fraction(duration, av.time_base) if duration else None


def _falls_short(container: InputContainer, end_s: Fraction, step_s: Fraction) -> bool:
    """Whether a file of one stream ends well before its header says.

    Some demuxers take a missing end for the end. Beside a picture, sound may rightly last longer.
    """
    if len(container.streams) != 1 or not container.duration:
        return False
    promised_s = Fraction(container.duration + (container.start_time or 0), av.time_base)
    return promised_s - end_s > max(5 * step_s, Fraction(container.duration, 20 * av.time_base))


def _undecodable(path: Path) -> VideoError:
    return VideoError("no frame of it decodes", where=path, cure="Copy it again, or convert it")


# Writing


def _checked(images: Iterable[Image], where: Path) -> Iterator[Image]:
    """The images as they are, or a VideoError at the first that does not fit."""
    shape = None
    for index, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise VideoError(
                f"image {index} is {image.dtype} {list(image.shape)}",
                where=where,
                cure="Give uint8 [H, W, 3], RGB",
            )
        shape = shape or image.shape
        if image.shape != shape:
            raise VideoError(
                f"image {index} is {list(image.shape)}, the first is {list(shape)}", where=where
            )
        yield np.ascontiguousarray(image)
    if shape is None:
        raise VideoError("there are no images to write", where=where)


def _encode(
    path: Path,
    images: Iterator[Image],
    fps: Fraction,
    *,
    lossless: bool,
    quick: bool,
    crf: int | None,
) -> None:
    first = next(images)
    height, width = first.shape[:2]
    if lossless:
        container_format, codec, pixels, options = "matroska", "ffv1", "bgr0", {}
        bottom = right = 0
    else:
        container_format, codec, pixels = "mp4", "libx264", "yuv420p"
        options = {"crf": "20", "preset": "ultrafast"} if quick else {"crf": "18"}
        options |= {} if crf is None else {"crf": str(crf)}
        # With B frames x264's look-ahead (mbtree) reads memory that nobody wrote: the same images
        # would give other bytes in the next process, or the second time in this one.
        options |= {"bf": "0"}
        bottom, right = height % 2, width % 2
    # bitexact: the same images give the same bytes (Matroska would add a random number).
    flags = {"fflags": "+bitexact"}
    with av.open(f"file:{path}", "w", container_format, container_options=flags) as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=fps, options=options))
        stream.width, stream.height, stream.pix_fmt = width + right, height + bottom, pixels
        # Bytes depend on their number, and must not on the machine's cores. Whoever is in a hurry
        # has other work for them.
        stream.codec_context.thread_count = 1 if quick else 4
        for index, image in enumerate(chain([first], images)):
            if bottom or right:
                image = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
            if quick:
                frame = av.VideoFrame.from_ndarray(_yuv(image), format="yuv420p")
            else:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _yuv(image: Image) -> Image:
    """As ffmpeg would convert it, but for roundings, in a fifth of the time."""
    with optional_part("cv2", "video"):
        import cv2
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), np.uint8)
