"""Settings of pre-training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ma2mi.clips.batches import AugmentSettings
from ma2mi.training.loop import LoopSettings
from ma2mi.training.ma2mi import PretextSettings
from ma2mi.training.pretext import FutureMovementSettings
from ma2mi.training.probe import ProbeSettings


class PretrainSettings(BaseModel):
    """Everything that decides which weights come out.

    Args:
        model: name in the catalog.
        model_settings: changes to its preset.
        size: side of the network's input in px.
        held_out: share of the subjects that are evaluated on and never trained on.
        pretext: "future movement" by default; "near future" as an ablation.
        probe: see its class; for "future movement".
        stop: "fixed" takes the last epoch; "probe" the one whose probe is best, and ends when that
            was ``patience`` epochs ago: by the ridge on action units, or the retrieval where there
            is none; "near future" goes by its gain.
        patience: epochs.
        loop: see its class.
        augment: for "near future".
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    model: str = "miacnet-tiny"
    model_settings: dict[str, Any] = {}
    size: int = Field(112, ge=32, multiple_of=16)
    held_out: float = Field(0.2, ge=0, lt=1)
    pretext: FutureMovementSettings | PretextSettings = FutureMovementSettings()
    probe: ProbeSettings = ProbeSettings()
    stop: Literal["fixed", "probe"] = "fixed"
    patience: int = Field(3, ge=1)
    loop: LoopSettings = LoopSettings(epochs=10, epoch_steps=30, batch_size=96, lr=2e-3)
    augment: AugmentSettings = AugmentSettings(strength=0)
