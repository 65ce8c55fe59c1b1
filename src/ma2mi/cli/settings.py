"""Settings from what a user typed."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ma2mi.errors import SettingsError

Settings = TypeVar("Settings", bound=BaseModel)


def parse(kind: type[Settings], values: dict[str, Any]) -> Settings:
    """Settings from plain values.

    Raises:
        SettingsError: an unknown name or an impossible value.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        given = "" if isinstance(first["input"], dict) else f", given {first['input']!r}"
        raise SettingsError(f"{first['msg']}{given}", where=f"setting {where}") from error
