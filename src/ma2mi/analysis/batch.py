"""Many videos: which ones, under which names, and several at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from ma2mi.analysis.results_folder import folder_name
from ma2mi.analysis.run import analyze, one_thread_each
from ma2mi.errors import one_line
from ma2mi.files import digest, holds_results
from ma2mi.records import Analysis
from ma2mi.video import list_others, list_videos, needs_rate
from ma2mi.workers import ending_with_this


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one video: an analysis, or one line with the cause of failure."""

    path: Path
    name: str
    analysis: Analysis | None = None
    failure: str = ""


def find_videos(paths: Iterable[Path], *, fps: Fraction | None = None) -> list[Path]:
    """The videos named, and those below the folders named, each once; own results are passed over.

    A folder of frames counts where ``fps`` is given. A file is taken as it is: whether it is a
    video shows when it is opened.

    Raises:
        VideoError: a folder cannot be read.
    """
    found: dict[str, Path] = {}
    for path in paths:
        inside = [path]
        if path.is_dir():
            below = [] if holds_results(path) else list_videos(path)
            inside = [p for p in below if p.is_file() or fps is not None]
        for one in inside:
            found.setdefault(os.path.realpath(one), one)
    return list(found.values())


def find_others(paths: Iterable[Path]) -> list[Path]:
    """Files below the folders named that hold a moving picture under another suffix."""
    found = {
        os.path.realpath(one): one
        for path in paths
        if path.is_dir() and not holds_results(path)
        for one in list_others(path)
    }
    return list(found.values())


def name_folders(paths: Sequence[Path]) -> list[str]:
    """A folder name for each, no two alike; of equal ones all but the first bear a hash.

    The hash is of the video's content, so that the name stays whichever others are there.
    """
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        name = folder_name(path)
        if name.casefold() in taken:
            # What cannot be read fails in its turn.
            with suppress(OSError):
                name = f"{name}-{digest(path)[:8]}"
        plain, number = name, 2
        while name.casefold() in taken:  # copies of one video
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def analyze_all(
    paths: Sequence[Path], out: Path, *, jobs: int = 1, **options: Any
) -> Iterator[Outcome]:
    """Analyse videos in ``jobs`` processes; whatever one of them raises does not stop the others.

    What was finished before, or before an interruption, is read back and not done again.

    Args:
        paths: as from :func:`find_videos`.
        out: gets one folder a video.
        jobs: processes; -1 is one a core.
        options: of :func:`ma2mi.analyze`; where there are folders of frames, ``fps`` is theirs.

    Yields:
        Outcomes in the order in which they are ready.
    """
    # Beside folders of frames and TIFFs, which need a rate, it does not mean the files' own.
    bare = [needs_rate(path) for path in paths]
    if any(bare):
        rates = [options.get("fps") if one else None for one in bare]
    else:
        rates = [options.get("fps")] * len(paths)
    named = list(zip(paths, name_folders(paths), rates, strict=True))
    if jobs == 1:
        for path, name, fps in named:
            yield _try(path, name, out, {**options, "fps": fps})
        return
    work = ending_with_this(partial(_try_alone, os.getpid()))
    tasks = [delayed(work)(path, name, out, {**options, "fps": fps}) for path, name, fps in named]
    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)


def _try_alone(parent: int, path: Path, name: str, out: Path, options: dict[str, Any]) -> Outcome:
    """A video in a process of its own; with one core to use, joblib starts none."""
    if os.getppid() != parent:
        return _try(path, name, out, options)
    with one_thread_each():
        return _try(path, name, out, options)


def _try(path: Path, name: str, out: Path, options: dict[str, Any]) -> Outcome:
    try:
        return Outcome(path, name, analyze(path, out, name=name, **options))
    except Exception as error:
        return Outcome(path, name, failure=one_line(error, path))
