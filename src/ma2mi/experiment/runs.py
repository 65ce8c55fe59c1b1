"""Runs: an entry through a protocol, or through its learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ma2mi.evaluation.audit import FINGERPRINTS, write_fingerprints
from ma2mi.evaluation.benchmark import run_benchmark
from ma2mi.evaluation.curve_runs import run_learning_curve
from ma2mi.evaluation.exposure import refuse_trained
from ma2mi.evaluation.learner import Clips, Learner
from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_folder import write_failures
from ma2mi.evaluation.subjects import subject_ids
from ma2mi.experiment.entries import Entry
from ma2mi.experiment.labelled import LabelledPairs
from ma2mi.files import digest
from ma2mi.training.checkpoint import CONFIG, find_weights, read_config, weights_digest
from ma2mi.training.tracking import track_curve, track_run


def run_entry(
    entry: Entry,
    labelled: LabelledPairs,
    out: Path | str | None = None,
    *,
    seeds: Sequence[int] = (0,),
    services: Sequence[str] = (),
    **options: Any,
) -> RunResult:
    """Run an entry through the protocol of the labelled pairs.

    Args:
        entry: what is fitted in every fold.
        labelled: pairs with labels.
        out: run folder; a run that was killed goes on from there. None writes nothing.
        seeds: a whole run for each.
        services: where the run is tracked beside ``out``, see ``training.tracking.Service``.
        options: ``jobs``, ``backend``, ``cluster``, ``aliases``, ``also_best_on_test`` and
            ``on_progress`` as in :func:`ma2mi.run_benchmark`.

    Raises:
        SettingsError, CheckpointError: the entry and its weights do not fit the pairs.
        EvaluationError: ``out`` holds a run of other settings, or the weights learned from
            labelled clips of a subject who would be tested.

    Example:
        >>> corpus = ma2mi.open_corpus("casme2", "data/casme2")
        >>> labelled = ma2mi.label_pairs(corpus, "loso", "runs/clips")
        >>> entry = ma2mi.Entry("miacnet-tiny", init=Path("runs/ma2mi"), frozen=True)
        >>> ma2mi.run_entry(entry, labelled, "runs/casme2").scores()["mean"]["uf1"]
    """
    check_unseen(entry.weights, tested_subjects(labelled), options.get("aliases"))
    learner, clips, known = arrange(entry, labelled, seeds)
    result = run_benchmark(learner, clips, protocol=labelled.protocol, out=out, **known, **options)
    result = replace(result, failures=labelled.failures)
    if out is not None:
        _write_beside(Path(out), labelled)
        track_run(Path(out), result, services)
    return result


def _write_beside(out: Path, labelled: LabelledPairs) -> None:
    """What a run folder holds of the corpus: fingerprints of its clips, and what failed."""
    write_fingerprints(out / FINGERPRINTS, labelled.prints)
    write_failures(out, labelled.failures)


def run_entry_curve(
    entry: Entry,
    labelled: LabelledPairs,
    sizes: Sequence[int],
    out: Path | str | None = None,
    *,
    seeds: Sequence[int] = (0,),
    services: Sequence[str] = (),
    **options: Any,
) -> LearningCurve:
    """Repeat the protocol with few training subjects a fold.

    Features of a frozen network are computed once for the whole curve.

    Args:
        entry, labelled, out, seeds, services: as in :func:`run_entry`.
        sizes: numbers of training subjects.
        options: ``draws`` and those of :func:`run_entry`, see
            :func:`ma2mi.evaluation.curve_runs.run_learning_curve`.
    """
    check_unseen(entry.weights, tested_subjects(labelled), options.get("aliases"))
    learner, clips, known = arrange(entry, labelled, seeds)
    curve = run_learning_curve(
        learner,
        clips,
        protocol=labelled.protocol,
        sizes=sizes,
        out=Path(out) if out is not None else None,
        on_run=lambda place: _write_beside(place, labelled),
        **known,
        **options,
    )
    if out is not None:
        track_curve(Path(out), curve, services)
    return curve


def arrange(
    entry: Entry, labelled: LabelledPairs, seeds: Sequence[int]
) -> tuple[Learner, Clips, dict[str, Any]]:
    """The learner, the clips as it takes them, and what else ``run_benchmark`` must know."""
    learner, clips = entry.build_learner(
        labelled.pairs, labelled.classes, seeds, units=bool(labelled.protocol.units)
    )
    seen, trained = seen_subjects(entry.weights)
    weights = weights_digest(entry.weights) if entry.weights else ""
    like = ""
    if entry.like:  # of random weights only what the network is like counts
        like = digest(find_weights(entry.like) / CONFIG)
    options = {
        "labels": labelled.labels,
        "subjects": labelled.pairs.subjects.tolist(),
        "keys": labelled.pairs.keys.tolist(),
        "databases": labelled.databases,
        "classes": labelled.classes,
        "seeds": seeds,
        "settings": {
            "corpus": labelled.corpus,
            "model": entry.model,
            "branches": entry.branches,
            "frozen": entry.frozen,
            "zero_shot": entry.zero_shot,
            "weights_sha256": weights,
            "like_sha256": like,
            "size": entry.size,
            "pairs": labelled.settings.model_dump(mode="json"),
        },
        "pretraining_subjects": seen,
        "trained_subjects": trained,
        "training_only": labelled.training_only,
        "clips_hash": labelled.clips_hash,
    }
    return learner, clips, options


def check_unseen(
    weights: Path | None, tested: Sequence[str], aliases: Mapping[str, str] | None = None
) -> None:
    """Refuse weights that learned from labelled clips of subjects who would be tested.

    Args:
        weights: folder; its config alone is read.
        tested: as "database/subject".
        aliases: other names of the same subjects, see ``evaluation.subjects.subject_ids``.

    Raises:
        EvaluationError: names some of them.
    """
    _, trained = seen_subjects(weights)
    ids = subject_ids(list(tested), None, aliases)
    refuse_trained(ids, trained, aliases, where=weights or "")


def tested_subjects(labelled: LabelledPairs) -> list[str]:
    """As "database/subject"; without those whose clips are only trained on."""
    only = labelled.training_only
    pairs = zip(labelled.databases, labelled.pairs.subjects.tolist(), strict=True)
    return sorted(
        {f"{base}/{one}" for i, (base, one) in enumerate(pairs) if only is None or not only[i]}
    )


def seen_subjects(weights: Path | None) -> tuple[list[str], list[str]]:
    """Who is in a folder of weights, as "database/subject": without labels, and with labels."""
    if not weights:
        return [], []
    config = read_config(weights)
    trained: list[str] = config.get("trained_subjects", [])
    return [one for one in config.get("people", []) if one not in trained], trained
