"""The audit: subjects of each fold, what was chosen on what, overlap of training and test."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_record import SELECTED_ON_TEST
from ma2mi.evaluation.subjects import subject_ids
from ma2mi.files import replace_file

FINGERPRINTS = "fingerprints.csv"
SIDE = 16
#: Bits of 256 that two pictures of the same frames may differ in. Measured on aligned crops: saved
#: again as JPEG of quality 70, 4 to 17 bits flip; two synthetic subjects differ in 23 at least
#: (median 79), two flow images in 83.
NEAR = 17


@dataclass(frozen=True)
class Fingerprint:
    """Hashes that two copies of a clip share, whatever their names.

    Args:
        key: the clip's name.
        exact: sha256 of its pixels.
        look: difference hash, 256 bits as hexadecimal digits; "" without a picture.
    """

    key: str
    exact: str
    look: str


def fingerprint(key: str, frames: NDArray[np.generic]) -> Fingerprint:
    """The fingerprint of one clip.

    ``look`` is a difference hash (Krawetz, 2013): the picture shrunk to 17 x 16 means, each
    compared with its right neighbour.

    Args:
        key: the clip's name.
        frames: [T, H, W] or [T, H, W, 3]; the hash is that of all of them, one below the other.
            Below 16 rows of 17 pixels there is none.
    """
    exact = hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()
    grey = frames.astype(np.float64)
    grey = grey.mean(axis=-1) if grey.ndim == 4 else grey
    picture = grey.reshape(-1, grey.shape[-1])
    if picture.shape[0] < SIDE or picture.shape[1] <= SIDE:
        return Fingerprint(key, exact, "")
    rows = np.array_split(picture, SIDE, axis=0)
    small = np.array(
        [[block.mean() for block in np.array_split(row, SIDE + 1, axis=1)] for row in rows]
    )
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return Fingerprint(key, exact, np.packbits(bits).tobytes().hex())


def write_fingerprints(path: Path, prints: Sequence[Fingerprint]) -> None:
    """One row a clip, into a run folder."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["key", "exact", "look"])
    table.writerows((p.key, p.exact, p.look) for p in prints)
    replace_file(path, text.getvalue().encode())


