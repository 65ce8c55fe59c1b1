"""BORIS: a project with one observation (Friard & Gamba 2016; project format 7.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ma2mi.formats.responsible import CANDIDATES
from ma2mi.formats.tables import as_json
from ma2mi.records import KINDS, Analysis

EPOCH = "1970-01-01T00:00:00"  # the same input gives the same bytes, so no date of today
KEYS = {"micro": "m", "macro": "a", "blink": "b", "speech": "s"}


def write_boris(analysis: Analysis, folder: Path) -> list[Path]:
    """``NAME.boris``: kinds are state events, faces subjects, what is known goes to the comments.

    A state event is two rows of the same code, start and stop. BORIS pairs the rows of a code in
    turn, so where two events of a face and kind overlap the first ends where the second starts.
    """
    media = _media(analysis)
    observation = {
        "file": {"1": [media], **{str(player): [] for player in range(2, 9)}},
        "type": "MEDIA",
        "date": EPOCH,
        "description": CANDIDATES,
        "time offset": 0.0,
        "events": _events(analysis),
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "close_behaviors_between_videos": False,
        "scan_sampling_time": 0,
        "media_info": {
            "length": {media: round(analysis.player_s(analysis.duration_s), 6)},
            "fps": {media: round(analysis.fps / analysis.slowed, 6)},
            "hasVideo": {media: True},
            "hasAudio": {media: False},
            "offset": {"1": 0.0},
        },
    }
    behaviours = {
        str(number): {
            "type": "State event",
            "key": KEYS[kind],
            "code": kind,
            "description": words,
            "category": "",
            "modifiers": "",
            "excluded": "",
            "coding map": "",
        }
        for number, (kind, words) in enumerate(KINDS.items())
    }
    subjects = {
        str(number): {"key": "", "name": f"face{face.face_id}", "description": ""}
        for number, face in enumerate(analysis.faces)
    }
    project = {
        "time_format": "hh:mm:ss",
        "project_date": EPOCH,
        "project_name": analysis.name,
        "project_description": f"ma2mi {analysis.version}",
        "project_format_version": "7.0",
        "subjects_conf": subjects,
        "behaviors_conf": behaviours,
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "observations": {analysis.name: observation},
        "converters": {},
    }
    path = folder / f"{analysis.name}.boris"
    path.write_text(as_json(project), "utf-8")
    return [path]


def _media(analysis: Analysis) -> str:
    if not analysis.source:  # left out
        return analysis.name
    source = Path(analysis.source)
    return str(source.resolve()) if source.exists() else analysis.source


def _events(analysis: Analysis) -> list[list[Any]]:
    """Rows time (on the file's clock), subject, code, modifier, comment, sorted by time."""
    rows: list[list[Any]] = []
    ends: dict[tuple[int, str], list[Any]] = {}
    for event in sorted(analysis.events, key=lambda e: (e.onset_s, e.event_id)):
        track = (event.face_id, event.kind)
        start = round(analysis.player_s(event.onset_s), 3)
        before = ends.get(track)
        if before is not None and before[0] > start:
            before[0] = start
        subject = f"face{event.face_id}"
        comment = f"#{event.event_id} {event.words}; score {event.score:.2f}"
        rows.append([start, subject, event.kind, "", comment])
        end = round(analysis.player_s(event.offset_s + analysis.frame_s), 3)
        ends[track] = [end, subject, event.kind, "", ""]
        rows.append(ends[track])
    # Sorting keeps the order of equal times: a stop that was moved comes before the next start.
    return sorted(rows, key=lambda row: row[0])
