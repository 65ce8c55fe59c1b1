"""Draw a subject once, as layers that later slide over each other: wall, eyes, mouth, skin.

A height map under a lamp gives the shading, and fine noise the pores that optical flow needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import optional_part
from ma2mi.synthesis.subject import CANVAS, SyntheticSubject

with optional_part("cv2", "video"):
    import cv2

DETAIL = 1.5
"""Pixels of a layer per canonical pixel."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Layers:
    """What lies behind what. Colours are linear to the eye (sRGB), 0 to 255, float32.

    Args:
        wall: H x W x 3, background and shoulders; it does not move with the head.
        inside: H x W x 3, eyeballs, teeth and the dark of the mouth.
        head: H x W x 4, hair and skin, colour times alpha; holes at the eyes.
        upper: H x W x 4, the part of the head above the line where the lips meet.
    """

    wall: Map
    inside: Map
    head: Map
    upper: Map


@lru_cache(maxsize=2)  # 19 MB each; clips of one subject follow each other
def draw_layers(subject: SyntheticSubject) -> Layers:
    """The layers of ``subject``, each ``DETAIL * CANVAS`` pixels square; not to be written to."""
    easel = _Easel(subject)
    head_alpha = easel.head_outline()
    colour = easel.skin()
    colour = easel.lips(colour)
    colour = easel.brows_and_lashes(colour)
    colour, head_alpha = easel.hair(colour, head_alpha)
    alpha = head_alpha * (1 - easel.eye_holes())
    head = np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)
    # The camera's own softness: nothing on the canvas is sharper than a lens would show.
    head = cv2.GaussianBlur(head, (0, 0), 0.6) * np.float32(255)
    head[..., 3] /= 255
    above = easel.smooth_step(easel.lip_line - easel.y, 0.5)[..., None]
    return Layers(
        wall=(easel.wall() * 255).astype(np.float32),
        inside=(easel.inside() * 255).astype(np.float32),
        head=np.ascontiguousarray(head),
        upper=np.ascontiguousarray((head * above).astype(np.float32)),
    )


