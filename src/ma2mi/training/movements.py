"""What the pretext task sees: a movement early and late, from videos or from the flow simulator.

Both sides show one expression of one face. Everything else, the crop, the head, the estimator's
blur, gain and noise, is drawn for each side on its own, so that only the expression is left to
recognise the one by the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ma2mi.clips.pairs import Pairs
from ma2mi.errors import SettingsError
from ma2mi.models.backbone import Backbone
from ma2mi.synthesis.basis import FlowBasis
from ma2mi.synthesis.flow_inputs import as_action, as_flow_image
from ma2mi.synthesis.flow_simulator import sample_growth
from ma2mi.synthesis.flow_views import View, disturb, draw_views, through
from ma2mi.training.movement_settings import STILL, NuisanceSettings, SimulatorSettings

Rows = NDArray[np.int64]

#: Pairs of each synthetic subject; each time one is shown its expression is drawn anew.
EACH = 30


class Movements(NamedTuple):
    """A batch: movements early and late, of B pairs.

    Attributes:
        early, late: [B, 3, s, s], as a network takes an action.
        drawn: [B, 2, s, s], the late movement of the face in the crop of the early one,
            undisturbed, 0 outside the face, with median 0 and root mean square 1.
        clip: int64 [B], pairs of one moment share a number.
        early_face, late_face: [B, 3, S, S] in [0, 1], the face in the crop of either side; None
            without faces.
        parts: [B, parts, 2], where the regions of the face lie in ``early_face``, as shares of its
            side; NaN where it is unknown.
    """

    early: Tensor
    late: Tensor
    drawn: Tensor
    clip: Tensor
    early_face: Tensor | None = None
    late_face: Tensor | None = None
    parts: Tensor | None = None

    def to(self, device: torch.device | str) -> Movements:
        """The same batch on another device."""
        return Movements(*(None if x is None else x.to(device) for x in self))  # type: ignore[arg-type]


class Source(Protocol):
    """Where movements come from: N pairs of some subjects' videos."""

    @property
    def subjects(self) -> NDArray[np.str_]:
        """[N], the subject of each pair."""

    @property
    def videos(self) -> NDArray[np.str_]:
        """[N], which video each pair is from."""

    @property
    def side(self) -> int:
        """Side of the actions in px."""

    def batch(self, rows: Rows, generator: torch.Generator | None) -> Movements:
        """The pairs at these positions, disturbed by ``generator``; without one always alike."""


@dataclass(frozen=True, eq=False)
class VideoMovements:
    """Movements that were measured in videos.

    Args:
        pairs: of kind "future-movement".
        backbone: decides what an action is, and its side.
        size: side of the network's input in px.
        nuisance: see :class:`NuisanceSettings`.

    Raises:
        SettingsError: the pairs have no later movement.
    """

    pairs: Pairs
    backbone: Backbone
    size: int
    nuisance: NuisanceSettings

    def __post_init__(self) -> None:
        if not len(self.pairs.late):
            raise SettingsError(
                "pairs without a later movement", hint='Build them with kind="future-movement"'
            )

    @property
    def subjects(self) -> NDArray[np.str_]:
        return self.pairs.subjects

    @property
    def videos(self) -> NDArray[np.str_]:
        return self.pairs.videos

    @property
    def side(self) -> int:
        return self.backbone.input_side or min(self.size, self.pairs.action.shape[1])

    def batch(self, rows: Rows, generator: torch.Generator | None) -> Movements:
        """See :class:`Source`; without a generator nothing is put on either side."""
        nuisance = self.nuisance if generator else STILL
        generator = generator or torch.Generator().manual_seed(0)
        rows, pairs = np.asarray(rows), self.pairs
        crop = pairs.action.shape[1]
        size = min(self.size, crop)
        domain = nuisance.domain(crop / size)
        turned = torch.rand(len(rows), generator=generator) < nuisance.mirror
        now = _faces(pairs.first[rows], turned)
        early, late = (_flow(a[rows], turned) for a in (pairs.action, pairs.late))
        parts = _parts(pairs.regions[rows], crop, turned)
        views = [draw_views(len(rows), domain, generator, size) for _ in range(2)]
        side = self.side
        faces = [_seen(now, view, nuisance, generator) for view in views]
        if self.backbone.action_input == "difference":
            ends = (_faces(a[rows], turned) for a in (pairs.second, pairs.third))
            changes = [end - now for end in ends]
            sides = [
                _seen_change(change, view, side, nuisance, generator)
                for change, view in zip(changes, views, strict=True)
            ]
        else:
            inside = _inside(parts, crop)
            sides = []
            for flow, view in zip((early, late), views, strict=True):
                rest = torch.rand(len(rows), generator=generator) < nuisance.rest_outside
                kept = torch.where(rest[:, None, None, None], flow * inside, flow)
                seen = through(kept, _of_side(view, side))
                if nuisance is not STILL:
                    seen = disturb(seen, _size(seen), domain, generator)
                sides.append(_shown(seen, side, nuisance, generator))
        return Movements(
            sides[0],
            sides[1],
            normalised(through(late * _inside(parts, crop), _of_side(views[0], side))),
            _numbers(pairs.keys[rows]),
            faces[0],
            faces[1],
            _parts_in(parts, views[0]),
        )


