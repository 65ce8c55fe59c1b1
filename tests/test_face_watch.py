"""Faces over a whole video: long pauses, faces that never return, hidden regions, the process."""

from __future__ import annotations

import csv
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from ma2mi.analysis import VideoAnalyzer, analyze
from ma2mi.analysis.evidence import without_areas
from ma2mi.analysis.faces import ExaminedEvent, FaceAnalyzer, FinishedFace
from ma2mi.analysis.summary import summarise
from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.quality_monitor import QualityMonitor
from ma2mi.face.track import REMEMBERED, FaceTracker
from ma2mi.formats.exports import EXPORTS, without_paths
from ma2mi.records import Analysis, DetectedEvent, Reading
from ma2mi.spotting import Spotted
from ma2mi.video import Frame
from smiles import pull_corners

Image = np.ndarray
MASK = Path(__file__).parents[2] / "shared" / "cases" / "faces" / "surgical_mask.mp4"
FPS = 25
BEHIND_THE_MASK = ("nose_wing", "cheek", "lip", "chin")


@cache
def portrait() -> Image:
    """NASA's Eileen Collins, 240 x 250 px."""
    return np.ascontiguousarray(astronaut()[0:250, 90:330])


@cache
def real_face() -> Face:
    (face,) = FaceDetector().detect(portrait())
    return face


class Known:
    """A detector that knows the faces: the same landmarks, wherever it is asked."""

    def __init__(self, *shifts: int) -> None:
        self.shifts = shifts or (0,)

    def _faces(self) -> list[Face]:
        return [moved(real_face(), shift) for shift in self.shifts]

    def detect(self, image: Image, known: Sequence[Face] = ()) -> list[Face]:
        return self._faces()

    def follow(self, image: Image, face: Face) -> Face | None:
        return next((one for one in self._faces() if one.box == face.box), None)


def moved(face: Face, dx: int) -> Face:
    x0, y0, x1, y1 = face.box
    shift = np.array([dx, 0], np.float32)
    return Face(face.points + shift, face.confidence, (x0 + dx, y0, x1 + dx, y1))


def smile(amount: float, noise: np.random.Generator) -> Image:
    """The portrait with its lip corners pulled up and out by so many pixels."""
    picture = pull_corners(portrait(), real_face(), amount)
    return np.clip(np.round(picture + noise.normal(0, 1.5, picture.shape)), 0, 255).astype(np.uint8)


@cache
def smiling(pause_s: float) -> tuple[list[ExaminedEvent], VideoAnalyzer]:
    """A brief smile in frames 60 to 70; after frame 199 a pause, and 1 s more."""
    rng = np.random.default_rng(0)
    analyzer, found = VideoAnalyzer(Known()), []
    for index in range(225):
        amount = 1.25 * (1 - np.cos(2 * np.pi * (index - 60) / 10)) if 60 <= index <= 70 else 0.0
        time_s = Fraction(index, FPS) + (Fraction(pause_s) if index >= 200 else 0)
        found += analyzer.push(Frame(index, time_s, smile(amount, rng)))
    return found + analyzer.finish(), analyzer


@pytest.mark.parametrize("pause_s", [45.0, 600.0])
def test_events_before_a_long_pause_keep_their_times(pause_s: float) -> None:
    found, analyzer = smiling(pause_s)
    without, _ = smiling(0.0)
    (event,) = [one.event for one in found if one.event.kind == "micro" and not one.event.reason]
    (same,) = [one.event for one in without if one.event.kind == "micro" and not one.event.reason]
    assert abs(event.onset - same.onset) <= 2
    for one in (event, same):
        assert one.onset_s == pytest.approx(one.onset / FPS)
        assert one.apex_s == pytest.approx(one.apex / FPS)
        assert one.offset_s == pytest.approx(one.offset / FPS)
    assert "not examined" not in event.flags  # its crops were still there
    for one in found:
        for frame, time_s in (
            (one.event.onset, one.event.onset_s),
            (one.event.offset, one.event.offset_s),
        ):
            assert time_s == pytest.approx(frame / FPS + (pause_s if frame >= 200 else 0))
    assert analyzer.fps == FPS
    analysis = summarise(analyzer, name="smile", source="smile.mp4", about={})
    assert analysis.fps == FPS
    assert analysis.level != "red"
    assert any(reason.startswith("25 frames a second") for reason in analysis.reasons)


class Passing:
    """A new face every half second, each unlike the others, for as long."""

    def __init__(self) -> None:
        self.count = 0

    def detect(self, image: Image, known: Sequence[Face] = ()) -> list[Face]:
        return [real_face()]

    def follow(self, image: Image, face: Face) -> Face | None:
        return None if self.count % 2 else real_face()


def test_of_faces_that_never_return_only_a_summary_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No subject looks like one before.
    monkeypatch.setattr(FaceTracker, "_known", lambda self, face, look, time_s: None)
    detector = Passing()
    analyzer = VideoAnalyzer(detector)
    image = smile(0.0, np.random.default_rng(0))
    subjects = 40
    for index in range(2 * subjects):
        detector.count = index
        analyzer.push(Frame(index, Fraction(index, 2), image))
    analyzer.finish()
    kinds = [type(face) for face in analyzer.faces.values()]
    assert len(kinds) > subjects / 2
    assert kinds.count(FaceAnalyzer) <= REMEMBERED + 4
    assert kinds[0] is FinishedFace
    assert list(analyzer.faces) == sorted(analyzer.faces)
    analysis = summarise(analyzer, name="crowd", source="crowd.mp4", about={})
    assert len(analysis.faces) == len(kinds)
    past = analysis.faces[0]
    assert past.frames >= 1
    assert past.first_s == 0.0
    assert past.size_px == pytest.approx(analysis.faces[-1].size_px)


