"""What MA2MI brings, and what brings nothing: ``python benchmarks/ma2mi/ablate.py --jobs 2``.

Synthetic macro video to pre-train on; synthetic faces and rendered heads with micro-expressions,
read by a ridge on the frozen network, leave one subject out, with all labels and with few labelled
subjects (the same draws for every row). Every row is held against a named control by a permutation
test over subjects, seeds and draws pooled. What is measured stays below --out and counts as long as
the package does not change; killed, it goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import joblib
import torch
from data import REAL, Setup
from rows import BOTH, SHORT, Row, all_rows
from study import Study
from tables import Table, readme, summary

SEEDS = (0, 1, 2, 3, 4)
#: Of the rows of few steps, unless all is asked for: the whole takes about an hour of one core.
BRIEF_SEEDS = 2
README = Path(__file__).with_name("README.md")


@cache
def opened(setup: Setup) -> Study:
    """One study for all tasks of a process."""
    return Study(setup, jobs=1)


def measure(row: Row, seed: int, setup: Setup) -> None:
    """One row under one seed, in whichever process."""
    torch.set_num_threads(1)  # the same sums, however many rows are measured side by side
    took = opened(setup).measure(row, seed)
    now = time.strftime("%H:%M:%S")
    print(f"{now} {row.name}, seed {seed}: {took:.0f} s of CPU", file=sys.stderr, flush=True)


def in_order(rows: Sequence[Row], seeds: Sequence[int], full: bool) -> list[tuple[Row, int]]:
    """Rows and seeds: each row once at first; those of few steps under few unless ``full``."""
    brief = [row for row in rows if row.learned and row.learned.steps == SHORT]
    other = [row for row in rows if row not in brief]
    few = seeds if full else seeds[:BRIEF_SEEDS]
    waves = [
        (rows[:1] + brief[:1], seeds[:1]),  # the first sign of whether MA2MI helps
        (sorted(other[1:], key=lambda row: row.learned is not None), seeds[:1]),  # quick ones
        (brief[1:], few[:1]),
        (other, seeds[1:]),
        (brief, few[1:]),
    ]
    tasks = [(row, seed) for kind, some in waves for seed in some for row in kind]
    return [(row, seed) for row, seed in tasks if row.seeded or seed == seeds[0]]


def run(
    setup: Setup, rows: Sequence[Row], seeds: Sequence[int], jobs: int, full: bool = False
) -> None:
    """Measure what is not there yet."""
    study = Study(setup, jobs)
    tasks = [
        (row, seed) for row, seed in in_order(rows, seeds, full) if not study.result(row, seed)
    ]
    if not setup.real.is_dir():
        real = [row for row in rows if row.learned and row.learned.source == "real"]
        tasks = [(row, seed) for row, seed in tasks if row not in real]
        print(
            f"{'; '.join(r.name for r in real)}: left out, no folder {setup.real}", file=sys.stderr
        )
    if tasks:
        # Made here with all processes; the rest waits until a row asks for it.
        study.domains  # noqa: B018
        study.pairs(BOTH)
    joblib.Parallel(n_jobs=jobs, batch_size=1, pre_dispatch=jobs)(
        joblib.delayed(measure)(row, seed, setup) for row, seed in tasks
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/ma2mi-study"))
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--real", type=Path, default=REAL, help="folder of real video")
    parser.add_argument("--full", action="store_true", help="more rows and all seeds, hours")
    parser.add_argument("--readme", action="store_true", help="write the tables to the README")
    parser.add_argument("--as-is", action="store_true", help="print what is there so far")
    return parser.parse_args()


def main() -> None:
    options = parse()
    setup = Setup(options.out, real=options.real)
    rows = all_rows(options.full)
    if not options.as_is:
        run(setup, rows, SEEDS, options.jobs, options.full)
    table = Table(Study(setup, options.jobs), rows, SEEDS)
    if options.readme:
        README.write_text(readme(table), encoding="utf-8")
    print(summary(table))


if __name__ == "__main__":
    main()
