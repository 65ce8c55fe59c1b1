"""An analysis as video: boxes, numbers and events over the recording; the movements magnified."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import numpy as np

from ma2mi.arrays import Image
from ma2mi.errors import optional_part
from ma2mi.face.blurring import (
    WHOLE_CELLS,
    Blurred,
    FaceSearch,
    Seen,
    TileSearch,
    blur_faces,
    coarse,
    is_one,
    with_neighbours,
)
from ma2mi.records import Analysis, DetectedEvent
from ma2mi.video import VideoNote, ahead, inspect_video, read_frames, read_image, write_video

with optional_part("cv2", "video"):
    import cv2

Box = tuple[float, float, float, float]  # x, y, width, height

WIDEST = 960  # of the annotated video in px
COLOURS = {"micro": (193, 68, 60), "macro": (42, 111, 151), "blink": (185, 164, 76)}
COLOURS["speech"] = (122, 139, 153)
PLAIN = (220, 226, 231)
LOOP_FPS = 12
ROUNDS = 3  # of blurring frames in which a face is found: coding anew may bring up another


@dataclass(frozen=True, slots=True)
class _FrameRow:
    frame: int
    time_s: float
    faces: dict[int, Box]


def write_annotated(
    analysis: Analysis,
    frames_csv: Path,
    path: Path,
    *,
    fps: Fraction | None = None,
    blur: bool = False,
) -> tuple[str, ...]:
    """The recording with what was found drawn over it, at most 960 px wide, without sound.

    The file is read a second time, and once more beside it where faces are blurred. Its frames
    follow at the average rate, so a variable frame rate is evened out.

    Args:
        analysis: names the source.
        frames_csv: boxes of the faces.
        path: ends in .mp4.
        fps: of a folder of frames.
        blur: leave only coarse cells of every face that is found in any frame, however many and
            small they are (``face.blurring``). Where none is found, or one that was there is not
            found any more, the whole picture is blurred: a face may have been missed.

    Returns:
        Notes: how many frames were blurred as a whole.
    """
    rate = Fraction(analysis.fps).limit_denominator(1001)
    count = Blurred()
    with warnings.catch_warnings():
        # What the first reading noted is in the notes.
        warnings.simplefilter("ignore", VideoNote)
        with ahead(_annotated(analysis, frames_csv, fps, count if blur else None)) as images:
            write_video(path, images, rate, quick=True)
    if not count.whole:
        return ()
    return (
        f"{path.name}: {count.whole} of {count.pictures} frames are blurred as a whole,"
        " where a face may have been missed",
    )


def check_blurred(videos: Iterable[Path], pictures: Iterable[Path]) -> str:
    """Search what was written for faces that are not blurred, and blur what shows any as a whole.

    Every frame and picture is searched as thoroughly as before it was blurred.

    Args:
        videos: as ``write_annotated`` writes them.
        pictures: PNG files.

    Returns:
        One line: in how many frames and pictures a face detector still finds a face.
    """
    tiles = TileSearch()
    frames = stills = left = mended = 0
    for path in videos:
        count, found = _frames_with_faces(path, tiles)
        for _ in range(ROUNDS):
            if not found:
                break
            _blur_frames(path, found)
            mended += len(found)
            count, found = _frames_with_faces(path, tiles)
        frames, left = frames + count, left + len(found)
    for path in pictures:
        image = read_image(path)
        if tiles.faces(image):
            image, mended = coarse(image), mended + 1
            path.write_bytes(as_png(image))
            left += bool(tiles.faces(image))
        stills += 1
    where = f"the {_count(frames, 'frame')} and {_count(stills, 'picture')} written"
    line = f"faces are blurred: a face detector finds one in {left or 'none'} of {where}"
    if mended:
        line += f", after {mended} more were blurred as a whole"
    return f"{line}: look at them before you pass them on" if left else line


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _frames_with_faces(path: Path, tiles: TileSearch) -> tuple[int, set[int]]:
    """How many frames there are, and in which a face is found."""
    count, found = 0, set()
    with ahead(read_frames(path)) as frames:
        for frame in frames:
            count += 1
            if tiles.faces(frame.image):
                found.add(frame.index)
    return count, found


def _blur_frames(path: Path, frames: set[int]) -> None:
    """Write a video anew with some of its frames blurred as a whole."""
    rate = inspect_video(path).fps
    images = (
        coarse(frame.image, WHOLE_CELLS) if frame.index in frames else frame.image
        for frame in read_frames(path)
    )
    write_video(path, images, rate, quick=True)


def as_png(image: Image) -> bytes:
    """An RGB image as a PNG file."""
    _, coded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return bytes(coded.tobytes())


def write_magnified(loops: Iterable[tuple[DetectedEvent, Image]], path: Path) -> bool:
    """The events one after the other, as they are and magnified, slowly; False if there is none.

    Args:
        loops: event and its frames, uint8 [T, H, W, 3], all of one height, W is H or twice that.
        path: ends in .mp4.
    """
    images = _slideshow(loops)
    first = next(images, None)
    if first is None:
        return False
    write_video(path, _after(first, images), LOOP_FPS)
    return True


def _after(first: Image, others: Iterator[Image]) -> Iterator[Image]:
    yield first
    yield from others


def _slideshow(loops: Iterable[tuple[DetectedEvent, Image]]) -> Iterator[Image]:
    for event, frames in loops:
        for image in [*frames, *frames]:
            # A movement that is large by itself has no magnified half; the video has one size.
            missing = max(2 * image.shape[0] - image.shape[1], 0)
            image = np.pad(image, ((0, 0), (0, missing), (0, 0)), constant_values=255)
            height, width = image.shape[:2]
            large = cv2.resize(image, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
            picture = np.full((2 * height + 24, 2 * width, 3), 255, np.uint8)
            picture[24:] = large
            _write(picture, f"#{event.event_id} {event.words}, {event.onset_s:.2f} s", (4, 17))
            yield picture


def _annotated(
    analysis: Analysis, frames_csv: Path, fps: Fraction | None, count: Blurred | None
) -> Iterator[Image]:
    """The frames with what was found drawn in; with faces blurred where that is to be counted."""
    scale = min(1.0, WIDEST / max(analysis.width, 1))
    images = _shrunk(analysis, fps) if count is None else _blurred(analysis, frames_csv, fps, count)
    with ahead(images) as pictures:
        for image, row in zip(pictures, _rows(frames_csv), strict=False):
            yield _draw(image, row, analysis.events, scale)


def _blurred(
    analysis: Analysis, frames_csv: Path, fps: Fraction | None, count: Blurred
) -> Iterator[Image]:
    """The search runs ahead of the pictures: a face is blurred before it is found."""
    with (
        ahead(_shrunk(analysis, fps)) as pictures,
        ahead(_searched(analysis, frames_csv, fps)) as seen,
    ):
        yield from blur_faces(pictures, with_neighbours(seen), count)


def _shrunk(analysis: Analysis, fps: Fraction | None) -> Iterator[Image]:
    """The frames at the width at which they are written."""
    for frame in read_frames(analysis.source, fps=fps):
        image = frame.image
        if image.shape[1] > WIDEST:
            size = (WIDEST, max(2, round(image.shape[0] * WIDEST / image.shape[1])))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        yield image


def _searched(analysis: Analysis, frames_csv: Path, fps: Fraction | None) -> Iterator[Seen]:
    """Where faces are in each frame as it is written; those that were measured, too."""
    search, scale = FaceSearch(), min(1.0, WIDEST / max(analysis.width, 1))
    for image, row in zip(_shrunk(analysis, fps), _rows(frames_csv), strict=False):
        seen = search.push(image, row.time_s)
        measured = [
            (scale * x, scale * y, scale * (x + width), scale * (y + height))
            for x, y, width, height in row.faces.values()
        ]
        more = [box for box in measured if not any(is_one(box, face) for face in seen.boxes)]
        yield replace(seen, others=(*seen.others, *more))


def _rows(frames_csv: Path) -> Iterator[_FrameRow]:
    with frames_csv.open(encoding="utf-8", newline="") as file:
        for frame, group in groupby(csv.DictReader(file), lambda row: row["frame"]):
            lines = list(group)
            faces = {
                int(line["face_id"]): tuple(
                    float(line[name]) for name in ("face_x", "face_y", "face_w", "face_h")
                )
                for line in lines
                if line["face_id"]
            }
            yield _FrameRow(int(frame), float(lines[0]["timestamp"]), faces)  # type: ignore[arg-type]


def _draw(image: Image, row: _FrameRow, events: Sequence[DetectedEvent], scale: float) -> Image:
    image = image.copy()
    now = [e for e in events if e.onset <= row.frame <= e.offset]
    for face, box in row.faces.items():
        x, y, width, height = (round(value * scale) for value in box)
        mine = [event for event in now if event.face == face]
        colour = COLOURS[mine[0].kind] if mine else PLAIN
        cv2.rectangle(image, (x, y), (x + width, y + height), colour, 2 if mine else 1)
        words = "; ".join(event.words for event in mine)
        _write(image, f"{face} {words}".strip(), (x, max(y - 5, 12)), colour)
    _write(image, f"{row.time_s:.2f} s", (6, image.shape[0] - 8), PLAIN)
    return image


def _write(
    image: Image, words: str, at: tuple[int, int], colour: tuple[int, int, int] | None = None
) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    plain = words.encode("ascii", "replace").decode()  # OpenCV's strokes know no other letters
    if colour is not None:
        # Not thicker black letters beneath: some versions of OpenCV space them further apart.
        (width, height), below = cv2.getTextSize(plain, font, size, 1)
        corner = (at[0] + width + 2, at[1] + below)
        cv2.rectangle(image, (at[0] - 2, at[1] - height - 2), corner, colour, cv2.FILLED)
    black_or_white = (255, 255, 255) if colour and sum(colour) < 384 else (0, 0, 0)
    cv2.putText(image, plain, at, font, size, black_or_white, 1, cv2.LINE_AA)
