"""Make the shipped weights "zero" from nothing: ``python scripts/zero/make.py --out runs/zero``.

No real recording is used. Domains of the training: analytic fields of synthetic subjects, rendered
heads (anny), and synthetic pairs measured by our flow and by other people's. What is chosen after
training (temperatures, thresholds) is chosen on subjects of other seeds. The card's figures are
measured on others again, among them an estimator and a renderer that nothing before saw.
Every step keeps its result below --out; killed, the script goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from estimators import TRAINED, UNSEEN
from evaluate_zero import calibrate_and_write
from filmed import write_filmed
from judging import head_fields
from pairs import read_pairs, write_pairs
from train_zero import ZeroSettings, train_zero

from ma2mi.files import replace_file
from ma2mi.progress import OnProgress, Progress
from ma2mi.synthesis.basis import SIDE, FlowBasis, make_basis
from ma2mi.synthesis.head_bank import write_head_bank
from ma2mi.training.simulated import MeasuredPairs

SUBJECTS = (240, 1000)
"""Subjects of the analytic fields: how many, and the first seed."""
HEADS = {
    "training-heads": (288, 1000),
    "judged-heads": (12, 48),
    "calibration-heads": (16, 60),
}
"""Rendered heads: how many, and the first seed. Half of the fields that are trained on are theirs,
which with the share of measured pairs makes a third of all samples."""
TRAINING_PAIRS = (2100, 20_000)
TRAINING_ASYMMETRY = 0.9
JUDGED_PAIRS = (800, 5_000)
"""80 subjects; the first half calibrates, the second is for the card."""
JUDGED_FILMS = (24, 7_000)
"""Filmed heads, and the first seed."""
LEARNED = """{samples:,} movements of people who do not exist: analytic fields
of {subjects} synthetic faces, {heads} rendered heads (anny), and {pairs:,} pairs of pictures
of {faces} other synthetic faces, measured by ma2mi's flow and by TV-L1, Farneback's and DIS at
several settings."""


def make_domains(out: Path, jobs: int) -> None:
    """Everything that training and evaluation need, as files."""
    if not (out / "basis.npy").is_file():
        np.save(
            out / "basis-part.npy",
            make_basis(*SUBJECTS, jobs=jobs, on_progress=printer("subjects")).fields,
        )
        (out / "basis-part.npy").rename(out / "basis.npy")
    for name, (count, first) in HEADS.items():
        path = out / f"{name}.safetensors"
        if not path.is_file():
            write_head_bank(path, count, first, size=SIDE, jobs=jobs, on_progress=printer(name))
    for name, (count, first), methods, asymmetry in (
        ("training.npz", TRAINING_PAIRS, TRAINED, TRAINING_ASYMMETRY),
        ("judging.npz", JUDGED_PAIRS, ("thin-plate", "opencv-tvl1", "farneback", UNSEEN), 0.5),
    ):
        if not (out / name).is_file():
            write_pairs(
                out / name,
                count,
                first,
                methods,
                jobs=jobs,
                asymmetry=asymmetry,
                on_progress=printer(name),
            )
    if not (out / "judged-films.npz").is_file():
        write_filmed(
            out / "judged-films.npz",
            JUDGED_FILMS,
            ("thin-plate", "opencv-tvl1", UNSEEN),
            jobs=jobs,
            on_progress=printer("films"),
        )


def training_basis(out: Path) -> FlowBasis:
    """The synthetic subjects and the training heads."""
    heads = head_fields(out / "training-heads.safetensors")
    return FlowBasis(np.concatenate([np.load(out / "basis.npy"), heads]))


def training_pairs(out: Path) -> MeasuredPairs:
    """Every pair once an estimator."""
    seen = [read_pairs(out / "training.npz", method) for method in TRAINED]
    return MeasuredPairs(
        np.concatenate([one.flow for one in seen]),
        np.concatenate([one.label for one in seen]),
        np.concatenate([one.units for one in seen]),
        np.concatenate([one.peak for one in seen]),
    )


def printer(what: str) -> OnProgress:
    """Prints now and then how far it is."""
    began = last = time.monotonic()

    def on_progress(now: Progress) -> None:
        nonlocal last
        if now.done < (now.total or 0) and time.monotonic() < last + 10:
            return
        last = time.monotonic()
        tail = "" if now.detail is None else f"  loss {now.detail:.4f}"
        print(f"{what}: {now.done}/{now.total}  {last - began:.0f} s{tail}", flush=True)

    return on_progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/zero"))
    parser.add_argument("--weights", type=Path, help="also put the weights here")
    parser.add_argument("--steps", type=int, default=ZeroSettings().steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", type=Path, help="start from these pre-trained weights")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    make_domains(out, options.jobs)
    settings = ZeroSettings(steps=options.steps, seed=options.seed)
    net = train_zero(
        training_basis(out),
        training_pairs(out),
        settings,
        init=options.init,
        state=out / "state.safetensors",
        on_progress=printer("step"),
    )
    described = {
        "model": settings.model,
        "settings": settings.model_settings,
        "size": settings.size,
    }
    made = {"seed": settings.seed, "learned": learned(settings)}
    print(calibrate_and_write(net, described, made, out, out / "weights"))
    replace_file(out / "weights" / "settings.json", settings.model_dump_json(indent=2).encode())
    if options.weights:
        for file in (out / "weights").iterdir():
            replace_file(options.weights / file.name, file.read_bytes())


def learned(settings: ZeroSettings) -> str:
    """For the card: what it was trained on."""
    return LEARNED.format(
        samples=settings.steps * settings.batch_size,
        subjects=SUBJECTS[0],
        heads=HEADS["training-heads"][0],
        pairs=TRAINING_PAIRS[0],
        faces=TRAINING_PAIRS[0] // 10,
    )


if __name__ == "__main__":
    main()
