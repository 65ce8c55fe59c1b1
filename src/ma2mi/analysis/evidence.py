"""From a spotted stretch of crops to evidence: its movement, the recognizer's output, pictures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import MissingPart, MotionError, optional_part
from ma2mi.face.blurring import coarse
from ma2mi.motion import (
    action_channels,
    draw_flow,
    expressive_mask,
    flow,
    magnify,
    remove_rigid,
)
from ma2mi.motion.facs import ACTION_UNITS
from ma2mi.records import Reading
from ma2mi.report.review import Card, Loop
from ma2mi.report.videos import as_png

if TYPE_CHECKING:
    from ma2mi.clips.pairs import Pairs
    from ma2mi.training.recognizer import Recognizer

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]

MOST_FRAMES = 96  # of a stretch that are measured; longer ones are thinned out
FARTHEST = 0.08  # of the crop's width, about a quarter of the distance between the eyes
LARGEST = 0.015  # of the crop's width: larger movements are shown to the recognizer so large
LOOP_FRAMES = 24
_AREA_OF = {
    "forehead": "brows",
    "inner brow": "brows",
    "outer brow": "brows",
    "nose root": "nose",
    "upper lid": "eyes",
    "lower lid": "eyes",
    "cheek": "nose",
    "nose wing": "nose",
    "lip corner": "mouth",
    "upper lip": "mouth",
    "lower lip": "mouth",
    "chin": "mouth",
    "jaw": "mouth",
}
SHOWN_PX = 6.0  # a magnified movement's peak in the loop
LEAST_TIMES, MOST_TIMES = 1.2, 20.0  # of a magnification


@dataclass(frozen=True, eq=False)
class Stretch:
    """The crops around an event.

    Args:
        frames: numbers of the frames, rising, at least 3.
        crops: uint8 [T, S, S, 3].
    """

    frames: Sequence[int]
    crops: Image


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of one movement.

    Args:
        stretch: the crops.
        onset, apex, offset: positions in the stretch.
        moved: float32 [T, S, S, 2], flow from the onset, head motion removed.
        by_landmarks: float32 [S, S, 2], from onset to apex, where the movement is too large for
            ``moved``.
    """

    stretch: Stretch
    onset: int
    apex: int
    offset: int
    moved: Floats
    by_landmarks: Floats | None = None

    @property
    def between(self) -> Floats:
        """Flow from the onset to the apex, [S, S, 2]."""
        return np.asarray(self.moved[self.apex] if self.by_landmarks is None else self.by_landmarks)

    @property
    def implausible(self) -> bool:
        """Skin does not go that far: a hand before the face, or a head that turns away.

        Landmarks do not follow a hand, so their movement counts.
        """
        if self.by_landmarks is not None:
            return False
        skin = expressive_mask(self.between.shape[:2])
        length = np.hypot(self.between[..., 0], self.between[..., 1])[skin]
        return bool(np.quantile(length, 0.9) > FARTHEST * self.between.shape[0])


def thin_out(stretch: Stretch, most: int = MOST_FRAMES) -> Stretch:
    """At most so many frames, evenly."""
    count = len(stretch.frames)
    if count <= most:
        return stretch
    keep = np.unique(np.linspace(0, count - 1, most).round().astype(int))
    return Stretch([stretch.frames[i] for i in keep], stretch.crops[keep])


def examine(
    stretch: Stretch, spotted: tuple[int, int, int], by_landmarks: Floats | None = None
) -> Evidence:
    """Measure the whole stretch against its onset.

    Onset, apex and offset stay as they were spotted: they come from the regions that move,
    against their own noise. The curve of all skin in the crop would not do: over half a
    second the eyes' own movements are larger than a micro-expression.

    Args:
        stretch: the movement.
        spotted: onset, apex and offset, frame numbers.
        by_landmarks: as in ``Evidence``.

    Raises:
        MotionError: fewer than 3 frames, or crops that show nothing.
    """
    if len(stretch.frames) < 3:
        raise MotionError(f"a movement of {len(stretch.frames)} frames has no apex")
    numbers = np.asarray(stretch.frames)
    onset, apex, offset = (int(np.abs(numbers - frame).argmin()) for frame in spotted)
    moved, _ = remove_rigid(flow(stretch.crops[onset], stretch.crops))
    return Evidence(stretch, onset, apex, offset, moved, by_landmarks)


def recognise(evidence: Evidence, recognizer: Recognizer, key: str) -> Reading:
    """The recognizer's reading of the movement from onset to apex."""
    shrunk = _shrunk(evidence.between)
    reading = recognizer.readings(_pair(evidence, key))[0]
    if reading.intensity is None or shrunk == 1:
        return reading
    return replace(reading, intensity=round(reading.intensity / shrunk, 4))


def without_areas(reading: Reading, areas: Collection[str]) -> Reading:
    """A reading that commits to no class and names no action unit of areas that are hidden.

    Args:
        reading: as from ``recognise``.
        areas: of ``face.occlusion.AREAS``.
    """
    seen = {unit: p for unit, p in reading.action_units.items() if _area_of(unit) not in areas}
    return replace(reading, action_units=seen, abstained=True)


