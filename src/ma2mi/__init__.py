"""ma2mi: facial micro-expressions, from a folder of videos to an honest table."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ma2mi._version import __version__

#: The front door: name -> module. Each is loaded when it is first asked for, so that
#: ``import ma2mi`` loads neither torch nor cv2.
_DOOR = {
    "Expression": "ma2mi.records",
    "Interval": "ma2mi.records",
    "Reading": "ma2mi.records",
    "Recording": "ma2mi.records",
    "Ma2miError": "ma2mi.errors",
    "read_frames": "ma2mi.video",
    "FaceDetector": "ma2mi.face.detect",
    "flow": "ma2mi.motion",
    "open_corpus": "ma2mi.datasets",
    "build_model": "ma2mi.models.catalog",
    "pretrain": "ma2mi.training.pretrain",
    "run_benchmark": "ma2mi.evaluation",
    "Recognizer": "ma2mi.training.recognizer",
    "load_model": "ma2mi.training.recognizer",
    "analyze": "ma2mi.analysis",
}

if TYPE_CHECKING:
    from ma2mi.analysis import analyze
    from ma2mi.datasets import open_corpus
    from ma2mi.errors import Ma2miError
    from ma2mi.evaluation import run_benchmark
    from ma2mi.face.detect import FaceDetector
    from ma2mi.models.catalog import build_model
    from ma2mi.motion import flow
    from ma2mi.records import Expression, Interval, Reading, Recording
    from ma2mi.training.pretrain import pretrain
    from ma2mi.training.recognizer import Recognizer, load_model
    from ma2mi.video import read_frames

__all__ = [
    "Expression",
    "FaceDetector",
    "Interval",
    "Ma2miError",
    "Reading",
    "Recognizer",
    "Recording",
    "__version__",
    "analyze",
    "build_model",
    "flow",
    "load_model",
    "open_corpus",
    "pretrain",
    "read_frames",
    "run_benchmark",
]


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'ma2mi' has no attribute {name!r}")
    return getattr(importlib.import_module(_DOOR[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})
