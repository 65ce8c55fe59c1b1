"""Every kind of annotation file that tools and hands leave behind, and what is read of it."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import re
import shutil
import time
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

import av
import openpyxl

from ma2mi.analysis.summary import player_clock
from ma2mi.datasets import open_corpus
from ma2mi.datasets.annotations import Annotations
from ma2mi.datasets.check import check_corpus
from ma2mi.errors import Ma2miError
from ma2mi.files import WRITTEN, digest, results_folder
from ma2mi.formats.exports import write_boris, write_elan
from ma2mi.formats.findings import LeftOut
from ma2mi.records import Analysis, DetectedEvent, FaceFacts
from ma2mi.video import read_frames, write_frames, write_video
from ma2mi.video.times import frame_times

LONGEST_S = 20
JOY = ("film.mp4", 10, 19, "joy")
FEAR = ("film.mp4", 24, 29, "fear")
BLACK = np.zeros((32, 32, 3), np.uint8)
TABLE = "path,subject,start_s,end_s,emotion\n"
ROWS = "film.mp4,anna,0.5,1,joy\nfilm.mp4,anna,1.2,1.5,fear\n"


@dataclass
class Kind:
    """Files, what is read of them, and lines that are said."""

    files: dict[str, object]
    marks: tuple[tuple[str, int, int, str], ...] = (JOY, FEAR)
    said: tuple[str, ...] = ()
    passed: bool = True


# Builders


def eaf(
    *tiers, slots="a=500 b=1000 c=1200 d=1500", media="film.mp4", head="", units="milliseconds"
):
    order = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{name}"' + (f' TIME_VALUE="{value}"/>' if value else "/>")
        for name, _, value in (one.partition("=") for one in slots.split())
    )
    head = head or f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/{media}" MIME_TYPE="video/mp4"/>'
    tiers = tiers or (tier("mood", mark("m1", "a", "b", "joy"), mark("m2", "c", "d", "fear")),)
    return (
        f'<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="{units}">{head}</HEADER>'
        f"<TIME_ORDER>{order}</TIME_ORDER>{''.join(tiers)}</ANNOTATION_DOCUMENT>"
    )


def tier(name, *marks, who="anna"):
    inside = "".join(f"<ANNOTATION>{one}</ANNOTATION>" for one in marks)
    return f'<TIER TIER_ID="{name}" PARTICIPANT="{who}">{inside}</TIER>'


def mark(name, start, end, word):
    return (
        f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" TIME_SLOT_REF1="{start}" '
        f'TIME_SLOT_REF2="{end}"><ANNOTATION_VALUE>{word}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION>"
    )


def refer(name, to, word, after=""):
    after = f' PREVIOUS_ANNOTATION="{after}"' if after else ""
    return (
        f'<REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{to}"{after}>'
        f"<ANNOTATION_VALUE>{word}</ANNOTATION_VALUE></REF_ANNOTATION>"
    )


EVENTS = [
    [0.5, "anna", "joy", "", "", 10],
    [1.0, "anna", "joy", "", "", 20],
    [1.2, "anna", "fear", "", "", 24],
    [1.5, "anna", "fear", "", "", 30],
]


def boris(events=EVENTS, *, file=None, more=None, version="7.0", **observation):
    behaviors = {
        str(at): {"code": code, "type": kind, "category": ""}
        for at, (code, kind) in enumerate(
            [("joy", "State event"), ("fear", "State event"), ("apex", "Point event")]
        )
    }
    one = {"type": "MEDIA", "file": file or {"1": ["film.mp4"], "2": []}, "events": events}
    return json.dumps(
        {
            "project_format_version": version,
            "behaviors_conf": behaviors,
            "observations": {"o": one | observation, **(more or {})},
        }
    )


def sheet(rows, *, before=(), merge=()):
    book = openpyxl.Workbook()
    page = book.active
    for lines in before:
        for line in lines:
            page.append(line)
        page = book.create_sheet()
    for row in rows:
        page.append(row)
    for cells in merge:
        page.merge_cells(cells)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def video(frames, start_s=0, name="x.mkv"):
    """A video of 20 frames a second, with sound from 0 where the picture starts later."""

    def make(path):
        with av.open(str(path), "w") as out:
            sound = out.add_stream("pcm_s16le", rate=8000)
            sound.layout = "mono"
            picture = out.add_stream("ffv1", rate=20)
            picture.width = picture.height = 32
            picture.pix_fmt = "bgr0"
            for at in range(round((start_s + frames / 20) * 10)):
                samples = np.zeros((1, 800), np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 8000, at * 800
                out.mux(sound.encode(frame))
            for at in range(frames):
                frame = av.VideoFrame.from_ndarray(BLACK, format="rgb24")
                frame.pts, frame.time_base = at + round(start_s * 20), Fraction(1, 20)
                out.mux(picture.encode(frame))
            out.mux(sound.encode(None))
            out.mux(picture.encode(None))

    return make


def short(path):
    write_video(path, [BLACK] * 20, 20)


def own_rows(*rows, header=TABLE):
    return header + "".join(f"{row}\n" for row in rows)


AGG = (
    "Observation id,Source,Time offset (s),FPS,Subject,Behavior,Start (s),Stop (s),"
    "Media file name,Image index start\n"
)
DESCRIBED = '<MEDIA_DESCRIPTOR MEDIA_URL="film.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="250"/>'
GONE = '<MEDIA_DESCRIPTOR MEDIA_URL="gone.mp4" MIME_TYPE="video/mp4"/>'
SYSTEM = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
BIDS = "onset\tduration\ttrial_type\n"
BOMB = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "x" * 100}">' for i in range(12))
WESTERN = "film.mp4,jürgen,0.5,1,größe\n"
CLIPS = tuple((f"{one}/film.mp4", 10, 19, "joy") for one in ("s1", "s2"))

KINDS = {
    # ELAN
    "elan": Kind({"a.eaf": eaf()}),
    "elan: capitals": Kind({"A.EAF": eaf()}),
    "elan: open slot": Kind(
        {
            "a.eaf": eaf(
                tier("t", mark("m1", "a", "x", "joy"), mark("m2", "x", "b", "fear")),
                slots="a=500 x b=1500",
            )
        },
        (JOY, ("film.mp4", 20, 29, "fear")),
        ("note: tier t: 1 unaligned times",),
    ),
    "elan: open end": Kind(
        {
            "a.eaf": eaf(
                tier("t", mark("m1", "a", "b", "joy"), mark("m2", "c", "x", "fear")),
                slots="a=500 b=1000 c=1200 x",
            )
        },
        (JOY,),
        ("error: tier t, annotation m2: has no time",),
        passed=False,
    ),
    "elan: slot that is not there": Kind(
        {"a.eaf": eaf(tier("t", mark("m1", "a", "b", "joy"), mark("m2", "a", "zz", "fear")))},
        (JOY,),
        ("error: tier t, annotation m2: has no time",),
        passed=False,
    ),
    "elan: comment on a mark": Kind(
        {
            "a.eaf": eaf(tier("t", mark("m1", "a", "b", "")), tier("u", refer("m2", "m1", "joy"))),
            "labels.csv": "layer,label,emotion\nu,joy,joy\n*,,\nt,*,\n",
        },
        (JOY,),
    ),
    "elan: subdivision": Kind(
        {
            "a.eaf": eaf(
                tier("t", mark("m1", "a", "d", "all")),
                tier("u", refer("p2", "m1", "fear", "p1"), refer("p1", "m1", "joy")),
            ),
            "labels.csv": "layer,label,emotion\nu,joy,joy\nu,fear,fear\nt,*,\n",
        },
        (JOY, ("film.mp4", 20, 29, "fear")),
    ),
    "elan: circle": Kind(
        {
            "a.eaf": eaf(
                tier("t", mark("m1", "a", "b", "joy")),
                tier("u", refer("p", "q", "x"), refer("q", "p", "y")),
            )
        },
        (JOY,),
        ("error: tier u, annotation p: refers to itself by a circle",),
        passed=False,
    ),
    "elan: comment on nothing": Kind(
        {"a.eaf": eaf(tier("t", mark("m1", "a", "b", "joy")), tier("u", refer("p", "gone", "x")))},
        (JOY,),
        ("error: tier u, annotation p: refers to 'gone', which is not there",),
        passed=False,
    ),
    "elan: origin": Kind(
        {
            "a.eaf": eaf(
                slots="a=250 b=750 c=950 d=1250",
                head=DESCRIBED,
            )
        }
    ),
    "elan: two cameras": Kind(
        {
            "a.eaf": eaf(
                slots="a=250 b=750 c=950 d=1250",
                head=GONE + DESCRIBED,
            )
        }
    ),
    "elan: sound alone": Kind(
        {"film.eaf": eaf(head='<MEDIA_DESCRIPTOR MEDIA_URL="film.wav" MIME_TYPE="audio/x-wav"/>')}
    ),
    "elan: picture late": Kind(
        {"a.eaf": eaf(media="late.mkv"), "late.mkv": video(30, 0.3)},
        (("late.mkv", 4, 13, "joy"), ("late.mkv", 18, 23, "fear")),
    ),
    "elan: before the picture": Kind(
        {"a.eaf": eaf(media="late.mkv"), "late.mkv": video(30, 1.1)},
        (("late.mkv", 2, 7, "fear"),),
        ("error: tier mood, annotation m1: ends at 1.000 s, and the picture begins at 1.100 s",),
        passed=False,
    ),
    "elan: UTF-16": Kind(
        {"a.eaf": f'<?xml version="1.0" encoding="UTF-16"?>{eaf()}'.encode("utf-16")}
    ),
    "elan: Latin-1": Kind(
        {
            "a.eaf": (
                '<?xml version="1.0" encoding="ISO-8859-1"?>'
                + eaf(tier("t", mark("m", "a", "b", "Größe")))
            ).encode("latin-1")
        },
        (("film.mp4", 10, 19, "Größe"),),
    ),
    "elan: unknown encoding": Kind(
        {"a.eaf": f'<?xml version="1.0" encoding="KLINGON-8"?>{eaf()}'},
        (),
        ("error: : is no XML (",),
        passed=False,
    ),
    "elan: encoding of many bytes": Kind(
        {"a.eaf": f'<?xml version="1.0" encoding="GBK"?>{eaf()}'.encode("gbk")},
        (),
        ("error: : is no XML (",),
        passed=False,
    ),
    "elan: broken off": Kind({"a.eaf": eaf()[:300]}, (), ("error: : is no XML (",), passed=False),
    "elan: empty": Kind({"a.eaf": ""}, (), ("error: : is no XML (",), passed=False),
    "elan: a page of the web": Kind(
        {"a.eaf": "<html/>"}, (), ("error: : is no ELAN document but html",), passed=False
    ),
    "elan: entities without end": Kind(
        {"a.eaf": f"<!DOCTYPE a [{BOMB}]><ANNOTATION_DOCUMENT>&a11;</ANNOTATION_DOCUMENT>"},
        (),
        ("error: : is no XML (",),
        passed=False,
    ),
    "elan: a file of the system": Kind(
        {"a.eaf": f"{SYSTEM}<ANNOTATION_DOCUMENT>&x;</ANNOTATION_DOCUMENT>"},
        (),
        ("error: : is no XML (",),
        passed=False,
    ),
    "elan: deep": Kind(
        {"a.eaf": eaf().replace("<HEADER", "<x>" * 50000 + "</x>" * 50000 + "<HEADER")}
    ),
    "elan: reversed": Kind(
        {"a.eaf": eaf(tier("t", mark("m1", "a", "b", "joy"), mark("m2", "d", "c", "fear")))},
        (JOY,),
        ("error: tier t, annotation m2: ends at 1.200 s, before it begins at 1.500 s",),
        passed=False,
    ),
    "elan: PAL": Kind({"a.eaf": eaf(slots="a=12.5 b=25 c=30 d=37.5", units="PAL-frames")}),
    "elan: unknown units": Kind(
        {"a.eaf": eaf(units="furlongs")}, (), ("error: : counts in 'furlongs'",), passed=False
    ),
    **{
        f"elan: slot {value}": Kind(
            {"a.eaf": eaf(slots=f"a=500 b=1000 c=1200 d={value}")},
            (JOY,),
            ("warning: time slot d:", "error: tier mood, annotation m2: has no time"),
            passed=False,
        )
        for value in ("soon", "NaN", "-5", "1e99999999", "9" * 5000, "1" * 20)
    },
    "elan: beyond the end": Kind(
        {"a.eaf": eaf(slots="a=500 b=1000 c=1200 d=9000")},
        (JOY,),
        ("error: tier mood, annotation m2: 8.999 s is not in the video",),
        passed=False,
    ),
    "elan: two subjects": Kind(
        {
            "a.eaf": eaf(
                tier("t", mark("m1", "a", "b", "joy")),
                tier("u", mark("m2", "c", "d", "fear"), who="ben"),
            )
        },
        (),
        ("shows anna and ben",),
        passed=False,
    ),
    "elan: a subject in two spellings": Kind(
        {
            "a.eaf": eaf(
                tier("t", mark("m1", "a", "b", "joy")),
                tier("u", mark("m2", "c", "d", "fear"), who="Anna "),
            )
        }
    ),
    "elan: second tier of one layer": Kind(
        {
            "a.eaf": eaf(
                tier("t", mark("m1", "a", "b", "joy")), tier("t (2)", mark("m2", "c", "d", "fear"))
            ),
            "labels.csv": "layer,label,emotion\nt,joy,joy\nt,fear,fear\n",
        }
    ),
    # Names of videos
    "name: another Unicode form": Kind(
        {"a.eaf": eaf(media=unicodedata.normalize("NFD", "Gruß äö.mp4")), "Gruß äö.mp4": short},
        (("Gruß äö.mp4", 10, 19, "joy"),),
        ("error: tier mood, annotation m2: 1.200 s is not in the video",),
        passed=False,
    ),
    "name: another case": Kind({"a.eaf": eaf(media="FILM.MP4")}),
    "name: escaped": Kind(
        {"a.eaf": eaf(media="my%20film.mp4"), "my film.mp4": "film.mp4"},
        (("my film.mp4", *JOY[1:]), ("my film.mp4", *FEAR[1:])),
    ),
    "name: percent in it": Kind(
        {"a.eaf": eaf(media="100%25.mp4"), "100%25.mp4": "film.mp4"},
        (("100%25.mp4", *JOY[1:]), ("100%25.mp4", *FEAR[1:])),
    ),
    "name: not there": Kind(
        {"a.eaf": eaf(media="other.mp4")},
        (),
        ("error: : is about other.mp4, which is there 0 times",),
        passed=False,
    ),
    "name: twice, told by folders": Kind(
        {
            "s1/film.mp4": "film.mp4",
            "s2/film.mp4": "film.mp4",
            "m.csv": own_rows("s1/film.mp4,anna,0.5,1,joy", r"s2\film.mp4,ben,0.5,1,joy"),
        },
        CLIPS,
    ),
    "name: twice": Kind(
        {"s1/film.mp4": "film.mp4", "s2/film.mp4": "film.mp4", "x/m.csv": TABLE + ROWS},
        (),
        ("error: : is about film.mp4, which is there 3 times",),
        passed=False,
    ),
    # BORIS' projects
    "boris": Kind({"a.boris": boris()}),
    "boris: packed": Kind({"a.boris.gz": gzip.compress(boris().encode())}),
    "boris: early format": Kind(
        {"a.boris": boris([one[:5] for one in EVENTS], version="1.6", media_file_info={})}
    ),
    "boris: a state that never stops": Kind(
        {"a.boris": boris(EVENTS[:3])},
        (JOY,),
        ("error: observation o, event 3: 'fear' starts and never stops",),
        passed=False,
    ),
    "boris: live and pictures": Kind(
        {
            "a.boris": boris(
                more={
                    "l": {"type": "LIVE", "file": [], "events": EVENTS},
                    "p": {
                        "type": "IMAGES",
                        "file": {},
                        "events": [[float("nan"), "", "joy", "", "", 3, "/x"]],
                    },
                }
            )
        },
        said=(
            "warning: observation l: is live, not of a video",
            "warning: observation p: is images",
        ),
    ),
    "boris: in turn": Kind(
        {
            "a.boris": boris(
                [
                    [0.5, "", "joy", ""],
                    [1, "", "joy", ""],
                    [2.7, "", "fear", ""],
                    [3, "", "fear", ""],
                ],
                file={"1": ["first.mp4", "film.mp4"]},
                media_info={"length": {"first.mp4": 1.5, "film.mp4": 2.0}},
            ),
            "first.mp4": short,
        },
        (FEAR, ("first.mp4", 10, 19, "joy")),
        ("note",),
    ),
    "boris: in turn, lengths measured": Kind(
        {
            "a.boris": boris(
                [[1.5, "", "joy", ""], [2, "", "joy", ""]], file={"1": ["first.mp4", "film.mp4"]}
            ),
            "first.mp4": short,
        },
        (JOY,),
        ("note",),
    ),
    "boris: in turn, over the seam": Kind(
        {
            "a.boris": boris(
                [[0.5, "", "joy", ""], [1.5, "", "joy", ""]], file={"1": ["first.mp4", "film.mp4"]}
            ),
            "first.mp4": short,
        },
        (),
        ("error: observation o, event 1: 'joy' begins in one video and ends in the next",),
        passed=False,
    ),
    "boris: in turn, lengths not known": Kind(
        {"a.boris": boris(file={"1": ["gone.mp4", "film.mp4"]})},
        (),
        ("how long gone.mp4 lasts is not known",),
        passed=False,
    ),
    "boris: offset": Kind(
        {"a.boris": boris([[t + 100, *rest] for t, *rest in EVENTS], **{"time offset": 100.0})}
    ),
    "boris: second player": Kind(
        {
            "a.boris": boris(
                [[t + 3, *rest] for t, *rest in EVENTS],
                file={"1": ["gone.mp4"], "2": ["film.mp4"]},
                media_info={"offset": {"1": 0, "2": 3.0}},
            )
        }
    ),
    "boris: second player, early format": Kind(
        {
            "a.boris": boris(
                [[t + 3, *rest] for t, *rest in EVENTS],
                file={"1": ["gone.mp4"], "2": ["film.mp4"]},
                **{"time offset second player": 3},
            )
        }
    ),
    "boris: no events": Kind(
        {"a.boris": boris(None)},
        (),
        ("error: observation o: holds no list of events",),
        passed=False,
    ),
    **{
        f"boris: event {event}": Kind(
            {"a.boris": boris([*EVENTS, event])},
            said=("error: observation o, event 5:",),
            passed=False,
        )
        for event in (
            None,
            [],
            [1],
            {},
            "x",
            [None, "", "joy", ""],
            [float("nan"), "", "joy", ""],
            [float("inf"), "", "joy", ""],
            [1.0, "", None, ""],
            [1e300, "", "joy", ""],
            [[1], "", "joy", ""],
        )
    },
    "boris: a number without end": Kind(
        {"a.boris": boris().replace("[0.5,", "[1e99999999,")},
        (FEAR,),
        (
            "error: observation o, event 1: '1e99999999' is no time",
            "error: observation o, event 2: 'joy' starts",
        ),
        passed=False,
    ),
    "boris: an observation that is none": Kind(
        {"a.boris": boris(more={"n": None})},
        said=("error: observation n: is no observation",),
        passed=False,
    ),
    "boris: no media": Kind(
        {"a.boris": boris(file={"1": []})},
        (),
        ("error: observation o: names no video",),
        passed=False,
    ),
    "boris: apexes": Kind({"a.boris": boris([*EVENTS, [0.7, "anna", "apex", "", ""]])}),
    **{
        f"boris: {name}": Kind({"a.boris": content}, (), ("error: : is no",), passed=False)
        for name, content in {
            "empty": "",
            "no JSON": "hello",
            "a list": "[]",
            "null": "null",
            "nothing in it": "{}",
            "observations that are none": '{"observations": 3}',
            "nested": '{"observations": ' + "[" * 90000,
            "digits": '{"observations": ' + "9" * 90000 + "}",
        }.items()
    },
    "boris: Latin-1": Kind(
        {
            "a.boris": boris()
            .replace("anna", "jürgen")
            .encode("latin-1")
            .replace(b"\\u00fc", b"\xfc")
        },
        (),
        ("is not in UTF-8; by its bytes it is Latin-1",),
        passed=False,
    ),
    # BORIS' exports
    "boris export: aggregated": Kind(
        {"e.csv": AGG + "o,,,,anna,joy,0.5,1,film.mp4,\no,,,,anna,fear,1.2,1.5,film.mp4,\n"}
    ),
    "boris export: with an offset": Kind(
        {"e.tsv": (AGG + "o,,100,,anna,joy,100.5,101,film.mp4,\n").replace(",", "\t")}, (JOY,)
    ),
    "boris export: in turn": Kind(
        {
            "e.csv": AGG + "o,player #1:first.mp4;film.mp4,,,anna,joy,1.5,2,film.mp4,\n",
            "first.mp4": short,
        },
        (JOY,),
        ("note",),
    ),
    "boris export: in turn, by the number of the frame": Kind(
        {"e.csv": AGG + "o,player #1:gone.mp4;film.mp4,,20,anna,joy,7.5,8,film.mp4,10\n"}, (JOY,)
    ),
    "boris export: in turn, not known": Kind(
        {
            "e.csv": AGG + "o,player #1:gone.mp4;film.mp4,,NA,anna,joy,7.5,8,film.mp4,NA\n"
            "o,,,,anna,fear,1.2,1.5,film.mp4,\n"
        },
        (FEAR,),
        ("error: row 2, column Media file name: several videos were played",),
        passed=False,
    ),
    "boris export: two observations of one video": Kind(
        {
            "e.csv": "Observation id,Media file name,Subject,Behavior,Behavior type,Time\n"
            "a,film.mp4,anna,joy,START,0.5\na,film.mp4,anna,joy,STOP,1\n"
            "b,film.mp4,anna,fear,START,1.2\nb,film.mp4,anna,fear,STOP,1.5\n"
        }
    ),
    "boris export: pictures": Kind(
        {
            "e.csv": AGG.replace("Source", "Observation type")
            + "o,Pictures,,,anna,joy,0.5,1,film.mp4,\n"
            "o,Media file(s),,,anna,fear,1.2,1.5,film.mp4,\n"
        },
        (FEAR,),
        ("warning: row 2, column Observation type: is pictures, not of a video",),
    ),
    # BIDS
    "bids": Kind(
        {
            "sub-07_task-x_events.tsv": BIDS + "0.5\t0.5\tjoy\n1.2\t0.3\tfear\n",
            "sub-07_task-x_video.mp4": "film.mp4",
        },
        (("sub-07_task-x_video.mp4", *JOY[1:]), ("sub-07_task-x_video.mp4", *FEAR[1:])),
        ("note",),
    ),
    "bids: the film that was shown": Kind(
        {
            "sub-07_task-x_events.tsv": BIDS.replace("\n", "\tstim_file\n")
            + "0.5\t0.5\tjoy\tfilm.mp4\n",
            "sub-07_task-x_video.mp4": "film.mp4",
        },
        (("sub-07_task-x_video.mp4", *JOY[1:]),),
        ("note",),
    ),
    "bids: no value": Kind(
        {"film_events.tsv": BIDS + "n/a\t1\tjoy\n0.5\t0.5\tjoy\n0.7\tn/a\tfear\n"},
        (JOY,),
        (
            "error: row 2, column onset: '' is no time",
            "error: row 4: 'fear' begins at 0.700 s and does not last",
        ),
        passed=False,
    ),
    "bids: no recording": Kind(
        {"sub-08_task-x_events.tsv": "onset\tduration\n0.5\t1\n"},
        (),
        ("a video called sub-08_task-x, which is there 0 times",),
        passed=False,
    ),
    # Tables
    "table": Kind({"m.csv": TABLE + ROWS}),
    "table: semicolons, commas and a byte order mark": Kind(
        {
            "m.csv": (
                "\ufeff"
                + TABLE
                + ROWS.replace("1.2", "1_2").replace("1.5", "1_5").replace("0.5", "0_5")
            )
            .replace(",", ";")
            .replace("_", ",")
            .replace("start,s", "start_s")
            .replace("end,s", "end_s")
        }
    ),
    "table: Excel's Unicode text": Kind(
        {"m.csv": (TABLE + ROWS).replace(",", "\t").encode("utf-16")}
    ),
    "table: UTF-16 without a mark": Kind({"m.csv": (TABLE + ROWS).encode("utf-16-be")}),
    "table: UTF-32": Kind({"m.csv": (TABLE + ROWS).encode("utf-32")}),
    "table: line ends of Windows": Kind({"m.csv": (TABLE + ROWS).replace("\n", "\r\n")}),
    "table: line ends of old Macs": Kind({"m.csv": (TABLE + ROWS).replace("\n", "\r")}),
    "table: empty rows": Kind(
        {"m.csv": "My study\n,,,,\n" + TABLE + "\n,,,,\n" + ROWS + ",,,,\n\n"}
    ),
    "table: GBK": Kind(
        {"m.csv": (TABLE + "film.mp4,高兴,0.5,1,惊讶\n").encode("gbk")},
        (),
        ("is not in UTF-8; by its bytes it is GBK",),
        passed=False,
    ),
    "table: Shift-JIS": Kind(
        {"m.csv": (TABLE + "film.mp4,ひとみ,0.5,1,よろこび\n").encode("shift_jis")},
        (),
        ("by its bytes it is Shift-JIS",),
        passed=False,
    ),
    "table: Latin-1": Kind(
        {"m.csv": (TABLE + WESTERN).encode("latin-1")},
        (),
        ("by its bytes it is Latin-1",),
        passed=False,
    ),
    "table: damaged UTF-16": Kind(
        {"m.csv": codecs.BOM_UTF16_LE + b"a\xdc\x00"},
        (),
        ("is not in UTF-8; by its bytes it is damaged utf-16",),
        passed=False,
    ),
    "table: a picture": Kind(
        {"m.csv": b"\x89PNG\r\n\x1a\n\0" + bytes(range(1, 256)) * 9},
        (),
        ("error: : is no",),
        passed=False,
    ),
    "table: empty": Kind({"m.csv": ""}, (), ("has no columns that are known",), passed=False),
    "table: header alone": Kind({"m.csv": TABLE}, ()),
    "table: commas that shift cells": Kind(
        {"m.csv": TABLE + ROWS + "film.mp4,anna,1,60,1,80,sad\n"},
        said=("error: row 4: has 2 cells more than the header",),
        passed=False,
    ),
    "table: an open quotation mark": Kind(
        {"m.csv": TABLE + 'film.mp4,anna,0,0.2,"sad\n' + ROWS},
        said=("error: row 2: opens a quotation mark",),
        passed=False,
    ),
    "table: a cell of a megabyte": Kind(
        {"m.csv": TABLE + f"film.mp4,anna,0,0.2,{'x' * 10**6}\n" + ROWS},
        said=("error: row 2: cannot be read (field larger",),
        passed=False,
    ),
    "table: a million cells": Kind(
        {"m.csv": TABLE + "," * 10**6 + "\n" + ROWS},
        said=("error: row 2: has 1000001 cells",),
        passed=False,
    ),
    **{
        f"table: time {value[:20]}": Kind(
            {"m.csv": TABLE + ROWS + f"film.mp4,anna,{value},1.9,sad\n"},
            said=("error: row 4, column start_s:",),
            passed=False,
        )
        for value in (
            "",
            "soon",
            "nan",
            "inf",
            "-inf",
            "1e99999999",
            "1e400",
            "9" * 5000,
            "1_0",
            "1/0",
            "0x1",
            "1700000000",
        )
    },
    **{
        f"table: fps {value}": Kind(
            {
                "m.csv": TABLE.replace("\n", ",fps\n")
                + ROWS.replace("\n", ",\n")
                + f"film.mp4,anna,1.6,1.9,sad,{value}\n"
            },
            said=("error: row 4, column fps:",),
            passed=False,
        )
        for value in ("fast", "nan", "inf", "0", "-25", "1e99999999", "1/0", "1e9")
    },
    "table: reversed": Kind(
        {"m.csv": TABLE + ROWS + "film.mp4,anna,1.9,1.6,sad\n"},
        said=("error: row 4: ends at 1.600 s, before",),
        passed=False,
    ),
    "table: before the start": Kind(
        {"m.csv": TABLE + ROWS + "film.mp4,anna,-1,1.6,sad\n"},
        said=("error: row 4: -1.000 s is not in the video",),
        passed=False,
    ),
    "table: as a clock shows it": Kind(
        {
            "m.csv": own_rows(
                "film.mp4,anna,00:00:00.500,0:01,joy", "film.mp4,anna,0:01.2,0:01.5,fear"
            )
        }
    ),
    "table: marked twice alike": Kind(
        {"m.csv": TABLE + ROWS + ROWS}, said=("warning: row 4: begins with 'joy'", "warning: row 5")
    ),
    "table: marked twice": Kind(
        {"m.csv": TABLE + ROWS + "film.mp4,anna,0.5,0.9,sad\n"},
        said=("error: row 4: begins with 'joy'",),
        passed=False,
    ),
    "table: doubtful units": Kind(
        {
            "m.csv": own_rows(
                "film.mp4,anna,0.5,1,joy,12?",
                "film.mp4,anna,1.2,1.5,fear,12X",
                header=TABLE.replace("\n", ",aus\n"),
            )
        },
        said=(
            "warning: row 2: 12? of '12?'",
            "warning: row 3: 12X of '12X' cannot be read. No unit is taken",
        ),
    ),
    "table: of something else": Kind(
        {"m.csv": TABLE + ROWS, "ages.csv": "name,age\nanna,30\n"},
        said=("warning: : has no columns that are known",),
    ),
    "table: a column twice": Kind(
        {
            "m.csv": own_rows(
                "film.mp4,anna,0.5,1,joy,x",
                "film.mp4,anna,1.2,1.5,fear,y",
                header=TABLE.replace("\n", ",emotion\n"),
            )
        }
    ),
    "table: a folder of frames": Kind(
        {
            "m.csv": own_rows("clip,anna,0.05,0.1,joy,100", header=TABLE.replace("\n", ",fps\n")),
            "clip": "frames",
        },
        (("clip", 5, 9, "joy"),),
    ),
    "table: a folder of frames without a rate": Kind(
        {"m.csv": own_rows("clip,anna,0.05,0.1,joy"), "clip": "frames"},
        (),
        ("without a frame rate",),
        passed=False,
    ),
    "table: computed cells": Kind(
        {"m.csv": own_rows("film.mp4,anna,0.5,1,'=joy")}, (("film.mp4", 10, 19, "=joy"),)
    ),
    # Excel
    "excel": Kind(
        {
            "m.xlsx": sheet(
                [
                    TABLE.strip().split(","),
                    ["film.mp4", "anna", 0.5, 1, "joy"],
                    ["film.mp4", "anna", "1,2", 1.5, "fear"],
                ]
            )
        }
    ),
    "excel: the second tab, merged cells": Kind(
        {
            "m.xlsx": sheet(
                [
                    TABLE.strip().split(","),
                    ["film.mp4", "anna", 0.5, 1, "joy"],
                    [None, None, 1.2, 1.5, "fear"],
                ],
                before=[[["Read me"], ["colour", "meaning"]]],
                merge=["A2:A3", "B2:B3"],
            )
        }
    ),
    "excel: a formula without a value": Kind(
        {
            "m.xlsx": sheet(
                [
                    TABLE.strip().split(","),
                    ["film.mp4", "anna", 0.5, "=C2+0.5", "joy"],
                    ["film.mp4", "anna", 1.2, 1.5, "fear"],
                ]
            )
        },
        (FEAR,),
        ("error: row 2, column end_s: holds the formula =C2+0.5 and no value",),
        passed=False,
    ),
    "excel: damaged": Kind(
        {"m.xlsx": b"PK\x03\x04 no"}, (), ("error: : is no readable .xlsx",), passed=False
    ),
    "excel: empty": Kind(
        {"m.xlsx": sheet([])}, (), ("has no columns that are known",), passed=False
    ),
    "excel: open in Excel": Kind({"m.csv": TABLE + ROWS, "~$m.xlsx": b"lock"}),
    "excel: of 1997": Kind(
        {"m.csv": TABLE + ROWS, "m.xls": b"\xd0\xcf\x11\xe0"},
        said=("warning: : is not read. Save it as .xlsx or CSV",),
    ),
    # What lies about
    "a folder called so": Kind({"m.csv": TABLE + ROWS, "x.eaf/y.txt": ""}),
    "a link to nowhere": Kind(
        {"m.csv": TABLE + ROWS, "x.eaf": "->gone"}, said=("error: : is no file",), passed=False
    ),
    "a link that leads back": Kind({"m.csv": TABLE + ROWS, "deep/loop": "->.."}),
    "a folder elsewhere": Kind(
        {
            "../there/a.eaf": eaf(media="clip.mp4"),
            "../there/clip.mp4": "film.mp4",
            "far": "->../there",
        },
        (("far/clip.mp4", *JOY[1:]), ("far/clip.mp4", *FEAR[1:])),
    ),
    "hidden": Kind({"m.csv": TABLE + ROWS, ".x.eaf": "no"}),
    "results of an analysis": Kind({"m.csv": TABLE + ROWS, "out": "results"}),
    "results that somebody corrected": Kind({"out": "corrected"}),
    # Words
    "labels: semicolons": Kind(
        {
            "m.csv": TABLE + ROWS.replace("joy", "Freude"),
            "labels.csv": "\ufefflabel;emotion\r\nFREUDE ;joy\r\nfear;fear\r\n",
        }
    ),
    "labels: another Unicode form": Kind(
        {
            "m.csv": TABLE + ROWS.replace("joy", unicodedata.normalize("NFD", "Überraschung")),
            "labels.csv": "label,emotion\nüberraschung,joy\nfear,fear\n",
        }
    ),
    "labels: two meanings": Kind(
        {"m.csv": TABLE + ROWS, "labels.csv": "label,emotion\njoy,joy\nfear,fear\nJoy,sad\n"},
        said=("error: row 4, column label: 'Joy' has another meaning",),
        passed=False,
    ),
    "labels: a word that is not in it": Kind(
        {"m.csv": TABLE + ROWS, "labels.csv": "label,emotion\njoy,joy\n"},
        (JOY,),
        ("error: row 3: 'fear' is not in labels.csv",),
        passed=False,
    ),
    "labels: damaged": Kind(
        {"m.csv": TABLE + ROWS, "labels.csv": "word\njoy\n"},
        (),
        ("has no column label, emotion",),
        passed=False,
    ),
}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, [BLACK] * 40, 20)
    return path


def build(root: Path, files: dict[str, object], film: Path) -> Path:
    os.link(film, root / "film.mp4")
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        elif content == "film.mp4":
            os.link(film, path)
        elif content == "frames":
            write_frames(path, [BLACK] * 20)
        elif content in ("results", "corrected"):
            with results_folder(path) as work:
                shutil.copy(film, work / "annotated.mp4")
                (work / "film.eaf").write_text(eaf(tier("t", mark("m", "a", "b", "machine"))))
            if content == "corrected":
                (path / "film.eaf").write_text(eaf())
        elif isinstance(content, str) and content.startswith("->"):
            path.symlink_to(content[2:])
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(str(content), "utf-8", newline="")
    return root


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore::ma2mi.formats.findings.LeftOut")
def test_what_is_read_and_what_is_said(name, film, tmp_path):
    kind = KINDS[name]
    (tmp_path / "root").mkdir()
    root = build(tmp_path / "root", kind.files, film)
    before = {path: digest(path) for path in root.rglob("*") if path.is_file()}
    started = time.monotonic()
    found = check_corpus("annotations", root)
    said = [f"{one.severity}: {one.place}: {one.what}. {one.hint}" for one in found.items]
    try:
        marks = {
            (e.recording.name, e.onset, e.offset, e.emotion)
            for e in Annotations(root).expressions()
        }
    except Ma2miError as error:
        assert "\n" not in str(error)
        marks = set()
    assert time.monotonic() - started < LONGEST_S
    assert marks == set(kind.marks), said
    assert found.count("error") == 0 or not found.passed
    if kind.marks:
        assert found.passed == kind.passed, said
        assert found.clips == len(kind.marks)
    else:
        assert (found.count("error") == 0) == kind.passed, said
    for line in kind.said:
        assert any(line in one for one in said), (line, said)
    if not kind.said:
        assert [one for one in said if not one.startswith("note")] == []
    assert all("\n" not in one for one in said)
    assert before == {path: digest(path) for path in root.rglob("*") if path.is_file()}


def test_the_zoo_is_large_enough():
    assert len(KINDS) >= 40


def test_a_name_that_is_no_unicode_is_said_and_the_rest_read(film, tmp_path, ma2mi):
    (tmp_path / "root").mkdir()
    root = build(tmp_path / "root", {"m.csv": TABLE + ROWS}, film)
    odd = root / os.fsdecode(b"a\xff.eaf")
    try:
        odd.write_text("no")
        shutil.copy(film, root / os.fsdecode(b"b\xff.mp4"))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    code, said, err = ma2mi("data", "check", "annotations", "--root", root)
    assert (code, err) == (3, "")
    assert re.search(r"a\\(udc|x)ff\.eaf: is no XML", said)
    assert "incomplete: 2 clips of 1 subjects" in said
    for out in ("o.csv", "o.parquet"):
        if out.endswith("parquet"):
            pytest.importorskip("pyarrow")
        code, said, err = ma2mi(
            "data", "convert", "annotations", "--root", root, "--out", root / out
        )
        assert (code, err) == (3, "")
        with pytest.warns(LeftOut, match=r"b.udcff\.mp4 does not exist"):
            assert len(open_corpus("manifest", root / out).expressions()) == 2
        (root / out).unlink()


def test_the_command_line_says_what_is_left_out(film, tmp_path, ma2mi):
    (tmp_path / "root").mkdir()
    root = build(tmp_path / "root", {"a.boris": boris(EVENTS[:3])}, film)
    code, said, err = ma2mi("data", "convert", "annotations", "--root", root, "--out", "m.csv")
    assert (code, err) == (3, "")
    assert said.splitlines()[0] == "1 rows in m.csv"
    assert "'fear' starts and never stops. Fix unpaired events" in said
    assert (tmp_path / "m.csv").read_text().splitlines()[1].endswith(",anna,10,,19,joy,,,micro")
    (tmp_path / "m.csv").write_text("mine\n")
    code, _, err = ma2mi("data", "convert", "annotations", "--root", root, "--out", "m.csv")
    assert code == 2
    assert "m.csv: is there already, and differs" in err
    assert (tmp_path / "m.csv").read_text() == "mine\n"


def test_results_of_an_analysis_know_what_was_changed(film, tmp_path):
    root = build(tmp_path, {"out": "results"}, film)
    assert (root / "out" / WRITTEN).is_file()
    with pytest.raises(Ma2miError, match="holds no file of annotations"):
        Annotations(root)
    (root / "out" / "mine.eaf").write_text(eaf())
    assert [e.emotion for e in Annotations(root).expressions()] == ["joy", "fear"]


def test_a_corrected_file_finds_its_video_by_the_way_to_it(film, tmp_path):
    root = build(tmp_path, {"videos/clip.mp4": "film.mp4", "out": "results"}, film)
    (root / "out" / "film.eaf").write_text(eaf(media="x", head=DESCRIBED.replace("film", "gone")))
    for way in ("../videos/clip.mp4", "../videos/cl%69p.mp4", f"file://{root}/videos/clip.mp4"):
        (root / "out" / "film.eaf").write_text(
            eaf(head=f'<MEDIA_DESCRIPTOR MEDIA_URL="{way}" MIME_TYPE="video/mp4"/>')
        )
        marks = Annotations(root / "out" / "film.eaf").expressions()
        assert [e.emotion for e in marks] == ["joy", "fear"]
        assert {e.recording.path for e in marks} == {root / "videos" / "clip.mp4"}


# -- the files of the cases ----------------------------------------------------------------------

CASES = Path(__file__).parents[2] / "shared" / "cases" / "annotations"
A, B = "a.mp4", "b.mp4"
EXPECTED = {
    "picture_late": ([("talk.mp4", 10, 19, "happiness")], True, ""),
    "elan_unaligned": (
        [
            ("talk one.mp4", 10, 14, "rise"),
            ("talk one.mp4", 15, 19, "fall"),
            ("talk one.mp4", 30, 39, "高兴"),
        ],
        True,
        "1 unaligned times",
    ),
    "boris_unpaired": (
        [(A, 10, 19, "happiness"), (B, 25, 34, "surprise")],
        False,
        "'surprise' starts and never stops",
    ),
    "boris_live": ([(A, 25, 34, "surprise")], True, "observation live: is live"),
    "boris_sequence": ([(A, 10, 19, "happiness"), (B, 25, 34, "surprise")], True, ""),
    "boris_sequence_agg": ([(A, 10, 19, "happiness"), (B, 25, 34, "surprise")], True, ""),
    "bids_stim_file": (
        [
            ("sub-01/beh/sub-01_task-film_video.mp4", first, first + 9, word)
            for first, word in ((10, "happiness"), (40, "surprise"))
        ],
        True,
        "",
    ),
    "excel_semicolon": ([(A, 10, 19, "happiness"), (A, 30, 39, "surprise")], True, ""),
    "excel_gbk": ([], False, "by its bytes it is GBK"),
    "au_doubts": (
        [(A, round(12.5 * n - 0.1), round(12.5 * n - 0.1) + 7, f"e{n}") for n in range(17)],
        True,
        "12X of '12X' cannot be read",
    ),
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.filterwarnings("ignore::ma2mi.formats.findings.LeftOut")
def test_cases(name):
    marks, passed, said = EXPECTED[name]
    found = check_corpus("annotations", CASES / name)
    assert found.passed == passed
    assert any(said in str(one) for one in found.items) or not said
    read = [
        (e.recording.name, e.onset, e.offset, e.emotion)
        for e in Annotations(CASES / name).expressions()
    ]
    assert read == marks
    if name == "excel_semicolon":
        first = Annotations(CASES / name).expressions()[0]
        assert (first.apex, first.action_units) == (15, ("6", "12"))


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("write", [write_elan, write_boris])
def test_exports_of_a_late_picture_come_back_to_the_same_frames(write, tmp_path):
    source = CASES / "picture_late" / "talk.mp4"
    times = frame_times(source)
    seen = [float(time_s - times[0]) for time_s in times]
    analysis = Analysis(
        name="talk",
        source=str(source),
        version="",
        width=64,
        height=64,
        fps=25.0,
        frames=75,
        start_s=float(times[0]),
        duration_s=3.0,
        level="green",
        reasons=(),
        faces=(FaceFacts(0, 75, 0, seen[-1], 80, "green"),),
        events=(
            DetectedEvent(
                "micro",
                10,
                14,
                19,
                face=0,
                event_id=1,
                onset_s=seen[10],
                apex_s=seen[14],
                offset_s=seen[19],
                score=0.9,
                floor_multiple=5.0,
            ),
        ),
        **player_clock(source, None, times[0]),
    )
    assert analysis.picture_s == 0.8
    (file,) = write(analysis, tmp_path)
    spans = {(e.onset, e.offset) for e in Annotations(file).expressions()}
    assert (10, 19) in spans


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", ["bad_h264.mp4", "bad_hevc.mp4", "bad_mpeg4.avi", "bframes.avi"])
@pytest.mark.filterwarnings("ignore::ma2mi.video.VideoNote")
def test_frames_are_counted_as_they_decode(name, tmp_path):
    shutil.copy(CASES.parent / "video" / name, tmp_path)
    (tmp_path / "m.csv").write_text(own_rows(f"{name},anna,2,2.4,joy"))
    (one,) = Annotations(tmp_path).expressions()
    frames = list(read_frames(tmp_path / name))
    assert frames[one.onset].time_s - frames[0].time_s == 2
    assert frames[one.offset].time_s - frames[0].time_s == Fraction(59, 25)


def test_left_out_is_said_once(film, tmp_path):
    root = build(tmp_path, {"a.boris": boris(EVENTS[:3])}, film)
    with pytest.warns(LeftOut, match="1 files or annotations are left out") as caught:
        Annotations(root).expressions()
    assert len(caught) == 1
