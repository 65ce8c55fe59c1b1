"""Put what ``make demo`` printed into the README: ``python scripts/readme_figures.py runs/demo``.

The table between the markers ``<!-- demo -->`` and ``<!-- /demo -->`` is replaced by the demo's
``summary.md``; the pictures that the docs show are copied.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ma2mi.files import replace_file

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- demo -->\n", "<!-- /demo -->\n"
PICTURES = ("attention", "learning-curve")


def with_table(text: str, table: str) -> str:
    """The README with another table between its markers.

    Raises:
        ValueError: a marker is missing, or there are several.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"README.md: {BEGIN.strip()} and {END.strip()} must stand there once")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}"


def main() -> None:
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    readme = ROOT / "README.md"
    table = (demo / "summary.md").read_text("utf-8")
    replace_file(readme, with_table(readme.read_text("utf-8"), table).encode())
    for name in PICTURES:
        picture = (demo / "report-figures" / f"{name}.png").read_bytes()
        replace_file(ROOT / "docs" / "images" / f"{name}.png", picture)


if __name__ == "__main__":
    main()
