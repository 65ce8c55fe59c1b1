"""Render the frames of a synthetic scene, and invert what was rendered into true flow."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np

from ma2mi.errors import optional_part
from ma2mi.synthesis.face import Layers, draw_layers
from ma2mi.synthesis.movement import FACE, MOUTH, MOUTH_IN_FACE, Field, Track, face_field
from ma2mi.synthesis.settings import SyntheticSettings
from ma2mi.synthesis.subject import CANVAS, SyntheticSubject

with optional_part("cv2", "video"):
    import cv2

Box = tuple[slice, slice]


class Scene(Protocol):
    """What a renderer reads; ``SyntheticClip`` documents each."""

    subject: SyntheticSubject
    seed: int
    settings: SyntheticSettings
    noise_seed: np.random.SeedSequence
    tracks: dict[Track, np.ndarray]
    gaze: np.ndarray
    head: np.ndarray
    light: np.ndarray


class Renderer:
    """Slides the layers of a subject's face; each image pixel is looked up once a layer."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @cached_property
    def _layers(self) -> Layers:
        return draw_layers(self.scene.subject)

    @cached_property
    def _pixels(self) -> tuple[np.ndarray, np.ndarray]:
        side = np.arange(self.scene.settings.size, dtype=np.float32)
        return np.meshgrid(side, side)

    @cached_property
    def _wall(self) -> np.ndarray:
        """The background as the camera sees it: it stands still, so once is enough."""
        size = self.scene.settings.size
        wall = self._layers.wall
        scale = wall.shape[0] / size
        shrink = np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen: np.ndarray = cv2.warpAffine(
            wall, shrink, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return seen

    @cached_property
    def _along(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Canonical x and y of every pixel of the wall, and how far it goes along with the head.

        All the way behind the head, not at all from the shoulders on.
        """
        subject, scale = self.scene.subject, np.float32(CANVAS / self.scene.settings.size)
        x, y = ((side + np.float32(0.5)) * scale - np.float32(0.5) for side in self._pixels)
        down = np.clip((subject.chin_y + 70 - y) / 90, 0, 1)
        out = np.clip(2.2 - np.abs(x - subject.centre_x) / subject.width, 0, 1)
        share = down * out
        return x, y, share * share * (3 - 2 * share)

    def _neck(self, rest_x: np.ndarray, rest_y: np.ndarray) -> np.ndarray:
        """The wall, its neck bent so that it ends below the head."""
        x, y, share = self._along
        return _look(self._layers.wall, x + share * (rest_x - x), y + share * (rest_y - y))

    @cached_property
    def _noise(self) -> np.ndarray:
        rng = np.random.default_rng(self.scene.noise_seed)
        side = self.scene.settings.size + 64
        bank = rng.standard_normal((side, side, 3), dtype=np.float32)
        bank = cv2.GaussianBlur(bank, (0, 0), 0.45)  # demosaicing ties neighbours together
        return np.asarray(bank * np.float32(self.scene.settings.noise / bank.std()))

    def frame(self, index: int) -> np.ndarray:
        """One frame, uint8 (size, size, 3), RGB."""
        layers, head = self._layers, self.scene.head[index]
        field = self._field(index)
        rest_x, rest_y = self._canonical(index)
        moved = _sample(field.common, FACE, rest_x, rest_y)
        skin = _look(layers.head, rest_x - moved[..., 0], rest_y - moved[..., 1])

        follows = self.scene.settings.neck_follows
        under = self._neck(rest_x, rest_y) if follows else self._wall.copy()
        box = self._box(head, MOUTH)
        throat = self._box(head, self._mouth_box)
        inside = _look(layers.inside, rest_x[throat], rest_y[throat])
        if follows:  # the corners of a box that is turned far reach beyond the face
            rows, columns = self._mouth_box
            beyond = (rest_y[throat] < rows.start) | (rest_y[throat] > rows.stop)
            beyond |= (rest_x[throat] < columns.start) | (rest_x[throat] > columns.stop)
            inside[beyond] = under[throat][beyond]
        under[throat] = inside
        at = rest_x[box], rest_y[box]
        from_x, from_y = at[0] - moved[box][..., 0], at[1] - moved[box][..., 1]
        above = _look(layers.upper, from_x, from_y - _sample(field.upper, MOUTH, *at))
        low_y = from_y - _sample(field.lower, MOUTH, *at)
        below = _look(layers.head, from_x, low_y) - _look(layers.upper, from_x, low_y)
        lips = above + below
        lips /= np.maximum(lips[..., 3:], 1)  # pressed lips overlap
        skin[box] = lips
        eyes = self._box(head, self._eye_box)
        gaze = self.scene.gaze[index]
        under[eyes] = _look(layers.inside, rest_x[eyes] - gaze[0], rest_y[eyes] - gaze[1])

        shows = 1 - skin[..., 3]  # what lies under, where the head has a hole or ends
        under = cv2.multiply(under, cv2.merge([shows] * 3))
        image = cv2.add(under, cv2.cvtColor(skin, cv2.COLOR_RGBA2RGB))
        if self.scene.settings.blur_px > 0:
            image = cv2.GaussianBlur(image, (5, 5), self.scene.settings.blur_px)
        image = cv2.scaleAdd(image, float(self.scene.light[index]), self._noise_at(index))
        # This rounds and saturates, but would mirror what is below 0.
        seen: np.ndarray = cv2.convertScaleAbs(np.maximum(image, 0, out=image))
        return seen

    def _noise_at(self, index: int) -> np.ndarray:
        rng = np.random.default_rng([self.scene.seed, self.scene.subject.seed, index])
        top, left = rng.integers(0, 65, 2)
        size = self.scene.settings.size
        tile = self._noise[top : top + size, left : left + size]
        flip_rows, flip_columns = 1 - 2 * rng.integers(0, 2, 2)
        return tile[::flip_rows, ::flip_columns]

    @property
    def _eye_box(self) -> Box:
        subject = self.scene.subject
        reach = round(subject.eye_x + subject.eye_half_width + 5)
        middle = round(subject.eye_y)
        return (slice(middle - 18, middle + 16), slice(CANVAS // 2 - reach, CANVAS // 2 + reach))

    @property
    def _mouth_box(self) -> Box:
        """Where the mouth can open; it stays inside the face's outline."""
        subject = self.scene.subject
        reach, middle = round(subject.mouth_half_width + 12), round(subject.mouth_y)
        return (slice(middle - 20, middle + 30), slice(CANVAS // 2 - reach, CANVAS // 2 + reach))

    def _box(self, head: np.ndarray, box: Box) -> Box:
        """The image rectangle that holds a canonical box."""
        rows, columns = box
        corners = np.array(
            [[x, y, 1] for x in (columns.start, columns.stop) for y in (rows.start, rows.stop)]
        )
        x, y = head @ corners.T
        size = self.scene.settings.size
        left, right = (int(np.clip(edge, 0, size)) for edge in (x.min(), x.max() + 1))
        top, bottom = (int(np.clip(edge, 0, size)) for edge in (y.min(), y.max() + 1))
        return slice(top, bottom), slice(left, right)

    def _canonical(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Canonical x and y of every image pixel, head motion undone, float32."""
        back = cv2.invertAffineTransform(self.scene.head[index]).astype(np.float32)
        x, y = self._pixels
        return (
            back[0, 0] * x + back[0, 1] * y + back[0, 2],
            back[1, 0] * x + back[1, 1] * y + back[1, 2],
        )

    # -- what truly moved ----------------------------------------------------------------------

    def true_flow(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``SyntheticClip.true_flow``."""
        layers = self._layers
        seen_x, seen_y = self._canonical(first)
        flow = np.zeros((*seen_x.shape, 2), np.float32)
        mask = np.zeros(seen_x.shape, bool)
        now, later = self._lip_fields(first), self._lip_fields(second)
        for lip in range(2):
            field = _sample(now[lip], FACE, seen_x, seen_y)
            skin_x, skin_y = seen_x - field[..., 0], seen_y - field[..., 1]
            alpha = _look(layers.head[..., 3], skin_x, skin_y)
            above = _look(layers.upper[..., 3], skin_x, skin_y)
            mine = (alpha > 0.95) & ((above >= 0.5) if lip == 0 else (above < 0.5))
            to_x, to_y = skin_x, skin_y
            for _ in range(30):  # invert the later field; its slope is below 1 on skin
                field = _sample(later[lip], FACE, to_x, to_y)
                last_x, last_y = to_x, to_y
                to_x, to_y = skin_x + field[..., 0], skin_y + field[..., 1]
            mine &= np.hypot(to_x - last_x, to_y - last_y) < 0.02
            (a, b, c), (d, e, f) = self.scene.head[second].astype(np.float32)
            x, y = self._pixels
            flow[mine, 0] = (a * to_x + b * to_y + c - x)[mine]
            flow[mine, 1] = (d * to_x + e * to_y + f - y)[mine]
            mask |= mine
        return flow, mask

    def _field(self, index: int) -> Field:
        tracks = self.scene.tracks.items()
        weights = {name: float(track[index]) for name, track in tracks if track[index]}
        return face_field(self.scene.subject, weights)

    def _lip_fields(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The field of what lies above and of what lies below the lips, in the box FACE."""
        field = self._field(index)
        both = []
        for extra in (field.upper, field.lower):
            whole = field.common.copy()
            whole[(*MOUTH_IN_FACE, 1)] += extra
            both.append(whole)
        return both[0], both[1]


def _look(layer: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A layer's values at canonical positions."""
    detail = np.float32(layer.shape[0] / CANVAS)
    shift = detail / 2 - np.float32(0.5)
    seen: np.ndarray = cv2.remap(
        layer,
        x * detail + shift,
        y * detail + shift,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return seen


def _sample(field: np.ndarray, box: Box, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A field that is given in a canonical box, at canonical positions; 0 outside the box."""
    x, y = x - np.float32(box[1].start), y - np.float32(box[0].start)
    seen: np.ndarray = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderValue=0)
    return seen
