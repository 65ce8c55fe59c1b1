"""A zoo of media: codecs, containers, clocks and faults, each with the outcome that is right.

What is right is not asked of the package: the test pattern counts its frames, the rates are those
with which the files were written, and PyAV's plain decoding says how many frames a file holds.
"""

from __future__ import annotations

import csv
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")

import av
import cv2

import media
from ma2mi.errors import VideoError
from ma2mi.video import (
    ClockRestart,
    DamagedVideo,
    TruncatedVideo,
    VideoNote,
    inspect_video,
    list_others,
    list_videos,
    read_frames,
)

pytestmark = pytest.mark.slow

NTSC = Fraction(30000, 1001)
COUNT = 30  # frames of most files
RATE = 25


@dataclass(frozen=True)
class Kind:
    """One kind of file or folder, and what is to come of it.

    Args:
        name: of the kind.
        make: writes it into a folder, and says where.
        frames: that it holds; None where only ffmpeg's decoding can tell.
        fps: with which it was made.
        given: frame rate that the reader is told.
        start_s: when the first frame is seen; None where that is no matter.
        times: seconds of the frames after the first one; None for even ones.
        tick_s: how exactly the container keeps times.
        upright, coloured, counted: whether the pattern can be looked at so.
        notes: kinds of warning, and words that one of that kind has; no other warning may come.
        also: kinds of warning that may come.
        error: words of the one line that is all that comes.
        spoilt: frames that damage may take away or change; all others are there at their times.
    """

    name: str
    make: Callable[[Path], Path]
    frames: int | None = COUNT
    fps: Fraction | int | None = RATE
    given: Fraction | None = None
    start_s: float | None = None
    times: Sequence[float] | None = None
    tick_s: float = 0.0011
    upright: bool = True
    coloured: bool = True
    counted: bool = True
    notes: tuple[tuple[type[VideoNote], str], ...] = ()
    also: tuple[type[VideoNote], ...] = ()
    error: str | None = None
    spoilt: frozenset[int] | None = None


def film(
    name: str,
    codec: str,
    form: str,
    pixels: str = "yuv420p",
    *,
    count: int = COUNT,
    size: tuple[int, int] = (64, 96),
    then: Callable[[Path], Path] = lambda path: path,
    **more: Any,
) -> Callable[[Path], Path]:
    """A maker of one file of the pattern, spoilt by ``then``."""

    def make(folder: Path) -> Path:
        images = (media.draw(number, *size) for number in range(count))
        return then(media.encode(folder / name, images, codec, form, pixels, **more))

    return make


