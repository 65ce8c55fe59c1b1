"""How the folds of a run were trained: their curves and choices as CSV, and for TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ma2mi.evaluation.provenance import flat
from ma2mi.evaluation.run_record import FoldResult
from ma2mi.files import file_name, replace_file

CURVES, CHOICES, EVENTS = "curves.csv", "choices.csv", "tensorboard"
EVENT_FILE = "events.out.tfevents.0.ma2mi"


def curves_csv(folds: Sequence[FoldResult]) -> str:
    """One row a seed, fold and epoch, with the figures of that epoch; "" without any."""
    rows = [(fold, row) for fold in folds for row in fold.curve]
    return _sheet((fold, row) for fold, row in rows)


def choices_csv(folds: Sequence[FoldResult]) -> str:
    """One row a seed and fold, with what the learner chose there, and on what; "" without any."""
    return _sheet((fold, flat(fold.chosen)) for fold in folds if fold.chosen)


def _sheet(rows: Iterable[tuple[FoldResult, Mapping[str, Any]]]) -> str:
    listed = list(rows)
    if not listed:
        return ""
    names = list(dict.fromkeys(name for _, row in listed for name in row))
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(["seed", "fold", *names])
    for fold, row in listed:
        sheet.writerow([fold.seed, fold.fold, *(_cell(row.get(name, "")) for name in names)])
    return text.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) < 2**53 else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def write_events(folder: Path, number: int, fold: FoldResult) -> None:
    """Write a fold's curve where TensorBoard finds it: ``tensorboard/<seed>-<number>-<fold>/``.

    The same curve gives the same bytes; what TensorBoard shows as time is the number of the epoch.
    Where TensorBoard is not installed, or the fold has no curve, nothing is written.

    Args:
        folder: of the run.
        number: position among the folds.

    Raises:
        StoreError, OSError: it cannot be written.
    """
    if not fold.curve or importlib.util.find_spec("tensorboard") is None:
        return
    place = folder / EVENTS / f"{fold.seed}-{number:04d}-{file_name(fold.fold)[:80]}"
    place.mkdir(parents=True, exist_ok=True)
    replace_file(place / EVENT_FILE, event_bytes(fold.curve))


def write_score_events(folder: Path, scores: Mapping[str, float]) -> None:
    """Write a run's scores where TensorBoard finds them: ``tensorboard/scores/``.

    Args:
        folder: of the run.
        scores: metric to its mean over seeds.

    Raises:
        StoreError, OSError: it cannot be written.
    """
    if importlib.util.find_spec("tensorboard") is not None:
        place = folder / EVENTS / "scores"
        place.mkdir(parents=True, exist_ok=True)
        replace_file(place / EVENT_FILE, event_bytes([{"epoch": 0, **scores}]))


def event_bytes(curve: Sequence[Mapping[str, float]]) -> bytes:
    """Figures of each epoch as TensorBoard's event file, every figure under its name."""
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
    from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

    stream = io.BytesIO()
    writer = RecordWriter(stream)
    writer.write(Event(wall_time=0, file_version="brain.Event:2").SerializeToString())
    for row in curve:
        epoch = int(row["epoch"])
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "epoch"
        ]
        event = Event(wall_time=epoch, step=epoch, summary=Summary(value=values))
        writer.write(event.SerializeToString())
    return stream.getvalue()
