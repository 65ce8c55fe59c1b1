"""ma2mi's commands in processes of their own, that a test may kill."""

from __future__ import annotations

import os
import subprocess
import sys


def start(*words: object) -> subprocess.Popen[str]:
    """A command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ma2mi.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str], timeout_s: float) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that ends without a traceback."""
    out, err = process.communicate(timeout=timeout_s)
    assert "Traceback" not in out + err, out + err
    return process.returncode, out, err
