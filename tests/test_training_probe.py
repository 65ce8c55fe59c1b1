"""The probe: figures of a network that knows everything, of one that knows nothing, of a leak."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.movement_settings import NuisanceSettings  # noqa: E402
from ma2mi.training.movements import VideoMovements  # noqa: E402
from ma2mi.training.pretext import FutureMovement, FutureMovementSettings  # noqa: E402
from ma2mi.training.probe import (  # noqa: E402
    PROBED,
    Probe,
    ProbeSettings,
    area_under_roc,
    ridge_scores,
)

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
HELD = np.arange(24, 36)
QUICK = ProbeSettings(subjects=4, labels=24, tested=48, each=8)


def make_probe(grown, task, settings=QUICK):
    source = VideoMovements(grown, task.trunk, 64, NuisanceSettings())
    return Probe(source, HELD, settings, batch_size=96, seed=0)


@pytest.fixture
def task():
    torch.manual_seed(0)
    return FutureMovement(build_model("miacnet-tiny", 2, **SMALL), FutureMovementSettings(code=16))


def test_the_ridge_is_scikit_learns():
    rng = np.random.default_rng(0)
    train, test, targets = (
        rng.normal(size=(30, 50)),
        rng.normal(size=(9, 50)),
        rng.normal(size=(30, 4)),
    )
    middle = train - train.mean(0)
    strength = 0.7 * np.trace(middle @ middle.T) / 30
    expected = Ridge(alpha=strength).fit(train, targets).predict(test)
    np.testing.assert_allclose(ridge_scores(train, targets, test, 0.7), expected, rtol=1e-6)


def test_the_area_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.4
    assert area_under_roc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    assert area_under_roc(scores, np.ones(40, bool)) == 0.5


def test_figures_are_shares_and_the_same_again(grown, task):
    figures = make_probe(grown, task).figures(task)
    assert set(PROBED) <= set(figures)
    assert all(0 <= figures[name] <= 1 for name in PROBED)
    assert figures == make_probe(grown, task).figures(task)
    assert not task.training
    assert figures["subject_chance"] == 0.5  # two held-out people, whose faces are shown


def test_retrieval_counts_what_is_found(grown, task, monkeypatch):
    """Codes that are the rows themselves find everything; codes that are all alike, the first."""
    probe = make_probe(grown, task)
    own = torch.eye(36)

    def known(self, batch):
        return own[: len(batch.early), :16]

    monkeypatch.setattr(FutureMovement, "early_code", known)
    monkeypatch.setattr(FutureMovement, "late_code", known)
    assert probe.figures(task)["retrieval"] == 1
    monkeypatch.setattr(FutureMovement, "late_code", lambda self, batch: 1 + 0 * known(self, batch))
    assert probe.figures(task)["retrieval"] == pytest.approx(1 / 12)


def test_a_code_that_holds_the_face_is_caught(grown, monkeypatch):
    """The probe must fail where it should: a projector that reads the face names the subject.

    The code is as long as by default: at random, a short one may lose what tells faces apart.
    """
    settings = QUICK.model_copy(update={"each": 16})
    torch.manual_seed(0)
    task = FutureMovement(build_model("miacnet-tiny", 2, **SMALL), FutureMovementSettings())
    grid_of = task.trunk.grid

    def leaking(position, action):
        grid = grid_of(position, action)
        if position is None:
            return grid
        face = torch.nn.functional.adaptive_avg_pool2d(position, grid.features.shape[2:])
        seen = face.repeat(1, 11, 1, 1)[:, :32]
        return grid._replace(action=100 * seen)

    clean = make_probe(grown, task, settings).figures(task)
    monkeypatch.setattr(task.trunk, "grid", leaking)
    leaky = make_probe(grown, task, settings).figures(task)
    assert leaky["subject"] > 0.9
    assert clean["subject"] < 0.75


def test_better_features_read_units_better(task, grown):
    """Features that hold nothing are at chance; untrained ones of the movement are above it."""
    settings = QUICK.model_copy(update={"labels": 48, "tested": 96})
    seen = make_probe(grown, task, settings).figures(task)["units"]
    with torch.no_grad():
        for p in task.trunk.action_encoder.stem.parameters():
            p.zero_()
    blind = make_probe(grown, task, settings).figures(task)["units"]
    assert blind == pytest.approx(0.5, abs=0.02)
    assert seen > 0.58
