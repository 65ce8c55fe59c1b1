"""Kernels between clips that are sets of views: mixed from blocks of features, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float64]
Blocks = Mapping[str, NDArray[np.float64]]

#: Width of the Gaussian where none is chosen; rows have length 1, so those of two clips are 0 to 2
#: apart. 0.7 to 1.4 served as well (benchmarks/few_subjects).
WIDTH = 1.0
#: Clips whose views are compared with all others' at a time.
CHUNK = 64


@dataclass(frozen=True)
class Mix:
    """A kernel between two clips: the mean over all pairs of their views.

    Args:
        weights: of each block, summing to 1; blocks that are not named weigh 0.
        width: None is the weighted sum of inner products. Else a Gaussian of the distance d that
            goes with that sum, exp(-d^2 / (2 width^2)); rows of length 1 are at most 2 apart.

    The mean over pairs is the kernel of multi-instance learning (Gaertner et al. 2002): a ridge on
    it fits one score a clip, and what it predicts is the mean over a clip's views.
    """

    weights: tuple[tuple[str, float], ...]
    width: float | None = None

    def between(self, one: Blocks, other: Blocks) -> Kernel:
        """[n, m] from blocks [n, V, D] and [m, W, D]."""
        if self.width is None:
            sums = [w * one[name].mean(1) @ other[name].mean(1).T for name, w in self.weights]
            total: Kernel = np.sum(sums, axis=0)
            return total
        return np.concatenate([self._gaussian(part, other) for part in _chunks(one)])

    def _gaussian(self, one: Blocks, other: Blocks) -> Kernel:
        assert self.width is not None
        squared = 0.0
        for name, weight in self.weights:
            (n, v, d), (m, w, _) = one[name].shape, other[name].shape
            x, y = one[name].reshape(n * v, d), other[name].reshape(m * w, d)
            lengths = np.square(x).sum(1)[:, None] + np.square(y).sum(1)
            squared = squared + weight * np.maximum(lengths - 2 * x @ y.T, 0)
        similar: Kernel = np.exp(squared / (-2 * self.width**2))
        mean: Kernel = similar.reshape(n, v, m, w).mean(axis=(1, 3))
        return mean


def all_mixes(groups: Sequence[Mapping[str, float]], *widths: float | None) -> tuple[Mix, ...]:
    """Each group of blocks alone, and each set of them in equal parts; all together first.

    Args:
        groups: shares of the blocks in a group, summing to 1.
        widths: each mix with each of these; by default linear.
    """
    found = []
    for count in range(len(groups), 0, -1):
        for chosen in combinations(groups, count):
            weights = [(name, share / count) for group in chosen for name, share in group.items()]
            found += [Mix(tuple(weights), width) for width in widths or (None,)]
    return tuple(found)


def given_mix(groups: Sequence[Mapping[str, float]]) -> Mix:
    """What a classifier reads where nothing is chosen: a Gaussian over all groups in equal parts.

    Pixels have no part in it beside a network: with few labelled subjects they added nothing
    (benchmarks/few_subjects).

    Args:
        groups: as of :class:`ma2mi.training.feature_blocks.FeatureBlocks`.
    """
    return all_mixes([group for group in groups if "pixels" not in group] or groups, WIDTH)[0]


def _chunks(blocks: Blocks) -> Iterator[Blocks]:
    count = len(next(iter(blocks.values())))
    for start in range(0, count, CHUNK):
        yield {name: rows[start : start + CHUNK] for name, rows in blocks.items()}


@dataclass(frozen=True, eq=False)
class SetClips:
    """N clips of a whole set: their blocks, and slices of kernels that the whole set shares.

    Inner products hold no label, so those of all clips are computed once for all folds. A learner
    is given a part, and sees the kernel of that part alone; a predictor sees the kernel between the
    part that it learned from and the part that it predicts.

    Args:
        blocks: of the whole set, [all, V, D].
        kernels: of the whole set, [all, all]: of each block, and of each Gaussian mix.
        rows: int64 [N], the clips of this part.
    """

    blocks: Blocks
    kernels: Mapping[str | Mix, Kernel]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, blocks: Blocks, mixes: Sequence[Mix] = ()) -> SetClips:
        """The whole set; kernels of these mixes are kept, others computed as they are needed."""
        count = len(next(iter(blocks.values())))
        names = {name for mix in mixes for name, _ in mix.weights}
        single = {name: Mix(((name, 1.0),)) for name in blocks if name in names}
        kernels: dict[str | Mix, Kernel] = {
            name: mix.between(blocks, blocks) for name, mix in single.items()
        }
        kernels |= {mix: mix.between(blocks, blocks) for mix in mixes if mix.width is not None}
        return cls(dict(blocks), kernels, np.arange(count))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> SetClips:
        return replace(self, rows=self.rows[rows])

    def kernel(self, mix: Mix, other: SetClips | None = None) -> Kernel:
        """[N, N], or [N, M] between this part and another, of the same set or not."""
        other = other or self
        at = np.ix_(self.rows, other.rows)
        if self.blocks is not other.blocks:
            return mix.between(self.own_blocks(mix), other.own_blocks(mix))
        if mix in self.kernels:
            return self.kernels[mix][at]
        if mix.width is None and all(name in self.kernels for name, _ in mix.weights):
            parts = [w * self.kernels[name][at] for name, w in mix.weights]
            total: Kernel = np.sum(parts, axis=0)
            return total
        return mix.between(self.own_blocks(mix), other.own_blocks(mix))

    def own_blocks(self, mix: Mix) -> Blocks:
        """The blocks of this part, [N, V, D], that a mix reads."""
        return {name: self.blocks[name][self.rows] for name, _ in mix.weights}
