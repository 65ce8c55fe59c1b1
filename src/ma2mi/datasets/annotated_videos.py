"""Which video a file of annotations is about, wherever both lay when it was annotated."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from ma2mi.errors import CorpusError
from ma2mi.files import is_results, look_into


def find_video(file: Path, media: str, videos: Sequence[Path], root: Path) -> Path:
    """The video that ``file`` calls ``media``, wherever it lay when it was annotated.

    Names are alike if they are the same Unicode text, else if they differ in case alone. Of
    several with that name the one whose folders agree best is taken, then one beside ``file``;
    where none is below the root, the one to which the way in ``media`` leads.

    Raises:
        CorpusError: there is none, or several are called so.
    """
    stem = file.name.split(".")[0] if file.name.lower().endswith(".boris.gz") else file.stem
    stem = re.sub("_events$", "", stem)
    found: list[Path] = []
    for fold in (str, composed, folded):
        if not media:
            name = fold(stem)
            found = [
                v for v in videos if fold(v.stem) == name or fold(v.stem).startswith(f"{name}_")
            ]
        else:
            found = _called(media, videos, fold)
        if found:
            break
    near = [video for video in found if video.parent == file.parent]
    if len(found) == 1 or len(near) == 1:
        return (found if len(found) == 1 else near)[0]
    if not found and (elsewhere := _by_its_way(file, media)):
        return elsewhere
    shown = re.split(r"[\\/]", media)[-1] if media else f"a video called {stem}"
    raise CorpusError(
        f"is about {shown}, which is there {len(found)} times",
        where=file,
        hint=f"Put exactly one below {root}",
    )


def _called(media: str, videos: Sequence[Path], fold: Callable[[str], str]) -> list[Path]:
    """The videos whose name is that of ``media``, those that share the most of its folders."""
    for name in dict.fromkeys((media, unquote(media))):  # ELAN writes URLs
        wanted = [fold(part) for part in re.split(r"[\\/]+", name) if part not in ("", ".")]
        shared: dict[int, list[Path]] = {}
        for video in videos:
            parts = [fold(part) for part in video.parts]
            same = 0
            for ours, theirs in zip(reversed(parts), reversed(wanted), strict=False):
                if ours != theirs:
                    break
                same += 1
            shared.setdefault(same, []).append(video)
        most = max(shared, default=0)
        if most:
            return shared[most]
    return []


def _by_its_way(file: Path, media: str) -> Path | None:
    """The file to which an address or a path leads, from the folder of ``file``."""
    for name in dict.fromkeys((media, unquote(media))):
        way = Path(os.path.normpath(file.parent.absolute() / name.removeprefix("file://")))
        try:
            if media and way.is_file():
                return way
        except (OSError, ValueError):  # no name that this system can have
            continue
    return None


def unchanged_results(
    file: Path, root: Path, known: dict[Path, frozenset[Path]]
) -> frozenset[Path]:
    """What of the folder of results in which a file lies is as ``analyze`` wrote it."""
    for folder in file.parents:
        if folder not in known:
            found = frozenset[Path]()
            if is_results(folder):
                edited = look_into(folder)
                others = {folder / name for name in (*edited.changed, *edited.foreign)}
                found = frozenset(folder.rglob("*")) - others
            known[folder] = found
        if known[folder]:
            return known[folder]
        if folder == root:
            break
    return frozenset()


def composed(text: str) -> str:
    """One spelling of an accented letter: macOS writes two characters, others one."""
    return unicodedata.normalize("NFC", text).strip()


def folded(text: str) -> str:
    return composed(text).casefold()
