"""A small picture of a structure: balls and sticks as SVG, one atom marked."""

from collections.abc import Iterable

import numpy as np

from equipot import html_page
from equipot.data import elements
from equipot.data.structure import Structure, symbol

_MOST = 240  # atoms drawn: the nearest to the one that is marked
_LETTERED = 30  # atoms that have room for their symbols
_BALL = 0.5, 0.1  # radius of a ball in units of the covalent radius, and what is added, Å
_BOND = 1.2  # longest, in units of the sum of covalent radii
_MARGIN = 0.7  # Å
_SIZE = 200  # points of the picture
_CORNERS = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)], np.float64)


def svg(structure: Structure, marked: int | None = None) -> str:
    """Draws a structure, whose cell is shown where it has one.

    Molecules are seen along their shortest axis, periodic structures from a corner, with their
    atoms moved into the cell, around the one that is marked.

    Args:
      structure: What to draw.
      marked: Index of the atom to mark and to keep in sight; None for none.
    """
    positions = structure.positions
    middle = positions.mean(axis=0) if marked is None else positions[marked]
    edges = np.zeros((0, 2, 3))
    if structure.pbc.any() and abs(np.linalg.det(structure.cell)) > 1e-6:
        corner = middle - 0.5 * structure.cell.sum(axis=0) if marked is not None else np.zeros(3)
        positions = _into_cell(structure, corner)
        middle = middle if marked is not None else 0.5 * structure.cell.sum(axis=0)
        edges = corner + _cell_edges(structure.cell)
        view = _FROM_A_CORNER
    else:
        view = _along_the_shortest(positions)
    distances = np.linalg.norm(positions - middle, axis=1)
    shown = np.sort(np.argsort(distances, kind="stable")[:_MOST])
    if len(shown) < len(positions):
        edges = edges[:0]
    numbers, seen = structure.atomic_numbers[shown], positions[shown] @ view
    mark = int(np.searchsorted(shown, marked)) if marked is not None else None
    parts = [*_lines(edges @ view), *_bonds(numbers, positions[shown], seen)]
    parts += _balls(numbers, seen, mark, len(shown) <= _LETTERED)
    made = _framed(parts, np.concatenate([seen, (edges @ view).reshape(-1, 3)]))
    left_out = len(positions) - len(shown)
    words = f"{structure.where}; {left_out} farther atoms left out" if left_out else structure.where
    return html_page.described(made, words)


def legend(numbers: Iterable[int]) -> str:
    """The colors of elements, as HTML.

    Args:
      numbers: Atomic numbers, each once.
    """
    dots = (
        f'<span class="element"><i style="background:{_color(z)}"></i>'
        f"{html_page.text(symbol(z))}</span>"
        for z in numbers
    )
    return f'<p class="soft">{"".join(dots)}</p>'


def _turned(azimuth: float, elevation: float) -> np.ndarray:
    """Columns: to the right, up, and towards the eye; z stands up."""
    a, e = np.radians(azimuth), np.radians(elevation)
    right = np.array([np.cos(a), np.sin(a), 0.0])
    eye = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
    return np.stack([right, np.cross(eye, right), eye], axis=1)


_FROM_A_CORNER = _turned(20.0, 15.0)


def _along_the_shortest(positions: np.ndarray) -> np.ndarray:
    """Principal axes, the longest to the right and the shortest towards the eye."""
    centered = positions - positions.mean(axis=0)
    axes = np.linalg.eigh(centered.T @ centered)[1][:, ::-1]
    axes *= np.where(np.abs(axes).max(axis=0) == axes.max(axis=0), 1.0, -1.0)  # one of two signs
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return axes


def _into_cell(structure: Structure, corner: np.ndarray) -> np.ndarray:
    """Positions in the cell that begins at a corner, in the directions that are periodic."""
    scaled = np.linalg.solve(structure.cell.T, (structure.positions - corner).T).T
    scaled -= np.floor(scaled) * structure.pbc
    return corner + scaled @ structure.cell


def _cell_edges(cell: np.ndarray) -> np.ndarray:
    """Ends of the twelve edges, [edges, 2, 3]."""
    pairs = [
        (a, b) for a in _CORNERS for b in _CORNERS if (b - a).sum() == 1 and (b - a).min() == 0
    ]
    return np.array(pairs) @ cell


def _lines(edges: np.ndarray) -> list[str]:
    return [f'<path d="M{_at(a)}L{_at(b)}" class="cell"/>' for a, b in edges]


def _bonds(numbers: np.ndarray, positions: np.ndarray, seen: np.ndarray) -> list[str]:
    radii = elements.COVALENT_RADII[numbers]
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    first, second = np.nonzero(np.triu(distances < _BOND * (radii[:, None] + radii), k=1))
    return [
        f'<path d="M{_at(seen[i])}L{_at(seen[j])}" class="bond"/>'
        for i, j in zip(first, second, strict=True)
    ]


def _balls(numbers: np.ndarray, seen: np.ndarray, marked: int | None, lettered: bool) -> list[str]:
    """From the farthest to the nearest; the ring around the marked one last."""
    parts = []
    for i in np.argsort(seen[:, 2], kind="stable"):
        radius = _radius(int(numbers[i]))
        x, y = _at(seen[i]).split()
        color = _color(int(numbers[i]))
        parts.append(f'<circle cx="{x}" cy="{y}" r="{radius:.2f}" fill="{color}"/>')
        if lettered:
            shade = "#000" if _shade(int(numbers[i])) @ (0.3, 0.6, 0.1) > 0.5 else "#fff"
            parts.append(
                f'<text x="{x}" y="{y}" font-size="{radius:.2f}" fill="{shade}">'
                f"{symbol(int(numbers[i]))}</text>"
            )
    if marked is not None:
        x, y = _at(seen[marked]).split()
        radius = _radius(int(numbers[marked])) + 0.25
        parts.append(f'<circle cx="{x}" cy="{y}" r="{radius:.2f}" class="mark"/>')
    return parts


def _framed(parts: list[str], points: np.ndarray) -> str:
    low = points[:, :2].min(axis=0) - _MARGIN
    side = float((points[:, :2].max(axis=0) + _MARGIN - low).max())
    low -= 0.5 * (side - (points[:, :2].max(axis=0) + _MARGIN - low))
    return (
        f'<svg class="atoms" width="{_SIZE}" height="{_SIZE}"'
        f' viewBox="{low[0]:.2f} {-low[1] - side:.2f} {side:.2f} {side:.2f}">{"".join(parts)}</svg>'
    )


def _radius(number: int) -> float:
    """Of a ball, Å."""
    return _BALL[0] * float(elements.COVALENT_RADII[number]) + _BALL[1]


def _at(point: np.ndarray) -> str:
    """Coordinates of the picture, whose second one points down."""
    return f"{point[0]:.2f} {-point[1]:.2f}"


def _color(number: int) -> str:
    return "#" + "".join(f"{round(255 * share):02x}" for share in _shade(number))


def _shade(number: int) -> np.ndarray:
    """Red, green and blue; gray for the heaviest elements, which have no color of their own."""
    known = number < len(elements.COLORS)
    return elements.COLORS[number] if known else np.full(3, 0.6)