def test_a_past_face_says_what_it_said() -> None:
    _, analyzer = smiling(0.0)
    (face,) = analyzer.faces.values()
    past = FinishedFace(face)
    for frames in (225, 600):
        assert past.facts(frames) == face.facts(frames)
    assert past.knows_neutral is False


# Hidden regions


def test_a_surgical_mask_end_to_end(ma2mi, tmp_path: Path) -> None:
    if not MASK.is_file():
        pytest.skip(f"{MASK} is not here")
    code, out, _ = ma2mi("analyze", MASK, "--out", tmp_path / "out", "--no-videos")
    assert code == 0
    assert "parts of the face are hidden: mouth 100%, nose 100% of the time" in out
    folder = tmp_path / "out" / "surgical_mask"
    with (folder / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert not any(part in row["regions"] for part in BEHIND_THE_MASK)
        assert not row["label"]
        assert not any(row.get(f"au_{unit}") for unit in ("6", "9", "10", "12", "15", "25", "26"))
    page = (folder / "report.html").read_text("utf-8")
    assert "parts of the face are hidden" in page


def test_what_leads_behind_a_mask_is_a_candidate_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, analyzer = smiling(0.0)
    (face,) = analyzer.faces.values()
    monkeypatch.setattr(
        QualityMonitor, "hidden_between", lambda self, *times, share=0.0: ("nose", "mouth")
    )
    mouth = Spotted("micro", 60, 65, 70, 0.9, 9.0, ("upper_lip", "left_inner_brow"))
    event = face.decide(mouth, 1, None).event
    assert event.reason == "led by the mouth, which is hidden"
    assert event.regions == ("left_inner_brow",)
    assert event.reading is None
    brow = replace(mouth, regions=("left_inner_brow", "upper_lip"))
    event = face.decide(brow, 2, None).event
    assert event.reason == ""
    assert event.regions == ("left_inner_brow",)
    assert "mouth hidden meanwhile" in event.flags


def test_a_reading_beside_a_mask_names_nothing_of_it() -> None:
    units = {"1": 0.9, "4": 0.2, "12": 0.8, "9": 0.7, "7": 0.1}
    reading = Reading("k", {"happiness": 1.0}, units)
    seen = without_areas(reading, ("nose", "mouth"))
    assert set(seen.action_units) == {"1", "4", "7"}
    assert seen.abstained
    assert set(without_areas(reading, ("brows", "eyes")).action_units) == {"12", "9"}


# Nothing that says what the video is called


def named(name: str, source: Path) -> Analysis:
    times = {"onset_s": 0.2, "apex_s": 0.32, "offset_s": 0.48}
    known = {"face": 0, "event_id": 1, "score": 0.9, "floor_multiple": 5.0, "regions": ("chin",)}
    event = DetectedEvent("micro", 5, 8, 12, **times, **known)
    _, analyzer = smiling(0.0)
    notes = (
        f"{source}: breaks off after frame 9 (0.400 s)",
        f"{source.name} could not be copied",
        "1 hard cut: measuring starts anew after each, and no event spans one",
    )
    about = {"input": "abc"}
    analysis = summarise(analyzer, name=name, source="", about=about, notes=notes, events=[event])
    return replace(analysis, source=str(source))


def test_exports_without_paths(tmp_path: Path) -> None:
    video = tmp_path / "Maria Musterfrau" / "therapy_7.mp4"
    video.parent.mkdir()
    video.write_bytes(b"0")
    analysis = without_paths(named("video-1a2b3c4d", video), video)
    assert analysis.source == ""
    assert analysis.notes[:2] == (
        "the video: breaks off after frame 9 (0.400 s)",
        "the video could not be copied",
    )
    assert analysis.notes[2].startswith("1 hard cut")
    out = tmp_path / "out"
    out.mkdir()
    for write in EXPORTS.values():
        write(analysis, out)
    for path in out.iterdir():
        content = path.read_text("utf-8")
        for word in ("Musterfrau", "therapy", str(tmp_path), str(Path.cwd())):
            assert word not in content + path.name, path.name
    project = json.loads((out / "video-1a2b3c4d.boris").read_text("utf-8"))
    assert project["observations"]["video-1a2b3c4d"]["file"]["1"] == ["video-1a2b3c4d"]


def test_a_folder_called_like_a_word_leaves_notes_alone(tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    analysis = without_paths(named("video", folder), folder)
    assert analysis.notes[2].startswith("1 hard cut")
    assert str(tmp_path) not in "".join(analysis.notes)


# The process


def test_an_embedder_stays_as_it_was(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from ma2mi.video import write_video

    rng = np.random.default_rng(0)
    path = tmp_path / "a.mp4"
    write_video(path, [smile(0.0, rng) for _ in range(30)], FPS)
    before_threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(3)
    torch.set_num_threads(3)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            filters, hook, stderr = list(warnings.filters), sys.excepthook, sys.stderr
            for blur in (False, True):
                analyze(path, tmp_path / f"out{blur}", blur_faces=blur)
            assert list(warnings.filters) == filters
            assert (sys.excepthook, sys.stderr) == (hook, stderr)
        assert cv2.getNumThreads() == 3
        assert torch.get_num_threads() == 3
    finally:
        cv2.setNumThreads(before_threads[0])
        torch.set_num_threads(before_threads[1])
