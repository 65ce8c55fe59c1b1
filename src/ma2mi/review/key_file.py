"""Key bindings of the page, kept for the user: the port, and so the browser's memory, changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from ma2mi.errors import StoreError
from ma2mi.files import replace_file

MOST_KEYS = 200
LONGEST = 40  # characters of an action's or a key's name


class KeyFile:
    """Action to keys, such as {"accept": ["a"]}; what is not there is as the page has it.

    Args:
        path: of the file; by default in the user's folder of settings.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_config_path("ma2mi") / "review-keys.json"

    def read(self) -> dict[str, list[str]]:
        """What the user changed; empty if that is nothing, or cannot be read."""
        try:
            return check_keys(json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, StoreError):
            return {}

    def write(self, tree: Any) -> None:
        """Keep what the user changed.

        Raises:
            StoreError: these are no key bindings, or they cannot be written.
        """
        keys = check_keys(tree)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"key bindings cannot be kept ({error.strerror})", where=self._path.parent
            ) from error
        replace_file(self._path, json.dumps(keys, indent=1).encode())


def check_keys(tree: Any) -> dict[str, list[str]]:
    """The key bindings in a tree of JSON.

    Raises:
        StoreError: these are none.
    """
    if not isinstance(tree, dict) or len(tree) > MOST_KEYS:
        raise StoreError("are no key bindings", where="keys")
    for name, keys in tree.items():
        words = [name, *keys] if isinstance(keys, list) else [None]
        if not all(isinstance(word, str) and 0 < len(word) <= LONGEST for word in words):
            raise StoreError("are no key bindings", where="keys")
    return {name: list(keys) for name, keys in tree.items()}
