"""What a result was computed with: command line, commit, versions of libraries, machine."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ma2mi._version import __version__
from ma2mi.files import code_digest, replace_file

ENVIRONMENT = "environment.json"
#: Set by the command line for its own processes; empty where Python calls.
COMMAND = "_MA2MI_COMMAND"
#: Whatever may change a figure's last digits.
LIBRARIES = (
    "numpy",
    "scipy",
    "torch",
    "lightning",
    "scikit-learn",
    "opencv-contrib-python-headless",
    "av",
    "numba",
    "ai-edge-litert",
)


def write_environment(folder: Path, *, show_command: bool = True) -> None:
    """Write ``environment.json`` into a folder of results, unless it is there: what began it stays.

    It holds no clock: the same command on the same machine gives the same bytes.

    Args:
        folder: exists.
        show_command: False leaves the command line out, which may name videos.
    """
    if not (folder / ENVIRONMENT).exists():
        tree = environment()
        if not show_command:
            tree["command"] = ""
        replace_file(folder / ENVIRONMENT, json.dumps(tree, indent=2).encode())


def environment() -> dict[str, Any]:
    """Command line, version, commit, digest of the code, Python, libraries, system, processor."""
    return {
        "command": os.environ.get(COMMAND, ""),
        "version": __version__,
        "commit": code_commit(),
        "code": code_digest(),
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version_of(name))},
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def note_command(words: list[str]) -> None:
    """Let this process and those that it starts know the command line."""
    os.environ[COMMAND] = " ".join(["ma2mi", *map(_quoted, words)])


@cache
def code_commit() -> str | None:
    """The commit of the checkout that ma2mi runs from, with "-dirty" if changed; None elsewhere."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        shown = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # no git here, or a checkout without a commit
    return shown.stdout.strip()


@cache
def processor() -> str:
    """The processor's name, as well as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _quoted(word: str) -> str:
    shown = word.encode(sys.getfilesystemencoding(), "surrogateescape").decode("utf-8", "replace")
    return shlex.quote(shown.replace("\0", "\\0"))  # no environment holds a NUL
