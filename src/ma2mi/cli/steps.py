"""The steps that commands share: from a folder or a corpus to prepared pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from ma2mi.cli.console import list_failures, out, progress
from ma2mi.clips.pairs import Pairs, PairSettings, build_pairs
from ma2mi.clips.prepare import Prepared, prepare_expressions, prepare_recordings
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.datasets import Corpus, open_corpus
from ma2mi.datasets.synthetic import write_corpus
from ma2mi.errors import CheckpointError, CorpusError, FaceError, SettingsError
from ma2mi.evaluation.benchmark import run_benchmark
from ma2mi.evaluation.engines import Backend
from ma2mi.evaluation.labels import DROPPED, LabelSet, label_set
from ma2mi.evaluation.learner import Clips, Learner
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.results import RunResult
from ma2mi.models.catalog import build_model
from ma2mi.models.trunk import Branches
from ma2mi.records import Expression, Recording
from ma2mi.training.checkpoint import WEIGHTS, open_trunk, read_config
from ma2mi.training.finetune import FineTune, FineTuneSettings
from ma2mi.training.frozen import extract_features
from ma2mi.training.loop import LoopSettings
from ma2mi.training.pretrain import PretrainSettings, pretrain
from ma2mi.training.ridge import DualRidge

#: Size of a synthetic corpus that is made because no --root was given.
SYNTHETIC_SUBJECTS = 16
SYNTHETIC_CLIPS = 9


def find_corpus(name: str, root: Path | None, made_in: Path, jobs: int) -> Corpus:
    """The corpus in ``root``; a synthetic one is painted below ``made_in`` if it has no root."""
    if root is not None:
        return open_corpus(name, root)
    return paint_corpus(name, made_in / name, SYNTHETIC_SUBJECTS, SYNTHETIC_CLIPS, 0, jobs)


def paint_corpus(name: str, root: Path, subjects: int, clips: int, seed: int, jobs: int) -> Corpus:
    """A synthetic corpus, written to ``root`` as real files.

    Raises:
        CorpusError: no synthetic corpus has this name.
    """
    if name not in ("synthetic-micro", "synthetic-macro"):
        raise CorpusError("needs --root", where=name, cure="Give the folder that holds it")
    with progress(f"Painting {name}") as tick:
        write_corpus(
            name,  # type: ignore[arg-type]  # checked above
            root,
            subjects=subjects,
            clips_per_subject=clips,
            seed=seed,
            jobs=jobs,
            progress=tick,
        )
    return open_corpus(name, root)


def cut_recordings(
    recordings: Sequence[Recording], store: ClipStore, jobs: int
) -> tuple[list[str], list[str]]:
    """Keys of the clips cut from whole recordings, and a line for each that failed."""
    with progress("Preparing videos") as tick:
        return _told(prepare_recordings(recordings, store, jobs=jobs, hook=tick), store)


def cut_expressions(
    expressions: Sequence[Expression], store: ClipStore, jobs: int
) -> tuple[list[str], list[str]]:
    """Keys of the clips cut around marked expressions, and a line for each that failed."""
    with progress("Preparing expressions") as tick:
        return _told(prepare_expressions(expressions, store, jobs=jobs, hook=tick), store)


def _told(prepared: list[Prepared], store: ClipStore) -> tuple[list[str], list[str]]:
    keys = [key for one in prepared for key in one.clips]
    failures = [line for one in prepared for line in one.failures]
    list_failures(failures)
    if not keys:
        raise FaceError("nothing could be prepared", where=store.folder, cure="See the lines above")
    return keys, failures


def near_future_pairs(
    store: ClipStore, keys: Sequence[str], settings: PairSettings, jobs: int
) -> Pairs:
    """Pairs to pre-train on."""
    with progress("Measuring movement") as tick:
        return build_pairs(store, keys, settings, jobs=jobs, hook=tick)


@dataclass(frozen=True, eq=False)
class Marked:
    """Onset-apex pairs with their labels, ready for the referee.

    Args:
        pairs: N pairs.
        labels: int64 [N].
        classes: names of the classes.
        clips_hash: sha256 of the prepared clips.
        failures: a line for each expression that could not be used.
    """

    pairs: Pairs
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    clips_hash: str
    failures: tuple[str, ...]


def mark_expressions(
    corpus: Corpus,
    labels: LabelSet,
    store_root: Path,
    recipe: Recipe,
    method: PairSettings,
    jobs: int,
) -> Marked:
    """Prepare a corpus' expressions, keep those with a class, and measure onset to apex."""
    expressions = corpus.expressions()
    if not expressions:
        raise CorpusError(
            "has no marked expressions", where=corpus.root, cure="Take a corpus with onsets"
        )
    encoded, dropped = labels.encode([e.emotion for e in expressions])
    for word, count in sorted(dropped.items()):
        out.print(f"{count} clips marked {word!r} have no class in {labels.name}")
    label_of = {
        e.key: int(label) for e, label in zip(expressions, encoded, strict=True) if label != DROPPED
    }
    store = ClipStore(store_root, recipe)
    wanted = [e for e in expressions if e.key in label_of]
    keys, failures = cut_expressions(wanted, store, jobs)
    with progress("Measuring onset to apex") as tick:
        pairs = build_pairs(store, keys, method, jobs=jobs, hook=tick)
    return Marked(
        pairs,
        np.array([label_of[key] for key in keys], dtype=np.int64),
        labels.classes,
        store.digest(keys),
        tuple(failures),
    )


