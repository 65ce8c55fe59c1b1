"""How fast is ``ma2mi analyze``, what memory does it take, and where does the time go?

python benchmarks/analyze.py

A synthetic subject in 640 x 480 at 30 fps for one minute, and the same ten times over, made once
below --out. Each video is analysed in a process of its own, everything written but with
``--no-videos`` in one more run; then once with a clock around each step. Steps are reported in
seconds of the processor. py-feat's detector looks at the same file where it is installed (it needs
torchvision, and fetches its models itself).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from ma2mi.analysis import analyze, faces, results_writer, run, stream
from ma2mi.face.detect import FaceDetector
from ma2mi.face.quality_monitor import QualityMonitor
from ma2mi.motion.region_tracker import RegionTracker
from ma2mi.spotting import Spotter
from ma2mi.synthesis import SyntheticSettings, make_subject
from ma2mi.synthesis.long_video import make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.training.recognizer import Recognizer

FPS = 30
MINUTES = (1, 10)
STEPS = ("decode", "faces", "quality", "crop", "movement", "spot", "read", "pictures", "files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/analyze-benchmark"))
    parser.add_argument("--watch", type=Path, help="Only analyse this video.")
    parser.add_argument("--no-videos", action="store_true")
    parser.add_argument("--clocked", action="store_true")
    options = parser.parse_args()
    if options.watch:
        print(json.dumps(watched(options.watch, options.out, options.no_videos, options.clocked)))
        return
    paths = render(options.out)
    alone(paths[0], options.out)  # compiled code is kept for later processes
    peak = []
    for minutes, path in zip(MINUTES, paths, strict=True):
        for words in ((), ("--no-videos",)):
            figures = alone(path, options.out, *words)
            frames = minutes * 60 * FPS
            print(
                f"{minutes} min {' '.join(words):<12} {frames / figures['seconds']:.0f} frames/s, "
                f"{minutes * 60 / figures['seconds']:.1f} times real time, "
                f"{figures['events']} events, "
                f"peak {figures['mebibytes']:.0f} MiB",
                flush=True,
            )
            if not words:
                peak.append(figures["mebibytes"])
    print(f"memory of the long run is {peak[1] / peak[0]:.2f} times that of the short one")
    spent = alone(paths[0], options.out, "--clocked")["spent"]
    whole = sum(spent.values())
    for step in (*STEPS, "rest"):
        print(f"  {step:<8} {spent[step] / whole:6.1%}  {spent[step] / 60 / FPS * 1e3:.2f} ms")
    print(peer(paths[0]))


def render(out: Path) -> list[Path]:
    """Both videos; the same arguments give the same pictures."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{minutes}min.mp4" for minutes in MINUTES]
    if not all(path.is_file() for path in paths):
        plan = LongVideoSettings(scene=SyntheticSettings(size=320)).per_minute(1)
        scene = make_long_video(make_subject(7), seed=7, fps=Fraction(FPS), plan=plan)
        images = [
            cv2.copyMakeBorder(scene.frame(at), 80, 80, 160, 160, cv2.BORDER_REPLICATE)
            for at in range(scene.frame_count)
        ]
        for minutes, path in zip(MINUTES, paths, strict=True):
            write(path, images, minutes)
    return paths


def write(path: Path, images: list[np.ndarray], times: int) -> None:
    part = path.with_name("part.mp4")
    with av.open(str(part), "w") as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"crf": "20", "preset": "veryfast"}
        )
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in (image for _ in range(times) for image in images):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    part.rename(path)


def alone(path: Path, out: Path, *words: str) -> dict[str, Any]:
    """What a process of its own tells of analysing this video."""
    command = [sys.executable, __file__, "--watch", path, "--out", out, *words]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def watched(path: Path, out: Path, no_videos: bool, clocked: bool) -> dict[str, Any]:
    spent = clocks() if clocked else {}
    shutil.rmtree(out / "results", ignore_errors=True)
    start, busy = time.perf_counter(), time.process_time()
    analysis = analyze(path, out / "results", videos=not no_videos)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    if spent:
        spent["rest"] = busy - sum(spent.values())
    figures = {"seconds": seconds, "mebibytes": peak_mebibytes(), "events": len(analysis.events)}
    return {**figures, "spent": spent}


def peak_mebibytes() -> float:
    """Of this process: getrusage would count what its parent held when it was started."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def clocks() -> dict[str, float]:
    """Seconds of each step, filled while it runs. Each thread tells its own."""
    spent = dict.fromkeys(STEPS, 0.0)

    def timed(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                spent[step] += time.thread_time() - start

        return call

    read = run.read_frames

    def read_timed(*args: Any, **options: Any) -> Iterator[Any]:
        frames = read(*args, **options)
        following = timed("decode", lambda: next(frames, None))
        while (frame := following()) is not None:
            yield frame

    run.read_frames = read_timed
    for owner, name, step in (
        (FaceDetector, "detect", "faces"),
        (FaceDetector, "follow", "faces"),
        (QualityMonitor, "push", "quality"),
        (stream, "warp_image", "crop"),
        (RegionTracker, "push", "movement"),
        (Spotter, "push", "spot"),
        (Spotter, "finish", "spot"),
        (faces, "examine", "read"),
        (Recognizer, "read", "read"),
        (results_writer, "draw_card", "pictures"),
        (results_writer, "heat_map", "pictures"),
        (results_writer.ResultsWriter, "finish", "files"),
    ):
        setattr(owner, name, timed(step, getattr(owner, name)))
    return spent


def peer(path: Path) -> str:
    """py-feat's face detector and landmarks on the same file."""
    try:
        from feat.detector import Detectorv1
    except ImportError as error:
        return f"py-feat is not installed here ({error})"
    feat = Detectorv1(au_model=None, emotion_model=None, identity_model=None, gaze_model=None)
    start = time.perf_counter()
    feat.detect(str(path), data_type="video", progress_bar=False)
    seconds = time.perf_counter() - start
    return f"py-feat, faces and landmarks alone: {60 * FPS / seconds:.0f} frames/s"


if __name__ == "__main__":
    main()
