"""False events where nothing is to be found: ``python benchmarks/spotting/false_alarms.py``.

Painted people who make no expression, watched as ``ma2mi analyze`` does: a still picture with the
camera's noise, a photograph in a moving hand, and a person who looks about, blinks and moves the
head. ``learn.py`` knows none of these people.
"""

from __future__ import annotations

import argparse

from evaluate import SCORERS, watch
from tracks import SCENES, Calm

from ma2mi.analysis.watch import HEAD_MOVES
from ma2mi.report.events import EXPRESSIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each person and scene")
    parser.add_argument("--coded", action="store_true", help="as H.264 (crf 20), not as rendered")
    options = parser.parse_args()
    print("| scene | minutes | scorer | false micro | macro | of both flagged: head moves |")
    print("|---|---|---|---|---|---|")
    for name in SCENES:
        counts = dict.fromkeys([(s, k) for s in SCORERS for k in (*EXPRESSIONS, "moved")], 0)
        for seed in range(options.people):
            what = Calm(seed, name, options.minutes, coded=options.coded)
            for scorer, events in watch(what, what.make()).items():
                for event in events:
                    if event.kind in EXPRESSIONS:
                        counts[scorer, event.kind] += 1
                        counts[scorer, "moved"] += HEAD_MOVES in event.flags
        for scorer, words in SCORERS.items():
            told = " | ".join(str(counts[scorer, kind]) for kind in (*EXPRESSIONS, "moved"))
            print(
                f"| {name} | {options.people * options.minutes:g} | {words} | {told} |", flush=True
            )


if __name__ == "__main__":
    main()
