"""The folder that an analysis goes to: claimed, or found with its results."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from ma2mi._version import __version__
from ma2mi.analysis.results_writer import REVIEW
from ma2mi.analysis.state import is_of
from ma2mi.errors import StoreError
from ma2mi.files import Busy, Kept, file_name, hold, look_into, whole_folder
from ma2mi.formats.tables import ANALYSIS, read_json
from ma2mi.records import Analysis

#: Without these as they were written, a folder of results is not taken for done.
NEEDED = (ANALYSIS, "frames.csv", REVIEW)
WAIT_S = 5.0  # for a process that was asked to end and still holds the folder


def folder_name(path: Path) -> str:
    """A folder's name for a video's results, also for very long and strange names."""
    # abspath, not resolve: a link keeps the name that its owner gave it, and may lead in a circle.
    return file_name(Path(os.path.abspath(path)).name if path.is_dir() else path.stem)  # noqa: PTH100


@dataclass(frozen=True, slots=True)
class Target:
    """The folder that results go to.

    Args:
        name: of the folder.
        work: to write to; None where nothing is to be written.
        done: results that are there already.
        notes: why it is not the requested name.
    """

    name: str
    work: Path | None = None
    done: Analysis | None = None
    notes: tuple[str, ...] = ()


def find_done(folder: Path, about: Mapping[str, Any]) -> Analysis | None:
    """The finished analysis in ``folder``, if it is of the same input, settings and version.

    Files that a user changed or added are kept and named in the notes; if one that is needed
    was changed, or any is missing, the results are not taken for done.
    """
    if not os.path.lexists(folder / ANALYSIS):
        return None
    tree = _read_about(folder)
    if tree.get("settings") != json.loads(json.dumps(about)) or tree.get("version") != __version__:
        return None
    kept = look_into(folder)
    if not kept.ours or kept.missing or set(kept.changed) & set(NEEDED):
        return None
    try:
        analysis = read_json(folder / ANALYSIS)
    except StoreError:
        return None  # written by another state of this version
    return replace(analysis, name=folder.name, notes=(*analysis.notes, *_kept_notes(kept)))


def _read_about(folder: Path) -> dict[str, Any]:
    """``analysis.json`` as a tree; empty if it cannot be read."""
    try:
        tree = json.loads((folder / ANALYSIS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _kept_notes(kept: Kept) -> Iterator[str]:
    if kept.changed:
        yield f"kept as they were changed since: {', '.join(kept.changed)}"


def _is_of(folder: Path, about: Mapping[str, Any]) -> bool:
    """Whether the results in ``folder`` are of the same input, whatever the settings."""
    settings = _read_about(folder).get("settings")
    return isinstance(settings, dict) and settings.get("input") == about.get("input")


@contextmanager
def own_folder(
    out: Path | str | None, name: str, source: str, about: Mapping[str, Any]
) -> Iterator[Target]:
    """The folder for an analysis, held while it is written; or the results that are there.

    It is called ``name`` unless that is taken: by another video's results, by a file or a folder
    that was not written here, by results that a user changed, or by another process.

    Raises:
        StoreError: it cannot be written, or another process analyses the same video there.
    """
    if out is None:
        yield Target(name)
        return
    parent = Path(out)
    content = str(about.get("input", ""))
    # Where they were before another video of that name came; a copy has results of its own.
    plain = name.removesuffix(f"-{content[:8]}")
    earlier = (plain,) if _read_about(parent / plain).get("source") == source else ()
    for number, one in enumerate(chain(earlier, _names(name, content))):
        if (done := find_done(parent / one, about)) is not None:
            yield Target(one, done=done)
            return
        if number > 2 and not os.path.lexists(parent / one):
            break
    for one in _names(name, content):
        folder = parent / one
        try:
            with hold(folder, wait_s=WAIT_S, claim=content):
                # Once more: the process that held it may just have finished.
                if (done := find_done(folder, about)) is not None:
                    yield Target(one, done=done)
                    return
                free = not os.path.lexists(folder)
                if free or (_is_of(folder, about) and look_into(folder).replaceable):
                    taken = f"{name} was taken and is kept as it is: these results are in {one}"
                    with whole_folder(folder, lambda part: is_of(part, about)) as work:
                        yield Target(one, work, notes=() if one == name else (taken,))
                    return
        except Busy as busy:
            if busy.claim == content:
                raise


def _names(name: str, content: str) -> Iterator[str]:
    """Names for a video's results, the one to take if it is free first; without end."""
    yield name
    beside = name
    if content and not name.endswith(f"-{content[:8]}"):
        beside = f"{name}-{content[:8]}"
        yield beside
    for number in count(2):
        yield f"{beside}-{number}"
