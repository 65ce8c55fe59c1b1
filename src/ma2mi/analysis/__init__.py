"""A user's video or camera: find faces, spot movements, have them read, write it all down."""

from ma2mi.analysis.run import analyze, analyze_camera
from ma2mi.analysis.watch import AnalysisSettings, DecidedEvent, VideoAnalyzer, watch_frames
from ma2mi.face.track import FaceTracker
from ma2mi.video.camera import camera_frames

__all__ = [
    "AnalysisSettings",
    "FaceTracker",
    "DecidedEvent",
    "VideoAnalyzer",
    "analyze",
    "analyze_camera",
    "camera_frames",
    "watch_frames",
]
