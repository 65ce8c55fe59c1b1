"""Frames with their true times, in and out: video files, folders of images, cameras."""

from ma2mi.arrays import Image
from ma2mi.video.container import INTERLACED
from ma2mi.video.frame import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    ClockRestart,
    DamagedVideo,
    Frame,
    TruncatedVideo,
    VideoInfo,
    VideoNote,
)
from ma2mi.video.images import list_images, read_image
from ma2mi.video.listing import list_others, list_videos
from ma2mi.video.prefetch import ahead
from ma2mi.video.read import inspect_video, needs_rate, read_frames, read_times
from ma2mi.video.steps import KEPT_STEPS, FrameSteps, typical_step
from ma2mi.video.write import write_frames, write_video

__all__ = [
    "IMAGE_SUFFIXES",
    "INTERLACED",
    "KEPT_STEPS",
    "VIDEO_SUFFIXES",
    "ClockRestart",
    "DamagedVideo",
    "Frame",
    "FrameSteps",
    "Image",
    "TruncatedVideo",
    "VideoInfo",
    "VideoNote",
    "ahead",
    "inspect_video",
    "list_images",
    "list_others",
    "list_videos",
    "needs_rate",
    "read_frames",
    "read_image",
    "read_times",
    "typical_step",
    "write_frames",
    "write_video",
]
