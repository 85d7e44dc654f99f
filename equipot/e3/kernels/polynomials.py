"""Systems of sparse polynomials of arrays, whose derivatives are systems of the same kind.

A ``System`` maps operands ``[..., components, channels]`` to outputs of the same form, channel by
channel: every component of an output is a polynomial of the components of all operands. With
cotangents g of the outputs,

    E = Σ_o g_o P_o(operands),    cotangent of a variable = ∂E/∂variable,

so what backpropagation needs is one more system, with g among its operands. It is written down
term by term (``System.cotangent``) and evaluated like the first, to any order of differentiation;
left to automatic differentiation, the unrolled sums of products compile for half a minute.

Every component of an output is one nested sum of products: a single loop over nodes and channels
that keeps no array in between. Forward-mode derivatives (jvp, jacfwd, hessian) are refused by jax:
use jacrev of a gradient.
"""

import functools
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import xla_metadata

from equipot.e3.kernels import platforms
from equipot.typing import Array, Float


class Variable(NamedTuple):
    """A component of an operand of a group."""

    group: int
    operand: int
    component: int


class Term(NamedTuple):
    """A coefficient times a product of variables."""

    coefficient: float
    variables: tuple[Variable, ...]


Polynomial = tuple[Term, ...]
Group = tuple[Float[Array, "..."], ...]
_Product = tuple[int, tuple[Variable | float, ...]]  # a sign, and factors


@dataclass(frozen=True, eq=False)
class System:
    """Polynomials for every component of every output.

    Systems are compared by identity: make each one once and keep it.

    Attributes:
      sizes: Components of each operand, group by group. Operands of a group are differentiated
        together.
      outputs: A polynomial for each component, output by output.
    """

    sizes: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[Polynomial, ...], ...]

    def variables(self) -> list[Variable]:
        """All components of all operands."""
        return [
            Variable(group, operand, component)
            for group, sizes in enumerate(self.sizes)
            for operand, size in enumerate(sizes)
            for component in range(size)
        ]


@functools.cache
def cotangent(system: System, group: int) -> System:
    """The system from (operands, cotangents of outputs) to the cotangents of one group."""
    collected: dict[Variable, list[Term]] = {v: [] for v in system.variables() if v.group == group}
    for o, output in enumerate(system.outputs):
        for m, polynomial in enumerate(output):
            g = Variable(len(system.sizes), o, m)
            for coefficient, variables in polynomial:
                for variable, exponent in Counter(variables).items():
                    if variable in collected:
                        rest = (*_without(variables, variable), g)
                        collected[variable].append(Term(coefficient * exponent, rest))
    polynomials = iter(map(tuple, collected.values()))
    outputs = tuple(tuple(next(polynomials) for _ in range(n)) for n in system.sizes[group])
    return System((*system.sizes, tuple(map(len, system.outputs))), outputs)


def evaluate(system: System, operands: tuple[Group, ...]) -> Group:
    """Evaluates every output of a system.

    Args:
      system: The polynomials.
      operands: Groups of arrays, equal in shape but for the components, their last axis but one.
    """
    return _evaluate(system, platforms.current(), operands)


def _stacked(system: System, platform: str, operands: tuple[Group, ...]) -> Group:
    components = iter(_apart(system, platform, operands))
    return tuple(
        jnp.stack([next(components) for _ in output], axis=-2) for output in system.outputs
    )


def _forward(
    system: System, platform: str, operands: tuple[Group, ...]
) -> tuple[Group, tuple[Group, ...]]:
    return _evaluate(system, platform, operands), operands


def _backward(
    system: System, platform: str, operands: tuple[Group, ...], g: Group
) -> tuple[tuple[Group, ...]]:
    systems = [cotangent(system, i) for i in range(len(operands))]
    return (tuple(_evaluate(own, platform, (*operands, g)) for own in systems),)


