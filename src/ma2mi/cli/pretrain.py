"""``ma2mi pretrain``: MA2MI on any folder of face videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import BaseModel

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Example: `ma2mi pretrain --videos my_videos --out runs/mine`  \n"
        "Without videos: `ma2mi pretrain --simulator --out runs/simulated`, and from there on to "
        "real ones: `ma2mi pretrain --videos my_videos --init runs/simulated --out runs/mine`  \n"
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
    simulator: bool = typer.Option(
        False, "--simulator", help="Synthetic movement instead of videos; needs no data."
    ),
    init: Path = typer.Option(None, help="Folder of weights to start from, of the same pretext."),
    layout: str = typer.Option("", help="One of the corpus' layouts; the first there if empty."),
    subjects: Literal["video", "folder"] = typer.Option(
        "video", help="What holds one subject: each video, or each folder."
    ),
    frame_rate: Fraction = typer.Option(
        None,
        parser=console.frame_rate,
        metavar="RATE",
        help="Frames per second of folders of frames.",
    ),
    model: str = typer.Option("miacnet-tiny", help="Network of the catalog."),
    action: str = typer.Option(None, help="What the action branch sees: 'flow' or 'difference'."),
    branches: Literal["both", "position", "action"] = typer.Option(
        "both", help="Branches of a MIACNet that learn."
    ),
    pretext: Literal["future-movement", "near-future"] = typer.Option(
        None,
        help="What is predicted: the larger movement that a small one becomes, or, as an "
        "ablation, the face or the flow of a moment later; future-movement unless an option of "
        "the other is given.",
    ),
    interval: tuple[float, float] = typer.Option(
        None, help="Seconds to the early movement (0.03 0.16), or to the near future (0.03 0.25)."
    ),
    horizon: tuple[float, float] = typer.Option(
        (0.25, 0.9), help="Seconds to the later movement; clips last one second."
    ),
    growth: float = typer.Option(
        1.5, min=1, help="Least ratio of later to early movement; higher leaves more pairs out."
    ),
    temperature: float = typer.Option(0.1, min=1e-3, help="Of the contrast; lower is stricter."),
    contrast: float = typer.Option(
        1.0, min=0, help="Weight of the contrast between later movements."
    ),
    draw: float = typer.Option(3.0, min=0, help="Weight of drawing the later movement."),
    per_video: int = typer.Option(3, min=1, help="Pairs of each video in a batch."),
    target_encoder: Literal["shared", "momentum"] = typer.Option(
        "shared", help="What encodes the later movement: the network, or a moving average of it."
    ),
    space: str = typer.Option(None, help="Near future: latent (the default), pixel or flow."),
    target: str = typer.Option(
        None, help="Near future: 't+k' reconstructs (the default), 't+2k' predicts."
    ),
    near_target_encoder: str = typer.Option(
        None, help="Near future: target encoder, 'ema' (the default) or 'frozen'."
    ),
    moved_weight: float = typer.Option(
        None, min=0, help="Near future: extra weight of cells that move; 1."
    ),
    pairs_per_clip: int = typer.Option(8, min=1, help="Pairs drawn from each second of video."),
    flow: str = typer.Option("thin-plate", help="Flow: thin-plate, opencv-tvl1, dis or farneback."),
    recipe: str = typer.Option("face", help="How faces are cropped: face, head or as-is."),
    size: int = typer.Option(
        112, max=1024, help="Side of the network's input in px, a multiple of 16."
    ),
    epochs: int = typer.Option(
        None, min=1, help="Epochs; scores are taken after each. Default: 10, near future 20."
    ),
    epoch_steps: int = typer.Option(
        None, min=1, help="Steps of an epoch. Default: 30, near future one pass over all pairs."
    ),
    batch_size: int = typer.Option(
        None, min=2, help="Pairs in a batch. Default: 96, near future 16."
    ),
    lr: float = typer.Option(2e-3, min=0),
    stop: Literal["fixed", "probe"] = typer.Option(
        "fixed", help="Keep the last epoch's weights, or those of the best probe."
    ),
    patience: int = typer.Option(
        3, min=1, help="Epochs without a better probe, with --stop probe."
    ),
    seed: int = typer.Option(0),
    store: Path = typer.Option(None, help="Where prepared clips are kept; default OUT/clips."),
    jobs: int = typer.Option(-1, help="Processes for preparing; -1 is one a core."),
    accelerator: str = typer.Option("auto", help="As Lightning names it: cpu, gpu, ..."),
    devices: str = typer.Option("1", help="Number of devices, or which."),
    nodes: int = typer.Option(1, min=1, help="Number of machines."),
    strategy: str = typer.Option("auto", help="As Lightning names it: ddp, ..."),
    precision: str = typer.Option("32-true", help="As Lightning names it: bf16-mixed, ..."),
    track: list[str] = typer.Option([], help=console.TRACK),
) -> None:
    """Learn subtle movement from videos of faces, without labels (MA2MI)."""
    # Imported here: --help must answer at once, and this loads torch.
    from ma2mi.cli import pretraining
    from ma2mi.cli.settings import parse
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import ClipStore, find_recipe
    from ma2mi.datasets.folder import list_recordings
    from ma2mi.errors import SettingsError
    from ma2mi.experiment import cut_recordings, find_corpora, measure_movements
    from ma2mi.models.catalog import build_model
    from ma2mi.training.checkpoint import read_config
    from ma2mi.training.claim import check_folder
    from ma2mi.training.ma2mi import PretextSettings
    from ma2mi.training.pretext import FutureMovementSettings
    from ma2mi.training.pretrain_settings import PretrainSettings
    from ma2mi.training.tracking import check_services

    check_services(track)
    if (videos is not None) + bool(corpus) + simulator != 1:
        raise SettingsError("give one of --videos, --corpus and --simulator")
    rebuilt: dict[str, Any] = {
        "space": space,
        "target": target,
        "teacher": near_target_encoder,
        "moved_weight": moved_weight,
    }
    rebuilt = {name: value for name, value in rebuilt.items() if value is not None}
    near = pretext == "near-future" or (pretext is None and bool(rebuilt))
    if rebuilt and not near:
        raise SettingsError(
            f"belongs to the pretext task near-future, not {pretext}",
            where=f"--{next(iter(rebuilt)).replace('_', '-')}",
            hint="Leave it out, or say --pretext near-future",
        )
    model_settings: dict[str, Any] = {"action_input": action} if action else {}
    if model.startswith("miacnet"):
        model_settings |= {"branches": branches} if branches != "both" else {}
        # The near-future face is rebuilt from the sum of both branches.
        model_settings |= {"fusion": "sum"} if near else {}
    task: BaseModel
    if near:
        task = parse(PretextSettings, rebuilt)
        loop = {"epochs": 20, "batch_size": 16}
    else:
        predicted = {
            "temperature": temperature,
            "contrast": contrast,
            "draw": draw,
            "per_video": per_video,
            "target": target_encoder,
        }
        task = parse(FutureMovementSettings, predicted)
        loop = {"epochs": 10, "epoch_steps": 30, "batch_size": 96}
    given = {"epochs": epochs, "epoch_steps": epoch_steps, "batch_size": batch_size}
    loop |= {name: value for name, value in given.items() if value is not None}
    settings = parse(
        PretrainSettings,
        {
            "model": model,
            "model_settings": model_settings,
            "size": size,
            "pretext": task,
            "stop": stop,
            "patience": patience,
            "loop": {**loop, "lr": lr, "seed": seed},
        },
    )
    drawn: dict[str, Any] = {
        "kind": "near-future" if near else "future-movement",
        "per_clip": pairs_per_clip,
        "method": flow,
        "seed": seed,
    }
    if interval:
        drawn["interval_s"] = interval
    if near:
        drawn["reach"] = 2 if target == "t+2k" else 1
    else:
        drawn |= {"horizon_s": horizon, "growth": growth}
    pair_settings, cut = parse(PairSettings, drawn), find_recipe(recipe, size=size + 16)
    # Wrong words are said before hours of preparing.
    build_model(model, 2, **model_settings)
    check_folder(out)
    if init is not None:
        read_config(init)
    if root is not None and not corpus:
        raise SettingsError("says where a corpus lies", where="--root", hint="Add --corpus")
    fabric = pretraining.launch(accelerator, devices, nodes, strategy, precision)
    if simulator:
        history = pretraining.pretrain_with_bar(None, out, settings, fabric, {}, init, track)
        console.out.print(pretraining.gain_line(history))
        console.out.print(f"weights: {out}")
        return
    clips = ClipStore(store or out / "clips", cut)
    if videos is not None:
        recordings = list_recordings(videos, people=subjects, fps=frame_rate)
    else:
        with console.progress() as tick:
            found = find_corpora(corpus, root, out, layout=layout, jobs=jobs, on_progress=tick)
        recordings = found.recordings()
    with console.progress() as tick:
        keys, failures = cut_recordings(recordings, clips, jobs=jobs, on_progress=tick)
        pairs, unpaired = measure_movements(clips, keys, pair_settings, jobs=jobs, on_progress=tick)
    failures += unpaired
    about = {
        "pairs": pair_settings.model_dump(mode="json"),
        "people": sorted({r.person for r in recordings}),
        "data_hash": clips.digest(keys),
        "failures": failures,
    }
    history = pretraining.pretrain_with_bar(pairs, out, settings, fabric, about, init, track)
    people_seen = len(set(pairs.subjects.tolist()))
    console.out.print(f"\n{len(pairs)} pairs from {len(keys)} clips of {people_seen} subjects")
    console.out.print(pretraining.gain_line(history))
    console.out.print(f"weights: {out}")
    console.list_failures(failures)
    console.finish(failures)
