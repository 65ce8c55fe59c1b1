"""Corpora of posed expressions, filmed in a laboratory: CK+, Oulu-CASIA, MMI, MUG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.macro import RESEARCH, Label, MacroCorpus, declare, numbered
from ma2mi.errors import CorpusError
from ma2mi.formats.cells import parse_number, read_bytes, read_text, shorten
from ma2mi.records import Recording


def _float_lines(file: Path) -> Iterator[list[float]]:
    """The numbers of each line that is not blank."""
    for number, line in enumerate(read_text(file).splitlines(), 1):
        try:
            numbers = [float(parse_number(word)) for word in line.split()]
        except ValueError as error:
            raise CorpusError(
                f"{shorten(line.strip())!r} is no number",
                where=f"{file}, row {number}",
                hint="Copy the file again",
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
        raise CorpusError(f"is no XML ({error})", where=file, hint="Copy it again") from error


@register("ckplus")
class CkPlus(MacroCorpus):
    """Words: ``Emotion/S005/001/*_emotion.txt``, a float; units: ``FACS/S005/001/*_facs.txt``."""

    about = DataSheet(
        title="CK+ (extended Cohn-Kanade)",
        what="Posed expressions from neutral to their peak: 593 sequences of 123 people, 327 of "
        "them, of 118 people, with an emotion.",
        apply="Signed agreement: http://www.jeffcohn.net/Resources/",
        licence=RESEARCH,
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
    words = numbered("anger contempt disgust fear happy sadness surprise")
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
            raise CorpusError(f"{code} is no emotion", where=files[0], hint="They are 0 to 7")
        units = (u for file in base.glob(f"FACS*/{clip}/*.txt") for u, *_ in _float_lines(file))
        return Label(self.words[code], tuple(f"{unit:.0f}" for unit in units))


# Each expression was filmed by two cameras in three lights; all six are recordings.
declare(
    "oulu-casia",
    DataSheet(
        title="Oulu-CASIA NIR&VIS",
        what="Posed expressions from neutral to their peak, by visible and near-infrared light.",
        apply="Signed agreement with the University of Oulu (CMVS)",
        licence=RESEARCH,
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
    ),
    path=r"(?:VL|NI)/(?:Strong|Weak|Dark)/(?P<subject>P\d+)/(?P<emotion>[A-Z][a-z]+)",
    fps=Fraction(25),
    peaks_last=True,
)


@register("mmi")
class Mmi(MacroCorpus):
    """Words: ``<clip>.xml``, Metatag "Emotion"; units: ``<clip>-oao_aucs.xml``.

    Some videos show a face from the front and, in a mirror, from the side: ``session.xml``, view 2.
    """

    about = DataSheet(
        title="MMI Facial Expression Database",
        what="Posed expressions and single action units, from neutral over the peak to neutral.",
        apply="Signed agreement: https://mmifacedb.eu",
        licence=RESEARCH,
        citation='Pantic, Valstar, Rademaker, Maat, "Web-based Database for Facial Expression '
        'Analysis", ICME 2005',
        fps="24, 25",
        layouts=(
            Layout("video", "Sessions/1/S001-001.avi", ("Sessions/*/*.avi", "*/Sessions/*/*.avi")),
        ),
    )
    path = r"(?P<subject>S\d+)-\d+\.avi"
    words = numbered("anger disgust fear happiness sadness surprise")

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


# Several takes of each expression; some copies repeat the subject's folder: ``001/001``.
declare(
    "mug",
    DataSheet(
        title="MUG Facial Expression Database",
        what="Posed expressions from neutral over the peak to neutral; the part of those people "
        "who agreed to its publication.",
        apply="Signed agreement: https://mug.ee.auth.gr/fed/",
        licence=RESEARCH,
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
    ),
    path=r"(?P<subject>\d{3})/(?P<emotion>[a-z]+)/take\d+",
    fps=Fraction(19),
)
