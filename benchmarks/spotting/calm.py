"""False events where nothing is to be found: ``python benchmarks/spotting/calm.py``.

Painted people who make no expression, watched as ``ma2mi analyze`` does: a still picture with the
camera's noise, a photograph in a moving hand, and a person who looks about, blinks and moves the
head. Heads move as a picture does (shift, turn, nearer), not in depth.
"""

from __future__ import annotations

import argparse
from fractions import Fraction

from judge import SCORERS, watch

from ma2mi.analysis.watch import HEAD_MOVES
from ma2mi.datasets.synthetic import SyntheticSettings, make_person
from ma2mi.datasets.synthetic.long_video import LongVideo, LongVideoSettings, make_long_video
from ma2mi.report.events import EXPRESSIONS

FPS = 30
FIRST_PERSON = 3000  # none that ``learn.py`` or ``judge.py`` know
QUIET = {"blink_rate": 0.0, "gaze_rate": 0.0}
HELD = {"head_drift_px": 0.0, "head_turn_deg": 0.0, "head_tremor_px": 0.0}
SCENES = {
    "still picture": ({**QUIET, **HELD}, 0.0),
    "only the head moves, or a photograph in a hand": (QUIET, 0.3),
    "head, gaze and blinks": ({}, 0.3),
}


def calm(seed: int, minutes: float, scene: dict[str, float], moves: float) -> LongVideo:
    """A video without expressions and speech."""
    plan = LongVideoSettings(
        duration_s=60 * minutes,
        micro_count=0,
        macro_count=0,
        speech_count=0,
        head_move_rate=moves,
        scene=SyntheticSettings(**scene),
    )
    person = make_person(FIRST_PERSON + seed)
    return make_long_video(person, seed=seed, fps=Fraction(FPS), plan=plan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each person and scene")
    options = parser.parse_args()
    print("| scene | minutes | scorer | false micro | macro | of both flagged: head moves |")
    print("|---|---|---|---|---|---|")
    for name, (scene, moves) in SCENES.items():
        counts = dict.fromkeys([(s, k) for s in SCORERS for k in (*EXPRESSIONS, "moved")], 0)
        for seed in range(options.people):
            for scorer, events in watch(calm(seed, options.minutes, scene, moves), FPS).items():
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
