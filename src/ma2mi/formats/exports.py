"""An analysis as files that other tools open: tables, JSON, BIDS, ELAN, BORIS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ma2mi.formats.bids import write_bids
from ma2mi.formats.boris_project import write_boris
from ma2mi.formats.eaf_document import write_elan
from ma2mi.formats.paths import without_paths
from ma2mi.formats.tables import write_candidates, write_events, write_json, write_tables
from ma2mi.records import Analysis

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
    "without_paths",
    "write_bids",
    "write_boris",
    "write_candidates",
    "write_elan",
    "write_events",
    "write_json",
    "write_tables",
]
