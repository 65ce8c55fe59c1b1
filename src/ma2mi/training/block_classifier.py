"""Networks of trained models: a classifier on frozen features, and two networks side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ma2mi.errors import SettingsError
from ma2mi.models.backbone import Backbone, Grid, scale_action
from ma2mi.models.catalog import MODELS, build_model
from ma2mi.training.feature_blocks import FeatureBlocks, NetworkBlocks

#: Names in the catalog.
ON_BLOCKS, BESIDE = "block-classifier", "beside"
#: Networks whose classifier lies on other weights: evaluated as they are, never trained on.
FITTED = frozenset((ON_BLOCKS, BESIDE))


class BlockClassifier(Backbone):
    """Class scores from blocks of frozen features; a frozen recognizer's other outputs stay.

    Its outputs are the classes, and then those that the recognizer among the blocks has after its
    own classes: units, intensity, movement.

    Args:
        classes: number of outputs.
        blocks: see :meth:`FeatureBlocks.describe`.
        head: how the classes are computed. "classes": their number; "weights": [block, weight] of
            each that is read; "width": None for a linear head, or that of a Gaussian kernel, see
            ``set_kernels.Mix``; "features": numbers in these blocks; "rows": of a Gaussian, 0 else.

    Raises:
        SettingsError: a description that fits no network, or another number of outputs.
    """

    scales_itself = True

    def __init__(self, classes: int, *, blocks: Mapping[str, Any], head: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)  # a backbone's own head would be in the way
        try:
            self.blocks = FeatureBlocks.from_description(blocks)
            self.weights = {str(name): float(w) for name, w in head["weights"]}
            self.width_of_kernel = None if head["width"] is None else float(head["width"])
            own, features, rows = (int(head[name]) for name in ("classes", "features", "rows"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SettingsError(f"describes no classifier: {error!r}", where=ON_BLOCKS) from error
        if unknown := sorted(set(self.weights) - set(self.blocks.names)):
            raise SettingsError(f"has no block {', '.join(unknown)}", where=ON_BLOCKS)
        self.action_input = self.blocks.action_input
        kept = self.rest.others if self.rest else 0
        if own + kept != classes:
            raise SettingsError(
                f"{classes} outputs, not {own} classes and {kept} others", where=ON_BLOCKS
            )
        wide = features if self.width_of_kernel is None else rows
        self.coefficients = nn.Parameter(torch.zeros(wide, own), requires_grad=False)
        if self.width_of_kernel is not None:
            self.rows = nn.Parameter(torch.zeros(rows, features), requires_grad=False)
        self.eval()

    @property
    def rest(self) -> NetworkBlocks | None:
        """The part whose other outputs are kept: the first recognizer; None if there is none."""
        for part in self.blocks.typed_parts:
            if isinstance(part, NetworkBlocks) and part.outputs is not None:
                return part
        return None

    def forward(self, position: Tensor | None, action: Tensor) -> Tensor:
        """Logits [B, outputs]."""
        found: dict[str, Tensor] = {}
        kept: list[Tensor] = []
        for part in self.blocks.typed_parts:
            if isinstance(part, NetworkBlocks):
                blocks, logits = part.look(position, action, self.blocks.size)
                if part is self.rest and logits is not None:
                    kept.append(logits[:, logits.shape[1] - part.others :])
            else:
                blocks = part(position, action, self.blocks.size)
            found |= zip(part.names, blocks, strict=True)
        return torch.cat([self._scores(found), *kept], dim=1)

    def _scores(self, found: Mapping[str, Tensor]) -> Tensor:
        """Scores [B, C] of the classes; those of a Gaussian are small differences of large sums,
        so they are added in double precision.
        """
        if self.width_of_kernel is None:
            return torch.cat([found[name] for name in self.weights], dim=1) @ self.coefficients
        x = torch.cat([w**0.5 * found[name].double() for name, w in self.weights.items()], dim=1)
        rows = self.rows.double()
        lengths = x.square().sum(1, keepdim=True) + rows.square().sum(1)
        squared = (lengths - 2 * x @ rows.T).clamp_min(0)
        similar = torch.exp(squared / (-2 * self.width_of_kernel**2))
        return (similar @ self.coefficients.double()).float()

    @property
    def explained(self) -> Backbone | None:
        """The first network whose blocks the classes read, else the one whose outputs are kept."""
        for part in self.blocks.typed_parts:
            if isinstance(part, NetworkBlocks) and (
                part.outputs or {*part.names} & {*self.weights}
            ):
                return part.net
        return None

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        """The grid of the first network among the blocks.

        Raises:
            SettingsError: it reads the movement alone.
        """
        for part in self.blocks.typed_parts:
            if isinstance(part, NetworkBlocks):
                side = part.net.input_side or self.blocks.size
                return part.net.grid(position, scale_action(action, side))
        raise SettingsError("reads no network, so it has no grid", where=ON_BLOCKS)

    def head_parameters(self) -> list[nn.Parameter]:
        return [self.coefficients]

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.blocks.parameters())


class Beside(Backbone):
    """The classes of one network, and after them other outputs of a second one.

    Args:
        classes: number of outputs.
        classifier, rest: "model" and "settings" of the two, and "classes", the number of outputs.
        kept: how many of the last outputs of ``rest`` are kept.

    Raises:
        SettingsError: a description that fits no network, another number of outputs, or networks
            that take other inputs.
    """

    def __init__(
        self, classes: int, *, classifier: Mapping[str, Any], rest: Mapping[str, Any], kept: int
    ) -> None:
        nn.Module.__init__(self)
        try:
            self.classifier, self.rest = (
                build_model(given["model"], int(given["classes"]), **given["settings"])
                for given in (classifier, rest)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"describes no networks: {error!r}", where=BESIDE) from error
        if int(classifier["classes"]) + kept != classes or not 0 < kept < int(rest["classes"]):
            raise SettingsError(f"{classes} outputs, {kept} of them others", where=BESIDE)
        inputs = {(n.input_side, n.scales_itself, n.action_input) for n in self.children()}
        if len(inputs) > 1:
            raise SettingsError("two networks that take other inputs", where=BESIDE)
        self.kept = kept
        self.input_side = self.classifier.input_side
        self.scales_itself = self.classifier.scales_itself
        self.action_input = self.classifier.action_input

    def forward(self, position: Tensor | None, action: Tensor) -> Tensor:
        """Logits [B, outputs]."""
        others = self.rest(position, action)[:, -self.kept :]
        return torch.cat([self.classifier(position, action), others], dim=1)

    @property
    def explained(self) -> Backbone | None:
        return self.classifier.explained

    def grid(self, position: Tensor | None, action: Tensor) -> Grid:
        """The classifier's."""
        return self.classifier.grid(position, action)

    def head_parameters(self) -> list[nn.Parameter]:
        return self.classifier.head_parameters()

    def backbone_parameters(self) -> list[nn.Parameter]:
        return self.classifier.backbone_parameters()

    def face_encoder(self) -> nn.Module | None:
        return self.classifier.face_encoder()


MODELS.update({ON_BLOCKS: BlockClassifier, BESIDE: Beside})
