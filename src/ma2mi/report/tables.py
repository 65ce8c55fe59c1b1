"""Scores of several runs beside each other, with intervals and paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.statistics import (
    Estimate,
    PairedTest,
    bootstrap,
    permutation_test,
    person_confusions,
)


@dataclass(frozen=True)
class Row:
    """One run in a table.

    Args:
        name: the learner's.
        uf1, uar: pooled scores with 95 % intervals by bootstrap over subjects.
        accuracy: pooled.
        people, clips: how many were left out and judged.
        against: name of the run that it is tested against, "" if none.
        test: paired permutation test over subjects on UF1 against that run.
    """

    name: str
    uf1: Estimate
    uar: Estimate
    accuracy: float
    people: int
    clips: int
    against: str = ""
    test: PairedTest | None = None


def make_rows(
    results: Sequence[RunResult], against: Sequence[int | None] | None = None
) -> list[Row]:
    """Score runs and test each against another of them.

    Args:
        results: runs over the same clips, single-label. Of several seeds the first counts here.
        against: for each run, the position of the run that it is tested against; by default
            every run but the first is tested against the first.

    Raises:
        EvaluationError: the runs judged other clips.
    """
    if against is None:
        against = [None] + [0] * (len(results) - 1)
    pools = [result.pool() for result in results]
    counts = []
    for pool, result in zip(pools, results, strict=True):
        if sorted(pool.keys.tolist()) != sorted(pools[0].keys.tolist()):
            raise EvaluationError(
                f"{result.record.learner} and {results[0].record.learner} judged other clips",
                cure="Compare runs over the same clips",
            )
        classes = len(result.record.classes)
        counts.append(person_confusions(pool.truth, pool.guess, pool.people, classes))
    rows = []
    for i, (result, pool) in enumerate(zip(results, pools, strict=True)):
        other = against[i]
        rows.append(
            Row(
                result.record.learner,
                bootstrap(counts[i], "uf1"),
                bootstrap(counts[i], "uar"),
                float((pool.truth == pool.guess).mean()),
                len(counts[i]),
                len(pool.keys),
                "" if other is None else results[other].record.learner,
                None if other is None else permutation_test(counts[i], counts[other], "uf1"),
            )
        )
    return rows


HEADER = ("model", "UF1 [95 %]", "UAR [95 %]", "accuracy", "p", "tested against")


def cells(row: Row) -> tuple[str, ...]:
    """The row as text, in the order of ``HEADER``."""
    p = "" if row.test is None else f"{row.test.p:.3f}" if row.test.p >= 0.001 else "< 0.001"
    return (row.name, str(row.uf1), str(row.uar), f"{row.accuracy:.3f}", p, row.against)


def text_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, rule, *lines)
    )


def score_table(results: Sequence[RunResult], against: Sequence[int | None] | None = None) -> str:
    """The table of :func:`make_rows` as text, and below it how it was measured."""
    rows = make_rows(results, against)
    protocol = results[0].record.protocol
    return (
        f"{text_table(HEADER, [cells(row) for row in rows])}\n"
        f"{protocol}: {rows[0].clips} clips of {rows[0].people} people, each predicted by a model "
        "that never saw that person;\nscores pooled over all folds, intervals by bootstrap over "
        "people, p by paired permutation over people (UF1)"
    )
