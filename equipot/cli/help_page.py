"""The page behind ``equipot-train --help``, made from the YAML files and their comments."""

import re
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

A run lies in runs/<name>: the potential <name>.equipot, tables of errors, plots, checkpoints, logs.
The same command continues a run that was interrupted. What to do with a potential: equipot --help.
"""
WIDTH = 110
_SETTING = re.compile(r"^(?P<key>\w+):\s+(?P<value>.*?)(?:\s+#\s*(?P<comment>.*))?$")


def help_page(folders: Sequence[Path]) -> str:
    """Composes the page: examples, experiments, groups with options, settings with defaults.

    Args:
      folders: Folders of configurations, the shipped one first.
    """
    groups = config_files.groups(folders)
    experiments = groups.pop("experiment", {})
    main = folders[0] / "train.yaml"
    chosen = chosen_options(main)
    lines = [HEAD, "Experiments: +experiment=…", *_options(experiments), ""]
    lines.append("Groups: group=option; the first is what you get without asking")
    for group in sorted(groups, key=lambda name: (name not in chosen, name)):
        lines += [f"  {group}=", *_options(groups[group], first=chosen.get(group))]
    lines += ["", "Settings: key=value", *_settings(main, "")]
    for group, option in chosen.items():
        lines += ["", *_settings(groups[group][option], f"{group}.")]
    return "\n".join(lines)


def chosen_options(main: Path) -> dict[str, str]:
    """The options that ``train.yaml`` chooses from each group."""
    entries = yaml.safe_load(main.read_text(encoding="utf-8"))["defaults"]
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    return {group: option for group, option in pairs if not group.startswith("override ")}


def _options(options: dict[str, Path], first: str | None = None) -> list[str]:
    names = sorted(options, key=lambda name: (name != first, name))
    return [
        line
        for name in names
        for line in _row(f"    {name}", config_files.headline(options[name]), 26)
    ]


def _settings(path: Path, prefix: str) -> list[str]:
    """Each ``key: value  # comment`` of a file as a line that could be typed, with its comment."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = _SETTING.match(line)
        if found and not (prefix and found["key"] == "name"):
            value = found["value"].replace(", ", ",")
            lines += _row(f"  {prefix}{found['key']}={value}", found["comment"] or "", 44)
    return lines


def _row(left: str, right: str, column: int) -> list[str]:
    """Two columns, the right one wrapped."""
    wrapped = textwrap.wrap(right, WIDTH - column) or [""]
    head = f"{left:<{column - 2}}  {wrapped[0]}".rstrip()
    return [head, *(" " * column + part for part in wrapped[1:])]
