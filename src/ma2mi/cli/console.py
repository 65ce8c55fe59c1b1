"""What a user sees while work goes on: progress, tables, and what failed."""

from __future__ import annotations

import logging
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import rich.progress
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ma2mi.errors import SettingsError
from ma2mi.progress import OnProgress, Progress

FAILED = 3
#: Help of ``--track``, which several commands have.
TRACK = (
    "Also track the run by mlflow or wandb, below its folder unless MLFLOW_TRACKING_URI or "
    "WANDB_MODE say otherwise; may be given again."
)
#: No camera is faster; a rate above it is a slip of the finger.
FASTEST_FPS = 1_000_000
#: Eleven days, longer than any recording.
LONGEST_S = 1_000_000.0
_RATE = re.compile(r"\d{1,9}(\.\d{1,9})?(/\d{1,9})?", re.ASCII)
#: What rearranges the rest of a line when it is shown; a name has no use for it.
_REARRANGE = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str, *, keep: str = "") -> str:
    """The text on one line, with whatever would steer a terminal or break the line as an escape.

    Args:
        keep: control characters that stay.

    Example:
        >>> visible("a\\x1b[31mb\\n.mp4")
        'a\\\\x1b[31mb\\\\n.mp4'
    """
    return "".join(
        ascii(c)[1:-1]
        if c not in keep and (unicodedata.category(c) in ("Cc", "Cs") or c in _REARRANGE)
        else c
        for c in text
    )


class _Terminal(Console):
    """A console that shows text as it is: names of files are no markup and steer no terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        shown = (visible(one, keep="\n\t") if isinstance(one, str) else one for one in objects)
        super().print(*shown, **options)


# The other processes of a distributed run stay silent.
out = _Terminal(
    markup=False,
    emoji=False,
    highlight=False,
    soft_wrap=True,
    quiet=os.environ.get("LOCAL_RANK", "0") != "0",
)


#: What the steps of long work are called beside their bars.
STEPS = {
    "render": "Rendering subjects",
    "prepare": "Preparing clips",
    "pairs": "Measuring movement",
    "check": "Checking recordings",
    "pretrain": "Pre-training (MA2MI)",
    "adapt": "Adapting (MA2MI)",
}


@contextmanager
def progress(title: str = "") -> Iterator[OnProgress]:
    """A bar that moves with what it is called with; without a title, a bar for each step."""
    bar = rich.progress.Progress(
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=out,
    )
    with bar:
        tasks = {title: bar.add_task(visible(title), total=None)} if title else {}

        def tick(now: Progress) -> None:
            name = title or STEPS.get(now.step, now.step)
            if name not in tasks:
                tasks[name] = bar.add_task(visible(name), total=None)
            bar.update(tasks[name], completed=now.done, total=now.total)

        yield tick


def frame_rate(text: str) -> Fraction:
    """An option's value such as "200" or "30000/1001", above 0 and at most ``FASTEST_FPS``."""
    # Fraction alone would compute 1e99999999 digit by digit.
    known = _RATE.fullmatch(text.strip())
    above, _, below = text.partition("/")
    rate = Fraction(above) / Fraction(below or 1) if known and Fraction(below or 1) else Fraction(0)
    if not 0 < rate <= FASTEST_FPS:
        raise typer.BadParameter(f"{text!r} is not a frame rate such as 200 or 30000/1001")
    return rate


def stretch(text: str) -> tuple[float, float]:
    """An option's value such as "0-8.5": from and to in seconds, the second larger."""
    try:
        start, end = map(float, text.split("-"))
    except ValueError:
        start = end = math.nan
    if not 0 <= start < end <= LONGEST_S:
        raise typer.BadParameter(f"{text!r} is not a stretch in seconds such as 0-8.5")
    return start, end


def new_file(path: Path) -> Path:
    """A file that is written at the end: what would keep it from being is said before the work.

    Raises:
        SettingsError: a folder stands there, or a file where its folder is needed.
    """
    above = next((parent for parent in path.parents if parent.exists()), path.parent)
    if path.is_dir():
        raise SettingsError("is a folder", where=path, hint="Name a file in it")
    if above.exists() and not above.is_dir():
        raise SettingsError("is a file where a folder is needed", where=above)
    if above.exists() and not os.access(above, os.W_OK):
        raise SettingsError("nothing may be written here", where=above, hint="Name another folder")
    return path


class _Lines(logging.Handler):
    """Shows what the package logs, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        out.print(record.getMessage(), markup=False)


@contextmanager
def shown_log() -> Iterator[None]:
    """While it lasts, what is logged as "ma2mi" is shown; afterwards logging is as it was."""
    log = logging.getLogger("ma2mi")
    lines, level = _Lines(), log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(level)


def list_failures(failures: Sequence[str]) -> None:
    """Name what could not be done, one line each."""
    if failures:
        out.print(f"\n{len(failures)} could not be used:", style="yellow")
        for line in failures:
            out.print(f"  {visible(line)}")


def finish(failures: Sequence[str]) -> None:
    """End with exit code 3 if anything failed on the way."""
    if failures:
        raise typer.Exit(FAILED)
