"""A CSV of clips reads as a corpus, and every mistake in it is named by row and column."""

from fractions import Fraction

import numpy as np
import pytest

from ma2mi.datasets import open_corpus
from ma2mi.datasets.convert import write_manifest
from ma2mi.datasets.manifest import Manifest
from ma2mi.errors import CorpusError
from ma2mi.formats.findings import LeftOut

HEADER = "path,subject,onset,apex,offset,emotion,aus,fps\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b.mp4").write_bytes(b"")
    return tmp_path


def write(folder, *rows, header=HEADER, encoding="utf-8"):
    (folder / "manifest.csv").write_text(header + "".join(row + "\n" for row in rows), encoding)
    return folder


def test_rows_become_recordings_and_expressions(folder):
    write(folder, "a,s1,3,5,9,happiness,6+12,200", "a,s1,20,,30,,4+L10,200", "b.mp4,s2,,,,,,")
    corpus = open_corpus("manifest", folder)
    first, second = corpus.expressions()
    assert (first.onset, first.apex, first.offset) == (3, 5, 9)
    assert (first.emotion, first.action_units, first.subject) == ("happiness", ("6", "12"), "s1")
    assert (second.apex, second.action_units) == (None, ("4", "L10"))
    assert [recording.name for recording in corpus.recordings()] == ["a", "b.mp4"]
    assert corpus.recordings()[0].fps == Fraction(200)
    assert corpus.recordings()[1].fps is None
    assert first.recording.corpus == "manifest"


def test_the_csv_itself_may_be_the_root(folder):
    write(folder, "a,s1,3,5,9,,,200")
    (folder / "manifest.csv").rename(folder / "mine.csv")
    assert Manifest(folder / "mine.csv").expressions()[0].recording.path == folder / "a"


def test_a_byte_order_mark_and_missing_optional_columns_are_fine(folder):
    write(folder, "b.mp4,s1,3,9", header="path,subject,onset,offset\n", encoding="utf-8-sig")
    assert Manifest(folder).expressions()[0].apex is None


def test_frames_may_be_counted_from_one(folder):
    header = "path,subject,onset,apex,offset,fps,first_frame,kind\n"
    write(folder, "a,s1,3,5,9,30000/1001,1,macro", header=header)
    (expression,) = Manifest(folder).expressions()
    assert (expression.onset, expression.apex, expression.offset) == (2, 4, 8)
    assert expression.kind == "macro"
    assert expression.recording.fps == Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (",s1,3,5,9,,,200", "path", "is empty"),
        ("c,s1,3,5,9,,,200", "path", "does not exist"),
        ("a,,3,5,9,,,200", "subject", "is empty"),
        ("a,s1,x,5,9,,,200", "onset", "'x' is no whole number"),
        ("a,s1,3,5.5,9,,,200", "apex", "'5.5' is no whole number"),
        ("a,s1,9999999999,5,9,,,200", "onset", "is no whole number"),
        ("a,s1,-3,5,9,,,200", "onset", "before the first frame"),
        ("a,s1,3,2,9,,,200", "apex", "outside onset and offset"),
        ("a,s1,3,12,9,,,200", "apex", "outside onset and offset"),
        ("a,s1,9,,3,,,200", "offset", "before the onset"),
        ("a,s1,3,5,,,,200", "offset", "is empty"),
        ("a,s1,,5,9,,,200", "apex", "without an onset"),
        ("a,s1,3,5,9,,,", "fps", "is empty"),
        ("a,s1,3,5,9,,,fast", "fps", "'fast' is no rate"),
        ("a,s1,3,5,9,,,1/0", "fps", "is no rate"),
        ("a,s1,3,5,9,,,1e99999999", "fps", "is no rate"),
        ("a,s1,3,5,9,,,inf", "fps", "is no rate"),
        ("a,s1,3,5,9,,,-25", "fps", "is no rate"),
        ("b.mp4,s1,7,,19,,,", "path", "repeats an earlier row (2) and contradicts it"),
        ("b.mp4,s2,8,,9,,,", "subject", "showed s1 before"),
    ],
)
def test_mistakes_name_file_row_and_column(folder, row, column, message):
    write(folder, "b.mp4,s1,7,,9,,,", row, "b.mp4,s1,20,,29,,,")
    corpus = Manifest(folder)
    (finding,) = corpus.findings()
    assert message in finding.what
    assert (finding.severity, finding.place) == ("error", f"row 3, column {column}")
    assert finding.file == str(folder / "manifest.csv")
    assert finding.hint
    with pytest.warns(LeftOut, match="1 rows are left out; the first is"):
        assert [e.onset for e in corpus.expressions()] == [7, 20]


