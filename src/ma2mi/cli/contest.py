"""Contestants: what a row of a table stands for, and how it enters the referee's ring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ma2mi.cli.console import progress
from ma2mi.cli.steps import Marked
from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.errors import CheckpointError, SettingsError
from ma2mi.evaluation.audit import FINGERPRINTS, write_fingerprints
from ma2mi.evaluation.benchmark import run_benchmark
from ma2mi.evaluation.engines import Backend
from ma2mi.evaluation.learner import Clips, Learner
from ma2mi.evaluation.learning_curve import DRAWS, LearningCurve, run_learning_curve
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.results import RunResult
from ma2mi.files import digest
from ma2mi.models.backbone import Branches
from ma2mi.models.catalog import MODELS, build_model
from ma2mi.training.baselines import FlowSVM, Majority, flow_histograms
from ma2mi.training.checkpoint import CONFIG, open_backbone, read_config, weights_digest
from ma2mi.training.finetune import FineTune, FineTuneSettings
from ma2mi.training.flow_kernels import FlowPCA, RBFRidge, flow_views, signed_root
from ma2mi.training.frozen import extract_features, recognizer_features
from ma2mi.training.loop import LoopSettings
from ma2mi.training.recognizer import Recognizer, ZeroShot, recognizer_settings
from ma2mi.training.ridge import DualRidge

#: Entries without a network: name to what builds learner and clips from (pairs, classes, size).
CONTROLS: dict[str, Callable[[Pairs, int, int], tuple[Learner, Clips]]] = {
    "majority": lambda pairs, classes, size: (Majority(classes), np.zeros((len(pairs), 1))),
    "flow-svm": lambda pairs, classes, size: (FlowSVM(classes), flow_histograms(pairs)),
    "flow-pca": lambda pairs, classes, size: (FlowPCA(classes), flow_views(pairs, size)),
    "pixels-rbf": lambda pairs, classes, size: (
        RBFRidge(classes),
        signed_root(flow_views(pairs, size)),
    ),
}
#: Entries that are no network of the catalog.
BASELINES = (*CONTROLS, "random-ridge")


def check_model(name: str) -> None:
    """Refuse a word that names neither a network nor a control.

    Raises:
        SettingsError: with those that there are.
    """
    known = sorted({*MODELS, *BASELINES})
    if name not in known:
        raise SettingsError("is no known model", where=name, cure=f"Known are: {', '.join(known)}")


@dataclass(frozen=True)
class Contestant:
    """A network and how it is fitted; what a row of a table stands for.

    Args:
        model: name in the catalog, or one of ``BASELINES``.
        init: folder of pre-trained weights, or None.
        like: folder whose network is taken with random weights: the control of ``init``.
        frozen: fit a ridge on the backbone's features instead of training the network.
        zero_shot: ask the recognizer in ``init`` as it is; nothing is trained.
        branches: "both", "position" or "action".
        size, epochs, stop, keep_epochs: see ``FineTuneSettings`` and ``FineTune``.
        title: the row's name; made from the others if empty.
    """

    model: str
    init: Path | None = None
    like: Path | None = None
    frozen: bool = False
    zero_shot: bool = False
    branches: Branches = "both"
    size: int = 112
    epochs: int = 15
    stop: Literal["fixed", "inner"] = "fixed"
    keep_epochs: bool = False
    title: str = ""

    @property
    def name(self) -> str:
        if self.title or self.model in BASELINES:
            return self.title or self.model
        start = "pre-trained" if self.init else "random" if self.frozen else "from scratch"
        parts = [start, "frozen + ridge" if self.frozen else "trained"]
        if self.zero_shot:
            parts = ["zero-shot"]
        if self.branches != "both":
            parts.append(f"{self.branches} only")
        return f"{self.model} ({', '.join(parts)})"

    def entitled(self, title: str, **changes: Any) -> Contestant:
        """A variant of this contestant with a name of its own."""
        return replace(self, title=title, **changes)

    def enter(
        self, pairs: Pairs, names: Sequence[str], seeds: Sequence[int]
    ) -> tuple[Learner, Clips]:
        """The learner, and the clips as it takes them.

        Args:
            pairs: N pairs.
            names: the classes.
            seeds: of the run.

        Raises:
            SettingsError: a baseline that is asked for weights or epochs.
            CheckpointError: weights of another network, size or, for zero-shot, of other classes.
        """
        classes = len(names)
        if self.model in BASELINES and (self.init or self.keep_epochs):
            raise SettingsError("has no weights and no epochs", where=self.model)
        if self.model in CONTROLS:
            return CONTROLS[self.model](pairs, classes, self.size)
        if self.model == "random-ridge":
            return self._ridge("conv5", {}, pairs, classes, seeds)
        check_model(self.model)
        settings: dict[str, Any] = {}
        config: dict[str, Any] = {}
        if source := self.init or self.like:
            config = read_config(source)
            if (config["model"], config["size"]) != (self.model, self.size):
                raise CheckpointError(
                    f"holds {config['model']} at {config['size']} px, not {self.model} at "
                    f"{self.size} px",
                    where=source,
                    cure="Name them with --model and --size",
                )
            settings = dict(config["settings"])
            if "recognizer" in config:
                recognizer_settings(config, source)
        if self.branches != "both":
            settings["branches"] = self.branches
        if self.init and self.zero_shot:
            recognizer = Recognizer.from_pretrained(self.init, **settings)
            return ZeroShot(recognizer, tuple(names), self.name), pairs
        if self.frozen:
            return self._ridge(self.model, settings, pairs, classes, seeds)
        recipe = FineTuneSettings(
            model=self.model,
            model_settings=settings,
            size=self.size,
            stop=self.stop,
            loop=LoopSettings(epochs=self.epochs, batch_size=16),
        )
        learner = FineTune(
            classes,
            recipe,
            self.init,
            _head_rows(config, names),
            keep_epochs=self.keep_epochs,
            name=self.name,
        )
        return learner, pairs

    def _ridge(
        self,
        model: str,
        settings: dict[str, Any],
        pairs: Pairs,
        classes: int,
        seeds: Sequence[int],
    ) -> tuple[Learner, Clips]:
        """A ridge on features: of one backbone if it is pre-trained, else of one for each seed.

        A recognizer's features hold what it says, too.
        """
        if self.init and "recognizer" in read_config(self.init):
            recognizer = Recognizer.from_pretrained(self.init, **settings)
            clips = recognizer_features(recognizer, pairs)[:, None]
            return DualRidge(classes, tuple(seeds), name=self.name), clips
        features = []
        for seed in seeds[:1] if self.init else seeds:
            # The random numbers of whoever calls stay as they were.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                backbone = (
                    open_backbone(self.init, classes, **settings)
                    if self.init
                    else build_model(model, classes, **settings)
                )
            features.append(extract_features(backbone, pairs, size=self.size))
        return DualRidge(classes, tuple(seeds), name=self.name), np.stack(features, axis=1)


def _head_rows(config: dict[str, Any], names: Sequence[str]) -> tuple[int, ...]:
    """Outputs of a recognizer's head that stand for these classes; none if it knows others."""
    known: list[str] = config.get("recognizer", {}).get("classes", [])
    return tuple(known.index(name) for name in names) if sorted(known) == sorted(names) else ()


