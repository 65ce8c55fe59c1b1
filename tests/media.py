"""Videos of a test pattern that counts its frames, in every codec and container, and their faults.

The pattern is a grid of 4 rows and 6 columns. Its corners are white, light grey, dark grey and
black, so that every rotation and mirroring shows; a red and a blue field stand between the upper
ones; the two middle rows are the frame's number in 12 bits; the lowest row moves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

Image = np.ndarray
Packets = Callable[[list[Any]], list[Any]]

ROWS, COLUMNS = 4, 6
CORNERS = (255, 170, 85, 0)  # upper left, upper right, lower left, lower right


def draw(number: int, height: int = 64, width: int = 96) -> Image:
    """The pattern of frame ``number``: uint8 [H, W, 3], RGB."""
    row = np.arange(height)[:, None] * ROWS // height
    column = np.arange(width)[None, :] * COLUMNS // width
    place = row * COLUMNS + column
    bits = np.array([255 * (number >> bit & 1) for bit in range(2 * COLUMNS)])
    fields = np.zeros((ROWS * COLUMNS, 3), np.uint8)
    fields[COLUMNS : 3 * COLUMNS] = bits[:, None]
    upper, lower = 0, (ROWS - 1) * COLUMNS
    for at, grey in zip((upper, COLUMNS - 1, lower, lower + COLUMNS - 1), CORNERS, strict=True):
        fields[at] = grey
    fields[1:3], fields[3:5] = (220, 20, 20), (20, 20, 220)
    image = fields[place]
    wave = 127 + 80 * np.sin((np.arange(width) + 3 * number) * 2 * np.pi / width)
    moves = (place > lower) & (place < lower + COLUMNS - 1)
    return np.where(moves[..., None], wave[None, :, None], image).astype(np.uint8)


def fields_of(image: Image) -> Image:
    """The middle of each field of an image: float [4, 6, 3]."""
    height, width = image.shape[:2]
    tall, wide = height / ROWS, width / COLUMNS
    return np.array(
        [
            [
                image[
                    int((row + 0.3) * tall) : int((row + 0.7) * tall) + 1,
                    int((column + 0.3) * wide) : int((column + 0.7) * wide) + 1,
                ].mean(axis=(0, 1))
                for column in range(COLUMNS)
            ]
            for row in range(ROWS)
        ]
    )


def read_number(image: Image) -> int:
    """The number that an upright image of the pattern shows."""
    bright = fields_of(image)[1:3].mean(axis=-1).ravel() > 127
    return sum(int(bit) << place for place, bit in enumerate(bright))


def is_upright(image: Image, off: float = 30) -> bool:
    """Whether the corners are where they were drawn, within ``off`` grey levels."""
    corners = fields_of(image).mean(axis=-1)[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(np.abs(corners - CORNERS).max() < off)


def is_coloured(image: Image) -> bool:
    """Whether red is red and blue is blue."""
    red, blue = fields_of(image)[0, [1, 3]]
    return bool(red[0] > red[2] + 60 and blue[2] > blue[0] + 60)


def encode(
    path: Path,
    images: Iterable[Image],
    codec: str,
    form: str,
    pixels: str = "yuv420p",
    *,
    fps: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    clock: Fraction | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    sound: tuple[str, float, float] | None = None,
    packets: Packets = list,
    prepare: Callable[[Any], None] = lambda stream: None,
    filters: str = "",
) -> Path:
    """Write images of one size.

    Args:
        path, codec, form: the file, ffmpeg's encoder and container.
        pixels: pixel format of the encoder.
        fps: frames per second, also the default clock.
        pts: time stamp of each image in ticks of ``clock``; None counts from 0.
        options, muxer: of the encoder and of the container.
        sound: codec, first and last second of a tone beside the picture.
        packets: changes the list of the picture's packets before they are written.
        prepare: changes the stream before the first image.
        filters: a bit stream filter for the packets.
    """
    images = list(images)
    tick = clock or 1 / Fraction(fps)
    with av.open(str(path), "w", format=form, options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        if clock:
            stream.codec_context.time_base = clock
        prepare(stream)
        tone = _tone(container, *sound) if sound else []
        made = []
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = pts[index] if pts else index, tick
            made += stream.encode(frame)
        made += stream.encode(None)
        made = packets(made)
        if filters:
            from av.bitstream import BitStreamFilterContext

            change = BitStreamFilterContext(filters, stream)
            made = [out for packet in made for out in change.filter(packet)]
        container.start_encoding()  # so that a file without packets has its header
        for packet in sorted(made + tone, key=_seconds):
            container.mux(packet)
    return path


def _seconds(packet: Any) -> Fraction:
    stamp = packet.pts if packet.dts is None else packet.dts
    return Fraction(-1) if stamp is None else stamp * Fraction(packet.time_base)


def _tone(container: Any, codec: str, start_s: float, stop_s: float) -> list[Any]:
    rate = 48000
    stream = container.add_stream(codec, rate=rate, layout="mono")
    context = stream.codec_context
    context.open()
    size = context.frame_size or 1024
    made: list[Any] = []
    for start in range(int(start_s * rate), int(stop_s * rate), size):
        wave = np.sin(np.arange(start, start + size) * 2 * np.pi * 440 / rate) * 0.3
        plain = av.AudioFrame.from_ndarray(
            (wave * 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        plain.sample_rate, plain.pts, plain.time_base = rate, start, Fraction(1, rate)
        resampler = av.AudioResampler(format=context.format, layout="mono", rate=rate)
        for frame in resampler.resample(plain):
            frame.pts, frame.time_base = start, Fraction(1, rate)
            made += stream.encode(frame)
    return made + stream.encode(None)


def sound_only(path: Path, codec: str, form: str) -> Path:
    """A tone of one second and no picture."""
    with av.open(str(path), "w", format=form) as container:
        for packet in _tone(container, codec, 0, 1):
            container.mux(packet)
    return path


# Faults


def truncate(path: Path, share: float) -> Path:
    """Only the beginning of a file stays."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


