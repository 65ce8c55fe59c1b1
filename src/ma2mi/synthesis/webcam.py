"""What a cheap camera makes of frames: small faces, noise, gain steps, lossy coding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.arrays import Image
from ma2mi.errors import SettingsError, VideoError, optional_part
from ma2mi.files import unfinished
from ma2mi.video import Frame, read_frames

with optional_part("av", "video"):
    import av
with optional_part("cv2", "video"):
    import cv2

CLOCK = Fraction(1, 90_000)
"""Unit of the time stamps in the file; 25, 29.97, 30, 50 and 60 fps are whole numbers of it."""

GAMMA = 2.2
READ_SHARE = 0.25
"""Share of the noise's variance at mid-grey that does not depend on the light: the read-out's."""

GAIN_STEP = 0.04
"""One step of the automatic gain, relative; a step takes ``GAIN_STEP_S``."""
GAIN_STEP_S = 0.1
GAIN_DEADBAND = 0.08
"""Relative error of the mean brightness that the automatic gain leaves alone."""

FEATHER = 0.06
"""Width of the seam between the given image and the wall around it, share of the image."""


class WebcamSettings(BaseModel):
    """A camera, its room and its file.

    Args:
        width, height: of the frames, pixels; even.
        face_px: width of the face in the frame, pixels; None leaves the scale as it is.
        centre: where the middle of the given images comes, shares of width and height.
        fps: frames per second.
        light: of the room, 1 is plenty; noise grows by ``light ** -0.5``, and gain makes up for
            most of the brightness (``light ** 0.15`` is left).
        noise: deviation of the sensor's noise at mid-grey and light 1, of 255; more when dark.
        light_drift: deviation of the slow change of the light, relative.
        light_step_rate: times a minute that the light changes at once (a cloud, a screen).
        light_step: deviation of these changes, relative; automatic gain then follows in steps.
        white_drift: deviation of the slow change of red and of blue, relative.
        crf: quality of H.264, larger is worse.
        bitrate_kbps: thousand bits a second instead of a quality.
        gop: frames from one whole picture to the next.
        dropped: share of the frames that are missing; their time stays empty.
        doubled: share of the frames that show the image before once more.
        jitter_s: deviation of the time stamps, cut off at 0.4 frames.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    width: int = Field(640, ge=64, le=3840, multiple_of=2)
    height: int = Field(480, ge=64, le=2160, multiple_of=2)
    face_px: float | None = Field(150.0, ge=20, le=1000)
    centre: tuple[float, float] = (0.5, 0.5)
    fps: int = Field(30, ge=5, le=240)
    light: float = Field(0.7, gt=0, le=1)
    noise: float = Field(1.5, ge=0, le=20)
    light_drift: float = Field(0.015, ge=0, le=0.3)
    light_step_rate: float = Field(1.0, ge=0)
    light_step: float = Field(0.12, ge=0, le=0.5)
    white_drift: float = Field(0.01, ge=0, le=0.2)
    crf: int = Field(23, ge=0, le=51)
    bitrate_kbps: float | None = Field(None, gt=0)
    gop: int = Field(250, ge=1)
    dropped: float = Field(0.0, ge=0, le=0.5)
    doubled: float = Field(0.0, ge=0, le=0.5)
    jitter_s: float = Field(0.0, ge=0)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> WebcamSettings:
        """A camera at random: faces of 50 to 300 px, 25 or 30 fps, crf 20 to 28, GOP 30 or 250."""
        odd = rng.random() < 0.3  # most cameras keep time
        return cls(
            face_px=float(np.exp(rng.uniform(*np.log((50, 300))))),
            centre=(float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.46, 0.54))),
            fps=int(rng.choice((25, 30))),
            light=float(rng.uniform(0.25, 1)),
            noise=float(rng.uniform(0.8, 2.5)),
            light_drift=float(rng.uniform(0, 0.03)),
            light_step_rate=float(rng.uniform(0, 2)),
            light_step=float(rng.uniform(0.05, 0.25)),
            white_drift=float(rng.uniform(0, 0.02)),
            crf=int(rng.integers(20, 29)),
            gop=int(rng.choice((30, 250))),
            dropped=float(rng.uniform(0, 0.03)) if odd else 0.0,
            doubled=float(rng.uniform(0, 0.03)) if odd else 0.0,
            jitter_s=float(rng.uniform(0, 0.006)) if odd else 0.0,
        )


