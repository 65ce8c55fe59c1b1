"""The field's fault in one picture: random labels, scored honestly and by the best test epoch.

python benchmarks/leak.py [--out docs/images/leak.png]

Flow images of a fake MEGC2019 tree get shuffled labels, so nothing can be learned and chance is
all there is. The same run is scored twice: with the last epoch, and with the epoch that is best on
each left-out subject.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from ma2mi.datasets import open_corpus
from ma2mi.evaluation.statistics import bootstrap, subject_confusions
from ma2mi.experiment import Entry, label_pairs, run_entry
from ma2mi.report.tables import score_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fakes.megc2019_flow import write_tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/leak.png"))
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        corpus = open_corpus("megc2019-flow", write_tree(root / "tree"))
        labelled = label_pairs(corpus, "megc2019", root)
        labelled.labels[:] = np.random.default_rng(0).permutation(labelled.labels)
        network = Entry("ststnet", epochs=options.epochs, keep_epochs=True)
        result = run_entry(network, labelled, also_best_on_test=True)
        chance = run_entry(Entry("majority"), labelled)
    print(score_table([chance]))
    print(score_table([result]))
    draw_picture(result, options.out)
    print(f"picture: {options.out}")


def draw_picture(result: object, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axes = figure.subplots()
    rows = (
        ("honest: last epoch", False, "#2a6f97"),
        ("epoch chosen on the test subject", True, "#b00020"),
    )
    for place, (_, best, colour) in enumerate(reversed(rows)):
        pool = result.pool(best_on_test=best)
        uar = bootstrap(subject_confusions(pool.truth, pool.predicted, pool.subjects, 3), "uar")
        axes.barh(place, uar.value, color=colour, height=0.5)
        axes.plot([uar.low, uar.high], [place, place], color="black", lw=2)
        axes.text(uar.high + 0.01, place, f"{uar.value:.2f}", va="center")
    axes.set_yticks((0, 1), [rows[1][0], rows[0][0]])
    axes.axvline(1 / 3, color="#8d99ae", ls="--")
    axes.text(1 / 3 + 0.005, 1.42, "chance", color="#8d99ae")
    axes.set_xlim(0, 1)
    axes.set_xlabel("UAR on shuffled labels, 95 % interval over subjects")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
