"""i-PI itself, asking a potential for forces."""

import importlib.util
import pathlib
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest
from ase import io
from ase.constraints import FixAtoms

from equipot import EquipotCalculator, drivers, errors
from equipot.drivers import ipi

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ipi") is None, reason="needs the extra 'ipi'"
)
PROGRAMS = pathlib.Path(sys.executable).parent
INPUT = """
<simulation verbosity='low'>
  <output prefix='out'>
    <properties stride='1' filename='log'>
      [step, potential{{electronvolt}}, virial_md{{ev/ang3}}]
    </properties>
    <trajectory filename='f' stride='1' format='ase'>forces</trajectory>
    <trajectory filename='x' stride='1' format='ase'>positions</trajectory>
  </output>
  <total_steps>{steps}</total_steps>
  <prng><seed>3</seed></prng>
  <ffsocket name='one' mode='unix' pbc='false'><address>{name}</address></ffsocket>
  <system>
    <initialize nbeads='{beads}'>
      <file mode='ase'>start.extxyz</file>
      <velocities mode='thermal' units='kelvin'>200</velocities>
    </initialize>
    <forces><force forcefield='one'/></forces>
    <ensemble><temperature units='kelvin'>200</temperature></ensemble>
    <motion mode='dynamics'>
      <dynamics mode='{mode}'><timestep units='femtosecond'>0.2</timestep></dynamics>
    </motion>
  </system>
</simulation>
"""
DRIVE = "from equipot.cli.main import main; main()"


@pytest.fixture
def server(tmp_path, make_crystal):
    """A function that starts i-PI on a small crystal; what is left running is ended."""
    started = []

    def start(steps=5, beads=1, mode="nve", pbc=True):
        name = f"equipot_{uuid.uuid4().hex[:8]}"
        io.write(tmp_path / "start.extxyz", make_crystal(cells=2, pbc=pbc))
        text = INPUT.format(name=name, steps=steps, beads=beads, mode=mode)
        (tmp_path / "input.xml").write_text(text)
        command = [str(PROGRAMS / "i-pi"), "input.xml"]
        with (tmp_path / "ipi.log").open("w") as log:
            started.append(subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log))
        wait_for(pathlib.Path(f"/tmp/ipi_{name}"), started[-1], tmp_path / "ipi.log")
        return started[-1], name

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(path, process, log):
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError("i-PI did not open its socket")


def client(folder, potential, name):
    command = [sys.executable, "-c", DRIVE, "drive", str(potential), "start.extxyz"]
    command += ["--ipi", f"unix:{name}", "--dtype", "float64"]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def serve(folder, potential, name):
    """A client in this process; the number of its evaluations."""
    atoms = io.read(folder / "start.extxyz")
    atoms.calc = EquipotCalculator(potential, dtype="float64")
    return ipi.serve(atoms, ipi.address_of(f"unix:{name}"))


def potentials_of(folder):
    return np.loadtxt(folder / "out.log")[:, 1]


