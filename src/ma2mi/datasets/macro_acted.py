"""Corpora of actors who speak with an emotion: CREMA-D, RAVDESS, MEAD."""

from __future__ import annotations

from ma2mi.datasets.base import DataSheet, Layout
from ma2mi.datasets.macro import declare, numbered

# Names hold actor, sentence, word and strength: ``1001_DFA_ANG_XX.flv``.
declare(
    "crema-d",
    DataSheet(
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
    ),
    path=r"(?P<subject>\d{4})_[A-Z]{3}_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{1,2}\.flv",
    words={
        "ANG": "anger",
        "DIS": "disgust",
        "FEA": "fear",
        "HAP": "happy",
        "NEU": "neutral",
        "SAD": "sad",
    },
)

# Names are seven numbers: modality, voice, word, strength, sentence, repetition, actor.
#
# Modality 01 and 02 show the same film with and without sound, so that one of them is taken.
declare(
    "ravdess",
    DataSheet(
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
    ),
    path=r"0[12]-(?P<clip>0[12]-0(?P<emotion>[1-8])-\d\d-\d\d-\d\d-(?P<subject>\d\d))\.mp4",
    words=numbered("neutral calm happy sad angry fearful disgust surprised"),
)

# Each sentence was filmed from seven sides at once; all are recordings of the same subject.
declare(
    "mead",
    DataSheet(
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
    ),
    path=r"(?P<subject>[MW]\d{3})/video/\w+/(?P<emotion>[a-z]+)/level_\d/\d+\.mp4",
)
