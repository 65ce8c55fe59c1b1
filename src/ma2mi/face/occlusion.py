"""Which areas of a face are hidden, by a mask, a hand, sunglasses or a cap.

Landmark nets are as confident of a mouth behind a mask as of an open one, so the image is used:
the colour of each part of the face against that of forehead, cheeks and bridge of this very face,
and how much structure there is where lips, nostrils, lids and brows have edges.
A small network, learned from rendered heads behind drawn masks, hands, sunglasses, caps and other
things (``scripts/learn_occlusion.py``), weighs this up.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from ma2mi.arrays import Image
from ma2mi.errors import optional_part
from ma2mi.face.align import Template, estimate_warp, warp_image
from ma2mi.face.landmarks import Face

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]

AREAS: dict[str, tuple[str, ...]] = {
    "brows": ("right_inner_brow", "left_inner_brow", "right_outer_brow", "left_outer_brow"),
    "eyes": ("right_upper_lid", "left_upper_lid", "right_lower_lid", "left_lower_lid"),
    "nose": ("right_nose_wing", "left_nose_wing", "right_cheek", "left_cheek"),
    "mouth": ("right_lip_corner", "left_lip_corner", "upper_lip", "lower_lip", "chin"),
}
"""Each area with those of ``motion.REGIONS`` that are not analysed when it is hidden."""

NEXT_TO = {
    "brows": ("eyes",),
    "eyes": ("brows", "nose"),
    "nose": ("eyes", "mouth"),
    "mouth": ("nose",),
}
# Likelihood from which an area counts as hidden: by itself, and beside one that is. In real
# subjects left out of the learning (``scripts/learn_occlusion.py --leave-out``), 0.88 is passed in
# 0.8, 0.6, 0.1 and 0.5 % of the samples of open brows, eyes, noses and mouths, by the mouth behind
# a mask in 94 %, behind a hand in 67 %, by the eyes behind sunglasses in 96 %.
HIDDEN, BESIDE = 0.88, 0.5

CROP = Template(size=80)  # 35 px between the eyes' outer corners, as in the smallest useful faces
DARK = 8.0  # of 255, added to the brightness: below it ratios are noise

# Parts of the face by pairs of landmarks, whose middles are sampled. The first three show skin
# in nearly all subjects and are what the others are compared with.
OWN_SKIN = {
    "forehead": ((9, 9), (151, 151), (108, 108), (337, 337)),
    "upper cheeks": ((50, 50), (280, 280), (101, 101), (330, 330), (118, 118), (347, 347)),
    "bridge": ((168, 168), (6, 6), (197, 197)),
}
PARTS: dict[str, tuple[tuple[int, int], ...]] = {
    **OWN_SKIN,
    "hairline": ((69, 69), (299, 299), (104, 104), (333, 333), (10, 10)),
    "brows": ((105, 66), (334, 296), (63, 105), (293, 334), (66, 107), (296, 336)),
    "upper lids": ((159, 65), (386, 295), (158, 55), (385, 285), (160, 52), (387, 282)),
    "eyes": ((159, 145), (386, 374), (158, 153), (385, 380), (160, 144), (387, 373)),
    "under the eyes": ((119, 119), (348, 348), (230, 230), (450, 450), (120, 120), (349, 349)),
    "temples": ((139, 139), (368, 368), (143, 143), (372, 372)),
    "nose tip": ((4, 4), (1, 1), (5, 5)),
    "nose wings": ((129, 129), (358, 358), (64, 64), (294, 294)),
    "nostrils": ((98, 98), (327, 327), (2, 2)),
    "philtrum": ((164, 164), (165, 165), (391, 391)),
    "upper lip": ((0, 13), (37, 82), (267, 312), (39, 81), (269, 311)),
    "between the lips": ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)),
    "lower lip": ((17, 14), (84, 87), (314, 317), (181, 178), (405, 402)),
    "lip corners": ((61, 61), (291, 291)),
    "below the lip": ((18, 18), (83, 83), (313, 313)),
    "chin": ((199, 199), (175, 175), (428, 428), (208, 208), (200, 200)),
    "lower cheeks": ((207, 207), (427, 427), (187, 187), (411, 411), (214, 214), (434, 434)),
}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_PAIRS = np.array([pair for pairs in PARTS.values() for pair in pairs])
_STARTS = np.cumsum([0, *(len(pairs) for pairs in PARTS.values())])
_OWN = int(_STARTS[len(OWN_SKIN)])


def occluded_areas(image: Image, face: Face) -> dict[str, float]:
    """How likely each of ``AREAS`` is hidden, in [0, 1]; half a millisecond.

    Args:
        image: uint8 [H, W, 3], RGB; grey in three equal channels will do.
        face: its landmarks.

    Raises:
        FaceError: landmarks without direction.
    """
    odds = _network()(measure_parts(image, face))
    return {name: float(1 / (1 + np.exp(-odd))) for name, odd in zip(AREAS, odds, strict=True)}


def hidden_areas(image: Image, face: Face) -> tuple[str, ...]:
    """Those of ``AREAS`` that are hidden.

    Args:
        image, face: as for ``occluded_areas``.

    Raises:
        FaceError: landmarks without direction.
    """
    likely = occluded_areas(image, face)
    hidden = {name for name, share in likely.items() if share > HIDDEN}
    return tuple(
        name
        for name, share in likely.items()
        if name in hidden or (share > BESIDE and hidden & set(NEXT_TO[name]))
    )


def measure_parts(image: Image, face: Face) -> Floats:
    """Input of the network: float32 [103].

    Of each part: brightness (logarithm), share of red and share of blue against the face's own
    skin, and gradient; then the range of brightness in each part; then how much the own skin varies
    in brightness, red and blue.

    Raises:
        FaceError: landmarks without direction.
    """
    warp = estimate_warp(face, CROP)
    crop = warp_image(image, warp, CROP).astype(np.float32)
    grey = cv2.log(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) + np.float32(DARK))
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    edges = cv2.blur(cv2.add(cv2.absdiff(across, 0.0), cv2.absdiff(down, 0.0)), (3, 3))
    points = face.points[_PAIRS].mean(axis=1) @ warp[:, :2].T + warp[:, 2]
    x, y = np.clip(np.rint(points), 0, CROP.size - 1).astype(int).T
    colours = cv2.blur(crop, (3, 3))[y, x]
    total = colours.sum(axis=1) + np.float32(DARK)
    samples = np.stack(
        [
            np.log(colours @ _LUMA + np.float32(DARK)),
            colours[:, 0] / total,
            colours[:, 2] / total,
            edges[y, x],
        ],
        axis=1,
    )
    skin = np.median(samples[:_OWN, :3], axis=0)
    varies = np.median(np.abs(samples[:_OWN, :3] - skin), axis=0)
    first = _STARTS[:-1]
    means = np.add.reduceat(samples, first) / np.diff(_STARTS)[:, None]
    means[:, :3] -= skin
    ranges = np.maximum.reduceat(samples[:, 0], first) - np.minimum.reduceat(samples[:, 0], first)
    return np.concatenate([means.ravel(), ranges, varies]).astype(np.float32)


class Network:
    """Standardised inputs, one hidden layer of tanh, log odds for each area.

    Args:
        arrays: float32: "centre" and "scale" [103], "hidden" [103, n], "hidden_bias" [n],
            "out" [n, 4], "out_bias" [4].
    """

    def __init__(self, arrays: dict[str, Floats]) -> None:
        self.arrays = arrays

    def __call__(self, parts: Floats) -> Floats:
        """Log odds, float32 [..., 4], of inputs [..., 103]."""
        a = self.arrays
        steady = np.clip((parts - a["centre"]) / a["scale"], -6, 6)
        return np.asarray(
            np.tanh(steady @ a["hidden"] + a["hidden_bias"]) @ a["out"] + a["out_bias"]
        )


@cache
def _network() -> Network:
    return Network(load(files("ma2mi.face").joinpath("occlusion.safetensors").read_bytes()))
