"""A user's video or camera: find faces, spot movements, recognise expressions, write results."""

from ma2mi.analysis.faces import ExaminedEvent
from ma2mi.analysis.run import analyze, analyze_camera
from ma2mi.analysis.settings import AnalysisSettings
from ma2mi.analysis.stream import VideoAnalyzer, watch_frames
from ma2mi.face.track import FaceTracker
from ma2mi.video.camera import camera_frames

__all__ = [
    "AnalysisSettings",
    "ExaminedEvent",
    "FaceTracker",
    "VideoAnalyzer",
    "analyze",
    "analyze_camera",
    "camera_frames",
    "watch_frames",
]
