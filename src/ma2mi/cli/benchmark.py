"""``ma2mi benchmark``: leave subjects out, fit on the others, and score them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.datasets import Corpus
    from ma2mi.evaluation.protocols import Protocol


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi benchmark --corpus synthetic-micro --model miacnet-tiny`, "
        "`ma2mi benchmark --corpus manifest --root my_study --init runs/mine`, "
        "`ma2mi benchmark --corpus synthetic-micro --model pixels-rbf --learning-curve 2,5,10`, "
        "`ma2mi benchmark --corpus casme2=DIR --corpus samm=DIR --corpus smic=DIR "
        "--protocol megc2019`, "
        "`ma2mi benchmark --corpus manifest --root my_study --init zero --train-also casme2=DIR`, "
        "`ma2mi benchmark --corpus manifest --root my_study --weights zero --protocol zero-shot`"
    )(benchmark)


def benchmark(
    corpus: list[str] = typer.Option(
        ..., help="Name of a corpus, or NAME=DIR; given again, all of them are one."
    ),
    root: Path = typer.Option(None, help="Where the corpus lies; synthetic ones are made."),
    train_also: list[str] = typer.Option(
        [],
        help="NAME=DIR of another corpus: its clips join the training of every fold and are never "
        "tested, beside a run without them; may be given again.",
    ),
    layout: str = typer.Option("", help="One of the corpus' layouts; the first there if empty."),
    repairs: bool = typer.Option(True, help="Apply the known repairs of its sheets."),
    protocol: str = typer.Option("loso", help="Named protocol of the literature."),
    model: str = typer.Option(
        None,
        help="Network of the catalog, or a control: majority, flow-svm, flow-pca, pixels-rbf, "
        "random-ridge, mixed-kernel. Default: that of --init, else miacnet-tiny.",
    ),
    init: str = typer.Option(
        None, help="Weights to start from: a folder, or zero, which ships with ma2mi."
    ),
    weights: str = typer.Option(
        None,
        help="Weights to evaluate without training, with --protocol zero-shot: zero, or a folder.",
    ),
    prior: str = typer.Option(
        None,
        help="How common the classes are taken to be with --protocol zero-shot: flat, megc2019 "
        "(the shares of its clips), a share for each class as 0.6,0.2,0.2, or estimate, from the "
        "unlabelled predictions. Default: flat.",
    ),
    train: Literal["auto", "full", "frozen"] = typer.Option(
        "auto",
        help="'full' trains the network in every fold; 'frozen' fits a ridge on its features. "
        "'auto': frozen with --init, full without.",
    ),
    classifier: Literal["mixed", "ridge"] = typer.Option(
        "mixed",
        help="Of a frozen network: 'mixed' is a Gaussian kernel of grid and outputs that averages "
        "all views; 'ridge' is its control, linear, its strength chosen inside.",
    ),
    branches: Literal["both", "position", "action"] = typer.Option(
        "both", help="Branches of a MIACNet that are used, for ablations."
    ),
    epochs: int = typer.Option(15, min=1, help="Epochs of a fold with --train full."),
    stop: Literal["fixed", "inner"] = typer.Option(
        "fixed", help="Take the last epoch, or the best on subjects held out of training."
    ),
    size: int = typer.Option(
        None,
        min=28,
        max=1024,
        help="Side of the network's input in px, a multiple of 16. "
        "Default: that of --init, else 112.",
    ),
    recipe: str = typer.Option("face", help="How faces are cropped: face, head or as-is."),
    flow: str = typer.Option("thin-plate", help="Flow: thin-plate, opencv-tvl1, dis or farneback."),
    instances: int = typer.Option(
        1,
        min=1,
        max=16,
        help="Movements that stand for one expression: to the apex, and to further frames before "
        "it. A frozen network's classifier averages them; more take longer.",
    ),
    seeds: int = typer.Option(1, min=1, help="Run the whole protocol this many times."),
    jobs: int = typer.Option(-1, help="Folds in parallel; -1: one per core."),
    backend: Literal["loky", "dask", "ray", "threading", "sequential"] = typer.Option("loky"),
    cluster: str = typer.Option(None, help="Address of a running dask or ray cluster."),
    out: Path = typer.Option(
        None, help="Run folder. Default: below runs, named after corpus and model."
    ),
    store: Path = typer.Option(Path("runs/clips"), help="Where prepared clips are kept."),
    alias: list[str] = typer.Option(
        [], help="Two names of one subject, as samm-lv/006=samm/006; may be given again."
    ),
    label: list[str] = typer.Option(
        [], help="Class of a word that the protocol does not know, as tense=negative; other= drops."
    ),
    learning_curve: str = typer.Option(
        "",
        help="Numbers of training subjects, as 2,3,5,10: repeats the protocol with so many in "
        "every fold, the same ones for every entry.",
    ),
    draws: int = typer.Option(
        5,
        min=1,
        help="Random draws of the training subjects for each number; more narrow the "
        "intervals and take longer.",
    ),
    control: bool = typer.Option(
        True,
        "--control/--no-control",
        help="Beside frozen --init weights, also run the same network with random weights, and "
        "test against it.",
    ),
    track: list[str] = typer.Option([], help=console.TRACK),
    also_report_best_on_test: bool = typer.Option(
        False,
        help="Also print the best-on-test score (optimistically biased), stamped as selected on "
        "test data.",
    ),
) -> None:
    """Leave one subject out (or another protocol) and print UF1, UAR and accuracy."""
    from ma2mi.cli.settings import parse, parse_aliases, parse_labels
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import find_recipe
    from ma2mi.errors import SettingsError
    from ma2mi.evaluation.priors import parse_prior
    from ma2mi.evaluation.protocols import protocol as protocol_named
    from ma2mi.evaluation.protocols import untrained
    from ma2mi.experiment import (
        Entry,
        check_labels,
        check_model,
        check_network,
        check_unseen,
        find_corpora,
        label_pairs,
        labelled_subjects,
        run_entry,
        run_entry_curve,
    )
    from ma2mi.models.catalog import MODELS
    from ma2mi.report.tables import curve_text, score_table
    from ma2mi.training.checkpoint import find_weights, read_config
    from ma2mi.training.recognizer import recognizer_settings
    from ma2mi.training.tracking import check_services
    from ma2mi.training.trained import refuse_fitted
    from ma2mi.training.zero_shot import check_names

    check_services(track)
    chosen = protocol_named(protocol)
    if weights and chosen.units:
        chosen = untrained(chosen)
    sizes = _sizes(learning_curve, best=also_report_best_on_test, stop=stop)
    _check_weights(chosen, weights, {"--init": init, "--model": model, "--size": size})
    shares = parse_prior(prior or "flat")
    if prior is not None and weights is None:
        raise SettingsError(
            "is for weights that are not trained",
            where=f"--prior {prior}",
            hint="Add --weights and --protocol zero-shot",
        )
    start = weights or init
    folder = find_weights(start) if start else None
    config = read_config(folder) if folder else {}
    model = model or config.get("model", "miacnet-tiny")
    size = size or config.get("size", 112)
    # Wrong words are said before hours of preparing.
    pairs = parse(PairSettings, {"method": flow, "instances": instances})
    cut = find_recipe(recipe, size=size + 16)
    check_model(model)
    if folder and model in MODELS:
        check_network(folder, config, model, size)
    labels, aliases = parse_labels(label), parse_aliases(alias)
    if out is not None and out.exists() and not out.is_dir():
        raise SettingsError("is a file", where=f"--out {out}", hint="Name a folder")
    with console.progress() as tick:
        found = find_corpora(
            corpus, root, store, layout=layout, repairs=repairs, jobs=jobs, on_progress=tick
        )
        others = _open_others(train_also, chosen, store, repairs=repairs, jobs=jobs)
        names = check_labels(found, chosen, labels, aliases)
        if config.get("trained_subjects"):
            check_unseen(folder, labelled_subjects(found, chosen, labels), aliases)
        if init:
            refuse_fitted(config, init)
        if weights:
            check_names(recognizer_settings(config, folder or ""), names, shares, folder)
        cutting: dict[str, Any] = {"recipe": cut, "settings": pairs, "own_labels": labels}
        cutting |= {"jobs": jobs, "on_progress": tick}
        labelled = label_pairs(found, chosen, store, **cutting)
        joined = (
            labelled.train_also(label_pairs(others, chosen, store, **cutting)) if others else None
        )
    entry = Entry(
        model,
        init=folder,
        frozen=train == "frozen" or (train == "auto" and init is not None),
        zero_shot=weights is not None,
        prior=shares,
        classifier=classifier,
        branches=branches,
        size=size,
        epochs=epochs,
        stop=stop,
        keep_epochs=also_report_best_on_test,
    )
    parts = [labelled.corpus, *([chosen.name] if chosen.units else []), model]
    name = "-".join([*parts, *([folder.resolve().name] if folder else [])])
    name += ("-zero-shot" if weights else "") + ("-curve" if sizes else "")
    out = out or Path("runs") / name
    shared: dict[str, Any] = {
        "seeds": range(seeds),
        "jobs": jobs,
        "backend": backend,
        "cluster": cluster,
        "aliases": aliases,
        "services": track,
    }
    entries = [(entry, labelled, out)]
    if control and folder and entry.frozen:
        random = replace(entry, init=None, like=folder)
        entries.insert(0, (random, labelled, out.with_name(f"{out.name}-random")))
    if joined and others:
        beside = f"also-{others.results_name}"
        titled = entry.entitled(f"{entry.name}, also trained on {others.results_name}")
        entries.append((titled, joined, out.with_name(f"{out.name}-{beside}")))
    # Each against the one before: weights against random ones, more clips against fewer.
    if sizes:
        curves = []
        for one, clips, place in entries:
            with console.progress(one.name) as tick:
                curves.append(
                    run_entry_curve(
                        one, clips, sizes, place, draws=draws, on_progress=tick, **shared
                    )
                )
        table = curve_text(curves, [None, *range(len(curves) - 1)])
    else:
        shared |= {"also_best_on_test": also_report_best_on_test}
        results = []
        for one, clips, place in entries:
            with console.progress(one.name) as tick:
                results.append(run_entry(one, clips, place, on_progress=tick, **shared))
        table = score_table(results, [None, *range(len(results) - 1)])
    console.out.print()
    console.out.print(table, markup=False)
    for _, clips, place in entries:
        if clips is not labelled or place == out:
            console.out.print(f"run: {place}", markup=False)
    failures = (joined or labelled).failures
    console.list_failures(failures)
    console.finish(failures)


def _open_others(
    words: list[str], protocol: Protocol, store: Path, *, repairs: bool, jobs: int
) -> Corpus | None:
    """The corpora that only join the training, None without any.

    Raises:
        SettingsError: the protocol trains nothing.
        CorpusError: a folder is no such corpus.
    """
    from ma2mi.errors import SettingsError
    from ma2mi.experiment import find_corpora

    if not words:
        return None
    if not protocol.trains:
        raise SettingsError(
            f"has nothing to join: {protocol.name} trains nothing",
            where=f"--train-also {words[0]}",
            hint="Leave it out, or take a protocol that trains, such as loso",
        )
    return find_corpora(words, None, store, repairs=repairs, jobs=jobs)


def _sizes(text: str, *, best: bool, stop: str) -> list[int]:
    """``"2,3,5"`` as numbers, none for "".

    Raises:
        SettingsError: no such list, or options that a learning curve does not go with.
    """
    from ma2mi.errors import SettingsError

    if not text:
        return []
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise SettingsError(
            "is no list of numbers", where=f"--learning-curve {text}", hint="Say 2,3,5,10"
        )
    sizes = sorted({int(word) for word in words})
    if best:
        raise SettingsError(
            "has no number selected on test data",
            where="--learning-curve",
            hint="Leave out --also-report-best-on-test",
        )
    if stop == "inner" and sizes[0] < 2:
        raise SettingsError(
            "holds a training subject out, and one is all there is",
            where="--stop inner",
            hint="Start --learning-curve at 2, or take --stop fixed",
        )
    return sizes


def _check_weights(protocol: Protocol, weights: str | None, others: dict[str, object]) -> None:
    """Refuse weights that would be trained, and a protocol without training that has none.

    Raises:
        SettingsError: with the hint.
    """
    from ma2mi.errors import SettingsError

    if weights is None:
        if not protocol.trains:
            raise SettingsError(
                "trains nothing, so it needs finished weights",
                where=f"--protocol {protocol.name}",
                hint="Add --weights zero, or a folder",
            )
        return
    if protocol.trains:
        raise SettingsError(
            f"are evaluated without training, and {protocol.name} trains in every fold",
            where=f"--weights {weights}",
            hint="Add --protocol zero-shot, or start training from them with --init",
        )
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise SettingsError(
            f"bring their network and its size, {', '.join(given)} cannot change them",
            where=f"--weights {weights}",
            hint=f"Leave out {', '.join(given)}",
        )
