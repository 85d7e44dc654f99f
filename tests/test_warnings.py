"""Which warnings fail a test: those of lines of this project, not those inside other packages."""

import warnings

import numpy as np
import pytest

WARN = (
    "import warnings\ndef call(level=1):\n    warnings.warn('old', {category}, stacklevel=level)\n"
)
DIVIDE = "def call():\n    return numpy.ones(1) / numpy.zeros(1)\n"
CALL = "def call():\n    inner(2)\n"


def _function(module, code, **names):
    """The function ``call`` of a module made of code."""
    content = {"__name__": module, **names}
    exec(code, content)
    return content["call"]


@pytest.mark.parametrize("module", ["equipot.data.readers", "tests.data.test_readers", __name__])
@pytest.mark.parametrize("category", ["UserWarning", "DeprecationWarning", "FutureWarning"])
def test_a_warning_of_this_project_fails_a_test(module, category):
    with pytest.raises(Warning, match="old"):
        _function(module, WARN.format(category=category))()


@pytest.mark.parametrize("module", ["ase.geometry.cell", "jax._src.core", "equipotential.a"])
@pytest.mark.parametrize("category", ["UserWarning", "DeprecationWarning", "FutureWarning"])
def test_a_warning_inside_another_package_does_not(module, category):
    with warnings.catch_warnings(record=True) as caught:
        _function(module, WARN.format(category=category))()
    assert [str(warning.message) for warning in caught] == ["old"]


def test_warnings_of_compiled_code_belong_to_the_line_that_called_it():
    with pytest.raises(RuntimeWarning, match="divide by zero"):
        _function("equipot.data.readers", DIVIDE, numpy=np)()
    with warnings.catch_warnings(record=True) as caught:
        _function("ase.geometry.cell", DIVIDE, numpy=np)()
    assert len(caught) == 1


def test_a_warning_that_points_to_a_caller_belongs_to_the_caller():
    inner = _function("ase.geometry.cell", WARN.format(category="DeprecationWarning"))
    with pytest.raises(DeprecationWarning, match="old"):
        _function("equipot.data.readers", CALL, inner=inner)()
    with warnings.catch_warnings(record=True) as caught:
        _function("ase.atoms", CALL, inner=inner)()
    assert len(caught) == 1
