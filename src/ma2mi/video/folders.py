"""The frames of a folder by the numbers in their names, so that a missing one shifts no other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ma2mi.errors import CorpusError, VideoError, optional_part
from ma2mi.video.images import list_images
from ma2mi.video.numbering import read_number


@dataclass(frozen=True)
class FrameIndex:
    """Which file is which frame.

    ::

        files     img9.jpg  img10.jpg  img12.jpg      img11.jpg is missing
        number        9         10         12
        position      0          1          2         as ``video.read_frames`` counts

    Args:
        folder: the frames' folder.
        files: its images in the order in which they are decoded.
        positions: frame number to position among the decoded frames.
        strangers: images whose names do not follow the others'; they are decoded all the same.
        repeated: numbers that two files carry.
    """

    folder: Path
    files: tuple[Path, ...]
    positions: dict[int, int]
    strangers: tuple[Path, ...]
    repeated: tuple[int, ...]

    @property
    def first(self) -> int:
        """The lowest frame number."""
        return min(self.positions)

    @property
    def last(self) -> int:
        """The highest frame number."""
        return max(self.positions)

    def gaps(self) -> list[tuple[int, int]]:
        """Runs of numbers (first, last) between the lowest and the highest that no file carries."""
        known = sorted(self.positions)
        return [(a + 1, b - 1) for a, b in pairwise(known) if b > a + 1]

    @property
    def counts_frames(self) -> bool:
        """Whether the names count frames, one by one but for gaps; else they may be times."""
        known = sorted(self.positions)
        steps = Counter(later - earlier for earlier, later in pairwise(known))
        return not steps or steps.most_common(1)[0][0] == 1

    def number(self, position: int) -> int | None:
        """The number of the frame at a position; None for a stranger or a twin."""
        return next((n for n, at in self.positions.items() if at == position), None)

    def position(self, number: int) -> int:
        """Where the frame with this number stands among the decoded frames, from 0.

        Raises:
            CorpusError: no file carries the number.
        """
        if number not in self.positions:
            raise CorpusError(
                f"is missing; the folder holds {self.first} to {self.last}",
                where=f"{self.folder}, frame {number}",
                hint="Copy it again from the owners' archive, or correct the sheet",
            )
        return self.positions[number]


def index_frames(folder: Path) -> FrameIndex:
    """Read the numbers of a folder's frames, whatever their padding and prefix.

    The number is the last run of digits in a name; what stands around it must be as in most of
    the folder's names.

    Raises:
        VideoError: the folder holds no images.
        CorpusError: no image carries a number.
    """
    # Positions are only true in the order of the decoder.
    files = tuple(list_images(folder))
    names = [read_number(file) for file in files]
    patterns = [
        n and (n.before, n.after, file.suffix) for n, file in zip(names, files, strict=True)
    ]
    common = Counter(pattern for pattern in patterns if pattern).most_common(1)
    if not common:
        raise CorpusError(
            "holds no numbered frames", where=folder, hint="Copy it again as handed out"
        )
    positions: dict[int, int] = {}
    strangers, repeated = [], []
    for position, (name, pattern) in enumerate(zip(names, patterns, strict=True)):
        if name is None or pattern != common[0][0]:
            strangers.append(files[position])
        elif name.number in positions:
            repeated.append(name.number)
        else:
            positions[name.number] = position
    return FrameIndex(folder, files, positions, tuple(strangers), tuple(repeated))


def picture_size(file: Path, content: bytes | None = None) -> tuple[int, int]:
    """Width and height of a picture that decodes to its end.

    Decoders fill up what a truncated file lacks and only print a warning, so that the end is
    sampled for in the bytes.

    Args:
        file: the picture.
        content: its bytes, where they are known already.

    Raises:
        VideoError: it is empty, truncated or no picture.
    """
    with optional_part("cv2", "video"):
        import cv2
    try:
        content = file.read_bytes() if content is None else content
    except OSError as error:
        raise VideoError(f"cannot be read ({error.strerror})", where=file) from error
    if not content:
        raise VideoError("has zero bytes", where=file, hint=_AGAIN)
    if _breaks_off(content):
        raise VideoError("is truncated", where=file, hint=_AGAIN)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # larger than OpenCV takes
        image = None
    if image is None:
        raise VideoError("is not a readable image", where=file, hint=_AGAIN)
    return int(image.shape[1]), int(image.shape[0])


_AGAIN = "Copy it again from the owners' archive"


def _breaks_off(content: bytes) -> bool:
    if content.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in content[-1024:]
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content[-64:]
    if content.startswith(b"BM"):
        return len(content) < int.from_bytes(content[2:6], "little")
    return False
