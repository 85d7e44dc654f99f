"""The flags of ``equipot-train``, which are Hydra's, checked before Hydra sees them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from equipot import errors

HELP = "--hydra-help"
_SWITCHES = (
    ("--help", "-h"),
    (HELP,),
    ("--version",),
    ("--resolve",),
    ("--run", "-r"),
    ("--multirun", "-m"),
    ("--shell-completion", "-sc"),
)
_VALUES = (
    ("--package", "-p"),
    ("--config-path", "-cp"),
    ("--config-name", "-cn"),
    ("--config-dir", "-cd"),
    ("--experimental-rerun",),
)
_SHOWN = ("job", "hydra", "all")
_MODES = ("run", "multirun", "cfg", "info", "shell_completion")
_FACTS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print below a page of its own."""

    def error(self, message: str) -> NoReturn:
        """One sentence.

        Raises:
          ConfigError: In any case.
        """
        raise errors.ConfigError(f"{message.removeprefix('argument ')}; see equipot-train --help")


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the flags.

    Returns:
      Their values, and all arguments that are none.

    Raises:
      ConfigError: At a flag that is unknown, lacks its value, or would have no effect.
    """
    parser = _Parser(prog="equipot-train", add_help=False)
    for names in _SWITCHES:
        parser.add_argument(*names, action="store_true")
    for names in _VALUES:
        parser.add_argument(*names)
    parser.add_argument("--cfg", "-c", choices=_SHOWN)
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_FACTS)
    options, rest = parser.parse_known_args(list(arguments))
    words = [word for word in rest if not word.startswith("-")]
    for unknown in rest:
        if unknown not in words:
            names = [name for row in (*_SWITCHES, *_VALUES) for name in row] + ["--cfg", "--info"]
            raise errors.ConfigError(
                f"{unknown}: no such flag.{errors.did_you_mean(unknown, names)} Settings have no"
                " dashes, as in seed=1; see equipot-train --help"
            )
    _check(options)
    return options, words


def _check(options: argparse.Namespace) -> None:
    """Refuses flags that would do nothing, or that fail without saying why."""
    modes = [f"--{name}" for name in _MODES if getattr(options, name)]
    if len(modes) > 1:
        raise errors.ConfigError(f"{' and '.join(modes)}: expected one of them; leave out the rest")
    for name in ("package", "resolve"):
        if getattr(options, name) and options.cfg is None:
            raise errors.ConfigError(
                f"--{name}: says how --cfg shows the settings, and does nothing without it; add"
                " --cfg job"
            )
    if options.experimental_rerun is not None:
        raise errors.ConfigError(
            "--experimental-rerun: needs a job that was pickled, and equipot-train pickles none;"
            " repeat the command: it goes on where the run was interrupted"
        )
    if options.config_path is not None and not Path(options.config_path).is_dir():
        raise errors.ConfigError(
            f"--config-path: there is no folder {options.config_path}. It would replace the"
            " settings of equipot; --config-dir FOLDER adds your own to them"
        )