def webcam(
    images: Iterable[Image],
    fps: Fraction | int,
    settings: WebcamSettings,
    *,
    seed: int = 0,
    source_face_px: float | None = None,
) -> Iterator[Frame]:
    """Frames as read back from the file that this camera writes; same arguments, same frames.

    A frame's ``time_s`` is right to the jitter, so frame ``round(time_s * fps)`` of the images is
    what it shows, unless it is doubled. ``index`` counts what the file holds.

    Args:
        images: uint8 [H, W, 3], RGB, all of one size; taken one by one.
        fps: of the images; the camera takes the newest at each of its own frames.
        settings: the camera.
        seed: of all that is random.
        source_face_px: width of the face in the images, such as ``LongVideo.face_px``; needed
            where ``settings.face_px`` is set.

    Raises:
        SettingsError: no ``source_face_px``, or a rate that is not above 0.
        VideoError: no image, or images of another kind.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "webcam.mp4"
        write_webcam(path, images, fps, settings, seed=seed, source_face_px=source_face_px)
        yield from read_frames(path)


def write_webcam(
    path: Path | str,
    images: Iterable[Image],
    fps: Fraction | int,
    settings: WebcamSettings,
    *,
    seed: int = 0,
    source_face_px: float | None = None,
) -> None:
    """The .mp4 file that this camera writes; arguments and errors as of ``webcam``."""
    path = Path(path)
    if fps <= 0:
        raise SettingsError(f"fps {fps} is not a frame rate")
    seen = _film(images, Fraction(fps), settings, seed, _scale(settings, source_face_px))
    with unfinished(path) as part:
        _encode(part, seen, settings, path)


def _scale(settings: WebcamSettings, source_face_px: float | None) -> float:
    if settings.face_px is None:
        return 1.0
    if source_face_px is None or source_face_px <= 0:
        raise SettingsError(
            "the camera is to show a face of a given width, and that of the source is not known",
            hint="Give source_face_px, or face_px=None to leave the scale as it is",
        )
    return settings.face_px / source_face_px


def _film(
    images: Iterable[Image], fps: Fraction, settings: WebcamSettings, seed: int, scale: float
) -> Iterator[tuple[int, Image]]:
    """Time stamp in units of ``CLOCK`` and image of every frame that the camera keeps."""
    streams = np.random.SeedSequence([seed, 0xCA3]).spawn(2)
    sensor = _Sensor(settings, np.random.default_rng(streams[0]))
    rng = np.random.default_rng(streams[1])
    view: _View | None = None
    last: Image | None = None
    number = 0  # of the camera's next frame
    for index, image in enumerate(images):
        view = view or _View(image, settings, scale)
        if image.shape != view.shape or image.dtype != np.uint8:
            raise VideoError(
                f"image {index} is {image.dtype} {list(image.shape)},"
                f" the first is uint8 {list(view.shape)}"
            )
        framed: Image | None = None
        # The newest image at the time of each of the camera's frames.
        while number * fps < (index + 1) * settings.fps:
            framed = view.frame(image) if framed is None else framed
            time_s = number / settings.fps
            shown = sensor.expose(framed, time_s)
            drop, double, late = rng.random(), rng.random(), rng.standard_normal()
            if last is not None and double < settings.doubled:
                shown = last
            if last is None or drop >= settings.dropped:
                reach = 0.4 / settings.fps * (last is not None)
                late_s = np.clip(late * settings.jitter_s, -reach, reach)
                yield round((Fraction(number, settings.fps) + Fraction(late_s)) / CLOCK), shown
                last = shown
            number += 1


class _View:
    """Brings images to the camera's frame; around them a wall like their edge."""

    def __init__(self, first: Image, settings: WebcamSettings, scale: float) -> None:
        if first.ndim != 3 or first.shape[2] != 3:
            raise VideoError(f"image 0 is {list(first.shape)}", hint="Give uint8 [H, W, 3], RGB")
        self.shape = first.shape
        frame = np.array((settings.height, settings.width))
        self.size = np.maximum(np.rint(scale * np.array(first.shape[:2])), 1).astype(int)
        middle = np.array(settings.centre[::-1]) * frame
        start = np.rint(middle - self.size / 2).astype(int)
        stop = start + self.size
        if (stop <= 0).any() or (start >= frame).any():
            raise SettingsError(f"centre {settings.centre} leaves nothing of the image in view")
        inner, outer = np.maximum(-start, 0), np.minimum(self.size, frame - start)
        self.crop = tuple(slice(a, b) for a, b in zip(inner, outer, strict=True))
        self.place = tuple(slice(a, b) for a, b in zip(start + inner, start + outer, strict=True))
        self.whole = (start <= 0).all() and (stop >= frame).all()
        if not self.whole:
            blur = max(4.0, 0.05 * float(self.size.max()))  # no streaks from single pixels
            blurred = cv2.GaussianBlur(self._resize(first), (0, 0), blur)[self.crop]
            top, left = (part.start for part in self.place)
            bottom, right = frame - [part.stop for part in self.place]
            edge = (int(top), int(bottom), int(left), int(right))
            self.wall = cv2.copyMakeBorder(blurred, *edge, borderType=cv2.BORDER_REPLICATE)
            self.seam = self._seam(start, stop, frame)

    def frame(self, image: Image) -> Image:
        part: Image = self._resize(image)[self.crop]
        if self.whole:
            return part
        framed: Image = self.wall.copy()
        under = framed[self.place].astype(np.float32)
        framed[self.place] = np.rint(under + self.seam * (part - under)).astype(np.uint8)
        return framed

    def _resize(self, image: Image) -> Image:
        height, width = (int(side) for side in self.size)
        if (height, width) == image.shape[:2]:
            return image
        smaller = height < image.shape[0]
        method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)

    def _seam(
        self, start: NDArray[np.int_], stop: NDArray[np.int_], frame: NDArray[np.int_]
    ) -> NDArray[np.float32]:
        """How much of the image shows, [h, w, 1]: less near edges that lie within the frame."""
        sides = []
        for axis in range(2):
            at = np.arange(self.size[axis]) + 0.5
            width = FEATHER * self.size[axis]
            share = np.ones(len(at))
            if start[axis] > 0:
                share = np.minimum(share, at / width)
            if stop[axis] < frame[axis]:
                share = np.minimum(share, (len(at) - at) / width)
            sides.append(share[self.crop[axis]].astype(np.float32))
        seam: NDArray[np.float32] = (sides[0][:, None] * sides[1][None])[..., None]
        return seam


