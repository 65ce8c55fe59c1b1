"""Fakes of corpora that are not gated: the synthetic ones, and a manifest of one's own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ma2mi.datasets.synthetic import write_corpus
from ma2mi.testing.base import FAKES, Fake, Order


@dataclass(frozen=True)
class SyntheticFake(Fake):
    """A synthetic corpus is its own fake; full-sized it has the size that commands render.

    Args:
        corpus: what is rendered.
        own: leaves clips and table alone, without the ground truth, as a user's own folder.
    """

    corpus: Literal["synthetic-micro", "synthetic-macro"]
    own: bool = False

    def write(self, out: Path, order: Order) -> None:
        subjects, clips = (16, 6) if order.full_size else (3, 3)
        write_corpus(
            self.corpus,
            out,
            subjects=subjects,
            clips_per_subject=clips,
            seed=0,
            on_progress=order.on_progress,
        )
        if self.own:
            shutil.rmtree(out / "truth")
            (out / "corpus.json").unlink()


FAKES["synthetic-micro"] = SyntheticFake("synthetic-micro")
FAKES["synthetic-macro"] = SyntheticFake("synthetic-macro")
FAKES["manifest"] = SyntheticFake("synthetic-micro", own=True)
