"""Tables of runs and learning curves: the same for the console, a page, a paper and a sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_record import SELECTED_ON_TEST
from ma2mi.report.rows import (
    METRIC_NAMES,
    PLAIN,
    CurveRow,
    TableRow,
    best_on_test_row,
    curve_rows,
    make_rows,
)
from ma2mi.report.styles import PART, STYLES, Table, best_cells
from ma2mi.report.unit_tables import unit_tables


def run_tables(
    results: Sequence[RunResult], against: Sequence[int | None] | None = None
) -> list[Table]:
    """All tables of runs over the same clips: scores, then each class or unit, then each seed.

    Args:
        results, against: see :func:`ma2mi.report.rows.make_rows`.

    Raises:
        EvaluationError: the runs were tested on other clips, or scored by other metrics.
    """
    rows = make_rows(results, against)
    tables = [_scores_table(results, rows)]
    if any(row.classes for row in rows):
        tables.append(_class_table(rows))
    if results[0].record.multi_label:
        tables += unit_tables(results)
    if any(len(row.seed_scores) > 1 for row in rows):
        tables.append(_seed_table(rows))
    return tables


def score_table(results: Sequence[RunResult], against: Sequence[int | None] | None = None) -> str:
    """The tables of :func:`run_tables` as text, and below them how they were measured."""
    return STYLES["text"](run_tables(results, against))


def compare_table(results: Sequence[RunResult], style: str = "text") -> str:
    """Runs beside each other, each tested against the first, p adjusted for their number (Holm).

    Args:
        results: runs over the same clips.
        style: a key of ``STYLES``.
    """
    return STYLES[style](run_tables(results))


# Scores


def _scores_table(results: Sequence[RunResult], rows: Sequence[TableRow]) -> Table:
    """Runs below each other, and below each its databases; then what is no result."""
    metrics = list(rows[0].means)
    lines, groups = [], []
    for row in rows:
        lines += [_score_cells(row, metrics), *_database_cells(row, metrics)]
        groups += ["", *row.databases]
    selected = [best for result in results if (best := best_on_test_row(result))]
    stamped = range(len(lines), len(lines) + len(selected))
    for row in selected:
        name, *cells = _score_cells(row, metrics)
        lines.append((f"{name} [{SELECTED_ON_TEST.upper()}, no result]", *cells))
        groups.append("")
    columns = [2, *range(4, 3 + len(metrics))]
    return Table(
        "scores",
        "Scores",
        score_header(metrics),
        lines,
        notes=[_method(results, rows), *_notes(rows)],
        caption=_caption(results, rows),
        best=best_cells(lines, columns, groups, stamped),
        stamped=stamped,
    )


def score_header(metrics: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns: the metric to compare by comes first, with its test at the end."""
    first, *others = (_titled(metric) for metric in metrics)
    name = _named(metrics[0])
    return (
        *("model", "seeds", first, "sd of seeds", *others),
        *(f"{name} difference", "p", "p (Holm)", "tested against"),
    )


def _titled(metric: str) -> str:
    return _named(metric) if metric in PLAIN else f"{_named(metric)} [95 %]"


def _named(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric.replace("_", " "))


def _score_cells(row: TableRow, metrics: Sequence[str]) -> tuple[str, ...]:
    first, *others = (
        str(row.scores[name]) if name in row.scores else f"{row.means[name]:.3f}"
        for name in metrics
    )
    sd = row.seeds_sd.get(metrics[0])
    return (
        row.name,
        str(len(row.seed_scores)),
        first,
        "" if sd is None else f"{sd:.3f}",
        *others,
        f"{row.test.difference:+.3f}" if row.test else "",
        _p(row.test.p) if row.test else "",
        _holm(row),
        row.against,
    )


def _database_cells(row: TableRow, metrics: Sequence[str]) -> list[tuple[str, ...]]:
    return [
        (
            *(f"{PART}{base}", "", f"{scores[metrics[0]]:.3f}", ""),
            *(f"{scores[name]:.3f}" for name in metrics[1:]),
            *("", "", "", ""),
        )
        for base, scores in row.databases.items()
    ]


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _holm(row: TableRow | CurveRow) -> str:
    return "" if row.p_holm is None else _p(row.p_holm)


def _method(results: Sequence[RunResult], rows: Sequence[TableRow]) -> str:
    """How the scores were measured, in one sentence."""
    name = _named(rows[0].metric)
    trained = any(fold.train_subjects for fold in results[0].folds)
    how = (
        "each predicted by a model that never saw that subject, no epoch and no setting chosen on "
        f"a left-out subject; {_pooled(results[0])}, "
        if trained
        else "each predicted by weights that were trained on none of these clips; "
    )
    return (
        f"{results[0].record.protocol}: {rows[0].clips} clips of {rows[0].subjects} subjects, {how}"
        f"mean over seeds and their standard deviation ({name}); intervals by bootstrap over "
        f"subjects, p by paired permutation over subjects, seeds pooled ({name})"
    )


def _pooled(result: RunResult) -> str:
    if result.of_directions:
        return "each direction from one database to another scored alone, then their mean"
    return "scores pooled over all folds"