_evaluate = jax.custom_vjp(_stacked, nondiff_argnums=(0, 1))
_evaluate.defvjp(_forward, _backward)


def _apart(system: System, platform: str, operands: tuple[Group, ...]) -> list[Array]:
    """Keeps a system in a function of its own.

    XLA on CPU heeds no barrier when it fuses: it would copy whatever makes an operand, such as
    another system, into each of dozens of loops, and compile for minutes.
    """
    if platform != "cpu":
        return _components(system, operands)
    with xla_metadata.set_xla_metadata(inlineable="false"):
        return _components(system, operands)


@functools.partial(jax.jit, static_argnums=0)
def _components(system: System, operands: tuple[Group, ...]) -> list[Array]:
    """All components of all outputs, each an array ``[..., channels]``.

    Written with functions of ``jax.lax``: each operator of arrays is traced as a function of its
    own, and here are tens of thousands.
    """
    dtype = jnp.result_type(*(operand.dtype for group in operands for operand in group))
    values = {
        v: operands[v.group][v.operand][..., v.component, :].astype(dtype)
        for v in system.variables()
    }
    zero = jnp.zeros_like(next(iter(values.values())))
    results = []
    for output in system.outputs:
        for polynomial in output:
            sign, size = _nested(_products(polynomial), values)
            result = (
                _combine(lax.add, operator.add, zero, size) if isinstance(size, float) else size
            )
            results.append(result if sign > 0 else lax.neg(result))
    return results


def _products(polynomial: Polynomial) -> list[_Product]:
    """Coefficients as signs and factors, rounded so that equal ones can stand outside brackets."""
    products = []
    for coefficient, variables in polynomial:
        size = float(f"{abs(coefficient):.13e}")
        factors = variables if size == 1 else (size, *variables)
        products.append((1 if coefficient > 0 else -1, factors))
    return products


def _nested(
    products: Sequence[_Product], values: Mapping[Variable, Array]
) -> tuple[int, Array | float]:
    """Sums products, the most frequent factor put outside brackets time and again.

    Returns:
      A sign and what it multiplies, so that no array is negated on the way.
    """
    sums: dict[int, Array | float] = {}
    if constant := sum(sign for sign, factors in products if not factors):
        sums[1 if constant > 0 else -1] = float(abs(constant))
    products = [product for product in products if product[1]]
    while products:
        counts = Counter(factor for _, factors in products for factor in set(factors))
        chosen = max(counts, key=lambda factor: (counts[factor], _order(factor)))
        inside = [(s, _without(factors, chosen)) for s, factors in products if chosen in factors]
        products = [product for product in products if chosen not in product[1]]
        sign, inner = _nested(inside, values)
        value = values[chosen] if isinstance(chosen, Variable) else chosen
        one = isinstance(inner, float) and inner == 1
        summand = value if one else _combine(lax.mul, operator.mul, value, inner)
        sums[sign] = (
            _combine(lax.add, operator.add, sums[sign], summand) if sign in sums else summand
        )
    if len(sums) == 2:
        return 1, _combine(lax.sub, operator.sub, sums[1], sums[-1])
    return sums.popitem() if sums else (1, 0.0)


def _combine(of_arrays: Callable, of_numbers: Callable, x: Any, y: Any) -> Array | float:
    """Applies an operation; a number takes the precision of the array that it meets."""
    if isinstance(x, float):
        return of_numbers(x, y) if isinstance(y, float) else of_arrays(np.asarray(x, y.dtype), y)
    return of_arrays(x, np.asarray(y, x.dtype) if isinstance(y, float) else y)


def _order(factor: Variable | float) -> tuple[int | float, ...]:
    """Breaks ties: variables before coefficients, later groups first."""
    return (1, *factor) if isinstance(factor, Variable) else (0, factor)


def _without(factors: tuple, factor: Variable | float) -> tuple:
    position = factors.index(factor)
    return factors[:position] + factors[position + 1 :]
