"""``ma2mi prepare``: crops of faces, cut once and kept, with what a person needs to judge them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.clips.prepare import Prepared
    from ma2mi.clips.store import ClipStore
    from ma2mi.records import Expression


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi prepare casme2 --root DIR --out runs/clips`, "
        "`ma2mi prepare my_videos --out clips --recipe head`"
    )(prepare)


def prepare(
    source: str = typer.Argument(..., help="A folder of videos, or the name of a corpus."),
    out: Path = typer.Option(..., help="Where the clips go; what is there is kept."),
    root: Path = typer.Option(None, help="Where the corpus lies; synthetic ones are made."),
    layout: str = typer.Option("", help="One of the corpus' layouts; the first there if empty."),
    repairs: bool = typer.Option(True, help="Apply the known repairs of its sheets."),
    frame_rate: Fraction = typer.Option(
        None,
        parser=console.frame_rate,
        metavar="RATE",
        help="Frames per second of folders of frames.",
    ),
    recipe: str = typer.Option("face", help="How faces are cropped: face, head or as-is."),
    size: int = typer.Option(128, min=32, max=1024, help="Side of the crops in px."),
    margin: float = typer.Option(None, help="Added on each side, as a share of the side."),
    flow: str = typer.Option(None, help="By what movement is measured for the quality table."),
    jobs: int = typer.Option(-1, help="Processes; -1 is one a core."),
) -> None:
    """Find faces, align them, and store the crops: marked expressions, or seconds of video.

    Beside the clips, in OUT/SOURCE-RECIPE-SIZE: contact sheets of all crops, a table of their
    quality, and what failed. Killed, the same command goes on.
    """
    from ma2mi.cli import steps
    from ma2mi.clips.prepare import prepare_expressions, prepare_recordings
    from ma2mi.clips.store import ClipStore, find_recipe
    from ma2mi.datasets import CORPORA
    from ma2mi.datasets.folder import list_recordings
    from ma2mi.datasets.megc2019_flow import Megc2019Flow
    from ma2mi.errors import SettingsError

    changes = {"size": size, "margin": margin, "flow": flow}
    chosen = find_recipe(recipe, **{k: v for k, v in changes.items() if v is not None})
    store = ClipStore(out, chosen)
    marked: list[Expression] = []
    lost: list[str] = []
    if source in CORPORA or root is not None or layout or not repairs:
        corpus = steps.find_corpus(source, root, out, jobs, layout=layout, repairs=repairs)
        if isinstance(corpus, Megc2019Flow):
            raise SettingsError(
                "holds flow images, which are prepared already",
                where=source,
                cure="Give it to ma2mi benchmark as it is",
            )
        marked, lost = steps.read_expressions(corpus)
        recordings = corpus.recordings()
    else:
        recordings = list_recordings(source, fps=frame_rate)
    with console.progress("Preparing") as tick:
        if marked or lost:
            prepared = prepare_expressions(marked, store, jobs=jobs, hook=tick)
        else:
            prepared = prepare_recordings(recordings, store, jobs=jobs, hook=tick)
    keys, failed = steps.keys_and_failures(prepared, store, lost)
    sheets = out / f"{Path(source).resolve().name}-{chosen.name}-{chosen.size}"
    _write_sheets(sheets, store, prepared, failed)
    console.out.print(f"\n{len(keys)} clips in {store.folder}")
    console.out.print(f"contact sheets, quality.csv, failures.txt in {sheets}")
    console.list_failures(failed)
    console.finish(failed)


def _write_sheets(
    folder: Path, store: ClipStore, prepared: Sequence[Prepared], failures: Sequence[str]
) -> None:
    from ma2mi.clips.quality import COLUMNS
    from ma2mi.files import replace_file
    from ma2mi.report.contact_sheet import PER_PAGE, draw_pages

    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(row) for one in prepared for row in one.quality]
    replace_file(folder / "quality.csv", _csv(COLUMNS, [list(row.values()) for row in rows]))
    dictionary = [[column, *about] for column, about in COLUMNS.items()]
    replace_file(folder / "quality-columns.csv", _csv(("column", "unit", "meaning"), dictionary))
    replace_file(folder / "failures.txt", "".join(f"{line}\n" for line in failures).encode())
    replace_file(folder / "recipe.json", store.recipe.model_dump_json(indent=2).encode())
    for old in folder.glob("contact-*.png"):
        old.unlink()
    with console.progress("Drawing contact sheets") as tick:
        crops = ((row["key"], store.read_first(row["key"])) for row in rows)
        for number, page in enumerate(draw_pages(crops), 1):
            replace_file(folder / f"contact-{number:03d}.png", page)
            tick(min(number * PER_PAGE, len(rows)), len(rows))


def _csv(head: Iterable[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([list(head), *rows])
    return text.getvalue().encode()
