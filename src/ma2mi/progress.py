"""How far a long piece of work is: the one noun that every ``on_progress`` receives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the work is.

    Args:
        step: what is done at present, such as "prepare" or "watch".
        done, total: how much of it, in units of the step (frames, clips, folds, epochs); total is
            None where it is not known.
        detail: what was just finished, where there is more to say: an epoch's figures (a dict),
            a fold (``evaluation.FoldProgress``), an event.
    """

    step: str
    done: int
    total: int | None = None
    detail: Any = None


OnProgress = Callable[[Progress], None]
"""Called in the calling process, after each unit of work; what it raises ends the work."""


def ignore(progress: Progress) -> None:
    """What is called where the caller asks for no progress."""
