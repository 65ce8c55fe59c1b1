"""Kernels are compiled whether their cache can be written, is full, or is damaged."""

from __future__ import annotations

import importlib.util
import sys

import pytest

pytest.importorskip("numba")

from numba.core import caching

from ma2mi.motion.compiler import compiler

SOURCE = """
from ma2mi.motion.compiler import compiler

@compiler()
def twice(x):
    return 2 * x
"""


@pytest.fixture
def module(tmp_path):
    """A module with one kernel, loaded anew each time it is asked for."""
    file = tmp_path / "kernels_of_a_test.py"
    file.write_text(SOURCE, encoding="utf-8")

    def load():
        spec = importlib.util.spec_from_file_location(file.stem, file)
        found = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = found
        spec.loader.exec_module(found)
        return found

    yield load
    sys.modules.pop(file.stem, None)


def test_a_kernel_is_kept_for_the_next_process(module, tmp_path):
    assert module().twice(3) == 6
    assert sum(module().twice.stats.cache_hits.values()) == 0
    again = module().twice
    assert again(3) == 6
    assert sum(again.stats.cache_hits.values()) == 1
    assert list((tmp_path / "__pycache__").glob("*.nbi"))


def test_no_place_for_a_cache(module, monkeypatch):
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    assert module().twice(3) == 6


def test_a_full_disk(module, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert module().twice(3) == 6


def test_damaged_cache_files_are_made_anew(module, tmp_path):
    module().twice(3)
    for file in (tmp_path / "__pycache__").glob("*.nbc"):
        file.write_bytes(file.read_bytes()[:50])
    assert module().twice(3) == 6
    for file in (tmp_path / "__pycache__").glob("*.nbi"):
        file.write_bytes(b"")
    assert module().twice(3) == 6


def test_a_wrong_kernel_still_raises():
    @compiler()
    def wrong(x):
        return x.nothing

    with pytest.raises(Exception, match="nothing"):
        wrong(1)
