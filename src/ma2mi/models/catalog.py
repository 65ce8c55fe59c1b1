"""Every network by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from numbers import Real
from typing import Any

from pydantic import ValidationError

from ma2mi.errors import SettingsError
from ma2mi.models import miacnet
from ma2mi.models.backbone import Backbone
from ma2mi.models.conv5 import Conv5
from ma2mi.models.off_apexnet import OffApexNet
from ma2mi.models.ststnet import STSTNet

Builder = Callable[..., Backbone]

#: More is a slip, or a file that was not written by us.
MOST_CLASSES = 10_000


def _miacnet(preset: miacnet.MIACNetSettings) -> Builder:
    def build(classes: int, **settings: Any) -> Backbone:
        return miacnet.MIACNet(classes, replace(preset, **settings))

    build.__kwdefaults__ = {f.name: getattr(preset, f.name) for f in fields(preset)}
    return build


MODELS: dict[str, Builder] = {
    "miacnet-tiny": _miacnet(miacnet.TINY),
    "miacnet-base": _miacnet(miacnet.BASE),
    "miacnet-paper": _miacnet(miacnet.PAPER),
    "ststnet": STSTNet,
    "off-apexnet": OffApexNet,
    "conv5": Conv5,
}


def settings_before(name: str) -> dict[str, Any]:
    """What settings of this network meant in weights that were stored without a "format"."""
    return dict(miacnet.BEFORE) if name.startswith("miacnet") else {}


def build_model(name: str, classes: int, **settings: Any) -> Backbone:
    """A network with fresh weights from torch's global random state.

    Args:
        name: a key of ``MODELS``.
        classes: number of classes.
        settings: changes to the preset, such as ``branches="action"``.

    Raises:
        SettingsError: unknown model, unknown setting, or a value that is impossible for it.
    """
    if name not in MODELS:
        raise SettingsError(
            "is no known model", where=name, hint=f"Known are: {', '.join(sorted(MODELS))}"
        )
    build = MODELS[name]
    known = _settings_of(build)
    for setting in settings:
        if setting not in known:
            raise SettingsError(
                f"{name} has no setting {setting!r}", hint=f"It has: {', '.join(sorted(known))}"
            )
    if missing := sorted(_needed_by(build) - settings.keys()):
        raise SettingsError(
            f"lacks its settings {', '.join(missing)}",
            where=name,
            hint="ma2mi train makes such a network; load it from its folder",
        )
    dropout = settings.get("dropout", 0.0)
    if not (isinstance(dropout, Real) and 0 <= float(dropout) < 1):
        raise SettingsError(f"{dropout!r} is no share", where=f"{name}, setting dropout")
    if not 1 <= classes <= MOST_CLASSES:
        raise SettingsError(f"{classes} classes", where=name, hint=f"Give 1 to {MOST_CLASSES}")
    try:
        return build(classes, **settings)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"]))
        raise SettingsError(
            first["msg"].removeprefix("Value error, "),
            where=f"{name}, setting {setting}" if setting else name,
        ) from error


def startable() -> list[str]:
    """Names of the networks that training can start from; the others are made from trained ones."""
    return [name for name, build in MODELS.items() if not _needed_by(build)]


def _needed_by(build: Builder) -> set[str]:
    """Settings that have no default."""
    if not isinstance(build, type):
        return set()
    parameters = inspect.signature(build).parameters.values()
    return {p.name for p in parameters if p.default is p.empty} - {"classes"}


def _settings_of(build: Builder) -> set[str]:
    if isinstance(build, type):
        return set(inspect.signature(build).parameters) - {"classes"}
    return set(build.__kwdefaults__ or {})
