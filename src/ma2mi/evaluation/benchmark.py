"""The benchmark: fit a learner on every fold, score its predictions on the subjects left out.

The learner never receives a test label: the function that runs a fold is handed the training
labels only, so choosing anything on the left-out subjects cannot even be written.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ma2mi import _version
from ma2mi.environment import code_commit
from ma2mi.errors import EvaluationError
from ma2mi.evaluation.checks import (
    check_rows,
    checked_labels,
)
from ma2mi.evaluation.engines import Backend, as_completed
from ma2mi.evaluation.exposure import (
    Mask,
    refuse_trained,
    split_tested,
    training_only_rows,
    with_others,
)
from ma2mi.evaluation.folds import Examples, FoldOutput, fold_result, run_fold
from ma2mi.evaluation.learner import Clips, Learner, Predictor
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.protocols import protocol as protocol_named
from ma2mi.evaluation.provenance import hash_data, plain_values
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_folder import CodeChanged, RunFolder
from ma2mi.evaluation.run_record import FoldResult, RunRecord
from ma2mi.evaluation.splits import Split
from ma2mi.evaluation.subjects import SubjectIds, subject_ids
from ma2mi.evaluation.training_draws import TrainingDraw, draw_training
from ma2mi.files import code_digest, hold
from ma2mi.progress import OnProgress, Progress, ignore


@dataclass(frozen=True)
class FoldProgress:
    """What ``on_progress`` receives as ``detail`` after each fold.

    Args:
        done, total: folds, over all seeds.
        seed, fold: the one that is done.
        fit_s: seconds of fitting and predicting; 0 for a fold that was read back.
        resumed: whether it was read back from the run folder.
    """

    seed: int
    fold: str
    fit_s: float
    resumed: bool


def run_benchmark(
    learner: Learner | Predictor,
    clips: Clips,
    labels: ArrayLike,
    subjects: Sequence[str] | SubjectIds,
    *,
    keys: Sequence[str],
    protocol: Protocol | str,
    databases: Sequence[str] | SubjectIds | None = None,
    classes: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    backend: Backend = "loky",
    cluster: str | None = None,
    out: Path | str | None = None,
    on_progress: OnProgress | None = None,
    also_best_on_test: bool = False,
    aliases: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    pretraining_subjects: Sequence[str] = (),
    trained_subjects: Sequence[str] = (),
    training_only: ArrayLike | None = None,
    clips_hash: str = "",
    training: TrainingDraw | None = None,
) -> RunResult:
    """Leave subjects out, fit on the others, predict, pool, score.

    The result does not depend on ``jobs``, ``backend`` or interruptions: every fold starts
    from a fresh copy of the learner and computes with one thread.

    Args:
        learner: what to fit; for a protocol that trains nothing, a predictor.
        clips: n clips.
        labels: [n], ints 0..classes-1, as from ``LabelSet.encode`` without the dropped;
            for action units 0/1 [n, units].
        subjects: [n], the subject of each clip, in the database's words.
        keys: [n], the clips' unique names.
        protocol: a protocol or its name.
        databases: [n], where the clips come from.
        classes: names of the classes, for protocols without a label set.
        seeds: a whole run for each.
        jobs: folds at a time; -1 for one a core.
        backend: how they run side by side; "dask" and "ray" start a local cluster unless
            ``cluster`` gives the address of one.
        out: run folder; a run that was interrupted there goes on, finished folds are kept.
        on_progress: called after each fold, in this process; ``detail`` is a ``FoldProgress``.
        also_best_on_test: compute the best-on-test score (optimistically biased), too: that of
            the epoch that is best on the left-out subjects, kept apart and stamped as selected on
            test data.
        aliases: other names of the same subjects, see ``subjects.subject_ids``.
        settings: the caller's settings, written to the run folder beside the learner's.
        pretraining_subjects: those that the learner was pre-trained on, named as in
            ``subjects.subject_ids``.
        trained_subjects: those from whose labelled clips its weights were learned before, named
            likewise; none of them may be tested.
        training_only: bool [n], clips that join the training of every fold but those that test
            their subject, and are never tested.
        clips_hash: of the clips' bytes, where ``clips`` is not an array (arrays are hashed here).
        training: give each fold so many of its training subjects; None: all of them. See
            ``curve_runs.run_learning_curve``, which repeats this.

    Raises:
        EvaluationError: anything wrong with clips, labels, subjects, predictions or ``out``;
            the message names the row or the clip.
        Busy: another process works in ``out``.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    names, only = _check_run(learner, protocol, classes, seeds, training_only, len(keys))
    truth = checked_labels(labels, names, keys, protocol, ~only)
    ids = subject_ids(subjects, databases, aliases)
    check_rows(clips, keys, ids, truth)
    refuse_trained(ids[~only], trained_subjects, aliases, getattr(learner, "name", ""))
    splits = split_tested(protocol, subjects, databases, aliases, only)
    splits = [with_others(s, ids, only) for s in _drawn(splits, ids, truth, training)]
    bases = [""] * len(keys) if databases is None else [str(base) for base in databases]
    record = RunRecord(
        **_code_and_scoring(protocol),
        classes=names,
        learner=str(getattr(learner, "name", type(learner).__name__)),
        settings=plain_values({"learner": getattr(learner, "settings", {}), "run": settings or {}}),
        data_hash=hash_data(clips, clips_hash, keys, truth, ids, bases),
        seeds=tuple(int(seed) for seed in seeds),
        aliases=dict(aliases or {}),
        **_seen_before(pretraining_subjects, trained_subjects),
        **_joined(keys, ids, only, training),
        also_best_on_test=also_best_on_test,
        notes=_run_notes(protocol, ids, only, pretraining_subjects, aliases),
    )
    examples = Examples(keys, ids, bases, truth, names, protocol)
    engine = partial(as_completed, backend=backend, jobs=jobs, cluster=cluster)
    return _run_folds(record, learner, clips, examples, splits, out, on_progress or ignore, engine)


