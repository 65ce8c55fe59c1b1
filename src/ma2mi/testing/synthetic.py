"""Fakes of corpora that nobody gates: the painted ones, and a manifest of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from ma2mi.datasets.synthetic import write_corpus
from ma2mi.testing.base import Fake, Order, fake_of


class _Painted(Fake):
    """A synthetic corpus is its own fake; full-sized it has the size that commands paint."""

    corpus: Literal["synthetic-micro", "synthetic-macro"] = "synthetic-micro"

    def write(self, out: Path, order: Order) -> None:
        people, clips = (16, 6) if order.full_size else (3, 3)
        write_corpus(
            self.corpus,
            out,
            subjects=people,
            clips_per_subject=clips,
            seed=0,
            on_progress=order.on_progress,
        )


@fake_of("synthetic-micro")
class FakeSyntheticMicro(_Painted):
    corpus = "synthetic-micro"


@fake_of("synthetic-macro")
class FakeSyntheticMacro(_Painted):
    corpus = "synthetic-macro"


@fake_of("manifest")
class FakeManifest(_Painted):
    """Somebody's own folder: the clips and the table, without the truth behind them."""

    def write(self, out: Path, order: Order) -> None:
        super().write(out, order)
        shutil.rmtree(out / "truth")
        (out / "corpus.json").unlink()
