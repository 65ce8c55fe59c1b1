"""Entries of a benchmark: what their record says of the weights that they come from."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from ma2mi.cli.contest import Contestant, _arranged  # noqa: E402
from ma2mi.cli.steps import Marked  # noqa: E402
from ma2mi.clips.pairs import PairSettings  # noqa: E402
from ma2mi.errors import EvaluationError, SettingsError  # noqa: E402
from ma2mi.evaluation.benchmark import run_benchmark  # noqa: E402
from ma2mi.models.catalog import build_model  # noqa: E402
from ma2mi.training.checkpoint import save_model  # noqa: E402

SMALL = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}


@pytest.fixture
def folders(tmp_path):
    """Weights of two networks that differ in one setting, both from the same seed."""
    made = {}
    for name, center in (("one", True), ("other", False)):
        torch.manual_seed(0)
        settings = {**SMALL, "center": center}
        config = {"model": "miacnet-tiny", "classes": 2, "settings": settings, "size": 64}
        save_model(tmp_path / name, build_model("miacnet-tiny", 2, **settings), config)
        made[name] = tmp_path / name
    assert len({(folder / "model.safetensors").read_bytes() for folder in made.values()}) == 1
    return made


@pytest.fixture
def marked(pairs, labels):
    return Marked(pairs, labels, ["c"] * len(pairs), ("a", "b"), "hash of the clips", ())


def run(contestant, marked, out):
    learner, clips, options = _arranged(contestant, marked, "c", PairSettings(), (0,))
    return run_benchmark(learner, clips, protocol="loso", out=out, **options)


@pytest.mark.parametrize("role", ["init", "like"])
def test_weights_and_their_config_are_part_of_the_record(marked, folders, tmp_path, role):
    """Equal weights under another config are another network, random ones as well."""

    def entry(name):
        return Contestant("miacnet-tiny", **{role: folders[name]}, frozen=True, size=64)

    run(entry("one"), marked, tmp_path / "run")
    run(entry("one"), marked, tmp_path / "run")
    what = "weights_sha256" if role == "init" else "like_sha256"
    with pytest.raises(EvaluationError, match=rf"other settings.*settings\.run\.{what} was"):
        run(entry("other"), marked, tmp_path / "run")


def test_a_misspelt_branch_is_refused(marked, folders):
    for changes in ({}, {"like": folders["one"]}):
        entry = Contestant("miacnet-tiny", branches="actoin", frozen=True, size=64, **changes)
        with pytest.raises(SettingsError, match="'both', 'position' or 'action'"):
            run(entry, marked, None)


def test_random_numbers_of_the_caller_stay(marked, folders):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    entry = Contestant("miacnet-tiny", like=folders["one"], frozen=True, size=64)
    _arranged(entry, marked, "c", PairSettings(), (0, 1))
    assert torch.equal(torch.rand(2), wanted)
