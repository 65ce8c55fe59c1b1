"""Tables of events and frames, each with a data dictionary beside it, and all of it as JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from ma2mi.errors import StoreError
from ma2mi.formats.responsible import CANDIDATES, RESPONSIBLE
from ma2mi.formats.sheets import mask
from ma2mi.motion.regions import REGIONS
from ma2mi.records import EXPRESSIONS, KINDS, Analysis, DetectedEvent, FaceFacts, Reading

Column = dict[str, Any]

#: The file of results that holds the events.
ANALYSIS = "analysis.json"

EVENT_COLUMNS: dict[str, Column] = {
    "event_id": {"Description": "Number of the event, from 1, in the order of the onsets."},
    "face_id": {"Description": "Number of the face, from 0; as in frames.csv."},
    "kind": {"Description": "What kind of movement.", "Levels": KINDS},
    "onset_frame": {"Description": "First frame of the movement, counted from 0."},
    "apex_frame": {"Description": "Frame of the strongest movement, counted from 0."},
    "offset_frame": {"Description": "Last frame of the movement, inclusive, counted from 0."},
    "onset_s": {"Description": "When onset_frame is seen, after the first frame.", "Units": "s"},
    "apex_s": {"Description": "When apex_frame is seen, after the first frame.", "Units": "s"},
    "offset_s": {"Description": "When offset_frame is seen, after the first frame.", "Units": "s"},
    "duration_ms": {"Description": "offset_s minus onset_s.", "Units": "ms"},
    "score": {
        "Description": "How far the movement stands out, in [0, 1]; for ranking. It is not the "
        "probability that a coder would agree."
    },
    "floor_multiple": {
        "Description": "Peak of the movement in units of this face's own noise floor; below "
        "about 1 nothing can be told from noise."
    },
    "regions": {"Description": "Where it moves, strongest first, separated by ';'; left and "
                "right are the person's own."},
    "action_units": {
        "Description": "FACS action units that count as shown, from the recognizer's threshold on "
        "(1/2 unless its weights say otherwise), separated by ';'."
    },
    "label": {"Description": "The most probable class; empty where the recognizer abstains or was "
              "not asked (blink, speech, recording too poor)."},
    "abstained": {"Description": "1 where the recognizer would rather not say."},
    "expression_probability": {"Description": "Probability that there is an expression at all."},
    "intensity": {"Description": "Largest movement of the skin.", "Units": "% of crop width"},
    "flags": {"Description": "What a reviewer should know, separated by ';'."},
}  # fmt: skip

CANDIDATE_COLUMNS: dict[str, Column] = {
    "candidate_id": {"Description": "Number of the candidate, from 1, in the order of the onsets; "
                     "it has nothing to do with event_id."},
    **{
        name: EVENT_COLUMNS[name]
        for name in (
            "face_id", "kind", "onset_frame", "apex_frame", "offset_frame", "onset_s", "apex_s",
            "offset_s", "duration_ms", "score", "floor_multiple", "regions", "flags",
        )
    },
    "reason": {"Description": "Why the movement is no event; --threshold and --least-score decide "
               "how much counts."},
}  # fmt: skip
CANDIDATE_COLUMNS["kind"] = {
    "Description": "What kind of movement.",
    "Levels": {kind: KINDS[kind] for kind in EXPRESSIONS},
}

FRAME_COLUMNS: dict[str, Column] = {
    "frame": {"Description": "Decoded frame, counted from 0 (OpenFace counts from 1)."},
    "face_id": {"Description": "Number of the face, from 0; empty where no face was found."},
    "timestamp": {"Description": "When the frame is seen, after the first frame.", "Units": "s"},
    "confidence": {"Description": "The landmark network's belief that this is a face, in [0, 1]."},
    "success": {
        "Description": "1 where a face was found, 0 otherwise; in frames "
        "between two looks (20 a second by default) as at the last one."
    },
    "face_x": {"Description": "Left edge of the landmarks.", "Units": "px"},
    "face_y": {"Description": "Upper edge of the landmarks.", "Units": "px"},
    "face_w": {"Description": "Width of the landmarks.", "Units": "px"},
    "face_h": {"Description": "Height of the landmarks.", "Units": "px"},
    "movement_px": {
        "Description": "Movement against about 0.12 s before, head motion removed: mean of the "
        "three regions that move most; empty where none was measured.",
        "Units": "px of the aligned crop of 128 px",
    },
    **{
        f"{name}_px": {
            "Description": f"Movement of the {name.replace('_', ' ')} against about 0.12 s before.",
            "Units": "px of the aligned crop of 128 px",
        }
        for name in REGIONS
    },
}


def event_columns(analysis: Analysis) -> dict[str, Column]:
    """The columns of ``events.csv``: the fixed ones, one a class, one an action unit."""
    classes = {
        f"p_{name}": {"Description": f"Probability of the class {name}; they sum to 1."}
        for name in analysis.classes
    }
    units = {
        f"au_{unit}": {"Description": f"Probability of FACS action unit {unit}."}
        for unit in analysis.units
    }
    columns = dict(EVENT_COLUMNS)
    flags = columns.pop("flags")
    return {**columns, **classes, **units, "flags": flags}


def event_row(event: DetectedEvent, columns: Iterable[str]) -> dict[str, Any]:
    """The cells of one event, None where there is no value."""
    row: dict[str, Any] = event_tree(event) | {
        "duration_ms": event.duration_ms,
        "label": event.emotion,
        "regions": ";".join(event.regions),
        "action_units": ";".join(event.units),
        "flags": ";".join(event.flags),
    }
    if event.reading is not None:
        read = event.reading
        row |= {
            "abstained": int(read.abstained),
            "expression_probability": read.expression,
            "intensity": read.intensity,
            **{f"p_{name}": p for name, p in read.probabilities.items()},
            **{f"au_{unit}": p for unit, p in read.action_units.items()},
        }
    return {name: row.get(name) for name in columns}


def event_tree(event: DetectedEvent) -> dict[str, Any]:
    """An event under the names that it has in all our files."""
    names = {"face": "face_id"} | {at: f"{at}_frame" for at in ("onset", "apex", "offset")}
    return {
        **{names.get(name, name): getattr(event, name) for name in _KEPT},
        "reading": None if event.reading is None else asdict(event.reading),
        "flags": event.flags,
        "reason": event.reason,
    }


_KEPT = (
    "event_id", "face", "kind", "onset", "apex", "offset", "onset_s", "apex_s", "offset_s",
    "score", "floor_multiple", "regions",
)  # fmt: skip


def write_events(analysis: Analysis, folder: Path) -> list[Path]:
    """``events.csv`` and its dictionary, ``events.columns.json``."""
    columns = event_columns(analysis)
    rows = [event_row(event, columns) for event in analysis.events]
    table, words = folder / "events.csv", folder / "events.columns.json"
    table.write_text(as_table(rows, columns), "utf-8")
    words.write_text(as_json(columns), "utf-8")
    return [table, words]


def write_candidates(analysis: Analysis, folder: Path) -> list[Path]:
    """``candidates.csv``, movements below the thresholds and why, and its dictionary."""
    rows = [
        event_row(one, CANDIDATE_COLUMNS) | {"candidate_id": one.event_id}
        for one in analysis.candidates
    ]
    table, words = folder / "candidates.csv", folder / "candidates.columns.json"
    table.write_text(as_table(rows, CANDIDATE_COLUMNS), "utf-8")
    words.write_text(as_json(CANDIDATE_COLUMNS), "utf-8")
    return [table, words]


def write_tables(analysis: Analysis, folder: Path) -> list[Path]:
    """``events.csv``, ``candidates.csv`` and their dictionaries."""
    return write_events(analysis, folder) + write_candidates(analysis, folder)


def write_json(analysis: Analysis, folder: Path) -> list[Path]:
    """``analysis.json``: everything but the rows of ``frames.csv``."""
    path = folder / ANALYSIS
    tree = {**asdict(replace(analysis, events=(), candidates=()))}
    tree["events"] = [event_tree(event) for event in analysis.events]
    tree["candidates"] = [event_tree(event) for event in analysis.candidates]
    tree |= {"about_events": CANDIDATES, "responsible_use": RESPONSIBLE}
    path.write_text(as_json(tree), "utf-8")
    return [path]


def read_json(path: Path) -> Analysis:
    """An analysis as ``write_json`` wrote it.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    try:
        tree = json.loads(path.read_text("utf-8"))
        known = {f.name for f in fields(Analysis)}
        tree = {name: value for name, value in tree.items() if name in known}
        for name in ("reasons", "classes", "units", "notes"):
            tree[name] = tuple(tree[name])
        tree["faces"] = tuple(FaceFacts(**_tuples(face)) for face in tree["faces"])
        for name in ("events", "candidates"):
            tree[name] = tuple(_event(event) for event in tree[name])
        return Analysis(**tree)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"is no readable analysis ({error})", where=path, hint="Analyse the video again"
        ) from error


