"""Recognizers: what they say, how they are kept, and how the referee and the commands take them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from fakes.megc2019_flow import write_tree  # noqa: E402
from ma2mi.errors import CheckpointError, FaceError, SettingsError  # noqa: E402
from ma2mi.evaluation.labels import CD6ME_UNITS  # noqa: E402
from ma2mi.evaluation.priors import adjust, estimate_shares  # noqa: E402
from ma2mi.experiment import Entry  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.checkpoint import find_weights, load_backbone, open_backbone  # noqa: E402
from ma2mi.training.frozen import recognizer_features  # noqa: E402
from ma2mi.training.recognizer import (  # noqa: E402
    Recognizer,
    RecognizerSettings,
    calibrate,
    load_model,
)
from ma2mi.training.zero_shot import ZeroShot  # noqa: E402

CLASSES = ("negative", "positive", "surprise")
SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
OUTPUTS = 3 + 12 + 2


def make(size=64, model="miacnet-tiny", seed=0, **changes):
    torch.manual_seed(seed)
    settings = SMALL if model == "miacnet-tiny" else {}
    meaning = {"classes": CLASSES, "units": CD6ME_UNITS, **changes}
    outputs = RecognizerSettings(**meaning).outputs
    config = {
        "model": model,
        "classes": outputs,
        "settings": settings,
        "size": size,
        "dtype": "float16",
        "recipe": "abc",
        "card": {"uf1": 0.5},
        "recognizer": meaning,
    }
    # as JSON would have it, so that tuples and lists compare equal
    return Recognizer(
        build_model(model, outputs, **settings), json.loads(json.dumps(config)), "# Card\n"
    )


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_comes_back_byte_for_byte(pairs, tmp_path):
    make(temperature=1.5, views=["as-is"]).save_pretrained(tmp_path / "a")
    again = Recognizer.from_pretrained(tmp_path / "a")
    again.save_pretrained(tmp_path / "b")
    assert set(files(tmp_path / "a")) == {"model.safetensors", "config.json", "README.md"}
    assert files(tmp_path / "a") == files(tmp_path / "b")
    third = Recognizer.from_pretrained(tmp_path / "b")
    assert np.array_equal(again.predict(pairs), third.predict(pairs))
    assert (again.classes, again.units, again.card) == (CLASSES, CD6ME_UNITS, "# Card\n")


def test_half_precision_is_stored_and_whole_computed(pairs, tmp_path):
    whole = make()
    whole.save_pretrained(tmp_path / "half")
    whole.config["dtype"] = "float32"
    whole.save_pretrained(tmp_path / "whole")
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    half = Recognizer.from_pretrained(tmp_path / "half")
    assert {p.dtype for p in half.net.parameters()} == {torch.float32}
    assert np.array_equal(
        Recognizer.from_pretrained(tmp_path / "whole").predict(pairs), whole.predict(pairs)
    )
    np.testing.assert_allclose(half.predict(pairs), whole.predict(pairs), atol=0.01)
    # The same folder starts a training: the backbone is read, in whole precision.
    backbone = open_backbone(tmp_path / "half", 5)
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}


def test_answers(pairs):
    output = make().outputs(pairs)
    assert output.classes.shape == (24, 3)
    np.testing.assert_allclose(output.classes.sum(1), 1)
    assert output.units.shape == (24, 12)
    assert ((output.units > 0) & (output.units < 1)).all()
    assert (output.intensity > 0).all()
    assert ((output.movement > 0) & (output.movement < 1)).all()
    assert not output.abstain.any()


def test_calibration_by_hand():
    settings = RecognizerSettings(
        units=("1", "2"), temperature=2, prior=(0.5, 0, 0), unit_temperature=4, unit_bias=(0, 1)
    )
    assert settings.outputs == 7
    output = calibrate(torch.tensor([[2.0, 4.0, 6.0, 8.0, -8.0, 0.0, 3.0]]), settings)
    assert output.classes.tolist() == [[1.5, 2.0, 3.0]]
    assert output.units.tolist() == [[2.0, -1.0]]
    assert output.intensity.tolist() == pytest.approx([np.log(2)])
    assert output.movement.tolist() == [3.0]


def test_calibration_one_by_one_by_hand():
    settings = RecognizerSettings(
        units=("1", "2"),
        class_bias=(0, 1, 0),
        prior=(1, 1, 0),
        unit_temperature=(2, 4),
        unit_thresholds=(0.5, 0.25),
        has_intensity=False,
        has_movement=False,
    )
    assert settings.outputs == 5
    output = calibrate(torch.tensor([[2.0, 4.0, 6.0, 8.0, -8.0]]), settings)
    assert output.classes.tolist() == [[3.0, 6.0, 6.0]]
    assert output.units.tolist() == [[4.0, -2.0]]
    assert (output.intensity, output.movement) == (None, None)


def test_each_unit_is_shown_from_its_own_threshold_on(pairs):
    plain = make().outputs(pairs)
    assert np.array_equal(plain.shown, plain.units >= 0.5)
    middle = np.median(plain.units, axis=0)
    model = make(unit_thresholds=middle.tolist())
    found = model.outputs(pairs)
    assert np.array_equal(found.units, plain.units)
    assert np.array_equal(found.shown, plain.units >= middle)
    assert (found.shown.sum(0) == 12).all()
    reading = model.readings(pairs)[0]
    assert set(reading.shown) == {
        u for u, on in zip(CD6ME_UNITS, found.shown[0], strict=True) if on
    }
    assert make().readings(pairs)[0].unit_thresholds == {}


def test_a_network_of_classes_alone_is_a_recognizer(pairs, tmp_path):
    make(units=[], has_intensity=False, has_movement=False).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    output = model.outputs(pairs)
    assert (output.units.shape, output.shown.shape) == ((24, 0), (24, 0))
    assert np.isnan(output.intensity).all()
    assert np.isnan(output.movement).all()
    assert not output.abstain.any()
    reading = model.read(pairs.first[0], pairs.second[:1])[0]
    assert reading.probabilities.keys() == set(CLASSES)
    assert (reading.action_units, reading.intensity, reading.expression) == ({}, None, None)
    assert recognizer_features(model, pairs).shape[:2] == (24, 2)


def test_views_are_averaged_in_log_space(pairs):
    views = (["as-is"], ["mirrored"], ["as-is", "mirrored"])
    one, other, both = (make(views=v).logits(pairs) for v in views)
    assert not torch.equal(one, other)
    torch.testing.assert_close(both, (one + other) / 2)
    product = one[:, :3].softmax(1).log() + other[:, :3].softmax(1).log()
    expected = (product / 2).softmax(1).numpy()
    np.testing.assert_allclose(make().predict(pairs), expected)


def test_abstains_where_it_is_unsure_or_sees_nothing(pairs):
    plain = make().outputs(pairs)
    sure = plain.classes.max(1)
    middle = float(np.median(sure))
    unsure = make(abstain_below=middle).outputs(pairs)
    assert np.array_equal(unsure.abstain, sure < middle)
    assert 0 < unsure.abstain.sum() < 24
    middle = float(np.median(plain.movement))
    still = make(movement_threshold=middle)
    assert np.array_equal(still.outputs(pairs).abstain, plain.movement < middle)
    assert [r.abstained for r in still.readings(pairs)] == (plain.movement < middle).tolist()
    assert np.array_equal(still.predict(pairs), plain.classes)


def test_intensity_is_unknown_for_scaled_images(pairs):
    nobody = np.empty((0, 72, 72, 3), np.uint8)
    measured = replace(pairs, first=nobody, second=nobody)
    scaled = replace(measured, elapsed_s=np.full(24, np.nan))
    assert np.isfinite(make().outputs(measured).intensity).all()
    assert np.isnan(make().outputs(scaled).intensity).all()
    assert make().readings(scaled)[0].intensity is None


def test_read_is_predict_on_measured_flow(pairs):
    model = make()
    readings = model.read(pairs.first[0], pairs.second[:1])
    assert [r.key for r in readings] == ["0"]
    assert set(readings[0].probabilities) == set(CLASSES)
    assert sum(readings[0].probabilities.values()) == pytest.approx(1)
    assert set(readings[0].action_units) == set(CD6ME_UNITS)
    assert readings[0].intensity > 0
    assert 0 < readings[0].expression < 1
    known = model.predict(pairs[np.array([0])])[0]
    # The flow is estimated, not the fixture's own; so the answers are close, no more.
    np.testing.assert_allclose(list(readings[0].probabilities.values()), known, atol=0.02)
    two = model.read(pairs.first[0], pairs.second[:2], ["a", "b"])
    assert [r.key for r in two] == ["a", "b"]


def test_crops_too_small(pairs):
    with pytest.raises(FaceError, match="crops of 72 px, the network sees 112 px"):
        make(size=112).predict(pairs)


def test_same_bytes_twice_on_one_thread(pairs):
    model = make()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = model.predict(pairs)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(first, model.predict(pairs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recognizer": None}, "holds a pre-trained backbone, not a recognizer"),
        ({"recognizer": {"mood": 1}}, "recognizer.mood: Extra inputs"),
        ({"recognizer": {"temperature": 0}}, "recognizer.temperature: "),
        ({"recognizer": {"prior": [1, 2]}}, "2 priors for 3 classes"),
        ({"recognizer": {"class_bias": [1, 2]}}, "2 biases for 3 classes"),
        ({"recognizer": {"unit_bias": [1, 2]}}, "2 biases for 12 units"),
        ({"recognizer": {"unit_thresholds": [0.5]}}, "1 thresholds for 12 units"),
        ({"recognizer": {"unit_thresholds": [1.5] * 12}}, "recognizer.unit_thresholds.0: "),
        ({"recognizer": {"unit_temperature": [1, 2]}}, "2 temperatures for 12 units"),
        ({"recognizer": {"unit_temperature": 0}}, "recognizer.unit_temperature"),
        (
            {"recognizer": {"has_movement": False, "movement_threshold": 0.5}},
            "a movement_threshold for a network without that output",
        ),
        ({"recognizer": {"has_intensity": False}}, "has 17 outputs.* need 16"),
        ({"recognizer": {"units": ["1"]}}, "has 17 outputs, its classes and units need 6"),
        ({"recognizer": {"classes": ["a", "b", "c", "d"]}}, "has 17 outputs.* need 18"),
        (
            {"recognizer": {"classes": ["a", "b", "c", "d"]}, "classes": 18},
            "do not fit this network",
        ),
        ({"classes": 5}, "has 5 outputs, its classes and units need 17"),
    ],
)
def test_damaged_configs_are_one_line(tmp_path, change, message):
    make().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | change
    config = {key: value for key, value in config.items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as raised:
        load_model(tmp_path)
    assert "\n" not in str(raised.value)


def test_unknown_names_are_one_line(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing: is neither a folder nor the name of") as e:
        load_model("nothing")
    assert "\n" not in str(e.value)
    assert find_weights(tmp_path) == tmp_path


def test_the_head_can_be_kept_in_part_and_in_order(tmp_path):
    model = make()
    model.save_pretrained(tmp_path)
    net = load_backbone(build_model("miacnet-tiny", 3, **SMALL), tmp_path, head=(2, 0, 1))
    rows = model.net.state_dict()["head.3.weight"][[2, 0, 1]].half().float()
    assert torch.equal(net.state_dict()["head.3.weight"], rows)
    assert net.state_dict()["head.3.bias"].shape == (3,)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_backbone(build_model("miacnet-tiny", 3, **SMALL), tmp_path, head=(0, 1, 40))


def test_zero_shot_looks_at_no_label_and_puts_classes_in_order(pairs, labels):
    model = make()
    order = ("surprise", "negative", "positive")
    learner = ZeroShot(model, order)
    assert learner.fit(pairs, labels, pairs.subjects) is learner
    assert np.array_equal(learner.predict(pairs), model.predict(pairs)[:, [2, 0, 1]])
    assert learner.reseed(3).settings["zero_shot"] is True
    with pytest.raises(
        CheckpointError, match="predicts negative, positive, surprise; the protocol has"
    ):
        ZeroShot(model, ("negative", "positive"))


def test_a_prior_is_chosen_on_loading_and_goes_before_a_stored_one(pairs, tmp_path):
    stored = make(prior=[0.5288, -0.3013, -0.5739])
    stored.save_pretrained(tmp_path)
    flat = load_model(tmp_path)
    assert flat.settings.prior == ()
    assert np.array_equal(flat.predict(pairs), make_half(tmp_path).predict(pairs))
    published = load_model(tmp_path, "megc2019")
    assert published.settings.prior == pytest.approx(stored.settings.prior, abs=1e-4)
    # By hand: probabilities times shares, brought back to 1.
    weighed = flat.predict(pairs) * np.array([0.6, 0.3, 0.1])
    expected = weighed / weighed.sum(1, keepdims=True)
    found = flat.with_prior((0.6, 0.3, 0.1))
    np.testing.assert_allclose(found.predict(pairs), expected)
    assert found.net is flat.net
    np.testing.assert_allclose(found.with_prior("flat").predict(pairs), flat.predict(pairs))
    with pytest.raises(SettingsError, match="2 shares for 3 classes"):
        load_model(tmp_path, (0.5, 0.5))
    with pytest.raises(SettingsError, match="takes the predictions of many clips"):
        flat.with_prior("estimate")


def make_half(folder):
    """The same folder without the prior in its config."""
    config = json.loads((folder / "config.json").read_text())
    config["recognizer"]["prior"] = []
    (folder / "config.json").write_text(json.dumps(config))
    return load_model(folder)


def test_zero_shot_under_each_prior(pairs):
    model, order = make(prior=[2.0, 0.0, -2.0]), ("surprise", "negative", "positive")
    flat = ZeroShot(model, order).predict(pairs)
    np.testing.assert_allclose(flat, make().predict(pairs)[:, [2, 0, 1]])
    known = np.array([83, 250, 109]) / 442
    learner = ZeroShot(model, order, prior="megc2019")
    np.testing.assert_allclose(learner.predict(pairs), adjust(flat, known))
    assert learner.settings["prior"] == "megc2019"
    assert list(learner.settings["class_shares"].values()) == pytest.approx(known, abs=1e-6)
    given = ZeroShot(model, order, prior=(0.2, 0.2, 0.6))
    np.testing.assert_allclose(given.predict(pairs), adjust(flat, np.array([0.2, 0.2, 0.6])))
    learner = ZeroShot(model, order, prior="estimate")
    assert learner.notes == ()
    predicted = learner.predict(pairs)
    np.testing.assert_allclose(predicted, adjust(flat, estimate_shares(flat)))
    shares = learner.chosen["class_shares"]
    # Where the estimate has converged, the mean of the predictions is the shares themselves.
    np.testing.assert_allclose(predicted.mean(0), [shares[n] for n in order], atol=1e-5)
    assert learner.notes[0].startswith("class shares estimated without labels: surprise ")
    with pytest.raises(SettingsError, match="1 shares for 3 classes"):
        ZeroShot(model, order, prior=(1.0,))


def test_features_share_their_length_between_grid_and_logits(pairs):
    model = make()
    grid, logits, both = (recognizer_features(model, pairs, share=s) for s in (0.0, 1.0, 0.5))
    kernels = [np.einsum("nvd,mvd->nm", f, f) for f in (grid, logits, both)]
    np.testing.assert_allclose(kernels[2], (kernels[0] + kernels[1]) / 2, atol=1e-5)
    assert np.linalg.norm(both, axis=2).max() < 1 + 1e-5
    # A clip's features do not depend on the clips beside it.
    few = recognizer_features(model, pairs[np.arange(5)])
    kernel = np.einsum("nvd,mvd->nm", few, few)
    np.testing.assert_allclose(kernel, kernels[2][:5, :5], atol=1e-5)


def test_fine_tuning_starts_from_the_classes_that_it_shares(pairs, tmp_path):
    make().save_pretrained(tmp_path)
    start = Entry("miacnet-tiny", init=tmp_path, size=64)
    same, _ = start.build_learner(pairs, ("positive", "negative", "surprise"), [0])
    assert same.head == (1, 0, 2)
    other, _ = start.build_learner(pairs, ("up", "down"), [0])
    assert other.head == ()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("megc"), scale=0.2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "mine"
    make(size=32).save_pretrained(folder)
    return folder


def check_scores(out, run):
    scores = json.loads((run / "scores.json").read_text())["seeds"]["0"]
    for database in ("casme2", "samm", "smic"):
        *_, line = (row for row in out.splitlines() if row.strip().startswith(database))
        uf1, uar = (scores["databases"][database][name] for name in ("uf1", "uar"))
        assert [cell.rstrip("*") for cell in line.split()[1:3]] == [f"{uf1:.3f}", f"{uar:.3f}"]
    assert f"{scores['overall']['uf1']:.3f}" in out


def test_zero_shot_by_command(ma2mi, tree, weights, tmp_path):
    code, out, err = ma2mi(
        "benchmark", "--corpus", "megc2019-flow", "--root", tree, "--weights", weights,
        "--protocol", "zero-shot", "--out", "run",
    )  # fmt: skip
    assert code == 0, err
    assert "miacnet-tiny (zero-shot, prior flat)" in out
    assert "trained on none of these clips" in out
    check_scores(out, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["run"]["zero_shot"] is True
    assert record["settings"]["learner"]["prior"] == "flat"
    assert len(record["settings"]["run"]["weights_sha256"]) == 64


@pytest.mark.parametrize("prior", ["megc2019", "0.6,0.2,0.2", "estimate"])
def test_the_prior_is_printed_and_stored(ma2mi, tree, weights, tmp_path, prior):
    code, out, err = ma2mi(
        "benchmark", "--corpus", "megc2019-flow", "--root", tree, "--weights", weights,
        "--protocol", "zero-shot", "--prior", prior, "--out", "run",
    )  # fmt: skip
    assert code == 0, err
    assert f"(zero-shot, prior {prior})" in out
    record = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["learner"]
    assert record["prior"] == prior
    [fold] = [json.loads(p.read_text()) for p in (tmp_path / "run" / "folds").iterdir()]
    shares = fold["chosen"].get("class_shares") or record["class_shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    if prior == "estimate":
        assert " ".join(out.split()).count("class shares estimated without labels: negative ") == 1
        np.testing.assert_allclose(
            np.mean(fold["probabilities"], axis=0), list(shares.values()), atol=1e-5
        )
    else:
        expected = [250 / 442, 109 / 442, 83 / 442] if prior == "megc2019" else [0.6, 0.2, 0.2]
        assert list(shares.values()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("train", ["auto", "full"])
def test_start_from_weights_by_command(ma2mi, tree, weights, tmp_path, train):
    code, out, err = ma2mi(
        "benchmark", "--corpus", "megc2019-flow", "--root", tree, "--init", weights,
        "--protocol", "megc2019", "--train", train, "--epochs", 1, "--jobs", 1, "--out", "run",
    )  # fmt: skip
    assert code == 0, err
    assert f"pre-trained, {'trained' if train == 'full' else 'frozen + ridge'}" in out
    # Frozen weights stand beside the same network with random ones, which they are tested against.
    assert ("(random, frozen + ridge)" in out) == (train == "auto")
    assert (tmp_path / "run-random").exists() == (train == "auto")
    check_scores(out, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["run"]["size"] == 32
    if train == "full":
        assert record["settings"]["learner"]["head"] == [0, 1, 2]


def test_impossible_wishes_are_one_line(ma2mi, tree, weights):
    given = ("benchmark", "--corpus", "megc2019-flow", "--root", tree)
    shot = (*given, "--protocol", "zero-shot")
    for words, message in {
        (*given, "--weights", weights): "Add --protocol zero-shot, or start training from them",
        shot: "Add --weights zero, or a folder",
        (*shot, "--weights", "nothing"): "nothing: is neither a folder nor the name of",
        (*given, "--init", "nothing"): "nothing: is neither a folder nor the name of",
        (*shot, "--weights", weights, "--size", 64): "Leave out --size",
        (*shot, "--weights", weights, "--prior", "often"): "--prior often: is no class prior",
        (*shot, "--weights", weights, "--prior", "0.5,0.5"): "2 shares for 3 classes",
        (*given, "--prior", "megc2019"): "Add --weights and --protocol zero-shot",
        (*given, "--init", weights, "--size", 64): "holds miacnet-tiny at 32 px",
    }.items():
        code, _, err = ma2mi(*words)
        assert code == 2, words
        assert message in err, words
        assert err.count("\n") == 1


def test_the_door_is_opened_without_torch():
    script = "import sys, ma2mi; print('load_model' in dir(ma2mi), 'torch' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert output.stdout.split() == ["True", "False"]
