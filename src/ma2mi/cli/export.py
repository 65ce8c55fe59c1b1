"""``ma2mi export``: a recognizer, or found events, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Write a recognizer or events for other programs.", no_args_is_help=True
    )
    group.callback(epilog="Example: `ma2mi export onnx --weights zero --out zero.onnx`")(_group)
    group.command(
        epilog="Examples: `ma2mi export onnx --weights zero --out zero.onnx`, "
        "`ma2mi export onnx --weights runs/mine --out mine.onnx --position`"
    )(onnx)
    group.command(
        epilog="Examples: `ma2mi export megc results --out spotted.csv`, "
        "`ma2mi export megc results --out strs.csv --task strs --subjects folder`"
    )(megc)
    app.add_typer(group, name="export")


def _group() -> None:
    """Write a recognizer or events for other programs."""


def onnx(
    out: Path = typer.Option(..., help="The file, such as zero.onnx."),
    weights: str = typer.Option("zero", help="zero, which ships with ma2mi, or a folder."),
    position: bool = typer.Option(
        False, "--position", help="Add the onset face as an input, for networks that use it."
    ),
) -> None:
    """Write an ONNX file, checked against torch, with labels and preprocessing inside."""
    from ma2mi.training.export import export_onnx
    from ma2mi.training.recognizer import load_model

    console.new_file(out)
    difference = export_onnx(load_model(weights), out, position=position)
    size = out.stat().st_size / 1e6
    console.out.print(f"onnxruntime agrees with torch to {difference:.1g}")
    console.out.print(f"file: {out} ({size:.1f} MB)")


def megc(
    results: list[Path] = typer.Argument(
        ..., help="Results of `ma2mi analyze`: folders of one video, or of many."
    ),
    out: Path = typer.Option(..., help="The table, such as spotted.csv."),
    task: Literal["spotting", "strs"] = typer.Option(
        "spotting", help="MEGC 2022's spotting, or spot-then-recognize of MEGC 2024 and 2025."
    ),
    subjects: Literal["video", "folder"] = typer.Option(
        "video", help="STRS: what holds one subject, a video or the folder that it lies in."
    ),
) -> None:
    """Write the events of analyses as a file of the Facial Micro-Expression Grand Challenge.

    Events are the micro and macro candidates; for STRS those with a class, and others are counted.
    """
    from ma2mi.errors import SettingsError
    from ma2mi.evaluation.files import write_megc2022, write_megc2024
    from ma2mi.formats.tables import ANALYSIS, read_json
    from ma2mi.records import EXPRESSIONS, Event

    console.new_file(out)
    files = [
        file
        for place in results
        for file in (
            [place / ANALYSIS]
            if (place / ANALYSIS).is_file()
            else sorted(place.glob(f"*/{ANALYSIS}"))
        )
    ]
    if not files:
        raise SettingsError(
            "no analysis found",
            where=", ".join(map(str, results)),
            hint="Name the --out of ma2mi analyze",
        )
    events: list[Event] = []
    nameless = 0
    for file in files:
        analysis = read_json(file)
        source = Path(analysis.source or analysis.name)
        for found in analysis.events:
            if found.kind not in EXPRESSIONS:
                continue
            nameless += task == "strs" and not found.emotion
            if task == "spotting" or found.emotion:
                events.append(
                    Event(
                        found.kind,
                        found.onset,
                        found.apex,
                        found.offset,
                        video=source.stem,
                        subject=source.parent.name if subjects == "folder" else source.stem,
                        emotion=found.emotion,
                    )
                )
    (write_megc2022 if task == "spotting" else write_megc2024)(out, events)
    console.out.print(f"{len(events)} events of {len(files)} videos: {out}")
    if nameless:
        console.out.print(f"{nameless} events without a class are left out")
