"""Any folder of face videos, without marks: what pre-training needs and nothing more."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

from ma2mi.errors import CorpusError
from ma2mi.records import Recording
from ma2mi.video import list_videos


def list_recordings(
    folder: Path | str,
    *,
    people: Literal["video", "folder"] = "video",
    fps: Fraction | None = None,
) -> list[Recording]:
    """Every video below ``folder``, and every folder of frames.

    Args:
        folder: searched at any depth.
        people: what counts as one subject: each "video", or each "folder". Set wrong, the same
            subject may be both trained and evaluated on.
        fps: rate of folders of frames, which have no time stamps of their own.

    Raises:
        CorpusError: there is no video in the folder.
        VideoError: it is no folder.
    """
    folder = Path(folder)
    videos = list_videos(folder)
    if not videos:
        raise CorpusError(
            "holds no video and no folder of frames", where=folder, hint="Choose another folder"
        )
    recordings = []
    for path in videos:
        name = path.relative_to(folder)
        subject = name if people == "video" else name.parent
        recordings.append(
            Recording(path, str(subject), str(name), fps=fps if path.is_dir() else None)
        )
    return recordings
