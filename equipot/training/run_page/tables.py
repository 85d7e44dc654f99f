"""The tables of the page: validations so far, and the errors at the end."""

import math

from equipot import html_page
from equipot.quantities import Quantity
from equipot.training.reports import Errors, SplitErrors
from equipot.training.run_page.contents import Contents

_GROUPS = 60  # most in a table
_ELEMENTS = 20  # most in a table that is not folded


def validations(contents: Contents) -> str:
    """Errors of the last validation and of the best one; empty before the first."""
    found = [line for line in contents.lines if "valid_loss" in line]
    if not found:
        return ""
    best = [line for line in found if line["step"] == contents.best_step]
    columns = {"last": found[-1], **({"best": best[-1]} if best else {})}
    keys = {
        name: f"valid_{name}_rmse"
        for name in contents.quantities
        if f"valid_{name}_rmse" in found[-1]
    }
    rows = [
        (
            _named(contents.quantities[name]),
            *(shown(contents.quantities[name], line.get(key)) for line in columns.values()),
        )
        for name, key in keys.items()
    ]
    rows.append(("loss", *(f"{line['valid_loss']:.4g}" for line in columns.values())))
    heads = ["RMSE", *(f"{name}, step {line['step']:,}" for name, line in columns.items())]
    return "<h2>Validation</h2>" + html_page.table(heads, rows, len(columns))


def errors(contents: Contents) -> str:
    """MAE, RMSE and relative error of each split."""
    names = {"train": "training", "valid": "validation"}
    rows = [
        (names.get(split, split) + moment, *_row(contents.quantities[name], own))
        for moment, table in (("", contents.errors), (", before training", contents.before))
        for split, found in table.items()
        for name, own in found.quantities.items()
        if own is not None
    ]
    heads = ("split", "quantity", "MAE", "RMSE", "relative")
    return "<h2>Errors</h2>" + html_page.table(heads, rows, 3)


def elements(contents: Contents) -> str:
    """Errors of each quantity of atoms by element, and their RMSE on the other splits."""
    last, parts = contents.judged, []
    for name, own in contents.errors[last].elements.items():
        quantity = contents.quantities[name]
        others = [split for split in contents.errors if split != last]
        heads = (f"{name}, {last}", "MAE", "RMSE", "relative", *(f"RMSE {s}" for s in others))
        rows = [
            (
                element,
                *_row(quantity, found)[1:],
                *(_rmse(contents.errors[split], name, element, quantity) for split in others),
            )
            for element, found in own.items()
        ]
        unit = f", {html_page.text(quantity.shown)}" if quantity.shown else ""
        title = f"<h3>{html_page.text(name)}{unit}</h3>"
        table = html_page.table(heads, rows, len(heads) - 1)
        if len(rows) > _ELEMENTS:
            table = f"<details><summary>{len(rows)} elements</summary>{table}</details>"
        parts.append(title + table)
    return "<h2>Errors by element</h2>" + "".join(parts) if parts else ""


def groups(contents: Contents) -> str:
    """RMSE and MAE of each group; the worst ones where there are many."""
    last = contents.judged
    found = contents.errors[last].groups
    labelled = [
        quantity
        for name, quantity in contents.quantities.items()
        if any(own.quantities.get(name) for own in found.values())
    ]
    if not labelled:
        return ""
    named = list(found.items())
    note = ""
    if len(named) > _GROUPS:
        first = next((q for q in labelled if q.name == "forces"), labelled[0])
        named = sorted(named, key=lambda item: -_size(item[1].quantities.get(first.name)))[:_GROUPS]
        note = (
            f'<p class="soft">The {_GROUPS} worst in {html_page.text(first.name)} of'
            f" {len(found):,}; metrics.json has all.</p>"
        )
    heads = [f"group, {last}"]
    heads += [f"{q.name} {kind}, {q.shown}".rstrip(", ") for q in labelled for kind in _KINDS]
    rows = [
        (
            group,
            *(
                shown(q, getattr(own.quantities.get(q.name), kind.lower(), None))
                for q in labelled
                for kind in _KINDS
            ),
        )
        for group, own in named
    ]
    return f"<h2>Errors by group</h2>{note}" + html_page.table(heads, rows, len(heads) - 1)


def shown(quantity: Quantity, error: float | None) -> str:
    """An error without its unit; words where it is not finite, nothing where there is none."""
    if error is None:
        return ""
    return quantity.show(error) if math.isfinite(error) else "not finite"


_KINDS = ("MAE", "RMSE")


def _row(quantity: Quantity, own: Errors) -> tuple[str, str, str, str]:
    relative = f"{100 * own.relative:.2f} %" if math.isfinite(own.relative) else ""
    return _named(quantity), shown(quantity, own.mae), shown(quantity, own.rmse), relative


def _named(quantity: Quantity) -> str:
    return f"{quantity.name}, {quantity.shown}" if quantity.shown else quantity.name


def _rmse(split: SplitErrors, name: str, element: str, quantity: Quantity) -> str:
    own = split.elements.get(name, {}).get(element)
    return shown(quantity, own.rmse) if own else ""


def _size(own: Errors | None) -> float:
    if own is None:
        return -1.0
    return own.rmse if math.isfinite(own.rmse) else math.inf
