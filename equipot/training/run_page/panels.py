"""The pictures of the page: each a panel that stands beside others where there is room."""

from collections.abc import Iterable

from equipot import html_page, pictures
from equipot.quantities import Quantity
from equipot.training import reports
from equipot.training.run_page import atoms, curves, distribution, parity, tables, worst
from equipot.training.run_page.contents import Contents

_WIDTH = 2.9  # inches of a panel: three stand side by side
_TALL = 1.95  # inches of half a square with its errors
_SPLITS = {"train": "training", "valid": "validation", "test": "test"}


def learning_curves(contents: Contents) -> str:
    """Loss, errors and rate over the steps; empty where nothing is logged yet."""
    made = []
    for curve in curves.curves(contents.lines, contents.quantities):
        with pictures.drawing(curve.key, 1, 1, width=_WIDTH, height=2.1) as drawn:
            curves.draw(drawn.axes[0], curve, contents.lines, contents.names, contents.best_step)
        made.append(_figure(drawn.svg, "", f"{curve.title} over the steps"))
    if not made:
        return ""
    kinds = (contents.names.training, contents.names.validation)
    dots = "".join(_dot(color, words) for color, words in zip(pictures.COLORS, kinds, strict=False))
    best = contents.best_step
    dotted = f"dotted: the best step, {best:,}" if best is not None and best > 0 else ""
    return f'<h2>Learning curves</h2><p class="soft">{dots}{dotted}</p>{_side_by_side(made)}'


def predictions(contents: Contents) -> str:
    """Parity, errors and their distribution, for each quantity with labels."""
    parts = []
    for quantity in contents.labelled.values():
        pairs = {
            split: reports.labels_and_predictions(*own, quantity)
            for split, own in contents.evaluated.items()
        }
        pairs = {split: pair for split, pair in pairs.items() if len(pair[0])}
        made = []
        for split, (labels, predicted) in pairs.items():
            name = f"{quantity.name} {split}"
            with pictures.drawing(name, 2, 1, _WIDTH, _TALL, parity.HEIGHTS) as drawn:
                above, below = drawn.axes
                parity.draw(above, below, labels, predicted, quantity)
            words = f"{_SPLITS.get(split, split)}, {len(labels):,} labels"
            made.append(
                _figure(drawn.svg, words, f"{quantity.name} predicted and labelled, {split}")
            )
        differences = {split: quantity.factor * (p - l) for split, (l, p) in pairs.items()}
        with pictures.drawing(f"errors of {quantity.name}", 1, 1, _WIDTH, 2.4) as drawn:
            distribution.draw(drawn.axes[0], differences, quantity)
        made.append(_figure(drawn.svg, "errors of all splits", f"errors of {quantity.name}"))
        parts.append(f"<h3>{html_page.text(quantity.name)}</h3>{_side_by_side(made)}")
    return "<h2>Predictions against labels</h2>" + "".join(parts)


def worst_structures(contents: Contents) -> str:
    """The structures with the largest errors of a split, drawn, with the worst atom marked."""
    split = contents.judged
    structures, predicted = contents.evaluated[split]
    parts, numbers = [], set()
    for quantity in _ranked(contents):
        found = worst.worst(structures, predicted, quantity)
        made = [_card(own, quantity) for own in found]
        numbers |= {int(z) for own in found for z in own.structure.atomic_numbers}
        if made:
            title = f"largest RMSE of {quantity.name} in a structure"
            parts.append(f"<h3>{html_page.text(title)}</h3>{_side_by_side(made)}")
    if not parts:
        return ""
    title = f"<h2>The worst structures of the {_SPLITS[split]} split</h2>"
    ring = '<p class="soft">A ring marks the atom with the largest error.</p>'
    return title + ring + atoms.legend(sorted(numbers)) + "".join(parts)


def _ranked(contents: Contents) -> list[Quantity]:
    """Forces and energy, then what was declared."""
    labelled = contents.labelled
    first = [labelled[name] for name in ("forces", "energy") if name in labelled]
    others = [q for name, q in labelled.items() if name not in ("forces", "energy", "stress")]
    return [*first, *others] or list(labelled.values())


def _card(own: worst.Worst, quantity: Quantity) -> str:
    text, structure = html_page.text, own.structure
    lines = [f"<b>{text(_with_unit(quantity, own.error))}</b>"]
    if own.atom is not None:
        element = atoms.symbol(int(structure.atomic_numbers[own.atom]))
        lines.append(f"{text(_with_unit(quantity, own.of_atom))} at atom {own.atom}, {element}")
    lines += [text(structure.source or "no source"), text(structure.formula)]
    words = {"group": structure.group, "head": structure.head}
    lines += [f"{name} {text(word)}" for name, word in words.items() if word]
    below = f"<figcaption>{'<br>'.join(lines)}</figcaption>"
    return f"<figure>{atoms.svg(structure, own.atom)}{below}</figure>"


def _with_unit(quantity: Quantity, error: float) -> str:
    return f"{tables.shown(quantity, error)} {quantity.shown}".strip()


def _figure(svg: str, caption: str, words: str) -> str:
    below = f"<figcaption>{html_page.text(caption)}</figcaption>" if caption else ""
    return f"<figure>{html_page.described(svg, words)}{below}</figure>"


def _side_by_side(made: Iterable[str]) -> str:
    return '<div class="panels">' + "\n".join(made) + "</div>"


def _dot(color: str, words: str) -> str:
    return f'<span class="element"><i style="background:{color}"></i>{html_page.text(words)}</span>'
