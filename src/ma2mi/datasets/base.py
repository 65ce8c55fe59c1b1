"""A corpus: a folder of recordings, and the expressions that coders marked in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from ma2mi.errors import CorpusError
from ma2mi.formats.findings import Finding
from ma2mi.records import Expression, Recording


@dataclass(frozen=True)
class Layout:
    """One way in which a corpus lies on disk.

    Args:
        name: such as "raw" or "cropped".
        example: the path of one frame or video below the root, as documentation shows it.
        folders: globs of the clips' folders below the root; the first that matches is taken.
        frame: regular expression that the names of frames follow, "" if any will do.
    """

    name: str
    example: str
    folders: tuple[str, ...] = ()
    frame: str = ""


@dataclass(frozen=True)
class DataSheet:
    """What a user must know of a corpus before asking for it; docs are generated from it.

    Args:
        title: as the authors write it.
        what: what is seen, in a sentence.
        apply: how to get it, and where.
        licence: what one may do with it, in a few words.
        citation: authors, title, venue, year.
        fps: frames per second, as text, such as "200".
        clips, subjects: published counts; 0 if there are none.
        emotions: published counts, by the corpus' own words.
        layouts: the layouts that are understood.
        sheets: globs of the annotation sheets below the root, newest version first.
        same_subjects: registered name of another corpus with the same subjects.
        gated: whether one must sign for it.
    """

    title: str
    what: str
    apply: str
    licence: str
    citation: str
    fps: str = ""
    clips: int = 0
    subjects: int = 0
    emotions: Mapping[str, int] = field(default_factory=dict)
    layouts: tuple[Layout, ...] = ()
    sheets: tuple[str, ...] = ()
    same_subjects: str = ""
    gated: bool = True


class Corpus(ABC):
    """One corpus on disk.

    Args:
        root: the folder as its owners hand it out.

    Attributes:
        about: its data sheet.
        hands_out: what its recordings are: faces as videos or folders of frames, or flow that
            others measured, which needs no preparing.
        options: what else its constructor takes, of "layout" and "repairs".
        layout: in which it lies on disk, None where it knows but one.

    Raises:
        CorpusError: the folder is missing.
    """

    name: ClassVar[str]
    about: ClassVar[DataSheet]
    hands_out: ClassVar[Literal["recordings", "flow images"]] = "recordings"
    options: ClassVar[frozenset[str]] = frozenset()
    layout: Layout | None = None

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise CorpusError(
                "is no folder",
                where=self.root,
                hint=f"Give the folder that holds {self.name} with --root",
            )

    @property
    def results_name(self) -> str:
        """What it is called in results."""
        return self.name

    @abstractmethod
    def recordings(self) -> list[Recording]:
        """Every video, in a fixed order."""

    @abstractmethod
    def expressions(self) -> list[Expression]:
        """Every coded expression, in a fixed order; empty where none is coded."""

    def place(self, expression: Expression) -> str:
        """Where an expression is marked, for complaints: file and row where that is known."""
        return str(expression.recording.path)

    def findings(self) -> list[Finding]:
        """What was odd while reading; the pictures are looked at by ``check_corpus`` alone."""
        return []


CORPORA: dict[str, type[Corpus]] = {}
AnyCorpus = TypeVar("AnyCorpus", bound=type[Corpus])


def register(name: str) -> Callable[[AnyCorpus], AnyCorpus]:
    """Class decorator: make a corpus known under the name that the command line uses."""

    def add(corpus: AnyCorpus) -> AnyCorpus:
        corpus.name = name
        CORPORA[name] = corpus
        return corpus

    return add


def corpus_class(name: str) -> type[Corpus]:
    """The class registered as ``name``.

    Raises:
        CorpusError: no corpus has this name.
    """
    if name not in CORPORA:
        raise CorpusError(
            "is no known corpus", where=name, hint=f"Known are: {', '.join(sorted(CORPORA))}"
        )
    return CORPORA[name]


def open_corpus(name: str, root: Path | str, **options: Any) -> Corpus:
    """The corpus called ``name`` in the folder ``root``.

    Args:
        name: as registered.
        root: its folder.
        options: what its class takes besides, such as ``layout`` and ``repairs``.

    Raises:
        CorpusError: no corpus has this name, it has no such option, or the folder is missing.
    """
    kind: Callable[..., Corpus] = corpus_class(name)
    if unknown := sorted(set(options) - set(signature(kind).parameters)):
        raise CorpusError(
            f"has no option {', '.join(unknown)}", where=name, hint="Leave it out for this corpus"
        )
    return kind(root, **options)
