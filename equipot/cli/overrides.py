"""The arguments of ``equipot-train``, checked before Hydra composes and data are read.

Hydra accepts any key after ``+`` and any group that does not exist, and suggests ``+`` for a
misspelled key. Here each key must be a field of the configuration, and each group and option must
have its file.
"""

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser import overrides_parser, types
from hydra.errors import OverrideParseException

from equipot import errors
from equipot.cli import config_files, help_page, hydra_flags, plugins, sweeps, yaml_errors
from equipot.training import config as training_config


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """The parts of the arguments that matter before Hydra reads them.

    Attributes:
      folders: Folders of configurations, the shipped one first.
      flags: The arguments for Hydra itself, such as ``--multirun``.
      overrides: The arguments ``key=value``, parsed.
      outside: The folders that belong to packages with models.
    """

    folders: tuple[Path, ...]
    flags: tuple[str, ...]
    overrides: tuple[types.Override, ...]
    outside: tuple[Path, ...] = ()

    @property
    def own_files(self) -> tuple[Path, ...]:
        """All YAML files in folders of the user's own."""
        return tuple(path for own in self.folders[1:] for path in sorted(own.rglob("*.yaml")))

    def for_hydra(self) -> list[str]:
        """The arguments as Hydra wants them: all ``key=value`` together, wherever the flags were.

        The folder of each run of a sweep is named after the keys that are swept.
        """
        words = [added(override) for override in self.overrides]
        unswept = [f"'{o.key_or_group}'" for o in self.overrides if not o.is_sweep_override()]
        exclude = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(unswept)}]"
        keys = [override.key_or_group for override in self.overrides]
        paths = ",".join(f"'file://{folder.resolve()}'" for folder in self.outside)
        search = [f"hydra.searchpath=[{paths}]"] if self.outside else []
        if hydra_flags.HELP in self.flags:  # a page that depends on no setting
            return [hydra_flags.HELP]
        return [*words, exclude, *search, *sweeps.settings(keys, words), *self.flags]


def added(override: types.Override) -> str:
    """An argument, with pluses where names are free and need not be in a YAML file."""
    word = override.input_line or ""
    first, *rest = override.key_or_group.split(".")
    hint: Any = training_config.TrainConfig
    for part in [first, *rest]:
        if not dataclasses.is_dataclass(hint) or part not in _fields(hint):
            break
        hint = _fields(hint)[part]
    is_free = first != "model" and typing.get_origin(hint) is Mapping
    return f"++{word}" if is_free and word.startswith(override.key_or_group) else word


def parse(arguments: Sequence[str]) -> CommandLine:
    """Reads the arguments as Hydra will.

    Raises:
      ConfigError: If a folder of configurations is not there, a flag is unknown or has no effect,
        or ``key=value`` cannot be read.
    """
    options, words = hydra_flags.parse(arguments)
    outside = config_files.outside_folders()
    folders = [config_files.shipped_folder(), *outside]
    if options.config_dir is not None:
        folders.append(Path(options.config_dir))
        if not folders[-1].is_dir():
            raise errors.ConfigError(f"--config-dir: there is no folder {options.config_dir}")
    try:
        overrides = overrides_parser.OverridesParser.create().parse_overrides(words)
    except OverrideParseException as error:
        if "=" not in error.override and Path(error.override).exists():
            raise errors.ConfigError(
                f"{error.override}: expected key=value, received a file. To train on it:"
                f" equipot-train data.train={error.override}"
            ) from None
        raise errors.ConfigError(
            f"{error.override}: cannot be read as key=value; quote it for the shell, as in"
            " 'data.train=\"my file.xyz\"'"
        ) from None
    flags = [word for word in arguments if word not in words]
    return CommandLine(tuple(folders), tuple(flags), tuple(overrides), tuple(outside))


