"""Entries: what a row of a table stands for, and the learner that it becomes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ma2mi.clips.pairs import Pairs
from ma2mi.errors import CheckpointError, SettingsError
from ma2mi.evaluation.learner import Clips, Learner
from ma2mi.evaluation.learner_faults import faults_of
from ma2mi.evaluation.priors import Prior, prior_text
from ma2mi.experiment.frozen_network import FrozenNetwork, mix_with_shipped
from ma2mi.models.backbone import Branches
from ma2mi.models.catalog import MODELS
from ma2mi.training.baselines import FlowSVM, Majority, flow_histograms
from ma2mi.training.block_classifier import FITTED
from ma2mi.training.checkpoint import find_weights, read_config
from ma2mi.training.finetune import FineTune, FineTuneSettings
from ma2mi.training.flow_kernels import FlowPCA, RBFRidge, flow_views, signed_root
from ma2mi.training.loop import LoopSettings
from ma2mi.training.per_unit import ABSENT_SHOWN, PerUnit
from ma2mi.training.recognizer import Recognizer, recognizer_settings
from ma2mi.training.trained import refuse_fitted
from ma2mi.training.zero_shot import ZeroShot

#: Group under which an installed package names learners of its own: NAME = "package.module:Class".
ENTRY_POINTS = "ma2mi.models"


@dataclass(frozen=True)
class Entry:
    """A network and how it is fitted; what a row of a table stands for.

    Args:
        model: a registered name (see ``BUILDERS``), the name of an entry point of the group
            ``ma2mi.models``, or "package.module:Class" of a learner of one's own.
        init: folder of pre-trained weights, the name of shipped ones ("zero"), or None.
        like: folder whose network is taken with random weights: the control of ``init``.
        frozen: fit a ridge on the backbone's features instead of training the network.
        classifier: of frozen networks: "mixed" (a Gaussian kernel mixed of grid and outputs over
            all views, see ``MixedKernel``) or "ridge" (linear, see ``DualRidge``), its control.
        zero_shot: evaluate the recognizer in ``init`` without training.
        prior: how common the classes are taken to be then, see ``training.zero_shot.ZeroShot``.
        branches: "both", "position" or "action".
        size, epochs, stop, keep_epochs: see ``FineTuneSettings`` and ``FineTune``.
        title: the row's name; made from the others if empty.
    """

    model: str
    init: Path | str | None = None
    like: Path | str | None = None
    frozen: bool = False
    classifier: Literal["mixed", "ridge"] = "mixed"
    zero_shot: bool = False
    prior: Prior = "flat"
    branches: Branches = "both"
    size: int = 112
    epochs: int = 15
    stop: Literal["fixed", "inner"] = "fixed"
    keep_epochs: bool = False
    title: str = ""

    @property
    def name(self) -> str:
        if self.title or self.model not in MODELS:
            own = f" + {Path(self.init).name}" if self.init else ""
            return self.title or self.model + own
        start = "pre-trained" if self.init else "random" if self.frozen else "from scratch"
        classifier = "ridge" if self.classifier == "mixed" else "plain ridge"
        parts = [start, f"frozen + {classifier}" if self.frozen else "trained"]
        if self.zero_shot:
            parts = ["zero-shot", f"prior {prior_text(self.prior)}"]
        if self.branches != "both":
            parts.append(f"{self.branches} only")
        return f"{self.model} ({', '.join(parts)})"

    @property
    def weights(self) -> Path | None:
        """The folder of ``init``, None without.

        Raises:
            CheckpointError: there is no such folder, and no shipped weights of that name.
        """
        return find_weights(self.init) if self.init else None

    def entitled(self, title: str, **changes: Any) -> Entry:
        """A variant of this entry with a name of its own."""
        return replace(self, title=title, **changes)

    def build_learner(
        self, pairs: Pairs, names: Sequence[str], seeds: Sequence[int], *, units: bool = False
    ) -> tuple[Learner, Clips]:
        """The learner, and the clips as it takes them.

        Args:
            pairs: N pairs.
            names: the classes, or action units.
            seeds: of the run.
            units: whether a clip has many labels, those of action units. A network that is trained
                and weights that are not learn, or know, all of them at once, and so does a class of
                one's own with ``many_labels = True``; all others learn one after the other, see
                :class:`ma2mi.training.per_unit.PerUnit`.

        Raises:
            SettingsError: an unknown model, or one without weights that is asked for them.
            CheckpointError: weights of another network, size or, for zero-shot, of other classes.
        """
        build = find_builder(self.model)
        if not self.zero_shot:
            # The network with random weights is that of "like": the same refusal.
            source = self.weights or (find_weights(self.like) if self.like else None)
            config = read_config(source) if source else {"model": self.model}
            refuse_fitted(config, source or self.model)
        if self.model not in MODELS and (
            self.keep_epochs or (self.init and self.model != "mixed-kernel")
        ):
            raise SettingsError("has no weights and no epochs", where=self.model)
        if not units or (self.model in MODELS and not self.frozen):
            return build(self, pairs, tuple(names), tuple(seeds))
        learner, clips = build(self, pairs, ABSENT_SHOWN, tuple(seeds))
        if getattr(learner, "many_labels", False):
            return build(self, pairs, tuple(names), tuple(seeds))
        return PerUnit(learner, tuple(names)), clips


Builder: TypeAlias = Callable[
    [Entry, Pairs, tuple[str, ...], tuple[int, ...]], tuple[Learner, Clips]
]
"""From an entry, N pairs, the classes and the seeds to a learner and the clips that it takes."""

#: Every registered model by name: the networks of the catalog, and entries without a network.
BUILDERS: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Decorator: make a builder known under the name that the command line uses."""

    def add(build: Builder) -> Builder:
        BUILDERS[name] = build
        return build

    return add


