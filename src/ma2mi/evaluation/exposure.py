"""Who a model has seen: subjects in its weights, and clips of others that join its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.checks import check_databases
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.splits import Split
from ma2mi.evaluation.subjects import SubjectIds, subject_ids

#: Subjects that a line names; of more the number is given.
NAMED = 3

Mask = NDArray[np.bool_]


def refuse_trained(
    tested: Sequence[str] | SubjectIds,
    trained: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    where: object = "",
) -> None:
    """Refuse to test weights on subjects whose labelled clips they were trained on.

    Args:
        tested: names as from ``subject_ids``; each may occur often.
        trained: those in the weights, as "database/subject".
        aliases: see ``subject_ids``.
        where: the weights, for the message.

    Raises:
        EvaluationError: names some of those who are in both.
    """
    known = set(subject_ids(list(trained), None, aliases).tolist())
    both = sorted(known & set(map(str, tested)))
    if both:
        raise EvaluationError(
            f"learned from labelled clips of {named(both)}, and would be tested on them",
            where=where,
            hint="Leave these subjects out of the test, or take weights that never saw them",
        )


def named(subjects: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(subjects) - NAMED} more" if len(subjects) > NAMED else ""
    return ", ".join(subjects[:NAMED]) + more


def training_only_rows(rows: ArrayLike | None, count: int, protocol: Protocol) -> Mask:
    """The rows that are trained on and never tested, bool [count].

    Raises:
        EvaluationError: no bool for each row, no row left to test, or a protocol that trains
            nothing.
    """
    if rows is None:
        return np.zeros(count, dtype=bool)
    only = np.asarray(rows)
    if only.shape != (count,) or only.dtype != np.bool_ or only.all():
        raise EvaluationError(
            f"{only.dtype} of shape {only.shape}, {int(only.sum())} of them true; not a bool for "
            f"each of {count} rows, with some to test",
            where="training_only",
        )
    if only.any() and not protocol.trains:
        raise EvaluationError(
            "trains nothing, so no clips can join the training",
            where=protocol.name,
            hint="Take a protocol that trains, such as loso",
        )
    return only


def split_tested(
    protocol: Protocol,
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None,
    aliases: Mapping[str, str] | None,
    only: Mask,
) -> list[Split]:
    """The protocol's folds over the rows that are tested; the others are in none of them yet.

    Raises:
        EvaluationError: a database that is tested and that the protocol does not know.
    """
    check_databases(databases, protocol, ~only)
    if not only.any():
        return protocol.splitter(subjects, databases, aliases)
    rows = np.flatnonzero(~only)
    bases = None if databases is None else np.asarray(databases)[rows]
    ids = subject_ids(subjects, databases, aliases)
    return [
        Split(split.name, rows[split.train], rows[split.test], ids)
        for split in protocol.splitter(np.asarray(subjects)[rows], bases, aliases)
    ]


def with_others(split: Split, ids: SubjectIds, only: Mask) -> Split:
    """The fold with the rows ``only`` in its training, but for those of subjects it tests."""
    if not only.any():
        return split
    joined = np.flatnonzero(only & ~np.isin(ids, split.test_subjects))
    return Split(split.name, np.sort(np.concatenate([split.train, joined])), split.test, ids)
