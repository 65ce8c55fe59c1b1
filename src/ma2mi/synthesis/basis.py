"""A face's movements as a basis: the flow of every action unit and side on the aligned crop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from ma2mi.motion.facs import ACTION_UNITS, SIDES, Side
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.synthesis.movement import FACE, MOUTH_IN_FACE, Track, grid, unit_field
from ma2mi.synthesis.subject import FACE_SIDE, SyntheticSubject, make_subject
from ma2mi.workers import ending_with_this

#: Side of the fields in cells: a cell is an eighth of an eye's width.
SIDE = 64
#: The eyes' height in the aligned crop, see ``face.align.Template``.
EYES_AT = 0.29

TRACKS: tuple[Track, ...] = tuple(
    (number, side) for number in ACTION_UNITS if number != "43" for side in SIDES
)
"""Unit and side of every field of a basis, in order. 43 moves what 45 moves, only longer."""


@dataclass(frozen=True, eq=False)
class FlowBasis:
    """Small movements add up, so a face is known by the field of each unit alone.

    Args:
        fields: float32 [subjects, tracks, 2, S, S], rightward and downward movement of the skin at
            full intensity, in percent of the crop's side; tracks as ``TRACKS``.
    """

    fields: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.fields)


def subject_fields(subject: SyntheticSubject, side: int = SIDE) -> NDArray[np.float32]:
    """One synthetic subject's fields [tracks, 2, S, S], see :class:`FlowBasis`.

    Analytic: bumps, lines and lids where ``facs.ACTION_UNITS`` puts them on this subject's face.
    """
    x, y = grid(FACE)
    above = (y < subject.lip_line(x - np.float32(subject.centre_x)))[MOUTH_IN_FACE]
    fields = np.empty((len(TRACKS), 2, side, side), np.float32)
    for at, (number, which) in enumerate(TRACKS):
        field = unit_field(subject, number, which)
        whole = field.common.copy()
        whole[(*MOUTH_IN_FACE, 1)] += np.where(above, field.upper, field.lower)
        fields[at] = _crop(whole, subject, side).transpose(2, 0, 1) * (100 / FACE_SIDE)
    return fields


def _crop(field: NDArray[np.float32], subject: SyntheticSubject, side: int) -> NDArray[np.float32]:
    """The aligned crop of a field that lives in the box FACE."""
    left = subject.centre_x - FACE_SIDE / 2 - FACE[1].start
    top = subject.eye_y - EYES_AT * FACE_SIDE - FACE[0].start
    step = FACE_SIDE / side
    at = np.array([[step, 0, left + step / 2 - 0.5], [0, step, top + step / 2 - 0.5]])
    field = cv2.GaussianBlur(field, (0, 0), step / 3)
    seen: NDArray[np.float32] = cv2.warpAffine(
        field, at, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return seen


def make_basis(
    subjects: int,
    seed: int,
    *,
    jobs: int = 1,
    on_progress: OnProgress = ignore,
) -> FlowBasis:
    """The fields of synthetic subjects.

    Args:
        subjects: how many.
        seed: of the first; the others follow.
        jobs: processes, as joblib counts them.
        on_progress: called after each subject.
    """
    tasks = (joblib.delayed(ending_with_this(_fields_of))(seed + i) for i in range(subjects))
    fields = []
    for one in joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks):
        fields.append(one)
        on_progress(Progress("basis", len(fields), subjects))
    return FlowBasis(np.stack(fields))


def _fields_of(seed: int) -> NDArray[np.float32]:
    fields = subject_fields(make_subject(seed))
    unit_field.cache_clear()
    return fields


def unit_track(number: str, side: Side) -> int:
    """Where a unit's field stands among ``TRACKS``."""
    return TRACKS.index(("45" if number == "43" else number, side))
