"""Frames with their true times, in and out, from video files and from folders of frames."""

from __future__ import annotations

import os
import queue
import re
import statistics
import struct
import threading
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import VideoError, optional_part, store_error
from ma2mi.files import holds_results, unfinished

with optional_part("av", "video"):
    import av
    from av.sidedata.sidedata import Type as SideData

if TYPE_CHECKING:
    from av.container import Container, InputContainer
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

LONGEST_SIDE_PX = 8192  # 8K video is 7680 wide; a face detector looks at a square of that side
SQUARE = Fraction(1, 50)  # pixels whose sides differ by no more count as square
SLOW_MOTION = Fraction(3, 2)  # recorded so many times faster than it plays: slow motion
DEPTHS = (8, 10, 12, 14, 16)  # bits in which cameras count
DEPTH_LOOKS = 9  # TIFF pages of a folder, of which one shows 16 bits if any does
INTERLACED = "is interlaced: each frame shows two moments in alternate rows"
_LAST_NUMBER = re.compile(r"^(.*?)(\d{1,18})(\D*)$")
NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS of libavformat/avformat.h
STRAY_STEPS = 3  # usual steps between two frames, beyond which neither denies the one between
LOST_READS = 64  # failures to read from a container, one after the other, that end a file

#: The containers that ffmpeg opens, by the names under which cameras and programs write them.
VIDEO_SUFFIXES = frozenset(
    re.findall(
        r"\S+",
        ".3g2 .3gp .amv .asf .av1 .avi .divx .dv .f4v .flv .gif .gxf .h261 .h263 .h264 .hevc .ivf"
        " .m1v .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nut"
        " .obu .ogm .ogv .qt .rm .rmvb .roq .tod .ts .vob .webm .wmv .wtv .y4m",
    )
)
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"))


class VideoNote(UserWarning):
    """What a reader of the results should know about the file; the frames that were read count."""


class TruncatedVideo(VideoNote):
    """A video that ends before its header says, or breaks off; the frames before it are good."""


class DamagedVideo(VideoNote):
    """A video of which some packets do not decode, or only with errors that are painted over."""


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
        recorded_fps: frames per second of the recording as a slow-motion file states them, None
            where it does not.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frame_count: int | None
    duration_s: Fraction | None
    recorded_fps: Fraction | None = None


