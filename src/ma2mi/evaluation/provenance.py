"""Where a result comes from: settings as plain values, hash of the data, commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.learner import Clips
from ma2mi.evaluation.subjects import SubjectIds


def plain_values(tree: object) -> dict[str, JsonValue]:
    """The tree as JSON has it: tuples become lists, paths text; anything else is refused."""
    try:
        plain = json.loads(json.dumps(tree, default=_simple, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"settings cannot be written: {error}") from error
    return cast(dict[str, JsonValue], plain)


def flat(tree: Mapping[str, Any], above: str = "", joint: str = ".") -> dict[str, Any]:
    """``{"loop": {"lr": 0.1}}`` as ``{"loop.lr": 0.1}``."""
    plain: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{above}{name}"
        below = isinstance(value, dict)
        plain |= flat(value, f"{path}{joint}", joint) if below else {path: value}
    return plain


def _simple(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def hash_data(
    clips: Clips,
    clips_hash: str,
    keys: Sequence[str],
    truth: NDArray[np.int64],
    ids: SubjectIds,
    bases: Sequence[str],
) -> str:
    if isinstance(clips, np.ndarray):
        head = f"{clips.dtype.str} {clips.shape}".encode()
        clips_hash = hashlib.sha256(head + np.ascontiguousarray(clips).tobytes()).hexdigest()
    table = [list(map(str, keys)), truth.tolist(), ids.tolist(), list(bases), clips_hash]
    return hashlib.sha256(json.dumps(table).encode()).hexdigest()
