"""Write synthetic corpora as real files, and read them back."""

from __future__ import annotations

import csv
import json
import shutil
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Literal

import joblib
import numpy as np

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.manifest import COLUMNS, Manifest
from ma2mi.errors import CorpusError, SettingsError, optional_part
from ma2mi.files import hold, replace_file
from ma2mi.progress import OnProgress, Progress
from ma2mi.records import Expression, Kind
from ma2mi.synthesis.clip import SyntheticClip, make_clip
from ma2mi.synthesis.settings import SyntheticSettings
from ma2mi.synthesis.subject import make_subject
from ma2mi.workers import ending_with_this

CorpusName = Literal["synthetic-micro", "synthetic-macro"]

WAIT_S = 600.0  # for another process that writes the same corpus

MICRO = SyntheticSettings()
MACRO = SyntheticSettings(
    padding_frames=8, head_drift_px=2.0, head_turn_deg=0.8, head_tremor_px=0.08, speech_rate=0.15
)
"""Macro clips are everyday video: more head motion, and some subjects talk."""

_KINDS: dict[str, tuple[Kind, Fraction, SyntheticSettings]] = {
    "synthetic-micro": ("micro", Fraction(200), MICRO),
    "synthetic-macro": ("macro", Fraction(30), MACRO),
}
_NEGATIVE = ("disgust", "repression", "anger", "sadness", "contempt", "fear")


class _Synthetic(Manifest):
    """What both synthetic corpora share."""

    def truth(self, expression: Expression) -> SyntheticClip:
        """The clip behind an expression, made anew: intensities, head motion, true flow.

        Raises:
            CorpusError: its truth file is missing.
        """
        file = self.root / "truth" / f"{Path(expression.recording.name).stem}.json"
        if not file.is_file():
            raise CorpusError("is missing", where=file, hint="Write the corpus again")
        truth = json.loads(file.read_text(encoding="utf-8"))
        return make_clip(
            make_subject(truth["person_seed"]),
            kind=truth["kind"],
            emotion=truth["emotion"],
            seed=truth["seed"],
            fps=Fraction(truth["fps"]),
            settings=SyntheticSettings(**truth["settings"]),
        )


@register("synthetic-micro")
class SyntheticMicro(_Synthetic):
    """Synthetic subjects with micro-expressions.

    Format: folders of JPEG frames (``img1.jpg`` ...) at 200 fps, 320 x 320, ``manifest.csv`` and
    ``truth/<clip>.json``; see ``write_corpus``. Classes: happiness, surprise, and six negative
    emotions. Licence: none needed, no real face is shown.
    """

    about = DataSheet(
        title="Synthetic subjects, micro-expressions",
        what="Movements of 0.2 to 0.7 px whose every value is known.",
        apply="Rendered on demand",
        licence="none needed, no real face is shown",
        citation="none",
        fps="200",
        layouts=(Layout("frames", "clips/mi001/mi001_01_happiness/img1.jpg"),),
        gated=False,
    )


@register("synthetic-macro")
class SyntheticMacro(_Synthetic):
    """Synthetic subjects, none of them in ``synthetic-micro``, with large expressions.

    Format: H.264 video at 30 fps, 320 x 320, ``manifest.csv`` and ``truth/<clip>.json``.
    """

    about = DataSheet(
        title="Synthetic subjects, macro-expressions",
        what="Large expressions of other subjects, some of which talk.",
        apply="Rendered on demand",
        licence="none needed, no real face is shown",
        citation="none",
        fps="30",
        layouts=(Layout("video", "clips/ma001/ma001_01_happiness.mp4"),),
        gated=False,
    )


