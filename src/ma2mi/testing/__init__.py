"""Fakes of the corpora: anyone can try a whole benchmark without a licence."""

from ma2mi.testing import (  # noqa: F401  (they register themselves)
    annotations,
    casme,
    casme2,
    casme3,
    casme_sq,
    dfme,
    fourdme,
    macro_fakes,
    megc2019_flow,
    mmew,
    samm,
    samm_lv,
    smic,
    synthetic,
)
from ma2mi.testing.base import FAKES, write_fake
from ma2mi.testing.coded import FAULTS

__all__ = ["FAKES", "FAULTS", "write_fake"]
