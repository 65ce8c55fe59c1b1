"""Pairs of crops with the movement between them, built once, kept on disk, read as arrays."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

import joblib
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from ma2mi.clips.sampling import NOT_LARGER, early_and_late, near_future, onset_apex
from ma2mi.clips.store import ClipStore, PreparedClip
from ma2mi.errors import MotionError, StoreError, store_error
from ma2mi.files import digest, hold, replace_file, unfinished
from ma2mi.motion import (
    REGIONS,
    FlowSettings,
    Method,
    action_channels,
    face_mask,
    flow,
    remove_rigid,
)
from ma2mi.progress import OnProgress, Progress
from ma2mi.records import Expression
from ma2mi.video import read_image

#: Clips whose pairs are built in one task: enough work to be worth a process.
CHUNK = 8

#: Raised whenever the same clips and settings come to mean other pairs.
VERSION = 2
ABOUT = "about.json"

#: Early and later movements that are measured at most, for each one that is wanted: where nobody
#: moves, the next draw is not better than the last.
MEASURED = 3


def _no_movement() -> NDArray[np.float16]:
    return np.empty((0, 1, 1, 3), np.float16)


def _no_regions() -> NDArray[np.float16]:
    return np.empty((0, len(REGIONS), 2), np.float16)


@dataclass(frozen=True, eq=False)
class Pairs:
    """N pairs (present, future); indexing with an array of positions gives the pairs at them.

    Args:
        keys: N clip keys.
        subjects: N subjects.
        first: uint8 [N, S, S, 3], the face now (the onset); no rows for flow images.
        second: uint8 [N, S, S, 3], the face a little later (the apex); likewise.
        third: uint8 [N, S, S, 3], later than that; no rows where it was not drawn.
        action: float16 [N, S, S, 3], from first to second: u and v in px, strain.
        elapsed_s: float64 [N], seconds from first to second, negative for reversed pairs; NaN
            where nobody knows.
        late: float16 [N, S, S, 3], from first to third, as ``action``; no rows where it was not
            measured. Where there are some, head motion is taken out of both.
        regions: float16 [N, 17, 2], x and y of the centres of ``motion.REGIONS`` in ``first``,
            in px; NaN without landmarks, no rows without ``late``.
    """

    keys: NDArray[np.str_]
    subjects: NDArray[np.str_]
    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    third: NDArray[np.uint8]
    action: NDArray[np.float16]
    elapsed_s: NDArray[np.float64]
    late: NDArray[np.float16] = field(default_factory=_no_movement)
    regions: NDArray[np.float16] = field(default_factory=_no_regions)

    @property
    def videos(self) -> NDArray[np.str_]:
        """N recordings: a clip cut from one is called RECORDING@FRAME."""
        return np.array([key.rpartition("@")[0] or key for key in self.keys.tolist()])

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: NDArray[Any]) -> Pairs:
        return replace(
            self,
            **{
                f.name: value[index] if len(value) else value
                for f in fields(self)
                for value in [getattr(self, f.name)]
            },
        )


class PairSettings(BaseModel):
    """Which pairs to draw, and how to see the movement between them.

    Args:
        kind: "onset-apex" (one pair of each marked expression); for MA2MI "future-movement" (a
            movement early and late) or "near-future".
        per_clip: pairs of each clip, for MA2MI.
        interval_s: shortest and longest time between present and future, in seconds; for
            "future-movement" 0.03 to 0.16 by default, else 0.03 to 0.25.
        horizon_s: the same between present and the later movement.
        growth: the later movement is at least this many times as large as the early one (root
            mean square over the face, head motion removed), or the pair is left out.
        reverse: share of early and later movements that are drawn backwards in time.
        reach: 2 also keeps the frame after the future.
        method: flow method, see :func:`ma2mi.motion.flow`.
        seed: of the draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["onset-apex", "near-future", "future-movement"] = "onset-apex"
    per_clip: int = Field(8, ge=1)
    interval_s: tuple[float, float] = (0.03, 0.25)
    horizon_s: tuple[float, float] = (0.25, 0.9)
    growth: float = Field(1.5, ge=1)
    reverse: float = Field(0.5, ge=0, le=1)
    reach: Literal[1, 2] = 1
    method: Method = "thin-plate"
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _early(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") == "future-movement":
            return {"interval_s": (0.03, 0.16), **given}
        return given

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for low, high in (self.interval_s, self.horizon_s):
            if not 0 < low <= high:
                raise ValueError(f"a range of {low} to {high} s is empty or starts before 0")
        return self


def read_flow_images(expressions: Sequence[Expression]) -> Pairs:
    """Expressions that are flow images (R u, G v, B strain) as pairs without faces.

    Such images are scaled by their own minimum and maximum, so their unit is lost: the middle
    of the range becomes 0 and its ends 1 % of the width, about what a micro-expression moves.

    Args:
        expressions: N, each recording an image file.

    Raises:
        StoreError: an image of another size than the first.
        VideoError: an image that does not open.
    """
    images = []
    for e in expressions:
        images.append(read_image(e.recording.path))
        if images[-1].shape != images[0].shape:
            raise StoreError(
                f"is {images[-1].shape[:2]}, the images before it are {images[0].shape[:2]}",
                where=e.recording.path,
            )
    side = images[0].shape[1]
    action = (np.stack(images).astype(np.float32) / 127.5 - 1) * (1, 1, 0.5) + (0, 0, 0.5)
    action *= (side / 100, side / 100, 0.1)
    return Pairs(
        keys=np.array([e.key for e in expressions]),
        subjects=np.array([e.subject for e in expressions]),
        first=np.empty((0, side, side, 3), np.uint8),
        second=np.empty((0, side, side, 3), np.uint8),
        third=np.empty((0, side, side, 3), np.uint8),
        action=action.astype(np.float16),
        elapsed_s=np.full(len(images), np.nan),
    )


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
            "pairs were changed as they were written", where=folder, cure="Run it again"
        )
    arrays = {f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(Pairs)}
    return Pairs(**arrays), list(found["failures"])


