"""What all pictures share: their style, their colours, and how they become bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any, TypeVar, cast

import matplotlib.style
from matplotlib.figure import Figure

#: Of our pictures alone: the process of whoever calls keeps its own, and a matplotlibrc in the
#: user's home changes no byte. Names of classes and models are no formulas.
_STYLE: Any = [
    "default",
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
        "text.usetex": False,
    },
]
BLUE, GREY, RED = "#2a6f97", "#8d99ae", "#c1666b"
#: Lines of a chart in their order; distinct under every common colour blindness (Okabe and Ito).
LINES = ("#8d99ae", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vP<>"
Draw = TypeVar("Draw", bound=Callable[..., bytes])


def styled(draw: Draw) -> Draw:
    """Decorator: draw in our style, whatever the caller's is."""

    @functools.wraps(draw)
    def run(*given: Any, **named: Any) -> bytes:
        with matplotlib.style.context(_STYLE):
            return draw(*given, **named)

    return cast(Draw, run)


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    stream = io.BytesIO()
    # No software version in the file: the same input, the same bytes.
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()
