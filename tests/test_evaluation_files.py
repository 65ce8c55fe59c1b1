"""Files: written and read back, and every kind of wrong row told by its line."""

from __future__ import annotations

import pytest

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.files import (
    paired,
    read_labels,
    read_megc2022,
    read_megc2024,
    write_megc2022,
    write_megc2024,
)
from ma2mi.records import Event


@pytest.fixture
def sheet(tmp_path):
    def write(text: str, encoding: str = "utf-8"):
        path = tmp_path / "sheet.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_megc2022_round_trip(tmp_path):
    marks = [
        Event("micro", 12, None, 80, video="006_1"),
        Event("macro", 0, None, 300, video="a, b"),
    ]
    write_megc2022(tmp_path / "p.csv", marks)
    assert (tmp_path / "p.csv").read_text() == (
        'vid,pred_onset,pred_offset,type\n006_1,12,80,me\n"a, b",0,300,mae\n'
    )
    assert read_megc2022(tmp_path / "p.csv") == marks


def test_megc2024_round_trip(tmp_path):
    marks = [Event("", 45, None, 85, video="EP02_01f", subject="1", emotion="happiness")]
    write_megc2024(tmp_path / "p.csv", marks)
    assert read_megc2024(tmp_path / "p.csv") == marks
    assert read_megc2024(tmp_path / "p.csv", ["Happy"])[0].emotion == "Happy"


def test_spreadsheets_and_pandas_are_understood(sheet):
    text = "vid, pred_onset, pred_offset, type, note\r\nv, 1.0, 5.0, ME, x\r\n"
    assert read_megc2022(sheet(text, "utf-8-sig")) == [Event("micro", 1, None, 5, video="v")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("v,9,5,me", "line 2: offset 5 lies before onset 9"),
        ("v,1,5,me\nv,1,x,me", 'line 3: pred_offset|line 3: offset "x" is no frame number'),
        ("v,1.5,5,me", 'line 2: onset "1.5" is no frame number'),
        ("v,nan,5,me", 'line 2: onset "nan" is no frame number'),
        ("v,inf,5,me", 'line 2: onset "inf" is no frame number'),
        ("v,1,5,micro", 'line 2: type "micro" is neither me nor mae'),
        (",1,5,me", "line 2: vid is empty"),
        ("v,1,5", "line 2: too many or too few cells"),
        ("v,1,5,me,7", "line 2: too many or too few cells"),
        ("v,1,5,me\nw,1,5,me\nv,1,5,me", "line 4: the same row twice"),
    ],
)
def test_a_wrong_row_is_told_by_its_line(sheet, rows, message):
    with pytest.raises(EvaluationError, match=message):
        read_megc2022(sheet(f"vid,pred_onset,pred_offset,type\n{rows}\n"))


def test_wrong_files_are_told(sheet, tmp_path):
    with pytest.raises(EvaluationError, match="no column pred_onset, pred_offset, type"):
        read_megc2022(sheet("vid,onset\n"))
    with pytest.raises(EvaluationError, match="no column vid"):
        read_megc2022(sheet(""))
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_megc2022(tmp_path / "nowhere.csv")
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_megc2022(sheet("vid,ü\n", "latin-1"))
    with pytest.raises(EvaluationError, match='line 2: emotion "joy" is none of fear, anger'):
        read_megc2024(sheet("subject,video,onset,offset,emotion\n1,v,1,2,joy\n"), ["fear", "anger"])


def test_marks_that_cannot_be_written_are_told(tmp_path):
    with pytest.raises(EvaluationError, match='row 0: kind "" is neither'):
        write_megc2022(tmp_path / "p.csv", [Event("", 0, None, 1, video="v")])
    with pytest.raises(EvaluationError, match="row 0: no subject or no emotion"):
        write_megc2024(tmp_path / "p.csv", [Event("", 0, None, 1, video="v", subject="1")])


def test_labels_and_guesses_side_by_side(sheet):
    truth = read_labels(sheet("key,label\nb,Fear\na,others\n"), ["fear", "other"])
    assert truth == {"b": 0, "a": 1}
    both = paired(truth, {"a": 0, "b": 0})
    assert (both.keys, both.truth.tolist(), both.predicted.tolist()) == (("b", "a"), [0, 1], [0, 0])


def test_wrong_guesses_are_told(sheet):
    with pytest.raises(EvaluationError, match='line 2: "joy" is none of fear, anger'):
        read_labels(sheet("key,label\na,joy\n"), ["fear", "anger"])
    with pytest.raises(EvaluationError, match="line 3: a second row for clip a"):
        read_labels(sheet("key,guess\na,fear\na,fear\n"), ["fear", "anger"], "guess")
    with pytest.raises(EvaluationError, match="1 predictions for unknown clips: z"):
        paired({"a": 0}, {"a": 0, "z": 1})
    with pytest.raises(EvaluationError, match=r"6 missing clips: a, b, c, d, e \.\.\."):
        paired(dict.fromkeys("abcdef", 0), {})