def _event(tree: dict[str, Any]) -> DetectedEvent:
    reading = tree.pop("reading")
    tree |= {at: tree.pop(f"{at}_frame") for at in ("onset", "apex", "offset")}
    tree["face"] = tree.pop("face_id")
    return DetectedEvent(**_tuples(tree), reading=None if reading is None else Reading(**reading))


def _tuples(tree: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in tree.items()}


def as_table(
    rows: Iterable[Mapping[str, Any]], columns: Iterable[str], delimiter: str = ",", gap: str = ""
) -> str:
    """Rows as text, a header above; ``gap`` stands where there is no value."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    names = list(columns)
    writer.writerow(names)
    writer.writerows([cell(row.get(name), gap) for name in names] for row in rows)
    return stream.getvalue()


def as_json(tree: object) -> str:
    """JSON in UTF-8; of file names that are not, the odd bytes as escapes, which read back."""
    text = json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return re.sub("[\ud800-\udfff]", lambda odd: f"\\u{ord(odd[0]):04x}", text)


def cell(value: Any, gap: str = "") -> str:
    """Numbers with six decimals at most; they are measurements, not more.

    Text that a spreadsheet program would compute ("=1+1") gets an apostrophe, see
    ``formats.sheets.mask``; all other text, and every number, is as it was.
    """
    if value is None or value == "":
        return gap
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return mask(value) if isinstance(value, str) else str(value)


class FrameTable:
    """``frames.csv``, row by row as the frames come, and its dictionary beside it.

    A frame without a face has one row; a frame with several faces one for each.

    Args:
        folder: exists.
        written: bytes of a table that was begun earlier, after which it goes on.
    """

    def __init__(self, folder: Path, written: int = 0) -> None:
        self.path = folder / "frames.csv"
        (folder / "frames.columns.json").write_text(as_json(FRAME_COLUMNS), "utf-8")
        self._file = self.path.open("r+" if written else "w", encoding="utf-8", newline="")
        self._file.truncate(written)
        self._file.seek(written)
        self._writer = csv.writer(self._file, lineterminator="\n")
        if not written:
            self._writer.writerow(FRAME_COLUMNS)

    def add(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow([cell(row.get(name)) for name in FRAME_COLUMNS])

    def written(self) -> int:
        """Bytes of all rows so far, on disk."""
        self._file.flush()
        return self.path.stat().st_size

    def close(self) -> None:
        self._file.close()
