"""A potential with several heads, from one that has one.

Every head begins as the one there was: the same numbers for all levels of theory, until training
tells them apart.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equipot import errors
from equipot.potential.potential import Potential, init_params

_OF_HEAD = re.compile(r"_head_\d+$")  # how models name a parameter of one head


def with_heads(potential: Potential, names: Sequence[str]) -> Potential:
    """The same potential with a head for each level of theory, parameters in NumPy.

    Args:
      potential: With one head.
      names: Of the levels of theory, at least two.

    Raises:
      ConfigError: If it has several heads already, or its model can have only one.
    """
    spec = potential.spec
    if len(spec.heads) > 1:
        raise errors.ConfigError(
            f"data.head_key: expected a potential with one head, received one with the heads"
            f" {', '.join(spec.heads)}"
        )
    count = len(names)
    changed = dataclasses.replace(
        spec, heads=tuple(names), atomic_energies=spec.atomic_energies * count
    )
    single = dataclasses.replace(changed, dtype="float32")  # shapes do not depend on it
    ones = jnp.ones(single.table_shape)
    shapes = jax.eval_shape(lambda key: init_params(single, key, ones, ones), jax.random.key(0))
    params = dict(potential.params)
    params["model"] = _repeated(shapes["model"], params["model"])
    params |= {name: np.tile(np.asarray(params[name]), (count, 1)) for name in ("scale", "shift")}
    return dataclasses.replace(potential, spec=changed, params=params)


def _repeated(shapes: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the shapes: an axis that is longer for several heads holds copies."""
    found: dict[str, Any] = {}
    for name, shape in shapes.items():
        own = params[name if name in params else _OF_HEAD.sub("", name)]
        if isinstance(shape, Mapping):
            found[name] = _repeated(shape, own)
        else:
            own = np.asarray(own)
            times = [n // m for n, m in zip(shape.shape, own.shape, strict=True)]
            found[name] = np.tile(own, times)
    return found
