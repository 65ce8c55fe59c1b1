"""Is a recording good enough? Frame rate, size, blur, compression, flicker, head, hidden parts.

Limits are this project's own choice, written down in ``Limits``; the reasons carry the numbers, so
that a reader may disagree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ma2mi.errors import FaceError
from ma2mi.face.detect import (
    LEFT_EYE_OUTER,
    NOSE_BRIDGE,
    RIGHT_EYE_OUTER,
    Face,
)
from ma2mi.face.occlusion import AREAS, hidden_areas
from ma2mi.video import FrameSteps

Level = Literal["green", "amber", "red"]
Floats = NDArray[np.float64]

NOSE_TIP = 4
BRIEF_S = 0.2  # of a short micro-expression
LEAST_PATCH = 24
KEPT = 4096
# Longer absences, and longer pauses of the recording, count as so long: only a short one is a face
# or a frame that got lost.
ABSENT_S = 2.0
HIDDEN_SHARE = 0.5  # of the samples, from which an area counts as hidden
REMEMBERED_S = 120.0  # for so long it is known when an area was hidden
UNEVEN = 1.6  # typical steps; a longer step between frames lacks frames


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """Figures of one frame around one face.

    Args:
        eye_distance_px: between the eyes' outer corners, in the image.
        blur: 0 (every pixel its own) to 1 (all alike); see ``blur_of``.
        blockiness: excess of brightness steps on the 8-pixel grid of JPEG and MPEG; 0 is none.
        luma: mean brightness of the face, 0..255.
        clipped: share of the face's pixels that are black or white, in [0, 1].
        turned: how far the face is turned aside, 0 (frontal) to 1 (profile).
        x, y: middle of the nose bridge in image pixels.
        confidence: the landmark net's, in [0, 1].
    """

    eye_distance_px: float
    blur: float
    blockiness: float
    luma: float
    clipped: float
    turned: float
    x: float
    y: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Suitability:
    """How suitable a recording is.

    Args:
        level: "green": no limit is passed; "amber": interpret with the reasons in mind; "red":
            do not recognise emotions in it.
        reasons: what is amber or red, worst first, each a sentence with its number; () if green.
        values: every quantity measured, by name, also those that are fine.
        hidden: those of ``occlusion.AREAS`` that are hidden more than half of the time: what moves
            in their regions is not analysed.
    """

    level: Level
    reasons: tuple[str, ...]
    values: dict[str, float]
    hidden: tuple[str, ...] = ()


class Limits(BaseModel):
    """Amber and red limits of each quantity: worse than the first is amber, than the second red.

    Args:
        brief_frames: frames that a movement of 1/5 s gets; less is worse.
        eye_distance_px: less is worse; movement is measured in crops of 56 px between the eyes.
        blur, blockiness, clipped, turned: as ``FrameQuality``; more is worse.
        luma: darker is worse.
        flicker: deviation of the face's brightness from one sample to the next, relative.
        head_speed: of the nose bridge, in eye distances a second; nine tenths of the time below.
        seen: share of the frames with the face, from its first to its last appearance, of which
            absences count 2 s at most; less is worse.
        visible_s: how long the face is seen in all; less is worse. A micro-expression lasts up to
            0.5 s, and rest has to be known, too.
        confidence: median; less is worse.
        gap: longest step between frames, in typical steps; more is worse, and never red: one pause
            spoils no recording.
        lost: share of the time that is lost in steps of more than 1.6 typical ones; more is worse.
        hidden: share of the time that an area of the face is hidden; more is worse, and never red:
            the other areas can be analysed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brief_frames: tuple[float, float] = (10, 4.5)
    eye_distance_px: tuple[float, float] = (80, 40)
    blur: tuple[float, float] = (0.55, 0.68)
    blockiness: tuple[float, float] = (0.3, 1.5)
    luma: tuple[float, float] = (45, 20)
    clipped: tuple[float, float] = (0.1, 0.35)
    turned: tuple[float, float] = (0.3, 0.6)
    flicker: tuple[float, float] = (0.02, 0.08)
    head_speed: tuple[float, float] = (0.4, 1.5)
    seen: tuple[float, float] = (0.95, 0.5)
    visible_s: tuple[float, float] = (2.0, 0.5)
    confidence: tuple[float, float] = (0.9, 0.65)
    gap: tuple[float, float] = (UNEVEN, np.inf)
    lost: tuple[float, float] = (0.05, 0.5)
    hidden: tuple[float, float] = (0.15, np.inf)


