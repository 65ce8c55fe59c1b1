"""Corpora of large expressions: film for pre-training, the people known where the layout tells."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePath
from typing import ClassVar, NamedTuple
from xml.etree import ElementTree

from ma2mi.datasets.base import Corpus, DataSheet, Layout, register
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.files import natural
from ma2mi.formats.cells import parse_number, read_bytes, read_text, shorten
from ma2mi.formats.findings import Finding, LeftOut
from ma2mi.formats.sheets import Columns, read_sheet
from ma2mi.records import Expression, Recording
from ma2mi.video.folders import index_frames
from ma2mi.video.times import packet_count


class Label(NamedTuple):
    """What is known of a clip: the corpus' word, "" if nobody gave one, and FACS units."""

    emotion: str = ""
    action_units: tuple[str, ...] = ()


class MacroCorpus(Corpus):
    """Clips whose paths tell who is seen, and mostly what. A subclass is little but a table.

    A clip with a word becomes one expression that fills it. Where no path tells the person, each
    clip counts as a person of its own; then nobody can promise that no one is seen twice.

    Attributes:
        path: regular expression, looked for at the end of a clip's path. Groups: ``subject``
            (the person), ``emotion`` (a code), ``clip`` (the recording's name; all that matched,
            without the suffix, if there is no such group). Of clips of one name the first counts.
        words: code to the corpus' word; a code that is not listed is its own word.
        fps: frames per second of folders of frames; None for video files, which have times.
        peaks_last: every clip ends at the peak of its expression.

    Raises:
        CorpusError: the folder is missing, or holds none of the layouts.
    """

    path: ClassVar[str]
    words: ClassVar[Mapping[str, str]] = {}
    fps: ClassVar[Fraction | None] = None
    peaks_last: ClassVar[bool] = False

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._clips: dict[Recording, re.Match[str]] = {}
        seen: dict[str, Path] = {}
        misnamed: list[tuple[Path, str]] = []
        twins: list[tuple[Path, str]] = []
        for path in self._paths():
            match = re.search(rf"(?:^|/){self.path}$", path.as_posix())
            if match is None:
                misnamed.append((path, "is not named as the others and left out"))
                continue
            told = match.groupdict()
            whole = PurePath(match[0].removeprefix("/")).with_suffix("").as_posix()
            name = told.get("clip") or whole
            if name in seen:
                twins.append((path, f"shows what {seen[name]} shows, and is left out"))
                continue
            seen[name] = path
            who = told.get("subject") or name
            self._clips[Recording(path, who, name, self.name, self.fps)] = match
        self._findings: list[Finding] = []
        if misnamed:
            path, what = misnamed[0][0], _and_others(misnamed)
            self._findings.append(Finding("warning", str(path), "", what, self._example))
        if twins:
            path, what = twins[0][0], _and_others(twins)
            self._findings.append(Finding("note", str(path), "", what, "Nothing to do"))

    def _paths(self) -> list[Path]:
        for layout in self.about.layouts:
            for pattern in layout.folders:
                right = Path.is_file if PurePath(pattern).suffix else Path.is_dir
                found = [p for p in self.root.glob(pattern) if p.name[0] != "." and right(p)]
                if found:
                    return sorted(found, key=lambda path: natural(path.as_posix()))
        raise CorpusError("holds no clips", where=self.root, cure=self._example)

    @property
    def _example(self) -> str:
        known = " or ".join(layout.example for layout in self.about.layouts)
        return f"They are looked for as {known}"

    def label(self, recording: Recording, match: re.Match[str]) -> Label:
        """What is known of a clip; corpora that tell it elsewhere than in the path replace this.

        Raises:
            CorpusError: what tells it cannot be read.
        """
        code = match.groupdict().get("emotion", "")
        return Label(self.words.get(code, code))

    def recordings(self) -> list[Recording]:
        return list(self._clips)

    def expressions(self) -> list[Expression]:
        """One for each clip with a word, from its first frame to its last."""
        expressions, lost = self._reading
        if lost:
            warnings.warn(
                f"{self.name}: left out {len(lost)} clips; the first is {lost[0]}. "
                "`ma2mi data check` lists them all",
                LeftOut,
                stacklevel=2,
            )
        return list(expressions)

    def findings(self) -> list[Finding]:
        lost = self._reading[1]  # reading may add to the others
        return [*self._findings, *lost]

    @cached_property
    def _reading(self) -> tuple[tuple[Expression, ...], tuple[Finding, ...]]:
        found, lost = [], []
        for recording, match in self._clips.items():
            try:
                label = self.label(recording, match)
                if not label.emotion:
                    continue
                last = _frame_count(recording.path) - 1
            except Ma2miError as error:
                lost.append(Finding.of(error))
                continue
            apex = last if self.peaks_last else None
            found.append(
                Expression("macro", 0, apex, last, recording=recording, **label._asdict())
            )
        return tuple(found), tuple(lost)