def read_frames(
    path: Path | str, *, fps: Fraction | None = None, start: int = 0, stop: int | None = None
) -> Iterator[Frame]:
    """Frames ``start`` to ``stop`` (exclusive) in showing order, one in memory at a time.

    A file's times are ``pts * time_base``, and they rise. A frame without pts comes one usual
    step after the one before it (the first one at the stream's start); the usual step is the
    median of the last 256. Where the clock jumps back, as in joined recordings, the pieces are
    laid end to end with one usual step between them, and a ``ClockRestart`` warning says so.
    A time that does not lie between those before and after it, which agree, goes to their middle.
    A jump forward is kept: nobody knows what happened meanwhile. AVI and ASF store the times of
    decoding only; there frames are as far apart as these. Bare streams such as .m2v have no times;
    there frames come at the stream's rate. Quarter turns and mirrorings that the file asks
    for are applied. Colours follow the file's own matrix and range; untagged files count
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
        raise VideoError(f"frames {start} to {stop} are no range", where=path)
    if needs_rate(path):
        return _read_folder(path, _folder_rate(path, fps), start, stop)
    _check_file(path)
    frames = islice(_read_file(path, start, fps), None if stop is None else stop - start)
    factor = _slow_motion(path, fps)
    if factor == 1:
        return frames
    return (replace(frame, time_s=frame.time_s * factor) for frame in frames)


def read_times(path: Path | str, *, fps: Fraction | None = None) -> list[Fraction]:
    """When each frame of ``read_frames`` is seen, seconds; decodes all, and makes no picture.

    Packets cannot tell: some do not decode, and are no frames.

    Raises:
        VideoError: as ``read_frames``, but for pictures of different sizes.
    """
    path = Path(path)
    if needs_rate(path):
        rate = _folder_rate(path, fps)
        return [place / rate for place in _even_places(_list_pages(path))]
    _check_file(path)
    factor = _slow_motion(path, fps)
    with _open(path) as (container, stream):
        clock, decoder = _Clock(container, stream, path), _Decoder(container, stream)
        times = [clock.read(*pair) * factor for pair in _with_next(decoder.frames())]
    if not times:
        raise _undecodable(path)
    return times


def inspect_video(path: Path | str, *, fps: Fraction | None = None) -> VideoInfo:
    """Size, rate and length of a video file or a folder of frames; decodes one frame.

    Raises:
        VideoError: as ``read_frames``.
    """
    path = Path(path)
    if needs_rate(path):
        rate = _folder_rate(path, fps)
        images = _list_pages(path)
        height, width = read_image(*images[0]).shape[:2]
        last = _even_places(images)[-1]
        return VideoInfo(path, width, height, rate, len(images), (last + 1) / rate)
    _check_file(path)
    with _open(path) as (container, stream):
        first, times = _look(container, stream, path)
        width, height = first.width, first.height
        if _is_lying(first):
            width, height = height, width
        rate = _frame_rate(stream, times)
        duration, factor = _duration(container, stream), _factor(rate, fps)
        return VideoInfo(
            path,
            width,
            height,
            rate / factor,
            stream.frames or None,
            None if duration is None else duration * factor,
            _recorded_rate(container, stream),
        )


def needs_rate(path: Path) -> bool:
    """Whether a video carries no times: a folder of frames, or a TIFF of several pages."""
    return path.is_dir() or _page_count(path) > 1


def _factor(plays: Fraction, fps: Fraction | None) -> Fraction:
    """Of the times of a file that plays at a rate, where it was recorded at ``fps``."""
    if fps is None:
        return Fraction(1)
    factor = plays / Fraction(fps)
    return Fraction(1) if abs(factor - 1) <= SAME_RATE else factor


def _slow_motion(path: Path, fps: Fraction | None) -> Fraction:
    return Fraction(1) if fps is None else _factor(inspect_video(path).fps, fps)


def _recorded_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """What Android and QuickTime tell of the camera's rate, if they do."""
    tags = {**container.metadata, **stream.metadata}
    for name, value in tags.items():
        if name.lower() in ("com.android.capture.fps", "com.apple.quicktime.capture.fps"):
            with suppress(ValueError, ZeroDivisionError, OverflowError):
                rate = Fraction(float(value)).limit_denominator(1001)
                return rate if rate > 0 else None
    return None


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
        StoreError: it cannot be written.
    """
    folder = Path(folder)
    if Path(pattern).suffix.lower() not in IMAGE_SUFFIXES or "{index" not in pattern:
        raise VideoError(
            "names no numbered image", where=pattern, cure='Use one such as "img{index}.png"'
        )
    with optional_part("cv2", "video"):
        import cv2
    for index, image in enumerate(_checked(images, folder), start=first):
        _, coded = cv2.imencode(Path(pattern).suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / pattern.format(index=index)).write_bytes(coded.tobytes())
        except OSError as error:
            raise store_error(error, folder) from error


def list_videos(folder: Path | str) -> list[Path]:
    """Every video file and every folder that directly holds images, at any depth, sorted naturally.

    Suffixes count in any case; names that begin with a dot are passed over. A TIFF of several
    pages counts as a video. Links are followed, each folder is entered once; folders below it that
    hold results of this package are not.

    Raises:
        VideoError: ``folder`` is none.
    """
    return _sorted(path for path, is_video in _walk(folder) if is_video)


def list_others(folder: Path | str) -> list[Path]:
    """The other files in which ffmpeg finds a moving picture, whatever they are called, sorted.

    Raises:
        VideoError: ``folder`` is none.
    """
    return _sorted(path for path, is_video in _walk(folder) if not is_video and _moves(path))


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(set(paths), key=lambda path: [_natural(part) for part in path.parts])


def _walk(folder: Path | str) -> Iterator[tuple[Path, bool]]:
    """Files, and folders that hold images, each with whether its name says that it is a video."""
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError("is no folder", where=folder, cure="Give a folder that holds videos")
    entered: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:  # a link that leads in a circle, or to what was seen
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(
            name for name in folders if name[0] != "." and not holds_results(Path(place, name))
        )
        for name in files:
            path = Path(place, name)
            suffix = path.suffix.lower()
            if name.startswith(".") or not path.is_file():
                continue
            if suffix in VIDEO_SUFFIXES:
                yield path, suffix != ".ts" or _is_transport(path)
            elif suffix in IMAGE_SUFFIXES:
                yield (path if _page_count(path) > 1 else path.parent), True
            else:
                yield path, False


def _is_transport(path: Path) -> bool:
    """Whether a .ts holds packets: TypeScript is called so, too."""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(193)
        return head[:1] == b"G" or head[4:5] == b"G"
    return True  # what cannot be read fails in its turn


#: Files that lie beside videos and are none; ffmpeg takes some text for video.
_NO_VIDEO = frozenset(
    re.findall(
        r"\S+",
        ".aac .ass .bids .boris .cfg .conf .csv .db .doc .docx .eaf .flac .htm .html .ini .json"
        " .js .log .lock .m4a .md .mp3 .npy .npz .ods .ogg .parquet .pdf .pfsx .pickle .pkl .py"
        " .rtf .rst .safetensors .srt .sub .svg .toml .tsv .txt .vtt .wav .webp .wma .xls .xlsx"
        " .xml .yaml .yml .zip",
    )
)


def _moves(path: Path) -> bool:
    if path.suffix.lower() in _NO_VIDEO:
        return False
    try:
        with _open(path) as (container, stream):
            return not container.format.name.endswith(("_pipe", "image2", "tty")) and bool(
                stream.codec_context.width
            )
    except (VideoError, OSError, ValueError):
        return False


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


Page = tuple[Path, int]  # of a file, and which of its pages, from 0


def _page_count(path: Path) -> int:
    """Pages of a TIFF; 1 for whatever else."""
    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
        return 1
    with optional_part("cv2", "video"):
        import cv2
    try:
        return max(1, int(cv2.imcount(str(path))))
    except (cv2.error, UnicodeError):
        return 1


def _breaks_off(file: Path) -> bool:
    """Whether the chain of a TIFF's pages leads out of the file (TIFF 6.0, section 2; BigTIFF)."""
    if file.suffix.lower() not in (".tif", ".tiff"):
        return False
    with suppress(OSError, struct.error), file.open("rb") as stack:
        head, end = stack.read(16), file.stat().st_size
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            return False
        is_big = struct.unpack(f"{order}H", head[2:4])[0] == 43
        counts, entry, link = ("Q", 20, "Q") if is_big else ("H", 12, "I")
        place = struct.unpack_from(f"{order}{link}", head, 8 if is_big else 4)[0]
        seen = set()
        while place:
            if place in seen or place + struct.calcsize(counts) > end:
                return True
            seen.add(place)
            stack.seek(place)
            (many,) = struct.unpack(f"{order}{counts}", stack.read(struct.calcsize(counts)))
            stack.seek(many * entry, os.SEEK_CUR)
            coded = stack.read(struct.calcsize(link))
            if len(coded) < struct.calcsize(link):
                return True
            (place,) = struct.unpack(f"{order}{link}", coded)
    return False


