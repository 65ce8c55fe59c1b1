"""Agreement of coders as text, tables and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ma2mi.environment import write_environment
from ma2mi.evaluation.agreement import Coding, Differences, PairAgreement
from ma2mi.evaluation.coded_events import MatchSettings
from ma2mi.evaluation.statistics import Estimate
from ma2mi.files import replace_file
from ma2mi.formats.annotation import Annotation
from ma2mi.formats.tables import as_json, as_table
from ma2mi.report.styles import text_table

#: Figures of a pair, in the order of the table: name, and attribute.
FIGURES = (
    ("detection: 2 x matched / all", "detection"),
    ("reliability: 2 x matched with the same class / all", "reliability"),
    ("Cohen's kappa, matched events", "kappa"),
    ("Krippendorff's alpha, matched events", "alpha"),
    ("modified kappa (ELAN), with unmatched events", "modified_kappa"),
    ("Cohen's kappa, frames", "frame_kappa"),
    ("Krippendorff's alpha, frames", "frame_alpha"),
)


#: Columns of ``matched.csv``: seconds on a player's clock, second less first where it says so.
MATCHED = (
    "recording",
    *(
        f"{coder}{name}"
        for coder in ("first", "second")
        for name in ("", "_start_s", "_apex_s", "_end_s", "_class", "_units")
    ),
)


def rule_in_words(settings: MatchSettings) -> str:
    """When two events count as one."""
    if settings.tolerance_s is not None:
        return f"onset and offset within {1000 * settings.tolerance_s:g} ms"
    return f"IoU at least {settings.iou:g}"


def recommended(pair: PairAgreement) -> tuple[str, Estimate]:
    """The one number to report, and what it is called.

    With two classes or more the modified kappa: it counts missed events and wrong classes, and
    takes chance off. With one class nothing is left to chance but whether an event is there, and
    the modified kappa is 0 by its definition; then the detection.
    """
    if len(pair.classes) > 1 and not math.isnan(pair.modified_kappa.value):
        return "modified kappa (Holle and Rein, 2015)", pair.modified_kappa
    return "detection F1", pair.detection


def sentence(pair: PairAgreement, settings: MatchSettings) -> str:
    """One sentence for a paper."""
    name, figure = recommended(pair)
    first, second = pair.coders
    of_class = f", {pair.agreed} of them with the same class" if len(pair.classes) > 1 else ""
    return (
        f"{first} and {second} marked {pair.events[0]} and {pair.events[1]} events, of which "
        f"{pair.matched} matched ({rule_in_words(settings)}{of_class}); {name} = "
        f"{_figure(figure)}{_interval(figure)}."
    )


def agreement_text(pair: PairAgreement, settings: MatchSettings) -> str:
    """All figures of two coders."""
    first, second = pair.coders
    lines = [(name, _figure(getattr(pair, at)), _bounds(getattr(pair, at))) for name, at in FIGURES]
    parts = [
        f"{first} and {second}: {pair.events[0]} and {pair.events[1]} events, {pair.matched} "
        f"matched ({rule_in_words(settings)}), {pair.agreed} of them with the same class",
        text_table(("figure", "value", "95 % over recordings"), lines),
        text_table(
            (f"{second} - {first}", "events", "mean ms", "sd", "limits of agreement", "median"),
            [_difference_line(one) for one in pair.differences],
        ),
    ]
    if len(pair.classes) > 1:
        parts.append(_class_table(pair))
    if pair.units:
        parts.append(
            text_table(
                ("action unit", first, second, "both", "reliability", "kappa"),
                [
                    (
                        f"AU{u.unit}",
                        str(u.first),
                        str(u.second),
                        str(u.both),
                        f"{u.reliability:.3f}",
                        _number(u.kappa),
                    )
                    for u in pair.units
                ],
            )
        )
    steps = "  ".join(f"{iou:g}: {value:.2f}" for iou, value in pair.curve.items())
    parts.append(f"detection by least IoU  {steps}")
    parts.append(f"report: {sentence(pair, settings)}")
    return "\n\n".join(parts)


def write_agreement(
    pairs: Sequence[PairAgreement],
    codings: Sequence[Coding],
    settings: MatchSettings,
    folder: Path,
) -> None:
    """``agreement.json``, ``matched.csv`` (a row for each event of two coders) and ``curve.png``.

    Raises:
        StoreError: the folder cannot be written.
    """
    # Imported here: what is only printed needs no charts.
    from ma2mi.report.run_figures import draw_agreement

    folder.mkdir(parents=True, exist_ok=True)
    tree = {"settings": settings.model_dump(mode="json"), "pairs": [_tree(p) for p in pairs]}
    replace_file(folder / "agreement.json", as_json(_finite(tree)).encode())
    marked = {coding.coder: coding.recordings for coding in codings}
    rows = [
        {"recording": name, "first": one.coders[0], "second": one.coders[1]}
        | _marks("first", marked[one.coders[0]][name][i])
        | _marks("second", marked[one.coders[1]][name][j])
        for one in pairs
        for name, i, j in one.pairs
    ]
    replace_file(folder / "matched.csv", as_table(rows, MATCHED).encode())
    replace_file(folder / "curve.png", draw_agreement(pairs))
    write_environment(folder)


def _marks(coder: str, one: Annotation) -> dict[str, Any]:
    return {
        f"{coder}_start_s": float(one.start_s),
        f"{coder}_apex_s": None if one.apex_s is None else float(one.apex_s),
        f"{coder}_end_s": float(one.end_s),
        f"{coder}_class": one.label,
        f"{coder}_units": one.aus,
    }


def _tree(pair: PairAgreement) -> dict[str, Any]:
    name, figure = recommended(pair)
    tree = asdict(pair)
    del tree["pairs"]
    return tree | {
        "table": pair.table.tolist(),
        "curve": {f"{iou:g}": value for iou, value in pair.curve.items()},
        "recommended": {"name": name, "value": figure.value},
    }


def _finite(tree: Any) -> Any:
    """The same with None for what is not a number, which JSON does not know."""
    if isinstance(tree, dict):
        return {name: _finite(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and math.isnan(tree) else tree


def _class_table(pair: PairAgreement) -> str:
    names = [*(name or "no class" for name in pair.classes), "unmatched"]
    rows = [
        (name, *(str(count) for count in row))
        for name, row in zip(names, pair.table.tolist(), strict=True)
    ]
    return text_table((" \\ ".join(pair.coders), *names), rows)


def _difference_line(one: Differences) -> tuple[str, ...]:
    limits = f"{_ms(one.low_s)} to {_ms(one.high_s)}" if not math.isnan(one.low_s) else "too few"
    return (
        one.mark,
        str(one.count),
        _ms(one.mean_s),
        _ms(one.sd_s),
        limits,
        _ms(one.median_s),
    )


def _ms(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{1000 * seconds:.1f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _figure(estimate: Estimate) -> str:
    return "not defined" if math.isnan(estimate.value) else f"{estimate.value:.3f}"


def _bounds(estimate: Estimate) -> str:
    return "-" if math.isnan(estimate.low) else f"[{estimate.low:.3f}, {estimate.high:.3f}]"


def _interval(estimate: Estimate) -> str:
    bounds = _bounds(estimate)
    return "" if bounds == "-" else f" (95 % interval over recordings {bounds})"
