"""A long video of a rendered head: it turns in depth, and its skin, eyes, lips and teeth move.

What happens when is planned by ``long_video``; here a textured head (``head_skin``) acts it out in
front of a camera with perspective. A frame is a mesh whose vertices are rest + intensities x
movements, lit at its vertices, and drawn with four samples a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import SettingsError, optional_part
from ma2mi.motion.compiler import compiler
from ma2mi.motion.facs import Side, parse_unit
from ma2mi.motion.regions import EYE_DISTANCE, REGIONS
from ma2mi.records import EventKind
from ma2mi.synthesis.head_skin import (
    EYE,
    LIMITS,
    PLAIN,
    SKIN,
    TEETH,
    TexturedHead,
    head_mesh,
    make_textured_head,
)
from ma2mi.synthesis.heads import LANDMARKS
from ma2mi.synthesis.long_video import GroundTruthEvent, LongVideo, make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.synthesis.movement import face_field, peak_displacement
from ma2mi.synthesis.subject import FACE_SIDE, make_subject

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_DISTANCE_M = (0.45, 0.9)  # from camera to face, of webcams
_TEXEL_M = 0.0003  # of the full texture, about, on a face
_SAMPLES = 2  # a pixel, each way
_PIVOT = (0.0, 0.075, -0.045)  # where the skull turns: metres from the middle of the landmarks
_SUBTLE = 0.7  # of a unit's limit: intensities beyond are compressed


class HeadPose(NamedTuple):
    """Where the head is in every frame, float64 [T] each.

    Args:
        yaw: degrees to the subject's left, which is the image's right.
        pitch: degrees downwards.
        roll: degrees, the top of the head to the image's right.
        x, y: metres to the image's right and down from where the head usually is.
        distance: metres from the camera to there.
    """

    yaw: Doubles
    pitch: Doubles
    roll: Doubles
    x: Doubles
    y: Doubles
    distance: Doubles


class HeadVideo:
    """A planned video acted out by a rendered head; frames are made when asked for, none is kept.

    Args:
        plan_video: what happens when; its picture is not used.
        head_seed: whose head it is, where it goes, the light and the room.
        size: rows and columns of the image.
        face_px: width of the face from ear to ear, upright and at the usual distance.

    Attributes:
        fps, frame_count, seed, plan, settings, gaze, light, blink: as of ``plan_video``.
        events: likewise; each ``peak_px`` is what this head's skin does.
        tracks: intensity of each (unit, side), float32 [T], as this head shows it: scaled by unit
            so that the skin goes as far as planned, and held below ``head_skin.LIMITS``.
        head: the ``HeadPose``.

    Raises:
        MissingPart: anny is not installed.
        SettingsError: a unit without shapes, or a face that does not fit.
    """

    def __init__(
        self,
        plan_video: LongVideo,
        head_seed: int,
        size: tuple[int, int] = (480, 640),
        face_px: float = 150.0,
    ) -> None:
        if not 16 <= face_px <= min(size):
            raise SettingsError(
                f"a face of {face_px:g} px in an image of {size[1]} x {size[0]}",
                cure="Take 16 px or more, and no more than the image's shorter side",
            )
        self.plan_video, self.head_seed, self.size, self.face_px = (
            plan_video,
            head_seed,
            size,
            face_px,
        )
        self.fps, self.frame_count = plan_video.fps, plan_video.frame_count
        self.seed, self.plan, self.settings = plan_video.seed, plan_video.plan, plan_video.settings
        self.gaze, self.light, self.blink = plan_video.gaze, plan_video.light, plan_video.blink
        self.subject: TexturedHead = make_textured_head(head_seed)
        streams = np.random.SeedSequence([plan_video.seed, head_seed, 0x4EAD]).spawn(3)
        self._look_seed = streams[2]
        self._plan_tracks()
        self._plan_pose(np.random.default_rng(streams[0]))
        self._place_camera(np.random.default_rng(streams[1]))

    def of_kind(self, *kinds: EventKind) -> list[GroundTruthEvent]:
        """The events of these kinds, by rising onset."""
        return [event for event in self.events if event.kind in kinds]

    # -- what happens when ---------------------------------------------------------------------

    def _plan_tracks(self) -> None:
        """Scale the plan's intensities to this head, and measure how far its skin goes."""
        plan = self.plan_video
        missing = sorted({number for number, _ in plan.tracks} - {n for n, _ in head_mesh().units})
        if missing:
            raise SettingsError(f"no head moves by unit {', '.join(missing)}")
        self.tracks: dict[tuple[str, Side], Floats] = {
            name: track * np.float32(self._gain(name)) for name, track in plan.tracks.items()
        }
        expressions = [event for event in plan.events if event.kind in ("micro", "macro")]
        for event in expressions:
            self._fit(event)
        for name, track in self.tracks.items():
            self.tracks[name] = _held(track, LIMITS[name[0]])
        peaks = {id(event): self._peak_px(event) for event in expressions}
        self.events: tuple[GroundTruthEvent, ...] = tuple(
            replace(event, peak_px=peaks.get(id(event), event.peak_px)) for event in plan.events
        )
        for (number, side), track in self.tracks.items():
            lid = self.tracks.get(("45", side))
            if number in ("5", "7") and lid is not None:
                self.tracks[number, side] = track * (1 - lid)  # a closed eye does neither

    def _gain(self, name: tuple[str, Side]) -> float:
        """By what the plan's intensity of a unit is multiplied, for the same movement in px."""
        if name[0] in ("43", "45"):
            return 1.0  # 1 closes the eye, whatever its size
        planned = peak_displacement(face_field(self.plan_video.subject, {name: 1.0}))
        return planned / float(
            np.hypot(*self._frontal(self.subject.actions[self._at(name)]).T).max()
        )

    def _fit(self, event: GroundTruthEvent) -> None:
        """Scale the units of one expression together to the planned peak."""
        shown, part = self._peak_px(event), slice(event.onset, event.offset + 1)
        for name in self._names(event):
            track = self.tracks[name] = self.tracks[name].copy()
            track[part] *= np.float32(event.peak_px / shown if shown else 1)

    def _names(self, event: GroundTruthEvent) -> list[tuple[str, Side]]:
        """The tracks that an event moves."""
        units = [parse_unit(code) for code in event.action_units]
        names = [(unit.number, side) for unit, sides in units for side in sides]
        return [name for name in names if name in self.tracks]

    def _peak_px(self, event: GroundTruthEvent) -> float:
        """The largest movement of the skin by an event's units at its apex, 224 px crop."""
        moved = np.zeros((len(self._seen), 2))
        for name in self._names(event):
            action = self.subject.actions[self._at(name)]
            moved += float(self.tracks[name][event.apex]) * self._frontal(action)
        return float(np.hypot(*moved.T).max())

    def _at(self, name: tuple[str, Side]) -> int:
        return head_mesh().units.index(name)

    @cached_property
    def _seen(self) -> NDArray[np.int64]:
        """The vertices of skin that are seen from the front."""
        face = head_mesh().face
        return np.flatnonzero(face & (self.subject.openness[: len(face)] > 0.25))

    @cached_property
    def _crop_px(self) -> float:
        """Pixels of an upright frontal 224 px crop a metre on this face."""
        x, z = self.subject.rest[head_mesh().landmarks[:4]][:, [0, 2]].astype(np.float64).T
        eyes = np.hypot(x[2:].mean() - x[:2].mean(), z[2:].mean() - z[:2].mean())
        return float(EYE_DISTANCE * FACE_SIDE / eyes)

    def _frontal(self, movement: NDArray[np.floating]) -> Doubles:
        """Movement [V, 3] in metres as px [n, 2] of a frontal 224 px crop, of the seen skin."""
        x, _, z = movement[self._seen].astype(np.float64).T
        return np.stack([x, -z], axis=1) * self._crop_px

    def _plan_pose(self, rng: np.random.Generator) -> None:
        yaw, pitch, roll, x, y, nearer = self.plan_video.pose.T
        self._usual_m = float(rng.uniform(*_DISTANCE_M))
        crop = self._crop_px
        self.head = HeadPose(yaw, pitch, roll, x / crop, y / crop, self._usual_m * nearer)

    def _place_camera(self, rng: np.random.Generator) -> None:
        rows, columns = self.size
        face = self._rest[head_mesh().face.nonzero()[0]]
        across = face[:, 0] / (self._usual_m + face[:, 1])  # image px at a focal length of 1 px
        self._focal_px = self.face_px / float(np.ptp(across))
        spare = max(0.0, rows - 1.6 * self.face_px), max(0.0, columns - 1.3 * self.face_px)
        self._centre = (
            (columns - 1) / 2 + rng.uniform(-0.25, 0.25) * spare[1],
            (rows - 1) / 2 + rng.uniform(-0.3, 0.1) * spare[0],
        )

    # -- geometry ------------------------------------------------------------------------------

    def _posed(self, index: int) -> tuple[Floats, Floats]:
        """Vertices [V, 3] in front of the camera and the rotation [3, 3], float32."""
        mesh, pose = head_mesh(), [track[index] for track in self.head]
        weights = np.zeros(len(mesh.units), np.float32)
        for name, track in self.tracks.items():
            weights[self._at(name)] = track[index]
        turn = _rotation(*pose[:3])
        shift = np.array([pose[3], pose[5], -pose[4]], np.float32)
        vertices = _act(self._rest, self.subject.actions, weights)
        for ball, lids, least in self._lids:
            _push_out(vertices, lids, least, ball)
        return _place(vertices, self.subject.skull, turn, np.array(_PIVOT, np.float32), shift), turn

    @cached_property
    def _rest(self) -> Floats:
        """Vertices about the middle of the face."""
        rest = self.subject.rest
        return np.asarray(rest - rest[head_mesh().landmarks].mean(axis=0))

    @cached_property
    def _lids(self) -> list[tuple[Floats, NDArray[np.int64], Floats]]:
        """Of each eye its middle, the vertices of the lids, and how near they may come."""
        mesh, found = head_mesh(), []
        skin = np.unique(mesh.triangles[mesh.material == SKIN])
        for vertices in mesh.eyeballs:
            middle = self._rest[vertices].mean(axis=0)
            radius = np.linalg.norm(self._rest[vertices] - middle, axis=1).max()
            away = np.linalg.norm(self._rest[skin] - middle, axis=1)
            lids = skin[away < 1.5 * radius]
            least = np.minimum(away[away < 1.5 * radius], 1.02 * radius)
            found.append((middle, lids, least.astype(np.float32)))
        return found

    def _project(self, vertices: NDArray[np.floating]) -> Floats:
        """Camera metres [V, 3] to image pixels and 1 / depth, float32 [V, 3]."""
        depth = vertices[:, 1]
        x = self._centre[0] + self._focal_px * vertices[:, 0] / depth
        y = self._centre[1] - self._focal_px * vertices[:, 2] / depth
        return np.stack([x, y, 1 / depth], axis=1).astype(np.float32)

    def points(self, index: int) -> dict[str, tuple[float, float]]:
        """Where each of ``heads.LANDMARKS`` is in a frame, image pixels (x, y)."""
        self._check(index)
        at = self._project(self._posed(index)[0])[head_mesh().landmarks, :2]
        return {name: (float(x), float(y)) for name, (x, y) in zip(LANDMARKS, at, strict=True)}

    def true_flow(self, first: int, second: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Where the skin at each pixel of one frame lies in another, head motion included.

        Args:
            first, second: frames.

        Returns:
            flow: float32 [H, W, 2], x right and y down, px; 0 where undefined.
            mask: bool [H, W], skin and hair that is seen in the first frame.

        Raises:
            IndexError: there is no such frame.
        """
        self._check(first)
        self._check(second)
        mesh = self.subject
        now, later = (self._project(self._posed(index)[0]) for index in (first, second))
        hit = np.full(self.size, -1, np.int32)
        nearest = np.zeros(self.size, np.float32)
        _rasterise(now, mesh.triangles, mesh.behind, hit, nearest, 1)
        flow = np.zeros((*self.size, 2), np.float32)
        mask = (hit >= 0) & (mesh.material[hit] == SKIN)
        _carry(now, later[:, :2] - now[:, :2], mesh.triangles, hit, mask, flow)
        return flow, mask

    def region_places(self, rows: NDArray[np.intp] | None = None) -> Doubles:
        """Where the skin of each of ``REGIONS`` truly is, as ``LongVideo.region_places``.

        Args:
            rows: frames; all by default.

        Returns:
            Float64 [len(rows), len(REGIONS), 2], x right and y down, px of a 224 px crop.
        """
        parts = slice(None) if rows is None else rows
        count = self.frame_count if rows is None else len(rows)
        total = np.zeros((count, len(REGIONS), 2))
        for name, track in self.tracks.items():
            total += track[parts, None, None] * self._region_gains[self._at(name)]
        return total

    @cached_property
    def _region_gains(self) -> Doubles:
        """Mean movement [U, len(REGIONS), 2] of every region at full intensity of each unit."""
        mesh, side = head_mesh(), 1 / EYE_DISTANCE
        x, z = self._rest[self._seen][:, [0, 2]].astype(np.float64).T
        eyes = self._rest[mesh.landmarks[:4]][:, [0, 2]].astype(np.float64)
        width = np.hypot(*(eyes[2:].mean(axis=0) - eyes[:2].mean(axis=0)))
        middle = eyes.mean(axis=0)
        across, down = (x - middle[0]) / width, -(z - middle[1]) / width  # in eye distances
        weights = []
        for region in REGIONS.values():
            u = (across - (region.x - 0.5) * side) / (region.rx * side)
            v = (down - (region.y - 0.284) * side) / (region.ry * side)
            weight = np.exp(-(u**2 + v**2))
            weights.append(weight / weight.sum())
        moved = np.stack([self._frontal(action) for action in self.subject.actions])
        return np.asarray(np.einsum("rn,unc->urc", np.stack(weights), moved))

    # -- pictures ------------------------------------------------------------------------------

    @cached_property
    def _look(self) -> _Look:
        return _Look(self, np.random.default_rng(self._look_seed))

    def frames(self) -> Iterator[Image]:
        """Every frame in order, uint8 [H, W, 3], RGB."""
        return (self.frame(index) for index in range(self.frame_count))

    def frame(self, index: int) -> Image:
        """One frame, uint8 [H, W, 3], RGB.

        Raises:
            IndexError: there is no such frame.
        """
        self._check(index)
        vertices, turn = self._posed(index)
        gaze = self.gaze[index] / self._crop_px / self._eye_radius
        image = self._look.draw(self._project(vertices), vertices, turn, gaze)
        scene = self.settings
        if scene.blur_px > 0:
            image = cv2.GaussianBlur(image, (5, 5), scene.blur_px)
        image *= self.light[index]
        if scene.noise > 0:
            image += self._noise_at(index)
        # This rounds and saturates, but would mirror what is below 0.
        return np.asarray(cv2.convertScaleAbs(np.maximum(image, 0, out=image)))

    @cached_property
    def _eye_radius(self) -> float:
        ball = self._rest[head_mesh().eyeballs[0]]
        return float(np.linalg.norm(ball - ball.mean(axis=0), axis=1).mean())

    @cached_property
    def _noise(self) -> Floats:
        rng = np.random.default_rng(self.plan_video.noise_seed)
        shape = (self.size[0] + 64, self.size[1] + 64, 3)
        bank = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 0.45)
        return np.asarray(bank * np.float32(self.settings.noise / bank.std()))

    def _noise_at(self, index: int) -> Floats:
        rng = np.random.default_rng([self.seed, self.head_seed, index])
        top, left = rng.integers(0, 65, 2)
        return self._noise[top : top + self.size[0], left : left + self.size[1]]

    def _check(self, index: int) -> None:
        if not 0 <= index < self.frame_count:
            raise IndexError(f"frame {index} of a video of {self.frame_count} frames")


def make_head_video(
    *,
    seed: int,
    fps: Fraction = Fraction(30),
    plan: LongVideoSettings | None = None,
    size: tuple[int, int] = (480, 640),
    face_px: float = 150.0,
) -> HeadVideo:
    """A long video of the head of this seed: same arguments, same frames.

    Args:
        seed: any non-negative integer; of the plan, the subject and the camera.
        fps: frames per second.
        plan: what happens; by default ten minutes with 20 micro-expressions.
        size: rows and columns of the image.
        face_px: width of the face from ear to ear, upright and at the usual distance.

    Raises:
        MissingPart: anny is not installed.
        SettingsError: more events than time, or a face that does not fit.
    """
    planned = make_long_video(make_subject(seed), seed=seed, fps=fps, plan=plan)
    return HeadVideo(planned, seed, size, face_px)


def _held(track: Floats, limit: float) -> Floats:
    """Intensities as they are up to ``_SUBTLE`` of the limit, compressed beyond, never above."""
    knee = np.float32(_SUBTLE * limit)
    room = np.float32(limit) - knee
    over = np.clip(track - knee, 0, None)
    return np.asarray(np.minimum(track, knee) + room * np.tanh(over / room), np.float32)


def _rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Yaw first, then pitch, then roll, in degrees, float32 [3, 3]."""
    turn = np.eye(3)
    for angle, (i, j) in ((yaw, (0, 1)), (pitch, (1, 2)), (roll, (2, 0))):
        a, one = np.deg2rad(angle), np.eye(3)
        one[[i, j], [i, j]] = np.cos(a)
        one[i, j], one[j, i] = -np.sin(a), np.sin(a)
        turn = one @ turn
    return turn.astype(np.float32)


class _Look:
    """The light, the room, and the subject's colours, ready for drawing."""

    def __init__(self, video: HeadVideo, rng: np.random.Generator) -> None:
        subject = video.subject
        self.subject = subject
        sample_m = video._usual_m / video._focal_px / _SAMPLES
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
        self.room = _room(rng, video.size)

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
        _rasterise(at, subject.triangles, subject.behind, hit, nearest, _SAMPLES)
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


# -- compiled ----------------------------------------------------------------------------------


@compiler()
def _act(rest: Floats, actions: Floats, weights: Floats) -> Floats:
    """rest + weights x actions [V, 3]."""
    moved = rest.copy()
    for unit in range(len(weights)):
        weight = weights[unit]
        if weight != 0:
            for v in range(actions.shape[1]):
                for k in range(3):
                    moved[v, k] += weight * actions[unit, v, k]
    return moved


@compiler()
def _push_out(vertices: Floats, lids: NDArray[np.int64], least: Floats, middle: Floats) -> None:
    """Lids slide over the eyeball: none comes nearer to its middle than ``least``."""
    for n in range(len(lids)):
        v = lids[n]
        x, y, z = vertices[v, 0] - middle[0], vertices[v, 1] - middle[1], vertices[v, 2] - middle[2]
        away = np.sqrt(x * x + y * y + z * z)
        if away < least[n]:
            grow = least[n] / away
            vertices[v, 0] = middle[0] + x * grow
            vertices[v, 1] = middle[1] + y * grow
            vertices[v, 2] = middle[2] + z * grow


@compiler()
def _place(vertices: Floats, skull: Floats, turn: Floats, pivot: Floats, shift: Floats) -> Floats:
    """Turn the head about the pivot, the neck in part, and move all in front of the camera."""
    placed = np.empty_like(vertices)
    for v in range(len(vertices)):
        for i in range(3):
            turned = pivot[i]
            for j in range(3):
                turned += turn[i, j] * (vertices[v, j] - pivot[j])
            placed[v, i] = skull[v] * turned + (1 - skull[v]) * vertices[v, i] + shift[i]
    return placed


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
def _rasterise(
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
def _carry(
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