def _finished(folder: Path) -> dict[str, Any] | None:
    """What was said of pairs that were built before, if all of them are as they were written."""
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
        for f in fields(Pairs):
            name = f"{f.name}.npy"
            if digest(folder / name) != about["files"][name]:
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
        joblib.delayed(_build_chunk)(
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
        cure = "Clips must move, and last longer than the interval"
        if left_out:
            cure = f"Left out: {counted(left_out)}"
        raise StoreError(
            "no clip gives a pair of frames",
            where=store.folder,
            cure=f"The first: {failures[0]}" if failures else cure,
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
        raise StoreError(f"is not readable ({error})", where=path, cure="Delete it") from error


def counted(reasons: Counter[str]) -> str:
    """Reasons as "12 across a cut, 3 same frame shown twice", the most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())


def _folder(store: ClipStore, keys: Sequence[str], settings: PairSettings) -> Path:
    """Where pairs of these clips are kept: the bytes count, a corrected apex gives other pairs."""
    made_of = [
        *(VERSION, list(keys), store.digest(keys)),
        *(settings.model_dump(), repr(FlowSettings())),
    ]
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
                _add_movements(rows, clip, settings, failures, left_out)
            else:
                _add_rows(rows, clip, settings, failures)
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


def _add_movements(
    rows: dict[str, list[Any]],
    clip: PreparedClip,
    settings: PairSettings,
    failures: list[str],
    left_out: Counter[str],
) -> None:
    """A clip's movements early and late, where the late one is clearly larger."""
    marks = clip.points if np.isfinite(clip.points).all() else None
    face = face_mask(clip.frames.shape[1:3], marks)
    kept = measured = 0
    for pick in early_and_late(
        clip,
        interval_s=settings.interval_s,
        horizon_s=settings.horizon_s,
        reverse=settings.reverse,
        seed=settings.seed,
        left_out=left_out,
    ):
        if kept == settings.per_clip or measured == MEASURED * settings.per_clip:
            break
        measured += 1
        first, second, third = (clip.frames[at] for at in pick)
        try:
            # One by one: neither measurement may know of the other frame.
            moved = np.concatenate(
                [flow(first, frame[None], method=settings.method) for frame in (second, third)]
            )
            moved, _ = remove_rigid(moved, landmarks=marks)
        except MotionError as error:
            place = f"{clip.key}, frames {', '.join(map(str, pick))} of the crops"
            failures.append(str(MotionError(error.what, where=place, cure=error.cure)))
            continue
        early, late = np.sqrt(np.square(moved[:, face]).sum(-1).mean(-1))
        if late < settings.growth * early:
            left_out[NOT_LARGER] += 1
            continue
        kept += 1
        action, later = action_channels(moved).astype(np.float16)
        centres = _region_centres(marks)
        for name, value in {
            "keys": clip.key,
            "subjects": clip.subject,
            "first": first,
            "second": second,
            "third": third,
            "action": action,
            "elapsed_s": np.float64(clip.times_s[pick[1]] - clip.times_s[pick[0]]),
            "late": later,
            "regions": centres,
        }.items():
            rows[name].append(value)


def _region_centres(points: NDArray[np.float32] | None) -> NDArray[np.float16]:
    """[17, 2], the centres of ``REGIONS``, NaN without landmarks [478, 2]."""
    if points is None:
        return np.full((len(REGIONS), 2), np.nan, np.float16)
    centres = [points[list(region.landmarks)].mean(0) for region in REGIONS.values()]
    return np.array(centres, np.float16)


def _add_rows(
    rows: dict[str, list[Any]], clip: PreparedClip, settings: PairSettings, failures: list[str]
) -> None:
    if settings.kind == "onset-apex":
        try:
            picks: list[tuple[int, ...]] = [onset_apex(clip)]
        except StoreError as error:  # the sheet names a frame that is not there
            failures.append(str(error))
            return
    else:
        picks = near_future(
            clip,
            settings.per_clip,
            interval_s=settings.interval_s,
            reach=settings.reach,
            seed=settings.seed,
        )
    for pick in picks:
        first, second = clip.frames[pick[0]], clip.frames[pick[1]]
        try:
            moved = flow(first, second[None], method=settings.method)
        except MotionError as error:
            place = f"{clip.key}, frames {pick[0]} and {pick[1]} of the crops"
            failures.append(str(MotionError(error.what, where=place, cure=error.cure)))
            continue
        rows["keys"].append(clip.key)
        rows["subjects"].append(clip.subject)
        rows["first"].append(first)
        rows["second"].append(second)
        if len(pick) > 2:
            rows["third"].append(clip.frames[pick[2]])
        rows["action"].append(action_channels(moved)[0].astype(np.float16))
        rows["elapsed_s"].append(np.float64(clip.times_s[pick[1]] - clip.times_s[pick[0]]))


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
