"""Real files of other programs, through the command, to an artefact that needs neither of them."""

import importlib
import json
import pathlib
import subprocess
import sys

import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.cli import main
from equipot.convert import check, conversion, files
from equipot.potential import artefact, evaluate

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

# In the place of the GNN of ``nequip_training.yaml``.
ALLEGRO = (
    "~training_module.model",
    "+training_module.model={_target_:allegro.model.AllegroModel,seed:2,model_dtype:float32,"
    "type_names:${model_type_names},r_max:${cutoff_radius},l_max:1,parity:true,num_layers:2,"
    "radial_chemical_embed:{_target_:allegro.nn.TwoBodyBesselScalarEmbed,num_bessels:4},"
    "num_scalar_features:4,num_tensor_features:3,allegro_mlp_hidden_layers_width:8,"
    "scalar_embed_mlp_hidden_layers_width:8,readout_mlp_hidden_layers_width:4,"
    "avg_num_neighbors:12.0}",
)
TRAINING = pathlib.Path(__file__).with_name("nequip_training.yaml")
# Reads an artefact and a structure where torch cannot be imported, and prints the energy.
WITHOUT_TORCH = """\
import sys
for name in ("torch", "mace", "nequip", "e3nn"):
    sys.modules[name] = None
import ase.io
from equipot import EquipotCalculator
atoms = ase.io.read(sys.argv[2])
atoms.calc = EquipotCalculator(sys.argv[1], dtype="float64")
print(repr(float(atoms.get_potential_energy())))
"""


@pytest.fixture(scope="module", params=["nequip", "allegro"])
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> pathlib.Path:
    """Made by ``nequip-train``: an epoch, with averaged weights.

    The GNN has trained scales and repulsion too.
    """
    pytest.importorskip(request.param)
    folder = tmp_path_factory.mktemp("nequip")
    rng, frames = np.random.default_rng(0), []
    for _ in range(6):
        atoms = ase.build.bulk("Cu", cubic=True)
        atoms.numbers[1] = 13
        atoms.positions += rng.normal(0, 0.1, (4, 3))
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    ase.io.write(folder / "train.extxyz", frames)
    _run(
        folder,
        "from nequip.scripts.train import main; main()",
        *("-cp", str(TRAINING.parent), "-cn", TRAINING.name, "hydra.run.dir=."),
        *(ALLEGRO if request.param == "allegro" else ()),
    )
    return folder / "best.ckpt"


@pytest.fixture(scope="module")
def package(checkpoint: pathlib.Path) -> pathlib.Path:
    """Made of the checkpoint by ``nequip-package``."""
    target = checkpoint.with_name("tiny.nequip.zip")
    _run(
        target.parent,
        "from nequip.scripts.package import main; main()",
        *("build", str(checkpoint), str(target)),
    )
    return target


def test_a_checkpoint_of_nequip_becomes_an_artefact(
    checkpoint: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    target = tmp_path / "copper.equipot"
    main.main(["convert", str(checkpoint), "--trust", "-o", str(target)])
    assert "largest differences from the original in float64" in capsys.readouterr().out
    provenance = artefact.load(target).provenance
    origin = provenance["converted_from"]
    assert origin["file"] == "best.ckpt"
    assert origin["sha256"] == files.recognise(checkpoint).sha256
    assert origin["opened_with"]["nequip"]
    assert 0 <= provenance["largest_differences"]["forces"] < 1e-8
    _check_without_torch(checkpoint, target)


def test_a_package_of_nequip_says_what_its_checkpoint_says(
    checkpoint: pathlib.Path, package: pathlib.Path
):
    found = conversion.convert(package, trust=True, dtype="float64")
    assert found.differences.energy < 1e-8
    expected = conversion.convert(checkpoint, trust=True, dtype="float64")
    structure = check.structures([13, 29])[0]
    (ours,) = evaluate.evaluate(found.potential, [structure])
    (theirs,) = evaluate.evaluate(expected.potential, [structure])
    np.testing.assert_allclose(ours.forces, theirs.forces, atol=1e-12)


def test_a_model_of_mace_becomes_an_artefact(tmp_path: pathlib.Path):
    pytest.importorskip("mace")
    path, target = tmp_path / "water.model", tmp_path / "water.equipot"
    _save_mace(path)
    main.main(["convert", str(path), "--trust", "-o", str(target)])
    _check_without_torch(path, target)


def _save_mace(path: pathlib.Path) -> None:
    """A model as ``mace_run_train`` saves it, with its own random weights."""
    torch, modules = importlib.import_module("torch"), importlib.import_module("mace.modules")
    o3 = importlib.import_module("e3nn.o3")
    torch.manual_seed(0)
    model = modules.ScaleShiftMACE(
        r_max=3.5,
        num_bessel=6,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=modules.RealAgnosticResidualInteractionBlock,
        interaction_cls_first=modules.RealAgnosticInteractionBlock,
        num_interactions=2,
        num_elements=2,
        hidden_irreps=o3.Irreps("4x0e + 4x1o"),
        MLP_irreps=o3.Irreps("3x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([-1.0, -2.0]),
        avg_num_neighbors=8.0,
        atomic_numbers=[1, 8],
        correlation=2,
        radial_type="bessel",
        atomic_inter_scale=1.3,
        atomic_inter_shift=0.2,
    )
    torch.save(model, path)


def _check_without_torch(original: pathlib.Path, target: pathlib.Path) -> None:
    """The energy in a process without torch is that of the torch model."""
    source = files.recognise(original)
    module = files.open_model(source)
    structure = check.structures(artefact.read(target).potential.spec.species_table)[0]
    (theirs,) = conversion.evaluate_original(module, source.program, [structure])
    frame = target.with_suffix(".json")
    atoms = ase.Atoms(
        structure.atomic_numbers, structure.positions, cell=structure.cell, pbc=structure.pbc
    )
    ase.io.write(frame, atoms)
    done = _run(target.parent, WITHOUT_TORCH, str(target), str(frame))
    found = json.loads(done.stdout.strip().splitlines()[-1])
    np.testing.assert_allclose(found, theirs.energy, atol=1e-5 * len(atoms))


def _run(folder: pathlib.Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done
