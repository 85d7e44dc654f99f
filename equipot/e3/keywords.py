"""Second names of arguments: those under which programs written for e3nn-jax give them."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def also_named(**names: str) -> Callable[[F], F]:
    """Lets a function take some arguments by a second name too: ``also_named(x_max="cutoff")``.

    Args:
      names: For each second name the name that the argument has in the function.

    Raises:
      TypeError: When called, if an argument is given by both names.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for second in names.keys() & kwargs.keys():
                first = names[second]
                if first in kwargs:
                    raise TypeError(
                        f"{function.__name__}: expected one of {first} and {second}, two names of "
                        "one argument, received both"
                    )
                kwargs[first] = kwargs.pop(second)
            return function(*args, **kwargs)

        return cast(F, call)

    return decorate
