"""When a movement counts: the thresholds of spotting, their units and sources."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

THRESHOLDS = {"learned": 3.5, "floor": 4.5}
"""Multiples of the noise floor that a movement pulse must reach, for each scorer: below them, coded
videos without events have some (``benchmarks/spotting/false_alarms.py``)."""
EXCURSION_THRESHOLD = 4.5
"""The same for an excursion, whose floor is the jitter of landmarks, which is not white."""
KEPT = 0.7  # of the threshold: from there on a movement is kept as a candidate
LEAST_NEUTRAL_S = 2.0
LEAST_SCORE = 0.5


class SpottingSettings(BaseModel):
    """When a movement counts. Times are in seconds: the rules hold at every frame rate.

    Args:
        scorer: "learned" scores each movement pulse by its evidence (``Scorer``), learned from
            synthetic videos; "floor" is free of training: the height above the noise floor alone.
        threshold: multiple of the noise floor that an event must reach; by default ``THRESHOLDS``
            for movement pulses and ``EXCURSION_THRESHOLD`` for excursions.
        neutral_s: start and end in seconds of a stretch in which the subject is known to be at
            rest. From its first second on, the noise floor is measured there alone; by default it
            is found: what the quietest tenth of ``floor_memory_s`` shows.
        least_score: score that an event must reach; by default ``LEAST_SCORE``.
        eye_distance_px: between the eyes' outer corners in the crop (128 px wide).
        least_px: displacement in px below which no movement pulse counts, however quiet the
            recording.
        least_excursion_px: the same for an excursion: 1.6 mm on an adult's face.
        micro_s: longest micro-expression (1/2 s; Yan et al., J. Nonverbal Behavior 37, 2013).
        shortest_s: of any expression.
        longest_s: of a movement pulse; an excursion may last longer.
        floor_memory_s: how far back the noise floor and the rest of the face are measured.
        hop_s: how often events are decided.
        margin_s: how much must be seen after an apex; together with ``hop_s`` the delay's bound.
        blink_share: an eye closed to this share of its typical opening blinks.
        blink_s: longest blink; eyes shut for longer are shut.
        gap_s: longest gap without a face that movement is followed over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scorer: Literal["learned", "floor"] = "learned"
    threshold: float | None = Field(None, gt=0)
    neutral_s: tuple[float, float] | None = None
    least_score: float | None = Field(None, ge=0, le=1)
    eye_distance_px: float = Field(56.0, gt=0)
    least_px: float = Field(0.09, ge=0)
    least_excursion_px: float = Field(1.0, ge=0)
    micro_s: float = Field(0.5, gt=0)
    shortest_s: float = Field(0.08, gt=0)
    longest_s: float = Field(4.0, gt=0)
    floor_memory_s: float = Field(90.0, gt=0)
    hop_s: float = Field(2.0, gt=0)
    margin_s: float = Field(4.0, ge=3.5)
    blink_share: float = Field(0.6, gt=0, lt=1)
    blink_s: float = Field(0.7, gt=0)
    gap_s: float = Field(0.12, ge=0)

    @field_validator("neutral_s")
    @classmethod
    def _lasts(cls, stretch: tuple[float, float] | None) -> tuple[float, float] | None:
        if stretch and not 0 <= stretch[0] <= stretch[1] - LEAST_NEUTRAL_S:
            raise ValueError(f"a neutral stretch lasts {LEAST_NEUTRAL_S:.0f} s or more")
        return stretch

    @property
    def pulse_threshold(self) -> float:
        """Multiple of the noise floor that a movement pulse must reach."""
        return THRESHOLDS[self.scorer] if self.threshold is None else self.threshold

    @property
    def excursion_threshold(self) -> float:
        """Multiple of the noise floor that an excursion must reach."""
        return EXCURSION_THRESHOLD if self.threshold is None else self.threshold

    @property
    def cut(self) -> float:
        """Score that an event must reach."""
        return LEAST_SCORE if self.least_score is None else self.least_score

    @property
    def delay_s(self) -> float:
        """Longest time from a movement pulse's apex, or an excursion's offset, to its report."""
        return self.hop_s + self.margin_s