def _and_others(some: list[tuple[Path, str]]) -> str:
    """What is said of the first, and of how many it is true."""
    return some[0][1] + (f"; so are {len(some)} in all" if len(some) > 1 else "")


def _frame_count(path: Path) -> int:
    return len(index_frames(path).files) if path.is_dir() else packet_count(path)


def _numbered(words: str) -> dict[str, str]:
    """Words by their place, from "1"."""
    return {str(number): word for number, word in enumerate(words.split(), 1)}


def _float_lines(file: Path) -> Iterator[list[float]]:
    """The numbers of each line that is not blank."""
    for number, line in enumerate(read_text(file).splitlines(), 1):
        try:
            numbers = [float(parse_number(word)) for word in line.split()]
        except ValueError as error:
            raise CorpusError(
                f"{shorten(line.strip())!r} is no number",
                where=f"{file}, row {number}",
                cure="Copy the file again",
            ) from error
        if numbers:
            yield numbers


def _xml(file: Path, tag: str) -> list[ElementTree.Element]:
    """Every element called ``tag``; none if there is no file."""
    if not file.is_file():
        return []
    try:
        return list(ElementTree.fromstring(read_bytes(file)).iter(tag))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise CorpusError(f"is no XML ({error})", where=file, cure="Copy it again") from error


_RESEARCH = "research only, no redistribution"
_NOBODY = "Whom a clip shows is not told: each counts as a person of its own."


@register("ckplus")
class CkPlus(MacroCorpus):
    """Words: ``Emotion/S005/001/*_emotion.txt``, a float; units: ``FACS/S005/001/*_facs.txt``."""

    about = DataSheet(
        title="CK+ (extended Cohn-Kanade)",
        what="Posed expressions from neutral to their peak: 593 sequences of 123 people, 327 of "
        "them, of 118 people, with an emotion.",
        apply="Signed agreement: http://www.jeffcohn.net/Resources/",
        licence=_RESEARCH,
        citation='Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews, "The Extended Cohn-Kanade '
        'Dataset (CK+)", CVPR Workshops 2010',
        fps="30",
        clips=327,
        subjects=118,
        emotions={
            "anger": 45,
            "contempt": 18,
            "disgust": 59,
            "fear": 25,
            "happy": 69,
            "sadness": 28,
            "surprise": 83,
        },
        layouts=(
            Layout(
                "frames",
                "cohn-kanade-images/S005/001/S005_001_00000011.png",
                ("cohn-kanade-images/S*/*", "*/cohn-kanade-images/S*/*", "S*/*"),
                r"S\d+_\d+_\d+\.png",
            ),
        ),
    )
    path = r"(?P<subject>S\d+)/\d+"
    words = _numbered("anger contempt disgust fear happy sadness surprise")
    fps = Fraction(30)
    peaks_last = True

    def label(self, recording: Recording, match: re.Match[str]) -> Label:
        base, clip = recording.path.parents[2], "/".join(recording.path.parts[-2:])
        files = [*base.glob(f"Emotion*/{clip}/*.txt"), *base.glob(f"Emotion*/Emotion/{clip}/*.txt")]
        codes = [code for file in files for code, *_ in _float_lines(file)]
        if not codes or codes[0] == 0:
            return Label()
        code = f"{codes[0]:.0f}"
        if code not in self.words:
            raise CorpusError(f"{code} is no emotion", where=files[0], cure="They are 0 to 7")
        units = (u for file in base.glob(f"FACS*/{clip}/*.txt") for u, *_ in _float_lines(file))
        return Label(self.words[code], tuple(f"{unit:.0f}" for unit in units))


