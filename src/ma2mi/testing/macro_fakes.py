"""The fakes of the corpora of large expressions, one declaration each."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ma2mi.datasets.base import corpus_class
from ma2mi.testing.base import FAKES, layout_names
from ma2mi.testing.macro import FRAME_FAULTS, FRAMES, MacroClip, MacroFake
from ma2mi.testing.sheets import Table, write_table

_NTSC = Fraction(30000, 1001)
_LIGHTS = tuple(
    f"{camera}/{light}" for camera in ("VL", "NI") for light in ("Strong", "Weak", "Dark")
)


def _ckplus(clip: MacroClip, layout: str) -> str:
    sequence = f"S{clip.subject:03d}/{clip.number:03d}"
    return f"cohn-kanade-images/{sequence}/{sequence.replace('/', '_')}_{{index:08d}}.png"


def _ckplus_labels(out: Path, clips: Sequence[MacroClip]) -> None:
    for clip in clips:
        for folder, text in (
            ("Emotion", f"   {float(clip.code):.7e}\n"),
            ("FACS", "   4.0000000e+00   0.0000000e+00\n   1.2000000e+01   3.0000000e+00\n"),
        ):
            sequence = f"S{clip.subject:03d}/{clip.number:03d}"
            name = f"{sequence.replace('/', '_')}_{FRAMES - 1:08d}_{folder.lower()}.txt"
            _write(out / folder / sequence / name, text)


def _oulu_casia(clip: MacroClip, layout: str) -> str:
    light = _LIGHTS[clip.take % len(_LIGHTS)]
    return f"OriginalImg/{light}/P{clip.subject:03d}/{clip.code}/{{index:03d}}.jpeg"


def _mmi(clip: MacroClip, layout: str) -> str:
    return f"Sessions/{clip.number}/S{clip.subject:03d}-{clip.number:03d}.avi"


def _mmi_labels(out: Path, clips: Sequence[MacroClip]) -> None:
    for clip in clips:
        video = out / _mmi(clip, "")
        _write(
            video.with_suffix(".xml"),
            f'<Metatags><Metatag Name="Emotion" Value="{clip.code}"/></Metatags>\n',
        )
        _write(
            video.with_name(f"{video.stem}-oao_aucs.xml"),
            '<ActionUnits><ActionUnit Number="12"/><ActionUnit Number="25"/></ActionUnits>\n',
        )


def _mug(clip: MacroClip, layout: str) -> str:
    subject = f"{clip.subject:03d}"
    if clip.subject == 2:
        subject += f"/{subject}"  # as in some copies
    return f"subjects3/{subject}/{clip.code}/take000/img_{{index:04d}}.jpg"


def _dfew(clip: MacroClip, layout: str) -> str:
    if layout == "video":
        return f"Clip/original/{clip.number}.mp4"
    return f"Clip/jpg_256/{clip.number:05d}/{{index:05d}}.jpg"


def _dfew_labels(out: Path, clips: Sequence[MacroClip]) -> None:
    for part, some in (("train", clips[::2]), ("test", clips[1::2])):
        table: Table = [["video_name", "label"]]
        table += [[f"{clip.number:05d}", clip.code] for clip in some]
        write_table(out / f"EmoLabel_DataSplit/{part}(single-labeled)/set_1.csv", table)


def _ferv39k(clip: MacroClip, layout: str) -> str:
    return f"2_ClipsforFaceCrop/Action/{clip.code}/{clip.number:04d}/{{index}}.jpg"


def _crema_d(clip: MacroClip, layout: str) -> str:
    # Enough sentences for a full-sized fake, where the real ones are twelve.
    sentence = "".join(chr(ord("A") + clip.take // n % 26) for n in (676, 26, 1))
    return f"VideoFlash/{1000 + clip.subject}_{sentence}_{clip.code}_XX.flv"


def _ravdess(clip: MacroClip, layout: str) -> str:
    take, actor = clip.take, f"{clip.subject:02d}"
    name = f"01-01-0{clip.code}-01-{take // 9 + 1:02d}-{take % 9 + 1:02d}-{actor}"
    return f"Actor_{actor}/{name}.mp4"


def _mead(clip: MacroClip, layout: str) -> str:
    subject = f"{'MW'[clip.subject % 2]}{clip.subject:03d}"
    return f"{subject}/video/front/{clip.code}/level_1/{clip.take + 1:03d}.mp4"


def _afew(clip: MacroClip, layout: str) -> str:
    part = "Val_AFEW" if clip.number % 3 == 0 else "Train_AFEW"
    return f"{part}/{clip.code}/{clip.number:09d}.avi"


def _voxceleb2(clip: MacroClip, layout: str) -> str:
    return f"dev/mp4/id{clip.subject:05d}/fake_{clip.number:06d}/00001.mp4"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="\n")


_WORDS = ("Angry", "Happy", "Surprise")

for _fake in (
    MacroFake("ckplus", ("1", "5", "7"), _ckplus, _ckplus_labels, faults=FRAME_FAULTS),
    MacroFake(
        "oulu-casia",
        ("Anger", "Happiness", "Surprise"),
        _oulu_casia,
        spell=str.capitalize,
        faults=FRAME_FAULTS,
    ),
    MacroFake("mmi", ("1", "4", "6"), _mmi, _mmi_labels),
    MacroFake("mug", ("anger", "happiness", "surprise"), _mug, faults=FRAME_FAULTS),
    MacroFake(
        "dfew",
        ("4", "1", "5"),
        _dfew,
        _dfew_labels,
        faults=FRAME_FAULTS,
        layouts=layout_names(corpus_class("dfew").about.layouts),
    ),
    MacroFake("ferv39k", _WORDS, _ferv39k, faults=FRAME_FAULTS),
    MacroFake("crema-d", ("ANG", "HAP"), _crema_d, rate=_NTSC),
    MacroFake("ravdess", ("5", "3", "8"), _ravdess, rate=_NTSC),
    MacroFake("mead", ("angry", "happy", "surprised"), _mead, rate=Fraction(30)),
    MacroFake("afew", _WORDS, _afew, spell=str.capitalize),
    MacroFake("voxceleb2", ("",), _voxceleb2),
):
    FAKES[_fake.name] = _fake
