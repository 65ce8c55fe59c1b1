"""Error, gain and time of every flow on movements below a pixel: ``python benchmarks/flow.py``.

Two scenes (a synthetic face and skimage's astronaut) are moved by smooth random bumps through a
clip of 32 frames that swells to the full movement and back. Every picture is rendered from the
large source by cubic splines, 2x2 samples a pixel, so that the movement is exact; then noise is
added and 8 bits are taken, onset and frames each for itself. Every method is asked for the frame
of the full movement:

- error: mean end-point error as a share of the mean true movement (0 perfect, 1 = seeing nothing)
- gain: slope of found over true movement (1 = unbiased)
- ms: per pair of 224x224 on one thread, the least of the repeats; ours over the whole clip

Needs scikit-image and matplotlib; with torch the same flow on tensors is measured too, on a GPU
where there is one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from ma2mi.motion import FlowSettings, flow
from ma2mi.synthesis import SyntheticSettings, make_clip, make_subject
from ma2mi.synthesis.subject import CANVAS

SIZE = 224
FRAMES = 32
MOVEMENTS_PX = (0.1, 0.2, 0.5, 1.0, 2.0)
NOISE_SDS = (0.0, 1.5, 4.0)
OURS = "thin-plate (ours)"
REFERENCES = ("dis", "farneback", "opencv-tvl1")
LUMA = np.array([0.299, 0.587, 0.114])
Array = NDArray[Any]


class Bumps:
    """A smooth movement: five Gaussian bumps of 8 to 28 px, the strongest of length 1."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.centre = rng.uniform(30, SIZE - 30, (5, 2))
        self.sd = rng.uniform(8, 28, 5)
        angle = rng.uniform(0, 2 * np.pi, 5)
        length = rng.uniform(0.5, 1, (5, 1))
        self.vector = length * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self.peak = 1.0
        self.peak = float(np.linalg.norm(self(*pixels()), axis=-1).max())

    def __call__(self, x: Array, y: Array) -> Array:
        """Movement [..., 2] at the positions x, y of the onset frame."""
        total = np.zeros((*x.shape, 2))
        for (cx, cy), sd, vector in zip(self.centre, self.sd, self.vector, strict=True):
            total += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sd**2))[..., None] * vector
        return total / self.peak


class Scene:
    """A large grey picture that can be photographed at 224x224 while it moves."""

    def __init__(self, source: Array, samples: int = 2) -> None:
        self.scale = source.shape[0] / SIZE
        self.spline = spline_filter(source.astype(np.float64), 3)
        self.samples = samples

    def render(self, movement: Bumps, length_px: float) -> Array:
        positions = (np.arange(SIZE * self.samples) + 0.5) / self.samples - 0.5
        y, x = np.meshgrid(positions, positions, indexing="ij")
        from_x, from_y = x, y
        for _ in range(6 if length_px else 0):  # where did what is now at x come from?
            moved = movement(from_x, from_y) * length_px
            from_x, from_y = x - moved[..., 0], y - moved[..., 1]
        where = [(p + 0.5) * self.scale - 0.5 for p in (from_y, from_x)]
        values = map_coordinates(self.spline, where, order=3, prefilter=False, mode="mirror")
        return values.reshape(SIZE, self.samples, SIZE, self.samples).mean((1, 3))


def pixels() -> tuple[Array, Array]:
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    return x, y


