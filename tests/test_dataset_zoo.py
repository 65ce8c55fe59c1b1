"""Every fault that copies of corpora and manifests have, and the line that names it."""

from __future__ import annotations

import io
import os
import shutil
import struct
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("openpyxl")

import cv2
import openpyxl

from ma2mi.datasets.check import check_corpus
from ma2mi.testing import write_fake
from ma2mi.video import write_frames, write_video

LONGEST_S = 20
HEADER = "path,subject,onset,apex,offset,emotion,aus,fps\n"
GOOD = "a.mp4,p01,2,5,9,joy,6+12,\nf,p02,3,,7,fear,,25\n"
BOTH = 2  # clips that can be used where nothing is lost


# -- manifests -----------------------------------------------------------------------------------


def table(*rows: str, header: str = HEADER, good: str = GOOD) -> str:
    return header + good + "".join(f"{row}\n" for row in rows)


def book(rows: list[list[object]], spoil: Callable[[object], None] | None = None) -> bytes:
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    if spoil:
        spoil(made)
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


CELLS: list[list[object]] = [
    HEADER.strip().split(","),
    ["a.mp4", "p01", 2, 5, 9, "joy", "6+12", None],
    ["f", "p02", 3, None, 7, "fear", None, 25],
]

LOST = {  # one row more, of which this is said
    f"row: {row}": (row, said)
    for row, said in (
        (",p01,12,,19,,,", "column path: is empty"),
        ("b.mp4,p01,12,,19,,,", "column path: b.mp4 does not exist"),
        ("x\0y,p01,12,,19,,,", "column path: x y does not exist"),
        (f"{'x' * 300},p01,12,,19,,,", "does not exist"),
        (f"{'x/' * 3000},p01,12,,19,,,", "does not exist"),
        ("a.mp4,,12,,19,,,", "column subject: is empty"),
        ("a.mp4,p09,12,,19,,,", "column subject: p09, but a.mp4 showed p01 before"),
        ("a.mp4,p01,soon,,19,,,", "column onset: 'soon' is no whole number"),
        ("a.mp4,p01,12.5,,19,,,", "column onset: '12.5' is no whole number"),
        ("a.mp4,p01,12,x,19,,,", "column apex: 'x' is no whole number"),
        ("a.mp4,p01,inf,,19,,,", "column onset: 'inf' is no whole number"),
        ("a.mp4,p01,1e3,,19,,,", "column onset: '1e3' is no whole number"),
        ("a.mp4,p01,1e99999999,,19,,,", "column onset: '1e99999999' is no whole number"),
        (f"a.mp4,p01,{'9' * 5000},,19,,,", "column onset: '999"),
        ("a.mp4,p01,-12,,19,,,", "column onset: -12 lies before the first frame 0"),
        ("a.mp4,p01,12,,,,,", "column offset: is empty though there is an onset"),
        ("a.mp4,p01,,14,,,,", "column apex: stands without an onset"),
        ("a.mp4,p01,,,19,,,", "column offset: stands without an onset"),
        ("a.mp4,p01,19,,12,,,", "column offset: lies before the onset"),
        ("a.mp4,p01,12,25,19,,,", "column apex: lies outside onset and offset"),
        ("a.mp4,p01,12,,40,,,", "a.mp4, which has 40. If frames count from 1, add a column first"),
        ("a.mp4,p01,500,,900,,,", "frame 900 (from 0) is not in a.mp4, which has 40"),
        ("f,p02,15,,25,,,25", "column offset: frame 25 is missing; the folder holds 0 to 19"),
        ("g,p03,1,,5,,,", "column fps: is empty"),
        ("g,p03,1,,5,,,fast", "column fps: 'fast' is no rate"),
        ("g,p03,1,,5,,,nan", "column fps: 'nan' is no rate"),
        ("g,p03,1,,5,,,inf", "column fps: 'inf' is no rate"),
        ("g,p03,1,,5,,,0", "column fps: '0' is no rate"),
        ("g,p03,1,,5,,,-25", "column fps: '-25' is no rate"),
        ("g,p03,1,,5,,,1e99999999", "column fps: '1e99999999' is no rate"),
        ("g,p03,1,,5,,,25/0", "column fps: '25/0' is no rate"),
        ("a.mp4,p01,2,6,9,joy,6+12,", "column path: repeats an earlier row (2) and contradicts it"),
        ("a.mp4,p01,12,,19,joy,6,12,", "has 1 cells more than the header"),
        ('a.mp4,p01,12,,19,"joy,,', "opens a quotation mark and does not close it"),
        (f"a.mp4,p01,12,,19,{'x' * 200_000},,", "cannot be read (field larger than field limit"),
        ("," * 20_000, "has 20001 cells"),
    )
}