def words(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


# -- sound files of every codec and container ----------------------------------------------------

# file name, codec, container, pixel format, then options of the encoder
FORMATS = """
h264.mp4 libx264 mp4 yuv420p
h264.mov libx264 mov yuv420p
h264.mkv libx264 matroska yuv420p
h264.m4v libx264 mp4 yuv420p
h264.f4v libx264 f4v yuv420p
h264.3gp libx264 3gp yuv420p bf=0
h264.3g2 libx264 3g2 yuv420p bf=0
h264.flv libx264 flv yuv420p
h264.asf libx264 asf yuv420p bf=0
h264.nut libx264 nut yuv420p
h264.ts libx264 mpegts yuv420p
h264.vob libx264 vob yuv420p
h264.wtv libx264 wtv yuv420p bf=0
h264_intra.mxf libx264 mxf yuv422p10le g=1 bf=0
h264_444.mp4 libx264 mp4 yuv444p
h264_422.mkv libx264 matroska yuv422p
h264_10bit.mp4 libx264 mp4 yuv420p10le
h264_422_10bit.mov libx264 mov yuv422p10le
h264_grey.mp4 libx264 mp4 gray
h264_rgb.mkv libx264rgb matroska rgb24
h264_full_range.mp4 libx264 mp4 yuvj420p
h264_lossless.mp4 libx264 mp4 yuv420p qp=0
h264_ismv.ismv libx264 ismv yuv420p
hevc.mp4 libx265 mp4 yuv420p
hevc.mkv libx265 matroska yuv420p
hevc.ts libx265 mpegts yuv420p
hevc_10bit.mov libx265 mov yuv420p10le
mpeg4.mp4 mpeg4 mp4 yuv420p
mpeg4.avi mpeg4 avi yuv420p
mpeg4.mkv mpeg4 matroska yuv420p
mpeg4_bframes.mp4 mpeg4 mp4 yuv420p bf=2
mpeg2.mpg mpeg2video mpeg yuv420p
mpeg2.vob mpeg2video dvd yuv420p
mpeg2.ts mpeg2video mpegts yuv420p
mpeg2_bframes.mpg mpeg2video mpeg yuv420p bf=2
mpeg2.mxf mpeg2video mxf yuv420p
mpeg2.mkv mpeg2video matroska yuv420p
mpeg2.m2v mpeg2video mpeg2video yuv420p
mpeg2_svcd.mpg mpeg2video svcd yuv420p
mpeg1.mpg mpeg1video mpeg yuv420p
mpeg1_vcd.mpg mpeg1video vcd yuv420p
mpeg1.m1v mpeg1video mpeg1video yuv420p
vp8.webm libvpx webm yuv420p
vp8.mkv libvpx matroska yuv420p
vp8.ogv libvpx ogv yuv420p
vp8.ivf libvpx ivf yuv420p
vp9.webm libvpx-vp9 webm yuv420p
vp9.mp4 libvpx-vp9 mp4 yuv420p
vp9_444.webm libvpx-vp9 webm yuv444p
av1.mp4 libsvtav1 mp4 yuv420p
av1.webm libsvtav1 webm yuv420p
av1_10bit.mkv libsvtav1 matroska yuv420p10le
av1.obu libsvtav1 obu yuv420p
av1.ivf libsvtav1 ivf yuv420p
mjpeg.avi mjpeg avi yuvj420p
mjpeg.mov mjpeg mov yuvj422p
mjpeg.mkv mjpeg matroska yuvj444p
mjpeg.mjpeg mjpeg mjpeg yuvj420p
ffv1.mkv ffv1 matroska bgr0
ffv1.avi ffv1 avi yuv420p
ffv1_16bit.mkv ffv1 matroska gray16le
ffv1_grey.mkv ffv1 matroska gray
ffv1_10bit.nut ffv1 nut yuv422p10le
huffyuv.avi huffyuv avi yuv422p
ffvhuff.avi ffvhuff avi yuv420p
utvideo.avi utvideo avi gbrp
magicyuv.avi magicyuv avi gbrp
prores.mov prores_ks mov yuv422p10le
prores_alpha.mov prores_ks mov yuva444p10le
prores.mxf prores mxf yuv422p10le
png.mov png mov rgb24
png_16bit.mov png mov rgb48be
apng.apng apng apng rgb24
qtrle.mov qtrle mov rgb24
cinepak.mov cinepak mov rgb24
svq1.mov svq1 mov yuv410p
jpeg2000.mov jpeg2000 mov yuv420p
jpeg2000.mxf jpeg2000 mxf yuv420p
wmv1.wmv wmv1 asf yuv420p
wmv2.wmv wmv2 asf yuv420p
wmv2.asf wmv2 asf yuv420p
msmpeg4v2.avi msmpeg4v2 avi yuv420p
msmpeg4v3.avi msmpeg4 avi yuv420p
flv1.flv flv flv yuv420p
flashsv.flv flashsv flv bgr24
rawvideo.avi rawvideo avi bgr24
rawvideo.nut rawvideo nut yuv420p
rawvideo.mov rawvideo mov rgb24
y4m.y4m rawvideo yuv4mpegpipe yuv420p
y4m_444.y4m rawvideo yuv4mpegpipe yuv444p
snow.avi snow avi yuv420p
zmbv.avi zmbv avi bgr0
msvideo1.avi msvideo1 avi rgb555le
cfhd.mov cfhd mov yuv422p10le
v210.mov v210 mov yuv422p10le
r210.mov r210 mov gbrp10le
dxv.mov dxv mov rgba
targa.avi targa avi bgr24
jpegls.avi jpegls avi rgb24
ljpeg.avi ljpeg avi yuvj420p
asv1.avi asv1 avi yuv420p
rv10.rm rv10 rm yuv420p
rv20.rm rv20 rm yuv420p
mjpeg.swf mjpeg swf yuvj420p
hevc.hevc libx265 hevc yuv420p
h264.h264 libx264 h264 yuv420p
"""
GREY = ("h264_grey.mp4", "ffv1_grey.mkv", "ffv1_16bit.mkv")
NO_CLOCK = (".m2v", ".m1v", ".mjpeg", ".obu", ".h264", ".hevc")  # 25 frames a second for all
ROUGH = {  # codecs of so few colours or so little room that the pattern is kept roughly only
    "svq1.mov": 60,
    "msvideo1.avi": 60,
}


def format_kinds() -> list[Kind]:
    kinds = []
    for line in FORMATS.strip().splitlines():
        name, codec, form, pixels, *options = line.split()
        kinds.append(
            Kind(
                name,
                film(name, codec, form, pixels, options=words(" ".join(options))),
                coloured=name not in GREY,
                tick_s=0.0011,
            )
        )
    return kinds


OTHER_FORMATS = [
    Kind(
        "gif.gif",  # hundredths of a second
        film("gif.gif", "gif", "gif", "rgb8"),
        tick_s=0.011,
    ),
    Kind("mts.mts", film("00001.MTS", "libx264", "mpegts", muxer=words("mpegts_m2ts_mode=1"))),
    Kind(
        "mpeg2.m2ts",
        film("00002.m2ts", "mpeg2video", "mpegts", muxer=words("mpegts_m2ts_mode=1")),
    ),
    Kind("h261.h261", film("a.h261", "h261", "h261", size=(144, 176), fps=NTSC), fps=None),
    Kind(
        "h263.h263",
        film("a.h263", "h263", "h263", size=(144, 176), fps=NTSC),
        fps=None,
        also=(VideoNote,),
    ),
    Kind("h263.3gp", film("a.3gp", "h263", "3gp", size=(144, 176)), also=(VideoNote,)),
    Kind(
        "dnxhd.mov",
        film(
            "a.mov", "dnxhd", "mov", "yuv422p", size=(128, 256), options=words("profile=dnxhr_lb")
        ),
    ),
    Kind(
        "dnxhd.mxf",
        film(
            "a.mxf", "dnxhd", "mxf", "yuv422p", size=(128, 256), options=words("profile=dnxhr_lb")
        ),
    ),
    Kind(
        "dv.dv",  # always lower field first, 16:15 pixels
        film("a.dv", "dvvideo", "dv", size=(576, 720), count=20),
        frames=20,
        also=(VideoNote,),
    ),
    Kind(
        "dv.avi",
        film("a.avi", "dvvideo", "avi", size=(576, 720), count=20),
        frames=20,
        also=(VideoNote,),
    ),
    Kind("roq.roq", film("a.roq", "roqvideo", "roq", "yuvj444p", size=(64, 64), fps=30), fps=30),
    Kind("odd_size.mkv", film("a.mkv", "ffv1", "matroska", "bgr0", size=(65, 97))),
    Kind("odd_size.mp4", film("a.mp4", "libx264", "mp4", "yuv444p", size=(65, 97))),
    Kind(
        "tiny.mkv",
        film("a.mkv", "ffv1", "matroska", "bgr0", size=(1, 1)),
        upright=False,
        coloured=False,
        counted=False,
    ),
    Kind("long_name.mp4", film("ü" * 120 + ".mp4", "libx264", "mp4")),
    Kind("colon.mp4", film("http:a b%20[x].mp4", "libx264", "mp4")),
    Kind("wrong_suffix.avi", film("a.avi", "libx264", "mp4")),
    Kind("no_suffix", film("recording", "libx264", "matroska")),
    Kind("upper_case.MP4", film("A.MP4", "libx264", "mp4")),
    Kind("one_frame.mp4", film("a.mp4", "libx264", "mp4", count=1), frames=1),
    Kind("two_frames.mkv", film("a.mkv", "libx264", "matroska", count=2), frames=2),
    Kind("fragmented.mp4", film("a.mp4", "libx264", "mp4", muxer=words("movflags=frag_keyframe"))),
    Kind("index_first.mp4", film("a.mp4", "libx264", "mp4", muxer=words("movflags=+faststart"))),
]


# -- clocks --------------------------------------------------------------------------------------


def rate_kinds() -> list[Kind]:
    rates = {
        "15": 15,
        "23.976": Fraction(24000, 1001),
        "29.97": NTSC,
        "59.94": 2 * NTSC,
        "120": 120,
        "240": 240,
        "12.5": Fraction(25, 2),
        "0.5": Fraction(1, 2),
    }
    kinds = []
    for name, rate in rates.items():
        for suffix, codec, form in (
            ("mp4", "libx264", "mp4"),
            ("mkv", "libx264", "matroska"),
            ("avi", "mjpeg", "avi"),
            ("ts", "libx264", "mpegts"),
        ):
            pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            file = f"{name}.{suffix}"
            kinds.append(Kind(f"rate_{file}", film(file, codec, form, pixels, fps=rate), fps=rate))
    kinds.append(Kind("rate_1000.mp4", film("a.mp4", "libx264", "mp4", fps=1000), fps=1000))
    kinds.append(Kind("rate_15.gif", film("a.gif", "gif", "gif", "rgb8", fps=15), fps=15))
    kinds[-1] = replace(kinds[-1], tick_s=0.011)
    kinds.append(Kind("rate_60.flv", film("a.flv", "libx264", "flv", fps=60), fps=60))
    kinds.append(Kind("rate_240.webm", film("a.webm", "libvpx", "webm", fps=240), fps=240))
    return kinds


MS = Fraction(1, 1000)
MPEG = Fraction(1, 90000)


def at(times: Sequence[float], **more: Any) -> dict[str, Any]:
    """Time stamps in milliseconds for ``film``."""
    return {"pts": [round(1000 * time) for time in times], "clock": MS, "count": len(times), **more}


EVEN = [number / 25 for number in range(COUNT)]
PAUSE = [time + (40 if number >= 15 else 0) for number, time in enumerate(EVEN)]
LOST = [number / 25 for number in range(45) if number % 10 not in (3, 4, 7)]
JITTER = [
    round(number / 30 + offset, 3)
    for number, offset in enumerate(np.random.default_rng(0).uniform(-0.01, 0.01, 60))
]
JITTER[0], JITTER[-1] = 0.0, 59 / 30  # so that the mean rate is 30
B_FRAMES = {"options": words("bf=3 g=12")}


def late_sound(name: str, codec: str, form: str, tone: str, **more: Any) -> Kind:
    """Sound from the start, the picture 0.8 s later."""
    make = film(name, codec, form, pts=range(20, 20 + COUNT), sound=(tone, 0, 2), **more)
    return Kind(f"sound_first_{name}", make)


def joined(*pieces: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """The bytes of several files, one after the other."""

    def make(folder: Path) -> Path:
        body, paths = b"", [piece(folder) for piece in pieces]
        for path in paths:
            body += path.read_bytes()
        out = folder / f"joined{paths[0].suffix}"
        out.write_bytes(body)
        return out

    return make


def piece(name: str, first: int, last: int, codec: str, form: str, **more: Any) -> Any:
    """A maker of one piece of a recording: frames ``first`` to ``last`` from time 0."""

    def make(folder: Path) -> Path:
        images = [media.draw(number) for number in range(first, last)]
        return media.encode(folder / name, images, codec, form, **more)

    return make


def parts(suffix: str, codec: str, form: str, *bounds: int, **more: Any) -> Callable[[Path], Path]:
    return joined(
        *(
            piece(f"{number}.{suffix}", first, last, codec, form, **more)
            for number, (first, last) in enumerate(pairwise(bounds))
        )
    )


RESTART = ((ClockRestart, "laid end to end"),)
M2TS = {"muxer": words("mpegts_m2ts_mode=1")}
WRAP = 2**33 - 15 * 3600  # the clock of a transport stream has 33 bits
LAST = WRAP // 3600  # frames at 25 a second


def first_pts(ticks: int, count: int = COUNT, step: int = 3600) -> dict[str, Any]:
    return {"pts": [ticks + step * number for number in range(count)], "clock": MPEG}


def gaps() -> dict[str, Any]:
    return {"pts": [round(25 * time) for time in LOST], "count": len(LOST)}


def overlapping(folder: Path) -> Path:
    """The second piece begins half a second before the first one ends."""
    first = piece("1.ts", 0, 30, "libx264", "mpegts")
    second = piece("2.ts", 30, 60, "libx264", "mpegts", pts=range(18, 48))
    return joined(first, second)(folder)


def twice(packets: list[Any]) -> list[Any]:
    """Frame 10 has the time of frame 9."""
    packets[10].pts = packets[10].dts = packets[9].pts
    return packets


def back(packets: list[Any]) -> list[Any]:
    """Frame 10 comes 5 ms before frame 9; dts, which Matroska does not store, rises."""
    for packet in packets:
        packet.dts -= 100
    packets[10].pts = packets[9].pts - 5
    return packets


def stray(frames: int) -> Callable[[list[Any]], list[Any]]:
    """The time of frame 15 alone is wrong, by so many frames; dts says so."""

    def change(packets: list[Any]) -> list[Any]:
        for packet in packets:
            packet.dts -= 20
        packets[15].pts += frames
        return packets

    return change


STRAY = (VideoNote, ClockRestart, TruncatedVideo)  # a header may take the stray time for the end
WRONG = {"pts": [25 * number for number in range(COUNT)], "clock": MS}  # 40 a second, not 25
CLOCKS = [
    Kind("bframes.mp4", film("a.mp4", "libx264", "mp4", **B_FRAMES)),
    Kind("bframes.mkv", film("a.mkv", "libx264", "matroska", **B_FRAMES)),
    Kind("bframes.avi", film("a.avi", "libx264", "avi", **B_FRAMES)),
    Kind("bframes_mpeg4.avi", film("a.avi", "mpeg4", "avi", options=words("bf=2"))),
    Kind("bframes.ts", film("a.ts", "libx264", "mpegts", **B_FRAMES)),
    Kind("bframes.flv", film("a.flv", "libx264", "flv", **B_FRAMES)),
    Kind("bframes_hevc.mp4", film("a.mp4", "libx265", "mp4", options=words("bf=4"))),
    Kind("bframes.vob", film("a.vob", "mpeg2video", "vob", options=words("bf=2"))),
    Kind("bframes.h264", film("a.h264", "libx264", "h264", **B_FRAMES)),
    Kind("bframes.wmv", film("a.wmv", "libx264", "asf", **B_FRAMES)),
    Kind("pause.mkv", film("a.mkv", "libx264", "matroska", **at(PAUSE)), times=PAUSE),
    Kind("pause.mp4", film("a.mp4", "libx264", "mp4", **at(PAUSE)), times=PAUSE),
    Kind("pause.ts", film("a.ts", "libx264", "mpegts", **at(PAUSE)), times=PAUSE),
    Kind("pause.webm", film("a.webm", "libvpx", "webm", **at(PAUSE)), times=PAUSE),
    Kind("lost_frames.mp4", film("a.mp4", "libx264", "mp4", **at(LOST)), len(LOST), times=LOST),
    Kind(
        "lost_frames.mkv", film("a.mkv", "libx264", "matroska", **at(LOST)), len(LOST), times=LOST
    ),
    Kind("jitter.mkv", film("a.mkv", "libx264", "matroska", **at(JITTER)), 60, 30, times=JITTER),
    Kind("jitter.webm", film("a.webm", "libvpx", "webm", **at(JITTER)), 60, 30, times=JITTER),
    Kind("starts_late.mkv", film("a.mkv", "libx264", "matroska", **first_pts(225000)), start_s=2.5),
    Kind("starts_late.mp4", film("a.mp4", "libx264", "mp4", **first_pts(225000)), start_s=2.5),
    Kind("starts_late.ts", film("a.ts", "libx264", "mpegts", **first_pts(9 * 10**8))),
    Kind("clock_of_33_bits_wraps.ts", film("a.ts", "libx264", "mpegts", **first_pts(WRAP))),
    Kind(
        "clock_of_33_bits_wraps.mpg",
        film("a.mpg", "mpeg2video", "mpeg", pts=range(LAST, LAST + COUNT)),
    ),
    Kind(
        "starts_before_zero.mp4",  # an edit list hides what comes before 0
        film("a.mp4", "libx264", "mp4", **first_pts(-5 * 3600), options=words("bf=0")),
        None,
    ),
    Kind(
        "starts_before_zero_bframes.mp4",
        film("a.mp4", "libx264", "mp4", **first_pts(-5 * 3600), **B_FRAMES),
        None,
    ),
    Kind(
        "no_edit_list.mp4",
        film("a.mp4", "libx264", "mp4", muxer=words("use_editlist=0"), **B_FRAMES),
    ),
    late_sound("a.mp4", "libx264", "mp4", "aac"),
    late_sound("a.mov", "libx264", "mov", "pcm_s16le"),
    late_sound("a.mkv", "libx264", "matroska", "aac"),
    late_sound("a.ts", "libx264", "mpegts", "mp2"),
    late_sound("a.mpg", "mpeg2video", "mpeg", "mp2"),
    late_sound("a.flv", "libx264", "flv", "aac"),
    late_sound("a.webm", "libvpx", "webm", "libopus"),
    Kind(
        "long_sound.avi",
        film("a.avi", "mjpeg", "avi", "yuvj420p", sound=("pcm_s16le", 0, 8)),
    ),
    Kind("long_sound.mp4", film("a.mp4", "libx264", "mp4", sound=("aac", 0, 8))),
    Kind("joined.ts", parts("ts", "libx264", "mpegts", 0, 30, 60), 60, notes=RESTART),
    Kind("joined_thrice.ts", parts("ts", "libx264", "mpegts", 0, 20, 40, 60), 60, notes=RESTART),
    Kind("joined.MTS", parts("MTS", "libx264", "mpegts", 0, 30, 60, **M2TS), 60, notes=RESTART),
    Kind("joined.mpg", parts("mpg", "mpeg2video", "mpeg", 0, 30, 60), 60, notes=RESTART),
    Kind("joined.VOB", parts("VOB", "mpeg2video", "vob", 0, 30, 60), 60, notes=RESTART),
    Kind("joined_mpeg2.ts", parts("ts", "mpeg2video", "mpegts", 0, 30, 60), 60, notes=RESTART),
    Kind("joined_hevc.ts", parts("ts", "libx265", "mpegts", 0, 30, 60), 60, notes=RESTART),
    Kind("joined.h264", parts("h264", "libx264", "h264", 0, 30, 60), 60),
    Kind("joined.m2v", parts("m2v", "mpeg2video", "mpeg2video", 0, 30, 60), 60),
    Kind("joined.mjpeg", parts("mjpeg", "mjpeg", "mjpeg", 0, 30, 60, pixels="yuvj420p"), 60),
    Kind("no_times.h264", film("a.mkv", "libx264", "h264")),
    Kind(
        "joined_with_sound.ts",
        parts("ts", "libx264", "mpegts", 0, 30, 60, sound=("mp2", 0, 1.2)),
        60,
        notes=RESTART,
    ),
    Kind("joined_overlapping.ts", overlapping, 60, notes=RESTART),
    Kind("lost_frames.avi", film("a.avi", "mjpeg", "avi", "yuvj420p", **gaps()), 31, times=LOST),
    Kind("jitter.mp4", film("a.mp4", "libx264", "mp4", **at(JITTER)), 60, 30, times=JITTER),
    Kind(
        "wrong_rate_in_header.mkv", film("a.mkv", "mjpeg", "matroska", "yuvj420p", **WRONG), fps=40
    ),
    Kind("wrong_rate_in_header.flv", film("a.flv", "libx264", "flv", **WRONG), fps=40),
    Kind("time_twice.mkv", film("a.mkv", "mjpeg", "matroska", "yuvj420p", packets=twice)),
    Kind(
        "time_back_by_5_ms.mkv",
        film("a.mkv", "mjpeg", "matroska", "yuvj420p", packets=back, **at(EVEN)),
    ),
    *(
        Kind(
            f"stray_time_{off}.{suffix}",
            film(f"a.{suffix}", codec, form, pixels, packets=stray(off), options=words("bf=0")),
            also=STRAY,
        )
        for suffix, codec, form, pixels in (
            ("mkv", "mjpeg", "matroska", "yuvj420p"),
            ("ts", "libx264", "mpegts", "yuv420p"),
        )
        for off in (300_000, 12, -12)
    ),
    Kind(
        "time_lapse.mp4", film("a.mp4", "libx264", "mp4", fps=Fraction(1, 10)), fps=Fraction(1, 10)
    ),
]


# -- pictures that lie or stand on their heads -----------------------------------------------------

TURNS = {
    "as_it_is": (1, 0, 0, 1),
    "quarter": (0, 1, -1, 0),
    "half": (-1, 0, 0, -1),
    "three_quarters": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside_down_mirrored": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed_otherwise": (0, -1, -1, 0),
}


def turned(name: str, matrix: tuple[int, int, int, int], codec: str, form: str) -> Any:
    def make(folder: Path) -> Path:
        images = [media.store_turned(media.draw(n), matrix) for n in range(COUNT)]
        path = media.encode(folder / name, images, codec, form)
        return media.turn(path, matrix, *images[0].shape[:2])

    return make


def tagged(name: str, codec: str, form: str, filters: str, turns: Callable[[Any], Any]) -> Any:
    """A picture turned by what stands in its own bit stream."""

    def make(folder: Path) -> Path:
        images = [np.ascontiguousarray(turns(media.draw(n))) for n in range(COUNT)]
        return media.encode(folder / name, images, codec, form, filters=filters)

    return make


def rotated(name: str, codec: str, form: str, degrees: int) -> Any:
    """``degrees`` counter-clockwise are asked of the player, so the picture is stored the other
    way round."""

    def make(folder: Path) -> Path:
        images = [
            np.ascontiguousarray(np.rot90(media.draw(n), -degrees // 90)) for n in range(COUNT)
        ]
        turn = partial(_set_rotation, degrees=degrees)
        return media.encode(folder / name, images, codec, form, prepare=turn)

    return make


def _set_rotation(stream: Any, degrees: int) -> None:
    stream.set_display_rotation(degrees)


TURNED = [
    *(Kind(f"{name}.mp4", turned("a.mp4", turn, "libx264", "mp4")) for name, turn in TURNS.items()),
    Kind("quarter_hevc.mov", turned("a.mov", TURNS["quarter"], "libx265", "mov")),
    Kind("mirrored_mpeg4.mp4", turned("a.mp4", TURNS["mirrored"], "mpeg4", "mp4")),
    Kind("rotated_90.mp4", rotated("a.mp4", "libx264", "mp4", 90)),
    Kind("rotated_90.mkv", rotated("a.mkv", "libx264", "matroska", 90)),
    Kind("rotated_180.mkv", rotated("a.mkv", "libx264", "matroska", 180)),
    Kind(
        "turned_by_sei.h264",  # counter-clockwise
        tagged(
            "a.h264",
            "libx264",
            "h264",
            "h264_metadata=display_orientation=insert:rotate=90",
            lambda i: np.rot90(i, -1),
        ),
    ),
    Kind(
        "flipped_by_sei.ts",
        tagged(
            "a.ts",
            "libx264",
            "mpegts",
            "h264_metadata=display_orientation=insert:flip=horizontal",
            lambda i: i[:, ::-1],
        ),
    ),
]


# -- what is to be said of a picture ---------------------------------------------------------------


def _aspect(stream: Any, ratio: Fraction) -> None:
    stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = ratio


def _interlaced(stream: Any) -> None:
    flags = av.codec.context.Flags
    stream.codec_context.flags |= flags.interlaced_dct | flags.interlaced_me


WIDE = partial(_aspect, ratio=Fraction(4, 3))
NOT_SQUARE = ((VideoNote, "not square"),)
FIELDS = ((VideoNote, "interlaced"),)


def resized(name: str, codec: str, form: str, pixels: str = "yuv420p") -> Any:
    """30 frames of 64 x 96, then 30 of 48 x 72, in one stream."""

    def make(folder: Path) -> Path:
        later: list[Any] = []

        def keep(packets: list[Any]) -> list[Any]:
            later.extend(packets)
            return packets

        small = [media.draw(number, 48, 72) for number in range(30, 60)]
        pts = list(range(30, 60))
        media.encode(folder / f"small-{name}", small, codec, form, pixels, pts=pts, packets=keep)
        (folder / f"small-{name}").unlink()

        def add(packets: list[Any]) -> list[Any]:
            for packet in later:
                packet.stream = packets[0].stream
            return packets + later

        images = [media.draw(number) for number in range(30)]
        return media.encode(folder / name, images, codec, form, pixels, packets=add)

    return make


def joined_sizes(folder: Path) -> Path:
    """Two recordings of other sizes, one after the other; the clock restarts."""
    small = [media.draw(number, 48, 72) for number in range(30, 60)]
    later = partial(media.encode, images=small, codec="libx264", form="mpegts")
    return joined(piece("1.ts", 0, 30, "libx264", "mpegts"), lambda f: later(f / "2.ts"))(folder)


def beside_cover(folder: Path) -> Path:
    """A cover picture comes first, a film second."""
    path = folder / "a.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 32, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        made = []
        for number in range(COUNT):
            image = av.VideoFrame.from_ndarray(media.draw(number), format="rgb24")
            image.pts, image.time_base = number, Fraction(1, RATE)
            made += stream.encode(image)
        image = av.VideoFrame.from_ndarray(media.draw(99, 32, 48), format="rgb24")
        image.pts, image.time_base = 0, Fraction(1)
        first = cover.encode(image.reformat(format="yuvj420p")) + cover.encode(None)
        for packet in first + made + stream.encode(None):
            container.mux(packet)
    return path


SIZES = ((VideoNote, "changes from 96x64 to 72x48"),)
SAID = [
    Kind("pixels_4_3.mp4", film("a.mp4", "libx264", "mp4", prepare=WIDE), notes=NOT_SQUARE),
    Kind("pixels_4_3.mkv", film("a.mkv", "libx264", "matroska", prepare=WIDE), notes=NOT_SQUARE),
    Kind("pixels_4_3.avi", film("a.avi", "mpeg4", "avi", prepare=WIDE), notes=NOT_SQUARE),
    Kind("pixels_4_3.mpg", film("a.mpg", "mpeg2video", "mpeg", prepare=WIDE), notes=NOT_SQUARE),
    Kind(
        "interlaced.mpg",
        film("a.mpg", "mpeg2video", "mpeg", prepare=_interlaced),
        notes=FIELDS,
    ),
    Kind(
        "interlaced.ts",
        film("a.ts", "libx264", "mpegts", options={"x264-params": "tff=1"}),
        notes=FIELDS,
    ),
    Kind(
        "interlaced.mp4",
        film("a.mp4", "libx264", "mp4", options={"x264-params": "bff=1"}),
        notes=FIELDS,
    ),
    Kind(
        "interlaced.mov",
        film("a.mov", "prores_ks", "mov", "yuv422p10le", prepare=_interlaced),
        notes=FIELDS,
    ),
    Kind("resized.mkv", resized("a.mkv", "mjpeg", "matroska", "yuvj420p"), 60, notes=SIZES),
    Kind("resized.avi", resized("a.avi", "mjpeg", "avi", "yuvj420p"), 60, notes=SIZES),
    Kind("resized.webm", resized("a.webm", "libvpx", "webm"), 60, notes=SIZES),
    Kind("resized_vp9.webm", resized("a.webm", "libvpx-vp9", "webm"), 60, notes=SIZES),
    Kind("resized.ts", resized("a.ts", "libx264", "mpegts"), 60, notes=SIZES),
    Kind("resized_mpeg2.ts", resized("a.ts", "mpeg2video", "mpegts"), None, notes=SIZES),
    Kind("joined_sizes.ts", joined_sizes, 60, notes=SIZES + RESTART),
    Kind("cover_first.mp4", beside_cover),
    Kind("resized.h264", resized("a.h264", "libx264", "h264"), 60, notes=SIZES),
]


def slow_motion(folder: Path) -> Path:
    path = folder / "slow.mp4"
    with av.open(str(path), "w", options=words("movflags=use_metadata_tags")) as container:
        container.metadata["com.android.capture.fps"] = "200.000000"
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(media.draw(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


SAID += [
    Kind("slow_motion.mp4", slow_motion, notes=((VideoNote, "slow motion"),)),
    Kind("slow_motion_told.mp4", slow_motion, fps=200, given=Fraction(200)),
]


# -- faults --------------------------------------------------------------------------------------

CUT = ((TruncatedVideo, "breaks off"),)
MAY_CUT = (TruncatedVideo, DamagedVideo)


def cut(
    suffix: str,
    codec: str,
    form: str,
    *,
    says: bool,
    pixels: str = "yuv420p",
    share: float = 0.6,
    **more: Any,
) -> Kind:
    """A file of which the end is missing; ``says`` is whether ffmpeg can know it by the header."""
    name = f"cut.{suffix}"
    make = film(
        name, codec, form, pixels, count=50, then=partial(media.truncate, share=share), **more
    )
    return Kind(f"truncated_{codec}.{suffix}", make, None, notes=CUT if says else (), also=MAY_CUT)


FASTSTART = {"muxer": words("movflags=+faststart")}
TRUNCATED = [
    cut("mp4", "libx264", "mp4", says=True, **FASTSTART),
    cut("mp4", "mpeg4", "mp4", says=True, **FASTSTART),
    cut("mov", "mjpeg", "mov", says=True, pixels="yuvj420p", **FASTSTART),
    cut("mkv", "libx264", "matroska", says=True),
    cut("mkv", "ffv1", "matroska", says=True),
    cut("webm", "libvpx", "webm", says=True),
    cut("webm", "libvpx-vp9", "webm", says=True),
    cut("avi", "mpeg4", "avi", says=True, share=0.8),
    cut("avi", "mjpeg", "avi", says=True, pixels="yuvj420p"),
    cut("avi", "rawvideo", "avi", says=True, pixels="bgr24"),
    cut("flv", "libx264", "flv", says=True),
    cut("wmv", "wmv2", "asf", says=False),
    cut("ts", "libx264", "mpegts", says=False),
    cut("mpg", "mpeg2video", "mpeg", says=False),
    cut("ogv", "libvpx", "ogv", says=False),
    cut("nut", "mpeg4", "nut", says=False),
    cut("y4m", "rawvideo", "yuv4mpegpipe", says=False),
    cut("mxf", "mpeg2video", "mxf", says=False),
    cut("gif", "gif", "gif", says=False, pixels="rgb8"),
    cut("h264", "libx264", "h264", says=False),
    cut("rm", "rv20", "rm", says=False),
    Kind(
        "truncated_fragments.mp4",
        film(
            "a.mp4",
            "libx264",
            "mp4",
            count=50,
            options=words("g=10"),
            muxer=words("movflags=frag_keyframe+empty_moov"),
            then=partial(media.truncate, share=0.5),
        ),
        None,
        also=MAY_CUT,
    ),
    Kind(
        "truncated.mp4",
        film("a.mp4", "libx264", "mp4", then=partial(media.truncate, share=0.6)),
        error="cut off",
    ),
    Kind(
        "truncated_head.mkv",
        film("a.mkv", "libx264", "matroska", then=partial(media.truncate, share=0.002)),
        error="",
    ),
]

# codec, container, suffix, pixel format, then options
DAMAGED = """
libx264 mp4 mp4 yuv420p g=12
libx264 matroska mkv yuv420p g=12 bf=0
libx264 avi avi yuv420p g=12
libx265 mp4 mp4 yuv420p g=12
libx265 matroska mkv yuv420p g=12
mpeg4 avi avi yuv420p
mpeg4 mp4 mp4 yuv420p bf=2
mpeg2video matroska mkv yuv420p
mpeg1video matroska mkv yuv420p
libvpx webm webm yuv420p g=12
libvpx-vp9 webm webm yuv420p g=12
libsvtav1 mp4 mp4 yuv420p g=12
libsvtav1 matroska mkv yuv420p g=12
mjpeg avi avi yuvj420p
mjpeg mov mov yuvj420p
ffv1 matroska mkv bgr0
ffv1 avi avi yuv420p
huffyuv avi avi yuv422p
ffvhuff avi avi yuv420p
utvideo avi avi yuv420p
magicyuv avi avi gbrp
prores_ks mov mov yuv422p10le
png mov mov rgb24
qtrle mov mov rgb24
cinepak mov mov rgb24
svq1 mov mov yuv410p
jpeg2000 mov mov yuv420p
wmv1 asf wmv yuv420p
wmv2 asf wmv yuv420p
msmpeg4v2 avi avi yuv420p
flv flv flv yuv420p
flashsv flv flv bgr24
rawvideo avi avi bgr24
snow avi avi yuv420p
zmbv avi avi bgr0
cfhd mov mov yuv422p10le
jpegls avi avi rgb24
"""


INTRA = (
    *("mjpeg", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "prores_ks", "png"),
    *("jpeg2000", "jpegls", "cfhd", "rawvideo"),
)


def damaged_kinds() -> list[Kind]:
    kinds = []
    for line in DAMAGED.strip().splitlines():
        codec, form, suffix, pixels, *options = line.split()
        for name, numbers, reach in (("one", (14,), 10), ("three", (9, 16, 17), 5)):
            # In showing order damage reaches back by a few B frames, and on to the next key frame.
            spoilt = numbers if codec in INTRA else range(reach, 26)
            make = film(
                f"bad.{suffix}",
                codec,
                form,
                pixels,
                options=words(" ".join(options)),
                then=partial(_damage, numbers=numbers),
            )
            kinds.append(
                damaged(f"damaged_{name}_{codec}.{suffix}", make, spoilt=frozenset(spoilt))
            )
    return kinds


def _damage(path: Path, numbers: Sequence[int]) -> Path:
    return media.damage(path, *numbers)


def damaged(name: str, make: Callable[[Path], Path], **more: Any) -> Kind:
    also = (DamagedVideo, TruncatedVideo, ClockRestart, VideoNote)
    more = {"frames": None, "counted": False, "upright": False, "coloured": False, **more}
    return Kind(name, make, also=also, **more)


def headless(name: str, codec: str, form: str, lost: int, **more: Any) -> Kind:
    """A recording that begins in the middle of a group of pictures."""
    make = film(name, codec, form, count=45, packets=lambda made: made[lost:], **more)
    kind = damaged(f"no_key_frame_{codec}_{name}", make)
    return replace(kind, notes=((VideoNote, "key frame"),), spoilt=frozenset(range(14)))


TWELVE = {"options": words("g=12")}
CONTAINER_FAULTS = [
    damaged(
        f"{fault.__name__}_{codec}_{name}",
        film(name, codec, form, pixels, count=50, then=partial(fault, share=0.5, count=count)),
    )
    for codec, form, name, pixels in (
        ("libx264", "matroska", "a.mkv", "yuv420p"),
        ("libx264", "mpegts", "a.ts", "yuv420p"),
        ("mpeg2video", "mpeg", "a.mpg", "yuv420p"),
        ("mpeg4", "avi", "a.avi", "yuv420p"),
        ("libvpx", "ogv", "a.ogv", "yuv420p"),
        ("libx264", "flv", "a.flv", "yuv420p"),
        ("wmv2", "asf", "a.wmv", "yuv420p"),
        ("mpeg4", "nut", "a.nut", "yuv420p"),
        ("rawvideo", "yuv4mpegpipe", "a.y4m", "yuv420p"),
        ("mpeg2video", "mxf", "a.mxf", "yuv420p"),
        ("libx264", "h264", "a.h264", "yuv420p"),
        ("gif", "gif", "a.gif", "rgb8"),
    )
    for fault, count in ((media.overwrite, 700), (media.cut_out, 301))
]

FAULTS = [
    headless("a.ts", "libx264", "mpegts", 5, **TWELVE),
    headless("a.mkv", "libx264", "matroska", 5, **TWELVE),
    headless("a.avi", "libx264", "avi", 5, options=words("g=12 bf=0")),
    headless("a.ts", "libx265", "mpegts", 5, **TWELVE),
    headless("a.mkv", "libx265", "matroska", 5, **TWELVE),
    headless("a.mpg", "mpeg2video", "mpeg", 5, **TWELVE),
    headless("a.ts", "mpeg2video", "mpegts", 5, **TWELVE),
    headless("a.avi", "mpeg4", "avi", 5, **TWELVE),
    headless("a.webm", "libvpx", "webm", 5, **TWELVE),
    headless("a.webm", "libvpx-vp9", "webm", 5, **TWELVE),
    headless("a.mkv", "libsvtav1", "matroska", 5, **TWELVE),
    headless("a.flv", "flv", "flv", 5, **TWELVE),
    headless("a.wmv", "wmv2", "asf", 5, **TWELVE),
    *CONTAINER_FAULTS,
]


# -- no video at all -------------------------------------------------------------------------------


def file_of(name: str, body: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(body)
        return folder / name

    return make


def archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.mp4", "w") as made:
        made.writestr("a.txt", "text " * 500)
    return folder / "a.mp4"


def dangling(folder: Path) -> Path:
    (folder / "a.mp4").symlink_to(folder / "gone.mp4")
    return folder / "a.mp4"


def circle(folder: Path) -> Path:
    (folder / "a.mp4").symlink_to(folder / "a.mp4")
    return folder / "a.mp4"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.mp4")
    return folder / "a.mp4"


def sound(name: str, codec: str, form: str) -> Callable[[Path], Path]:
    return lambda folder: media.sound_only(folder / name, codec, form)


def cover_only(folder: Path) -> Path:
    """A song with its cover."""
    with av.open(str(folder / "a.m4a"), "w", format="mp4") as container:
        tone = media._tone(container, "aac", 0, 1)
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(media.draw(1), format="rgb24").reformat(
            format="yuvj420p"
        )
        frame.pts, frame.time_base = 0, Fraction(1)
        for packet in [*stream.encode(frame), *stream.encode(None), *tone]:
            container.mux(packet)
    return folder / "a.m4a"


def unreadable(folder: Path) -> Path:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = film("a.mp4", "libx264", "mp4")(folder)
    path.chmod(0)
    return path


def renamed(codec: str, form: str, suffix: str, name: bytes, other: bytes) -> Any:
    """A codec that nobody knows."""

    def rename(path: Path) -> Path:
        whole = path.read_bytes()
        assert name in whole
        path.write_bytes(whole.replace(name, other))
        return path

    return film(f"a.{suffix}", codec, form, then=rename)


def film_without(name: str, codec: str, form: str, pixels: str = "yuv420p") -> Any:
    """A file whose header stands and which holds no frame."""
    return film(name, codec, form, pixels, count=1, packets=lambda made: [])


RNG = np.random.default_rng(0)
NONE = [
    Kind("missing", lambda folder: folder / "gone.mp4", error="does not exist"),
    Kind("zero_bytes.mp4", file_of("a.mp4", b""), error="zero bytes"),
    Kind("zero_bytes.mkv", file_of("a.mkv", b""), error="zero bytes"),
    Kind("zeros.mp4", file_of("a.mp4", bytes(5000)), error=""),
    Kind("text.mp4", file_of("a.mp4", b"This is a text.\n" * 100), error=""),
    Kind("page.mp4", file_of("a.mp4", b"<html><body>404 not found</body></html>"), error=""),
    Kind("random.mkv", file_of("a.mkv", RNG.bytes(9000)), error=""),
    Kind("random.ts", file_of("a.ts", RNG.bytes(9000)), error=""),
    Kind("typescript.ts", file_of("a.ts", b"export const a: number = 1;\n" * 50), error=""),
    Kind(
        "pointer.mp4", file_of("a.mp4", b"version https://git-lfs.github.com/spec/v1\n"), error=""
    ),
    Kind("archive.mp4", archive, error=""),
    Kind(
        "playlist.mp4",
        file_of("a.mp4", b"#EXTM3U\n#EXTINF:4,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        error="",
    ),
    Kind(
        "session.mp4",
        file_of(
            "a.mp4", b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ),
        error="",
    ),
    Kind("dangling.mp4", dangling, error="leads nowhere"),
    Kind("circle.mp4", circle, error="leads nowhere"),
    Kind("pipe.mp4", pipe, error="stream"),
    Kind("unreadable.mp4", unreadable, error=""),
    Kind("sound.wav", sound("a.wav", "pcm_s16le", "wav"), error="sound"),
    Kind("sound.mp4", sound("a.mp4", "aac", "mp4"), error="sound"),
    Kind("sound.mkv", sound("a.mkv", "aac", "matroska"), error="sound"),
    Kind("sound.ts", sound("a.ts", "mp2", "mpegts"), error="sound"),
    Kind("sound.mp3", sound("a.mp3", "libmp3lame", "mp3"), error="sound"),
    Kind("cover.m4a", cover_only, error="sound"),
    Kind("unknown_codec.mp4", renamed("libx264", "mp4", "mp4", b"avc1", b"zz9z"), error=""),
    Kind("unknown_codec.avi", renamed("mpeg4", "avi", "avi", b"FMP4", b"ZZ9Z"), error=""),
    Kind(
        "unknown_codec.mkv",
        renamed("libx264", "matroska", "mkv", b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XXX"),
        error="",
    ),
    Kind("no_frames.mp4", film_without("a.mp4", "libx264", "mp4"), error=""),
    Kind("no_frames.mkv", film_without("a.mkv", "libx264", "matroska"), error=""),
    Kind("no_frames.avi", film_without("a.avi", "mpeg4", "avi"), error=""),
    Kind("no_frames.webm", film_without("a.webm", "libvpx", "webm"), error=""),
    Kind("no_frames.y4m", file_of("a.y4m", b"YUV4MPEG2 W96 H64 F25:1 C420\n"), error=""),
    Kind("no_frames.gif", file_of("a.gif", b"GIF89a\x10\x00\x10\x00\x00\x00\x00;"), error=""),
    Kind(
        "all_damaged.mov",
        film("a.mov", "png", "mov", "rgb24", then=partial(_damage, numbers=range(COUNT))),
        error="",
    ),
    Kind(
        "too_wide.mkv",
        film("a.mkv", "ffv1", "matroska", "gray", count=1, size=(4, 9000)),
        error="9000x4",
    ),
    Kind(
        "too_tall.avi",
        film("a.avi", "mjpeg", "avi", "yuvj420p", count=1, size=(9000, 16)),
        error="16x9000",
    ),
]


# -- folders of images -----------------------------------------------------------------------------


def write_image(path: Path, image: np.ndarray, *parameters: int) -> None:
    ok, coded = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), parameters)
    assert ok
    path.write_bytes(coded.tobytes())


def frames(
    suffix: str,
    *,
    bits: int = 8,
    shift: int = 0,
    numbers: Sequence[int] = tuple(range(COUNT)),
    pattern: str = "img{:d}",
    parameters: Sequence[int] = (),
    then: Callable[[Path], Any] = lambda folder: None,
) -> Callable[[Path], Path]:
    """A folder of the pattern, ``bits`` deep; files of more than 8 bits hold 16."""

    def make(folder: Path) -> Path:
        place = folder / "frames"
        place.mkdir()
        for number in numbers:
            image = media.draw(number)
            if bits > 8:
                deep = np.rint(image / 255.0 * (2**bits - 1)).astype(np.uint16)
                image = deep << shift
            write_image(place / f"{pattern.format(number)}{suffix}", image, *parameters)
        then(place)
        return place

    return make


def spoil(name: str, body: bytes) -> Callable[[Path], Any]:
    return lambda place: (place / name).write_bytes(body)


def shrink(name: str) -> Callable[[Path], Any]:
    return lambda place: write_image(place / name, media.draw(1, 48, 72))


def by_pillow(suffix: str, mode: str, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pil = pytest.importorskip("PIL.Image")
        place = folder / "frames"
        place.mkdir()
        for number in range(COUNT):
            image = pil.fromarray(media.draw(number)).convert(mode)
            image.save(place / f"img{number}{suffix}", **options)
        return place

    return make


def with_exif(orientation: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pil = pytest.importorskip("PIL.Image")
        place = folder / "frames"
        place.mkdir()
        for number in range(COUNT):
            image = pil.fromarray(media.store_turned(media.draw(number), TURNS["quarter"]))
            exif = image.getexif()
            exif[0x0112] = orientation
            image.save(place / f"img{number}.jpg", exif=exif, quality=95)
        return place

    return make


def pages(name: str, bits: int = 8, grey: bool = False, **options: Any) -> Callable[[Path], Path]:
    """One TIFF with a page a frame."""

    def make(folder: Path) -> Path:
        tifffile = pytest.importorskip("tifffile")
        stack = np.stack([media.draw(number) for number in range(COUNT)])
        if bits > 8:
            stack = np.rint(stack / 255.0 * (2**bits - 1)).astype(np.uint16)
        if grey:
            stack = stack[..., 1]
        photometric = "minisblack" if grey else "rgb"
        tifffile.imwrite(folder / name, stack, photometric=photometric, **options)
        return folder / name

    return make


def camera_jpegs(folder: Path) -> Path:
    """Motion JPEG whose pictures carry what cameras write about themselves (EXIF)."""
    pil = pytest.importorskip("PIL.Image")
    with (folder / "a.mjpeg").open("wb") as file:
        for number in range(COUNT):
            image = pil.fromarray(media.draw(number))
            exif = image.getexif()
            exif[0x010F] = "A camera"
            image.save(file, "JPEG", exif=exif, quality=95)
    return folder / "a.mjpeg"


def spoil_inside(name: str, share: float) -> Callable[[Path], Any]:
    return lambda place: media.overwrite(place / name, share, 20)


def floats(folder: Path) -> Path:
    tifffile = pytest.importorskip("tifffile")
    place = folder / "frames"
    place.mkdir()
    for number in range(3):
        image = media.draw(number).astype(np.float32) / 255
        tifffile.imwrite(place / f"{number}.tif", image, photometric="rgb")
    return place


GAP = [*range(10), *range(20, 30)]
EVERY_OTHER = list(range(0, 60, 2))
MISSING = ((VideoNote, "missing"),)
FPS = Fraction(25)


def folder(name: str, make: Callable[[Path], Path], **more: Any) -> Kind:
    return Kind(name, make, given=FPS, start_s=more.pop("start_s", 0), **more)


def mixed_depths(first: int) -> Callable[[Path], Path]:
    """Images of 8 and of 16 bits, in turn."""

    def make(folder: Path) -> Path:
        place = folder / "frames"
        place.mkdir()
        for number in range(COUNT):
            image = media.draw(number)
            deep = number % 2 == first
            write_image(place / f"{number}.png", image.astype(np.uint16) * 257 if deep else image)
        return place

    return make


def flash(folder: Path) -> Path:
    """12 bits in 16: one frame that uses them all among frames that are eight times darker."""
    place = folder / "frames"
    place.mkdir()
    for number in range(COUNT):
        deep = np.rint(media.draw(number) / 255.0 * 4095 / (1 if number == 13 else 8))
        write_image(place / f"{number}.png", deep.astype(np.uint16))
    return place


def linked(folder: Path) -> Path:
    """Links to images that lie elsewhere."""
    elsewhere, place = frames(".png")(folder), folder / "links"
    place.mkdir()
    for path in elsewhere.iterdir():
        (place / path.name).symlink_to(path)
    return place


def two_stacks(folder: Path) -> Path:
    """Two TIFFs of 15 pages in a folder."""
    tifffile = pytest.importorskip("tifffile")
    place = folder / "frames"
    place.mkdir()
    for first in (0, 15):
        stack = np.stack([media.draw(number) for number in range(first, first + 15)])
        tifffile.imwrite(place / f"part{first}.tif", stack, photometric="rgb")
    return place


def empty(folder: Path) -> Path:
    (folder / "frames").mkdir()
    return folder / "frames"


LZW, DEFLATE = 5, 8  # TIFF compressions
SCHEME = int(getattr(cv2, "IMWRITE_TIFF_COMPRESSION", 259))
FOLDERS = [
    folder("png", frames(".png")),
    folder("png_16", frames(".png", bits=16)),
    folder("png_10_in_16", frames(".png", bits=10)),
    folder("png_12_in_16", frames(".png", bits=12)),
    folder("png_14_in_16", frames(".png", bits=14)),
    folder("png_12_in_the_upper_of_16", frames(".png", bits=12, shift=4)),
    folder("jpg", frames(".jpg")),
    folder("jpeg_upper_case", frames(".JPEG")),
    folder("bmp", frames(".bmp")),
    folder("tif", frames(".tif")),
    folder("tiff_16", frames(".tiff", bits=16)),
    folder("tiff_10_in_16", frames(".tiff", bits=10)),
    folder("tiff_12_in_16", frames(".tiff", bits=12)),
    folder("tiff_lzw", frames(".tif", parameters=(SCHEME, LZW))),
    folder("tiff_deflate", frames(".tif", parameters=(SCHEME, DEFLATE))),
    folder("grey_png", by_pillow(".png", "L"), coloured=False),
    folder("two_levels_png", by_pillow(".png", "1"), coloured=False, upright=False),
    folder("palette_png", by_pillow(".png", "P")),
    folder("alpha_png", by_pillow(".png", "RGBA")),
    folder("cmyk_jpg", by_pillow(".jpg", "CMYK")),
    folder("progressive_jpg", by_pillow(".jpg", "RGB", progressive=True)),
    folder("turned_by_exif", with_exif(6)),
    folder("padded", frames(".png", pattern="img{:06d}")),
    folder("from_100", frames(".png", numbers=range(100, 130))),
    folder("two_numbers", frames(".png", pattern="s01_img{:d}")),
    folder("number_before_words", frames(".png", pattern="{:d}_left eye")),
    folder(
        "hidden_files_beside",
        frames(
            ".png",
            then=lambda place: [
                (place / name).write_bytes(b"x")
                for name in ("._img3.png", "Thumbs.db", ".DS_Store")
            ],
        ),
    ),
    folder(
        "gap",
        frames(".png", numbers=GAP),
        frames=20,
        times=[number / 25 for number in GAP],
        notes=MISSING,
    ),
    folder(
        "gap_jpg_padded",
        frames(".jpg", numbers=[n for n in range(40) if n != 17], pattern="img{:05d}"),
        frames=39,
        times=[n / 25 for n in range(40) if n != 17],
        notes=MISSING,
    ),
    folder(
        "gap_in_every_other",
        frames(".png", numbers=[n for n in EVERY_OTHER if n != 20]),
        frames=29,
        times=[n / 50 for n in EVERY_OTHER if n != 20],
        notes=MISSING,
    ),
    folder("every_other", frames(".png", numbers=EVERY_OTHER)),
    folder("pages.tif", pages("a.tif")),
    folder("pages_16.tif", pages("a.tif", bits=16)),
    folder("pages_12_in_16.tif", pages("a.tif", bits=12)),
    folder("pages_grey.tiff", pages("a.tiff", grey=True), coloured=False),
    folder("pages_big.tif", pages("a.tif", bigtiff=True)),
    folder("pages_deflate.tif", pages("a.tif", compression="zlib")),
    folder("mixed_depths", mixed_depths(1)),
    folder("mixed_depths_deep_first", mixed_depths(0)),
    folder("links", linked),
    folder("stacks_in_a_folder", two_stacks),
    Kind("camera_jpegs.mjpeg", camera_jpegs),
    folder("one_damaged.png", frames(".png", then=spoil_inside("img9.png", 0.5)), error="img9.png"),
    folder("one_damaged.tif", frames(".tif", then=spoil_inside("img9.tif", 0)), error="img9.tif"),
    folder(
        "one_cut.jpg",
        frames(".jpg", then=lambda place: media.truncate(place / "img9.jpg", 0.2)),
        error="img9.jpg",
    ),
    folder("mixed_sizes", frames(".png", then=shrink("img9.png")), error="img9.png"),
    folder("one_unreadable", frames(".png", then=spoil("img9.png", b"no")), error="img9.png"),
    folder("one_empty", frames(".png", then=spoil("img9.png", b"")), error="img9.png"),
    folder("first_unreadable", frames(".png", then=spoil("img0.png", b"no")), error="img0.png"),
    folder("last_unreadable", frames(".jpg", then=spoil("img29.jpg", b"no")), error="img29.jpg"),
    folder("floats", floats, error="float32"),
    folder("empty", empty, error="no images"),
    Kind("no_rate", frames(".png"), error="rate"),
    folder(
        "too_tall",
        frames(".png", then=lambda p: write_image(p / "img0.png", media.draw(0, 9000, 8))),
        error="8x9000",
    ),
]

KINDS = [
    *format_kinds(),
    *OTHER_FORMATS,
    *rate_kinds(),
    *CLOCKS,
    *TURNED,
    *SAID,
    *TRUNCATED,
    *damaged_kinds(),
    *FAULTS,
    *NONE,
    *FOLDERS,
]

# What fails for now because of src/ma2mi/video.py, and why.
NOISE = "OpenCV writes to stderr"
FAILS: dict[str, str] = {
    "one_damaged.png": NOISE,
    "one_damaged.tif": NOISE,
}


def listed(kinds: Sequence[Kind]) -> list[Any]:
    names = [kind.name for kind in kinds]
    assert len(set(names)) == len(names)
    return [
        pytest.param(
            kind,
            id=kind.name,
            marks=[pytest.mark.xfail(strict=True, reason=FAILS[kind.name])]
            if kind.name in FAILS
            else [],
        )
        for kind in kinds
    ]


def make(kind: Kind, folder: Path) -> Path:
    try:
        return kind.make(folder)
    except av.codec.codec.UnknownCodecError as error:
        pytest.skip(f"this ffmpeg has no such encoder: {error}")


TOLD = (DamagedVideo, TruncatedVideo)


def is_one_line(text: str) -> bool:
    return bool(text.strip()) and "\n" not in text and "\r" not in text


@pytest.mark.parametrize("kind", listed(KINDS))
def test_media(kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = make(kind, tmp_path)
    capfd.readouterr()  # some encoders talk
    if kind.error is not None:
        refuses(kind, path)
    else:
        reads(kind, path)
    assert capfd.readouterr() == ("", "")


def test_a_bright_frame_among_dark_ones_keeps_its_levels(tmp_path: Path) -> None:
    """All images of a folder share one range, and none is cut off."""
    rows = list(read_frames(flash(tmp_path), fps=FPS))
    assert media.is_upright(rows[13].image)
    assert rows[12].image.max() < 40


def test_a_file_cut_within_its_index_of_fragments_is_not_said_to_have_none(tmp_path: Path) -> None:
    options, muxer = words("g=10"), words("movflags=frag_keyframe+empty_moov")
    path = film("a.mp4", "libx264", "mp4", count=50, options=options, muxer=muxer)(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"moof", len(whole) // 2) + 147])
    assert b"moov" in path.read_bytes()
    with pytest.raises(VideoError) as caught:
        list(read_frames(path))
    assert is_one_line(str(caught.value)) and "no moov" not in str(caught.value)


def test_a_stack_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = media.truncate(pages("a.tif", compression="zlib")(tmp_path), 0.6)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            rows = list(read_frames(path, fps=FPS))
        except VideoError as error:
            assert is_one_line(str(error)) and error.hint
        else:
            assert 0 < len(rows) < COUNT
            assert any(issubclass(one.category, VideoNote) for one in said)


def test_an_unknown_codec_under_an_unknown_name_ends_no_folder(tmp_path: Path) -> None:
    path = renamed("libx264", "mp4", "mp4", b"avc1", b"zz9z")(tmp_path)
    path.rename(tmp_path / "a.cine")
    assert list_videos(tmp_path) == list_others(tmp_path) == []


def test_every_container_is_taken_from_a_folder_or_named_as_passed_over(tmp_path: Path) -> None:
    paths = set()
    for number, kind in enumerate([*format_kinds(), *OTHER_FORMATS]):
        if kind.name in ("no_suffix", "long_name.mp4", "colon.mp4"):
            continue
        place = tmp_path / f"{number}"
        place.mkdir()
        paths.add(kind.make(place))
    found = list_videos(tmp_path)
    assert len(set(found)) == len(found)
    assert set(found) | set(list_others(tmp_path)) == paths


# Of every sort some, through the command line: a kind, and words of a line that is said of it.
ANALYZED = {
    "hevc_10bit.mov": "",
    "mts.mts": "",
    "bframes.avi": "",
    "pause.mkv": "",
    "joined.mpg": "laid end to end",
    "quarter.mp4": "",
    "interlaced.ts": "interlaced",
    "resized_vp9.webm": "changes from",
    "truncated_mjpeg.mov": "breaks off",
    "damaged_three_libx264.mp4": "not decode",
    "damaged_one_mpeg4.avi": "not decode",
    "no_key_frame_libx264_a.ts": "key frame",
    "gap": "missing",
    "pages_12_in_16.tif": "",
    "rate_0.5.avi": "",
    "text.mp4": "no video",
    "one_unreadable": "not a readable image",
    "no_frames.mkv": "no video",
    "unknown_codec.mp4": "",
    "pipe.mp4": "stream",
}


def count_quietly(path: Path, fps: Fraction | None = None) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoNote)
        return sum(1 for _ in read_frames(path, fps=fps))


@pytest.mark.parametrize("name", ANALYZED)
def test_analyze(name: str, ma2mi: Any, tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    path = make(kind, tmp_path)
    rate = ("--frame-rate", RATE) if kind.given else ()
    words = ("--weights", "none", "--no-videos", "--out", "results", *rate)
    code, out, err = ma2mi("analyze", path, *words)
    assert not err
    named = [line for line in out.splitlines() if str(path) in line]
    tables = list(Path("results").glob("*/frames.csv"))
    if kind.error is not None:
        assert code == 3
        assert len(named) == 1 and ANALYZED[name] in named[0]
        assert not tables
        return
    assert code == 0
    said = ANALYZED[name]
    assert any(said in line for line in named) if said else not named
    with tables[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= (kind.frames or media.count_patiently(path)[0])
    assert len(rows) == count_quietly(path, kind.given)
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))


def test_analyze_goes_on_after_bad_members(ma2mi: Any, tmp_path: Path) -> None:
    names = ("sound.mkv", "h264.mkv", "circle.mp4", "damaged_one_libx265.mkv", "zeros.mp4")
    folder = tmp_path / "videos"
    counts, bad = {}, []
    for number, name in enumerate(names):
        kind = next(kind for kind in KINDS if kind.name == name)
        place = folder / f"v{number}"
        place.mkdir(parents=True)
        path = make(kind, place)
        path = path.rename(path.with_name(f"v{number}{path.suffix}"))
        if kind.error is None:
            counts[f"v{number}"] = count_quietly(path)
        elif not path.is_symlink():
            bad.append(path.name)
    code, out, err = ma2mi(
        "analyze", folder, "--weights", "none", "--no-videos", "--out", "results"
    )
    assert (code, err) == (3, "")
    for name in bad:
        assert sum(name in line for line in out.splitlines()) == 1
    found = {
        path.parent.name: len(path.read_text().splitlines()) - 1
        for path in Path("results").glob("*/frames.csv")
    }
    assert found == counts


def test_analyze_gives_its_rate_to_folders_and_to_stacks(ma2mi: Any, tmp_path: Path) -> None:
    place = tmp_path / "study"
    place.mkdir()
    frames(".png")(place)
    pages("stack.tif")(place)
    words = ("--weights", "none", "--no-videos", "--out", "results", "--frame-rate", RATE)
    code, out, err = ma2mi("analyze", place, *words)
    assert (code, err) == (0, ""), out
    assert {path.parent.name for path in Path("results").glob("*/frames.csv")} == {
        "frames",
        "stack",
    }


def refuses(kind: Kind, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoNote)
        with pytest.raises(VideoError) as caught:
            list(read_frames(path, fps=kind.given))
    error = caught.value
    assert is_one_line(str(error))
    assert Path(error.where).name and str(path) in error.where
    assert kind.error in str(error)
    assert error.what and error.hint


def reads(kind: Kind, path: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows = list(read_frames(path, fps=kind.given))
        info = inspect_video(path, fps=kind.given)
    right_notes(kind, path, said)
    right_rows(kind, path, rows, any(issubclass(one.category, TOLD) for one in said))
    right_times(kind, [row.time_s for row in rows], info.fps)
    if kind in TRUNCATED:
        rows = rows[:-1]  # the last one may be half a picture
    height, width = rows[0].image.shape[:2]
    assert (info.width, info.height) == (width, height)
    for row in rows:
        assert row.image.dtype == np.uint8 and row.image.ndim == 3 and row.image.shape[2] == 3
    numbers = [media.read_number(row.image) for row in rows]
    if kind.spoilt is not None:
        right_survivors(kind, numbers, [row.time_s for row in rows])
    if kind.counted and (kind.frames is None or kind.given):
        assert all(later > earlier for earlier, later in pairwise(numbers)), numbers
    elif kind.counted:
        assert numbers == list(range(len(rows)))
    if kind.upright:
        assert all(media.is_upright(row.image, ROUGH.get(kind.name, 30)) for row in rows)
    if kind.coloured:
        assert all(media.is_coloured(row.image) for row in rows)


def right_notes(kind: Kind, path: Path, said: Sequence[warnings.WarningMessage]) -> None:
    for one in said:
        assert isinstance(one.message, VideoNote), one.message
        assert is_one_line(str(one.message)) and str(one.message).startswith(f"{path}: ")
    messages = [(type(one.message), str(one.message)) for one in said]
    for sort, text in kind.notes:
        assert any(found is sort and text in line for found, line in messages), messages
    allowed = (*kind.also, *(sort for sort, _ in kind.notes))
    assert all(found in allowed for found, _ in messages), messages


def right_rows(kind: Kind, path: Path, rows: Sequence[Any], is_told: bool) -> None:
    assert [row.index for row in rows] == list(range(len(rows)))
    if kind.given and kind.name not in ("slow_motion_told.mp4",):
        assert len(rows) == kind.frames
        return
    if kind.also:
        patient, errors = media.count_patiently(path)
        assert len(rows) >= patient
        if errors and kind not in TRUNCATED:
            assert is_told
    else:
        assert len(rows) == media.count_plainly(path)
    if kind.frames is not None:
        assert len(rows) == kind.frames


def right_survivors(kind: Kind, numbers: Sequence[int], times: Sequence[Fraction]) -> None:
    """Frames that no damage reaches are all there, once, where they were."""
    count = 45 if kind.name.startswith("no_key_frame") else COUNT
    whole = [number for number in range(count) if number not in kind.spoilt]
    # A spoilt picture may show any number, but not at any time.
    offsets = [float(time) - number / RATE for number, time in zip(numbers, times, strict=True)]
    offset = float(np.median([o for o, n in zip(offsets, numbers, strict=True) if n in whole]))
    right = [n for o, n in zip(offsets, numbers, strict=True) if abs(o - offset) < kind.tick_s]
    assert [number for number in right if number in whole] == whole
    if kind.start_s is not None:
        assert offset == pytest.approx(kind.start_s, abs=kind.tick_s)


def right_times(kind: Kind, times: Sequence[Fraction], fps: Fraction) -> None:
    assert all(isinstance(time, Fraction) for time in times)
    assert all(later > earlier for earlier, later in pairwise(times))
    assert isinstance(fps, Fraction)
    if kind.fps is None:
        return
    assert fps == pytest.approx(kind.fps, rel=0.02)
    if kind.start_s is not None:
        assert float(times[0]) == pytest.approx(kind.start_s, abs=kind.tick_s)
    if kind.frames is not None:
        even = [number / float(kind.fps) for number in range(len(times))]
        steps = [float(time - times[0]) for time in times]
        assert steps == pytest.approx(kind.times or even, abs=kind.tick_s)
