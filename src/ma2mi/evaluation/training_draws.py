"""Fewer training subjects: so many of each fold, drawn at random, with all classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.splits import Split
from ma2mi.evaluation.subjects import SubjectIds


@dataclass(frozen=True)
class TrainingDraw:
    """So many of the training subjects of every fold, drawn at random.

    Args:
        subjects: how many, 1 or more.
        draw: which draw; the same number gives the same subjects, whatever is trained on them.
    """

    subjects: int
    draw: int = 0


def draw_training(
    split: Split, subjects: Sequence[str] | SubjectIds, labels: ArrayLike, drawn: TrainingDraw
) -> Split:
    """The same fold with fewer training subjects, with as many classes as possible.

    The fold's training subjects stand in an order drawn from the fold's name and ``drawn.draw``.
    They are taken from its start, but one is passed over if then the classes could no longer all
    occur (or as many as so few subjects can show). Larger draws so mostly contain smaller ones.

    Args:
        split: a fold.
        subjects: [n], the subject of each clip of the whole set, see ``subject_ids``.
        labels: of the training clips alone, in the order of ``split.train``: ints, or 0/1 of
            each unit.
        drawn: how many subjects, and which draw.

    Raises:
        EvaluationError: fewer training subjects than requested, or a draw below 0.
    """
    ids = np.asarray(subjects)
    if drawn.draw < 0:
        raise EvaluationError(f"draw {drawn.draw} is below 0", where=f"fold {split.name}")
    names = np.array(split.train_subjects)
    if not 1 <= drawn.subjects <= len(names):
        raise EvaluationError(
            f"{drawn.subjects} training subjects are requested, there are {len(names)}",
            where=f"fold {split.name}",
            hint=f"Take 1 to {len(names)}",
        )
    marks = np.asarray(labels)
    if marks.ndim == 1:
        marks = marks[:, None] == np.unique(marks)
    subject_of = np.searchsorted(names, ids[split.train])
    classes_of = [
        sum(1 << int(c) for c in np.flatnonzero(marks[subject_of == i].any(axis=0)))
        for i in range(len(names))
    ]
    seed = np.frombuffer(hashlib.sha256(split.name.encode()).digest(), dtype="<u4")
    order = np.random.default_rng([drawn.draw, *seed.tolist()]).permutation(len(names)).tolist()
    chosen = names[_covering(classes_of, order, drawn.subjects)]
    return Split(split.name, split.train[np.isin(ids[split.train], chosen)], split.test, ids)


def _covering(classes_of: Sequence[int], order: Sequence[int], count: int) -> list[int]:
    """``count`` subjects, early in ``order``, that together show as many classes as ``count`` can.

    Args:
        classes_of: the classes of each subject, a bit each.
    """
    # Step k: all sets of classes that k subjects or fewer can show together.
    within, every = [{0}], 0
    for mask in classes_of:
        every |= mask
    while every not in within[-1] and len(within) <= count:
        within.append(within[-1] | {a | b for a in within[-1] for b in set(classes_of)})

    def most(shown: int, left: int) -> int:
        """Classes that occur at last, if so many subjects may still be taken."""
        return max((shown | more).bit_count() for more in within[min(left, len(within) - 1)])

    goal, shown, waiting, chosen = most(0, count), 0, list(order), list[int]()
    for left in reversed(range(count)):
        one = next(i for i in waiting if most(shown | classes_of[i], left) == goal)
        waiting.remove(one)
        chosen.append(one)
        shown |= classes_of[one]
    return chosen
