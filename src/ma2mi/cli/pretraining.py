"""What pretrain, adapt and demo share: Lightning's flags, and the figures of an epoch in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from ma2mi.cli.console import out, progress
from ma2mi.clips.pairs import Pairs
from ma2mi.errors import SettingsError
from ma2mi.progress import Progress
from ma2mi.training.pretrain import pretrain
from ma2mi.training.pretrain_settings import PretrainSettings


def launch(accelerator: str, devices: str, nodes: int, strategy: str, precision: str) -> Fabric:
    """Lightning's Fabric with the user's flags, its processes started.

    Raises:
        SettingsError: Lightning refuses the flags.
    """
    count: int | str = int(devices) if devices.lstrip("-").isdecimal() else devices
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=count,
            num_nodes=nodes,
            strategy=strategy,
            precision=precision,  # type: ignore[arg-type]  # Lightning checks the word itself
        )
        fabric.launch()
    except (ValueError, RuntimeError, TypeError) as error:
        raise SettingsError(str(error).splitlines()[0], where="Lightning") from error
    return fabric


def pretrain_with_bar(
    pairs: Pairs | None,
    folder: Path,
    settings: PretrainSettings,
    fabric: Fabric,
    about: dict[str, Any],
    init: Path | None = None,
    services: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Pre-train with a bar and the figures of each epoch; without pairs on the simulator."""
    with progress() as tick:

        def after_epoch(now: Progress) -> None:
            tick(now)
            out.print(f"epoch {now.done:3d}  {figures_line(now.detail)}")

        return pretrain(
            pairs,
            folder,
            settings,
            init=init,
            fabric=fabric,
            about=about,
            on_progress=after_epoch,
            services=services,
        )


def figures_line(figures: Mapping[str, Any]) -> str:
    """What an epoch reached on held-out subjects."""
    if "gain" in figures:
        return (
            f"loss {figures['loss']:.4f}, copy baseline {figures['copy']:.4f}, "
            f"gain over copying {100 * figures['gain']:+.1f} %"
        )
    line = f"loss {figures['loss']:.3f}, later movement found {figures['retrieval']:.0%}"
    if "units" in figures:
        line += (
            f", action units (AUC) {figures['units']:.3f}, subject named "
            f"{figures['subject']:.0%} (chance {figures['subject_chance']:.0%})"
        )
    return line


def gain_line(history: list[dict[str, Any]]) -> str:
    """The last epoch in words."""
    return f"on held-out subjects: {figures_line(history[-1])}"
