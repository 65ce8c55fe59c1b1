"""Scores of several runs beside each other, with intervals and paired tests."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.learning_curve import LearningCurve, compare_curves
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_record import SELECTED_ON_TEST
from ma2mi.evaluation.statistics import (
    Estimate,
    PairedTest,
    bootstrap,
    holm,
    mean_and_sd,
    subject_confusions,
)
from ma2mi.formats.sheets import mask


@dataclass(frozen=True)
class TableRow:
    """One run in a table.

    Args:
        name: the learner's.
        uf1, uar: pooled scores, mean over seeds, with 95 % intervals by bootstrap over subjects.
        accuracy: pooled, mean over seeds.
        subjects, clips: how many were left out and tested.
        databases: database to its UF1, UAR and accuracy, where the run pools several.
        seeds: how many.
        seeds_sd: standard deviation of the seeds' UF1; None for one seed.
        against: name of the run that it is tested against, "" if none.
        test: paired permutation test over subjects on UF1 against that run.
    """

    name: str
    uf1: Estimate
    uar: Estimate
    accuracy: float
    subjects: int
    clips: int
    databases: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    against: str = ""
    test: PairedTest | None = None
    seeds: int = 1
    seeds_sd: float | None = None


def make_rows(
    results: Sequence[RunResult], against: Sequence[int | None] | None = None
) -> list[TableRow]:
    """Score runs and test each against another of them.

    Args:
        results: runs over the same clips, single-label. All seeds count: scores are means over
            them, and a subject's results of all seeds are swapped together in the test.
        against: for each run, the position of the run that it is tested against; by default
            every run but the first is tested against the first.

    Raises:
        EvaluationError: the runs were tested on other clips.
    """
    if against is None:
        against = [None] + [0] * (len(results) - 1)
    levels = [LearningCurve(result.record.learner, {0: (result,)}) for result in results]
    rows = []
    for i, (result, level) in enumerate(zip(results, levels, strict=True)):
        pools = [result.pool(seed) for seed in result.record.seeds]
        if sorted(pools[0].keys.tolist()) != sorted(results[0].pool().keys.tolist()):
            raise EvaluationError(
                f"{level.name} and {levels[0].name} were tested on other clips",
                hint="Compare runs over the same clips",
            )
        position = against[i]
        other = None if position is None else levels[position]
        rows.append(
            TableRow(
                level.name,
                level.estimate(0, "uf1"),
                level.estimate(0, "uar"),
                float(np.mean([(pool.truth == pool.predicted).mean() for pool in pools])),
                len(set(pools[0].subjects.tolist())),
                len(pools[0].keys),
                _by_database(result),
                other.name if other else "",
                compare_curves(level, other)[0] if other else None,
                len(pools),
                mean_and_sd(level.seed_scores(0))[1],
            )
        )
    return rows


def _by_database(result: RunResult) -> dict[str, tuple[float, float, float]]:
    """Each database's scores, mean over seeds."""
    scores = [each.get("databases", {}) for each in result.scores()["seeds"].values()]
    names = ("uf1", "uar", "accuracy")
    return {
        base: tuple(float(np.mean([one[base][name] for one in scores])) for name in names)  # type: ignore[misc]
        for base in scores[0]
    }


HEADER = ("model", "seeds", "UF1 [95 %]", "sd", "UAR [95 %]", "accuracy", "p", "tested against")


def cells(row: TableRow) -> tuple[str, ...]:
    """The row as text, in the order of ``HEADER``."""
    p = _p(row.test.p) if row.test else ""
    spread = "" if row.seeds_sd is None else f"{row.seeds_sd:.3f}"
    return (
        row.name,
        str(row.seeds),
        str(row.uf1),
        spread,
        str(row.uar),
        f"{row.accuracy:.3f}",
        p,
        row.against,
    )


def row_lines(row: TableRow) -> list[tuple[str, ...]]:
    """The row, and below it a line for each database that it pools."""
    return [
        cells(row),
        *(
            (f"  {base}", "", f"{uf1:.3f}", "", f"{uar:.3f}", f"{accuracy:.3f}", "", "")
            for base, (uf1, uar, accuracy) in row.databases.items()
        ),
    ]


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def text_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, rule, *lines)
    )


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The table for a README or an issue."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("|", "\\|").splitlines()) for cell in row) + " |"
        for row in rows
    )


