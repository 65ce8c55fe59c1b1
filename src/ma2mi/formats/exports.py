"""An analysis as files that other tools open: tables, JSON, BIDS, ELAN, BORIS."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ma2mi.formats.annotation import Annotation
from ma2mi.formats.bids.write import NOT_KNOWN, bids_events
from ma2mi.formats.boris.write import Behavior, BorisMedia, boris_project
from ma2mi.formats.eaf.write import ElanMedia, Tier, eaf_document
from ma2mi.formats.paths import without_paths
from ma2mi.formats.responsible import CANDIDATES
from ma2mi.formats.tables import (
    Column,
    as_json,
    event_columns,
    event_row,
    write_candidates,
    write_events,
    write_json,
    write_tables,
)
from ma2mi.records import EXPRESSIONS, KINDS, Analysis, DetectedEvent

_MIME = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg"}


def event_annotation(analysis: Analysis, event: DetectedEvent) -> Annotation:
    """An event on a player's clock, from the start of its onset to the end of its offset."""
    return Annotation(
        _decimal(analysis.player_s(event.onset_s)),
        _decimal(analysis.player_s(event.offset_s + analysis.frame_s)),
        event.emotion,
        apex_s=_decimal(analysis.player_s(event.apex_s)),
        aus="+".join(event.units),
        kind=event.kind,
        face=event.face,
        score=event.score,
        flags=event.flags,
        number=event.event_id,
    )


def _decimal(time_s: float) -> Fraction:
    """As all our tables round it; the sum of two floats is no decimal number."""
    return Fraction(f"{time_s:.6f}")


def write_elan(analysis: Analysis, folder: Path) -> list[Path]:
    """``NAME.eaf``: one tier for each face and kind, with tiers for apexes, units and notes.

    Times count from the start of the file, as ELAN's do. The video is named by its address and by
    the way to it from ``folder``.
    """
    source = Path(analysis.source)
    media = []
    if source.is_file():
        mime = _MIME.get(source.suffix.lower(), "video/*")
        media.append(ElanMedia(source.resolve().as_uri(), _way(folder, source), mime))
    tiers = [
        Tier(f"face{face.face_id}.{kind}", f"face{face.face_id}", kind)
        for face in analysis.faces
        for kind in KINDS
    ]
    events = [
        replace(event_annotation(analysis, event), layer=f"face{event.face}.{event.kind}")
        for event in analysis.events
    ]
    path = folder / f"{analysis.name}.eaf"
    path.write_bytes(eaf_document(events, media, author=f"ma2mi {analysis.version}", tiers=tiers))
    return [path]


def write_boris(analysis: Analysis, folder: Path) -> list[Path]:
    """``NAME.boris``: kinds are state events, faces subjects, classes and units modifiers."""
    length_s = round(analysis.player_s(analysis.duration_s), 6)
    fps = round(analysis.fps / analysis.slowed, 6)
    classes = dict.fromkeys(analysis.classes)
    units = dict.fromkeys(f"AU{unit}" for unit in analysis.units)
    behaviors = [
        Behavior(kind, meaning=kind, classes=dict(classes), units=dict(units))
        if kind in EXPRESSIONS
        else Behavior(kind, meaning=kind)
        for kind in KINDS
    ]
    path = folder / f"{analysis.name}.boris"
    project = boris_project(
        [event_annotation(analysis, event) for event in analysis.events],
        [BorisMedia(_media(analysis), length_s, fps)],
        name=analysis.name,
        version=analysis.version,
        description=CANDIDATES,
        faces=[f"face{face.face_id}" for face in analysis.faces],
        behaviors=behaviors,
    )
    path.write_text(project, "utf-8")
    return [path]


def write_bids(analysis: Analysis, folder: Path) -> list[Path]:
    """``sub-NAME_task-video_events.tsv`` and ``.json``; rename the subject to your study's.

    The trial type is the kind. The duration includes the offset frame.
    """
    own = event_columns(analysis)
    columns: dict[str, Column] = {
        "onset": {
            "Description": "Start of the event after the start of the file, which sound may "
            "begin, as the file plays.",
            "Units": "s",
        },
        "duration": {
            "Description": "From the start of the onset frame to the end of the offset frame.",
            "Units": "s",
        },
        "trial_type": {"Description": "What kind of movement.", "Levels": KINDS},
        "apex": {
            "Description": "When apex_frame is seen, after the start of the file, as it plays.",
            "Units": "s",
        },
        **{name: own[name] for name in own if name not in ("kind", "onset_s", "duration_ms")},
        "media_file": {"Description": "The video, from this file's folder."},
    }
    source = Path(analysis.source)
    video = _way(folder, source) if analysis.source and source.exists() else analysis.source
    rows = [
        {
            **event_row(event, own),
            "onset": analysis.player_s(event.onset_s),
            "duration": analysis.slowed * (event.offset_s - event.onset_s + analysis.frame_s),
            "trial_type": event.kind,
            "apex": analysis.player_s(event.apex_s),
            "media_file": video,
        }
        for event in analysis.events
    ]
    about = {
        "GeneratedBy": {"Name": "ma2mi", "Version": analysis.version, "Description": CANDIDATES},
        "StimulusPresentation": {"Software": NOT_KNOWN},
    }
    stem = f"sub-{re.sub(r'[^A-Za-z0-9]', '', analysis.name) or 'video'}_task-video_events"
    table, sidecar = folder / f"{stem}.tsv", folder / f"{stem}.json"
    events = [event_annotation(analysis, event) for event in analysis.events]
    table.write_text(bids_events(events, rows, columns), "utf-8")
    sidecar.write_text(as_json({**columns, **about}), "utf-8")
    return [table, sidecar]


def _media(analysis: Analysis) -> str:
    if not analysis.source:  # left out
        return analysis.name
    source = Path(analysis.source)
    return str(source.resolve()) if source.exists() else analysis.source


def _way(folder: Path, source: Path) -> str:
    """From a folder of results to a video, as ELAN writes it; "" where there is none."""
    try:
        way = Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return ""
    return way if way.startswith("../") else f"./{way}"


#: Format -> what writes it: (analysis, folder) -> the files written.
EXPORTS: dict[str, Callable[[Analysis, Path], list[Path]]] = {
    "csv": write_tables,
    "json": write_json,
    "bids": write_bids,
    "elan": write_elan,
    "boris": write_boris,
}

__all__ = [
    "EXPORTS",
    "event_annotation",
    "without_paths",
    "write_bids",
    "write_boris",
    "write_candidates",
    "write_elan",
    "write_events",
    "write_json",
    "write_tables",
]
