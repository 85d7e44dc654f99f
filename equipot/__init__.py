"""equipot: E(3)-equivariant interatomic potentials in JAX.

Importing this package imports neither jax nor ase: public names are loaded when first used.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipot.calculators.ase import EquipotCalculator as EquipotCalculator
    from equipot.cli.console import setup as setup
    from equipot.errors import OutOfRangeWarning as OutOfRangeWarning

__version__ = "0.1.0"

_LAZY = {
    "EquipotCalculator": "equipot.calculators.ase",
    "OutOfRangeWarning": "equipot.errors",
    "setup": "equipot.cli.console",
}
__all__ = ["EquipotCalculator", "OutOfRangeWarning", "__version__", "setup"]

JAX_VERSIONS = ">=0.10.1,!=0.10.2,!=0.11.0,!=0.11.1,<0.13"
_EXCLUDED_JAX = {
    "0.10.2": "computes wrong numbers on CPU (jax issue 39103)",
    "0.11.0": "sums atoms into few structures 100 to 5000 times too slowly (jax issue 38806)",
    "0.11.1": "accumulates loops in quadratic time on CPU",
}


def __getattr__(name: str) -> object:
    """Loads a public name at its first use."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'equipot' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])


def _check_jax() -> None:
    """Refuses the versions of jax that are known to compute wrongly."""
    try:
        version = importlib.metadata.version("jax")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError("equipot needs jax: pip install equipot") from None
    if version in _EXCLUDED_JAX:
        raise ImportError(
            f"equipot does not run with jax {version}, which {_EXCLUDED_JAX[version]};"
            f' install another: pip install "jax{JAX_VERSIONS}"'
        )


_check_jax()
