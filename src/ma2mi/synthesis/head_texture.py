"""The skin of a textured head: tone, pores, freckles, lines, brows, beard, lips and hair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ma2mi.errors import optional_part

with optional_part("cv2", "video"):
    import cv2
from ma2mi.synthesis.head_mesh import Doubles, Floats, HeadMesh, Mask

Colour = tuple[float, float, float]


def hex_colours(text: str) -> Doubles:
    """Rows of red, green and blue from hexadecimal numbers."""
    return np.array([[*bytes.fromhex(word)] for word in text.split()], np.float64)


SKINS = hex_colours("eecdba e2b89e cd9b7c ac7858 80543c 603f2f")  # from light to dark
HAIRS = hex_colours("181413 30221b 523826 805e3a b29060 7e4226")
GREY = hex_colours("a5a3a0")[0]


@dataclass(frozen=True)
class Traits:
    skin: Doubles
    hair: Doubles
    style: str
    dark: float
    age: float
    rosy: float
    freckles: float
    beard: float
    brow: float
    hairline: float


def as_colour(values: Doubles) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def soft_step(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """0 up to ``low``, 1 from ``high``, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def _bump(
    places: NDArray[np.floating], middle: tuple[float, float], radius: tuple[float, float]
) -> NDArray[np.floating]:
    """A hill on both sides of the face's front: (outward, up) of its middle and its radii."""
    x, y, z = np.moveaxis(places, -1, 0)
    away = ((np.abs(x) - middle[0]) / radius[0]) ** 2 + ((z - middle[1]) / radius[1]) ** 2
    return np.asarray(np.exp(-away) * (y < -0.07))


def hair_depth(places: NDArray[np.floating], hairline: float) -> NDArray[np.floating]:
    """How far inside the hair a place of the average head is, metres; below 0 outside."""
    x, y, z = np.moveaxis(places, -1, 0)
    top = z - (0.977 + hairline - 0.25 * np.maximum(np.abs(x) - 0.02, 0))
    side = np.minimum(y + 0.108 - hairline, z - 0.935)
    sideburn = np.minimum(y + 0.088, z - 0.892)
    back = np.minimum(y + 0.030, z - 0.845)
    return np.asarray(np.max([top, side, sideburn, back], axis=0))


