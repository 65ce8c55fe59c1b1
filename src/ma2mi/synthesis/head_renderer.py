"""Draw a textured head: lights at vertices, triangles with four samples a pixel, skin and eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import optional_part
from ma2mi.motion.compiler import compiler
from ma2mi.synthesis.head_mesh import EYE, PLAIN, SKIN, TEETH
from ma2mi.synthesis.textured_head import TexturedHead

with optional_part("cv2", "video"):
    import cv2
from ma2mi.synthesis.head_mesh import Floats

_TEXEL_M = 0.0003  # of the full texture, about, on a face
_SAMPLES = 2  # a pixel, each way


class HeadRenderer:
    """The light, the room, and the subject's colours, ready for drawing."""

    def __init__(
        self,
        subject: TexturedHead,
        metres_per_px: float,
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        self.subject = subject
        sample_m = metres_per_px / _SAMPLES
        level = max(0, round(np.log2(sample_m / _TEXEL_M)))
        texture = subject.texture
        for _ in range(level):
            texture = cv2.resize(texture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        self.texture = np.ascontiguousarray(texture)
        self.scale = np.float32(0.5**level)
        key = rng.uniform(0.55, 0.95)
        side = rng.choice((-1, 1)) * rng.uniform(0.2, 0.9)
        self.lights = np.array(
            [_unit(side, -1, rng.uniform(0.2, 0.9)), _unit(-side, -0.8, rng.uniform(-0.2, 0.5))],
            np.float32,
        )
        warm = rng.normal(0, 0.03)
        tint = np.array([1 + warm, 1, 1 - warm])
        self.power = np.array([key * tint, rng.uniform(0.1, 0.45) * key * (2 - tint)], np.float32)
        self.ambient = (rng.uniform(0.18, 0.40) * np.array([1.0, 1.0, 1.02])).astype(np.float32)
        self.room = _room(rng, size)

    def draw(
        self, at: Floats, vertices: Floats, turn: Floats, gaze: NDArray[np.floating]
    ) -> Floats:
        subject = self.subject
        light = _lit(
            vertices,
            subject.triangles,
            subject.openness,
            self.lights,
            self.power,
            self.ambient,
            np.float32(subject.shine),
        )
        rows, columns = self.room.shape[:2]
        hit = np.full((rows * _SAMPLES, columns * _SAMPLES), -1, np.int32)
        nearest = np.zeros(hit.shape, np.float32)
        rasterise(at, subject.triangles, subject.behind, hit, nearest, _SAMPLES)
        looking = _unit(gaze[0], -1.0, -gaze[1])
        glint = turn.T @ _unit(*(self.lights[0] + np.array([0, -1, 0])))
        image = self.room.copy()
        _shade(
            image,
            hit,
            at,
            light,
            subject.triangles,
            subject.material,
            subject.attributes,
            self.texture,
            self.scale,
            looking,
            glint.astype(np.float32),
            np.array([subject.skin, subject.shirt, subject.iris], np.float32),
            np.float32(subject.pupil),
            np.float32(subject.collar),
        )
        return image


def _unit(x: float, y: float, z: float) -> Floats:
    vector = np.array([x, y, z], np.float64)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _room(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """A wall out of focus with some furniture [H, W, 3], 0 to 255."""
    rows, columns = size
    base = rng.uniform(70, 215) * rng.normal(1, 0.06, 3)
    room = np.empty((rows, columns, 3), np.float32)
    room[:] = base
    room *= np.linspace(rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2), columns)[None, :, None]
    for _ in range(rng.integers(2, 9)):
        left, top = rng.uniform(-0.1, 0.9, 2) * (columns, rows)
        width, height = rng.uniform(0.05, 0.5, 2) * (columns, rows)
        colour = base * rng.uniform(0.5, 1.3) * rng.normal(1, 0.07, 3)
        corners = (round(left), round(top)), (round(left + width), round(top + height))
        cv2.rectangle(room, *corners, colour.tolist(), -1)
    room = cv2.GaussianBlur(room, (0, 0), rng.uniform(0.002, 0.012) * columns)
    return np.asarray(np.clip(room, 5, 245), np.float32)


@compiler()
def _lit(
    vertices: Floats,
    triangles: NDArray[np.int64],
    openness: Floats,
    lights: Floats,
    power: Floats,
    ambient: Floats,
    shine: np.float32,
) -> Floats:
    """Brightness of red, green and blue (after gamma) and highlight of each vertex [V, 4]."""
    normals = np.zeros_like(vertices)
    for f in range(len(triangles)):
        i, j, k = triangles[f]
        ax, ay, az = vertices[j] - vertices[i]
        bx, by, bz = vertices[k] - vertices[i]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    light = np.empty((len(vertices), 4), np.float32)
    wrap = (0.40, 0.24, 0.18)  # red light goes farther in skin
    for v in range(len(vertices)):
        nx, ny, nz = normals[v]
        length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
        nx, ny, nz = nx / length, ny / length, nz / length
        open_sky = openness[v]
        sky = (0.72 + 0.28 * nz) * open_sky
        for c in range(3):
            total = ambient[c] * sky
            for n in range(len(lights)):
                facing = nx * lights[n, 0] + ny * lights[n, 1] + nz * lights[n, 2]
                soft = (facing + wrap[c]) / (1 + wrap[c])
                if soft > 0:
                    total += power[n, c] * soft * (0.25 + 0.75 * open_sky)
            light[v, c] = total ** (1 / 2.2)
        glow = 0.0
        for n in range(len(lights)):
            hx, hy, hz = lights[n, 0], lights[n, 1] - 1, lights[n, 2]
            length = np.sqrt(hx * hx + hy * hy + hz * hz)
            facing = (nx * hx + ny * hy + nz * hz) / length
            if facing > 0:
                square = facing * facing
                fourth = square * square
                glow += power[n, 1] * fourth * fourth * fourth * fourth * fourth
        light[v, 3] = 46 * shine * glow * open_sky
    return light


@compiler()
def rasterise(
    at: Floats,
    triangles: NDArray[np.int64],
    behind: Floats,
    hit: NDArray[np.int32],
    nearest: Floats,
    samples: int,
) -> None:
    """Fill ``hit`` with the nearest triangle that faces the camera at each sample."""
    rows, columns = hit.shape
    shift = (samples - 1) / 2
    for f in range(len(triangles)):
        i, j, k = triangles[f]
        x0, y0 = at[i, 0] * samples + shift, at[i, 1] * samples + shift
        x1, y1 = at[j, 0] * samples + shift, at[j, 1] * samples + shift
        x2, y2 = at[k, 0] * samples + shift, at[k, 1] * samples + shift
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= 0:  # y points down, so what faces us runs clockwise there
            continue
        top = max(0, int(np.ceil(min(y0, y1, y2))))
        bottom = min(rows - 1, int(np.floor(max(y0, y1, y2))))
        left = max(0, int(np.ceil(min(x0, x1, x2))))
        right = min(columns - 1, int(np.floor(max(x0, x1, x2))))
        if top > bottom or left > right:
            continue
        d0, d1, d2 = at[i, 2] * behind[f], at[j, 2] * behind[f], at[k, 2] * behind[f]
        one = 1 / area
        bx, by = (y2 - y0) * one, -(x2 - x0) * one
        cx, cy = -(y1 - y0) * one, (x1 - x0) * one
        for y in range(top, bottom + 1):
            b = (left - x0) * bx + (y - y0) * by
            c = (left - x0) * cx + (y - y0) * cy
            for x in range(left, right + 1):
                if b >= 0 and c >= 0 and b + c <= 1:
                    d = d0 + b * (d1 - d0) + c * (d2 - d0)
                    if d > nearest[y, x]:
                        nearest[y, x] = d
                        hit[y, x] = f
                b += bx
                c += cx


@compiler()
def carry(
    at: Floats,
    values: Floats,
    triangles: NDArray[np.int64],
    hit: NDArray[np.int32],
    mask: NDArray[np.bool_],
    out: Floats,
) -> None:
    """Values [V, 2] of the vertices, at each pixel of the mask."""
    for y in range(hit.shape[0]):
        for x in range(hit.shape[1]):
            if not mask[y, x]:
                continue
            i, j, k = triangles[hit[y, x]]
            x0, y0, x1, y1, x2, y2 = at[i, 0], at[i, 1], at[j, 0], at[j, 1], at[k, 0], at[k, 1]
            area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
            b = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
            c = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
            for n in range(2):
                out[y, x, n] = (1 - b - c) * values[i, n] + b * values[j, n] + c * values[k, n]


@compiler()
def _shade(
    image: Floats,
    hit: NDArray[np.int32],
    at: Floats,
    light: Floats,
    triangles: NDArray[np.int64],
    material: NDArray[np.int64],
    attributes: Floats,
    texture: Floats,
    scale: np.float32,
    looking: Floats,
    glint: Floats,
    colours: Floats,
    pupil: np.float32,
    collar: np.float32,
) -> None:
    """Colour every sample and mean them into the image; what shows no head keeps the room."""
    rows, columns = image.shape[:2]
    samples = hit.shape[0] // rows
    high, wide = texture.shape[:2]
    shift = (samples - 1) / 2
    total = samples * samples
    for row in range(rows):
        for column in range(columns):
            red, green, blue, count = 0.0, 0.0, 0.0, 0
            for sy in range(row * samples, (row + 1) * samples):
                for sx in range(column * samples, (column + 1) * samples):
                    f = hit[sy, sx]
                    if f < 0:
                        continue
                    count += 1
                    i, j, k = triangles[f]
                    x, y = (sx - shift) / samples, (sy - shift) / samples
                    x0, y0 = at[i, 0], at[i, 1]
                    ax, ay = at[j, 0] - x0, at[j, 1] - y0
                    bx, by = at[k, 0] - x0, at[k, 1] - y0
                    one = 1 / (ax * by - bx * ay)
                    b = ((x - x0) * by - bx * (y - y0)) * one
                    c = (ax * (y - y0) - (x - x0) * ay) * one
                    a = 1 - b - c
                    lr = a * light[i, 0] + b * light[j, 0] + c * light[k, 0]
                    lg = a * light[i, 1] + b * light[j, 1] + c * light[k, 1]
                    lb = a * light[i, 2] + b * light[j, 2] + c * light[k, 2]
                    glow = a * light[i, 3] + b * light[j, 3] + c * light[k, 3]
                    u = a * attributes[f, 0, 0] + b * attributes[f, 1, 0] + c * attributes[f, 2, 0]
                    v = a * attributes[f, 0, 1] + b * attributes[f, 1, 1] + c * attributes[f, 2, 1]
                    w = a * attributes[f, 0, 2] + b * attributes[f, 1, 2] + c * attributes[f, 2, 2]
                    kind = material[f]
                    if kind == SKIN:
                        u = (u + 0.5) * scale - 0.5
                        v = (v + 0.5) * scale - 0.5
                        p = min(max(int(u), 0), wide - 2)
                        q = min(max(int(v), 0), high - 2)
                        u, v = u - p, v - q
                        w0, w1 = (1 - u) * (1 - v), u * (1 - v)
                        w2, w3 = (1 - u) * v, u * v
                        r = (
                            w0 * texture[q, p, 0]
                            + w1 * texture[q, p + 1, 0]
                            + w2 * texture[q + 1, p, 0]
                            + w3 * texture[q + 1, p + 1, 0]
                        )
                        g = (
                            w0 * texture[q, p, 1]
                            + w1 * texture[q, p + 1, 1]
                            + w2 * texture[q + 1, p, 1]
                            + w3 * texture[q + 1, p + 1, 1]
                        )
                        bl = (
                            w0 * texture[q, p, 2]
                            + w1 * texture[q, p + 1, 2]
                            + w2 * texture[q + 1, p, 2]
                            + w3 * texture[q + 1, p + 1, 2]
                        )
                    elif kind == EYE:
                        length = np.sqrt(u * u + v * v + w * w)
                        u, v, w = u / length, v / length, w / length
                        facing = u * looking[0] + v * looking[1] + w * looking[2]
                        angle = np.sqrt(max(0.0, 2 - 2 * facing))
                        # The white reddens to the corners; the iris is darkest at its rim.
                        corner = min(1.0, u * u * 2.2)
                        shadow = 1 - 0.35 * min(1.0, max(0.0, (w - 0.05) * 3.0))
                        r = 226 - 30 * corner
                        g = 218 - 62 * corner
                        bl = 212 - 62 * corner
                        rim = min(1.0, max(0.0, (0.445 - angle) / 0.035))
                        if rim > 0:
                            around = np.arctan2(w - looking[2], u - looking[0])
                            fibre = 0.85 + 0.15 * np.sin(around * 23) * np.sin(around * 9 + 1)
                            bright = (1.25 - 1.4 * max(0.0, angle - 0.28)) * fibre
                            if angle > 0.38:
                                bright *= 1 - 0.5 * (angle - 0.38) / 0.065
                            hole = min(1.0, max(0.0, (angle - pupil) / 0.03))
                            bright *= hole
                            r += rim * (6 + colours[2, 0] * bright - r)
                            g += rim * (6 + colours[2, 1] * bright - g)
                            bl += rim * (6 + colours[2, 2] * bright - bl)
                        r, g, bl = r * shadow, g * shadow, bl * shadow
                        near = u * glint[0] + v * glint[1] + w * glint[2]
                        glow = 190 * min(1.0, max(0.0, (near - 0.985) / 0.008))
                    elif kind == TEETH:
                        gap = 1 - min(1.0, abs(u - np.rint(u)) / 0.09)
                        gum = min(1.0, max(0.0, (v - 0.72) / 0.1))
                        inside = max(0.3, 1 - 0.09 * abs(u)) * (0.8 + 0.2 * w)
                        r = (228 - 60 * gap) * inside
                        g = (220 - 70 * gap) * inside
                        bl = (202 - 72 * gap) * inside
                        r += gum * (176 * inside - r)
                        g += gum * (96 * inside - g)
                        bl += gum * (92 * inside - bl)
                        glow *= 1.5
                    elif kind == PLAIN:
                        r, g, bl = u, v, w
                        glow *= 0.3
                    else:  # clothes: the average body's place
                        cloth = (
                            1
                            if np.sqrt(u * u + (v + 0.01) ** 2) > collar + max(0.0, w - 0.70)
                            and w < 0.75
                            else 0
                        )
                        r, g, bl = colours[cloth]
                        if cloth:
                            glow = 0.0
                    red += r * lr + glow
                    green += g * lg + glow
                    blue += bl * lb + glow
            if count:
                rest = total - count
                image[row, column, 0] = (red + rest * image[row, column, 0]) / total
                image[row, column, 1] = (green + rest * image[row, column, 1]) / total
                image[row, column, 2] = (blue + rest * image[row, column, 2]) / total