def write_corpus(
    name: CorpusName,
    out: Path | str,
    *,
    subjects: int,
    clips_per_subject: int,
    seed: int,
    settings: SyntheticSettings | None = None,
    jobs: int = 1,
    size: int | None = None,
    lossless: bool = False,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write a synthetic corpus; clips that are there already are kept.

    Every subject shows happiness, surprise and the negative emotions in turn. The bytes depend on
    the arguments alone, not on ``jobs``.

    Args:
        name: "synthetic-micro" (folders of frames) or "synthetic-macro" (H.264 video).
        out: folder, made if missing.
        subjects, clips_per_subject: at least 1 each.
        seed: micro and macro corpora of one seed show different subjects.
        settings: None takes ``MICRO`` or ``MACRO``.
        jobs: processes, one subject at a time each; -1 takes all cores.
        size: side of the images in px, instead of the settings'.
        lossless: write FFV1 video (.mkv) in both kinds of corpus.
        on_progress: called after each subject.

    Returns:
        the manifest's path.

    Raises:
        SettingsError: unknown name, or no subject or clip asked for.
        CorpusError: ``out`` holds a corpus written with other arguments.
        Busy: another process has been writing it for ten minutes.
    """
    if name not in _KINDS:
        raise SettingsError(
            "is no synthetic corpus", where=name, hint=f"Known: {', '.join(_KINDS)}"
        )
    if subjects < 1 or clips_per_subject < 1:
        raise SettingsError("a corpus needs at least one subject and one clip", where=name)
    kind, fps, usual = _KINDS[name]
    settings = settings or usual
    if size is not None:
        settings = SyntheticSettings(**(settings.model_dump() | {"size": size}))
    out = Path(out)
    with hold(out, wait_s=WAIT_S):
        _claim(out, {"corpus": name, "seed": seed, "lossless": lossless, **settings.model_dump()})
        tasks = (
            joblib.delayed(ending_with_this(_write_subject))(
                out, kind, fps, settings, number, clips_per_subject, seed, lossless, alone=jobs == 1
            )
            for number in range(subjects)
        )
        rows: list[dict[str, object]] = []
        for done, lines in enumerate(joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks), 1):
            rows += lines
            if on_progress is not None:
                on_progress(Progress("render", done, subjects))
        manifest = out / "manifest.csv"
        text = StringIO()
        table = csv.DictWriter(text, (*COLUMNS, "kind"), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        replace_file(manifest, text.getvalue().encode())
        return manifest


def _claim(out: Path, arguments: dict[str, object]) -> None:
    """Write what the corpus is made of, or check that an earlier run made the same."""
    text = json.dumps(arguments, indent=1) + "\n"
    note = out / "corpus.json"
    if note.is_file() and note.read_text(encoding="utf-8") != text:
        raise CorpusError(
            "was written with other settings", where=note, hint="Choose another folder, or empty it"
        )
    (out / "truth").mkdir(parents=True, exist_ok=True)
    note.write_text(text, encoding="utf-8")


def subject_seed(kind: Kind, seed: int, number: int) -> int:
    """The seed of a corpus' subject; even for micro and odd for macro, so that none is in both."""
    stream = np.random.SeedSequence([seed, number, 0 if kind == "micro" else 1])
    return int(stream.generate_state(1)[0]) // 2 * 2 + (kind == "macro")


def _write_subject(
    out: Path,
    kind: Kind,
    fps: Fraction,
    settings: SyntheticSettings,
    number: int,
    clips: int,
    seed: int,
    lossless: bool,
    *,
    alone: bool,
) -> list[dict[str, object]]:
    if not alone:
        with optional_part("cv2", "video"):
            import cv2
        cv2.setNumThreads(1)  # or every process would take every core
    subject = f"{kind[:2]}{number + 1:03d}"
    drawn = make_subject(subject_seed(kind, seed, number))
    rows = []
    for index in range(clips):
        emotion = ("happiness", "surprise", "")[index % 3]
        emotion = emotion or _NEGATIVE[(number + index // 3) % len(_NEGATIVE)]
        name = f"{subject}_{index + 1:02d}_{emotion}"
        clip = make_clip(drawn, kind=kind, emotion=emotion, seed=index, fps=fps, settings=settings)
        folder = kind == "micro" and not lossless
        suffix = "" if folder else (".mkv" if lossless else ".mp4")
        path = out / "clips" / subject / f"{name}{suffix}"
        if not path.exists():
            _write_truth(out / "truth" / f"{name}.json", clip)
            _write_images(path, clip, folder=folder, lossless=lossless)
        rows.append(
            {
                "path": path.relative_to(out).as_posix(),
                "subject": subject,
                "onset": clip.onset,
                "apex": clip.apex,
                "offset": clip.offset,
                "emotion": emotion,
                "aus": "+".join(clip.action_units),
                "fps": str(fps) if folder else "",
                "kind": kind,
            }
        )
    return rows


def _write_images(path: Path, clip: SyntheticClip, *, folder: bool, lossless: bool) -> None:
    from ma2mi.video import write_frames, write_video

    if not folder:
        write_video(path, clip.frames(), clip.fps, lossless=lossless)
        return
    unfinished = path.with_name(f".{path.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        write_frames(unfinished, clip.frames(), pattern="img{index}.jpg", first=1)
        unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_truth(file: Path, clip: SyntheticClip) -> None:
    truth = {
        "person_seed": clip.subject.seed,
        "seed": clip.seed,
        "kind": clip.kind,
        "emotion": clip.emotion,
        "fps": str(clip.fps),
        "onset": clip.onset,
        "apex": clip.apex,
        "offset": clip.offset,
        "action_units": clip.action_units,
        "intensities": np.round(clip.intensities.astype(float), 5).tolist(),
        "blink": np.round(clip.blink.astype(float), 3).tolist(),
        "head": np.round(clip.head, 5).tolist(),
        "settings": clip.settings.model_dump(),
    }
    replace_file(file, f"{json.dumps(truth)}\n".encode())
