import numpy as np
import pytest
from ase import Atoms

from scripts.water import plot_rdf


def test_an_ideal_gas_has_no_structure():
    rng = np.random.default_rng(0)
    cell = np.array([[12.0, 0, 0], [3.0, 11.0, 0], [0, -2.0, 13.0]])
    frames = [
        Atoms("O200", positions=rng.uniform(-1, 2, (200, 3)) @ cell, cell=cell, pbc=True)
        for _ in range(40)
    ]
    r, g = plot_rdf.pair_correlation(frames)
    assert r[-1] < 6.0
    np.testing.assert_allclose(g[r > 2], 1.0, atol=0.12)


def test_a_lattice_has_its_neighbors_where_they_are():
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3) * 3.0
    r, g = plot_rdf.pair_correlation([Atoms("O64", positions=grid, cell=[12.0] * 3, pbc=True)])
    shells = 4 / 3 * np.pi * ((r + 0.025) ** 3 - (r - 0.025) ** 3)
    neighbors = g * shells * 63 / 12.0**3
    assert neighbors[abs(r - 3.0) < 0.06].sum() == pytest.approx(6)
    assert neighbors[abs(r - 3.0 * 2**0.5) < 0.06].sum() == pytest.approx(12)


def test_the_measured_function_has_its_known_peak(reference_data):
    r, g = plot_rdf.read_measured(reference_data / plot_rdf.MEASURED)
    described = plot_rdf.describe("measured", r, g)
    assert "first peak 2.573 at 2.81 Å, first minimum 0.844 at 3.44 Å" in described


def test_tabs_and_words_between_columns_are_read_over(tmp_path):
    path = tmp_path / "g.txt"
    path.write_bytes("# r in Å\n1.0\t0.5\t0.1\nr g\n2.0\t0.7\t0.1\n".encode("latin-1"))
    r, g = plot_rdf.read_measured(path)
    assert r.tolist() == [1.0, 2.0] and g.tolist() == [0.5, 0.7]
