"""A run on disk: folds as they end, predictions and scores at the end, read back equal."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ma2mi.environment import ENVIRONMENT, write_environment
from ma2mi.errors import EvaluationError, store_error
from ma2mi.evaluation.fold_curves import (
    CHOICES,
    CURVES,
    choices_csv,
    curves_csv,
    write_events,
    write_score_events,
)
from ma2mi.evaluation.provenance import flat
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_record import FoldResult, Record, RunRecord
from ma2mi.files import (
    WRITTEN,
    digest,
    file_name,
    list_written,
    read_written,
    replace_file,
)


class CodeChanged(UserWarning):
    """A run goes on with what another state of ma2mi's code has computed."""


#: What could not be used, a line each.
FAILURES = "failures.txt"
#: Differences that are named; of more the number is given.
NAMED = 4


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


AnyRecord = TypeVar("AnyRecord", bound=Record)


class RunFolder:
    """A run on disk: ``run.json``, one file a fold, and at the end predictions and scores.

    Each file is written under a temporary name and then renamed, so that a killed process leaves
    whole files only; finished folds are read back, not fitted again. Files hold no clock: the
    same input gives the same bytes. Seconds go to ``timings.csv``, apart from the results.

    ::

        run.json                      what is run, on what, with which code
        environment.json              command line, libraries, machine
        folds/<seed>-<n>-<fold>.json  one fold
        predictions.csv               one row a clip and seed
        scores.json                   the scores
        curves.csv                    figures of each epoch of each fold, where folds have them
        choices.csv                   what was chosen in each fold, and on what
        tensorboard/                  for TensorBoard: each fold's curve as it ends, the scores
        failures.txt                  a line for each sample that could not be used, if any
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
                # One that a process was killed before it wrote is made up for.
                write_environment(self.path)
                return
            # A process killed at its very start may leave the sheet's first half, nothing else.
            started = f".{sheet.name}."
            if self.path.is_dir() and any(
                not file.name.startswith(started) for file in self.path.iterdir()
            ):
                raise EvaluationError(
                    "holds files, but no run", where=self.path, hint="Give a new folder"
                )
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(error, self.path) from error
        replace_file(sheet, _json(record.model_dump(mode="json", by_alias=True), indent=2).encode())
        write_environment(self.path)

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
                hint="Give another folder, or the same settings and data to go on",
            )

    def _refuse_changed(self) -> None:
        for name, value in _listed(self.path).items():
            path = self.path / name
            if path.is_file() and digest(path) != value:
                raise EvaluationError(
                    "was changed since it was written",
                    where=path,
                    hint="Move it away, and run again to make it anew",
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
            write_events(self.path, number, fold)
            with (self.path / "timings.csv").open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
        except OSError as error:
            raise store_error(error, self.path) from error

    def finish(self, result: RunResult) -> None:
        """Write predictions, scores, curves and choices, and the sha256 of all files of the run."""
        (self.path / WRITTEN).unlink(missing_ok=True)
        sheets = {
            "predictions.csv": predictions_csv(result),
            "scores.json": _json(result.scores(), indent=2),
            CURVES: curves_csv(result.folds),
            CHOICES: choices_csv(result.folds),
        }
        written = {name: text for name, text in sheets.items() if text}
        for name, text in written.items():
            replace_file(self.path / name, text.encode())
        write_score_events(self.path, result.scores()["mean"])
        # One that a process was killed before it wrote is made up for.
        for number, fold in _numbered(result.folds):
            write_events(self.path, number, fold)
        names = ["run.json", ENVIRONMENT, *written]
        names += sorted(f"folds/{path.name}" for path in (self.path / "folds").glob("*.json"))
        list_written(self.path, names)


def _numbered(folds: Sequence[FoldResult]) -> Iterator[tuple[int, FoldResult]]:
    """Each fold with its position among those of its seed."""
    seen: Counter[int] = Counter()
    for fold in folds:
        yield seen[fold.seed], fold
        seen[fold.seed] += 1


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
        raise EvaluationError("the run has not finished", where=path, hint="Run it again to go on")
    for name, value in _listed(path).items():
        if not name.startswith("folds/"):
            continue
        if not (path / name).is_file():
            raise EvaluationError(
                "is missing", where=path / name, hint="Run it again to make it anew"
            )
        if digest(path / name) != value:
            raise EvaluationError(
                "was changed since it was written",
                where=path / name,
                hint="Move it away, and run again to make it anew",
            )
    files = sorted(
        (path / "folds").glob("*.json"),
        key=lambda file: (_seed_position(file, record), file.name),
    )
    return RunResult(
        record,
        tuple(_read(file, FoldResult) for file in files),
        _read_seconds(path / "timings.csv"),
        _read_failures(path / FAILURES),
    )


def write_failures(folder: Path, failures: Sequence[str]) -> None:
    """Write into a run folder what could not be used, a line each; nothing where all could.

    Raises:
        StoreError: it cannot be written.
    """
    path = folder / FAILURES
    if failures or path.exists():
        text = "".join(f"{' '.join(line.splitlines())}\n" for line in failures)
        replace_file(path, text.encode(errors="backslashreplace"))


def _read_failures(path: Path) -> tuple[str, ...]:
    """What could not be used; nothing in runs of before."""
    try:
        return tuple(path.read_text("utf-8", errors="replace").splitlines())
    except FileNotFoundError:
        return ()


def _seed_position(file: Path, record: RunRecord) -> int:
    """Of the seed in a fold's name among the run's."""
    try:
        return record.seeds.index(int(file.name.split("-")[0]))
    except ValueError as error:
        raise EvaluationError(
            "is not a fold of this run", where=file, hint="Move it away"
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
        raise EvaluationError("no run here", where=path, hint="Give a run folder") from error
    except OSError as error:
        raise EvaluationError(f"cannot be read ({error.strerror})", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise EvaluationError(
            f"damaged: {key} {first['msg']}",
            where=path,
            hint="Delete the file and run again to make it anew",
        ) from error
