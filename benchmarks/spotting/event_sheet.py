"""A video's events as a picture: the face at onset, apex and offset, to be looked at by eye."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ma2mi.records import Analysis, DetectedEvent
from ma2mi.video import read_frames

SIDE = 168  # px that a face is shown at
MARGIN = 0.25  # of the face's box, on every side
WORDS = 420  # px beside the faces
LINE = 18  # px a line of words
BELOW = 4  # candidates shown after the events: the best
SHOWN = ("micro", "macro", "speech")

Image = np.ndarray  # uint8 [H, W, 3]
Box = tuple[float, float, float, float]  # x, y, width, height


def draw_sheet(analysis: Analysis, video: Path, frames_csv: Path, target: Path) -> None:
    """One row an event, then one for each of the best candidates; without either three faces.

    Args:
        analysis: of the video.
        video: is decoded once more.
        frames_csv: boxes of the faces.
        target: PNG.
    """
    events = [event for event in analysis.events if event.kind in SHOWN]
    below = sorted(analysis.candidates, key=lambda e: (-e.score, -e.floor_multiple))[:BELOW]
    rows = [(_frames(event), event.face, _lines(event)) for event in (*events, *below)]
    if not events:
        last = analysis.frames - 1
        rows.insert(0, ((0, last // 2, last), None, ["no event"]))
    boxes = _boxes(frames_csv)
    wanted = {frame for frames, _, _ in rows for frame in frames}
    images = {frame.index: frame.image for frame in read_frames(video) if frame.index in wanted}
    strips = [
        _strip([_face(images, boxes, frame, face) for frame in frames], words)
        for frames, face, words in rows
    ]
    title = np.full((LINE + 8, strips[0].shape[1], 3), 255, np.uint8)
    _write(title, f"{analysis.name}, {analysis.duration_s:.1f} s, {analysis.level}", (4, LINE))
    sheet = np.concatenate([title, *strips])
    target.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _frames(event: DetectedEvent) -> tuple[int, int, int]:
    return event.onset, event.apex, event.offset


def _lines(event: DetectedEvent) -> list[str]:
    number = "below the threshold" if event.reason else f"#{event.event_id}"
    return [
        f"{number}: {event.words}, face {event.face}",
        f"{event.onset_s:.2f} - {event.apex_s:.2f} - {event.offset_s:.2f} s",
        f"{event.floor_multiple:.1f} times the noise floor, score {event.score:.2f}",
        ", ".join(event.regions[:3]).replace("_", " "),
        event.reason,
        *event.flags,
    ]


def _boxes(frames_csv: Path) -> dict[int, dict[int, Box]]:
    """Frame to face to box."""
    boxes: dict[int, dict[int, Box]] = {}
    with frames_csv.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["face_id"]:
                x, y, width, height = (float(row[f"face_{name}"]) for name in "xywh")
                boxes.setdefault(int(row["frame"]), {})[int(row["face_id"])] = x, y, width, height
    return boxes


def _face(
    images: dict[int, Image], boxes: dict[int, dict[int, Box]], frame: int, face: int | None
) -> Image:
    """The face in a frame, or all of the frame where it was not found."""
    image = images.get(frame)
    if image is None:
        return np.full((SIDE, SIDE, 3), 200, np.uint8)
    found = boxes.get(frame, {})
    box = next(iter(found.values()), None) if face is None else found.get(face)
    if box is not None:
        x, y, width, height = box
        side = max(width, height) * (1 + 2 * MARGIN)
        left, top = (round(v) for v in (x + width / 2 - side / 2, y + height / 2 - side / 2))
        image = image[max(top, 0) : round(top + side), max(left, 0) : round(left + side)]
    scale = SIDE / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    cell = np.full((SIDE, SIDE, 3), 255, np.uint8)
    cell[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cell


def _strip(faces: list[Image], words: list[str]) -> Image:
    strip = np.full((SIDE + 4, 3 * (SIDE + 4) + WORDS, 3), 255, np.uint8)
    for place, face in enumerate(faces):
        strip[:SIDE, place * (SIDE + 4) : place * (SIDE + 4) + SIDE] = face
    for number, line in enumerate(_kept(words)):
        _write(strip, line, (3 * (SIDE + 4) + 6, LINE * (number + 1)))
    return strip


def _kept(words: list[str]) -> Iterator[str]:
    yield from (line for line in words if line)


def _write(image: Image, words: str, at: tuple[int, int]) -> None:
    plain = words.encode("ascii", "replace").decode()  # OpenCV's strokes know no other letters
    cv2.putText(image, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
