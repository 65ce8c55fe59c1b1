"""What MA2MI brings, and what brings nothing: ``python benchmarks/ma2mi/ablate.py --jobs 2``.

Painted macro video to pre-train on; painted and rendered subjects with micro-expressions to be read
by a ridge on the frozen network, leave one subject out, with all labels and with few labelled
subjects (the same draws for every row). Every row is held against a named control by a permutation
test over subjects, seeds and draws pooled. What is measured stays below --out and counts as long as
the package does not change; killed, it goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import joblib
import torch
from data import REAL, Setup
from rows import SHORT, Row, all_rows
from study import Study
from tables import Table, readme, summary

SEEDS = (0, 1, 2, 3, 4)
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


def blocks(rows: Sequence[Row], seeds: Sequence[int]) -> Iterator[list[tuple[Row, int]]]:
    """Tasks in order; those of a block share no weights, and may be measured side by side.

    The rows of few steps come last; of each kind all rows under two seeds before any under more.
    """
    brief = [row for row in rows if row.learned and row.learned.steps == SHORT]
    for kind in ([row for row in rows if row not in brief], brief):
        for some in (seeds[:2], seeds[2:]):
            for row in kind:
                if row.seeded or some == seeds[:2]:
                    yield [(row, seed) for seed in (some if row.seeded else some[:1])]


def run(setup: Setup, rows: Sequence[Row], seeds: Sequence[int], jobs: int) -> None:
    """Measure what is not there yet."""
    study = Study(setup, jobs)
    for block in blocks(rows, seeds):
        tasks = [(row, seed) for row, seed in block if study.result(row, seed) is None]
        if not tasks:
            continue
        learned = tasks[0][0].learned
        if learned and learned.source == "real" and not setup.real.is_dir():
            print(f"{tasks[0][0].name}: left out, no folder {setup.real}", file=sys.stderr)
            continue
        study.prepare(tasks[0][0])
        joblib.Parallel(n_jobs=jobs)(
            joblib.delayed(measure)(row, seed, setup) for row, seed in tasks
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/ma2mi-study"))
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--real", type=Path, default=REAL, help="folder of real video")
    parser.add_argument("--full", action="store_true", help="more rows, hours")
    parser.add_argument("--readme", action="store_true", help="write the tables to the README")
    parser.add_argument("--as-is", action="store_true", help="print what is there so far")
    return parser.parse_args()


def main() -> None:
    options = parse()
    setup = Setup(options.out, real=options.real)
    rows = all_rows(options.full)
    if not options.as_is:
        run(setup, rows, SEEDS, options.jobs)
    table = Table(Study(setup, options.jobs), rows, SEEDS)
    if options.readme:
        README.write_text(readme(table), encoding="utf-8")
    print(summary(table))


if __name__ == "__main__":
    main()
