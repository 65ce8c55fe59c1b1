"""Folders of images and pages of TIFF files, as frames."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import VideoError, optional_part
from ma2mi.files import natural
from ma2mi.video.frame import (
    IMAGE_SUFFIXES,
    Frame,
    TruncatedVideo,
    add_note,
    check_size,
)
from ma2mi.video.numbering import even_positions

DEPTHS = (8, 10, 12, 14, 16)  # bits in which cameras count
DEPTH_SAMPLES = 9  # TIFF pages of a folder, of which one shows 16 bits if any does


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
            hint=f"Frames are files that end in {' '.join(sorted(IMAGE_SUFFIXES))}",
        )
    return sorted(images, key=lambda path: natural(path.name))


def folder_rate(folder: Path, fps: Fraction | None) -> Fraction:
    if fps is None or fps <= 0:
        raise VideoError(
            "a folder of frames carries no times", where=folder, hint="Give its frame rate as fps"
        )
    return Fraction(fps)


Page = tuple[Path, int]  # of a file, and which of its pages, from 0


def page_count(path: Path) -> int:
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
        offset = struct.unpack_from(f"{order}{link}", head, 8 if is_big else 4)[0]
        seen = set()
        while offset:
            if offset in seen or offset + struct.calcsize(counts) > end:
                return True
            seen.add(offset)
            stack.seek(offset)
            (many,) = struct.unpack(f"{order}{counts}", stack.read(struct.calcsize(counts)))
            stack.seek(many * entry, os.SEEK_CUR)
            coded = stack.read(struct.calcsize(link))
            if len(coded) < struct.calcsize(link):
                return True
            (offset,) = struct.unpack(f"{order}{link}", coded)
    return False


def list_pages(path: Path) -> list[Page]:
    files = list_images(path) if path.is_dir() else [path]
    return [(file, page) for file in files for page in range(page_count(file))]


def read_folder(folder: Path, fps: Fraction, start: int, stop: int | None) -> Iterator[Frame]:
    images = list_pages(folder)
    for file in dict.fromkeys(file for file, _ in images):
        if _breaks_off(file):
            count = sum(one == file for one, _ in images)
            add_note(file, f"breaks off after page {count - 1}", TruncatedVideo)
    positions, depth = even_positions([file for file, _ in images]), _depth(images)
    missing = [(a, b) for a, b in pairwise(positions) if b > a + 1]
    if missing:
        count, last = sum(b - a - 1 for a, b in missing), images[positions.index(missing[0][0])][0]
        lost = "1 image is" if count == 1 else f"{count} images are"
        add_note(
            folder, f"{lost} missing, the first after {last.name}; the others keep their times"
        )
    shape = None
    for index, (file, page) in list(enumerate(images))[start:stop]:
        image = read_image(file, page, depth)
        shape = shape or image.shape
        if image.shape != shape:
            raise VideoError(
                f"is {image.shape[1]}x{image.shape[0]}, the frames before it"
                f" are {shape[1]}x{shape[0]}",
                where=file,
                hint="Bring all frames to one size",
            )
        yield Frame(index, positions[index] / fps, image)


def _depth(images: Sequence[Page]) -> int:
    """Bits in which a folder's 16-bit images count, from the brightest pixel of all of them."""
    pages = [page for page in images if page[0].suffix.lower() in (".tif", ".tiff")]
    count = min(DEPTH_SAMPLES, len(pages))
    sampled = [pages[round(i * (len(pages) - 1) / max(1, count - 1))] for i in range(count)]
    if not any(_decode_image(*page).dtype == np.uint16 for page in sampled):
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
        VideoError: it is not a readable image, or neither 8 nor 16 bits deep, or very large.
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
        raise VideoError("is not a readable image", where=file, hint="Copy or extract it again")
    if image.dtype not in (np.uint8, np.uint16):
        raise VideoError(
            f"has pixels of type {image.dtype}", where=file, hint="Save it with 8 or 16 bits"
        )
    check_size(image.shape[1], image.shape[0], file)
    return image