def draw_texture(mesh: HeadMesh, traits: Traits, rng: np.random.Generator) -> Floats:
    """The texture [H, W, 3] of skin, brows, beard and hair, 0 to 255."""
    places = mesh.places
    x, y, z = np.moveaxis(places, -1, 0)
    front = y < -0.06
    colour = np.empty((*z.shape, 3), np.float32)
    colour[:] = traits.skin

    def tint(share: NDArray[np.floating], factor: tuple[float, float, float]) -> None:
        """Multiply the colour by ``factor`` where ``share`` is 1."""
        for channel, value in enumerate(factor):
            colour[..., channel] *= 1 + share * (value - 1)

    def grain(sigma: float) -> Floats:
        noise = rng.standard_normal(z.shape, dtype=np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma > 0 else noise
        return np.asarray(noise / noise.std())

    # Blood, from below: cheeks, nose, chin, ears; and what the light of a day has browned.
    waves = _waves(rng, places, 10, (25, 90))
    blotches = _waves(rng, places, 14, (120, 420))
    rosy = traits.rosy * (1 - 0.6 * traits.dark)
    tint(_bump(places, (0.042, 0.862), (0.022, 0.020)), (1.0, 1 - 0.13 * rosy, 1 - 0.11 * rosy))
    tint(_bump(places, (0.0, 0.866), (0.016, 0.014)), (1.0, 1 - 0.11 * rosy, 1 - 0.10 * rosy))
    tint(mesh.ears, (1.0, 1 - 0.10 * rosy, 1 - 0.09 * rosy))
    tint(_bump(places, (0.0, 0.955), (0.05, 0.025)), (1.03, 1.03, 1.02))
    tint(_bump(places, (0.031, 0.886), (0.017, 0.006)), (0.90, 0.87, 0.90))
    tint(_bump(places, (0.033, 0.912), (0.020, 0.007)), (0.94, 0.90, 0.89))
    tint(_bump(places, (0.0, 0.805), (0.03, 0.02)), (0.98, 0.965, 0.965))
    for channel, (broad, small) in enumerate(((0.016, 0.012), (0.024, 0.020), (0.026, 0.020))):
        colour[..., channel] *= 1 + broad * waves + small * blotches
    # Pores: darker dots of about half a millimetre, and finer grain.
    pores = (
        np.clip(grain(0.8) - 0.9, 0, None) * 0.028
        + 0.016 * grain(0.5)
        + 0.018 * grain(2.2)
        + 0.014 * grain(6.0)
    )
    colour *= (1 - pores)[..., None]
    _spots(colour, mesh, rng, round(260 * traits.freckles), (0.5, 1.4), 0.72)
    _spots(colour, mesh, rng, int(rng.poisson(5)), (1.2, 2.6), 0.45)
    _lines(tint, places, traits.age, rng)

    # Lips, and where skin ends at lips and lids.
    lips = cv2.GaussianBlur(mesh.lips, (0, 0), 1.5)
    red = 0.75 + 0.25 * traits.rosy
    tint(lips, (0.93 - 0.05 * traits.dark, 1 - 0.30 * red, 1 - 0.24 * red))
    tint(lips * np.clip(grain(1.2), -2, 2) * 0.5, (0.96, 0.94, 0.94))
    tint(_near(mesh.lip_line, places, front & (z < 0.86) & (z > 0.80), 0.0016), (0.62, 0.48, 0.48))
    eye = front & (np.abs(z - 0.9) < 0.03) & (np.abs(np.abs(x) - 0.032) < 0.025)
    upper = mesh.lid_line[mesh.lid_line[:, 2] > 0.9005]
    lashes = rng.uniform(0.55, 1.0)
    tint(_near(upper, places, eye, 0.0010) * lashes, (0.18, 0.15, 0.14))
    tint(_near(mesh.lid_line, places, eye, 0.0009) * 0.4 * lashes, (0.5, 0.40, 0.38))
    pit = ((np.abs(x) - 0.0098) / 0.0034) ** 2 + ((y + 0.1622) / 0.0032) ** 2
    tint(np.exp(-pit - ((z - 0.8596) / 0.0018) ** 2), (0.16, 0.11, 0.10))

    _brows(colour, places, traits, rng)
    _beard(colour, places, lips, traits, grain)
    inside = hair_depth(places, traits.hairline) + 0.0018 * grain(1.2) + 0.0018 * grain(5.0)
    scalp = soft_step(inside, -0.002, 0.004) * soft_step(1 - mesh.ears, 0.2, 0.8)
    if traits.style == "shaved":
        scalp *= 0.35
    around = np.arctan2(x, -(y + 0.06))
    streaks = _streaks(rng, around * 230, z * 160)
    strands = traits.hair * (1 + 0.13 * streaks)[..., None]
    colour += scalp[..., None] * (strands - colour)
    return np.clip(colour, 4, 255)


def _waves(
    rng: np.random.Generator, places: Floats, count: int, wave_numbers: tuple[float, float]
) -> Floats:
    """Smooth noise in space of deviation 1; wave numbers in radians a metre."""
    small = cv2.resize(places, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    total = np.zeros(small.shape[:2], np.float32)
    for _ in range(count):
        way = rng.standard_normal(3)
        way *= rng.uniform(*wave_numbers) / np.linalg.norm(way)
        total += np.cos(small @ way.astype(np.float32) + np.float32(rng.uniform(0, 2 * np.pi)))
    whole = cv2.resize(total, (places.shape[1], places.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole * np.float32(np.sqrt(2 / count)))


def _spots(
    colour: Floats,
    mesh: HeadMesh,
    rng: np.random.Generator,
    count: int,
    radius: tuple[float, float],
    darkest: float,
) -> None:
    """Freckles and moles; radii in texels."""
    where = np.flatnonzero(mesh.mapped & (mesh.places[..., 1] < -0.09) & (mesh.lips < 0.1))
    shade = np.ones(mesh.mapped.shape, np.float32)
    for at in rng.choice(where, count):
        y, x = divmod(int(at), mesh.places.shape[1])
        size, dark = rng.uniform(*radius), rng.uniform(darkest, 0.95)
        centre = (round(x * 16), round(y * 16))
        cv2.circle(shade, centre, round(size * 16), dark, -1, cv2.LINE_AA, 4)
    shade = cv2.GaussianBlur(shade, (0, 0), 0.7)
    for channel, power in enumerate((0.7, 1.0, 1.15)):
        colour[..., channel] *= shade**power


def _lines(
    tint: Callable[[NDArray[np.floating], Colour], None],
    places: Floats,
    age: float,
    rng: np.random.Generator,
) -> None:
    """Lines of the forehead and from nose to mouth, deeper with age."""
    x, y, z = np.moveaxis(places, -1, 0)
    strength = 0.05 + 0.20 * age
    front = (y < -0.1) & (np.abs(x) < 0.05)
    for height in rng.normal((0.936, 0.948, 0.960), 0.0015):
        line = height + 0.004 * np.cos(x * 40 + rng.uniform(-1, 1)) + 0.15 * np.abs(x)
        share = np.exp(-(((z - line) / 0.0009) ** 2)) * front * strength
        tint(share * rng.uniform(0.3, 0.8), (0.72, 0.66, 0.64))
    along = np.clip((0.868 - z) / 0.034, 0, 1)
    line = 0.019 + 0.014 * along**0.8
    share = np.exp(-(((np.abs(x) - line) / 0.0012) ** 2)) * (z < 0.868) * (z > 0.834) * (y < -0.12)
    tint(share * strength, (0.72, 0.64, 0.62))


def _near(edge: Doubles, places: Floats, where: Mask, radius: float) -> Floats:
    """1 at the edge's points, falling over ``radius`` metres; 0 outside ``where``."""
    share = np.zeros(where.shape, np.float32)
    away, _ = cKDTree(edge).query(places[where], distance_upper_bound=4 * radius)
    share[where] = np.exp(-((np.minimum(away, 4 * radius) / radius) ** 2))
    return share


def _streaks(
    rng: np.random.Generator, across: NDArray[np.floating], along: NDArray[np.floating]
) -> Floats:
    """Noise in strands: coordinates in strands' widths and in tenths of their lengths."""
    noise = cv2.GaussianBlur(rng.standard_normal((512, 512), dtype=np.float32), (0, 0), 0.8)
    seen = cv2.remap(
        noise / noise.std(),
        np.asarray(across % 512, np.float32),
        np.asarray(along / 10 % 512, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(seen)


def _brows(colour: Floats, places: Floats, traits: Traits, rng: np.random.Generator) -> None:
    x, y, z = np.moveaxis(places, -1, 0)
    arch, lift = rng.normal(0.0045, 0.0015), rng.normal(0, 0.0012)
    out = (np.abs(x) - 0.0115) / 0.0425
    middle = 0.9185 + lift + arch * np.sin(np.pi * np.clip(out, 0, 1) ** 1.35) + 0.002 * out
    half = traits.brow * np.interp(out, (0, 0.15, 0.6, 1.0), (0.0030, 0.0036, 0.0030, 0.0008))
    edge = 1 - soft_step(np.abs(z - middle) / np.maximum(half, 1e-4), 0.7, 1.5)
    share = edge * soft_step(out, -0.03, 0.10) * (1 - soft_step(out, 0.92, 1.04)) * (y < -0.09)
    here = share > 0.01
    rise = np.interp(out, (0, 0.3, 1.0), (1.2, 0.6, -0.1))[here]  # radians over the outward way
    u, v = np.abs(x[here]), z[here]
    across = -u * np.sin(rise) + v * np.cos(rise)
    along = u * np.cos(rise) + v * np.sin(rise)
    strands = _streaks(rng, across * 1900, along * 2200)[0]
    hair = np.clip(share[here] * (0.72 + 0.5 * strands), 0, 0.92)[:, None]
    dark = np.minimum(traits.hair * 0.9, traits.skin * 0.45)
    colour[here] += hair * (dark - colour[here])


def _beard(
    colour: Floats,
    places: Floats,
    lips: Floats,
    traits: Traits,
    grain: Callable[[float], Floats],
) -> None:
    if traits.beard == 0:
        return
    x, y, z = np.moveaxis(places, -1, 0)
    ragged = 0.002 * grain(4.0) + 0.001 * grain(1.5)
    below = 0.826 + 0.9 * np.maximum(np.abs(x) - 0.028, 0) + ragged - z  # under the lips, or so
    jaw = soft_step(np.minimum(below, 0.885 + ragged - z), -0.006, 0.008)
    moustache = _bump(places, (0.011, 0.8455), (0.017, 0.0055))
    area = np.clip(jaw + moustache, 0, 1) * soft_step(-0.055 - y + ragged, 0, 0.02)
    area *= soft_step(z, 0.765, 0.785) * (1 - np.clip(2 * lips, 0, 1))
    long = np.clip((traits.beard - 0.4) / 0.4, 0, 1)
    strands = np.clip(0.5 + 0.30 * grain(0.5) + 0.22 * grain(1.0), 0, 1)
    cover = area * np.clip((0.25 + 0.75 * long) * strands + 0.35 * long, 0, 0.93)
    dark = np.minimum(traits.hair, traits.skin * 0.6)
    colour += (cover * min(1.0, 0.4 + traits.beard))[..., None] * (dark - colour)
