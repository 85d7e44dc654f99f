import contextlib
import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase.constraints import FixCartesian

from equipot import EquipotCalculator, OutOfRangeWarning
from equipot.cli import main
from equipot.potential import artefact
from equipot.potential.wall import Wall


def test_info_tells_model_elements_and_training(potential: str, capsys: pytest.CaptureFixture):
    main.main(["info", potential, "--all"])
    shown = capsys.readouterr().out
    assert "name: mace" in shown
    assert "Cu: " in shown
    assert "num_steps: 2" in shown
    assert re.search(
        r"distances in training in Å:\n +shortest of each pair:\n +Cu-Cu: 2\.\d", shown
    )


def test_info_is_a_dozen_lines_with_the_errors_of_the_run(
    potential: str, capsys: pytest.CaptureFixture
):
    main.main(["info", potential])
    lines = capsys.readouterr().out.splitlines()
    assert 10 <= len(lines) <= 16
    found = dict(re.split("  +", line, maxsplit=1) for line in lines if "errors" not in line)
    assert found["model"].startswith("mace, layers 1, channels 4")
    assert found["elements"] == "1: Cu"
    assert re.fullmatch(r"Cu-Cu 2\.\d\d Å in training", found["shortest distances"])
    assert found["made by"].startswith("step ") and "equipot 0." in found["made by"]
    errors = [re.split("  +", line)[1] for line in lines if line.startswith("errors (RMSE)")]
    assert [error.split(":")[0] for error in errors] == ["train", "valid", "test"]
    metrics = json.loads((pathlib.Path(potential).parent / "metrics.json").read_text())
    forces = 1e3 * metrics["valid"]["forces"]["rmse"]
    assert f"forces {forces:.4g} meV/Å" in errors[1]


@pytest.mark.wide
def test_info_of_many_elements_stays_short(make_potential, tmp_path, capsys: pytest.CaptureFixture):
    many = make_potential(species_table=tuple(range(1, 31)))
    main.main(["info", str(artefact.save(tmp_path / "many.equipot", many))])
    shown = capsys.readouterr().out
    assert "elements            30: H He Li" in shown and len(shown.splitlines()) < 13
    assert "reference energies" not in shown and "not stated" in shown


def test_info_lists_quantities(polar_potential, tmp_path, capsys: pytest.CaptureFixture):
    path = artefact.save(tmp_path / "polar.equipot", polar_potential)
    main.main(["info", str(path), "--all"])
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("quantities:")
    assert lines[start + 1 : start + 6] == [
        "  charges:",
        "    per: atom",
        "    irreps: 0e",
        "    unit: e",
        "    adds up to the charge: True",
    ]
    assert "    with the dipole of: charges" in lines


