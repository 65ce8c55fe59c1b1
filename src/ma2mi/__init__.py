"""ma2mi: facial micro-expressions, from a folder of videos to an honest table."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ma2mi._version import __version__

#: The front door: name -> module. Each is loaded when it is first asked for, so that
#: ``import ma2mi`` loads neither torch nor cv2.
_DOOR = {
    "Analysis": "ma2mi.records",
    "AnalysisSettings": "ma2mi.analysis",
    "Corpus": "ma2mi.datasets",
    "DetectedEvent": "ma2mi.records",
    "Entry": "ma2mi.experiment",
    "Event": "ma2mi.records",
    "Expression": "ma2mi.records",
    "FaceDetector": "ma2mi.face.detect",
    "Frame": "ma2mi.video",
    "Interval": "ma2mi.records",
    "LabelledPairs": "ma2mi.experiment",
    "Ma2miError": "ma2mi.errors",
    "PairSettings": "ma2mi.clips.pairs",
    "PretrainSettings": "ma2mi.training.pretrain_settings",
    "Progress": "ma2mi.progress",
    "Reading": "ma2mi.records",
    "Recognizer": "ma2mi.training.recognizer",
    "Recording": "ma2mi.records",
    "RunResult": "ma2mi.evaluation",
    "analyze": "ma2mi.analysis",
    "build_model": "ma2mi.models.catalog",
    "flow": "ma2mi.motion",
    "label_pairs": "ma2mi.experiment",
    "load_model": "ma2mi.training.recognizer",
    "open_corpus": "ma2mi.datasets",
    "pretrain": "ma2mi.training.pretrain",
    "read_frames": "ma2mi.video",
    "run_benchmark": "ma2mi.evaluation",
    "run_entry": "ma2mi.experiment",
    "watch_frames": "ma2mi.analysis",
}

if TYPE_CHECKING:
    from ma2mi.analysis import AnalysisSettings, analyze, watch_frames
    from ma2mi.clips.pairs import PairSettings
    from ma2mi.datasets import Corpus, open_corpus
    from ma2mi.errors import Ma2miError
    from ma2mi.evaluation import RunResult, run_benchmark
    from ma2mi.experiment import Entry, LabelledPairs, label_pairs, run_entry
    from ma2mi.face.detect import FaceDetector
    from ma2mi.models.catalog import build_model
    from ma2mi.motion import flow
    from ma2mi.progress import Progress
    from ma2mi.records import (
        Analysis,
        DetectedEvent,
        Event,
        Expression,
        Interval,
        Reading,
        Recording,
    )
    from ma2mi.training.pretrain import pretrain
    from ma2mi.training.pretrain_settings import PretrainSettings
    from ma2mi.training.recognizer import Recognizer, load_model
    from ma2mi.video import Frame, read_frames

__all__ = [
    "Analysis",
    "AnalysisSettings",
    "Corpus",
    "DetectedEvent",
    "Entry",
    "Event",
    "Expression",
    "FaceDetector",
    "Frame",
    "Interval",
    "LabelledPairs",
    "Ma2miError",
    "PairSettings",
    "PretrainSettings",
    "Progress",
    "Reading",
    "Recognizer",
    "Recording",
    "RunResult",
    "__version__",
    "analyze",
    "build_model",
    "flow",
    "label_pairs",
    "load_model",
    "open_corpus",
    "pretrain",
    "read_frames",
    "run_benchmark",
    "run_entry",
    "watch_frames",
]


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'ma2mi' has no attribute {name!r}")
    return getattr(importlib.import_module(_DOOR[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})
