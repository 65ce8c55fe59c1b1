"""The referee's metrics as torchmetrics: batches do not change the pooled score."""

from __future__ import annotations

import pytest
import torch
import torchmetrics

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.metrics import METRICS, confusion_matrix
from ma2mi.training.metrics import PooledScore


@pytest.mark.parametrize("name", METRICS)
def test_batches_do_not_change_the_score(name):
    torch.manual_seed(0)
    scores, truth = torch.randn(60, 3), torch.randint(0, 3, (60,))
    metric = PooledScore(name, classes=3)
    for batch in range(0, 60, 7):
        metric.update(scores[batch : batch + 7], truth[batch : batch + 7])
    expected = METRICS[name](confusion_matrix(truth.numpy(), scores.argmax(1).numpy(), 3), "error")
    assert metric.compute().item() == float(expected)


def test_serves_in_a_collection_and_starts_anew():
    both = torchmetrics.MetricCollection(
        {"uf1": PooledScore("uf1", 2), "uar": PooledScore("uar", 2)}
    )
    both.update(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
    assert both.compute()["uar"].item() == 0.75
    both.reset()
    both.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert both.compute()["uf1"].item() == 1.0


def test_mistakes_are_told():
    with pytest.raises(EvaluationError, match="luck: is no known metric"):
        PooledScore("luck", 3)
    with pytest.raises(EvaluationError, match=r"prediction: labels outside 0\.\.1"):
        PooledScore("uf1", 2).update(torch.tensor([2]), torch.tensor([1]))
    with pytest.raises(EvaluationError, match=r"prediction \(1, 2, 2\) and truth \(1,\)"):
        PooledScore("uf1", 2).update(torch.zeros(1, 2, 2), torch.tensor([1]))
    metric = PooledScore("uf1", 3)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
    with pytest.raises(EvaluationError, match="class 2 has no clip and no prediction"):
        metric.compute()
