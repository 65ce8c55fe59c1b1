"""The videos of one review: where their results lie, and whether the video is still the same."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal

from ma2mi.errors import Ma2miError, StoreError, VideoError, one_line
from ma2mi.files import digest, natural
from ma2mi.formats.tables import ANALYSIS, read_json
from ma2mi.records import Analysis
from ma2mi.review.frames import PictureCache, VideoFrames
from ma2mi.review.movement import MovementTable, read_movement
from ma2mi.review.seeking import index_video
from ma2mi.review.store import STORE, DecisionStore
from ma2mi.video import inspect_video, list_videos

Status = Literal["opening", "ready", "missing", "changed", "unreadable"]


class ReviewedVideo:
    """One video with the results of its analysis, if there are any.

    Args:
        number: in this review, from 0.
        results: folder of ``ma2mi analyze``; None for plain coding.
        path: of the video; None if it is not found.
        fps: of a folder of frames, or the recorded rate.
        cache: of pictures, shared with the other videos.

    Attributes:
        name: for people.
        analysis: what was found; None for plain coding.
        status, problem: whether its frames can be seen, and one line that says why not.
        digest: of the video: names it in the store; empty until it is known.

    Raises:
        StoreError: results that cannot be read.
    """

    def __init__(
        self,
        number: int,
        results: Path | None,
        path: Path | None,
        fps: Fraction | None = None,
        cache: PictureCache | None = None,
    ) -> None:
        self.cache = cache or PictureCache()
        self.number, self.results, self.path, self.fps = number, results, path, fps
        self.analysis: Analysis | None = None
        self.digest = ""
        if results is not None:
            self.analysis = read_json(results / ANALYSIS)
            settings = self.analysis.settings
            self.digest = str(settings.get("input", ""))
            self.fps = fps or (Fraction(str(settings["fps"])) if settings.get("fps") else None)
        self.name = results.name if results else path.name if path else ""
        self.status: Status = "opening"
        self.problem = ""
        self.store: DecisionStore | None = None
        self._frames: VideoFrames | None = None
        self._state = (0, 0)
        self._times_s: list[float] = []
        self._lock = threading.Lock()

    def store_path(self) -> Path:
        """Where its decisions are kept by default: beside the results, or beside the video."""
        if self.results is not None:
            return self.results / STORE
        assert self.path is not None
        return self.path.with_name(f"{self.path.name}.{STORE}")

    @cached_property
    def movement(self) -> MovementTable | None:
        """The rows of ``frames.csv``; None for plain coding, and where they cannot be read."""
        if self.results is None:
            return None
        try:
            return read_movement(self.results / "frames.csv")
        except StoreError:
            return None

    def open(self) -> None:
        """Find out where its frames are, and whether it is the video that was analysed.

        Takes long for a long video; what is wrong is in ``status`` and ``problem``.
        """
        with self._lock:
            if self._frames is not None or self.status != "opening":
                return
            try:
                self.status = self._open()
            except (Ma2miError, OSError) as error:
                self.status, self.problem = "unreadable", one_line(error, self.path or self.name)

    def _open(self) -> Status:
        if self.path is None:
            source = self.analysis.source if self.analysis else ""
            self.problem = f"{source or 'the video'} is not there; --videos DIR says where it is"
            return "missing"
        self._state = self._state_of_file()
        found = digest(self.path)
        if self.digest and found != self.digest:
            self.problem = (
                f"{self.path} is not the video that was analysed: its content differs. "
                "Decisions are off; --videos DIR names the folder of the right one"
            )
            return "changed"
        self.digest = found
        known = None if self.movement is None else self.movement.times_s.tolist()
        index = index_video(self.path, fps=self.fps, known_s=known)
        if self.analysis is not None and len(index.times) != self.analysis.frames:
            self.problem = (
                f"{self.path} gives {len(index.times)} frames now, {self.analysis.frames} when it "
                "was analysed: analyse it again with this version"
            )
            return "changed"
        first = index.times[0]
        self._times_s = [float(time - first) for time in index.times]
        self._frames = VideoFrames(self.path, index, fps=self.fps, cache=self.cache)
        return "ready"

    @property
    def frames(self) -> VideoFrames:
        """Its frames.

        Raises:
            VideoError: they cannot be seen.
        """
        self.open()
        if self._frames is not None and self._state_of_file() != self._state:
            self.status, self._frames = "changed", None
            self.problem = f"{self.path} was changed meanwhile: run ma2mi review again"
        if self._frames is None:
            raise VideoError(self.problem or "does not open")
        return self._frames

    def _state_of_file(self) -> tuple[int, int]:
        """Size and time of its last change; zeros where it is gone."""
        try:
            state = (self.path or Path()).stat()
        except OSError:
            return 0, 0
        return state.st_size, state.st_mtime_ns

    def times_s(self) -> list[float]:
        """When each frame is seen, seconds after the first; of the analysis if need be."""
        if self._times_s:
            return self._times_s
        return [] if self.movement is None else self.movement.times_s.tolist()

    def size(self) -> tuple[int, int]:
        """Width and height of its frames, px; zeros where they are not known."""
        if self.analysis is not None:
            return self.analysis.width, self.analysis.height
        if self.path is None or self.status != "ready":
            return 0, 0
        info = inspect_video(self.path, fps=self.fps)
        return info.width, info.height

    def close(self) -> None:
        if self._frames is not None:
            self._frames.close()


def find_reviewed(
    places: Sequence[Path], videos: Path | None = None, fps: Fraction | None = None
) -> list[ReviewedVideo]:
    """What is to be reviewed: results of an analysis, or videos without one.

    Args:
        places: folders of results, folders above such, videos, or folders of videos.
        videos: where videos lie that are not where they were analysed.
        fps: of folders of frames, and the recorded rate of slow-motion files.

    Raises:
        StoreError: nothing is there, or results cannot be read.
        VideoError: a file that is named is no video.
    """
    found: dict[str, tuple[Path | None, Path | None]] = {}
    for place in places:
        if not place.exists():
            raise StoreError("does not exist", where=place, hint="Name results or videos")
        folders = _results_below(place) if place.is_dir() else []
        for folder in folders:
            found.setdefault(os.path.realpath(folder), (folder, None))
        if not folders:
            for video in _videos_of(place, fps):
                found.setdefault(os.path.realpath(video), (None, video))
    if not found:
        names = ", ".join(map(str, places))
        raise StoreError(
            "holds neither results of `ma2mi analyze` nor videos", where=names, hint="Name others"
        )
    reviewed, cache = [], PictureCache()
    for number, (results, path) in enumerate(found.values()):
        one = ReviewedVideo(number, results, path, fps, cache)
        if one.analysis is not None and results is not None:
            one.path = find_source(one.analysis, results, videos)
        reviewed.append(one)
    return reviewed


def _results_below(place: Path) -> list[Path]:
    if (place / ANALYSIS).is_file():
        return [place]
    found = {path.parent for path in place.rglob(ANALYSIS) if (path.parent / "frames.csv").exists()}
    shown = [path for path in found if not any(part.startswith(".") for part in path.parts[1:])]
    return sorted(shown, key=lambda path: natural(str(path)))


def _videos_of(place: Path, fps: Fraction | None) -> list[Path]:
    if not place.is_dir():
        inspect_video(place, fps=fps)
        return [place]
    return [path for path in list_videos(place) if path.is_file() or fps is not None]


def find_source(analysis: Analysis, results: Path, videos: Path | None) -> Path | None:
    """The video of an analysis: below ``videos``, where it was, or beside its results."""
    content = str(analysis.settings.get("input", ""))
    name = Path(analysis.source).name
    if videos is not None:
        named = [path for path in videos.rglob("*") if name and path.name == name]
        same = _of_content(named, content) or _of_content(list_videos(videos), content)
        return same or next(iter(named), None)
    if not name:
        return None
    near = (Path(analysis.source), results.parent / name, results.parent.parent / name)
    return next((path for path in near if path.exists()), None)


def _of_content(paths: Iterable[Path], content: str) -> Path | None:
    """The first of this content."""
    for path in paths:
        try:
            if digest(path) == content:
                return path
        except OSError:
            continue
    return None


def open_stores(videos: Sequence[ReviewedVideo], coder: str, store: Path | None = None) -> None:
    """Open where decisions are kept, and write to it once, so that it is known to work.

    Args:
        videos: each gets its store.
        coder: who decides.
        store: one file for all; by default each video has its own.

    Raises:
        StoreError: one of them cannot be written.
    """
    opened: dict[Path, DecisionStore] = {}
    for video in videos:
        path = store or video.store_path()
        if path not in opened:
            opened[path] = DecisionStore(path)
            opened[path].open_session(coder)
        video.store = opened[path]
