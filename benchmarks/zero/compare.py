"""Two recognizers on the same judging samples: ``python benchmarks/zero/compare.py --before DIR``.

Scores with 95 % intervals (bootstrap over subjects, BCa); p by swapping the two, subject by subject
(paired permutation), corrected by Holm over the domains of a score. "Before" is as it was shipped,
a prior of the classes in its logits included. "Before, calibrated anew" is that network with a flat
prior, its temperatures and thresholds chosen as those of "now": the rest of the difference is
training. ``make weights`` makes the judging data; ``--readme`` writes this page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "zero"))

from calibrate_zero import calibrate_on
from evaluate_zero import counts_of, outputs_in
from judging import EvaluationSet, calibration_domains, judging_domains

from ma2mi.evaluation.statistics import (
    Counts,
    Score,
    bootstrap,
    holm,
    mean_unit_f1_of,
    permutation_test,
    score_named,
    spotting_f1_of,
)
from ma2mi.files import replace_file
from ma2mi.synthesis.flow_simulator import UNITS
from ma2mi.training.checkpoint import read_config
from ma2mi.training.recognizer import Recognizer, load_model

README = Path(__file__).with_name("README.md")
GOAL = 0.65
"""Mean F1 of the units that was asked for on every judging domain."""


class Counted(NamedTuple):
    """Confusions [subjects, 3, 3] and units' (tp, fp, fn) [subjects, 12, 3] in one domain."""

    classes: Counts
    units: Counts


def _f1_of(unit: int) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    return lambda counts: spotting_f1_of(counts[..., unit, :])


SCORES: dict[str, tuple[str, Score]] = {
    "UF1": ("classes", score_named("uf1")),
    "UAR": ("classes", score_named("uar")),
    "mean unit F1": ("units", mean_unit_f1_of),
    **{f"F1 of {unit}": ("units", _f1_of(at)) for at, unit in enumerate(UNITS)},
}


def as_shipped(folder: str) -> Recognizer:
    """The recognizer of a folder, with the prior that its config may hold."""
    return Recognizer(load_model(folder).net, read_config(Path(folder)))


def count(recognizer: Recognizer, domains: dict[str, EvaluationSet]) -> dict[str, Counted]:
    """What the recognizer gets right and wrong in every domain."""
    return {
        name: Counted(*counts_of(recognizer, domain, outputs_in(recognizer, domain)))
        for name, domain in domains.items()
    }


def summary(systems: dict[str, dict[str, Counted]], score: str) -> list[str]:
    """One score in every domain, the last system against each of the others; p by Holm."""
    part, of = SCORES[score]
    *others, last = systems
    heads = ["domain", *systems, *(f"against {name}, p" for name in others)]
    lines = [
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    domains = list(systems[last])
    against = []
    for name in others:
        tests = [
            permutation_test(
                getattr(systems[last][domain], part), getattr(systems[name][domain], part), of
            )
            for domain in domains
        ]
        corrected = holm([test.p for test in tests]).tolist()
        against.append(
            [f"{test.difference:+.3f}, {p:.4f}" for test, p in zip(tests, corrected, strict=True)]
        )
    for at, domain in enumerate(domains):
        shown = [str(bootstrap(getattr(seen[domain], part), of)) for seen in systems.values()]
        lines.append(f"| {domain} | {' | '.join([*shown, *(tests[at] for tests in against)])} |")
    return lines


def units_table(before: Counted, after: Counted) -> list[str]:
    """Each unit's F1 in one domain."""
    lines = ["| unit | shown in | before | now | difference | p |", "|---|---|---|---|---|---|"]
    total = after.units.sum(0)
    for at, unit in enumerate(UNITS):
        of = _f1_of(at)
        test = permutation_test(after.units, before.units, of)
        lines.append(
            f"| {unit} | {total[at, 0] + total[at, 2]} | {bootstrap(before.units, of)} | "
            f"{bootstrap(after.units, of)} | {test.difference:+.3f} | {test.p:.4f} |"
        )
    return lines


def page(systems: dict[str, dict[str, Counted]], after: Recognizer) -> str:
    """All tables."""
    first, *_, last = systems.values()
    reached = [name for name, seen in last.items() if mean_unit_f1_of(seen.units.sum(0)) >= GOAL]
    short = [name for name in last if name not in reached]
    lines = ["# The shipped weights before and now, on the same samples", "", "```sh"]
    lines += ["make weights        # the judging data, among others, below runs/zero"]
    lines += ["python benchmarks/zero/compare.py --before DIR --readme", "```", ""]
    lines += [" ".join(__doc__.split("\n\n")[1].split()), ""]
    lines += [f"Now: sha256 `{after.config['weights_sha256']}`.", ""]
    for score in ("UF1", "UAR", "mean unit F1"):
        lines += [f"## {score}", "", *summary(systems, score), ""]
    lines += [
        f"A mean unit F1 of {GOAL} was asked for in every domain; reached in {len(reached)} of "
        f"{len(last)}" + (f", not in: {'; '.join(short)}." if short else "."),
        "",
        "## F1 of each action unit",
        "",
        '"Shown in": samples with the unit. p is not corrected for the number of rows.',
        "",
    ]
    for domain in last:
        lines += [f"### {domain}", "", *units_table(first[domain], last[domain]), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", required=True, help="folder of the weights before")
    parser.add_argument("--now", default="zero", help="folder of the weights now")
    parser.add_argument("--data", type=Path, default=Path("runs/zero"), help="make.py's --out")
    parser.add_argument("--readme", action="store_true", help="write the page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    before, now = as_shipped(options.before), load_model(options.now)
    described = {key: before.config[key] for key in ("model", "settings", "size")}
    again = calibrate_on(before.net, calibration_domains(options.data), described)
    domains = judging_domains(options.data)
    systems = {
        "before": count(before, domains),
        "before, calibrated anew": count(again, domains),
        "now": count(now, domains),
    }
    text = page(systems, now)
    print(text)
    if options.readme:
        replace_file(README, (text.rstrip() + "\n").encode())


if __name__ == "__main__":
    main()