def _code_and_scoring(protocol: Protocol) -> dict[str, Any]:
    """How a record says by what code a run is computed, and how its predictions are scored."""
    return {
        **_code_state(),
        "protocol": protocol.name,
        "multi_label": bool(protocol.units),
        "metrics": protocol.metrics,
    }


def _seen_before(without_labels: Sequence[str], with_labels: Sequence[str]) -> dict[str, Any]:
    """How a record says who is in the weights."""
    return {
        "pretraining_subjects": tuple(sorted(without_labels)),
        "trained_subjects": tuple(sorted(with_labels)),
    }


def _check_run(
    learner: Learner | Predictor,
    protocol: Protocol,
    classes: Sequence[str],
    seeds: Sequence[int],
    training_only: ArrayLike | None,
    count: int,
) -> tuple[tuple[str, ...], Mask]:
    """The names of the classes, and which of ``count`` rows are only trained on, if learner,
    classes and seeds fit the protocol.
    """
    names = protocol.classes or tuple(classes)
    if classes and tuple(classes) != names:
        raise EvaluationError(
            f"classes {', '.join(classes)}",
            where=protocol.name,
            hint=f"Its classes are {', '.join(names)}",
        )
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise EvaluationError(f"seeds {tuple(seeds)}", hint="Give each seed once, from 0 on")
    if protocol.trains and not hasattr(learner, "fit"):
        raise EvaluationError("cannot fit", where=type(learner).__name__, hint="Give a Learner")
    return names, training_only_rows(training_only, count, protocol)


def _drawn(
    splits: list[Split], ids: SubjectIds, truth: NDArray[np.int64], training: TrainingDraw | None
) -> list[Split]:
    if training is None:
        return splits
    return [draw_training(split, ids, truth[split.train], training) for split in splits]


def _code_state() -> dict[str, Any]:
    return {"version": _version.__version__, "commit": code_commit(), "code": code_digest()}


