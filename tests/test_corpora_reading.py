"""Sheets, action units, frame numbers and repairs, as copies of corpora really hold them."""

import csv
import json
import os
import warnings

import pytest

pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

import cv2
import numpy as np
import openpyxl

from ma2mi.datasets import open_corpus
from ma2mi.datasets.casme2 import Casme2
from ma2mi.datasets.check import check_corpus
from ma2mi.datasets.repairs import COLUMNS as REPAIR_COLUMNS
from ma2mi.datasets.repairs import load_repairs
from ma2mi.errors import CorpusError, VideoError
from ma2mi.evaluation.labels import encode_action_units
from ma2mi.formats.action_units import parse_units
from ma2mi.formats.findings import LeftOut
from ma2mi.formats.sheets import find_sheet, read_sheet
from ma2mi.testing import write_fake
from ma2mi.testing.sheets import write_table
from ma2mi.video import read_frames
from ma2mi.video.folders import index_frames, picture_size

COLUMNS = {"subject": ("Subject",), "onset": ("OnsetFrame", "Onset Frame"), "note": ("Notes",)}


# -- sheets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_a_header_is_found_below_text_and_between_blank_columns(tmp_path, suffix):
    file = tmp_path / f"sheet{suffix}"
    write_table(
        file,
        [
            ["Some words"],
            [],
            [" subject", None, "ONSET_FRAME"],
            [6, None, 12],
            [],
            ["007", "", 3.0],
        ],
    )
    sheet = read_sheet(file, COLUMNS, optional=("note",))
    assert [row.number for row in sheet.rows] == [4, 6]
    assert [row.text("subject") for row in sheet.rows] == ["6", "007"]
    first, second = sheet.rows
    assert (first.whole("onset"), second.frame("onset")) == (12, 3)
    assert sheet.columns == {"subject", "onset"}
    assert first.where("onset") == f"{file}, row 4, column ONSET_FRAME"


@pytest.mark.parametrize("cell", [None, "/", "-1", -1, " / "])
def test_an_unmarked_frame_is_none(tmp_path, cell):
    write_table(tmp_path / "s.xlsx", [["Subject", "OnsetFrame"], [1, cell]])
    (row,) = read_sheet(tmp_path / "s.xlsx", COLUMNS, optional=("note",)).rows
    assert row.frame("onset") is None


@pytest.mark.parametrize("cell", ["12a", 3.5, "img3"])
def test_what_is_no_frame_names_file_row_and_column(tmp_path, cell):
    write_table(tmp_path / "s.xlsx", [["Subject", "OnsetFrame"], [1, cell]])
    (row,) = read_sheet(tmp_path / "s.xlsx", COLUMNS, optional=("note",)).rows
    with pytest.raises(CorpusError, match="is no whole number") as caught:
        row.frame("onset")
    assert caught.value.where == f"{tmp_path / 's.xlsx'}, row 2, column OnsetFrame"
    assert repr(str(cell)) in caught.value.what
    assert caught.value.hint


def test_a_missing_column_tells_what_the_header_is(tmp_path):
    write_table(tmp_path / "s.xlsx", [["text"], ["Subject", "Begin"], [1, 2]])
    message = "no column OnsetFrame or Onset Frame; its header is Subject, Begin"
    with pytest.raises(CorpusError, match=message) as caught:
        read_sheet(tmp_path / "s.xlsx", COLUMNS, optional=("note",))
    assert caught.value.where.endswith("row 2")


def test_a_sheet_without_a_header_is_read_by_its_order(tmp_path):
    write_table(tmp_path / "s.xlsx", [[1, "x", 30], [2, "y", 40]])
    sheet = read_sheet(
        tmp_path / "s.xlsx", {"subject": (), "_skipped": (), "onset": ()}, header=False
    )
    assert [row.whole("onset") for row in sheet.rows] == [30, 40]
    assert sheet.rows[0].where("onset").endswith("row 1, column C")


def test_damaged_missing_and_locked_sheets_are_told(tmp_path):
    (tmp_path / "~$codes.xlsx").write_bytes(b"lock")
    with pytest.raises(CorpusError, match=r"no annotation sheet\. Put codes\.xlsx or \*codes\*"):
        find_sheet(tmp_path, ("codes.xlsx", "*codes*.xlsx"))
    deep = tmp_path / "a" / "b" / "codes.xlsx"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"no zip")
    assert find_sheet(tmp_path, ("codes*.xlsx",)) == deep
    with pytest.raises(CorpusError, match=r"is no readable \.xlsx"):
        read_sheet(deep, COLUMNS)
    write_table(tmp_path / "tabs.xlsx", [["Subject"]], tab="HS")
    with pytest.raises(CorpusError, match=r"no tab 'VIS'\. It has HS"):
        read_sheet(tmp_path / "tabs.xlsx", COLUMNS, tab="VIS")