def _list_pages(path: Path) -> list[Page]:
    files = list_images(path) if path.is_dir() else [path]
    return [(file, page) for file in files for page in range(_page_count(file))]


def _even_places(images: Sequence[Page]) -> list[int]:
    """Where each image stands in even time, from 0: after a gap in the numbers, later.

    Numbers count if the same text stands around them in all names, they rise, and nearly all
    follow the one before by the same step; else (times as names, several pages) none counts.
    """
    even = list(range(len(images)))
    matches = [_LAST_NUMBER.match(file.stem) for file, _ in images]
    known = [match for match in matches if match]
    if len(known) < len(images) or len({(m[1], m[3]) for m in known}) != 1 or len(known) < 3:
        return even
    numbers = [int(match[2]) for match in known]
    steps = [later - earlier for earlier, later in pairwise(numbers)]
    step, often = Counter(steps).most_common(1)[0]
    if step <= 0 or 2 * often < len(steps) or any(s <= 0 or s % step for s in steps):
        return even
    return [(number - numbers[0]) // step for number in numbers]


def _read_folder(folder: Path, fps: Fraction, start: int, stop: int | None) -> Iterator[Frame]:
    images = _list_pages(folder)
    for file in dict.fromkeys(file for file, _ in images):
        if _breaks_off(file):
            count = sum(one == file for one, _ in images)
            _note(file, f"breaks off after page {count - 1}", TruncatedVideo)
    places, depth = _even_places(images), _depth(images)
    missing = [(a, b) for a, b in pairwise(places) if b > a + 1]
    if missing:
        count, last = sum(b - a - 1 for a, b in missing), images[places.index(missing[0][0])][0]
        lost = "1 image is" if count == 1 else f"{count} images are"
        _note(folder, f"{lost} missing, the first after {last.name}; the others keep their times")
    shape = None
    for index, (file, page) in list(enumerate(images))[start:stop]:
        image = read_image(file, page, depth)
        shape = shape or image.shape
        if image.shape != shape:
            raise VideoError(
                f"is {image.shape[1]}x{image.shape[0]}, the frames before it"
                f" are {shape[1]}x{shape[0]}",
                where=file,
                cure="Bring all frames to one size",
            )
        yield Frame(index, places[index] / fps, image)


def _depth(images: Sequence[Page]) -> int:
    """Bits in which a folder's 16-bit images count, from the brightest pixel of all of them."""
    pages = [page for page in images if page[0].suffix.lower() in (".tif", ".tiff")]
    count = min(DEPTH_LOOKS, len(pages))
    looked = [pages[round(i * (len(pages) - 1) / max(1, count - 1))] for i in range(count)]
    if not any(_decode_image(*page).dtype == np.uint16 for page in looked):
        pages = []
    pages += [page for page in images if page[0].suffix.lower() == ".png" and _is_deep(page[0])]
    states = [page[0].stat() for page in pages]
    return _depth_of(tuple(pages), tuple((one.st_size, one.st_mtime_ns) for one in states))


@lru_cache(maxsize=64)
def _depth_of(pages: tuple[Page, ...], states: tuple[tuple[int, int], ...]) -> int:
    """Reads all pages, once in a process while the files stay as they are."""
    brightest = 1
    for page in pages:
        image = _decode_image(*page)
        if image.dtype == np.uint16:
            brightest = max(brightest, int(image.max()))
    return next(bits for bits in DEPTHS[1:] if brightest < 2**bits or bits == DEPTHS[-1])


def _is_deep(path: Path) -> bool:
    """Whether a PNG has 16 bits a channel, by its header; what cannot be read fails later."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(25)[24:] == b"\x10"
    return False


def read_image(file: Path, page: int = 0, depth: int = 16) -> Image:
    """One image file as uint8 [H, W, 3], RGB.

    Args:
        file: to read.
        page: which one, from 0.
        depth: bits that the pixels of a 16-bit image use; brighter ones become white.

    Raises:
        VideoError: it is no readable image, or neither 8 nor 16 bits deep, or very large.
    """
    image = _decode_image(file, page)
    if image.dtype == np.uint16:
        most = 2**depth - 1
        image = ((np.minimum(image, most).astype(np.uint32) * 255 + most // 2) // most).astype(
            np.uint8
        )
    return np.ascontiguousarray(image[..., ::-1])


def _decode_image(file: Path, page: int = 0) -> NDArray[Any]:
    """uint8 or uint16 [H, W, 3], BGR."""
    with optional_part("cv2", "video"):
        import cv2
    try:
        coded = np.fromfile(file, np.uint8)  # cv2.imread fails on names not in ASCII on Windows
    except OSError as error:
        raise VideoError(f"cannot be read ({error.strerror})", where=file) from error
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    image: NDArray[Any] | None = None
    with suppress(cv2.error):  # larger than OpenCV takes
        if page and coded.size:
            _, pages = cv2.imdecodemulti(coded, flags, range=(page, page + 1))
            image = np.asarray(pages[0]) if pages else None
        elif coded.size:
            image = cv2.imdecode(coded, flags)
    if image is None:
        raise VideoError("is no readable image", where=file, cure="Copy or extract it again")
    if image.dtype not in (np.uint8, np.uint16):
        raise VideoError(
            f"has pixels of type {image.dtype}", where=file, cure="Save it with 8 or 16 bits"
        )
    _check_size(image.shape[1], image.shape[0], file)
    return image


def _check_size(width: int, height: int, where: Path) -> None:
    if max(width, height) > LONGEST_SIDE_PX:
        raise VideoError(
            f"is {width}x{height} px, and no side may be longer than {LONGEST_SIDE_PX} px",
            where=where,
            cure="Scale it down, or cut out the face",
        )


# Video files


def _check_file(path: Path) -> None:
    if os.path.lexists(path) and not path.exists():
        raise VideoError("is a link that leads nowhere", where=path, cure="Check the path")
    if not path.exists():
        raise VideoError("does not exist", where=path, cure="Check the path")
    if not path.is_file():
        raise VideoError(
            "is a stream, not a file",
            where=path,
            cure="Save it to a file first, or watch a camera with --camera",
        )
    if path.stat().st_size == 0:
        raise VideoError("has zero bytes", where=path, cure="Copy or download it again")


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
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
            raise VideoError(
                "holds no picture, only sound or data",
                where=path,
                cure="Give the file that holds the picture",
            )
        context: Any = stream.codec_context  # PyAV's stubs do not know that there may be none
        if context is None:
            raise VideoError(
                "is coded in a way that ffmpeg does not know",
                where=path,
                cure="Convert it with the program that wrote it",
            )
        # Without this the decoder keeps back pictures whose reference is missing.
        stream.codec_context.flags |= av.codec.context.Flags.output_corrupt
        _check_size(stream.codec_context.width, stream.codec_context.height, path)
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


class _Decoder:
    """The frames of a file one by one, whatever lies between them.

    Attributes:
        lost: packets that did not decode, without those at the very end.
        first_lost: frames before the first of them.
        painted: frames that the decoder filled up; ``last_painted`` if the last one is.
        headless: packets before the first key frame; 0 where no packet is marked as one.
        broken: the file ends in what does not decode.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self.lost = self.painted = self.headless = 0
        self.first_lost = 0
        self.broken = self.last_painted = False

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
                self.last_painted = bool(frame.is_corrupt)
                self.painted += self.last_painted
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


def _read_file(path: Path, start: int, fps: Fraction | None) -> Iterator[Frame]:
    with _open(path) as (container, stream):
        clock, decoder = _Clock(container, stream, path), _Decoder(container, stream)
        count, end_s = 0, Fraction(0)
        size: tuple[int, int] | None = None
        sizes, turn = 1, AS_STORED
        for frame, following in _with_next(decoder.frames()):
            if count == 0:
                _tell_form(frame, container, stream, path, is_known=fps is not None)
            if size is not None and size != (frame.width, frame.height):
                sizes += 1
                if sizes == 2:
                    now = f"{frame.width}x{frame.height}"
                    words = f"the picture changes from {size[0]}x{size[1]} to {now}"
                    _note(path, f"{words} at frame {count}")
                _check_size(frame.width, frame.height, path)
            size = frame.width, frame.height
            turn = _orientation(frame, turn)
            time_s = clock.read(frame, following)
            end_s = time_s + ((frame.duration or 0) * clock.tick(frame) or clock.usual_step_s)
            if count >= start:
                yield Frame(count, time_s, _upright(frame, turn))
            count += 1
        if count == 0:
            raise _undecodable(path)
        clock.close()
        if decoder.headless:
            missing = f"the first {decoder.headless} packets"
            _note(path, f"begins without a key frame: {missing} give no picture, or a poor one")
        if decoder.lost:
            many = "1 packet does" if decoder.lost == 1 else f"{decoder.lost} packets do"
            first = decoder.first_lost
            after = f"the first after frame {first - 1}" if first else "the first at the start"
            _note(path, f"{many} not decode, {after}; the others are read", DamagedVideo)
        end_s = max(end_s, clock.furthest_s)
        short = decoder.broken or _falls_short(container, end_s, clock.usual_step_s)
        if decoder.painted - (short and decoder.last_painted):
            many = "1 frame is" if decoder.painted == 1 else f"{decoder.painted} frames are"
            _note(path, f"{many} damaged and partly painted over by the decoder", DamagedVideo)
        if short:
            words = f"breaks off after frame {count - 1} ({float(clock.time_s):.3f} s)"
            _note(path, words, TruncatedVideo)


def _note(path: Path, words: str, kind: type[VideoNote] = VideoNote) -> None:
    warnings.warn(f"{path}: {words}", kind, stacklevel=3)


def _tell_form(
    frame: VideoFrame,
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    *,
    is_known: bool,
) -> None:
    """What a reader should know about the pictures as such, and their rate unless it is known."""
    if frame.interlaced_frame:
        _note(path, f"{INTERLACED}; deinterlace it first, such as by ffmpeg -vf bwdif")
    aspect = stream.sample_aspect_ratio
    if aspect and aspect > 0 and abs(aspect - 1) > SQUARE:
        as_is = "the picture is taken as it is stored"
        _note(path, f"pixels are {aspect.numerator}:{aspect.denominator}, not square; {as_is}")
    recorded, plays = _recorded_rate(container, stream), _average_rate(stream)
    if recorded and recorded > SLOW_MOTION * plays and not is_known:
        _note(
            path,
            f"slow motion: recorded at {float(recorded):g} frames a second, plays at"
            f" {float(plays):g}; times are those of playing unless its frame rate is given",
        )


def _with_next(frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, VideoFrame | None]]:
    """Each frame and the one after it, None after the last one."""
    before = None
    for frame in frames:
        if before is not None:
            yield before, frame
        before = frame
    if before is not None:
        yield before, None


