"""A file of rendered heads' movement fields, written head by head."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ma2mi.errors import CorpusError
from ma2mi.files import replace_file
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.synthesis.heads import UNIT_SHAPES, UNITS, RenderedHead, make_head
from ma2mi.workers import ending_with_this


def write_head_bank(
    path: Path,
    heads: int,
    seed: int,
    *,
    size: int = 112,
    jobs: int = 1,
    on_progress: OnProgress = ignore,
) -> None:
    """Write many heads into one file; heads that an interrupted run left are not made again.

    Args:
        path: the .safetensors file; while it grows, heads lie in the folder of its name + ".parts".
        heads: how many.
        seed: of the first; the others follow.
        size: side of the crops in pixels.
        jobs: processes, as joblib counts them.
        on_progress: called after each head.
    """
    parts = _parts(path, size)
    parts.mkdir(parents=True, exist_ok=True)
    files = [parts / f"{seed + number}.safetensors" for number in range(heads)]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    write = joblib.delayed(ending_with_this(_write_head))
    tasks = (write(seed + number, size, files[number]) for number in missing)
    on_progress(Progress("heads", heads - len(missing), heads))
    for done, _ in enumerate(joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks), 1):
        on_progress(Progress("heads", heads - len(missing) + done, heads))
    made = [_read(file) for file in files]
    _write(path, {name: np.concatenate([one[name] for one in made]) for name in made[0]})
    for file in files:
        file.unlink()
    for folder in (parts, parts.parent):
        if not any(folder.iterdir()):
            folder.rmdir()


def read_head_bank(path: Path) -> list[RenderedHead]:
    """The heads that :func:`write_head_bank` wrote.

    Raises:
        CorpusError: not such a file.
    """
    stored = _read(path)
    return [
        RenderedHead(int(seed), fields, mask, points, shade)
        for seed, fields, mask, points, shade in zip(
            *(stored[name] for name in ("seed", "fields", "mask", "points", "shade")), strict=True
        )
    ]


def _parts(path: Path, size: int) -> Path:
    """Where heads wait; named after the recipe, so that heads of an older one are not mixed in."""
    recipe = hashlib.sha256(json.dumps(UNIT_SHAPES).encode()).hexdigest()[:10]
    return path.with_name(f"{path.name}.parts") / f"{size}-{recipe}"


def _write_head(seed: int, size: int, file: Path) -> None:
    head = make_head(seed, size)
    arrays: dict[str, NDArray[Any]] = {
        "seed": np.array([seed], np.int64),
        "fields": head.fields[None],
        "mask": head.mask[None],
        "points": head.points[None],
        "shade": head.shade[None],
    }
    _write(file, arrays)


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    described = {
        "units": json.dumps(UNITS),
        "shapes": json.dumps(UNIT_SHAPES),
        "anny": version("anny"),
    }
    replace_file(path, save(dict(arrays), described))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with safe_open(path, framework="np") as stored:
            units = (stored.metadata() or {}).get("units", "")
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CorpusError(f"is no bank of heads ({error})", where=path) from error
    if units != json.dumps(UNITS):
        raise CorpusError("holds other units than these", where=path, hint="Write it again")
    return arrays
