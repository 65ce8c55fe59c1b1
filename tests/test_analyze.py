"""A user's video from end to end, on NASA's public-domain portrait of Eileen Collins."""

from __future__ import annotations

import csv
import json
import os
import pickle
import resource
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage.data import astronaut

import ma2mi
from ma2mi.analysis import AnalysisSettings, VideoAnalyzer, analyze, watch_frames
from ma2mi.analysis import batch as batches
from ma2mi.analysis import run as analysis_run
from ma2mi.analysis.evidence import Evidence, Stretch
from ma2mi.analysis.faces import ValueSample
from ma2mi.analysis.results_folder import folder_name
from ma2mi.analysis.run import analyze_camera
from ma2mi.analysis.state import STATE
from ma2mi.errors import Ma2miError, StoreError, VideoError
from ma2mi.face.boxes import iou
from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.track import FaceTracker
from ma2mi.formats.tables import read_json
from ma2mi.records import Interval
from ma2mi.report.videos import coarse
from ma2mi.spotting import Spotted, SpottingSettings
from ma2mi.spotting.records import BLINK, HEAD
from ma2mi.synthesis import make_subject
from ma2mi.synthesis.long_video import make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.video import Frame, camera, read_frames
from ma2mi.video.camera import camera_frames
from smiles import pull_corners

FPS = 25
COUNT = 200
FILES = {
    "analysis.json", "events.csv", "events.columns.json", "candidates.csv",
    "candidates.columns.json", "frames.csv", "frames.columns.json",
    "report.html", "environment.json", "annotated.mp4",
}  # fmt: skip


@cache
def portrait():
    """uint8 [200, 240, 3] with one face, about 100 px wide."""
    return np.ascontiguousarray(astronaut()[0:250, 70:370][::1])


@cache
def real_detector():
    return FaceDetector()


@cache
def real_face():
    (face,) = real_detector().detect(portrait())
    return face


class Held:
    """A detector that knows where the portrait's face is, and looks whether it is there."""

    def __init__(self, *shifts):
        self.shifts = shifts or ((0, 0),)
        self.looks = 0

    def _faces(self, image):
        found = []
        for dx, dy in self.shifts:
            face = moved(real_face(), dx, dy)
            x0, y0, x1, y1 = (round(v) for v in face.box)
            if image[y0:y1, x0:x1].std() > 25:
                found.append(face)
        return found

    def detect(self, image, known=()):
        self.looks += 1
        return self._faces(image)

    def follow(self, image, face):
        near = [f for f in self._faces(image) if iou(f.box, face.box) > 0.5]
        return near[0] if near else None


def moved(face, dx, dy):
    x0, y0, x1, y1 = face.box
    shift = np.array([dx, dy], np.float32)
    return Face(face.points + shift, face.confidence, (x0 + dx, y0 + dy, x1 + dx, y1 + dy))


def smile(amount, noise=None):
    """The portrait with its lip corners pulled up and out by so many pixels."""
    picture = pull_corners(portrait(), real_face(), amount)
    if noise is not None:
        picture = picture + noise.normal(0, 1.5, picture.shape)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def encode(path, images, *, times=None, codec="libx264", pixels="yuv420p", rotation=0):
    """A video of these images; ``times`` in thousandths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = times[index] if times else index * 1000 // FPS
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def still(count=12):
    return [portrait()] * count


def rows_of(folder, name="frames.csv"):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def smiling(tmp_path_factory):
    """8 s with one brief smile: frames 60 to 70, strongest at 65."""
    rng = np.random.default_rng(0)
    swell = np.zeros(COUNT)
    swell[60:71] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(11) / 10)
    images = [smile(2.5 * s, rng) for s in swell]
    return encode(tmp_path_factory.mktemp("videos") / "smile.mp4", images, codec="libx264")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Weights that have learned nothing, small enough to be fast."""
    torch = pytest.importorskip("torch")
    from ma2mi.models.catalog import build_model
    from ma2mi.training.recognizer import Recognizer, RecognizerSettings

    torch.manual_seed(0)
    small = {"action_stem": (16,), "action_stages": (16, 32), "position_stages": (16, 16, 32)}
    settings = RecognizerSettings()
    config = {
        "model": "miacnet-tiny",
        "classes": settings.outputs,
        "settings": small,
        "size": 112,
        "recognizer": settings.model_dump(mode="json"),
    }
    folder = tmp_path_factory.mktemp("weights") / "mine"
    config = json.loads(json.dumps(config))
    Recognizer(build_model("miacnet-tiny", settings.outputs, **small), config).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def result(smiling, model, tmp_path_factory):
    """The analysis of the smile and its folder."""
    out = tmp_path_factory.mktemp("results")
    reported = []
    analysis = analyze(smiling, out, weights=model, detector=Held(), on_progress=reported.append)
    return analysis, out / "smile", reported


