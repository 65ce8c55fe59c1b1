"""The study's rows: what a ridge reads, how that was learned, and what it is held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

MODEL = "miacnet-tiny"
RANDOM = "random weights"
RANDOM_ACTION, RANDOM_POSITION, RANDOM_SUM, RANDOM_BASE = (
    f"{RANDOM}, {words}"
    for words in ("action branch alone", "position branch alone", "fusion sum", "base")
)
#: What a movement is learned from: so many macro videos, the simulator, or the real clips.
Source = Literal["video", "simulator", "real"]


@dataclass(frozen=True)
class Pretraining:
    """One way of learning without labels; its name is a folder's.

    Args:
        source, videos: see ``Source``.
        steps: of 96 pairs.
        pretext: changes to ``FutureMovementSettings``; with "space" to the near future's
            ``PretextSettings``.
        draw: changes to ``PairSettings``.
        model, settings: network of the catalog, and changes to its preset.
        init: what it starts from instead of random weights.
    """

    name: str
    source: Source = "video"
    videos: int = 100
    steps: int = 300
    pretext: dict[str, Any] = field(default_factory=dict)
    draw: dict[str, Any] = field(default_factory=dict)
    model: str = MODEL
    settings: dict[str, Any] = field(default_factory=dict)
    init: Pretraining | None = None

    @property
    def near(self) -> bool:
        """Whether its pretext task is the near future, kept as an ablation."""
        return "space" in self.pretext


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: as printed.
        features: "backbone" (the grid of a frozen network), "zero" (the shipped recognizer's), or
            a control without a network.
        against: name of the row it is held against; "" for none.
        learned: how the backbone was pre-trained; None is random weights.
        model, settings: the backbone's; with ``learned`` changes to what was pre-trained.
    """

    name: str
    features: Literal["backbone", "zero", "flow-pca", "late-pca", "pixels-rbf"]
    against: str = ""
    learned: Pretraining | None = None
    model: str = MODEL
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name as a folder's."""
        return "".join(c if c.isalnum() else "-" for c in self.name)

    @property
    def seeded(self) -> bool:
        """Whether another seed gives another result, beyond the inner folds' draw."""
        return self.features == "backbone"


OURS = "MA2MI"
LATE: Literal["late-pca"] = "late-pca"
#: Changes to a network's preset.
ACTION, SUM, POSITION = {"branches": "action"}, {"fusion": "sum"}, {"branches": "position"}
#: Steps of the rows that are compared with each other alone, for the time that they take.
SHORT = 100

BOTH = Pretraining("both")
ALONE = Pretraining("action", settings=ACTION)
SIMULATOR = Pretraining("simulator", source="simulator", steps=SHORT)
#: Those of ``SHORT`` steps: words of the row, what it is held against, and what differs.
BRIEF: dict[str, tuple[str, dict[str, Any]]] = {
    "": (RANDOM, {}),
    "contrast only": (RANDOM, {"pretext": {"draw": 0.0}}),
    "drawing only": (RANDOM, {"pretext": {"contrast": 0.0}}),
    "simulator": (RANDOM, {"source": "simulator"}),
    "simulator, then video": (RANDOM, {"init": SIMULATOR}),
    "10 videos": (RANDOM, {"videos": 10}),
    "30 videos": (RANDOM, {"videos": 30}),
    "fusion sum": (RANDOM_SUM, {"settings": SUM}),
    "near future, latent": (RANDOM_SUM, {"settings": SUM, "pretext": {"space": "latent"}}),
    "near future, flow": (RANDOM_SUM, {"settings": SUM, "pretext": {"space": "flow"}}),
    "near future, pixel": (RANDOM_SUM, {"settings": SUM, "pretext": {"space": "pixel"}}),
    "real clips": (RANDOM, {"source": "real"}),
}
#: Likewise, if asked for.
FURTHER: dict[str, tuple[str, dict[str, Any]]] = {
    "300 videos": (RANDOM, {"videos": 300}),
    "target encoder with momentum": (RANDOM, {"pretext": {"target": "momentum"}}),
    "temperature 0.05": (RANDOM, {"pretext": {"temperature": 0.05}}),
    "temperature 0.2": (RANDOM, {"pretext": {"temperature": 0.2}}),
    "horizon 0.25-0.5 s": (RANDOM, {"draw": {"horizon_s": (0.25, 0.5)}}),
    "horizon 0.5-0.9 s": (RANDOM, {"draw": {"horizon_s": (0.5, 0.9)}}),
    "early 0.03-0.08 s": (RANDOM, {"draw": {"interval_s": (0.03, 0.08)}}),
    "early 0.1-0.25 s": (RANDOM, {"draw": {"interval_s": (0.1, 0.25)}}),
    "base": (RANDOM_BASE, {"model": "miacnet-base"}),
}


def all_rows(full: bool) -> list[Row]:
    """The table's rows, the most important first."""
    rows = [
        Row(RANDOM, "backbone"),
        Row(OURS, "backbone", RANDOM, BOTH),
        Row("flow-pca", "flow-pca", RANDOM),
        Row("flow-pca of late movements", LATE, RANDOM),
        Row("pixels-rbf", "pixels-rbf", RANDOM),
        Row("random-ridge", "backbone", RANDOM, model="conv5"),
        Row("zero", "zero", RANDOM),
        Row(RANDOM_ACTION, "backbone", RANDOM, settings=ACTION),
        Row(RANDOM_POSITION, "backbone", RANDOM, settings=POSITION),
        Row(RANDOM_SUM, "backbone", RANDOM, settings=SUM),
        Row("MA2MI, read by its action branch", "backbone", RANDOM_ACTION, BOTH, settings=ACTION),
        Row(
            "MA2MI, read by its position branch",
            "backbone",
            RANDOM_POSITION,
            BOTH,
            settings=POSITION,
        ),
        Row("MA2MI, action branch alone", "backbone", RANDOM_ACTION, ALONE),
    ]
    brief = BRIEF
    if full:
        rows.append(Row(RANDOM_BASE, "backbone", RANDOM, model="miacnet-base"))
        brief = BRIEF | FURTHER
    for words, (against, changes) in brief.items():
        name = f"MA2MI, {SHORT} steps" + f", {words}" * bool(words)
        learned = Pretraining(words or "brief", **{"steps": SHORT, **changes})
        rows.append(Row(name, "backbone", against, learned))
    return rows
