"""False events in no-event videos: ``python benchmarks/spotting/false_alarms.py``.

Synthetic subjects who make no expression, watched as ``ma2mi analyze`` does: a still picture with
the camera's noise, a photograph in a moving hand, and a subject who looks about, blinks and moves
the head. ``scripts/learn_spotting.py`` knows none of these subjects.
"""

from __future__ import annotations

import argparse

from evaluate import RENDERERS, SCORERS, watch
from videos import SCENES, NoEventVideo

from ma2mi.records import EXPRESSIONS
from ma2mi.spotting.records import HEAD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each subject and scene")
    parser.add_argument("--renderer", default="faces", choices=[*RENDERERS])
    parser.add_argument("--coded", action="store_true", help="as H.264, not as rendered")
    parser.add_argument("--crf", type=int, default=20, help="of H.264; larger is worse")
    options = parser.parse_args()
    minutes = options.subjects * options.minutes
    print(
        "| scene | minutes | scorer | false micro | macro | a minute | flagged: head moves |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name in SCENES:
        counts = dict.fromkeys([(s, k) for s in SCORERS for k in (*EXPRESSIONS, "moved")], 0)
        for seed in range(options.subjects):
            what = NoEventVideo(seed, name, options.minutes, coded=options.coded)
            video = RENDERERS[options.renderer](what.make(), seed)
            for scorer, events in watch(what, video, crf=options.crf).items():
                for event in events:
                    if event.kind in EXPRESSIONS:
                        counts[scorer, event.kind] += 1
                        counts[scorer, "moved"] += HEAD in event.flags
        for scorer, words in SCORERS.items():
            micro, macro, moved = (counts[scorer, kind] for kind in (*EXPRESSIONS, "moved"))
            print(
                f"| {name} | {minutes:g} | {words} | {micro} | {macro} "
                f"| {(micro + macro) / minutes:.1f} | {moved} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
