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
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional

from ma2mi.motion.facs import CLASSES, SIDES, Side, class_combinations, parse_unit
from ma2mi.synthesis.basis import EYES_AT, TRACKS, FlowBasis, unit_track

#: Side of simulated flow, in cells.
SIDE = 56

#: Distance of the pupils in the aligned crop, as a share of its side.
PUPILS_APART = 0.31

#: The units that the action-unit heads learn: those of CD6ME (Varanka et al., arXiv 2211.11425).
UNITS = ("1", "2", "4", "5", "6", "7", "9", "10", "12", "14", "15", "17")


class DomainSettings(BaseModel):
    """The domain that flow is drawn from. Pairs are ranges, drawn from uniformly or by logarithm.

    Args:
        still: share of samples without an expression.
        peak: largest movement of the skin in percent of the crop's side, by logarithm.
        asymmetry: largest share by which one side lags.
        one_sided: chance that an expression shows on one side alone.
        dropped, stray: chance that a unit of the combination is missing, or another one is added.
        bend_deg, bend_gain: deviation of a unit's direction and of its reach (as a share).
        blink, gaze, speech: chances.
        head: deviation of head motion, relative to the peak, before its own heavy tail.
        eyes_apart, eyes_y: where the crop has the pupils: their distance and height, as shares of
            the side. By default those of a network's input, the middle 7/8 of the aligned crop.
        shift, stretch, turn_deg, elastic: deviation of the crop from the template: its place, the
            ratio of its sides, its rotation, and a smooth elastic part.
        blur: chance that the estimator blurs, and by how much at most, in cells.
        noise: median of the invented movement relative to the peak; ``noise_spread`` is the
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


class Sample(NamedTuple):
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
            expression, whatever ``still`` says.
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
) -> Sample:
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
    return Sample(flow, label, units, torch.where(moves, peak, 0.0))


Flow = NDArray[np.float32]


def _draw(
    rng: np.random.Generator, basis: FlowBasis, settings: DomainSettings, subject: int | None = None
) -> tuple[Flow, Flow, int, NDArray[np.float32]]:
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
    fields: Flow,
    tracks: list[tuple[int, float]],
    settings: DomainSettings,
) -> Flow:
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


def _smooth_noise(
    count: int, channels: int, cells: int, generator: torch.Generator, side: int = SIDE
) -> Tensor:
    """[count, channels, side, side] of unit deviation, as fine as ``cells`` a side."""
    coarse = torch.randn(count, channels, cells, cells, generator=generator)
    if cells == side:
        return coarse
    fine = functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    return fine * 1.3  # interpolation averages


class View(NamedTuple):
    """Crops off the template.

    Attributes:
        grid: [B, S, S, 2], where each cell looks, x and y from -1 to 1 across what it looks at.
        back: [B, 2, 2], what the crop makes of a movement.
        middle: [B, 2], where its middle looks, in the same unit; ``grid`` wobbles about that.
    """

    grid: Tensor
    back: Tensor
    middle: Tensor


def draw_views(
    count: int, settings: DomainSettings, generator: torch.Generator, side: int = SIDE
) -> View:
    """Crops off the template, of ``side`` cells a side."""
    u = torch.rand(count, 6, generator=generator)
    apart = settings.eyes_apart[0] + u[:, 0] * (settings.eyes_apart[1] - settings.eyes_apart[0])
    height = settings.eyes_y[0] + u[:, 1] * (settings.eyes_y[1] - settings.eyes_y[0])
    u = 2 * u - 1
    size = PUPILS_APART / apart
    tall = size * (1 + settings.stretch * u[:, 2])
    angle = torch.deg2rad(settings.turn_deg * u[:, 3])
    cos, sin = torch.cos(angle), torch.sin(angle)
    bend = torch.stack((cos * size, -sin * tall, sin * size, cos * tall), dim=1).view(count, 2, 2)
    # Sampling positions run from -1 to 1, so a share of the side counts twice.
    across = 2 * settings.shift * u[:, 4]
    down = 2 * (EYES_AT - 0.5 + (0.5 - height) * tall)
    middle = torch.stack((across, down), dim=1)
    theta = torch.cat((bend, middle[..., None]), dim=2)
    grid = functional.affine_grid(theta, [count, 2, side, side], align_corners=False)
    wobble = 2 * settings.elastic * _smooth_noise(count, 2, 4, generator, side)
    return View(grid + wobble.movedim(1, 3), torch.linalg.inv(bend), middle)


def through(flow: Tensor, view: View) -> Tensor:
    """What crops show of movements on the skin, [B, 2, s, s] to [B, 2, S, S]; beyond it: rest."""
    seen = functional.grid_sample(flow, view.grid, padding_mode="zeros", align_corners=False)
    return torch.einsum("bij,bjhw->bihw", view.back, seen)


def disturb(
    flow: Tensor, unit: Tensor, settings: DomainSettings, generator: torch.Generator
) -> Tensor:
    """Head motion on top of movements, and then what an estimator makes of both.

    Args:
        flow: [B, 2, S, S], percent of the side.
        unit: [B, 1, 1, 1], the movements' size, which the disturbances are relative to.
        settings: see :class:`DomainSettings`.
        generator: source of the draws.
    """
    side = flow.shape[3]
    flow = flow + unit * _head_motion(len(flow), settings, generator, side)
    return _estimate(flow, unit, settings, generator)


def _head_motion(
    count: int, settings: DomainSettings, generator: torch.Generator, side: int
) -> Tensor:
    """[B, 2, side, side]: shift, turn, zoom, yaw and pitch of a head with a nose, or of less."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    depth = torch.exp(-(x**2) / 0.7 - y**2 / 1.2) + 0.4 * torch.exp(
        -(x**2 + (y - 0.05) ** 2) / 0.05
    )
    zero = torch.zeros_like(x)
    ways = torch.stack(
        [
            torch.stack(way)
            for way in (
                (torch.ones_like(x), zero),
                (zero, torch.ones_like(x)),
                (-y, x),
                (x, y),
                (depth, 0 * depth),
                (zero, depth),
            )
        ]
    )  # [6, 2, side, side]
    tail = torch.exp(torch.randn(count, 1, generator=generator))
    share = torch.randn(count, 6, generator=generator) * tail * settings.head
    share = share * (torch.rand(count, 6, generator=generator) < 0.6)
    moved = torch.einsum("bk,kchw->bchw", share, ways)
    width = 0.75 + 0.5 * torch.rand(count, 1, 1, generator=generator)
    edge = 0.06 + 0.2 * torch.rand(count, 1, 1, generator=generator)
    head = torch.sigmoid((width - (x**2 + (0.8 * y) ** 2).sqrt()) / edge)[:, None]
    whole = (torch.rand(count, generator=generator) < 0.4)[:, None, None, None]
    return moved * torch.where(whole, torch.ones_like(head), head)


