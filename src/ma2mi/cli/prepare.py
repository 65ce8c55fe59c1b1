"""``ma2mi prepare``: crops of faces, cut once and kept."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi prepare my_videos --out clips`, "
        "`ma2mi prepare manifest --root my_study --out clips`"
    )(prepare)


def prepare(
    source: str = typer.Argument(..., help="A folder of videos, or the name of a corpus."),
    out: Path = typer.Option(..., help="Where the clips go; what is there is kept."),
    root: Path = typer.Option(None, help="Where the corpus lies; synthetic ones are made."),
    frame_rate: Fraction = typer.Option(
        None,
        parser=console.frame_rate,
        metavar="RATE",
        help="Frames per second of folders of frames.",
    ),
    size: int = typer.Option(128, min=32, help="Side of the crops in px."),
    jobs: int = typer.Option(-1, help="Processes; -1 is one a core."),
) -> None:
    """Find faces, align them, and store the crops: marked expressions, or seconds of video."""
    from ma2mi.cli import steps
    from ma2mi.clips.store import ClipStore, Recipe
    from ma2mi.datasets import CORPORA
    from ma2mi.datasets.folder import list_recordings

    store = ClipStore(out, Recipe(size=size))
    if source in CORPORA:
        corpus = steps.find_corpus(source, root, out, jobs)
        marked = corpus.expressions()
        keys, failures = (
            steps.cut_expressions(marked, store, jobs)
            if marked
            else steps.cut_recordings(corpus.recordings(), store, jobs)
        )
    else:
        keys, failures = steps.cut_recordings(list_recordings(source, fps=frame_rate), store, jobs)
    console.out.print(f"\n{len(keys)} clips in {store.folder}")
    console.finish(failures)
