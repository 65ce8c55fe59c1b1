"""Prepared clips on disk: a file each, named after clip and content, in a folder per recipe."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ma2mi.errors import SettingsError, StoreError, store_error
from ma2mi.files import replace_file

#: Settings that came later: they count in a digest only where they differ from their default, so
#: that stores made before keep their folder.
_LATER = {"name", "template", "margin", "aligner", "flow"}


class Recipe(BaseModel):
    """How crops are made. Two recipes never share a folder.

    Args:
        name: as in ``RECIPES``.
        template: where the face lies in the crop, :class:`ma2mi.face.align.Template`.
        margin: what is added around the template on each side, as a share of its side.
        aligner: "first-frame": the face of a clip's first frame gives one warp for all of it.
            "as-is": the whole picture, made square; for copies that their owners cropped. A
            marked expression then needs no face that is found.
        flow: method by which the quality table measures movement.
        size: side of the square crop in px. Wider than the network's input by the margin that
            augmentation shifts, turns and scales in.
        segment_s: recordings without marks are cut into clips this long, each under one warp.
        lead_s: seconds kept before the onset and after the offset of a marked expression.
        version: raised whenever the same settings come to mean another crop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "face"
    template: Literal["eyes-and-bridge"] = "eyes-and-bridge"
    margin: float = Field(0.0, ge=0, le=1)
    aligner: Literal["first-frame", "as-is"] = "first-frame"
    flow: Literal["thin-plate", "opencv-tvl1", "dis", "farneback"] = "thin-plate"
    size: int = Field(128, ge=16, le=2048)
    segment_s: float = Field(1.0, gt=0, le=3600)
    lead_s: float = Field(0.05, ge=0, le=3600)
    version: int = 1

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits that name these settings."""
        unchanged = _LATER - set(self.model_dump(exclude_defaults=True))
        return hashlib.sha256(self.model_dump_json(exclude=unchanged).encode()).hexdigest()[:10]


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(),
        Recipe(name="head", margin=0.25),
        Recipe(name="as-is", aligner="as-is"),
    )
}
"""Recipes by name: the face from brows to chin; with hair and neck; the picture as it is."""


def find_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe of this name, changed where ``changes`` are given.

    Raises:
        SettingsError: there is no such recipe, or a change is impossible.
    """
    if name not in RECIPES:
        raise SettingsError(
            "is not a known recipe", where=name, hint=f"Known are: {', '.join(RECIPES)}"
        )
    try:
        return Recipe.model_validate({**RECIPES[name].model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(first["msg"], where=f"recipe {first['loc'][0]}") from error


@dataclass(frozen=True, eq=False)
class PreparedClip:
    """A face's crops over a short time, all under the one warp of its first frame.

    Args:
        key: names it within a store.
        subject: that it shows.
        frames: uint8 [T, S, S, 3], RGB.
        frame_index: int64 [T], the frames' numbers in the recording, from 0.
        times_s: T exact times from the container.
        warp: float64 [2, 3], recording pixels to crop pixels.
        points: float32 [478, 2], the first frame's landmarks in crop pixels.
        marks: what is known of it: corpus, recording, onset, apex, offset (frame numbers in the
            recording), emotion, action_units, kind. Empty values where it is not marked.
    """

    key: str
    subject: str
    frames: NDArray[np.uint8]
    frame_index: NDArray[np.int64]
    times_s: list[Fraction]
    warp: NDArray[np.float64]
    points: NDArray[np.float32]
    marks: dict[str, object] = field(default_factory=dict)


class ClipStore:
    """The clips of one recipe below ``root``; opening it writes nothing.

    Clips of one key may meet in a store, such as those of two studies, or of a video that was
    replaced. ``sources`` separates them: a clip's file is named after its key and its source.
    Preparing clips adds them there; without a source a file is named after the key alone.

    Attributes:
        recipe: how the crops were made.
        folder: holds the clips.
        sources: key of a clip to what it was made from, in hexadecimal digits.

    Raises:
        StoreError: a file stands where the folder would be.
    """

    def __init__(self, root: Path | str, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = Path(root) / f"crops-{recipe.size}-{recipe.digest}"
        self.sources: dict[str, str] = {}
        try:
            above = next(p for p in (self.folder, *self.folder.parents) if os.path.lexists(p))
            if not above.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except OSError as error:
            raise store_error(error, self.folder) from error

    def path(self, key: str) -> Path:
        """The file of a clip, whether there is one or not."""
        named = ".".join(part for part in (key, self.sources.get(key), "safetensors") if part)
        return self.folder / named

    def knowing(self, sources: Mapping[str, str]) -> ClipStore:
        """The same store, which knows these sources alone."""
        other = copy(self)
        other.sources = dict(sources)
        return other

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def make(self) -> None:
        """Make the folder and write the recipe into it, unless that is done.

        Raises:
            StoreError: the disk is full or not writable.
        """
        sheet = self.folder / "recipe.json"
        try:
            if not sheet.is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                replace_file(sheet, self.recipe.model_dump_json(indent=2).encode())
        except OSError as error:
            raise store_error(error, self.folder) from error

    def write(self, clip: PreparedClip) -> str:
        """Write one clip whole or not at all, and return the sha256 of its file.

        Raises:
            StoreError: the disk is full or not writable.
        """
        times = np.array([(t.numerator, t.denominator) for t in clip.times_s], dtype=np.int64)
        tensors: dict[str, NDArray[Any]] = {
            "frames": np.ascontiguousarray(clip.frames),
            "frame_index": clip.frame_index,
            "times_s": times,
            "warp": np.ascontiguousarray(clip.warp, dtype=np.float64),
            "points": np.ascontiguousarray(clip.points, dtype=np.float32),
        }
        about = {"key": clip.key, "subject": clip.subject, "marks": clip.marks}
        # One metadata entry: safetensors writes several in no fixed order.
        content = save(tensors, {"clip": json.dumps(about, sort_keys=True)})
        self.make()
        replace_file(self.path(clip.key), content)
        return hashlib.sha256(content).hexdigest()

    def read(self, key: str) -> PreparedClip:
        """Read one clip back as it was written.

        Raises:
            StoreError: it is missing or damaged.
        """
        try:
            with safe_open(self.path(key), framework="numpy") as file:
                about = json.loads(file.metadata()["clip"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            times = [Fraction(int(n), int(d)) for n, d in tensors.pop("times_s")]
            return PreparedClip(
                about["key"], about["subject"], times_s=times, marks=about["marks"], **tensors
            )
        except _DAMAGED as error:
            raise _unreadable(self.path(key), error) from error

    def read_first(self, key: str) -> NDArray[np.uint8]:
        """The first crop of a clip, uint8 [S, S, 3], without reading the others.

        Raises:
            StoreError: it is missing or damaged.
        """
        try:
            with safe_open(self.path(key), framework="numpy") as file:
                first: NDArray[np.uint8] = file.get_slice("frames")[:1][0]
        except _DAMAGED as error:
            raise _unreadable(self.path(key), error) from error
        return first

    def read_all(self, keys: Iterable[str]) -> Iterator[PreparedClip]:
        return (self.read(key) for key in keys)

    def digest(self, keys: Iterable[str]) -> str:
        """One sha256 over the bytes of these clips, in this order: the data hash of a result.

        Raises:
            StoreError: a clip is missing.
        """
        total = hashlib.sha256()
        for key in keys:
            try:
                total.update(hashlib.sha256(self.path(key).read_bytes()).digest())
            except OSError as error:
                raise _unreadable(self.path(key), error) from error
        return total.hexdigest()


#: What reading a file that is missing, cut off or not a clip may raise.
_DAMAGED = (OSError, SafetensorError, LookupError, TypeError, ValueError, ArithmeticError)


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"is not a readable clip ({error})", where=path, hint="Delete the file and prepare again"
    )
