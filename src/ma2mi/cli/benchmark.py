"""``ma2mi benchmark``: leave people out, fit on the others, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from ma2mi.cli import console


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi benchmark --corpus synthetic-micro --model miacnet-tiny`, "
        "`ma2mi benchmark --corpus manifest --root my_study --init runs/mine`"
    )(benchmark)


def benchmark(
    corpus: str = typer.Option(..., help="Name of a corpus."),
    root: Path = typer.Option(None, help="Where the corpus lies; synthetic ones are made."),
    protocol: str = typer.Option("loso", help="Named protocol of the literature."),
    model: str = typer.Option(
        "miacnet-tiny", help="Network of the catalog, or majority, flow-svm, random-ridge."
    ),
    init: Path = typer.Option(None, help="Folder of pre-trained weights."),
    train: Literal["auto", "full", "frozen"] = typer.Option(
        "auto",
        help="'full' trains the network in every fold; 'frozen' fits a ridge on its features. "
        "'auto': frozen with --init, full without.",
    ),
    branches: Literal["both", "position", "action"] = typer.Option("both", help="For ablations."),
    epochs: int = typer.Option(15, min=1, help="Epochs of a fold with --train full."),
    stop: Literal["fixed", "inner"] = typer.Option(
        "fixed", help="Take the last epoch, or the best on people held out of training."
    ),
    size: int = typer.Option(112, help="Side of the network's input in px, a multiple of 16."),
    flow: str = typer.Option("thin-plate", help="Flow: thin-plate, opencv-tvl1, dis or farneback."),
    seeds: int = typer.Option(1, min=1, help="Run the whole protocol this many times."),
    jobs: int = typer.Option(-1, help="Folds at a time; -1 is one a core."),
    backend: Literal["loky", "dask", "ray", "threading", "sequential"] = typer.Option("loky"),
    cluster: str = typer.Option(None, help="Address of a running dask or ray cluster."),
    out: Path = typer.Option(None, help="Run folder; default runs/CORPUS-MODEL."),
    store: Path = typer.Option(Path("runs/clips"), help="Where prepared clips are kept."),
    alias: list[str] = typer.Option(
        [], help="Two names of one person, as samm-lv/006=samm/006; may be given again."
    ),
    also_report_best_on_test: bool = typer.Option(
        False, help="Also print the field's number, stamped as selected on test data."
    ),
) -> None:
    """Leave one subject out (or another protocol) and print UF1, UAR and accuracy."""
    from ma2mi.cli import contest, steps
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import Recipe
    from ma2mi.evaluation.protocols import protocol as protocol_named
    from ma2mi.report.tables import score_table

    chosen = protocol_named(protocol)
    pairs = steps.parse(PairSettings, {"method": flow})
    marked = steps.mark_expressions(
        steps.find_corpus(corpus, root, store, jobs),
        chosen,
        store,
        Recipe(size=size + 16),
        pairs,
        jobs,
    )
    contestant = contest.Contestant(
        model,
        init=init,
        frozen=train == "frozen" or (train == "auto" and init is not None),
        branches=branches,
        size=size,
        epochs=epochs,
        stop=stop,
        keep_epochs=also_report_best_on_test,
    )
    out = out or Path("runs") / f"{corpus}-{model}{'-' + init.name if init else ''}"
    result = contest.compete(
        contestant,
        marked,
        chosen,
        out,
        corpus=corpus,
        seeds=range(seeds),
        jobs=jobs,
        backend=backend,
        cluster=cluster,
        also_best_on_test=also_report_best_on_test,
        aliases=steps.parse_aliases(alias),
        pair_settings=pairs,
    )
    console.out.print()
    console.out.print(score_table([result]))
    console.out.print(f"run: {out}")
    console.list_failures(marked.failures)
    console.finish(marked.failures)