# From file to folder


def test_a_brief_smile_is_found_and_read(result):
    analysis = result[0]
    (event,) = [e for e in analysis.events if e.kind == "micro"]
    assert abs(event.onset - 60) <= 3
    assert abs(event.apex - 65) <= 1
    assert abs(event.offset - 70) <= 3
    assert event.regions[0].endswith("lip_corner")
    assert event.apex_s == pytest.approx(event.apex / FPS)
    assert sum(event.reading.probabilities.values()) == pytest.approx(1)
    assert len(event.reading.action_units) == 12
    assert analysis.level in ("green", "amber")
    assert [face.face_id for face in analysis.faces] == [0]
    assert analysis.fps == pytest.approx(FPS)


def test_the_folder_holds_everything(result):
    analysis, folder, _ = result
    names = {path.name for path in folder.iterdir()}
    assert FILES | {"smile.eaf", "smile.boris", "magnified.mp4", "pictures"} <= names
    assert {"sub-smile_task-video_events.tsv", "sub-smile_task-video_events.json"} <= names
    (event,) = [e for e in analysis.events if e.kind == "micro"]
    stem = f"face0-frame{event.onset:06d}-{event.offset:06d}"
    kinds = {"onset", "apex", "flow", "heat"}
    shown = {path.name for path in (folder / "pictures").iterdir()}
    assert {f"{stem}-{kind}.png" for kind in kinds} <= shown
    page = (folder / "report.html").read_text("utf-8")
    assert page.count("data:image/png") >= 4
    assert "data:image/jpeg" in page
    assert read_json(folder / "analysis.json") == analysis


def test_rows_are_the_decoded_frames(result, smiling):
    rows = rows_of(result[1])
    frames = [frame.time_s for frame in read_frames(smiling)]
    assert [int(row["frame"]) for row in rows] == list(range(len(frames))) == list(range(COUNT))
    for row, time_s in zip(rows, frames, strict=True):
        assert float(row["timestamp"]) == pytest.approx(float(time_s - frames[0]), abs=1e-6)
    moving = max(rows, key=lambda row: float(row["movement_px"] or 0))
    assert 58 <= int(moving["frame"]) <= 74
    drawn = list(read_frames(result[1] / "annotated.mp4"))
    assert len(drawn) == COUNT


def test_progress_is_reported(result):
    reported = result[2]
    watched = [p.done for p in reported if p.step == "watch" and p.detail is None]
    assert watched == list(range(1, COUNT + 1))
    assert {p.total for p in reported if p.step == "watch"} == {COUNT}
    assert [p.detail.kind for p in reported if p.detail] == [e.kind for e in result[0].events]
    assert reported[-1].step == "write"
    assert reported[-1].done == reported[-1].total


def test_what_is_done_is_not_done_again(result, smiling, model):
    out = result[1].parent
    before = (result[1] / "analysis.json").stat().st_mtime_ns

    def never(progress):
        raise RuntimeError("it works again")

    assert analyze(smiling, out, weights=model, detector=Held(), on_progress=never) == result[0]
    assert (result[1] / "analysis.json").stat().st_mtime_ns == before
    with pytest.raises(RuntimeError, match="works again"):
        analyze(smiling, out, weights=None, detector=Held(), on_progress=never)
    # Interrupted: the old result is untouched, and nothing half done is left.
    assert (result[1] / "analysis.json").stat().st_mtime_ns == before
    assert [path.name for path in out.iterdir()] == ["smile"]


