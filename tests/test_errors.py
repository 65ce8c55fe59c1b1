"""One clear line, also across process borders."""

from __future__ import annotations

import errno
import os
import pickle

import pytest

from ma2mi.errors import (
    Ma2miError,
    MissingPart,
    StoreError,
    VideoError,
    optional_part,
    store_error,
)
from ma2mi.files import replace_file


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (VideoError("has zero bytes"), "has zero bytes"),
        (VideoError("has zero bytes", where="a.mp4"), "a.mp4: has zero bytes"),
        (VideoError("is empty", hint="Copy it again"), "is empty. Copy it again"),
        (VideoError("is empty", where="a.mp4", hint="Copy it"), "a.mp4: is empty. Copy it"),
    ],
)
def test_reads_as_one_line(error, line):
    assert str(error) == line


def test_survives_the_way_to_another_process():
    error = StoreError("is full", where="disk", hint="Free it")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is StoreError
    assert (back.what, back.where, back.hint) == ("is full", "disk", "Free it")
    assert isinstance(back, Ma2miError)


def test_missing_part_names_the_extra():
    with (
        pytest.raises(MissingPart, match=r"pip install 'ma2mi\[video\]'") as raised,
        optional_part("nowhere", "video"),
    ):
        import ma2mi_nowhere  # noqa: F401
    assert "nowhere is not available" in str(raised.value)


def test_optional_part_lets_other_errors_through():
    with pytest.raises(ZeroDivisionError), optional_part("nowhere", "video"):
        1 / 0  # noqa: B018


def test_a_missing_part_is_an_import_error():
    assert issubclass(MissingPart, ImportError)
    with pytest.raises(ImportError, match="is not available"), optional_part("x", "video"):
        import ma2mi_nowhere  # noqa: F401


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "Free the disk"),
        (errno.EROFS, "that you may write to"),
        (errno.EACCES, "that you may write to"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.ENOTDIR, "A file stands where a folder is needed"),
        (errno.EMFILE, "fewer --jobs"),
        (errno.EIO, ""),
    ],
)
def test_the_system_says_what_happened_and_the_hint_fits(code, hint):
    line = str(store_error(OSError(code, os.strerror(code), "there"), "here"))
    assert line.startswith(f"there: cannot be written ({os.strerror(code)})")
    assert hint in line
    assert ("Free the disk" in line) == (code == errno.ENOSPC)


def test_the_file_is_named_as_the_user_knows_it(tmp_path):
    with pytest.raises(StoreError) as raised:
        replace_file(tmp_path / "gone" / "table.csv", b"")
    assert raised.value.where == str(tmp_path / "gone" / "table.csv")
    odd = OSError(errno.ENOENT, "No such file or directory", b"\xff.mp4")
    assert store_error(odd, "here").where == "\udcff.mp4"
