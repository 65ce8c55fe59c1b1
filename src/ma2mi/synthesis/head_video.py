"""A long video of a rendered head: it turns in depth, and its skin, eyes, lips and teeth move.

What happens when is planned by ``long_video``; here a ``TexturedHead`` acts it out in front of a
camera with perspective. A frame is a mesh whose vertices are rest + intensities x movements, lit at
its vertices, and drawn with four samples a pixel.
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
from ma2mi.motion.facs import Side, parse_unit
from ma2mi.motion.regions import EYE_DISTANCE, REGIONS
from ma2mi.records import EventKind
from ma2mi.synthesis.head_mesh import LIMITS, SKIN, Doubles, Floats, head_mesh
from ma2mi.synthesis.heads import LANDMARKS
from ma2mi.synthesis.long_video import GroundTruthEvent, LongVideo, make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.synthesis.movement import face_field, peak_displacement
from ma2mi.synthesis.subject import FACE_SIDE, make_subject
from ma2mi.synthesis.textured_head import TexturedHead, make_textured_head

with optional_part("cv2", "video"):
    import cv2
from ma2mi.synthesis.head_acting import move_vertices, place_head, push_out, rotation_matrix
from ma2mi.synthesis.head_renderer import HeadRenderer, carry, rasterise

_DISTANCE_M = (0.45, 0.9)  # from camera to face, of webcams

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
            so that the skin goes as far as planned, and held below ``head_mesh.LIMITS``.
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
                hint="Take 16 px or more, and no more than the image's shorter side",
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
        turn = rotation_matrix(*pose[:3])
        shift = np.array([pose[3], pose[5], -pose[4]], np.float32)
        vertices = move_vertices(self._rest, self.subject.actions, weights)
        for ball, lids, least in self._lids:
            push_out(vertices, lids, least, ball)
        return place_head(
            vertices, self.subject.skull, turn, np.array(_PIVOT, np.float32), shift
        ), turn

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
        rasterise(now, mesh.triangles, mesh.behind, hit, nearest, 1)
        flow = np.zeros((*self.size, 2), np.float32)
        mask = (hit >= 0) & (mesh.material[hit] == SKIN)
        carry(now, later[:, :2] - now[:, :2], mesh.triangles, hit, mask, flow)
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
    def _head_renderer(self) -> HeadRenderer:
        metres_per_px = self._usual_m / self._focal_px
        rng = np.random.default_rng(self._look_seed)
        return HeadRenderer(self.subject, metres_per_px, self.size, rng)

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
        image = self._head_renderer.draw(self._project(vertices), vertices, turn, gaze)
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
