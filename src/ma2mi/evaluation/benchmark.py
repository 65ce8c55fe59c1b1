"""The benchmark: fit a learner on every fold, score its predictions on the subjects left out.

The learner never receives a test label: the function that runs a fold is handed the training
labels only, so choosing anything on the left-out subjects cannot even be written.
"""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import JsonValue
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ma2mi import _version
from ma2mi.errors import EvaluationError
from ma2mi.evaluation.checks import (
    check_databases,
    check_rows,
    checked_labels,
    checked_probabilities,
    missing_classes,
)
from ma2mi.evaluation.engines import Backend, as_completed
from ma2mi.evaluation.learner import Clips, EpochPredictor, Learner, Predictor, Probabilities
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.protocols import protocol as protocol_named
from ma2mi.evaluation.results import (
    BestOnTest,
    CodeChanged,
    FoldResult,
    RunFolder,
    RunRecord,
    RunResult,
    predicted_labels,
)
from ma2mi.evaluation.splits import Split, SubjectIds, TrainingDraw, draw_training, subject_ids
from ma2mi.files import code_digest, hold
from ma2mi.progress import OnProgress, Progress


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
        aliases: other names of the same subjects, see ``splits.subject_ids``.
        settings: the caller's settings, written to the run folder beside the learner's.
        pretraining_subjects: those that the learner was pre-trained on, named as in
            ``splits.subject_ids``.
        clips_hash: of the clips' bytes, where ``clips`` is not an array (arrays are hashed here).
        training: give each fold so many of its training subjects; None: all of them. See
            ``learning_curve.run_learning_curve``, which repeats this.

    Raises:
        EvaluationError: anything wrong with clips, labels, subjects, predictions or ``out``;
            the message names the row or the clip.
        Busy: another process works in ``out``.
    """
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    names = protocol.classes or tuple(classes)
    if classes and tuple(classes) != names:
        raise EvaluationError(
            f"classes {', '.join(classes)}",
            where=protocol.name,
            cure=f"Its classes are {', '.join(names)}",
        )
    truth = checked_labels(labels, names, keys, protocol)
    ids = subject_ids(subjects, databases, aliases)
    check_rows(clips, keys, ids, truth)
    check_databases(databases, protocol)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise EvaluationError(f"seeds {tuple(seeds)}", cure="Give each seed once, from 0 on")
    if protocol.trains and not hasattr(learner, "fit"):
        raise EvaluationError("cannot fit", where=type(learner).__name__, cure="Give a Learner")
    splits = protocol.splitter(subjects, databases, aliases)
    if training:
        splits = [draw_training(s, ids, truth[s.train], training) for s in splits]
    bases = [""] * len(keys) if databases is None else [str(base) for base in databases]
    record = RunRecord(
        version=_version.__version__,
        commit=_commit(),
        code=code_digest(),
        protocol=protocol.name,
        classes=names,
        multi_label=bool(protocol.units),
        metrics=protocol.metrics,
        learner=str(getattr(learner, "name", type(learner).__name__)),
        settings=_plain({"learner": getattr(learner, "settings", {}), "run": settings or {}}),
        data_hash=_data_hash(clips, clips_hash, keys, truth, ids, bases),
        seeds=tuple(int(seed) for seed in seeds),
        aliases=dict(aliases or {}),
        pretraining_subjects=tuple(sorted(pretraining_subjects)),
        also_best_on_test=also_best_on_test,
        training=training,
        notes=_run_notes(protocol, ids, pretraining_subjects, aliases),
    )
    tasks = [(seed, number) for seed in record.seeds for number in range(len(splits))]
    with ExitStack() as stack:
        folder = None
        finished: dict[tuple[int, str], FoldResult] = {}
        if out is not None:
            stack.enter_context(hold(Path(out), claim="benchmark"))
            folder = RunFolder(out, record)
            wanted = {(seed, splits[number].name) for seed, number in tasks}
            finished = {at: fold for at, fold in folder.finished().items() if at in wanted}
        if folder and folder.by_other_code and 0 < len(finished) < len(tasks):
            warnings.warn(
                CodeChanged(f"{out}: goes on with folds of another state of ma2mi's code"),
                stacklevel=2,
            )
        fit_s: dict[tuple[int, str], float] = {}

        done = 0

        def report(fold: FoldResult, seconds: float, *, resumed: bool) -> None:
            nonlocal done
            done += 1
            if on_progress:
                detail = FoldProgress(fold.seed, fold.fold, seconds, resumed)
                on_progress(Progress("folds", done, len(tasks), detail))

        for fold in list(finished.values()):
            report(fold, 0.0, resumed=True)
        # Training labels only: the truth of the left-out subjects stays in this process.
        calls = [
            (
                learner,
                (seed, number),
                splits[number],
                truth[splits[number].train],
                ids[splits[number].train],
                also_best_on_test,
            )
            for seed, number in tasks
            if (seed, splits[number].name) not in finished
        ]
        outcomes = as_completed(
            _run_fold, clips, calls, backend=backend, jobs=jobs, cluster=cluster
        )
        for (seed, number), output in outcomes:
            split = splits[number]
            fold = _fold_result(output, seed, split, keys, ids, bases, truth, names, protocol)
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


@dataclass(frozen=True)
class _FoldOutput:
    """Output of a fold: probabilities, those of every epoch if requested, and the time."""

    probabilities: ArrayLike
    epochs: ArrayLike | None
    chosen: dict[str, JsonValue]
    fit_s: float


def _run_fold(
    clips: Clips,
    learner: Learner | Predictor,
    task: tuple[int, int],
    split: Split,
    labels: NDArray[np.int64],
    ids: SubjectIds,
    all_epochs: bool,
) -> tuple[tuple[int, int], _FoldOutput]:
    """Fit and predict one fold, in whichever process; labels and subjects are those of training."""
    start = time.perf_counter()
    # One thread: sums come out in the same order on every machine and with every backend.
    with threadpool_limits(1):
        try:
            predictor = copy.deepcopy(learner)
            if len(split.train):
                seeded = cast(Learner, predictor).reseed(task[0])
                predictor = seeded.fit(_picked(clips, split.train), labels.copy(), ids.copy())
            test = _picked(clips, split.test)
            probabilities = cast(Predictor, predictor).predict(test)
            epochs = _all_epochs(predictor, test) if all_epochs else None
        except Exception as error:
            error.add_note(f"in the fold that leaves out {split.name}, seed {task[0]}")
            raise
    chosen = _plain(getattr(predictor, "chosen", {}))
    return task, _FoldOutput(probabilities, epochs, chosen, time.perf_counter() - start)


def _picked(clips: Clips, rows: NDArray[np.int64]) -> object:
    part = clips[rows]
    # joblib hands large arrays to its workers as memory maps; a learner sees a plain array.
    return np.asarray(part) if isinstance(part, np.ndarray) else part


def _all_epochs(predictor: object, clips: object) -> Probabilities:
    if not isinstance(predictor, EpochPredictor):
        raise EvaluationError(
            "remembers no epochs",
            where=type(predictor).__name__,
            cure="Leave out --also-report-best-on-test, or take a learner with predict_epochs",
        )
    return predictor.predict_epochs(clips)


def _fold_result(
    output: _FoldOutput,
    seed: int,
    split: Split,
    keys: Sequence[str],
    ids: SubjectIds,
    bases: Sequence[str],
    truth: NDArray[np.int64],
    names: tuple[str, ...],
    protocol: Protocol,
) -> FoldResult:
    """Check the output of a fold and put the truth beside it."""
    test_keys = tuple(str(keys[row]) for row in split.test)
    where = f"fold {split.name}, seed {seed}"
    multi_label = bool(protocol.units)
    honest = checked_probabilities(
        output.probabilities, test_keys, len(names), multi_label=multi_label, where=where
    )
    best = None
    if output.epochs is not None:
        epochs = [
            checked_probabilities(
                epoch, test_keys, len(names), multi_label=multi_label, where=f"{where}, epoch {e}"
            )
            for e, epoch in enumerate(np.asarray(output.epochs))
        ]
        if not epochs:
            raise EvaluationError("predict_epochs gave no epoch", where=where)
        right = [
            float((predicted_labels(epoch, multi_label=multi_label) == truth[split.test]).mean())
            for epoch in epochs
        ]
        epoch = int(np.argmax(right))
        best = BestOnTest(epoch=epoch, probabilities=_rows(epochs[epoch]))
    return FoldResult(
        fold=split.name,
        seed=seed,
        keys=test_keys,
        subjects=tuple(ids[split.test].tolist()),
        databases=tuple(bases[row] for row in split.test),
        truth=_rows(truth[split.test]),
        probabilities=_rows(honest),
        train_subjects=split.train_subjects,
        chosen=output.chosen,
        notes=_fold_notes(truth[split.train], names, protocol),
        best_on_test=best,
    )


def _rows(array: NDArray[np.generic]) -> tuple:  # type: ignore[type-arg]
    rows = array.tolist()
    return tuple(tuple(row) if isinstance(row, list) else row for row in rows)


def _fold_notes(
    labels: NDArray[np.int64], names: Sequence[str], protocol: Protocol
) -> tuple[str, ...]:
    lacking = missing_classes(labels, names, protocol) if protocol.trains else []
    return (f"no training subject shows {', '.join(lacking)}",) if lacking else ()


def _run_notes(
    protocol: Protocol,
    ids: SubjectIds,
    pretraining_subjects: Sequence[str],
    aliases: Mapping[str, str] | None,
) -> tuple[str, ...]:
    notes = []
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


def _plain(tree: object) -> dict[str, JsonValue]:
    """The tree as JSON has it: tuples become lists, paths text; anything else is refused."""
    try:
        plain = json.loads(json.dumps(tree, default=_simple, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"settings cannot be written: {error}") from error
    return cast(dict[str, JsonValue], plain)


def _simple(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def _data_hash(
    clips: Clips,
    clips_hash: str,
    keys: Sequence[str],
    truth: NDArray[np.int64],
    ids: SubjectIds,
    bases: Sequence[str],
) -> str:
    if isinstance(clips, np.ndarray):
        head = f"{clips.dtype.str} {clips.shape}".encode()
        clips_hash = hashlib.sha256(head + np.ascontiguousarray(clips).tobytes()).hexdigest()
    table = [list(map(str, keys)), truth.tolist(), ids.tolist(), list(bases), clips_hash]
    return hashlib.sha256(json.dumps(table).encode()).hexdigest()


@cache
def _commit() -> str | None:
    """The commit of the checkout that ma2mi runs from, with "-dirty" if changed; None elsewhere."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        shown = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # no git here, or a checkout without a commit
    return shown.stdout.strip()
