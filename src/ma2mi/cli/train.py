"""``ma2mi train``: one model from labelled clips, for your own videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.experiment.training import TrainedModel


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi train --corpus manifest --root my_study --out runs/mine`, "
        "`ma2mi train --corpus casme2=DIR --corpus samm=DIR --protocol megc2019 --out runs/mine`"
        "  \nThen: `ma2mi analyze VIDEO --weights runs/mine`"
    )(train)


def train(
    corpus: list[str] = typer.Option(
        ..., help="Name of a corpus, or NAME=DIR; given again, the model learns from all of them."
    ),
    out: Path = typer.Option(..., help="Folder of the model; a killed run goes on from there."),
    root: Path = typer.Option(None, help="Where the corpus lies; synthetic ones are made."),
    layout: str = typer.Option("", help="One of the corpus' layouts; the first there if empty."),
    repairs: bool = typer.Option(True, help="Apply the known repairs of its sheets."),
    protocol: str = typer.Option("loso", help="Named protocol whose classes are learned."),
    init: str = typer.Option(
        "zero", help="Weights to start from: zero, which ships with ma2mi, a folder, or none."
    ),
    method: Literal["ridge", "fine-tune"] = typer.Option(
        "ridge",
        help="'ridge' fits a classifier on frozen features, in seconds; 'fine-tune' trains all of "
        "the network.",
    ),
    folds: int = typer.Option(
        None,
        min=0,
        max=1000,
        help="Folds of the cross-validation, whole subjects each; 0 leaves one subject out at a "
        "time. Default: 0 for a ridge, 5 for fine-tuning.",
    ),
    model: str = typer.Option(
        None, help="Network that is trained from scratch, with --init none --method fine-tune."
    ),
    epochs: int = typer.Option(15, min=1, help="At most so many epochs, with --method fine-tune."),
    size: int = typer.Option(
        None,
        min=28,
        max=1024,
        help="Side of the input in px, a multiple of 16. Default: that of --init, else 112.",
    ),
    onnx: bool = typer.Option(False, "--onnx", help="Also write model.onnx, for other programs."),
    recipe: str = typer.Option("face", help="How faces are cropped: face, head or as-is."),
    flow: str = typer.Option("thin-plate", help="Flow: thin-plate, opencv-tvl1, dis or farneback."),
    seed: int = typer.Option(0),
    jobs: int = typer.Option(-1, help="Clips and folds in parallel; -1: one per core."),
    store: Path = typer.Option(Path("runs/clips"), help="Where prepared clips are kept."),
    track: list[str] = typer.Option([], help=console.TRACK),
    alias: list[str] = typer.Option(
        [], help="Two names of one subject, as samm-lv/006=samm/006; may be given again."
    ),
    label: list[str] = typer.Option(
        [], help="Class of a word that the protocol does not know, as tense=negative; other= drops."
    ),
) -> None:
    """Learn one model from labelled clips, and write it with a card that says how good it is.

    Cross-validated by subjects first; whatever is chosen is chosen on subjects that are held out.
    """
    from ma2mi.cli.settings import parse, parse_aliases, parse_labels
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import find_recipe
    from ma2mi.evaluation.protocols import protocol as protocol_named
    from ma2mi.experiment import check_unseen, find_corpora, label_pairs, labelled_subjects
    from ma2mi.experiment.training import TrainSettings, check_protocol, train_model
    from ma2mi.training.checkpoint import find_weights, read_config
    from ma2mi.training.claim import check_folder
    from ma2mi.training.export import check_onnx
    from ma2mi.training.tracking import check_services, track_run
    from ma2mi.training.trained import refuse_fitted

    check_services(track)
    chosen = protocol_named(protocol)
    check_protocol(chosen)
    start = None if init == "none" else find_weights(init)
    config = read_config(start) if start else {}
    if start:
        refuse_fitted(config, start)
    _check_network(start is not None, method, model, size)
    side = config.get("size") or size or 112
    network = {"model": model or config.get("model", "miacnet-tiny"), "size": side}
    learning = {"stop": "inner", "loop": {"epochs": epochs, "batch_size": 16}}
    folds = folds if folds is not None else 0 if method == "ridge" else 5
    settings = parse(
        TrainSettings,
        {"method": method, "folds": folds, "recipe": network | learning, "seed": seed},
    )
    pairs, cut = parse(PairSettings, {"method": flow}), find_recipe(recipe, size=side + 16)
    labels, aliases = parse_labels(label), parse_aliases(alias)
    check_folder(out)
    if onnx:
        check_onnx()
    with console.progress() as tick:
        found = find_corpora(
            corpus, root, store, layout=layout, repairs=repairs, jobs=jobs, on_progress=tick
        )
        if config.get("trained_subjects"):
            check_unseen(start, labelled_subjects(found, chosen, labels), aliases)
        shared: dict[str, Any] = {"jobs": jobs, "on_progress": tick}
        cutting: dict[str, Any] = {"recipe": cut, "settings": pairs, "own_labels": labels}
        labelled = label_pairs(found, chosen, store, **cutting, **shared)
    with console.progress("Training") as tick:
        shared |= {"on_progress": tick, "init": start, "aliases": aliases, "onnx": onnx}
        trained = train_model(labelled, out, settings, **shared)
    track_run(out, trained.cross, track)
    _report(trained, out)
    console.list_failures(labelled.failures)
    console.finish(labelled.failures)


def _check_network(starts: bool, method: str, model: str | None, size: int | None) -> None:
    """Refuse options that name a network where none is chosen.

    Raises:
        SettingsError: with the hint.
    """
    from ma2mi.errors import SettingsError

    if model and (starts or method == "ridge"):
        raise SettingsError(
            "the network is that of --init" if starts else "a ridge on movement has no network",
            where=f"--model {model}",
            hint="Leave it out, or add --init none --method fine-tune",
        )
    if size and starts:
        raise SettingsError(
            "the size is that of --init", where=f"--size {size}", hint="Leave it out"
        )


def _report(trained: TrainedModel, out: Path) -> None:
    """What was reached, and how to use it."""
    from ma2mi.training.model_card import caution

    about = trained.recognizer.config["trained"]
    scores = ", ".join(f"{name} {one['text']}" for name, one in about["scores"].items())
    clips = sum(one["clips"] for one in about["corpora"].values())
    subjects = sum(len(one["subjects"]) for one in about["corpora"].values())
    console.out.print(f"\nlearned from {clips} clips of {subjects} subjects", markup=False)
    if few := caution(clips, subjects):
        console.out.print(few, markup=False)
    console.out.print(f"cross-validated ({about['cross_validation']}): {scores}", markup=False)
    below = trained.recognizer.settings.abstain_below
    console.out.print(f"it abstains below {below:.2f}; card: {out / 'README.md'}", markup=False)
    if trained.onnx is not None:
        console.out.print(f"onnxruntime agrees with torch to {trained.onnx:.1g}")
    console.out.print(f"weights: {out}", markup=False)
    console.out.print(f"try: ma2mi analyze VIDEO --weights {out}", markup=False)