def compete(
    contestant: Contestant,
    marked: Marked,
    protocol: Protocol,
    folder: Path | None,
    *,
    corpus: str,
    pair_settings: PairSettings,
    seeds: Sequence[int] = (0,),
    jobs: int = -1,
    backend: Backend = "loky",
    cluster: str | None = None,
    also_best_on_test: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> RunResult:
    """Run one contestant through a protocol, with a bar."""
    learner, clips, options = _arranged(contestant, marked, corpus, pair_settings, seeds)
    with progress(contestant.name) as tick:
        result = run_benchmark(
            learner,
            clips,
            protocol=protocol,
            jobs=jobs,
            backend=backend,
            cluster=cluster,
            out=folder,
            on_progress=tick,
            also_best_on_test=also_best_on_test,
            aliases=aliases,
            **options,
        )
    if folder:
        write_fingerprints(folder / FINGERPRINTS, marked.prints)
    return result


def run_curve(
    contestant: Contestant,
    marked: Marked,
    protocol: Protocol,
    folder: Path | None,
    *,
    sizes: Sequence[int],
    draws: int = DRAWS,
    corpus: str,
    pair_settings: PairSettings,
    seeds: Sequence[int] = (0,),
    jobs: int = -1,
    backend: Backend = "loky",
    cluster: str | None = None,
    aliases: Mapping[str, str] | None = None,
) -> LearningCurve:
    """Repeat the protocol with few training subjects a fold, with a bar.

    See :func:`ma2mi.evaluation.learning_curve.run_learning_curve`. Features of a frozen network
    are computed once for the whole curve.
    """
    learner, clips, options = _arranged(contestant, marked, corpus, pair_settings, seeds)
    with progress(contestant.name) as tick:
        return run_learning_curve(
            learner,
            clips,
            protocol=protocol,
            sizes=sizes,
            draws=draws,
            jobs=jobs,
            backend=backend,
            cluster=cluster,
            out=folder,
            on_progress=tick,
            on_run=lambda place: write_fingerprints(place / FINGERPRINTS, marked.prints),
            aliases=aliases,
            **options,
        )


def _arranged(
    contestant: Contestant,
    marked: Marked,
    corpus: str,
    pair_settings: PairSettings,
    seeds: Sequence[int],
) -> tuple[Learner, Clips, dict[str, Any]]:
    """The learner, the clips as it takes them, and what else ``run_benchmark`` must know."""
    learner, clips = contestant.enter(marked.pairs, marked.classes, seeds)
    people: list[str] = []
    weights = ""
    if contestant.init:
        people = read_config(contestant.init).get("people", [])
        weights = weights_digest(contestant.init)
    like = ""
    if contestant.like:  # of random weights only what the network is like counts
        like = digest(contestant.like / CONFIG)
    options = {
        "labels": marked.labels,
        "subjects": marked.pairs.subjects.tolist(),
        "keys": marked.pairs.keys.tolist(),
        "databases": marked.databases,
        "classes": marked.classes,
        "seeds": seeds,
        "settings": {
            "corpus": corpus,
            "model": contestant.model,
            "branches": contestant.branches,
            "frozen": contestant.frozen,
            "zero_shot": contestant.zero_shot,
            "weights_sha256": weights,
            "like_sha256": like,
            "size": contestant.size,
            "pairs": pair_settings.model_dump(mode="json"),
        },
        "pretraining_people": people,
        "clips_hash": marked.clips_hash,
    }
    return learner, clips, options
