"""A file is whole or absent."""

import subprocess
import sys

import pytest

from ma2mi.errors import StoreError
from ma2mi.files import replace_file, unfinished


def test_replace_file_leaves_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    # A file size limit fails like a full disk; it needs a process of its own.
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from ma2mi.files import replace_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: replace_file(Path(sys.argv[1]), bytes(10_000))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    if sys.platform == "win32":
        pytest.skip("no resource limits here")
    said = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert said == (
        f"StoreError {path}: cannot be written (File too large). "
        "Free the disk or choose another folder\n"
    )
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_replace_file_in_a_folder_that_is_gone(tmp_path):
    with pytest.raises(StoreError, match="cannot be written"):
        replace_file(tmp_path / "nowhere" / "file", b"")


def test_what_breaks_off_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), unfinished(tmp_path / "kept") as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
