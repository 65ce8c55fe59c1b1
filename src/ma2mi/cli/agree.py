"""``ma2mi agree``: how well two or more coders agree on what they marked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.evaluation.agreement import Coding


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi agree anna.eaf ben.eaf`, "
        "`ma2mi agree anna=coding/anna ben=coding/ben machine=results --out agreement`"
    )(agree)


def agree(
    coders: list[str] = typer.Argument(
        ...,
        help="A file of ELAN, BORIS, BIDS or a table for each coder, a folder of them, or results "
        "of `ma2mi analyze`; NAME=PATH names the coder.",
    ),
    iou: float = typer.Option(
        0.5, help="Least intersection over union of two events that are one; higher matches fewer."
    ),
    tolerance_ms: float = typer.Option(
        None, help="Instead: onset and offset may differ by so many milliseconds, each."
    ),
    kinds: str = typer.Option("micro,macro", help="Kinds of events that count, with commas."),
    layers: str = typer.Option("", help="Tiers or categories that count, with commas; empty: all."),
    fps: float = typer.Option(100.0, help="Frames per second, for agreement per frame."),
    lengths: Path = typer.Option(
        None, help="Folder of the videos, for their lengths. Default: to the last event."
    ),
    out: Path = typer.Option(None, help="Also write agreement.json, matched.csv and curve.png."),
) -> None:
    """Compare what coders marked: kappa, alpha, reliability, differences in time, each unit.

    Events of two coders match one to one. Intervals are over recordings.
    """
    from ma2mi.cli.settings import parse
    from ma2mi.evaluation.agreement import Coding, compare_coders, frame_alpha
    from ma2mi.evaluation.coded_events import MatchSettings
    from ma2mi.formats.codings import read_coding
    from ma2mi.formats.findings import Finding
    from ma2mi.report.agreement import agreement_text

    tolerance_s = None if tolerance_ms is None else tolerance_ms / 1000
    step_s = 1 / fps if fps > 0 else 0.0
    settings = parse(MatchSettings, {"iou": iou, "tolerance_s": tolerance_s, "step_s": step_s})
    faults: list[Finding] = []
    codings = [
        Coding(name, read_coding(path, kinds=_words(kinds), layers=_words(layers), faults=faults))
        for name, path in map(_named, coders)
    ]
    codings = _one_recording(codings)
    known = _lengths(lengths, codings) if lengths else {}
    pairs = compare_coders(codings, settings, lengths_s=known)
    for pair in pairs:
        console.out.print(f"{agreement_text(pair, settings)}\n", markup=False)
    if len(codings) > 2:
        alpha = frame_alpha(codings, settings, lengths_s=known)
        console.out.print(f"Krippendorff's alpha of all {len(codings)} coders, frames: {alpha:.3f}")
    if out is not None:
        from ma2mi.report.agreement import write_agreement

        write_agreement(pairs, codings, settings, out)
        console.out.print(f"written: {out}")
    failures = [str(one) for one in faults if one.severity == "error"]
    console.list_failures(failures)
    console.finish(failures)


def _named(text: str) -> tuple[str, Path]:
    """Coder and path of NAME=PATH, or of a path, whose name is the coder's."""
    from ma2mi.errors import SettingsError

    name, sign, path = text.partition("=")
    if not sign or "/" in name or Path(text).exists():
        name, path = Path(text).name.split(".")[0], text
    if not Path(path).exists():
        raise SettingsError("is not there", where=path, hint="Name a file or a folder")
    return name or path, Path(path)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _one_recording(codings: list[Coding]) -> list[Coding]:
    """Coders who marked one recording each mean the same one, however they call it."""
    from ma2mi.evaluation.agreement import Coding

    names = [list(coding.recordings) for coding in codings]
    if any(len(one) != 1 for one in names) or len({one[0] for one in names}) == 1:
        return codings
    console.out.print(f"taken as one recording: {', '.join(one[0] for one in names)}")
    return [
        Coding(coding.coder, {names[0][0]: next(iter(coding.recordings.values()))})
        for coding in codings
    ]


def _lengths(folder: Path, codings: list[Coding]) -> dict[str, float]:
    """Recording to the length of its video, as far as the folder holds it."""
    from ma2mi.errors import SettingsError
    from ma2mi.video.listing import list_videos
    from ma2mi.video.times import file_length

    if not folder.is_dir():
        raise SettingsError("is no folder", where=f"--lengths {folder}", hint="Name a folder")
    wanted = {name for coding in codings for name in coding.recordings}
    found = {path.stem.lower(): path for path in list_videos(folder)}
    measured = {name: file_length(found[name]) for name in sorted(wanted & found.keys())}
    return {name: float(length) for name, length in measured.items() if length is not None}
