"""A potential in a dozen lines: what ``equipot info`` shows unless it is asked for all."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FEW = 10  # entries of a list that is written out


def lines(facts: Mapping[str, Any]) -> list[str]:
    """What a user wants to know first.

    Args:
      facts: All that is known, as ``info.describe`` gives it.
    """
    model, training = facts["model"], facts["training"]
    sizes = {"num_layers": "layers", "num_channels": "channels", "lmax": "degree"}
    size = [f"{word} {model[name]}" for name, word in sizes.items() if name in model]
    rows = [
        ("file", facts["file"]),
        ("model", ", ".join([model["name"], *size, f"{facts['parameters']:,} parameters"])),
        ("cutoff", f"{facts['cutoff in Å']:g} Å, {facts['average neighbors']:.1f} neighbors"),
        ("runs in", facts["precision"]),
        *_of_elements(facts),
        ("predicts", _quantities(facts["quantities"])),
        ("shortest distances", _shortest(facts["distances in training in Å"])),
        ("repulsion", _repulsion(facts)),
        *(("errors (RMSE)", text) for text in _errors(training.get("errors", {}))),
        ("made by", _origin(training)),
        ("not determined", facts["not determined by the data"]),
        ("more", "--all, or --json"),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {text}" for name, text in rows]


def _of_elements(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The elements, with their energies where they are few."""
    references = facts["reference energies in eV"]
    heads = [key for key, value in references.items() if isinstance(value, dict)]
    elements = references[heads[0]] if heads else references
    rows = [("elements", f"{len(elements)}: {' '.join(elements)}")]
    if heads:
        return [*rows, ("levels of theory", ", ".join(heads))]
    if len(elements) <= _FEW:
        alone = facts["isolated atoms in eV"]
        rows.append(("reference energies", f"{_listed(elements)} eV"))
        rows.append(("energies of atoms alone", f"{_listed(alone)} eV"))
    return rows


def _quantities(found: Any) -> str:
    return found if isinstance(found, str) else f"energy, forces, stress, {', '.join(found)}"


def _shortest(span: Any) -> str:
    if isinstance(span, str):
        return span
    pairs = span["shortest of each pair"]
    if len(pairs) <= _FEW:
        return f"{_listed(pairs, 2)} Å in training"
    return f"of {len(pairs)} pairs of elements, from {min(pairs.values()):.2f} Å, in training"


def _repulsion(facts: Mapping[str, Any]) -> str:
    own = facts["repulsion"]
    if isinstance(facts["wall"], str):
        return facts["wall"] if own == "none" else "that of nuclei (ZBL)"
    wall = "a wall below these distances"
    return wall if own == "none" else f"{wall}, and that of nuclei (ZBL)"


def _errors(found: Mapping[str, Any]) -> Iterable[str]:
    """One line for each split."""
    for split in _in_order(found, ("train", "valid", "test")):
        names = _in_order(found[split], ("energy", "forces", "stress"))
        values = (_error(name, found[split][name]) for name in names)
        yield f"{split}: {', '.join(values)}"


def _error(name: str, found: Mapping[str, Any]) -> str:
    if found["rmse"] is None:
        return f"{name} not finite"
    return f"{name} {found['rmse']:.4g} {found['unit']}"


def _in_order(table: Mapping[str, Any], first: Sequence[str]) -> list[str]:
    """Keys, those that are usual first: files hold them by the alphabet."""
    return [*(key for key in first if key in table), *(key for key in table if key not in first)]


def _origin(training: Mapping[str, Any]) -> str:
    if "published" in training or "converted_from" in training:
        source = training.get("converted_from", {})
        facts = {**training.get("published", {}), "file": source.get("file")}
        known = [str(facts[name]) for name in ("file", "theory", "license") if facts.get(name)]
        return ", ".join(["conversion", *known])
    if "config" not in training:
        return "not stated"
    versions = training.get("versions", {})
    programs = [f"{name} {versions[name]}" for name in ("equipot", "jax") if name in versions]
    data = training["config"].get("data", {}).get("train")
    data = ", ".join(data) if isinstance(data, list) else data
    return ", ".join([f"step {training.get('step')} of training on {data}", *programs])


def _listed(table: Mapping[str, float], digits: int = 4) -> str:
    return ", ".join(f"{name} {value:.{digits}f}" for name, value in table.items())
