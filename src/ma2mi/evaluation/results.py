"""Results: predictions of each fold, scores of their pool, and the folder on disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ma2mi.errors import EvaluationError, store_error
from ma2mi.evaluation.metrics import (
    METRICS,
    Absent,
    confusion_matrix,
    fold_mean_f1,
    mean_unit_f1,
    per_class,
    unit_f1,
)
from ma2mi.evaluation.splits import TrainingDraw
from ma2mi.files import (
    WRITTEN,
    digest,
    file_name,
    list_written,
    read_written,
    replace_file,
)

SELECTED_ON_TEST = "selected on test data"

Labels = tuple[int, ...] | tuple[tuple[int, ...], ...]
Rows = tuple[tuple[float, ...], ...]
Tree = dict[str, Any]
"""Plain values as JSON has them."""


class CodeChanged(UserWarning):
    """A run goes on with what another state of ma2mi's code has computed."""


#: Differences that are named; of more the number is given.
NAMED = 4


def flat(tree: Mapping[str, Any], above: str = "") -> Tree:
    """``{"loop": {"lr": 0.1}}`` as ``{"loop.lr": 0.1}``."""
    plain: Tree = {}
    for name, value in tree.items():
        path = f"{above}{name}"
        plain |= flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return plain


def named_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two flat trees differ in, in words, setting by setting; "" if in nothing."""
    differ = [
        name
        for name in sorted(before.keys() | now.keys())
        if name not in before or name not in now or before[name] != now[name]
    ]
    lines = [
        f"{name} was {_short(before, name)}, is {_short(now, name)}" for name in differ[:NAMED]
    ]
    more = f", and {len(differ) - NAMED} more" if len(differ) > NAMED else ""
    return "; ".join(lines) + more


def _short(values: Mapping[str, Any], name: str) -> str:
    text = json.dumps(values[name]) if name in values else "not there"
    return text if len(text) <= 40 else f"{text[:16]}..."


class _Record(BaseModel):
    # Names that are written to files stay what they were: "people" is the alias of ``subjects``.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )


AnyRecord = TypeVar("AnyRecord", bound=_Record)


class BestOnTest(_Record):
    """The epoch that is best on the left-out subjects: an optimistically biased score.

    Args:
        epoch: counted from 0, the first of equals.
        probabilities: of that epoch, [clips, classes].
        stamp: shown wherever the score is shown.
    """

    epoch: int
    probabilities: Rows
    stamp: Literal["selected on test data"] = "selected on test data"


class FoldResult(_Record):
    """One fold of one seed: the left-out clips and the predictions of the learner.

    Args:
        fold: name of the left-out subject or database.
        seed: what the learner was seeded with.
        keys, subjects, databases, truth: one a clip; ``truth`` has one int, or one 0/1 a unit.
        probabilities: [clips, classes].
        train_subjects: those it was trained on.
        chosen: what was chosen, and on what, as the learner reports it.
        notes: what a reader should know, such as a class that no training subject shows.
        best_on_test: only where requested.
    """

    fold: str
    seed: int
    keys: tuple[str, ...]
    subjects: tuple[str, ...] = Field(alias="subjects")
    databases: tuple[str, ...]
    truth: Labels
    probabilities: Rows
    train_subjects: tuple[str, ...] = Field(alias="train_people")
    chosen: dict[str, JsonValue] = {}
    notes: tuple[str, ...] = ()
    best_on_test: BestOnTest | None = None


class RunRecord(_Record):
    """What a run is: enough to do it again, and to refuse to mix it with another.

    Args:
        version, commit: of ma2mi; ``commit`` is None outside a checkout.
        code: digits of all its Python files; "" in runs of before.
        protocol, classes, multi_label, metrics: how predictions are scored.
        learner: its name.
        settings: the whole tree.
        data_hash: SHA-256 over keys, labels, subjects, databases and clips.
        seeds: the learner's seeds.
        aliases: subjects with several names.
        pretraining_subjects: subjects that the learner was pre-trained on.
        also_best_on_test: whether the best-on-test score is computed, too.
        training: how many training subjects each fold is given, and in which draw; None: all.
        notes: what a reader should know of the whole run.
    """

    version: str
    commit: str | None
    code: str = ""
    protocol: str
    classes: tuple[str, ...]
    multi_label: bool
    metrics: tuple[str, ...]
    learner: str
    settings: dict[str, JsonValue]
    data_hash: str
    seeds: tuple[int, ...]
    aliases: dict[str, str] = {}
    pretraining_subjects: tuple[str, ...] = Field((), alias="pretraining_people")
    also_best_on_test: bool = False
    training: TrainingDraw | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """The predictions of all folds of one seed, one row a clip, in the order of the folds.

    Args:
        keys, subjects, databases, folds: [n].
        truth, predicted: ints [n], or 0/1 [n, units].
        probabilities: [n, classes].
    """

    keys: NDArray[np.str_]
    subjects: NDArray[np.str_]
    databases: NDArray[np.str_]
    folds: NDArray[np.str_]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """A finished run: the record, and one ``FoldResult`` a fold and seed, in their order.

    Args:
        fit_s: seconds of fitting and predicting by (seed, fold); not part of the result files.
    """

    record: RunRecord
    folds: tuple[FoldResult, ...]
    fit_s: Mapping[tuple[int, str], float] = field(default_factory=dict, compare=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, of the run and of each fold."""
        of_folds = (f"seed {f.seed}, {f.fold}: {note}" for f in self.folds for note in f.notes)
        return (*self.record.notes, *of_folds)

    def pool(self, seed: int | None = None, *, best_on_test: bool = False) -> Pool:
        """The predictions of all folds of one seed (default: the first).

        Args:
            best_on_test: those of the epochs selected on test data instead; never mix the two.

        Raises:
            EvaluationError: no such seed, or a run without predictions selected on test data.
        """
        seed = self.record.seeds[0] if seed is None else seed
        folds = [fold for fold in self.folds if fold.seed == seed]
        if not folds:
            raise EvaluationError(f"no seed {seed}", cure=f"It has {self.record.seeds}")
        rows: list[tuple[float, ...]] = []
        for fold in folds:
            if best_on_test and fold.best_on_test is None:
                raise EvaluationError(
                    "nothing was selected on test data here",
                    where=f"fold {fold.fold}",
                    cure="Run it with --also-report-best-on-test",
                )
            source = fold.best_on_test if best_on_test and fold.best_on_test else fold
            rows.extend(source.probabilities)
        probabilities = np.array(rows, dtype=np.float64)
        return Pool(
            keys=np.array([key for fold in folds for key in fold.keys]),
            subjects=np.array([one for fold in folds for one in fold.subjects]),
            databases=np.array([base for fold in folds for base in fold.databases]),
            folds=np.array([fold.fold for fold in folds for _ in fold.keys]),
            truth=np.array([label for fold in folds for label in fold.truth], dtype=np.int64),
            predicted=predicted_labels(probabilities, multi_label=self.record.multi_label),
            probabilities=probabilities,
        )

    def scores(self) -> Tree:
        """All scores as one tree of plain values, as in ``scores.json``.

        ``seeds`` holds each seed's pooled scores overall, by database and by class; ``mean``
        and ``sd`` (over seeds, None for one seed) the overall ones. The best-on-test score
        (optimistically biased), where requested, stands apart under ``best_on_test``, stamped as
        selected on test data.
        """
        tree: Tree = {
            "protocol": self.record.protocol,
            "learner": self.record.learner,
            "data_hash": self.record.data_hash,
            **self._scores_of(best_on_test=False),
        }
        if self.record.also_best_on_test:
            tree["best_on_test"] = {
                "stamp": SELECTED_ON_TEST,
                **self._scores_of(best_on_test=True),
            }
        tree["notes"] = list(self.notes)
        return tree

    def _scores_of(self, *, best_on_test: bool) -> Tree:
        seeds = {
            seed: self._score(self.pool(seed, best_on_test=best_on_test))
            for seed in self.record.seeds
        }
        overall = {
            name: [each["overall"][name] for each in seeds.values()] for name in self.record.metrics
        }
        return {
            "mean": {name: float(np.mean(values)) for name, values in overall.items()},
            "sd": {
                name: float(np.std(values, ddof=1)) if len(values) > 1 else None
                for name, values in overall.items()
            },
            "seeds": {str(seed): each for seed, each in seeds.items()},
        }

    def _score(self, pool: Pool) -> Tree:
        record = self.record
        tree: Tree = {"overall": {name: self._metric(name, pool) for name in record.metrics}}
        bases = [base for base in np.unique(pool.databases).tolist() if base]
        if len(bases) > 1:
            tree["databases"] = {base: self._of_database(base, pool) for base in bases}
        if record.multi_label:
            each = unit_f1(pool.truth, pool.predicted, record.classes, "zero").tolist()
            tree["classes"] = dict(zip(record.classes, each, strict=True))
        else:
            tree["classes"] = {
                one.name: {key: value for key, value in asdict(one).items() if key != "name"}
                for one in per_class(pool.truth, pool.predicted, record.classes)
            }
        return tree

    def _of_database(self, base: str, pool: Pool) -> Tree:
        rows = pool.databases == base
        tree: Tree = {name: self._metric(name, pool, rows, "zero") for name in self.record.metrics}
        truth = pool.truth[rows]
        shown = np.flatnonzero(truth.any(axis=0)) if truth.ndim == 2 else np.unique(truth)
        absent = [name for index, name in enumerate(self.record.classes) if index not in shown]
        # A database may lack a class that the pool has; it counts as 0, and that is stated.
        return {**tree, "absent_counted_as_0": absent} if absent else tree

    def _metric(
        self,
        name: str,
        pool: Pool,
        rows: NDArray[np.bool_] | slice = slice(None),
        absent: Absent = "error",
    ) -> float:
        truth, predicted = pool.truth[rows], pool.predicted[rows]
        if name == "mean_unit_f1":
            return mean_unit_f1(truth, predicted, self.record.classes, absent)
        if name == "fold_mean_f1":
            return fold_mean_f1(truth, predicted, pool.folds[rows], len(self.record.classes))
        return float(
            METRICS[name](confusion_matrix(truth, predicted, len(self.record.classes)), absent)
        )

    def text(self) -> str:
        """A few plain lines: the scores, and the best-on-test score stamped as such."""
        scores = self.scores()
        lines = [f"{self.record.learner} on {self.record.protocol}", _line("", scores)]
        if self.record.also_best_on_test:
            best = scores["best_on_test"]
            lines.append(_line(f"{SELECTED_ON_TEST.upper()}, not a result: ", best))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _line(head: str, scores: Tree) -> str:
    mean, sd = scores["mean"], scores["sd"]
    parts = (
        f"{name} {mean[name]:.4f}" + ("" if sd[name] is None else f" ± {sd[name]:.4f}")
        for name in mean
    )
    return head + ", ".join(parts)


