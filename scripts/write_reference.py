"""Writes docs/reference/ and docs/datasets.md from the code; a test fails where they are stale.

python scripts/write_reference.py
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING
from functools import cached_property
from pathlib import Path
from typing import Any

import typer.main

import ma2mi
from ma2mi.cli import app
from ma2mi.datasets.page import markdown_page
from ma2mi.evaluation.labels import LABEL_SETS
from ma2mi.evaluation.metrics import METRICS
from ma2mi.evaluation.protocols import PROTOCOLS
from ma2mi.models.catalog import MODELS, startable

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MADE = "Made by `python scripts/write_reference.py` from the code.\n\n"
LINE = 88  # characters of a signature in one line
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}


def pages() -> dict[Path, str]:
    """What belongs in each file that is written here."""
    folder = ROOT / "docs" / "reference"
    return {
        folder / "commands.md": "# Commands\n\n" + MADE + "\n".join(_commands()),
        folder / "names.md": "# Names that options take\n\n" + MADE + "\n".join(_names()),
        folder / "python.md": "# Python\n\n" + MADE + "\n".join(_front_door()),
        folder / "settings.md": "# Settings\n\n" + MADE + "\n".join(_all_settings()),
        ROOT / "docs" / "datasets.md": markdown_page(),
    }


def _cell(text: object) -> str:
    return _plain(" ".join(str(text).split())).replace("|", "\\|")


def _plain(text: str) -> str:
    """Markdown of a docstring's reStructuredText: ``code`` and :func:`ma2mi.analyze`."""
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text).replace("``", "`")


def _row(*cells: object) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _paragraph(owner: object) -> str:
    """The first paragraph of a docstring."""
    return _plain(" ".join((inspect.getdoc(owner) or "").split("\n\n")[0].split()))


# Commands


def _leaves(group: Any, words: str) -> Iterator[tuple[str, Any, Any]]:
    context = group.make_context(words, [], resilient_parsing=True)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{words} {name}")
        elif not command.hidden:
            yield f"{words} {name}", command, context


def commands() -> dict[str, Any]:
    """The words that call each command, such as "ma2mi data fake", and the command."""
    return {words: command for words, command, _ in _leaves(typer.main.get_command(app), "ma2mi")}


def _commands() -> Iterator[str]:
    yield (
        "Exit codes: 0 done; 2 a wrong call, in one line; 3 done but for the inputs listed (or an "
        "audit that fails, or a part that is missing); 130 interrupted.\n"
    )
    group = typer.main.get_command(app)
    every = group.make_context("ma2mi", [], resilient_parsing=True)
    yield "## Options of every command\n\n| option | meaning |\n|---|---|"
    for parameter in group.params:
        name, text = parameter.get_help_record(every) or ("", "")
        yield _row(f"`{name}`", text.replace("  [", " ["))
    yield ""
    for words, command, parent in _leaves(group, "ma2mi"):
        context = command.make_context(words, [], parent=parent, resilient_parsing=True)
        yield f"## {words}\n\n{(command.help or '').strip()}\n"
        records = [p.get_help_record(context) for p in command.params if not p.hidden]
        # typer's own options (--help) are no parameters of a command.
        if records := [record for record in records if record]:
            yield "| option | meaning |\n|---|---|"
            yield from (_row(f"`{name}`", text.replace("  [", " [")) for name, text in records)
            yield ""
        if command.epilog:
            yield command.epilog.strip() + "\n"


# Names


def _names() -> Iterator[str]:
    yield "## Networks\n\n`--model` of `benchmark` and `pretrain`; `build_model` in Python.\n"
    yield "| name | settings |\n|---|---|"
    for name in sorted(startable()):
        build = MODELS[name]
        parameters = inspect.signature(build).parameters
        known = getattr(build, "__kwdefaults__", None) or {
            key: p.default for key, p in parameters.items() if p.default is not p.empty
        }
        yield _row(f"`{name}`", ", ".join(f"`{k}={_value(v)}`" for k, v in known.items()))
    yield "\n## Protocols\n\n`--protocol` of `benchmark`.\n"
    yield "| name | is | classes | metrics |\n|---|---|---|---|"
    for name, protocol in sorted(PROTOCOLS.items()):
        classes = ", ".join(protocol.classes) or "those given"
        yield _row(f"`{name}`", protocol.source, classes, ", ".join(protocol.metrics))
    yield "\n## Label sets\n\nA word that none of them knows gets a class by `--label`.\n"
    yield "| name | words of each class | dropped |\n|---|---|---|"
    for name, labels in sorted(LABEL_SETS.items()):
        words: dict[str | None, list[str]] = {}
        for word, kind in labels.mapping.items():
            words.setdefault(kind, []).append(word)
        kinds = (f"{kind}: {', '.join(words.get(kind, ()))}" for kind in labels.classes)
        yield _row(f"`{name}`", "; ".join(kinds), ", ".join(words.get(None, ())))
    yield "\n## Metrics\n\nOf pooled predictions; `scores.json` holds those of the protocol.\n"
    yield "| name | is |\n|---|---|"
    for name, metric in METRICS.items():
        yield _row(f"`{name}`", _paragraph(metric))
    yield ""


# Python


