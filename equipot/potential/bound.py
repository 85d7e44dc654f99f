"""A potential bound to a device and to its precision, with the programs compiled for it.

Everything that evaluates a potential goes through a ``Bound``: the calculators and their like, the
evaluation of many structures, and what is said of an atom alone. Potentials of one specification
share their programs, whoever evaluates them and whatever their parameters are.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from equipot import compilations
from equipot.e3.kernels import platforms
from equipot.potential import precision, summands
from equipot.potential.potential import Potential, PotentialSpec, Prediction
from equipot.potential.summands import Summand

Predict = Callable[..., Prediction]

_MOST_PROGRAMS = 8  # specifications; each keeps a program for every padded size it has met


class Bound:
    """A potential whose parameters lie on a device, in the precision that it states.

    Attributes:
      potential: What is evaluated.
      device: Where; None for jax's default device.
      plus: What is added, in the same program.
      platform: The device's platform, whose form of the algorithms is compiled: "cpu", "gpu", …
      params: The parameters, on the device.
    """

    def __init__(
        self, potential: Potential, device: Any = None, plus: tuple[Summand, ...] = ()
    ) -> None:
        """Puts the parameters on the device; compiles nothing yet.

        Args:
          potential: The potential, in the precision that it is to run in.
          device: One of ``jax.devices()``; None for jax's default device.
          plus: What is added, see ``equipot.potential.summands``.
        """
        self.potential, self.device, self.plus = potential, device, plus
        self.platform = platforms.default() if device is None else device.platform
        self._counter = compilations.Compilations()
        with precision.of(self.dtype):
            self.params = jax.device_put(potential.params, device)

    @property
    def spec(self) -> PotentialSpec:
        """The specification."""
        return self.potential.spec

    @property
    def dtype(self) -> str:
        """The precision."""
        return self.potential.spec.dtype

    @property
    def n_compilations(self) -> int:
        """How many programs were compiled, or fetched from the persistent cache, for this one."""
        return self._counter.count

    @functools.cached_property
    def predict(self) -> Predict:
        """The compiled ``predict(params, graph)``; to be called while entered.

        Graphs with the pairs of each summand follow the graph of the model.
        """
        return program(self.spec, self.platform, self.plus)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Arrays made and programs run in here have the precision; compilations are counted."""
        with precision.of(self.dtype), self._counter:
            yield


@functools.lru_cache(maxsize=_MOST_PROGRAMS)
def program(spec: PotentialSpec, platform: str, plus: tuple[Summand, ...] = ()) -> Predict:
    """The program of all potentials with a specification: sizes met again compile nothing.

    Args:
      spec: The specification.
      platform: Whose form of the algorithms is compiled.
      plus: What is added.
    """
    return jax.jit(summands.make_predict(spec, plus, platform))