class _Easel:
    """Canonical coordinates of every pixel of a layer, and the brushes that use them."""

    def __init__(self, subject: SyntheticSubject) -> None:
        self.subject = subject
        self.rng = np.random.default_rng(np.random.SeedSequence([subject.seed, 0xC010]))
        side = round(CANVAS * DETAIL)
        axis = ((np.arange(side) + 0.5) / DETAIL - 0.5).astype(np.float32)
        self.x, self.y = np.meshgrid(axis, axis)
        self.dx = self.x - np.float32(subject.centre_x)
        self.out = np.abs(self.dx)
        self.lip_line = subject.lip_line(self.dx).astype(np.float32)

    def smooth_step(self, distance: Map, width: float = 0.7) -> Map:
        """1 where ``distance`` (canonical px) is positive, 0 where negative, soft between."""
        return np.asarray(np.clip(distance / (2 * width) + 0.5, 0, 1))

    def bump(self, out: float, y: float, wide: float, high: float) -> Map:
        """A Gaussian on both sides of the face, ``out`` px from the midline."""
        return np.asarray(np.exp(-(((self.out - out) / wide) ** 2) - ((self.y - y) / high) ** 2))

    def noise(self, grain: float, stretch: float = 1.0) -> Map:
        """Smooth noise of unit deviation; ``grain`` is its blur in canonical px."""
        step = max(1, int(grain * DETAIL))
        side = len(self.x)
        small = -(-side // step)
        field = self.rng.standard_normal((small, small)).astype(np.float32)
        sigma = max(grain * DETAIL / step, 0.3)
        field = cv2.GaussianBlur(field, (0, 0), sigmaX=sigma, sigmaY=sigma * stretch)
        field = cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
        return np.asarray(field / (field.std() + 1e-6))

    def outline_distance(self, grow: float = 0.0) -> Map:
        """Distance inside the bald head, an oval that narrows to the jaw, made ``grow`` wider."""
        subject = self.subject
        middle = subject.eye_y + 8
        below = np.clip((self.y - middle) / (subject.chin_y + grow - middle), 0, 1.3)
        above = np.clip((middle - self.y) / (middle - subject.top_y + grow), 0, 1.3)
        power = 2.0 + 1.1 * subject.jaw
        lower = np.sqrt(np.clip(1 - below**power, 0, 1)) * (1 - 0.12 * below)
        upper = np.sqrt(np.clip(1 - above**2.3, 0, 1))
        half = (subject.width + grow) * np.where(self.y > middle, lower, upper)
        vertical = np.where(
            self.y > middle, subject.chin_y + grow - self.y, self.y - subject.top_y + grow
        )
        return np.asarray(np.minimum(half - self.out, vertical))

    def head_outline(self) -> Map:
        subject = self.subject
        face = self.smooth_step(self.outline_distance(), 0.9)
        ear = (
            1
            - ((self.out - subject.width - 2) / 8) ** 2
            - ((self.y - subject.eye_y - 20) / 23) ** 2
        )
        return np.maximum(face, self.smooth_step(ear * 6, 0.8))

    def height(self) -> Map:
        """The relief of the face in canonical px."""
        subject = self.subject
        half_height = (subject.chin_y - subject.top_y) / 2 + 8
        middle = (subject.chin_y + subject.top_y) / 2
        radius = (self.dx / (subject.width + 5)) ** 2 + ((self.y - middle) / half_height) ** 2
        relief = 80 * np.sqrt(np.clip(1 - radius, 0.02, 1))
        root, tip = subject.eye_y - 4, subject.nose_y - 8
        along = np.clip((self.y - root) / (tip - root), 0, 1)
        wide = 7 + 5 * along
        falls = 1 / (1 + np.exp((self.y - tip - 8) / 2.2))
        relief += subject.nose_height * along**1.2 * falls * np.exp(-((self.out / wide) ** 2))
        relief += 6 * self.bump(0, tip + 1, 9, 8)
        relief += 7 * self.bump(subject.nose_half_width - 5, subject.nose_y - 6, 6.5, 6.5)
        relief -= 10 * self.bump(subject.eye_x - 3, subject.eye_y - 3, 24, 13)
        relief += 6 * self.bump(subject.eye_x, subject.eye_y + 1, 20, 11)
        relief += 5 * self.bump(subject.eye_x - 2, subject.brow_y, 28, 8)
        relief += 8 * self.bump(52, subject.eye_y + 42, 27, 25)
        relief -= 2.2 * self.bump(0, subject.mouth_y - 17, 3.5, 9)
        lips = 1 - (self.dx / (subject.mouth_half_width + 2)) ** 2
        lips = np.clip(lips, 0, 1)
        gap = self.y - self.lip_line
        relief += 4.5 * lips * np.exp(-(((gap + subject.lip_upper * 0.5) / 5) ** 2))
        relief += 6 * lips * np.exp(-(((gap - subject.lip_lower * 0.5) / 6) ** 2))
        relief -= 3 * self.bump(0, subject.mouth_y + subject.lip_lower + 7, 22, 5)
        relief += 8 * self.bump(0, subject.chin_y - 17, 20, 12)
        relief -= (0.8 + 2.2 * subject.age) * self.fold()
        relief -= (0.3 + 0.9 * subject.age) * self.bump(
            subject.eye_x - 4, subject.eye_y + 15, 17, 3
        )
        return np.asarray(relief + 0.06 * self.noise(1.0) + 0.16 * self.noise(3))

    def fold(self) -> Map:
        """The furrow from the nose wing past the corner of the mouth, in [0, 1]."""
        subject = self.subject
        start_y, end_y = subject.nose_y - 9, subject.mouth_y + 8
        along = (self.y - start_y) / (end_y - start_y)
        away = (subject.mouth_half_width - 8) * np.clip(along, 0, 1.2) ** 0.8
        path = subject.nose_half_width + 3 + away
        fade = np.clip(along * 5, 0, 1) * np.clip((1.15 - along) * 3, 0, 1)
        return np.asarray(np.exp(-(((self.out - path) / 3.2) ** 2)) * fade)

    def lit(self, relief: Map) -> tuple[Map, Map]:
        """Diffuse and specular light on a relief."""
        subject = self.subject
        slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=DETAIL / 8)
        slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=DETAIL / 8)
        length = np.sqrt(slope_x**2 + slope_y**2 + 1)
        lx, ly = subject.light
        strength = np.sqrt(lx**2 + ly**2 + 1)
        diffuse = (-slope_x * lx - slope_y * ly + 1) / length / strength
        shine_z = 1 + strength  # halfway between lamp and camera
        shine = (-slope_x * lx - slope_y * ly + shine_z) / length
        shine /= np.sqrt(lx**2 + ly**2 + shine_z**2)
        return np.clip(diffuse, 0, 1), np.clip(shine, 0, 1) ** 40

    def skin(self) -> Map:
        """Pigment under a lamp, with the shadows that relief alone does not give."""
        subject = self.subject
        diffuse, shine = self.lit(self.height().astype(np.float32))
        light = 1 - subject.contrast + subject.contrast * diffuse * 1.25
        shadow = self.wrinkles() + self.hollows()
        if subject.beard > 0:
            shadow = shadow + self.stubble()
        colour = self.pigment() * (np.clip(1 - shadow, 0.05, 1) * light)[..., None]
        return np.asarray(np.clip(colour + 0.16 * shine[..., None], 0, 1))

    def pigment(self) -> Map:
        subject = self.subject
        red = 0.10 * self.bump(50, subject.eye_y + 42, 26, 22) + 0.02 * self.noise(6)
        red += 0.12 * self.bump(0, subject.nose_y - 10, 14, 12)
        hue = 1 + red[..., None] * np.array([0.6, -0.7, -0.6], np.float32)
        blotch = 1 + 0.025 * self.noise(9) + 0.022 * self.noise(2.5) + 0.03 * self.noise(0.8)
        if subject.freckles > 0:
            where = self.bump(35, subject.nose_y - 16, 40, 22) + 0.1
            spots = np.clip(self.noise(1.1) - 1.9, 0, 1) * where
            blotch *= 1 - 0.4 * subject.freckles * spots
        return np.asarray(np.array(subject.skin, np.float32) * hue * blotch[..., None])

    def wrinkles(self) -> Map:
        """Lines of the forehead, crow's feet and nasolabial folds, as a share of light lost."""
        subject = self.subject
        lines = np.zeros_like(self.x)
        for number in range(3):
            y = subject.brow_y - 16 - 11 * number + 2 * np.sin(self.dx / 23 + number)
            lines += np.exp(-(((self.y - y) / 1.3) ** 2) - (self.out / 45) ** 4)
        corner = subject.eye_x + subject.eye_half_width + 9
        for turn in (-0.5, 0.0, 0.5):
            rise = self.y - subject.eye_y - turn * (self.out - corner + 7)
            lines += np.exp(-((rise / 1.1) ** 2) - ((self.out - corner) / 6) ** 2)
        return np.asarray(0.07 * subject.age * lines + 0.06 * (0.5 + subject.age) * self.fold())

    def hollows(self) -> Map:
        """Shadow around the eyes, in the crease of the lid, and under the nose."""
        subject = self.subject
        shadow = (
            0.10 * (0.4 + subject.age) * self.bump(subject.eye_x - 3, subject.eye_y + 14, 15, 5)
        )
        shadow += 0.16 * self.bump(subject.eye_x - 4, subject.eye_y - 11, 18, 4)
        shadow += 0.62 * self.bump(7.5, subject.nose_y - 1, 4.5, 2.2)
        shadow += 0.16 * self.bump(0, subject.nose_y + 3, subject.nose_half_width, 4)
        crease = subject.lid_lines(self.out - subject.eye_x)[0] - 4
        near = np.exp(-(((self.out - subject.eye_x) / (subject.eye_half_width * 0.95)) ** 6))
        return np.asarray(shadow + 0.30 * near * np.exp(-(((self.y - crease) / 1.3) ** 2)))

    def stubble(self) -> Map:
        subject = self.subject
        rim = subject.nose_y + 14 + 0.4 * self.out * (self.out < 22)
        jaw = self.smooth_step(self.y - rim, 5)
        side = self.smooth_step(self.out - 55, 10)
        side = side * self.smooth_step(self.y - subject.eye_y - 30, 12)
        clear = 1 - self.bump(0, subject.mouth_y + 1, subject.mouth_half_width + 5, 12)
        hairs = np.clip(0.75 + 0.2 * self.noise(0.7), 0, 1.2)
        return np.asarray(subject.beard * np.maximum(jaw, side) * clear * hairs)

    def lips(self, colour: Map) -> Map:
        subject = self.subject
        across = np.clip(self.out / subject.mouth_half_width, 0, 1)
        taper = np.sqrt(np.clip(1 - across**2, 0, 1))
        bow = 1 - 0.22 * np.exp(-((across / 0.12) ** 2))
        bow += 0.12 * np.exp(-(((across - 0.25) / 0.15) ** 2))
        gap = self.y - self.lip_line
        upper = self.smooth_step(gap + subject.lip_upper * taper**1.3 * bow, 0.9) * (gap <= 0)
        lower = self.smooth_step(subject.lip_lower * taper - gap, 1.1) * (gap > 0)
        shape = (upper + lower) * self.smooth_step(subject.mouth_half_width - self.out, 1.0)
        shape = shape[..., None]
        light = colour.mean(axis=2) / (float(np.mean(subject.skin)) + 1e-6)
        streaks = 1 + 0.06 * self.noise(0.7, 3.0)
        tone = np.array(subject.lip, np.float32) * (light * streaks)[..., None]
        tone = tone * np.where(gap > 0, 1.0, 0.82)[..., None]
        gloss = np.exp(-(((gap - subject.lip_lower * 0.45) / 2.2) ** 2) - (self.out / 13) ** 2)
        tone = tone + 0.10 * gloss[..., None]
        colour = colour * (1 - 0.85 * shape) + 0.85 * tone * shape
        line = np.exp(-((gap / 1.1) ** 2))
        line = line * self.smooth_step(subject.mouth_half_width + 1 - self.out, 2.5)
        corner = self.bump(subject.mouth_half_width, subject.mouth_y - subject.mouth_curve, 3, 2.5)
        return np.asarray(np.clip(colour * (1 - 0.62 * line - 0.3 * corner)[..., None], 0, 1))

    def brows_and_lashes(self, colour: Map) -> Map:
        subject = self.subject
        along = (self.out - 14) / 50
        inside = self.smooth_step(along * 50, 2.5) * self.smooth_step((1 - along) * 50, 2.5)
        path = subject.brow_y + 3 - subject.brow_arch * np.sin(np.clip(along, 0, 1) * 2.5)
        half = subject.brow_thickness / 2 * (1 - 0.6 * np.clip(along, 0, 1) ** 1.5)
        hairs = np.clip(0.8 + 0.28 * self.noise(0.7, 1.8), 0, 1)
        brow = self.smooth_step(half - np.abs(self.y - path), 1.3) * inside * hairs
        shade = np.array(subject.hair, np.float32) * 0.75
        colour = colour * (1 - 0.85 * brow[..., None]) + 0.85 * shade * brow[..., None]
        upper, lower = subject.lid_lines(self.out - subject.eye_x)
        near = self.smooth_step(
            subject.eye_half_width + 1.5 - np.abs(self.out - subject.eye_x), 1.5
        )
        lash = np.exp(-(((self.y - upper + 0.6) / 1.3) ** 2)) * 0.8
        lash += np.exp(-(((self.y - lower - 0.5) / 1.0) ** 2)) * 0.3
        return np.asarray(colour * (1 - np.clip(lash * near, 0, 0.85))[..., None])

    def eye_holes(self) -> Map:
        subject = self.subject
        upper, lower = subject.lid_lines(self.out - subject.eye_x)
        inside = np.minimum(self.y - upper, lower - self.y)
        inside = np.minimum(inside, subject.eye_half_width - np.abs(self.out - subject.eye_x))
        return self.smooth_step(inside - 0.4, 0.6)

    def hair(self, colour: Map, alpha: Map) -> tuple[Map, Map]:
        subject = self.subject
        strands = 1 + 0.22 * self.noise(0.8, 6.0) + 0.10 * self.noise(5)
        shine = 1 + 0.5 * np.exp(-(((self.y - subject.top_y - 16) / 14) ** 2))
        tone = np.array(subject.hair, np.float32) * (strands * shine)[..., None]
        line = subject.top_y + subject.hairline
        if subject.hair_style == "shaved":
            grow, amount = 0.5, 0.35
            edge = line + 0.004 * self.out**2 - self.y
        else:
            grow, amount = (9.0 if subject.hair_style == "short" else 14.0), 1.0
            side = self.rng.choice([-1.0, 1.0])
            tilt = 0.12 * self.dx * side if subject.hair_style == "parted" else 0.0
            temples = 0.00022 * np.clip(self.out - 20, 0, None) ** 3
            edge = line + tilt + temples + 1.5 * self.noise(2.5, 3.0) - self.y
        scalp = self.smooth_step(self.outline_distance(grow), 1.5)
        mask = scalp * self.smooth_step(edge, 1.8)
        if subject.hair_style in ("long", "parted"):
            end = subject.chin_y + (26 if subject.hair_style == "long" else -22)
            wave = 1.6 * self.noise(3, 5.0)
            rise = np.clip(
                (subject.eye_y - 10 - self.y) / (subject.eye_y + 4 - subject.top_y), 0, 1
            )
            outer = (subject.width + 17 + 3 * wave / 1.6) * np.sqrt(1 - rise**2.3)
            falling = self.smooth_step(outer - self.out, 1.5)
            falling = falling * self.smooth_step(5 + wave - self.outline_distance(), 2.0)
            falling = falling * self.smooth_step(self.out - 0.74 * subject.width - wave, 2.0)
            falling = falling * self.smooth_step(end + 4 * wave - self.y, 6)
            mask = np.maximum(mask, falling)
        elif subject.hair_style == "short":
            burns = self.smooth_step(self.out - subject.width + 9, 2.5)
            burns = burns * self.smooth_step(subject.eye_y + 12 - self.y, 8)
            mask = np.maximum(mask, burns * scalp)
        mask = np.clip(mask * amount, 0, 1)[..., None]
        colour = np.clip(colour * (1 - mask) + tone * mask, 0, 1)
        return colour, np.maximum(alpha, mask[..., 0] if amount == 1 else alpha)

    def wall(self) -> Map:
        subject = self.subject
        shade = 1 + 0.08 * (self.dx / CANVAS * np.sign(subject.light[0])) + 0.02 * self.noise(20)
        colour = np.array(subject.wall, np.float32) * (shade + 0.006 * self.noise(0.8))[..., None]
        tone = np.array(subject.skin, np.float32)
        neck_half = 0.62 * subject.width
        neck = self.smooth_step(neck_half + 0.0016 * (self.y - 300).clip(0) ** 2 - self.out, 2)
        neck = neck * self.smooth_step(self.y - subject.chin_y + 60, 3)
        fall = 0.45 + 0.4 * np.clip((self.y - subject.chin_y) / 60, 0, 1)
        round_neck = 1 - 0.45 * (self.out / neck_half) ** 2
        skin = tone * (fall * np.clip(round_neck, 0.3, 1) * (1 + 0.03 * self.noise(1)))[..., None]
        colour = colour * (1 - neck[..., None]) + skin * neck[..., None]
        collar = subject.chin_y + 57 - 0.0098 * self.out**2
        shoulder = subject.chin_y + 14 + 0.28 * self.out
        top = np.where(self.out < neck_half, collar, shoulder)
        cloth = self.smooth_step(self.y - top, 1.2)[..., None]
        weave = (0.8 + 0.06 * self.noise(1, 2.0) + 0.1 * self.noise(14))[..., None]
        colour = colour * (1 - cloth) + np.array(subject.clothes, np.float32) * weave * cloth
        return np.asarray(np.clip(colour, 0, 1))

    def inside(self) -> Map:
        """Eyeballs (white, iris, pupil, glint) and the mouth behind the lips."""
        subject = self.subject
        from_eye = np.hypot(self.out - subject.eye_x, self.y - subject.eye_y + 1.0)
        ball = 0.90 - 0.30 * np.clip(from_eye / 24, 0, 1) ** 2
        ball = ball - 0.22 * self.smooth_step(subject.eye_y - subject.eye_upper + 4 - self.y, 4)
        colour = ball[..., None] * np.array([0.93, 0.90, 0.88], np.float32)
        radius = 8.3
        angle = np.arctan2(self.y - subject.eye_y, self.out - subject.eye_x)
        rays = 1 + 0.18 * np.sin(angle * 23) * np.sin(from_eye) + 0.35 * (from_eye / radius - 0.5)
        iris = np.array(subject.iris, np.float32) * rays[..., None]
        iris *= np.where(from_eye > radius - 1.3, 0.6, 1.0)[..., None]
        disc = self.smooth_step(radius - from_eye, 0.8)[..., None]
        colour = colour * (1 - disc) + iris * disc
        colour *= 1 - 0.95 * self.smooth_step(3.4 - from_eye, 0.7)[..., None]
        side = np.sign(self.dx) * np.sign(subject.light[0])  # both eyes mirror one lamp
        glint_x = self.out - subject.eye_x - 2.6 * side
        glint = np.hypot(glint_x, self.y - subject.eye_y + 3.4)
        colour += 0.75 * self.smooth_step(1.5 - glint, 0.8)[..., None]
        mouth = self.y > (subject.eye_y + subject.mouth_y) / 2
        depth = np.exp(-((self.out / (subject.mouth_half_width * 0.9)) ** 4))
        dark = np.array([0.20, 0.06, 0.06], np.float32) * (0.4 + 0.4 * depth)[..., None]
        gaps = 1 - 0.18 * np.exp(-(((np.abs((self.out + 4) % 8 - 4)) / 0.6) ** 2))
        teeth = self.smooth_step(subject.mouth_y + 3.5 - self.y, 1.0) * depth
        gloom = gaps * (0.55 + 0.35 * depth)  # the teeth further back get less light
        enamel = np.array([0.80, 0.77, 0.70], np.float32) * gloom[..., None]
        dark = dark * (1 - teeth[..., None]) + enamel * teeth[..., None]
        return np.asarray(np.clip(np.where(mouth[..., None], dark, colour), 0, 1))
