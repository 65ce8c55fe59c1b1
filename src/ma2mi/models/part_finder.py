"""Where the parts of a face are, and the affine pose of the mean face that follows from them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Where the parts of a face lie in the mean face: x and y as shares of the side of the input, the
#: middle 7/8 of the aligned crop, and their half axes; ``motion.REGIONS`` in its order.
PARTS = (
    (0.423, 0.147, 0.057, 0.046),  # inner brows, right and left
    (0.577, 0.147, 0.057, 0.046),
    (0.207, 0.162, 0.063, 0.046),  # outer brows
    (0.793, 0.162, 0.063, 0.046),
    (0.315, 0.228, 0.074, 0.023),  # upper lids
    (0.685, 0.228, 0.074, 0.023),
    (0.321, 0.277, 0.074, 0.029),  # lower lids
    (0.679, 0.277, 0.074, 0.029),
    (0.279, 0.445, 0.080, 0.074),  # cheeks
    (0.721, 0.445, 0.080, 0.074),
    (0.401, 0.461, 0.040, 0.046),  # wings of the nose
    (0.599, 0.461, 0.040, 0.046),
    (0.359, 0.617, 0.046, 0.046),  # corners of the lips
    (0.641, 0.617, 0.046, 0.046),
    (0.500, 0.582, 0.097, 0.029),  # upper lip, lower lip, chin
    (0.500, 0.638, 0.097, 0.034),
    (0.500, 0.831, 0.091, 0.057),
)
#: Attention starts from 1 on the parts, falls off as a Gaussian whose deviation is the half axis
#: and this share of the side, and never starts lower than the second number.
PRIOR_BLUR, PRIOR_FLOOR = 0.06, 0.05
#: How strongly a pose is drawn to none at all, relative to the evidence of 17 parts.
POSE_PRIOR = 0.1


class PartFinder(nn.Module):
    """Where the parts of a face are, read off the position branch's grid.

    Untrained, it outputs the mean face for every input.

    Args:
        width: channels of the grid.
    """

    mean: Tensor
    axes: Tensor
    solve: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        table = torch.tensor(PARTS)
        # Not stored with the weights: they are the same for all.
        self.register_buffer("mean", table[:, :2], persistent=False)
        self.register_buffer("axes", table[:, 2:], persistent=False)
        self.register_buffer("solve", _least_squares(2 * table[:, :2] - 1), persistent=False)
        last = nn.Linear(16 * 7 * 7, 2 * len(PARTS))
        for p in last.parameters():
            nn.init.zeros_(p)
        self.read = nn.Sequential(
            nn.Conv2d(width, 16, 1), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.GELU(), last
        )

    def forward(self, grid: Tensor) -> Tensor:  # [B, width, gh, gw] -> [B, parts, 2]
        off: Tensor = self.read(grid).unflatten(1, (len(PARTS), 2))
        return self.mean + off

    def pose(self, parts: Tensor) -> Tensor:
        """[B, 2, 3], the affine map that takes the mean face's parts closest to these."""
        off = 2 * (parts - self.mean)  # from -1 to 1
        fit: Tensor = torch.einsum("kn,bnc->bck", self.solve, off)
        return fit + torch.eye(2, 3, device=fit.device)

    def prior(self, height: int, width: int) -> Tensor:
        """[1, 1, height, width], where expressions show in the mean face, in (0, 1]."""
        y = (torch.arange(height, device=self.mean.device) + 0.5) / height
        x = (torch.arange(width, device=self.mean.device) + 0.5) / width
        spread = (self.axes**2 + PRIOR_BLUR**2)[:, :, None]
        across = (x - self.mean[:, :1]) ** 2 / spread[:, 0]  # [parts, width]
        down = (y - self.mean[:, 1:]) ** 2 / spread[:, 1]
        near: Tensor = torch.exp(-0.5 * (across[:, None] + down[:, :, None])).amax(0)
        return (PRIOR_FLOOR + (1 - PRIOR_FLOOR) * near)[None, None]


def _least_squares(places: Tensor) -> Tensor:
    """[3, n]: from movements of n places [n, 2] to the affine map that fits them best."""
    known = torch.cat((places, torch.ones(len(places), 1)), dim=1)
    drawn = POSE_PRIOR * torch.diag((known**2).sum(0))
    fit: Tensor = torch.linalg.solve(known.T @ known + drawn, known.T)
    return fit


def look_from(action: Tensor, pose: Tensor, *, vectors: bool = True) -> Tensor:
    """The action [B, C, H, W] as it would be in the mean face, by a pose [B, 2, 3].

    Args:
        vectors: the first two channels are a movement, which the pose turns and scales, too.
    """
    seen = sampled(action, pose)
    if not vectors:
        return seen
    moved = torch.einsum("bij,bjhw->bihw", inverse(pose)[:, :, :2], seen[:, :2])
    return torch.cat((moved, seen[:, 2:]), dim=1)


def sampled(x: Tensor, pose: Tensor) -> Tensor:
    """Planes [B, C, H, W] where a pose [B, 2, 3] looks; beyond the edge they go on."""
    height, width = x.shape[2:]
    down = (2 * torch.arange(height, device=x.device) + 1) / height - 1
    across = (2 * torch.arange(width, device=x.device) + 1) / width - 1
    rows, columns = torch.meshgrid(down, across, indexing="ij")
    places = torch.stack((columns, rows, torch.ones_like(rows)), dim=-1)  # [H, W, 3]
    grid = torch.einsum("bck,hwk->bhwc", pose, places)
    return nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def inverse(pose: Tensor) -> Tensor:
    """The affine map [B, 2, 3] back. Written out: ONNX knows no inverse."""
    a, b, c, d = pose[:, 0, 0], pose[:, 0, 1], pose[:, 1, 0], pose[:, 1, 1]
    turn = torch.stack((d, -b, -c, a), dim=1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
    return torch.cat((turn, -torch.einsum("bij,bj->bi", turn, pose[:, :, 2])[..., None]), dim=2)