def test_a_stream_tells_the_same_event_with_bounded_delay(smiling):
    spotting = SpottingSettings(margin_s=3.5)
    seen = []

    def frames():
        for frame in read_frames(smiling):
            seen.append(float(frame.time_s))
            yield frame

    settings = AnalysisSettings(spotting=spotting)
    reported = [(e, seen[-1]) for e in watch_frames(frames(), detector=Held(), settings=settings)]
    ((event, when),) = [(e, when) for e, when in reported if e.kind == "micro"]
    assert event.apex_s < when <= event.apex_s + spotting.delay_s + 0.1
    assert when < seen[-1]  # while the stream still runs
    whole = analyze(smiling, weights=None, detector=Held(), settings=settings)
    assert [replace(event, event_id=e.event_id) for e in whole.events if e.kind == "micro"] == [
        e for e in whole.events if e.kind == "micro"
    ]


def test_events_keep_the_frames_of_rendered_movements():
    """Through the whole pipeline: the crops' own curve once put the apex 200 ms beside them."""
    plan = LongVideoSettings(duration_s=9, micro_count=1, macro_count=1, speech_count=0)
    video = make_long_video(make_subject(2102), seed=2, fps=Fraction(30), plan=plan)
    frames = (Frame(i, Fraction(i, 30), video.frame(i)) for i in range(video.frame_count))
    events = [event for event in watch_frames(frames) if event.kind in ("micro", "macro")]
    for truth in video.of_kind("micro", "macro"):
        (event,) = [e for e in events if truth.onset <= e.apex <= truth.offset]
        reported = Interval(event.onset, event.offset)
        assert event.kind == truth.kind
        assert truth.interval.iou(reported) >= 0.8
        assert abs(event.apex - truth.apex) <= 2


def test_blurred_faces_are_gone_from_everything(smiling, tmp_path, result):
    hidden = analyze(smiling, tmp_path, weights=None, detector=Held(), blur_faces=True)
    assert [e.apex_s for e in hidden.events] == [e.apex_s for e in result[0].events]
    folder = tmp_path / "smile"
    assert not (folder / "magnified.mp4").exists()
    assert "data:image/jpeg" not in (folder / "report.html").read_text("utf-8")

    def detail(image):
        return float(cv2.Laplacian(image, cv2.CV_64F).std())

    for path in (folder / "pictures").glob("*-onset.png"):
        open_face = cv2.imread(str(result[1] / "pictures" / path.name))
        assert detail(cv2.imread(str(path))) < 0.2 * detail(open_face)
    frame = next(iter(read_frames(folder / "annotated.mp4"))).image
    shown = next(iter(read_frames(result[1] / "annotated.mp4"))).image
    x0, y0, x1, y1 = (round(v) for v in real_face().box)
    inside = slice(y0 + 10, y1 - 10), slice(x0 + 10, x1 - 10)
    assert detail(frame[inside]) < 0.2 * detail(shown[inside])
    assert not real_detector().detect(frame)


def test_no_emotion_from_a_poor_recording(model, tmp_path):
    rng = np.random.default_rng(1)
    swell = np.zeros(40)
    swell[18:22] = (0.6, 1, 1, 0.6)
    images = [smile(3 * s, rng) for s in swell]
    times = [i * 200 for i in range(40)]  # 5 fps: a brief movement gets one frame
    path = encode(tmp_path / "slow.mp4", images, times=times)
    analysis = analyze(path, tmp_path / "out", weights=model, detector=Held())
    assert analysis.level == "red"
    assert any("frames a second" in reason for reason in analysis.reasons)
    assert all(event.reading is None for event in analysis.events)
    assert not list((tmp_path / "out" / "slow").rglob("*heat.png"))
    assert "No emotions are named" in (tmp_path / "out" / "slow" / "report.html").read_text("utf-8")


def test_a_still_picture_has_no_events(tmp_path):
    rng = np.random.default_rng(2)
    path = encode(tmp_path / "photo.mp4", [smile(0, rng) for _ in range(90)])
    assert analyze(path, weights=None, detector=Held()).events == ()


# Faces


