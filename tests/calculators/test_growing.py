import pathlib
import subprocess
import sys

import ase.build
import ase.io
import pytest
from ase.calculators.emt import EMT

from equipot import errors
from equipot.calculators import growing, trajectory
from equipot.data.formats import ase_files

FULL_DISK = """
import resource, signal, sys
import ase.build
from ase.calculators.emt import EMT
from equipot import errors
from equipot.calculators import trajectory

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
atoms = ase.build.bulk("Cu", cubic=True)
atoms.calc = EMT()
atoms.get_stress()
try:
    with trajectory.frame_writer(sys.argv[1], atoms, False) as write:
        for _ in range(200):
            write()
except errors.DataError as error:
    print(error)
"""


def frames(number: int) -> list[ase.Atoms]:
    made = [ase.build.bulk("Cu", cubic=True) for _ in range(number)]
    for atoms in made:
        atoms.calc = EMT()
        atoms.get_stress()
    return made


def test_records_follow_each_other(tmp_path: pathlib.Path):
    with growing.appender(tmp_path / "a.csv") as append:
        for record in (b"one\n", b"", b"2", b"\n"):
            append(record)
        assert (tmp_path / "a.csv").read_bytes() == b"one\n2\n"


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj"])
def test_a_full_disk_is_one_sentence_and_leaves_whole_frames(name: str, tmp_path: pathlib.Path):
    path = tmp_path / name
    program = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert "could not be written to (File too large; free some space)" in done.stdout
    assert done.stderr == ""
    assert len(ase_files.read_images(path)) > 3


def test_wherever_a_kill_tears_a_frame_the_file_is_refused(tmp_path: pathlib.Path):
    path, (atoms,) = tmp_path / "a.extxyz", frames(1)
    with trajectory.frame_writer(path, atoms, False) as write:
        write()
        whole = path.stat().st_size
        write()
    content = path.read_bytes()
    for cut in (1, 2, 5, 40, whole // 2, whole - 2):
        # The first byte of a record comes last: this is what a kill before it leaves.
        torn = content[:whole] + b"\0" + content[whole + 1 : 2 * whole - cut]
        path.write_bytes(torn)
        with pytest.raises(errors.DataError, match=r"a\.extxyz"):
            trajectory.read_atoms(path)


def test_an_unwritable_folder_is_one_sentence(tmp_path: pathlib.Path):
    (tmp_path / "file").write_text("")
    atoms = frames(1)[0]
    with (
        pytest.raises(errors.DataError, match="could not be written to"),
        trajectory.frame_writer(tmp_path / "file" / "a.extxyz", atoms, False),
    ):
        pass
