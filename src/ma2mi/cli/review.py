"""``ma2mi review``: a local page on which a person decides about the candidates."""

from __future__ import annotations

import getpass
from fractions import Fraction
from pathlib import Path

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi review results --coder anna`")(review)


def review(
    results: list[Path] = typer.Argument(
        ...,
        help="Results of `ma2mi analyze`, or folders of such; or videos without an analysis, for "
        "plain coding.",
    ),
    coder: str = typer.Option(
        None, help="Who decides; each coder sees their own decisions only. Default: the login name."
    ),
    videos: Path = typer.Option(
        None, help="Folder of the videos, if they are not where they were analyzed."
    ),
    store: Path = typer.Option(
        None, help="File of the decisions. Default: review.sqlite beside the results."
    ),
    frame_rate: Fraction = typer.Option(
        None,
        parser=console.frame_rate,
        metavar="RATE",
        help="Frames per second of folders of frames without an analysis.",
    ),
    port: int = typer.Option(0, min=0, max=65535, help="Port on 127.0.0.1; 0: any free one."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the browser."),
) -> None:
    """Open a page to see candidates frame by frame, decide, and add what was missed.

    Serves this machine only, and needs no internet. Every decision is on disk at once; the same
    command goes on where it was left. Ctrl-C ends it.
    """
    from ma2mi.errors import SettingsError
    from ma2mi.review.key_file import KeyFile
    from ma2mi.review.recordings import find_reviewed, open_stores
    from ma2mi.review.serve import listen, serve
    from ma2mi.review.server import ReviewServer

    name = (coder if coder is not None else _login()).strip()
    if not name or len(name) > 60 or not name.isprintable():
        raise SettingsError("is no name of a coder", where="--coder", hint="Up to 60 characters")
    if videos is not None and not videos.is_dir():
        raise SettingsError("is not a folder", where=f"--videos {videos}", hint="Check the path")
    found = find_reviewed(results, videos, frame_rate)
    listening = listen(port)
    open_stores(found, name, store)

    def say(address: str) -> None:
        stores = sorted({str(one.store.path) for one in found if one.store})
        kept = stores[0] if len(stores) == 1 else f"{len(stores)} files beside the results"
        console.out.print(f"reviewing as {name}; decisions are kept in {kept}")
        console.out.print(f"{address}\nCtrl-C ends it", soft_wrap=True)

    serve(ReviewServer(found, name, KeyFile()), listening, browser=browser, on_ready=say)
    for one in found:
        one.close()


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "coder"
