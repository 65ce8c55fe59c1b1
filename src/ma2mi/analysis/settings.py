"""What an analysis depends on, but for the weights."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ma2mi.spotting import SpottingSettings


class AnalysisSettings(BaseModel):
    """What an analysis depends on, but for the weights.

    Args:
        most_faces: tracked at a time, the largest.
        rate: movement is measured so many times a second, or up to a ninth more; of faster
            videos, frames are averaged.
        landmark_rate: landmarks are detected in so many frames a second at most, on average; in
            those between them a face counts as seen where it was. A blink lasts 0.1 s or more.
        spotting: when a movement counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    most_faces: int = Field(4, ge=1)
    rate: float = Field(60.0, gt=0)
    landmark_rate: float = Field(20.0, gt=0)
    spotting: SpottingSettings = SpottingSettings()

    @property
    def memory_s(self) -> float:
        """How long crops are kept: until the longest movement has been reported."""
        return self.spotting.delay_s + self.spotting.longest_s

    @property
    def long_memory_s(self) -> float:
        """How long few crops and the landmarks are kept: until a held expression was reported."""
        return self.spotting.floor_memory_s