def test_a_named_neutral_stretch_is_reported(smiling):
    for stretch, reported in (
        ((0, 2.2), "face 0: neutral from 0 to 2.2 s"),
        ((20, 25), "face 0: neutral from 20 to 25 s, where it was not seen for a whole second"),
    ):
        settings = AnalysisSettings(spotting=SpottingSettings(neutral_s=stretch))
        analysis = analyze(smiling, weights=None, detector=Held(), settings=settings)
        assert reported in analysis.notes
        assert [e.kind for e in analysis.events if e.kind == "micro"] == ["micro"]


def test_ids_are_kept():
    """Two faces; one leaves and returns at another place, the numbers stay."""
    width = portrait().shape[1]
    other = np.ascontiguousarray(portrait()[:, ::-1])
    other = cv2.convertScaleAbs(other, alpha=0.6, beta=40)
    blank = np.full_like(portrait(), 128)
    detector = real_detector()
    tracker = FaceTracker(detector)

    def ids(left, right, time_s):
        found = tracker.push(np.ascontiguousarray(np.hstack([left, right])), time_s)
        return {number: face.box[0] < width for number, face in found.items()}

    assert ids(portrait(), blank, 0.0) == {0: True}
    assert ids(portrait(), other, 1.1) == {0: True, 1: False}
    assert ids(blank, other, 1.2) == {1: False}
    assert ids(blank, blank, 1.3) == {}
    assert ids(blank, portrait(), 9.0) == {0: False}


def test_faces_are_looked_for_now_and_then():
    detector = Held()
    tracker = FaceTracker(detector)
    for index in range(50):
        tracker.push(portrait(), index / FPS)
    assert detector.looks == 2  # at the start and after a second
    blank = np.full_like(portrait(), 128)
    for index in range(50, 100):
        assert tracker.push(blank, index / FPS) == {}
    assert 9 <= detector.looks - 2 <= 13  # five times a second, and at once when it was lost
    assert list(tracker.push(portrait(), 4.2)) == [0]


def test_only_so_many_faces_are_followed():
    images = np.ascontiguousarray(np.hstack([portrait()] * 3))
    step = portrait().shape[1]
    detector = Held((0, 0), (step, 0), (2 * step, 0))
    assert len(FaceTracker(detector, most=2).push(images, 0.0)) == 2
    assert len(FaceTracker(detector).push(images, 0.0)) == 3


def test_iou():
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_a_sample_is_spread_evenly_and_small():
    sample = ValueSample()
    for value in range(100_000):
        sample.add(float(value))
    assert 512 <= len(sample.values) <= 1024
    assert float(np.median(sample.values)) == pytest.approx(50_000, rel=0.02)
    steps = np.diff(sample.values)
    assert (steps == steps[0]).all()


def test_memory_is_held_down():
    settings = AnalysisSettings(rate=1.0)
    analyzer = VideoAnalyzer(Held(), settings=settings)
    for index in range(26 * 5):
        # Five frames a second: 26 s, more than is kept.
        analyzer.push(Frame(index, Fraction(index, 5), portrait()))
    (face,) = analyzer.faces.values()
    assert len(face._crops) <= 5 * settings.memory_s + 1
    assert face._crops[-1][0] == 129


# Bad input: a defined outcome for each


def one_line(path, match, **options):
    with pytest.raises(Ma2miError, match=match) as raised:
        analyze(path, path.parent / "out", weights=None, detector=Held(), **options)
    assert "\n" not in str(raised.value)
    assert not list((path.parent / "out").glob("*")) or not (path.parent / "out").exists()


def test_files_that_are_no_video_are_one_line(tmp_path):
    empty, words = tmp_path / "empty.mp4", tmp_path / "words.mp4"
    empty.write_bytes(b"")
    words.write_text("no video at all\n" * 100)
    one_line(empty, "has zero bytes")
    one_line(words, "is not a video that ffmpeg can read")
    one_line(tmp_path / "missing.mp4", "does not exist")
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
    one_line(sound, "holds no picture")


def finished(path, **options):
    """Analyse into a folder beside the video: the analysis and the rows."""
    options = {"weights": None, "detector": Held()} | options
    analysis = analyze(path, path.parent / "out", **options)
    folder = path.parent / "out" / analysis.name
    assert not FILES - {p.name for p in folder.iterdir()}
    rows = rows_of(folder)
    assert len({row["frame"] for row in rows}) == analysis.frames
    return analysis, rows


