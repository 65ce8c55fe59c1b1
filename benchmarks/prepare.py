"""How fast is ``ma2mi prepare``, where does the time go, and does a kill change the store?

python benchmarks/prepare.py

2,000 synthetic frames (40 folders of 50 JPEG files, 640 x 480, 200 fps, one expression each, faces
about 280 px), made once below --out. Prepared with one and with two processes, once more with a
clock around each step, and once killed (-9) half-way and started again. Steps are reported in
seconds of the processor, which others on a shared machine disturb less.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2

from ma2mi.clips import cutting
from ma2mi.clips.prepare import prepare_expressions
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.face.detect import FaceDetector
from ma2mi.records import Expression, Recording
from ma2mi.synthesis import SyntheticSettings, make_clip, make_subject
from ma2mi.video import write_frames

CLIPS, LENGTH = 40, 50
SUBJECTS = 8
FPS = Fraction(200)
STEPS = ("decode", "detect", "align", "measure", "write")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/prepare-benchmark"))
    parser.add_argument("--store", type=Path, help="Only prepare into this folder.")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    expressions = render(options.out)
    if options.store:
        prepare_all(expressions, options.store, options.jobs)
        return
    frames = CLIPS * LENGTH
    digests = {}
    for jobs in (1, 2):
        # Processes start and nets come into memory before the clock runs.
        prepare_all(expressions[: 2 * jobs], fresh(options.out / "warm"), jobs)
        seconds, digest = prepare_all(expressions, fresh(options.out / f"{jobs}"), jobs)
        digests[f"{jobs} process(es)"] = digest
        print(f"{jobs} process(es): {frames / seconds:.0f} frames/s ({seconds:.1f} s)", flush=True)
    spent = clocked(expressions, fresh(options.out / "clocked"))
    print(f"1 process: {frames / spent['all']:.0f} frames a second of processor time")
    for step in (*STEPS, "rest"):
        print(f"  {step:<8} {spent[step] / spent['all']:6.1%}  {spent[step] / frames * 1e3:.2f} ms")
    digests["killed and resumed"] = killed_and_resumed(options.out, expressions)
    for name, digest in digests.items():
        print(f"{name:<20} {digest}")
    print("stores are equal" if len(set(digests.values())) == 1 else "STORES DIFFER")


def render(out: Path) -> list[Expression]:
    """The recordings, rendered once; the same arguments give the same pictures."""
    expressions = []
    for number in range(CLIPS):
        scene = make_clip(
            make_subject(number % SUBJECTS),
            kind="micro",
            emotion=("happiness", "surprise", "disgust")[number % 3],
            seed=number,
            fps=FPS,
            settings=SyntheticSettings(
                size=480, padding_frames=10, micro_duration_s=(LENGTH / 200, LENGTH / 200)
            ),
        )
        folder = out / "frames" / f"clip{number:02d}"
        if not (folder / f"img{LENGTH}.jpg").is_file():
            wide = (
                cv2.copyMakeBorder(scene.frame(at), 0, 0, 80, 80, cv2.BORDER_REPLICATE)
                for at in range(LENGTH)
            )
            write_frames(folder, wide, pattern="img{index}.jpg")
        recording = Recording(folder, f"p{number % SUBJECTS}", folder.name, "synthetic", FPS)
        expressions.append(Expression("micro", 10, LENGTH // 2, LENGTH - 11, recording=recording))
    return expressions


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def prepare_all(expressions: list[Expression], folder: Path, jobs: int) -> tuple[float, str]:
    """Seconds that preparing took, and the digest of the store's clips."""
    store = ClipStore(folder, Recipe())
    start = time.perf_counter()
    prepared = prepare_expressions(expressions, store, jobs=jobs)
    seconds = time.perf_counter() - start
    failures = [line for one in prepared for line in one.failures]
    if failures:
        raise SystemExit("\n".join(failures))
    clips = [store.read(key) for one in prepared for key in one.clips]
    if sum(len(clip.frames) for clip in clips) != len(expressions) * LENGTH:
        raise SystemExit("some frames were left out")
    return seconds, store.digest([clip.key for clip in clips])


def clocked(expressions: list[Expression], folder: Path) -> dict[str, float]:
    """Seconds of each step, in one process."""
    spent = dict.fromkeys(STEPS, 0.0)

    def timed(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **options)
            finally:
                spent[step] += time.process_time() - start

        return run

    read = cutting.read_frames

    def read_timed(*args: Any, **options: Any) -> Iterator[Any]:
        frames = read(*args, **options)
        following = timed("decode", lambda: next(frames, None))
        while (frame := following()) is not None:
            yield frame

    cutting.read_frames = read_timed
    for owner, name, step in (
        (FaceDetector, "detect", "detect"),
        (FaceDetector, "follow", "detect"),
        (cutting, "estimate_warp", "align"),
        (cutting, "warp_image", "align"),
        (cutting, "measure_frame", "measure"),
        (cutting, "measure_clip", "measure"),
        (ClipStore, "write", "write"),
    ):
        setattr(owner, name, timed(step, getattr(owner, name)))
    store = ClipStore(folder, Recipe())
    start = time.process_time()
    prepare_expressions(expressions, store, jobs=1)
    whole = time.process_time() - start
    return {**spent, "all": whole, "rest": whole - sum(spent.values())}


def killed_and_resumed(out: Path, expressions: list[Expression]) -> str:
    """Kill a run (-9, with its workers) half-way, go on, and digest the store."""
    folder = fresh(out / "killed")
    child = subprocess.Popen(
        [sys.executable, __file__, "--out", out, "--store", folder, "--jobs", "2"],
        start_new_session=True,
    )
    while child.poll() is None and len(list(folder.rglob("*.safetensors"))) < CLIPS // 2:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    left = len(list(folder.rglob("*.safetensors")))
    print(f"killed with {left} of {CLIPS} clips written")
    if not 0 < left < CLIPS:
        raise SystemExit("was not killed half-way")
    return prepare_all(expressions, folder, 2)[1]


if __name__ == "__main__":
    main()