FINE = {
    "as it should be": table(),
    "semicolons": table().replace(",", ";"),
    "tabs": table().replace(",", "\t"),
    "a byte order mark": "\ufeff" + table(),
    "line ends of Windows": table().replace("\n", "\r\n"),
    "line ends of old Macs": table().replace("\n", "\r"),
    "UTF-16": table().encode("utf-16"),
    "capitals and blanks in the header": table(header=HEADER.title().replace(",", " , ")),
    "words above the header": "My study\n,,,,,,,\n" + table(),
    "empty rows": table(",,,,,,,", "", ",,,,,,,"),
    "floats": table().replace("2,5,9", "2.0,5.0,9.0"),
    "a decimal comma": table().replace(",", ";").replace(";25", ";25,0"),
    "full-width digits": table().replace("2,5,9", "２,５,９"),
    "no apex": table().replace("2,5,9", "2,/,9"),
    "slashes of Windows": table().replace("\nf,", "\n.\\f,"),
    "a name in capitals": table().replace("a.mp4", "A.MP4"),
    "a column of one's own": table(header=HEADER.replace("\n", ",note\n")),
    "blanks around cells": table().replace(",", " , "),
    "cells in quotation marks": table().replace("joy", '"joy, and more"'),
    "counted from one": HEADER.replace("\n", ",first_frame\n")
    + "a.mp4,p01,3,6,10,joy,6+12,,1\nf,p02,4,,8,fear,,25,1\n",
}

