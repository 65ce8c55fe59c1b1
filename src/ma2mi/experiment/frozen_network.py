"""A frozen network, and what is fitted on its features: a mixed kernel, or a plain ridge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ma2mi.clips.pairs import Pairs
from ma2mi.errors import CheckpointError
from ma2mi.evaluation.learner import Clips, Learner
from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import build_model
from ma2mi.training.checkpoint import open_backbone, read_config
from ma2mi.training.feature_blocks import FeatureBlocks, NetworkBlocks, PixelBlock, network_blocks
from ma2mi.training.frozen import extract_features, recognizer_features
from ma2mi.training.mixed_kernel import MixedKernel
from ma2mi.training.recognizer import Recognizer, load_model
from ma2mi.training.ridge import DualRidge
from ma2mi.training.set_kernels import WIDTH, Mix, SetClips, all_mixes, given_mix


@dataclass(frozen=True)
class FrozenNetwork:
    """A network that is not trained; a recognizer's features hold its outputs, too.

    Args:
        model: of the catalog.
        init: folder of its weights; None is random ones, others for each seed.
        settings: changes to the network's preset.
        size: side of the input in px.
        name: of the entry.
    """

    model: str
    init: Path | None
    settings: Mapping[str, Any]
    size: int
    name: str

    def ridge(self, pairs: Pairs, classes: int, seeds: Sequence[int]) -> tuple[Learner, Clips]:
        """A ridge on the network's features, and these."""
        learner = DualRidge(classes, tuple(seeds), name=self.name)
        if recognizer := self._recognizer():
            return learner, recognizer_features(recognizer, pairs)[:, None]
        features = [
            extract_features(backbone, pairs, size=self.size)
            for _, backbone in self._backbones(classes, seeds)
        ]
        return learner, np.stack(features, axis=1)

    def mixed_kernel(
        self, pairs: Pairs, classes: int, seeds: Sequence[int]
    ) -> tuple[Learner, Clips]:
        """A kernel of what the network sees: grid and outputs in equal parts."""
        networks = self._networks(classes, seeds)
        blocks = FeatureBlocks(networks, self.size)
        own = [given_mix(network.groups) for network in networks]
        read = own if len(own) == len(seeds) else own * len(seeds)
        return _mix(blocks, pairs, classes, dict(zip(seeds, read, strict=True)), self.name)

    def _networks(self, classes: int, seeds: Sequence[int]) -> list[NetworkBlocks]:
        """One network if pre-trained, else one for each seed."""
        if recognizer := self._recognizer():
            return [NetworkBlocks(recognizer.net, self.model, self.settings, recognizer.settings)]
        return [
            NetworkBlocks(net, self.model, self.settings, title="" if self.init else f"seed {seed}")
            for seed, net in self._backbones(classes, seeds)
        ]

    def _recognizer(self) -> Recognizer | None:
        if self.init is None or "recognizer" not in read_config(self.init):
            return None
        return Recognizer.from_pretrained(self.init, **self.settings)

    def _backbones(self, classes: int, seeds: Sequence[int]) -> Iterator[tuple[int, Backbone]]:
        """The pre-trained backbone, or one with random weights for each seed."""
        for seed in seeds[:1] if self.init else seeds:
            # The random numbers of whoever calls stay as they were.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                backbone = (
                    open_backbone(self.init, classes, **self.settings)
                    if self.init
                    else build_model(self.model, classes, **self.settings)
                )
            yield seed, backbone


def mix_with_shipped(
    own: Path | None, pairs: Pairs, classes: int, name: str
) -> tuple[Learner, Clips]:
    """A kernel of pixels, the shipped recognizer's grid and outputs, and the grid of other weights.

    In equal parts, whatever it gains or loses against one of them alone.

    Args:
        own: folder of those; None for none.
        pairs: N onset-apex pairs.
        classes: number of classes.
        name: of the entry.

    Raises:
        CheckpointError: they read crops of another size.
    """
    zero = load_model("zero")
    networks = [network_blocks(zero)]
    if own:
        config = read_config(own)
        if config["size"] != zero.size:
            raise CheckpointError(
                f"reads {config['size']} px, zero {zero.size} px",
                where=own,
                hint=f"Pre-train at {zero.size} px to mix them",
            )
        net = open_backbone(own, 2)
        networks.append(NetworkBlocks(net, config["model"], config["settings"], title="own"))
    blocks = FeatureBlocks([PixelBlock(), *networks], zero.size)
    return _mix(blocks, pairs, classes, {0: all_mixes(blocks.groups, WIDTH)[0]}, name)


def _mix(
    blocks: FeatureBlocks,
    pairs: Pairs,
    classes: int,
    read: Mapping[int, Mix],
    name: str,
) -> tuple[Learner, Clips]:
    """The learner and the blocks of all pairs; ``read`` says which kernel a seed reads."""
    by_seed = tuple((seed, (mix,)) for seed, mix in read.items())
    clips = SetClips.of(blocks.extract(pairs), tuple(read.values()))
    learner = MixedKernel(
        classes, by_seed[0][1], by_seed=by_seed, features=blocks.digest(), name=name
    )
    return learner, clips
