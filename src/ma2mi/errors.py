"""What went wrong, where, and a hint: every mistake a user can make ends in one of these."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LONGEST_LINE = 300  # characters of an error that nothing foresees


class Ma2miError(Exception):
    """One clear line: ``where: what. hint``.

    Args:
        what: the cause, in the user's words ("no face found in any of 72 frames").
        where: file, row, frame or setting; empty if there is no place.
        hint: what to do next; empty if nothing can be done.
        details: lines about single inputs that led to it, for whoever shows the error.
    """

    def __init__(
        self, what: str, *, where: object = "", hint: str = "", details: Sequence[str] = ()
    ) -> None:
        super().__init__(what, str(where), hint)
        self.what = what
        self.where = str(where)
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}. {self.hint}" if self.hint else line

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (joblib); the keyword arguments would be lost otherwise.
        return _rebuild, (type(self), self.what, self.where, self.hint, self.details)


def _rebuild(
    kind: type[Ma2miError], what: str, where: str, hint: str, details: Sequence[str]
) -> Ma2miError:
    return kind(what, where=where, hint=hint, details=details)


class VideoError(Ma2miError):
    """A file or folder that does not decode to frames."""


class FaceError(Ma2miError):
    """No usable face where one is needed."""


class MotionError(Ma2miError):
    """Images between which no motion can be measured."""


class CorpusError(Ma2miError):
    """A corpus whose folder, sheet or rows are not as they should be."""


class StoreError(Ma2miError):
    """A prepared clip that is missing, damaged or cannot be written."""


_HINTS = {
    errno.ENOSPC: "Free the disk, or choose another folder",
    errno.EDQUOT: "Free the disk, or choose another folder",
    errno.EACCES: "Choose a folder that you may write to",
    errno.EPERM: "Choose a folder that you may write to",
    errno.EROFS: "Choose a folder that you may write to",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ENOTDIR: "A file stands where a folder is needed: choose another",
    errno.EEXIST: "A file stands where a folder is needed: choose another",
    errno.EMFILE: "Close other programs, or work with fewer --jobs",
    errno.ENFILE: "Close other programs, or work with fewer --jobs",
}


def store_error(error: OSError, where: object) -> StoreError:
    """What the system says when a file cannot be written, with a hint that fits its cause.

    Args:
        error: as raised; the file that it names counts more than ``where``.
        where: the file or folder that was to be written.
    """
    named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    # A hidden name that we gave to what is not whole yet says nothing to the user.
    ours = re.search(r"\.\d+-[0-9a-f]{8}(\.part|\.old)?$", named)
    shown = str(where) if ours or not named else named
    return StoreError(
        f"cannot be written ({error.strerror or error})",
        where=re.sub(r"(^|/)\.([^/]+)\.[0-9a-f]{8}\.part(?=/|$)", r"\1\2", shown),
        hint=_HINTS.get(error.errno or 0, ""),
    )


def one_line(error: Exception, where: object) -> str:
    """Any error as one line: where, what, hint.

    Args:
        error: as raised; if nothing foresees it, the line calls it a fault of this package.
        where: the input at hand; a file that an ``OSError`` names counts more.
    """
    if isinstance(error, Ma2miError):
        line = str(error)
    elif isinstance(error, OSError):
        line = f"{error.filename or where}: cannot be read ({error.strerror or error})"
    else:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_LINE]
        line = f"{where}: {what}. This is a fault of ma2mi, not of yours: please report it"
    return " ".join(line.split("\n"))


class SettingsError(Ma2miError):
    """An unknown or impossible setting."""


class CheckpointError(Ma2miError):
    """Weights or a training state that do not fit."""


class EvaluationError(Ma2miError):
    """Predictions, labels or splits that cannot be scored."""


class MissingPart(Ma2miError, ImportError):
    """An optional dependency that is not installed."""


@contextmanager
def optional_part(module: str, extra: str) -> Iterator[None]:
    """Turn a failed import into one line that names the extra to install.

    Example:
        >>> with optional_part("av", "video"):
        ...     import av
    """
    try:
        yield
    except ImportError as error:
        raise MissingPart(
            f"{module} is not available ({error})", hint=f"pip install 'ma2mi[{extra}]'"
        ) from error