WHOLE = {  # nothing of the file can be read, and why
    "no file": (None, "is no manifest"),
    "empty": ("", "column path, subject, onset, offset is missing"),
    "a byte order mark alone": ("\ufeff", "column path, subject, onset, offset is missing"),
    "other columns": ("name,age\nanna,30\n", "its header is name, age"),
    **{
        f"without {one}": (table().replace(one, "other", 1), f"column {one} is missing")
        for one in ("path", "subject", "onset", "offset")
    },
    "GBK": (table("a.mp4,p01,12,,19,高兴,,").encode("gbk"), "by its bytes it is GBK"),
    "Latin-1": (table("a.mp4,p01,12,,19,größe,,").encode("latin-1"), "it is Latin-1"),
    "Shift-JIS": (table("a.mp4,p01,12,,19,よろこび,,").encode("shift_jis"), "it is Shift-JIS"),
    "half a UTF-16": (table().encode("utf-16")[:-1], "it is damaged utf-16"),
    "a video": (b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20, "is no"),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A video of 40 frames, and two folders of 20."""
    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    write_video(root / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 40, 20)
    for name in "fg":
        noise = rng.integers(0, 255, (20, 8, 8, 3), np.uint8)
        write_frames(root / name, list(noise), pattern="img{index}.png", first=0)
    return root


def checked(study, tmp_path, content, name="manifest.csv"):
    root = tmp_path / "root"
    shutil.copytree(study, root)
    if content is not None:
        content = content if isinstance(content, bytes) else content.encode()
        (root / name).write_bytes(content)
    started = time.monotonic()
    found = check_corpus("manifest", root)
    assert time.monotonic() - started < LONGEST_S
    said = [f"{one.severity}: {one.place}: {one.what}. {one.hint}" for one in found.items]
    assert all("\n" not in one for one in said)
    return found, said


@pytest.mark.parametrize("name", FINE)
def test_manifests_that_are_read(name, study, tmp_path):
    found, said = checked(study, tmp_path, FINE[name])
    assert (found.passed, found.clips, said) == (True, BOTH, [])


@pytest.mark.parametrize("name", LOST)
def test_a_row_is_lost_alone(name, study, tmp_path):
    row, line = LOST[name]
    found, said = checked(study, tmp_path, table(row))
    assert (found.passed, found.clips) == (False, BOTH)
    (one,) = said
    assert one.startswith("error: row 4")
    assert line in one


@pytest.mark.parametrize("name", WHOLE)
def test_manifests_that_are_not_read(name, study, tmp_path):
    content, line = WHOLE[name]
    found, said = checked(study, tmp_path, content)
    assert (found.passed, found.clips) == (False, 0)
    (one,) = said
    assert line in one
    assert one.startswith("error: ")


def test_what_is_doubtful_is_kept(study, tmp_path):
    found, said = checked(study, tmp_path, table("a.mp4,p01,12,,19,joy,12?,", GOOD.split()[0]))
    assert (found.passed, found.clips) == (True, 3)
    assert "12? of '12?' cannot be read. 12 is taken" in said[0]
    assert "repeats an earlier row (2)" in said[1]


def formula(made):
    made.active["E3"] = "=C3+4"


def notes_first(made):
    made.create_sheet("notes", 0).append(["path", "is what I call a file"])


def merged(made):
    made.active.append(["f", None, 12, None, 15, "joy", None, 25])
    made.active.merge_cells("B3:B4")


@pytest.mark.parametrize(
    ("spoil", "clips", "line"),
    [
        (None, 2, ""),
        (notes_first, 2, ""),
        (merged, 3, ""),
        (formula, 1, "row 3, column offset: holds the formula =C3+4 and no value"),
        (lambda made: made.active.__setitem__("XFD1048576", 1), 2, ""),
        (lambda made: made.active.__setitem__("C3", datetime(2024, 1, 2)), 1, "'2024-01-02"),
        (lambda made: made.active.__setitem__("C3", "#REF!"), 1, "'#REF!' is no whole number"),
        (lambda made: made.active.delete_cols(2), 0, "column subject is missing"),
    ],
)
def test_manifests_of_excel(study, tmp_path, spoil, clips, line):
    found, said = checked(study, tmp_path, book(CELLS, spoil), "manifest.xlsx")
    assert found.clips == clips
    assert [line in one for one in said] == ([True] if line else [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"no zip",
        lambda content: b"",
        lambda content: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4000),  # encrypted, or of 1997
        lambda content: edited(content, b'2"', b'99999999999"'),
        lambda content: edited(content, b"</c>", b"<<"),
        lambda content: edited(content, b"<sheetData>", b"<sheetData>" + b" " * 70_000_000),
    ],
)
def test_damaged_and_hostile_books_of_excel(study, tmp_path, spoil):
    found, said = checked(study, tmp_path, spoil(book(CELLS)), "manifest.xlsx")
    assert found.clips == 0
    assert any("is no readable .xlsx" in one or "has 67 MB unpacked" in one for one in said), said


def edited(content: bytes, old: bytes, new: bytes) -> bytes:
    """An .xlsx with other bytes in its first tab."""
    with zipfile.ZipFile(io.BytesIO(content)) as given:
        parts = {name: given.read(name) for name in given.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(old, new)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, part in parts.items():
            made.writestr(name, part)
    return stream.getvalue()


# -- copies of a corpus --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A fake of CASME II, its pictures 8 px wide and each of its own."""
    root = write_fake("casme2", tmp_path_factory.mktemp("copy") / "fake", pictures=False)
    for number, file in enumerate(sorted(root.rglob("*.jpg"))):
        rng = np.random.default_rng(number)
        coded = cv2.imencode(".jpg", rng.integers(0, 255, (8, 8, 3), np.uint8))[1]
        file.write_bytes(coded.tobytes())
    return root


def sheet_of(root: Path) -> Path:
    (file,) = root.glob("*.xlsx")
    return file


def cell(place: str, value: object) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        made = openpyxl.load_workbook(sheet_of(root))
        made.worksheets[0][place] = value
        made.save(sheet_of(root))

    return spoil


def page(change: Callable[[object], None]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        made = openpyxl.load_workbook(sheet_of(root))
        change(made)
        made.save(sheet_of(root))

    return spoil


def as_text(delimiter: str, encoding: str, old: str = "", new: str = "") -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        rows = openpyxl.load_workbook(sheet_of(root)).worksheets[0].iter_rows(values_only=True)
        lines = (delimiter.join("" if c is None else str(c) for c in row) for row in rows)
        text = "\r\n".join(lines).replace(old, new) if old else "\r\n".join(lines)
        sheet_of(root).with_suffix(".csv").write_bytes(text.encode(encoding))
        sheet_of(root).unlink()

    return spoil


def clip(root: Path, number: int = 0) -> Path:
    return sorted(path for path in root.glob("CASME2-RAW/*/*") if path.is_dir())[number]


def frame(change: Callable[[Path], object], number: int = 8) -> Callable[[Path], None]:
    return lambda root: change(clip(root) / f"img{number}.jpg")


def huge_png(file: Path) -> None:
    """A picture that says it is 60000 px wide."""
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 999)), (b"IEND", b""))
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def bigger(file: Path) -> None:
    file.write_bytes(cv2.imencode(".jpg", np.zeros((16, 8, 3), np.uint8))[1].tobytes())


