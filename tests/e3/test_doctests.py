"""The examples in docstrings, run as they stand."""

import doctest
import importlib
import pathlib

import numpy as np
import pytest

from tests.docs_blocks import DOCTEST_FLAGS, ROOT

PACKAGE = ROOT / "equipot" / "e3"
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_print_what_they_show(name: str):
    module = importlib.import_module(name)  # by its full name: functions hide some of the modules
    with np.printoptions():
        result = doctest.testmod(module, optionflags=DOCTEST_FLAGS)
    written = pathlib.Path(str(module.__file__)).read_text(encoding="utf-8").count(">>> ")
    assert (result.failed, result.attempted) == (0, written)


def test_some_modules_have_examples():
    assert {"equipot.e3.arrays.irreps_array", "equipot.e3.products.reduced"} <= set(WITH_EXAMPLES)
