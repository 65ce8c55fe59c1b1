"""A corpus: a folder of recordings, and the expressions that coders marked in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

from ma2mi.errors import CorpusError
from ma2mi.records import Expression, Recording


class Corpus(ABC):
    """One corpus on disk. The class docstring of each subclass is its data sheet.

    Args:
        root: the folder as its owners hand it out.

    Raises:
        CorpusError: the folder is missing.
    """

    name: ClassVar[str]

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise CorpusError(
                "is no folder",
                where=self.root,
                cure=f"Give the folder that holds {self.name} with --root",
            )

    @abstractmethod
    def recordings(self) -> list[Recording]:
        """Every video, in a fixed order."""

    @abstractmethod
    def expressions(self) -> list[Expression]:
        """Every coded expression, in a fixed order; empty where nobody coded any."""


CORPORA: dict[str, type[Corpus]] = {}
AnyCorpus = TypeVar("AnyCorpus", bound=type[Corpus])


def register(name: str) -> Callable[[AnyCorpus], AnyCorpus]:
    """Class decorator: make a corpus known under the name that the command line uses."""

    def add(corpus: AnyCorpus) -> AnyCorpus:
        corpus.name = name
        CORPORA[name] = corpus
        return corpus

    return add


def open_corpus(name: str, root: Path | str) -> Corpus:
    """The corpus called ``name`` in the folder ``root``.

    Raises:
        CorpusError: no corpus has this name, or the folder is missing.
    """
    if name not in CORPORA:
        raise CorpusError(
            "is no known corpus", where=name, cure=f"Known are: {', '.join(sorted(CORPORA))}"
        )
    return CORPORA[name](root)