def same_pictures(root: Path) -> None:
    one, other = clip(root, 0), clip(root, 1)
    for file in other.iterdir():
        file.unlink()
    for file in one.iterdir():
        shutil.copy(file, other)


def loop(root: Path) -> None:
    (root / "loop").symlink_to(root)


def rename(change: Callable[[str], str]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        for file in list(clip(root).iterdir()):
            file.rename(file.with_name(change(file.name)))

    return spoil


COPIES: dict[str, tuple[Callable[[Path], object], int, str]] = {
    # what is done, clips that can be used of nine, and what is said ("" if nothing new)
    "nothing": (lambda root: None, 9, ""),
    "sheet: missing": (lambda root: sheet_of(root).unlink(), 0, "holds no annotation sheet"),
    "sheet: no zip": (lambda root: sheet_of(root).write_bytes(b"no"), 0, "is no readable .xlsx"),
    "sheet: half": (
        lambda root: sheet_of(root).write_bytes(sheet_of(root).read_bytes()[:3000]),
        0,
        "is no readable .xlsx",
    ),
    "sheet: empty": (page(lambda made: made.active.delete_rows(1, 99)), 0, "has no column"),
    "sheet: a column renamed": (cell("D1", "Begin"), 0, "has no column OnsetFrame"),
    "sheet: header in other letters": (cell("D1", " onset_frame "), 9, ""),
    "sheet: words above": (page(lambda made: made.active.insert_rows(1, 3)), 9, ""),
    "sheet: empty rows": (page(lambda made: made.active.insert_rows(4, 2)), 9, ""),
    "sheet: a tab before it": (page(lambda made: made.create_sheet("x", 0)), 9, ""),
    "sheet: a far cell": (cell("XFD99999", 1), 9, ""),
    "sheet: merged cells": (page(lambda made: made.active.merge_cells("A2:A4")), 9, ""),
    "sheet: CSV of Excel": (as_text(";", "utf-8-sig"), 9, ""),
    "sheet: Unicode text": (as_text("\t", "utf-16"), 9, ""),
    "sheet: Latin-1": (as_text(";", "latin-1", "happiness", "fröhlich"), 0, "it is Latin-1"),
    "sheet: GBK": (as_text(",", "gbk", "happiness", "高兴"), 0, "by its bytes it is GBK"),
    "sheet: open in Excel": (lambda root: (root / "~$CASME2-coding-x.xlsx").touch(), 9, ""),
    **{
        f"onset: {value}": (cell("D2", value), 8, f"row 2, column OnsetFrame: {said}")
        for value, said in (
            ("early", "'early' is no whole number"),
            (None, "'' is no whole number"),
            (3.5, "'3.5' is no whole number"),
            (1e300, "'1000"),
            ("nan", "'nan' is no whole number"),
            ("1e99999999", "'1e99999999' is no whole number"),
            ("=D3", "holds the formula =D3 and no value"),
        )
    },
    "offset: before the onset": (cell("F2", 1), 8, "row 2, column OffsetFrame: 1 lies before"),
    "offset: beyond the end": (cell("F2", 9999), 8, "column OffsetFrame: frame 9999 is missing"),
    "apex: outside": (cell("E2", 9999), 8, "row 2, column ApexFrame: 9999 lies outside"),
    "apex: none": (cell("E2", "/"), 9, "row 2, column ApexFrame: '/' is no apex"),
    "apex: text": (cell("E2", "top"), 8, "row 2, column ApexFrame: 'top' is no whole number"),
    "clip: not there": (cell("B2", "EP99_99"), 8, "EP99_99 is not on disk"),
    "subject: not there": (cell("A2", "99"), 8, "is not on disk"),
    "row: twice": (
        page(lambda made: made.active.append([c.value for c in made.active[2]])),
        9,
        "repeats row 2",
    ),
    "row: contradicts": (
        page(lambda made: made.active.append([*[c.value for c in made.active[2]][:-1], "fear"])),
        9,
        "contradicts row 2",
    ),
    "units: doubtful": (cell("H2", "4?+smile"), 9, "4?, smile of '4?+smile' cannot be read"),
    "units: a date": (cell("H2", datetime(2024, 2, 1)), 9, "cannot be read"),
    "units: full-width": (cell("H2", "４＋７"), 9, ""),
    "emotion: unknown": (
        cell("J2", "boredom"),
        9,
        "emotions that are not among the published: 'boredom'",
    ),
    "frame: missing": (frame(os.unlink), 9, "frames 8: missing"),
    "frame: zero bytes": (frame(lambda file: file.write_bytes(b"")), 9, "has zero bytes"),
    "frame: half": (
        frame(lambda file: file.write_bytes(file.read_bytes()[:200])),
        9,
        "is truncated",
    ),
    "frame: text": (frame(lambda file: file.write_text("no")), 9, "is not a readable image"),
    "frame: huge": (frame(huge_png), 9, "is not a readable image"),
    "frame: another size": (frame(bigger), 9, "is 8x16, frames before it are 8x8"),
    "frame: twice": (
        lambda root: shutil.copy(clip(root) / "img8.jpg", clip(root) / "img08.jpg"),
        9,
        "frame 8: is there twice",
    ),
    "frame: a stranger": (
        lambda root: shutil.copy(clip(root) / "img8.jpg", clip(root) / "sheet.jpg"),
        9,
        "is not named as the other frames",
    ),
    "frame: a folder": (
        frame(lambda file: (file.unlink(), file.mkdir())),
        9,
        "img8.jpg",
    ),
    "frame: a link to nowhere": (
        frame(lambda file: (file.unlink(), file.symlink_to("gone"))),
        9,
        "img8.jpg",
    ),
    "frames: padded": (
        rename(lambda name: f"img{int(name[3:-4]):05d}.jpg"),
        9,
        "is not named as in",
    ),
    "frames: capitals": (rename(str.upper), 9, "is not named as in"),
    "frames: without numbers": (
        rename(lambda name: "".join(chr(97 + int(c)) for c in name[3:-4]) + ".jpg"),
        8,
        "holds no numbered frames",
    ),
    "frames: none": (lambda root: [f.unlink() for f in clip(root).iterdir()], 8, "holds no images"),
    "frames: litter beside": (lambda root: (clip(root) / "Thumbs.db").write_text("x"), 9, ""),
    "clips: the same pictures": (same_pictures, 9, "holds the same pictures as"),
    "clips: one without a row": (
        lambda root: shutil.copytree(clip(root), clip(root).with_name("EP77_01")),
        9,
        "has no row in the sheet",
    ),
    "clips: gone": (lambda root: shutil.rmtree(clip(root)), 8, "is not on disk"),
    "root: empty": (
        lambda root: [shutil.rmtree(p) if p.is_dir() else p.unlink() for p in root.iterdir()],
        0,
        "holds no clips",
    ),
    "root: a loop": (loop, 9, ""),
    "root: a name in another Unicode form": (
        lambda root: (root / unicodedata.normalize("NFD", "größe")).mkdir(),
        9,
        "",
    ),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_a_corpus(name, copy, tmp_path):
    spoil, clips, line = COPIES[name]
    before = check_corpus("casme2", copy)
    assert before.passed
    root = tmp_path / "copy"
    shutil.copytree(copy, root)
    spoil(root)
    started = time.monotonic()
    found = check_corpus("casme2", root)
    assert time.monotonic() - started < LONGEST_S
    said = [str(item) for item in found.items]
    assert found.clips == clips, said
    assert all("\n" not in one for one in said)
    if line:
        assert any(line in one for one in said), said
    else:
        assert found.passed
        assert len(said) == len(before.items), said


def test_the_zoo_is_large_enough():
    assert len(LOST) + len(WHOLE) + len(COPIES) >= 60
