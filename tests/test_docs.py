"""Every command in the README and the docs is one that the program has; Python blocks parse."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from ma2mi.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(language):
    return [
        pytest.param(text, id=f"{page.name}-{i}")
        for page in PAGES
        for i, (name, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))
        if name == language
    ]


def commands(text):
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and Path(words[0]).name in ("ma2mi", "make"):
            yield words


@pytest.mark.parametrize("text", blocks("sh"))
def test_shell_blocks_call_what_there_is(text):
    called = list(commands(text))
    assert called
    group = typer.main.get_command(app)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, *words in called:
        if program == "make":
            assert set(words) <= targets
            continue
        name, *options = words
        command = group.commands[name]
        # Parses every option and its value; runs nothing.
        command.make_context(name, list(options))


@pytest.mark.parametrize("text", blocks("python"))
def test_python_blocks_run(text):
    ast.parse(text)
    exec(compile(text, "docs", "exec"), {})


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
