"""The page behind ``equipot-train --help``, made from the YAML files and their comments."""

import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml

from equipot.cli import config_files

HEAD = """\
equipot-train trains an interatomic potential on structures with energies, forces and stresses.

  equipot-train +experiment=water
      liquid water, shipped with equipot: a potential in minutes
  equipot-train data.train=my.extxyz
      your own structures, in any format ASE reads; some are set aside for validation and test
  equipot-train data.train=my.extxyz model.cutoff=6 trainer.num_epochs=200
      any setting of the list below is changed by key=value
  equipot-train -m data.train=my.extxyz model.lmax=0,1,2 seed=0,1
      a sweep: one run for each combination, in multirun/
  equipot-train --config-dir my +experiment=mine
      settings from your own file my/experiment/mine.yaml
  equipot-train +experiment=water --cfg job
      shows the resulting settings and does not train
  equipot-train --hydra-help
      the flags of Hydra, which composes the settings: --cfg, --info, --multirun …

A run lies in runs/<name>: the potential <name>.equipot, tables of errors, plots, checkpoints, logs.
The same command continues a run that was interrupted. What to do with a potential: equipot --help.
"""
_WIDTH = 110  # where there is no terminal
_NARROWEST = 40
_SETTING = re.compile(r"^(?P<key>\w+):\s+(?P<value>.*?)(?:\s+#\s*(?P<comment>.*))?$")


def help_page(folders: Sequence[Path], width: int | None = None) -> str:
    """Composes the page: examples, experiments, groups with options, settings with defaults.

    Args:
      folders: Folders of configurations, the shipped one first.
      width: Of its lines; None for that of the terminal, or of ``COLUMNS``.
    """
    width = max(_NARROWEST, width or shutil.get_terminal_size((_WIDTH, 24)).columns)
    groups = config_files.groups(folders)
    experiments = groups.pop("experiment", {})
    main = folders[0] / "train.yaml"
    chosen = chosen_options(main)
    head = [part for line in HEAD.splitlines() for part in _fitted(line, width)]
    lines = [*head, "", "Experiments: +experiment=…", *_options(experiments, width), ""]
    lines += _fitted("Groups: group=option; the first is what you get without asking", width)
    for group in sorted(groups, key=lambda name: (name not in chosen, name)):
        plus = "" if group in chosen else "+"  # nothing is chosen without asking
        lines += [f"  {plus}{group}=", *_options(groups[group], width, first=chosen.get(group))]
    lines += ["", "Settings: key=value", *_settings(main, "", width)]
    for group, option in chosen.items():
        lines += ["", *_settings(groups[group][option], f"{group}.", width)]
    return "\n".join(lines)


def chosen_options(main: Path) -> dict[str, str]:
    """The options that ``train.yaml`` chooses from each group."""
    entries = yaml.safe_load(main.read_text(encoding="utf-8"))["defaults"]
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    return {group: option for group, option in pairs if not group.startswith("override ")}


def _options(options: dict[str, Path], width: int, first: str | None = None) -> list[str]:
    names = sorted(options, key=lambda name: (name != first, name))
    return [
        line
        for name in names
        for line in _row(f"    {name}", config_files.headline(options[name]), 26, width)
    ]


def _settings(path: Path, prefix: str, width: int) -> list[str]:
    """Each ``key: value  # comment`` of a file as a line that could be typed, with its comment."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = _SETTING.match(line)
        if found and not (prefix and found["key"] == "name"):
            value = found["value"].replace(", ", ",")
            lines += _row(f"  {prefix}{found['key']}={value}", found["comment"] or "", 44, width)
    return lines


def _row(left: str, right: str, column: int, width: int) -> list[str]:
    """Two columns, the right one wrapped; below each other where they do not fit side by side."""
    if width < column + _NARROWEST // 2:
        indent = " " * (len(left) - len(left.lstrip()) + 4)
        return [left, *textwrap.wrap(right, width, initial_indent=indent, subsequent_indent=indent)]
    wrapped = textwrap.wrap(right, width - column) or [""]
    head = f"{left:<{column - 2}}  {wrapped[0]}".rstrip()
    return [head, *(" " * column + part for part in wrapped[1:])]


def _fitted(line: str, width: int) -> list[str]:
    """The line, wrapped with its indent."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
