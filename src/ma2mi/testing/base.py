"""Fakes of corpora: the layout, sheets and traps, with synthetic subjects and invented rows."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ma2mi.datasets.base import Layout
from ma2mi.errors import CorpusError, store_error
from ma2mi.files import hold
from ma2mi.progress import OnProgress


@dataclass(frozen=True)
class Order:
    """What is to be written.

    Args:
        full_size: as many clips and subjects as were published; else three subjects.
        fault: one of ``FAULTS``, or "".
        layout, version: one of the fake's own.
        pictures: False writes empty files for frames, which is enough to read the sheet.
        on_progress: called after each clip.
    """

    full_size: bool = False
    fault: str = ""
    layout: str = ""
    version: str = ""
    pictures: bool = True
    on_progress: OnProgress | None = None


class Fake(ABC):
    """Writes a corpus that anyone may have."""

    faults: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ("",)
    versions: tuple[str, ...] = ("",)

    @abstractmethod
    def write(self, out: Path, order: Order) -> None:
        """Write the whole corpus into the empty folder ``out``."""


FAKES: dict[str, Fake] = {}
AnyFake = TypeVar("AnyFake", bound=type[Fake])


def fake_of(*names: str) -> Callable[[AnyFake], AnyFake]:
    """Class decorator: this writes the fake of the corpora registered under these names."""

    def add(fake: AnyFake) -> AnyFake:
        for name in names:
            FAKES[name] = fake()
        return fake

    return add


def write_fake(
    name: str,
    out: Path | str,
    *,
    full_size: bool = False,
    fault: str = "",
    layout: str = "",
    version: str = "",
    pictures: bool = True,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write a fake of the corpus ``name``: same arguments, same bytes.

    The folder appears when all of it is written; a call that is killed leaves none, and the next
    one begins anew.

    Args:
        name: of a registered corpus.
        out: an empty or missing folder.
        full_size, fault, layout, version, pictures, on_progress: as ``Order``; the first layout and
            the newest version if empty.

    Raises:
        CorpusError: no fake of that name, fault, layout or version; or ``out`` is not empty.
        StoreError: it cannot be written, or another process writes there.
    """
    out = Path(out)
    if name not in FAKES:
        raise CorpusError(
            "has no fake", where=name, hint=f"There are fakes of {', '.join(sorted(FAKES))}"
        )
    fake = FAKES[name]
    for word, value, known in (
        ("fault", fault, fake.faults),
        ("layout", layout, fake.layouts),
        ("version", version, fake.versions),
    ):
        if value and value not in known:
            choice = ", ".join(filter(None, known)) or "no other"
            raise CorpusError(f"has no {word} {value!r}", where=name, hint=f"It has {choice}")
    layout, version = layout or fake.layouts[0], version or fake.versions[0]
    order = Order(full_size, fault, layout, version, pictures, on_progress)
    with hold(final := out.resolve()):
        # Not files.whole_folder: its list of what was written marks results of an analysis, which
        # are passed over where videos are looked for.
        work = final.with_name(f".{final.name}.part")
        try:
            if final.exists() and (not final.is_dir() or any(final.iterdir())):
                raise CorpusError("is not empty", where=out, hint="Choose another folder")
            if work.exists():  # of a call that was killed; none other holds this name
                shutil.rmtree(work)
            work.mkdir()
            fake.write(work, order)
            if final.exists():
                final.rmdir()
            work.rename(final)
        except OSError as error:
            raise store_error(error, out) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return out


def layout_names(layouts: Iterable[Layout]) -> tuple[str, ...]:
    """The names that ``write_fake`` takes as ``layout``."""
    return tuple(layout.name for layout in layouts)
