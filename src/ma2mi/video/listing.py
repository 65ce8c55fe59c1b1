"""The videos and image files of a folder, in natural order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ma2mi.errors import VideoError
from ma2mi.files import holds_results, natural
from ma2mi.video.container import open_video
from ma2mi.video.frame import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from ma2mi.video.images import page_count


def list_videos(folder: Path | str) -> list[Path]:
    """Every video file and every folder that directly holds images, at any depth, sorted naturally.

    Suffixes count in any case; names that begin with a dot are passed over. A TIFF of several
    pages counts as a video. Links are followed, each folder is visited once; folders below it that
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
    return sorted(set(paths), key=lambda path: [natural(part) for part in path.parts])


def _walk(folder: Path | str) -> Iterator[tuple[Path, bool]]:
    """Files, and folders that hold images, each with whether its suffix is that of a video."""
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError("is not a folder", where=folder, hint="Give a folder that holds videos")
    visited: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:  # a link that leads in a circle, or to what was seen
            folders.clear()
            continue
        visited.add(real)
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
                yield (path if page_count(path) > 1 else path.parent), True
            else:
                yield path, False


def _is_transport(path: Path) -> bool:
    """Whether a .ts holds packets: TypeScript is called so, too."""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(193)
        return head[:1] == b"G" or head[4:5] == b"G"
    return True  # what cannot be read fails in its turn


#: Files that lie beside videos; ffmpeg takes some text for video.
_NOT_VIDEO = frozenset(
    re.findall(
        r"\S+",
        ".aac .ass .bids .boris .cfg .conf .csv .db .doc .docx .eaf .flac .htm .html .ini .json"
        " .js .log .lock .m4a .md .mp3 .npy .npz .ods .ogg .parquet .pdf .pfsx .pickle .pkl .py"
        " .rtf .rst .safetensors .srt .sub .svg .toml .tsv .txt .vtt .wav .webp .wma .xls .xlsx"
        " .xml .yaml .yml .zip",
    )
)


def _moves(path: Path) -> bool:
    if path.suffix.lower() in _NOT_VIDEO:
        return False
    try:
        with open_video(path) as (container, stream):
            return not container.format.name.endswith(("_pipe", "image2", "tty")) and bool(
                stream.codec_context.width
            )
    except (VideoError, OSError, ValueError):
        return False
