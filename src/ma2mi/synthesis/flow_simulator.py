"""A simulator of labelled flow: FACS combinations of synthetic subjects, and what disturbs them.

A sample is a random subject's face (a :class:`FlowBasis`), a combination of action units that an
emotion shows, and everything that hides it in a recording: head motion, blinks, gaze, speech,
a crop off the template, an estimator that blurs, shrinks and invents. Torch, in batches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ma2mi.motion.facs import CLASSES, SIDES, Side, class_combinations, parse_unit
from ma2mi.synthesis.basis import TRACKS, FlowBasis, unit_track
from ma2mi.synthesis.domain import DomainSettings
from ma2mi.synthesis.flow_views import disturb, draw_views, through

#: The units that the action-unit heads learn: those of CD6ME (Varanka et al., arXiv 2211.11425).
UNITS = ("1", "2", "4", "5", "6", "7", "9", "10", "12", "14", "15", "17")


class FlowSample(NamedTuple):
    """A batch of labelled movements.

    Attributes:
        flow: [B, 2, S, S], rightward and downward, in percent of the side.
        label: int64 [B], index into ``facs.CLASSES``; -1 without an expression.
        units: [B, 12], 1 where the unit of ``UNITS`` moves.
        peak: [B], largest movement of the expression in percent of the side; 0 without one.
    """

    flow: Tensor
    label: Tensor
    units: Tensor
    peak: Tensor


class Growth(NamedTuple):
    """A batch of expressions, each seen while it is still small and again when it is large.

    Both sides show the same movement of the same face; crop, head, blinks, gaze, speech and the
    estimator's errors are drawn for each side on its own.

    Attributes:
        early, late: [B, 2, S, S], rightward and downward, in percent of the side.
        drawn: [B, 2, S, S], the late movement in the crop of the early one, undisturbed.
        subject: int64 [B], row of the basis.
        units: [B, 12], 1 where the unit of ``UNITS`` moves.
    """

    early: Tensor
    late: Tensor
    drawn: Tensor
    subject: Tensor
    units: Tensor


def sample_growth(
    basis: FlowBasis,
    settings: DomainSettings,
    subjects: NDArray[np.int64],
    seed: tuple[int, ...],
    *,
    share: tuple[float, float],
) -> Growth:
    """Expressions early and late; the same for the same arguments.

    Args:
        basis: the faces.
        settings: see :class:`DomainSettings`; ``peak`` is the late movement's. Every sample has an
            expression, whatever ``still`` is.
        subjects: int64 [B], whose face each sample shows, rows of the basis.
        seed: any non-negative integers.
        share: size of the early movement relative to the late one, drawn by logarithm.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    settings = settings.model_copy(update={"still": 0.0})
    count = len(subjects)
    drawn = [_draw(rng, basis, settings, int(subject)) for subject in subjects]
    again = [_draw(rng, basis, settings, int(subject))[1] for subject in subjects]
    skin, extra = (torch.from_numpy(np.stack([d[at] for d in drawn])) for at in (0, 1))
    sizes = [
        torch.exp(np.log(low) + np.log(high / low) * torch.rand(count, generator=generator))
        for low, high in (settings.peak, share)
    ]
    peak, part = (size[:, None, None, None] for size in sizes)
    late = skin * (peak / _largest(skin)[:, None, None, None])
    early = late * part
    view = draw_views(count, settings, generator)
    small = through(early + torch.from_numpy(np.stack(again)) * peak * part / 3, view)
    large = through(late + extra * peak / 3, draw_views(count, settings, generator))
    return Growth(
        disturb(small, peak * part, settings, generator),
        disturb(large, peak, settings, generator),
        through(late, view),
        torch.from_numpy(subjects),
        torch.from_numpy(np.stack([d[3] for d in drawn])),
    )