def label_set_of(protocol: Protocol, corpus: str) -> LabelSet:
    """The protocol's classes; for those that leave them open, the three of MEGC2019."""
    return protocol.label_set or label_set(
        "synthetic-3" if corpus.startswith("synthetic") else "megc2019"
    )


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


def learn(
    pairs: Pairs, folder: Path, settings: PretrainSettings, fabric: Fabric, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Pre-train with a bar and the gain of each epoch."""
    with progress("Pre-training (MA2MI)") as tick:

        def hook(epoch: int, epochs: int, figures: dict[str, Any]) -> None:
            tick(epoch, epochs)
            out.print(
                f"epoch {epoch:3d}  loss {figures['loss']:.4f}  copy {figures['copy']:.4f}  "
                f"gain {100 * figures['gain']:+.1f} %  variance {figures['variance']:.3f}"
            )

        return pretrain(pairs, folder, settings, fabric=fabric, about=about, hook=hook)


def gain_line(history: list[dict[str, Any]]) -> str:
    """The last epoch in words."""
    last = history[-1]
    return (
        f"on held-out people: loss {last['loss']:.4f}, copy baseline {last['copy']:.4f}, "
        f"gain over copying {100 * last['gain']:+.1f} %"
    )


@dataclass(frozen=True)
class Contestant:
    """A network and how it is fitted; what a row of a table stands for.

    Args:
        model: name in the catalog.
        init: folder of pre-trained weights, or None.
        frozen: fit a ridge on the trunk's features instead of training the network.
        branches: "both", "position" or "action".
        size, epochs, stop, keep_epochs: see ``FineTuneSettings`` and ``FineTune``.
        title: the row's name; made from the others if empty.
    """

    model: str
    init: Path | None = None
    frozen: bool = False
    branches: Branches = "both"
    size: int = 112
    epochs: int = 15
    stop: Literal["fixed", "inner"] = "fixed"
    keep_epochs: bool = False
    title: str = ""

    @property
    def name(self) -> str:
        if self.title:
            return self.title
        start = "pre-trained" if self.init else "random" if self.frozen else "from scratch"
        parts = [start, "frozen + ridge" if self.frozen else "trained"]
        if self.branches != "both":
            parts.append(f"{self.branches} only")
        return f"{self.model} ({', '.join(parts)})"

    def entitled(self, title: str, **changes: Any) -> Contestant:
        """A variant of this contestant with a name of its own."""
        return replace(self, title=title, **changes)

    def enter(self, pairs: Pairs, classes: int) -> tuple[Learner, Clips]:
        """The learner, and the clips as it takes them: pairs, or a frozen trunk's features."""
        changes: dict[str, Any] = {} if self.branches == "both" else {"branches": self.branches}
        if self.init:
            config = read_config(self.init)
            if (config["model"], config["size"]) != (self.model, self.size):
                raise CheckpointError(
                    f"holds {config['model']} at {config['size']} px, not {self.model} at "
                    f"{self.size} px",
                    where=self.init,
                    cure="Name them with --model and --size",
                )
            changes = config["settings"] | changes
        if self.frozen:
            torch.manual_seed(0)
            trunk = (
                open_trunk(self.init, classes, **changes)
                if self.init
                else build_model(self.model, classes, **changes)
            )
            return DualRidge(classes, name=self.name), extract_features(
                trunk, pairs, size=self.size
            )
        recipe = FineTuneSettings(
            model=self.model,
            model_settings=changes,
            size=self.size,
            stop=self.stop,
            loop=LoopSettings(epochs=self.epochs),
        )
        learner = FineTune(classes, recipe, self.init, keep_epochs=self.keep_epochs, name=self.name)
        return learner, pairs


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
) -> RunResult:
    """Run one contestant through a protocol, with a bar."""
    learner, clips = contestant.enter(marked.pairs, len(marked.classes))
    people: list[str] = []
    weights = ""
    if contestant.init:
        people = read_config(contestant.init)["people"]
        weights = hashlib.sha256((contestant.init / WEIGHTS).read_bytes()).hexdigest()
    with progress(contestant.name) as tick:
        return run_benchmark(
            learner,
            clips,
            marked.labels,
            marked.pairs.subjects.tolist(),
            keys=marked.pairs.keys.tolist(),
            protocol=protocol,
            databases=[corpus] * len(marked.labels),
            classes=marked.classes,
            seeds=seeds,
            jobs=jobs,
            backend=backend,
            cluster=cluster,
            out=folder,
            hook=lambda p: tick(p.done, p.total),
            also_best_on_test=also_best_on_test,
            settings={
                "corpus": corpus,
                "model": contestant.model,
                "branches": contestant.branches,
                "frozen": contestant.frozen,
                "weights_sha256": weights,
                "size": contestant.size,
                "pairs": pair_settings.model_dump(mode="json"),
            },
            pretraining_people=people,
            clips_hash=marked.clips_hash,
        )