def _area_of(unit: str) -> str:
    """Where the region lies by which FACS knows the unit; "" of units that are not known."""
    known = ACTION_UNITS.get(unit)
    return "" if known is None else _AREA_OF[known.shifts[0].region]


def _shrunk(field: Floats) -> float:
    """What a movement larger than any micro-expression is multiplied by for the recognizer."""
    peak = float(np.quantile(np.hypot(field[..., 0], field[..., 1]), 0.995))
    return float(min(1.0, LARGEST * field.shape[1] / max(peak, 1e-6)))


def _pair(evidence: Evidence, key: str) -> Pairs:
    from ma2mi.clips.pairs import Pairs

    crops = evidence.stretch.crops
    onset, apex = crops[evidence.onset][None], crops[evidence.apex][None]
    field = evidence.between
    if evidence.by_landmarks is None:
        field = flow(onset[0], apex)[0]
    action = action_channels(_shrunk(field) * field)
    return Pairs(
        keys=np.array([key]),
        subjects=np.array([""]),
        first=onset,
        second=apex,
        third=np.empty((0, *onset.shape[1:]), np.uint8),
        action=action[None].astype(np.float16),
        elapsed_s=np.full(1, np.nan),
    )


def heat_map(evidence: Evidence, recognizer: Recognizer) -> Floats | None:
    """Evidence for the output, float32 [S, S] in [0, 1]; attention where captum is missing.

    None where no network's grid supports the output.
    """
    from ma2mi.training.heatmaps import attention_map, grad_cam
    from ma2mi.training.views import batches

    if recognizer.net.explained is None:
        return None
    pairs = _pair(evidence, "0")
    try:
        seen: Floats | None = grad_cam(recognizer, pairs)
    except MissingPart:
        seen = attention_map(
            recognizer.net, next(iter(batches(recognizer.net, pairs, recognizer.size)))
        )
    if seen is None:
        return None
    # The network sees the middle of the crop.
    side = evidence.stretch.crops.shape[1]
    size = min(recognizer.size, side)
    whole = np.zeros((side, side), np.float32)
    margin = (side - size) // 2
    middle = slice(margin, margin + size)
    whole[middle, middle] = cv2.resize(seen[0], (size, size), interpolation=cv2.INTER_LINEAR)
    return whole


def draw_card(evidence: Evidence, heat: Floats | None, *, blur: bool) -> Card:
    """The pictures of one event; with ``blur`` they are anonymised.

    A loop of a blurred face would show nothing, so there is none.
    """
    crops = evidence.stretch.crops
    onset, apex = crops[evidence.onset], crops[evidence.apex]
    if blur:
        onset, apex = coarse(onset), coarse(apex)
    pictures = {
        "onset": as_png(_large(onset)),
        "apex": as_png(_large(apex)),
        "flow": as_png(draw_flow(_large(evidence.between))),
    }
    if heat is not None:
        pictures["heat"] = as_png(_large(_overlay(onset, heat)))
    return Card(pictures, None if blur else draw_loop(evidence))


def draw_loop(evidence: Evidence) -> Loop:
    """The movement as it is, left, and magnified, right, unless it is large by itself."""
    first, last = evidence.onset, max(evidence.offset, evidence.apex + 1, evidence.onset + 2)
    last = min(last, len(evidence.stretch.frames) - 1)
    keep = np.unique(np.linspace(first, last, min(last - first + 1, LOOP_FRAMES)).round())
    rows = keep.astype(int)
    crops = evidence.stretch.crops[rows]
    moved = evidence.moved[rows] - evidence.moved[rows[0]]
    skin = expressive_mask(moved.shape[1:3])
    peak = float(np.quantile(np.hypot(moved[..., 0], moved[..., 1])[:, skin], 0.995))
    factor = float(np.clip(SHOWN_PX / max(peak, 1e-6), 1, MOST_TIMES))
    frames, caption = crops, "as it is: large enough to be seen"
    if factor >= LEAST_TIMES:
        large = magnify(crops, factor, moved=moved)
        frames = np.concatenate([crops, large], axis=2)
        caption = f"as it is, and {factor:.1f} times as far"
    strip = frames.reshape(-1, *frames.shape[2:])
    _, coded = cv2.imencode(
        ".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
    )
    return Loop(coded.tobytes(), len(frames), frames.shape[2], frames.shape[1], caption)


def loop_frames(loop: Loop) -> Image:
    """The frames of a loop, uint8 [T, H, W, 3]."""
    strip = cv2.imdecode(np.frombuffer(loop.strip, np.uint8), cv2.IMREAD_COLOR)
    frames = np.ascontiguousarray(np.asarray(strip)[..., ::-1])
    return frames.reshape(loop.frames, loop.height, loop.width, 3)


def _large(picture: NDArray[Any]) -> NDArray[Any]:
    """160 px a side, the width that the page shows and that the flow's scale needs."""
    return np.asarray(cv2.resize(picture, (160, 160), interpolation=cv2.INTER_CUBIC))


def _overlay(face: Image, heat: Floats) -> Image:
    colours = cv2.applyColorMap(np.round(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (0.15 + 0.6 * heat)[..., None]
    grey = cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mixed = grey * (1 - share) + colours[..., ::-1] * share
    return np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)
