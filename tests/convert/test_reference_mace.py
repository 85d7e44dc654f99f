"""Models of mace-torch, built at random here, and what they become: the same numbers."""

import importlib
import warnings
from typing import Any

import jax
import numpy as np
import pytest
from ase import Atoms

from equipot import errors
from equipot.convert import conversion, mace, oracles
from equipot.data.structure import Structure
from equipot.potential import evaluate

# Old versions of torch and e3nn warn of each other.
pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch: Any = pytest.importorskip("torch")
    modules: Any = pytest.importorskip("mace.modules")
    o3: Any = importlib.import_module("e3nn.o3")

RESIDUAL, AGNOSTIC = "RealAgnosticResidualInteractionBlock", "RealAgnosticInteractionBlock"
DENSITY_RESIDUAL = "RealAgnosticDensityResidualInteractionBlock"
DENSITY = "RealAgnosticDensityInteractionBlock"
NONLINEAR: dict[str, Any] = {
    "interaction_cls": "RealAgnosticResidualNonLinearInteractionBlock",
    "interaction_cls_first": "RealAgnosticResidualNonLinearInteractionBlock",
    "apply_cutoff": False,
}
ENERGY, FORCES, STRESS = 1e-8, 1e-7, 1e-8
TABLE = 1, 8, 12, 14, 22, 38, 56
STRUCTURES = "water", "silicon", "oxide"


def water():
    """Two molecules in a small box."""
    molecule = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    positions = np.concatenate([molecule, molecule[:, [2, 0, 1]] + 2.1])
    return positions, [8, 1, 1, 8, 1, 1], np.diag([4.1, 4.4, 4.7])


def silicon():
    """Two atoms, so that each meets images of itself."""
    cell = 2.715 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return np.array([[0.0, 0.0, 0.0], [1.3575] * 3]), [14, 14], cell


def oxide():
    """Two perovskite cells of (Ba, Sr)(Ti, Mg)O₃."""
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    positions = 4.0 * np.concatenate([sites, sites + np.array([1.0, 0.0, 0.0])])
    return positions, [56, 22, 8, 8, 8, 38, 12, 8, 8, 8], np.diag([8.0, 4.0, 4.0])


def distorted(name, seed=0):
    positions, numbers, cell = {"water": water, "silicon": silicon, "oxide": oxide}[name]()
    rng = np.random.default_rng(seed)
    strain = np.eye(3) + 0.05 * rng.standard_normal((3, 3))
    return Structure(
        positions=(positions + 0.1 * rng.standard_normal(positions.shape)) @ strain,
        atomic_numbers=np.array(numbers),
        cell=cell @ strain,
        pbc=np.ones(3, bool),
        source=name,
    )


