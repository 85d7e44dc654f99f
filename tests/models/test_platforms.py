import jax
import numpy as np
import pytest

from equipot import testing
from equipot.e3.kernels import edge_sum
from equipot.graphs import batching
from equipot.models import registry
from equipot.potential import potential as potentials
from equipot.potential.potential import PotentialSpec
from equipot.testing import structures

SPECIES, CUTOFF = (1, 8), 3.0
SMALL = {
    "num_layers": 1,
    "lmax": 1,
    "num_channels": 2,
    "num_radial_basis": 3,
    "correlation": 2,
    "radial_widths": (4,),
}


def _spec(name):
    _, config = registry.config_from_mapping({"name": name})
    fields = {key: SMALL[key] for key in SMALL if hasattr(config, key)}
    _, config = registry.config_from_mapping({"name": name, "cutoff": CUTOFF, **fields})
    return PotentialSpec(
        model_name=name,
        model_config=config,
        species_table=SPECIES,
        atomic_energies=(0.0, 0.0),
        avg_num_neighbors=12.0,
        dtype="float64",
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "nequip" else [pytest.mark.slow])
        for name in registry.available()
    ],
)
def test_a_model_gives_the_same_in_the_forms_of_all_platforms(name, monkeypatch):
    monkeypatch.setattr(edge_sum, "_LEAST_BLOCK", 16)
    monkeypatch.setattr(edge_sum, "_LARGEST_BLOCK", 16)
    spec = _spec(name)
    graph = batching.build_graph(structures.crystal(CUTOFF, SPECIES), CUTOFF, SPECIES, np.zeros(2))
    params = testing.random_params(spec)
    found, traced = {}, {}
    with jax.enable_x64(True):
        batch = batching.collate([graph], batching.plan_budget([graph], 1), CUTOFF, "float64")
        for platform in ("cpu", "gpu"):
            predict = jax.jit(potentials.make_predict(spec, platform=platform))
            lowered = predict.lower(params, batch)
            traced[platform] = lowered.as_text()
            found[platform] = jax.device_get(lowered.compile()(params, batch))
    assert "stablehlo.while" in traced["cpu"] and "stablehlo.while" not in traced["gpu"]
    for quantity in ("node_energy", "energy", "forces", "stress"):
        there, here = (getattr(found[platform], quantity) for platform in ("gpu", "cpu"))
        size = np.abs(here).max()
        assert size > 0
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-12 * max(size, 1.0))
