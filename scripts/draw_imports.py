"""Draws the rooms of the package and their imports from the code, for ARCHITECTURE.md.

python scripts/draw_imports.py

writes docs/images/imports.svg (the rooms, an arrow for each import that no other path implies) and
the table of rooms between the marks ``<!-- rooms -->`` and ``<!-- /rooms -->`` of ARCHITECTURE.md.
A test fails where either is stale.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
PICTURE = ROOT / "docs" / "images" / "imports.svg"
PACKAGE = "ma2mi"
MARKS = re.compile(r"(?<=<!-- rooms -->\n).*?(?=<!-- /rooms -->)", re.DOTALL)

# Pixels of the picture.
WIDTH, FLOOR, BOX, MARGIN = 800, 64, (92, 26), 12
SWEEPS = 24  # of the ordering within the floors; it settles after a few

Imports = dict[str, set[str]]


def read_imports() -> Imports:
    """What each room imports, type-checking imports included; the front door is no room."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    rooms = sorted(graph.find_children(PACKAGE))
    imports: Imports = {room.removeprefix(f"{PACKAGE}."): set() for room in rooms}
    for module in graph.modules - {PACKAGE}:
        room = module.split(".")[1]
        for imported in graph.find_modules_directly_imported_by(module) - {PACKAGE}:
            imports[room].add(imported.split(".")[1])
    return {room: below - {room} for room, below in imports.items()}


def floors_of(imports: Imports) -> dict[str, int]:
    """Number of each room's floor, 0 the lowest: one above the highest that it imports.

    Raises:
        ValueError: rooms import each other in a circle.
    """
    floors: dict[str, int] = {}
    while len(floors) < len(imports):
        ready = [r for r, below in imports.items() if r not in floors and below <= set(floors)]
        if not ready:
            raise ValueError(f"a circle of imports in {sorted(set(imports) - set(floors))}")
        floors.update({r: 1 + max((floors[b] for b in imports[r]), default=-1) for r in ready})
    return floors


def needed(imports: Imports) -> Imports:
    """The imports that no other path implies (transitive reduction)."""
    floors = floors_of(imports)
    reached: Imports = {}
    for room in sorted(imports, key=lambda r: floors[r]):
        reached[room] = imports[room].union(*(reached[below] for below in imports[room]))
    return {
        room: {b for b in below if not any(b in reached[other] for other in below)}
        for room, below in imports.items()
    }


def sentence(room: str) -> str:
    """What the room's module opens with."""
    path = ROOT / "src" / PACKAGE / room
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def table(imports: Imports) -> str:
    """The rooms from the top floor to the lowest, as Markdown."""
    floors = floors_of(imports)
    rows = ["| floor | room | holds |", "|---|---|---|"]
    for room in sorted(imports, key=lambda r: (-floors[r], r)):
        rows.append(f"| {floors[room]} | `{room}` | {sentence(room)} |")
    return "\n".join(rows) + "\n"


def places(arrows: Imports, floors: dict[str, int]) -> tuple[dict[str, tuple[float, int]], Imports]:
    """Place (0 to 1, floor) of each node, and the nodes that each one leads to.

    An arrow over several floors goes through a node of its own on each of them (named
    "room>room>floor"), and the nodes of a floor are put in the order of what leads to and from them
    (Sugiyama et al., IEEE Trans. SMC 11, 1981), so that arrows seldom cross and pass no box.
    """
    links: Imports = {room: set() for room in arrows}
    heights = dict(floors)
    for room, below in arrows.items():
        for target in below:
            steps = range(floors[room] - 1, floors[target], -1)
            through = {f"{room}>{target}>{height}": height for height in steps}
            heights.update(through)
            for first, second in pairwise((room, *through, target)):
                links.setdefault(first, set()).add(second)
    rows = [sorted(n for n in heights if heights[n] == h) for h in range(max(heights.values()) + 1)]
    beside: Imports = {n: set(links.get(n, ())) for n in heights}
    for node, below in links.items():
        for target in below:
            beside[target].add(node)
    at = {n: (i + 1) / (len(row) + 1) for row in rows for i, n in enumerate(row)}
    for _ in range(SWEEPS):
        for row in (*rows, *reversed(rows)):
            row.sort(key=lambda n: (sum(at[b] for b in beside[n]) / max(len(beside[n]), 1), n))
            # A node that only lends an arrow its way takes half the width of a box.
            widths = [0.5 if ">" in n else 1.0 for n in row]
            for i, node in enumerate(row):
                at[node] = (sum(widths[:i]) + widths[i] / 2) / sum(widths)
    return {n: (at[n], heights[n]) for n in heights}, links


def picture(imports: Imports) -> str:
    """The drawing as SVG."""
    floors = floors_of(imports)
    at, links = places(needed(imports), floors)
    top = max(floors.values())
    (wide, high), height = BOX, (top + 1) * FLOOR

    def xy(node: str) -> tuple[int, int]:
        x, floor = at[node]
        return round(wide / 2 + x * (WIDTH - wide)), (top - floor) * FLOOR + FLOOR // 2

    lines, boxes = [], []
    for node in sorted(links):
        for target in sorted(links[node]):
            (x, y), (u, v) = xy(node), xy(target)
            y += 0 if ">" in node else high // 2
            v -= 0 if ">" in target else high // 2
            bend = (v - y) // 2
            head = "" if ">" in target else ' marker-end="url(#head)"'
            lines.append(f'<path d="M{x} {y}C{x} {y + bend} {u} {v - bend} {u} {v}"{head}/>')
    for room in sorted(floors):
        x, y = xy(room)
        corner = f'x="{x - wide // 2}" y="{y - high // 2}"'
        boxes.append(f'<rect {corner} width="{wide}" height="{high}" rx="4"/>')
        boxes.append(f'<text x="{x}" y="{y + 4}">{room}</text>')
    size = f"{-MARGIN} 0 {WIDTH + 2 * MARGIN} {height}"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" font-family="sans-serif">',
            "<title>Rooms of ma2mi; an arrow leads from a room to what it imports</title>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#456"/></marker></defs>',
            f'<rect x="{-MARGIN}" width="{WIDTH + 2 * MARGIN}" height="{height}" fill="white"/>',
            '<g fill="none" stroke="#456">',
            *lines,
            '</g><g fill="#eef3f8" stroke="#456" font-size="13" text-anchor="middle">',
            *(b.replace("<text", '<text fill="black" stroke="none"') for b in boxes),
            "</g></svg>\n",
        )
    )


def pages() -> dict[Path, str]:
    """What belongs in each file that is written here."""
    imports = read_imports()
    page = PAGE.read_text("utf-8")
    if not MARKS.search(page):
        raise ValueError(f"{PAGE} has no marks <!-- rooms --> and <!-- /rooms -->")
    return {PICTURE: picture(imports), PAGE: MARKS.sub(lambda _: table(imports), page)}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
        print(path.relative_to(ROOT))
