"""``ma2mi explain``: where a recognizer looks, drawn over the flow and over the face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs
    from ma2mi.training.recognizer import Recognizer


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi explain --corpus synthetic-micro --out heat.png`, "
        "`ma2mi explain --corpus manifest --root my_study --out au12.png --target 12`"
    )(explain)


def explain(
    corpus: str = typer.Option(..., help="Name of a corpus, or NAME=DIR."),
    out: Path = typer.Option(..., help="The picture (PNG)."),
    root: Path = typer.Option(None, help="Where the corpus lies; synthetic ones are made."),
    weights: str = typer.Option("zero", help="zero, which ships with ma2mi, or a folder."),
    target: str = typer.Option(
        None, help="Class or action unit to explain. Default: the prediction for each clip."
    ),
    clips: int = typer.Option(6, min=1, help="Clips shown, of different subjects and classes."),
    flow: str = typer.Option("thin-plate", help="Flow: thin-plate, opencv-tvl1, dis or farneback."),
    store: Path = typer.Option(Path("runs/clips"), help="Where prepared clips are kept."),
    jobs: int = typer.Option(-1, help="Processes for preparing; -1 is one a core."),
) -> None:
    """Draw heat maps: the network's attention, and Grad-CAM of its prediction."""
    from ma2mi.cli.settings import parse
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import Recipe
    from ma2mi.errors import SettingsError
    from ma2mi.experiment import choose_examples, find_corpora, label_pairs
    from ma2mi.files import replace_file
    from ma2mi.training.recognizer import load_model

    console.new_file(out)
    model = load_model(weights)
    known = (*model.classes, *model.units)
    if target is not None and target not in known:
        raise SettingsError(
            "is neither a class nor an action unit of these weights",
            where=f"--target {target}",
            hint=f"They know {', '.join(known)}",
        )
    cut, pairs = Recipe(size=model.size + 16), parse(PairSettings, {"method": flow})
    with console.progress() as tick:
        found = find_corpora([corpus], root, store, jobs=jobs, on_progress=tick)
        labelled = label_pairs(
            found, "loso", store, recipe=cut, settings=pairs, jobs=jobs, on_progress=tick
        )
    rows = choose_examples(labelled, clips)
    names = [labelled.classes[label] for label in labelled.labels[rows]]
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, heatmap_picture(model, labelled.pairs[rows], names, target))
    console.out.print(f"picture: {out}")
    console.list_failures(labelled.failures)
    console.finish(labelled.failures)


def heatmap_picture(
    model: Recognizer, pairs: Pairs, names: list[str], target: str | None = None
) -> bytes:
    """The heat maps of these pairs as PNG; ``names`` are their true classes."""
    import numpy as np

    from ma2mi.report.figures import draw_heatmaps
    from ma2mi.training.heatmaps import attention_map, grad_cam
    from ma2mi.training.views import batches

    maps = grad_cam(model, pairs, target)
    answers = model.outputs(pairs)
    attention = [attention_map(model.net, b) for b in batches(model.net, pairs, model.size)]
    seen = [a for a in attention if a is not None]
    size = min(model.size, pairs.action.shape[1])
    margin = (pairs.action.shape[1] - size) // 2
    middle = slice(margin, margin + size)
    said = [
        target or f"{model.classes[i]} {p:.2f}"
        for i, p in zip(answers.classes.argmax(1), answers.classes.max(1), strict=True)
    ]
    return draw_heatmaps(
        pairs.action[:, middle, middle, :2].astype(np.float32),
        maps,
        [f"{name}\n-> {answer}" for name, answer in zip(names, said, strict=True)],
        faces=pairs.first[:, middle, middle] if len(pairs.first) else None,
        attention=np.concatenate(seen) if seen else None,
    )
