"""Checks of the input: what cannot be scored is refused with its row, before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.learner import Clips, Probabilities
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.subjects import SubjectIds


def checked_labels(
    labels: ArrayLike,
    names: tuple[str, ...],
    keys: Sequence[str],
    protocol: Protocol,
    tested: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The labels as int64, if they are such, and every class has a clip that is ``tested``.

    Raises:
        EvaluationError: classes that are fewer than two or named twice, another shape or type,
            a label outside the classes (with its row), or a class without a clip.
    """
    array = np.asarray(labels)
    where = f"labels for {protocol.name}"
    if len(names) < 2 or len(set(names)) != len(names):
        raise EvaluationError(
            f"classes {names}", where=where, hint="Name two or more different classes"
        )
    shape = (len(keys), len(names)) if protocol.units else (len(keys),)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise EvaluationError(
            f"{array.dtype} of shape {array.shape}, not ints of shape {shape}", where=where
        )
    top = 1 if protocol.units else len(names) - 1
    outside = np.argwhere((array < 0) | (array > top))
    if len(outside):
        position = tuple(outside[0])
        raise EvaluationError(
            f"label {array[position]} is outside 0..{top}",
            where=f"row {position[0]}, clip {keys[position[0]]}",
            hint="-1 marks words that the label set drops: leave those clips out",
        )
    lacking = missing_classes(array[tested], names, protocol)
    if lacking:
        raise EvaluationError(
            f"no clip shows {', '.join(lacking)}",
            where=where,
            hint="Add a corpus that codes them" if protocol.units else "Take another label set",
        )
    return array.astype(np.int64)


def missing_classes(
    labels: NDArray[np.int64], names: Sequence[str], protocol: Protocol
) -> list[str]:
    """The classes or units that no clip shows."""
    shown = np.flatnonzero(labels.any(axis=0)) if protocol.units else np.unique(labels)
    return [name for index, name in enumerate(names) if index not in shown]


def check_rows(
    clips: Clips, keys: Sequence[str], ids: SubjectIds, truth: NDArray[np.int64]
) -> None:
    """Refuse counts that differ, a clip that comes twice, and clips that are not finite."""
    for what, count in (("clips", len(clips)), ("subjects", len(ids)), ("labels", len(truth))):
        if count != len(keys):
            raise EvaluationError(f"{count} {what}, but {len(keys)} keys")
    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key in first:
            raise EvaluationError(
                f"the same clip as row {first[key]}", where=f"row {row}, clip {key}"
            )
        first[key] = row
    if isinstance(clips, np.ndarray) and clips.dtype.kind == "f":
        broken = ~np.isfinite(clips.reshape(len(clips), -1)).all(axis=1)
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            raise EvaluationError("values are not finite", where=f"row {row}, clip {keys[row]}")


def check_databases(
    databases: Sequence[str] | SubjectIds | None, protocol: Protocol, tested: NDArray[np.bool_]
) -> None:
    """Refuse to test clips of a database that the protocol is not defined on."""
    if databases is None or not protocol.databases:
        return
    for row, base in enumerate(databases):
        if tested[row] and base not in protocol.databases:
            raise EvaluationError(
                f"database {base} is none of {', '.join(protocol.databases)}",
                where=f"{protocol.name}, row {row}",
            )


def checked_probabilities(
    probabilities: ArrayLike,
    keys: Sequence[str],
    classes: int,
    *,
    multi_label: bool = False,
    where: str = "predictions",
) -> Probabilities:
    """The probabilities as float64 [clips, classes], if they are such.

    Raises:
        EvaluationError: another shape, NaN, outside [0, 1], or (one label a clip) rows that do
            not sum to 1 within 1e-4; the message names the clip.
    """
    array = np.asarray(probabilities, dtype=np.float64)
    if array.shape != (len(keys), classes):
        raise EvaluationError(
            f"probabilities have shape {array.shape}, not ({len(keys)}, {classes})", where=where
        )
    total = array.sum(axis=1)
    faults = (
        (~np.isfinite(array).all(axis=1), "probabilities are not finite"),
        (((array < 0) | (array > 1 + 1e-4)).any(axis=1), "probabilities outside 0..1"),
        (~multi_label & (np.abs(total - 1) > 1e-4), "probabilities do not sum to 1"),
    )
    for wrong, what in faults:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise EvaluationError(
                f"{what}: {array[row].tolist()}", where=f"{where}, clip {keys[row]}"
            )
    return array
