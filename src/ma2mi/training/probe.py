"""What a pre-training has learned so far, on held-out subjects.

Three figures beside the loss: how often the later movement is found among 32; how well a ridge
with few labels reads action units off the frozen features; and how well it reads off the code
whose movement it is, which must stay at chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import rankdata
from torch import Tensor

from ma2mi.models.backbone import flatten_grid
from ma2mi.synthesis.basis import FlowBasis, make_basis
from ma2mi.synthesis.domain import DomainSettings
from ma2mi.synthesis.flow_inputs import as_action
from ma2mi.synthesis.flow_simulator import sample_growth
from ma2mi.training.movements import Source, resized
from ma2mi.training.pretext import FutureLoss, FutureMovement, moved

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: A later movement is looked for among as many.
CANDIDATES = 32
#: Seed of the first of the probe's synthetic subjects; no other part of the software takes them.
SUBJECTS_SEED = 990_000
#: Names of the probe's figures, beside those of the losses.
PROBED = ("retrieval", "units", "subject", "subject_chance")


class ProbeSettings(BaseModel):
    """The probe's labelled movements: synthetic, since their action units are known.

    Args:
        subjects: synthetic subjects; the first half trains the ridge, the second is tested.
        labels: labelled movements of the ridge on action units.
        tested: movements that it is tested on.
        each: movements of each subject to read the subject off, half to learn from, half to test.
        peak: size of the movements in percent of the side, drawn by logarithm: subtle ones.
        strength: of the ridges, relative to the mean of the kernel's diagonal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    subjects: int = Field(12, ge=4)
    labels: int = Field(48, ge=12)
    tested: int = Field(192, ge=12)
    each: int = Field(16, ge=4, multiple_of=2)
    peak: tuple[float, float] = (0.1, 0.6)
    strength: float = Field(1.0, gt=0)


