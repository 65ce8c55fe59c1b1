"""``ma2mi analyze``: from a user's video or camera to events for a person to review."""

from __future__ import annotations

import signal
import threading
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from ma2mi.cli import console

if TYPE_CHECKING:
    from ma2mi.analysis import AnalysisSettings
    from ma2mi.evaluation.priors import Prior
    from ma2mi.progress import Progress
    from ma2mi.records import Analysis

SHOWN = 10  # of files that are passed over
COLOURS = {"green": "green", "amber": "yellow", "red": "red"}


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `ma2mi analyze talk.mp4 --out results`, "
        "`ma2mi analyze my_videos --out results --jobs 4 --blur-faces`, `ma2mi analyze --camera 0`"
    )(analyze)


def analyze(
    videos: list[Path] = typer.Argument(None, help="Video files, or folders of videos."),
    out: Path = typer.Option(
        Path("runs/analysis"),
        help="Folder of results: one folder per video; finished ones are kept.",
    ),
    camera: int = typer.Option(
        None, min=0, help="Analyze the camera of this number instead; Ctrl-C ends."
    ),
    seconds: float = typer.Option(None, min=1, help="Seconds of the camera to analyze."),
    weights: str = typer.Option(
        "zero", help="zero, which ships with ma2mi, a folder, or none to name no classes."
    ),
    prior: str = typer.Option(
        "flat",
        help="How common the classes are taken to be: flat, megc2019 (the shares of its clips), "
        "or a share for each class as 0.6,0.2,0.2.",
    ),
    scorer: str = typer.Option(
        "learned",
        help="Detector of events: learned (from synthetic videos), or floor, which needs no "
        "training and takes the multiple of the noise floor alone.",
    ),
    threshold: float = typer.Option(
        None,
        min=0.1,
        help="Detection threshold as a multiple of the noise floor; lower finds more events and "
        "more false alarms.",
    ),
    least_score: float = typer.Option(
        None,
        min=0,
        max=1,
        help="Detection threshold on the learned score, 0 to 1; lower finds more events and more "
        "false alarms.",
    ),
    neutral: str = typer.Option(
        None,
        parser=console.stretch,
        metavar="FROM-TO",
        help="Seconds at rest: the subject's noise floor is measured there, such as 0-8.5.",
    ),
    faces: int = typer.Option(4, min=1, help="Largest number of faces tracked at a time."),
    blur_faces: bool = typer.Option(False, "--blur-faces", help="Blur faces in all results."),
    extra_videos: bool = typer.Option(
        True, "--videos/--no-videos", help="Write annotated.mp4 and magnified.mp4."
    ),
    paths: bool = typer.Option(
        True,
        "--paths/--no-paths",
        help="--no-paths leaves names and paths of the videos out of all results.",
    ),
    frame_rate: Fraction = typer.Option(
        None,
        parser=console.frame_rate,
        metavar="RATE",
        help="Frames per second of folders of frames; if there are none, the rate at which "
        "slow-motion files were recorded.",
    ),
    jobs: int = typer.Option(1, help="Videos analyzed in parallel; -1: one per core."),
) -> None:
    """Find brief facial movements: candidates for review.

    Movements below the thresholds stay in candidates.csv, each with the reason. Writes tables,
    JSON, BIDS, ELAN, BORIS, videos and a page for review. It is no lie detector and does not
    measure what a person feels. Analyse people only with their consent.
    """
    from ma2mi.analysis import AnalysisSettings
    from ma2mi.analysis.batch import find_others, find_videos
    from ma2mi.cli.settings import parse
    from ma2mi.errors import SettingsError
    from ma2mi.evaluation.priors import parse_prior
    from ma2mi.formats.responsible import CANDIDATES
    from ma2mi.spotting import SpottingSettings

    spotting = parse(
        SpottingSettings,
        {
            "scorer": scorer,
            "threshold": threshold,
            "least_score": least_score,
            "neutral_s": neutral,
        },
    )
    settings = AnalysisSettings(most_faces=faces, spotting=spotting)
    known = None if weights == "none" else weights
    recognition: dict[str, Any] = {"weights": known, "prior": parse_prior(prior)}
    if camera is not None:
        if videos:
            raise SettingsError("takes no video files", where="--camera", hint="Leave one out")
        _watch_camera(camera, out, seconds, recognition, settings, blur_faces)
        return
    if not videos:
        raise SettingsError("no video given", hint="Name files or folders, or --camera 0")
    found = find_videos(videos, fps=frame_rate)
    others = find_others(videos)
    if others:
        names = ", ".join(map(str, others[:SHOWN])) + (" ..." if len(others) > SHOWN else "")
        console.out.print(f"passed over, name them to analyze them: {names}")
    if not found:
        raise SettingsError(
            "hold no videos", where=", ".join(map(str, videos)), hint="Name video files"
        )
    _check_weights(known, recognition["prior"])  # before the work
    options = {
        **recognition,
        "settings": settings,
        "fps": frame_rate,
        "blur_faces": blur_faces,
        "videos": extra_videos,
        "show_paths": paths,
    }
    failures = _watch_videos(found, out, jobs, options)
    console.out.print(f"\n{CANDIDATES}")
    console.list_failures(failures)
    console.finish(failures)