class _Clock:
    """Rising times of the frames of one file, in showing order, as exact as its time stamps.

    Attributes:
        time_s: of the newest frame, on the container's own clock, its start offset kept.
        furthest_s: the latest time that any frame bears, right or wrong; so the header counts.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        self._path = path
        self._tick_s = Fraction(stream.time_base or 0)
        self._average_step_s = 1 / _average_rate(stream)
        self._has_clock = _has_clock(container)
        self._steps: deque[Fraction] = deque(maxlen=RECENT_STEPS)
        self.furthest_s = Fraction(0)
        self.time_s = (stream.start_time or 0) * self._tick_s - self._average_step_s
        # They store no times of showing: what they give as pts is in the order of decoding.
        self._no_pts = container.format.name in ("avi", "asf")
        self._newest: dict[str, Fraction] = {}
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

    def read(self, frame: VideoFrame, following: VideoFrame | None) -> Fraction:
        """When the next frame is seen, later than the one before it, and before ``following``."""
        before, self.time_s = self.time_s, self.time_s + self.usual_step_s
        kind, stamp = self._stamp(frame, following)
        if stamp is not None and self._has_clock:
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

    def _stamp(
        self, frame: VideoFrame, following: VideoFrame | None
    ) -> tuple[str, Fraction | None]:
        """The better of a frame's two time stamps: the one that failed to rise less often.

        ffmpeg's own best-effort time stamps choose so, too (``guess_correct_pts``).
        """
        pts = None if frame.pts is None else Fraction(frame.pts)
        dts = None if frame.dts is None else Fraction(frame.dts)
        before, after = self._newest.get("pts"), following.pts if following else None
        if pts is not None:
            self.furthest_s = max(self.furthest_s, pts * self.tick(frame))
        if pts is not None and before is not None and after is not None:
            step = self.usual_step_s / (self.tick(frame) or 1)
            agree = before < after <= before + STRAY_STEPS * step
            # Of two that do not rise the one that is farther from where it should be is wrong.
            worse = abs(pts - before - step) > abs(after - before - 2 * step)
            if agree and worse and not before < pts < after:
                pts = (before + after) / 2
        for kind, stamp in (("pts", pts), ("dts", dts)):
            if stamp is not None:
                self._faults[kind] += stamp <= self._newest.get(kind, stamp - 1)
                self._newest[kind] = stamp
        by_dts = self._no_pts or self._faults["pts"] > self._faults["dts"]
        return ("dts", dts) if by_dts else ("pts", pts)

    def _tell(self, back_s: Fraction) -> None:
        self._restarts += 1
        if self._restarts == 1:
            warnings.warn(
                f"{self._path}: the clock jumps back by {float(back_s):.3f} s after frame"
                f" {self._frames - 1}; the pieces are laid end to end",
                ClockRestart,
                stacklevel=4,
            )


Turn = tuple[tuple[int, int], tuple[int, int]]
AS_STORED: Turn = ((1, 0), (0, 1))


def _upright(frame: VideoFrame, turn: Turn) -> Image:
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


def _orientation(frame: VideoFrame, before: Turn = AS_STORED) -> Turn:
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


def _is_lying(frame: VideoFrame) -> bool:
    return bool(_orientation(frame)[0][1])


def _look(
    container: InputContainer, stream: VideoStream, path: Path
) -> tuple[VideoFrame, list[Fraction]]:
    """The first frame, and when the first packets are decoded."""
    first, times = None, []
    # What does not decode is told to the reader of the frames.
    for count, packet in enumerate(_Decoder(container, stream).packets()):
        if packet is None:
            continue
        if packet.dts is not None:
            times.append(packet.dts * Fraction(packet.time_base or stream.time_base or 0))
        if first is None:
            with suppress(av.error.FFmpegError, ValueError):
                first = next(iter(packet.decode()), None)
        elif count >= LOOKED_PACKETS:
            break
    if first is None:
        raise _undecodable(path)
    return first, times


def _average_rate(stream: VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    # Of a bare stream the average is what ffmpeg takes by default; the codec may know better.
    if not _has_clock(stream.container):
        rate = stream.guessed_rate or rate
    return Fraction(rate) if rate else Fraction(25)  # ffmpeg's own default rate


def _has_clock(container: Container) -> bool:
    """Whether a container states times; ffmpeg makes them up for bare streams such as .m2v."""
    return not container.format.flags & NO_TIMES


def _frame_rate(stream: VideoStream, times: Sequence[Fraction]) -> Fraction:
    """The container's average rate, unless the usual step of its first packets denies it.

    Args:
        stream: of the file.
        times: of decoding, in the order of the packets; steps back are passed over.
    """
    average = _average_rate(stream)
    if not _has_clock(stream.container):
        return average
    steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    if len(steps) < LEAST_STEPS:
        return average
    step_s = usual_step(steps)
    tick = Fraction(stream.time_base or 0)
    # Steps of three ticks or less, such as 1 and 2 of film shown at 30, are no even sample.
    off = tick if step_s < 3 * tick else 2 * tick / len(steps)
    near = max(off, SAME_RATE * step_s)
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
    # Matroska counts its length from 0, others from the first frame.
    start = 0 if "matroska" in container.format.name else container.start_time or 0
    promised_s = Fraction(container.duration + start, av.time_base)
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
        # x264's mbtree reads memory that nobody wrote: the same images would give other bytes in
        # the next process, or the second time in this one (5 % of 300 files in one process).
        options |= {"mbtree": "0"}
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
