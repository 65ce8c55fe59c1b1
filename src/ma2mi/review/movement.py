"""What ``frames.csv`` shows over time: the curve that decided, areas of the face, the head."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import StoreError
from ma2mi.motion.regions import REGIONS

Floats = NDArray[np.float64]

#: Lane of the timeline to the regions that it shows, without their side.
LANES: dict[str, tuple[str, ...]] = {
    "brows": ("inner_brow", "outer_brow"),
    "eyes": ("upper_lid", "lower_lid"),
    "cheeks and nose": ("cheek", "nose_wing"),
    "mouth": ("lip_corner", "upper_lip", "lower_lip", "chin"),
}
HEAD = "head"
SPAN_S = 0.12  # the head's movement is against so long before, as that of the regions
QUIETEST, TYPICAL = 0.1, 1.2
"""The line of the noise floor: ``TYPICAL`` times what the quietest tenth of the seconds show, as
spotting takes it (``spotting.noise_floor``), but of the curve that is drawn."""


def lane_of(region: str) -> str:
    """The lane that shows a region of ``motion.REGIONS``."""
    plain = region.removeprefix("left_").removeprefix("right_")
    return next((lane for lane, regions in LANES.items() if plain in regions), HEAD)


@dataclass(frozen=True, slots=True, eq=False)
class FaceMovement:
    """One face over all frames of a video; NaN where it was not measured.

    Args:
        curve: float64 [frames], the movement that decided, px of the aligned crop.
        lanes: likewise for each of ``LANES``, the largest of its regions; and ``HEAD``, percent of
            the face's width within ``SPAN_S``.
        boxes: float64 [frames, 4], x, y, width, height of the face, px of the video.
        floor_px: noise floor of the curve; NaN if it is too short.
    """

    curve: Floats
    lanes: dict[str, Floats]
    boxes: Floats
    floor_px: float


@dataclass(frozen=True, slots=True, eq=False)
class MovementTable:
    """All rows of ``frames.csv``.

    Args:
        times_s: float64 [frames], seconds after the first frame.
        faces: by number.
    """

    times_s: Floats
    faces: dict[int, FaceMovement]


def read_movement(path: Path) -> MovementTable:
    """Read ``frames.csv`` of an analysis.

    Raises:
        StoreError: it is not there, or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        names = {name: place for place, name in enumerate(rows.pop(0))}
        frames = np.array([int(row[names["frame"]]) for row in rows])
        faces = np.array([int(row[names["face_id"]] or -1) for row in rows])
        count = int(frames.max()) + 1
        times = np.zeros(count)
        times[frames] = [float(row[names["timestamp"]]) for row in rows]
        known = sorted(set(faces.tolist()) - {-1})
        return MovementTable(
            times, {face: _face(rows, names, frames, faces == face, times) for face in known}
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise StoreError(
            f"is no readable table of frames ({error})", where=path, hint="Analyse the video again"
        ) from error


def _face(
    rows: Sequence[Sequence[str]],
    names: dict[str, int],
    frames: NDArray[Any],
    mine: NDArray[np.bool_],
    times: Floats,
) -> FaceMovement:
    at = np.flatnonzero(mine).tolist()

    def column(name: str) -> Floats:
        values = np.full(len(times), np.nan)
        values[frames[at]] = [float(rows[row][names[name]] or "nan") for row in at]
        return values

    curve = column("movement_px")
    lanes = {
        lane: _largest([column(f"{name}_px") for name in REGIONS if lane_of(name) == lane])
        for lane in LANES
    }
    boxes = np.stack([column(f"face_{side}") for side in "xywh"], axis=1)
    lanes[HEAD] = _head(boxes, times)
    return FaceMovement(curve, lanes, boxes, noise_floor_of(curve, times))


def _largest(columns: Sequence[Floats]) -> Floats:
    stacked = np.stack(columns)
    known = np.isfinite(stacked).any(axis=0)
    return np.where(known, np.nanmax(np.where(known, stacked, 0), axis=0), np.nan)


def _head(boxes: Floats, times: Floats) -> Floats:
    """How far the middle of the face went within ``SPAN_S``, percent of its width."""
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    before = np.searchsorted(times, times - SPAN_S - 1e-6)
    way = np.hypot(*(middle - middle[before]).T)
    return np.where(times >= SPAN_S, 100 * way / boxes[:, 2], np.nan)


def noise_floor_of(curve: Floats, times_s: Floats) -> float:
    """The noise floor of a curve, in its unit; NaN where no second of it is known."""
    seconds = np.floor(times_s).astype(int)
    known = np.isfinite(curve)
    typical = [
        float(np.median(curve[known & (seconds == one)])) for one in np.unique(seconds[known])
    ]
    return TYPICAL * float(np.quantile(typical, QUIETEST)) if typical else float("nan")


def bin_curve(values: Floats, first: int, last: int, bins: int) -> list[float | None]:
    """The largest value in each of so many equal bins of the frames from first to last.

    With fewer frames than bins, one value a frame. None where nothing is known.
    """
    part = values[first : last + 1]
    edges = np.unique(np.linspace(0, len(part), min(bins, len(part)) + 1).astype(int))
    found = np.where(np.isfinite(part), part, -np.inf)
    tops = np.maximum.reduceat(found, edges[:-1]) if len(edges) > 1 else np.array([])
    return [None if top == -np.inf else round(float(top), 5) for top in tops]
