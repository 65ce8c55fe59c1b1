"""What MA2MI brings, and where it brings nothing: ``python benchmarks/ma2mi/ablate.py``.

Painted macro video to pre-train on, painted micro-expressions to learn from (other people), leave
one subject out. Every row is held against the same network with random weights under the same
classifier, by a permutation test over people, the seeds' predictions pooled. Shares are of the
labelled training clips of each fold. Everything is kept below --out; killed, it goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ma2mi.cli import steps
from ma2mi.clips.batches import AugmentSettings
from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.evaluation import run_benchmark
from ma2mi.evaluation.learner import Clips, Learner, Predictor
from ma2mi.evaluation.protocols import protocol
from ma2mi.evaluation.statistics import bootstrap, permutation_test, person_confusions
from ma2mi.files import replace_file
from ma2mi.models.catalog import build_model
from ma2mi.training.checkpoint import find_weights, open_trunk
from ma2mi.training.finetune import FineTune, FineTuneSettings
from ma2mi.training.frozen import extract_features
from ma2mi.training.loop import LoopSettings
from ma2mi.training.ma2mi import PretextSettings
from ma2mi.training.pretrain import PretrainSettings, pretrain
from ma2mi.training.ridge import DualRidge

MODEL = "miacnet-tiny"
SIZE = 112
SHARES = (1.0, 0.25, 0.1, 0.05)
SEEDS = (0, 1, 2)
MICRO = (16, 12, 50)
MACRO = (16, 4, 60)
"""People, clips of each, and seed; people of different seeds are different people."""

#: Name of a pre-training -> what differs from the defaults: (pretext, pairs).
PRETEXTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "latent": ({}, {}),
    "latent, 0.1-0.5 s": ({}, {"interval_s": (0.1, 0.5)}),
    "pixel": ({"space": "pixel"}, {}),
    "flow": ({"space": "flow"}, {}),
}


@dataclass(frozen=True)
class Few:
    """A learner that is given a share of the labelled clips, at least two of each class."""

    learner: Any
    share: float
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.learner.name}, {self.share:.0%} of labels"

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.learner.settings, "share": self.share}

    def reseed(self, seed: int) -> Learner:
        return replace(self, learner=self.learner.reseed(seed), seed=seed)

    def fit(self, clips: Any, labels: NDArray[np.int64], subjects: NDArray[np.str_]) -> Predictor:
        rng = np.random.default_rng(self.seed)
        rows = []
        for label in np.unique(labels):
            own = rng.permutation(np.flatnonzero(labels == label))
            rows.append(own[: max(2, round(self.share * len(own)))])
        kept = np.sort(np.concatenate(rows))
        fitted: Predictor = self.learner.fit(clips[kept], labels[kept], subjects[kept])
        return fitted


@dataclass(frozen=True)
class Row:
    """One line of the table: where the weights come from, and what is fitted on them."""

    weights: str
    branches: str
    classifier: str
    share: float

    @property
    def key(self) -> str:
        text = f"{self.weights}-{self.branches}-{self.classifier}-{self.share}"
        return "".join(c if c.isalnum() else "_" for c in text)

    @property
    def control(self) -> Row:
        return replace(self, weights="random")


class Study:
    """The data, and every pre-training and run on it, each made once."""

    def __init__(self, out: Path, jobs: int) -> None:
        self.out, self.jobs = out, jobs
        store = ClipStore(out / "clips", Recipe(size=SIZE + 16))
        macro = steps.paint_corpus("synthetic-macro", out / "macro", *MACRO, jobs)
        self.keys, _ = steps.cut_recordings(macro.recordings(), store, jobs)
        self.store = store
        micro = steps.paint_corpus("synthetic-micro", out / "micro", *MICRO, jobs)
        self.protocol = protocol("synthetic-3")
        self.marked = steps.mark_expressions(
            micro, self.protocol, out / "clips", store.recipe, PairSettings(), jobs
        )

    def pretrained(self, name: str, seed: int) -> Path:
        """The folder of one pre-training's weights; "zero" are the shipped ones."""
        if name == "zero":
            return find_weights(name)
        pretext, draw = PRETEXTS[name]
        settings = PairSettings(kind="near-future", per_clip=6, **draw)
        pairs, _ = steps.near_future_pairs(self.store, self.keys, settings, self.jobs)
        folder = self.out / "ma2mi" / f"{name.replace(' ', '_')}-{seed}"
        pretrain(
            pairs,
            folder,
            PretrainSettings(
                model=MODEL,
                size=SIZE,
                pretext=PretextSettings(**pretext),
                loop=LoopSettings(epochs=6, batch_size=16, lr=2e-3, seed=seed),
                augment=AugmentSettings(strength=0),
            ),
            hook=lambda epoch, epochs, told: print(
                f"  {folder.name} {epoch}/{epochs}: gain {told['gain']:+.1%}", flush=True
            ),
        )
        return folder

    def confusions(self, row: Row) -> NDArray[np.int64]:
        """[people, 3, 3], summed over seeds."""
        kept = self.out / "results" / f"{row.key}.json"
        if not kept.is_file():
            found = sum(self._run(row, seed) for seed in SEEDS)
            kept.parent.mkdir(exist_ok=True)
            replace_file(kept, json.dumps(found.tolist()).encode())
        return np.array(json.loads(kept.read_text()))

    def _run(self, row: Row, seed: int) -> NDArray[np.int64]:
        init = None if row.weights == "random" else self.pretrained(row.weights, seed)
        learner, clips = self._enter(row, seed, init)
        marked = self.marked
        result = run_benchmark(
            Few(learner, row.share, seed),
            clips,
            marked.labels,
            marked.pairs.subjects.tolist(),
            keys=marked.pairs.keys.tolist(),
            protocol=self.protocol,
            databases=marked.databases,
            classes=marked.classes,
            seeds=(seed,),
            jobs=self.jobs,
        )
        pool = result.pool(seed)
        return person_confusions(pool.truth, pool.guess, pool.people, len(marked.classes))

    def _enter(self, row: Row, seed: int, init: Path | None) -> tuple[Learner, Clips]:
        changes = {"branches": row.branches}
        if row.classifier == "ridge":
            torch.manual_seed(seed)
            trunk = open_trunk(init, 3, **changes) if init else build_model(MODEL, 3, **changes)
            features = extract_features(trunk, self.marked.pairs, size=SIZE)[:, None]
            return DualRidge(3, (seed,), strengths=(0.3,), seed=seed), features
        recipe = FineTuneSettings(
            model=MODEL,
            model_settings=changes,
            size=SIZE,
            loop=LoopSettings(epochs=10, batch_size=16),
        )
        pairs: Pairs = self.marked.pairs
        return FineTune(3, recipe, init, seed=seed), pairs


def rows(full: bool) -> list[Row]:
    """The table's lines; fine-tuning, the slow part, only if asked for."""
    lines = [
        Row(weights, branches, "ridge", share)
        for branches in ("both", "action")
        for weights in PRETEXTS
        for share in SHARES
    ]
    lines += [Row("zero", "action", "ridge", share) for share in SHARES]
    if full:
        lines += [Row("flow", "both", "fine-tuned", share) for share in (0.25, 0.1)]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/ma2mi-ablation"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fine-tune", action="store_true", help="also train whole networks")
    options = parser.parse_args()
    study = Study(options.out, options.jobs)
    print("| pre-training | branches | classifier | labels | UF1 | random | p |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for row in rows(options.fine_tune):
        ours, control = study.confusions(row), study.confusions(row.control)
        test = permutation_test(ours, control)
        print(
            f"| {row.weights} | {row.branches} | {row.classifier} | {row.share:.0%} | "
            f"{bootstrap(ours)} | {bootstrap(control)} | {test.p:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