def latex_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The table for a paper; needs the package booktabs."""
    words = {"\\": "textbackslash", "^": "textasciicircum", "~": "textasciitilde"}
    special = str.maketrans(
        {c: f"\\{c}" for c in "%&_#${}"}
        | {"<": "$<$", ">": "$>$"}
        | {c: f"\\{word}{{}}" for c, word in words.items()}
    )

    def line(row: Sequence[str]) -> str:
        return " & ".join(cell.translate(special) for cell in row) + r" \\"

    body = "\n".join(line(row) for row in lines)
    return (
        f"\\begin{{tabular}}{{{'l' * len(header)}}}\n\\toprule\n{line(header)}\n\\midrule\n"
        f"{body}\n\\bottomrule\n\\end{{tabular}}"
    )


def csv_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The table for a spreadsheet, which computes none of its cells."""
    text = io.StringIO()
    rows = [[mask(cell) for cell in row] for row in (header, *lines)]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


STYLES = {"text": text_table, "markdown": markdown_table, "latex": latex_table, "csv": csv_table}


def stamped_lines(results: Sequence[RunResult]) -> list[tuple[str, ...]]:
    """Rows of the numbers that were selected on test data, each saying so; empty without any."""
    lines: list[tuple[str, ...]] = []
    for result in results:
        if not result.record.also_best_on_test:
            continue
        pool = result.pool(best_on_test=True)
        counts = subject_confusions(
            pool.truth, pool.predicted, pool.subjects, len(result.record.classes)
        )
        share = float((pool.truth == pool.predicted).mean())
        name = f"{result.record.learner} [{SELECTED_ON_TEST.upper()}, no result]"
        lines.append(
            (
                name,
                "1",
                str(bootstrap(counts, "uf1")),
                "",
                str(bootstrap(counts, "uar")),
                f"{share:.3f}",
                "",
                "",
            )
        )
    return lines


def compare_table(results: Sequence[RunResult], style: str = "text") -> str:
    """Runs beside each other, each tested against the first, p adjusted for their number (Holm).

    Args:
        results: runs over the same clips.
        style: a key of ``STYLES``.
    """
    rows = make_rows(results)
    tests = [row.test.p for row in rows if row.test]
    adjusted = iter(holm(tests).tolist() if tests else [])
    lines: list[tuple[str, ...]] = []
    for row in rows:
        extra = (_p(next(adjusted)), f"{row.test.difference:+.3f}") if row.test else ("", "")
        first, *databases = row_lines(row)
        lines += [(*first, *extra), *((*line, "", "") for line in databases)]
    lines += [(*line, "", "") for line in stamped_lines(results)]
    return STYLES[style]((*HEADER, "p (Holm)", "UF1 difference"), lines)


def score_table(results: Sequence[RunResult], against: Sequence[int | None] | None = None) -> str:
    """The table of :func:`make_rows` as text, and below it how it was measured."""
    rows = make_rows(results, against)
    lines = [line for row in rows for line in row_lines(row)]
    stamped = stamped_lines(results)
    protocol = results[0].record.protocol
    trained = any(fold.train_subjects for fold in results[0].folds)
    how = (
        "each predicted by a model that never saw that subject;\nscores pooled over all folds, "
        if trained
        else "each predicted by weights that were trained on none of these clips;\n"
    )
    table = text_table(HEADER, [*lines, *stamped])
    return (
        f"{table}\n"
        f"{protocol}: {rows[0].clips} clips of {rows[0].subjects} subjects, {how}"
        "mean over seeds and their standard deviation (UF1); intervals by bootstrap over subjects, "
        "p by paired\npermutation over subjects, seeds pooled (UF1)"
    )


@dataclass(frozen=True)
class CurveRow:
    """One entry of a learning curve with one number of training subjects.

    Args:
        name: the entry's.
        subjects: number of training subjects; 0 for a level line.
        draws, seeds: how many.
        score: mean over draws and seeds, with a 95 % interval by bootstrap over left-out subjects.
        draws_sd: standard deviation of the draws; None for one draw.
        against: name of the entry that it is tested against, "" if none.
        test: paired permutation test over left-out subjects, draws and seeds pooled.
        p_holm: its p, adjusted for all tests of the table.
    """

    name: str
    subjects: int
    draws: int
    seeds: int
    score: Estimate
    draws_sd: float | None
    against: str = ""
    test: PairedTest | None = None
    p_holm: float | None = None


