"""``ma2mi pretrain``: MA2MI on any folder of face videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Example: `ma2mi pretrain --videos my_videos --out runs/mine`  \n"
        "Two GPUs: `ma2mi pretrain --videos my_videos --out runs/mine --accelerator gpu "
        "--devices 2 --strategy ddp --precision bf16-mixed`"
    )(pretrain)


def pretrain(
    out: Path = typer.Option(..., help="Folder of the run; a killed run goes on from there."),
    videos: Path = typer.Option(None, help="Any folder of face videos or folders of frames."),
    corpus: list[str] = typer.Option(
        [], help="A known corpus instead of --videos, or NAME=DIR; may be given again."
    ),
    root: Path = typer.Option(None, help="Where the corpus lies; synthetic ones are made."),
    layout: str = typer.Option("", help="One of the corpus' layouts; the first there if empty."),
    people: Literal["video", "folder"] = typer.Option("video", help="What holds one person."),
    frame_rate: Fraction = typer.Option(
        None,
        parser=console.frame_rate,
        metavar="RATE",
        help="Frames per second of folders of frames.",
    ),
    model: str = typer.Option("miacnet-tiny", help="Network of the catalog."),
    action: str = typer.Option(None, help="What the action branch sees: 'flow' or 'difference'."),
    space: str = typer.Option("latent", help="What is reconstructed: latent, pixel or flow."),
    target: str = typer.Option("t+k", help="'t+k' reconstructs, 't+2k' predicts."),
    teacher: str = typer.Option("ema", help="Target of the latent: 'ema' or 'frozen'."),
    moved_weight: float = typer.Option(1.0, min=0, help="Extra weight of cells that move."),
    interval: tuple[float, float] = typer.Option((0.03, 0.25), help="Seconds to the future."),
    pairs_per_clip: int = typer.Option(8, min=1, help="Pairs drawn from each second of video."),
    flow: str = typer.Option("thin-plate", help="Flow: thin-plate, opencv-tvl1, dis or farneback."),
    recipe: str = typer.Option("face", help="How faces are cropped: face, head or as-is."),
    size: int = typer.Option(112, help="Side of the network's input in px, a multiple of 16."),
    epochs: int = typer.Option(20, min=1),
    batch_size: int = typer.Option(16, min=2),
    lr: float = typer.Option(2e-3, min=0),
    seed: int = typer.Option(0),
    store: Path = typer.Option(None, help="Where prepared clips are kept; default OUT/clips."),
    jobs: int = typer.Option(-1, help="Processes for preparing; -1 is one a core."),
    accelerator: str = typer.Option("auto", help="As Lightning names it: cpu, gpu, ..."),
    devices: str = typer.Option("1", help="How many devices, or which."),
    nodes: int = typer.Option(1, min=1, help="How many machines."),
    strategy: str = typer.Option("auto", help="As Lightning names it: ddp, ..."),
    precision: str = typer.Option("32-true", help="As Lightning names it: bf16-mixed, ..."),
) -> None:
    """Learn subtle movement from videos of faces, without labels (MA2MI)."""
    # Imported here: --help must answer at once, and this loads torch.
    from ma2mi.cli import steps
    from ma2mi.cli.settings import parse
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import ClipStore, find_recipe
    from ma2mi.datasets.folder import list_recordings
    from ma2mi.errors import SettingsError
    from ma2mi.training import pretrain as ma2mi_pretrain

    if (videos is None) == (not corpus):
        raise SettingsError("give either --videos or --corpus")
    settings = parse(
        ma2mi_pretrain.PretrainSettings,
        {
            "model": model,
            "model_settings": {"action_input": action} if action else {},
            "size": size,
            "pretext": {
                "space": space,
                "target": target,
                "teacher": teacher,
                "moved_weight": moved_weight,
            },
            "loop": {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed},
        },
    )
    drawn: dict[str, Any] = {
        "kind": "near-future",
        "per_clip": pairs_per_clip,
        "interval_s": interval,
        "reach": 2 if target == "t+2k" else 1,
        "method": flow,
        "seed": seed,
    }
    pair_settings = parse(PairSettings, drawn)
    clips = ClipStore(store or out / "clips", find_recipe(recipe, size=size + 16))
    if videos is not None:
        recordings = list_recordings(videos, people=people, fps=frame_rate)
    else:
        recordings = steps.find_corpora(corpus, root, out, jobs, layout=layout).recordings()
    keys, failures = steps.cut_recordings(recordings, clips, jobs)
    pairs, unpaired = steps.near_future_pairs(clips, keys, pair_settings, jobs)
    failures += unpaired
    about = {
        "pairs": drawn,
        "people": sorted({r.person for r in recordings}),
        "data_hash": clips.digest(keys),
        "failures": failures,
    }
    fabric = steps.launch(accelerator, devices, nodes, strategy, precision)
    history = steps.learn(pairs, out, settings, fabric, about)
    people_seen = len(set(pairs.subjects.tolist()))
    console.out.print(f"\n{len(pairs)} pairs from {len(keys)} clips of {people_seen} people")
    console.out.print(steps.gain_line(history))
    console.out.print(f"weights: {out}")
    console.list_failures(failures)
    console.finish(failures)
