"""The command line: the one room that joins all others."""

from __future__ import annotations

import os
import sys
import warnings

import typer

import ma2mi
from ma2mi.cli import (
    adapt,
    analyze,
    benchmark,
    data,
    demo,
    doctor,
    explain,
    export,
    judge,
    prepare,
    pretrain,
    report,
)
from ma2mi.errors import Ma2miError

app = typer.Typer(
    name="ma2mi",
    help="Facial micro-expressions: MA2MI pre-training, MIACNet, benchmarks that cannot leak.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in (
    analyze,
    demo,
    doctor,
    data,
    prepare,
    pretrain,
    adapt,
    benchmark,
    report,
    judge,
    explain,
    export,
):
    command.register(app)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        print(ma2mi.__version__)
        raise typer.Exit


def main() -> None:
    """Run a command; a user's mistake ends in one line on stderr and exit code 2.

    Exit codes: 0 done, 2 a mistake, 3 done but for the inputs listed, 130 interrupted.
    """
    # Two OpenMP runtimes (torch, scikit-learn) spinning for work slow each other down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # joblib replaces a worker whose memory grew, as torch's does; nothing is lost, so say nothing.
    warnings.filterwarnings(
        "ignore", message="A worker stopped while some jobs", category=UserWarning
    )
    try:
        app()
    except Ma2miError as error:
        _stop(str(error), 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _stop(f"{where}{error.strerror or error}", 2)
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer turns Ctrl-C into an exit of its own.
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        _stop("interrupted; the same command goes on from here", 130)


def _stop(line: str, code: int) -> None:
    print(f"ma2mi: {line}", file=sys.stderr)
    sys.exit(code)