def test_info_as_json_holds_the_cutoff(potential: str, capsys: pytest.CaptureFixture):
    main.main(["info", potential, "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["cutoff in Å"] == 3.5 and facts["repulsion"] == "none"
    shortest = facts["distances in training in Å"]["shortest of each pair"]
    assert facts["wall"]["below, in Å"] == shortest
    assert facts["training"]["config"]["model"]["num_channels"] == 4


@pytest.mark.wide
def test_info_tells_where_the_wall_stands(make_potential, tmp_path, capsys: pytest.CaptureFixture):
    plain = make_potential()
    main.main(["info", str(artefact.save(tmp_path / "plain.equipot", plain)), "--json"])
    found = json.loads(capsys.readouterr().out)["wall"]
    assert found.startswith("none: below the shortest distances")
    own = Wall(nearest=(0.8, 0.9, 2.1), pushes=(3.0, 9.0, 5.0))
    walled = dataclasses.replace(plain, spec=dataclasses.replace(plain.spec, wall=own))
    path = artefact.save(tmp_path / "walled.equipot", walled)
    main.main(["info", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)["wall"]
    assert found["below, in Å"] == {"H-H": 0.8, "H-O": 0.9, "O-O": 2.1}
    assert found["force, in eV/Å"]["H-O"] == 9.0
    assert found["begins at, times that distance"] == 1.0
    assert found["has that force at, times that distance"] == 0.85


def test_info_states_the_energy_of_an_isolated_atom(potential: str, capsys: pytest.CaptureFixture):
    main.main(["info", potential, "--json"])
    facts = json.loads(capsys.readouterr().out)
    atom = ase.Atoms("Cu", calculator=EquipotCalculator(potential))
    with pytest.warns(OutOfRangeWarning):
        energy = atom.get_potential_energy()
    assert facts["isolated atoms in eV"]["Cu"] == pytest.approx(energy, abs=1e-5)
    assert facts["shift in eV"].keys() == facts["scale in eV"].keys() == {"Cu"}
    assert "isolated atoms" in facts["not determined by the data"]


@pytest.mark.filterwarnings("ignore::equipot.OutOfRangeWarning")  # some frames are not of training
def test_evaluate_gives_the_errors_of_the_calculator(
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    output, table = tmp_path / "predictions.extxyz", tmp_path / "table.json"
    arguments = ["evaluate", potential, str(copper), "--group-key", "shift"]
    main.main([*arguments, "--output", str(output), "--json", str(table)])
    shown = capsys.readouterr().out
    assert re.search(r"^copper +forces on Cu", shown, re.MULTILINE)
    found = json.loads(table.read_text())
    assert set(found["groups"]) == {"0.05", "0.15"}

    frames, predicted = ase.io.read(copper, ":"), ase.io.read(output, ":")
    calculator = EquipotCalculator(potential)
    differences = []
    for frame, prediction in zip(frames, predicted, strict=True):
        np.testing.assert_allclose(prediction.info["REF_energy"], frame.get_potential_energy())
        np.testing.assert_allclose(prediction.info["REF_stress"], frame.get_stress(), atol=1e-7)
        labels = frame.get_forces()
        frame.calc = calculator
        np.testing.assert_allclose(prediction.get_forces(), frame.get_forces(), atol=1e-5)
        np.testing.assert_allclose(prediction.get_stress(), frame.get_stress(), atol=1e-6)
        differences.append(frame.get_forces() - labels)
    rmse = np.sqrt(np.mean(np.square(differences)))
    np.testing.assert_allclose(found["forces"]["rmse"], rmse, rtol=1e-4)


def test_md_starts_from_the_marked_frame_and_writes_what_it_says(
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    output = tmp_path / "md"
    arguments = ["md", potential, str(copper), "--frame", "shift=0.15", "--ensemble", "nve"]
    arguments += ["--time", "0.01", "--output", str(output), "--log-every", "5", "--plot"]
    main.main(arguments)
    shown = capsys.readouterr().out
    assert "Cu4: 20 steps of 0.5 fs" in shown and "velocities are drawn at 300 K" in shown
    assert "meV/atom/ps" in shown
    first = ase.io.read(f"{output}.extxyz", 0)
    np.testing.assert_allclose(first.positions, ase.io.read(copper, 1).positions, atol=1e-6)
    lines = pathlib.Path(f"{output}.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == [0, 5, 10, 15, 20]
    assert pathlib.Path(f"{output}.png").stat().st_size > 1000
    with pytest.raises(SystemExit):
        main.main(arguments)
    assert "md.extxyz: already stands there; --restart goes on" in capsys.readouterr().err
    main.main([*arguments, "--restart", "--time", "0.02"])
    assert "random numbers are those of" in capsys.readouterr().out
    assert len(ase.io.read(f"{output}.extxyz", ":")) == 3


@pytest.mark.wide
def test_md_runs_all_structures_of_a_file_or_one_at_several_temperatures(
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    short = ["--time", "0.005", "--log-every", "5", "--trajectory-every", "10"]
    many = ["md", potential, str(copper), "--frame", "all", "--output", str(tmp_path / "many")]
    main.main([*many, *short])
    shown = capsys.readouterr().out
    assert "12 structures, Cu4 the first: 10 steps" in shown and "of all 12 together" in shown
    assert "… and so on, 12 structures" in shown
    frames = ase.io.read(tmp_path / "many.extxyz", ":")
    assert [frame.info["system"] for frame in frames] == [*range(12)] * 2
    replicas = ["md", potential, str(copper), "--temperature", "100,900"]
    main.main([*replicas, *short, "--output", str(tmp_path / "replicas"), "--thermostat", "bussi"])
    shown = capsys.readouterr().out
    assert "velocities are drawn at 100 to 900 K" in shown
    lines = (tmp_path / "replicas.csv").read_text().split()
    first = [float(line.split(",")[2]) for line in lines[1:3]]
    assert 0 < first[0] < 300 < first[1]


def test_temperatures_that_are_no_numbers_are_named(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        main.main(["md", "--temperature", "300 K", "my.equipot", "start.xyz"])
    assert "expected K, or several as in 300,350,400, received '300 K'" in capsys.readouterr().err


def test_a_run_begun_with_ase_goes_on_with_ase(
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    """Also one of a version that knew no other engine, whose restart file says nothing of it."""
    arguments = ["md", potential, str(copper), "--time", "0.005", "--output", str(tmp_path / "a")]
    main.main([*arguments, "--engine", "ase"])
    main.main([*arguments, "--restart", "--time", "0.01"])
    assert capsys.readouterr().out.count("files: ") == 2
    lines = (tmp_path / "a.csv").read_text().split()
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "10", "20"]
    with pytest.raises(SystemExit):
        main.main([*arguments, "--restart", "--engine", "device"])
    assert "belongs to a run with" in capsys.readouterr().err


def test_relax_takes_all_structures_of_a_file(
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    output = tmp_path / "relaxed.extxyz"
    arguments = ["relax", potential, str(copper), "--frame", "all", "--max-steps", "4"]
    with pytest.raises(SystemExit) as ended:
        main.main([*arguments, "--output", str(output), "--fmax", "1e-6"])
    assert ended.value.code == 1
    assert "0 of 12 converged" in capsys.readouterr().out
    frames, starts = ase.io.read(output, ":"), ase.io.read(copper, ":")
    for frame, start in zip(frames, starts, strict=True):
        assert (frame.info["num_steps"], frame.info["converged"]) == (4, False)
        assert 0 < np.abs(frame.positions - start.positions).max() < 0.5


@pytest.mark.wide
def test_relaxed_structures_outside_of_training_are_reported(
    potential: str, squeezed: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    arguments = ["relax", potential, squeezed, "--frame", "all", "--max-steps", "1"]
    with contextlib.suppress(SystemExit):  # 1: not converged
        main.main([*arguments, "--output", str(tmp_path / "relaxed.extxyz")])
    shown = capsys.readouterr().err
    assert "structure 0: outside of training: atom" in shown and shown.count("\n") == 1


@pytest.mark.parametrize(
    ("files", "option", "message"),
    [
        (("md.csv",), (), "md.csv: already stands there; --overwrite replaces it"),
        (("md.csv",), ("--restart",), "--restart: expected md.restart, which a run writes"),
        (("md.restart",), (), "md.restart: already stands there; --restart goes on with that run"),
    ],
)
def test_md_looks_for_earlier_files_before_jax_is_imported(
    tmp_path: pathlib.Path, files: tuple[str, ...], option: tuple[str, ...], message: str
):
    for name in files:
        (tmp_path / name).touch()
    program = (
        "import sys\nfrom equipot.cli import main\ntry:\n    main.main(sys.argv[1:])\n"
        "except SystemExit:\n    assert 'jax' not in sys.modules\nelse:\n    raise AssertionError"
    )
    command = [sys.executable, "-c", program, "md", "my.equipot", "start.xyz", *option]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert message in done.stderr


def test_relax_lowers_the_energy_of_the_last_frame(
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    output = tmp_path / "relaxed.extxyz"
    with pytest.raises(SystemExit) as ended:
        main.main(["relax", potential, str(copper), "--max-steps", "3", "--output", str(output)])
    assert ended.value.code == 1
    assert "NOT converged after 3 steps" in capsys.readouterr().out
    frames = ase.io.read(output, ":")
    np.testing.assert_allclose(frames[0].positions, ase.io.read(copper).positions, atol=1e-6)
    assert frames[-1].get_potential_energy() < frames[0].get_potential_energy()


@pytest.fixture
def squeezed(copper: pathlib.Path, tmp_path: pathlib.Path) -> str:
    """A file of four copper atoms closer together than any in training."""
    atoms = ase.io.read(copper, 0)
    atoms.set_cell(atoms.cell * 0.8, scale_atoms=True)
    ase.io.write(tmp_path / "squeezed.xyz", atoms)
    return str(tmp_path / "squeezed.xyz")


def test_evaluate_names_a_structure_that_is_outside_of_training(
    potential: str, squeezed: str, copper: pathlib.Path, capsys: pytest.CaptureFixture
):
    main.main(["evaluate", potential, str(copper), squeezed, "--quiet"])
    said = capsys.readouterr().err
    count = int(re.search(r"mean little: (\d+) of 13 structures; ", said)[1])
    assert 1 <= count < 13 and said.count("\n") == 1
    main.main(["evaluate", potential, squeezed, "--quiet"])
    expected = (
        r"equipot: outside of training, where numbers mean little: 1 of 1 structures;"
        r" squeezed.xyz, frame 0 \(Cu4\): atom \d \(Cu\) and atom \d \(Cu\) are 1\.\d+ Å apart;"
        r" the shortest Cu-Cu distance in training is 2\.\d+ Å\n"
    )
    assert re.fullmatch(expected, capsys.readouterr().err)


@pytest.mark.parametrize("command", ["md", "relax"])
def test_a_simulation_outside_of_training_says_so_once(
    command: str,
    potential: str,
    squeezed: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    length = ["--time", "0.002"] if command == "md" else ["--max-steps", "2"]
    output = str(tmp_path / "out") + ("" if command == "md" else ".extxyz")
    with contextlib.suppress(SystemExit):  # 1: not converged
        main.main([command, potential, squeezed, *length, "--output", output])
    first, last = capsys.readouterr().err.splitlines()
    assert re.match(
        r"equipot: step 0: outside of training: atom \d \(Cu\) and atom \d \(Cu\) are 1\.\d+ Å"
        r" apart; the shortest Cu-Cu distance in training is 2\.\d+ Å$",
        first,
    )
    count = 5 if command == "md" else 3  # with that before the first
    assert last.startswith(f"equipot: {count} steps, 0 the first of them, were outside of the dis")


@pytest.mark.wide
@pytest.mark.parametrize("command", ["md", "relax"])
def test_a_strict_simulation_ends_where_it_leaves_training(
    command: str,
    potential: str,
    squeezed: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    output = str(tmp_path / "out.extxyz")
    with pytest.raises(SystemExit) as ended:
        main.main([command, potential, squeezed, "--strict", "--output", output])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("equipot: step 0: the structure is outside of what the potential was")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nothing.equipot"], "equipot: nothing.equipot: "),
        (["md", "POTENTIAL", "STRUCTURES", "--frame", "99"], "frame 99"),
        (["md", "POTENTIAL", "STRUCTURES", "--frame", "shift=3"], "there: 0.05, 0.15"),
        (["md", "POTENTIAL", "STRUCTURES", "--frame", "first"], "a number or KEY=VALUE"),
        (["md", "POTENTIAL", "STRUCTURES", "--timestep", "-1"], "expected positive numbers"),
        (["md", "POTENTIAL", "STRUCTURES", "--time", "inf"], "expected positive numbers"),
        (["md", "POTENTIAL", "EMPTY", "--frame", "all"], "empty.xyz"),
        (["relax", "POTENTIAL", "EMPTY", "--frame", "all"], "empty.xyz"),
        (["md", "POTENTIAL", "STRUCTURES", "--pressure", "1"], "--pressure: has no effect with"),
        (
            ["md", "POTENTIAL", "STRUCTURES", "--thermostat", "bussi", "--friction", "0.1"],
            "--friction: has no effect with --ensemble nvt --thermostat bussi",
        ),
        (
            ["md", "POTENTIAL", "STRUCTURES", "--ensemble", "nve", "--thermostat", "bussi"],
            "--thermostat: has no effect with --ensemble nve;",
        ),
        (
            ["relax", "POTENTIAL", "STRUCTURES", "--pressure", "5"],
            "if the cell is relaxed too; received 5 GPa without cell",
        ),
        (
            ["md", "POTENTIAL", "STRUCTURES", "--engine", "ase", "--ensemble", "npt"],
            "--engine ase: runs one structure, at constant energy or with Langevin dynamics; for"
            " --ensemble npt take --engine device",
        ),
        (
            ["md", "POTENTIAL", "STRUCTURES", "--frame", "all", "--temperature", "300,400"],
            "--temperature: expected one, or one for each of 12 structures, received 2",
        ),
        (["relax", "POTENTIAL", "STRUCTURES", "--frame", "all", "--strict"], "leave out --frame"),
        (["evaluate", "POTENTIAL", "STRUCTURES", "--batch-size", "0"], "expected at least 1"),
        (["evaluate", "POTENTIAL", "STRUCTURES", "--output", "STRUCTURES"], "is read from"),
        (["evaluate", "POTENTIAL", "STRUCTURES", "--json", "/dev/null/t.json"], "is a file and"),
        (["evaluate", "POTENTIAL", "STRUCTURES", "--energy-unit", "meow"], "meow"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str],
    message: str,
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    (tmp_path / "empty.xyz").touch()
    words = {"POTENTIAL": potential, "STRUCTURES": str(copper)}
    words["EMPTY"] = str(tmp_path / "empty.xyz")
    with pytest.raises(SystemExit) as ended:
        main.main([words.get(a, a) for a in arguments])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("temperatures", ["300,-50", "nan", "inf", "warm"])
def test_temperatures_are_numbers_from_0_on(
    temperatures: str, potential: str, copper: pathlib.Path, capsys: pytest.CaptureFixture
):
    with pytest.raises(SystemExit) as ended:
        main.main(["md", potential, str(copper), "--temperature", temperatures])
    assert ended.value.code == 2
    assert f"expected K, or several as in 300,350,400, received '{temperatures}'" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("wrong", ["element", "option", "constraint"])
def test_what_cannot_be_relaxed_is_said_before_anything_is_and_replaces_no_file(
    wrong: str,
    potential: str,
    copper: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
):
    structures, output = tmp_path / "many.traj", tmp_path / "relaxed.extxyz"
    frames = [*ase.io.iread(copper, ":")]
    if wrong == "element":
        frames[7].numbers[0] = 79
    if wrong == "constraint":
        frames[7].set_constraint(FixCartesian(0, (True, False, False)))
    ase.io.write(structures, frames)
    output.write_text("of yesterday")
    more = ["--optimizer", "lbfgs"] if wrong == "option" else []
    words = ["relax", potential, str(structures), "--frame", "all", "--overwrite", *more]
    with pytest.raises(SystemExit) as ended:
        main.main([*words, "--output", str(output)])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert ("expected fire" if wrong == "option" else "structure 7: ") in shown
    assert output.read_text() == "of yesterday"


def test_an_element_the_potential_does_not_know_is_named(
    potential: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    path = tmp_path / "gold.xyz"
    path.write_text('2\nLattice="5 0 0 0 5 0 0 0 5" pbc="T T T"\nAu 0 0 0\nAu 0 0 2.5\n')
    with pytest.raises(SystemExit) as ended:
        main.main(["evaluate", potential, str(path)])
    assert ended.value.code == 2
    assert "Au" in capsys.readouterr().err
