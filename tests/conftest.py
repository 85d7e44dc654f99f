"""What every test shares: strict numerics, four CPU devices, and a cache of compiled programs.

equipot itself is not imported here: pytest must install the run-time checks of annotations before.
"""

import dataclasses
import functools
import gc
import os
import pathlib

gc.set_threshold(50_000, 20, 50)  # as the commands do: jax makes many objects that stay
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
ROOT = pathlib.Path(__file__).parents[1]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # programs started by tests are read once
# In the environment, so that the programs started by tests share them.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# A program takes three quarters of the time to compile; JAX_DISABLE_MOST_OPTIMIZATIONS=0 tests the
# programs that are in use.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax  # noqa: E402

# Fusions written as LLVM take half the time to compile of those written as MLIR. An unknown flag
# ends the process, so later versions of jax go without until somebody has looked for it there.
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and jax.__version_info__ < (0, 11):
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", flags)

import numpy as np  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def optimized():
    """Programs as they are in use: other tests compile quickly."""
    from equipot.potential import bound
    from equipot.training import programs

    def forget():
        bound.program.cache_clear()
        programs.forget()

    forget()
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    forget()


@pytest.fixture
def no_programs():
    """Programs are shared in a process: for counting, those of other tests are forgotten."""
    from equipot.potential import bound
    from equipot.training import programs

    bound.program.cache_clear()
    programs.forget()


@pytest.fixture
def new_objects_alone():
    """Garbage is looked for among what the test has made: going through all else takes seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def reference_data() -> pathlib.Path:
    """Folder of the datasets that are too large to ship; skips the test where there is none."""
    folder = pathlib.Path(os.environ.get("EQUIPOT_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference datasets at {folder}; set EQUIPOT_REFERENCE_DATA")
    return folder


@pytest.fixture(scope="session")
def make_potential():
    """A function that makes a small NequIP with random parameters, each kind once."""
    from equipot.models import registry
    from equipot.potential import potential as potentials

    @functools.cache
    def make(dtype="float64", species_table=(1, 8), scale=0.5, quantities=(), **settings):
        settings = {"cutoff": 3.5, "num_layers": 1, "lmax": 1, "num_channels": 4} | settings
        name, model_config = registry.config_from_mapping({"name": "nequip", **settings})
        spec = potentials.PotentialSpec(
            model_name=name,
            model_config=model_config,
            species_table=species_table,
            atomic_energies=tuple(-13.6 * z**1.7 for z in species_table),
            avg_num_neighbors=12.0,
            dtype=dtype,
            quantities=quantities,
        )
        with jax.enable_x64(dtype == "float64"):
            size = len(species_table)
            key = jax.random.key(0)
            scales, zeros = jax.numpy.full(size, scale, dtype), jax.numpy.zeros(size, dtype)
            params = potentials.init_params(spec, key, scales, zeros)
        return potentials.Potential(
            spec=spec, params=jax.tree.map(np.asarray, params), provenance={"seed": 0}
        )

    return make


@pytest.fixture(scope="session")
def polar_potential():
    """A small NequIP of random parameters with charges, dipoles and two numbers of structures."""
    from equipot import testing
    from equipot.models import nequip
    from equipot.potential import potential as potentials
    from equipot.quantities import QuantityConfig, declared

    quantities = {
        "charges": QuantityConfig(per="atom", unit="e", sums_to_charge=True),
        "dipole": QuantityConfig(irreps="1o", unit="e Å", charges="charges"),
        "gaps": QuantityConfig(irreps="2x0e", unit="eV"),
    }
    spec = potentials.PotentialSpec(
        model_name="nequip",
        model_config=nequip.Config(
            cutoff=3.5, num_layers=1, lmax=1, num_channels=2, num_radial_basis=4, radial_widths=(4,)
        ),
        species_table=(1, 8),
        atomic_energies=(-13.6, -2000.0),
        avg_num_neighbors=12.0,
        dtype="float64",
        quantities=tuple(declared(quantities).values()),
    )
    return potentials.Potential(spec=spec, params=testing.random_params(spec))


@pytest.fixture(scope="session")
def lennard_jones() -> list:
    """Forty labelled crystals of argon and krypton, rattled, four atoms each, in two groups."""
    from ase.build import bulk
    from ase.calculators.lj import LennardJones

    from equipot.data.structure import Structure

    rng, structures = np.random.default_rng(0), []
    for i in range(40):
        atoms = bulk("Ar", "fcc", a=5.3 * (1 + 0.02 * rng.normal()), cubic=True)
        atoms.symbols[rng.permutation(4)[: 1 + i % 3]] = "Kr"
        atoms.positions += rng.normal(scale=0.12, size=(4, 3))
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.1, rc=8.0, smooth=True)
        structures.append(
            Structure(
                positions=atoms.positions,
                atomic_numbers=atoms.numbers,
                cell=np.array(atoms.cell),
                pbc=atoms.pbc,
                energy=atoms.get_potential_energy(),
                forces=atoms.get_forces(),
                stress=atoms.get_stress(voigt=False),
                energy_weight=1.0,
                forces_weight=1.0,
                stress_weight=1.0,
                source=f"argon and krypton, frame {i}",
                group=("300 K", "600 K")[i % 2],
            )
        )
    return structures


@pytest.fixture(scope="session")
def make_crystal():
    """A function that makes a disturbed periodic box of hydrogen and oxygen, 1.9 Å apart."""

    from ase import Atoms

    def make(cells=3, seed=0, disturbance=0.1, pbc=True):
        rng = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
        positions = 1.9 * grid + disturbance * rng.uniform(-1, 1, grid.shape)
        cell = 1.9 * cells * (np.eye(3) + np.array([[0, 0, 0], [0.1, 0, 0], [0, -0.05, 0]]))
        numbers = np.where(grid.sum(axis=1) % 2, 8, 1)
        return Atoms(numbers, positions=positions, cell=cell, pbc=pbc)

    return make


@pytest.fixture(scope="session")
def saved(make_potential, tmp_path_factory):
    """A float32 potential on disk."""
    from equipot.potential import artefact

    return artefact.save(tmp_path_factory.mktemp("saved") / "oh.equipot", make_potential("float32"))


@pytest.fixture(scope="session")
def watched(make_potential):
    """A float32 potential that states what distances of water it was trained on."""
    from equipot.data import distance_range

    span = distance_range.DistanceRange(
        radius=3.5,
        shortest={(1, 1): 1.25, (1, 8): 0.85, (8, 8): 2.35},
        longest={1: 1.13, 8: 1.1},
        isolated={},
    )
    return dataclasses.replace(make_potential("float32"), distance_range=span)