@register("oulu-casia")
class OuluCasia(MacroCorpus):
    """Each expression was filmed by two cameras in three lights; all six are recordings."""

    about = DataSheet(
        title="Oulu-CASIA NIR&VIS",
        what="Posed expressions from neutral to their peak, by visible and near-infrared light.",
        apply="Signed agreement with the University of Oulu (CMVS)",
        licence=_RESEARCH,
        citation='Zhao, Huang, Taini, Li, Pietikäinen, "Facial expression recognition from '
        'near-infrared videos", Image and Vision Computing 29(9), 2011',
        fps="25",
        clips=2880,
        subjects=80,
        emotions=dict.fromkeys(
            ("anger", "disgust", "fear", "happiness", "sadness", "surprise"), 480
        ),
        layouts=(
            Layout(
                "frames",
                "OriginalImg/VL/Strong/P001/Anger/000.jpeg",
                tuple(
                    f"{above}/*/*/P*/*"
                    for above in ("OriginalImg", "B_OriginalImg", "*/OriginalImg")
                ),
            ),
        ),
    )
    path = r"(?:VL|NI)/(?:Strong|Weak|Dark)/(?P<subject>P\d+)/(?P<emotion>[A-Z][a-z]+)"
    fps = Fraction(25)
    peaks_last = True


@register("mmi")
class Mmi(MacroCorpus):
    """Words: ``<clip>.xml``, Metatag "Emotion"; units: ``<clip>-oao_aucs.xml``.

    Some videos show a face from the front and, in a mirror, from the side: ``session.xml``, view 2.
    """

    about = DataSheet(
        title="MMI Facial Expression Database",
        what="Posed expressions and single action units, from neutral over the peak to neutral.",
        apply="Signed agreement: https://mmifacedb.eu",
        licence=_RESEARCH,
        citation='Pantic, Valstar, Rademaker, Maat, "Web-based Database for Facial Expression '
        'Analysis", ICME 2005',
        fps="24, 25",
        layouts=(
            Layout("video", "Sessions/1/S001-001.avi", ("Sessions/*/*.avi", "*/Sessions/*/*.avi")),
        ),
    )
    path = r"(?P<subject>S\d+)-\d+\.avi"
    words = _numbered("anger disgust fear happiness sadness surprise")

    def label(self, recording: Recording, match: re.Match[str]) -> Label:
        about = recording.path.with_suffix(".xml")
        codes = [
            tag.get("Value", "") for tag in _xml(about, "Metatag") if tag.get("Name") == "Emotion"
        ]
        units = _xml(about.with_name(f"{about.stem}-oao_aucs.xml"), "ActionUnit")
        # Other numbers are no emotions: scream, bored, sleepy ...
        return Label(
            self.words.get(codes[0], "") if codes else "",
            tuple(unit.get("Number", "") for unit in units),
        )


@register("mug")
class Mug(MacroCorpus):
    """Several takes of each expression; some copies repeat the person's folder: ``001/001``."""

    about = DataSheet(
        title="MUG Facial Expression Database",
        what="Posed expressions from neutral over the peak to neutral; the part of those people "
        "who agreed to its publication.",
        apply="Signed agreement: https://mug.ee.auth.gr/fed/",
        licence=_RESEARCH,
        citation='Aifanti, Papachristou, Delopoulos, "The MUG facial expression database", '
        "WIAMIS 2010",
        fps="19",
        layouts=(
            Layout(
                "frames",
                "subjects3/001/anger/take000/img_0000.jpg",
                ("subject*/**/take*", "*/subject*/**/take*", "[0-9]*/**/take*"),
            ),
        ),
    )
    path = r"(?P<subject>\d{3})/(?P<emotion>[a-z]+)/take\d+"
    fps = Fraction(19)


