"""A fake of one's own annotated recordings: what a coder leaves behind, in each tool's files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from ma2mi.datasets.annotations import LABELS, Annotations
from ma2mi.formats.annotation_files import Annotation, write_annotations
from ma2mi.progress import Progress
from ma2mi.testing.base import Fake, Order, fake_of, layout_names
from ma2mi.testing.macro import rendered_faces
from ma2mi.testing.sheets import Table, write_table

_FPS = Fraction(30)
# Emotion, the coder's word, first frame.
_MARKS = (("anger", "frown", 6), ("happiness", "smile", 24), ("surprise", "brows", 42))
_RAMP = (0, 0, 1, 1, 2, 2, 1, 1, 0, 0)  # of rest, half way, peak; the marked frames
_FRAMES = 58


@fake_of("annotations")
class FakeAnnotations(Fake):
    """Three subjects, one video each; marked are frown, smile and raised brows, 1/3 s each."""

    layouts = layout_names(Annotations.about.layouts)

    def write(self, out: Path, order: Order) -> None:
        from ma2mi.video import write_video

        for number in range(1, 4):
            subject = f"{number:02d}"
            video = out / f"sub-{subject}" / f"sub-{subject}_task-film_video.mp4"
            rest = rendered_faces(number, "happiness")[0]
            images = [rest] * _FRAMES
            for emotion, _, first in _MARKS:
                faces = rendered_faces(number, emotion)
                images[first : first + len(_RAMP)] = [faces[i] for i in _RAMP]
            video.parent.mkdir(parents=True, exist_ok=True)
            write_video(video, images, _FPS)
            marks = [
                Annotation(
                    first / _FPS,
                    (first + len(_RAMP)) / _FPS,
                    word,
                    "expression",
                    video.name,
                    subject,
                    (first + 4) / _FPS,
                )
                for _, word, first in _MARKS
            ]
            stem = {
                "elan": f"{video.stem}.eaf",
                "boris": f"{video.stem}.boris",
                "bids": f"{video.stem.removesuffix('_video')}_events.tsv",
                "table": f"{video.stem}.csv",
            }[order.layout]
            write_annotations(marks, video.with_name(stem))
            if order.on_progress:
                order.on_progress(Progress("render", number, 3))
        meanings: Table = [["label", "emotion"], ["apex", "apex"]]
        meanings += [[word, emotion] for emotion, word, _ in _MARKS]
        write_table(out / LABELS, meanings)