class _Sensor:
    """Light, colour, noise and automatic gain, frame by frame in order of time."""

    def __init__(self, settings: WebcamSettings, rng: np.random.Generator) -> None:
        self.settings = settings
        streams = rng.spawn(4)
        self.light = _light(settings, streams[0])
        self.red, self.blue = (_drift(stream, 0.01, 0.1) for stream in streams[1:3])
        self.rng = streams[3]
        bank = self.rng.standard_normal((settings.height + 64, settings.width + 64, 3), np.float32)
        bank = cv2.GaussianBlur(bank, (0, 0), 0.5)  # demosaicing ties neighbours together
        self.bank = bank / bank.std()
        self.deviation = noise_deviation(settings)
        self.gain = _Gain()

    def expose(self, image: Image, time_s: float) -> Image:
        settings = self.settings
        gain = self.light(time_s) * self.gain.value * settings.light**0.15
        tint = settings.white_drift
        colour = np.array([1 + tint * self.red(time_s), 1, 1 + tint * self.blue(time_s)])
        height, width = image.shape[:2]
        top, left, rows, columns = (*self.rng.integers(0, 65, 2), *self.rng.integers(0, 2, 2))
        tile = self.bank[top : top + height, left : left + width]
        tile = tile[:: 1 - 2 * int(rows), :: 1 - 2 * int(columns)]
        deviation = cv2.LUT(np.ascontiguousarray(image[..., 1]), self.deviation)
        seen = image * (gain * colour).astype(np.float32)
        seen += deviation[..., None] * tile
        exposed = cv2.convertScaleAbs(np.maximum(seen, 0, out=seen))  # rounds and saturates
        self.gain.adapt(float(exposed[::8, ::8].mean()), time_s)
        return np.asarray(exposed, np.uint8)


