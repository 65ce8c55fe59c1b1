"""Identities of subjects: one name for each, whatever the databases call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import EvaluationError

SubjectIds = NDArray[np.str_]


def subject_ids(
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None = None,
    aliases: Mapping[str, str] | None = None,
) -> SubjectIds:
    """The subject of each clip: one name a subject, whatever the corpora call it.

    Args:
        subjects: one subject a clip.
        databases: one database a clip; the name is then ``database/subject``, as two
            databases may both have a subject "01".
        aliases: other names of the same subject, such as ``{"samm-lv/006": "samm/006"}``;
            names that do not occur are passed over, chains are followed.

    Raises:
        EvaluationError: lengths differ, an empty name, or aliases that run in a circle.
    """
    names = [str(subject) for subject in subjects]
    if databases is not None:
        if len(databases) != len(names):
            raise EvaluationError(f"{len(names)} subjects, but {len(databases)} databases")
        names = [f"{base}/{name}" for base, name in zip(databases, names, strict=True)]
    for row, subject in enumerate(subjects):
        if not str(subject).strip():
            raise EvaluationError("no subject", where=f"row {row}")
    resolved = {name: _resolve(name, aliases or {}) for name in set(names)}
    return np.array([resolved[name] for name in names], dtype=np.str_)


def _resolve(name: str, aliases: Mapping[str, str]) -> str:
    seen = {name}
    while name in aliases:
        name = aliases[name]
        if name in seen:
            raise EvaluationError("aliases run in a circle", where=name)
        seen.add(name)
    return name
