"""``ma2mi demo``: the whole way on people that do not exist, from videos to an honest table."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi demo --out runs/demo`")(demo)


def demo(
    out: Path = typer.Option(Path("runs/demo"), help="Everything that the demo makes."),
    subjects: int = typer.Option(16, min=3, help="People in each of the two synthetic corpora."),
    clips: int = typer.Option(6, min=3, help="Clips of each person."),
    pretrain_epochs: int = typer.Option(8, min=1),
    epochs: int = typer.Option(10, min=1, help="Epochs of each fold."),
    seed: int = typer.Option(1),
    jobs: int = typer.Option(-1, help="Processes; -1 is one a core."),
) -> None:
    """Paint people, pre-train on their macro-expressions, leave each one out on their micro ones.

    Needs no data and no network. Ends with a table and a page to look at.
    """
    from lightning.fabric import Fabric

    from ma2mi.cli import contest, steps
    from ma2mi.cli.report import write_report
    from ma2mi.cli.settings import parse
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import ClipStore, Recipe
    from ma2mi.evaluation.protocols import protocol
    from ma2mi.report.tables import score_table
    from ma2mi.training.pretrain import PretrainSettings

    started = time.perf_counter()
    size = 112
    recipe, model = Recipe(size=size + 16), "miacnet-tiny"
    macro = steps.paint_corpus("synthetic-macro", out / "macro", subjects, clips, seed, jobs)
    micro = steps.paint_corpus("synthetic-micro", out / "micro", subjects, clips, seed, jobs)

    store = ClipStore(out / "clips", recipe)
    keys, _ = steps.cut_recordings(macro.recordings(), store, jobs)
    future = parse(PairSettings, {"kind": "future-movement", "per_clip": 4, "seed": seed})
    pairs, _ = steps.near_future_pairs(store, keys, future, jobs)
    settings = parse(
        PretrainSettings,
        {
            "model": model,
            "size": size,
            "loop": {
                "epochs": pretrain_epochs,
                "epoch_steps": 20,
                "batch_size": 96,
                "lr": 2e-3,
                "seed": seed,
            },
        },
    )
    weights = out / "ma2mi"
    about = {"pairs": future.model_dump(), "people": sorted({r.person for r in macro.recordings()})}
    fabric = Fabric(accelerator="cpu", devices=1)
    history = steps.learn(pairs, weights, settings, fabric, about)
    console.out.print(steps.gain_line(history))

    apex = PairSettings()
    chosen = protocol("synthetic-3")
    marked = steps.mark_expressions(micro, chosen, out / "clips", recipe, apex, jobs)
    plain = contest.Contestant(model, size=size, epochs=epochs)
    rows = {
        "scratch": plain.entitled("from scratch"),
        "ma2mi": plain.entitled("after MA2MI", init=weights),
        "random-frozen": plain.entitled("random, frozen + ridge", frozen=True),
        "ma2mi-frozen": plain.entitled("MA2MI, frozen + ridge", init=weights, frozen=True),
        "position": plain.entitled(
            "MA2MI, position only, frozen + ridge", init=weights, frozen=True, branches="position"
        ),
        "action": plain.entitled(
            "MA2MI, action only, frozen + ridge", init=weights, frozen=True, branches="action"
        ),
    }
    results = [
        contest.compete(
            contestant,
            marked,
            chosen,
            out / "results" / name,
            corpus=micro.name,
            pair_settings=apex,
            seeds=[seed],
            jobs=jobs,
        )
        for name, contestant in rows.items()
    ]
    # Each row is held against its own control: the same network with random weights, under the
    # same classifier.
    against = [None, 0, None, 2, 3, 3]
    page = write_report(
        out / "report.html",
        results,
        against=against,
        pretraining=weights,
        marked=marked,
        examples=list(store.read_all(marked.pairs.keys[:3].tolist())),
    )
    console.out.print()
    console.out.print(score_table(results, against))
    console.out.print(f"\n{time.perf_counter() - started:.0f} s; look at {page}")
