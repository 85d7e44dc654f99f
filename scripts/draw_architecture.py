"""Draws `docs/images/architecture.svg` from the code: the rooms, and who imports whom.

    python -m scripts.draw_architecture           writes the picture
    python -m scripts.draw_architecture --check   fails if the picture is not what it would write

Rows are the layers that `lint-imports` enforces. An arrow is an import; those that follow from
others are left out.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
PACKAGE = "equipot"
WIDTH, ROW, BOX, BOX_HEIGHT, GAP = 900, 84, 128, 36, 24
Edges = set[tuple[str, str]]


def layers() -> list[list[str]]:
    """The rooms of each layer, the uppermost first, as the import linter has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    [rows] = [own["layers"] for own in contracts if own["type"] == "layers"]
    names = [[name.strip(" ()") for name in row.replace(":", "|").split("|")] for row in rows]
    there = {path.stem for path in (ROOT / PACKAGE).iterdir()}
    return [[name for name in row if name in there] for row in names]


def imports(rooms: list[str]) -> Edges:
    """Which room imports which, without what follows from other imports."""
    graph = grimp.build_graph(PACKAGE)
    full = {
        (upper, lower)
        for upper in rooms
        for lower in rooms
        if upper != lower
        and graph.direct_import_exists(
            importer=f"{PACKAGE}.{upper}", imported=f"{PACKAGE}.{lower}", as_packages=True
        )
    }
    return {edge for edge in full if not _reaches(full - {edge}, *edge)}


def _reaches(edges: Edges, start: str, end: str) -> bool:
    seen, waiting = set(), [start]
    while waiting:
        here = waiting.pop()
        seen.add(here)
        waiting += [b for a, b in sorted(edges) if a == here and b not in seen]
    return end in seen


def render() -> str:
    """The picture, as SVG."""
    rows = layers()
    place, shown = {}, [part for row in rows for part in _parts(row)]
    for number, row in enumerate(shown):
        left = (WIDTH - len(row) * BOX - (len(row) - 1) * GAP) / 2
        for column, name in enumerate(row):
            place[name] = (left + column * (BOX + GAP), 20 + number * ROW)
    # The lowest row is imported everywhere: its arrows would say nothing.
    edges = imports([name for row in rows[:-1] for name in row])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(shown) * ROW}"'
        ' font-family="sans-serif" font-size="15" text-anchor="middle">',
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#888"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for upper, lower in sorted(edges):
        (x1, y1), (x2, y2) = place[upper], place[lower]
        lines.append(
            f'<line x1="{x1 + BOX / 2:g}" y1="{y1 + BOX_HEIGHT:g}" x2="{x2 + BOX / 2:g}"'
            f' y2="{y2 - 2:g}" stroke="#888" marker-end="url(#end)"/>'
        )
    for name, (x, y) in place.items():
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{BOX}" height="{BOX_HEIGHT}" rx="6"'
            ' fill="#eef3fa" stroke="#4a6fa5"/>'
            f'<text x="{x + BOX / 2:g}" y="{y + BOX_HEIGHT / 2 + 5:g}">{name}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _parts(row: list[str]) -> list[list[str]]:
    """A row that is wider than the picture as several of about one length."""
    count = -(-len(row) * (BOX + GAP) // (WIDTH + GAP)) or 1
    length = -(-len(row) // count) or 1
    return [row[i : i + length] for i in range(0, len(row), length)]


def main() -> None:
    """Writes or checks the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    picture = render()
    if not options.check:
        PICTURE.write_text(picture, encoding="utf-8")
    elif PICTURE.read_text(encoding="utf-8") != picture:
        sys.exit(f"{PICTURE.name} is out of date: run python -m scripts.draw_architecture")


if __name__ == "__main__":
    main()
