"""Off-ApexNet: one small convolutional stream for u and one for v at 28 px.

Source: Gan, Liong, Yau, Huang, Tan, "OFF-ApexNet on micro-expression recognition system", Signal
Processing: Image Communication 74, 2019, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ma2mi.models.backbone import Backbone, Grid


class OffApexNet(Backbone):
    """The published network; it sees u and v alone, no strain and no position.

    Args:
        classes: number of classes.
        dropout: before each of the two fully connected layers.
    """

    input_side = 28

    def __init__(self, classes: int, *, dropout: float = 0.5) -> None:
        super().__init__(32, classes)
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(1, 6, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(6, 16, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            for _ in range(2)
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(32 * 7 * 7, 1024),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(1024, 1024),
            nn.ReLU(),
            nn.Linear(1024, classes),
        )

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        """Features [B, 32, 7, 7] of ``action`` [B, 3, 28, 28]; ``position`` is not looked at."""
        parts = [stream(action[:, i : i + 1]) for i, stream in enumerate(self.streams)]
        features = torch.cat(parts, dim=1)
        return Grid(features, action=features)
