"""MEGC2019's flow images: the layout is read once a sample, and every entry runs on it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fakes.megc2019_flow import samples, write_tree
from ma2mi.clips.pairs import read_flow_images
from ma2mi.datasets import open_corpus
from ma2mi.datasets.megc2019_flow import database_of
from ma2mi.errors import CorpusError
from ma2mi.experiment import Entry, label_pairs, run_entry


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("megc"), scale=0.2)


@pytest.fixture(scope="module")
def labelled(tree, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    corpus = open_corpus("megc2019-flow", tree)
    return label_pairs(corpus, "megc2019", store)


def test_the_whole_fake_has_the_published_counts():
    everything = list(samples())
    assert len(everything) == 442
    assert len({subject for subject, *_ in everything}) == 68
    assert Counter(label for _, label, *_ in everything) == {0: 250, 1: 109, 2: 83}


def test_each_sample_is_read_once(tree):
    expressions = open_corpus("megc2019-flow", tree).expressions()
    images = list(tree.rglob("*.png"))
    assert len(expressions) == len(list(samples(0.2)))
    assert len(images) > 5 * len(expressions)  # everybody's folder repeats the others' samples
    assert len({e.key for e in expressions}) == len(expressions)


def test_channels_are_u_v_strain(tree):
    expressions = open_corpus("megc2019-flow", tree).expressions()
    pairs = read_flow_images(expressions)
    by_key = {name.strip(): image for _, _, name, image in samples(0.2)}
    image = by_key[expressions[0].recording.path.stem.strip()]
    action = pairs.action[0].astype(np.float64)
    for channel in range(3):
        shown = np.corrcoef(action[..., channel].ravel(), image[..., channel].ravel())[0, 1]
        assert shown > 0.999


@pytest.mark.parametrize(
    ("subject", "database"), [("sub07", "casme2"), ("s3", "smic"), ("006", "samm")]
)
def test_a_subject_tells_its_database(subject, database):
    assert database_of(subject) == database


def test_wrong_folders_are_told(tmp_path):
    with pytest.raises(CorpusError, match="three_norm_u_v_os"):
        open_corpus("megc2019-flow", tmp_path).expressions()
    with pytest.raises(CorpusError, match="of no known database"):
        database_of("person-1")


CONTROLS = ["flow-svm", "flow-pca", "pixels-rbf", "random-ridge"]
MODELS = ["majority", *CONTROLS, "ststnet", "off-apexnet"]


def score(name, labelled, **wishes):
    result = run_entry(Entry(name, **{"epochs": 2, **wishes}), labelled)
    return result.scores()["mean"]


@pytest.mark.parametrize("name", MODELS)
def test_every_entry_runs(name, labelled):
    assert 0 <= score(name, labelled)["uf1"] <= 1


def test_miacnet_reads_flow_without_faces(labelled):
    assert 0 <= score("miacnet-tiny", labelled, frozen=True)["uf1"] <= 1


#: What is learned from scratch is small here: 6 epochs, few pixels.
NETWORKS = [
    pytest.param("ststnet", {"epochs": 6, "size": 28}, id="ststnet"),
    *(
        pytest.param(name, {"epochs": 6, "size": size}, marks=pytest.mark.slow, id=name)
        for name, size in (("off-apexnet", 28), ("miacnet-tiny", 32))
    ),
]
LEARNERS = [
    *(pytest.param(name, {}, id=name) for name in CONTROLS),
    pytest.param("miacnet-tiny", {"frozen": True, "size": 48}, id="miacnet-tiny frozen"),
    *NETWORKS,
]


@pytest.mark.parametrize(("name", "wishes"), LEARNERS[1:])  # 88 images are too few for the SVM
def test_movement_is_learned(name, wishes, labelled):
    assert score(name, labelled, **wishes)["uar"] > 0.45


@pytest.mark.parametrize(("name", "wishes"), LEARNERS)
def test_shuffled_labels_score_chance(name, wishes, labelled):
    rng = np.random.default_rng(0)
    reached = []
    for _ in range(3):
        shuffled = rng.permutation(labelled.labels)
        other = replace(labelled, labels=shuffled)
        reached.append(score(name, other, **wishes)["uar"])
    assert abs(np.mean(reached) - 1 / 3) < 0.1


@pytest.mark.parametrize(("name", "wishes"), [("majority", {}), *LEARNERS])
def test_labels_that_follow_only_the_person_score_chance(name, wishes, labelled):
    people = np.unique(labelled.pairs.subjects)
    reached = []
    for seed in range(3):
        of_person = np.random.default_rng(seed).permutation(np.arange(len(people)) % 3)
        labels = of_person[np.searchsorted(people, labelled.pairs.subjects)].astype(np.int64)
        other = replace(labelled, labels=labels)
        reached.append(score(name, other, **wishes)["uar"])
    assert np.mean(reached) < 1 / 3 + 0.1
