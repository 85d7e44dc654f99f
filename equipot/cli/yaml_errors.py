"""Reports mistakes in a user's own YAML in one sentence with file and line."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from equipot import errors


def load(path: Path) -> dict[str, Any]:
    """Reads one configuration file as Hydra will, but more strictly.

    Args:
      path: A YAML file.

    Raises:
      ConfigError: With the line, if the file is not YAML, has a key twice, is not a mapping of
        keys, or has an interpolation that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = {} if root is None else yaml.safe_load(text)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise errors.ConfigError(f"{path}, line {line}: expected text in UTF-8") from None
    except OSError as error:
        raise errors.ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise errors.ConfigError(_yaml_sentence(error, path)) from None
    except (RecursionError, ValueError, TypeError) as error:
        raise errors.ConfigError(
            f"{path}: cannot be read as YAML ({errors.brief(error)})"
        ) from None
    if not isinstance(content, dict):
        raise errors.ConfigError(
            f"{path}, line {_first_line(root)}: expected lines 'key: value', received {content!r}"
        )
    _check_nodes(root, path)
    _check_defaults(content, root, path)
    return content


@contextlib.contextmanager
def explained(paths: Iterable[Path]) -> Iterator[None]:
    """Turns errors of Hydra and OmegaConf about a configuration into one sentence.

    Args:
      paths: The user's own files, in which the line is searched for.

    Raises:
      ConfigError: Instead of their exceptions.
    """
    try:
        yield
    except yaml.YAMLError as error:
        raise errors.ConfigError(_yaml_sentence(error, None)) from error
    except (HydraException, OmegaConfBaseException) as error:
        reason = _reason(error)
        words = [part for word in re.findall(r"'([^']+)'", reason) for part in (word, _last(word))]
        key = getattr(error, "full_key", None)
        if key:
            words.append(_last(str(key)))
            reason = f"{key}: {reason}"
        where = _line_of(words, paths)
        raise errors.ConfigError(f"{where}{reason}") from error


def located(error: errors.ConfigError, paths: Iterable[Path]) -> errors.ConfigError:
    """The same error, with the line in the user's own file that sets the key it begins with.

    Args:
      error: An error whose sentence begins with a key, ``trainer.num_steps: expected …``.
      paths: The user's own files.
    """
    key = str(error).partition(":")[0]
    for path in paths:
        lines = _lines(path)
        while key and key not in lines and "." in key:
            key = key.rpartition(".")[0]
        if key in lines:
            return errors.ConfigError(f"{path}, line {lines[key]}: {error}")
    return error


def _check_nodes(node: Any, path: Path) -> None:
    """Looks for duplicate keys and invalid interpolations."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = _first_line(key)
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise errors.ConfigError(
                    f"{path}, line {line}: '{key.value}' stands there twice, first in line"
                    f" {seen[key.value]}; keep one"
                )
            if isinstance(key, yaml.ScalarNode):
                seen[key.value] = line
            _check_nodes(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_nodes(value, path)
    elif isinstance(node, yaml.ScalarNode) and "${" in node.value:
        try:
            OmegaConf.create([node.value])
        except GrammarParseError:
            raise errors.ConfigError(
                f"{path}, line {_first_line(node)}: cannot read {node.value!r}; another key's value"
                " is taken as in '${other.key}'"
            ) from None


def _check_defaults(content: dict[str, Any], root: Any, path: Path) -> None:
    entries = content.get("defaults", [])
    right = isinstance(entries, list) and all(
        isinstance(entry, str) or (isinstance(entry, dict) and _is_choice(entry))
        for entry in entries
    )
    if not right:
        raise errors.ConfigError(
            f"{path}, line {_lines_of(root)['defaults']}: defaults: expected a list, each of its"
            f" lines as '- override /model: mace', received {entries!r}"
        )


def _is_choice(entry: dict[Any, Any]) -> bool:
    """Whether it is ``group: option``; YAML reads a bare ``no`` as false."""
    values = list(entry.values())
    return len(values) == 1 and (values[0] is None or isinstance(values[0], str | list))


def _yaml_sentence(error: yaml.YAMLError, path: Path | None) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = " ".join(str(getattr(error, "problem", None) or error).split())
    if "'\\t'" in reason or "tab" in reason:
        reason = f"{reason}; indent with spaces, not with tabs"
    if mark is None:
        return f"{path or 'a file of the configuration'}: no YAML: {reason}"
    return f"{path or mark.name}, line {mark.line + 1}, column {mark.column + 1}: no YAML: {reason}"


def _reason(error: BaseException) -> str:
    """The first message that is not empty, of an exception and its causes, in one line."""
    at: BaseException | None = error
    while at is not None:
        first, *more = [line.strip() for line in str(at).splitlines() if line.strip()] or [""]
        if first.endswith("while composing config:") and more:
            return f"{first} {more[0]}"
        if any(line.startswith("Available options") for line in more):
            names = [line for line in more if re.fullmatch(r"[\w.-]+", line)]
            return f"{first}; there are {', '.join(names)}"
        if first:
            return first
        at = at.__cause__ or at.__context__
    return f"cannot be composed ({type(error).__name__})"


def _last(key: str) -> str:
    return re.split(r"[./]", key)[-1]


def _line_of(words: Iterable[str], paths: Iterable[Path]) -> str:
    """``file, line 3: `` of the first line that holds one of the words, the first words first."""
    texts = [(path, path.read_text(encoding="utf-8", errors="replace")) for path in paths]
    for word in words:
        for path, text in texts:
            for number, line in enumerate(text.splitlines(), 1):
                if re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", line.partition("# ")[0]):
                    return f"{path}, line {number}: "
    return ""


def _lines(path: Path) -> dict[str, int]:
    """The line of each key of a file, by its dotted name."""
    try:
        return _lines_of(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return {}


def _lines_of(node: Any, prefix: str = "") -> dict[str, int]:
    lines: dict[str, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            lines[name] = _first_line(key)
            lines |= _lines_of(value, f"{name}.")
    return lines


def _first_line(node: Any) -> int:
    return node.start_mark.line + 1
