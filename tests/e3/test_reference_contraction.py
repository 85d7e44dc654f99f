"""The symmetric contraction agrees with dense couplings of e3nn-jax, after a change of basis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import testing
from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.kernels import contraction, couplings

e3nn = pytest.importorskip("e3nn_jax")
pytestmark = pytest.mark.reference

NODES, SPECIES, CHANNELS = 5, 2, 3


@pytest.mark.parametrize(
    ("irreps_in", "irreps_out", "correlation"),
    [("0e+1o+2e+3o", "0e+1o", 3), ("0o+1o+1e", "0e+0o+1e+2o", 3), ("1o+2e", "0e+1o", 4)],
)
def test_contraction_is_that_of_dense_couplings(irreps_in, irreps_out, correlation):
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        irreps = tuple(item.ir for item in Irreps(irreps_in))
        outputs = tuple(item.ir for item in Irreps(irreps_out))
        assert couplings.canonical(irreps) == irreps
        feats = {ir: generator.standard_normal((NODES, ir.dim, CHANNELS)) for ir in irreps}
        joined = np.concatenate(list(feats.values()), axis=1)
        species = np.array([0, 1, 1, 0, 1], np.int32)
        weights, expected = {}, dict.fromkeys(outputs, 0.0)
        for order in range(1, correlation + 1):
            basis = e3nn.reduced_symmetric_tensor_product_basis(
                irreps_in, order, keep_ir=[e3nn.Irrep(str(ir)) for ir in outputs]
            )
            for (_, name), chunk in zip(basis.irreps, basis.chunks, strict=True):
                power, other = couplings.Power(order, Irrep(str(name))), np.asarray(chunk)
                foreign = generator.standard_normal((SPECIES, other.shape[-2], CHANNELS))
                change = couplings.change_of_basis(irreps, power, other)
                weights[power] = jnp.asarray(np.einsum("kp,spc->skc", change, foreign))
                dense = np.einsum("...pm,npc->n...mc", other, foreign[species])
                for _ in range(order):
                    dense = np.einsum("ni...c,nic->n...c", dense, joined)
                expected[power.out] = expected[power.out] + dense
        found = contraction.symmetric_contraction(
            {ir: jnp.asarray(x) for ir, x in feats.items()},
            weights,
            jnp.asarray(species),
            outputs,
            correlation,
        )
        for irrep in outputs:
            testing.assert_close(found[irrep], expected[irrep], 1e-10, f"{irrep}")


@pytest.mark.parametrize("order", [1, 2, 3])
def test_number_of_couplings_is_that_of_e3nn(order):
    irreps_in, outputs = Irreps("0e+1o+2e+3o"), Irreps("0e+1o+2e")
    basis = e3nn.reduced_symmetric_tensor_product_basis(
        str(irreps_in), order, keep_ir=[e3nn.Irrep(str(item.ir)) for item in outputs]
    )
    irreps = tuple(item.ir for item in irreps_in)
    for mul, name in basis.irreps:
        power = couplings.Power(order, Irrep(str(name)))
        assert couplings.symmetric_coupling(irreps, power).shape[-2] == mul
