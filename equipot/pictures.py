"""Pictures of a page: SVG whose lines and letters take the page's own color, light or dark."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#123456"  # stands for the color of the page's text until the picture is written
COLORS = ("#2a7de1", "#e8710a", "#1e9e5a", "#b04fc4", "#d23c3c", "#8a8d24")
"""Readable on white and on black."""
DENSITY = ("#2a7de1", "#a557d8", "#d94f6e", "#e8710a", "#f2b100")
"""From few to many, readable on white and on black."""
CELLS = "cells"
"""Identity of an image whose pixels are cells with sharp borders."""

_DPI = 192  # of what is drawn as pixels: two for each of the screen's

_STYLE: dict[Any, Any] = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "legend.frameon": False,
}


@dataclasses.dataclass(eq=False)
class Drawing:
    """A picture while it is drawn, and when it is done.

    Attributes:
      figure: Of matplotlib.
      axes: Row by row.
      svg: The picture that can stand in a page beside others; empty until it is done.
    """

    figure: "Figure"
    axes: Sequence["Axes"]
    svg: str = ""


@contextlib.contextmanager
def drawing(
    name: str,
    rows: int,
    columns: int,
    width: float = 3.2,
    height: float = 2.4,
    ratios: Sequence[float] | None = None,
) -> Iterator[Drawing]:
    """Gives axes to draw on, without a display.

    Args:
      name: Of the picture: names of its parts are made from it.
      rows: Of axes.
      columns: Of axes.
      width: Of one, inches.
      height: Of one, inches.
      ratios: Of the heights of the rows; None for rows of one height.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        layout = "constrained" if ratios is None else "compressed"
        figure = Figure(figsize=(width * columns, height * rows), layout=layout)
        FigureCanvasSVG(figure)
        axes = figure.subplots(rows, columns, squeeze=False, height_ratios=ratios).ravel()
        figure.patch.set_alpha(0.0)
        for axis in axes:
            axis.patch.set_alpha(0.0)
            axis.set_prop_cycle(color=COLORS)
        made = Drawing(figure=figure, axes=list(axes))
        yield made
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    made.svg = re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", text)