def _check_weights(weights: str | None, prior: Prior) -> None:
    """Refuse weights that are no recognizer's, and a prior of other classes or of none.

    Raises:
        CheckpointError, SettingsError: with the hint.
    """
    from ma2mi.errors import SettingsError
    from ma2mi.evaluation.priors import prior_offsets
    from ma2mi.training.checkpoint import find_weights, read_config
    from ma2mi.training.recognizer import recognizer_settings

    if weights is None:
        if prior != "flat":
            raise SettingsError(
                "is for weights that name classes",
                where="--prior",
                hint="Leave it out, or take --weights zero",
            )
        return
    folder = find_weights(weights)
    prior_offsets(prior, recognizer_settings(read_config(folder), folder).classes)


def _watch_videos(paths: list[Path], out: Path, jobs: int, options: dict[str, Any]) -> list[str]:
    from ma2mi.analysis.batch import analyze_all
    from ma2mi.analysis.run import one_thread_each
    from ma2mi.progress import Progress

    several = len(paths) > 1
    failures = []
    with one_thread_each(), console.progress("videos" if several else "frames") as tick:
        if not several:
            options["on_progress"] = lambda p: tick(p) if p.step == "watch" else None
        outcomes = analyze_all(paths, out, jobs=jobs if several else 1, **options)
        for done, outcome in enumerate(outcomes, start=1):
            if several:
                tick(Progress("videos", done, len(paths)))
            if outcome.analysis is None:
                failures.append(outcome.failure)
            else:
                _say(outcome.analysis, out)
    return failures


def _say(analysis: Analysis, out: Path) -> None:
    console.out.print(
        f"{analysis.name}: ",
        Text(analysis.level, COLOURS[analysis.level]),
        f", {count_events(analysis)}; {out / analysis.name / 'report.html'}",
        sep="",
    )
    for line in (*analysis.reasons, *analysis.notes):
        console.out.print(f"  {line}", markup=False)


def count_events(analysis: Analysis) -> str:
    """How many events of each kind, and how many candidates stay below the threshold."""
    counts = {
        kind: sum(event.kind == kind for event in analysis.events)
        for kind in ("micro", "macro", "blink", "speech")
    }
    found = [f"{number} {kind}" for kind, number in counts.items() if number] or ["no event"]
    below = len(analysis.candidates)
    if below:
        found.append(f"{below} {'candidate' if below == 1 else 'candidates'} below the threshold")
    return ", ".join(found)


def _watch_camera(
    number: int,
    out: Path,
    seconds: float | None,
    recognition: dict[str, Any],
    settings: AnalysisSettings,
    blur_faces: bool,
) -> None:
    from ma2mi.analysis import analyze_camera

    ended = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: ended.set())
    console.out.print(
        f"watching camera {number}, Ctrl-C ends; events are reported up to "
        f"{settings.spotting.delay_s:.0f} s late"
    )
    try:
        analysis = analyze_camera(
            number,
            out,
            on_progress=_print_event,
            seconds=seconds,
            stop=ended.is_set,
            **recognition,
            settings=settings,
            blur_faces=blur_faces,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    _say(analysis, out)


def _print_event(progress: Progress) -> None:
    if progress.detail is not None:
        console.out.print(f"{progress.detail.onset_s:8.2f} s  {progress.detail.words}")
