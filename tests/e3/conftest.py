"""What no model of equipot imports is tested in ``wide``: most of e3.dense, layers by irreps."""

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent
KEPT = ("test_energy_model.py", "test_layers.py", "test_message_pass.py")  # with most of the rest
WIDE = {
    *(path for path in (HERE / "dense").glob("test_*.py") if path.name not in KEPT),
    *(HERE / "arrays" / f"test_{name}.py" for name in ("irreps_array", "operations", "mapping")),
    *(
        HERE / "nn" / f"test_{name}.py"
        for name in (
            "fully_connected_tensor_product",
            "linear",
            "rms_norm",
            "symmetric_tensor_product",
            "whole_numbers",
        )
    ),
    *(
        HERE / "products" / f"test_{name}.py"
        for name in (
            "functional_linear",
            "functional_tensor_product",
            "gradient",
            "harmonic_product",
        )
    ),
    HERE / "so3" / "test_rotation_forms.py",
    HERE / "functions" / "test_scatter.py",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks them before pytest chooses by marks."""
    for item in items:
        if item.path in WIDE:
            item.add_marker(pytest.mark.wide)
