"""Training on declared quantities, with a potential that is a table of charges."""

import dataclasses
from pathlib import Path

import ase.build
import ase.io
import jax
import numpy as np
import pytest

from equipot import errors
from equipot.data import audit, dataset
from equipot.data.config import DataConfig
from equipot.process import ALONE
from equipot.training import (
    config,
    preparation,
    run_log,
    sharding,
    shared_checkpoints,
    starting_point,
    state,
    trainer,
)

CHARGES = {1: 0.4, 8: -0.8}


@pytest.fixture
def settings(tmp_path):
    """A function that makes the configuration of a run on molecules with dipoles alone."""
    rng, frames = np.random.default_rng(0), []
    for i in range(20):
        atoms = ase.build.molecule("H2O" if i % 2 else "H2O2")
        atoms.rattle(0.1, rng=rng)
        charges = np.array([CHARGES[z] for z in atoms.numbers])
        if i % 2:
            atoms.arrays["charges"] = charges
        atoms.info["dipole"] = charges @ (atoms.positions - atoms.positions.mean(axis=0))
        atoms.info["dipole"] += charges.sum() * atoms.positions.mean(axis=0)
        frames.append(atoms)
    ase.io.write(tmp_path / "a.extxyz", frames)

    def make(**change):
        mapping = {
            "run_dir": str(tmp_path / "run"),
            "data": {
                "train": str(tmp_path / "a.extxyz"),
                "quantities": {
                    "charges": {"per": "atom", "unit": "e"},
                    "dipole": {"irreps": "1o", "unit": "e Å"},
                },
            },
            "model": {"name": "painn", "cutoff": 3.0, "num_layers": 1, "num_channels": 8},
            "optimizer": {"learning_rate": 0.02, "ema_decay": None, "schedule": "constant"},
            "loss": {"energy": 0, "forces": 0, "quantities": {"dipole": 5}},
            "trainer": {"num_steps": 100, "num_devices": 1},
        }
        return config.train_config(mapping | change)

    return make


@pytest.mark.slow  # test_outputs.py learns a dipole
def test_quantities_are_trained_without_energies(settings, tmp_path):
    own = settings()
    data = dataset.read_dataset(own.data)
    audit.audit(data, own.loss.terms)
    parts = preparation.prepare(own, data, 1)
    assert [q.name for q in parts.spec.quantities] == ["charges", "dipole"]
    assert not any(parts.spec.atomic_energies)
    assert any("Reference energies are zero: no training frame has an" in n for n in parts.notes)
    first = state.init_state(parts.params, parts.updates.transformation)
    progress, mesh = state.Progress(), sharding.make_mesh(1)
    with (
        shared_checkpoints.SharedCheckpoints(tmp_path / "saved", 1, ALONE) as saved,
        run_log.RunLog(tmp_path, {}, quantities=parts.quantities) as log,
    ):
        run = trainer.Trainer(own, parts, mesh, first, progress, saved, log, 0.0)
        log.start_bar(run.num_steps, 0)
        before = run._validate(parts.valid)
        for epoch in range(20):
            for position, batch in enumerate(parts.train.batches(epoch)):
                run.take_step(epoch, position, batch)
        found = run._count_up() | run._validate(parts.valid)
        log.record(found)
        run.save()
        saved.wait()
        assert saved.latest_step == run.progress.step
        again, _ = saved.load(run.state)
    jax.tree.map(np.testing.assert_array_equal, again.params, run.state.params)
    assert found["valid_dipole_rmse"] < 0.3 * before["valid_dipole_rmse"]
    assert found["valid_charges_mae"] < 0.05  # from the mean of each element on
    assert {"charges_mae", "dipole_rmse"} < found.keys() and "energy_mae" not in found
    line = (tmp_path / "train.log").read_text().splitlines()[-1]
    assert "valid RMSE: charges " in line and " e Å  loss" in line
    assert "valid_dipole_rmse" in (tmp_path / "metrics.csv").read_text()


def test_what_a_potential_does_not_predict_cannot_be_trained_further(settings, make_potential):
    """And what it predicts and the data do not declare is left as it is."""
    plain = make_potential()
    declared = settings().data.declared
    spec = dataclasses.replace(plain.spec, quantities=(declared["dipole"],))
    with pytest.raises(errors.ConfigError, match=r"quantities.charges: init_from=a predicts energ"):
        starting_point._check_quantities(declared, spec, Path("a"))
    own = {"dipole": declared["dipole"]}
    assert starting_point._check_quantities(own, spec, Path("a")) == ()
    other = {"dipole": dataclasses.replace(declared["dipole"], irreps="1e")}
    with pytest.raises(errors.ConfigError, match=r"dipole.irreps: init_from=a has '1o', received"):
        starting_point._check_quantities(other, spec, Path("a"))
    (note,) = starting_point._check_quantities(DataConfig(train="a").declared, spec, Path("a"))
    assert note.endswith("data.quantities does not declare it: dipole")
