"""Movements below a pixel: flow, strain, rigid motion, regions, apex, noise floor, pictures."""

from ma2mi.motion.apex import ApexEstimate, find_apex, movement_along, movement_curve
from ma2mi.motion.clip_flow import Method, flow
from ma2mi.motion.draw import draw_flow, draw_strain
from ma2mi.motion.head_motion import RigidMotion, remove_rigid
from ma2mi.motion.magnification import magnify
from ma2mi.motion.noise import NoiseFloor, noise_floor
from ma2mi.motion.regions import (
    REGIONS,
    Region,
    expressive_mask,
    face_mask,
    region_mask,
    region_summary,
)
from ma2mi.motion.strain import action_channels, optical_strain
from ma2mi.motion.thin_plate import FlowSettings

__all__ = [
    "REGIONS",
    "ApexEstimate",
    "FlowSettings",
    "Method",
    "NoiseFloor",
    "Region",
    "RigidMotion",
    "action_channels",
    "draw_flow",
    "draw_strain",
    "expressive_mask",
    "face_mask",
    "find_apex",
    "flow",
    "magnify",
    "movement_along",
    "movement_curve",
    "noise_floor",
    "optical_strain",
    "region_mask",
    "region_summary",
    "remove_rigid",
]
