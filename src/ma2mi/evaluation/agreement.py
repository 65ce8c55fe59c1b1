"""Agreement of coders: which events they share, how far apart, and how far beyond chance.

Every figure is a function of counts that add up over recordings, so that intervals come from
drawing recordings with replacement (:func:`ma2mi.evaluation.statistics.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.coded_events import (
    MatchSettings,
    class_of,
    match_annotations,
    units_of,
)
from ma2mi.evaluation.kappas import (
    alpha_of,
    alpha_of_coincidences,
    detection_of,
    kappa_of,
    modified_kappa,
    reliability_of,
)
from ma2mi.evaluation.spotting import Pairs
from ma2mi.evaluation.statistics import Counts, Estimate, Floats, bootstrap
from ma2mi.formats.annotation import Annotation

#: Limits of agreement hold 95 % of normal differences (Bland and Altman, Lancet 1986).
LIMITS = 1.96
#: Least IoU of the curve, as far as events still overlap at all.
CURVE = tuple(round(0.1 * step, 1) for step in range(1, 10))


@dataclass(frozen=True, eq=False)
class Coding:
    """What one coder marked.

    Args:
        coder: the coder's name.
        recordings: recording to its annotations, in any order; one without any was coded, too,
            and nothing was found.
    """

    coder: str
    recordings: Mapping[str, Sequence[Annotation]]


@dataclass(frozen=True)
class Differences:
    """How far one mark of the matched events is apart, second coder minus first.

    Args:
        mark: "onset", "apex" or "offset".
        count: matched events that have it on both sides.
        mean_s, sd_s: of the differences, seconds; NaN where there are too few.
        low_s, high_s: limits of agreement, mean -+ 1.96 sd (Bland and Altman, 1986).
        median_s: of the absolute differences.
    """

    mark: str
    count: int
    mean_s: float
    sd_s: float
    low_s: float
    high_s: float
    median_s: float


@dataclass(frozen=True)
class UnitAgreement:
    """Agreement on one action unit.

    Args:
        unit: its number.
        first, second: events that each coder gave it.
        both: matched events that have it from both.
        reliability: 2 both / (first + second).
        kappa: Cohen's, over the matched events; NaN where both always or never gave it.
    """

    unit: str
    first: int
    second: int
    both: int
    reliability: float
    kappa: float


@dataclass(frozen=True, eq=False)
class PairAgreement:
    """Agreement of two coders.

    Args:
        coders: their names.
        events: how many each marked.
        matched: events that both marked; ``agreed``: of those with the same class.
        classes: that occur, the rows of ``table``; "" where a coder named none.
        table: first coder's class against the second's over matched events [C + 1, C + 1]; the
            last row and column hold events that only one of them marked.
        detection: 2 matched / (first + second): the F1 of one coder against the other.
        reliability: 2 agreed / (first + second), the field's reliability (Yan et al., CASME II).
        kappa: Cohen's, over the matched events.
        alpha: Krippendorff's, nominal, over the matched events.
        modified_kappa: with the events that only one marked, see :func:`modified_kappa`.
        frame_kappa, frame_alpha: over frames, each with its class or none.
        differences: of onset, apex and offset.
        units: of the action units that occur.
        curve: least IoU to the detection at it.
        pairs: recording, and positions of the two matched annotations.
    """

    coders: tuple[str, str]
    events: tuple[int, int]
    matched: int
    agreed: int
    classes: tuple[str, ...]
    table: NDArray[np.int64]
    detection: Estimate
    reliability: Estimate
    kappa: Estimate
    alpha: Estimate
    modified_kappa: Estimate
    frame_kappa: Estimate
    frame_alpha: Estimate
    differences: tuple[Differences, ...]
    units: tuple[UnitAgreement, ...]
    curve: dict[float, float]
    pairs: tuple[tuple[str, int, int], ...]


def compare_coders(
    codings: Sequence[Coding],
    settings: MatchSettings | None = None,
    *,
    lengths_s: Mapping[str, float] | None = None,
) -> list[PairAgreement]:
    """Agreement of every two coders, over the recordings that both have.

    Args:
        codings: two or more coders.
        settings: see :class:`MatchSettings`.
        lengths_s: how long each recording is, for agreement per frame; by default to the end of
            the last event in it.

    Raises:
        EvaluationError: fewer than two coders, two of one name, or no recording in common.
    """
    settings = settings or MatchSettings()
    names = [coding.coder for coding in codings]
    if len(names) < 2 or len(set(names)) < len(names):
        raise EvaluationError(
            f"coders {', '.join(names)}", hint="Give two or more, each under a name of its own"
        )
    return [
        _compare(one, other, settings, lengths_s or {}) for one, other in combinations(codings, 2)
    ]


def frame_alpha(
    codings: Sequence[Coding],
    settings: MatchSettings | None = None,
    *,
    lengths_s: Mapping[str, float] | None = None,
) -> float:
    """Krippendorff's nominal alpha of all coders together, over the frames that all have coded.

    A frame has the class of the event that covers it, or none. Arguments as in
    :func:`compare_coders`.
    """
    settings = settings or MatchSettings()
    shared = _shared(codings)
    classes = _classes(codings, shared)
    counts = []
    for name in shared:
        marked = [coding.recordings[name] for coding in codings]
        frames = _frame_count(marked, settings, (lengths_s or {}).get(name))
        rows = np.zeros((frames, len(classes) + 1), np.int64)
        for one in marked:
            rows[np.arange(frames), _frame_classes(one, classes, frames, settings)] += 1
        counts.append(rows)
    rows, times = np.unique(np.concatenate(counts), axis=0, return_counts=True)
    coders = len(codings)
    # Coincidences of the pairs of values within a frame (Krippendorff, 2011).
    pairs = np.einsum("f,fc,fk->ck", times, rows, rows) - np.diag(times @ rows)
    return float(alpha_of_coincidences(pairs / (coders - 1)))


def _compare(
    one: Coding, other: Coding, settings: MatchSettings, lengths_s: Mapping[str, float]
) -> PairAgreement:
    shared = _shared((one, other))
    classes = _classes((one, other), shared)
    tables, frames, found = [], [], []
    for name in shared:
        first, second = one.recordings[name], other.recordings[name]
        matched = match_annotations(first, second, settings)
        found += [(name, i, j) for i, j in matched]
        tables.append(_event_table(first, second, matched, classes))
        frames.append(_frame_table(first, second, classes, settings, lengths_s.get(name)))
    counts, of_frames = np.stack(tables), np.stack(frames)
    table = counts.sum(axis=0)
    both = [(one.recordings[name][i], other.recordings[name][j]) for name, i, j in found]

    def estimate(of: Callable[[ArrayLike], Floats], of_counts: Counts) -> Estimate:
        return _estimate(of_counts, of)

    inner = counts[:, :-1, :-1]
    return PairAgreement(
        (one.coder, other.coder),
        (_count(one, shared), _count(other, shared)),
        int(table[:-1, :-1].sum()),
        int(np.trace(table[:-1, :-1])),
        classes,
        table,
        estimate(detection_of, counts),
        estimate(reliability_of, counts),
        estimate(kappa_of, inner),
        estimate(alpha_of, inner),
        estimate(modified_kappa, counts),
        estimate(kappa_of, of_frames),
        estimate(alpha_of, of_frames),
        tuple(_differences(mark, both) for mark in ("onset", "apex", "offset")),
        tuple(_unit_agreements((one, other), shared, both)),
        _curve(one, other, shared, settings),
        tuple(found),
    )


def _shared(codings: Sequence[Coding]) -> list[str]:
    shared = sorted(set.intersection(*(set(coding.recordings) for coding in codings)))
    if not shared:
        raise EvaluationError(
            f"{' and '.join(coding.coder for coding in codings)} have no recording in common",
            hint="Name the videos alike in both files",
        )
    return shared


def _count(coding: Coding, names: Sequence[str]) -> int:
    return sum(len(coding.recordings[name]) for name in names)


def _classes(codings: Sequence[Coding], names: Sequence[str]) -> tuple[str, ...]:
    found = {class_of(a) for coding in codings for name in names for a in coding.recordings[name]}
    return tuple(sorted(found)) or ("",)


def _event_table(
    first: Sequence[Annotation],
    second: Sequence[Annotation],
    matched: Pairs,
    classes: tuple[str, ...],
) -> NDArray[np.int64]:
    unmatched = len(classes)
    table = np.zeros((unmatched + 1, unmatched + 1), np.int64)
    rows = [classes.index(class_of(a)) for a in first]
    columns = [classes.index(class_of(a)) for a in second]
    for i, j in matched:
        table[rows[i], columns[j]] += 1
    for i in set(range(len(first))) - {i for i, _ in matched}:
        table[rows[i], unmatched] += 1
    for j in set(range(len(second))) - {j for _, j in matched}:
        table[unmatched, columns[j]] += 1
    return table


def _frame_count(
    marked: Sequence[Sequence[Annotation]], settings: MatchSettings, length_s: float | None
) -> int:
    last_s = max((float(a.end_s) for annotations in marked for a in annotations), default=0.0)
    return int(np.ceil(max(length_s or 0.0, last_s) / settings.step_s - 1e-9))


def _frame_classes(
    annotations: Sequence[Annotation],
    classes: tuple[str, ...],
    frames: int,
    settings: MatchSettings,
) -> NDArray[np.int64]:
    """Of each frame, by its middle: the number of its class, ``len(classes)`` for none."""
    seen = np.full(frames, len(classes), np.int64)
    middles = (np.arange(frames) + 0.5) * settings.step_s
    for one in annotations:
        inside = (middles >= float(one.start_s)) & (middles < float(one.end_s))
        seen[inside] = classes.index(class_of(one))
    return seen


def _frame_table(
    first: Sequence[Annotation],
    second: Sequence[Annotation],
    classes: tuple[str, ...],
    settings: MatchSettings,
    length_s: float | None,
) -> NDArray[np.int64]:
    frames = _frame_count((first, second), settings, length_s)
    size = len(classes) + 1
    one, other = (_frame_classes(a, classes, frames, settings) for a in (first, second))
    return np.bincount(one * size + other, minlength=size**2).reshape(size, size)


def _estimate(counts: Counts, of: Callable[[ArrayLike], Floats]) -> Estimate:
    """The figure and its interval over recordings; without an interval below two recordings."""
    value = float(of(counts.sum(axis=0)))
    if len(counts) < 2 or np.isnan(value):
        return Estimate(value, float("nan"), float("nan"), 0.95, "percentile", 0)

    def drawn(tables: NDArray[np.int64]) -> Floats:
        # A draw in which the figure is not defined says nothing against the one at hand.
        found = of(tables)
        return np.where(np.isnan(found), value, found)

    return bootstrap(counts, drawn, method="percentile")


def _differences(mark: str, both: Sequence[tuple[Annotation, Annotation]]) -> Differences:
    name = {"onset": "start_s", "apex": "apex_s", "offset": "end_s"}[mark]
    times = [(getattr(one, name), getattr(other, name)) for one, other in both]
    apart = np.array([float(b - a) for a, b in times if a is not None and b is not None])
    mean = float(apart.mean()) if len(apart) else float("nan")
    sd = float(apart.std(ddof=1)) if len(apart) > 1 else float("nan")
    median = float(np.median(np.abs(apart))) if len(apart) else float("nan")
    return Differences(mark, len(apart), mean, sd, mean - LIMITS * sd, mean + LIMITS * sd, median)


def _unit_agreements(
    codings: tuple[Coding, Coding],
    names: Sequence[str],
    both: Sequence[tuple[Annotation, Annotation]],
) -> list[UnitAgreement]:
    marked = [
        [units_of(a) for name in names for a in coding.recordings[name]] for coding in codings
    ]
    matched = [(units_of(one), units_of(other)) for one, other in both]
    found = []
    for unit in sorted(frozenset().union(*marked[0], *marked[1]), key=int):
        first, second = (sum(unit in units for units in one) for one in marked)
        table = np.zeros((2, 2), np.int64)
        for a, b in matched:
            table[int(unit in a), int(unit in b)] += 1
        shared = int(table[1, 1])
        reliability = 2 * shared / (first + second)
        found.append(
            UnitAgreement(unit, first, second, shared, reliability, float(kappa_of(table)))
        )
    return found


def _curve(
    one: Coding, other: Coding, names: Sequence[str], settings: MatchSettings
) -> dict[float, float]:
    marks = _count(one, names) + _count(other, names)
    found = {}
    for iou in CURVE:
        rule = settings.model_copy(update={"iou": iou, "tolerance_s": None})
        matched = sum(
            len(match_annotations(one.recordings[name], other.recordings[name], rule))
            for name in names
        )
        found[iou] = 2 * matched / marks if marks else float("nan")
    return found
