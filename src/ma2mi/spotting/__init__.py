"""Movement curves to intervals: brief movements, longer ones, blinks and speech, while they run.

What is spotted is a candidate for a person to review: spot-then-recognise on unseen long videos is
an unsolved problem (see ``evaluation.spotting``).
"""

from ma2mi.spotting.block import SCALES_S, swell
from ma2mi.spotting.records import MovementTrack, Spotted
from ma2mi.spotting.scorer import FEATURES, Scorer, learned_scorer
from ma2mi.spotting.settings import FLOORS, SpottingSettings
from ma2mi.spotting.spotter import Spotter, spot

__all__ = [
    "FEATURES",
    "FLOORS",
    "SCALES_S",
    "MovementTrack",
    "Scorer",
    "Spotted",
    "Spotter",
    "SpottingSettings",
    "learned_scorer",
    "spot",
    "swell",
]