def curve_rows(
    curves: Sequence[LearningCurve], against: Sequence[int | None] | None = None
) -> list[CurveRow]:
    """Score learning curves and test each against another of them.

    Args:
        curves: over the same clips, with the same draws; level lines among them.
        against: for each curve, the position of the one that it is tested against; by default
            every curve but the first is tested against the first.

    Raises:
        EvaluationError: other clips, draws or training subjects.
    """
    if against is None:
        against = [None] + [0] * (len(curves) - 1)
    metric = curves[0].record.metrics[0]
    rows = []
    for curve, position in zip(curves, against, strict=True):
        other = None if position is None else curves[position]
        tests = compare_curves(curve, other, metric) if other else {}
        # A level line is tested at each number of the other curve.
        for size in (tests or curve.runs) if curve.is_level else curve.sizes:
            rows.append(
                CurveRow(
                    curve.name,
                    size,
                    len(curve.at(size)),
                    len(curve.record.seeds),
                    curve.estimate(size, metric),
                    mean_and_sd(curve.draw_scores(size, metric))[1],
                    other.name if other and size in tests else "",
                    tests.get(size),
                )
            )
    tested = [row for row in rows if row.test]
    adjusted = iter(holm([row.test.p for row in tested if row.test]).tolist() if tested else [])
    return [replace(row, p_holm=next(adjusted)) if row.test else row for row in rows]


def curve_header(curves: Sequence[LearningCurve]) -> tuple[str, ...]:
    """Names of the columns of :func:`curve_lines`."""
    name = METRIC_NAMES.get(curves[0].record.metrics[0], curves[0].record.metrics[0])
    return (
        "model",
        "training subjects",
        "draws",
        "seeds",
        f"{name} [95 %]",
        "sd of draws",
        "p",
        "p (Holm)",
        f"{name} difference",
        "tested against",
    )


METRIC_NAMES = {"uf1": "UF1", "uar": "UAR", "mean_unit_f1": "mean unit F1"}


def curve_lines(rows: Sequence[CurveRow]) -> list[tuple[str, ...]]:
    """The rows as text, in the order of :func:`curve_header`."""
    return [
        (
            row.name,
            str(row.subjects) if row.subjects else "level",
            str(row.draws),
            str(row.seeds),
            str(row.score),
            "" if row.draws_sd is None else f"{row.draws_sd:.3f}",
            _p(row.test.p) if row.test else "",
            "" if row.p_holm is None else _p(row.p_holm),
            f"{row.test.difference:+.3f}" if row.test else "",
            row.against,
        )
        for row in rows
    ]


def curve_table(curves: Sequence[LearningCurve], style: str = "text") -> str:
    """Learning curves below each other, each tested against the first.

    Args:
        curves: see :func:`curve_rows`.
        style: a key of ``STYLES``.
    """
    return STYLES[style](curve_header(curves), curve_lines(curve_rows(curves)))


def curve_text(curves: Sequence[LearningCurve], against: Sequence[int | None] | None = None) -> str:
    """The table of :func:`curve_rows` as text, and below it how it was measured."""
    table = text_table(curve_header(curves), curve_lines(curve_rows(curves, against)))
    notes = [f"note: {curve.name}: {note}" for curve in curves for note in curve.notes()]
    return "\n".join([table, curve_method(curves), *notes])


def curve_method(curves: Sequence[LearningCurve]) -> str:
    """How the scores of learning curves were measured, in two sentences."""
    first = curves[0]
    pool = next(iter(first.runs.values()))[0].pool()
    return (
        f"{first.record.protocol}: {len(pool.keys)} clips of {len(set(pool.subjects.tolist()))} "
        "subjects, each predicted by a model trained on so many of the others, drawn anew for each "
        "fold and draw, the same for every entry. Scores: pooled over folds, mean over draws and "
        "seeds; intervals by bootstrap over left-out subjects; p by paired permutation over "
        "left-out subjects, draws and seeds pooled."
    )
