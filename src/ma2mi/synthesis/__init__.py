"""Synthetic faces, clips, videos and flow, whose every movement is known."""

from ma2mi.synthesis.clip import SyntheticClip, make_clip
from ma2mi.synthesis.settings import SyntheticSettings
from ma2mi.synthesis.subject import SyntheticSubject, make_subject

__all__ = [
    "SyntheticClip",
    "SyntheticSettings",
    "SyntheticSubject",
    "make_clip",
    "make_subject",
]