def build(table, *, seed=0, dtype="float64", **changes):
    """A ScaleShiftMACE whose parameters, scales and shifts are random."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    heads = changes.pop("heads", ["Default"])
    count = len(heads)
    settings: dict[str, Any] = {
        "r_max": 3.6,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": RESIDUAL,
        "interaction_cls_first": RESIDUAL,
        "num_interactions": 2,
        "hidden_irreps": "4x0e + 4x1o",
        "MLP_irreps": "6x0e",
        "correlation": 2,
        "gate": torch.nn.functional.silu,
        "radial_MLP": [8, 6],
        "avg_num_neighbors": 1.7,
        "use_reduced_cg": False,
    } | changes
    for key in ("interaction_cls", "interaction_cls_first"):
        settings[key] = modules.interaction_classes[settings[key]]
    for key in ("hidden_irreps", "MLP_irreps"):
        settings[key] = o3.Irreps(settings[key])
    cls = settings.pop("cls", "ScaleShiftMACE")
    if cls == "ScaleShiftMACE":
        settings["atomic_inter_scale"] = rng.uniform(5.0, 9.0, count)
        settings["atomic_inter_shift"] = rng.uniform(-1.0, 1.0, count)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        model = getattr(modules, cls)(
            num_elements=len(table),
            atomic_numbers=list(table),
            atomic_energies=rng.uniform(-5.0, 5.0, (count, len(table))),
            heads=heads,
            **settings,
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(1.0 + 0.2 * torch.randn_like(parameter))
                if parameter.abs().max() < 0.01:  # biases, tables of atoms: begun at nothing
                    parameter.add_(0.3 * torch.randn_like(parameter))
                if name.endswith("alpha"):  # begun at 20 neighbors, and these have few
                    parameter.mul_(0.1)
    finally:
        torch.set_default_dtype(torch.float32)
    return model


def assert_same(model, structures, head=None, factor=1.0):
    potential = mace.convert(model, head)
    ours = evaluate.evaluate(potential, structures)
    theirs = oracles.evaluate_mace(oracles.to_float64(model), structures, head)
    for mine, original in zip(ours, theirs, strict=True):
        assert np.abs(original.forces).max() > 1e-3
        np.testing.assert_allclose(mine.energies, original.energies, atol=ENERGY * factor, rtol=0)
        np.testing.assert_allclose(mine.forces, original.forces, atol=FORCES * factor, rtol=0)
        np.testing.assert_allclose(mine.stress, original.stress, atol=STRESS * factor, rtol=0)
    return potential


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Programs run once, on a few atoms."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


CASES = {
    "residual": {},
    "agnostic": {"interaction_cls": AGNOSTIC, "interaction_cls_first": AGNOSTIC},
    "agnostic then residual": {"interaction_cls_first": AGNOSTIC, "cls": "MACE"},
    "density": {"interaction_cls": DENSITY, "interaction_cls_first": DENSITY},
    "density residual": {
        "interaction_cls": DENSITY_RESIDUAL,
        "interaction_cls_first": DENSITY,
        "distance_transform": "Agnesi",
    },
    "scalar messages": {"hidden_irreps": "5x0e", "max_ell": 3, "correlation": 3},
    "messages of degree two": {"hidden_irreps": "3x0e + 3x1o + 3x2e", "correlation": 3},
    "degree one": {"max_ell": 1, "correlation": 4, "num_interactions": 3},
    "degree three": {"max_ell": 3, "correlation": 3},
    "correlation by layer": {"correlation": [1, 4]},
    "both parities": {"hidden_irreps": "3x0e + 3x0o + 3x1o + 3x1e", "num_interactions": 3},
    "one layer": {"num_interactions": 1, "hidden_irreps": "6x0e", "correlation": 3},
    "gaussian": {"radial_type": "gaussian", "distance_transform": "Soft"},
    "repulsion": {"pair_repulsion": True, "distance_transform": "Agnesi", "r_max": 4.4},
    "plain with repulsion": {"pair_repulsion": True, "cls": "MACE", "r_max": 4.4},
    "last readout only": {"use_last_readout_only": True, "gate": torch.tanh},
    "product without species": {"use_agnostic_product": True},
    "all irreps kept": {"keep_last_layer_irreps": True},
    "nonlinear": NONLINEAR,
    "nonlinear, degree three": NONLINEAR
    | {"max_ell": 3, "hidden_irreps": "3x0e + 3x1o + 3x2e", "distance_transform": "Agnesi"},
    "nonlinear, fewer channels sent, three layers": NONLINEAR
    | {"edge_irreps": o3.Irreps("2x0e + 2x1o"), "num_interactions": 3, "radial_MLP": [8]},
    "nonlinear, readout with biases": NONLINEAR
    | {
        "readout_cls": modules.blocks.NonLinearBiasReadoutBlock,
        "use_agnostic_product": True,
        "use_last_readout_only": True,
        "pair_repulsion": True,
        "r_max": 4.4,
    },
    "readout with biases": {"readout_cls": modules.blocks.NonLinearBiasReadoutBlock},
}


@pytest.mark.parametrize("case", CASES)
def test_energies_forces_and_stress_agree(case):
    """On water, silicon that meets its images, and an oxide of five elements, all distorted."""
    seed = list(CASES).index(case)
    structures = [distorted(name, seed) for name in STRUCTURES]
    assert_same(build(TABLE, seed=seed, **CASES[case]), structures)


@pytest.mark.parametrize("readout", ["NonLinearReadoutBlock", "NonLinearBiasReadoutBlock"])
def test_each_of_two_heads_agrees(readout):
    cls = getattr(modules.blocks, readout)
    model = build((1, 8), heads=["pbe", "r2scan"], correlation=1, readout_cls=cls)
    structures = [distorted("water")]
    first, second = (assert_same(model, structures, head) for head in ("pbe", "r2scan"))
    assert first.spec.atomic_energies != second.spec.atomic_energies


def test_the_head_must_be_named_where_there_are_several():
    model = build((1, 8), heads=["pbe", "r2scan"], correlation=1)
    with pytest.raises(errors.ConfigError, match=r"head: expected one of pbe, r2scan, received no"):
        mace.convert(model)
    with pytest.raises(errors.ConfigError, match=r"received 'scan'\. Did you mean 'r2scan'"):
        mace.convert(model, "scan")


def test_energies_agree_with_chebyshev_polynomials():
    """Torch gives them no derivative, so the original's forces are not those of its energy."""
    model = build((1, 8), radial_type="chebyshev", distance_transform="Agnesi", correlation=1)
    structures = [distorted("water")]
    (mine,) = evaluate.evaluate(mace.convert(model), structures)
    (original,) = oracles.evaluate_mace(model, structures)
    np.testing.assert_allclose(mine.energies, original.energies, atol=ENERGY, rtol=0)


