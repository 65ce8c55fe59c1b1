"""Pairs of crops with the movement between them, built once, kept on disk, read as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ma2mi.errors import StoreError
from ma2mi.motion import (
    REGIONS,
    Method,
)
from ma2mi.records import Expression
from ma2mi.video import read_image


def _no_movement() -> NDArray[np.float16]:
    return np.empty((0, 1, 1, 3), np.float16)


def _no_regions() -> NDArray[np.float16]:
    return np.empty((0, len(REGIONS), 2), np.float16)


def _no_instances() -> NDArray[np.float16]:
    return np.empty((0, 0, 1, 1, 3), np.float16)


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
            where it is unknown.
        late: float16 [N, S, S, 3], from first to third, as ``action``; no rows where it was not
            measured. Where there are some, head motion is taken out of both.
        regions: float16 [N, 17, 2], x and y of the centres of ``motion.REGIONS`` in ``first``,
            in px; NaN without landmarks, no rows without ``late``.
        more: float16 [N, M - 1, S, S, 3], as ``action``, from first to further frames near the
            apex; no rows where one movement stands for each expression (M = 1).
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
    more: NDArray[np.float16] = field(default_factory=_no_instances)

    @property
    def instances(self) -> list[Pairs]:
        """M times the same N expressions, each time by another movement; the apex's first."""
        alone = replace(self, more=_no_instances())
        count = self.more.shape[1] if len(self.more) else 0
        return [alone, *(replace(alone, action=self.more[:, i]) for i in range(count))]

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


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Several sets of pairs, one after the other.

    Raises:
        StoreError: crops of several sizes, or flow images beside faces.
    """
    joined = {}
    for f in fields(Pairs):
        values = [getattr(part, f.name) for part in parts]
        shapes = {value.shape[1:] for value in values if len(value)}
        # Some have faces or later movements, others do not.
        if len(shapes) > 1 or len({len(value) > 0 for value in values}) > 1:
            raise StoreError(
                f"pairs of several kinds cannot be read together: {f.name} is "
                f"{' and '.join(sorted(str(value.shape) for value in values))}",
                hint="Take corpora of faces, or of flow images of one size",
            )
        joined[f.name] = np.concatenate(values) if shapes else values[0]
    return Pairs(**joined)


class PairSettings(BaseModel):
    """Which pairs to draw, and how to see the movement between them.

    Args:
        kind: "onset-apex" (one pair of each marked expression); for MA2MI "future-movement" (a
            movement early and late) or "near-future".
        instances: movements that stand for one expression, of "onset-apex": from the onset to the
            apex, and to so many less one frames before it, over the last two fifths of the rise.
            Classifiers on frozen features train on all, and predict their mean.
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
    instances: int = Field(1, ge=1, le=16)
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