def test_energies_forces_and_stress_are_those_of_ase(tmp_path, server, saved):
    """To the digits of i-PI's files, and of its Hartree, which is older."""
    process, name = server()
    assert serve(tmp_path, saved, name) == 6
    assert process.wait(60) == 0, (tmp_path / "ipi.log").read_text()
    rows = np.loadtxt(tmp_path / "out.log")
    frames, forces = (
        io.read(tmp_path / f"out.{kind}_0.extxyz", ":", format="extxyz") for kind in "xf"
    )
    calculator = EquipotCalculator(saved, dtype="float64")
    assert len(frames) == len(rows) == 6
    for row, frame, force in zip(rows, frames, forces, strict=True):
        frame.pbc, frame.calc = True, calculator
        assert row[1] == pytest.approx(frame.get_potential_energy(), rel=3e-7)
        np.testing.assert_allclose(force.get_forces(), frame.get_forces(), rtol=1e-6, atol=1e-6)
        stress = frame.get_stress(voigt=False)
        expected = [-stress[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
        np.testing.assert_allclose(row[2:], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.wide
def test_atoms_that_the_file_holds_are_not_held_from_i_pi(tmp_path, server, saved):
    """A fixed atom without forces would drift there; fixing it is i-PI's business."""
    process, name = server(steps=1)
    atoms = io.read(tmp_path / "start.extxyz")
    atoms.set_constraint(FixAtoms([0, 3]))
    atoms.calc = EquipotCalculator(saved, dtype="float64")
    ipi.serve(atoms, ipi.address_of(f"unix:{name}"))
    assert process.wait(60) == 0, (tmp_path / "ipi.log").read_text()
    found = io.read(tmp_path / "out.f_0.extxyz", 0, format="extxyz").get_forces()
    start = io.read(tmp_path / "start.extxyz")
    start.calc = atoms.calc
    np.testing.assert_allclose(found, start.get_forces(), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_four_clients_of_sixteen_beads_give_what_one_gives(tmp_path, server, saved):
    process, name = server(steps=3, beads=16, mode="nvt")
    assert serve(tmp_path, saved, name) == 16 * 4
    assert process.wait(60) == 0, (tmp_path / "ipi.log").read_text()
    expected = potentials_of(tmp_path)
    process, name = server(steps=3, beads=16, mode="nvt")
    driven = [client(tmp_path, saved, name) for _ in range(4)]
    for each in driven:
        out, err = each.communicate(timeout=300)
        assert each.returncode == 0, err
        assert "i-PI has ended" in out
    assert process.wait(60) == 0, (tmp_path / "ipi.log").read_text()
    np.testing.assert_array_equal(potentials_of(tmp_path), expected)
    assert np.ptp(expected) > 1e-3


@pytest.mark.wide
def test_a_socket_that_closes_ends_the_client(tmp_path, server, saved):
    process, name = server(steps=10**6)
    driven = client(tmp_path, saved, name)
    log = tmp_path / "out.log"
    while not log.exists() or len(log.read_text().splitlines()) < 9:  # three of them comments
        assert driven.poll() is None, driven.communicate()[1]
        time.sleep(0.2)
    process.kill()
    out, err = driven.communicate(timeout=60)
    assert driven.returncode == 0 and "i-PI has ended" in out and "Traceback" not in err


def test_a_molecule_without_a_cell_has_no_virial(tmp_path, server, saved):
    process, name = server(pbc=False)
    serve(tmp_path, saved, name)
    assert process.wait(60) == 0
    assert not np.loadtxt(tmp_path / "out.log")[:, 2:].any()


@pytest.mark.wide
def test_ipis_own_client_runs_the_driver_file(tmp_path, server, saved):
    process, name = server()
    serve(tmp_path, saved, name)
    assert process.wait(60) == 0
    expected = potentials_of(tmp_path)
    process, name = server()
    command = [str(PROGRAMS / "i-pi-py_driver"), "-m", "custom", "-P", str(drivers.DRIVER_OF_IPI)]
    command += ["-u", "-a", name, "-o", f"template=start.extxyz,potential={saved},dtype=float64"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert process.wait(60) == 0
    np.testing.assert_allclose(potentials_of(tmp_path), expected, rtol=3e-7)


@pytest.mark.filterwarnings(  # ASE leaves a socket open that cannot connect
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_wrong_addresses_and_atoms_are_one_sentence(tmp_path, server, saved, make_crystal):
    for text in ("name", "unix:", "host:none", "host:99999", ""):
        with pytest.raises(errors.ConfigError, match=r"expected unix:NAME or HOST:PORT"):
            ipi.address_of(text)
    assert str(ipi.address_of("unix:water")) == "unix:water"
    assert ipi.address_of("somewhere:31415") == ipi.Address(host="somewhere", port=31415)
    with pytest.raises(errors.DriverError, match="nobody listens at unix:nothing_there"):
        ipi.serve(make_crystal(cells=2), ipi.address_of("unix:nothing_there"))
    _, name = server()
    atoms = make_crystal(cells=3)
    atoms.calc = EquipotCalculator(saved)
    with pytest.raises(errors.DriverError, match="expected the 27 atoms of the file"):
        ipi.serve(atoms, ipi.address_of(f"unix:{name}"))