def predicted_labels(probabilities: NDArray[np.float64], *, multi_label: bool) -> NDArray[np.int64]:
    """The most probable class [n], the first of equals; or each unit of at least 1/2 [n, units]."""
    if multi_label:
        return (probabilities >= 0.5).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


class RunFolder:
    """A run on disk: ``run.json``, one file a fold, and at the end predictions and scores.

    Each file is written under a temporary name and then renamed, so that a killed process leaves
    whole files only; finished folds are read back, not fitted again. Files hold no clock: the
    same input gives the same bytes. Seconds go to ``timings.csv``, apart from the results.

    ::

        run.json                      what is run, on what, with which code
        folds/<seed>-<n>-<fold>.json  one fold
        predictions.csv               one row a clip and seed
        scores.json                   the scores
        timings.csv                   seed, fold, seconds

    Args:
        path: the folder; made if missing.
        record: what is run.

    The process that writes into it holds it (``files.hold``).

    Raises:
        EvaluationError: the folder holds another run, files that are not part of a run, or some
            that were changed since they were written.
        StoreError: it cannot be written.
    """

    def __init__(self, path: Path | str, record: RunRecord) -> None:
        self.path, self.record = Path(path), record
        sheet = self.path / "run.json"
        #: Whether another state of the code computed what is there.
        self.by_other_code = False
        try:
            if sheet.exists():
                found = _read(sheet, RunRecord)
                self._refuse_other(found)
                self._refuse_changed()
                self.by_other_code = found.code != record.code
                return
            # A process killed at its very start may leave the sheet's first half, nothing else.
            started = f".{sheet.name}."
            if self.path.is_dir() and any(
                not file.name.startswith(started) for file in self.path.iterdir()
            ):
                raise EvaluationError(
                    "holds files, but no run", where=self.path, cure="Give a new folder"
                )
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(error, self.path) from error
        replace_file(sheet, _json(record.model_dump(mode="json", by_alias=True), indent=2).encode())

    def _refuse_other(self, found: RunRecord) -> None:
        # Another commit may be a change of the documentation; another version is not.
        # Notes follow from the rest, and their wording may change.
        left_out = {"commit", "code", "notes"}
        before, now = (
            r.model_dump(mode="json", by_alias=True, exclude=left_out) for r in (found, self.record)
        )
        differ = [name for name in now if before[name] != now[name]]
        if differ:
            old, new = (flat({name: tree[name] for name in differ}) for tree in (before, now))
            raise EvaluationError(
                f"holds a run with other {', '.join(differ)} ({named_differences(old, new)})",
                where=self.path,
                cure="Give another folder, or the same settings and data to go on",
            )

    def _refuse_changed(self) -> None:
        for name, value in _listed(self.path).items():
            path = self.path / name
            if path.is_file() and digest(path) != value:
                raise EvaluationError(
                    "was changed since it was written",
                    where=path,
                    cure="Move it away, and run again to make it anew",
                )

    def finished(self) -> dict[tuple[int, str], FoldResult]:
        """The folds on disk, by (seed, fold).

        Raises:
            EvaluationError: a file that is damaged.
        """
        files = sorted((self.path / "folds").glob("*.json"))
        folds = [_read(file, FoldResult) for file in files]
        return {(fold.seed, fold.fold): fold for fold in folds}

    def add(self, number: int, fold: FoldResult, fit_s: float) -> None:
        """Write one fold; ``number`` is its position among the folds."""
        name = f"{fold.seed}-{number:04d}-{file_name(fold.fold)[:80]}.json"
        row = [fold.seed, fold.fold, f"{fit_s:.6f}"]
        try:
            (self.path / "folds").mkdir(exist_ok=True)
            replace_file(
                self.path / "folds" / name,
                _json(fold.model_dump(mode="json", by_alias=True)).encode(),
            )
            with (self.path / "timings.csv").open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
        except OSError as error:
            raise store_error(error, self.path) from error

    def finish(self, result: RunResult) -> None:
        """Write ``predictions.csv`` and ``scores.json``, and the sha256 of all files of the run."""
        (self.path / WRITTEN).unlink(missing_ok=True)
        replace_file(self.path / "predictions.csv", predictions_csv(result).encode())
        replace_file(self.path / "scores.json", _json(result.scores(), indent=2).encode())
        names = ["run.json", "predictions.csv", "scores.json"]
        names += sorted(f"folds/{path.name}" for path in (self.path / "folds").glob("*.json"))
        list_written(self.path, names)


