"""The study's tables and its page, written from what is measured."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from rows import OURS, RANDOM, SHORT, Row
from study import BATCH, COMPONENTS, DRAWS, FEW, SIZES, Counts, Study

import ma2mi
from ma2mi.evaluation.statistics import PairedTest, bootstrap, permutation_test, score_named
from ma2mi.training.checkpoint import read_config

#: A difference is reported as one below this p.
LEVEL = 0.05
#: What MA2MI was to show at ``FEW`` labelled subjects: renderer, against what, by how much; and
#: how sure of it.
AIMS = (
    ("synthetic", RANDOM, 0.10),
    ("synthetic", "flow-pca", 0.04),
    ("synthetic", "pixels-rbf", 0.04),
    ("rendered", RANDOM, 0.0),
)
AIM_P = 0.01
#: How far from chance the subject may be read off the codes.
SUBJECT_MARGIN = 0.05
BRIEF_NAME = f"{OURS}, {SHORT} steps"


def mean_uf1(counts: Counts) -> NDArray[np.float64]:
    """Of confusion matrices [..., runs, 3, 3] the mean UF1 of the runs [...]."""
    return np.asarray(score_named("uf1")(counts).mean(axis=-1))


class Table:
    """What is measured so far, as Markdown."""

    def __init__(self, study: Study, rows: Sequence[Row], seeds: Sequence[int]) -> None:
        self.study, self.rows, self.seeds = study, rows, seeds
        self.results = {
            row.name: {seed: r for seed in seeds if (r := study.result(row, seed))} for row in rows
        }

    def counts(self, name: str, domain: str, size: int, seeds: Sequence[int]) -> Counts:
        """[subjects, seeds and draws, 3, 3]; what knows no seeds counts for each."""
        own = self.results[name]
        some = [own.get(seed, own[min(own)])[domain][size] for seed in seeds]
        return np.concatenate(some, axis=1)

    def seeds_of(self, row: Row) -> list[int]:
        """Seeds that are there, of a row and of what it is held against."""
        own = list(self.results[row.name]) if row.seeded else list(self.seeds)
        against = next((r for r in self.rows if r.name == row.against), None)
        if not self.results[row.name] or against is None:
            return own if self.results[row.name] else []
        other = list(self.results[against.name]) if against.seeded else own
        return [seed for seed in own if seed in other]

    def lines(self, domain: str) -> Iterator[str]:
        """One renderer's subjects."""
        there = [r for own in self.results.values() for r in own.values() if domain in r]
        if not there:
            yield "Not measured: no such subjects (they need `pip install 'ma2mi[heads]'`)."
            return
        sizes = [size for size in SIZES[domain] if size in there[0][domain]]
        few = FEW if FEW in sizes else sizes[-1]
        heads = " | ".join("all" if size == 0 else f"{size} subjects" for size in sizes)
        gains = " | ".join(f"at {size or 'all'}, p" for size in dict.fromkeys((few, 0)))
        yield f"| row | seeds | {heads} | against | {gains} |"
        yield "|---" * (len(sizes) + 4 + (few != 0)) + "|"
        for row in self.rows:
            if seeds := self.seeds_of(row):
                counts = {size: self.counts(row.name, domain, size, seeds) for size in sizes}
                cells = [_estimate(counts[size]) for size in sizes]
                if row.against:
                    cells += [row.against] + [
                        _gain(counts[size], self.counts(row.against, domain, size, seeds))
                        for size in dict.fromkeys((few, 0))
                    ]
                else:
                    cells += [""] * (2 + (few != 0))
                seen = str(len(seeds)) if row.seeded else "-"
                yield f"| {row.name} | {seen} | {' | '.join(cells)} |"

    def learned(self) -> Iterator[str]:
        """What each pre-training reached on held-out subjects."""
        heads = ("retrieval among 32", "units", "subject", "chance", "at chance")
        yield f"| pre-training | seeds | steps | {' | '.join(heads)} |"
        yield "|---|---|---|---|---|---|---|---|"
        for row in self.rows:
            what = row.learned
            if what is None or row.settings:  # those are read by a part of themselves
                continue
            folders = [self.study.folder(what, seed) for seed in self.seeds]
            figures = [read_config(f)["figures"] for f in folders if (f / "config.json").is_file()]
            if not figures:
                continue
            steps = self.study.steps(what)
            if what.init:
                steps += self.study.steps(what.init)
            if "gain" in figures[0]:
                gain = np.mean([one["gain"] for one in figures])
                cells = [f"(gain over copying {gain:+.1%})", "", "", "", ""]
            else:
                mean = {k: float(np.mean([one[k] for one in figures])) for k in figures[0]}
                cells = [f"{mean['retrieval']:.0%}", f"{mean['units']:.3f}"]
                off = abs(mean["subject"] - mean["subject_chance"])
                cells += [f"{mean['subject']:.3f}", f"{mean['subject_chance']:.3f}"]
                cells += ["yes" if off <= SUBJECT_MARGIN else "no"]
            yield f"| {row.name} | {len(figures)} | {steps} | {' | '.join(cells)} |"


