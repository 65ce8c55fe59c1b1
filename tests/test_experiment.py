"""Entries of a benchmark: what their record says of the weights that they come from."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from ma2mi.clips.pairs import PairSettings  # noqa: E402
from ma2mi.errors import EvaluationError, SettingsError  # noqa: E402
from ma2mi.evaluation.protocols import protocol  # noqa: E402
from ma2mi.experiment import Entry, LabelledPairs, run_entry  # noqa: E402
from ma2mi.experiment.runs import arrange  # noqa: E402
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
def labelled(pairs, labels):
    return LabelledPairs(
        pairs,
        labels,
        ["c"] * len(pairs),
        ("a", "b"),
        "hash of the clips",
        (),
        "c",
        protocol("loso"),
        PairSettings(),
    )


@pytest.mark.parametrize("role", ["init", "like"])
def test_weights_and_their_config_are_part_of_the_record(labelled, folders, tmp_path, role):
    """Equal weights under another config are another network, random ones as well."""

    def entry(name):
        return Entry("miacnet-tiny", **{role: folders[name]}, frozen=True, size=64)

    run_entry(entry("one"), labelled, tmp_path / "run")
    run_entry(entry("one"), labelled, tmp_path / "run")
    what = "weights_sha256" if role == "init" else "like_sha256"
    with pytest.raises(EvaluationError, match=rf"other settings.*settings\.run\.{what} was"):
        run_entry(entry("other"), labelled, tmp_path / "run")


def test_a_misspelt_branch_is_refused(labelled, folders):
    for changes in ({}, {"like": folders["one"]}):
        entry = Entry("miacnet-tiny", branches="actoin", frozen=True, size=64, **changes)
        with pytest.raises(SettingsError, match="'both', 'position' or 'action'"):
            run_entry(entry, labelled, None)


def test_random_numbers_of_the_caller_stay(labelled, folders):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    entry = Entry("miacnet-tiny", like=folders["one"], frozen=True, size=64)
    arrange(entry, labelled, (0, 1))
    assert torch.equal(torch.rand(2), wanted)