def read_fingerprints(path: Path) -> list[Fingerprint]:
    """What :func:`write_fingerprints` wrote.

    Raises:
        EvaluationError: there is no such file, or it is damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = [Fingerprint(r["key"], r["exact"], r["look"]) for r in csv.DictReader(file)]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(
            "no fingerprints of the clips", where=path, hint="Run the benchmark again"
        ) from error
    for row, one in enumerate(found):
        if not (one.key and one.exact and re.fullmatch(r"([0-9a-f]{64})?", one.look or "")):
            raise EvaluationError(
                "no fingerprint of a clip", where=f"{path}, row {row}", hint="Run it again"
            )
    return found


@dataclass(frozen=True)
class Audit:
    """A sheet on one run.

    Args:
        folds: fold, subjects trained on, subjects left out, clips left out, what was chosen.
        faults: what makes the scores untrustworthy, one line each.
        remarks: what a reader should know and may accept.
    """

    folds: tuple[dict[str, Any], ...]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def verdict(self) -> str:
        return "FAILED" if self.faults else "passed"


def audit_run(run: RunResult, prints: Sequence[Fingerprint] = ()) -> Audit:
    """Search for everything that lets a left-out subject leak into training.

    Args:
        run: a finished run.
        prints: fingerprints of its clips; without them duplicates are not searched, and the
            audit notes it.
    """
    faults: list[str] = []
    remarks: list[str] = list(run.notes)
    rows = []
    for fold in run.folds:
        left_out = sorted(set(fold.subjects))
        both = sorted(set(left_out) & set(fold.train_subjects))
        if both:
            faults.append(f"fold {fold.fold}: {', '.join(both)} on both sides")
        for subjects, what in (
            (run.record.pretraining_subjects, "in pre-training"),
            (run.record.trained_subjects, "in the weights, with labels"),
        ):
            seen = sorted(set(left_out) & _resolved(run, subjects))
            if seen:
                faults.append(f"fold {fold.fold}: {', '.join(seen)} left out, but {what}")
        rows.append(
            {
                "seed": fold.seed,
                "fold": fold.fold,
                "trained_subjects": len(fold.train_subjects),
                "left_out": left_out,
                "clips": len(fold.keys),
                "chosen": dict(fold.chosen),
            }
        )
    if run.record.also_best_on_test:
        remarks.append(f"there is also a score that was {SELECTED_ON_TEST}; it is not a result")
    if prints:
        subject = {
            key: one
            for fold in run.folds
            for key, one in zip(fold.keys, fold.subjects, strict=True)
        }
        others = {key: one for one, keys in run.record.train_also.items() for key in keys}
        for first, second, how in find_duplicates(prints):
            line = f"{first} and {second} are {how}"
            if first in others and second in others:
                remarks.append(f"{line}; both are only trained on")
            elif others.get(first, subject.get(first)) != others.get(second, subject.get(second)):
                faults.append(f"{line}, under two subjects")
            elif how == "the same frames" and not {first, second} & others.keys():
                faults.append(f"{line}, counted twice")
    else:
        remarks.append("duplicates were not searched: the run has no fingerprints")
    return Audit(tuple(rows), tuple(dict.fromkeys(faults)), tuple(dict.fromkeys(remarks)))


def _resolved(run: RunResult, subjects: Sequence[str]) -> set[str]:
    return set(subject_ids(list(subjects), None, run.record.aliases).tolist())


def _who_lines(run: RunResult) -> list[str]:
    """Who was in the weights before, and whose clips joined the training of every fold."""
    record = run.record
    before = record.pretraining_subjects
    lines = [f"seen in pre-training: {len(before)} subjects" + _listed(before)]
    if record.trained_subjects:
        known = record.trained_subjects
        lines.append(f"in the weights, with labels: {len(known)} subjects" + _listed(known))
    if record.train_also:
        clips = sum(map(len, record.train_also.values()))
        others = tuple(record.train_also)
        lines.append(f"only trained on: {clips} clips of {len(others)} subjects" + _listed(others))
    return lines


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def find_duplicates(prints: Sequence[Fingerprint]) -> list[tuple[str, str, str]]:
    """Pairs of clips that are "the same frames", or "nearly the same picture"."""
    found = []
    groups: dict[str, list[str]] = defaultdict(list)
    for p in prints:
        groups[p.exact].append(p.key)
    same = set()
    for keys in groups.values():
        for i, first in enumerate(keys):
            for second in keys[i + 1 :]:
                found.append((first, second, "the same frames"))
                same.add((first, second))
    hashed = [p for p in prints if p.look]
    if hashed:
        bits = np.array(
            [np.unpackbits(np.frombuffer(bytes.fromhex(p.look), np.uint8)) for p in hashed]
        )
        ones = bits.astype(np.int32)
        # Hamming distances of all pairs by one product.
        distance = ones.sum(1)[:, None] + ones.sum(1)[None] - 2 * ones @ ones.T
        for i, j in np.argwhere(np.triu(distance <= NEAR, k=1)).tolist():
            if (hashed[i].key, hashed[j].key) not in same:
                found.append((hashed[i].key, hashed[j].key, "nearly the same picture"))
    return found


def audit_text(run: RunResult, audit: Audit) -> str:
    """The sheet as plain text."""
    lines = [f"{run.record.learner} on {run.record.protocol}: {audit.verdict}", ""]
    for row in audit.folds:
        chosen = ", ".join(f"{k} {v}" for k, v in row["chosen"].items()) or "nothing"
        lines.append(
            f"seed {row['seed']}  left out {', '.join(row['left_out'])} ({row['clips']} clips), "
            f"trained on {row['trained_subjects']} others; chosen: {chosen}"
        )
    lines += ["", *_who_lines(run)]
    lines += [f"FAULT: {line}" for line in audit.faults]
    lines += [f"remark: {line}" for line in audit.remarks]
    return "\n".join(lines)
