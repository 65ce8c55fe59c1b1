"""The nouns of a video: a frame with its true time, what a file states, notes."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ma2mi.arrays import Image
from ma2mi.errors import VideoError

LONGEST_SIDE_PX = 8192  # 8K video is 7680 wide; a face detector sees a square of that side

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
    """A video of which some packets do not decode, or only with concealed errors."""


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
    """What a video states, without decoding more than one frame.

    Args:
        path: the file or the folder.
        width, height: pixels, after the rotation that the file states.
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


def check_size(width: int, height: int, where: Path) -> None:
    if max(width, height) > LONGEST_SIDE_PX:
        raise VideoError(
            f"is {width}x{height} px, and no side may be longer than {LONGEST_SIDE_PX} px",
            where=where,
            hint="Scale it down, or cut out the face",
        )


def add_note(path: Path, words: str, kind: type[VideoNote] = VideoNote) -> None:
    warnings.warn(f"{path}: {words}", kind, stacklevel=3)
