"""Fenced blocks and commands of the README and of docs/, for the tests that execute them."""

import dataclasses
import itertools
import pathlib
import re
import shlex
from collections.abc import Iterator, Sequence

import hydra
from hydra.core.override_parser import types
from omegaconf import OmegaConf

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
# A file is shown as a line with its name, an empty line, and its contents.
_FENCE = re.compile(
    r"^(?:`(?P<title>[\w/.]+)`:\n\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_INDENTED = re.compile(r"^    (equipot(?:-train)? .+)$", re.M)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, the name of the file it is, and its lines."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: pathlib.Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["title"], m["text"], text[: m.start("text")].count("\n"))
        for m in _FENCE.finditer(text)
    ]


def commands(page: pathlib.Path) -> list[list[str]]:
    """Every command line of a page that begins with equipot or equipot-train, as words."""
    fenced = [line for b in blocks(page) if b.language == "bash" for line in b.text.splitlines()]
    indented = _INDENTED.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    lines = [
        line for line in (*fenced, *indented) if line.startswith("equipot") and "…" not in line
    ]
    return [shlex.split(line, comments=True) for line in lines]


def all_commands() -> list[tuple[str, list[str]]]:
    return [(page.name, words) for page in PAGES for words in commands(page)]


def compose(words: list[str]) -> list:
    """The checked configuration of every run of an equipot-train command, without reading data.

    Raises:
      ConfigError: At a key, a value, a group or an option that does not exist.
    """
    import equipot.cli.run  # noqa: F401, registers what names a run
    from equipot.cli import config_files, overrides
    from equipot.models import registry
    from equipot.training import config as training_config

    command_line = overrides.parse(words[1:])
    overrides.check(command_line)
    members = list(_members(command_line.overrides))
    assert len(members) == 1 or {"-m", "--multirun"} & set(words), "a sweep needs -m"
    own = [f"file://{folder}" for folder in command_line.folders[1:]]
    search = [f"hydra.searchpath=[{','.join(own)}]"] if own else []
    configs = []
    shipped = str(config_files.shipped_folder().resolve())
    with hydra.initialize_config_dir(shipped, version_base="1.3"):
        for member in members:
            mapping = OmegaConf.to_container(hydra.compose("train", member + search), resolve=True)
            configs.append(training_config.train_config(mapping))
            registry.config_from_mapping(configs[-1].model)
    return configs


def _members(overrides: Sequence[types.Override]) -> Iterator[list[str]]:
    """The overrides of every run of a sweep."""
    choices = []
    for override in overrides:
        line = override.input_line or ""
        key, _, value = line.partition("=")
        swept = override.is_sweep_override()
        choices.append([f"{key}={v}" for v in value.split(",")] if swept else [line])
    return map(list, itertools.product(*choices))
