"""Splits: training and test subjects of each fold, checked to be disjoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.subjects import SubjectIds, subject_ids

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """One fold: rows to train on and rows to test on. A leaking one cannot be built.

    Args:
        name: the subject or database that is left out.
        train, test: row numbers, ascending; ``train`` is empty where nothing is trained.
        subjects: of each row of the whole set (``subject_ids(...)``); kept as two lists.

    Raises:
        EvaluationError: a row or a subject on both sides, an empty test fold, an impossible row.
    """

    name: str
    train: Indices
    test: Indices
    subjects: InitVar[Sequence[str] | SubjectIds]
    train_subjects: tuple[str, ...] = field(init=False)
    test_subjects: tuple[str, ...] = field(init=False)

    def __post_init__(self, subjects: Sequence[str] | SubjectIds) -> None:
        ids = np.asarray(subjects)
        where = f"split {self.name}"
        train, test = (_row_numbers(rows, len(ids), where) for rows in (self.train, self.test))
        if not len(test):
            raise EvaluationError("empty test fold", where=where)
        both_rows = np.intersect1d(train, test)
        if len(both_rows):
            raise EvaluationError(f"row {both_rows[0]} is in training and in test", where=where)
        in_train, in_test = (tuple(np.unique(ids[rows]).tolist()) for rows in (train, test))
        both = sorted(set(in_train) & set(in_test))
        if both:
            raise EvaluationError(
                f"{', '.join(both)} in training and in test",
                where=where,
                hint="Leave out whole subjects, under all their names",
            )
        for name, value in (
            ("train", train),
            ("test", test),
            ("train_subjects", in_train),
            ("test_subjects", in_test),
        ):
            object.__setattr__(self, name, value)


def _row_numbers(rows: ArrayLike, count: int, where: str) -> Indices:
    given = np.asarray(rows)
    if given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= count):
        raise EvaluationError(f"rows are not whole numbers of 0..{count - 1}", where=where)
    return given.astype(np.int64)


def loso(
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None = None,
    aliases: Mapping[str, str] | None = None,
) -> list[Split]:
    """Leave one subject out: one fold a subject, in the order of their names.

    Raises:
        EvaluationError: one subject only.
    """
    ids = subject_ids(subjects, databases, aliases)
    names = np.unique(ids)
    _need_two(names, "subject", "loso")
    return [
        Split(str(one), np.flatnonzero(ids != one), np.flatnonzero(ids == one), ids)
        for one in names
    ]


def sde(
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None = None,
    aliases: Mapping[str, str] | None = None,
) -> list[Split]:
    """Single-database evaluation: ``loso`` within one database.

    Raises:
        EvaluationError: clips of several databases, or one subject only.
    """
    if databases is not None and len(set(databases)) > 1:
        raise EvaluationError(
            f"clips of {', '.join(sorted(set(map(str, databases))))}",
            where="sde",
            hint="Give one database, or take cde",
        )
    return loso(subjects, databases, aliases)


def cde(
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None,
    aliases: Mapping[str, str] | None = None,
) -> list[Split]:
    """Composite-database evaluation: ``loso`` over the subjects of all databases together.

    Raises:
        EvaluationError: one database only, or none given.
    """
    _need_two(np.unique(_given(databases, "cde")), "database", "cde")
    return loso(subjects, databases, aliases)


def hde(
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None,
    aliases: Mapping[str, str] | None = None,
) -> list[Split]:
    """Hold-out-database evaluation: train on one database, test on another, in both directions.

    Of MEGC 2018, which has two databases (Yap et al., FG 2018). Of more, each ordered pair is a
    direction: three databases give six, and each clip is tested in two of them. Every direction is
    scored for itself, and the score is the mean over directions. Subjects that appear in both
    databases are left out of the training side.

    Raises:
        EvaluationError: one database only, or none given.
    """
    ids, bases = subject_ids(subjects, databases, aliases), _given(databases, "hde")
    names = np.unique(bases)
    _need_two(names, "database", "hde")
    splits = []
    for source in names:
        for target in names[names != source]:
            test = bases == target
            train = (bases == source) & ~np.isin(ids, ids[test])
            splits.append(
                Split(f"{source} to {target}", np.flatnonzero(train), np.flatnonzero(test), ids)
            )
    return splits


def leave_one_database_out(
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None,
    aliases: Mapping[str, str] | None = None,
) -> list[Split]:
    """Train on all databases but one, test on that one: one fold a database.

    Subjects of the tested database are left out of the training side under all their names.

    Raises:
        EvaluationError: one database only, or none given.
    """
    ids, bases = (
        subject_ids(subjects, databases, aliases),
        _given(databases, "leave one database out"),
    )
    names = np.unique(bases)
    _need_two(names, "database", "leave one database out")
    splits = []
    for name in names:
        test = bases == name
        train = ~test & ~np.isin(ids, ids[test])
        splits.append(Split(str(name), np.flatnonzero(train), np.flatnonzero(test), ids))
    return splits


def all_subjects_tested(
    subjects: Sequence[str] | SubjectIds,
    databases: Sequence[str] | SubjectIds | None = None,
    aliases: Mapping[str, str] | None = None,
) -> list[Split]:
    """One fold that tests all subjects and trains on none: zero-shot."""
    ids = subject_ids(subjects, databases, aliases)
    return [Split("everyone", np.empty(0, dtype=np.int64), np.arange(len(ids)), ids)]


def k_folds_by_subject(
    subjects: Sequence[str] | SubjectIds,
    k: int,
    seed: int = 0,
    labels: ArrayLike | None = None,
    *,
    databases: Sequence[str] | SubjectIds | None = None,
    aliases: Mapping[str, str] | None = None,
) -> list[Split]:
    """k folds of whole subjects, about equally large; with labels, also alike in classes.

    Subjects are taken from the largest to the smallest (equals in an order drawn from ``seed``),
    each into the fold where the squared class counts grow least.

    Args:
        subjects: one a clip.
        k: number of folds, 2 to the number of subjects.
        labels: ints [n], or 0/1 [n, units]; None for folds that are alike in size only.

    Raises:
        EvaluationError: fewer subjects than folds, or a seed below 0.
    """
    ids = subject_ids(subjects, databases, aliases)
    if seed < 0:
        raise EvaluationError(f"seed {seed} is below 0")
    names, subject_of = np.unique(ids, return_inverse=True)
    if not 2 <= k <= len(names):
        raise EvaluationError(
            f"{k} folds of {len(names)} subjects", hint=f"Take 2 to {len(names)} folds"
        )
    shown = _shown(labels, len(ids))
    if len(shown) != len(ids):
        raise EvaluationError(f"{len(ids)} subjects, but {len(shown)} labels")
    counts = np.zeros((len(names), shown.shape[1]))
    np.add.at(counts, subject_of, shown)
    # Rare classes weigh as much as frequent ones.
    counts /= counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    filled, fold_of = np.zeros((k, counts.shape[1])), np.empty(len(names), int)
    for position, subject in enumerate(order):
        growth = ((filled + counts[subject]) ** 2).sum(axis=1) - (filled**2).sum(axis=1)
        empty = ~np.isin(np.arange(k), fold_of[order[:position]])
        # As many subjects left as folds without one: fill those first.
        if len(names) - position <= empty.sum():
            growth[~empty] = np.inf
        fold_of[subject] = int(np.argmin(growth))
        filled[fold_of[subject]] += counts[subject]
    fold = fold_of[subject_of]
    return [
        Split(f"fold {f + 1} of {k}", np.flatnonzero(fold != f), np.flatnonzero(fold == f), ids)
        for f in range(k)
    ]


def _shown(labels: ArrayLike | None, count: int) -> NDArray[np.float64]:
    """Which classes each clip shows, 0 or 1, [n, classes]: columns that some clip shows."""
    if labels is None:
        return np.ones((count, 1))
    array = np.asarray(labels)
    if array.ndim == 1:
        return np.asarray(array[:, None] == np.unique(array), dtype=np.float64)
    # Clips without any unit count, too.
    marks = np.concatenate([np.ones((len(array), 1)), array], axis=1).astype(np.float64)
    return np.asarray(marks[:, marks.any(axis=0)])


def inner_splits(
    subjects: Sequence[str] | SubjectIds, labels: ArrayLike, k: int = 5, seed: int = 0
) -> list[Split]:
    """Folds for a learner's own choices, from training clips only; fewer than k for few subjects.

    Example:
        >>> ids = ["a", "a", "b", "c"]
        >>> [split.test.tolist() for split in inner_splits(ids, [0, 1, 0, 1], k=3)]
        [[0, 1], [3], [2]]
    """
    return k_folds_by_subject(subjects, min(k, len(set(subjects))), seed, labels)


Splitter = Callable[
    [Sequence[str] | SubjectIds, Sequence[str] | SubjectIds | None, Mapping[str, str] | None],
    list[Split],
]


class SubjectSplitter:
    """Any of these splits as scikit-learn's ``cv=``, with the subjects as ``groups``.

    Args:
        splitter: ``loso`` and its like.
        databases, aliases: as for ``subject_ids``.

    Example:
        >>> cross_val_score(model, x, y, groups=subjects, cv=SubjectSplitter())  # doctest: +SKIP
    """

    def __init__(
        self,
        splitter: Splitter = loso,
        *,
        databases: Sequence[str] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.splitter, self.databases, self.aliases = splitter, databases, aliases

    def split(
        self, X: object, y: object = None, groups: Sequence[str] | SubjectIds | None = None
    ) -> Iterator[tuple[Indices, Indices]]:
        """Yield (train, test) row numbers, a pair a fold."""
        for fold in self._folds(groups):
            yield fold.train, fold.test

    def get_n_splits(
        self, X: object = None, y: object = None, groups: Sequence[str] | SubjectIds | None = None
    ) -> int:
        """The number of folds."""
        return len(self._folds(groups))

    def _folds(self, groups: Sequence[str] | SubjectIds | None) -> list[Split]:
        if groups is None:
            raise EvaluationError("no groups", hint="Give the subject of each row as groups=")
        return self.splitter(groups, self.databases, self.aliases)


def _given(databases: Sequence[str] | SubjectIds | None, where: str) -> SubjectIds:
    if databases is None:
        raise EvaluationError("no databases", where=where, hint="Give the database of each clip")
    return np.asarray(databases, dtype=np.str_)


def _need_two(names: SubjectIds, what: str, where: str) -> None:
    if len(names) < 2:
        raise EvaluationError(
            f"only one {what} ({', '.join(names)})", where=where, hint="At least two are needed"
        )
