"""Time from a key to the new frame on the review page, in Chromium, on videos of noise.

    python benchmarks/review.py [--frames 60]

Asked for (issue 20): the median below 60 ms on 640 x 480 and below 120 ms on 1920 x 1080, both at
200 frames a second. Noise is the worst case for every codec. The time goes from the moment at which
the browser has the key (``performance.now`` in a listener that runs first) to the moment at which
it begins to paint with the new frame in place.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from ma2mi.video import write_video

CHROMIUM = "/usr/bin/chromium"
FPS = 200
SIZES = {"640x480": (480, 640, 60), "1920x1080": (1080, 1920, 120)}  # rows, columns, ms asked
STEP_MS = 150  # between keys, as a coder presses them; held keys repeat every 33 ms
LISTEN = """() => {
  window.pressed = [];
  window.drawn = [];
  addEventListener("keydown", () => window.pressed.push(performance.now()), true);
  new MutationObserver(() => requestAnimationFrame(
    () => window.drawn.push(performance.now())
  )).observe(document.getElementById("picture"), { attributeFilter: ["data-drawn"] });
}"""


def write_noise(path: Path, rows: int, columns: int, frames: int) -> None:
    """A video of noise that moves: no frame can be foretold from the one before."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2 * rows // 4, 2 * columns // 4, 3), np.uint8)
    large = coarse.repeat(4, 0).repeat(4, 1)

    def draw(number: int) -> np.ndarray:
        top, left = rng.integers(0, rows), rng.integers(0, columns)
        part = large[top : top + rows, left : left + columns].astype(np.int16)
        grain = rng.integers(-20, 21, part.shape, np.int16)
        return np.clip(part + grain, 0, 255).astype(np.uint8)

    write_video(path, (draw(number) for number in range(frames)), Fraction(FPS), quick=True)


def start(video: Path) -> tuple[subprocess.Popen[str], str]:
    words = [sys.executable, "-m", "ma2mi.cli", "review", str(video), "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = next(line for line in process.stdout if line.startswith("http"))
    return process, address.strip()


def measure(page: Page, keys: list[str], step_ms: int) -> list[float]:
    """Milliseconds from each key to its frame."""
    page.evaluate("() => { window.pressed.length = 0; window.drawn.length = 0; }")
    for count, key in enumerate(keys, 1):
        page.keyboard.press(key)
        page.wait_for_function(f"() => window.drawn.length >= {count}")
        page.wait_for_timeout(step_ms)
    pressed, drawn = page.evaluate("() => [window.pressed, window.drawn]")
    return [at - key for key, at in zip(pressed, drawn, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60, help="Keys a direction.")
    frames = parser.parse_args().frames
    print("video           keys                      median     95 %      asked for")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (rows, columns, asked) in SIZES.items():
            video = Path(folder) / f"{name}.mp4"
            write_noise(video, rows, columns, 2 * frames + 20)
            process, address = start(video)
            page = browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True)
            page.goto(address)
            page.wait_for_selector('#picture[data-frame="0"]')
            page.evaluate(LISTEN)
            time.sleep(1)
            for words, keys, step_ms in (
                ("one frame on", ["."] * frames, STEP_MS),
                ("one frame back", [","] * (frames // 2), STEP_MS),
                ("one frame on, at once", ["."] * frames, 0),
                ("five frames on", ["PageDown"] * min(8, frames // 5), STEP_MS),
            ):
                times = measure(page, keys, step_ms)
                high = statistics.quantiles(times, n=20)[-1]
                print(
                    f"{name:12s} {words:22s} {len(times):4d} {statistics.median(times):8.1f} ms"
                    f" {high:8.1f} ms     < {asked} ms",
                    flush=True,
                )
            page.close()
            process.kill()
            process.wait()
        browser.close()


if __name__ == "__main__":
    main()
