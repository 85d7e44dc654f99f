"""One small, sound file for each format of labelled structures."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import ase
import ase.build
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

NUM_FRAMES = 3
SYMBOLS = ("O", "H", "H", "C")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file, or the files of a folder.

    Attributes:
      name: What is read, relative to the folder the files lie in.
      contents: Bytes of each file by its name.
      settings: What the configuration must say to read it.
    """

    name: str
    contents: Mapping[str, bytes]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def make_frames() -> list[ase.Atoms]:
    """Four atoms in a box with all labels, three times."""
    rng = np.random.default_rng(7)
    frames = []
    for index in range(NUM_FRAMES):
        positions = np.array([[1.0, 1, 1], [1.9, 1, 1.2], [0.4, 1.8, 1], [3, 3, 2.5]])
        cell = np.diag([5.0, 5.5, 6.0]) + 0.1 * rng.normal(size=(3, 3))
        atoms = ase.Atoms(SYMBOLS, positions + 0.1 * rng.normal(size=(4, 3)), cell=cell, pbc=True)
        stress = 0.01 * rng.normal(size=6)
        atoms.calc = SinglePointCalculator(
            atoms, energy=-31.5 - 0.25 * index, forces=rng.normal(size=(4, 3)), stress=stress
        )
        atoms.info["temperature"] = 300 + index
        frames.append(atoms)
    return frames


def make_files(folder: pathlib.Path) -> dict[str, DataFile]:
    """Writes every kind of file and returns their bytes.

    Args:
      folder: An empty folder to write in.
    """
    frames = make_frames()
    files = {
        "extxyz": _by_ase(folder, "a.extxyz", frames),
        "extxyz.gz": _by_ase(folder, "a.extxyz.gz", frames),
        "extxyz.xz": _by_ase(folder, "a.extxyz.xz", frames),
        "extxyz.bz2": _by_ase(folder, "a.extxyz.bz2", frames),
        "traj": _by_ase(folder, "a.traj", frames),
        "db": _by_ase(folder, "a.db", frames),
        "json": _by_ase(folder, "a.json", frames),
        "cif": _by_ase(folder, "a.cif", frames[0]),
        "poscar": _by_ase(folder, "a.poscar", frames[0].copy(), format="vasp"),
        "xyz": DataFile(name="a.xyz", contents={"a.xyz": _plain_xyz(frames)}),
        "vasprun": DataFile(name="vasprun.xml", contents={"vasprun.xml": _vasprun(frames)}),
        "outcar": DataFile(name="OUTCAR", contents={"OUTCAR": _outcar(frames)}),
    }
    return files | _npz(folder, frames) | {"deepmd": _deepmd(folder, frames)}


def _by_ase(folder: pathlib.Path, name: str, frames: Any, **options: Any) -> DataFile:
    path = folder / name
    ase.io.write(path, frames, **options)
    return DataFile(name=name, contents={name: path.read_bytes()})


def _plain_xyz(frames: list[ase.Atoms]) -> bytes:
    lines: list[str] = []
    for atoms in frames:
        lines += ["4", f"energy={atoms.get_potential_energy()!r} step=1"]
        rows = zip(atoms.symbols, atoms.positions.tolist(), strict=True)
        lines += [f"{symbol} {x!r} {y!r} {z!r}" for symbol, (x, y, z) in rows]
    return "\n".join([*lines, ""]).encode()


def _npz(folder: pathlib.Path, frames: list[ase.Atoms]) -> dict[str, DataFile]:
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    forces = np.array([atoms.get_forces() for atoms in frames])
    positions = np.array([atoms.positions for atoms in frames])
    numbers = frames[0].numbers.astype(np.uint8)
    rmd17 = {"nuclear_charges": numbers, "coords": positions, "forces": forces}
    sgdml = {"z": numbers, "R": positions, "E": energies[:, None], "F": forces}
    units = {"e_unit": np.array("eV"), "r_unit": np.array("Ang"), "lattice": 6.0 * np.eye(3)}
    np.savez(folder / "r.npz", **rmd17, energies=energies)
    np.savez_compressed(folder / "s.npz", **sgdml, **units)
    return {
        "rmd17": DataFile(
            name="r.npz",
            contents={"r.npz": (folder / "r.npz").read_bytes()},
            settings={"energy_unit": "eV"},
        ),
        "sgdml": DataFile(name="s.npz", contents={"s.npz": (folder / "s.npz").read_bytes()}),
    }