def _listed(folder: Path) -> dict[str, str]:
    """Files of a finished run and their sha256; none of a run of before, or one that goes on."""
    return read_written(folder) or {}


def load_run(path: Path | str) -> RunResult:
    """Read a run folder back: equal to what was written.

    Raises:
        EvaluationError: no run there, damaged files or some that are missing, or a run that has
            not finished.
    """
    path = Path(path)
    record = _read(path / "run.json", RunRecord)
    if not (path / "scores.json").exists():
        raise EvaluationError("the run has not finished", where=path, cure="Run it again to go on")
    for name, value in _listed(path).items():
        if not name.startswith("folds/"):
            continue
        if not (path / name).is_file():
            raise EvaluationError(
                "is missing", where=path / name, cure="Run it again to make it anew"
            )
        if digest(path / name) != value:
            raise EvaluationError(
                "was changed since it was written",
                where=path / name,
                cure="Move it away, and run again to make it anew",
            )
    files = sorted(
        (path / "folds").glob("*.json"),
        key=lambda file: (_seed_position(file, record), file.name),
    )
    fit_s = _read_seconds(path / "timings.csv")
    return RunResult(record, tuple(_read(file, FoldResult) for file in files), fit_s)


def _seed_position(file: Path, record: RunRecord) -> int:
    """Of the seed in a fold's name among the run's."""
    try:
        return record.seeds.index(int(file.name.split("-")[0]))
    except ValueError as error:
        raise EvaluationError(
            "is not a fold of this run", where=file, cure="Move it away"
        ) from error


