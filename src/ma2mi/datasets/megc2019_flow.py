"""The flow images of MEGC2019 as many repositories exchange them; no faces, so nothing is gated."""

from __future__ import annotations

import re
from pathlib import Path

from ma2mi.datasets.base import Corpus, DataSheet, Layout, register
from ma2mi.errors import CorpusError
from ma2mi.records import Expression, Recording

FOLDER = "three_norm_u_v_os"
EMOTIONS = {"0": "negative", "1": "positive", "2": "surprise"}


@register("megc2019-flow")
class Megc2019Flow(Corpus):
    """Optical flow of the composite of SMIC-HS, CASME II and SAMM.

    Layout: ``<root>/three_norm_u_v_os/<subject>/{u_train,u_test}/<label>/<name>.png``, PNG of
    28 x 28, RGB in the order u, v, strain, each channel scaled by its own minimum and maximum to
    0..255, so that amplitudes are gone. Labels: 0 negative, 1 positive, 2 surprise. Every
    subject's folder repeats all samples; here each is read once, from the folder of its own
    subject (``u_test``). Names may end in a blank before ``.png``.

    Published counts: 442 samples of 68 subjects (SMIC 164/16, CASME II 145/24, SAMM 133/28);
    250 negative, 109 positive, 83 surprise.

    Source: See, Yap, Li, Hong, Wang, "MEGC 2019", FG 2019; the layout as of the public
    repositories that followed STSTNet.

    Each expression is one image: its recording is the PNG, its onset and offset are 0, its
    corpus is "smic", "casme2" or "samm".
    """

    hands_out = "flow images"
    about = DataSheet(
        title="MEGC 2019 flow images",
        what="Optical flow of the composite of SMIC-HS, CASME II and SAMM; no faces.",
        apply="In public repositories that followed STSTNet",
        licence="none stated; no face is seen",
        citation='See, Yap, Li, Hong, Wang, "MEGC 2019", FG 2019',
        clips=442,
        subjects=68,
        emotions={"negative": 250, "positive": 109, "surprise": 83},
        layouts=(Layout("flow", f"{FOLDER}/sub01/u_test/0/name.png"),),
        gated=False,
    )

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        nested = self.root / FOLDER
        self.folder = nested if nested.is_dir() else self.root

    def recordings(self) -> list[Recording]:
        return [expression.recording for expression in self.expressions()]

    def expressions(self) -> list[Expression]:
        """One a sample, by subject, label and name.

        Raises:
            CorpusError: no sample, a label that is none, or a subject of no known database.
        """
        found = []
        for image in sorted(self.folder.glob("*/u_test/*/*.png")):
            subject, label = image.parts[-4], image.parts[-2]
            if label not in EMOTIONS:
                raise CorpusError(f"label folder {label!r} is none of 0, 1, 2", where=image.parent)
            database = database_of(subject, image)
            recording = Recording(image, subject, f"{label}/{image.stem.strip()}", database)
            emotion = EMOTIONS[label]
            found.append(Expression("micro", 0, None, 0, recording=recording, emotion=emotion))
        if not found:
            raise CorpusError(
                "holds no <subject>/u_test/<label>/<name>.png",
                where=self.folder,
                hint=f"Give the folder that holds {FOLDER} with --root",
            )
        return found


def database_of(subject: str, where: object = "") -> str:
    """The database that a subject's folder belongs to: s01 smic, sub01 casme2, 006 samm.

    Raises:
        CorpusError: the name fits none.
    """
    for pattern, database in ((r"sub\d+", "casme2"), (r"s\d+", "smic"), (r"\d{3}", "samm")):
        if re.fullmatch(pattern, subject):
            return database
    raise CorpusError(
        f"subject {subject!r} is of no known database",
        where=where,
        hint="SMIC's are s01..., CASME II's sub01..., SAMM's 006...",
    )
