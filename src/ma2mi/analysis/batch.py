"""Many videos: which ones, under which names, and several at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from ma2mi.analysis.run import analyze, folder_name
from ma2mi.errors import Ma2miError
from ma2mi.report.events import Analysis
from ma2mi.video import list_videos


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video: an analysis, or one line that says why not."""

    path: Path
    name: str
    analysis: Analysis | None = None
    failure: str = ""


def find_videos(paths: Iterable[Path], *, fps: Fraction | None = None) -> list[Path]:
    """The videos named, and those below the folders named, each once.

    A folder of frames counts where ``fps`` is given. A file is taken as it is: whether it is a
    video shows when it is opened.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = [p for p in list_videos(path) if p.is_file() or fps is not None]
        for one in inside:
            found.setdefault(one.resolve() if one.exists() else one, one)
    return list(found.values())


def name_folders(paths: Sequence[Path]) -> list[str]:
    """A folder name for each, no two alike: where the stems are, the parents' names help."""
    names: list[str] = []
    for path in paths:
        parents = [parent.name for parent in path.resolve().parents if parent.name]
        name = folder_name(path)
        while name.lower() in {other.lower() for other in names}:
            name = f"{folder_name(Path(parents.pop(0)))}_{name}" if parents else f"{name}_2"
        names.append(name)
    return names


def analyze_all(
    paths: Sequence[Path], out: Path, *, jobs: int = 1, **options: Any
) -> Iterator[Outcome]:
    """Analyse videos in ``jobs`` processes; what fails does not stop the others.

    What was finished before, or before an interruption, is read back and not done again.

    Args:
        paths: as from :func:`find_videos`.
        out: gets one folder a video.
        jobs: processes; -1 is one a core.
        options: of :func:`ma2mi.analyze`.

    Yields:
        Outcomes in the order in which they are ready.
    """
    tasks = [
        delayed(_try)(p, n, out, options) for p, n in zip(paths, name_folders(paths), strict=True)
    ]
    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)


def _try(path: Path, name: str, out: Path, options: dict[str, Any]) -> Outcome:
    try:
        return Outcome(path, name, analyze(path, out, name=name, **options))
    except Ma2miError as error:
        return Outcome(path, name, failure=str(error))
