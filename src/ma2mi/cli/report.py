"""``ma2mi report``: one page of one or more runs."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.clips.store import PreparedClip
    from ma2mi.evaluation.learning_curve import LearningCurve
    from ma2mi.evaluation.results import RunResult
    from ma2mi.experiment import LabelledPairs
    from ma2mi.report.page import Picture


SEAL = b'<meta name="ma2mi-page" content="%s">\n'
#: What the curves of a pre-training show, by a column that they have.
CAPTIONS = {
    "retrieval": "Left: the loss. Middle: how often the later movement is found among 32 by the "
    "early one. Right: how well a ridge with few labels reads action units off the frozen features "
    "(0.5 is chance), and how often the code tells whose movement it is, which must stay at "
    "chance.",
    "copy": "The identity (no-change) baseline predicts no movement; a face hardly moves in a "
    "quarter of a second, so it is a strong baseline. A variance near 0 would be collapse.",
}


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi report runs/a runs/b --out comparison.html`")(report)


def report(
    runs: list[Path] = typer.Argument(
        ..., help="Run folders of `ma2mi benchmark`, with or without --learning-curve."
    ),
    pretraining: Path = typer.Option(None, help="Folder of `ma2mi pretrain`, for its curves."),
    out: Path = typer.Option(Path("report.html"), help="The page; its pictures go beside it."),
) -> None:
    """Write one self-contained page: table, intervals, paired tests, confusions, curves.

    A page that is there is replaced only if it was written here and not changed since.
    """
    from ma2mi.evaluation.curve_folder import is_curve, load_curves
    from ma2mi.evaluation.run_folder import load_run
    from ma2mi.report.tables import curve_text, score_table

    check_page(out)
    results = [load_run(run) for run in runs if not is_curve(run)]
    # Beside learning curves, a run is a level line, too.
    curves = load_curves(runs) if len(results) < len(runs) else []
    write_report(out, results, pretraining=pretraining, curves=curves)
    if results:
        console.out.print(score_table(results))
    if curves:
        console.out.print(curve_text(curves))
    console.list_failures(list(dict.fromkeys(line for run in results for line in run.failures)))
    console.out.print(f"page: {out}")


def write_report(
    path: Path,
    results: Sequence[RunResult],
    *,
    against: Sequence[int | None] | None = None,
    pretraining: Path | None = None,
    labelled: LabelledPairs | None = None,
    examples: Sequence[PreparedClip] = (),
    curves: Sequence[LearningCurve] = (),
) -> Path:
    """Write the page to ``path`` and its pictures to ``NAME-figures/`` beside it.

    Args:
        results: runs over the same clips.
        against: see :func:`ma2mi.report.rows.make_rows`.
        pretraining: folder whose curves, and with ``labelled`` whose attention, are shown.
        labelled: pairs whose attention is shown.
        examples: clips to show as they go by.
        curves: learning curves over the same clips.

    Raises:
        StoreError: a page or pictures stand there that were not written here, or changed since.
    """
    from ma2mi.files import replace_file, results_folder
    from ma2mi.report.page import make_page
    from ma2mi.report.run_pictures import curve_pictures, run_pictures
    from ma2mi.report.tables import curve_tables, run_tables

    tables = run_tables(results, against) if results else []
    tables += curve_tables(curves) if curves else []
    pictures = [*curve_pictures(curves), *run_pictures(results, against)]
    if pretraining:
        pictures.append(_pretraining_picture(pretraining))
    if pretraining and labelled:
        pictures += _looks(pretraining, labelled)
    pictures += [_strip(clip, i + 1) for i, clip in enumerate(examples)]
    check_page(path)
    with results_folder(path.with_name(f"{path.stem}-figures")) as folder:
        for picture in pictures:
            (folder / f"{picture.name}.png").write_bytes(picture.png)
    runs = [*results, *(run for curve in curves for each in curve.runs.values() for run in each)]
    failures = list(dict.fromkeys(line for run in runs for line in run.failures))
    title = "Micro-expressions, left-out subjects"
    page = make_page(title, tables, pictures, _facts(runs), failures)
    replace_file(path, _sealed(page.encode(errors="backslashreplace")))
    return path


def _facts(runs: Sequence[RunResult]) -> dict[str, str]:
    """What a reader needs to repeat the runs."""
    records = [run.record for run in runs]
    first = records[0]
    commits = dict.fromkeys(r.commit or "not from a checkout" for r in records)
    return {
        "protocol": first.protocol,
        "classes": ", ".join(first.classes),
        "data hash": first.data_hash,
        "version": ", ".join(dict.fromkeys(r.version for r in records)),
        "commit": ", ".join(commits),
        **({"prior": prior} if (prior := _priors(runs)) else {}),
        "seeds": ", ".join(map(str, sorted({seed for r in records for seed in r.seeds}))),
        "subjects in pre-training": str(max(len(r.pretraining_subjects) for r in records)),
    }


def _priors(runs: Sequence[RunResult]) -> str:
    """How common the classes were taken to be, where weights were evaluated without training."""
    learners = [run.record.settings.get("learner") for run in runs]
    found = [str(one["prior"]) for one in learners if isinstance(one, dict) and "prior" in one]
    return ", ".join(dict.fromkeys(found))


def _pretraining_picture(folder: Path) -> Picture:
    from ma2mi.report.figures import draw_pretraining
    from ma2mi.report.page import Picture

    history = _read_log(folder / "log.csv")
    caption = CAPTIONS["retrieval" if "retrieval" in history[0] else "copy"]
    png = draw_pretraining(history)
    return Picture("pretraining", "Pre-training, on held-out subjects", caption, png)


def check_page(path: Path) -> None:
    """Refuse to replace what is no page of ours, or one that was changed since.

    Raises:
        SettingsError: nothing may be written there.
        StoreError: with the hint.
    """
    from ma2mi.errors import StoreError

    console.new_file(path)
    if not path.exists():
        return
    page = path.read_bytes()
    if _sealed(page) != page or not re.search(SEAL % b"[0-9a-f]{64}", page):
        raise StoreError(
            "was not written by ma2mi report, or was changed since",
            where=path,
            hint="Move it away, or name another --out",
        )


def _sealed(page: bytes) -> bytes:
    """The page with the digest of all else in it, by which a change is seen."""
    bare = re.sub(SEAL % b"[0-9a-f]*", b"", page)
    seal = SEAL % hashlib.sha256(bare).hexdigest().encode()
    return bare.replace(b"</head>", seal + b"</head>", 1)


def _read_log(path: Path) -> list[dict[str, float]]:
    """The figures of each epoch, as ``ma2mi pretrain`` keeps them.

    Raises:
        CheckpointError: there is no such table, or it holds no epoch.
    """
    from ma2mi.errors import CheckpointError

    hint = "Give a folder of ma2mi pretrain"
    try:
        with path.open(encoding="utf-8", newline="") as sheet:
            lines = list(csv.DictReader(sheet))
        # Epochs of a version before may lack a figure.
        history = [
            {name: float(value) for name, value in line.items() if value != ""} for line in lines
        ]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise CheckpointError(
            f"no log of a pre-training ({error})", where=path, hint=hint
        ) from error
    drawn = [name for name in ("retrieval", "copy") if history and name in history[0]]
    needed = {"retrieval": ("epoch", "loss"), "copy": ("epoch", "loss", "gain", "variance")}
    if not drawn or any(name not in history[0] for name in needed[drawn[0]]):
        raise CheckpointError("holds no epoch of a pre-training", where=path, hint=hint)
    return history


def _strip(clip: PreparedClip, number: int, count: int = 8) -> Picture:
    """A clip as ``count`` frames at equal steps, its apex among them."""
    import numpy as np

    from ma2mi.clips.sampling import onset_apex
    from ma2mi.report.figures import draw_strip
    from ma2mi.report.page import Picture

    onset, apex = onset_apex(clip)
    rows = np.linspace(0, len(clip.frames) - 1, count).round().astype(int)
    rows[np.abs(rows - apex).argmin()] = apex
    captions = [
        f"{float(clip.times_s[row] - clip.times_s[onset]) * 1000:.0f} ms"
        + (" apex" if row == apex else "")
        for row in rows
    ]
    return Picture(
        f"clip-{number}",
        f"Example clip: {clip.marks['emotion']}",
        f"Crops of {clip.key} under one warp; times from the onset.",
        draw_strip(clip.frames[rows], captions),
    )


def _looks(weights: Path, labelled: LabelledPairs, count: int = 8) -> list[Picture]:
    """Attention over onset-apex pairs: the first clip of each class and subject in turn."""
    import numpy as np
    import torch

    from ma2mi.clips.batches import make_batch
    from ma2mi.motion import draw_flow
    from ma2mi.report.figures import draw_attention
    from ma2mi.report.page import Picture
    from ma2mi.training.checkpoint import open_backbone, read_config

    size = read_config(weights)["size"]
    backbone = open_backbone(weights, len(labelled.classes)).eval()
    chosen: list[int] = []
    for turn in range(count):
        label = turn % len(labelled.classes)
        taken = {labelled.pairs.subjects[i] for i in chosen}
        fresh = [
            i
            for i in np.flatnonzero(labelled.labels == label)
            if labelled.pairs.subjects[i] not in taken
        ]
        chosen += [int(i) for i in fresh[:1]]
    rows = np.array(chosen)
    with torch.no_grad():
        batch = make_batch(
            labelled.pairs,
            rows,
            size=size,
            side=backbone.input_side or size,
            action_input=backbone.action_input,
        )
        attention = backbone.grid(batch.position, batch.action).attention
    if attention is None:
        return []
    pairs = labelled.pairs[rows]
    flows = np.stack([draw_flow(a[..., :2].astype(np.float32)) for a in pairs.action])
    margin = (pairs.first.shape[1] - size) // 2
    middle = slice(margin, margin + size)
    titles = [labelled.classes[labelled.labels[i]] for i in chosen]
    png = draw_attention(
        pairs.first[:, middle, middle],
        pairs.second[:, middle, middle],
        flows[:, middle, middle] if flows.shape[1] == pairs.first.shape[1] else flows,
        attention[:, 0].numpy(),
        titles,
    )
    return [
        Picture(
            "attention",
            "Where the action branch looks",
            "Clips of different subjects: onset, apex, optical flow from one to the other (hue: "
            "direction; strength: length), and the attention of the pre-trained network before "
            "any label was seen.",
            png,
        )
    ]
