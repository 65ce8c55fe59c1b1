"""Names stay in their folder, and folders of results destroy nothing."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ma2mi.errors import Ma2miError, MissingPart, StoreError
from ma2mi.files import digest, file_name, hold, look_into, replace_file, results_folder

ODD = (
    *("..", ".", "(..)", "(.)", "", "-", " ", "a/b", "a-b", "a b", "a\\b", "a.", "con", "NUL.txt"),
    *("COM1", "x" * 300, "é" * 200, "e\u0301x", "\udcff", "a\0b", "~", "a\nb", "/etc", "con." * 60),
)


def _is_safe(name: str) -> bool:
    reserved = re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name, re.IGNORECASE)
    return bool(
        name and not reserved and name.strip(". ") == name and len(name.encode()) <= 120
        and not set(name) & set('/\\:*?"<>|\0\n') and name == Path(name).name
    )  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_names_become_safe_ones(name, tmp_path):
    safe = file_name(name)
    assert _is_safe(safe)
    (tmp_path / safe).mkdir()
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()


def test_odd_names_stay_apart():
    assert len({file_name(name) for name in ODD}) == len(ODD)


@given(st.lists(st.text(max_size=150), min_size=1, max_size=3))
def test_any_text_becomes_a_safe_name(parts):
    assert _is_safe(file_name(*parts))


@given(*[st.lists(st.text("ab_-/. ", max_size=4), min_size=1, max_size=3)] * 2)
def test_different_parts_get_different_names(one, other):
    kept = [
        [unicodedata.normalize("NFC", part) for part in parts if part] for parts in (one, other)
    ]
    assert (file_name(*one) == file_name(*other)) == (kept[0] == kept[1])


def test_plain_names_stay_as_they_are():
    assert file_name("casme2", "sub01", "EP02_01f") == "casme2_sub01_EP02_01f"
    assert file_name("größe.mp4") == "größe.mp4"


def _write(final: Path, text: str) -> None:
    with results_folder(final) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "table.csv").write_text(text)


def test_unchanged_results_are_replaced_as_a_whole(tmp_path):
    final = tmp_path / "r"
    for text in ("one", "two"):
        _write(final, text)
        assert (final / "sub" / "table.csv").read_text() == text
        assert look_into(final).replaceable
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("change", ["note", "edit", "link", "folder", "foreign"])
def test_what_a_person_did_is_never_removed(tmp_path, change):
    final = tmp_path / "r"
    if change == "foreign":
        final.mkdir()
        (final / "img1.png").write_text("mine")
    else:
        _write(final, "one")
        table = final / "sub" / "table.csv"
        if change == "note":
            (final / "note.txt").write_text("mine")
        elif change == "edit":
            table.write_text("mine")
        elif change == "folder":
            (final / "mine").mkdir()
        else:
            copy = tmp_path / "copy"
            table.rename(copy)
            table.symlink_to(copy)
    before = sorted((p, p.is_file() and p.read_text()) for p in final.rglob("*"))
    with pytest.raises(StoreError, match="were not written here"):
        _write(final, "two")
    assert sorted((p, p.is_file() and p.read_text()) for p in final.rglob("*")) == before
    assert not list(tmp_path.glob(".*.part"))


def test_missing_files_are_named_and_healed(tmp_path):
    final = tmp_path / "r"
    _write(final, "one")
    (final / "sub" / "table.csv").unlink()
    assert look_into(final).missing == ("sub/table.csv",)
    _write(final, "two")
    assert look_into(final).missing == ()


def test_a_failure_leaves_the_old_results(tmp_path):
    final = tmp_path / "r"
    _write(final, "one")
    with pytest.raises(ZeroDivisionError), results_folder(final) as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert look_into(final).replaceable
    assert not list(tmp_path.glob(".*.part"))


def test_a_held_path_is_refused_in_one_line(tmp_path):
    refused = pytest.raises(StoreError, match="another process")
    with hold(tmp_path / "x"), refused as caught, hold(tmp_path / "x"):
        pass
    assert "\n" not in str(caught.value)
    with hold(tmp_path / "x"):
        pass


def test_digest_is_of_content(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "img1.bmp").write_bytes(b"same")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    (tmp_path / "b" / "img1.bmp").write_bytes(b"othr")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


def test_an_error_names_the_file_and_what_happened(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        replace_file(tmp_path / "file" / "x", b"")
    assert "Not a directory" in str(caught.value)
    assert "Free the disk" not in str(caught.value)
    assert issubclass(MissingPart, ImportError)
    assert issubclass(MissingPart, Ma2miError)