def _estimate(
    flow: Tensor, unit: Tensor, settings: DomainSettings, generator: torch.Generator
) -> Tensor:
    """What an estimator makes of it: uneven gain, blur, invented movement in blobs and grains."""
    count, side = len(flow), flow.shape[3]
    wide, wider = (round(cells * side / SIDE / 2) for cells in (4, 6))  # half of the windows
    blurred = functional.avg_pool2d(flow, 2 * wide + 1, 1, wide, count_include_pad=False)
    softer = functional.avg_pool2d(blurred, 2 * wider + 1, 1, wider, count_include_pad=False)
    u = torch.rand(count, 1, 1, 1, generator=generator) * settings.blur / 2.5
    flow = torch.lerp(
        torch.lerp(flow, blurred, (2 * u).clamp(0, 1)), softer, (2 * u - 1).clamp(0, 1)
    )
    gain = torch.exp(settings.gain * _smooth_noise(count, 1, 7, generator, side))
    grain = torch.zeros(count, 2, side, side)
    for cells in (3, 5, 8, 14, 28):
        share = torch.rand(count, 1, 1, 1, generator=generator) ** (1 if cells < 14 else 3)
        grain = grain + share * _smooth_noise(count, 2, cells, generator, side)
    grain = grain / grain.flatten(1).std(1)[:, None, None, None]
    blobs = torch.sign(grain) * (grain.abs() - 1.2).clamp_min(0) * 2
    some = (torch.rand(count, generator=generator) < 0.5)[:, None, None, None]
    grain = torch.where(some, blobs, grain)
    uneven = torch.exp(0.7 * _smooth_noise(count, 1, 5, generator, side))
    level = settings.noise * torch.exp(
        settings.noise_spread * torch.randn(count, generator=generator)
    ).clamp(max=8)
    return flow * gain + unit * level[:, None, None, None] * uneven * grain


def as_flow_image(flow: Tensor, side: int = 28) -> Tensor:
    """A sample as the MEGC2019 layout shows it: shrunk, each channel scaled by its own range.

    Args:
        flow: [B, 2, S, S], S a multiple of ``side``.
        side: of the image.

    Returns:
        [B, 3, side, side], u, v and strain as ``clips.pairs.read_flow_images`` and
        ``clips.batches.make_batch`` hand them to a network.
    """
    channels = functional.avg_pool2d(torch.cat((flow, strain(flow)), dim=1), flow.shape[2] // side)
    low = channels.amin((2, 3), keepdim=True)
    span = (channels.amax((2, 3), keepdim=True) - low).clamp_min(1e-9)
    scaled = torch.round((channels - low) / span * 255) / 127.5 - 1  # [-1, 1]
    return torch.cat((scaled[:, :2], (scaled[:, 2:] * 0.5 + 0.5)), dim=1)


def as_action(flow: Tensor) -> Tensor:
    """A sample as a network sees a clip's movement: percent of the side, and ten times the strain.

    Returns:
        [B, 3, S, S].
    """
    return torch.cat((flow, 10 * strain(flow) * flow.shape[2] / 100), dim=1)


def strain(flow: Tensor) -> Tensor:
    """Optical strain [B, 1, S, S] of [B, 2, S, S], see ``motion.optical_strain``."""
    u_y, u_x = torch.gradient(flow[:, 0], dim=(1, 2))
    v_y, v_x = torch.gradient(flow[:, 1], dim=(1, 2))
    return torch.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2 + 1e-12)[:, None]


def resample_flow(
    flow: Tensor, settings: DomainSettings, generator: torch.Generator, *, flip: float = 0.5
) -> Tensor:
    """Measured flow [B, 2, S, S] as another crop would have it, [B, 2, SIDE, SIDE].

    Mirrored with chance ``flip``, and seen through a crop drawn from the domain.
    """
    mirrored = torch.rand(len(flow), generator=generator) < flip
    sign = flow.new_tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    flow = torch.where(mirrored[:, None, None, None], flow.flip(3) * sign, flow)
    return through(flow, draw_views(len(flow), settings, generator))
