"""How fast is leave-one-subject-out? Ours on one and two jobs, beside a plain loop over folds.

python benchmarks/loso.py

442 flow images of 68 fake subjects (``ma2mi.testing.megc2019_flow``), 6,272 features of an
untrained backbone. "plain loop" is what scripts do: for every fold and candidate strength,
scikit-learn's RidgeClassifier on the features as they are. "mixed kernel" is what frozen ``zero``
is read by; "chosen" picks one of all mixes of pixels, grid and outputs, and one of seven strengths,
on subjects left out within every fold. The controls on the flow itself are timed, too.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier

from ma2mi.clips.pairs import read_flow_images
from ma2mi.datasets import open_corpus
from ma2mi.evaluation import inner_splits, label_set, run_benchmark
from ma2mi.evaluation.metrics import uar
from ma2mi.evaluation.splits import loso
from ma2mi.models.catalog import build_model
from ma2mi.testing.megc2019_flow import write_tree
from ma2mi.training.feature_blocks import FeatureBlocks, PixelBlock, network_blocks
from ma2mi.training.flow_kernels import FlowPCA, RBFRidge, flow_views, signed_root
from ma2mi.training.frozen import extract_features
from ma2mi.training.mixed_kernel import STRENGTHS as SEVEN
from ma2mi.training.mixed_kernel import MixedKernel
from ma2mi.training.recognizer import load_model
from ma2mi.training.ridge import DualRidge
from ma2mi.training.set_kernels import WIDTH, SetClips, all_mixes, given_mix

#: The plain loop takes minutes; so many of its folds are timed.
PLAIN_FOLDS = 4
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        expressions = open_corpus("megc2019-flow", write_tree(Path(folder))).expressions()
        pairs = read_flow_images(expressions)
    labels, _ = label_set("megc2019").encode([e.emotion for e in expressions])
    databases = [e.recording.corpus for e in expressions]
    subjects, keys = pairs.subjects.tolist(), pairs.keys.tolist()
    torch.manual_seed(0)
    backbone = build_model("conv5", 3)
    start = time.perf_counter()
    features = extract_features(backbone, pairs, size=112)[:, None]
    print(f"features, once: {time.perf_counter() - start:.1f} s, {features.shape}")
    seconds = {}
    flows = flow_views(pairs)
    start = time.perf_counter()
    blocks = FeatureBlocks([PixelBlock(), network_blocks(load_model("zero"))])
    given, mixes = given_mix(blocks.groups), all_mixes(blocks.groups, WIDTH)
    clips = SetClips.of(blocks.extract(pairs), [given, *mixes])
    print(f"blocks and kernels, once: {time.perf_counter() - start:.1f} s")
    entries = {
        "ridge on a frozen backbone": (DualRidge(3, strengths=STRENGTHS), features),
        "mixed kernel": (MixedKernel(3, (given,)), clips),
        f"mixed kernel, one of {len(mixes)} chosen": (MixedKernel(3, mixes, SEVEN), clips),
        "flow-pca": (FlowPCA(3), flows),
        "pixels-rbf": (RBFRidge(3), signed_root(flows)),
    }
    for jobs in (1, 2):
        for name, (learner, clips) in entries.items():
            start = time.perf_counter()
            result = run_benchmark(
                learner, clips, labels, subjects,
                keys=keys, databases=databases, protocol="megc2019", jobs=jobs, clips_hash="fake",
            )  # fmt: skip
            took = seconds[f"{name}, {jobs} job(s)"] = time.perf_counter() - start
            score = result.scores()["mean"]["uf1"]
            print(f"{name}, {jobs} job(s): {took:.1f} s, UF1 {score:.3f}", flush=True)
    plain = np.asarray(extract_plain(backbone, pairs))
    start = time.perf_counter()
    splits = loso(subjects, databases)
    for split in splits[:PLAIN_FOLDS]:
        plain_fold(plain, labels, np.array(subjects), split)
    share = PLAIN_FOLDS / len(splits)
    seconds["plain loop (scikit-learn)"] = (time.perf_counter() - start) / share
    print(f"plain loop: {PLAIN_FOLDS} of {len(splits)} folds timed, scaled to all")
    for name, value in seconds.items():
        ratio = seconds["plain loop (scikit-learn)"] / value
        print(f"{name:<40} {value:7.1f} s  {68 * 442 / value:9.0f} clips/s  {ratio:5.1f} x")


def extract_plain(backbone: torch.nn.Module, pairs: object) -> np.ndarray:
    from ma2mi.clips.batches import make_batch
    from ma2mi.models.backbone import flatten_grid

    with torch.no_grad():
        batch = make_batch(pairs, np.arange(len(pairs)), size=112, side=28)
        return flatten_grid(backbone.grid(None, batch.action).features).numpy().astype(np.float64)


def plain_fold(
    x: np.ndarray, labels: np.ndarray, subjects: np.ndarray, split: object
) -> np.ndarray:
    train = split.train
    reached = []
    for strength in STRENGTHS:
        inner_guess = np.empty(len(train), dtype=np.int64)
        for inner in inner_splits(subjects[train].tolist(), labels[train]):
            model = RidgeClassifier(alpha=strength, class_weight="balanced")
            model.fit(x[train[inner.train]], labels[train[inner.train]])
            inner_guess[inner.test] = model.predict(x[train[inner.test]])
        reached.append(uar(labels[train], inner_guess, 3, "present"))
    model = RidgeClassifier(alpha=STRENGTHS[int(np.argmax(reached))], class_weight="balanced")
    return model.fit(x[train], labels[train]).predict(x[split.test])


if __name__ == "__main__":
    main()