@pytest.mark.parametrize("column", ["path", "subject", "onset", "offset"])
def test_a_missing_column_is_named(folder, column):
    write(folder, header=HEADER.replace(column, "other", 1))
    with pytest.raises(CorpusError, match=f"column {column} is missing"):
        Manifest(folder)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"manifest\.csv: is no manifest"):
        Manifest(tmp_path)


def test_a_manifest_may_be_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = {
        "path": ["a", "a", "b.mp4"],
        "subject": ["s1", "s1", "s2"],
        "onset": [3.0, 20.0, None],  # as data frames write columns with empty cells
        "apex": [5, None, None],
        "offset": [9, 30, None],
        "fps": [200, 200, None],
        "aus": ["6+12", None, None],
    }
    parquet.write_table(pyarrow.table(table), folder / "manifest.parquet")
    corpus = open_corpus("manifest", folder)
    first, second = corpus.expressions()
    assert (first.onset, first.apex, first.offset, first.action_units) == (3, 5, 9, ("6", "12"))
    assert (second.onset, second.apex) == (20, None)
    assert [recording.name for recording in corpus.recordings()] == ["a", "b.mp4"]
    table["onset"][1] = 40.0
    parquet.write_table(pyarrow.table(table), folder / "mine.parquet")
    (finding,) = Manifest(folder / "mine.parquet").findings()
    assert "mine.parquet, row 2, column offset: lies before" in str(finding)
    del table["subject"]
    parquet.write_table(pyarrow.table(table), folder / "mine.parquet")
    with pytest.raises(CorpusError, match="column subject is missing"):
        Manifest(folder / "mine.parquet")
    many = {name: ["a"] * (2**20 + 1) for name in ("path", "subject", "onset", "offset")}
    parquet.write_table(pyarrow.table(many), folder / "mine.parquet")
    with pytest.raises(CorpusError, match=r"has 1048577 rows, .* MB unpacked\. At most"):
        Manifest(folder / "mine.parquet")
    (folder / "mine.parquet").write_text("no table")
    with pytest.raises(CorpusError, match="is no readable Parquet file"):
        Manifest(folder / "mine.parquet")


def numbered(folder, numbers):
    """Frames whose brightness is their number."""
    cv2 = pytest.importorskip("cv2")
    folder.mkdir(exist_ok=True)
    for number in numbers:
        code = cv2.imencode(".png", np.full((8, 8, 3), number, np.uint8))[1]
        (folder / f"img{number}.png").write_bytes(code.tobytes())


HELD = [*range(1, 6), *range(11, 31)]  # 6 to 10 are missing


@pytest.mark.filterwarnings("ignore::ma2mi.video.VideoNote")  # which tells of the gap
def test_a_missing_image_shifts_no_other(tmp_path):
    pytest.importorskip("av")
    from ma2mi.video import read_frames

    numbered(tmp_path / "f", HELD)
    header = "path,subject,onset,apex,offset,emotion,fps,first_frame\n"
    write(tmp_path, "f,p01,15,18,22,happiness,25,1", header=header)
    (one,) = Manifest(tmp_path).expressions()
    shown = [frame.image[0, 0, 0] for frame in read_frames(tmp_path / "f", fps=Fraction(25))]
    assert [shown[place] for place in (one.onset, one.apex, one.offset)] == [15, 18, 22]
    write_manifest(Manifest(tmp_path), tmp_path / "again.csv")
    (back,) = Manifest(tmp_path / "again.csv").expressions()
    assert (back.onset, back.apex, back.offset) == (one.onset, one.apex, one.offset)
    write(tmp_path, "f,p01,8,,12,happiness,25,1", "f,p01,20,,40,,25,1", header=header)
    told = [finding.what for finding in Manifest(tmp_path).findings()]
    assert told == [
        "frame 8 is missing; the folder holds 1 to 30",
        "frame 40 is missing; the folder holds 1 to 30",
    ]