def _value(value: object) -> str:
    """A default as it would be typed, without addresses."""
    if inspect.isroutine(value) or inspect.isclass(value):
        return value.__name__
    kind = type(value)
    if kind.__module__.startswith("ma2mi"):
        return f"{kind.__name__}()"
    return repr(value)


def signature(name: str, thing: Any) -> str:
    """``name(parameter: type = default, ...) -> type``, one parameter a line where it is long."""
    try:
        found = inspect.signature(thing)
    except ValueError:  # an exception's __init__ is in C
        return name
    words, starred = [], False
    for p in found.parameters.values():
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            words.append("*")
        starred |= p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        text = f"{stars}{p.name}"
        if p.annotation is not p.empty:
            text += f": {_annotation(p.annotation)}"
        if p.default is not p.empty:
            text += f" = {_value(p.default)}"
        words.append(text)
    end = ")"
    if found.return_annotation not in (found.empty, None, "None"):
        end += f" -> {_annotation(found.return_annotation)}"
    line = f"{name}({', '.join(words)}{end}"
    if len(line) <= LINE:
        return line
    return "\n".join((f"{name}(", *(f"    {word}," for word in words), end))


def _annotation(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _front_door() -> Iterator[str]:
    yield (
        "What `import ma2mi` offers; everything else may change with any release. "
        "`help(ma2mi.analyze)` shows arguments, units and errors in full.\n"
    )
    for name in sorted(ma2mi.__all__, key=str.lower):
        thing = getattr(ma2mi, name)
        if not callable(thing):
            yield (
                f"## {name}\n\n`{_value(thing)}`\n"
                if name != "__version__"
                else ("## \\_\\_version\\_\\_\n\nThe version, a string.\n")
            )
            continue
        yield f"## {name}\n\n{_paragraph(thing)}\n"
        yield f"```text\n{signature(name, thing)}\n```\n"
        if inspect.isclass(thing):
            yield from _members(thing)


def _members(kind: type) -> Iterator[str]:
    """A line for each public method and property that has a docstring of its own."""
    found = []
    for name, member in sorted(vars(kind).items()):
        if name.startswith("_"):
            continue
        inner = getattr(member, "__func__", member)
        if isinstance(member, property | cached_property):
            found.append(f"- `{name}`: {_paragraph(member)}".removesuffix(": "))
        elif inspect.isfunction(inner) and inner.__doc__:
            found.append(f"- `{name}()`: {_paragraph(inner)}")
    if found:
        yield "\n".join(found) + "\n"


# Settings


def settings_classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """(module, class as written) of everything named ``...Settings``, in the order of modules."""
    for path in sorted((SOURCE / "ma2mi").rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                yield module.removesuffix(".__init__"), node


def meanings(docstring: str) -> dict[str, str]:
    """Name to text of the entries below "Args:"; "a, b: text" counts for both."""
    found: dict[str, str] = {}
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", docstring + "\n", re.MULTILINE)
    for entry in re.split(r"^    (?=\w)", section[1] if section else "", flags=re.MULTILINE):
        names, _, text = entry.partition(":")
        for name in names.split(","):
            found[name.strip()] = " ".join(text.split())
    return found


def fields_of(module: str, node: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    """(name, type with its limits, default, meaning) of each field."""
    kind = getattr(importlib.import_module(module), node.name)
    known = meanings(inspect.getdoc(kind) or "")
    for line in node.body:
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)):
            continue
        name = line.target.id
        if name == "model_config" or ast.unparse(line.annotation).startswith("ClassVar"):
            continue
        yield name, _type(line), _default(kind, name), known.get(name, "")


def _type(line: ast.AnnAssign) -> str:
    """An annotation as it is written, with the limits of its ``Field``."""
    annotation, value = line.annotation, line.value
    limits = []
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        assert isinstance(annotation.slice, ast.Tuple)
        annotation, value = annotation.slice.elts
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "Field":
        limits = [
            f"{SIGNS[k.arg]} {ast.unparse(k.value)}" for k in value.keywords if k.arg in SIGNS
        ]
    return ", ".join((ast.unparse(annotation), *limits))


def _default(kind: Any, name: str) -> str:
    if hasattr(kind, "model_fields"):
        field = kind.model_fields[name]
        return (
            "required"
            if field.is_required()
            else _value(field.get_default(call_default_factory=True))
        )
    field = kind.__dataclass_fields__[name]
    if field.default_factory is not MISSING:
        return _value(field.default_factory())
    return "required" if field.default is MISSING else _value(field.default)


def _all_settings() -> Iterator[str]:
    yield (
        "Every setting with its default. A name ends in its unit (`_s` seconds, `_px` pixels, "
        "`_deg` degrees). Unknown names and impossible values are refused; the whole tree is "
        "written beside every result.\n"
    )
    for module, node in settings_classes():
        kind = getattr(importlib.import_module(module), node.name)
        yield f"## {node.name}\n\n`{module}`. {_paragraph(kind)}\n"
        yield "| field | type | default | meaning |\n|---|---|---|---|"
        for name, annotation, default, meaning in fields_of(module, node):
            yield _row(f"`{name}`", f"`{annotation}`", f"`{default}`", meaning)
        yield ""


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(path.relative_to(ROOT))
