"""The repulsion beside those of mace-torch and nequip, in float64, atom by atom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.data import elements
from equipot.potential import repulsion
from equipot.potential.repulsion import ZBL

pytestmark = pytest.mark.reference

TABLE = (1, 8, 14, 29, 79)
CUTOFF = 4.0
COUNT = 40


def edges():
    """All pairs of forty atoms within the cutoff, some of them very close."""
    rng = np.random.default_rng(0)
    positions = 3.0 * rng.random((COUNT, 3))
    senders, receivers = np.nonzero(~np.eye(COUNT, dtype=bool))
    vectors = positions[receivers] - positions[senders]
    lengths = np.linalg.norm(vectors, axis=1)
    near = lengths < CUTOFF
    assert lengths.min() < 0.5
    species = np.arange(COUNT) % len(TABLE)
    return vectors[near], species, senders[near], receivers[near]


def ours(zbl):
    vectors, *indices = edges()
    with jax.enable_x64(True):
        function = repulsion.make_repulsion(zbl, TABLE, CUTOFF, directed=True)
        return np.asarray(function(*map(jnp.asarray, (vectors, *indices))))


@pytest.mark.parametrize("polynomial_cutoff", [5, 6])
def test_repulsion_is_that_of_mace(polynomial_cutoff):
    torch = pytest.importorskip("torch")
    radial = pytest.importorskip("mace.modules.radial")
    vectors, species, senders, receivers = edges()
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        theirs = radial.ZBLBasis(p=polynomial_cutoff)
        expected = theirs(
            torch.tensor(np.linalg.norm(vectors, axis=1)[:, None]),
            torch.nn.functional.one_hot(torch.tensor(species)).double(),
            torch.tensor(np.stack([senders, receivers])),
            torch.tensor(TABLE),
        ).numpy()
    finally:
        torch.set_default_dtype(previous)
    found = ours(
        ZBL(
            covalent_radii=tuple(theirs.covalent_radii[list(TABLE)].tolist()),
            polynomial_cutoff=int(theirs.p),
            coulomb=14.3996,
            length=float(theirs.a_prefactor) * 0.529,
            exponent=float(theirs.a_exp),
            coefficients=tuple(theirs.c.tolist()),
            decays=(3.2, 0.9423, 0.4028, 0.2016),
        )
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * expected.max())
    np.testing.assert_array_equal(theirs.covalent_radii.numpy(), elements.COVALENT_RADII)


def test_repulsion_is_that_of_nequip():
    torch = pytest.importorskip("torch")
    pair_potential = pytest.importorskip("nequip.nn.pair_potential")
    keys = pytest.importorskip("nequip.data").AtomicDataDict
    vectors, species, senders, receivers = edges()
    lengths = np.linalg.norm(vectors, axis=1)
    symbols = ["H", "O", "Si", "Cu", "Au"]
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        irreps = {keys.NORM_LENGTH_KEY: "0e"}
        theirs = pair_potential.ZBL(symbols, symbols, "metal", 6.0, irreps_in=irreps)
        data = {
            keys.POSITIONS_KEY: torch.zeros(COUNT, 3),
            keys.EDGE_INDEX_KEY: torch.tensor(np.stack([receivers, senders])),
            keys.EDGE_VECTORS_KEY: torch.tensor(vectors),
            keys.EDGE_LENGTH_KEY: torch.tensor(lengths),
            keys.NORM_LENGTH_KEY: torch.tensor(lengths[:, None] / CUTOFF),
            keys.ATOM_TYPE_KEY: torch.tensor(species),
        }
        expected = theirs(data)[keys.PER_ATOM_ENERGY_KEY].numpy().ravel()
    finally:
        torch.set_default_dtype(previous)
    found = ours(ZBL(coulomb=2 * float(theirs._qqr2exesquare), length=0.46850))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * expected.max())