# -- action units --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "codes", "unread"),
    [
        ("4+L10", ("4", "L10"), ()),
        (12, ("12",), ()),
        (12.0, ("12",), ()),
        ("R12", ("R12",), ()),
        ("12R", ("R12",), ()),
        ("T28+14", ("T28", "14"), ()),
        ("2+1", ("2", "1"), ()),
        ("12B", ("12B",), ()),
        ("AU4，AU 7、AU12c", ("4", "7", "12C"), ()),
        ("L12A; 6", ("L12A", "6"), ()),
        ("12 or 14", ("12",), ("or 14",)),
        ("4?+7", ("4", "7"), ("4?",)),
        ("4 ？", ("4",), ("4?",)),
        ("4+43(k)+7（k）", ("4",), ()),
        ("4+smile", ("4",), ("smile",)),
        ("4+4", ("4",), ()),
        ("１＋２", ("1", "2"), ()),
        ("U12+A4+M57+B28", ("U12", "A4", "M57", "B28"), ()),
        ("12X", (), ("12X",)),
        ("1-2", (), ("1-2",)),
        ("12 (weak)", ("12",), ("(weak)",)),
        (None, (), ()),
        ("/", (), ()),
        (0, (), ()),
    ],
)
def test_action_units_as_coders_write_them(cell, codes, unread):
    assert parse_units(cell) == (codes, unread)
    assert encode_action_units([codes]).shape == (1, 12)  # which knows every code


# -- frames --------------------------------------------------------------------------------------


def picture(file, side=8, value=128):
    code = cv2.imencode(file.suffix, np.full((side, side, 3), value, np.uint8))[1]
    file.write_bytes(code.tobytes())


@pytest.mark.filterwarnings("ignore::ma2mi.video.VideoNote")  # which tells of the gap
@pytest.mark.parametrize("name", ["img{}.jpg", "reg_img{}.bmp", "006_{:05d}.png", "EP01_3-{}.jpg"])
def test_frames_keep_their_numbers_when_one_is_missing(tmp_path, name):
    for number in (8, 9, 10, 12, 13, 100):
        picture(tmp_path / name.format(number), value=number)
    index = index_frames(tmp_path)
    assert [index.position(n) for n in (8, 10, 12, 100)] == [0, 2, 3, 5]
    assert (index.first, index.last) == (8, 100)
    assert index.gaps() == [(11, 11), (14, 99)]
    seen = [int(frame.image.mean().round()) for frame in read_frames(tmp_path, fps=200)]
    assert seen[index.position(12)] == pytest.approx(12, abs=2)
    with pytest.raises(CorpusError, match="frame 11: is missing; the folder holds 8 to 100"):
        index.position(11)


def test_strangers_and_twins_among_frames_are_told(tmp_path):
    for name in ("img1.jpg", "img2.jpg", "img02.jpg", "img3 (1).jpg", "img4.jpg", "sheet.jpg"):
        picture(tmp_path / name)
    index = index_frames(tmp_path)
    assert {file.name for file in index.strangers} == {"img3 (1).jpg", "sheet.jpg"}
    assert index.repeated == (2,)
    assert index.files[index.position(4)].name == "img4.jpg"


