"""What helps a frozen network with few labelled subjects? Each step against the recipe before it.

python benchmarks/few_subjects/measure.py --out runs/few-subjects

Labelled subjects of two renderers, neither of which any weights were learned from: synthetic faces
and rendered heads, measured by several estimators, as movement and as the 28 px images that are
exchanged of MEGC2019. Classes are as uneven as in MEGC2019, and of the training labels a fifth is
wrong, as labels of real corpora are; predictions are scored with the right ones. Every step is
tested against the recipe so far by a paired permutation test over subjects. README.md is written
beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

import ma2mi
from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.datasets import Corpus
from ma2mi.evaluation.metrics import uf1_of
from ma2mi.evaluation.splits import Split, loso
from ma2mi.evaluation.statistics import bootstrap, permutation_test, subject_confusions
from ma2mi.evaluation.training_draws import TrainingDraw, draw_training
from ma2mi.experiment import label_pairs
from ma2mi.files import replace_file
from ma2mi.training.checkpoint import find_weights, weights_digest
from ma2mi.training.feature_blocks import FeatureBlocks, PixelBlock, network_blocks
from ma2mi.training.frozen import OUTPUT_SHARE, recognizer_features
from ma2mi.training.mixed_kernel import STRENGTHS, MixedKernel
from ma2mi.training.recognizer import load_model
from ma2mi.training.ridge import DualRidge
from ma2mi.training.set_kernels import WIDTH, Mix, SetClips, all_mixes, given_mix

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ma2mi"))
from data import PROTOCOL, SIZE, Data, Setup  # noqa: E402

#: Labelled subjects, and draws of them and of the wrong labels; 0 is all others.
DRAWS = {5: 4, 16: 3, 0: 2}
#: Clips of each class in MEGC2019: negative, positive, surprise.
UNEVEN = (250, 109, 83)
WRONG = 0.2
INSTANCES = 3
LEVEL = 0.05
#: Files of the package that features, and that results depend on.
FEATURES = ("feature_blocks", "frozen")
FITS = (*FEATURES, "ridge", "mixed_kernel", "set_kernels")

Counts = np.ndarray


@dataclass(frozen=True)
class Domain:
    """Subjects of one renderer, measured one way.

    Args:
        renderer: "synthetic" faces or rendered "heads".
        flow: the estimator.
        image: whether the movement is only known as an image of 28 px, scaled by its own range.
    """

    renderer: str
    flow: str
    image: bool = False

    @property
    def name(self) -> str:
        return f"{self.renderer}, {self.flow}{', as image' if self.image else ''}"


DOMAINS = tuple(
    Domain(renderer, flow, image)
    for flow, image in (("thin-plate", False), ("dis", False), ("farneback", True))
    for renderer in ("heads", "synthetic")
)
#: Where a clip is a video, so that there are frames before the apex; heads are two pictures.
MOVING = tuple(d for d in DOMAINS if d.renderer == "synthetic" and not d.image)


@dataclass(frozen=True, eq=False)
class Labelled:
    """N clips of one domain: what classifiers read, true labels, subjects."""

    features: dict[str, np.ndarray]
    labels: np.ndarray
    subjects: np.ndarray

    def blocks(self, *prefixes: str) -> dict[str, np.ndarray]:
        """Feature blocks; those whose name starts with a prefix go for those without it."""
        found = {n: x for n, x in self.features.items() if ":" not in n and n != "today"}
        for prefix in prefixes:
            start = f"{prefix}:"
            found |= {
                n.removeprefix(start): x for n, x in self.features.items() if n.startswith(start)
            }
        return found


# -- recipes --------------------------------------------------------------------------------------

ZERO = {"grid": 1 - OUTPUT_SHARE, "classes": OUTPUT_SHARE * 0.6, "units": OUTPUT_SHARE * 0.4}
GROUPS = ({"pixels": 1.0}, {"grid": 1.0}, {"classes": 0.6, "units": 0.4})
OWN = (Mix(tuple(ZERO.items())),)
GAUSSIAN = (given_mix(GROUPS),)
#: The same with pixels: a third of the kernel, or chosen among all subsets of the three.
PIXELS = tuple(replace(mix, width=WIDTH) for mix in all_mixes(GROUPS))
Arranged = tuple[Any, Any]


def plain(data: Labelled, **options: Any) -> Arranged:
    """The plain ridge: grid and outputs in equal parts, the first view alone predicted."""
    return DualRidge(3, **options), data.features["today"][:, None]


def mixed(data: Labelled, *prefixes: str, mixes: tuple[Mix, ...], **options: Any) -> Arranged:
    """A kernel between clips as sets of views."""
    return MixedKernel(3, mixes, **options), SetClips.of(data.blocks(*prefixes), mixes)


@dataclass(frozen=True)
class Step:
    """One line of the table.

    Args:
        name: what changes.
        arrange: learner and clips of a domain.
        against: the recipe before it; "" for none.
        default: whether it is part of the default of frozen entries.
        domains: where it is measured.
    """

    name: str
    arrange: Callable[[Labelled], Arranged]
    against: str = ""
    default: bool = False
    domains: tuple[Domain, ...] = DOMAINS


TODAY = "plain ridge"
UF1 = "strength chosen by UF1, not UAR"
GIVEN = "strength given (1), not chosen"
VIEWS = "all views trained on and averaged"
ALL = "all steps kept"
ROUND = f"Gaussian kernel of width {WIDTH:g}"
STEPS = (
    Step(TODAY, plain),
    Step(UF1, partial(plain, choose_by="uf1"), TODAY),
    Step("strength chosen by its error", partial(plain, choose_by="error"), TODAY),
    Step("wider strengths", partial(plain, strengths=STRENGTHS), TODAY),
    Step(GIVEN, partial(plain, strengths=(1.0,)), TODAY, default=True),
    Step(VIEWS, partial(mixed, mixes=OWN), GIVEN, default=True),
    Step(ROUND, partial(mixed, mixes=GAUSSIAN), VIEWS, default=True),
    Step(ALL, partial(mixed, mixes=GAUSSIAN), TODAY, default=True),
    Step(
        "strength chosen by its error, again",
        partial(mixed, mixes=GAUSSIAN, strengths=STRENGTHS),
        ROUND,
    ),
    *(
        Step(f"width {w:g}", partial(mixed, mixes=(replace(GAUSSIAN[0], width=w),)), ROUND)
        for w in (0.7, 1.4)
    ),
    Step("pixels a third of the kernel", partial(mixed, mixes=PIXELS[:1]), ROUND),
    Step("mix with pixels chosen by error", partial(mixed, mixes=PIXELS), ROUND),
    Step("mix with pixels chosen by UF1", partial(mixed, mixes=PIXELS, choose_by="uf1"), ROUND),
    Step("class biases", partial(mixed, mixes=GAUSSIAN, biases=True), ROUND),
    Step(
        "planes, not medians, removed from pixels",
        lambda data: mixed(data, "plane", mixes=PIXELS[:1]),
        "pixels a third of the kernel",
    ),
    Step(
        f"{INSTANCES} frames near the apex",
        lambda data: mixed(data, "frames", mixes=GAUSSIAN),
        ROUND,
        domains=MOVING,
    ),
)


# -- measuring ------------------------------------------------------------------------------------


class Study:
    """Every step in every domain, measured once and kept.

    Args:
        out: results are kept here.
        data: synthetic subjects and rendered heads are made or found here.
        jobs: processes for preparing.
    """

    def __init__(self, out: Path, data: Path, jobs: int) -> None:
        self.data = Data(Setup(data), jobs)
        self.weights = weights_digest(find_weights("zero"))
        self.features = out / f"features-{_state(self.weights, FEATURES)}"
        self.kept = out / f"results-{_state(self.weights, FITS)}"
        for folder in (self.features, self.kept):
            folder.mkdir(parents=True, exist_ok=True)

    def counts(self, step: Step, domain: Domain, size: int) -> Counts:
        """Confusions of each left-out subject, [subjects, draws, 3, 3]."""
        name = hashlib.sha256(f"{step.name} {domain.name} {size}".encode()).hexdigest()[:12]
        path = self.kept / f"{name}.json"
        if not path.is_file():
            start = time.process_time()
            with threadpool_limits(1):
                labelled = self._labelled(domain)
                learner, clips = step.arrange(labelled)
                found = [
                    self._confusions(learner, clips, labelled, size, draw)
                    for draw in range(DRAWS[size])
                ]
            about = {"step": step.name, "domain": domain.name, "subjects": size}
            about["cpu_s"] = round(time.process_time() - start, 1)
            text = json.dumps({**about, "confusions": np.stack(found, axis=1).tolist()})
            replace_file(path, text.encode())
            print(*about.values(), flush=True)
        return np.array(json.loads(path.read_text())["confusions"])

    def _confusions(
        self, learner: Any, clips: Any, labelled: Labelled, size: int, draw: int
    ) -> Counts:
        truth, subjects = labelled.labels, labelled.subjects
        rng = np.random.default_rng([draw, size])
        shifts = rng.integers(1, 3, len(truth)) * (rng.random(len(truth)) < WRONG)
        given = (truth + shifts) % 3
        predicted = np.empty_like(truth)
        for split in _splits(subjects, given, size, draw):
            predictor = learner.fit(clips[split.train], given[split.train], subjects[split.train])
            predicted[split.test] = predictor.predict(clips[split.test]).argmax(1)
        return subject_confusions(truth, predicted, subjects, 3)

    def _labelled(self, domain: Domain) -> Labelled:
        path = self.features / f"{domain.name.replace(', ', '-').replace(' ', '-')}.npz"
        if not path.is_file():
            self._extract(domain, path)
        with np.load(path) as file:
            arrays = dict(file)
        return Labelled(
            labels=arrays.pop("labels"), subjects=arrays.pop("subjects"), features=arrays
        )

    def _extract(self, domain: Domain, path: Path) -> None:
        settings = PairSettings(method=domain.flow, instances=INSTANCES if domain in MOVING else 1)
        found = label_pairs(
            self._corpus(domain.renderer), PROTOCOL, self.data.clips,
            recipe=self.data.store.recipe, settings=settings,
        )  # fmt: skip
        rows = _uneven(found.labels)
        pairs = found.pairs[rows]
        if domain.image:
            pairs = as_images(pairs)
        zero = load_model("zero")
        apex = pairs.instances[0]
        blocks = FeatureBlocks([PixelBlock(), network_blocks(zero)], SIZE)
        features = {"today": recognizer_features(zero, apex), **blocks.extract(apex)}
        planes = FeatureBlocks([PixelBlock(removed="plane")], SIZE).extract(apex)
        features["plane:pixels"] = planes["pixels"]
        if len(pairs.more):
            features |= {f"frames:{name}": x for name, x in blocks.extract(pairs).items()}
        np.savez(path, labels=found.labels[rows], subjects=pairs.subjects, **features)

    def _corpus(self, renderer: str) -> Corpus:
        data = self.data
        return data.synthetic_corpus if renderer == "synthetic" else data.rendered_corpus


def _splits(subjects: np.ndarray, labels: np.ndarray, size: int, draw: int) -> Iterator[Split]:
    for split in loso(subjects.tolist()):
        if size:
            split = draw_training(split, subjects, labels[split.train], TrainingDraw(size, draw))
        yield split


def _uneven(labels: np.ndarray) -> np.ndarray:
    """Rows, drawn so that the classes' shares are those of MEGC2019."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(labels == c) for c in range(3)]
    most = min(len(r) / count for r, count in zip(rows, UNEVEN, strict=True))
    kept = [
        rng.choice(r, round(most * count), replace=False)
        for r, count in zip(rows, UNEVEN, strict=True)
    ]
    return np.sort(np.concatenate(kept))


