"""Movement to candidates: brief movements, longer ones, blinks and speech, while they run.

What is spotted is a candidate for a person to review: spot-then-recognise on unseen long videos is
an unsolved problem (see ``evaluation.spotting``).
"""

from ma2mi.spotting.block import SCALES_S, pulse
from ma2mi.spotting.records import BEGUN, BLINK, HEAD, LASTS, SPEECH, MovementTrack, Spotted
from ma2mi.spotting.scorer import FEATURES, Scorer, learned_scorer
from ma2mi.spotting.settings import SpottingSettings
from ma2mi.spotting.spotter import Spotter
from ma2mi.spotting.whole_track import spot, spot_candidates

__all__ = [
    "BEGUN",
    "BLINK",
    "FEATURES",
    "HEAD",
    "LASTS",
    "SCALES_S",
    "SPEECH",
    "MovementTrack",
    "Scorer",
    "Spotted",
    "Spotter",
    "SpottingSettings",
    "learned_scorer",
    "pulse",
    "spot",
    "spot_candidates",
]