@dataclass(frozen=True, eq=False)
class SimulatedMovements:
    """Movements of subjects that do not exist, drawn when they are asked for.

    Args:
        basis: the subjects' faces.
        backbone, size, nuisance: as in :class:`VideoMovements`.
        settings: see :class:`SimulatorSettings`.

    Raises:
        SettingsError: the backbone takes differences of frames, and there are none.
    """

    basis: FlowBasis
    backbone: Backbone
    size: int
    nuisance: NuisanceSettings
    settings: SimulatorSettings

    def __post_init__(self) -> None:
        if self.backbone.action_input != "flow":
            raise SettingsError(
                "the simulator has movement and no frames", hint="Take a network that reads flow"
            )

    @property
    def subjects(self) -> NDArray[np.str_]:
        numbers = np.repeat(np.arange(len(self.basis)), EACH)
        return np.array([f"simulated/{self.settings.seed + n}" for n in numbers])

    @property
    def videos(self) -> NDArray[np.str_]:
        return self.subjects

    @property
    def side(self) -> int:
        return self.backbone.input_side or self.size

    def batch(self, rows: Rows, generator: torch.Generator | None) -> Movements:
        """See :class:`Source`; without a generator every row has an expression of its own."""
        rows = np.asarray(rows)
        if generator is None:
            generator = torch.Generator().manual_seed(self.settings.seed)
            seed = [self.settings.seed, *rows.tolist()]
        else:
            seed = torch.randint(2**31, (4,), generator=generator).tolist()
        domain = self.nuisance.domain(8 / 7).model_copy(update={"peak": self.settings.peak})
        sample = sample_growth(
            self.basis, domain, rows // EACH, tuple(seed), share=self.settings.share
        )
        side = self.side
        early, late = (
            _shown(flow, side, self.nuisance, generator) for flow in (sample.early, sample.late)
        )
        drawn = normalised(resized(sample.drawn, side))
        return Movements(early, late, drawn, torch.arange(len(rows)))


def normalised(flow: Tensor) -> Tensor:
    """A movement [B, 2, s, s] less its median, divided by its own root mean square."""
    flow = flow - flow.flatten(2).median(2).values[..., None, None]
    return flow / flow.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-4)


def _shown(
    flow: Tensor, side: int, nuisance: NuisanceSettings, generator: torch.Generator
) -> Tensor:
    """A movement [B, 2, s, s] in percent as a network takes it, [B, 3, side, side]."""
    action = as_action(resized(flow, side))
    if not nuisance.images:
        return action
    image = resized(as_flow_image(functional.adaptive_avg_pool2d(flow, 56)), side)
    chosen = torch.rand(len(flow), generator=generator) < nuisance.images
    return torch.where(chosen[:, None, None, None], image, action)


def resized(x: Tensor, side: int) -> Tensor:
    """Planes [B, C, s, s] at another side, bilinear."""
    if x.shape[3] == side:
        return x
    return functional.interpolate(x, size=(side, side), mode="bilinear")


def _size(flow: Tensor) -> Tensor:
    """[B, 1, 1, 1], how far the parts move that move most, less what all have in common."""
    few = functional.adaptive_avg_pool2d(flow, 28).flatten(2)
    few = few - few.median(2, keepdim=True).values
    length = few.square().sum(1).sqrt()
    return length.quantile(0.98, dim=1)[:, None, None, None]


