"""``ma2mi adapt``: fit finished weights to your own camera, without a label."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Example: `ma2mi adapt --weights zero --videos my_videos --out runs/mine`  \n"
        "Then: `ma2mi analyze VIDEO --weights runs/mine`"
    )(adapt)


def adapt(
    videos: Path = typer.Option(..., help="Any folder of face videos or folders of frames."),
    out: Path = typer.Option(..., help="Folder of the run; a killed run goes on from there."),
    weights: str = typer.Option("zero", help="Weights to start from: zero, or a folder."),
    subjects: Literal["video", "folder"] = typer.Option(
        "video", help="What holds one subject: each video, or each folder."
    ),
    frame_rate: Fraction = typer.Option(
        None,
        parser=console.frame_rate,
        metavar="RATE",
        help="Frames per second of folders of frames.",
    ),
    hold: float = typer.Option(
        1.0,
        min=0,
        help="Weight of keeping the predictions as they were; 0 lets them change freely.",
    ),
    epochs: int = typer.Option(5, min=1, help="Epochs; scores are taken after each."),
    epoch_steps: int = typer.Option(40, min=1, help="Steps of an epoch."),
    batch_size: int = typer.Option(48, min=2, help="Pairs of movements in a step."),
    lr: float = typer.Option(3e-4, min=0),
    pairs_per_clip: int = typer.Option(8, min=1, help="Pairs drawn from each second of video."),
    flow: str = typer.Option("thin-plate", help="Flow: thin-plate, opencv-tvl1, dis or farneback."),
    recipe: str = typer.Option("face", help="How faces are cropped: face, head or as-is."),
    seed: int = typer.Option(0),
    store: Path = typer.Option(None, help="Where prepared clips are kept; default OUT/clips."),
    jobs: int = typer.Option(-1, help="Processes for preparing; -1 is one a core."),
    accelerator: str = typer.Option("auto", help="As Lightning names it: cpu, gpu, ..."),
    track: list[str] = typer.Option([], help=console.TRACK),
) -> None:
    """Adapt finished weights to your own videos, without labels (MA2MI, predictions kept).

    An experiment: on synthetic videos it did not beat the weights that it started from.
    """
    # Imported here: --help must answer at once, and this loads torch.
    from ma2mi._version import __version__
    from ma2mi.cli import pretraining
    from ma2mi.cli.settings import parse
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import ClipStore, find_recipe
    from ma2mi.datasets.folder import list_recordings
    from ma2mi.experiment import cut_recordings, measure_movements
    from ma2mi.progress import Progress
    from ma2mi.training import adapt as adapting
    from ma2mi.training.checkpoint import find_weights
    from ma2mi.training.claim import check_folder
    from ma2mi.training.recognizer import load_model
    from ma2mi.training.tracking import check_services

    check_services(track)
    loop = {"epochs": epochs, "epoch_steps": epoch_steps, "batch_size": batch_size, "lr": lr}
    settings = parse(adapting.AdaptSettings, {"hold": hold, "loop": {**loop, "seed": seed}})
    drawn = parse(
        PairSettings,
        {"kind": "future-movement", "per_clip": pairs_per_clip, "method": flow, "seed": seed},
    )
    folder = find_weights(weights)
    check_folder(out)
    size = load_model(folder).size  # refuses what is no recognizer before videos are prepared
    fabric = pretraining.launch(accelerator, "1", 1, "auto", "32-true")
    clips = ClipStore(store or out / "clips", find_recipe(recipe, size=size + 16))
    recordings = list_recordings(videos, people=subjects, fps=frame_rate)
    with console.progress() as tick:
        keys, failures = cut_recordings(recordings, clips, jobs=jobs, on_progress=tick)
        pairs, unpaired = measure_movements(clips, keys, drawn, jobs=jobs, on_progress=tick)
    failures += unpaired
    about = {
        "ma2mi": __version__,
        "pairs_drawn": drawn.model_dump(mode="json"),
        "data_hash": clips.digest(keys),
        "failures": failures,
    }
    with console.progress("Adapting (MA2MI)") as tick:

        def after_epoch(now: Progress) -> None:
            tick(now)
            console.out.print(f"epoch {now.done:3d}  {_line(now.detail)}")

        history = adapting.adapt(
            pairs,
            out,
            folder,
            settings,
            fabric=fabric,
            about=about,
            on_progress=after_epoch,
            services=track,
        )
    count = len(set(pairs.subjects.tolist()))
    console.out.print(f"\n{len(pairs)} pairs from {len(keys)} clips of {count} subjects")
    console.out.print(f"on held-out subjects: {_line(history[-1])}")
    console.out.print(f"weights: {out}")
    console.list_failures(failures)
    console.finish(failures)


def _line(figures: dict[str, Any]) -> str:
    """What an epoch reached on held-out subjects, and what it cost."""
    from ma2mi.cli.pretraining import figures_line

    return f"{figures_line(figures)}, predictions as before {figures['same']:.1%}"
