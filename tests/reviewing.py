"""A video that counts its frames, and results of an analysis of it, in seconds."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

import media
from ma2mi.files import digest
from ma2mi.formats.tables import FRAME_COLUMNS, FrameTable, write_json
from ma2mi.records import Analysis, DetectedEvent, FaceFacts, Reading
from ma2mi.video import read_frames, write_video

FPS = 30
COUNT = 90
UNITS = {"4": 0.81, "12": 0.2}
CLASSES = {"negative": 0.6, "positive": 0.3, "surprise": 0.1}


def write_counting(path: Path, count: int = COUNT, size: tuple[int, int] = (96, 128)) -> Path:
    """A video whose frames show their own numbers."""
    write_video(path, (media.draw(number, *size) for number in range(count)), Fraction(FPS))
    return path


def event(number: int, onset: int, apex: int, offset: int, **changes) -> DetectedEvent:
    values = {
        "kind": "micro",
        "face": 0,
        "score": 0.7,
        "floor_multiple": 6.5,
        "regions": ("left_inner_brow", "right_lip_corner"),
        "reading": Reading(f"face0@{onset}", CLASSES, UNITS, 1.2, 0.8, abstained=number == 2),
        **changes,
    }
    kind = values.pop("kind")
    seconds = {f"{n}_s": f / FPS for n, f in (("onset", onset), ("apex", apex), ("offset", offset))}
    return DetectedEvent(kind, onset, apex, offset, event_id=number, **seconds, **values)


EVENTS = (
    event(1, 10, 14, 20),
    event(2, 30, 33, 40, score=0.52),
    event(3, 45, 47, 49, kind="blink", reading=None),
    event(4, 60, 66, 80, kind="macro", score=0.95),
)
CANDIDATES = (event(1, 52, 54, 57, score=0.1, reading=None, reason="score 0.10 below 0.50"),)


def write_results(folder: Path, video: Path) -> Path:
    """What ``ma2mi analyze`` would write of the video, with ``EVENTS``, by its own writers."""
    folder.mkdir(parents=True)
    frames = list(read_frames(video))
    table = FrameTable(folder)
    for frame in frames:
        row = dict.fromkeys(FRAME_COLUMNS, 0.02 + 0.001 * (frame.index % 7))
        row |= {"frame": frame.index, "face_id": 0, "timestamp": float(frame.time_s)}
        row |= {"face_x": 20.0, "face_y": 10.0, "face_w": 60.0, "face_h": 70.0}
        table.add(row)
    table.close()
    height, width = frames[0].image.shape[:2]
    analysis = Analysis(
        name=folder.name, source=str(video), version="0.1.0", width=width, height=height,
        fps=float(FPS), frames=len(frames), start_s=0.0, duration_s=len(frames) / FPS,
        level="amber", reasons=("a fake",), faces=(FaceFacts(0, len(frames), 0, 3, 30, "amber"),),
        events=EVENTS, candidates=CANDIDATES, classes=tuple(CLASSES), units=tuple(UNITS),
        settings={"input": digest(video), "settings": {}, "fps": None},
    )  # fmt: skip
    write_json(analysis, folder)
    return folder


def decoded(video: Path) -> list[np.ndarray]:
    """All frames, as PyAV alone decodes them from start to end."""
    import av

    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def start_server(*words: object) -> tuple[subprocess.Popen[str], str]:
    """``ma2mi review`` in a process of its own, and the address that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ma2mi.cli", "review", *map(str, words), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("http://"):
            return process, line.strip()
    process.wait()
    raise AssertionError("".join(lines))
