"""The benchmark's metrics as torchmetrics, to monitor a training."""

from __future__ import annotations

import torch
from torch import Tensor

from ma2mi.errors import EvaluationError, optional_part
from ma2mi.evaluation.metrics import METRICS, Absent

with optional_part("torchmetrics", "train"):
    from torchmetrics import Metric


class PooledScore(Metric):  # type: ignore[misc]
    """A metric of ``ma2mi.evaluation.metrics`` over all batches, on whatever device.

    It adds up one confusion matrix, so batches and processes do not change the score: the mean of
    batch scores is another number.

    Args:
        metric: "uf1", "uar", "accuracy", "macro_f1", "micro_f1" or "weighted_f1".
        classes: number of classes.
        absent: what to do with a class without clips and predictions; "present" suits small
            validation sets.

    Example:
        >>> score = PooledScore("uf1", classes=3)
        >>> score.update(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 2]))
        >>> round(score.compute().item(), 4)
        0.7778

    Raises:
        EvaluationError: there is no such metric.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    confusion: Tensor

    def __init__(self, metric: str, classes: int, absent: Absent = "error") -> None:
        super().__init__()
        if metric not in METRICS:
            raise EvaluationError(
                "is no known metric", where=metric, hint=f"Known are: {', '.join(METRICS)}"
            )
        self.metric, self.classes, self.absent = metric, classes, absent
        zeros = torch.zeros(classes, classes, dtype=torch.long)
        self.add_state("confusion", default=zeros, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Add a batch.

        Args:
            prediction: labels [n], or scores [n, classes] whose largest counts.
            truth: labels [n].

        Raises:
            EvaluationError: shapes, or a label outside the classes.
        """
        label = prediction.argmax(dim=1) if prediction.ndim == 2 else prediction
        if label.shape != truth.shape or truth.ndim != 1:
            raise EvaluationError(
                f"prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)}"
            )
        for which, values in (("prediction", label), ("truth", truth)):
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < self.classes:
                raise EvaluationError(f"labels outside 0..{self.classes - 1}", where=which)
        places = truth.long() * self.classes + label.long()
        counts = torch.bincount(places, minlength=self.classes**2)
        self.confusion += counts.reshape(self.classes, self.classes)

    def compute(self) -> Tensor:
        """The score of all batches so far, a float64 scalar.

        Raises:
            EvaluationError: with absent="error", a class without clips and predictions.
        """
        score = METRICS[self.metric](self.confusion.cpu().numpy(), self.absent)
        return torch.tensor(float(score), dtype=torch.float64)
