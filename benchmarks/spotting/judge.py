"""How well the spotter finds planted expressions: ``python benchmarks/spotting/judge.py``.

Synthetic long videos are rendered, faces found, movement measured frame by frame, and spotted in
one stream, by height in noise floors alone and by the learned scorer. By default videos are short
and dense, for one core and some minutes; ``--minutes 10 --density 1`` makes the long ones (20
micro-expressions in ten minutes). Measured tracks are kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tracks import Video, measured

from ma2mi.datasets.facs import CLASSES
from ma2mi.datasets.synthetic.long_video import LongVideo
from ma2mi.errors import CheckpointError
from ma2mi.evaluation.labels import LabelMap, label_map
from ma2mi.evaluation.spotting import Mark, apex_errors, match_intervals, spotting_scores, strs
from ma2mi.face.align import Template, estimate_warp, warp_image
from ma2mi.face.detect import FaceDetector
from ma2mi.records import Interval
from ma2mi.spotting import Spotted, SpottingSettings, spot
from ma2mi.training.recognizer import Recognizer, load_model
