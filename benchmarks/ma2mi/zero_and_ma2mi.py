"""Does MA2MI help the recipe of "zero"? ``python benchmarks/ma2mi/zero_and_ma2mi.py --out DIR``.

Three ways, each against as many steps without MA2MI, in domains without training samples:
(a) MA2MI on the simulator, then the supervised recipe; (b) both losses together; (c) the shipped
weights adapted to a camera's unlabelled videos (``ma2mi adapt``), their outputs held. The control
of (c) is the shipped weights themselves: steps that only hold outputs leave them where they are
(``tests/test_adapt.py``).

(a) and (b) learn from analytic fields of synthetic subjects alone, at 64 px, in a few hundred
steps: a small copy of the recipe, the same for all. Domains of the evaluation: synthetic subjects
of other seeds, measured by OpenCV's TV-L1 and by Farneback's flow; rendered heads (anny) with other
movement settings; and, for (c), the camera: noise, flicker and H.264. p by permutation over
subjects, the predictions of all seeds pooled. Every step keeps its result below --out; killed, the
script goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "zero"))

from judging import EvaluationSet, compute_logits, measured, rendered
from pairs import CLASS_OF, DRAWN, EMOTIONS, read_pairs, write_pairs
from train_zero import ZeroSettings, train_zero

from ma2mi.clips.pairs import Pairs, PairSettings
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.datasets.folder import list_recordings
from ma2mi.evaluation.statistics import bootstrap, holm, permutation_test, subject_confusions
from ma2mi.experiment import cut_recordings, measure_movements
from ma2mi.files import replace_file
from ma2mi.models.backbone import Backbone
from ma2mi.motion import flow
from ma2mi.synthesis import SyntheticSettings, make_clip, make_subject
from ma2mi.synthesis.basis import SIDE, FlowBasis, make_basis
from ma2mi.synthesis.domain import OFF_TEMPLATE, DomainSettings
from ma2mi.synthesis.flow_simulator import UNITS
from ma2mi.synthesis.head_bank import read_head_bank, write_head_bank
from ma2mi.training.adapt import AdaptSettings, adapt
from ma2mi.training.checkpoint import find_weights
from ma2mi.training.loop import LoopSettings
from ma2mi.training.movement_settings import NuisanceSettings, SimulatorSettings
from ma2mi.training.pretext import FutureMovementSettings
from ma2mi.training.pretrain import pretrain
from ma2mi.training.pretrain_settings import PretrainSettings
from ma2mi.training.recognizer import load_model
from ma2mi.training.simulated import MeasuredPairs
from ma2mi.video import read_frames, write_video

Counts = NDArray[np.int64]

#: Steps: of MA2MI in (a), the first of them all; of all in (a) and (b); of adapting in (c).
BEFORE, ALL, ADAPTING = 100, 300, 80
#: Subjects to train on: how many, and the first seed.
TRAINING = (64, 1000)
#: Pairs to evaluate on, ten of each subject, and the first seed.
EVALUATED = (200, 9000)
#: Rendered heads to evaluate on: how many, and the first seed; "zero" was trained on 0 to 47.
HEADS = (16, 48)
#: Videos of the camera to adapt to: subjects, videos of each, the first seed.
FILMED = (16, 1, 9500)
#: Micro-expressions of other subjects before the same camera: pairs, and the first seed.
CAMERA = (160, 9700)
CAMERA_FPS = 50
CRF = 30

#: Half of the movements are shown as flow images: the network is to read both.
PRETEXT = FutureMovementSettings(
    nuisance=NuisanceSettings(images=0.5),
    simulator=SimulatorSettings(subjects=TRAINING[0], seed=TRAINING[1]),
)
# The recipe whose figures are told: that of the weights before those that now ship.
RECIPE = ZeroSettings(
    model_settings={
        "center": True,
        "branches": "action",
        "fusion": "sum",
        "padding": "zeros",
        "side": None,
        "global_attention": False,
    },
    size=64,
    batch_size=48,
    pairs=0.0,
    average=0.995,
    unit_weight=2.0,
    world=DomainSettings(),
    foreign=OFF_TEMPLATE,
    pretext=PRETEXT,
    ma2mi_batch=24,
)


@dataclass(frozen=True)
class Question:
    """An arm, and the control that it is held against."""

    name: str
    arm: str
    control: str


QUESTIONS = (
    Question("(a) MA2MI, then labels", "a", "labels"),
    Question("(b) both losses together", "b", "labels"),
    Question("(c) adapted, answers held", "c", "shipped"),
    Question("(d) as (c), answers not held", "c-free", "shipped"),
)


class Study:
    """The domains, and each network's confusions in them, each computed once."""

    def __init__(self, out: Path, jobs: int) -> None:
        self.out, self.jobs = out, jobs
        out.mkdir(parents=True, exist_ok=True)

    @cached_property
    def faces(self) -> FlowBasis:
        return make_basis(*TRAINING, jobs=self.jobs)

    @cached_property
    def synthetic(self) -> dict[str, EvaluationSet]:
        """The same pairs by two estimators, as movement and as images."""
        path = self.out / "judging.npz"
        methods = ("opencv-tvl1", "farneback")
        if not path.is_file():
            write_pairs(path, *EVALUATED, methods, jobs=self.jobs)
        subject = np.load(path)["person"]
        return {
            f"{method}, {'images' if image else 'movement'}": measured(
                read_pairs(path, method), subject, image
            )
            for method in methods
            for image in (False, True)
        }

    @cached_property
    def heads(self) -> dict[str, EvaluationSet]:
        path = self.out / "heads.safetensors"
        if not path.is_file():
            write_head_bank(path, *HEADS, size=SIDE, jobs=self.jobs)
        fields = [head.fields.transpose(0, 3, 1, 2) for head in read_head_bank(path)]
        stacked = np.stack(fields).astype(np.float32)
        return {
            f"heads, {'images' if image else 'movement'}": rendered(stacked, image)
            for image in (False, True)
        }

    @cached_property
    def camera(self) -> dict[str, EvaluationSet]:
        path = self.out / "camera.npz"
        if not path.is_file():
            parts = []
            for start in range(0, CAMERA[0], 20):
                part = self.out / f"camera.{start:05d}.npz"
                if not part.is_file():
                    rows = [_film_pair(n, self.out) for n in range(start, start + 20)]
                    _save(part, {name: np.array([row[name] for row in rows]) for name in rows[0]})
                parts.append(np.load(part))
            _save(path, {name: np.concatenate([p[name] for p in parts]) for name in parts[0]})
        with np.load(path) as file:
            seen = {name: file[name] for name in file.files}
        flows = seen["flow"].transpose(0, 3, 1, 2)
        known = MeasuredPairs(
            flows, seen["label"], seen["units"].astype(np.float32), np.zeros(len(flows), np.float32)
        )
        return {
            f"camera, {'images' if image else 'movement'}": measured(known, seen["person"], image)
            for image in (False, True)
        }

    @property
    def domains(self) -> dict[str, EvaluationSet]:
        return {**self.synthetic, **self.heads}

    def confusions(self, arm: str, seed: int) -> dict[str, Counts]:
        """Domain to [subjects, 3, 3]."""
        own = arm.startswith("c") or arm == "shipped"
        seed = 0 if arm == "shipped" else seed
        path = self.out / "results" / f"{arm}-{seed}.json"
        if not path.is_file():
            began = time.process_time()
            net, size = self._net(arm, seed)
            domains = {**self.domains, **(self.camera if own else {})}
            found = {
                name: _confusions_in(net, domain, size).tolist() for name, domain in domains.items()
            }
            path.parent.mkdir(exist_ok=True)
            replace_file(path, json.dumps(found).encode())
            print(f"{arm}-{seed}: {time.process_time() - began:.0f} s", flush=True)
        return {name: np.array(counts) for name, counts in json.loads(path.read_text()).items()}

    def _net(self, arm: str, seed: int) -> tuple[Backbone, int]:
        if arm == "shipped" or arm.startswith("c"):
            folder = find_weights("zero") if arm == "shipped" else self._adapted(arm, seed)
            recognizer = load_model(folder)
            return recognizer.net, recognizer.size
        many = ALL - BEFORE if arm == "a" else ALL
        changes = {"steps": many, "seed": seed, "ma2mi": 0.3 if arm == "b" else 0.0}
        net = train_zero(
            self.faces,
            None,
            RECIPE.model_copy(update=changes),
            init=self._pretrained(seed) if arm == "a" else None,
            state=self.out / f"{arm}-{seed}.state",
            on_progress=lambda p: print(
                f"  {arm}-{seed} {p.done}/{p.total} {p.detail:.3f}", flush=True
            ),
        )
        return net, RECIPE.size

    def _pretrained(self, seed: int) -> Path:
        folder = self.out / f"ma2mi-{seed}"
        loop = LoopSettings(epochs=1, epoch_steps=BEFORE, batch_size=32, lr=2e-3, seed=seed)
        settings = PretrainSettings(
            model=RECIPE.model,
            model_settings=RECIPE.model_settings,
            size=RECIPE.size,
            pretext=PRETEXT,
            loop=loop,
        )
        pretrain(None, folder, settings)
        return folder

    def _adapted(self, arm: str, seed: int) -> Path:
        settings: dict[str, Any] = {
            "world_batch": 32,
            "loop": LoopSettings(epochs=1, epoch_steps=ADAPTING, batch_size=32, lr=3e-4, seed=seed),
        }
        if arm == "c-free":
            settings["hold"] = 0.0
        folder = self.out / f"{arm}-{seed}"
        adapt(self.filmed, folder, find_weights("zero"), AdaptSettings(**settings))
        return folder

    @cached_property
    def filmed(self) -> Pairs:
        """Movements in the camera's videos, through the whole pipeline."""
        folder = self.out / "videos"
        subjects, each, first = FILMED
        for subject in range(first, first + subjects):
            for at in range(each):
                path = folder / f"s{subject}" / f"{at}.mp4"
                if not path.is_file():
                    clip = make_clip(
                        make_subject(subject),
                        kind="macro",
                        emotion=EMOTIONS[(subject * each + at) % len(EMOTIONS)],
                        seed=at,
                        fps=Fraction(CAMERA_FPS),
                        settings=_camera_settings(np.random.default_rng([subject, at])),
                    )
                    write_video(path, clip.frames(), CAMERA_FPS, crf=CRF)
        store = ClipStore(self.out / "clips", Recipe(size=128))
        recordings = list_recordings(folder, people="folder")
        keys, _ = cut_recordings(recordings, store, jobs=self.jobs)
        drawn = PairSettings.model_validate({"kind": "future-movement", "per_clip": 6})
        return measure_movements(store, keys, drawn, jobs=self.jobs)[0]


