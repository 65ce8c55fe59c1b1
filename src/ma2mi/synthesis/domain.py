"""The domain that simulated flow is drawn from: movements, crops and estimator errors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

#: Side of simulated flow, in cells.
SIDE = 56

#: Distance of the pupils in the aligned crop, as a share of its side.
PUPILS_APART = 0.31


class DomainSettings(BaseModel):
    """The domain that flow is drawn from. Pairs are ranges, drawn from uniformly or by logarithm.

    Args:
        still: share of samples without an expression.
        peak: largest movement of the skin in percent of the crop's side, by logarithm.
        asymmetry: largest share by which one side lags.
        one_sided: chance that an expression shows on one side alone.
        dropped, stray: chance that a unit of the combination is missing, or another one is added
            that is too weak to be coded.
        extra: chance that an unrelated unit of ``flow_simulator.UNITS`` is shown, and coded: units
            are then learned one by one, and not by the company they keep.
        bend_deg, bend_gain: deviation of a unit's direction and of its reach (as a share).
        blink, gaze, speech: chances.
        head: deviation of head motion, relative to the peak, before its own heavy tail.
        eyes_apart, eyes_y: where the crop has the pupils: their distance and height, as shares of
            the side. By default those of a network's input, the middle 7/8 of the aligned crop.
        shift, stretch, turn_deg, elastic: deviation of the crop from the template: its place, the
            ratio of its sides, its rotation, and a smooth elastic part.
        blur: chance that the estimator blurs, and by how much at most, in cells.
        noise, noise_spread: median of the invented movement relative to the peak, and the
            deviation of its logarithm.
        gain: deviation of the logarithm of the estimator's gain from place to place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    still: float = 0.12
    peak: tuple[float, float] = (0.08, 2.5)
    asymmetry: float = 0.6
    one_sided: float = 0.12
    dropped: float = 0.15
    stray: float = 0.25
    extra: float = 0.0
    bend_deg: float = 12.0
    bend_gain: float = 0.35
    blink: float = 0.18
    gaze: float = 0.2
    speech: float = 0.05
    head: float = 0.25
    eyes_apart: tuple[float, float] = (0.33, 0.38)
    eyes_y: tuple[float, float] = (0.23, 0.29)
    shift: float = 0.03
    stretch: float = 0.05
    turn_deg: float = 4.0
    elastic: float = 0.025
    blur: float = 2.5
    noise: float = 0.12
    noise_spread: float = 0.8
    gain: float = 0.3


OFF_TEMPLATE = DomainSettings(
    eyes_apart=(0.27, 0.5), eyes_y=(0.22, 0.42), shift=0.05, stretch=0.15, head=0.3, noise=0.18
)
"""A domain whose crops are off our template, as those of the MEGC2019 layout are."""
