"""A CSV of clips reads as a corpus, and every mistake in it is named by row and column."""

from fractions import Fraction

import pytest

from ma2mi.datasets import open_corpus
from ma2mi.datasets.manifest import Manifest
from ma2mi.errors import CorpusError

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
        ("a,s1,x,5,9,,,200", "onset", "'x' is no frame number"),
        ("a,s1,3,5.5,9,,,200", "apex", "is no frame number"),
        ("a,s1,-3,5,9,,,200", "onset", "before the first frame"),
        ("a,s1,3,2,9,,,200", "apex", "outside onset and offset"),
        ("a,s1,3,12,9,,,200", "apex", "outside onset and offset"),
        ("a,s1,9,,3,,,200", "offset", "before the onset"),
        ("a,s1,3,5,,,,200", "offset", "is empty"),
        ("a,s1,,5,9,,,200", "apex", "without an onset"),
        ("a,s1,3,5,9,,,", "fps", "is empty"),
        ("a,s1,3,5,9,,,fast", "fps", "'fast' is no rate"),
        ("a,s1,3,5,9,,,1/0", "fps", "is no rate"),
        ("b.mp4,s1,7,,9,,,", "path", "repeats an earlier row"),
        ("b.mp4,s2,8,,9,,,", "subject", "showed s1 before"),
    ],
)
def test_mistakes_name_file_row_and_column(folder, row, column, message):
    write(folder, "b.mp4,s1,7,,9,,,", row)
    with pytest.raises(CorpusError, match=message) as caught:
        Manifest(folder)
    assert caught.value.where == f"{folder / 'manifest.csv'}, row 3, column {column}"
    assert caught.value.cure


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
    with pytest.raises(CorpusError, match=r"mine\.parquet, row 2, column offset: lies before"):
        Manifest(folder / "mine.parquet")
    del table["subject"]
    parquet.write_table(pyarrow.table(table), folder / "mine.parquet")
    with pytest.raises(CorpusError, match="column subject is missing"):
        Manifest(folder / "mine.parquet")
    (folder / "mine.parquet").write_text("no table")
    with pytest.raises(CorpusError, match="is no readable Parquet file"):
        Manifest(folder / "mine.parquet")
