"""The study: every row measured once under each seed, and kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import PROTOCOL, SIZE, Data, Setup
from numpy.typing import NDArray
from rows import LATE, Pretraining, Row

import ma2mi
from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.errors import MissingPart
from ma2mi.evaluation import run_benchmark
from ma2mi.evaluation.curve_runs import run_learning_curve
from ma2mi.evaluation.learner import Clips, Learner
from ma2mi.evaluation.statistics import subject_confusions
from ma2mi.experiment import LabelledPairs
from ma2mi.files import replace_file
from ma2mi.models.catalog import build_model
from ma2mi.training.checkpoint import find_weights, open_backbone
from ma2mi.training.flow_kernels import FlowPCA, RBFRidge, flow_views, signed_root
from ma2mi.training.frozen import extract_features, recognizer_features
from ma2mi.training.loop import LoopSettings
from ma2mi.training.ma2mi import PretextSettings
from ma2mi.training.pretext import FutureMovementSettings
from ma2mi.training.pretrain import pretrain
from ma2mi.training.pretrain_settings import PretrainSettings
from ma2mi.training.recognizer import Recognizer
from ma2mi.training.ridge import DualRidge

#: Labelled subjects; 0 is all others. Of the rendered ones fewer, for the time that it takes.
FEW = 5
SIZES = {"synthetic": (0, 2, FEW, 10), "rendered": (0, FEW)}
_BEFORE = {"painted": "synthetic"}  # what results of earlier versions call a renderer
DRAWS = 5
#: Figures are taken once in so many steps.
EPOCH_STEPS = 100
#: Pairs of a step.
BATCH = 96
#: Axes of the late movements.
COMPONENTS = 64
#: Parts of the package and files beside this one that a result depends on.
PARTS = ("clips", "datasets", "evaluation", "face", "models", "training", "video.py")
OWN = ("data.py", "rows.py", "study.py")
#: Of these, what only pre-trained rows depend on.
LEARNING = (
    "adapt.py",
    "loop.py",
    "ma2mi.py",
    "movements.py",
    "pretext.py",
    "pretrain.py",
    "probe.py",
)

Counts = NDArray[np.int64]


class Study:
    """Rows, measured once each and kept.

    Args:
        setup: how much is measured, and where it is kept.
        jobs: processes for preparing.
    """

    def __init__(self, setup: Setup, jobs: int) -> None:
        self.setup, self.data = setup, Data(setup, jobs)
        self._pairs: dict[str, Pairs] = {}

    @cached_property
    def domains(self) -> dict[str, LabelledPairs]:
        """Labelled subjects by renderer; the rendered ones need anny."""
        with alone(self.setup.out / "data.lock"):
            found = {"synthetic": self.data.synthetic}
            try:
                found["rendered"] = self.data.rendered
            except MissingPart as error:
                print(f"no rendered subjects: {error}", file=sys.stderr)
            return found

    def measured(self, learning: bool) -> Path:
        """Where results of pre-trained rows and of the others are kept."""
        made_of = f"{state(learning)} {replace(self.setup, out=Path(), real=Path())}"
        digest = hashlib.sha256(made_of.encode()).hexdigest()[:10]
        return self.setup.out / f"{'learned' if learning else 'controls'}-{digest}"

    def steps(self, what: Pretraining) -> int:
        """Of a pre-training, without those of what it starts from."""
        return self.setup.steps or what.steps

    def result(self, row: Row, seed: int) -> dict[str, dict[int, Counts]] | None:
        """By renderer and number of labelled subjects [subjects, draws, 3, 3]; None if not yet."""
        path = self._path(row, seed)
        if not path.is_file():
            return None
        tree = json.loads(path.read_text())
        return {
            _BEFORE.get(domain, domain): {int(n): np.array(counts) for n, counts in sizes.items()}
            for domain, sizes in tree["confusions"].items()
        }

    def measure(self, row: Row, seed: int) -> float:
        """Measure a row under one seed and keep it; returns the seconds of CPU that it took."""
        path = self._path(row, seed)
        if path.is_file():
            return 0.0
        start = time.process_time()
        learned = self.pretrained(row.learned, seed) if row.learned else None
        found = {
            domain: self._confusions(
                *self._entered(row, seed, learned, marked), marked, seed, domain
            )
            for domain, marked in self.domains.items()
        }
        took = time.process_time() - start
        text = json.dumps({"row": row.name, "seed": seed, "cpu_s": took, "confusions": found})
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
        return took

    def cpu_s(self) -> float:
        """Seconds of CPU that everything measured so far took."""
        folders = [self.measured(learning) / "rows" for learning in (True, False)]
        files = [file for folder in folders for file in folder.glob("*/*.json")]
        return float(sum(json.loads(file.read_text())["cpu_s"] for file in files))

    def _path(self, row: Row, seed: int) -> Path:
        return self.measured(row.learned is not None) / "rows" / row.key / f"{seed}.json"

    # -- learning without labels -----------------------------------------------------------------

    def folder(self, what: Pretraining, seed: int) -> Path:
        """Where the weights of one pre-training lie."""
        return self.measured(learning=True) / "weights" / what.name.replace(" ", "-") / str(seed)

    def pairs(self, what: Pretraining) -> Pairs | None:
        """What it is learned from; None is the simulator."""
        if what.source == "simulator":
            return None
        draw = PairSettings(kind="near-future" if what.near else "future-movement", **what.draw)
        key = f"{what.source} {what.videos} {draw}"
        if key not in self._pairs:
            with alone(self.setup.out / "data.lock"):
                self._pairs[key] = (
                    self.data.real(draw)
                    if what.source == "real"
                    else self.data.pretraining(what.videos, draw)
                )
        return self._pairs[key]

    def pretrained(self, what: Pretraining, seed: int) -> Path:
        """The folder of one pre-training's weights, learned if they are not there."""
        folder = self.folder(what, seed)
        init = self.pretrained(what.init, seed) if what.init else None
        with alone(folder.with_suffix(".lock")):
            if not (folder / "config.json").is_file():
                pretrain(self.pairs(what), folder, self._settings(what, seed), init=init)
        return folder

    def _settings(self, what: Pretraining, seed: int) -> PretrainSettings:
        steps = self.steps(what)
        epoch = min(EPOCH_STEPS, steps)
        pretext = PretextSettings if what.near else FutureMovementSettings
        return PretrainSettings(
            model=what.model,
            model_settings=what.settings,
            size=SIZE,
            pretext=pretext(**what.pretext),
            loop=LoopSettings(
                epochs=steps // epoch, epoch_steps=epoch, batch_size=BATCH, lr=2e-3, seed=seed
            ),
        )

    # -- reading with labels ---------------------------------------------------------------------

    def _entered(
        self, row: Row, seed: int, learned: Path | None, labelled: LabelledPairs
    ) -> tuple[Learner, Clips]:
        """The classifier, and what it reads."""
        ridge = DualRidge(3, (seed,), seed=seed)
        pairs = labelled.pairs
        if row.features == "flow-pca":
            return FlowPCA(3, seed=seed), flow_views(pairs, SIZE)
        if row.features == "pixels-rbf":
            return RBFRidge(3, seed=seed), signed_root(flow_views(pairs, SIZE))
        if row.features == "zero":
            recognizer = Recognizer.from_pretrained(find_weights("zero"))
            return ridge, recognizer_features(recognizer, pairs)[:, None]
        if row.features == LATE:
            mean, axes = self.components
            return ridge, ((flow_views(pairs, SIZE) - mean) @ axes)[:, None]
        torch.manual_seed(seed)
        backbone = (
            open_backbone(learned, 3, **row.settings)
            if learned
            else build_model(row.model, 2, **row.settings)  # what a pre-training starts from
        )
        return ridge, extract_features(backbone, pairs, size=SIZE)[:, None]

    @cached_property
    def components(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Of the late movements to pre-train on: mean [D] and principal axes [D, k].

        A linear latent action model: what MA2MI learns from, without a network.
        """
        pairs = self.pairs(Pretraining("both"))
        assert pairs is not None
        late = flow_views(replace(pairs, action=pairs.late), SIZE).astype(np.float64)
        late = late.reshape(-1, late.shape[-1])
        mean = late.mean(axis=0)
        axes = np.linalg.eigh((late - mean).T @ (late - mean))[1]
        return mean, axes[:, -COMPONENTS:]

    def _confusions(
        self, learner: Learner, clips: Clips, labelled: LabelledPairs, seed: int, domain: str
    ) -> dict[int, list[Any]]:
        options: dict[str, Any] = {
            "labels": labelled.labels,
            "subjects": labelled.pairs.subjects.tolist(),
            "keys": labelled.pairs.keys.tolist(),
            "protocol": PROTOCOL,
            "databases": labelled.databases,
            "classes": labelled.classes,
            "seeds": (seed,),
        }
        pool = run_benchmark(learner, clips, **options).pool(seed)
        everyone = subject_confusions(
            pool.truth, pool.predicted, pool.subjects, len(labelled.classes)
        )
        found = {0: everyone[:, None].tolist()}
        most = len(everyone) - 1
        sizes = [size for size in SIZES[domain] if 0 < size <= most]
        if not sizes:
            return found
        curve = run_learning_curve(learner, clips, sizes=sizes, draws=DRAWS, **options)
        return found | {size: curve.counts(size)[:, :, 0].tolist() for size in sizes}


@cache
def state(learning: bool) -> str:
    """Digest of what results depend on; those of rows that are not pre-trained, on less."""
    package, here = Path(ma2mi.__file__).parent, Path(__file__).parent
    parts = [package / part for part in PARTS] + [here / name for name in OWN]
    files = [f for part in parts for f in (sorted(part.rglob("*.py")) if part.is_dir() else [part])]
    digest = hashlib.sha256()
    for file in files:
        if learning or file.name not in LEARNING:
            digest.update(file.read_bytes())
    return digest.hexdigest()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time; the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
