import pathlib

import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from tests import docs_blocks
from tests.cli import running


@pytest.fixture(scope="session")
def copper(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A file of 12 cells of four copper atoms, marked with how far the atoms were moved."""
    rng, frames = np.random.default_rng(0), []
    for i in range(12):
        atoms = ase.build.bulk("Cu", cubic=True)
        shift = (0.05, 0.15)[i % 2]
        atoms.positions += rng.normal(0, shift, (4, 3))
        atoms.calc = EMT()
        results = {k: atoms.calc.get_property(k, atoms) for k in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["shift"] = shift
        frames.append(atoms)
    path = tmp_path_factory.mktemp("copper") / "copper.extxyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory, copper: pathlib.Path) -> pathlib.Path:
    """A folder in which a sweep over two seeds was run."""
    folder = tmp_path_factory.mktemp("sweep")
    words = ("-m", f"data.train={copper}", *running.TINY, "seed=0,1")
    running.run_train(folder, *words, pictures=False)
    return folder


@pytest.fixture(scope="session")
def potential(tmp_path_factory: pytest.TempPathFactory, copper: pathlib.Path) -> str:
    """A saved potential for copper, trained for two steps in this process."""
    from equipot.training import fitting, plots
    from equipot.training.run_page import page

    run_dir = tmp_path_factory.mktemp("trained") / "copper"
    words = ("equipot-train", f"data.train={copper}", *running.TINY, f"run_dir={run_dir}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_plots", lambda *_: [])
        patch.setattr(page, "render", lambda *_: "")
        fitting.fit(*docs_blocks.compose([*words]))
    return str(run_dir / "copper.equipot")
