"""When a movement counts: the thresholds of spotting, their units and sources."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

FLOORS = {"learned": 3.5, "floor": 4.5}
"""Noise floors that a swell must reach: for the learned scorer to be asked, or to count."""


LEAST_NEUTRAL_S = 2.0


class SpottingSettings(BaseModel):
    """When a movement counts. Times are in seconds: the rules hold at every frame rate.

    Args:
        scorer: "learned" judges each swell by a dozen numbers (``Scorer``), learned from synthetic
            videos; "floor" is free of training: the height in noise floors alone.
        threshold: height in noise floors that an event must reach; by default ``FLOORS``.
        neutral_s: start and end in seconds of a stretch in which the person is known to be at
            rest. From its first second on, the noise floor is measured there alone; by default it
            is found: what most seconds of ``floor_memory_s`` stay at.
        least_score: with "learned", the score that it must reach; by default the scorer's own.
        eye_distance_px: between the eyes' outer corners in the crop of the places (128 px wide).
        least_px: height in pixels below which nothing counts, however quiet the recording.
        micro_s: longest micro-expression (1/2 s; Yan et al., J. Nonverbal Behavior 37, 2013).
        shortest_s, longest_s: of any expression.
        floor_memory_s: how far back the person's own noise floor is measured.
        hop_s: how often events are decided.
        margin_s: how much must be seen after an apex; together with ``hop_s`` the delay's bound.
        blink_share: an eye closed to this share of its usual opening blinks.
        blink_s: longest blink; eyes shut for longer are shut.
        speech_s: shortest utterance.
        gap_s: longest gap without a face that movement is followed over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scorer: Literal["learned", "floor"] = "learned"
    threshold: float | None = Field(None, gt=0)
    neutral_s: tuple[float, float] | None = None
    least_score: float | None = Field(None, ge=0, le=1)
    eye_distance_px: float = Field(56.0, gt=0)
    least_px: float = Field(0.06, ge=0)
    micro_s: float = Field(0.5, gt=0)
    shortest_s: float = Field(0.08, gt=0)
    longest_s: float = Field(4.0, gt=0)
    floor_memory_s: float = Field(90.0, gt=0)
    hop_s: float = Field(2.0, gt=0)
    margin_s: float = Field(4.0, ge=3.5)
    blink_share: float = Field(0.6, gt=0, lt=1)
    blink_s: float = Field(0.7, gt=0)
    speech_s: float = Field(0.8, gt=0)
    gap_s: float = Field(0.12, ge=0)

    @field_validator("neutral_s")
    @classmethod
    def _lasts(cls, stretch: tuple[float, float] | None) -> tuple[float, float] | None:
        if stretch and not 0 <= stretch[0] <= stretch[1] - LEAST_NEUTRAL_S:
            raise ValueError(f"a neutral stretch lasts {LEAST_NEUTRAL_S:.0f} s or more")
        return stretch

    @property
    def least_floors(self) -> float:
        """Height in noise floors from which a swell is looked at."""
        return FLOORS[self.scorer] if self.threshold is None else self.threshold

    @property
    def delay_s(self) -> float:
        """Longest time from an event's apex to its report."""
        return self.hop_s + self.margin_s
