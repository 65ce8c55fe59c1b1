"""Score a recognizer on the judging domains, and write its card.

``python scripts/zero/evaluate_zero.py --weights DIR`` scores DIR, as it stands, on the judging
data of ``make.py``; with ``--calibrate OUT`` its temperatures and thresholds are first chosen anew,
on the calibration subjects alone, and the result is written to OUT with its card.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from calibrate_zero import KEPT_MOVEMENTS, calibrate_on, commit
from card import fill_card
from judging import EvaluationSet, calibration_domains, compute_logits, judging_domains

from ma2mi.evaluation.statistics import (
    Counts,
    bootstrap,
    mean_unit_f1_of,
    subject_confusions,
    subject_unit_counts,
)
from ma2mi.models.backbone import Backbone
from ma2mi.motion.facs import CLASSES
from ma2mi.training.checkpoint import WEIGHTS
from ma2mi.training.outputs import Calibrated, calibrate
from ma2mi.training.recognizer import Recognizer, load_model


def outputs_in(recognizer: Recognizer, domain: EvaluationSet) -> Calibrated:
    """What the recognizer makes of a domain's movements."""
    logits = compute_logits(recognizer.net, domain.actions, recognizer.size)
    return calibrate(logits, recognizer.settings)


def counts_of(
    recognizer: Recognizer, domain: EvaluationSet, output: Calibrated
) -> tuple[Counts, Counts]:
    """Confusion matrices [subjects, 3, 3], and (tp, fp, fn) of the units [subjects, 12, 3]."""
    moves, subject = domain.label >= 0, domain.subject.astype(str)
    predicted = output.classes.argmax(1).numpy()
    shown = output.units.sigmoid().numpy() >= np.array(recognizer.settings.thresholds)
    return (
        subject_confusions(domain.label[moves], predicted[moves], subject[moves], len(CLASSES)),
        subject_unit_counts(domain.units.astype(np.int64), shown.astype(np.int64), subject),
    )


def evaluate(recognizer: Recognizer, domain: EvaluationSet) -> dict[str, Any]:
    """Scores in one domain, with intervals over subjects."""
    output = outputs_in(recognizer, domain)
    confusions, unit_counts = counts_of(recognizer, domain, output)
    assert output.movement is not None
    chance, movement = output.classes.softmax(1).numpy(), output.movement.sigmoid().numpy()
    moves = domain.label >= 0
    kept = (chance.max(1) >= recognizer.settings.abstain_below)[moves]
    right = (chance.argmax(1) == domain.label)[moves]
    still = movement[~moves] < recognizer.settings.movement_threshold
    return {
        "uf1": bootstrap(confusions, "uf1"),
        "uar": bootstrap(confusions, "uar"),
        "unit_f1": bootstrap(unit_counts, mean_unit_f1_of),
        "clips": int(moves.sum()),
        "subjects": len(confusions),
        "not_abstained": float(kept.mean()),
        "right_of_them": float(right[kept].mean()),
        "still": float(still.mean()) if len(still) else None,
        "chance": chance[moves].max(1),
        "right": right,
    }


def table(scores: dict[str, dict[str, Any]]) -> str:
    """The card's table, in Markdown."""
    rows = [
        "| domain | clips / subjects | UF1 | UAR | unit F1 | not abstained | right of those |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        rows.append(
            f"| {name} | {score['clips']} / {score['subjects']} | {score['uf1']} | "
            f"{score['uar']} | {score['unit_f1']} | {score['not_abstained']:.0%} | "
            f"{score['right_of_them']:.0%} |"
        )
    return "\n".join(rows)


def draw_calibration(scores: dict[str, dict[str, Any]], path: Path) -> None:
    """How often a prediction of a given probability is right."""
    figure, axes = plt.subplots(figsize=(5.2, 5.8), layout="constrained")
    axes.plot([1 / 3, 1], [1 / 3, 1], color="0.7", lw=1, zorder=0)
    for name, score in scores.items():
        chance, right = score["chance"], score["right"]
        parts = np.array_split(np.argsort(chance), 8)
        axes.plot(
            [chance[part].mean() for part in parts],
            [right[part].mean() for part in parts],
            "o-",
            ms=4,
            lw=1.2,
            label=name,
        )
    axes.set(xlabel="probability that it states", ylabel="share that is right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", fontsize=7, frameon=False)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def calibrate_and_write(
    net: Backbone, described: dict[str, Any], made: dict[str, Any], data: Path, folder: Path
) -> str:
    """Calibrate, measure, and write weights, card and curve.

    Args:
        net: the trained network.
        described: for the config: "model", "settings", "size".
        made: for the card: "samples" that were learned from, "steps" of MA2MI before, "seed".
        data: folder of ``make.make_domains``.
        folder: written to.

    Returns:
        The card.
    """
    recipe = {"script": "scripts/zero/make.py", "commit": commit(), **made}
    recognizer = calibrate_on(net, calibration_domains(data), {**described, "recipe": recipe})
    # As users get it: rounded to what the file holds.
    recognizer.save_pretrained(folder)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    recognizer = Recognizer(load_model(folder).net, recognizer.config | {"weights_sha256": digest})
    scores = {name: evaluate(recognizer, domain) for name, domain in judging_domains(data).items()}
    draw_calibration(scores, folder / "calibration.png")
    recognizer.config["card"] = {
        name: {key: str(score[key]) for key in ("uf1", "uar", "unit_f1", "clips", "subjects")}
        for name, score in scores.items()
    }
    still = next(score["still"] for score in scores.values() if score["still"] is not None)
    recognizer.card = fill_card(recognizer, table(scores), still, KEPT_MOVEMENTS)
    recognizer.save_pretrained(folder)
    return recognizer.card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/zero"), help="make.py's --out")
    parser.add_argument("--weights", default="zero", help="a folder, or the shipped ones")
    parser.add_argument("--calibrate", type=Path, help="calibrate anew, and write it here")
    options = parser.parse_args()
    recognizer = load_model(options.weights)
    if options.calibrate:
        held = recognizer.config
        described = {key: held[key] for key in ("model", "settings", "size")}
        made = {k: v for k, v in held["recipe"].items() if k not in ("script", "commit")}
        print(calibrate_and_write(recognizer.net, described, made, options.data, options.calibrate))
        return
    domains = judging_domains(options.data)
    print(table({name: evaluate(recognizer, domain) for name, domain in domains.items()}))


if __name__ == "__main__":
    main()
