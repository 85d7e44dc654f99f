"""Objects that look like modules and tensors of torch, as far as is read of them."""

from typing import Any

import numpy as np


def fake(kind: str, **attributes: Any) -> Any:
    """An object of a class of this name, from a package of torch."""
    made = type(kind, (), {"__module__": "<torch_package_0>.nequip.nn", **attributes})
    return made()


class Tensor:
    """As much of a tensor as is read."""

    def __init__(self, values: Any, dtype: str = "float64"):
        self.values, self.dtype = np.asarray(values, dtype), f"torch.{dtype}"

    def detach(self) -> "Tensor":
        return self

    cpu = detach

    def numpy(self) -> np.ndarray:
        return self.values
