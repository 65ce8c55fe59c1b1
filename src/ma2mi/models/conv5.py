"""Conv5: five plain convolutions over the action, the backbone of the ``random-ridge`` control."""

from __future__ import annotations

from torch import Tensor, nn

from ma2mi.models.backbone import Backbone, Grid

WIDTHS = (32, 64, 64, 128, 128)


class Conv5(Backbone):
    """Untrained, under a ridge, it is what every pre-training has to beat.

    Args:
        classes: number of classes.
    """

    input_side = 28

    def __init__(self, classes: int) -> None:
        super().__init__(WIDTHS[-1], classes)
        layers: list[nn.Module] = []
        for i, (in_channels, out_channels) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
            stride = 2 if i in (1, 3) else 1
            layers += [
                nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
                nn.GroupNorm(8, out_channels),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        """Features [B, 128, 7, 7] of ``action`` [B, 3, 28, 28]; ``position`` is not looked at."""
        features = self.layers(action)
        return Grid(features, action=features)
