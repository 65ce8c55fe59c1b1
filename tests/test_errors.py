"""One clear line, also across process borders."""

from __future__ import annotations

import pickle

import pytest

from ma2mi.errors import Ma2miError, MissingPart, StoreError, VideoError, optional_part


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (VideoError("has zero bytes"), "has zero bytes"),
        (VideoError("has zero bytes", where="a.mp4"), "a.mp4: has zero bytes"),
        (VideoError("is empty", cure="Copy it again"), "is empty. Copy it again"),
        (VideoError("is empty", where="a.mp4", cure="Copy it"), "a.mp4: is empty. Copy it"),
    ],
)
def test_reads_as_one_line(error, line):
    assert str(error) == line


def test_survives_the_way_to_another_process():
    error = StoreError("is full", where="disk", cure="Free it")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is StoreError
    assert (back.what, back.where, back.cure) == ("is full", "disk", "Free it")
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
