"""What a person sees while work goes on: progress, tables, and what failed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# The other processes of a distributed run stay silent.
out = Console(highlight=False, soft_wrap=True, quiet=os.environ.get("LOCAL_RANK", "0") != "0")
FAILED = 3

Tick = Callable[[int, int], None]


@contextmanager
def progress(title: str) -> Iterator[Tick]:
    """A bar that is told (done, of how many), and a figure beside it if one is given."""
    bar = Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=out,
    )
    with bar:
        task = bar.add_task(title, total=None)

        def tick(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tick


def frame_rate(text: str) -> Fraction:
    """An option's value such as "200" or "30000/1001"."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise typer.BadParameter(f"{text!r} is no frame rate such as 200 or 30000/1001")
    return rate


def stretch(text: str) -> tuple[float, float]:
    """An option's value such as "0-8.5": from and to in seconds."""
    try:
        start, end = map(float, text.split("-"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no stretch in seconds such as 0-8.5") from None
    return start, end


def list_failures(failures: Sequence[str]) -> None:
    """Name what could not be done, one line each."""
    if failures:
        out.print(f"\n{len(failures)} could not be used:", style="yellow")
        for line in failures:
            out.print(f"  {line}", markup=False)


def finish(failures: Sequence[str]) -> None:
    """End with exit code 3 if anything failed on the way."""
    if failures:
        raise typer.Exit(FAILED)
