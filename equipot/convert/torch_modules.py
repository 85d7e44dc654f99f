"""Looking into torch modules without importing torch: names of classes, weights in float64.

Modules are told apart by the name of their class, because a package of nequip brings its own copies
of all classes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from equipot import errors

_MANGLED = re.compile(r"^<torch_package_\d+>\.")


def class_name(module: Any) -> str:
    """Name of an object's class, without its module: ``ScalarMLP``."""
    return type(module).__name__


def class_path(module: Any) -> str:
    """Name of an object's class with its module, also of one from a package."""
    kind = type(module)
    return f"{_MANGLED.sub('', kind.__module__)}.{kind.__qualname__}"


def array(tensor: Any) -> np.ndarray:
    """The numbers of a tensor, in float64 (integers as they are)."""
    values = tensor.detach().cpu().numpy()
    return values.astype(np.float64) if np.issubdtype(values.dtype, np.floating) else values


def dtype_of(module: Any) -> str:
    """Precision of a module: ``"float32"``, or ``"float64"`` if no parameter is of less.

    Raises:
      ConversionError: If its parameters have another precision, or there are none.
    """
    found = {str(p.dtype).removeprefix("torch.") for p in module.parameters()}
    if not found or not found <= {"float32", "float64"}:
        raise errors.ConversionError(
            "expected parameters of float32 or float64, received "
            f"{', '.join(sorted(found)) or 'none'}"
        )
    return min(found)


def expect_class(module: Any, names: str | Iterable[str], place: str) -> None:
    """Refuses a module of an unknown class.

    Args:
      module: What stands in the file.
      names: Classes that are known there.
      place: Where it stands, for the message.

    Raises:
      ConversionError: If its class is another one.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if class_name(module) not in names:
        raise errors.ConversionError(
            f"{place}: expected {' or '.join(names)}, received {class_path(module)}, which equipot"
            " cannot read"
        )


def children(module: Any) -> Mapping[str, Any]:
    """The direct submodules by name."""
    return dict(module.named_children())


def linear_blocks(linear: Any, *, biases: bool = False) -> Iterator[tuple[int, int, np.ndarray]]:
    """The blocks of an ``e3nn.o3.Linear``: entry in, entry out, matrix with its normalisation.

    Args:
      linear: The module.
      biases: Whether it may have biases, which ``linear_bias`` reads.

    Raises:
      ConversionError: If it has biases and may not.
    """
    if not biases and any(instruction.i_in < 0 for instruction in linear.instructions):
        raise errors.ConversionError("Linear: biases cannot be read")
    for instruction, weight in _views(linear):
        yield instruction.i_in, instruction.i_out, array(weight) * instruction.path_weight


def linear_bias(linear: Any) -> np.ndarray:
    """The biases of an ``e3nn.o3.Linear`` that has one entry of scalars, one for each of these."""
    (instruction,) = [each for each in linear.instructions if each.i_in < 0]
    return array(linear.bias) * float(instruction.path_weight)


def _views(linear: Any) -> Iterator[tuple[Any, Any]]:
    start, weights = 0, linear.weight
    for instruction in linear.instructions:
        if instruction.i_in < 0:
            continue
        size = int(np.prod(instruction.path_shape))
        yield instruction, weights[start : start + size].reshape(instruction.path_shape)
        start += size
