"""Tables of action units: the F1 of each, in each database and over all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ma2mi.evaluation.metrics import Absent, unit_f1
from ma2mi.evaluation.results import RunResult
from ma2mi.report.styles import PART, STYLES, Table, best_cells

#: Stands where a database has no clip of a unit and none was predicted.
NONE = "-"


def unit_f1_by_database(result: RunResult) -> dict[str, NDArray[np.float64]]:
    """F1 of each unit [units], mean over seeds, by database; "" is all of them.

    Predictions of all folds are pooled first. A unit that a database neither has nor is predicted
    to have is NaN there, and counts as 0 in the database's mean, as in ``RunResult.scores``.
    """
    found: dict[str, list[NDArray[np.float64]]] = {}
    for seed in result.record.seeds:
        pool = result.pool(seed)
        bases = [base for base in np.unique(pool.databases).tolist() if base]
        for base in ["", *(bases if len(bases) > 1 else [])]:
            rows = pool.databases == base if base else np.full(len(pool.keys), True)
            absent: Absent = "present" if base else "zero"
            scores = unit_f1(pool.truth[rows], pool.predicted[rows], result.record.classes, absent)
            found.setdefault(base, []).append(scores)
    return {base: _mean(np.stack(each)) for base, each in found.items()}


def _mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over seeds of [seeds, units]; NaN is 0 unless it is NaN in all of them."""
    return np.where(np.isnan(scores).all(axis=0), np.nan, np.nan_to_num(scores).mean(axis=0))


def unit_tables(results: Sequence[RunResult]) -> list[Table]:
    """One table: for each run a line of all databases and one for each; a column a unit.

    Args:
        results: of a protocol of action units, with the same units.
    """
    units = results[0].record.classes
    lines, groups = [], []
    for result in results:
        for base, scores in unit_f1_by_database(result).items():
            name = f"{PART}{base}" if base else result.record.learner
            cells = [NONE if np.isnan(score) else f"{score:.3f}" for score in scores]
            lines.append((name, *cells, f"{np.nan_to_num(scores).mean():.3f}"))
            groups.append(base)
    header = ("model", *(f"AU{unit}" for unit in units), "mean")
    seeds = max(len(result.record.seeds) for result in results)
    caption = "F1 of each action unit, pooled over all folds" + (
        ", mean over seeds." if seeds > 1 else "."
    )
    lacking = f"{NONE}: the database has no clip of the unit; it counts as 0 in the mean"
    notes = [lacking] if any(NONE in line for line in lines) else []
    columns = list(range(1, len(header)))
    return [
        Table(
            "units",
            "Action units",
            header,
            lines,
            notes=notes,
            caption=caption,
            best=best_cells(lines, columns, groups),
        )
    ]


def unit_table(results: Sequence[RunResult], style: str = "text") -> str:
    """The table of :func:`unit_tables` as text, LaTeX or another key of ``STYLES``."""
    return STYLES[style](unit_tables(results))
