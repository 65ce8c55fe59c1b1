"""The state of an unfinished analysis on disk, so that a long video goes on where it was killed."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ma2mi.files import code_digest, replace_file

STATE = "state.unfinished"
#: What a state is made of besides our own classes; nothing in it runs code.
_PLAIN = {
    ("builtins", "complex"),
    ("collections", "deque"),
    ("fractions", "Fraction"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}
_OURS = (
    "ma2mi.analysis.",
    "ma2mi.face.",
    "ma2mi.motion.",
    "ma2mi.records",
    "ma2mi.spotting.",
    "ma2mi.video.",
)


def write_state(
    folder: Path, about: Mapping[str, Any], state: Mapping[str, Any], known: Mapping[str, object]
) -> None:
    """Keep the state, whole or not at all.

    Args:
        folder: of the unfinished results.
        about: what the results depend on; a state of other settings is of no use.
        state: whatever must be known to go on.
        known: objects that are not kept but found again under their names, such as networks.

    Raises:
        StoreError: it cannot be written.
    """
    names = {id(one): name for name, one in known.items() if one is not None}

    class Writer(pickle.Pickler):
        def persistent_id(self, one: object) -> str | None:
            return names.get(id(one))

    content = io.BytesIO()
    Writer(content, protocol=5).dump(dict(state))
    replace_file(folder / STATE, _head(about) + b"\n" + content.getvalue())


def is_of(folder: Path, about: Mapping[str, Any]) -> bool:
    """Whether there is a state of the same input, settings and code."""
    try:
        with (folder / STATE).open("rb") as file:
            return file.readline(1 << 16).strip() == _head(about)
    except OSError:
        return False


def read_state(
    folder: Path, about: Mapping[str, Any], known: Mapping[str, object]
) -> dict[str, Any] | None:
    """The state as it was kept; None if there is none of this input, settings and code."""
    if not is_of(folder, about):
        return None

    class Reader(pickle.Unpickler):
        def persistent_load(self, name: str) -> object:
            return known[name]

        def find_class(self, module: str, name: str) -> Any:
            found = super().find_class(module, name) if _is_plain(module, name) else None
            if found is None or (module.startswith("ma2mi") and not isinstance(found, type)):
                raise pickle.UnpicklingError(f"{module}.{name} is no part of a state")
            return found

    try:
        with (folder / STATE).open("rb") as file:
            file.readline()
            state = Reader(file).load()
    except Exception:
        return None  # damaged: the analysis begins anew
    return state if isinstance(state, dict) else None


def _is_plain(module: str, name: str) -> bool:
    ours = any(module == one or module.startswith(one) for one in _OURS)
    return (module, name) in _PLAIN or (ours and "." not in name)


def _head(about: Mapping[str, Any]) -> bytes:
    # Other code may mean something else by the same state.
    made_of = json.dumps([about, code_digest()], sort_keys=True)
    return hashlib.sha256(made_of.encode()).hexdigest().encode()