@dataclass(frozen=True, eq=False)
class Probe:
    """Figures of a pretext task on held-out subjects.

    Args:
        source: what is trained on.
        held: positions of the held-out subjects' pairs.
        settings: see :class:`ProbeSettings`.
        batch_size: of the held-out loss; a contrast among more is harder.
        seed: of the draws.
    """

    source: Source
    held: Rows
    settings: ProbeSettings
    batch_size: int
    seed: int

    @torch.no_grad()
    def figures(self, task: FutureMovement) -> dict[str, float]:
        """Losses on held-out subjects, and the probe.

        Returns:
            the fields of :class:`ma2mi.training.pretext.FutureLoss`; "retrieval": share of early
            movements whose late one is found among ``CANDIDATES`` held-out ones (among all, where
            there are fewer); and for backbones that read flow "units": area under the ROC curve,
            mean over action units, 0.5 is chance; "subject": balanced accuracy of naming the
            subject by its code, and "subject_chance", that of chance.
        """
        task.eval()
        figures = self._held_out_loss(task)
        if task.trunk.action_input == "flow":
            figures |= {"units": self._units(task), **self._subject(task)}
        return figures

    def _held_out_loss(self, task: FutureMovement) -> dict[str, float]:
        device = next(task.parameters()).device
        rows = np.random.default_rng([self.seed, 3]).permutation(self.held)
        totals, hits = np.zeros(len(FutureLoss._fields)), 0
        for group in np.array_split(rows, max(round(len(rows) / self.batch_size), 1)):
            batch = self.source.batch(group, None).to(device)
            totals += len(group) * np.array([float(x) for x in task(batch)])
            likeness = task.early_code(batch) @ task.late_code(batch).T
            for start in range(0, len(group), CANDIDATES):
                block = likeness[start : start + CANDIDATES, start : start + CANDIDATES]
                truth = torch.arange(len(block), device=device)
                hits += int((block.argmax(1) == truth).sum())
        figures = dict(zip(FutureLoss._fields, (totals / len(rows)).tolist(), strict=True))
        return {**figures, "retrieval": hits / len(rows)}

    def _units(self, task: FutureMovement) -> float:
        half = self.settings.subjects // 2
        few = self._synthetic(np.arange(self.settings.labels) % half, 1)
        many = self._synthetic(half + np.arange(self.settings.tested) % half, 2)
        (train, _), (test, _) = (self._read(task, flow) for flow, _ in (few, many))
        shown, truth = (units.numpy() > 0 for _, units in (few, many))
        scores = ridge_scores(train, np.where(shown, 1.0, -1.0), test, self.settings.strength)
        both = [u for u in range(truth.shape[1]) if shown[:, u].any() and truth[:, u].any()]
        return float(np.mean([area_under_roc(scores[:, u], truth[:, u]) for u in both]))

    def _subject(self, task: FutureMovement) -> dict[str, float]:
        """Where there are faces, they are the held-out subjects', and the movements are not theirs:
        a subject that is read off the code was then read off the face."""
        subjects = np.tile(np.arange(self.settings.subjects), self.settings.each)
        flow, _ = self._synthetic(subjects, 4)
        faces = None
        if (shown := self._faces(len(subjects))) is not None:
            subjects, faces = shown
        _, codes = self._read(task, flow, faces)
        order = np.random.default_rng([self.seed, 5]).permutation(len(subjects))
        train, test = order[::2], order[1::2]
        names = np.unique(subjects)
        targets = np.where(subjects[train][:, None] == names, 1.0, -1.0)
        scores = ridge_scores(codes[train], targets, codes[test], self.settings.strength)
        predicted = scores.argmax(1)
        truth = subjects[test]
        hits = [np.mean(names[predicted[truth == one]] == one) for one in np.unique(truth)]
        return {"subject": float(np.mean(hits)), "subject_chance": 1 / len(names)}

    def _faces(self, count: int) -> tuple[Rows, Tensor] | None:
        """Numbers and faces of ``count`` held-out pairs, subjects in turn; None without faces."""
        names, number = np.unique(self.source.subjects[self.held], return_inverse=True)
        if len(names) < 2:
            return None
        turn = np.arange(count) % len(names)
        own = [self.held[number == one] for one in range(len(names))]
        rows = [own[one][i // len(names) % len(own[one])] for i, one in enumerate(turn)]
        faces = self.source.batch(np.array(rows), None).early_face
        return None if faces is None else (turn, faces)

    def _synthetic(self, subjects: Rows, stream: int) -> tuple[Tensor, Tensor]:
        """Disturbed movements [N, 2, s, s] of these subjects, and their units [N, 12]."""
        domain = DomainSettings(peak=self.settings.peak)
        seed = (self.seed, stream)
        sample = sample_growth(
            _basis(self.settings.subjects), domain, subjects, seed, share=(0.5, 0.5)
        )
        return sample.late, sample.units

    def _read(
        self, task: FutureMovement, flow: Tensor, faces: Tensor | None = None
    ) -> tuple[Floats, Floats]:
        """Features as a frozen backbone hands them to a ridge, and codes."""
        device = next(task.parameters()).device
        action = as_action(resized(flow, self.source.side))
        features, codes = [], []
        for start in range(0, len(flow), CANDIDATES):
            rows = slice(start, start + CANDIDATES)
            face = None if faces is None else faces[rows].to(device)
            grid = task.trunk.grid(face, action[rows].to(device))
            features.append(flatten_grid(grid.features).double().cpu().numpy())
            codes.append(task.projector(moved(grid)).double().cpu().numpy())
        return np.concatenate(features), np.concatenate(codes)


@cache
def _basis(subjects: int) -> FlowBasis:
    return make_basis(subjects, SUBJECTS_SEED)


def ridge_scores(train: Floats, targets: Floats, test: Floats, strength: float) -> Floats:
    """A ridge's scores [M, T] for ``test`` [M, D], learned from ``train`` [N, D], targets [N, T].

    In the dual form; ``strength`` is relative to the mean of the kernel's diagonal.
    """
    middle, level = train.mean(0), targets.mean(0)
    train, test = train - middle, test - middle
    kernel = train @ train.T
    kernel[np.diag_indices_from(kernel)] += strength * np.trace(kernel) / len(kernel) + 1e-12
    weights = scipy.linalg.solve(kernel, targets - level, assume_a="pos")
    scores: Floats = test @ (train.T @ weights) + level
    return scores


def area_under_roc(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """Chance that a true one scores higher than a false one; ties count half. 0.5 if all are."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return 0.5
    ranks = rankdata(scores)[truth].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))
