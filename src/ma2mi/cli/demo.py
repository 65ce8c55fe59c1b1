"""``ma2mi demo``: the whole way on subjects that do not exist, from videos to an honest table."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ma2mi.cli import console
from ma2mi.progress import Progress

if TYPE_CHECKING:
    from ma2mi.datasets import Corpus
    from ma2mi.datasets.synthetic import SyntheticMicro
    from ma2mi.evaluation.splits import Split
    from ma2mi.experiment import LabelledPairs

SIZE = 112
MODEL = "miacnet-tiny"
#: Training subjects of the learning curve, of those there are.
FEW = (2, 5, 10)
FOLDS = 8  # groups of subjects, each left out once: a third of what leaving out each one costs
SHOWN = 10  # samples whose attention is held against the ground truth
VIDEO_S = 12.0


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi demo --out runs/demo`")(demo)


def demo(
    out: Path = typer.Option(Path("runs/demo"), help="Folder of all results."),
    subjects: int = typer.Option(32, min=3, help="Subjects of the synthetic corpus."),
    clips: int = typer.Option(6, min=3, help="Clips per subject."),
    pretrain_steps: int = typer.Option(220, min=1, help="Steps of pre-training, 96 pairs each."),
    epochs: int = typer.Option(5, min=1, help="Epochs of each fold that trains a network."),
    seeds: int = typer.Option(3, min=1, help="Seeds of random weights and of training."),
    seed: int = typer.Option(1, help="Seed of the synthetic subjects and of pre-training."),
    jobs: int = typer.Option(-1, help="Processes; -1: one per core."),
) -> None:
    """Pre-train by MA2MI, leave subjects out, draw attention, and analyze a video.

    Pre-trains on simulated movement without a label, classifies the micro-expressions of synthetic
    subjects with and without that, draws the learning curve, and spots events in a video.
    Needs no data and no network. Ends with tables and two pages.
    """
    from ma2mi.files import hold

    with hold(out, claim="demo"):
        _run(out, subjects, clips, pretrain_steps, epochs, seeds, seed, jobs)


def _run(
    out: Path,
    subjects: int,
    clips: int,
    pretrain_steps: int,
    epochs: int,
    seeds: int,
    seed: int,
    jobs: int,
) -> None:
    from ma2mi.cli.report import write_report
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.clips.store import Recipe
    from ma2mi.evaluation.protocols import protocol
    from ma2mi.experiment import Entry, label_pairs, render_corpus, run_entry, run_entry_curve
    from ma2mi.report.tables import curve_text, score_table

    started = time.perf_counter()
    recipe, apex = Recipe(size=SIZE + 16), PairSettings()
    chosen = replace(
        protocol("synthetic-3"),
        name=f"synthetic-3, {min(FOLDS, subjects)} groups of subjects",
        splitter=_leave_groups_out,
    )
    with console.progress() as tick:
        micro = render_corpus(
            "synthetic-micro",
            out / "micro",
            subjects=subjects,
            clips=clips,
            seed=seed,
            jobs=jobs,
            on_progress=tick,
        )
    weights = _pretrain(out / "ma2mi", pretrain_steps, seed)
    with console.progress() as tick:
        labelled = label_pairs(
            micro,
            chosen,
            out / "clips",
            recipe=recipe,
            settings=apex,
            jobs=jobs,
            on_progress=tick,
        )
    plain = Entry(MODEL, size=SIZE, epochs=epochs)
    # Without pixels: what a network brings is seen where it is all that the ridge reads.
    frozen = plain.entitled("random weights, frozen + ridge", frozen=True, classifier="ridge")
    ours = frozen.entitled("MA2MI, frozen + ridge", init=weights)
    controls = [Entry(name, size=SIZE) for name in ("flow-pca", "pixels-rbf")]
    # Each row beside the row that it is tested against.
    rows = [
        (frozen, None),
        (ours, 0),
        (ours.entitled("MA2MI, action alone, frozen + ridge", branches="action"), 1),
        *((control, 1) for control in controls),
        (plain.entitled("from scratch"), None),
        (plain.entitled("after MA2MI", init=weights), 5),
    ]
    results = []
    for number, (entry, _) in enumerate(rows):
        with console.progress(entry.name) as tick:
            results.append(
                run_entry(
                    entry,
                    labelled,
                    out / "results" / f"{number}",
                    seeds=range(seeds),
                    jobs=jobs,
                    on_progress=tick,
                )
            )
    few = subjects - -(-subjects // FOLDS)  # in the fold that trains on the fewest
    sizes = [size for size in FEW if size <= few]
    curves = []
    for number, entry in enumerate((frozen, ours, *controls)):
        with console.progress(entry.name) as tick:
            curves.append(
                run_entry_curve(
                    entry,
                    labelled,
                    sizes,
                    out / "curves" / f"{number}",
                    seeds=range(seeds),
                    jobs=jobs,
                    on_progress=tick,
                )
            )
    against = [position for _, position in rows]
    page = write_report(
        out / "report.html",
        results,
        against=against,
        pretraining=weights,
        labelled=labelled,
        curves=curves,
    )
    looks = _attention_line(weights, labelled, micro)
    video = _analyze_video(out / "video", seed)
    took = time.perf_counter() - started
    console.out.print()
    for text in (score_table(results, against), "", curve_text(curves), "", looks, ""):
        console.out.print(text, markup=False)
    console.out.print(f"{took:.0f} s; look at {page}\nand at {video}")
    _write_summary(out / "summary.md", results, against, curves, looks, took)


def _leave_groups_out(subjects: Any, databases: Any = None, aliases: Any = None) -> list[Split]:
    """The subjects in groups, each of which is left out once."""
    from ma2mi.evaluation.splits import k_folds_by_subject

    k = min(FOLDS, len(set(subjects)))
    return k_folds_by_subject(subjects, k, databases=databases, aliases=aliases)


def _pretrain(folder: Path, pretrain_steps: int, seed: int) -> Path:
    """MA2MI on the flow simulator: the folder of its weights."""
    from lightning.fabric import Fabric

    from ma2mi.cli import pretraining
    from ma2mi.cli.settings import parse
    from ma2mi.training.pretrain_settings import PretrainSettings

    epochs = min(5, pretrain_steps)
    loop = {"epochs": epochs, "epoch_steps": pretrain_steps // epochs, "seed": seed}
    settings = parse(
        PretrainSettings,
        {"model": MODEL, "size": SIZE, "loop": {"batch_size": 96, "lr": 2e-3, **loop}},
    )
    fabric = Fabric(accelerator="cpu", devices=1)
    history = pretraining.pretrain_with_bar(None, folder, settings, fabric, {})
    console.out.print(pretraining.gain_line(history))
    return folder


def _attention_line(weights: Path, labelled: LabelledPairs, micro: Corpus) -> str:
    """How often the largest attention lies where the ground truth moves, in words."""
    import numpy as np

    from ma2mi.clips.batches import make_batch
    from ma2mi.experiment import choose_examples
    from ma2mi.synthesis.regions import moves_at
    from ma2mi.training.checkpoint import open_backbone
    from ma2mi.training.heatmaps import attention_map

    synthetic: SyntheticMicro = micro  # type: ignore[assignment]  # rendered above
    backbone = open_backbone(weights, len(labelled.classes)).eval()
    rows = choose_examples(labelled, SHOWN)
    batch = make_batch(labelled.pairs, rows, size=SIZE, side=backbone.input_side or SIZE)
    attention = attention_map(backbone, batch)
    if attention is None:
        return "attention: none"
    truth = {one.key: synthetic.truth(one) for one in synthetic.expressions()}
    hits = []
    for row, look in zip(rows, attention, strict=True):
        y, x = np.unravel_index(int(look.argmax()), look.shape)
        place = (float(x + 0.5) / look.shape[1], float(y + 0.5) / look.shape[0])
        hits.append(
            moves_at(truth[str(labelled.pairs.keys[row])], place, margin=(SIZE + 16) / SIZE)
        )
    return (
        f"attention after MA2MI, before any label: the largest lies in the region that moves for "
        f"{sum(hits)} of {len(hits)} samples"
    )


def _analyze_video(folder: Path, seed: int) -> Path:
    """The page of a synthetic video: a subject who talks, blinks and shows expressions."""
    from ma2mi.analysis import analyze
    from ma2mi.cli.analyze import count_events
    from ma2mi.synthesis import make_subject
    from ma2mi.synthesis.long_video import make_long_video
    from ma2mi.synthesis.long_video_settings import LongVideoSettings
    from ma2mi.video import write_video

    fps = Fraction(30)
    plan = LongVideoSettings.lifelike(VIDEO_S)
    subject = make_subject(9000 + seed)
    shown = make_long_video(subject, seed=seed, fps=fps, plan=plan)
    path = folder / "synthetic.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        frames = (shown.frame(index) for index in range(shown.frame_count))
        with console.progress("Rendering a video") as tick:
            write_video(path, _counted(frames, shown.frame_count, tick), fps, crf=18)
    analysis = analyze(path, folder / "results", videos=False)
    truth = [event for event in shown.events if event.kind in ("micro", "macro")]
    console.out.print(
        f"{VIDEO_S:.0f} s of video with {len(truth)} expressions: {count_events(analysis)}"
    )
    return folder / "results" / analysis.name / "report.html"


def _counted(frames: Any, total: int, tick: Any) -> Any:
    for number, frame in enumerate(frames, start=1):
        yield frame
        tick(Progress("render", number, total))


def _write_summary(
    path: Path, results: Any, against: Any, curves: Any, looks: str, took: float
) -> None:
    """The tables in Markdown and what they were made on, for ``make readme-figures``."""
    import torch

    from ma2mi._version import __version__
    from ma2mi.environment import processor
    from ma2mi.files import replace_file
    from ma2mi.report.styles import STYLES
    from ma2mi.report.tables import curve_tables, run_tables

    record = results[0].record
    text = "\n".join(
        [
            STYLES["markdown"](run_tables(results, against)[:1]),  # the scores
            "",
            STYLES["markdown"](curve_tables(curves)),
            "",
            f"{looks[0].upper()}{looks[1:]}. {len(results[0].pool().keys)} clips of "
            f"{len(set(results[0].pool().subjects.tolist()))} synthetic subjects, movements of 0.2 "
            f"to 0.7 px; pre-training on the flow simulator, without a label; seeds pooled; "
            f"p by paired permutation over subjects. Made by `make demo` in "
            f"{took:.0f} s on {processor()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}, torch {torch.__version__}, ma2mi {__version__}, commit "
            f"{record.commit[:12] or 'unknown'}.",
            "",
        ]
    )
    replace_file(path, text.encode())
