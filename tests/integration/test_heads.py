"""Two levels of theory that disagree are learnt by one model, each by its own head."""

import dataclasses

import ase.io
import numpy as np
import pytest

from equipot.data import readers
from equipot.potential import artefact, evaluate
from equipot.training import config, fitting

OFFSET = -7.0  # eV per atom


@pytest.mark.slow
def test_two_heads_learn_opposite_forces_and_different_offsets(tmp_path, lennard_jones_file):
    frames = []
    for atoms in ase.io.read(lennard_jones_file, ":10"):
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        for head, sign, offset in (("real", 1.0, 0.0), ("inverted", -1.0, OFFSET)):
            copy = atoms.copy()
            copy.info |= {"level": head, "REF_energy": sign * energy + offset * len(atoms)}
            copy.arrays["REF_forces"] = sign * forces
            frames.append(copy)
    path, valid = tmp_path / "two.extxyz", tmp_path / "valid.extxyz"
    ase.io.write(path, frames[:16])
    ase.io.write(valid, frames[16:])
    mapping = {
        "name": "two",
        "run_dir": str(tmp_path / "run"),
        "data": {
            "train": str(path),
            "valid": str(valid),
            "test_fraction": 0.0,
            "head_key": "level",
        },
        "model": {
            "name": "mace",
            "cutoff": 4.5,
            "num_layers": 1,
            "lmax": 0,
            "message_lmax": 0,
            "num_channels": 4,
            "correlation": 1,
            "radial_widths": [8],
            "readout_width": 4,
        },
        "optimizer": {"learning_rate": 0.03},
        "trainer": {"num_steps": 240, "batch_size": 4, "valid_every": 240, "num_devices": 1},
    }
    folder = fitting.fit(config.train_config(mapping))
    potential = artefact.read(folder / "two.equipot").potential
    assert potential.spec.heads == ("inverted", "real")

    plain = readers.read_structures(path)[::2]
    asked = [dataclasses.replace(s, head=head) for head in ("real", "inverted") for s in plain]
    found = evaluate.evaluate(potential, asked)
    real, inverted = found[: len(plain)], found[len(plain) :]
    labels = np.concatenate([s.forces for s in plain])
    for sign, own in ((1.0, real), (-1.0, inverted)):
        errors = np.concatenate([p.forces for p in own]) - sign * labels
        assert np.sqrt(np.mean(errors**2)) < 0.5 * np.sqrt(np.mean(labels**2))
    offsets = [(b.energy + a.energy) / len(a.energies) for a, b in zip(real, inverted, strict=True)]
    np.testing.assert_allclose(offsets, OFFSET, atol=0.1)
