"""Three full-sized fakes together are MEGC 2019; a corpus can become a manifest."""

from collections import Counter

import pytest

pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

from ma2mi.datasets import open_corpus
from ma2mi.datasets.composite import Composite
from ma2mi.datasets.convert import write_manifest
from ma2mi.errors import CorpusError
from ma2mi.evaluation.labels import DROPPED
from ma2mi.evaluation.protocols import protocol
from ma2mi.testing import write_fake


def test_full_sized_fakes_give_the_counts_of_megc2019(tmp_path):
    megc = protocol("megc2019")
    composite = Composite(
        [
            open_corpus(name, write_fake(name, tmp_path / name, full_size=True, pictures=False))
            for name in megc.databases
        ]
    )
    assert len(composite.expressions()) == 255 + 159 + 164
    kept = [
        e
        for e in composite.expressions()
        if not megc.leaves_out(e.recording.corpus, e.subject, e.recording.name.split("/")[-1])
    ]
    labels, _ = megc.label_set.encode([e.emotion for e in kept], [e.recording.corpus for e in kept])
    used = [(e, label) for e, label in zip(kept, labels, strict=True) if label != DROPPED]
    assert len(used) == megc.clips == 442
    assert len({e.recording.person for e, _ in used}) == megc.subjects == 68
    assert [count for _, count in sorted(Counter(label for _, label in used).items())] == [
        250,
        109,
        83,
    ]
    by_database = Counter(e.recording.corpus for e, _ in used)
    assert by_database == {"casme2": 145, "samm": 133, "smic": 164}
    assert sum("is no apex" in finding.what for finding in composite.findings()) == 1 + 3


def test_a_composite_needs_different_corpora(tmp_path):
    corpus = open_corpus("smic", write_fake("smic", tmp_path / "smic", pictures=False))
    with pytest.raises(CorpusError, match="names a corpus twice: smic, smic"):
        Composite([corpus, corpus])
    with pytest.raises(CorpusError, match="names no corpus"):
        Composite([])


def test_the_cameras_of_smic_share_people_but_no_clips(tmp_path):
    corpora = [
        open_corpus(name, write_fake(name, tmp_path / name, full_size=True, pictures=False))
        for name in ("smic", "smic-vis")
    ]
    fast, usual = ({r.person for r in corpus.recordings()} for corpus in corpora)
    assert usual < fast
    keys = [r.key for corpus in corpora for r in corpus.recordings()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("folder", ["inside", "elsewhere"])
def test_a_corpus_becomes_a_manifest_and_back(tmp_path, folder):
    root = write_fake("casme2", tmp_path / "inside", fault="apex-slash", pictures=False)
    corpus = open_corpus("casme2", root)
    file = tmp_path / folder / "mine.csv"
    assert write_manifest(corpus, file) == 9
    back = open_corpus("manifest", file).expressions()
    told = [
        (e.recording.path.resolve(), e.subject, e.onset, e.apex, e.offset, e.emotion)
        for e in corpus.expressions()
    ]
    assert told == [
        (e.recording.path.resolve(), e.subject, e.onset, e.apex, e.offset, e.emotion) for e in back
    ]
    assert [e.action_units for e in back] == [e.action_units for e in corpus.expressions()]
    assert back[1].apex is None
    assert {e.recording.fps for e in back} == {200}


def test_a_manifest_may_be_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    root = write_fake("smic", tmp_path / "smic", pictures=False)
    write_manifest(open_corpus("smic", root), tmp_path / "smic.parquet")
    rows = parquet.read_table(tmp_path / "smic.parquet").to_pylist()
    assert len(rows) == 9
    assert rows[0]["onset"] == 0
    assert rows[0]["apex"] is None
    with pytest.raises(CorpusError, match=r"Name it \.csv or \.parquet"):
        write_manifest(open_corpus("smic", root), tmp_path / "smic.txt")
