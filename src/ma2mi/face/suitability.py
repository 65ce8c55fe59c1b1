"""Whether a recording is good enough: limits of each quantity, reasons with their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from pydantic import BaseModel, ConfigDict

from ma2mi.errors import FaceError
from ma2mi.face.quality import Floats, FrameQuality
from ma2mi.records import Level

BRIEF_S = 0.2  # of a short micro-expression
HIDDEN_SHARE = 0.5  # of the samples, from which an area counts as hidden
UNEVEN = 1.6  # typical steps; a longer step between frames lacks frames


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
    found = list(_passed_limits(values, limits))
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


def _passed_limits(
    values: Mapping[str, float], limits: Limits
) -> Iterator[tuple[float, Level, str]]:
    """How bad, level and reason of each quantity that is worse than its amber limit."""
    for name, sentence in _SENTENCES.items():
        amber, red = getattr(limits, name)
        value = values[name]
        # 0 at the amber limit, 1 at the red one: how bad, whatever the unit.
        badness = (value - amber) / (red - amber)
        if value < amber if name in _LESS_IS_WORSE else value > amber:
            line = sentence.format(value=value, fps=values["fps"])
            yield badness, "red" if badness > 1 else "amber", line


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