def noise_deviation(settings: WebcamSettings) -> NDArray[np.float32]:
    """Deviation of the noise at each brightness, float32 [256], of 255.

    Photons count like Poisson's; a display's gamma flattens that to about the same at every
    brightness and leaves the read-out's noise, which is the same before the gamma, in the dark
    (EMVA 1288, camera noise model).
    """
    linear = (np.arange(256) / 255) ** GAMMA + 0.005
    slope = (linear / linear[128]) ** (1 / GAMMA - 1)  # of the display's curve
    variance = (1 - READ_SHARE) * (linear / linear[128]) * slope**2 + READ_SHARE * slope**2
    deviation: NDArray[np.float32] = settings.noise * settings.light**-0.5 * np.sqrt(variance)
    return deviation.astype(np.float32)


@dataclass
class _Gain:
    """Automatic gain: waits until the brightness is off, then goes back step by step."""

    value: float = 1.0
    target: float | None = None
    moving: bool = False
    next_s: float = 0.0

    def adapt(self, mean: float, time_s: float) -> None:
        if self.target is None:
            self.target = max(mean, 1.0)
        error = float(np.log(self.target / max(mean, 1.0)))
        if abs(error) > GAIN_DEADBAND:
            self.moving = True
        elif abs(error) < GAIN_STEP / 2:
            self.moving = False
        if self.moving and time_s >= self.next_s:
            self.value = float(np.clip(self.value * np.exp(np.sign(error) * GAIN_STEP), 0.25, 4))
            self.next_s = time_s + GAIN_STEP_S


def _drift(rng: np.random.Generator, low_hz: float, high_hz: float) -> Callable[[float], float]:
    """A smooth random curve of about unit deviation between two frequencies, 0 at time 0."""
    hertz = rng.uniform(low_hz, high_hz, 4)
    phase = rng.uniform(0, 2 * np.pi, 4)
    weight = rng.normal(0, 1, 4)

    def at(time_s: float) -> float:
        waves = np.sin(2 * np.pi * hertz * time_s + phase) - np.sin(phase)
        return float(weight @ waves / np.sqrt(2))

    return at


def _light(settings: WebcamSettings, rng: np.random.Generator) -> Callable[[float], float]:
    """Brightness of the room around 1, for times that rise."""
    drift = _drift(rng, 0.01, 0.2)
    level = wanted = 0.0
    wait_s = 60 / settings.light_step_rate if settings.light_step_rate else np.inf
    next_s = rng.exponential(wait_s) if np.isfinite(wait_s) else np.inf
    before_s = 0.0

    def at(time_s: float) -> float:
        nonlocal level, wanted, next_s, before_s
        while time_s >= next_s:
            wanted = float(rng.normal(0, settings.light_step))
            next_s += rng.exponential(wait_s)
        level += (wanted - level) * (1 - np.exp(-(time_s - before_s) / 0.1))
        before_s = time_s
        return float(np.exp(level + settings.light_drift * drift(time_s)))

    return at


def _encode(
    path: Path, seen: Iterator[tuple[int, Image]], settings: WebcamSettings, where: Path
) -> None:
    options = {"preset": "veryfast", "g": str(settings.gop), "bf": "0"}  # cameras look not ahead
    if settings.bitrate_kbps is None:
        options["crf"] = str(settings.crf)
    flags = {"fflags": "+bitexact"}
    with av.open(f"file:{path}", "w", "mp4", container_options=flags) as container:
        stream = container.add_stream("libx264", rate=settings.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = settings.width, settings.height, "yuv420p"
        stream.codec_context.time_base = CLOCK
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        if settings.bitrate_kbps is not None:
            stream.bit_rate = round(settings.bitrate_kbps * 1000)
        count = 0
        for stamp, image in seen:
            planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = stamp, CLOCK
            container.mux(stream.encode(frame))
            count += 1
        if count == 0:
            raise VideoError("there are no images to write", where=where)
        container.mux(stream.encode(None))