@register("dfew")
class Dfew(MacroCorpus):
    """Words: ``EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv``, if they are there."""

    about = DataSheet(
        title="DFEW",
        what=f"Faces cut from films: 16,372 clips, most with one label. {_NOBODY}",
        apply="Signed agreement: https://dfew-dataset.github.io/",
        licence=_RESEARCH,
        citation='Jiang, Zong, Zheng, Tang, Xia, Lu, Liu, "DFEW", ACM Multimedia 2020',
        fps="25 (taken for the folders of frames; nobody states it)",
        layouts=(
            Layout(
                "frames", "Clip/jpg_256/00001/00001.jpg", ("Clip/jpg_256/*", "*/Clip/jpg_256/*")
            ),
            Layout("video", "Clip/original/1.mp4", ("Clip/original/*.mp4",)),
        ),
    )
    path = r"(?P<clip>\d+)(?:\.mp4)?"
    words = _numbered("happy sad neutral angry surprise disgust fear")
    fps = Fraction(25)
    columns: ClassVar[Columns] = {"clip": ("video_name",), "label": ("label",)}

    def label(self, recording: Recording, match: re.Match[str]) -> Label:
        return Label(self._labels.get(int(match["clip"]), ""))

    @cached_property
    def _labels(self) -> dict[int, str]:
        # Each of the five splits names every clip once, in train or in test.
        lists = "EmoLabel_DataSplit/*(single-labeled)/*set_1.csv"
        files = sorted([*self.root.glob(lists), *self.root.glob(f"*/{lists}")])
        if not files:
            self._findings.append(
                Finding(
                    "warning",
                    str(self.root),
                    "",
                    f"holds no {lists}",
                    "Its clips have no words, which pre-training does not need",
                )
            )
        labels = {}
        for row in (row for file in files for row in read_sheet(file, self.columns).rows):
            if row.text("label") not in self.words:
                raise row.error("label", f"{row.text('label')!r} is no emotion", "They are 1 to 7")
            labels[row.whole("clip")] = self.words[row.text("label")]
        return labels


@register("ferv39k")
class Ferv39k(MacroCorpus):
    """The folders tell scene and word; the splits of ``4_setups`` are not needed."""

    about = DataSheet(
        title="FERV39k",
        what=f"Faces cut from films and broadcasts of 22 kinds of scenes. {_NOBODY}",
        apply="Signed agreement: https://wangyanckxx.github.io/Proj_CVPR2022_FERV39k.html",
        licence=_RESEARCH,
        citation='Wang, Sun, Huang, Liu, Gao, Zhang, Ge, Zhang, "FERV39k", CVPR 2022',
        fps="25 (taken; nobody states it)",
        clips=38935,
        layouts=(
            Layout(
                "frames",
                "2_ClipsforFaceCrop/Action/Happy/0001/1.jpg",
                ("2_ClipsforFaceCrop/*/*/*", "*/2_ClipsforFaceCrop/*/*/*"),
            ),
        ),
    )
    path = r"\w+/(?P<emotion>Angry|Disgust|Fear|Happy|Neutral|Sad|Surprise)/\d+"
    fps = Fraction(25)


@register("crema-d")
class CremaD(MacroCorpus):
    """Names tell actor, sentence, word and strength: ``1001_DFA_ANG_XX.flv``."""

    about = DataSheet(
        title="CREMA-D",
        what="Actors say twelve sentences in six emotions.",
        apply="Open: https://github.com/CheyneyComputerScience/CREMA-D",
        licence="Open Database Licence (ODbL) 1.0",
        citation='Cao, Cooper, Keutmann, Gur, Nenkova, Verma, "CREMA-D", IEEE Trans. Affective '
        "Computing 5(4), 2014",
        fps="29.97",
        clips=7442,
        subjects=91,
        emotions={
            "anger": 1271,
            "disgust": 1271,
            "fear": 1271,
            "happy": 1271,
            "neutral": 1087,
            "sad": 1271,
        },
        layouts=(Layout("video", "VideoFlash/1001_DFA_ANG_XX.flv", ("VideoFlash/*.flv", "*.flv")),),
        gated=False,
    )
    path = r"(?P<subject>\d{4})_[A-Z]{3}_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{1,2}\.flv"
    words: ClassVar[Mapping[str, str]] = {
        "ANG": "anger",
        "DIS": "disgust",
        "FEA": "fear",
        "HAP": "happy",
        "NEU": "neutral",
        "SAD": "sad",
    }


