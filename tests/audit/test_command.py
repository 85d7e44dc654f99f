"""``equipot audit`` as a user starts it."""

import pathlib
import subprocess
import sys

import ase.build
import ase.io
import numpy as np
import pytest

from equipot import errors
from equipot.audit import audited, run, samples
from equipot.cli import audit, main
from equipot.potential import artefact

SMALL = pathlib.Path(__file__).parents[1] / "data" / "potentials" / "switched_by_neighbors.equipot"


def started(folder, *words):
    command = [sys.executable, "-c", "from equipot.cli.main import main; main()", "audit", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.wide
def test_the_command_prints_its_lines_and_writes_its_page(tmp_path):
    done = started(tmp_path, str(SMALL), "--quick", "--minutes", "0.05")
    assert done.returncode == 1, done.stdout + done.stderr  # it was made with random parameters
    assert done.stderr == ""
    text = (tmp_path / "switched_by_neighbors_audit.html").read_text()
    for line in ("rotation", "forces", "cutoff: slope", "pair curves: holes", "random starts"):
        assert line in done.stdout
        assert line in text
    assert "page: switched_by_neighbors_audit.html" in done.stdout


def test_a_page_is_not_replaced_and_jax_is_not_needed_to_say_so(tmp_path):
    (tmp_path / "water.equipot").write_text("")
    (tmp_path / "water_audit.html").write_text("earlier")
    program = (
        "import sys; from equipot.cli.main import main\n"
        "try: main(['audit', 'water.equipot'])\n"
        "except SystemExit as end: assert end.code == 2 and 'jax' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "water_audit.html: already stands there; --overwrite replaces it" in done.stderr
    assert (tmp_path / "water_audit.html").read_text() == "earlier"


def refused(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main.main(["audit", *words])
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.equipot"], "absent.equipot"),
        (["POTENTIAL", "--data", "absent.xyz"], "absent.xyz"),
        (["POTENTIAL", "--data", "GOLD"], "holds Au, which"),
        (["POTENTIAL", "--data", "EMPTY"], "empty.xyz"),
        (["POTENTIAL", "--data", "ATOMS"], "expected structures of several atoms, found 1"),
        (["POTENTIAL", "--minutes", "0"], "--minutes: expected a positive number, received 0"),
        (["POTENTIAL", "--temperature", "-1"], "--temperature: expected a positive number"),
        (["POTENTIAL", "--head", "pbe"], "head: expected one of default"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(
    words, message, saved, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    ase.io.write("gold.xyz", ase.build.bulk("Au", cubic=True), format="extxyz")
    ase.io.write("atoms.xyz", ase.Atoms("H"), format="extxyz")
    pathlib.Path("empty.xyz").write_text("")
    names = {
        "POTENTIAL": str(saved),
        "GOLD": "gold.xyz",
        "EMPTY": "empty.xyz",
        "ATOMS": "atoms.xyz",
    }
    assert message in refused(capsys, *(names.get(word, word) for word in words))
    assert not list(tmp_path.glob("*.html"))


def test_temperatures_of_the_data_are_found(saved, tmp_path):
    frames = []
    for temperature in (300, 600):
        frame = ase.build.molecule("H2O")
        frame.info["temperature"] = temperature
        frames.append(frame)
    ase.io.write(tmp_path / "water.extxyz", frames)
    parser = main._parser()
    options = parser.parse_args(["audit", str(saved), "--data", str(tmp_path / "water.extxyz")])
    potential = artefact.load(saved, verify=False)
    data = audit._read(options, potential)
    chosen = samples.choose(data, (1, 8), 3.5, None)
    assert run.Plan().highest(chosen) == 600.0
    assert run.Plan().of_box(chosen) == 300.0
    assert run.Plan(temperature=1000.0).highest(chosen) == 1000.0


def test_what_the_potential_refuses_is_a_failed_line_and_not_the_end(make_potential, monkeypatch):
    subject = audited.of_potential(make_potential("float32"), "oh")
    chosen = samples.choose([], (1, 8), 3.5, None)

    def groups(*_):
        def refuse():
            raise errors.NonFiniteError("forces are not finite")

        return {"one": refuse, "two": lambda: []}

    monkeypatch.setattr(run, "groups", groups)
    [line] = run.run(subject, chosen, run.Plan())
    assert line.verdict.passed is False
    assert "forces are not finite" in line.verdict.sentence


def test_a_potential_keeps_what_it_states_of_atoms_alone(make_potential):
    subject = audited.of_potential(make_potential("float32"), "oh")
    from equipot.testing import structures

    found = subject.exact([structures.atom(1), structures.atom(8)])
    energies = np.array([own.energy for own in found])
    np.testing.assert_allclose(energies, subject.stated, rtol=0, atol=1e-12)
