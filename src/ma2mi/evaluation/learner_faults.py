"""Faults of a learner of one's own: one line that names its class, the method and the fold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from ma2mi.errors import LONGEST_LINE, EvaluationError, Ma2miError

Fitted = TypeVar("Fitted")


@contextmanager
def blamed(learner: object, method: str, fold: str) -> Iterator[None]:
    """Turn what a learner's method raises into one line.

    What a class of ma2mi itself raises stays as it is: no line would help its user.

    Args:
        learner: whose method is called.
        method: its name.
        fold: the fold and the seed, in words.

    Raises:
        EvaluationError: with the class, the method and the fold.
    """
    try:
        yield
    except Exception as error:
        kind = type(learner)
        if isinstance(error, Ma2miError) or kind.__module__.partition(".")[0] == "ma2mi":
            error.add_note(f"in {kind.__name__}.{method}, {fold}")
            raise
        raise _fault(error, f"{place_of(learner)}.{method}, {fold}") from error


@contextmanager
def faults_of(name: str) -> Iterator[None]:
    """Turn what the constructor of someone else's class raises into one line.

    Raises:
        EvaluationError: names the class.
    """
    try:
        yield
    except Ma2miError:
        raise
    except Exception as error:  # whatever someone else's code raises
        raise _fault(error, f"{name}, called with the number of classes") from error


def _fault(error: Exception, where: str) -> EvaluationError:
    what = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_LINE].strip(": ")
    hint = "MA2MI_TRACEBACK=1 shows the line; see ma2mi.evaluation.Learner"
    return EvaluationError(what, where=where, hint=hint)


def place_of(learner: object) -> str:
    """The class as "package.module:Class"; "" for one of ma2mi."""
    kind = type(learner)
    ours = kind.__module__.partition(".")[0] == "ma2mi"
    return "" if ours else f"{kind.__module__}:{kind.__qualname__}"


def with_method(returned: Fitted, method: str) -> Fitted:
    """What a learner returned, if it has the method that is called next.

    Raises:
        TypeError: it has not.
    """
    if not callable(getattr(returned, method, None)):
        raise TypeError(f"returned {type(returned).__name__}, which has no method {method}")
    return returned