def test_truncated(tmp_path):
    rng = np.random.default_rng(0)
    images = [smile(0, rng) for _ in range(60)]
    whole = encode(tmp_path / "whole.mkv", images, codec="mpeg4").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    analysis, rows = finished(path)
    assert 0 < len(rows) < 60
    assert any("breaks off" in note for note in analysis.notes)


def test_one_frame(tmp_path):
    analysis, rows = finished(encode(tmp_path / "one.mp4", still(1)))
    assert (len(rows), analysis.events, analysis.level) == (1, (), "red")
    assert analysis.reasons == ("a single frame shows no movement",)


def test_variable_frame_rate(tmp_path):
    times = [0, 40, 80, 200, 240, 700, 740, 780]
    analysis, rows = finished(encode(tmp_path / "vfr.mkv", still(8), times=times))
    assert [round(1000 * float(row["timestamp"])) for row in rows] == times
    assert analysis.fps == 25  # by the usual step: pauses are no frame rate


@pytest.mark.parametrize("rotation", [90, 180])
def test_rotation_metadata(tmp_path, rotation):
    # The stored picture lies on its side; the file asks for it to be turned upright.
    lying = np.ascontiguousarray(np.rot90(portrait(), -rotation // 90))
    path = encode(tmp_path / "turned.mp4", [lying] * 4, rotation=rotation)
    analysis, rows = finished(path)
    assert (analysis.width, analysis.height) == portrait().shape[1::-1]
    assert {row["success"] for row in rows} == {"1"}


def test_odd_sizes(tmp_path):
    odd = np.ascontiguousarray(portrait()[:249, :299])
    analysis, rows = finished(encode(tmp_path / "odd.mkv", [odd] * 4, codec="ffv1", pixels="bgr0"))
    assert (analysis.width, analysis.height) == (299, 249)
    assert {row["success"] for row in rows} == {"1"}


@pytest.mark.parametrize(
    ("codec", "pixels"), [("ffv1", "gray"), ("ffv1", "yuv420p10le"), ("ffv1", "gray16le")]
)
def test_grey_and_deep(tmp_path, codec, pixels):
    _, rows = finished(encode(tmp_path / "deep.mkv", still(4), codec=codec, pixels=pixels))
    assert {row["success"] for row in rows} == {"1"}


def test_4k_and_tiny(tmp_path):
    large = cv2.resize(portrait(), (3840, 2160))
    _, rows = finished(encode(tmp_path / "large.mp4", [large] * 2), detector=real_detector())
    assert {row["success"] for row in rows} == {"1"}
    drawn = next(iter(read_frames(tmp_path / "out" / "large" / "annotated.mp4"))).image
    assert drawn.shape == (540, 960, 3)
    tiny = cv2.resize(portrait(), (16, 16))
    analysis, _ = finished(
        encode(tmp_path / "tiny.mkv", [tiny] * 2, codec="ffv1", pixels="bgr0"),
        detector=real_detector(),
    )
    assert analysis.level == "red"


def cartoon():
    """Circles that only humans see as a face."""
    image = np.full((240, 320, 3), 240, np.uint8)
    cv2.circle(image, (160, 120), 80, (250, 220, 60), -1)
    for x in (130, 190):
        cv2.circle(image, (x, 100), 8, (0, 0, 0), -1)
    cv2.ellipse(image, (160, 140), (40, 25), 0, 20, 160, (0, 0, 0), 3)
    return image


def test_no_face_and_a_cartoon(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    for name, image in {"noise": noise, "cartoon": cartoon()}.items():
        analysis, rows = finished(
            encode(tmp_path / f"{name}.mp4", [image] * 4), detector=real_detector()
        )
        assert (analysis.level, analysis.reasons) == ("red", ("no face is seen",))
        assert analysis.faces == analysis.events == ()
        assert [(row["face_id"], row["success"]) for row in rows] == [("", "0")] * 4
        page = (tmp_path / "out" / name / "report.html").read_text("utf-8")
        assert "No face was found" in page


def test_profile(tmp_path):
    """Half a face squeezed: found or not, every frame has its row."""
    squeezed = portrait().copy()
    squeezed[:, :150] = cv2.resize(portrait(), (150, 250))
    _, rows = finished(encode(tmp_path / "side.mp4", [squeezed] * 3), detector=real_detector())
    assert len({row["frame"] for row in rows}) == 3


def test_a_face_that_leaves_and_returns(tmp_path):
    blank = np.full_like(portrait(), 128)
    images = [*still(20), *[blank] * 20, *still(20)]
    analysis, rows = finished(encode(tmp_path / "leaves.mp4", images))
    assert [row["success"] for row in rows[2:19]] == ["1"] * 17
    assert [row["success"] for row in rows[21:39]] == ["0"] * 18
    assert {row["face_id"] for row in rows if row["success"] == "1"} == {"0"}
    assert rows[-1]["success"] == "1"
    assert any("seen in" in reason for reason in analysis.reasons)


def test_two_faces(tmp_path):
    both = np.ascontiguousarray(np.hstack([portrait(), portrait()]))
    path = encode(tmp_path / "two.mp4", [both] * 5)
    analysis, rows = finished(path, detector=Held((0, 0), (300, 0)))
    assert len(rows) == 10
    assert [face.face_id for face in analysis.faces] == [0, 1]
    assert [face.frames for face in analysis.faces] == [5, 5]


def test_strange_and_very_long_names(tmp_path):
    deep = tmp_path / ("größe " * 20) / ("層" * 60)
    deep.mkdir(parents=True)
    for stem in ("Müller – 笑顔 #1 (ok)", "x" * 240, "..."):
        path = encode(tmp_path / "plain.mp4", still(2)).rename(deep / f"{stem}.mp4")
        analysis = analyze(path, tmp_path / "out", weights=None, detector=Held())
        assert (tmp_path / "out" / analysis.name / "report.html").is_file()
        assert len(analysis.name.encode()) <= 120
        path.unlink()
    assert len([p for p in (tmp_path / "out").iterdir() if p.is_dir()]) == 3


def test_folder_names_differ(tmp_path):
    assert folder_name(Path("a/b c.mp4")).startswith("b")
    paths = [tmp_path / name for name in ("a/x.mp4", "b/x.mp4", "b/X.mov", "y.mp4", "c/x.mp4")]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(min(number, 3)))
    names = batches.name_folders(paths)
    assert len({name.lower() for name in names}) == 5
    assert (names[0], names[3]) == ("x", "y")
    # The others' names stay, whichever of them are there.
    assert batches.name_folders(paths[:2]) == names[:2]
    assert batches.name_folders([paths[0], *paths[2:]]) == [names[0], *names[2:]]


def test_a_folder_that_cannot_be_written(tmp_path):
    path = encode(tmp_path / "a.mp4", still(2))
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", Path("/proc/ma2mi")):
        with pytest.raises(StoreError, match="cannot be written") as raised:
            analyze(path, out, weights=None, detector=Held())
        assert "\n" not in str(raised.value)


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    """The system refuses files above 20 kB, as a full disk would."""
    path = encode(tmp_path / "a.mp4", still(30))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            analyze(path, tmp_path / "out", weights=None, detector=Held())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "out").iterdir())
    assert analyze(path, tmp_path / "out", weights=None, detector=Held()).frames == 30


