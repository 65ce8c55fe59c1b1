"""The corpora: each hands out Recordings and Expressions, whatever its layout on disk."""

from ma2mi.datasets import (  # noqa: F401  (they register themselves)
    annotations,
    casme,
    casme2,
    casme3,
    casme_sq,
    dfme,
    fourdme,
    macro_acted,
    macro_films,
    macro_posed,
    manifest,
    megc2019_flow,
    mmew,
    samm,
    samm_lv,
    smic,
    synthetic,
)
from ma2mi.datasets.base import CORPORA, Corpus, open_corpus

__all__ = ["CORPORA", "Corpus", "open_corpus"]
