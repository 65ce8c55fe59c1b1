"""Frames out: to a video file, or to a folder of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ma2mi.arrays import Image
from ma2mi.errors import VideoError, optional_part, store_error
from ma2mi.files import unfinished
from ma2mi.video.frame import IMAGE_SUFFIXES

with optional_part("av", "video"):
    import av
if TYPE_CHECKING:
    from av.video.stream import VideoStream


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
            hint=f"Name it {path.stem}{suffix}",
        )
    if fps <= 0:
        raise VideoError(f"fps {fps} is not a frame rate", where=path)
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
            "names no numbered image", where=pattern, hint='Use one such as "img{index}.png"'
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


def _checked(images: Iterable[Image], where: Path) -> Iterator[Image]:
    """The images as they are, or a VideoError at the first that does not fit."""
    shape = None
    for index, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise VideoError(
                f"image {index} is {image.dtype} {list(image.shape)}",
                where=where,
                hint="Give uint8 [H, W, 3], RGB",
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
        # x264's mbtree reads uninitialised memory: the same images would give other bytes in
        # the next process, or the second time in this one (5 % of 300 files in one process).
        options |= {"mbtree": "0"}
        bottom, right = height % 2, width % 2
    # bitexact: the same images give the same bytes (Matroska would add a random number).
    flags = {"fflags": "+bitexact"}
    with av.open(f"file:{path}", "w", container_format, container_options=flags) as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=fps, options=options))
        stream.width, stream.height, stream.pix_fmt = width + right, height + bottom, pixels
        # Bytes depend on their number, and must not on the machine's cores. Quick encoding
        # runs beside other work.
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