def _camera_settings(rng: np.random.Generator, **changes: Any) -> SyntheticSettings:
    """A poor camera: its noise and flicker are beyond what "zero" was trained with."""
    return SyntheticSettings(
        size=288,
        noise=6.0,
        flicker=0.012,
        head_drift_px=float(rng.uniform(0.1, 1.5)),
        head_turn_deg=float(rng.uniform(0.05, 0.5)),
        blink_rate=0.6,
        **changes,
    )


def _film_pair(number: int, folder: Path) -> dict[str, Any]:
    """One micro-expression before the camera; see ``pairs.make_pair``."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([CAMERA[1], number])
    subject = CAMERA[1] + number // 10
    emotion = EMOTIONS[DRAWN[rng.integers(12)] if rng.random() < 0.85 else rng.integers(8)]
    clip = make_clip(
        make_subject(subject),
        kind="micro",
        emotion=emotion,
        seed=int(rng.integers(1e6)),
        fps=Fraction(CAMERA_FPS),
        settings=_camera_settings(rng, micro_peak_px=(0.3, 2.0), padding_frames=5),
    )
    apex = int(np.clip(clip.apex + rng.integers(-1, 2), clip.onset + 2, clip.offset))
    path = folder / "pair.mp4"
    write_video(path, (clip.frame(i) for i in range(apex + 1)), CAMERA_FPS, crf=CRF)
    coded = [frame.image for frame in read_frames(path)]
    step = 224 * rng.uniform(0.85, 1.2) / 112
    x, y = 192 + rng.normal(0, 5), 223 + rng.normal(0, 6)
    to_canonical = np.array([[step, 0, x - 56 * step], [0, step, y - 56 * step], [0, 0, 1]])
    crops = [
        cv2.warpAffine(
            coded[at],
            clip.head[clip.onset] @ to_canonical,
            (112, 112),
            flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for at in (clip.onset, apex)
    ]
    units = {code.lstrip("LR") for code in clip.action_units}
    return {
        "label": CLASS_OF.get(emotion, 0),
        "units": [float(unit in units) for unit in UNITS],
        "person": subject,
        "flow": (flow(crops[0], crops[1][None])[0] * (100 / 112)).astype(np.float16),
    }


def _save(path: Path, arrays: dict[str, Any]) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.rename(path)


def _confusions_in(net: Backbone, domain: EvaluationSet, size: int) -> Counts:
    """[subjects, 3, 3] of the classes' plain logits, without a prior."""
    predicted = compute_logits(net, domain.actions, size)[:, :3].argmax(1).numpy()
    moves = domain.label >= 0
    return subject_confusions(
        domain.label[moves], predicted[moves], domain.subject[moves].astype(str), 3
    )


