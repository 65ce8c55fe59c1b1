"""A fake of MEGC 2019's flow images: the layout and its traps, with flow from FACS-like bumps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import optional_part
from ma2mi.testing.base import Fake, Order, fake_of

with optional_part("cv2", "video"):
    import cv2

SIDE = 28
#: database, folder name of subject i, subjects, clips by class (negative, positive, surprise)
DATABASES = (
    ("smic", "s{:02d}", 16, (70, 51, 43)),
    ("casme2", "sub{:02d}", 24, (88, 32, 25)),
    ("samm", "{:03d}", 28, (92, 26, 15)),
)
#: class -> alternatives of (x, y, u, v): bumps on a face of 1 x 1, mirrored to both sides
MOVEMENTS = (
    (((0.38, 0.30, 0.2, 1.0),), ((0.40, 0.52, 0.0, -1.0),), ((0.36, 0.76, 0.3, 1.0),)),
    (((0.34, 0.70, -0.8, -0.8),), ((0.34, 0.70, -0.8, -0.8), (0.28, 0.48, 0.0, -0.6))),
    (((0.36, 0.26, 0.0, -1.0),), ((0.36, 0.26, 0.0, -1.0), (0.50, 0.82, 0.0, 0.8))),
)


def draw_flow(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One image [28, 28, 3], channels u, v, strain, each scaled to 0..255."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    u = np.full((SIDE, SIDE), rng.normal(0, 0.15))
    v = np.full((SIDE, SIDE), rng.normal(0, 0.15))
    options = MOVEMENTS[label]
    for cx, cy, du, dv in options[rng.integers(len(options))]:
        for side in (-1, 1):
            strength = rng.uniform(0.3, 1.2)
            px = 0.5 + side * (0.5 - cx) + rng.normal(0, 0.03)
            bump = np.exp(-((x - px) ** 2 + (y - cy - rng.normal(0, 0.03)) ** 2) / 0.012)
            u += -side * du * strength * bump
            v += dv * strength * bump
    u += cv2.GaussianBlur(rng.normal(0, 3.0, (SIDE, SIDE)), (0, 0), 1.5)
    v += cv2.GaussianBlur(rng.normal(0, 3.0, (SIDE, SIDE)), (0, 0), 1.5)
    uy, ux = np.gradient(u)
    vy, vx = np.gradient(v)
    strain = np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)
    channels = [np.interp(c, (c.min(), c.max()), (0, 255)).round() for c in (u, v, strain)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def samples(scale: float = 1.0, seed: int = 0) -> Iterator[tuple[str, int, str, NDArray[np.uint8]]]:
    """(subject, label, name, image) of every sample; ``scale`` shrinks subjects and clips alike."""
    for database, pattern, published, counts in DATABASES:
        rng = np.random.default_rng([seed, len(database), published])
        subjects = max(2, round(published * scale))
        total = 0
        for label, count in enumerate(counts):
            for i in range(max(subjects if label == 0 else 1, round(count * scale))):
                # negatives go round, so that each subject has one
                subject = i % subjects if label == 0 else int(rng.integers(subjects))
                total += 1
                # some public copies have a blank before the suffix
                name = f"{database}_{total:03d}{' ' if total % 10 == 0 else ''}"
                yield pattern.format(subject + 1), label, name, draw_flow(label, rng)


def write_tree(root: Path, *, scale: float = 1.0, seed: int = 0) -> Path:
    """Write the whole layout; each sample is one file, linked into every subject's folder."""
    everything = list(samples(scale, seed))
    subjects = sorted({subject for subject, *_ in everything})
    base = root / "three_norm_u_v_os"
    for subject, label, name, image in everything:
        own = base / subject / "u_test" / str(label) / f"{name}.png"
        own.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(own), image[..., ::-1])
        for other in subjects:
            if other != subject:
                link = base / other / "u_train" / str(label) / own.name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    os.link(own, link)
    return root


@fake_of("megc2019-flow")
class FakeMegc2019Flow(Fake):
    def write(self, out: Path, order: Order) -> None:
        write_tree(out, scale=1.0 if order.full_size else 0.15)
