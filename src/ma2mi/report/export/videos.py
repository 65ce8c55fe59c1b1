"""An analysis as video: boxes, numbers and events over the recording; the movements magnified."""

from __future__ import annotations

import csv
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import optional_part
from ma2mi.report.events import Analysis, Event
from ma2mi.video import VideoNote, ahead, read_frames, write_video

with optional_part("cv2", "video"):
    import cv2

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # x, y, width, height

WIDEST = 960  # of the annotated video in px
COLOURS = {"micro": (193, 68, 60), "macro": (42, 111, 151), "blink": (185, 164, 76)}
COLOURS["speech"] = (122, 139, 153)
PLAIN = (220, 226, 231)
NEAR_S = 1.2  # where a face is blurred before it is found and after it is lost
COARSE = 10  # cells that are left across a blurred face
LOOP_FPS = 12


@dataclass(frozen=True, slots=True)
class _Row:
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
) -> None:
    """The recording with what was found drawn over it, at most 960 px wide, without sound.

    The file is read a second time. Its frames follow at the average rate, so a variable frame
    rate is evened out.

    Args:
        analysis: names the source.
        frames_csv: boxes of the faces.
        path: ends in .mp4.
        fps: of a folder of frames.
        blur: leave only coarse cells of every face. Where none was found the whole picture is
            blurred: a face may have been missed.
    """
    rate = Fraction(analysis.fps).limit_denominator(1001)
    with warnings.catch_warnings():
        # What the first reading noted is in the notes.
        warnings.simplefilter("ignore", VideoNote)
        with ahead(_annotated(analysis, frames_csv, fps, blur)) as images:
            write_video(path, images, rate, quick=True)


def write_magnified(loops: Iterable[tuple[Event, Image]], path: Path) -> bool:
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


def _slideshow(loops: Iterable[tuple[Event, Image]]) -> Iterator[Image]:
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
    analysis: Analysis, frames_csv: Path, fps: Fraction | None, blur: bool
) -> Iterator[Image]:
    alone = ((row, ()) for row in _rows(frames_csv))
    rows = _with_neighbours(frames_csv) if blur else alone
    with ahead(read_frames(analysis.source, fps=fps)) as pictures:
        for picture, (row, near) in zip(pictures, rows, strict=False):
            image = _hide(picture.image, row, near) if blur else picture.image
            yield _draw(image, row, analysis.events)


def _rows(frames_csv: Path) -> Iterator[_Row]:
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
            yield _Row(int(frame), float(lines[0]["timestamp"]), faces)  # type: ignore[arg-type]


def _with_neighbours(frames_csv: Path) -> Iterator[tuple[_Row, Sequence[_Row]]]:
    """Each row with the rows of the time around it."""
    rows, near = _rows(frames_csv), deque[_Row]()
    ahead = _rows(frames_csv)
    newest = next(ahead, None)
    for row in rows:
        while newest is not None and newest.time_s <= row.time_s + NEAR_S:
            near.append(newest)
            newest = next(ahead, None)
        while near and near[0].time_s < row.time_s - NEAR_S:
            near.popleft()
        yield row, near


def _hide(image: Image, row: _Row, near: Sequence[_Row]) -> Image:
    if not row.faces:
        return coarse(image)
    hidden = image.copy()
    # The faces of this frame, and where one was or will be.
    boxes = list(row.faces.values())
    boxes += [box for other in near for face, box in other.faces.items() if face not in row.faces]
    boxes += [box for other in near for box in other.faces.values()][:: max(1, len(near) // 8)]
    for x, y, width, height in boxes:
        # The landmarks end at the forehead; hair and ears belong to a face, too.
        x0, x1 = x - 0.3 * width, x + 1.3 * width
        y0, y1 = y - 0.5 * height, y + 1.25 * height
        left, right = (int(np.clip(v, 0, image.shape[1])) for v in (x0, x1))
        top, bottom = (int(np.clip(v, 0, image.shape[0])) for v in (y0, y1))
        if right - left > 1 and bottom - top > 1:
            hidden[top:bottom, left:right] = coarse(image[top:bottom, left:right])
    return hidden


def coarse(image: Image) -> Image:
    """The image in so few cells that nobody is known."""
    height, width = image.shape[:2]
    small = (min(COARSE, width), min(COARSE, height))
    cells = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    out: Image = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return out


def _draw(image: Image, row: _Row, events: Sequence[Event]) -> Image:
    scale = min(1.0, WIDEST / image.shape[1])
    if scale < 1:
        size = (WIDEST, max(2, round(image.shape[0] * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    else:
        image = image.copy()
    now = [e for e in events if e.onset_frame <= row.frame <= e.offset_frame]
    for face, box in row.faces.items():
        x, y, width, height = (round(value * scale) for value in box)
        mine = [event for event in now if event.face_id == face]
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
