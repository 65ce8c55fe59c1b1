"""Every registered corpus: a fake that passes, reads, and tells each planted fault by its place."""

import warnings

import pytest

pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

from ma2mi.datasets import CORPORA, open_corpus
from ma2mi.datasets.check import check_corpus
from ma2mi.datasets.coded import CodedCorpus
from ma2mi.datasets.page import info_lines, markdown_page
from ma2mi.errors import CorpusError
from ma2mi.formats.findings import LeftOut
from ma2mi.testing import FAKES, FAULTS, write_fake

NAMES = sorted(CORPORA)
CODED = [name for name in NAMES if issubclass(CORPORA[name], CodedCorpus)]

# fault: severity, what the place tells, what the message tells
TOLD = {
    "missing-sheet": ("error", "", "sheet"),
    "other-version": ("error", "row", "column"),
    "missing-frames": ("", "", "missing"),
    "apex-slash": ("warning", "row", "'/' is no apex"),
    "au-side": ("note", "row", "one side of the face (4+L10)"),
    "duplicated-row": ("warning", "row", "repeats row"),
    "wrong-padding": ("note", "", "is not named as in"),
    "truncated-image": ("error", "", "is truncated"),
}


def test_every_corpus_has_a_fake_and_a_data_sheet():
    assert set(FAKES) == set(CORPORA)
    assert set(TOLD) == set(FAULTS)
    page = markdown_page()
    for name in NAMES:
        about = CORPORA[name].about
        assert all((about.title, about.what, about.apply, about.licence, about.citation))
        assert about.layouts
        assert f"## {name}\n" in page
        if about.emotions:
            assert sum(about.emotions.values()) == about.clips
        assert dict(info_lines(CORPORA[name]))["corpus"].endswith(f"({name})")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small fake of each corpus, written once."""
    written = {}

    def fake(name):
        if name not in written:
            written[name] = write_fake(name, tmp_path_factory.mktemp(name) / "fake")
        return written[name]

    return fake


@pytest.mark.parametrize("name", NAMES)
def test_a_fake_passes_and_reads(name, whole):
    found = check_corpus(name, whole(name))
    assert found.passed, found.items
    corpus = open_corpus(name, whole(name))
    recordings, expressions = corpus.recordings(), corpus.expressions()
    assert len({r.key for r in recordings}) == len(recordings)
    assert len({e.key for e in expressions}) == len(expressions)
    assert {e.recording for e in expressions} <= set(recordings)
    assert found.clips == len(expressions or recordings)
    for e in expressions:
        assert 0 <= e.onset <= (e.onset if e.apex is None else e.apex) <= e.offset
        assert e.recording.corpus and e.subject
    assert corpus.expressions() == open_corpus(name, whole(name)).expressions()


@pytest.mark.parametrize("name", CODED)
def test_a_fake_is_the_same_twice(name, whole, tmp_path):
    painted = name == "casme2"  # the painter is the same for all
    again = write_fake(name, tmp_path / "again", pictures=painted)
    files = [f for f in sorted(again.rglob("*")) if f.is_file()]
    assert len(files) == sum(f.is_file() for f in whole(name).rglob("*"))
    for file in files:
        twin = whole(name) / file.relative_to(again)
        assert twin.is_file()
        if painted or file.suffix in (".xlsx", ".csv"):
            assert file.read_bytes() == twin.read_bytes(), file


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n in NAMES for f in FAKES[n].faults])
def test_a_planted_fault_is_told(name, fault, whole, tmp_path):
    root = write_fake(name, tmp_path / "fake", fault=fault, pictures=fault == "truncated-image")
    if fault == "truncated-image":
        items = check_corpus(name, root).items
    else:  # without pictures: what can be told from sheet and names
        items = [
            item for item in check_corpus(name, root).items if "has zero bytes" not in item.what
        ]
    severity, place, message = TOLD[fault]
    told = [
        item
        for item in items
        if message in item.what and place in item.place and severity in ("", item.severity)
    ]
    assert told, items
    assert str(root) in told[0].file
    assert told[0].hint


@pytest.mark.parametrize("name", [n for n in CODED if "missing-frames" in FAKES[n].faults])
def test_a_missing_frame_shifts_no_other(name, whole, tmp_path):
    """Every expression of the spoilt copy shows the same files as in the whole one."""

    def files(root):
        corpus = open_corpus(name, root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeftOut)
            expressions = corpus.expressions()
        return {
            (e.recording.name, corpus.index(e.recording.name).files[e.onset].name): [
                corpus.index(e.recording.name).files[at].name
                for at in (e.onset, e.apex if e.apex is not None else e.onset, e.offset)
            ]
            for e in expressions
        }

    spoilt = write_fake(name, tmp_path / "fake", fault="missing-frames", pictures=False)
    before, after = files(whole(name)), files(spoilt)
    assert after.items() <= before.items()
    assert len(after) >= len(before) - 1


@pytest.mark.parametrize(
    ("name", "layout", "version"),
    [
        (n, layout, version)
        for n in CODED
        for layout in FAKES[n].layouts
        for version in FAKES[n].versions
        if layout != FAKES[n].layouts[0] or version != FAKES[n].versions[0]
    ],
)
def test_other_layouts_and_versions_read_alike(name, layout, version, whole, tmp_path):
    root = write_fake(name, tmp_path / "fake", layout=layout, version=version, pictures=False)
    corpus = open_corpus(name, root)
    assert corpus.layout.name == layout
    usual = open_corpus(name, whole(name)).expressions()
    assert [
        (e.subject, e.emotion, e.offset - e.onset, e.action_units) for e in corpus.expressions()
    ] == [(e.subject, e.emotion, e.offset - e.onset, e.action_units) for e in usual]


def test_what_cannot_be_faked_is_named(tmp_path):
    with pytest.raises(CorpusError, match="has no fake"):
        write_fake("nobody", tmp_path / "a")
    with pytest.raises(CorpusError, match=r"has no fault 'rain'\. It has missing-sheet"):
        write_fake("casme2", tmp_path / "a", fault="rain")
    with pytest.raises(CorpusError, match=r"has no layout 'flat'\. It has raw, cropped"):
        write_fake("casme2", tmp_path / "a", layout="flat")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(CorpusError, match="is not empty"):
        write_fake("casme2", tmp_path / "full")
