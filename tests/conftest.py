"""What many tests need: pairs of pictures whose movement is known, and the command line."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a worker: two workers with two threads each took 10 minutes on two cores, not 6.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SIDE = 72


def picture(x: np.ndarray, y: np.ndarray, phase: float) -> np.ndarray:
    """A smooth pattern at any place: [..., 3] in 0..255."""
    waves = (
        np.sin(0.35 * x + 0.12 * y + phase),
        np.sin(0.28 * y - 0.15 * x + 2 * phase),
        np.sin(0.20 * (x + y) - phase) * np.cos(0.23 * y),
    )
    return 127.5 + 100 * np.stack(waves, axis=-1)


def bump(x: np.ndarray, y: np.ndarray, kind: int, strength: float) -> np.ndarray:
    """Flow [..., 2] in px: kind 0 lifts the upper left, kind 1 pulls the lower middle right."""
    at_x, at_y, u, v = ((22.0, 24.0, 0.0, -1.0), (38.0, 50.0, 1.0, 0.0))[kind]
    weight = strength * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * 8.0**2))
    return np.stack((u * weight, v * weight), axis=-1)


@pytest.fixture(scope="session")
def labels():
    """Class of each of the ``pairs``: what moved."""
    return np.tile(np.array([0, 1], dtype=np.int64), 12)


@pytest.fixture(scope="session")
def pairs(labels):
    """24 pairs of 6 people, 72 px: ``second`` is ``first`` moved by the flow in ``action``."""
    from ma2mi.clips.pairs import Pairs
    from ma2mi.motion import action_channels

    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    first, second, third, action = [], [], [], []
    for row, kind in enumerate(labels):
        phase, strength = 0.9 * (row // 4) + 0.1 * rng.normal(), rng.uniform(1.5, 3.0)
        times = []
        for share in (1.0, 2.0):
            # Where a pixel of the later picture comes from: p + flow(p) = q, by fixed point.
            px, py = x.copy(), y.copy()
            for _ in range(8):
                flow = bump(px, py, int(kind), share * strength)
                px, py = x - flow[..., 0], y - flow[..., 1]
            times.append(picture(px, py, phase))
        first.append(picture(x, y, phase))
        second.append(times[0])
        third.append(times[1])
        action.append(action_channels(bump(x, y, int(kind), strength).astype(np.float32)))
    as_bytes = [np.rint(np.stack(s)).astype(np.uint8) for s in (first, second, third)]
    return Pairs(
        np.array([f"clip{row}" for row in range(len(labels))]),
        np.array([f"p{row // 4}" for row in range(len(labels))]),
        *as_bytes,
        np.stack(action).astype(np.float16),
        np.full(len(labels), 0.1),
    )


@pytest.fixture(scope="session")
def grown(labels):
    """36 movements early and late, of 6 people with 2 clips each: one kind of bump a clip.

    What a pair shows early is a fifth of what it shows late; where exactly, and which way, is its
    own. Faces are patterns that lie where their regions say.
    """
    from ma2mi.clips.pairs import Pairs
    from ma2mi.motion import REGIONS, action_channels

    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    regions = np.array([(r.x * SIDE, r.y * SIDE) for r in REGIONS.values()])
    rows = {name: [] for name in ("first", "second", "third", "action", "late", "regions")}
    for row in range(36):
        off, angle = rng.uniform(-3, 3, 2), rng.uniform(0, 2 * np.pi)
        px, py = x - off[0], y - off[1]
        field = bump(px, py, row // 3 % 2, rng.uniform(2, 4))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        late = (field @ turn).astype(np.float32)
        early = late / 5 + rng.normal(0, 0.01, late.shape).astype(np.float32)
        rows["action"].append(action_channels(early))
        rows["late"].append(action_channels(late))
        for name, flow in (("first", 0 * late), ("second", early), ("third", late)):
            seen = picture(px - flow[..., 0], py - flow[..., 1], 0.9 * (row // 6))
            rows[name].append(np.rint(seen).astype(np.uint8))
        rows["regions"].append(regions + off)
    stacks = {name: np.stack(values) for name, values in rows.items()}
    return Pairs(
        keys=np.array([f"video{row // 6}@{row // 3 % 2 * 30}" for row in range(36)]),
        subjects=np.array([f"p{row // 6}" for row in range(36)]),
        elapsed_s=np.linspace(0.05, 0.1, 36),
        **{n: stacks[n].astype(np.float16) for n in ("action", "late", "regions")},
        **{n: stacks[n] for n in ("first", "second", "third")},
    )


@pytest.fixture
def ma2mi(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder: (exit code, stdout, stderr)."""
    cli = pytest.importorskip("ma2mi.cli")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ma2mi", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return run