def test_model_of_single_precision_agrees_and_passes_through_its_file(tmp_path):
    model = build((1, 8), dtype="float32", r_max=3.7, num_bessel=8, pair_repulsion=True)
    torch.save(model, tmp_path / "water.model")
    found = conversion.convert(tmp_path / "water.model", trust=True)
    assert found.potential.spec.dtype == "float32"
    assert found.potential.spec.cutoff == 3.7
    assert max(found.differences.energy, found.differences.forces) < ENERGY
    structures = [distorted("water")]
    (mine,) = evaluate.evaluate(found.potential, structures)
    (original,) = oracles.evaluate_mace(model, structures)
    scale = np.abs(original.forces).max()
    np.testing.assert_allclose(mine.energies, original.energies, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mine.forces, original.forces, atol=1e-5 * scale, rtol=0)


def test_graphs_of_mace_torch_give_the_same_energy_and_forces():
    """The original with its own neighbor list and batches, so that conventions of edges count."""
    data: Any = importlib.import_module("mace.data")
    geometric: Any = importlib.import_module("mace.tools.torch_geometric")
    tools: Any = importlib.import_module("mace.tools")
    structure, model = distorted("silicon"), build((14,))
    atoms = Atoms(
        structure.atomic_numbers, structure.positions, cell=structure.cell, pbc=structure.pbc
    )
    torch.set_default_dtype(torch.float64)
    try:
        settings = {"z_table": tools.AtomicNumberTable([14]), "cutoff": 3.6}
        graph = data.AtomicData.from_config(data.config_from_atoms(atoms), **settings)
        batch = next(iter(geometric.dataloader.DataLoader([graph], batch_size=1)))
        original = model(batch.to_dict(), compute_stress=True)
    finally:
        torch.set_default_dtype(torch.float32)
    (mine,) = evaluate.evaluate(mace.convert(model), [structure])
    numbers = {name: original[name].detach().numpy() for name in ("energy", "forces", "stress")}
    np.testing.assert_allclose(mine.energy, numbers["energy"][0], atol=ENERGY, rtol=0)
    np.testing.assert_allclose(mine.forces, numbers["forces"], atol=FORCES, rtol=0)
    np.testing.assert_allclose(mine.stress, numbers["stress"][0], atol=STRESS, rtol=0)


def broken(model, **attributes):
    for path, value in attributes.items():
        *parents, name = path.split("__")
        target = model
        for parent in parents:
            target = target[int(parent)] if parent.isdigit() else getattr(target, parent)
        setattr(target, name, value)
    return model


@pytest.mark.parametrize(
    ("settings", "attributes", "message"),
    [
        ({"use_so3": True}, {}, "use_so3: models without parity"),
        (
            {"apply_cutoff": False},
            {},
            "apply_cutoff: radial networks without biases and without an",
        ),
        (
            {"edge_irreps": o3.Irreps("2x0e")},
            {},
            r"edge_irreps: expected the irreps of the features \(4x0e\+4x1o\)",
        ),
        ({"hidden_irreps": "4x0e + 4x1e"}, {}, r"hidden_irreps: expected 0e \+ 1o"),
        ({"gate": torch.abs}, {}, "expected the activation silu or tanh, received abs"),
        ({"pair_repulsion": True, "r_max": 1.2}, {}, "atoms repel to 1.32 Å.*beyond the cutoff"),
        (NONLINEAR | {"apply_cutoff": True}, {}, "messages do not vanish at the cutoff"),
        (NONLINEAR | {"interaction_cls_first": RESIDUAL}, {}, "without biases and without an"),
        (
            {"interaction_cls": "RealAgnosticAttResidualInteractionBlock"},
            {},
            "received mace.modules.blocks.RealAgnosticAttResidualInteractionBlock",
        ),
        ({}, {"interactions__1__avg_num_neighbors": 3.0}, "avg_num_neighbors: expected the same"),
        ({}, {"joint_embedding": torch.nn.Linear(1, 1)}, "found also joint_embedding"),
        (
            {},
            {"radial_embedding__bessel_fn__bessel_weights": torch.ones(4)},
            "frequencies were trained or chosen",
        ),
        (
            {},
            {"interactions__0__conv_tp_weights__layer0__act__f": torch.tanh},
            "expected the activation silu, received tanh",
        ),
        (
            {},
            {"products__1__symmetric_contractions__contractions__0__U_matrix_1": torch.ones(9, 1)},
            "do not transform so|couplings of the contraction differ from ours",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(settings, attributes, message):
    model = broken(build((1, 8), **settings), **attributes)
    with pytest.raises(ValueError, match=message):
        mace.convert(model)


def test_other_models_are_refused():
    with pytest.raises(errors.ConversionError, match=r"model: expected MACE or ScaleShiftMACE, re"):
        mace.convert(torch.nn.Linear(1, 1))
