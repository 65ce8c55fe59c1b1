"""Traps of single corpora of micro-expressions, beyond what the contract asks of all."""

import json
import warnings
from collections import Counter
from fractions import Fraction

import pytest

pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

import openpyxl

from ma2mi.datasets import open_corpus
from ma2mi.datasets.check import check_corpus
from ma2mi.datasets.dfme import Dfme
from ma2mi.errors import CorpusError
from ma2mi.evaluation.labels import label_set
from ma2mi.evaluation.splits import loso
from ma2mi.formats.findings import LeftOut
from ma2mi.testing import write_fake
from ma2mi.testing.sheets import write_table, write_tabs


@pytest.fixture
def fake(tmp_path):
    """Writes a small fake without pictures and returns its root."""

    def write(name, **how):
        return write_fake(name, tmp_path / name, pictures=False, **how)

    return write


def edit(root, pattern, change):
    """Change cells of a sheet in place: ``change`` gets the openpyxl book."""
    (file,) = root.glob(pattern)
    book = openpyxl.load_workbook(file)
    change(book)
    book.save(file)
    return file


def told(corpus):
    return [str(finding) for finding in corpus.findings()]


def frames(folder, numbers, suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}{suffix}").touch()


def read(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOut)
        return corpus.expressions()


# -- who is who ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("samm", "samm-lv", "samm-lv-macro"),
        ("casme-sq", "casme-sq-macro"),
        ("casme3", "casme3-macro"),
    ],
)
def test_parts_of_a_corpus_show_the_same_people(fake, names):
    corpora = [open_corpus(name, fake(name)) for name in names]
    people = [{e.recording.person for e in corpus.expressions()} for corpus in corpora]
    assert all(one == people[0] for one in people[1:])
    assert all(corpus.about.same_subjects == names[0] for corpus in corpora[1:])
    # Leaving one subject out leaves out all that the person shows, in every part.
    marked = [e for corpus in corpora for e in corpus.expressions()]
    splits = loso([e.subject for e in marked], [e.recording.corpus for e in marked])
    assert len(splits) == len(people[0])


def test_long_videos_and_clips_of_samm_share_no_key(fake):
    clips, videos = (
        {r.key for r in open_corpus(name, fake(name)).recordings()} for name in ("samm", "samm-lv")
    )
    assert clips.isdisjoint(videos)


def test_other_parts_and_generations_show_other_people(fake):
    names = ("casme", "casme2", "casme-sq", "casme3", "casme3-c", "mmew", "4dme", "dfme")
    people = [{r.person for r in open_corpus(name, fake(name)).recordings()} for name in names]
    assert len(set.union(*people)) == sum(map(len, people))


# -- CASME ---------------------------------------------------------------------------------------


def test_casme_pads_some_folders_and_not_others(fake):
    corpus = open_corpus("casme", fake("casme"))
    first, *_, last = corpus.expressions()
    at = [corpus.index(e.recording.name).files[e.onset].stem for e in (first, last)]
    assert at == ["EP02_1-5", "EP05_4-005"]
    assert corpus.findings() == []


# -- CAS(ME)² ------------------------------------------------------------------------------------


def test_one_sheet_of_casme_sq_codes_both_kinds(fake):
    root = fake("casme-sq")
    micro, macro = (open_corpus(name, root) for name in ("casme-sq", "casme-sq-macro"))
    assert {e.kind for e in micro.expressions()} == {"micro"}
    assert {e.kind for e in macro.expressions()} == {"macro"}
    (file,) = root.glob("*.xlsx")
    rows = openpyxl.load_workbook(file).worksheets[0].max_row
    assert len(micro.expressions()) + len(macro.expressions()) == rows == 15
    assert micro.recordings() == macro.recordings()
    assert len(micro.recordings()) == 6  # two expressions in one video


@pytest.mark.parametrize("name", ["casme-sq", "casme3", "samm-lv"])
def test_a_long_video_without_an_expression_is_no_finding(name, fake):
    root = fake(name)
    corpus = open_corpus(name, root)
    folder = next(iter(corpus.folders.values()))
    twin = folder.parts[len(root.parts) :]
    place = 1 if name == "samm-lv" else 2
    empty = {"casme-sq": "15_0909empty", "casme3": "m", "samm-lv": "006_7"}[name]
    frames(root.joinpath(*twin[:place], empty, *twin[place + 1 :]), range(1, 9))
    again = open_corpus(name, root)
    assert len(again.recordings()) == len(corpus.recordings()) + 1
    assert again.findings() == corpus.findings()