def _run_folds(
    record: RunRecord,
    learner: Learner | Predictor,
    clips: Clips,
    examples: Examples,
    splits: Sequence[Split],
    out: Path | str | None,
    on_progress: OnProgress,
    engine: Callable[..., Iterator[tuple[tuple[int, int], FoldOutput]]],
) -> RunResult:
    """All folds of all seeds: those in the run folder are read back, the others run."""
    tasks = [(seed, number) for seed in record.seeds for number in range(len(splits))]
    fit_s: dict[tuple[int, str], float] = {}
    done = 0

    def report(fold: FoldResult, seconds: float, *, resumed: bool) -> None:
        nonlocal done
        done += 1
        detail = FoldProgress(fold.seed, fold.fold, seconds, resumed)
        on_progress(Progress("folds", done, len(tasks), detail))

    with _held_folder(out, record) as folder:
        wanted = {(seed, splits[number].name) for seed, number in tasks}
        kept = folder.finished() if folder else {}
        finished = {at: fold for at, fold in kept.items() if at in wanted}
        if folder and folder.by_other_code and 0 < len(finished) < len(tasks):
            changed = f"{out}: goes on with folds of another state of ma2mi's code"
            warnings.warn(CodeChanged(changed), stacklevel=3)
        for fold in list(finished.values()):
            report(fold, 0.0, resumed=True)
        calls = [
            _call(learner, (seed, number), splits[number], examples, record.also_best_on_test)
            for seed, number in tasks
            if (seed, splits[number].name) not in finished
        ]
        for (seed, number), output in engine(run_fold, clips, calls):
            split = splits[number]
            fold = fold_result(output, seed, split, examples)
            finished[seed, split.name] = fold
            fit_s[seed, split.name] = output.fit_s
            if folder:
                folder.add(number, fold, output.fit_s)
            report(fold, output.fit_s, resumed=False)
        ordered = tuple(finished[seed, splits[number].name] for seed, number in tasks)
        result = RunResult(record, ordered, fit_s)
        if folder:
            folder.finish(result)
    return result


@contextmanager
def _held_folder(out: Path | str | None, record: RunRecord) -> Iterator[RunFolder | None]:
    """The run folder, held while it is written; None without ``out``."""
    if out is None:
        yield None
        return
    with hold(Path(out), claim="benchmark"):
        yield RunFolder(out, record)


def _call(
    learner: Learner | Predictor,
    task: tuple[int, int],
    split: Split,
    examples: Examples,
    all_epochs: bool,
) -> tuple[object, ...]:
    """Arguments of a fold: training labels only, the truth of the test clips stays here."""
    truth, subjects = examples.truth[split.train], examples.subjects[split.train]
    return learner, task, split, truth, subjects, all_epochs


def _joined(
    keys: Sequence[str], ids: SubjectIds, only: Mask, training: TrainingDraw | None
) -> dict[str, Any]:
    """How a record says what joins the training, and how many subjects each fold trains on."""
    rows = np.flatnonzero(only).tolist()
    return {
        "train_also": {
            str(one): tuple(str(keys[row]) for row in rows if ids[row] == one)
            for one in np.unique(ids[only])
        },
        "training": training,
    }


def _run_notes(
    protocol: Protocol,
    ids: SubjectIds,
    only: Mask,
    pretraining_subjects: Sequence[str],
    aliases: Mapping[str, str] | None,
) -> tuple[str, ...]:
    notes = []
    others, ids = np.unique(ids[only]), ids[~only]
    both = sorted(set(others.tolist()) & set(ids.tolist()))
    if both:
        notes.append(
            f"tested, and also in the clips that only join the training: {', '.join(both)}; where "
            "they are tested, those clips are left out"
        )
    given = (len(ids), len(np.unique(ids)))
    if protocol.clips and given != (protocol.clips, protocol.subjects):
        notes.append(
            f"{protocol.name} has {protocol.clips} clips of {protocol.subjects} subjects, these "
            f"are {given[0]} of {given[1]}: not comparable with published scores"
        )
    seen = {str(name) for name in subject_ids(list(pretraining_subjects), None, aliases)}
    known = sorted(seen & set(ids.tolist()))
    if known:
        notes.append(f"test subjects that are in the pre-training: {', '.join(known)}")
    return tuple(notes)
