"""BIDS: ``_events.tsv`` and its sidecar (Gorgolewski et al. 2016, Scientific Data 3; BIDS 1.10)."""

from __future__ import annotations

import re
from pathlib import Path

from ma2mi.formats.responsible import CANDIDATES
from ma2mi.formats.tables import Column, as_json, as_table, event_columns, event_row
from ma2mi.records import KINDS, Analysis

NOT_KNOWN = "n/a"


def write_bids(analysis: Analysis, folder: Path) -> list[Path]:
    """``sub-NAME_task-video_events.tsv`` and ``.json``; rename the subject to your study's.

    BIDS wants "onset" and "duration" in seconds first, and "n/a" where there is no value. The
    duration includes the offset frame.
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
        **{name: own[name] for name in own if name not in ("kind", "onset_s", "duration_ms")},
    }
    rows = [
        {
            **event_row(event, own),
            "onset": analysis.player_s(event.onset_s),
            "duration": analysis.slowed * (event.offset_s - event.onset_s + analysis.frame_s),
            "trial_type": event.kind,
        }
        for event in analysis.events
    ]
    about = {
        "GeneratedBy": {"Name": "ma2mi", "Version": analysis.version, "Description": CANDIDATES},
        "StimulusPresentation": {"Software": NOT_KNOWN},
    }
    stem = f"sub-{re.sub(r'[^A-Za-z0-9]', '', analysis.name) or 'video'}_task-video_events"
    table, sidecar = folder / f"{stem}.tsv", folder / f"{stem}.json"
    table.write_text(as_table(rows, columns, delimiter="\t", gap=NOT_KNOWN), "utf-8")
    sidecar.write_text(as_json({**columns, **about}), "utf-8")
    return [table, sidecar]
