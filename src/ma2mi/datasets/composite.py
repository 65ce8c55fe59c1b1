"""Several corpora as one, as composite protocols such as MEGC 2019's want them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import Corpus, DataSheet
from ma2mi.errors import CorpusError
from ma2mi.formats.findings import Finding
from ma2mi.records import Expression, Recording


class Composite(Corpus):
    """The recordings and expressions of several corpora, one after the other.

    Each keeps the name of its own corpus, so no subjects are mixed up: they are "corpus/subject".

    Args:
        corpora: at least one, no two of one name.

    Raises:
        CorpusError: no corpus, or the same one twice.
    """

    name: ClassVar[str] = "composite"
    about: ClassVar[DataSheet] = DataSheet(
        title="Composite",
        what="Several corpora as one.",
        apply="Apply for each of them",
        licence="those of its parts",
        citation="those of its parts",
    )

    def __init__(self, corpora: Sequence[Corpus]) -> None:
        if not corpora:
            raise CorpusError("names no corpus", where=self.name, hint="Name at least one")
        names = [corpus.name for corpus in corpora]
        if len(set(names)) < len(names):
            raise CorpusError(
                f"names a corpus twice: {', '.join(names)}", where=self.name, hint="Name it once"
            )
        self.corpora = tuple(corpora)
        self.root = Path(", ".join(str(corpus.root) for corpus in corpora))

    @property
    def results_name(self) -> str:
        return "+".join(corpus.results_name for corpus in self.corpora)

    def recordings(self) -> list[Recording]:
        return [recording for corpus in self.corpora for recording in corpus.recordings()]

    def expressions(self) -> list[Expression]:
        return [expression for corpus in self.corpora for expression in corpus.expressions()]

    def place(self, expression: Expression) -> str:
        name = expression.recording.corpus
        its = [c for c in self.corpora if name in (c.name, getattr(c, "database", ""))]
        return its[0].place(expression) if its else super().place(expression)

    def findings(self) -> list[Finding]:
        return [finding for corpus in self.corpora for finding in corpus.findings()]
