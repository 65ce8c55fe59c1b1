"""The knobs of a synthetic clip: how strong, how long, and what disturbs it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if not 0 < ends[0] <= ends[1]:
        raise ValueError("a range is written as (low, high), both above 0")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]


class SyntheticSettings(BaseModel):
    """What a clip holds besides its subject and emotion. "px" are pixels of a 224 px face crop.

    Args:
        size: side of the square image in pixels.
        micro_peak_px: range of the largest displacement of the skin at a micro-expression's apex.
        macro_intensity: range of the strongest unit of a macro-expression, of FACS "E".
        micro_duration_s, macro_duration_s: range from onset to offset.
        padding_frames: neutral frames before the onset and after the offset.
        asymmetry: largest share by which one side of the face may lag behind the other.
        stray_unit_rate: share of clips with one more, unrelated unit, weaker on average.
        blink_rate, gaze_rate: events a second.
        speech_rate: share of clips in which the mouth moves as in speech.
        head_drift_px, head_turn_deg: deviation of slow head motion over a clip.
        head_tremor_px: deviation of fast head motion.
        flicker: relative deviation of the light.
        noise: deviation of the camera's noise, of 255.
        blur_px: Gaussian blur of the lens, in image pixels.
        neck_follows: the head moves so far that the neck has to move along.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: int = Field(320, ge=64, le=1024)
    micro_peak_px: Range = (0.2, 0.7)
    macro_intensity: Range = (0.4, 1.0)
    micro_duration_s: Range = (0.16, 0.4)
    macro_duration_s: Range = (0.6, 2.5)
    padding_frames: int = Field(6, ge=0)
    asymmetry: float = Field(0.5, ge=0, le=1)
    stray_unit_rate: float = Field(0.5, ge=0, le=1)
    blink_rate: float = Field(0.25, ge=0)
    gaze_rate: float = Field(0.6, ge=0)
    speech_rate: float = Field(0.0, ge=0, le=1)
    head_drift_px: float = Field(0.8, ge=0)
    head_turn_deg: float = Field(0.3, ge=0)
    head_tremor_px: float = Field(0.04, ge=0)
    flicker: float = Field(0.004, ge=0)
    noise: float = Field(3.0, ge=0)
    blur_px: float = Field(0.5, ge=0)
    neck_follows: bool = False