def _caption(results: Sequence[RunResult], rows: Sequence[TableRow]) -> str:
    """What was compared, by which metric, interval and test, and over how many seeds."""
    record = results[0].record
    seeds = sorted({len(row.seed_scores) for row in rows})
    count = " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))
    name = _named(rows[0].metric)
    kind = "action units" if record.multi_label else "classes"
    text = (
        f"Recognition of {len(record.classes)} {kind} "
        f"({', '.join(record.classes)}) by protocol {record.protocol}: {rows[0].clips} clips of "
        f"{rows[0].subjects} subjects, {_pooled(results[0])}. "
        f"{'Mean over ' if seeds[-1] > 1 else ''}{count} seed{'s' if seeds[-1] > 1 else ''}; "
        "in brackets 95 % intervals by bootstrap over subjects."
    )
    tests = [row for row in rows if row.test]
    if tests:
        text += f" p: paired permutation test over subjects on {name}"
        text += ", adjusted by Holm for the number of tests" if len(tests) > 1 else ""
        others = list(dict.fromkeys(row.against for row in tests))
        text += f", against {others[0]}." if len(others) == 1 else "."
    return text


def _notes(rows: Sequence[TableRow]) -> list[str]:
    """The runs' notes: those of all once, others with the run's name."""
    often = Counter(note for row in rows for note in dict.fromkeys(row.notes))
    shared = [note for note in dict.fromkeys(rows[0].notes) if often[note] == len(rows)]
    own = [f"{row.name}: {note}" for row in rows for note in row.notes if note not in shared]
    return [f"note: {note}" for note in (*shared, *dict.fromkeys(own))]


# Classes and seeds


def _class_table(rows: Sequence[TableRow]) -> Table:
    """F1, recall and precision of each class: every model's, class by class."""
    names = list(rows[0].classes)
    lines = [
        (
            *(name, row.name, f"{row.classes[name]['clips']:.0f}"),
            *(_with_sd(row, name, score) for score in ("f1", "recall", "precision")),
        )
        for name in names
        for row in rows
    ]
    groups = [name for name in names for _ in rows]
    spread = ", ± their standard deviation" if any(row.classes_sd for row in rows) else ""
    return Table(
        "classes",
        "Classes",
        ("class", "model", "clips", "F1", "recall", "precision"),
        lines,
        notes=[f"mean over seeds{spread}"] if spread else [],
        caption=f"Scores of each class, pooled over all folds, mean over seeds{spread}.",
        best=best_cells(lines, [3, 4, 5], groups),
    )


def _with_sd(row: TableRow, name: str, score: str) -> str:
    text = f"{row.classes[name][score]:.3f}"
    return f"{text} ± {row.classes_sd[name][score]:.3f}" if row.classes_sd else text


def _seed_table(rows: Sequence[TableRow]) -> Table:
    """Every seed's scores, and their mean and standard deviation."""
    seeds = sorted({seed for row in rows for seed in row.seed_scores})
    lines = [
        (
            *(row.name, _named(metric)),
            *(
                f"{row.seed_scores[seed][metric]:.3f}" if seed in row.seed_scores else ""
                for seed in seeds
            ),
            f"{row.means[metric]:.3f}",
            f"{row.seeds_sd[metric]:.3f}" if row.seeds_sd else "",
        )
        for row in rows
        for metric in row.means
    ]
    header = ("model", "metric", *(f"seed {seed}" for seed in seeds), "mean", "sd")
    return Table("seeds", "Seeds", header, lines, caption="Scores of each seed, their mean and sd.")


# Learning curves


def curve_tables(
    curves: Sequence[LearningCurve], against: Sequence[int | None] | None = None
) -> list[Table]:
    """The table of learning curves.

    Args:
        curves, against: see :func:`ma2mi.report.rows.curve_rows`.

    Raises:
        EvaluationError: other clips, draws or training subjects.
    """
    rows = curve_rows(curves, against)
    name = _named(curves[0].record.metrics[0])
    header = (
        *("model", "training subjects", "draws", "seeds", f"{name} [95 %]"),
        *("sd of draws", "sd of seeds"),
        *(f"{name} difference", "p", "p (Holm)", "tested against"),
    )
    lines = [
        (
            *(row.name, str(row.subjects) if row.subjects else "level"),
            *(str(row.draws), str(row.seeds), str(row.score)),
            *(_sd(row.draws_sd), _sd(row.seeds_sd)),
            f"{row.test.difference:+.3f}" if row.test else "",
            _p(row.test.p) if row.test else "",
            *(_holm(row), row.against),
        )
        for row in rows
    ]
    method = _curve_method(curves)
    return [
        Table(
            "learning-curve",
            "Few training subjects",
            header,
            lines,
            notes=[method, *_curve_notes(curves)],
            caption=f"{name} against the number of training subjects. {method}",
            best=best_cells(lines, [4], [line[1] for line in lines]),
        )
    ]


def _sd(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _curve_notes(curves: Iterable[LearningCurve]) -> Iterator[str]:
    return (f"note: {curve.name}: {note}" for curve in curves for note in curve.notes())


def curve_table(curves: Sequence[LearningCurve], style: str = "text") -> str:
    """Learning curves below each other, each tested against the first.

    Args:
        curves: see :func:`ma2mi.report.rows.curve_rows`.
        style: a key of ``STYLES``.
    """
    return STYLES[style](curve_tables(curves))


def curve_text(curves: Sequence[LearningCurve], against: Sequence[int | None] | None = None) -> str:
    """The table of :func:`curve_tables` as text, and below it how it was measured."""
    return STYLES["text"](curve_tables(curves, against))


def _curve_method(curves: Sequence[LearningCurve]) -> str:
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
