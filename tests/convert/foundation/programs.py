"""The programs that published potentials come from, where they are installed."""

from pathlib import Path
from typing import Any

import pytest
from ase.calculators.calculator import Calculator


def nequix_calculator(path: Path) -> Calculator:
    """Nequix's own calculator, float32, with its plain kernels."""
    from nequix.calculator import NequixCalculator

    return NequixCalculator(model_path=str(path), use_kernel=False)


def sevennet_calculator(path: Path, *, strict: bool = True) -> Calculator:
    """SevenNet's own calculator, float32.

    Args:
      path: The checkpoint.
      strict: Whether it must hold constants too that are no weights.
    """
    import torch
    from sevenn.calculator import SevenNetCalculator

    load: Any = torch.nn.Module.load_state_dict

    def load_weights(module: Any, state: Any, **_: Any) -> Any:
        missing, unknown = load(module, state, strict=False)
        assert not unknown and not any("weight_nn" in name for name in missing)
        return [], []

    with pytest.MonkeyPatch.context() as patch:
        if not strict:
            patch.setattr(torch.nn.Module, "load_state_dict", load_weights)
        return SevenNetCalculator(str(path), device="cpu")