@register("ravdess")
class Ravdess(MacroCorpus):
    """Names are seven numbers: modality, voice, word, strength, sentence, repetition, actor.

    Modality 01 and 02 show the same film with and without sound, so that one of them is taken.
    """

    about = DataSheet(
        title="RAVDESS",
        what="Actors speak and sing two sentences in eight emotions.",
        apply="Open: https://zenodo.org/record/1188976",
        licence="CC BY-NC-SA 4.0",
        citation='Livingstone, Russo, "The Ryerson Audio-Visual Database of Emotional Speech and '
        'Song (RAVDESS)", PLoS ONE 13(5), 2018',
        fps="29.97",
        clips=2452,
        subjects=24,
        emotions={
            "neutral": 188,
            "calm": 376,
            "happy": 376,
            "sad": 376,
            "angry": 376,
            "fearful": 376,
            "disgust": 192,
            "surprised": 192,
        },
        layouts=(
            Layout(
                "video",
                "Actor_12/01-01-06-01-02-01-12.mp4",
                ("Actor_*/*.mp4", "*/Actor_*/*.mp4"),
            ),
        ),
        gated=False,
    )
    path = r"0[12]-(?P<clip>0[12]-0(?P<emotion>[1-8])-\d\d-\d\d-\d\d-(?P<subject>\d\d))\.mp4"
    words = _numbered("neutral calm happy sad angry fearful disgust surprised")


@register("mead")
class Mead(MacroCorpus):
    """Each sentence was filmed from seven sides at once; all are recordings of the same person."""

    about = DataSheet(
        title="MEAD",
        what="Actors talk in eight emotions of three strengths.",
        apply="Form: https://wywu.github.io/projects/MEAD/MEAD.html",
        licence="research only",
        citation='Wang, Wu, Song, Yang, Wu, Qian, He, Qiao, Loy, "MEAD", ECCV 2020',
        fps="30",
        subjects=60,
        layouts=(
            Layout(
                "video",
                "M003/video/front/happy/level_1/001.mp4",
                ("[MW]*/video/*/*/level_*/*.mp4", "*/[MW]*/video/*/*/level_*/*.mp4"),
            ),
        ),
    )
    path = r"(?P<subject>[MW]\d{3})/video/\w+/(?P<emotion>[a-z]+)/level_\d/\d+\.mp4"


@register("afew")
class Afew(MacroCorpus):
    """The folders tell the word. The test part has no words and is not read."""

    about = DataSheet(
        title="AFEW (EmotiW)",
        what=f"Scenes from films, with whole people and what is around them. {_NOBODY}",
        apply="Signed agreement: https://sites.google.com/view/emotiw2020",
        licence=_RESEARCH,
        citation='Dhall, Goecke, Lucey, Gedeon, "Collecting Large, Richly Annotated '
        'Facial-Expression Databases from Movies", IEEE MultiMedia 19(3), 2012',
        fps="25 and others",
        clips=1156,
        emotions={
            "angry": 197,
            "disgust": 114,
            "fear": 127,
            "happy": 213,
            "neutral": 207,
            "sad": 178,
            "surprise": 120,
        },
        layouts=(
            Layout("video", "Train_AFEW/Angry/000046280.avi", ("*/[A-Z]*/*.avi", "[A-Z]*/*.avi")),
        ),
    )
    path = r"(?P<emotion>Angry|Disgust|Fear|Happy|Neutral|Sad|Surprise)/\d+\.avi"


@register("voxceleb2")
class VoxCeleb2(MacroCorpus):
    """Nobody named emotions; the people are known."""

    about = DataSheet(
        title="VoxCeleb2",
        what="People who talk in interviews: 1,128,246 clips of 6,112 people.",
        apply="Form: https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html",
        licence="CC BY 4.0 for the lists; the films belong to their makers",
        citation='Chung, Nagrani, Zisserman, "VoxCeleb2", Interspeech 2018',
        fps="25",
        layouts=(
            Layout(
                "video",
                "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4",
                ("*/mp4/id*/*/*.mp4", "mp4/id*/*/*.mp4", "id*/*/*.mp4"),
            ),
        ),
    )
    path = r"(?P<subject>id\d{5})/[\w-]{11}/\d+\.mp4"
