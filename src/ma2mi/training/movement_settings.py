"""Settings of a pretext task's movements: nuisances on either side, and the simulator's sizes."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ma2mi.synthesis.basis import EYES_AT
from ma2mi.synthesis.domain import PUPILS_APART, DomainSettings


class NuisanceSettings(BaseModel):
    """What is put on either side of a pair, each time anew.

    Args:
        head: head motion: deviation relative to the movement's size, before its own heavy tail.
        noise: median of the invented movement, relative to the movement's size.
        gain: deviation of the logarithm of the estimator's gain from place to place.
        blur: largest blur, in 56ths of the side.
        zoom, shift, stretch, elastic: how far a crop sits off, as shares.
        turn_deg: the same, in degrees.
        light: largest change of a face's contrast and brightness, as a share.
        mirror: chance that a pair is mirrored, both sides alike.
        rest_outside: chance that what was measured outside the face is taken for rest.
        images: chance that a side is shown as a flow image scaled by its own range (MEGC2019's).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    head: float = Field(0.25, ge=0)
    noise: float = Field(0.12, ge=0)
    gain: float = Field(0.3, ge=0)
    blur: float = Field(2.5, ge=0)
    zoom: float = Field(0.07, ge=0, lt=1)
    shift: float = Field(0.03, ge=0, lt=1)
    stretch: float = Field(0.05, ge=0, lt=1)
    elastic: float = Field(0.025, ge=0, lt=1)
    turn_deg: float = Field(4.0, ge=0, lt=90)
    light: float = Field(0.2, ge=0, lt=1)
    mirror: float = Field(0.5, ge=0, le=1)
    rest_outside: float = Field(0.8, ge=0, le=1)
    images: float = Field(0.0, ge=0, le=1)

    def domain(self, margin: float) -> DomainSettings:
        """The same as a domain of the simulator, for crops ``margin`` times the input's side."""
        apart, eyes_y = PUPILS_APART * margin, 0.5 + (EYES_AT - 0.5) * margin
        return DomainSettings(
            head=self.head,
            noise=self.noise,
            gain=self.gain,
            blur=self.blur,
            eyes_apart=(apart / (1 + self.zoom), apart * (1 + self.zoom)),
            eyes_y=(eyes_y - self.shift, eyes_y + self.shift),
            shift=self.shift,
            stretch=self.stretch,
            turn_deg=self.turn_deg,
            elastic=self.elastic,
        )


#: A side that nothing is put on.
STILL = NuisanceSettings(
    head=0, noise=0, gain=0, blur=0, zoom=0, shift=0, stretch=0, elastic=0, turn_deg=0, light=0,
    mirror=0, rest_outside=0,
)  # fmt: skip


class SimulatorSettings(BaseModel):
    """The simulator's expressions.

    Args:
        subjects: synthetic subjects whose faces move.
        peak: size of the late movement in percent of the side, drawn by logarithm.
        share: size of the early movement relative to the late one, drawn by logarithm.
        seed: of the first subject.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    subjects: int = Field(64, ge=2)
    peak: tuple[float, float] = (0.4, 3.0)
    share: tuple[float, float] = (0.08, 0.5)
    seed: int = Field(500_000, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for low, high in (self.peak, self.share):
            if not 0 < low <= high:
                raise ValueError(f"a range of {low} to {high} is empty or starts at 0")
        return self
