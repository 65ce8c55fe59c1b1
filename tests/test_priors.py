"""Class priors: shares, offsets of the logits, and their estimate without labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from ma2mi.errors import SettingsError
from ma2mi.evaluation.priors import (
    adjust,
    class_shares,
    estimate_shares,
    parse_prior,
    prior_offsets,
    prior_text,
)

THREE = ("negative", "positive", "surprise")


def test_words_and_shares():
    assert parse_prior(" Flat ") == "flat"
    assert parse_prior("0.6, 0.2,0.2") == (0.6, 0.2, 0.2)
    assert prior_text((0.6, 0.2, 0.2)) == "0.6,0.2,0.2"
    assert class_shares("flat", THREE).tolist() == pytest.approx([1 / 3] * 3)
    # 250, 109 and 83 of 442 clips, whatever the order of the classes.
    turned = ("surprise", "negative", "positive")
    assert class_shares("megc2019", turned) == pytest.approx([83 / 442, 250 / 442, 109 / 442])
    assert class_shares((0.33, 0.33, 0.33), THREE) == pytest.approx([1 / 3] * 3)
    assert prior_offsets("flat", THREE) == ()
    assert prior_offsets("megc2019", THREE) == pytest.approx([0.5288, -0.3013, -0.5739], abs=1e-4)


@pytest.mark.parametrize(
    ("prior", "classes", "message"),
    [
        ("megc2019", ("happy", "sad"), "prior megc2019: is of the classes negative, positive"),
        ("estimate", THREE, "takes the predictions of many clips"),
        ((0.5, 0.5), THREE, "2 shares for 3 classes. Give one for each of negative, positive"),
        ((0.6, 0.3, 0.2), THREE, "is no set of shares"),
        ((1.0, 0.0, 0.0), THREE, "is no set of shares"),
        ((float("nan"), 0.5, 0.5), THREE, "is no set of shares"),
    ],
)
def test_what_is_no_prior_is_one_line(prior, classes, message):
    with pytest.raises(SettingsError, match=message) as raised:
        class_shares(prior, classes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "often", "0.5,x", "0.2;0.8"])
def test_other_words_are_refused(text):
    with pytest.raises(SettingsError, match="is no class prior"):
        parse_prior(text)


def test_estimate_by_hand():
    """Three clips of (0.9, 0.1), one of (0.1, 0.9): the likelihood (0.1 + 0.8 s)^3 (0.9 - 0.8 s)
    has its maximum where 3 (0.9 - 0.8 s) = 0.1 + 0.8 s, so s = 2.6 / 3.2 = 0.8125."""
    p = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])
    shares = estimate_shares(p)
    assert shares == pytest.approx([0.8125, 0.1875], abs=1e-7)
    # Bayes' rule for the last clip: 0.1 * 0.8125 against 0.9 * 0.1875.
    assert adjust(p, shares)[3, 0] == pytest.approx(0.08125 / (0.08125 + 0.16875), abs=1e-7)


def test_estimate_is_the_maximum_that_an_optimizer_finds():
    """The same likelihood, maximised by SciPy over the logits of the shares."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet((2.0, 1.0, 0.7), size=300)

    def loss(free):
        shares = np.exp([0.0, *free])
        return -np.log(p @ (shares / shares.sum())).sum()

    found = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-7})
    expected = np.exp([0.0, *found.x])
    assert estimate_shares(p) == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_estimate_finds_the_shares_of_drawn_classes():
    """Two Gaussians one unit apart, 80 % of the clips from the first: the true shares are found,
    though a flat prior calls far more than a fifth the second."""
    rng = np.random.default_rng(1)
    second = rng.random(20_000) < 0.2
    x = rng.normal(second * 2.0 - 1.0)
    odds = 1 / (1 + np.exp(-2 * x))
    p = np.stack([1 - odds, odds], axis=1)
    assert (p.argmax(1) == 1).mean() > 0.28
    assert estimate_shares(p) == pytest.approx([0.8, 0.2], abs=0.015)


def test_classes_that_no_clip_shows_get_no_share():
    assert estimate_shares(np.array([[1.0, 0.0, 0.0]] * 4)).tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(SettingsError, match="no clip"):
        estimate_shares(np.empty((0, 3)))


def test_a_prior_without_weights_is_refused(ma2mi, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    code, _, err = ma2mi("analyze", "clip.mp4", "--weights", "none", "--prior", "megc2019")
    assert code == 2
    assert "--prior: is for weights that name classes" in err
