"""Writes `docs/configuration.md` from the dataclasses of the configuration and the YAML files.

    python -m scripts.make_config_reference           writes the page
    python -m scripts.make_config_reference --check   fails if the page is not what it would write

Keys, types and meanings are those of the dataclasses; defaults are what `equipot-train` uses, from
`configs/`, with the default of the dataclass beside it where that is another.
"""

import argparse
import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from equipot.cli import config_files, help_page
from equipot.data.config import DataConfig
from equipot.models import registry
from equipot.potential.config import PotentialConfig
from equipot.quantities import QuantityConfig
from equipot.training import changing
from equipot.training import config as training_config

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
GROUPS: Mapping[str, type] = {
    "data": DataConfig,
    "potential": PotentialConfig,
    "optimizer": training_config.OptimizerConfig,
    "loss": training_config.LossConfig,
    "trainer": training_config.TrainerConfig,
    "logger": training_config.LoggerConfig,
    "stage_two": changing.StageTwoConfig,
}

INTRODUCTION = """\
# Configuration

This page is made by `scripts/make_config_reference.py` from the source; do not edit it.

A run is described by a tree of settings, composed from YAML files and the command line.

First each group gets a file: the one named on the command line (`optimizer=soap`), else the one
that the experiment chooses (`+experiment=water`, with the plus), else the one in `train.yaml`. The
values are then those of the chosen files, overridden by the experiment's own, overridden by single
settings (`model.cutoff=6 trainer.num_steps=5000`). So `+experiment=water_dipole optimizer=soap`
uses SOAP, but keeps the learning rate and the clipping that the experiment sets.

`equipot-train … --cfg job` prints the result and trains nothing; every run folder keeps it as
`config.yaml`. `null` means "not set": the program then chooses as the table says. Where `none` is
listed as a value it is a choice of its own: `data.stress_key=null` looks for the usual names,
`data.stress_key=none` ignores stresses. A key that does not exist is refused, also behind a `+`,
before any data is read. Lists are written without spaces: `model.num_channels=[64,32]`.
"""
TOP = """\
## The run

Settings that belong to no group.
"""
MODEL = """\
## model.*

Which keys there are depends on the model. `model=NAME` chooses the file `configs/model/NAME.yaml`,
whose values are the defaults below.
"""


def render() -> str:
    """The whole page."""
    folder = config_files.shipped_folder()
    groups = config_files.groups([folder])
    chosen = help_page.chosen_options(folder / "train.yaml")
    parts = [INTRODUCTION, _options(groups, chosen), TOP, _run(folder / "train.yaml")]
    parts.append(MODEL)
    for name in registry.available():
        path = groups["model"].get(name)
        parts += [f"### {name}\n", _table(registry.config_class(name), _read(path), "model.")]
    for group, cls in GROUPS.items():
        path = groups[group][chosen[group]]
        parts += [f"## {group}.*\n", _headline(cls), _table(cls, _read(path), f"{group}.")]
        if cls is DataConfig:
            name = "data.quantities.NAME"
            parts += [f"### {name}.*\n", _headline(QuantityConfig)]
            parts.append(_table(QuantityConfig, {}, f"{name}."))
        if cls is training_config.OptimizerConfig:
            parts += ["### optimizer.soap.*\n", _headline(training_config.SoapConfig)]
            parts.append(_table(training_config.SoapConfig, {}, "optimizer.soap."))
        if cls is training_config.LossConfig:
            name = "loss.changes.NAME"
            parts += [f"### {name}.*\n", _headline(changing.ChangeConfig)]
            parts.append(_table(changing.ChangeConfig, {}, f"{name}."))
    return "\n".join(parts)


def attributes(cls: type) -> dict[str, str]:
    """What the section "Attributes" of a docstring says of each field, without its default."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    found: dict[str, list[str]] = {}
    for line in lines[lines.index("Attributes:") + 1 :]:
        start = re.match(r"  (\w+): (.*)", line)
        if start:
            found[start[1]] = [start[2]]
        elif line.startswith("    ") and found:
            found[list(found)[-1]].append(line.strip())
        else:
            break
    texts = {name: _plain(" ".join(words)) for name, words in found.items()}
    return {name: re.sub(r", default [^,]+\.$", ".", text) for name, text in texts.items()}


def type_name(hint: Any) -> str:
    """A type as it is written in YAML."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(a) for a in arguments)
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is tuple:
        return f"list of {type_name(arguments[0])}"
    if origin is not None:
        return "mapping"
    return {type(None): "`null`", bool: "`true`, `false`", str: "text"}.get(hint) or hint.__name__


def _plain(text: str) -> str:
    """A docstring's words as Markdown, for readers of YAML."""
    return re.sub(r"\bNone\b", "null", text.replace("``", "`"))


def _options(groups: config_files.Groups, chosen: Mapping[str, str]) -> str:
    lines = ["## Groups and experiments\n", "| choice | what it is |", "|---|---|"]
    for group in sorted(groups, key=lambda g: (g == "experiment", g)):
        for name in sorted(groups[group], key=lambda n: (n != chosen.get(group), n)):
            plus = "" if group in chosen else "+"
            headline = config_files.headline(groups[group][name])
            lines.append(f"| `{plus}{group}={name}` | {_cell(headline)} |")
    return "\n".join(lines) + "\n"


def _run(path: Path) -> str:
    """The fields of a run that are no groups."""
    cls = training_config.TrainConfig
    groups = {*GROUPS, "model"}
    table = _table(cls, _read(path), "", skip=groups)
    return re.sub(
        r"`\$\{name_from.*? \(in Python `run`\)", "name of the first training file", table
    )


def _headline(cls: type) -> str:
    return _plain(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]) + "\n"


def _table(
    cls: type, defaults: Mapping[str, Any], prefix: str, skip: typing.Collection[str] = ()
) -> str:
    """One row for each field that is no group of its own."""
    hints, meanings = typing.get_type_hints(cls), attributes(cls)
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(cls):
        if field.name in skip or dataclasses.is_dataclass(hints[field.name]):
            continue
        cells = (type_name(hints[field.name]), _default(field, defaults), meanings[field.name])
        rows.append(f"| `{prefix}{field.name}` | " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(rows) + "\n"


def _default(field: dataclasses.Field, defaults: Mapping[str, Any]) -> str:
    own = field.default
    value = defaults.get(field.name, own)
    if field.default_factory is not dataclasses.MISSING:
        own = field.default_factory()
        value = defaults.get(field.name, own)
    if own is dataclasses.MISSING:
        return "must be given" if value in (None, own) else _yaml(value)
    plain, value = (list(x) if isinstance(x, tuple) else x for x in (own, value))
    return _yaml(value) if value == plain else f"{_yaml(value)} (in Python {_yaml(plain)})"


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _read(path: Path | None) -> dict[str, Any]:
    """A YAML file's own keys."""
    return {} if path is None else yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def main() -> None:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    page = render()
    if not options.check:
        PAGE.write_text(page, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE.name} is out of date: run python -m scripts.make_config_reference")


if __name__ == "__main__":
    main()
