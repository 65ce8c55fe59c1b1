"""Files and folders that are whole or absent, and never lost: names, digests, locks, results."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from natsort import natsort_keygen, ns

from ma2mi.errors import StoreError, store_error

#: What this version wrote into a results folder: {"files": {relative path: sha256}}.
WRITTEN = ".written.json"
#: Bytes of a name; file systems take 255, and temporary names, suffixes and frames need some.
LONGEST_NAME = 120
#: Names that Windows keeps for devices, whatever their suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_natural = natsort_keygen(alg=ns.IGNORECASE)

#: What file managers put into any folder that a user opens; not anyone's work.
_LITTER = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))


# Names


def file_name(*parts: str, longest: int = LONGEST_NAME) -> str:
    """One name for a file or folder that says what ``parts`` say and never leaves its folder.

    Letters, digits and ``. _ - @`` stay, parts are joined by ``_``. Whatever else happens to the
    name (other characters, a dot at an end, too long, reserved on Windows, an underscore that
    hides where a part ends), eight digits of a hash tell it from all others, so that different
    parts never share a name. The result is NFC, never empty, and at most ``longest`` bytes.

    Example:
        >>> file_name("casme2", "sub01", "EP02_01f")
        'casme2_sub01_EP02_01f'
        >>> file_name("..")
        'unnamed-21823bc8'
    """
    given = [unicodedata.normalize("NFC", part) for part in parts if part]
    plain = "_".join(re.sub(r"[^\w.@-]+", "-", part) for part in given)
    name = plain.strip("-. ")
    hidden = any("_" in part for part in given[:-1])
    as_given = name and name == "_".join(given) and not hidden and not _RESERVED.match(name)
    if as_given and len(name.encode()) <= longest:
        return name
    # repr keeps the parts apart, and takes characters that are no Unicode ("\udcff").
    digest = hashlib.sha256(ascii(given).encode()).hexdigest()[:8]
    short = name.encode(errors="ignore")[: longest - 10].decode(errors="ignore").strip("-. ")
    return f"{'_' if _RESERVED.match(short) else ''}{short or 'unnamed'}-{digest}"


# Content


def digest(path: Path) -> str:
    """The sha256 of a file's content; of a folder of frames, of its files' names and contents.

    What lies deeper, and hidden files, do not count: they are no frames.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        inside = [
            (p.name, _file_digest(p))
            for p in sorted(path.iterdir())
            if p.is_file() and not p.name.startswith(".") and p.name not in _LITTER
        ]
        return hashlib.sha256(ascii(inside).encode()).hexdigest()
    return _file_digest(path)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_digest() -> str:
    """Twelve hexadecimal digits of all of ma2mi's Python files, as they were when first asked."""
    total = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        total.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


