"""Make the shipped weights "zero" from nothing: ``python scripts/zero/make.py --out runs/zero``.

No real recording is used. Domains of the training: analytic fields of synthetic subjects, rendered
heads (anny), and synthetic pairs measured by our flow. What is chosen after training (temperatures,
thresholds) is chosen on subjects of other seeds, measured by OpenCV's TV-L1. The card's figures are
measured on others again, by Farneback's flow and on unseen heads with other movement settings.
Every step keeps its result below --out; killed, the script goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
from evaluate_zero import calibrate_on, write_card
from pairs import read_pairs, write_pairs
from train_zero import ZeroSettings, train_zero

from ma2mi.files import replace_file
from ma2mi.progress import OnProgress, Progress
from ma2mi.synthesis.basis import SIDE, FlowBasis, make_basis
from ma2mi.synthesis.head_bank import read_head_bank, write_head_bank
from ma2mi.training.checkpoint import WEIGHTS
from ma2mi.training.recognizer import Recognizer

SUBJECTS = (160, 1000)
"""Subjects of the analytic fields: how many, and the first seed."""
HEADS = 60
TRAINING_HEADS = 48
TRAINING_PAIRS = (1200, 20_000)
EVALUATION_PAIRS = (800, 5_000)
"""80 subjects; the first half calibrates, the second is for the card."""


def make_domains(out: Path, jobs: int) -> None:
    """Everything that training and evaluation need, as files."""
    if not (out / "basis.npy").is_file():
        np.save(
            out / "basis-part.npy",
            make_basis(*SUBJECTS, jobs=jobs, on_progress=printer("subjects")).fields,
        )
        (out / "basis-part.npy").rename(out / "basis.npy")
    if not (out / "heads.safetensors").is_file():
        write_head_bank(
            out / "heads.safetensors", HEADS, 0, size=SIDE, jobs=jobs, on_progress=printer("heads")
        )
    for name, (count, first), methods in (
        ("training.npz", TRAINING_PAIRS, ("thin-plate",)),
        ("judging.npz", EVALUATION_PAIRS, ("thin-plate", "opencv-tvl1", "farneback")),
    ):
        if not (out / name).is_file():
            write_pairs(out / name, count, first, methods, jobs=jobs, on_progress=printer(name))


def training_basis(out: Path) -> FlowBasis:
    """The synthetic subjects, and the training heads as often: three times each."""
    heads = head_fields(out)[:TRAINING_HEADS]
    return FlowBasis(np.concatenate([np.load(out / "basis.npy"), heads, heads, heads]))


def head_fields(out: Path) -> np.ndarray:
    """Fields of the rendered heads, as :class:`FlowBasis` holds them."""
    heads = read_head_bank(out / "heads.safetensors")
    return np.stack([head.fields.transpose(0, 3, 1, 2).astype(np.float32) for head in heads])


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
    parser.add_argument("--model", default=ZeroSettings().model)
    parser.add_argument("--steps", type=int, default=ZeroSettings().steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", type=Path, help="start from these pre-trained weights")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    make_domains(out, options.jobs)
    settings = ZeroSettings(model=options.model, steps=options.steps, seed=options.seed)
    net = train_zero(
        training_basis(out),
        read_pairs(out / "training.npz", "thin-plate"),
        settings,
        init=options.init,
        state=out / "state.safetensors",
        on_progress=printer("step"),
    )
    recognizer = calibrate_on(net, settings, out)
    card = write_card(recognizer, settings, out, head_fields(out)[TRAINING_HEADS:])
    Recognizer(net, recognizer.config).save_pretrained(out / "weights")
    weights_hash = hashlib.sha256((out / "weights" / WEIGHTS).read_bytes()).hexdigest()
    config = recognizer.config | {"weights_sha256": weights_hash}
    card = card.replace("@HASH@", weights_hash)
    for folder in filter(None, (out / "weights", options.weights)):
        Recognizer(net, config, card).save_pretrained(folder)
        replace_file(folder / "calibration.png", (out / "calibration.png").read_bytes())
        replace_file(folder / "settings.json", settings.model_dump_json(indent=2).encode())
    print(card)


if __name__ == "__main__":
    main()
