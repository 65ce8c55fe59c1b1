"""Pairs of crops with the movement between them, built once, kept on disk, read as arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.numpy import load_file, save

from ma2mi.clips.sampling import near_future, onset_apex
from ma2mi.clips.store import ClipStore, PreparedClip
from ma2mi.errors import MotionError, StoreError
from ma2mi.face.motion import FlowSettings, Method, action_channels, flow
from ma2mi.files import replace_file
from ma2mi.records import Expression
from ma2mi.video import read_image

#: Clips whose pairs are built in one task: enough work to be worth a process.
CHUNK = 8


@dataclass(frozen=True, eq=False)
class Pairs:
    """N pairs (present, future); indexing with an array of positions gives the pairs at them.

    Args:
        keys: N clip keys.
        subjects: N subjects.
        first: uint8 [N, S, S, 3], the face now (the onset); no rows for flow images.
        second: uint8 [N, S, S, 3], the face a little later (the apex); likewise.
        third: uint8 [N, S, S, 3], twice as late; no rows where it was not drawn.
        action: float16 [N, S, S, 3], from first to second: u and v in px, strain.
        elapsed_s: float64 [N], seconds from first to second, negative for reversed pairs; NaN
            where nobody knows.
    """

    keys: NDArray[np.str_]
    subjects: NDArray[np.str_]
    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    third: NDArray[np.uint8]
    action: NDArray[np.float16]
    elapsed_s: NDArray[np.float64]

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
        kind: "onset-apex" (one pair of each marked expression) or "near-future" (for MA2MI).
        per_clip: near-future pairs of each clip.
        interval_s: shortest and longest time between present and future, in seconds.
        reach: 2 also keeps the frame after the future.
        method: flow method, see :func:`ma2mi.face.motion.flow`.
        seed: of the draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["onset-apex", "near-future"] = "onset-apex"
    per_clip: int = 8
    interval_s: tuple[float, float] = (0.03, 0.25)
    reach: Literal[1, 2] = 1
    method: Method = "thin-plate"
    seed: int = 0


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
    hook: Callable[[int, int], None] | None = None,
) -> tuple[Pairs, list[str]]:
    """Pairs of these clips, in their order; what was built before is read, not built again.

    The arrays are memory maps, so more pairs than memory holds are no trouble.

    Args:
        store: prepared clips.
        keys: clips of the store.
        settings: see :class:`PairSettings`.
        jobs: processes, as joblib counts them.
        hook: told (done, of how many) as clips are finished.

    Returns:
        the pairs, and a line for each that cannot be built, such as one of flat pictures.

    Raises:
        StoreError: no clip gives a pair, a clip is damaged, or the disk is full.
    """
    # The clips' bytes, not only their names: a corrected apex gives other pairs.
    made_of = [list(keys), store.digest(keys), settings.model_dump(), repr(FlowSettings())]
    text = json.dumps(made_of)
    folder = store.folder / f"pairs-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    if not (folder / "about.json").is_file():
        folder.mkdir(exist_ok=True)
        chunks = [list(keys[i : i + CHUNK]) for i in range(0, len(keys), CHUNK)]
        tasks = (
            joblib.delayed(_build_chunk)(store, chunk, settings, folder / f"part-{i:05d}")
            for i, chunk in enumerate(chunks)
        )
        counts: list[int] = []
        failures: list[str] = []
        for count, failed in joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks):
            counts.append(count)
            failures += failed
            if hook:
                hook(min(len(counts) * CHUNK, len(keys)), len(keys))
        if not sum(counts):
            raise StoreError(
                "no clip gives a pair of frames",
                where=store.folder,
                cure=f"The first: {failures[0]}"
                if failures
                else "Clips must move, and last longer than the interval",
            )
        try:
            _join(folder, counts, failures)
        except OSError as error:
            raise StoreError(
                f"cannot be written ({error.strerror})",
                where=folder,
                cure="Free the disk or choose another folder",
            ) from error
    try:
        arrays = {f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(Pairs)}
        about = json.loads((folder / "about.json").read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(
            f"are no readable pairs ({error})", where=folder, cure="Delete the folder and try again"
        ) from error
    return Pairs(**arrays), about.get("failures", [])


def _build_chunk(
    store: ClipStore, keys: list[str], settings: PairSettings, part: Path
) -> tuple[int, list[str]]:
    """Build the pairs of a few clips into one file; returns how many there are, and what failed."""
    if not part.is_file():
        rows: dict[str, list[Any]] = {f.name: [] for f in fields(Pairs)}
        failures: list[str] = []
        for clip in store.read_all(keys):
            _add_rows(rows, clip, settings, failures)
        arrays = {
            name: np.stack(values)
            for name, values in rows.items()
            if values and name not in ("keys", "subjects")
        }
        names = {"keys": rows["keys"], "subjects": rows["subjects"], "failures": failures}
        replace_file(part, save(arrays, {"names": json.dumps(names)}))
    names = _names(part)
    return len(names["keys"]), names.get("failures", [])


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


def _names(part: Path) -> dict[str, list[str]]:
    with safe_open(part, framework="numpy") as file:
        names: dict[str, list[str]] = json.loads(file.metadata()["names"])
    return names


def _join(folder: Path, counts: list[int], failures: list[str]) -> None:
    """Write the parts one after the other into one array file a field, then drop them."""
    parts = [folder / f"part-{i:05d}" for i, count in enumerate(counts)]
    filled = [(part, count) for part, count in zip(parts, counts, strict=True) if count]
    total = sum(counts)
    example = load_file(filled[0][0])
    for name in ("keys", "subjects"):
        values = [value for part, _ in filled for value in _names(part)[name]]
        np.save(folder / f"{name}.npy", np.array(values))
    for name in ("first", "second", "third", "action", "elapsed_s"):
        if name not in example:
            np.save(folder / f"{name}.npy", np.empty((0, *example["first"].shape[1:]), np.uint8))
            continue
        like = example[name]
        head = {
            "descr": np.lib.format.dtype_to_descr(like.dtype),
            "fortran_order": False,
            "shape": (total, *like.shape[1:]),
        }
        # Written, not mapped: on a full disk writing is an error, and a map a crash.
        with (folder / f"{name}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, head)
            for part, _ in filled:
                file.write(load_file(part)[name].tobytes())
    about = {"pairs": total, "failures": failures}
    replace_file(folder / "about.json", json.dumps(about).encode())
    for part in parts:
        part.unlink()
