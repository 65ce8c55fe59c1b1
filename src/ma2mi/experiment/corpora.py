"""Corpora by the words of a command line: on disk, synthetic, or several as one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from ma2mi.datasets import Corpus, open_corpus
from ma2mi.datasets.composite import Composite
from ma2mi.datasets.synthetic import write_corpus
from ma2mi.errors import CorpusError, SettingsError
from ma2mi.formats.findings import LeftOut
from ma2mi.progress import OnProgress
from ma2mi.records import Expression

#: Size of a synthetic corpus that is made because no root was given.
SYNTHETIC_SUBJECTS = 16
SYNTHETIC_CLIPS = 6


def find_corpus(
    name: str,
    root: Path | None,
    made_in: Path,
    *,
    layout: str = "",
    repairs: bool = True,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """The corpus in ``root``; a synthetic one without a root is rendered below ``made_in``.

    Raises:
        CorpusError: the folder is no such corpus, or a corpus of recordings has no root.
    """
    # Given only where it matters: most corpora know neither.
    options = {**({"layout": layout} if layout else {}), **({} if repairs else {"repairs": False})}
    if root is not None:
        return open_corpus(name, root, **options)
    if options:
        raise CorpusError(f"has no option {', '.join(options)}", where=name, hint="Leave it out")
    return render_corpus(
        name,
        made_in / name,
        subjects=SYNTHETIC_SUBJECTS,
        clips=SYNTHETIC_CLIPS,
        jobs=jobs,
        on_progress=on_progress,
    )


def find_corpora(
    words: Sequence[str],
    root: Path | None,
    made_in: Path,
    *,
    layout: str = "",
    repairs: bool = True,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """One corpus, or several as one, from words such as "casme2" or "casme2=DIR".

    Raises:
        SettingsError: --root beside several corpora, or beside NAME=DIR.
        CorpusError: what the corpora raise.
    """
    named = [(name, Path(folder) if folder else root) for name, folder in map(_split, words)]
    if root is not None and (len(named) > 1 or named[0][1] is not root):
        raise SettingsError(
            "stands beside corpora that name their folder or beside several",
            where="--root",
            hint="Say --corpus NAME=DIR for each",
        )
    corpora = [
        find_corpus(
            name,
            folder,
            made_in,
            layout=layout,
            repairs=repairs,
            jobs=jobs,
            on_progress=on_progress,
        )
        for name, folder in named
    ]
    return corpora[0] if len(corpora) == 1 else Composite(corpora)


def render_corpus(
    name: str,
    root: Path,
    *,
    subjects: int,
    clips: int,
    seed: int = 0,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """A synthetic corpus, written to ``root`` as real files.

    Args:
        name: "synthetic-micro" or "synthetic-macro".
        root: its folder; what is there already is kept.
        subjects, clips: synthetic subjects, and clips of each.
        seed: of the subjects.
        jobs: processes; -1 is one a core.
        on_progress: called after each subject.

    Raises:
        CorpusError: no synthetic corpus has this name.
    """
    if name not in ("synthetic-micro", "synthetic-macro"):
        raise CorpusError("needs --root", where=name, hint="Give the folder that holds it")
    write_corpus(
        name,  # type: ignore[arg-type]  # checked above
        root,
        subjects=subjects,
        clips_per_subject=clips,
        seed=seed,
        jobs=jobs,
        on_progress=on_progress,
    )
    return open_corpus(name, root)


def read_expressions(corpus: Corpus) -> tuple[list[Expression], list[str]]:
    """The marked expressions that are whole on disk, and a line for each that is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOut)  # the findings say it in full
        expressions = corpus.expressions()
    return expressions, [str(f) for f in corpus.findings() if f.severity == "error"]


def _split(word: str) -> tuple[str, str]:
    name, _, folder = word.partition("=")
    return name, folder