def _deepmd(folder: pathlib.Path, frames: list[ase.Atoms]) -> DataFile:
    system = folder / "system"
    (system / "set.000").mkdir(parents=True)
    (system / "type.raw").write_text("0\n1\n1\n2\n")
    (system / "type_map.raw").write_text("O\nH\nC\n")
    arrays = {
        "coord": [atoms.positions.ravel() for atoms in frames],
        "box": [np.asarray(atoms.cell).ravel() for atoms in frames],
        "energy": [atoms.get_potential_energy() for atoms in frames],
        "force": [atoms.get_forces().ravel() for atoms in frames],
        "virial": [
            -(atoms.get_stress(voigt=False) * atoms.get_volume()).ravel() for atoms in frames
        ],
    }
    for name, array in arrays.items():
        np.save(system / "set.000" / f"{name}.npy", np.array(array))
    found = {str(p.relative_to(folder)): p.read_bytes() for p in system.rglob("*") if p.is_file()}
    return DataFile(name="system", contents=dict(sorted(found.items())))


def _rows(array: np.ndarray, tag: str) -> str:
    return "".join(f"<{tag}> {x:.8f} {y:.8f} {z:.8f} </{tag}>\n" for x, y, z in array)


def _vasprun(frames: list[ase.Atoms]) -> bytes:
    atoms = "".join(f"<rc><c>{s}</c><c>1</c></rc>" for s in SYMBOLS)
    text = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
<kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray>
</kpoints>
<atominfo><atoms>4</atoms><types>3</types><array name="atoms"><set>{atoms}</set></array></atominfo>
<structure name="initialpos">{_geometry(frames[0])}</structure>
"""
    for frame in frames:
        energies = "".join(
            f'<i name="{name}"> {frame.get_potential_energy():.8f} </i>\n'
            for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
        )
        stress = -1602.1766208 * frame.get_stress(voigt=False)
        text += f"""<calculation>
<scstep><energy>{energies}</energy></scstep>
<structure>{_geometry(frame)}</structure>
<varray name="forces">{_rows(frame.get_forces(), "v")}</varray>
<varray name="stress">{_rows(stress, "v")}</varray>
<energy>{energies}</energy>
</calculation>
"""
    return (text + "</modeling>\n").encode()


def _geometry(frame: ase.Atoms) -> str:
    basis, positions = _rows(np.asarray(frame.cell), "v"), frame.get_scaled_positions()
    return f"""<crystal><varray name="basis">{basis}</varray></crystal>
<varray name="positions">{_rows(positions, "v")}</varray>
"""


def _outcar(frames: list[ase.Atoms]) -> bytes:
    text = " vasp.6.3.0\n"
    for _ in range(2):
        text += "".join(f" POTCAR:    PAW_PBE {s} 08Apr2002\n" for s in ("O", "H", "C"))
    text += """   ISPIN  =      1    spin polarized calculation?
   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      8
   number of dos      NEDOS =    301   number of ions     NIONS =      4
   ions per type =               1   2   1
 k-points in reciprocal lattice and weights: Gamma
   0.00000000  0.00000000  0.00000000       1.000
"""  # noqa: E501
    for index, frame in enumerate(frames):
        energy = frame.get_potential_energy()
        kbar = -1602.1766208 * frame.get_stress()
        order = kbar[[0, 1, 2, 5, 3, 4]]
        cell = "".join(
            "  " + "".join(f"{x:13.9f}" for x in row) + "  " + "0.1 0.2 0.3".rjust(30) + "\n"
            for row in np.asarray(frame.cell)
        )
        rows = "".join(
            "".join(f"{x:13.8f}" for x in (*position, *force)) + "\n"
            for position, force in zip(frame.positions, frame.get_forces(), strict=True)
        )
        text += f"""
--------------------------------------- Iteration      {index + 1}(   1)  ---------------
  in kB  {" ".join(f"{x:12.5f}" for x in order)}
      direct lattice vectors                 reciprocal lattice vectors
{cell}
 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
{rows} -----------------------------------------------------------------------------------
    total drift:                                0.000000      0.000000      0.000000

  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  = {energy:18.8f} eV

  energy  without entropy= {energy:18.8f}  energy(sigma->0) = {energy:18.8f}
"""
    return (text + "\n General timing and accounting informations for this job:\n").encode()
