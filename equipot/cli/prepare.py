"""``equipot prepare``: data of any size as a store that training maps into memory."""

import argparse
from pathlib import Path
from typing import Any

from equipot import errors

PROGRAM = "equipot prepare"


def add_parser(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "prepare",
        help="data of any size as a store, which training reads without loading it",
        description=(
            "Writes structures, and their pairs within model.cutoff, to a folder that training maps"
            " into memory: equipot-train data.train=big.store. Takes the settings of equipot-train;"
            " those of data and model.cutoff count."
        ),
    )
    parser.add_argument(
        "settings", nargs="+", metavar="key=value", help="as in data.train=big.extxyz"
    )
    parser.add_argument("--output", "-o", required=True, metavar="FOLDER", help="as in big.store")
    parser.add_argument("--config-dir", "-cd", metavar="FOLDER", help="your own YAML files")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="that read and write; default one per core"
    )
    parser.add_argument(
        "--without-pairs",
        action="store_true",
        help="keep only how many pairs there are: less disk, more work while training",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Writes the store and says what it holds."""
    if options.processes is not None and options.processes < 1:
        raise errors.ConfigError(f"--processes: expected at least 1, received {options.processes}")
    config = _composed(options)

    from equipot.models import registry

    _, model = registry.config_from_mapping(config.model)
    from equipot.data import paths
    from equipot.store import progress, workers, writing

    names = [name for split in ("train", "valid", "test") for name in config.data.files(split)]
    total = sum(_bytes(paths.resolve(name)) for name in names)
    target = Path(options.output)
    with progress.shown(f"Writing {target}", total) as tell:
        made = writing.write(
            config.data,
            target,
            cutoff=model.cutoff,
            with_pairs=not options.without_pairs,
            processes=options.processes or workers.count(1 << 30),
            on_progress=lambda done, count: tell(done, f"{count:,} structures"),
        )
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print("\n".join(made.manifest["found"]))
    print(
        f"{target}: {len(made):,} structures, {size / 1e9:.3g} GB, pairs within"
        f" {model.cutoff:g} Å. Train with data.train={target}"
    )
    if config.data.isolated_atoms is not None:
        print("data.isolated_atoms is not written to the store: give it to equipot-train too")


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _composed(options: argparse.Namespace) -> Any:
    """The configuration that ``equipot-train`` would have with these settings."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    from equipot.cli import config_files, job, overrides, yaml_errors

    own = [] if options.config_dir is None else ["--config-dir", options.config_dir]
    line = overrides.parse([*options.settings, *own])
    overrides.check(line)
    swept = [o.input_line for o in line.overrides if o.is_sweep_override()]
    if swept:
        raise errors.ConfigError(f"{swept[0]}: a store is made of one set of data; give one value")
    words = [overrides.added(override) for override in line.overrides]
    search = [f"file://{folder.resolve()}" for folder in line.folders[1:]]
    if search:
        words.append(f"hydra.searchpath=[{','.join(repr(path) for path in search)}]")
    folder = str(config_files.shipped_folder().resolve())
    GlobalHydra.instance().clear()
    with yaml_errors.explained(line.own_files):
        with hydra.initialize_config_dir(config_dir=folder, version_base="1.3"):
            composed = hydra.compose(config_name="train", overrides=words)
        mapping: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    return job.checked(mapping)
