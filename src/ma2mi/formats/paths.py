"""An analysis that does not say what its video is called or where it lies."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ma2mi.records import Analysis

VIDEO = "the video"


def without_paths(analysis: Analysis, video: Path | str) -> Analysis:
    """The analysis as it may be passed on: no path and no file name of the video in it.

    ``source`` is empty, ELAN's document links to no media, BORIS' project names the results
    instead, and notes speak of "the video". The name of the results is the caller's choice: files
    are named after it.

    Args:
        analysis: of the video.
        video: as it was given.
    """
    path = Path(video)
    names = {str(video), str(path), str(path.absolute()), analysis.source}
    if path.suffix:  # else it may be a word
        names.add(path.name)
    longest_first = sorted((re.escape(name) for name in names if name), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w./])(?:{'|'.join(longest_first)})(?!\w)")
    notes = tuple(pattern.sub(VIDEO, note) for note in analysis.notes)
    return replace(analysis, source="", notes=notes)