def _read_seconds(path: Path) -> dict[tuple[int, str], float]:
    """Seconds of each (seed, fold); none where the file, not a result, is gone or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as sheet:
            # A killed process may leave half a line.
            rows = [row for row in csv.reader(sheet) if len(row) == 3]
        return {(int(seed), fold): float(seconds) for seed, fold, seconds in rows}
    except (OSError, ValueError, csv.Error):
        return {}


def predictions_csv(result: RunResult) -> str:
    """One row a clip and seed: fold, key, subject, database, truth, prediction, probabilities.

    For action units, truth and prediction list the units shown, separated by "+".
    """
    record = result.record
    extra = ["best_on_test_guess (selected on test data)"] if record.also_best_on_test else []
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["seed", "fold", "key", "person", "database", "truth", "guess"]
        + [f"p({name})" for name in record.classes]
        + extra
    )
    name_of = _names(record.classes, multi_label=record.multi_label)
    for seed in record.seeds:
        pool = result.pool(seed)
        best = result.pool(seed, best_on_test=True).predicted if extra else None
        for row, key in enumerate(pool.keys.tolist()):
            table.writerow(
                [seed, pool.folds[row], key, pool.subjects[row], pool.databases[row]]
                + [name_of(pool.truth[row]), name_of(pool.predicted[row])]
                + [repr(p) for p in pool.probabilities[row].tolist()]
                + ([name_of(best[row])] if best is not None else [])
            )
    return text.getvalue()


def _names(classes: Sequence[str], *, multi_label: bool) -> Callable[[NDArray[np.int64]], str]:
    if multi_label:
        return lambda marks: "+".join(
            name for name, mark in zip(classes, marks, strict=True) if mark
        )
    return lambda label: classes[int(label)]


def _json(tree: object, indent: int | None = None) -> str:
    # json writes floats with repr, which reads back to the same bits.
    return json.dumps(tree, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def _read(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise EvaluationError("no run here", where=path, cure="Give a run folder") from error
    except OSError as error:
        raise EvaluationError(f"cannot be read ({error.strerror})", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise EvaluationError(
            f"damaged: {key} {first['msg']}",
            where=path,
            cure="Delete the file and run again to make it anew",
        ) from error