def damage(path: Path, *numbers: int) -> Path:
    """Overwrite the bytes of some packets of the picture, wherever they lie in the file.

    Where a packet is not found, or more than once, the next one that is alone takes its place.
    """
    with av.open(str(path)) as container:
        bodies = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    whole = bytearray(path.read_bytes())
    rng = random.Random(0)
    alone = [
        number for number, body in enumerate(bodies) if len(body) > 16 and whole.count(body) == 1
    ]
    for number in numbers:
        body = bodies[min(later for later in alone if later >= number)]
        at = whole.find(body)
        whole[at : at + len(body)] = rng.randbytes(len(body))
    path.write_bytes(whole)
    return path


def overwrite(path: Path, share: float, count: int) -> Path:
    """Overwrite ``count`` bytes in the middle of a file, whatever they mean."""
    whole = bytearray(path.read_bytes())
    at = int(share * len(whole))
    whole[at : at + count] = random.Random(0).randbytes(min(count, len(whole) - at))
    path.write_bytes(whole)
    return path


def cut_out(path: Path, share: float, count: int) -> Path:
    """Take ``count`` bytes out of the middle of a file."""
    whole = path.read_bytes()
    at = int(share * len(whole))
    path.write_bytes(whole[:at] + whole[at + count :])
    return path


def turn(path: Path, matrix: tuple[int, int, int, int], height: int, width: int) -> Path:
    """Store a display matrix a b c d in the track header of an mp4 (ISO/IEC 14496-12, 8.3.2).

    ``height`` and ``width`` are those of the stored picture, which is moved back into sight.
    """
    a, b, c, d = matrix
    x = max(0, -(a + c)) * (width if a else height)
    y = max(0, -(b + d)) * (width if b else height)
    numbers = [a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30]
    stored = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"tkhd") + 4 + 40
    whole[at : at + 36] = stored
    path.write_bytes(whole)
    return path


def store_turned(image: Image, matrix: tuple[int, int, int, int]) -> Image:
    """The picture that a display matrix turns into ``image``, pixel by pixel from the standard."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    stored = np.zeros((width, height, 3) if b else (height, width, 3), np.uint8)
    y, x = np.mgrid[: stored.shape[0], : stored.shape[1]]
    across, down = a * x + c * y, b * x + d * y
    stored[y, x] = image[down - down.min(), across - across.min()]
    return stored


# What ffmpeg itself gives


def picture_stream(container: Any) -> Any:
    """The first stream of pictures that is no cover."""
    covers = av.stream.Disposition.attached_pic
    return next(s for s in container.streams.video if not s.disposition & covers)


def count_plainly(path: Path) -> int:
    """Frames that PyAV decodes from start to end."""
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        return sum(1 for _ in container.decode(picture_stream(container)))


def count_patiently(path: Path) -> tuple[int, int]:
    """Frames that decode if errors are passed over packet by packet, and how many errors."""
    frames = errors = 0
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        packets = container.demux(picture_stream(container))
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError):
                return frames, errors + 1
            if packet is None:
                return frames, errors
            try:
                frames += len(packet.decode())
            except av.error.EOFError:
                pass
            except (av.error.FFmpegError, ValueError):
                errors += 1
