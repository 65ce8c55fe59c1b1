"""The study's data: synthetic faces and rendered heads, to learn from and to be read.

Three parts that share no subject. The rendered heads are another renderer's: other geometry, skin
and light, other shapes of the action units; the same face tracker and the same flow measure them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from io import StringIO
from pathlib import Path

import joblib

from ma2mi.cli.console import progress
from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.datasets import Corpus, open_corpus
from ma2mi.datasets.folder import list_recordings
from ma2mi.datasets.manifest import COLUMNS
from ma2mi.evaluation.labels import LABEL_SETS
from ma2mi.evaluation.protocols import protocol
from ma2mi.experiment import (
    LabelledPairs,
    cut_recordings,
    label_pairs,
    measure_movements,
    render_corpus,
)
from ma2mi.files import replace_file
from ma2mi.progress import Progress
from ma2mi.records import Recording
from ma2mi.synthesis import make_subject
from ma2mi.synthesis.long_video import GroundTruthEvent, make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings

SIZE = 112
PROTOCOL = protocol("synthetic-3")
MACRO_SEED, MICRO_SEED = 60, 50
#: Of the first rendered subject and of the plan of the first; no other script takes them.
HEADS_FROM, PLANS_FROM = 41_000, 42_000
HEAD_FPS = Fraction(200)
#: Side of the image and width of the face in it, px.
HEAD_IMAGE, HEAD_FACE = (320, 320), 150.0
#: Expressions that a subject's plan holds for each that is rendered, so that every class is there.
PLANNED = 10
#: Real video, not part of the repository.
REAL = Path(__file__).parents[3] / "shared" / "clips"


@dataclass(frozen=True)
class Setup:
    """How much is measured, and where it is kept.

    Args:
        out: everything is kept below it.
        macro: synthetic subjects to pre-train on, a fifth of them held out; ``clips`` videos each.
        micro: synthetic subjects with ``clips`` labelled micro-expressions each.
        heads: rendered subjects, likewise.
        steps: of every pre-training; None leaves each its own.
        real: folder of real video, which need not be there.
    """

    out: Path
    macro: int = 50
    micro: int = 40
    heads: int = 40
    clips: int = 6
    steps: int | None = None
    real: Path = REAL


class Data:
    """Everything that a row learns from or is tested on; made once and kept."""

    def __init__(self, setup: Setup, jobs: int) -> None:
        self.setup, self.jobs = setup, jobs
        self.clips = setup.out / f"clips-{setup.clips}"  # a head's plan depends on their number
        self.store = ClipStore(self.clips, Recipe(size=SIZE + 16))

    def pretraining(self, videos: int, settings: PairSettings) -> Pairs:
        """Pairs of the first so many macro videos: of as many subjects and emotions as can be."""
        corpus = self._corpus("synthetic-macro", self.setup.macro, MACRO_SEED)
        chosen = in_turn(corpus.recordings(), self.setup.clips)[:videos]
        keys, _ = cut_recordings(chosen, self.store, jobs=self.jobs)
        return measure_movements(self.store, keys, settings, jobs=self.jobs)[0]

    def real(self, settings: PairSettings) -> Pairs:
        """Pairs of the real clips."""
        recordings = list_recordings(self.setup.real)
        keys, _ = cut_recordings(recordings, self.store, jobs=self.jobs)
        return measure_movements(self.store, keys, settings, jobs=self.jobs)[0]

    @cached_property
    def synthetic(self) -> LabelledPairs:
        """Micro-expressions of 0.2 to 0.7 px by the renderer of the macro videos."""
        return self._marked(self.synthetic_corpus)

    @property
    def synthetic_corpus(self) -> Corpus:
        return self._corpus("synthetic-micro", self.setup.micro, MICRO_SEED)

    @cached_property
    def rendered(self) -> LabelledPairs:
        """Micro-expressions of the same size on rendered heads.

        Raises:
            MissingPart: anny is not installed.
        """
        return self._marked(self.rendered_corpus)

    @property
    def rendered_corpus(self) -> Corpus:
        """Raises MissingPart: anny is not installed."""
        root = self._root("heads", self.setup.heads)
        if not (root / "manifest.csv").is_file():
            render_heads(root, self.setup.heads, self.setup.clips, self.jobs)
        return open_corpus("manifest", root)

    def _root(self, name: str, subjects: int) -> Path:
        return self.setup.out / f"{name}-{subjects}x{self.setup.clips}"

    def _corpus(self, name: str, subjects: int, seed: int) -> Corpus:
        root = self._root(name, subjects)
        if (root / "manifest.csv").is_file():  # it is written last
            return open_corpus(name, root)
        return render_corpus(
            name, root, subjects=subjects, clips=self.setup.clips, seed=seed, jobs=self.jobs
        )

    def _marked(self, corpus: Corpus) -> LabelledPairs:
        return label_pairs(corpus, PROTOCOL, self.clips, recipe=self.store.recipe, jobs=self.jobs)


def in_turn(recordings: list[Recording], clips: int) -> list[Recording]:
    """Recordings of a corpus of subjects with ``clips`` each, so that the first few are varied.

    Round j takes clip j + s of subject s: other subjects before other clips of the same, and all
    emotions in each round.
    """
    return [
        recordings[subject * clips + (turn + subject) % clips]
        for turn in range(clips)
        for subject in range(len(recordings) // clips)
    ]


def render_heads(root: Path, subjects: int, clips: int, jobs: int) -> None:
    """Onset and apex of micro-expressions on rendered heads, as a corpus with a manifest.

    A subject is planned with many micro-expressions in one long video; of each of the three
    classes equally many are rendered, and of each only the two frames that are looked at.
    """
    tasks = (joblib.delayed(_render_subject)(root, number, clips) for number in range(subjects))
    with progress("Rendering heads") as tick:
        rows: list[dict[str, object]] = []
        for done, lines in enumerate(joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks), 1):
            rows += lines
            tick(Progress("render", done, subjects))
    text = StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    replace_file(root / "manifest.csv", text.getvalue().encode())


def _render_subject(root: Path, number: int, clips: int) -> list[dict[str, object]]:
    from ma2mi.synthesis.head_video import HeadVideo
    from ma2mi.video import write_frames

    count = clips * PLANNED
    plan = LongVideoSettings(
        duration_s=0.8 * count, micro_count=count, macro_count=0, speech_count=0, apart_s=0.1
    )
    seed = PLANS_FROM + number
    planned = make_long_video(make_subject(seed), seed=seed, fps=HEAD_FPS, plan=plan)
    video = HeadVideo(planned, HEADS_FROM + number, HEAD_IMAGE, HEAD_FACE)
    rows: list[dict[str, object]] = []
    for event in _of_each_class(video.of_kind("micro"), clips):
        folder = root / "clips" / f"head{number:03d}" / f"{event.onset:06d}_{event.emotion}"
        if not folder.is_dir():
            frames = (video.frame(at) for at in (event.onset, event.apex))
            unfinished = folder.with_name(f".{folder.name}")
            write_frames(unfinished, frames, pattern="img{index}.jpg", first=0)
            unfinished.replace(folder)
        rows.append(
            {
                "path": folder.relative_to(root).as_posix(),
                "subject": f"head{number:03d}",
                "onset": 0,
                "apex": 1,
                "offset": 1,
                "emotion": event.emotion,
                "aus": "+".join(event.action_units),
                "fps": HEAD_FPS,
            }
        )
    return rows


def _of_each_class(events: list[GroundTruthEvent], clips: int) -> list[GroundTruthEvent]:
    """The first ``clips`` of the events, classes in turn; a class may run out."""
    labels, _ = LABEL_SETS["synthetic-3"].encode([event.emotion for event in events])
    own = [[e for e, label in zip(events, labels, strict=True) if label == c] for c in range(3)]
    turns = [some[turn] for turn in range(clips) for some in own if turn < len(some)]
    return sorted(turns[:clips], key=lambda event: event.onset)