def test_casme_sq_reads_video_numbers_that_a_spreadsheet_shortened(fake):
    root = fake("casme-sq")
    before = open_corpus("casme-sq", root).expressions()

    def shorten(book):
        page = book["naming rule2"]
        for row in page.iter_rows():
            row[0].value = int(row[0].value)

    edit(root, "*.xlsx", shorten)
    assert open_corpus("casme-sq", root).expressions() == before


def test_names_that_casme_sq_does_not_explain_are_told(fake):
    root = fake("casme-sq")

    def change(book):
        page = book.worksheets[0]
        page["B1"], page["A3"], page["H4"] = "joy7_1", 99, "expression"
        page["D6"], page["E9"] = 0, 0

    edit(root, "*.xlsx", change)
    corpus = open_corpus("casme-sq", root)
    messages = told(corpus)
    for wanted in (
        "row 1, column B: 'joy7' is not in tab naming rule2",
        "row 3, column A: '99' is not in tab naming rule1",
        "row 4, column H: 'expression' is no kind",
        "row 9, column E: 0 lies before the onset",
    ):
        assert any(wanted in message for message in messages), (wanted, messages)
    assert sum(e.apex is None for e in read(corpus)) == 1  # an apex of 0 is none


# -- CAS(ME)³ ------------------------------------------------------------------------------------

_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]


@pytest.fixture
def casme3(tmp_path):
    """A copy of two videos with the rows given."""

    def write(*rows):
        frames(tmp_path / "part_A" / "spNo.1" / "a" / "color", range(8, 60))
        frames(tmp_path / "part_A" / "spNO.216" / "e" / "color", range(1, 40))
        name = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
        write_tabs(tmp_path / name, {"label": [_HEADER, *rows]})
        return tmp_path

    return write


def test_a_video_of_casme3_holds_many_expressions(casme3):
    root = casme3(
        ["spNO.1", "a", 10, 14, 20, "2+1", 1, "others"],
        ["spNO.1", "a", 30, 35, 50, "R12", 2, "Others"],
    )
    first, second = open_corpus("casme3", root).expressions()
    assert first.recording is second.recording
    assert first.recording.person == "casme3/spNO.1"  # the folder says spNo
    key = first.recording.key
    assert key.startswith("casme3_spNO.1_spNO.1-a")
    assert (first.key, second.key) == (f"{key}@2", f"{key}@22")
    assert (first.onset, first.apex, first.offset) == (2, 6, 12)  # frames 1 to 7 are absent
    assert [e.action_units for e in (first, second)] == [("2", "1"), ("R12",)]
    labels, _ = label_set("casme3-7").encode([first.emotion, second.emotion])
    assert len(set(labels)) == 1


def test_the_frame_0_of_casme3_is_repaired_and_told(casme3):
    root = casme3(["spNO.216", "e", 0, 0, 20, 4, 1, "disgust"])
    corpus = open_corpus("casme3", root)
    (repaired,) = corpus.expressions()
    assert (repaired.onset, repaired.apex, repaired.offset) == (0, 0, 19)
    assert sum("is read as 1 (repair: " in message for message in told(corpus)) == 2
    plain = type(corpus)(root, repairs=False)
    with pytest.warns(LeftOut, match="frame 0 is missing; the folder holds 1 to 39"):
        assert plain.expressions() == []


def test_the_frame_0_is_repaired_in_the_layout_of_clips_too(tmp_path):
    frames(tmp_path / "Part_A_ME_clip" / "frame" / "spNO.216_e_0", range(1, 21))
    row = ["spNO.216", "e", 0, 0, 20, 4, 1, "disgust"]
    write_table(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [_HEADER, row])
    (expression,) = open_corpus("casme3", tmp_path).expressions()
    assert (expression.onset, expression.offset) == (0, 19)


