"""From a plain mapping to frozen dataclasses, with a sentence for every wrong key or value.

Works for any nesting of dataclasses whose fields are annotated with ``int``, ``float``, ``bool``,
``str``, ``Literal[...]``, ``tuple[T, ...]``, ``frozenset[T]``, ``Mapping[str, float]``, unions of
these, or another such dataclass.
"""

import dataclasses
import reprlib
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from equipot import errors

T = TypeVar("T")
ROOT = "configuration"


def from_mapping(cls: type[T], mapping: Any, where: str = ROOT) -> T:
    """Builds a frozen dataclass from a mapping.

    Args:
      cls: The dataclass.
      mapping: Keys are its fields; nested dataclasses take nested mappings.
      where: The dotted place of the mapping, for messages.

    Raises:
      ConfigError: At an unknown or missing key, or at a value of another type.
    """
    if not isinstance(mapping, Mapping):
        raise errors.ConfigError(f"{where}: expected a group of keys, received {mapping!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            raise errors.ConfigError(
                f"{where}: unknown key '{key}'.{errors.did_you_mean(str(key), fields)}"
                f" Known: {', '.join(fields)}"
            )
    prefix = "" if where == ROOT else f"{where}."
    values = {key: _convert(hints[key], value, prefix + key) for key, value in mapping.items()}
    missing = [name for name, field in fields.items() if name not in values and _required(field)]
    if missing:
        raise errors.ConfigError(f"{where}: needs a value for {', '.join(missing)}")
    return cls(**values)


def to_mapping(config: Any) -> dict[str, Any]:
    """The inverse of ``from_mapping``: a tree of plain dicts, lists and scalars."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, frozenset):
            return sorted(value)
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value

    return plain(config)


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """``{"loss.energy": 1.0, …}``."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    branches = (flat(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in tree.items())
    return {key: value for branch in branches for key, value in branch.items()}


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Returns ``value`` as the type of ``hint``, or raises a ConfigError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        if value in arguments:
            return value
        options = ", ".join(str(a) for a in arguments)
        guess = errors.did_you_mean(str(value), [str(a) for a in arguments])
        raise errors.ConfigError(f"{where}: expected one of {options}; received {value!r}.{guess}")
    if origin in (tuple, frozenset) and isinstance(value, list | tuple):
        return origin(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_mapping(hint, value, where)  # type: ignore[arg-type]
    if origin is not None and isinstance(value, Mapping):
        return {str(k): _convert(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, where)
    if hint is Any or (isinstance(hint, type) and type(value) is hint):
        return value
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)  # 1e5 is a float to YAML
    raise errors.ConfigError(f"{where}: expected {_describe(hint)}, received {value!r}")


def _number(value: int | float, where: str) -> float:
    if value != value or (isinstance(value, int) and abs(value) > sys.float_info.max):
        raise errors.ConfigError(f"{where}: expected a number, received {reprlib.repr(value)}")
    return float(value)


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    kinds = [o for o in options if o is not type(None)]
    for option in kinds:
        try:
            return _convert(option, value, where)
        except errors.ConfigError:
            if len(kinds) == 1:
                raise
    names = " or ".join(_describe(option) for option in options)
    raise errors.ConfigError(f"{where}: expected {names}, received {value!r}")


def _describe(hint: Any) -> str:
    """A type as a user would say it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is type(None):
        return "null"
    if origin is Literal:
        return " or ".join(str(a) for a in arguments)
    if origin in (tuple, frozenset):
        return f"a list of {_describe(arguments[0])}"
    if origin is not None:
        return "a group of keys"
    return str(getattr(hint, "__name__", hint))
