"""Pairs of prepared clips: built once, kept on disk, read as memory maps."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from ma2mi.clips.pair_rows import add_movements, add_rows
from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.clips.store import ClipStore
from ma2mi.errors import StoreError, store_error
from ma2mi.files import digest, hold, replace_file, unfinished
from ma2mi.motion import (
    FlowSettings,
)
from ma2mi.progress import OnProgress, Progress
from ma2mi.workers import ending_with_this

#: Clips whose pairs are built in one task: enough work to be worth a process.
CHUNK = 8

#: Raised whenever the same clips and settings come to mean other pairs.
VERSION = 2
ABOUT = "about.json"
#: Not part of pairs that were built before there was such a thing.
_LATER = {"more.npy"}


def build_pairs(
    store: ClipStore,
    keys: Sequence[str],
    settings: PairSettings,
    *,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> tuple[Pairs, list[str]]:
    """Pairs of these clips, in their order; what was built before is read, not built again.

    The arrays are memory maps, so more pairs than memory holds are no trouble. Arrays that are
    missing or were changed since are built anew. Where another process builds the same pairs,
    this one waits for them.

    Args:
        store: prepared clips.
        keys: clips of the store.
        settings: see :class:`PairSettings`.
        jobs: processes, as joblib counts them.
        on_progress: called as clips are finished.

    Returns:
        the pairs, and a line for each that cannot be built, such as one of flat pictures.

    Raises:
        StoreError: no clip gives a pair, a clip is damaged, or the disk is full.
    """
    folder = _folder(store, keys, settings)
    found = _finished(folder)
    if found is None:
        with hold(folder, wait_s=-1):
            found = _finished(folder)  # by another process, meanwhile
            if found is None:
                _build(store, keys, settings, folder, jobs, on_progress)
                found = _finished(folder)
    if found is None:
        raise StoreError(
            "pairs were changed as they were written", where=folder, hint="Run it again"
        )
    kept = [path.removesuffix(".npy") for path in found["files"]]
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in kept}
    return Pairs(**arrays), list(found["failures"])


def _finished(folder: Path) -> dict[str, Any] | None:
    """The sheet of pairs that were built before, if all of them are as they were written."""
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
        known = {f"{f.name}.npy" for f in fields(Pairs)}
        if not known - _LATER <= about["files"].keys() <= known:
            return None
        for name, written in about["files"].items():
            if digest(folder / name) != written:
                return None
        Counter(about["left_out"])
        return about if isinstance(about["failures"], list) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _build(
    store: ClipStore,
    keys: Sequence[str],
    settings: PairSettings,
    folder: Path,
    jobs: int,
    on_progress: OnProgress | None,
) -> None:
    """Build all pairs into ``folder``; see :func:`build_pairs`."""
    try:
        folder.mkdir(exist_ok=True)
        (folder / ABOUT).unlink(missing_ok=True)
    except OSError as error:
        raise store_error(error, folder) from error
    chunks = [list(keys[i : i + CHUNK]) for i in range(0, len(keys), CHUNK)]
    tasks = (
        joblib.delayed(ending_with_this(_build_chunk))(
            store.knowing({key: store.sources[key] for key in chunk if key in store.sources}),
            chunk,
            settings,
            folder / f"part-{i:05d}",
        )
        for i, chunk in enumerate(chunks)
    )
    counts: list[int] = []
    failures: list[str] = []
    left_out: Counter[str] = Counter()
    for count, failed, rejected in joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks):
        counts.append(count)
        failures += failed
        left_out += rejected
        if on_progress:
            done = min(len(counts) * CHUNK, len(keys))
            on_progress(Progress("pairs", done, len(keys)))
    if not sum(counts):
        hint = "Clips must move, and last longer than the interval"
        if left_out:
            hint = f"Left out: {counted(left_out)}"
        raise StoreError(
            "no clip gives a pair of frames",
            where=store.folder,
            hint=f"The first: {failures[0]}" if failures else hint,
        )
    try:
        _join(folder, counts, {"failures": failures, "left_out": left_out})
    except OSError as error:
        raise store_error(error, folder) from error


def count_left_out(store: ClipStore, keys: Sequence[str], settings: PairSettings) -> Counter[str]:
    """Draws that :func:`build_pairs` rejected for the same arguments, by reason.

    Raises:
        StoreError: the pairs were not built, or are damaged.
    """
    path = _folder(store, keys, settings) / ABOUT
    try:
        return Counter(json.loads(path.read_bytes())["left_out"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"is not readable ({error})", where=path, hint="Delete it") from error


def counted(reasons: Counter[str]) -> str:
    """Reasons as "12 across a cut, 3 same frame shown twice", the most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())