def _estimate(counts: Counts) -> str:
    found = bootstrap(counts, mean_uf1)
    return f"{found.value:.3f} [{found.low:.2f}, {found.high:.2f}]"


def _gain(ours: Counts, others: Counts) -> str:
    test = compared(ours, others)
    return f"{test.difference:+.3f}, {p_of(test.p)}"


def compared(ours: Counts, others: Counts) -> PairedTest:
    """Two rows [subjects, runs, 3, 3]; the mean of fewer runs stays as it is."""
    runs = np.lcm(ours.shape[1], others.shape[1])
    pair = [np.repeat(c, runs // c.shape[1], axis=1) for c in (ours, others)]
    return permutation_test(pair[0], pair[1], mean_uf1)


def p_of(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def machine() -> str:
    """Processor and number of its cores that are there."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {joblib.cpu_count()} cores, torch {torch.__version__}"


def commit() -> str:
    """Of the checkout that the package lies in."""
    root = Path(ma2mi.__file__).parents[2]
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return shown.stdout.strip() or "no git checkout"


def verdicts(table: Table, domain: str) -> Iterator[str]:
    """The rows at few labelled subjects in words: better, worse, or what brings nothing."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "nothing": []}
    for row in table.rows:
        seeds = table.seeds_of(row)
        if not (row.against and seeds and domain in table.results[row.name][seeds[0]]):
            continue
        size = FEW if FEW in table.results[row.name][seeds[0]][domain] else 0
        test = compared(
            table.counts(row.name, domain, size, seeds),
            table.counts(row.against, domain, size, seeds),
        )
        word = "nothing" if test.p >= LEVEL else "better" if test.difference > 0 else "worse"
        found[word].append(f"{row.name} ({test.difference:+.3f} against {row.against})")
    for word, head in {
        "better": f"Better than what it is held against (p < {LEVEL})",
        "worse": f"Worse (p < {LEVEL})",
        "nothing": "Brings nothing that chance would not",
    }.items():
        yield f"- {head}: {'; '.join(found[word]) or 'none'}."


def aims(table: Table) -> Iterator[str]:
    """What MA2MI was to show at few labelled subjects, and whether it does."""
    rows = {row.name: row for row in table.rows if table.results[row.name]}
    for name in (OURS, BRIEF_NAME):
        for domain, against, least in AIMS:
            if name not in rows or against not in rows:
                continue
            seeds = table.seeds_of(replace(rows[name], against=against))
            there = [table.results[one] for one in (name, against)]
            if not seeds or any(domain not in own[min(own)] for own in there):
                continue
            size = FEW if FEW in there[0][seeds[0]][domain] else 0
            test = compared(*(table.counts(one, domain, size, seeds) for one in (name, against)))
            shown = test.difference >= least and test.p < AIM_P
            yield (
                f"| {name} | {domain} | {against} | {least:+.2f} | {test.difference:+.3f} "
                f"| {p_of(test.p)} | {'yes' if shown else 'no'} |"
            )


def missing(table: Table) -> str:
    """Rows without any result."""
    none = [row.name for row in table.rows if not table.results[row.name]]
    return f"Not measured yet: {'; '.join(none)}." if none else "Every row is measured."


def summary(table: Table) -> str:
    """All tables, and how they were made."""
    size = table.study.setup
    seeds = ", ".join(map(str, table.seeds))
    return "\n".join(
        [
            f"Commit {commit()}; {machine()}; seeds {seeds}, of which the tables tell how many "
            f"are measured; {table.study.cpu_s() / 60:.0f} minutes of one core, the data not "
            f"counted. {missing(table)}",
            "",
            f"### Synthetic subjects ({size.micro}, {size.clips} micro-expressions each)",
            "",
            *table.lines("synthetic"),
            "",
            f"### Rendered heads ({size.heads}, {size.clips} micro-expressions each)",
            "",
            *table.lines("rendered"),
            "",
            f"### What each pre-training reached ({size.macro} subjects, a fifth held out)",
            "",
            *table.learned(),
            "",
            f"### What was to be shown at {FEW} labelled subjects, p < {AIM_P}",
            "",
            "| row | subjects | against | at least | measured | p | shown |",
            "|---|---|---|---|---|---|---|",
            *aims(table),
            "",
            f"### In words: synthetic subjects, {FEW} of them labelled",
            "",
            *verdicts(table, "synthetic"),
            "",
            f"### In words: rendered heads, {FEW} of them labelled",
            "",
            *verdicts(table, "rendered"),
        ]
    )


def readme(table: Table) -> str:
    """The page beside this script."""
    size = table.study.setup
    return INTRODUCTION.format(
        macro=size.macro, micro=size.micro, heads=size.heads, clips=size.clips,
        few=FEW, draws=DRAWS, short=SHORT, components=COMPONENTS, batch=BATCH,
    ) + f"\n{summary(table)}\n"  # fmt: skip


INTRODUCTION = """\
# What MA2MI brings

```sh
python benchmarks/ma2mi/ablate.py --jobs 2            # goes on if killed; --full adds rows
python benchmarks/ma2mi/ablate.py --jobs 2 --readme   # writes this page
```

Three parts that share no subject: {macro} synthetic subjects in macro video (30 fps, H.264; {clips}
of each, 100 of these videos are learned from unless a row says otherwise), {micro} synthetic
subjects with {clips} micro-expressions each (0.2 to 0.7 px of a 224 px crop, 200 fps), and {heads}
rendered heads (`synthesis/head_video.py`: other geometry, skin, light and shapes of the action
units) with {clips} each, of the same size. All are tracked and measured as a user's video is.

The network (`miacnet-tiny`, 112 px) is frozen; the product's ridge reads its grid, mirrored views
added, and chooses its strength on the labelled subjects alone. Leave one subject out, three
classes: with all other subjects labelled, or with few (the same {draws} draws of them for every
row). UF1 is the mean over seeds and draws, in brackets the 95 % interval by bootstrap over
subjects. Each row is held against a named one: difference and p by paired permutation over
subjects, whose results of all seeds and draws are swapped together; p is not corrected for the
number of rows. "random weights" is the same network untrained under the same ridge.

`flow-pca` takes its components from the labelled subjects; "of late movements", from the
{components} principal axes of the movements that MA2MI learns from, under the ridge; `pixels-rbf`
is a kernel ridge on the flow. Rows of {short} steps are for comparison with each other, and under
fewer seeds unless `--full`; the others took 300 steps of {batch} pairs. "units" and "subject" are
the probe's (`training/probe.py`): area under the ROC curve of a ridge on synthetic action units,
and how often the code names the subject, which should be within 0.05 of chance. `zero` learned with
labels, from synthetic subjects and rendered heads of other seeds.
"""
