"""The pages in docs/e3/examples keep what they promise.

A committed picture is made by running its page in docs/:
``docs_blocks.execute(page)`` with ``docs`` as the working directory.
"""

import operator
import pathlib
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from equipot import e3
from equipot.e3 import dense
from tests import docs_blocks

Names = dict[str, Any]
Run = Callable[[str], Names]


@pytest.fixture
def run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A function that runs a page in an empty folder, and checks that its picture is there."""

    def run_page(name: str) -> Names:
        monkeypatch.chdir(tmp_path)
        names = docs_blocks.execute(docs_blocks.EXAMPLES / f"{name}.md")
        picture = names["picture"]
        assert (tmp_path / picture).stat().st_size > 10_000
        names["plt"].close("all")
        return names

    had_x64 = jax.config.read("jax_enable_x64")
    with jax.enable_x64(True):
        yield run_page
    jax.config.update("jax_enable_x64", had_x64)  # a page that set it saw the value of the context


def test_every_example_has_a_test_and_a_committed_picture():
    for page in docs_blocks.EXAMPLES.glob("*.md"):
        assert f'run("{page.stem}")' in pathlib.Path(__file__).read_text(encoding="utf-8"), page
        assert (docs_blocks.ROOT / "docs" / "images" / f"e3_{page.stem}.png").is_file(), page
        assert f"../../images/e3_{page.stem}.png" in page.read_text(encoding="utf-8"), page


def test_every_name_on_the_front_page_exists():
    page = (docs_blocks.ROOT / "docs" / "e3" / "index.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:e3|dense)\.[\w.]+)`", page)
    assert len(names) > 30
    for name in names:
        operator.attrgetter(name)(types.SimpleNamespace(e3=e3, dense=dense))


@pytest.mark.wide
def test_a_network_of_layers_commutes_with_rotations_and_inversion(run: Run):
    page = run("equivariance")
    assert (
        page["refusal"] == "IrrepsArray(1x1o, shape=(3,)) + IrrepsArray(1x1e) is not equivariant."
    )
    assert page["features"].irreps == "1x0e + 1x0o + 1x1o + 1x1e + 1x2e"
    assert page["features"].dtype == np.float64
    for columns in page["features"].irreps.slices():
        assert np.abs(page["features"].array[:, columns]).max() > 1e-4
    assert set(page["errors"]) == {"rotation", "inversion", "both"}
    assert max(page["errors"].values()) < 1e-13
    left, right = page["whole"], page["mirrored"]
    np.testing.assert_allclose(right["0e"].array, left["0e"].array, rtol=1e-13)
    np.testing.assert_allclose(right["0o"].array, -left["0o"].array, rtol=0, atol=1e-13)
    assert abs(left["0o"].array[0]) > 1e-3  # the two hands differ
    np.testing.assert_allclose(right["1o"].array, -left["1o"].array, rtol=0, atol=1e-13)
    np.testing.assert_allclose(right["1e"].array, left["1e"].array, rtol=0, atol=1e-13)


@pytest.mark.slow
def test_the_output_has_the_symmetry_of_the_input(run: Run):
    page = run("curie")
    counts = {name: int(allowed.sum()) for name, allowed in page["allowed"].items()}
    assert counts == {"no symmetry": 50, "rectangle": 7, "square": 4, "tetrahedron": 4}
    for name, allowed in page["allowed"].items():
        size = np.abs(page["answers"][name])
        assert size.dtype == np.float64
        assert np.all(size[~allowed] < 1e-13), name
        assert np.all(size[allowed] > 1e-6), name  # what may be there is there
    for name, force in page["forbidden"].items():
        assert np.abs(force).max() < 1e-12, name  # eV/Å
    assert abs(page["along_bond"].mean()) > 0.1
    assert abs(page["forces"]["ammonia"][0, 2]) > 0.1
    for force in page["forces"].values():
        np.testing.assert_allclose(force.sum(axis=0), 0.0, atol=1e-12)


@pytest.mark.slow
def test_the_gradient_at_zero_finds_the_order_parameter(run: Run):
    page = run("order_parameter")
    square, rectangle = page["square"], page["rectangle"]
    # weights alone: the best square, neither better nor worse
    assert page["alone"].fun == pytest.approx(page["floor"], rel=1e-9)
    assert page["floor"] == pytest.approx(0.28125, rel=1e-12)
    np.testing.assert_allclose(page["fitted"], 1.125 * square, atol=1e-6)
    # the gradient: one component each of 2e, 3e and 4e
    gradient = {
        (str(ir), m): abs(float(value))
        for (ir, m), value in zip(page["labels"], page["gradient"].array, strict=True)
    }
    missing = {("2e", 2), ("3e", -2), ("4e", 2)}
    assert all(gradient[component] > 1e-3 for component in missing)
    of_the_square = {
        ("0e", 0),
        ("2e", 0),
        ("4e", 0),
        ("4e", 4),
    }  # zero once the weights have learned
    assert max(gradient[component] for component in of_the_square) < 1e-6
    forbidden = gradient.keys() - missing - of_the_square
    assert len(forbidden) == 43
    assert max(gradient[component] for component in forbidden) < 1e-14
    # with it: the rectangle, by components of the rectangle alone
    assert page["both"].fun < 1e-15
    np.testing.assert_allclose(page["result"], rectangle, atol=1e-7)
    order = dict(zip(gradient, np.abs(page["order"].array), strict=True))
    assert max(order[component] for component in forbidden) < 1e-10
    assert order["2e", 2] > 1e-2


@pytest.mark.slow
def test_degree_zero_is_an_ordinary_network_bit_for_bit(run: Run):
    page = run("degree_zero")
    assert len(page["same"]) == 6
    assert all(page["same"].values()), page["same"]
    for ours, theirs in zip(page["by_dense"], page["by_flax"], strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)
    of_zero, of_one = page["by_dense"][1], page["by_first"][1]
    assert np.ptp(page["by_dense"][0]) > 0.1  # the bond matters
    assert np.ptp(of_zero) < 1e-6  # the angle does not, to rounding of the distance in float32
    assert np.all(np.diff(of_one) > 0)  # but to degree one


@pytest.mark.slow
def test_every_cell_of_a_crystal_gives_the_same(run: Run):
    page = run("supercell")
    assert {name: len(atoms) for name, atoms in page["cells"].items()} == {
        "primitive": 2,
        "skewed": 2,
        "conventional": 8,
        "supercell": 16,
    }
    for name, differences in page["deviations"].items():
        for quantity, difference in differences.items():
            assert difference < 1e-13, (name, quantity)
    for quantity, size in page["sizes"].items():
        assert size > 1e-3, quantity