def camera(image: Array, noise_sd: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    noisy = image + rng.normal(0, noise_sd, image.shape) if noise_sd else image
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def astronaut() -> Array:
    import skimage.data

    return skimage.data.astronaut() @ LUMA


def synthetic_face() -> Array:
    """A synthetic subject at three times the size, eyes where ``align.Template`` has them."""
    quiet = SyntheticSettings(size=1024, noise=0, blur_px=0, head_drift_px=0, head_tremor_px=0)
    clip = make_clip(make_subject(2), kind="micro", emotion="happiness", seed=0, settings=quiet)
    matrix = clip.head[0]
    eyes = matrix @ np.array([CANVAS / 2, clip.subject.eye_y, 1])
    side = 2 * clip.subject.eye_x * float(np.hypot(*matrix[:, 0])) / 0.314
    left, top = np.round(eyes - side * np.array([0.5, 0.285])).astype(int)
    return clip.frame(0)[top : top + round(side), left : left + round(side)] @ LUMA


@dataclass(frozen=True)
class Candidate:
    """A flow and how many frames around the peak it is given at once."""

    name: str
    run: Callable[[Array, Array], Array]
    frames: int


def candidates() -> list[Candidate]:
    found = [Candidate(OURS, flow, FRAMES)]
    for n in (3, 5):
        averaged = partial(flow, settings=FlowSettings(average_frames=n))
        found.append(Candidate(f"ours, {n} frames averaged", averaged, FRAMES))
    try:
        import torch
        from flow_tensors import tensor_flow
    except ImportError as error:
        print(f"without tensors: {error}")
    else:
        torch.set_num_threads(1)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        run = partial(tensor_flow, device=device)
        found.append(
            Candidate(f"ours on tensors ({device})", run, FRAMES if device != "cpu" else 4)
        )
    return found + [Candidate(name, partial(flow, method=name), 1) for name in REFERENCES]


def measure(candidate: Candidate, onset: Array, clip: Array, truth: Array) -> tuple[float, ...]:
    """Error, gain and milliseconds of one clip at its middle frame."""
    peak, span = len(clip) // 2, candidate.frames
    frames = clip[peak - span // 2 : peak - span // 2 + span]
    spent: list[float] = []
    while not spent or (sum(spent) < 1 and len(spent) < 4):
        began = time.perf_counter()
        fields = candidate.run(onset, frames)
        spent.append(time.perf_counter() - began)
    field = fields[span // 2]
    error = np.linalg.norm(field - truth, axis=-1).mean() / np.linalg.norm(truth, axis=-1).mean()
    gain = (field * truth).sum() / (truth * truth).sum()
    return float(error), float(gain), 1000 * min(spent) / len(frames)


def swell(index: int) -> float:
    """Share of the full movement at a frame: up to frame 16 and down again."""
    return float(np.sin(np.pi * index / FRAMES) ** 2)


def run(movements: int) -> dict[tuple[str, float, str, float], Array]:
    """(scene, noise sd, method, movement) to mean error, gain and least ms."""
    cells: dict[tuple[str, float, str, float], Array] = {}
    methods = candidates()
    for scene_name, source in (("synthetic face", synthetic_face()), ("astronaut", astronaut())):
        scene = Scene(source)
        for length in MOVEMENTS_PX:
            rows: dict[tuple[float, str], list[tuple[float, ...]]] = {}
            for seed in range(movements):
                movement = Bumps(10 + seed)
                truth = movement(*pixels()) * length
                rising = [scene.render(movement, length * swell(i)) for i in range(FRAMES // 2 + 1)]
                exact = rising + rising[-2:0:-1]
                for noise_sd in NOISE_SDS:
                    rng = np.random.default_rng([seed, int(10 * noise_sd)])
                    onset = camera(exact[0], noise_sd, rng)
                    clip = np.stack([camera(image, noise_sd, rng) for image in exact])
                    for method in methods:
                        row = measure(method, onset, clip, truth)
                        rows.setdefault((noise_sd, method.name), []).append(row)
            for (noise_sd, name), values in rows.items():
                error, gain, _ = np.mean(values, axis=0)
                ms = np.min(values, axis=0)[2]
                cells[scene_name, noise_sd, name, length] = np.array([error, gain, ms])
            print(f"{scene_name} {length} px done", flush=True)
    return cells


def table(cells: dict[tuple[str, float, str, float], Array]) -> str:
    """Markdown: error / gain in each cell, the ms of the least and the most cell at the end."""
    head = " | ".join(f"{length} px" for length in MOVEMENTS_PX)
    lines = [f"| scene | noise sd | method | {head} | ms |", "|---" * (4 + len(MOVEMENTS_PX)) + "|"]
    for scene, noise_sd, name in dict.fromkeys(key[:3] for key in cells):
        row = [cells[scene, noise_sd, name, length] for length in MOVEMENTS_PX]
        values = " | ".join(f"{error:.2f} / {gain:.2f}" for error, gain, _ in row)
        times = [ms for _, _, ms in row]
        lines.append(
            f"| {scene} | {noise_sd:g} | {name} | {values} | {min(times):.0f}-{max(times):.0f} |"
        )
    return "\n".join(lines)


def verdict(cells: dict[tuple[str, float, str, float], Array]) -> str:
    """What was to be shown, cell by cell, and whether it was."""
    behind_tvl1, behind_faster, ratios, gains = [], [], [], []
    for scene, noise_sd, name, length in cells:
        if name != OURS:
            continue
        error, gain, ms = cells[scene, noise_sd, OURS, length]
        rest = {rival: cells[scene, noise_sd, rival, length] for rival in REFERENCES}
        where = f"{scene} {noise_sd:g} {length} px"
        ratios.append(rest["opencv-tvl1"][2] / ms)
        if error > rest["opencv-tvl1"][0]:
            behind_tvl1.append(where)
        if any(error > other[0] for other in rest.values() if other[2] <= ms):
            behind_faster.append(where)
        if noise_sd == 0 and length >= 0.5:
            gains.append(gain)
    return (
        f"cells with more error than OpenCV's TV-L1: {behind_tvl1 or 'none'}\n"
        f"cells with more error than a reference of at most our time: {behind_faster or 'none'}\n"
        f"times as fast as OpenCV's TV-L1: {min(ratios):.0f} to {max(ratios):.0f}\n"
        f"gain from 0.5 px on clean images: {min(gains):.2f} to {max(gains):.2f}"
    )


def draw(cells: dict[tuple[str, float, str, float], Array], path: Path) -> None:
    """Error against time, one panel for each scene and noise, a line through the movements."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scenes = list(dict.fromkeys(key[0] for key in cells))
    figure, axes = pyplot.subplots(
        len(scenes), len(NOISE_SDS), figsize=(12, 7), sharex=True, sharey=True, squeeze=False
    )
    for row, scene in zip(axes, scenes, strict=True):
        for panel, noise_sd in zip(row, NOISE_SDS, strict=True):
            for name in dict.fromkeys(key[2] for key in cells):
                if "averaged" in name:
                    continue
                values = np.array([cells[scene, noise_sd, name, m] for m in MOVEMENTS_PX])
                panel.plot(values[:, 2], values[:, 0], "o-", ms=4, label=name)
            panel.axhline(1, color="grey", lw=0.7, ls=":")
            panel.set(xscale="log", yscale="log", title=f"{scene}, noise sd {noise_sd:g}")
    for panel in axes[-1]:
        panel.set_xlabel("ms per pair")
    for panel in axes[:, 0]:
        panel.set_ylabel("error / movement")
    axes[0, 0].legend(fontsize=8)
    figure.suptitle("0.1 px (top of each line) to 2 px; dotted: seeing nothing")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--movements", type=int, default=2, help="random movements a cell")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "flow")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    began = time.perf_counter()
    flow(*np.random.default_rng(0).integers(0, 255, (2, SIZE, SIZE)).astype(np.uint8))
    print(
        f"first call (compiled, or loaded from numba's cache): {time.perf_counter() - began:.1f} s"
    )
    cells = run(options.movements)
    options.out.mkdir(exist_ok=True)
    draw(cells, options.out / "tradeoff.png")
    print(table(cells), verdict(cells), sep="\n\n")


if __name__ == "__main__":
    main()
