"""The shipped weights: whole, small, described, and able to read a movement nobody trained on."""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from ma2mi import load_model
from ma2mi.evaluation.metrics import uar
from ma2mi.synthesis.basis import TRACKS, FlowBasis, make_basis
from ma2mi.synthesis.domain import DomainSettings
from ma2mi.synthesis.flow_inputs import as_flow_image
from ma2mi.synthesis.flow_simulator import sample_flow
from ma2mi.training.checkpoint import CONFIG, WEIGHTS, find_weights
from ma2mi.training.recognizer import calibrate


@pytest.fixture(scope="module")
def zero():
    return load_model("zero")


def test_weights_are_whole_small_and_described(zero):
    folder = find_weights("zero")
    config = json.loads((folder / CONFIG).read_text())
    told = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert config["weights_sha256"] == told
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10e6
    assert told in zero.card
    assert config["recipe"]["commit"] in zero.card
    assert config["people"] == []
    assert "Corpora and people in the training: none." in zero.card
    assert "lie detector" in zero.card


def test_no_prior_is_hidden_and_every_unit_has_its_threshold(zero):
    assert zero.settings.prior == ()
    assert len(zero.settings.unit_thresholds) == len(zero.units)
    told = [
        f"{unit} {at:.2f}" for unit, at in zip(zero.units, zero.settings.thresholds, strict=True)
    ]
    assert all(one in " ".join(zero.card.split()) for one in told)


def test_it_reads_people_that_it_never_met(zero):
    """Chance is 1/3; the bar is far below what the card states for worlds as noisy as these."""
    sample = sample_flow(make_basis(4, 77_000), DomainSettings(still=0), 150, (77,))
    side = zero.net.input_side or zero.size
    shown = functional.interpolate(as_flow_image(sample.flow), (side, side), mode="bilinear")
    with torch.no_grad():
        said = calibrate(zero.net(None, shown), zero.settings)
    assert uar(sample.label.numpy(), said.classes.argmax(1).numpy(), 3) > 0.55


def test_a_smile_is_a_smile(zero):
    fields = np.zeros((1, len(TRACKS), 2, 64, 64), np.float32)
    basis = make_basis(1, 78_000)
    for at, (number, _) in enumerate(TRACKS):
        if number in ("6", "12"):
            fields[0, at] = basis.fields[0, at]
    smile = torch.from_numpy(FlowBasis(fields).fields[0].sum(0)[None]) / 4
    shown = functional.interpolate(smile, (56, 56), mode="bilinear")
    side = zero.net.input_side or zero.size
    shown = functional.interpolate(as_flow_image(shown), (side, side), mode="bilinear")
    with torch.no_grad():
        said = calibrate(zero.net(None, shown), zero.settings)
    assert zero.classes[int(said.classes.argmax())] == "positive"
    chance = dict(zip(zero.units, said.units[0].sigmoid().tolist(), strict=True))
    threshold = dict(zip(zero.units, zero.settings.thresholds, strict=True))
    assert chance["12"] > threshold["12"]
    assert chance["4"] < threshold["4"]
