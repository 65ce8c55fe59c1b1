"""Settings from what a user typed, and values that no option means."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ma2mi.cli.configuration import with_changes
from ma2mi.errors import SettingsError

Settings = TypeVar("Settings", bound=BaseModel)
Command = Callable[..., None]

#: Larger whole numbers are slips: no seed that numpy's old generators take, and no count, is one.
LARGEST = 2**32 - 1
LARGEST_REAL = 1e9
#: More processes than this bring any machine down.
MOST_JOBS = 1024


def parse(kind: type[Settings], values: dict[str, Any]) -> Settings:
    """Settings from plain values.

    Raises:
        SettingsError: an unknown name or an impossible value.
    """
    try:
        return kind.model_validate(with_changes(values, list(kind.model_fields)))
    except ValidationError as error:
        first = error.errors()[0]
        names = ".".join(str(part) for part in first["loc"])
        given = "" if isinstance(first["input"], dict) else f", given {first['input']!r}"
        what = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{what}{given}", where=f"setting {names}" if names else "") from error


def checked(command: Command) -> Command:
    """The command, which refuses what no option means before it begins to work.

    Refused are infinities, NaN, numbers of another magnitude than anything here, no processes,
    seeds below 0, and NUL in a path or word.

    Raises:
        SettingsError: names the option.
    """

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, value in values.items():
            for one in value if isinstance(value, list | tuple) else (value,):
                what = _impossible(name, one)
                if what:
                    raise SettingsError(what, where=f"--{name.replace('_', '-')}")
        command(**values)

    return run


def _impossible(name: str, value: object) -> str:
    """Why no option may be this; "" if it may."""
    if isinstance(value, bool):
        return ""
    if name == "jobs" and isinstance(value, int) and not (value == -1 or 1 <= value <= MOST_JOBS):
        return f"{value} processes. Give 1 to {MOST_JOBS}, or -1 for one a core"
    if name == "seed" and isinstance(value, int) and value < 0:
        return f"{value} is below 0"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a number to compute with"
    largest = LARGEST if isinstance(value, int) else LARGEST_REAL
    if isinstance(value, int | float) and abs(value) > largest:
        return f"{value} is too large"
    if isinstance(value, str | Path) and "\0" in str(value):
        return "a NUL character is in no name"
    return ""


def refuse_empty(words: Sequence[str], commands: Iterable[Command]) -> None:
    """Refuse an empty word on the command line: a variable of the shell that is not set, mostly.

    An empty path would be the folder that the user stands in.

    Args:
        words: of the command line.
        commands: what is behind it; options whose default is empty take an empty word.

    Raises:
        SettingsError: names the option before it.
    """
    may = {
        f"--{name.replace('_', '-')}"
        for command in commands
        for name, option in inspect.signature(command).parameters.items()
        if getattr(option.default, "default", None) == ""
    }
    for before, word in pairwise(("", *words)):
        option, equals, value = word.partition("=")
        if equals and not value and option.startswith("--") and option not in may:
            raise SettingsError("is empty", where=option)
        if not word.strip() and before not in may:
            where = before if before.startswith("--") else "an argument"
            raise SettingsError("is empty", where=where)


def parse_aliases(words: Sequence[str]) -> dict[str, str]:
    """``["a/1=b/1"]`` as ``{"a/1": "b/1"}``.

    Raises:
        SettingsError: a word without "=", or with nothing on a side.
    """
    aliases = {}
    for word in words:
        name, _, other = word.partition("=")
        if not (name and other):
            raise SettingsError("is not NAME=NAME", where=f"--alias {word}")
        aliases[name] = other
    return aliases


def parse_labels(words: Sequence[str]) -> dict[str, str]:
    """``["other=", "tense=negative"]`` as ``{"other": "", "tense": "negative"}``.

    Raises:
        SettingsError: a word without "=", or with nothing before it.
    """
    labels = {}
    for word in words:
        name, equals, target = word.partition("=")
        if not (name and equals):
            raise SettingsError("is not WORD=CLASS", where=f"--label {word}")
        labels[name] = target
    return labels