def test_a_folder_without_numbers_is_told(tmp_path):
    picture(tmp_path / "a.jpg")
    with pytest.raises(CorpusError, match="holds no numbered frames"):
        index_frames(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_truncated_pictures_do_not_pass(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    whole = cv2.imencode(suffix, noise)[1].tobytes()
    file.write_bytes(whole)
    assert picture_size(file) == (60, 40)
    for part in (0.3, 0.9):
        file.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(VideoError, match="is truncated"):
            picture_size(file)
    file.write_bytes(b"")
    with pytest.raises(VideoError, match="zero bytes"):
        picture_size(file)
    file.write_bytes(b"plain text")
    with pytest.raises(VideoError, match="not a readable image"):
        picture_size(file)


# -- a copy that is not as it should be ----------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    return write_fake("casme2", tmp_path / "fake", pictures=False)


def edit(root, change):
    """Change rows of the sheet in place: ``change`` gets the openpyxl page."""
    (file,) = root.glob("*.xlsx")
    book = openpyxl.load_workbook(file)
    change(book.worksheets[0])
    book.save(file)
    return file


def messages(root, **how):
    return {str(f).removeprefix(f"{root}/") for f in Casme2(root, **how).findings()}


def test_rows_that_contradict_themselves_are_left_out_and_told(copy):
    def change(page):
        page["E2"] = 999
        page["F3"] = 1
        page["B4"] = "EP99_99f"
        page["D5"] = "early"
        page["H6"] = "4 or 7"

    file = edit(copy, change)
    with pytest.warns(LeftOut, match=r"left out 4 of 9 coded expressions; the first is .*row 2"):
        assert len(Casme2(copy).expressions()) == 5
    told = messages(copy)
    for wanted in (
        "row 2, column ApexFrame: 999 lies outside onset",
        "row 3, column OffsetFrame: 1 lies before the onset",
        "row 4: sub01/EP99_99f is not on disk",
        "row 5, column OnsetFrame: 'early' is no whole number",
        "row 6, column Action Units: or 7 of '4 or 7' cannot be read",
        "has no row in the sheet",
    ):
        assert any(wanted in message for message in told), (wanted, told)
    assert any(message.startswith(file.name) for message in told)


def test_rows_that_mark_one_frame_twice_must_agree(copy):
    def change(page):
        row = [cell.value for cell in page[2]]
        row[-1] = "disgust"
        page.append(row)

    edit(copy, change)
    (told,) = (m for m in messages(copy) if "contradicts" in m)
    assert "row 11: contradicts row 2: both mark sub01/EP03_11f at" in told


def test_pictures_are_compared(tmp_path):
    root = write_fake("casme2", tmp_path / "fake")
    one, other = sorted(root.glob("CASME2-RAW/sub01/*"))[:2]
    picture(one / "img7.jpg", side=32)
    for file in other.iterdir():
        file.unlink()
    for file in sorted(root.glob("CASME2-RAW/sub02/*"))[0].iterdir():
        os.link(file, other / file.name)
    found = check_corpus("casme2", root)
    told = [str(item) for item in found.items]
    assert any("img7.jpg: is 32x32, frames before it are 176x176" in line for line in told)
    assert any("holds the same pictures as" in line for line in told)
    assert not found.passed
    assert found.verdict.startswith("incomplete: ")
    assert json.loads(found.to_json())["findings"][0]["severity"] == "error"


def test_unpublished_emotions_are_reported(copy):
    edit(copy, lambda page: setattr(page["J2"], "value", "boredom"))
    (line,) = (i for i in check_corpus("casme2", copy).items if "not among the published" in i.what)
    assert "'boredom'" in line.what


def test_a_root_without_the_corpus_shows_the_layouts(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(CorpusError, match=r"holds no clips\. Layouts are raw, cropped"):
        open_corpus("casme2", tmp_path)
    found = check_corpus("casme2", tmp_path)
    assert not found.passed
    assert "CASME2-coding-20190701.xlsx" in found.expected
    assert found.found == ("other",)


def test_options_go_to_the_corpora_that_have_them(copy):
    assert open_corpus("casme2", copy, layout="raw", repairs=False).layout.name == "raw"
    with pytest.raises(CorpusError, match="no clips in the layout 'cropped'"):
        open_corpus("casme2", copy, layout="cropped")
    with pytest.raises(CorpusError, match="manifest: has no option layout"):
        open_corpus("manifest", copy, layout="raw")


# -- repairs -------------------------------------------------------------------------------------


def write_repairs(file, *rows):
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([REPAIR_COLUMNS, *rows])
    return file


def test_a_repair_changes_one_cell_and_is_listed(copy, tmp_path):
    (first, *_) = Casme2(copy).expressions()
    clip = first.recording.name
    edit(copy, lambda page: setattr(page["E2"], "value", 999))
    mine = write_repairs(
        tmp_path / "mine.csv",
        ["sub01", clip, "20190701", "apex", first.apex + 1, "me"],
        ["sub01", clip, "20140508", "emotion", "fear", "another version"],
        ["sub01", f"{clip}@{first.onset + 1}", "", "aus", "4+7", "me"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repaired = Casme2(copy, repairs=mine).expressions()[0]
    assert (repaired.apex, repaired.emotion) == (first.apex, first.emotion)
    assert repaired.action_units == ("4", "7")
    assert any("999 is read as" in m and "repair: me" in m for m in messages(copy, repairs=mine))
    with pytest.warns(LeftOut):
        assert Casme2(copy, repairs=False).expressions()[0].recording.name != clip


def test_wrong_tables_of_repairs_are_told(tmp_path):
    assert load_repairs("no-corpus-of-this-name") == []
    with pytest.raises(CorpusError, match="is no file"):
        load_repairs(tmp_path / "none.csv")
    with pytest.raises(CorpusError, match="row 2, column field: 'mood' cannot be repaired"):
        load_repairs(write_repairs(tmp_path / "a.csv", ["s", "c", "", "mood", "x", "me"]))
    with pytest.raises(CorpusError, match="row 3, column value: 'x' is no frame number"):
        fine = ["s", "c", "", "apex", "", "me"]
        load_repairs(write_repairs(tmp_path / "a.csv", fine, ["s", "c", "", "onset", "x", "me"]))
    (tmp_path / "b.csv").write_text("subject,clip\n")
    with pytest.raises(CorpusError, match="has no column version, field, value, source"):
        load_repairs(tmp_path / "b.csv")