# Many videos, and the command


@pytest.fixture
def shelf(tmp_path):
    """Two videos, one of them broken, and a text."""
    folder = tmp_path / "shelf"
    (folder / "more").mkdir(parents=True)
    encode(folder / "a.mp4", still(4))
    encode(folder / "more" / "a.mp4", still(3))
    (folder / "broken.mp4").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("not asked for")
    return folder


def test_every_file_ends_in_results_or_in_one_line(ma2mi, shelf, tmp_path):
    code, out, err = ma2mi("analyze", shelf, "--out", "results", "--weights", "none")
    assert code == 3, err
    assert "broken.mp4: is not a video that ffmpeg can read" in out
    first, second = sorted(p.name for p in (tmp_path / "results").iterdir())
    assert (first, second[:2]) == ("a", "a-")
    assert "candidates for a person to review" in out
    again, output, _ = ma2mi("analyze", shelf, "--out", "results", "--weights", "none")
    assert (again, "broken.mp4" in output) == (3, True)


def test_jobs_change_nothing(shelf, tmp_path):
    options = {"weights": None, "videos": False}
    paths = batches.find_videos([shelf, shelf / "a.mp4"])
    assert [p.name for p in paths] == ["a.mp4", "broken.mp4", "a.mp4"]
    one = {o.name: o for o in batches.analyze_all(paths, tmp_path / "1", jobs=1, **options)}
    two = {o.name: o for o in batches.analyze_all(paths, tmp_path / "2", jobs=2, **options)}
    assert one == two
    assert one["broken"].failure.count("\n") == 0
    (other,) = set(one) - {"a", "broken"}
    for name in ("a/frames.csv", f"{other}/report.html", "a/analysis.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_ctrl_c_in_a_batch_keeps_what_is_done(ma2mi, shelf, tmp_path, monkeypatch):
    real, calls = batches.analyze, []

    def second_is_interrupted(path, out, **options):
        calls.append(path)
        if len(calls) == 2:
            options["on_progress"] = interrupt
        return real(path, out, **options)

    def interrupt(progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(batches, "analyze", second_is_interrupted)
    (shelf / "broken.mp4").unlink()
    words = ("analyze", shelf, "--out", "results", "--weights", "none", "--no-videos")
    code, _, err = ma2mi(*words)
    assert code == 130
    assert "Traceback" not in err
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["a"]
    code, _, _ = ma2mi(*words)
    assert code == 0
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_impossible_wishes_are_one_line(ma2mi, shelf):
    for words, message in {
        ("analyze",): "no video given",
        ("analyze", shelf / "more", "--camera", 0): "takes no video files",
        ("analyze", shelf / "a.mp4", "--weights", "nothing"): "neither a folder nor the name",
        ("analyze", shelf / "a.mp4", "--neutral", "3"): "is not a stretch in seconds such as 0-8.5",
        ("analyze", shelf / "a.mp4", "--neutral", "3-4"): "lasts 2 s or more",
        ("analyze", shelf / "a.mp4", "--scorer", "best"): "setting scorer",
    }.items():
        code, out, err = ma2mi(*words)
        assert code in (2, 3)
        assert message in out + err
        assert "Traceback" not in err


def test_the_front_door():
    assert ma2mi.analyze is analyze


# Cameras


class FakeCamera:
    """Shows the portrait; frame 3 is missing once."""

    def __init__(self, number):
        self.number, self.reads, self.released = number, 0, False

    def isOpened(self):
        return self.number == 0

    def read(self):
        self.reads += 1
        return (False, None) if self.reads == 3 else (True, portrait()[..., ::-1])

    def release(self):
        self.released = True


def test_camera(monkeypatch, tmp_path):
    monkeypatch.setattr(camera.cv2, "VideoCapture", FakeCamera)
    ticks = iter(np.arange(0, 100, 0.04))
    frames = list(camera_frames(0, seconds=0.5, clock=lambda: float(next(ticks))))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len(frames) == 12
    assert frames[0].time_s == 0
    assert frames[2].time_s == Fraction(3, 25)  # its clock ran on while a frame was missing
    assert np.array_equal(frames[0].image, portrait())
    with pytest.raises(VideoError, match="camera 1: cannot be opened"):
        next(iter(camera_frames(1)))
    ended = iter([False] * 5 + [True])
    analysis = analyze_camera(0, tmp_path, stop=lambda: next(ended), weights=None, detector=Held())
    assert analysis.name.startswith("camera0-")
    assert analysis.frames == 4
    names = {p.name for p in (tmp_path / analysis.name).iterdir()}
    assert FILES - names == {"annotated.mp4"}


# Small parts


def test_coarse_cells_hide_a_face():
    hidden = coarse(portrait())
    assert hidden.shape == portrait().shape
    assert not real_detector().detect(np.ascontiguousarray(hidden))
    assert coarse(np.zeros((3, 2, 3), np.uint8)).shape == (3, 2, 3)


def test_a_hand_before_the_face_is_not_read():
    crops = np.stack([portrait()[60:188, 80:208]] * 3)
    stretch = Stretch([0, 1, 2], crops)
    moved = np.zeros((3, 128, 128, 2), np.float32)
    moved[1] = 2.0
    assert not Evidence(stretch, 0, 1, 2, moved).implausible
    moved[1] = 12.0
    assert Evidence(stretch, 0, 1, 2, moved).implausible


def test_an_event_without_crops_says_so():
    analyzer = VideoAnalyzer(Held())
    for index in range(10):
        analyzer.push(Frame(index, Fraction(index, FPS), portrait()))
    analyzer.faces[0]._crops.clear()
    spotted = Spotted("micro", 2, 4, 6, 0.5, 4.0, ())
    decided = analyzer.faces[0].decide(spotted, 1, None)
    assert decided.evidence is None
    assert decided.event.flags == ("not examined",)
    assert (decided.event.onset_s, decided.event.offset_s) == (2 / FPS, 6 / FPS)


def test_an_event_keeps_its_flags_and_a_candidate_its_reason():
    analyzer = VideoAnalyzer(Held())
    for index in range(10):
        analyzer.push(Frame(index, Fraction(index, FPS), portrait()))
    for reason in ("", "follows the head"):
        spotted = Spotted("micro", 2, 4, 6, 0.5, 4.0, (), flags=(HEAD, BLINK), reason=reason)
        decided = analyzer.faces[0].decide(spotted, 1, None)
        assert decided.event.flags == (HEAD, BLINK)
        assert decided.event.reason == reason
        assert (decided.evidence is None) == bool(reason)  # only events are examined


# A long video goes on where it was interrupted


def results(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("stops", [(90,), (10, 104, 190)])
def test_a_long_video_goes_on_where_it_was_interrupted(smiling, tmp_path, monkeypatch, stops):
    path = smiling
    whole = analyze(path, tmp_path / "whole", weights=None, detector=Held())
    assert any(event.kind == "micro" for event in whole.events)
    monkeypatch.setattr(analysis_run, "SAVE_S", 0.0)
    begun = []

    def listen(progress):
        if progress.step == "watch" and progress.detail is None:
            seen.append(progress.done)
            if progress.done == stop:
                raise KeyboardInterrupt

    for stop in stops:  # noqa: B007 - listen() asks for it
        seen = []
        with pytest.raises(KeyboardInterrupt):
            analyze(path, tmp_path / "out", on_progress=listen, weights=None, detector=Held())
        begun.append(seen[0])
    stop, seen = None, []
    assert (
        analyze(path, tmp_path / "out", on_progress=listen, weights=None, detector=Held()) == whole
    )
    assert [*begun, seen[0]] == [1, *stops]  # what the last frame brought was not kept
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_a_state_of_other_settings_or_a_damaged_one_begins_anew(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    encode(path, still(30))
    monkeypatch.setattr(analysis_run, "SAVE_S", 0.0)
    seen = []

    def listen(progress):
        if progress.step == "watch" and progress.detail is None:
            seen.append(progress.done)
            if progress.done == 20 and stop:
                raise KeyboardInterrupt

    def interrupt():
        with pytest.raises(KeyboardInterrupt):
            analyze(path, tmp_path / "out", on_progress=listen, weights=None, detector=Held())

    stop = True
    interrupt()
    (state,) = (tmp_path / "out").glob(f".a.*.part/{STATE}")
    content = state.read_bytes()
    # What a stranger may put there is never run.
    evil = pickle.dumps({"analyzer": Evil()})
    for changed in (content[: len(content) // 2], content.split(b"\n")[0] + b"\n" + evil):
        state.write_bytes(changed)
        seen.clear()
        interrupt()
        assert seen[0] == 1
        (state,) = (tmp_path / "out").glob(f".a.*.part/{STATE}")
    assert not (tmp_path / "evil").exists()
    stop, other = False, AnalysisSettings(landmark_rate=7.0)
    seen.clear()
    analyze(
        path, tmp_path / "out", on_progress=listen, weights=None, detector=Held(), settings=other
    )
    assert seen[0] == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil",))
