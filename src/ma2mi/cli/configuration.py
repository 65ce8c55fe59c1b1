"""Options besides the command line: a file (--config), single settings (--set), the environment.

Options of the command line go before those of the file, and these before the environment, where
``MA2MI_PRETRAIN_EPOCHS`` is ``ma2mi pretrain --epochs``. A single setting goes before any option.
"""

from __future__ import annotations

import importlib
import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ma2mi.errors import SettingsError

#: Options of the last version, which are taken for one more.
OLD_OPTIONS = {"--people": "--subjects", "--teacher": "--near-target-encoder"}
#: Settings behind each command, whose single values --set changes.
SETTINGS = {
    "analyze": ("ma2mi.analysis:AnalysisSettings",),
    "pretrain": (
        "ma2mi.training.pretrain_settings:PretrainSettings",
        "ma2mi.clips.pairs:PairSettings",
    ),
    "adapt": ("ma2mi.training.adapt:AdaptSettings", "ma2mi.clips.pairs:PairSettings"),
    "benchmark": ("ma2mi.clips.pairs:PairSettings",),
    "train": ("ma2mi.experiment.training:TrainSettings", "ma2mi.clips.pairs:PairSettings"),
    "explain": ("ma2mi.clips.pairs:PairSettings",),
}
#: Table of a file that holds what --set says.
TABLE = "settings"
#: No settings file is larger; more is another file.
LARGEST_BYTES = 1_000_000

_changes: ContextVar[Mapping[str, Any] | None] = ContextVar("changes", default=None)


@dataclass(frozen=True)
class Configuration:
    """What a call says besides its options.

    Args:
        words: of the command line without --config and --set, old options renamed.
        command: the command's words, such as "data fake".
        defaults: option name (with underscores) to value, from the file and the environment.
        changes: settings by their dotted names, such as {"loop.lr": 0.001}.
    """

    words: tuple[str, ...]
    command: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def default_map(self) -> dict[str, Any]:
        """The defaults as click takes them: a table in a table for each word of the command."""
        tree: dict[str, Any] = dict(self.defaults)
        for word in reversed(self.command.split()):
            tree = {word: tree}
        return tree


def configure(words: Sequence[str], options: Mapping[str, Mapping[str, bool]]) -> Configuration:
    """Read the configuration that a command line names.

    Args:
        words: of the command line, without the program.
        options: of every command the names of its options, and whether one may be given again:
            {"data fake": {"out": False, ...}, ...}.

    Raises:
        SettingsError: no such file, no TOML, or a name that the command does not know.
    """
    rest, files, pairs = _taken(words)
    command = max((c for c in options if rest[: len(c.split())] == c.split()), key=len, default="")
    known = options.get(command, {})
    defaults = _from_environment(command, known)
    changes: dict[str, Any] = {}
    for path in files:
        tree = _read(path)
        changes |= _flat(tree.pop(TABLE, {}), path)
        values = {name.replace("-", "_"): value for name, value in tree.items()}
        for name in values:
            _check(name, known, path, command)
        defaults |= values
        # As in the environment: an empty path would be the folder that the user stands in.
        defaults = {name: value for name, value in defaults.items() if value != ""}
    for name, value in defaults.items():
        if known[name] and isinstance(value, str):
            defaults[name] = [value]  # one word is a list of one
    changes |= dict(map(_pair, pairs))
    for name in changes:
        _check(name.partition(".")[0], _settings_of(command), f"--set {name}", command)
    return Configuration(tuple(rest), command, defaults, changes)


@contextmanager
def changed(changes: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, settings are made with these values."""
    token = _changes.set(changes)
    try:
        yield
    finally:
        _changes.reset(token)


def with_changes(values: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The values of a kind of settings, with what --set and the file say of its ``fields``."""
    made = dict(values)
    for name, value in (_changes.get() or {}).items():
        first, *others = name.split(".")
        if first not in fields:
            continue
        below, last = made, first
        for part in others:
            below[last] = _branch(below.get(last, {}), name)
            below, last = below[last], part
        below[last] = value
    return made


def _branch(tree: Any, name: str) -> dict[str, Any]:
    """A copy of the settings below which a dotted name goes on.

    Raises:
        SettingsError: a single value stands there.
    """
    if hasattr(tree, "model_dump"):
        return dict(tree.model_dump(exclude_unset=True))
    if not isinstance(tree, Mapping):
        raise SettingsError(
            f"{tree!r} is a single value and has nothing below it", where=f"setting {name}"
        )
    return dict(tree)


def _taken(words: Sequence[str]) -> tuple[list[str], list[Path], list[str]]:
    """The words without --config and --set, and what these say."""
    rest: list[str] = []
    taken: dict[str, list[str]] = {"--config": [], "--set": []}
    waiting = ""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if waiting:
            taken[waiting].append(word)
            waiting = ""
        elif word == "--":
            rest += words[place:]
            break
        elif name in taken and equals:
            taken[name].append(value)
        elif word in taken:
            waiting = word
        else:
            rest.append(OLD_OPTIONS.get(name, name) + equals + value)
    if waiting:
        raise SettingsError("needs a value", where=waiting)
    return rest, [Path(one) for one in taken["--config"]], taken["--set"]


def _from_environment(command: str, options: Iterable[str]) -> dict[str, Any]:
    """Options of the command that are set as, for example, MA2MI_PRETRAIN_EPOCHS."""
    start = f"MA2MI_{command.replace(' ', '_').upper()}_"
    found = {name: os.environ.get(start + name.upper(), "") for name in sorted(options)}
    return {name: value for name, value in found.items() if value} if command else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)  # a device has no end
        if len(content) > LARGEST_BYTES:
            raise SettingsError("is too large for settings", where=f"--config {path}")
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise SettingsError("is nested too deep for settings", where=f"--config {path}") from error
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"cannot be read as TOML: {what}", where=f"--config {path}") from error


def _flat(tree: object, path: Path, start: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise SettingsError(f"{TABLE} is not a table", where=path)
    found: dict[str, Any] = {}
    for name, value in tree.items():
        whole = f"{start}{name}"
        found |= _flat(value, path, f"{whole}.") if isinstance(value, dict) else {whole: value}
    return found


def _pair(text: str) -> tuple[str, Any]:
    """``loop.lr=1e-3`` as name and value; a value that is no TOML is text."""
    name, equals, value = text.partition("=")
    if not (equals and all(name.split("."))):
        raise SettingsError("is not NAME=VALUE", where=f"--set {text}", hint="Say loop.lr=1e-3")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return name, value


def _settings_of(command: str) -> frozenset[str]:
    names: set[str] = set()
    for place in SETTINGS.get(command, ()):
        module, _, kind = place.partition(":")
        names |= set(getattr(importlib.import_module(module), kind).model_fields)
    return frozenset(names)


def _check(name: str, known: Collection[str], where: object, command: str) -> None:
    if name not in known:
        close = get_close_matches(name, sorted(known), 1)
        hint = f"Known are: {', '.join(sorted(known))}" if known else "It has none"
        if not command:
            hint = "Name a command first, such as ma2mi pretrain"
        raise SettingsError(
            f"{name} is not a setting of {f'ma2mi {command}' if command else 'a command'}",
            where=where,
            hint=f"Did you mean {close[0]}?" if close else hint,
        )
