"""Files of predictions and labels: the MEGC formats and plain tables, read, checked and written.

What is read is valid: each reader names the first wrong row by its line in the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.labels import plain_word
from ma2mi.files import replace_file
from ma2mi.records import Event, Interval, Kind

MEGC2022_COLUMNS = ("vid", "pred_onset", "pred_offset", "type")
MEGC2024_COLUMNS = ("subject", "video", "onset", "offset", "emotion")
#: Characters of a table: a million rows, and no device that never ends.
LONGEST = 64 * 2**20
#: No recording has as many frames.
LAST_FRAME = 2**31 - 1
_KINDS: dict[str, Kind] = {"me": "micro", "mae": "macro"}


def read_megc2022(path: Path | str) -> list[Event]:
    """Spotted intervals: ``vid,pred_onset,pred_offset,type`` with type me or mae (MEGC 2022).

    Raises:
        EvaluationError: no such file, missing columns, no whole frame number, an offset before
            its onset, an unknown type, or the same row twice; with the line.
    """
    events: dict[Event, None] = {}
    for where, row in _rows(path, MEGC2022_COLUMNS):
        kind = row["type"].lower()
        if kind not in _KINDS:
            raise EvaluationError(f'type "{row["type"]}" is neither me nor mae', where=where)
        span = _interval(row["pred_onset"], row["pred_offset"], where)
        video = _name(row, "vid", where)
        _add(events, Event(_KINDS[kind], span.onset, None, span.offset, video=video), where)
    return list(events)


def write_megc2022(path: Path | str, events: Sequence[Event]) -> None:
    """Write events of the kinds "micro" and "macro" as MEGC 2022 has them.

    Raises:
        EvaluationError: an event of no kind, with its row.
    """
    names: dict[str, str] = {kind: name for name, kind in _KINDS.items()}
    for row, event in enumerate(events):
        if event.kind not in names:
            raise EvaluationError(
                f'kind "{event.kind}" is neither micro nor macro', where=f"row {row}"
            )
    rows = [(m.video, m.onset, m.offset, names[m.kind]) for m in events]
    _write(path, MEGC2022_COLUMNS, rows)


def read_megc2024(path: Path | str, emotions: Sequence[str] = ()) -> list[Event]:
    """Spotted and recognised intervals: ``subject,video,onset,offset,emotion`` (MEGC 2024, 2025).

    Args:
        emotions: the words allowed; case and plural do not matter, and they come back as given
            here. Default: any word, as it is written.

    Raises:
        EvaluationError: as ``read_megc2022``, or an emotion that is not allowed.
    """
    known = {plain_word(emotion): emotion for emotion in emotions}
    events: dict[Event, None] = {}
    for where, row in _rows(path, MEGC2024_COLUMNS):
        emotion = _name(row, "emotion", where)
        if known and plain_word(emotion) not in known:
            raise EvaluationError(
                f'emotion "{emotion}" is none of {", ".join(emotions)}', where=where
            )
        video = _name(row, "video", where)
        span = _interval(row["onset"], row["offset"], where)
        event = Event(
            "",
            span.onset,
            None,
            span.offset,
            video=video,
            subject=_name(row, "subject", where),
            emotion=known.get(plain_word(emotion), emotion),
        )
        _add(events, event, where)
    return list(events)


def write_megc2024(path: Path | str, events: Sequence[Event]) -> None:
    """Write events with subject and emotion as MEGC 2024 and 2025 have them.

    Raises:
        EvaluationError: an event without subject or emotion, with its row.
    """
    for row, event in enumerate(events):
        if not (event.subject and event.emotion):
            raise EvaluationError("no subject or no emotion", where=f"row {row}")
    rows = [(m.subject, m.video, m.onset, m.offset, m.emotion) for m in events]
    _write(path, MEGC2024_COLUMNS, rows)


def read_labels(path: Path | str, classes: Sequence[str], column: str = "label") -> dict[str, int]:
    """One label a clip: a table with the columns ``key`` and ``column``.

    Args:
        classes: the words allowed, case and plural aside; a label is an index into them.

    Raises:
        EvaluationError: no such file, missing columns, a word that is no class, or a second row
            for one clip; with the line.
    """
    index = {plain_word(name): number for number, name in enumerate(classes)}
    labels: dict[str, int] = {}
    for where, row in _rows(path, ("key", column)):
        key, word = _name(row, "key", where), _name(row, column, where)
        if plain_word(word) not in index:
            raise EvaluationError(f'"{word}" is none of {", ".join(classes)}', where=where)
        if key in labels:
            raise EvaluationError(f"a second row for clip {key}", where=where)
        labels[key] = index[plain_word(word)]
    return labels


@dataclass(frozen=True)
class Paired:
    """Truth and predictions of the same clips: keys [n], and ints [n] each."""

    keys: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]


def paired(truth: Mapping[str, int], predictions: Mapping[str, int]) -> Paired:
    """Put predictions beside the truth, in the truth's order.

    Raises:
        EvaluationError: a prediction for an unknown clip, or a clip without one; named.
    """
    unknown = [key for key in predictions if key not in truth]
    missing = [key for key in truth if key not in predictions]
    for keys, what in ((unknown, "predictions for unknown clips"), (missing, "missing clips")):
        if keys:
            shown = ", ".join(keys[:5]) + (" ..." if len(keys) > 5 else "")
            raise EvaluationError(f"{len(keys)} {what}: {shown}")
    return Paired(
        tuple(truth),
        np.array(list(truth.values()), dtype=np.int64),
        np.array([predictions[key] for key in truth], dtype=np.int64),
    )


def _rows(path: Path | str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """(where, row) of each line of a table that has at least these columns."""
    try:
        # Spreadsheets write a mark at the start of the file: "utf-8-sig" reads past it.
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise EvaluationError(f"more than {LONGEST >> 20} million characters", where=path)
        table = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        lacking = [name for name in columns if name not in (table.fieldnames or ())]
        if lacking:
            raise EvaluationError(
                f"no column {', '.join(lacking)}",
                where=path,
                hint=f"The first line must name {','.join(columns)}",
            )
        for row in table:
            where = f"{path}, line {table.line_num}"
            if None in row or None in row.values():
                raise EvaluationError("too many or too few cells", where=where)
            yield where, {name: cell.strip() for name, cell in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"cannot be read: {error}", where=path) from error


def _add(events: dict[Event, None], event: Event, where: str) -> None:
    if event in events:
        raise EvaluationError("the same row twice", where=where)
    events[event] = None


def _name(row: Mapping[str, str], column: str, where: str) -> str:
    if not row[column]:
        raise EvaluationError(f"{column} is empty", where=where)
    return row[column]


def _interval(onset: str, offset: str, where: str) -> Interval:
    first, last = _frame(onset, "onset", where), _frame(offset, "offset", where)
    if last < first:
        raise EvaluationError(f"offset {last} lies before onset {first}", where=where)
    return Interval(first, last)


def _frame(cell: str, column: str, where: str) -> int:
    # Tables made with pandas write whole numbers as 12.0 once a column had a gap.
    try:
        frame = float(cell)
    except ValueError:
        frame = float("nan")
    if not (frame.is_integer() and abs(frame) <= LAST_FRAME):
        raise EvaluationError(f'{column} "{cell}" is no frame number', where=where)
    return int(frame)


def _write(path: Path | str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    replace_file(Path(path), text.getvalue().encode())
