"""Files that are whole or absent, whatever ends the process that writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ma2mi.errors import StoreError


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` when all went well, else it goes."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file as a whole; one that is there stays as it was until then.

    Raises:
        StoreError: the disk is full or not writable.
    """
    try:
        with unfinished(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error.strerror})",
            where=path,
            cure="Free the disk or choose another folder",
        ) from error
