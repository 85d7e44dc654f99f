"""Which element each atom of another program is."""

from collections.abc import Iterable, Sequence

import numpy as np

from equipot import errors
from equipot.data.structure import atomic_number, symbol


def numbers_of(
    named: Iterable[tuple[str, str]], known: Sequence[int], advice: str = ""
) -> np.ndarray:
    """Atomic numbers that a potential knows, [names].

    Args:
      named: What has the element, for messages, and its symbol.
      known: Atomic numbers of the potential.
      advice: What to do about something that is no element; may be empty.

    Raises:
      ConfigError: If a symbol is that of no element.
      UnknownElementError: If the potential does not know an element.
    """
    numbers = []
    for what, name in named:
        number = atomic_number(name)
        if number is None:
            raise errors.ConfigError(
                f"expected the symbol of an element for {what}, received {name!r}{advice}"
            )
        if number not in known:
            raise errors.UnknownElementError(
                f"{what} is {name}, expected only the elements the potential knows: "
                f"{', '.join(map(symbol, known))}"
            )
        numbers.append(number)
    return np.array(numbers)