# Which direction is worse, and the sentence; {value} is the number.
_LESS_IS_WORSE = {"brief_frames", "eye_distance_px", "luma", "seen", "visible_s", "confidence"}
_SENTENCES = {
    "brief_frames": "{fps:.4g} frames a second: a movement of 1/5 s gets {value:.1f} frames",
    "eye_distance_px": "the face is small: {value:.0f} px between the eyes' outer corners",
    "blur": "the face is blurred ({value:.2f} of 1)",
    "blockiness": "compression shows: steps at its 8 px blocks are {value:.0%} larger",
    "luma": "the face is dark: brightness {value:.0f} of 255",
    "clipped": "{value:.0%} of the face is plain black or white",
    "turned": "the face is turned aside ({value:.2f} of 1)",
    "flicker": "the light flickers by {value:.1%}",
    "head_speed": "the head moves by {value:.2f} eye distances a second",
    "seen": "the face is seen in {value:.0%} of the frames from its first to its last",
    "visible_s": "the face is seen for {value:.1f} s only",
    "confidence": "the face is partly hidden or unclear (confidence {value:.2f})",
    "gap": "frames are missing or uneven: the longest step is {value:.1f} usual ones",
    "lost": "{value:.0%} of the time is lost in steps between frames that are too long",
}


def measure_frame(image: NDArray[np.uint8], face: Face) -> FrameQuality:
    """Measure one frame around one face; a fraction of a millisecond to a few.

    Args:
        image: uint8 [H, W, 3], RGB, as decoded: scaling hides blur and blocks.
        face: its landmarks.

    Raises:
        FaceError: not such an image, or a face outside of it.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise FaceError(f"image is {image.dtype} {list(image.shape)}", cure="Give uint8 RGB")
    height, width = image.shape[:2]
    x0, y0, x1, y1 = face.box
    # Whole blocks of 8, so that the compression's grid is known.
    left, top = (int(max(edge, 0)) // 8 * 8 for edge in (x0, y0))
    right, bottom = int(min(x1, width)), int(min(y1, height))
    if right - left < LEAST_PATCH or bottom - top < LEAST_PATCH:
        raise FaceError("the face lies outside the image or is tiny")
    middle = (left + right) // 2 // 8 * 8, (top + bottom) // 2 // 8 * 8
    left, top = max(left, middle[0] - 256), max(top, middle[1] - 256)
    right, bottom = min(right, middle[0] + 256), min(bottom, middle[1] + 256)
    patch = image[top:bottom, left:right].astype(np.float64) @ (0.299, 0.587, 0.114)
    points = face.points.astype(np.float64)
    eyes = points[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    across = eyes[1] - eyes[0]
    distance = float(np.hypot(*across))
    # Where the nose's tip lies between the eyes: 1/2 is frontal, 0 or 1 in line with one eye.
    between = float((points[NOSE_TIP] - eyes[0]) @ across) / max(distance**2, 1e-9)
    bridge = points[list(NOSE_BRIDGE)].mean(axis=0)
    return FrameQuality(
        eye_distance_px=distance,
        blur=blur_of(patch),
        blockiness=blockiness_of(patch),
        luma=float(patch.mean()),
        clipped=float(((patch < 4) | (patch > 251)).mean()),
        turned=float(min(abs(2 * between - 1), 1.0)),
        x=float(bridge[0]),
        y=float(bridge[1]),
        confidence=face.confidence,
    )


def blur_of(patch: Floats) -> float:
    """How little a strong blur takes away, in [0, 1] (Crete et al., SPIE 6492, 2007).

    Args:
        patch: [H, W], brightness, sides of 24 or more.
    """
    worst = 0.0
    for image in (patch, patch.T):
        sums = np.cumsum(np.pad(image, ((5, 4), (0, 0)), mode="edge"), axis=0)
        blurred = (sums[9:] - sums[:-9]) / 9
        steps, left = np.abs(np.diff(image, axis=0)), np.abs(np.diff(blurred, axis=0))
        steps, left = steps[: len(left)], left[: len(steps)]
        total = float(steps.sum())
        lost = float(np.clip(steps - left, 0, None).sum())
        worst = max(worst, (total - lost) / total if total > 0 else 1.0)
    return worst


def blockiness_of(patch: Floats) -> float:
    """By which share brightness steps on the 8-pixel grid exceed the others, at least 0.

    Args:
        patch: [H, W], whose first pixel lies on the grid.
    """
    excess = []
    for image in (patch, patch.T):
        steps = np.abs(np.diff(image, axis=0)).mean(axis=1)  # steps[7] is between blocks
        on_grid = np.arange(len(steps)) % 8 == 7
        others = float(np.median(steps[~on_grid]))
        excess.append(float(np.median(steps[on_grid])) / others - 1 if others > 0 else 0.0)
    return max(float(np.mean(excess)), 0.0)


class QualityMonitor:
    """Gathers samples at a video of any length in constant memory.

    Args:
        every_s: time between samples; doubles whenever 4096 are kept, of which half then go.
        limits: by default ``Limits()``.
    """

    def __init__(self, every_s: float = 0.2, limits: Limits | None = None) -> None:
        self._checked = 0
        self._hidden = dict.fromkeys(AREAS, 0)
        self._hidden_lately: deque[tuple[float, tuple[str, ...]]] = deque()
        self.limits = limits or Limits()
        self._every_s = every_s
        self._next_s = -np.inf
        self._kept: list[tuple[float, FrameQuality]] = []
        self._steps = FrameSteps()
        self._frames = self._with_face = 0
        self._missed = 0.0  # frames without the face between its appearances
        self._gone = 0  # frames since its newest one
        self._seen_s = -np.inf

    def push(
        self, image: NDArray[np.uint8], face: Face | None, time_s: float | Fraction
    ) -> FrameQuality | None:
        """Count a frame, and measure it if a sample is due; push frames without a face, too.

        Raises:
            FaceError: as ``measure_frame``.
        """
        time = float(time_s)
        self._steps.push(time_s)
        self._frames += 1
        if face is None:
            self._gone += 1
            return None
        if self._with_face:
            self._missed += self._gone * min(1.0, ABSENT_S / max(time - self._seen_s, 1e-9))
        self._with_face += 1
        self._gone, self._seen_s = 0, time
        if time < self._next_s:
            return None
        sample = measure_frame(image, face)
        self._kept.append((time, sample))
        self._count_hidden(image, face, time)
        self._next_s = time + self._every_s
        if len(self._kept) > KEPT:
            self._kept = self._kept[::2]
            self._every_s *= 2
        return sample

    def hidden_between(self, start_s: float, stop_s: float, share: float = 0.0) -> tuple[str, ...]:
        """The areas of the face that were hidden in a stretch of the last two minutes.

        Args:
            start_s, stop_s: the stretch.
            share: of the samples from one before the stretch to one after it, in which an area must
                be hidden; by default in any.
        """
        margin_s = self._every_s
        lately = [
            areas
            for time, areas in self._hidden_lately
            if start_s - margin_s <= time <= stop_s + margin_s
        ]
        counts = {name: sum(name in areas for areas in lately) for name in AREAS}
        return tuple(name for name, n in counts.items() if n and n >= share * len(lately))

    def _count_hidden(self, image: NDArray[np.uint8], face: Face, time: float) -> None:
        hidden = hidden_areas(image, face)
        self._checked += 1
        for name in hidden:
            self._hidden[name] += 1
        self._hidden_lately.append((time, hidden))
        while time - self._hidden_lately[0][0] > REMEMBERED_S:
            self._hidden_lately.popleft()

    def assess(self, frames: int | None = None) -> Suitability:
        """The suitability of what was pushed so far.

        The face is assessed over the time that it is in view; ``values["present"]`` is the share of
        the recording that shows it.

        Args:
            frames: of the whole recording; by default as many as were pushed.
        """
        if self._frames < 2:
            return Suitability("red", ("a single frame shows no movement",), {})
        steps = np.minimum(self._steps.sample, ABSENT_S)
        typical_s = self._steps.typical_s or 1e-9
        if self._with_face and not self._kept:
            return Suitability("red", ("the face is tiny or lies outside the picture",), {})
        return assess_suitability(
            [sample for _, sample in self._kept],
            [time for time, _ in self._kept],
            fps=1 / typical_s,
            seen=self._with_face / max(self._with_face + self._missed, 1),
            visible_s=self._with_face * typical_s,
            present=self._with_face / max(frames or self._frames, 1),
            gap=self._steps.longest_s / typical_s,
            lost=float(
                (steps - typical_s)[steps > UNEVEN * typical_s].sum() / max(steps.sum(), 1e-9)
            ),
            hidden={name: count / max(self._checked, 1) for name, count in self._hidden.items()},
            limits=self.limits,
        )


def assess_suitability(
    samples: Sequence[FrameQuality],
    times_s: Sequence[float | Fraction],
    *,
    fps: float | Fraction,
    seen: float = 1.0,
    visible_s: float = np.inf,
    present: float = 1.0,
    gap: float = 1.0,
    lost: float = 0.0,
    hidden: Mapping[str, float] | None = None,
    limits: Limits | None = None,
) -> Suitability:
    """Green, amber or red, with reasons.

    Args:
        samples: at frames with a face, in their order; none is red.
        times_s: of the samples, rising.
        fps: true frame rate of the video, pauses left out.
        seen: share of the frames with the face, from its first to its last appearance.
        visible_s: how long the face is seen in all.
        present: share of the recording that shows the face; no limit applies to it.
        gap: longest step between frames, in typical steps.
        lost: share of the time that is lost in overlong steps.
        hidden: of each of ``occlusion.AREAS``, the share of the samples in which it is hidden.
        limits: by default ``Limits()``.

    Raises:
        FaceError: not as many times as samples.
    """
    limits = limits or Limits()
    if len(samples) != len(times_s):
        raise FaceError(f"{len(samples)} samples need as many times, not {len(times_s)}")
    values = {
        "fps": float(fps),
        "brief_frames": float(fps) * BRIEF_S,
        "seen": seen,
        "visible_s": visible_s,
        "present": present,
        "gap": gap,
        "lost": lost,
    }
    if not samples:
        return Suitability("red", ("no face is seen",), {**values, "seen": 0.0, "present": 0.0})
    table = {name: np.array([getattr(sample, name) for sample in samples]) for name in _MEDIANS}
    values |= {name: float(np.median(column)) for name, column in table.items()}
    values["flicker"] = _flicker(table["luma"])
    values["head_speed"] = _head_speed(samples, np.array([float(time) for time in times_s]))
    found: list[tuple[float, Level, str]] = []
    for name, sentence in _SENTENCES.items():
        amber, red = getattr(limits, name)
        value = values[name]
        # 0 at the amber limit, 1 at the red one: how bad, whatever the unit.
        badness = (value - amber) / (red - amber)
        over = value < amber if name in _LESS_IS_WORSE else value > amber
        if over:
            level: Level = "red" if badness > 1 else "amber"
            found.append((badness, level, sentence.format(value=value, fps=float(fps))))
    hidden = hidden or {}
    values |= {f"hidden_{name}": share for name, share in hidden.items()}
    much = sorted((-share, name) for name, share in hidden.items() if share > limits.hidden[0])
    if much:
        named = ", ".join(f"{name} {-share:.0%}" for share, name in much)
        found.append((-much[0][0], "amber", f"parts of the face are hidden: {named} of the time"))
    found.sort(key=lambda one: -one[0])
    levels = [level for _, level, _ in found]
    overall: Level = "red" if "red" in levels else "amber" if levels else "green"
    unread = tuple(name for name, share in hidden.items() if share > HIDDEN_SHARE)
    return Suitability(overall, tuple(reason for _, _, reason in found), values, unread)


_MEDIANS = ("eye_distance_px", "blur", "blockiness", "luma", "clipped", "turned", "confidence")


def _flicker(luma: Floats) -> float:
    """Median relative change of the face's brightness between samples, as a deviation."""
    if len(luma) < 3:
        return 0.0
    change = np.diff(luma) / max(float(np.median(luma)), 1.0)
    return float(1.4826 * np.median(np.abs(change)) / np.sqrt(2))


def _head_speed(samples: Sequence[FrameQuality], times: Floats) -> float:
    """90th percentile of the speed of the nose bridge, eye distances a second."""
    if len(samples) < 2:
        return 0.0
    bridge = np.array([(sample.x, sample.y) for sample in samples])
    unit = float(np.median([sample.eye_distance_px for sample in samples]))
    speed = np.hypot(*np.diff(bridge, axis=0).T) / np.maximum(np.diff(times), 1e-6)
    return float(np.quantile(speed, 0.9)) / max(unit, 1e-6)
