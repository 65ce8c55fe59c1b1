"""The command line: the one room that joins all others."""

from __future__ import annotations

import errno
import functools
import inspect
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, get_origin

import typer

import ma2mi
from ma2mi.cli import (
    adapt,
    agree,
    analyze,
    audit,
    benchmark,
    compare,
    data,
    demo,
    doctor,
    explain,
    export,
    prepare,
    pretrain,
    report,
    review,
    score,
    train,
)
from ma2mi.cli.configuration import changed, configure
from ma2mi.cli.console import list_failures, shown_log, visible
from ma2mi.cli.settings import checked, refuse_empty
from ma2mi.environment import note_command
from ma2mi.errors import Ma2miError, store_error

#: Commands that keep what is finished, so that the same call goes on after Ctrl-C.
GO_ON = frozenset(
    ("adapt", "analyze", "benchmark", "demo", "explain", "prepare", "pretrain", "train")
)
WRONG_CALL, INTERRUPTED, UNEXPECTED = 2, 130, 1
#: What only goes wrong where something is written.
WRITING = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EEXIST, errno.ENAMETOOLONG, errno.EMFILE)
)
#: Set to anything, it shows where an unexpected error comes from.
TRACEBACK = "MA2MI_TRACEBACK"

# typer has carried a click of its own since 0.29, under another name.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]

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
    review,
    demo,
    doctor,
    data,
    prepare,
    pretrain,
    adapt,
    benchmark,
    train,
    report,
    audit,
    compare,
    agree,
    score,
    explain,
    export,
):
    command.register(app)


def commands(group: typer.Typer = app) -> Iterator[tuple[str, Any]]:
    """The words that call each command, such as "data fake", and how typer knows it."""
    for info in group.registered_commands:
        yield str(info.name or getattr(info.callback, "__name__", "")), info
    for inner in group.registered_groups:
        below = inner.typer_instance
        # A name that is given neither here nor there is typer's placeholder.
        name = next(n for n in (inner.name, below and below.info.name) if isinstance(n, str))
        for words, info in commands(below) if below else ():
            yield f"{name} {words}", info


def _guarded(words: str, command: Callable[..., None]) -> Callable[..., None]:
    """The command, whose values are checked first, and which says what an interruption leaves."""
    inner = checked(command)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        try:
            inner(**values)
        except KeyboardInterrupt:
            what = (
                "what is finished is kept, and the same command goes on from there"
                if words in GO_ON
                else "the same command begins anew"
            )
            _stop(f"interrupted; {what}", INTERRUPTED)

    return run


for words, info in commands():
    info.callback = _guarded(words, info.callback)


@app.callback(invoke_without_command=True)
def _every_command(
    version: bool = typer.Option(False, "--version", help="Print the version."),
    config: Path = typer.Option(
        None,
        help="TOML file of options of the command by their names, and of single settings in a "
        "table [settings]; may stand after the command.",
    ),
    change: list[str] = typer.Option(
        [],
        "--set",
        metavar="NAME=VALUE",
        help="A single setting, such as loop.lr=1e-3; may be given again, and after the command.",
    ),
) -> None:
    if version:
        print(ma2mi.__version__)
        raise typer.Exit


def main() -> None:
    """Run a command; a user's mistake ends in one line on stderr and exit code 2.

    Exit codes: 0 done, 2 a mistake, 3 done but for the inputs listed, 130 interrupted, 1 a fault
    of ma2mi.
    """
    # Two OpenMP runtimes (torch, scikit-learn) spinning for work slow each other down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A camera that is not there is an error of ours already.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    # A font cache that is built, a home that cannot be written: nothing that a user must know.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        # Names need not be Unicode, and a terminal need not show all that is.
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with warnings.catch_warnings():
        # joblib replaces a worker whose memory grew, as torch's does; nothing is lost.
        warnings.filterwarnings(
            "ignore", message="A worker stopped while some jobs", category=UserWarning
        )
        warnings.showwarning = _show_warning
        with shown_log():
            code = _run()
    sys.exit(code)


def _run() -> int:
    try:
        refuse_empty(sys.argv[1:], [info.callback for _, info in commands()])
        found = configure(sys.argv[1:], _options())
        note_command(sys.argv[1:])
        with changed(found.changes):
            done = app(
                found.words,
                standalone_mode=False,
                default_map=found.default_map,
                prog_name="ma2mi",
            )
        return int(done or 0)
    except Ma2miError as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        list_failures(error.details)
        _stop(str(error), WRONG_CALL)
    except _UsageError as error:
        # Without a command there is the help, on stdout, and nothing to say.
        helped = type(error).__name__ == "NoArgsIsHelpError"
        _stop("" if helped else " ".join(error.format_message().split()), WRONG_CALL)
    except OSError as error:
        named = isinstance(error.filename, str | bytes) and error.filename
        where = f"{os.fsdecode(named)}: " if named else ""
        hint = f". {store_error(error, '').hint}" if error.errno in WRITING else ""
        _stop(f"{where}{error.strerror or error}{hint}", WRONG_CALL)
    except ModuleNotFoundError as error:
        what = f"{error.name} is not installed" if error.name else str(error)
        _stop(f"{what}. `ma2mi doctor` says what is missing", WRONG_CALL)
    except MemoryError:
        _stop("the memory does not suffice. Work with fewer --jobs, or less at a time", WRONG_CALL)
    except (KeyboardInterrupt, typer.Abort):
        _stop("interrupted", INTERRUPTED)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        _stop(
            f"unexpected {type(error).__name__}: {error} ({place.filename}, line {place.lineno}). "
            f"Please report it, with what {TRACEBACK}=1 shows",
            UNEXPECTED,
        )
    return 0


def _options() -> dict[str, dict[str, bool]]:
    """Of every command the names of its options, and whether one may be given again."""
    return {
        words: {
            name: get_origin(option.annotation) is list
            for name, option in inspect.signature(info.callback, eval_str=True).parameters.items()
        }
        for words, info in commands()
    }


def _stop(line: str, code: int) -> None:
    if line:
        print(f"ma2mi: {visible(line)}", file=sys.stderr)
    sys.exit(code)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings as one line; those of libraries only if Python is asked for them (-W)."""
    if category.__module__.partition(".")[0] == "ma2mi":
        print(f"ma2mi: {visible(str(message))}", file=file or sys.stderr)
    elif sys.warnoptions:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        print(text, end="", file=file or sys.stderr)
