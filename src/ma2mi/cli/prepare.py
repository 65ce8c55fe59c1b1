"""``ma2mi prepare``: crops of faces, cut once and kept, with sheets to assess them by."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ma2mi.cli import console
from ma2mi.progress import Progress

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
    out: Path = typer.Option(..., help="Folder of the clips; finished ones are kept."),
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
    margin: float = typer.Option(
        None, help="Margin around the face on each side, as a share of the side."
    ),
    flow: str = typer.Option(None, help="Flow method of the movement in the quality table."),
    jobs: int = typer.Option(-1, help="Processes; -1: one per core."),
) -> None:
    """Find faces, align them, and store the crops: marked expressions, or seconds of video.

    Beside the clips, in OUT/SOURCE-RECIPE-SIZE: contact sheets of all crops, a table of their
    quality, and what failed. Where that folder holds another source's, eight digits are added.
    After a kill the same command continues.
    """
    from ma2mi.clips.prepare import prepare_expressions, prepare_recordings
    from ma2mi.clips.store import ClipStore, find_recipe
    from ma2mi.datasets import CORPORA
    from ma2mi.datasets.folder import list_recordings
    from ma2mi.errors import SettingsError
    from ma2mi.experiment.corpora import find_corpus, read_expressions
    from ma2mi.experiment.unlabelled import keys_and_failures

    changes = {"size": size, "margin": margin, "flow": flow}
    chosen = find_recipe(recipe, **{k: v for k, v in changes.items() if v is not None})
    store = ClipStore(out, chosen)
    title = f"{Path(source).resolve().name}-{chosen.name}-{chosen.size}"
    origin = _digits(str(Path(root or source).resolve()))
    sheets = _sheets_folder(out, title, origin)
    marked: list[Expression] = []
    lost: list[str] = []
    if source in CORPORA or root is not None or layout or not repairs:
        with console.progress() as tick:
            corpus = find_corpus(
                source,
                root,
                out,
                layout=layout,
                repairs=repairs,
                jobs=jobs,
                on_progress=tick,
            )
        if corpus.hands_out == "flow images":
            raise SettingsError(
                "holds flow images, which are prepared already",
                where=source,
                hint="Give it to ma2mi benchmark as it is",
            )
        marked, lost = read_expressions(corpus)
        recordings = corpus.recordings()
    else:
        recordings = list_recordings(source, fps=frame_rate)
    with console.progress("Preparing") as tick:
        if marked or lost:
            prepared = prepare_expressions(marked, store, jobs=jobs, on_progress=tick)
        else:
            prepared = prepare_recordings(recordings, store, jobs=jobs, on_progress=tick)
    keys, failed = keys_and_failures(prepared, store, lost)
    _write_sheets(sheets, origin, store, prepared, failed)
    console.out.print(f"\n{len(keys)} clips in {store.folder}")
    console.out.print(f"contact sheets, quality.csv, failures.txt in {sheets}")
    console.list_failures(failed)
    console.finish(failed)


#: In the folder of sheets: the digits of where the source lies.
ORIGIN = ".origin"
#: How long another process may take to write the same sheets.
WAIT_S = 600.0


def _digits(text: str) -> str:
    return hashlib.sha256(ascii(text).encode()).hexdigest()[:8]


def _sheets_folder(out: Path, title: str, origin: str) -> Path:
    """The folder that is free for the sheets of this source, or holds them already.

    Raises:
        StoreError: there is none; what users put into such folders is never replaced.
    """
    from ma2mi.errors import StoreError
    from ma2mi.files import file_name, look_into

    for name in (file_name(title), file_name(f"{title}-{origin}")):
        folder = out / name
        if not os.path.lexists(folder):
            return folder
        known = folder / ORIGIN
        if look_into(folder).replaceable and known.is_file() and known.read_text() == origin:
            return folder
    raise StoreError(
        "holds files that were not written here, or were changed since",
        where=folder,
        hint="Move it away, or choose another --out",
    )


def _write_sheets(
    folder: Path,
    origin: str,
    store: ClipStore,
    prepared: Sequence[Prepared],
    failures: Sequence[str],
) -> None:
    from ma2mi.clips.quality import COLUMNS
    from ma2mi.errors import store_error
    from ma2mi.files import hold, whole_folder
    from ma2mi.report.contact_sheet import PER_PAGE, draw_pages

    rows = [asdict(row) for one in prepared for row in one.quality]
    dictionary = [[column, *about] for column, about in COLUMNS.items()]
    tables = {
        "quality.csv": _csv(COLUMNS, [list(row.values()) for row in rows]),
        "quality-columns.csv": _csv(("column", "unit", "meaning"), dictionary),
        "failures.txt": _bytes("".join(f"{console.visible(line)}\n" for line in failures)),
        "recipe.json": store.recipe.model_dump_json(indent=2).encode(),
        ORIGIN: origin.encode(),
    }
    with (
        hold(folder, wait_s=WAIT_S),
        whole_folder(folder) as work,
        console.progress("Drawing contact sheets") as tick,
    ):
        crops = ((row["key"], store.read_first(row["key"])) for row in rows)
        try:
            for name, content in tables.items():
                (work / name).write_bytes(content)
            for number, page in enumerate(draw_pages(crops), 1):
                (work / f"contact-{number:03d}.png").write_bytes(page)
                done = min(number * PER_PAGE, len(rows))
                tick(Progress("sheets", done, len(rows)))
        except OSError as error:
            raise store_error(error, folder) from error


def _bytes(text: str) -> bytes:
    """Names of files need not be Unicode."""
    return text.encode(errors="backslashreplace")


def _csv(head: Iterable[str], rows: Iterable[Sequence[object]]) -> bytes:
    from ma2mi.formats.sheets import mask

    text = io.StringIO()
    cells = ([mask(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows([list(head), *cells])
    return _bytes(text.getvalue())