def as_images(pairs: Pairs) -> Pairs:
    """The same movements as images of 28 px, each channel scaled by its own range."""
    margin = (pairs.action.shape[1] - SIZE) // 2
    inner = slice(margin, margin + SIZE)
    cells = [
        cv2.resize(a[inner, inner].astype(np.float32), (28, 28), interpolation=cv2.INTER_AREA)
        for a in pairs.action
    ]
    flow = np.stack(cells)
    low, high = flow.min((1, 2), keepdims=True), flow.max((1, 2), keepdims=True)
    images = np.rint(255 * (flow - low) / (high - low))
    # As ``clips.pairs.read_flow_images`` reads them.
    action = (images / 127.5 - 1) * (1, 1, 0.5) + (0, 0, 0.5)
    action *= (0.28, 0.28, 0.1)
    none = np.empty((0, 28, 28, 3), np.uint8)
    lost = np.full(len(pairs), np.nan)
    return replace(
        pairs, first=none, second=none, third=none, action=action.astype(np.float16), elapsed_s=lost
    )


def _state(weights: str, parts: tuple[str, ...]) -> str:
    """Digest of what a result depends on."""
    digest = hashlib.sha256(f"{weights} {DRAWS} {UNEVEN} {WRONG} {INSTANCES}".encode())
    for name in parts:
        digest.update((Path(ma2mi.__file__).parent / "training" / f"{name}.py").read_bytes())
    return digest.hexdigest()[:10]


