import pathlib

import equipot

ELSEWHERE = {
    "e3/checks/equivariance.py",  # compares in double precision
    "e3/dense/conversion.py",  # constants, made while tracing
    "e3/functions/activations.py",  # likewise
    "potential/precision.py",
}


def test_the_precision_of_jax_is_chosen_in_one_place():
    package = pathlib.Path(equipot.__file__).parent
    sources = {str(path.relative_to(package)): path for path in package.rglob("*.py")}
    found = {
        name
        for name, path in sources.items()
        if "enable_x64" in path.read_text(encoding="utf-8") and not name.startswith("testing/")
    }
    assert found == ELSEWHERE