def test_names_that_are_times_are_no_numbers_of_frames(tmp_path):
    numbered(tmp_path / "f", range(0, 200, 40))
    write(tmp_path, "f,s1,1,2,3,,,25")
    (one,) = Manifest(tmp_path).expressions()
    assert (one.onset, one.apex, one.offset) == (1, 2, 3)


def test_a_first_image_beyond_the_first_frame_is_told(tmp_path):
    numbered(tmp_path / "f", range(6, 31))
    write(tmp_path, "f,s1,15,,20,25,1", header="path,subject,onset,apex,offset,fps,first_frame\n")
    (finding,) = Manifest(tmp_path).findings()
    assert finding.severity == "warning"
    assert "the first image of f has the number 6; it is taken for frame 1" in finding.what


def test_semicolons_floats_and_empty_cells_are_read(folder):
    (folder / "manifest.csv").write_text(
        "\ufeffpath;subject;onset;apex;offset;emotion;aus;fps\r\n"
        "a;p01;2;5.0;9;Freude;6+12;29,97\r\n;;;;;;;\r\nb.mp4;p02;2,0;;9;;;\r\n",
        "utf-8",
    )
    corpus = Manifest(folder)
    assert corpus.findings() == []
    first, second = corpus.expressions()
    assert (first.onset, first.apex, first.offset) == (2, 5, 9)
    assert first.recording.fps == Fraction(2997, 100)
    assert (second.onset, second.apex) == (2, None)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_encodings_that_say_what_they_are_are_read(folder, encoding):
    write(folder, "a,Jürgen,3,5,9,Überraschung,,200", encoding=encoding)
    (one,) = Manifest(folder).expressions()
    assert (one.subject, one.emotion) == ("Jürgen", "Überraschung")


@pytest.mark.parametrize(
    ("encoding", "subject", "name"),
    [
        ("gbk", "高兴", "GBK"),
        ("latin-1", "Jürgen", "Latin-1"),
        ("shift_jis", "ひらがな", "Shift-JIS"),
    ],
)
def test_other_encodings_are_named(folder, encoding, subject, name):
    write(folder, f"a,{subject},3,5,9,,,200", encoding=encoding)
    with pytest.raises(CorpusError, match=f"is not in UTF-8; by its bytes it is {name}") as caught:
        Manifest(folder)
    assert "UTF-8" in caught.value.hint


def test_a_manifest_may_be_an_excel_sheet(folder):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Notes"])
    page = book.create_sheet("clips")
    page.append(["path", "subject", "onset", "apex", "offset", "fps"])
    page.append(["a", 6, 3, 5, 9, 200])
    page.append(["a", None, 20, None, 30, 200])
    page.append(["a", 6, "=C3+20", None, 50, 200])
    page.merge_cells("B2:B3")
    book.save(folder / "manifest.xlsx")
    corpus = Manifest(folder)
    with pytest.warns(LeftOut):
        found = [(e.subject, e.onset, e.apex) for e in corpus.expressions()]
    assert found == [("6", 3, 5), ("6", 20, None)]
    (finding,) = corpus.findings()
    assert "row 4, column onset: holds the formula =C3+20 and no value" in str(finding)


@pytest.mark.parametrize("given", [r"Deep\Größe.MP4", "deep/größe.mp4", "./deep/gro\u0308ße.mp4"])
def test_paths_of_other_systems_are_found(tmp_path, given):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "größe.mp4").write_bytes(b"")
    write(tmp_path, f"{given},s1,3,,9,,,")
    (one,) = Manifest(tmp_path).expressions()
    assert one.recording.name == "deep/größe.mp4"


def test_cells_that_a_spreadsheet_would_compute_come_back(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    write(tmp_path, "a.mp4,'=1+2,3,,9,'@SUM(A1),,", "a.mp4,'=1+2,10,,19,-5,,")
    corpus = Manifest(tmp_path)
    first, second = corpus.expressions()
    assert (first.subject, first.emotion, second.emotion) == ("=1+2", "@SUM(A1)", "-5")
    write_manifest(corpus, tmp_path / "again.csv")
    text = (tmp_path / "again.csv").read_text()
    assert "'=1+2" in text
    assert ",-5," in text  # a number computes nothing
    assert [(e.subject, e.emotion) for e in Manifest(tmp_path / "again.csv").expressions()] == [
        ("=1+2", "@SUM(A1)"),
        ("=1+2", "-5"),
    ]
