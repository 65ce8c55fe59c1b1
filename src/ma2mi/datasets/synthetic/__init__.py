"""Synthetic corpora: painted people whose every movement is known, so that nothing is gated."""

from ma2mi.datasets.synthetic.clip import SyntheticClip, make_clip
from ma2mi.datasets.synthetic.corpus import SyntheticMacro, SyntheticMicro, write_corpus
from ma2mi.datasets.synthetic.people import Person, make_person
from ma2mi.datasets.synthetic.settings import SyntheticSettings

__all__ = [
    "Person",
    "SyntheticClip",
    "SyntheticMacro",
    "SyntheticMicro",
    "SyntheticSettings",
    "make_clip",
    "make_person",
    "write_corpus",
]
