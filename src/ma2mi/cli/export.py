"""``ma2mi export``: a recognizer for other programs."""

from __future__ import annotations

from pathlib import Path

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Write a recognizer for other programs.", no_args_is_help=True)
    group.callback(epilog="Example: `ma2mi export onnx --weights zero --out zero.onnx`")(_group)
    group.command(
        epilog="Examples: `ma2mi export onnx --weights zero --out zero.onnx`, "
        "`ma2mi export onnx --weights runs/mine --out mine.onnx --position`"
    )(onnx)
    app.add_typer(group, name="export")


def _group() -> None:
    """Write a recognizer for other programs."""


def onnx(
    out: Path = typer.Option(..., help="The file, such as zero.onnx."),
    weights: str = typer.Option("zero", help="zero, which ships with ma2mi, or a folder."),
    position: bool = typer.Option(False, "--position", help="The face is an input, too."),
) -> None:
    """Write an ONNX file, checked against torch, with labels and preprocessing inside."""
    from ma2mi.training.export import export_onnx
    from ma2mi.training.recognizer import load_model

    console.new_file(out)
    difference = export_onnx(load_model(weights), out, position=position)
    size = out.stat().st_size / 1e6
    console.out.print(f"onnxruntime agrees with torch to {difference:.1g}")
    console.out.print(f"file: {out} ({size:.1f} MB)")
