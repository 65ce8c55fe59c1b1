"""The corpora: each hands out Recordings and Expressions, whatever its layout on disk."""

from ma2mi.datasets import manifest, megc2019_flow, synthetic  # noqa: F401  (they register themselves)
from ma2mi.datasets.base import CORPORA, Corpus, open_corpus

__all__ = ["CORPORA", "Corpus", "open_corpus"]