def check(command_line: CommandLine) -> None:
    """Refuses keys, groups and options that do not exist.

    Raises:
      ConfigError: With the nearest known word.
    """
    groups = config_files.groups(command_line.folders)
    models = _chosen_models(command_line, groups)
    plugins.check(command_line.overrides)
    for override in command_line.overrides:
        key = override.key_or_group
        if key == "hydra" or key.startswith(("hydra.", "hydra/")):
            continue
        if key == "experiment" and not override.is_add():
            raise errors.ConfigError(
                f"{override.input_line}: an experiment is added with a plus: +{override.input_line}"
            )
        if key in groups:
            _check_option(key, override, groups)
            _check_files(key, override, groups)
        elif "/" in key:
            raise errors.ConfigError(_unknown("group", key, groups))
        else:
            _check_key(override, groups, models)


def _chosen_models(command_line: CommandLine, groups: config_files.Groups) -> tuple[str, ...]:
    """The models that are trained; none if files that are composed later choose them."""
    keys = [override.key_or_group for override in command_line.overrides]
    if "model" in keys:
        chosen = command_line.overrides[keys.index("model")]
        swept = chosen.is_sweep_override()
        values = tuple(chosen.sweep_string_iterator()) if swept else (chosen.value(),)
    elif "experiment" in keys or {"--config-name", "-cn"} & {*command_line.flags}:
        values = ()
    else:
        values = (help_page.chosen_options(command_line.folders[0] / "train.yaml")["model"],)
    return tuple(str(value) for value in values if str(value) in groups["model"])


def _check_option(group: str, override: types.Override, groups: config_files.Groups) -> None:
    value = override.value()
    for option in value if isinstance(value, list) else [value]:
        if isinstance(option, str) and option not in groups[group]:
            raise errors.ConfigError(f"{group}: {_unknown('option', option, groups[group])}")


def _check_files(group: str, override: types.Override, groups: config_files.Groups) -> None:
    """Reads the chosen files to find mistakes that Hydra does not explain."""
    if override.is_sweep_override() and override.is_discrete_sweep():
        chosen = list(override.sweep_string_iterator())
    else:
        value = override.value()
        chosen = value if isinstance(value, list) else [value]
    for option in chosen:
        if str(option) in groups[group]:
            yaml_errors.load(groups[group][str(option)])


def _check_key(
    override: types.Override, groups: config_files.Groups, models: Sequence[str]
) -> None:
    """Looks for ``trainer.num_steps`` in the dataclasses, for ``model.lmax`` in the YAML files."""
    first, *rest = override.key_or_group.split(".")
    fields = _fields(training_config.TrainConfig)
    if first not in fields:
        raise errors.ConfigError(_unknown("key", first, dict.fromkeys([*fields, *groups])))
    if first == "model":
        added = override.is_add() or override.is_force_add()
        if rest and not added:  # added keys are checked against the model's own fields
            _require(rest[0], _keys_in_files(groups["model"].values()), "model")
            for name in models:
                known = _keys_in_files([groups["model"][name]])
                if "defaults" not in known:  # otherwise Hydra takes more keys from other files
                    _require(rest[0], known, f"model.{name}")
        return
    hint, where = fields[first], first
    for word in rest:
        if not dataclasses.is_dataclass(hint):
            if "Mapping" not in str(hint):
                raise errors.ConfigError(f"{where}: is one value and has no key '{word}'")
            return
        _require(word, _fields(hint), where)
        hint, where = _fields(hint)[word], f"{where}.{word}"


def _require(word: str, known: Any, where: str) -> None:
    if word not in known:
        raise errors.ConfigError(f"{where}: {_unknown('key', word, known)}")


def _unknown(kind: str, word: str, known: Any) -> str:
    return f"unknown {kind} '{word}'.{errors.did_you_mean(word, known)} Known: {', '.join(known)}"


def _fields(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _keys_in_files(paths: Iterable[Path]) -> list[str]:
    """The keys of all these files, each once."""
    keys: dict[str, None] = {}
    for path in paths:
        keys.update(dict.fromkeys(yaml_errors.load(path)))
    return list(keys)