def find_builder(name: str) -> Builder:
    """The builder of a registered model, an entry point, or a "package.module:Class".

    A class of one's own is a :class:`ma2mi.evaluation.Learner`. It gets the number of
    classes, and pairs as clips: ``Class(classes).reseed(seed).fit(pairs, labels, subjects)``. For
    action units it learns each for itself, shown or absent; with the attribute ``many_labels =
    True`` all at once, from labels 0/1 [n, units].

    Raises:
        SettingsError: no such model; with those that there are.
    """
    if name in BUILDERS:
        return BUILDERS[name]
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return _outside(name, point.value)
    if ":" in name:
        return _outside(name, name)
    points = (point.name for point in entry_points(group=ENTRY_POINTS))
    known = sorted({*BUILDERS, *points} - FITTED)
    raise SettingsError(
        "is no known model",
        where=name,
        hint=f"Known are: {', '.join(known)}; or name a class as package.module:Class",
    )


def check_model(name: str) -> None:
    """Refuse a word that names no model.

    Raises:
        SettingsError: with those that there are.
    """
    find_builder(name)


def _outside(name: str, place: str) -> Builder:
    """The builder of a class that another package holds.

    Raises:
        SettingsError: it cannot be imported, or is no learner.
    """
    module, _, attribute = place.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the import of someone else's code raises
        raise SettingsError(
            f"cannot be imported: {type(error).__name__}: {error}",
            where=name,
            hint="Name an installed class as package.module:Class",
        ) from error
    missing = [method for method in ("fit", "reseed") if not hasattr(kind, method)]
    if missing or not callable(kind):
        raise SettingsError(
            f"is not a learner: it has no method {', '.join(missing)}",
            where=name,
            hint="See ma2mi.evaluation.Learner",
        )

    def build(
        entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
    ) -> tuple[Learner, Clips]:
        with faults_of(name):
            return kind(len(names)), pairs

    return build


@register("majority")
def _majority(
    entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Learner, Clips]:
    return Majority(len(names)), np.zeros((len(pairs), 1))


@register("flow-svm")
def _flow_svm(
    entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Learner, Clips]:
    return FlowSVM(len(names)), flow_histograms(pairs)


@register("flow-pca")
def _flow_pca(
    entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Learner, Clips]:
    return FlowPCA(len(names)), flow_views(pairs, entry.size)


@register("pixels-rbf")
def _pixels_rbf(
    entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Learner, Clips]:
    return RBFRidge(len(names)), signed_root(flow_views(pairs, entry.size))


@register("random-ridge")
def _random_ridge(
    entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Learner, Clips]:
    return FrozenNetwork("conv5", None, {}, entry.size, entry.name).ridge(pairs, len(names), seeds)


@register("mixed-kernel")
def _mixed_kernel(
    entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Learner, Clips]:
    """Pixels and the shipped recognizer, and the grid of weights of one's own beside them."""
    return mix_with_shipped(entry.weights, pairs, len(names), entry.name)


def check_network(folder: Path, config: dict[str, Any], model: str, size: int) -> None:
    """Refuse weights of another network than the one that is wanted.

    Args:
        folder: of the weights.
        config: its description.
        model, size: what is wanted; size in px.

    Raises:
        CheckpointError: with what they are.
    """
    if (config["model"], config["size"]) != (model, size):
        raise CheckpointError(
            f"holds {config['model']} at {config['size']} px, not {model} at {size} px",
            where=folder,
            hint="Name them with --model and --size",
        )


def _network(
    entry: Entry, pairs: Pairs, names: tuple[str, ...], seeds: tuple[int, ...]
) -> tuple[Learner, Clips]:
    """A network of the catalog: trained, frozen under a ridge, or evaluated without training."""
    settings: dict[str, Any] = {}
    config: dict[str, Any] = {}
    init = entry.weights
    if source := init or entry.like:
        source = find_weights(source)
        config = read_config(source)
        check_network(source, config, entry.model, entry.size)
        settings = dict(config["settings"])
        if "recognizer" in config:
            recognizer_settings(config, source)
    if entry.branches != "both":
        settings["branches"] = entry.branches
    if init and entry.zero_shot:
        recognizer = Recognizer.from_pretrained(init, **settings)
        return ZeroShot(recognizer, names, entry.name, entry.prior), pairs
    if entry.frozen:
        frozen = FrozenNetwork(entry.model, init, settings, entry.size, entry.name)
        build = frozen.mixed_kernel if entry.classifier == "mixed" else frozen.ridge
        return build(pairs, len(names), seeds)
    recipe = FineTuneSettings(
        model=entry.model,
        model_settings=settings,
        size=entry.size,
        stop=entry.stop,
        loop=LoopSettings(epochs=entry.epochs, batch_size=16),
    )
    learner = FineTune(
        len(names),
        recipe,
        init,
        head_rows(config, names),
        keep_epochs=entry.keep_epochs,
        name=entry.name,
    )
    return learner, pairs


BUILDERS.update(dict.fromkeys(MODELS, _network))


def head_rows(config: dict[str, Any], names: Sequence[str]) -> tuple[int, ...]:
    """Outputs of a recognizer's head that stand for these classes or units; none if it knows
    others."""
    if "recognizer" not in config:
        return ()
    about = recognizer_settings(config)
    known, units = about.classes, about.units
    if sorted(known) == sorted(names):
        return tuple(known.index(name) for name in names)
    # Units stand after the classes.
    every = set(names) <= set(units)
    return tuple(len(known) + units.index(name) for name in names) if every else ()