def test_an_offset_beyond_the_video_is_told_with_what_there_is(casme3):
    root = casme3(["spNO.1", "a", 12, 20, 3460, 4, 1, "fear"])
    (message,) = [m for m in told(open_corpus("casme3", root)) if "3460" in m]
    assert "row 2, column Offset: frame 3460 is missing; the folder holds 8 to 59" in message


def test_casme3_tells_what_its_sheet_means_by_micro(casme3):
    root = casme3(
        ["spNO.1", "a", 10, 10, 20, 4, 1, "fear"],
        ["spNO.1", "a", 30, 35, 50, 4, 2, "fear"],
    )
    messages = told(open_corpus("casme3", root))
    assert any("in 1 of 2 rows the apex is the onset" in message for message in messages)
    assert any("1 of 2 expressions last longer than half a second" in m for m in messages)


def test_part_c_of_casme3_has_no_apex_and_a_chinese_comma(fake):
    first, *others = open_corpus("casme3-c", fake("casme3-c")).expressions()
    assert first.action_units == ("1", "2")
    assert first.recording.name == first.subject == "01"
    assert {e.apex for e in (first, *others)} == {None}


# -- SAMM Long Videos ----------------------------------------------------------------------------


def test_emotions_of_samm_lv_come_from_samm(fake):
    root = fake("samm-lv")
    joined = open_corpus("samm-lv", root).expressions()
    assert Counter(e.emotion.lower() for e in joined) == dict.fromkeys(
        ("happiness", "surprise", "disgust"), 3
    )
    (emotions,) = root.glob("SAMM_Micro*.xlsx")
    emotions.unlink()
    alone = open_corpus("samm-lv", root)
    assert [(e.key, e.emotion) for e in alone.expressions()] == [(e.key, "") for e in joined]
    assert any("has no emotions" in message for message in told(alone))
    assert any("Put SAMM_Micro_FACS_Codes_v2.xlsx there" in m for m in told(alone))


def test_one_sheet_of_samm_lv_codes_both_kinds(fake):
    root = fake("samm-lv", version="2")
    micro, macro = (open_corpus(name, root) for name in ("samm-lv", "samm-lv-macro"))
    assert (len(micro.expressions()), len(macro.expressions())) == (9, 6)
    assert {e.kind for e in macro.expressions()} == {"macro"}
    assert {e.apex for e in macro.expressions()} == {None}  # -1 in the sheet
    assert micro.version(micro.sheet) == "2"


def test_a_type_that_samm_lv_does_not_know_is_told(fake):
    root = fake("samm-lv")

    def change(book):
        book.worksheets[0]["H12"] = "Mikro"
        book.worksheets[0]["B14"] = "video 6"

    edit(root, "SAMM_Long*.xlsx", change)
    messages = told(open_corpus("samm-lv", root))
    assert any("row 12, column Type: 'mikro' is no type" in message for message in messages)
    assert any("row 14, column Filename: 'video 6' is no name" in m for m in messages)


# -- MMEW ----------------------------------------------------------------------------------------


def test_wrong_apexes_and_offsets_of_mmew_are_told_not_guessed(fake):
    root = fake("mmew")

    def change(book):
        book.worksheets[0]["D2"] = 400
        book.worksheets[0]["E3"] = 400

    edit(root, "*.xlsx", change)
    corpus = open_corpus("mmew", root)
    assert len(read(corpus)) == 12 - 2
    messages = told(corpus)
    assert any("row 2, column ApexFrame: 400 lies outside" in message for message in messages)
    assert any("row 3, column OffsetFrame: frame 400 is missing" in message for message in messages)


def test_the_sheet_of_mmew_names_the_emotion_not_the_folder(fake):
    others = [e for e in open_corpus("mmew", fake("mmew")).expressions() if e.emotion == "others"]
    assert {e.recording.path.parent.name for e in others} == {"repression"}


# -- 4DME ----------------------------------------------------------------------------------------


def test_4dme_has_clips_of_several_emotions_and_people_of_several_sessions(fake):
    corpus = open_corpus("4dme", fake("4dme"))
    first, second, *_ = corpus.expressions()
    assert first.emotion == "negative+repression"
    assert "45" not in first.action_units  # it was static
    assert [e.recording.path.parent.name for e in (first, second)] == ["S13_1st", "S13_2nd"]
    assert first.subject == second.subject == "S13"