def _folder(store: ClipStore, keys: Sequence[str], settings: PairSettings) -> Path:
    """Where pairs of these clips are kept: the bytes count, a corrected apex gives other pairs."""
    # Pairs of one instance lie where they lay before there were several.
    drawn = settings.model_dump(exclude={"instances"} if settings.instances == 1 else set())
    made_of = [VERSION, list(keys), store.digest(keys), drawn, repr(FlowSettings())]
    text = json.dumps(made_of)
    return store.folder / f"pairs-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _build_chunk(
    store: ClipStore, keys: list[str], settings: PairSettings, part: Path
) -> tuple[int, list[str], Counter[str]]:
    """Build the pairs of a few clips into one file.

    Returns:
        how many there are, what failed, and what was left out.
    """
    if not _readable(part):
        rows: dict[str, list[Any]] = {f.name: [] for f in fields(Pairs)}
        failures: list[str] = []
        left_out: Counter[str] = Counter()
        for clip in store.read_all(keys):
            if settings.kind == "future-movement":
                add_movements(rows, clip, settings, failures, left_out)
            else:
                add_rows(rows, clip, settings, failures)
        arrays = {
            name: np.stack(values)
            for name, values in rows.items()
            if values and name not in ("keys", "subjects")
        }
        names: dict[str, Any] = {
            "keys": rows["keys"],
            "subjects": rows["subjects"],
            "failures": failures,
            "left_out": left_out,
        }
        replace_file(part, save(arrays, {"names": json.dumps(names)}))
    names = _names(part)
    return len(names["keys"]), names.get("failures", []), Counter(names.get("left_out", {}))


def _readable(part: Path) -> bool:
    """Whether a part was finished before; one that was damaged since is built again."""
    try:
        _names(part)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError):
        return False
    return True


def _names(part: Path) -> dict[str, Any]:
    with safe_open(part, framework="numpy") as file:
        names: dict[str, Any] = json.loads(file.metadata()["names"])
    return names


def _join(folder: Path, counts: list[int], about: dict[str, Any]) -> None:
    """Write the parts one after the other into one array file a field, then drop them."""
    parts = [folder / f"part-{i:05d}" for i, count in enumerate(counts)]
    filled = [(part, count) for part, count in zip(parts, counts, strict=True) if count]
    total = sum(counts)
    example = load_file(filled[0][0])
    for name in ("keys", "subjects"):
        values = [value for part, _ in filled for value in _names(part)[name]]
        with unfinished(folder / f"{name}.npy") as path, path.open("wb") as file:
            np.save(file, np.array(values))
    for name in (f.name for f in fields(Pairs) if f.name not in ("keys", "subjects")):
        with unfinished(folder / f"{name}.npy") as path, path.open("wb") as file:
            if name not in example:
                kind = np.uint8 if name == "third" else np.float16
                np.save(file, np.empty((0, *example["first"].shape[1:]), kind))
                continue
            like = example[name]
            head = {
                "descr": np.lib.format.dtype_to_descr(like.dtype),
                "fortran_order": False,
                "shape": (total, *like.shape[1:]),
            }
            # Written, not mapped: on a full disk writing is an error, and a map a crash.
            np.lib.format.write_array_header_1_0(file, head)
            for part, _ in filled:
                file.write(load_file(part)[name].tobytes())
    written = {name: digest(folder / name) for name in (f"{f.name}.npy" for f in fields(Pairs))}
    about = {"pairs": total, **about, "files": written}
    replace_file(folder / ABOUT, json.dumps(about).encode())
    for part in parts:
        part.unlink()