# Files


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` when all went well, else it goes."""
    part = path.with_name(f".{_short(path.name)}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file as a whole; one that is there stays as it was until then.

    Raises:
        StoreError: it cannot be written, and why.
    """
    try:
        with unfinished(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise store_error(error, path) from error


# Locks


class Busy(StoreError):
    """Another process works on the same file or folder.

    Attributes:
        claim: what that process does there by its own words; empty if nothing.
    """

    claim = ""


@contextmanager
def hold(path: Path, *, wait_s: float = 0.0, claim: str = "") -> Iterator[None]:
    """Be the only process that works on ``path``, a file or folder that need not exist yet.

    The lock is a hidden file beside it; the system frees it when a process dies.

    Args:
        path: what no other process may write meanwhile.
        wait_s: how long to wait for another process; negative waits for ever.
        claim: what this process does there, for whoever comes meanwhile.

    Raises:
        Busy: another process holds it.
        StoreError: no lock can be written there.
    """
    note = path.with_name(f".{_short(path.name)}.claim")
    lock = FileLock(path.with_name(f".{_short(path.name)}.lock"), timeout=wait_s)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        busy = Busy(
            "another process is writing here",
            where=path,
            hint="Wait until it is done, or choose another folder",
        )
        with suppress(OSError, ValueError):
            busy.claim = note.read_text("utf-8")
        raise busy from error
    except OSError as error:
        raise store_error(error, path) from error
    try:
        if claim:
            replace_file(note, claim.encode())
        yield
    finally:
        # Before the lock is freed: filelock takes no lock on a file that is gone (since 4.0).
        with suppress(OSError):
            note.unlink(missing_ok=True)
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _short(name: str) -> str:
    """A name that leaves room for what a hidden name beside it adds."""
    if len(name.encode(errors="surrogateescape")) <= 200:
        return name
    return hashlib.sha256(ascii(name).encode()).hexdigest()


# Folders of results


@dataclass(frozen=True, slots=True)
class Kept:
    """How a folder of results differs from what was written into it.

    Args:
        ours: it was written by this package at all.
        missing, changed, foreign: relative paths that are gone, other, or not ours.
    """

    ours: bool
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def replaceable(self) -> bool:
        """Nothing is in it but what was written, as it was written."""
        return self.ours and not self.changed and not self.foreign


def look_into(folder: Path) -> Kept:
    """Hold a folder against the list of what was written into it.

    Raises:
        OSError: a file in it cannot be read.
    """
    listed = read_written(folder)
    if listed is None:
        return Kept(ours=False)
    above = {parent.as_posix() for name in listed for parent in Path(name).parents}
    there = {name: folder / name for name in _walk(folder) if name not in above}
    return Kept(
        ours=True,
        missing=tuple(sorted(set(listed) - set(there))),
        changed=tuple(
            name
            for name in sorted(set(listed) & set(there))
            if there[name].is_symlink() or _file_digest(there[name]) != listed[name]
        ),
        foreign=tuple(sorted(set(there) - set(listed))),
    )


def read_written(folder: Path) -> dict[str, str] | None:
    """What was written into a folder, relative path to sha256; None if it does not say."""
    try:
        files = json.loads((folder / WRITTEN).read_bytes())["files"]
        return {str(name): str(value) for name, value in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def list_written(folder: Path, names: Iterable[str]) -> None:
    """Say in a folder what was written into it.

    Raises:
        OSError, StoreError: a file cannot be read, or the list not be written.
    """
    files = {name: _file_digest(folder / name) for name in sorted(names)}
    replace_file(folder / WRITTEN, json.dumps({"files": files}, indent=1).encode())


def is_results(folder: Path) -> bool:
    """Whether this package wrote the folder as a whole."""
    return (folder / WRITTEN).is_file()


def holds_results(folder: Path) -> bool:
    """As ``is_results``, and of analyses by versions that kept no list of what they wrote."""
    return is_results(folder) or (
        (folder / "analysis.json").is_file() and (folder / "frames.csv").is_file()
    )


def _walk(folder: Path) -> list[str]:
    """Everything in a folder but folders that hold something, their list and litter."""
    names = []
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink() and any(path.iterdir()):
            continue
        name = path.relative_to(folder).as_posix()
        if name != WRITTEN and path.name not in _LITTER:
            names.append(name)
    return names


@contextmanager
def results_folder(final: Path) -> Iterator[Path]:
    """A private folder beside ``final``, which it becomes when all went well, else it goes.

    A folder that is there is replaced only if all in it is what was written, unchanged; it is
    moved aside first and removed last, so that at every moment one of the two is whole.

    Args:
        final: where the results will be; its parent is made.

    Raises:
        Busy: another process works on it.
        StoreError: it cannot be written, at any time until it is complete, or ``final`` holds
            what this package did not write.
    """
    with hold(final), whole_folder(final) as work:
        yield work


@contextmanager
def whole_folder(final: Path, goes_on: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """As :func:`results_folder`, for a caller that holds ``final`` already.

    Args:
        final: where the results will be.
        goes_on: whether work can go on in a folder that a run left when it was killed, or
            interrupted by the user; else such a folder is removed.
    """
    hidden = f".{_short(final.name)}."
    work = final.with_name(f"{hidden}{secrets.token_hex(4)}.part")
    aside = work.with_suffix(".old")
    try:
        # What a run that was killed left here: no other process holds this name.
        for path in sorted(final.parent.glob(f"{glob.escape(hidden)}" + "[0-9a-f]" * 8 + ".old")):
            if os.path.lexists(final):
                shutil.rmtree(path)
            else:
                path.rename(final)
        for path in final.parent.glob(f"{glob.escape(hidden)}" + "[0-9a-f]" * 8 + ".part"):
            if goes_on is not None and not work.exists() and goes_on(path):
                path.rename(work)
            else:
                shutil.rmtree(path)
        work.mkdir(exist_ok=True)
    except OSError as error:
        raise store_error(error, final) from error
    try:
        yield work
        try:
            list_written(work, _walk(work))
            _publish(work, final, aside)
        except OSError as error:
            raise store_error(error, final) from error
    except Exception:
        shutil.rmtree(work, ignore_errors=True)
        raise
    except BaseException:
        if goes_on is None or not goes_on(work):
            shutil.rmtree(work, ignore_errors=True)
        raise


def _publish(work: Path, final: Path, aside: Path) -> None:
    if not os.path.lexists(final):
        work.rename(final)
        return
    if not look_into(final).replaceable:
        raise StoreError(
            "holds files that were not written here, or were changed since",
            where=final,
            hint="Move it away, or choose another folder",
        )
    final.rename(aside)
    try:
        work.rename(final)
    except OSError:
        aside.rename(final)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def natural(name: str) -> tuple[Any, str]:
    """Sort key: runs of digits by their value, the rest by letters; the name breaks ties."""
    return _natural(name), name