def sample_flow(
    basis: FlowBasis, settings: DomainSettings, count: int, seed: tuple[int, ...]
) -> FlowSample:
    """``count`` samples; the same for the same arguments.

    Args:
        basis: the faces.
        settings: see :class:`DomainSettings`.
        count: B.
        seed: any non-negative integers.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    drawn = [_draw(rng, basis, settings) for _ in range(count)]
    skin, extra = (torch.from_numpy(np.stack([d[at] for d in drawn])) for at in (0, 1))
    label = torch.tensor([d[2] for d in drawn])
    units = torch.from_numpy(np.stack([d[3] for d in drawn]))
    moves = label >= 0
    low, high = np.log(settings.peak)
    peak = torch.exp(low + (high - low) * torch.rand(count, generator=generator))
    unit = peak[:, None, None, None]
    skin = skin * torch.where(moves, peak / _largest(skin), 0.0)[:, None, None, None]
    # A disturbance of weight 1 moves a third as far as a full unit does, were the peak 1 %.
    flow = through(skin + extra * unit / 3, draw_views(count, settings, generator))
    flow = disturb(flow, unit, settings, generator)
    return FlowSample(flow, label, units, torch.where(moves, peak, 0.0))


Planes = NDArray[np.float32]


def _draw(
    rng: np.random.Generator, basis: FlowBasis, settings: DomainSettings, subject: int | None = None
) -> tuple[Planes, Planes, int, NDArray[np.float32]]:
    """One sample: the expression's flow and the disturbances' [2, s, s], its class and units."""
    if subject is None:
        subject = int(rng.integers(len(basis)))
    expression: list[tuple[int, float]] = []
    disturbance: list[tuple[int, float]] = []
    units = np.zeros(len(UNITS), np.float32)

    def add(
        number: str, sides: tuple[Side, ...], amount: float, to: list[tuple[int, float]]
    ) -> None:
        weaker, lack = SIDES[rng.integers(2)], settings.asymmetry * rng.random() ** 2
        to += [(unit_track(number, s), amount * (1 - lack * (s == weaker))) for s in sides]

    label = -1 if rng.random() < settings.still else int(rng.integers(len(CLASSES)))
    if label >= 0:
        combinations, chances = class_combinations(CLASSES[label])
        codes = list(combinations[rng.choice(len(combinations), p=chances)])
        if len(codes) > 1 and rng.random() < settings.dropped:
            codes.pop(rng.integers(1, len(codes)))
        one_side = rng.random() < settings.one_sided
        shown = SIDES[rng.integers(2)]
        for code in codes:
            unit, sides = parse_unit(code)
            sides = (shown,) if one_side and len(sides) == 2 else sides
            add(unit.number, sides, rng.uniform(0.45, 1.2), expression)
            if unit.number in UNITS:
                units[UNITS.index(unit.number)] = 1
        if rng.random() < settings.stray:
            number, _ = TRACKS[rng.integers(len(TRACKS))]
            add(number, SIDES, rng.uniform(0.05, 0.3), expression)
        if settings.extra and rng.random() < settings.extra:
            at = int(rng.integers(len(UNITS)))
            add(UNITS[at], (shown,) if one_side else SIDES, rng.uniform(0.25, 0.9), expression)
            units[at] = 1
    if rng.random() < settings.blink:
        add("45", SIDES, rng.uniform(0.1, 2.0), disturbance)
    if rng.random() < settings.gaze:  # the lids follow the eyes
        add("5", SIDES, rng.normal(0, 0.5), disturbance)
    if rng.random() < settings.speech:
        add("25", SIDES, rng.normal(0, 0.7), disturbance)
        add("26", SIDES, rng.normal(0, 0.3), disturbance)
    fields = basis.fields[subject]
    return (
        _sum(rng, fields, expression, settings),
        _sum(rng, fields, disturbance, settings),
        label,
        units,
    )


def _sum(
    rng: np.random.Generator,
    fields: Planes,
    tracks: list[tuple[int, float]],
    settings: DomainSettings,
) -> Planes:
    """The tracks' fields times their weights, each rotated and stretched a little: no subject
    moves exactly as the table has it."""
    total = np.zeros(fields.shape[1:], np.float32)
    for track, weight in tracks:
        angle = np.deg2rad(settings.bend_deg) * rng.standard_normal()
        reach = weight * np.exp(settings.bend_gain * rng.standard_normal())
        cos, sin = np.float32(reach * np.cos(angle)), np.float32(reach * np.sin(angle))
        u, v = fields[track]
        total[0] += cos * u - sin * v
        total[1] += sin * u + cos * v
    return total


def _largest(flow: Tensor) -> Tensor:
    """[B], the longest movement, at least a trifle."""
    return flow.square().sum(1).flatten(1).amax(1).sqrt().clamp_min(1e-3)
