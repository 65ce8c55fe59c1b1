"""CAS(ME)²: long videos at 30 frames per second in which micro- and macro-expressions are coded."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import Mark
from ma2mi.datasets.long import LongCorpus
from ma2mi.formats.sheets import Columns, Row, Sheet, find_sheet, read_sheet
from ma2mi.records import Kind

SUBJECTS_TAB = "naming rule1"
VIDEOS_TAB = "naming rule2"
DATABASE = "casme-sq"


def _data_sheet(kind: Kind, clips: int, same_subjects: str = "") -> DataSheet:
    return DataSheet(
        title=f"CAS(ME)² {kind}-expressions",
        what=f"The {kind}-expressions of people who keep a straight face before videos; several "
        "in one long recording.",
        apply="Signed licence agreement: http://casme.psych.ac.cn/casme/e3",
        licence="research only, no redistribution",
        citation='Qu, Wang, Yan, Li, Wu, Fu, "CAS(ME)²", IEEE Trans. Affective Computing, 2018',
        fps="30",
        clips=clips,
        subjects=22,
        layouts=(
            Layout(
                "raw",
                "rawpic/s15/15_0101disgustingteeth/img1.jpg",
                tuple(f"{above}s[0-9]*/*_[0-9]*" for above in ("rawpic/", "*/rawpic/", "")),
                r"img[1-9]\d*\.jpg",
            ),
        ),
        sheets=("CAS(ME)^2code_final*.xlsx", "*code_final*.xlsx"),
        same_subjects=same_subjects,
    )


class _CasmeSq(LongCorpus):
    """One sheet codes both kinds of expression; each is a corpus of its own here.

    The first tab has no header: subject, video, onset, apex, offset, action units, emotion, type,
    self report. It calls subjects 1 to 22 and videos by name ("disgust1_2" is the second
    expression in "disgust1"); tab "naming rule1" leads from the one to the folder's number (15),
    tab "naming rule2" from the other to the four digits in the folder's name ("0101").
    """

    database = DATABASE
    fps = Fraction(30)
    kind: ClassVar[Kind]
    columns: ClassVar[Columns] = dict.fromkeys(
        ("subject", "clip", "onset", "apex", "offset", "aus", "emotion", "kind", "report"), ()
    )

    @cached_property
    def sheet(self) -> Sheet:
        return read_sheet(self._file, self.columns, header=False)

    def mark(self, row: Row) -> Mark | None:
        word = row.text("kind").lower()
        if not word.startswith(("micro", "macro")):
            raise row.error("kind", f"{word!r} is no kind", "Write micro- or macro-expression")
        if not word.startswith(self.kind):
            return None
        number, video = row.text("subject"), row.text("clip").split("_")[0]
        if number not in self._subjects:
            raise row.error("subject", f"{number!r} is not in tab {SUBJECTS_TAB}", "Correct it")
        if video not in self._videos:
            raise row.error("clip", f"{video!r} is not in tab {VIDEOS_TAB}", "Correct the name")
        subject = self._subjects[number]
        clip = f"{subject}/{self._videos[video]}"
        apex = row.frame("apex") or None  # 0 where it is not marked
        return Mark.of_row(row, subject, clip, apex=apex, kind=self.kind)

    def clip_of(self, folder: Path) -> str:
        code = re.search(r"_(\d{4})", folder.name)
        return f"{folder.parent.name}/{code[1] if code else folder.name}"

    @property
    def _file(self) -> Path:
        return find_sheet(self.root, self.about.sheets)

    @cached_property
    def _subjects(self) -> dict[str, str]:
        """The sheet's number of a subject to the folder's name."""
        columns: Columns = dict.fromkeys(("_name", "folder", "subject"), ())
        rows = read_sheet(self._file, columns, tab=SUBJECTS_TAB, header=False).rows
        digits = {row.text("subject"): re.sub(r"\D", "", row.text("folder")) for row in rows}
        return {number: f"s{int(folder):02d}" for number, folder in digits.items() if folder}

    @cached_property
    def _videos(self) -> dict[str, str]:
        """The sheet's name of a video to the four digits in the folder's name."""
        columns: Columns = dict.fromkeys(("code", "video"), ())
        rows = read_sheet(self._file, columns, tab=VIDEOS_TAB, header=False).rows
        # Spreadsheet programs turn "0101" into 101.
        return {row.text("video"): row.text("code").zfill(4) for row in rows}


@register("casme-sq")
class CasmeSq(_CasmeSq):
    """The 57 micro-expressions."""

    about = _data_sheet("micro", 57)
    kind = "micro"


@register("casme-sq-macro")
class CasmeSqMacro(_CasmeSq):
    """The 300 macro-expressions, of the same subjects in the same recordings."""

    about = _data_sheet("macro", 300, same_subjects=DATABASE)
    kind = "macro"
