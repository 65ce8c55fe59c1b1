"""How good a prepared clip is: one row of figures, and what each of them means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ma2mi.clips.sampling import difference, onset_apex
from ma2mi.clips.store import PreparedClip, Recipe
from ma2mi.errors import MotionError, StoreError
from ma2mi.face.align import warp_points
from ma2mi.face.landmarks import Face
from ma2mi.face.quality import FrameQuality
from ma2mi.motion import flow
from ma2mi.video import list_images
from ma2mi.video.numbering import read_number

_MEASURED = ("blur", "blockiness", "luma", "clipped", "turned")


@dataclass(frozen=True, slots=True)
class ClipQuality:
    """One row of the quality table; the fields are explained in ``COLUMNS``."""

    key: str
    recording: str
    subject: str
    frames: int
    duration_s: float
    face_px: float | None
    blur: float | None
    blockiness: float | None
    luma: float | None
    clipped: float | None
    turned: float | None
    confidence: float | None
    movement_px: float | None
    head_px: float | None
    missing_frames: int | None


COLUMNS: Mapping[str, tuple[str, str]] = {
    "key": ("", "name of the clip in the store"),
    "recording": ("", "recording that it was cut from"),
    "subject": ("", "subject that it shows"),
    "frames": ("", "number of frames"),
    "duration_s": ("s", "time from its first frame to its last"),
    "face_px": ("px of the recording", "longer side of the box around the first frame's landmarks"),
    "blur": ("0 to 1", "of the first frame's face: 0 is every pixel its own, 1 all alike"),
    "blockiness": ("share", "by how much its steps on the 8 px grid of JPEG exceed the others"),
    "luma": ("0 to 255", "its mean brightness"),
    "clipped": ("share", "of its pixels that are plain black or white"),
    "turned": ("0 to 1", "how far it is turned aside; 1 is a profile"),
    "confidence": (
        "0 to 1",
        "the landmark net's belief that this is a face, lower of first and last frame; "
        "0 if the face is lost at the end",
    ),
    "movement_px": (
        "px of the crop",
        "98th percentile of the movement from onset to apex; without marks, from the first frame "
        "to the one that differs most",
    ),
    "head_px": (
        "px of the crop",
        "how far the landmarks went, in the mean, from the first frame to the last",
    ),
    "missing_frames": (
        "",
        "frames that are not there, by the numbers in the images' names or by a video's times",
    ),
}
"""Column to unit and meaning; an empty cell is a figure that could not be measured."""


def measure_clip(
    clip: PreparedClip,
    path: Path,
    recipe: Recipe,
    *,
    first_quality: FrameQuality | None = None,
    first: Face | None = None,
    last: Face | None = None,
) -> ClipQuality:
    """The figures of one clip.

    Args:
        clip: as it is stored.
        path: the recording's file or folder.
        recipe: names the flow.
        first_quality: of the face in the first frame, None where there is none or it is too small.
        first, last: the face in the clip's first and last frame, in pixels of the recording;
            None where there is none.
    """
    head_px = None
    if first and last:
        moved = warp_points(last.points, clip.warp) - warp_points(first.points, clip.warp)
        head_px = _rounded(np.linalg.norm(moved.mean(axis=0)))
    confidence = None
    if first:
        confidence = _rounded(min(first.confidence, last.confidence) if last else 0.0)
    face_px = None
    if first:
        face_px = _rounded(max(first.box[2] - first.box[0], first.box[3] - first.box[1]))
    measured = {
        name: _rounded(getattr(first_quality, name)) if first_quality else None
        for name in _MEASURED
    }
    return ClipQuality(
        key=clip.key,
        recording=str(clip.marks.get("recording", "")),
        subject=clip.subject,
        frames=len(clip.frames),
        duration_s=round(float(clip.times_s[-1] - clip.times_s[0]), 6),
        face_px=face_px,
        **measured,
        confidence=confidence,
        movement_px=_movement_px(clip, recipe),
        head_px=head_px,
        missing_frames=_missing(path, clip),
    )


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 3)  # a table is read on other machines, too


def _movement_px(clip: PreparedClip, recipe: Recipe) -> float | None:
    try:
        if clip.marks.get("onset") is not None:
            onset, apex = onset_apex(clip)
        else:
            onset = 0
            apex = int(np.argmax([difference(clip.frames[0], frame) for frame in clip.frames]))
        field = flow(clip.frames[onset], clip.frames[apex][None], method=recipe.flow)
    except (MotionError, StoreError):
        return None
    return _rounded(np.percentile(np.linalg.norm(field[0], axis=-1), 98))


def _missing(path: Path, clip: PreparedClip) -> int | None:
    if path.is_dir():
        files = list_images(path)
        first, last = (read_number(files[clip.frame_index[at]]) for at in (0, -1))
        if first is None or last is None:
            return None
        return max(last.number - first.number + 1 - len(clip.frames), 0)
    steps = [b - a for a, b in zip(clip.times_s, clip.times_s[1:], strict=False)]
    if not steps:
        return 0
    typical: Fraction = sorted(steps)[len(steps) // 2]
    return sum(max(round(step / typical) - 1, 0) for step in steps) if typical > 0 else None
