"""The fake of MEGC2019's flow images, which is part of the package.

Run it as a script: ``python tests/fakes/megc2019_flow.py DIR`` writes 442 samples of 68 subjects.
"""

import sys
from pathlib import Path

from ma2mi.testing.megc2019_flow import draw_flow, samples, write_tree

__all__ = ["draw_flow", "samples", "write_tree"]

if __name__ == "__main__":
    print(write_tree(Path(sys.argv[1])))