def test_4dme_folders_may_count_from_their_own_first_frame(fake):
    root = fake("4dme")
    corpus = open_corpus("4dme", root)
    theirs, own = corpus.expressions()[:2]
    files = [corpus.index(e.recording.name).files for e in (theirs, own)]
    assert [one[0].stem for one in files] == ["204", "1"]
    for expression, held in zip((theirs, own), files, strict=True):
        assert (expression.onset, expression.offset) == (0, len(held) - 1)
    files[1][3].unlink()  # now it holds too few to know which is which
    assert any("is missing; the folder holds 1 to" in m for m in told(open_corpus("4dme", root)))


# -- DFME ----------------------------------------------------------------------------------------


def test_every_clip_of_dfme_has_its_own_frame_rate_and_every_sheet_is_read(fake):
    root = fake("dfme")
    corpus = open_corpus("dfme", root)
    rates = Counter(e.recording.fps for e in corpus.expressions())
    assert rates == {Fraction(200): 3, Fraction(300): 3, Fraction(500): 3}
    assert len(list(root.glob("*.csv"))) == 3
    assert {e.subject for e in corpus.expressions()} == {"sub0001", "sub0002", "sub0003"}


def test_columns_of_dfme_can_be_mapped(fake):
    root = fake("dfme")
    before = open_corpus("dfme", root).expressions()
    for file in root.glob("*.csv"):
        text = file.read_text().replace("onset", "start").replace("filename", "sample")
        file.write_text(text)
    with pytest.raises(CorpusError, match=r"has no column .*clip.*onset"):
        open_corpus("dfme", root).expressions()
    mapping = {"onset": "Start", "clip": "sample"}
    assert Dfme(root, columns=mapping).expressions() == before
    (root / "columns.json").write_text(json.dumps(mapping))
    assert open_corpus("dfme", root).expressions() == before
    for wrong in ('{"begin": "start"}', "[]", "{"):
        (root / "columns.json").write_text(wrong)
        with pytest.raises(CorpusError) as caught:
            open_corpus("dfme", root)
        assert caught.value.where == str(root / "columns.json")
        assert caught.value.hint


def test_a_name_that_fits_two_clips_of_dfme_is_told(tmp_path):
    for part in ("train", "test"):
        frames(tmp_path / part / "sub0001" / "01", range(1, 30))
    header = ["filename", "fps", "onset", "apex", "offset", "emotion"]
    rows = [["sub0001/01", 200, 2, 5, 9, "fear"], ["test/sub0001/01", 500, 3, 5, 9, "fear"]]
    write_table(tmp_path / "all.csv", [header, *rows])
    corpus = open_corpus("dfme", tmp_path)
    (expression,) = read(corpus)
    assert (expression.recording.name, expression.subject) == ("test/sub0001/01", "sub0001")
    (message,) = [m for m in told(corpus) if "may be" in m]
    assert "row 2, column filename: sub0001/01 may be test/sub0001/01 or train" in message


# -- full size -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "labels", "clips", "people"),
    [
        (
            "casme3",
            "casme3-7",
            {
                "disgust": 250,
                "surprise": 187,
                "others": 161,
                "fear": 86,
                "anger": 64,
                "sadness": 57,
                "happiness": 55,
            },
            94,
        ),
        ("mmew", "mmew-4", {"happiness": 36, "surprise": 89, "disgust": 72, "others": 66}, 30),
        ("samm-lv", "samm-3", {"negative": 92, "positive": 26, "surprise": 15}, 29),
    ],
)
def test_full_sized_fakes_have_the_published_counts(tmp_path, name, labels, clips, people):
    root = write_fake(name, tmp_path / "fake", full_size=True, pictures=False)
    expressions = open_corpus(name, root).expressions()
    chosen = label_set(labels)
    encoded, _ = chosen.encode([e.emotion for e in expressions])
    assert {c: int((encoded == i).sum()) for i, c in enumerate(chosen.classes)} == clips
    assert len({e.recording.person for e in expressions}) == people
    assert not any("published counts" in item.what for item in check_corpus(name, root).items)
