"""``equipot-train``: composes a configuration from YAML and ``key=value``, and trains with it."""

import itertools
import os
import sys
from pathlib import Path

import equipot
from equipot.cli import config_files, console, help_page


def main() -> None:
    """Runs the command; needs jax only once the configuration has been found valid."""
    arguments = sys.argv[1:]
    console.collect_less_garbage()  # a sentence about a wrong word is there a little earlier
    with console.clean_errors(console.TRAIN):
        if "--help" in arguments or "-h" in arguments:
            print(help_page.help_page(_folders(arguments)))
        elif "--version" in arguments:
            print(f"equipot {equipot.__version__}")
        else:
            _compose_and_train(arguments)


def _folders(arguments: list[str]) -> list[Path]:
    """Folders of configurations for the help page, which should not have to wait for Hydra."""
    own = [Path(b) for a, b in itertools.pairwise(arguments) if a in ("--config-dir", "-cd")]
    return [config_files.shipped_folder(), *config_files.outside_folders(), *own]


def _compose_and_train(arguments: list[str]) -> None:
    import hydra

    from equipot.cli import job, overrides, sweeps, yaml_errors

    if {"--shell-completion", "-sc"} & {*arguments}:
        command_line = overrides.CommandLine((), (), ())  # what follows are no settings
    else:
        if {"--multirun", "-m"} & {*arguments}:
            sweeps.check_hosts(None)
        command_line = overrides.parse(arguments)
        overrides.check(command_line)
        sys.argv = [sys.argv[0], *command_line.for_hydra()]
    folder = str(config_files.shipped_folder().resolve())
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # makes Hydra raise, not print tracebacks
    with sweeps.reported(), yaml_errors.explained(command_line.own_files):
        hydra.main(config_path=folder, config_name="train", version_base="1.3")(job.run)()
