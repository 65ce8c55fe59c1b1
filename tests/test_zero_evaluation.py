"""How the shipped weights are calibrated and judged: on flow with known truth."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ma2mi.models.catalog import build_model
from ma2mi.motion import Method
from ma2mi.synthesis.basis import FlowBasis, make_basis
from ma2mi.training.recognizer import load_model

ROOT = Path(__file__).parents[1]
if not (ROOT / "scripts" / "zero").is_dir():
    pytest.skip("the recipe of the shipped weights is not here", allow_module_level=True)
sys.path[:0] = [str(ROOT / "scripts" / "zero"), str(ROOT / "benchmarks" / "zero")]
import calibrate_zero  # noqa: E402
import compare  # noqa: E402
import estimators  # noqa: E402
import evaluate_zero  # noqa: E402
import filmed  # noqa: E402
import judging  # noqa: E402
import make  # noqa: E402
from evaluate_zero import counts_of, evaluate, outputs_in, table  # noqa: E402
from train_zero import OUTPUTS, ZeroSettings, train_zero  # noqa: E402

NETWORK = {
    "center": True,
    "branches": "action",
    "fusion": "sum",
    "action_stem": (8,),
    "action_stages": (16, 16),
    "position_stages": (8, 8, 16),
    "side": 32,
}


def textured(shift):
    rng = np.random.default_rng(3)
    import cv2

    image = cv2.GaussianBlur(rng.uniform(0, 255, (112, 112, 3)).astype(np.float32), (0, 0), 2)
    image = (image - image.min()) / np.ptp(image) * 255
    moved = cv2.warpAffine(
        image, np.array([[1, 0, shift], [0, 1, 0.0]]), (112, 112), borderMode=cv2.BORDER_REFLECT
    )
    return image.astype(np.uint8), moved.astype(np.uint8)


@pytest.mark.parametrize("method", [*estimators.TRAINED, estimators.UNSEEN])
def test_every_estimator_sees_a_shift(method):
    pytest.importorskip("cv2")
    first, second = textured(1.0)
    seen = estimators.measure(first, second, method)
    assert seen.shape == (112, 112, 2)
    middle = np.median(seen[30:-30, 30:-30], axis=(0, 1))
    assert middle[0] == pytest.approx(1.0, abs=0.3)
    assert abs(middle[1]) < 0.15


def test_the_unseen_estimator_is_in_no_training_and_no_calibration():
    assert estimators.UNSEEN not in estimators.TRAINED
    assert estimators.UNSEEN not in judging.CALIBRATED_BY
    assert len(set(estimators.TRAINED) - set(Method.__args__)) >= 4  # settings of others


def test_no_subject_is_trained_on_and_judged():
    def seeds(count_first):
        count, first = count_first
        return set(range(first, first + count))

    heads = [seeds(one) for one in make.HEADS.values()]
    assert not heads[0] & heads[1] and not heads[0] & heads[2] and not heads[1] & heads[2]
    pairs = seeds((make.TRAINING_PAIRS[0] // 10, make.TRAINING_PAIRS[1]))
    assert not pairs & seeds((make.JUDGED_PAIRS[0] // 10, make.JUDGED_PAIRS[1]))
    assert not set(judging.CALIBRATION_SUBJECTS) & set(judging.EVALUATION_SUBJECTS)
    fields = ZeroSettings().pairs
    share = (1 - fields) * make.HEADS["training-heads"][0]
    assert share / (make.HEADS["training-heads"][0] + make.SUBJECTS[0]) >= 1 / 3


def test_eyes_lie_where_a_network_has_them():
    points = {
        "right eye outer": (100.0, 90.0),
        "right eye inner": (120.0, 94.0),
        "left eye inner": (150.0, 100.0),
        "left eye outer": (170.0, 104.0),
    }
    rng = np.random.default_rng(0)
    for _ in range(50):
        warp = filmed.crop_of(points, rng)
        right, left = (
            warp @ [*np.mean([points[f"{s} eye outer"], points[f"{s} eye inner"]], axis=0), 1]
            for s in ("right", "left")
        )
        assert filmed.APART[0] <= np.hypot(*(left - right)) / 112 <= filmed.APART[1]
        assert filmed.EYES_Y[0] <= (left + right)[1] / 2 / 112 <= filmed.EYES_Y[1]
        assert abs(np.degrees(np.arctan2(*(left - right)[::-1]))) < 8


def test_a_units_scale_is_that_of_its_chances():
    rng = np.random.default_rng(1)
    logit = rng.normal(0, 3, 20_000)
    shown = (rng.random(20_000) < 1 / (1 + np.exp(-(logit / 2 - 0.7)))).astype(np.float32)
    temperature, bias = calibrate_zero.unit_scale(logit, shown)
    assert temperature == pytest.approx(2, rel=0.08)
    assert bias == pytest.approx(-0.7, abs=0.08)


def test_a_rare_units_threshold_is_below_a_half():
    """With honest chances the best F1 lies at half of it (Lipton et al., ECML 2014)."""
    rng = np.random.default_rng(2)
    chance = 1 / (1 + np.exp(-rng.normal(-3, 2, 60_000)))
    shown = (rng.random(60_000) < chance).astype(np.float32)
    threshold = calibrate_zero.unit_threshold([chance], [shown])

    def f1(at):
        marked = chance >= at
        return 2 * (marked * shown).sum() / (marked.sum() + shown.sum())

    assert threshold < 0.45
    assert threshold == pytest.approx(f1(threshold) / 2, abs=0.05)
    assert f1(threshold) > f1(0.5)


def test_the_temperature_does_not_depend_on_the_domains_shares():
    rng = np.random.default_rng(4)
    for shares in ([1 / 3] * 3, [0.6, 0.3, 0.1]):
        label = rng.choice(3, 30_000, p=shares)
        seen = rng.normal(0, 1, (len(label), 3)) + 1.2 * np.eye(3)[label]
        logits = torch.from_numpy(1.5 * 1.2 * seen)  # 1.5 times the classes' log-likelihoods
        assert calibrate_zero.class_temperature(logits, label) == pytest.approx(1.5, rel=0.06)


@pytest.fixture(scope="module")
def domain():
    heads = make_basis(3, 4_400).fields
    return judging.rendered(heads, image=False)


@pytest.fixture(scope="module")
def recognizer(domain):
    torch.manual_seed(0)
    net = build_model("miacnet-tiny", OUTPUTS, **NETWORK)
    described = {"model": "miacnet-tiny", "settings": NETWORK, "size": 112}
    return calibrate_zero.calibrate_on(net, [domain], described)


def test_it_is_calibrated_with_a_flat_prior_and_a_threshold_a_unit(recognizer, domain):
    chosen = recognizer.settings
    assert chosen.prior == ()
    assert len(chosen.unit_thresholds) == len(chosen.unit_temperature) == len(chosen.units)
    movement = outputs_in(recognizer, domain).movement.sigmoid().numpy()[domain.label >= 0]
    kept = (movement >= chosen.movement_threshold).mean()
    assert kept == pytest.approx(calibrate_zero.KEPT_MOVEMENTS, abs=0.01)


def test_counts_follow_the_thresholds(recognizer, domain):
    output = outputs_in(recognizer, domain)
    _, units = counts_of(recognizer, domain, output)
    shown = output.units.sigmoid().numpy() >= np.array(recognizer.settings.thresholds)
    assert units.shape == (3, 12, 3)
    assert (units[..., :2].sum((0, 2)) == shown.sum(0)).all()
    assert (units[..., [0, 2]].sum((0, 2)) == domain.units.sum(0)).all()
    scores = evaluate(recognizer, domain)
    assert scores["clips"] == (domain.label >= 0).sum()
    assert f"| here | {scores['clips']} / 3 |" in table({"here": scores})


def test_a_network_against_itself_is_no_better_and_a_better_one_is(recognizer, domain):
    name = "here"
    one = compare.count(recognizer, {name: domain})
    perfect = one[name]._replace(
        classes=np.stack([np.diag(counts.sum(1)) for counts in one[name].classes]),
        units=np.stack([counts * [1, 0, 0] + [1, 0, 0] for counts in one[name].units]),
    )
    same = compare.summary({"before": one, "now": one}, "UF1")[2]
    assert same.endswith("| +0.000, 1.0000 |")
    better = compare.summary({"before": one, "now": {name: perfect}}, "UF1")[2]
    assert "| 1.000 [1.000, 1.000] | +0." in better
    config = recognizer.config | {"weights_sha256": "0"}
    recognizer.config.update(config)
    page = compare.page({"before": one, "again": one, "now": {name: perfect}}, recognizer)
    assert "reached in 1 of 1." in page
    assert all(f"\n| {unit} | " in page for unit in recognizer.units)


def test_the_recipe_in_small(domain, tmp_path, monkeypatch):
    """Train, calibrate, judge, write: what comes out loads, and its card tells what it holds."""
    monkeypatch.setattr(evaluate_zero, "calibration_domains", lambda out: [domain])
    monkeypatch.setattr(evaluate_zero, "judging_domains", lambda out: {"three heads": domain})
    settings = ZeroSettings(model_settings=NETWORK, steps=2, batch_size=16)
    assert settings.side == 32
    net = train_zero(FlowBasis(make_basis(2, 4_500).fields), None, settings)
    described = {"model": settings.model, "settings": NETWORK, "size": settings.size}
    made = {"seed": 0, "learned": make.learned(settings)}
    folder = tmp_path / "weights"
    card = evaluate_zero.calibrate_and_write(net, described, made, tmp_path, folder)
    model = load_model(folder)
    assert model.card == card
    assert model.settings.prior == ()
    assert model.config["weights_sha256"] in card
    assert "32 movements of people who do not exist" in card
    told = model.config["card"]["three heads"]
    assert f"| three heads | {(domain.label >= 0).sum()} / 3 | {told['uf1']} |" in card
    assert (folder / "calibration.png").stat().st_size > 1000
    for name, value in net.state_dict().items():
        torch.testing.assert_close(model.net.state_dict()[name], value, rtol=1e-3, atol=1e-3)
