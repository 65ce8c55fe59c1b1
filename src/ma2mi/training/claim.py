"""Claim a folder for a training: what may go on there, so that no other run is overwritten."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from safetensors import SafetensorError, safe_open

from ma2mi import _version
from ma2mi.environment import ENVIRONMENT, write_environment
from ma2mi.errors import Ma2miError, SettingsError, store_error
from ma2mi.evaluation.provenance import flat
from ma2mi.evaluation.run_folder import CodeChanged, named_differences
from ma2mi.files import code_digest, digest, hold, replace_file
from ma2mi.training.checkpoint import CONFIG, WEIGHTS

SETTINGS, STATE = "settings.json", "state.safetensors"
#: There while weights and config are written: a process that is killed meanwhile leaves one of
#: them old, and that is not a change from outside.
WRITING = ".writing"
#: What may differ: it says how the run went, and decides nothing.
_FREE = frozenset(("code", "planned"))


def check_folder(out: Path) -> None:
    """Refuse a folder that holds somebody's files and no training, or weights that were not written
    there, or that were changed since.

    Raises:
        SettingsError: with what stands there.
        StoreError: it cannot be read, or is a file.
    """
    try:
        if out.exists() and not out.is_dir():
            raise SettingsError("is a file", where=out, hint="Name a folder")
        if not any((out / name).exists() for name in (WEIGHTS, CONFIG)):
            if out.is_dir() and _holds_others_files(out):
                raise SettingsError(
                    "holds files, but no training",
                    where=out,
                    hint="Choose another --out, or move it away",
                )
            return
        what = ""
        if not (out / SETTINGS).is_file():
            what = "holds a model that was not trained there"
        elif (out / WEIGHTS).is_file() and not (out / WRITING).exists():
            try:
                written = json.loads((out / CONFIG).read_bytes())["weights_sha256"]
            except (OSError, ValueError, KeyError, TypeError):
                written = None  # of a version before, or damaged: it is written anew
            if written is not None and digest(out / WEIGHTS) != written:
                what = f"holds a {WEIGHTS} that was changed since it was trained"
    except OSError as error:
        raise store_error(error, out) from error
    if what:
        raise SettingsError(what, where=out, hint="Choose another --out, or move it away")


def _holds_others_files(out: Path) -> bool:
    """Whether files stand there that no training wrote: one names its version in its settings.

    One that was killed at its start leaves hidden files and ``environment.json`` alone; folders,
    such as one of clips, are not written over.
    """
    files = [path.name for path in out.iterdir() if path.is_file()]
    names = {name for name in files if not name.startswith(".")} - {ENVIRONMENT}
    if not names or STATE in names:
        return False
    try:
        tree = json.loads((out / SETTINGS).read_bytes())
    except (FileNotFoundError, ValueError):
        return True
    return not (isinstance(tree, dict) and "version" in tree)


@contextmanager
def run_folder(
    out: Path, meant: Mapping[str, Any], fabric: Fabric, *, epochs: str = "", refused: str = ""
) -> Iterator[dict[str, Any]]:
    """Be the only one that trains in ``out``, and go on with what was begun there.

    A folder in which nothing was learned yet is taken over, whatever was meant to be learned.

    Args:
        out: made if missing.
        meant: all that decides which weights come out, as plain values.
        fabric: launched; its first process looks, and all end in the same way.
        epochs: the setting, as "loop.epochs", that may differ: a run may get more of them; ""
            where none may.
        refused: why ``meant`` cannot go on with another run, in words; "" names what differs.

    Yields:
        What was written into ``settings.json``: ``meant`` and the version; "planned" lists, where
        their number changed, from which epoch on how many epochs were meant.

    Raises:
        Busy: another process trains there.
        SettingsError: see :func:`check_folder`; or it holds a run of something else, and what.
        StoreError: it cannot be written.
    """
    error: Ma2miError | None = None
    tree: dict[str, Any] = {}
    with ExitStack() as stack:
        if fabric.is_global_zero:
            try:
                check_folder(out)
                stack.enter_context(hold(out, claim="training"))
                tree = _claim(out, meant, epochs, refused)
            except Ma2miError as raised:
                error = raised
        error, tree = fabric.broadcast((error, tree))
        if error is not None:
            raise error
        yield tree


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """While weights and config are written, one after the other."""
    replace_file(out / WRITING, b"")
    yield
    (out / WRITING).unlink(missing_ok=True)


def _claim(out: Path, meant: Mapping[str, Any], epochs: str, refused: str) -> dict[str, Any]:
    plain = {**meant, "version": _version.__version__, "code": code_digest()}
    tree: dict[str, Any] = json.loads(json.dumps(plain))  # as it is read back: tuples are lists
    before = _before(out)
    if before is not None:
        differ = named_differences(*(_decisive(one, epochs) for one in (before, tree)))
        if differ:
            raise SettingsError(
                f"holds a run {refused or f'with other settings or other videos: {differ}'}",
                where=out,
                hint="Choose another --out, or delete it",
            )
        _go_on(out, before, tree, epochs)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, out) from error
    write_environment(out)
    replace_file(out / SETTINGS, json.dumps(tree, indent=2, sort_keys=True).encode())
    return tree


def _decisive(tree: Mapping[str, Any], epochs: str) -> dict[str, Any]:
    """What must be the same to go on."""
    return {
        name: value
        for name, value in flat(tree).items()
        if name != epochs and name.partition(".")[0] not in _FREE and not name.endswith("failures")
    }


def _before(out: Path) -> dict[str, Any] | None:
    """What a run that was begun here meant; None if nothing was learned yet.

    Raises:
        SettingsError: something was, and it is unknown what.
    """
    if not any((out / name).exists() for name in (STATE, WEIGHTS)):
        return None
    try:
        before = json.loads((out / SETTINGS).read_bytes())
    except FileNotFoundError:
        before = None
    except (OSError, ValueError, RecursionError):
        before = ()
    if isinstance(before, dict):
        return before
    raise SettingsError(
        "holds a run whose settings cannot be read", where=out, hint="Choose another --out"
    )


def _go_on(out: Path, before: dict[str, Any], tree: dict[str, Any], epochs: str) -> None:
    """Note in ``tree`` that other epochs are meant than before, and by which code it was begun.

    Raises:
        SettingsError: more epochs are done than are asked for.
    """
    if "planned" in before:
        tree["planned"] = before["planned"]
    done = finished_epochs(out / STATE)
    old, now = flat(before).get(epochs), flat(tree).get(epochs, done)
    if done > now:
        raise SettingsError(
            f"has learned for {done} epochs already, {now} are asked for",
            where=out,
            hint="Ask for as many or more, or choose another --out",
        )
    if done and old != now:
        planned = tree.setdefault("planned", [{"from_epoch": 1, "epochs": old}])
        planned.append({"from_epoch": done + 1, "epochs": now})
    if before.get("code") != tree["code"]:
        warnings.warn(
            CodeChanged(f"{out}: goes on with what another state of ma2mi's code has learned"),
            stacklevel=2,
        )
        tree["code"] = before.get("code", "")


def finished_epochs(state: Path) -> int:
    """Epochs in a training state; 0 if it is not readable."""
    try:
        with safe_open(state, framework="pt") as file:
            return len(json.loads(file.metadata()["about"])["history"])
    except (OSError, SafetensorError, LookupError, TypeError, ValueError):
        return 0