def _flow(actions: NDArray[np.float16], turned: Tensor) -> Tensor:
    """u and v in percent of the crop's side, mirrored where asked."""
    flow = torch.from_numpy(actions[..., :2].astype(np.float32)).movedim(3, 1)
    flow = flow * (100 / flow.shape[3])
    mirrored = flow.flip(3) * flow.new_tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    return torch.where(turned[:, None, None, None], mirrored, flow)


def _faces(frames: NDArray[np.uint8], turned: Tensor) -> Tensor:
    """Frames [B, S, S, 3] as [B, 3, S, S] in [0, 1], mirrored where asked."""
    faces = torch.from_numpy(np.ascontiguousarray(frames)).movedim(3, 1).float() / 255
    return torch.where(turned[:, None, None, None], faces.flip(3), faces)


#: Half axes of the face's ellipse, relative to the extent of its regions' centres.
INSIDE = 0.62

#: Regions come as right and left in turn, then those in the middle.
_SWAPPED = [*(i ^ 1 for i in range(14)), 14, 15, 16]


def _parts(regions: NDArray[np.float16], crop: int, turned: Tensor) -> Tensor:
    """Centres [B, 17, 2] in px as places from -1 to 1, mirrored where asked."""
    places = (2 * torch.from_numpy(regions.astype(np.float32)) + 1) / crop - 1
    mirrored = places[:, _SWAPPED] * places.new_tensor([-1.0, 1.0])
    return torch.where(turned[:, None, None], mirrored, places)


def _parts_in(parts: Tensor, view: View) -> Tensor:
    """Where a view shows parts, as shares of its side."""
    seen = torch.einsum("bij,bnj->bni", view.back, parts - view.middle[:, None])
    return (seen + 1) / 2


def _inside(parts: Tensor, crop: int) -> Tensor:
    """[B, 1, crop, crop], 1 on the face and 0 outside, with a soft edge; 1 without landmarks.

    An ellipse about brows, cheeks and chin that ends below the chin: the neck does not go along
    with the head, and would be most of what moves.
    """
    low, high = parts.amin(1), parts.amax(1)  # [B, 2]
    middle, half = (low + high) / 2, INSIDE * (high - low)
    line = (2 * torch.arange(crop) + 1) / crop - 1
    x = ((line - middle[:, :1]) / half[:, :1])[:, None, None, :]
    y = ((line - middle[:, 1:]) / half[:, 1:])[:, None, :, None]
    inside = torch.sigmoid((1 - (x**2 + y**2).sqrt()) * 10)
    return torch.nan_to_num(inside, nan=1.0)


def _of_side(view: View, side: int) -> View:
    """The same crop with ``side`` cells."""
    if view.grid.shape[1] == side:
        return view
    return view._replace(grid=resized(view.grid.movedim(3, 1), side).movedim(1, 3))


def _seen(
    faces: Tensor, view: View, nuisance: NuisanceSettings, generator: torch.Generator
) -> Tensor:
    """Faces [B, 3, s, s] through views, in another light."""
    faces = functional.grid_sample(faces, view.grid, padding_mode="border", align_corners=False)
    u = nuisance.light * (2 * torch.rand(2, len(faces), 1, 1, 1, generator=generator) - 1)
    return ((faces - 0.5) * (1 + u[0]) + 0.5 + u[1]).clamp(0, 1)


def _seen_change(
    change: Tensor, view: View, side: int, nuisance: NuisanceSettings, generator: torch.Generator
) -> Tensor:
    """Differences of frames [B, 3, s, s] through views, with other light and the camera's noise."""
    seen = functional.grid_sample(
        change, _of_side(view, side).grid, padding_mode="zeros", align_corners=False
    )
    size = seen.flatten(1).std(1)[:, None, None, None]
    u = nuisance.light * (2 * torch.rand(len(seen), 1, 1, 1, generator=generator) - 1)
    return seen * (1 + u) + nuisance.noise * size * torch.randn(seen.shape, generator=generator)


def _numbers(names: NDArray[np.str_]) -> Tensor:
    """One number a name."""
    return torch.from_numpy(np.unique(names, return_inverse=True)[1].reshape(-1))
