"""The page on which a person reviews an analysis: one file that loads nothing from anywhere."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from ma2mi.errors import optional_part
from ma2mi.formats.responsible import CANDIDATES, RESPONSIBLE
from ma2mi.records import EXPRESSIONS, KINDS, Analysis, DetectedEvent, EventKind

with optional_part("jinja2", "report"):
    from jinja2 import Environment, StrictUndefined

BINS = 1200  # of the timeline: the page stays as small for an hour as for a minute
CARDS = 60  # events with pictures: the best; all are listed
LISTED = 500  # rows of candidates, and of blinks and utterances; all are in the tables
LAYERS: tuple[EventKind, ...] = ("speech", "blink", "macro", "micro")  # the timeline's, upward
CAPTIONS = {
    "onset": "onset",
    "apex": "apex",
    "flow": "movement from onset to apex, head motion removed",
    "heat": "what spoke for the answer",
}


@dataclass(frozen=True, slots=True)
class Loop:
    """A clip as one strip of frames below each other, for a loop without a player.

    Args:
        strip: JPEG [frames * height, width].
        frames: how many.
        width, height: of one frame in px.
        caption: what it shows.
    """

    strip: bytes
    frames: int
    width: int
    height: int
    caption: str


@dataclass(frozen=True, slots=True)
class Card:
    """What the page shows of one event.

    Args:
        pictures: of ``CAPTIONS``, PNG bytes.
        loop: the movement as it is and magnified; None where faces are blurred.
    """

    pictures: dict[str, bytes] = field(default_factory=dict)
    loop: Loop | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """The movement of one face over the whole video, the largest value of each bin."""

    face_id: int
    points: str  # of an SVG polyline, x in 0..BINS, y in 0..100 downward


def write_review(
    analysis: Analysis, frames_csv: Path, cards: Callable[[DetectedEvent], Card], path: Path
) -> None:
    """Write the page event by event; only one event's pictures are in memory at a time.

    Args:
        analysis: what was found.
        frames_csv: the table that the timeline is drawn from.
        cards: gives an event's pictures; asked for the ``CARDS`` best expressions.
        path: of the page.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    template = environment.from_string((files(__package__) / "review.html").read_text("utf-8"))
    best = best_events(analysis)
    stream = template.stream(
        analysis=analysis,
        curves=read_curves(frames_csv, analysis.frames),
        shown=((event, cards(event)) for event in best),
        shown_ids={event.event_id for event in best},
        bins=BINS,
        kinds=KINDS,
        captions=CAPTIONS,
        layers=LAYERS,
        listed=LISTED,
        candidates=best_candidates(analysis),
        below=_stay(len(analysis.candidates)),
        several=len(analysis.faces) > 1,
        about_events=CANDIDATES,
        responsible=RESPONSIBLE,
        counts={kind: sum(e.kind == kind for e in analysis.events) for kind in KINDS},
    )
    with path.open("wb") as file:
        # A name that is not UTF-8 shows its odd bytes.
        stream.dump(file, encoding="utf-8", errors="backslashreplace")


def best_events(analysis: Analysis) -> list[DetectedEvent]:
    """The expressions of the highest scores, at most ``CARDS``, micro before macro."""
    found = [event for event in analysis.events if event.kind in EXPRESSIONS]
    found.sort(key=lambda e: (e.kind != "micro", -e.score, e.event_id))
    return found[:CARDS]


def best_candidates(analysis: Analysis) -> list[DetectedEvent]:
    """The candidates of the highest scores, at most ``LISTED``, in the order of their ids."""
    found = sorted(analysis.candidates, key=lambda e: (-e.score, -e.floor_multiple, e.event_id))
    return sorted(found[:LISTED], key=lambda e: e.event_id)


def _stay(count: int) -> str:
    """ "1 candidate stays", "12 candidates stay"."""
    return "1 candidate stays" if count == 1 else f"{count} candidates stay"


def read_curves(frames_csv: Path, frames: int) -> list[Curve]:
    """One curve a face from ``frames.csv``, read row by row."""
    bins: dict[int, list[float | None]] = {}
    for face_id, frame, movement in _movements(frames_csv):
        row = bins.setdefault(face_id, [None] * BINS)
        at = min(frame * BINS // max(frames, 1), BINS - 1)
        row[at] = max(row[at] or 0.0, movement)
    curves = []
    for face_id, row in sorted(bins.items()):
        known = sorted(value for value in row if value is not None)
        # A turn of the head would flatten all else: the scale ends at the 98th percentile.
        top = max(known[int(0.98 * (len(known) - 1))] * 1.3, 1e-6)
        points = [
            f"{x},{100 - 96 * min(value / top, 1):.1f}"
            for x, value in enumerate(row)
            if value is not None
        ]
        curves.append(Curve(face_id, " ".join(points)))
    return curves


def _movements(frames_csv: Path) -> Iterator[tuple[int, int, float]]:
    with frames_csv.open(encoding="utf-8", newline="") as file:
        rows: Iterable[dict[str, str]] = csv.DictReader(file)
        for row in rows:
            if row["face_id"] and row["movement_px"]:
                yield int(row["face_id"]), int(row["frame"]), float(row["movement_px"])
