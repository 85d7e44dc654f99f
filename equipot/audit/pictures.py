"""Pictures of the page: SVG whose lines and letters take the page's own color, light or dark."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#123456"  # stands for the color of the page's text until the picture is written
COLORS = ("#2a7de1", "#e8710a", "#1e9e5a", "#b04fc4", "#d23c3c", "#8a8d24")
"""Readable on white and on black."""

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


def panels(
    rows: int, columns: int, width: float = 3.2, height: float = 2.4
) -> tuple["Figure", Sequence["Axes"]]:
    """A figure and its axes, without a display.

    Args:
      rows: Of axes.
      columns: Of axes.
      width: Of one, inches.
      height: Of one, inches.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.patch.set_alpha(0.0)
        axis.set_prop_cycle(color=COLORS)
    figure.patch.set_alpha(0.0)
    return figure, list(axes)


def to_svg(figure: "Figure", name: str) -> str:
    """The picture as SVG that can stand in a page beside others.

    Args:
      figure: Of ``panels``.
      name: Of the picture: names of its parts are made from it.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", text)