def _together(domains: dict[str, Counts]) -> Counts:
    """Confusions of all domains: subjects of one kind count once, in however many they are."""
    kinds: dict[str, Counts] = {}
    for name, counts in domains.items():
        kind = name.partition(",")[0]
        kind = "synthetic" if kind in ("opencv-tvl1", "farneback") else kind
        kinds[kind] = kinds[kind] + counts if kind in kinds else counts
    return np.concatenate(list(kinds.values()))


def table(study: Study, seeds: range, questions: list[Question]) -> list[str]:
    """The results in Markdown. "all domains" is the question asked; p of the others by Holm."""
    lines = [
        "| question | domain | MA2MI | control | difference | p | p (Holm) |",
        "|---|---|---|---|---|---|---|",
    ]
    for question in questions:
        arm, control = (
            [study.confusions(name, seed) for seed in seeds]
            for name in (question.arm, question.control)
        )
        sums = [
            {name: sum(run[name] for run in runs) for name in runs[0]} for runs in (arm, control)
        ]
        ours, theirs = ({"all domains": _together(s), **s} for s in sums)
        tests = {name: permutation_test(ours[name], theirs[name]) for name in ours}
        corrected = holm([tests[name].p for name in list(tests)[1:]]).tolist()
        for (name, test), p in zip(tests.items(), [None, *corrected], strict=True):
            lines.append(
                f"| {question.name} | {name} | {bootstrap(ours[name])} | {bootstrap(theirs[name])} "
                f"| {test.difference:+.3f} | {test.p:.4f} | {'' if p is None else f'{p:.4f}'} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/zero-and-ma2mi"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="abcd", help="letters of the questions")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(options.out, options.jobs)
    asked = [q for q in QUESTIONS if q.name[1] in options.only]
    for seed in range(options.seeds):  # seed by seed, so that a look halfway sees all arms
        for arm in dict.fromkeys(name for q in asked for name in (q.control, q.arm)):
            study.confusions(arm, seed)
    lines = table(study, range(options.seeds), asked)
    replace_file(options.out / f"table-{options.only}.md", "\n".join(lines).encode())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
