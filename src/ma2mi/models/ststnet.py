"""STSTNet: three shallow streams of 3, 5 and 8 filters over u, v and strain at 28 px.

Source: Liong, Gan, See, Khor, Huang, "Shallow Triple Stream Three-dimensional CNN (STSTNet) for
Micro-expression Recognition", FG 2019, section III and figure 2. Dropout rates are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ma2mi.models.backbone import Backbone, Grid

STREAMS = (3, 5, 8)


class STSTNet(Backbone):
    """The published network; it sees the action alone.

    Args:
        classes: number of classes.
        dropout: before each of the two fully connected layers.
    """

    input_side = 28

    def __init__(self, classes: int, *, dropout: float = 0.5) -> None:
        super().__init__(sum(STREAMS), classes)
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, filters, 3, padding=1),
                nn.ReLU(),
                nn.BatchNorm2d(filters),
                nn.Dropout2d(dropout),
                nn.MaxPool2d(3, stride=3, padding=1),
            )
            for filters in STREAMS
        )
        self.pool = nn.AvgPool2d(2, stride=2)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(sum(STREAMS) * 5 * 5, 400),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(400, classes),
        )

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        """Features [B, 16, 5, 5] of ``action`` [B, 3, 28, 28]; ``position`` is not looked at."""
        merged = torch.cat([stream(action) for stream in self.streams], dim=1)  # [B, 16, 10, 10]
        features = self.pool(merged)
        return Grid(features, action=features)
