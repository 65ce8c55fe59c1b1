"""Corpora of faces cut from films, broadcasts and interviews: DFEW, FERV39k, AFEW, VoxCeleb2."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.macro import RESEARCH, Label, MacroCorpus, declare, numbered
from ma2mi.formats.findings import Finding
from ma2mi.formats.sheets import Columns, read_sheet
from ma2mi.records import Recording

_UNNAMED = "Subjects are not named: each clip counts as one of its own."


@register("dfew")
class Dfew(MacroCorpus):
    """Words: ``EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv``, if they are there."""

    about = DataSheet(
        title="DFEW",
        what=f"Faces cut from films: 16,372 clips, most with one label. {_UNNAMED}",
        apply="Signed agreement: https://dfew-dataset.github.io/",
        licence=RESEARCH,
        citation='Jiang, Zong, Zheng, Tang, Xia, Lu, Liu, "DFEW", ACM Multimedia 2020',
        fps="25 (assumed for the folders of frames; not published)",
        layouts=(
            Layout(
                "frames", "Clip/jpg_256/00001/00001.jpg", ("Clip/jpg_256/*", "*/Clip/jpg_256/*")
            ),
            Layout("video", "Clip/original/1.mp4", ("Clip/original/*.mp4",)),
        ),
    )
    path = r"(?P<clip>\d+)(?:\.mp4)?"
    words = numbered("happy sad neutral angry surprise disgust fear")
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


# The folders name scene and word; the splits of ``4_setups`` are not needed.
declare(
    "ferv39k",
    DataSheet(
        title="FERV39k",
        what=f"Faces cut from films and broadcasts of 22 kinds of scenes. {_UNNAMED}",
        apply="Signed agreement: https://wangyanckxx.github.io/Proj_CVPR2022_FERV39k.html",
        licence=RESEARCH,
        citation='Wang, Sun, Huang, Liu, Gao, Zhang, Ge, Zhang, "FERV39k", CVPR 2022',
        fps="25 (assumed; not published)",
        clips=38935,
        layouts=(
            Layout(
                "frames",
                "2_ClipsforFaceCrop/Action/Happy/0001/1.jpg",
                ("2_ClipsforFaceCrop/*/*/*", "*/2_ClipsforFaceCrop/*/*/*"),
            ),
        ),
    ),
    path=r"\w+/(?P<emotion>Angry|Disgust|Fear|Happy|Neutral|Sad|Surprise)/\d+",
    fps=Fraction(25),
)

# The folders name the word. The test part has no words and is not read.
declare(
    "afew",
    DataSheet(
        title="AFEW (EmotiW)",
        what=f"Scenes from films, with whole people and what is around them. {_UNNAMED}",
        apply="Signed agreement: https://sites.google.com/view/emotiw2020",
        licence=RESEARCH,
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
    ),
    path=r"(?P<emotion>Angry|Disgust|Fear|Happy|Neutral|Sad|Surprise)/\d+\.avi",
)

# The subjects are known; there are no emotions.
declare(
    "voxceleb2",
    DataSheet(
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
    ),
    path=r"(?P<subject>id\d{5})/[\w-]{11}/\d+\.mp4",
)