# -- testing --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Measured:
    """Counts of a step [subjects, runs, 3, 3] and each run's weight in the mean; of both renderers.

    A subject of one renderer has no clips in the other's runs. A run is one draw in one domain.
    """

    counts: Counts
    weights: np.ndarray

    def score(self, counts: Counts) -> np.ndarray:
        return uf1_of(counts, "present") @ self.weights


def gather(
    study: Study, step: Step, sizes: tuple[int, ...], domains: tuple[Domain, ...]
) -> Measured:
    """A step over domains and sizes; each of both weighs the same."""
    parts, weights = [], []
    for size in sizes:
        for domain in domains:
            counts = study.counts(step, domain, size)
            other = np.zeros_like(counts)
            pair = (counts, other) if domain.renderer == "heads" else (other, counts)
            parts.append(np.concatenate(pair))
            weights += [1 / (len(sizes) * len(domains) * counts.shape[1])] * counts.shape[1]
    return Measured(np.concatenate(parts, axis=1), np.array(weights))


def table(study: Study) -> str:
    sizes = tuple(DRAWS)
    words = [str(size) if size else "39" for size in sizes]
    head = ["step", "against", *(f"{w} subjects" for w in words), "mean", "difference", "p", "kept"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    known = {step.name: step for step in STEPS}
    for step in STEPS:
        cells = [step.name, step.against]
        for size in sizes:
            one = gather(study, step, (size,), step.domains)
            text = f"{bootstrap(one.counts, one.score).value:.3f}"
            if step.against:
                before = gather(study, known[step.against], (size,), step.domains)
                test = permutation_test(one.counts, before.counts, one.score)
                text += f" ({test.difference:+.3f}, p {test.p:.3f})"
            cells.append(text)
        one = gather(study, step, sizes, step.domains)
        cells.append(str(bootstrap(one.counts, one.score)))
        if step.against:
            before = gather(study, known[step.against], sizes, step.domains)
            test = permutation_test(one.counts, before.counts, one.score)
            earned = test.difference > 0 and test.p < LEVEL
            verdict = "yes" if step.default else "no"
            if earned != step.default:
                verdict += " (although it earned its place)" if earned else " (not earned)"
            cells += [f"{test.difference:+.3f}", f"{test.p:.4f}", verdict]
        else:
            cells += ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


PAGE = """# Few labelled subjects: what each step brings

Written by `{command}` ({when}), ma2mi {version}, weights `zero` {weights}, on {machine}.

A frozen `zero` and a classifier on its features. {subjects} labelled subjects of two renderers,
none of whom is in the weights, and {clips} clips of each renderer, in the shares of MEGC2019
({uneven} negative, positive, surprise). {domains} domains: {names}. A fifth of the training labels
is wrong; predictions are scored with the right ones. {draws} draws with 5, 16 and all 39 other
subjects.

Figures are UF1, the mean over domains and draws; intervals by bootstrap over subjects; p by the
paired permutation test over subjects against the row named, not corrected for the number of rows.
"kept": part of what frozen entries do by default. The rows before "{given}" are alternatives to it:
where a strength is given, none is chosen.

{table}

Averaging all views is kept whatever it gains: a face and its mirror image then get one answer, and
a kernel of one row a clip, not of two, is fitted 8 times sooner. Width and strength were fixed on
these domains with the weights before (see `benchmarks/zero`), and not tuned again for later ones.

Frames before the apex exist where a clip is a video: synthetic faces, as movement ({moving}).
Under "{first}" strengths are 0.03 to 3, chosen by UAR on five folds of the training subjects, and
the first view alone is predicted: `--classifier ridge`. `--classifier mixed` is "{all}".
"""


def write_page(study: Study, path: Path, command: str) -> None:
    first = study.counts(STEPS[0], DOMAINS[0], 0)
    text = PAGE.format(
        command=command,
        when=date.today().isoformat(),
        version=ma2mi.__version__,
        weights=study.weights[:12],
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        subjects=2 * len(first),
        clips=int(first[:, 0].sum()),
        uneven=" : ".join(map(str, UNEVEN)),
        domains=len(DOMAINS),
        names="; ".join(domain.name for domain in DOMAINS),
        draws=", ".join(map(str, DRAWS.values())),
        level=LEVEL,
        table=table(study),
        moving="; ".join(domain.name for domain in MOVING),
        first=TODAY,
        given=GIVEN,
        all=ALL,
    )
    replace_file(path, text.encode())
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/few-subjects"))
    parser.add_argument("--data", type=Path, default=Path("runs/ma2mi-study"))
    parser.add_argument("--jobs", type=int, default=1, help="processes that prepare clips")
    given = parser.parse_args()
    study = Study(given.out, given.data, given.jobs)
    write_page(study, HERE / "README.md", "python benchmarks/few_subjects/measure.py")


if __name__ == "__main__":
    main()
